"""Bars the slow and obvious way: nothing of piker's own arithmetic is used."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import NamedTuple

NS = 1_000_000_000


class Print(NamedTuple):
    """One trade, as its venue wrote it."""

    time_ns: int
    tid: int
    price: Decimal
    size: Decimal
    count: int = 1


def naive_bars(
    prints: Iterable[Print],
    period_s: int,
    until_s: int | None = None,
    is_open: Callable[[int], bool] = lambda time_s: True,
) -> list[tuple]:
    """Return (time, open, high, low, close, volume, count), without holes.

    Args:
      prints: each trade once, in any order.
      period_s: bar length.
      until_s: bars go on, flat, up to the one that holds this second.
      is_open: tells of a second whether the market is open.
    """
    found: dict[int, list[Print]] = defaultdict(list)
    for one in prints:
        found[one.time_ns // NS // period_s * period_s].append(one)
    end_s = max(found)
    if until_s is not None:
        end_s = max(end_s, until_s // period_s * period_s)
    rows, close = [], 0.0
    for time_s in range(min(found), end_s + 1, period_s):
        inside = sorted(found.get(time_s, ()), key=lambda one: (one.time_ns, one.tid))
        if not inside:
            if any(is_open(second) for second in range(time_s, time_s + period_s)):
                rows.append((time_s, close, close, close, close, 0.0, 0))
            continue
        prices = [float(one.price) for one in inside]
        close = prices[-1]
        volume = float(sum((one.size for one in inside), Decimal(0)))
        count = sum(one.count for one in inside)
        rows.append((time_s, prices[0], max(prices), min(prices), close, volume, count))
    return rows
