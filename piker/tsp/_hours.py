"""Trading hours read off a series of bars, where nobody tells them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from piker.msgs import Calendar

from ._gaps import open_mask
from ._steps import Ints

_WEEK_S: Final = 7 * 86_400
_MONDAY_S: Final = 4 * 86_400  # 1970-01-05, the first Monday after the epoch
_MIN_CLOSED_S: Final = 1800
_MIN_WEEKS: Final = 2


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
    bars: NDArray[np.void], period_s: int, calendar: Calendar | None = None
) -> list[Gap]:
    """Return all runs of periods without a bar inside *bars*, in order.

    Args:
      bars: OHLCV, strictly ascending multiples of *period_s*.
      period_s: bar length, seconds.
      calendar: trading hours; None is always open.
    """
    time_s = bars["time"]
    gaps = []
    for at in np.flatnonzero(np.diff(time_s) > period_s):
        start, end = int(time_s[at]) + period_s, int(time_s[at + 1])
        periods = np.arange(start, end, period_s)
        missing = int(np.count_nonzero(open_mask(calendar, periods, period_s)))
        kind: Literal["closed", "missing"] = "missing" if missing else "closed"
        gaps.append(Gap(start, end, len(periods), missing, kind))
    return gaps


def infer_hours(time_s: Ints, period_s: int) -> Calendar:
    """Return the weekly hours in which bars were seen.

    Closed is what lies between bars in two weeks or more, and in which there never was
    one for half an hour on end. Too little data, a market that trades in less than half
    of the rest, or bars of a day and more say nothing: always open.

    Args:
      time_s: opens of bars, epoch s, ascending.
      period_s: bar length.
    """
    if not len(time_s) or _WEEK_S % period_s or period_s >= 86_400:
        return Calendar()
    slots = _WEEK_S // period_s
    at = (time_s - _MONDAY_S) // period_s
    seen = np.bincount(at % slots, minlength=slots)
    lies_in = np.full(slots, (int(at[-1]) - int(at[0]) + 1) // slots)
    rest = np.arange(int(at[0]), int(at[0]) + (int(at[-1]) - int(at[0]) + 1) % slots)
    lies_in[rest % slots] += 1
    is_open = ~_long_runs((seen == 0) & (lies_in >= _MIN_WEEKS), period_s)
    if 2 * seen.sum() < lies_in[is_open].sum():
        return Calendar()
    return Calendar(weekly=_spans(is_open, period_s))


def _long_runs(never: NDArray[np.bool_], period_s: int) -> NDArray[np.bool_]:
    """Return *never*, by period of a week, without its short runs."""
    if never.all() or not never.any():
        return np.zeros(len(never), np.bool_)
    turn = int(np.flatnonzero(~never)[0])  # a run may go over the end of the week
    kept = np.roll(never, -turn)
    for first, end in _runs(kept):
        if (end - first) * period_s < _MIN_CLOSED_S:
            kept[first:end] = False
    return np.roll(kept, turn)


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the runs of True as (first, end)."""
    edges = np.diff(flags.astype(np.int8), append=0, prepend=0)
    first, end = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return list(zip(first.tolist(), end.tolist(), strict=True))


def _spans(is_open: NDArray[np.bool_], period_s: int) -> tuple[tuple[int, int], ...]:
    """Return the open spans of a week in seconds, empty for always."""
    spans = tuple((a * period_s, b * period_s) for a, b in _runs(is_open))
    return () if spans == ((0, _WEEK_S),) else spans
