"""Holes in a series of bars: which there are, and how to fill or close them.

A hole is a period without a bar in which the market was open. What the calendar
calls closed is no hole: no bar is missing there and none is made.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from piker.msgs import Calendar, zone_shifts

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
    changes, ahead = map(np.array, zone_shifts(calendar.zone))
    ahead_s = ahead[np.searchsorted(changes, time_s, side="right") - 1]
    starts, ends = np.array(calendar.weekly, np.int64).T
    starts = np.append(starts, starts[0] + WEEK_S)  # the week after begins alike
    into: Ints = (time_s + ahead_s - _MONDAY_S) % WEEK_S
    coming = np.searchsorted(starts, into, side="right")
    inside = (coming > 0) & (into < ends[coming - 1])
    wait_s = starts[coming] - into
    # by the clocks of then: they may change until it opens
    wait_s += ahead_s - ahead[np.searchsorted(changes, time_s + wait_s, "right") - 1]
    return inside | (wait_s < period_s)


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


def settled(bars: NDArray[np.void]) -> NDArray[np.void]:
    """Return *bars*, OHLCV, as they came, in order of time; of one time the last one.

    Args:
      bars: shape (n,).
    """
    ordered = bars[np.argsort(bars["time"], kind="stable")]
    is_last = np.append(ordered["time"][1:] != ordered["time"][:-1], True)
    return ordered[is_last[: len(ordered)]]


def merge(older: NDArray[Any], newer: NDArray[Any]) -> NDArray[np.void]:
    """Return the union of two series; where both have a bar, *newer* wins.

    Args:
      older: OHLCV, ascending.
      newer: OHLCV, ascending, of the same period; may overlap, precede or follow.
    """
    return settled(np.concatenate((older, newer)).astype(OHLCV, copy=False))


def find_nulls(
    bars: NDArray[np.void],
    period_s: int,
    calendar: Calendar | None = None,
    least: int = 1,
) -> list[tuple[int, int]]:
    """Return the runs of flat bars without a trade as (start, end) epoch seconds.

    Nothing traded in them, or nobody listened: only the venue can tell.

    Args:
      bars: OHLCV, strictly ascending multiples of *period_s*.
      period_s: bar length, seconds.
      calendar: trading hours; bars it calls closed don't count.
      least: bars that a run must have.
    """
    is_null = (bars["count"] == 0) & (bars["volume"] == 0)
    is_null &= bars["high"] == bars["low"]
    is_null &= open_mask(calendar, bars["time"], period_s)
    at = np.flatnonzero(is_null)
    if not len(at):
        return []
    time_s = bars["time"][at]
    breaks = np.flatnonzero(np.diff(time_s) != period_s)
    firsts = np.concatenate(([0], breaks + 1))
    lasts = np.append(breaks, len(at) - 1)
    return [
        (int(time_s[first]), int(time_s[last]) + period_s)
        for first, last in zip(firsts, lasts, strict=True)
        if last - first + 1 >= least
    ]


def between(
    bars: NDArray[np.void], start_s: int | None, end_s: int | None
) -> NDArray[np.void]:
    """Return the bars with start <= time < end as a view, found in O(log n).

    Args:
      bars: OHLCV, ascending.
      start_s: epoch seconds; None for all from the first on.
      end_s: epoch seconds; None for all up to the last.
    """
    time_s = bars["time"]
    first = 0 if start_s is None else int(np.searchsorted(time_s, start_s))
    last = len(bars) if end_s is None else int(np.searchsorted(time_s, end_s))
    return bars[first:last]


def is_news(bars: NDArray[np.void], known: NDArray[np.void]) -> NDArray[np.bool_]:
    """Tell for each of *bars* whether *known* lacks it, or has another of its time.

    Args:
      bars: OHLCV, shape (n,).
      known: OHLCV, ascending, of the same period.

    Returns:
      Shape (n,).
    """
    if not len(known):
        return np.ones(len(bars), np.bool_)
    at = np.minimum(np.searchsorted(known["time"], bars["time"]), len(known) - 1)
    news: NDArray[np.bool_] = known[at] != bars
    return news


def in_order(bars: NDArray[np.void]) -> NDArray[np.void]:
    """Return *bars*, OHLCV of any order, strictly ascending; those told twice once.

    Raises:
      ValueError: two bars of one time differ.
    """
    time_s = bars["time"]
    if not np.any(time_s[1:] <= time_s[:-1]):
        return bars
    bars = bars[np.argsort(time_s, kind="stable")]
    is_first = np.append(True, bars["time"][1:] != bars["time"][:-1])
    if np.any(bars[1:][~is_first[1:]] != bars[:-1][~is_first[1:]]):
        raise ValueError("two bars of one time differ")
    return bars[is_first]


def newest_run(bars: NDArray[np.void], period_s: int) -> NDArray[np.void]:
    """Return the newest of *bars*, OHLCV, ascending, back to the first hole.

    Args:
      bars: shape (n,).
      period_s: bar length, seconds.
    """
    breaks = np.flatnonzero(np.diff(bars["time"]) != period_s)
    return bars[breaks[-1] + 1 :] if len(breaks) else bars
