"""Spans of time: what of one is covered by bars, and what is missing.

A span is (start, end) in epoch seconds, the end exclusive; both are whole periods.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

import numpy as np

from piker.msgs import Calendar

from ._gaps import open_mask
from ._steps import Ints

Span = tuple[int, int]


def missing_spans(
    time_s: Ints,
    within: Span,
    period_s: int,
    calendar: Calendar | None = None,
    known: Iterable[Span] = (),
) -> list[Span]:
    """Return the runs of periods without a bar, in order.

    Args:
      time_s: opens of bars, shape (n,), ascending; those beyond *within* don't count.
      within: where to look.
      period_s: bar length, seconds.
      calendar: trading hours; None is always open. A run is cut to its first and last
        open period, one that is closed from end to end is left out.
      known: spans of which it is known that there is nothing; disjoint, ascending.
    """
    start_s, end_s = within
    inside = time_s[np.searchsorted(time_s, start_s) : np.searchsorted(time_s, end_s)]
    before = np.concatenate(([start_s - period_s], inside))
    after = np.append(inside, end_s)
    known = list(known)
    starts, ends = [first for first, _ in known], [end for _, end in known]
    found: list[Span | None] = []
    for at in np.flatnonzero(after - before > period_s):
        run = (int(before[at]) + period_s, int(after[at]))
        near = known[bisect_right(ends, run[0]) : bisect_left(starts, run[1])]
        found += [_open_part(span, period_s, calendar) for span in without(run, near)]
    return [span for span in found if span is not None]


def without(span: Span, known: Iterable[Span]) -> Iterator[Span]:
    """Yield what of *span* lies in none of *known*, disjoint and ascending."""
    start_s, end_s = span
    for first_s, stop_s in known:
        if stop_s <= start_s:
            continue
        if first_s >= end_s:
            break
        if first_s > start_s:
            yield start_s, first_s
        start_s = stop_s
    if start_s < end_s:
        yield start_s, end_s


def join_spans(
    spans: Iterable[Span], more: Iterable[Span], near_s: int = 0
) -> tuple[Span, ...]:
    """Return *spans* and *more*, those that touch joined; disjoint, ascending.

    Args:
      spans: in any order, as *more*; those that end before they begin are left out.
      more: see there.
      near_s: those that lie no further apart are joined, too.
    """
    joined: list[Span] = []
    for first, end in sorted([*spans, *more]):
        if joined and first <= joined[-1][1] + near_s:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        elif end > first:
            joined.append((first, end))
    return tuple(joined)


def _open_part(span: Span, period_s: int, calendar: Calendar | None) -> Span | None:
    """Return *span* from its first to its last open period, None if none is."""
    if calendar is None or not calendar.weekly:
        return span
    periods = np.arange(*span, period_s)
    opened = periods[open_mask(calendar, periods, period_s)]
    return (int(opened[0]), int(opened[-1]) + period_s) if len(opened) else None
