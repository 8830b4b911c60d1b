"""IB's past trades as ticks of ours; pure."""

from __future__ import annotations

from collections.abc import Iterable

from ib_async import HistoricalTickLast

from piker.msgs import Tick

from ._decode import Ids


def to_ticks(
    told: Iterable[HistoricalTickLast], ids: Ids, last_s: int
) -> tuple[list[Tick], int]:
    """Return past trades as ticks, and the second of the last that was told.

    Args:
      told: a list that begins with a whole second, ascending.
      ids: gives their ids, from list to list.
      last_s: later ones are left out.
    """
    ticks: list[Tick] = []
    newest_s = 0
    for one in told:
        newest_s = int(one.time.timestamp())
        if newest_s > last_s or not one.size > 0:
            continue
        if one.tickAttribLast.unreported:
            ticks.append(Tick("utrade", one.price, one.size, newest_s * 10**9))
            continue
        time_ns, tid = ids.stamp(newest_s)
        ticks.append(Tick("trade", one.price, one.size, time_ns, tid))
    return ticks, newest_s
