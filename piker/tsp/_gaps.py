"""Holes in a series of bars: which there are, and how to fill or close them.

A hole is a period without a bar in which the market was open. What the calendar
calls closed is no hole: no bar is missing there and none is made.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from piker.msgs import Calendar

from ._dtypes import OHLCV
from ._steps import Ints

WEEK_S = 7 * 86_400
_MONDAY_S = 4 * 86_400  # 1970-01-05, the first Monday after the epoch


def open_mask(
    calendar: Calendar | None, time_s: Ints, period_s: int = 1
) -> NDArray[np.bool_]:
    """Tell for each of *time_s* whether the market is open within the period from it.

    Args:
      calendar: trading hours; None is always open.
      time_s: epoch seconds, shape (n,).
      period_s: how far from each to look, seconds.

    Returns:
      Shape (n,); the vectorised ``calendar.next_open(t) < t + period_s``.
    """
    if calendar is None or not calendar.weekly:
        return np.ones(len(time_s), np.bool_)
    starts, ends = np.array(calendar.weekly, np.int64).T
    starts = np.append(starts, starts[0] + WEEK_S)  # the week after begins alike
    into: Ints = (time_s - _MONDAY_S) % WEEK_S
    coming = np.searchsorted(starts, into, side="right")
    inside = (coming > 0) & (into < ends[coming - 1])
    return inside | (starts[coming] - into < period_s)


def find_gaps(
    bars: NDArray[np.void], period_s: int, calendar: Calendar | None = None
) -> list[tuple[int, int]]:
    """Return the holes inside *bars* as (start, end) epoch seconds, end exclusive.

    Args:
      bars: OHLCV, strictly ascending multiples of *period_s*.
      period_s: bar length, seconds.
      calendar: trading hours; a span it calls closed from end to end is no hole.
        A hole is cut to its first and last open period.
    """
    time_s = bars["time"]
    gaps = []
    for at in np.flatnonzero(np.diff(time_s) > period_s):
        start, end = int(time_s[at]) + period_s, int(time_s[at + 1])
        missing = np.arange(start, end, period_s)
        missing = missing[open_mask(calendar, missing, period_s)]
        if len(missing):
            gaps.append((int(missing[0]), int(missing[-1]) + period_s))
    return gaps


def fill_gaps(
    bars: NDArray[np.void],
    period_s: int,
    calendar: Calendar | None = None,
    until_s: int | None = None,
) -> NDArray[np.void]:
    """Return *bars* with a flat bar in each hole: at the last close, volume 0.

    Args:
      bars: OHLCV, strictly ascending multiples of *period_s*.
      period_s: bar length, seconds.
      calendar: trading hours; None is always open.
      until_s: fill on after the last bar, up to this epoch second, exclusive.

    Returns:
      OHLCV; every given bar is in it, even one the calendar calls closed.

    Raises:
      ValueError: if ``time`` isn't strictly ascending in whole periods.
    """
    if not len(bars):
        return bars
    time_s = bars["time"]
    if np.any(time_s[1:] <= time_s[:-1]) or np.any(time_s % period_s):
        raise ValueError("bars must ascend in whole periods")
    end_s = int(time_s[-1]) + period_s
    every = np.arange(time_s[0], max(end_s, until_s or 0), period_s)
    given = np.zeros(len(every), np.bool_)
    given[(time_s - time_s[0]) // period_s] = True
    keep = given | open_mask(calendar, every, period_s)
    source = (np.cumsum(given) - 1)[keep]
    filled = bars[source]
    flat = ~given[keep]
    filled["time"] = every[keep]
    for name in ("open", "high", "low"):
        filled[name][flat] = filled["close"][flat]
    filled["volume"][flat] = 0.0
    filled["count"][flat] = 0
    return filled


def merge(older: NDArray[Any], newer: NDArray[Any]) -> NDArray[np.void]:
    """Return the union of two series; where both have a bar, *newer* wins.

    Args:
      older: OHLCV, ascending.
      newer: OHLCV, ascending, of the same period; may overlap, precede or follow.
    """
    both = np.concatenate((older, newer)).astype(OHLCV, copy=False)
    order = np.argsort(both["time"], kind="stable")
    both = both[order]
    last = np.append(both["time"][1:] != both["time"][:-1], True)
    return both[last[: len(both)]]
