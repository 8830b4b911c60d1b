"""Runs of periods without a bar, and whether the market was closed in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from piker.msgs import Calendar

from ._gaps import WEEK_S, open_mask
from ._steps import Ints

_MIN_CLOSED_S: Final = 1800
#: Other weeks that tell, together, what a week's usual hours are.
_PAIRS: Final = ((-2, -1), (-1, 1), (1, 2))
_MIN_OPEN: Final = 0.1
_CHUNK: Final = 1 << 20  # periods looked at at once

#: Tells of periods, by their opens in epoch s, ascending, in which it is closed.
IsClosed = Callable[[Ints], NDArray[np.bool_]]


@dataclass(frozen=True)
class Gap:
    """A run of periods without a bar.

    Attributes:
      start_s: open of the first, epoch s.
      end_s: open of the bar after it.
      periods: how many.
      missing: of them in which the market was open: nothing traded, or they are lost.
      kind: ``closed`` if none is missing, else ``missing``.
    """

    start_s: int
    end_s: int
    periods: int
    missing: int
    kind: Literal["closed", "missing"]


def list_gaps(
    bars: NDArray[np.void],
    period_s: int,
    hours: Calendar | Literal["observed"] | None = None,
) -> list[Gap]:
    """Return all runs of periods without a bar inside *bars*, in order.

    Args:
      bars: OHLCV, strictly ascending multiples of *period_s*.
      period_s: bar length, seconds.
      hours: in which the market trades; None is always. ``observed``: it is closed in
        periods in which two weeks next to it have no bar either, or one where no more
        are known, for half an hour on end. A gap longer than a week shows no hours:
        the weeks beyond it tell what they are in it. A market that trades in less
        than half of the rest, or would be open for less than a tenth of the time,
        just trades seldom; bars of a day and more tell no hours.
    """
    time_s = bars["time"]
    ends = np.flatnonzero(np.diff(time_s) > period_s)
    spans = [(int(time_s[at]) + period_s, int(time_s[at + 1])) for at in ends]
    if hours != "observed":
        return [_gap(*span, period_s, _by_calendar(hours, period_s)) for span in spans]
    if period_s >= 86_400 or WEEK_S % period_s:
        return [_gap(*span, period_s, None) for span in spans]
    is_closed = _observed(time_s, [s for s in spans if s[1] - s[0] > WEEK_S])
    least = _MIN_CLOSED_S // period_s
    gaps = [_gap(*span, period_s, is_closed, least) for span in spans]
    telling = [gap for gap in gaps if gap.end_s - gap.start_s <= WEEK_S]
    missing = sum(gap.missing for gap in telling)
    enough = _MIN_OPEN * (len(time_s) + sum(gap.periods for gap in telling))
    if len(time_s) < missing or len(time_s) + missing < enough:
        return [_gap(*span, period_s, None) for span in spans]
    return gaps


def _gap(
    start_s: int, end_s: int, period_s: int, is_closed: IsClosed | None, least: int = 1
) -> Gap:
    """Return a gap; at least so many periods on end are closed, else none of them."""
    periods = missing = (end_s - start_s) // period_s
    if is_closed is not None:
        chunks = _chunks(start_s, end_s, period_s)
        missing -= _count_long_runs(map(is_closed, chunks), least)
    return Gap(start_s, end_s, periods, missing, "missing" if missing else "closed")


def _chunks(start_s: int, end_s: int, period_s: int) -> Iterator[Ints]:
    step = _CHUNK * period_s
    for at in range(start_s, end_s, step):
        yield np.arange(at, min(at + step, end_s), period_s)


def _by_calendar(calendar: Calendar | None, period_s: int) -> IsClosed | None:
    if calendar is None or not calendar.weekly:
        return None
    return lambda periods: ~open_mask(calendar, periods, period_s)


def _observed(time_s: Ints, dark: list[tuple[int, int]]) -> IsClosed:
    """Return what tells closed periods by the same ones of other weeks.

    Args:
      time_s: opens of bars, epoch s, ascending.
      dark: gaps, (start, end) in epoch s, that are no evidence of anything.
    """
    starts, ends = np.array(dark, np.int64).reshape(-1, 2).T

    def look(others: Ints) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which periods are known, and which of them are quiet."""
        at = np.minimum(np.searchsorted(time_s, others), len(time_s) - 1)
        known = (others > time_s[0]) & (others < time_s[-1])
        return known, known & (time_s[at] != others)

    def is_closed(periods: Ints) -> NDArray[np.bool_]:
        seen = {}
        for way in (-1, 1):
            near = _a_week_on(periods, way, starts, ends)
            seen[way] = look(near)
            seen[2 * way] = look(_a_week_on(near, way, starts, ends))
        closed = np.zeros(len(periods), np.bool_)
        paired = np.zeros(len(periods), np.bool_)
        for one, other in _PAIRS:
            paired |= seen[one][0] & seen[other][0]
            closed |= seen[one][1] & seen[other][1]
        closed |= ~paired & (seen[-1][1] | seen[1][1])
        return closed

    return is_closed


def _a_week_on(periods: Ints, way: int, starts: Ints, ends: Ints) -> Ints:
    """Return the same times of a week, the next one that isn't in a dark gap.

    Args:
      periods: epoch s, shape (n,).
      way: -1 for weeks before, 1 for weeks after.
      starts, ends: of the dark gaps, ascending.
    """
    others = periods + way * WEEK_S
    while len(starts):
        at = np.searchsorted(starts, others, side="right") - 1
        inside = np.flatnonzero((at >= 0) & (others < ends[at]))
        if not len(inside):
            break
        gap, time_s = at[inside], others[inside]
        left_s = time_s - starts[gap] if way < 0 else ends[gap] - 1 - time_s
        others[inside] += way * WEEK_S * (left_s // WEEK_S + 1)
    return others


def _count_long_runs(chunks: Iterable[NDArray[np.bool_]], least: int) -> int:
    """Count the flags that stand in runs of at least *least*, over all chunks."""
    counted = run = 0
    for flags in chunks:
        breaks = np.flatnonzero(~flags)
        if not len(breaks):
            run += len(flags)
            continue
        runs = np.diff(breaks) - 1
        runs = np.append(runs, run + breaks[0])  # the first one began earlier
        counted += int(runs[runs >= least].sum())
        run = len(flags) - 1 - int(breaks[-1])
    return counted + (run if run >= least else 0)
