"""Runs of periods without a bar, and whether the market was closed in them."""

from __future__ import annotations

from collections.abc import Callable
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
        are known, for half an hour on end. A market that trades in less than half of
        the rest, or would be open for less than a tenth of the time, just trades
        seldom; bars of a day and more tell no hours.
    """
    time_s = bars["time"]
    ends = np.flatnonzero(np.diff(time_s) > period_s)
    spans = [(int(time_s[at]) + period_s, int(time_s[at + 1])) for at in ends]
    if hours != "observed":
        return [_gap(*span, period_s, _by_calendar(hours, period_s)) for span in spans]
    if period_s >= 86_400 or WEEK_S % period_s:
        return [_gap(*span, period_s, None) for span in spans]
    gaps = [_gap(*span, period_s, _observed(time_s, period_s)) for span in spans]
    missing = sum(gap.missing for gap in gaps)
    least = _MIN_OPEN * (len(time_s) + sum(gap.periods for gap in gaps))
    if len(time_s) < missing or len(time_s) + missing < least:
        return [_gap(*span, period_s, None) for span in spans]
    return gaps


def _gap(start_s: int, end_s: int, period_s: int, is_closed: IsClosed | None) -> Gap:
    periods = missing = (end_s - start_s) // period_s
    if is_closed is not None:
        step = _CHUNK * period_s
        for at in range(start_s, end_s, step):
            some = np.arange(at, min(at + step, end_s), period_s)
            missing -= int(np.count_nonzero(is_closed(some)))
    return Gap(start_s, end_s, periods, missing, "missing" if missing else "closed")


def _by_calendar(calendar: Calendar | None, period_s: int) -> IsClosed | None:
    if calendar is None or not calendar.weekly:
        return None
    return lambda periods: ~open_mask(calendar, periods, period_s)


def _observed(time_s: Ints, period_s: int) -> IsClosed:
    """Return what tells closed periods by the same ones of other weeks."""

    def look(periods: Ints, week: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which are known in another week, and which of them are quiet there."""
        others = periods + week * WEEK_S
        at = np.minimum(np.searchsorted(time_s, others), len(time_s) - 1)
        known = (others > time_s[0]) & (others < time_s[-1])
        return known, known & (time_s[at] != others)

    def is_closed(periods: Ints) -> NDArray[np.bool_]:
        seen = {week: look(periods, week) for pair in _PAIRS for week in pair}
        closed = np.zeros(len(periods), np.bool_)
        paired = np.zeros(len(periods), np.bool_)
        for one, other in _PAIRS:
            paired |= seen[one][0] & seen[other][0]
            closed |= seen[one][1] & seen[other][1]
        closed |= ~paired & (seen[-1][1] | seen[1][1])
        return _long_runs(closed, _MIN_CLOSED_S // period_s)

    return is_closed


def _long_runs(flags: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    """Return *flags* without its runs shorter than *least*."""
    edges = np.diff(flags.astype(np.int8), append=0, prepend=0)
    kept = np.zeros(len(flags), np.bool_)
    for first, end in zip(
        np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True
    ):
        kept[first:end] = end - first >= least
    return kept
