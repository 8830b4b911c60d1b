"""What others have drawn in this client's charts: theirs as long as they stay.

script --commands--> [_annot_rpc] --> Annots --> charts that show the market
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from piker.msgs import AnnotCommand, DrawRects, Rect, Redraw, RemoveRects

from ._market import tell_one
from ._series import Floats, Ints, Series

#: Rectangles of all callers together: more would make each frame slow.
MOST_RECTS: Final = 10_000


@dataclass(eq=False)
class Annots:
    """All that is drawn on others' behalf.

    Attributes:
      redraw: reads the bars of a market and a length anew, empty and 0 for all.
      listeners: told when it has changed.
    """

    redraw: Callable[[str, int], None]
    listeners: set[Callable[[], None]] = field(default_factory=set)
    _drawn: dict[tuple[int, int], Rect] = field(default_factory=dict)
    _callers: int = 0

    def of(self, fqme: str, period_s: int) -> tuple[Rect, ...]:
        """Return what is drawn in a chart of a market in bars of a length."""
        return tuple(
            rect
            for rect in self._drawn.values()
            if rect.fqme == fqme and rect.period_s in (0, period_s)
        )

    @contextmanager
    def open_caller(self) -> Iterator[Callable[[AnnotCommand], str]]:
        """Yield what does a caller's commands and returns why not, empty if it did.

        With the block ends what was drawn for them.
        """
        self._callers += 1
        caller = self._callers
        try:
            yield lambda command: self._do(caller, command)
        finally:
            mine = [key for key in self._drawn if key[0] == caller]
            for key in mine:
                del self._drawn[key]
            if mine:
                self._tell()

    def _do(self, caller: int, command: AnnotCommand) -> str:
        match command:
            case DrawRects(rects=rects):
                return self._draw({(caller, aid): rects[aid] for aid in rects})
            case RemoveRects(aids=aids):
                for aid in aids:
                    self._drawn.pop((caller, aid), None)
                self._tell()
            case Redraw(fqme=fqme, period_s=period_s):
                self.redraw(fqme, period_s)
        return ""

    def _draw(self, rects: dict[tuple[int, int], Rect]) -> str:
        for rect in rects.values():
            if rect.fault:
                return rect.fault
        more = sum(key not in self._drawn for key in rects)
        if len(self._drawn) + more > MOST_RECTS:
            return (
                f"a chart draws up to {MOST_RECTS:,} rectangles; {len(self._drawn):,}"
                f" are drawn and {more:,} more were asked for"
            )
        self._drawn.update(rects)
        self._tell()
        return ""

    def _tell(self) -> None:
        for listener in tuple(self.listeners):
            tell_one(listener)


@dataclass(frozen=True)
class Spots:
    """Where rectangles lie in a series: arrays of shape (n,).

    Attributes:
      rects: which they are.
      left: indexes of their left edges.
      right: of their right edges, at least a bar further.
      lowest: prices of their lower edges, ``nan`` for the chart's.
      highest: of their upper edges, likewise.
      colors: that they have, empty for the theme's.
      color: number of each one's in *colors*.
    """

    rects: tuple[Rect, ...]
    left: Floats
    right: Floats
    lowest: Floats
    highest: Floats
    colors: tuple[str, ...]
    color: Ints

    def within(self, left: float, right: float) -> Ints:
        """Return the numbers of those that are to be seen between two indexes."""
        return np.flatnonzero((self.right >= left) & (self.left <= right))


def spots_of(rects: tuple[Rect, ...], series: Series) -> Spots:
    """Return where rectangles lie: from the bar that holds a time to the one after."""
    begins = _indexes(series, np.array([rect.begin_s for rect in rects]))
    ends = _indexes(series, np.array([rect.end_s for rect in rects]))
    left = begins - 0.5
    right = np.maximum(ends - 0.5, left + 1.0)
    # of None comes nan
    lowest = np.array([rect.lowest for rect in rects], np.float64)
    highest = np.array([rect.highest for rect in rects], np.float64)
    numbers = {
        color: i for i, color in enumerate(dict.fromkeys(r.color for r in rects))
    }
    color = np.array([numbers[rect.color] for rect in rects], np.int64)
    return Spots(rects, left, right, lowest, highest, tuple(numbers), color)


def _indexes(series: Series, time_s: Floats) -> Floats:
    """Return the index of the bar at each time, or where one would be without gaps.

    A time at which no bar begins counts for the first bar after it; one outside of all
    bars as many periods away.
    """
    if not len(series):
        return np.full(len(time_s), np.nan)
    first_s, last_s = float(series.time[0]), float(series.time[-1])
    period_s = series.period_s
    begun_s = np.floor(time_s / period_s) * period_s
    at = np.searchsorted(series.time, begun_s, "left").astype(float)
    at = np.where(time_s < first_s, (begun_s - first_s) / period_s, at)
    past = len(series) - 1 + (begun_s - last_s) / period_s
    return series.start + np.where(begun_s > last_s, past, at)
