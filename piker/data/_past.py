"""A client's view of a market's past: what its buffer holds, and before that the store.

[store ... )[buffer, the newest bars included]  --resample--> any period
"""

from __future__ import annotations

import numpy as np
import trio

from piker.errors import UsageError
from piker.log import get_logger
from piker.msgs import MktPair
from piker.storage import read_bars
from piker.tsp import OHLCV, between, resample

from ._buffers import HIST_S, RT_S
from ._shm import ShmArray
from ._venue_bars import Bars

log = get_logger(__name__)


def base_period(period_s: int) -> int:
    """Return the period that bars of *period_s* are made of; raises UsageError."""
    if period_s < 1:
        raise UsageError(f"a period is a whole number of seconds, got {period_s!r}")
    return HIST_S if period_s % HIST_S == 0 else RT_S


async def read_past(
    mkt: MktPair,
    held: ShmArray | None,
    span: tuple[float | None, float | None],
    period_s: int,
) -> Bars:
    """Return a market's bars of a span, see :meth:`piker.data.Flume.read`.

    Args:
      mkt: the market.
      held: its buffer of the period that the bars are made of, if there is one.
      span: from, to before; epoch seconds.
      period_s: bar length.
    """
    base_s = base_period(period_s)
    start_s, end_s = (None if at is None else int(at // 1) for at in span)
    if start_s is not None:
        start_s -= start_s % period_s
    whole_s = end_s if end_s is None else -(-end_s // period_s) * period_s
    newer = np.empty(0, OHLCV)
    if held is not None:
        newer = held.slice(start_s, whole_s).to_structured()
    upto_s = int(newer["time"][0]) if len(newer) else whole_s
    bars = newer
    if start_s is None or upto_s is None or start_s < upto_s:
        found = await trio.to_thread.run_sync(
            read_bars, mkt.fqme, base_s, start_s, upto_s
        )
        for fault in found.damaged:
            log.warning("%s", fault)
        bars = np.concatenate((found.bars(), newer))
    if period_s != base_s:
        bars = resample(bars, period_s, mkt.size_tick)
    return between(bars, start_s, end_s)
