"""One chart as values: what is shown, and where. How it is painted is told elsewhere.

    Series + View --> columns that stand still, and the newest one, which moves

No toolkit here: windows and terminals draw the same thing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Final, Literal, NamedTuple

import numpy as np

from piker.msgs import Calendar, Rect

from ._m4 import Columns, bars_a_column, group, joined
from ._overlay import Overlay
from ._series import Change, Floats, Series
from ._study import Study
from ._view import Span, View

#: How bars are drawn; ``auto``: by how many there are.
Style = Literal["auto", "candles", "bars", "line"]
STYLES: Final[tuple[Style, ...]] = ("auto", "candles", "bars", "line")

#: Pixels a bar wants to be drawn as a candle, or as a bar with its ticks.
_CANDLE_PX: Final = 4.0
_BAR_PX: Final = 2.0
#: Below this width gaps aren't looked for.
_GAP_PX: Final = 0.25
#: Price ticks that fill the height at least, however still a market is.
_LEAST_TICKS: Final = 4


class Drawn(NamedTuple):
    """What of the series is shown.

    Attributes:
      still: columns that change with the past only.
      tip: the newest column, alone; empty where it isn't in sight.
    """

    still: Columns
    tip: Columns

    @property
    def all(self) -> Columns:
        """Both."""
        return joined(self.still, self.tip) if len(self.tip) else self.still


@dataclass
class Chart:
    """A series in a view.

    Attributes:
      series: what is shown.
      view: which part of it.
      style: how bars are drawn.
      volume: span of the strip below the prices, from 0 on.
      studies: indicators.
      overlays: further markets.
      zone: whose clock the time axis shows.
      calendar: the market's trading hours.
      region: part of the series that another chart shows, indexes; None for none.
      annots: what others have drawn.
    """

    series: Series
    view: View = field(default_factory=View)
    style: Style = "auto"
    volume: Span = field(default_factory=Span)
    studies: list[Study] = field(default_factory=list)
    overlays: list[Overlay] = field(default_factory=list)
    zone: tzinfo = UTC
    calendar: Calendar = field(default_factory=Calendar)
    region: tuple[float, float] | None = None
    annots: tuple[Rect, ...] = ()
    _still_key: tuple[object, ...] = ()

    def __post_init__(self) -> None:
        self._still = group(self.series, 0, 0, 1)

    @property
    def drawn_as(self) -> Literal["candles", "bars", "line"]:
        """How bars are drawn at this zoom."""
        if self.style != "auto":
            return self.style
        if self.view.bar_px >= _CANDLE_PX:
            return "candles"
        return "bars" if self.view.bar_px >= _BAR_PX else "line"

    def drawn(self) -> Drawn:
        """Return the columns that are shown; cheap where only the newest bar moved."""
        first, end = self.view.bars()
        k = bars_a_column(self.view.right - self.view.left, self.view.width)
        # the newest column is apart, as it is drawn anew with each tick
        tip_at = (self.series.end - 1) // k * k
        key = (self.series, self.series.past, first, end, k)
        if key != self._still_key:
            self._still = group(self.series, first, min(end, tip_at), k)
            self._still_key = key
        in_sight = first < tip_at + k and tip_at < end
        tip_end = self.series.end if in_sight else tip_at
        return Drawn(self._still, group(self.series, tip_at, tip_end, k))

    def fit(self) -> None:
        """Fit prices, volume and studies to what is shown."""
        shown = self.drawn()
        if self.view.fits:
            self._fit_prices(shown.all)
        tops = [float(part.volume.max()) for part in shown if len(part)]
        self.volume.lowest, self.volume.highest = 0.0, max([1e-12, *tops]) * 1.1
        for study in self.studies:
            if study.has_strip:
                study.fit(shown)

    def _fit_prices(self, shown: Columns) -> None:
        """Fit prices to what is shown: the bars, and other markets over them."""
        within = shown.within()
        if within is None:
            return
        lines = [overlay.line(self.series, shown) for overlay in self.overlays]
        ranges = [within, *(each for line in lines for each in _range_of(line))]
        least = _LEAST_TICKS * float(self.series.mkt.price_tick)
        lowest = min(low for low, _ in ranges)
        self.view.span.fit(lowest, max(high for _, high in ranges), least)

    def take(self, change: Change) -> None:
        """Go with newer bars, where the newest are looked at; compute the studies."""
        self.view.follow(change.end, change.now)
        for study in self.studies:
            study.keep_up(self.series, change)

    def row_at(self, x: float) -> int | None:
        """Return the row of the bar at a pixel, None where there is none."""
        row = round(self.view.index(x)) - self.series.start
        return row if 0 <= row < len(self.series) else None

    def gaps(self) -> Iterator[tuple[int, bool]]:
        """Yield indexes of bars before which time is missing, and whether bars are.

        Else the market was closed. Looked for only where bars are told apart at all.
        """
        first, end = self.view.bars()
        series, calendar = self.series, self.calendar
        lo = max(first, series.start + 1) - series.start
        hi = min(end, series.end) - series.start
        if hi <= lo or self.view.bar_px < _GAP_PX:
            return
        time_s = series.time[lo - 1 : hi]
        for at in np.flatnonzero(np.diff(time_s) > series.period_s).tolist():
            was_s, is_s = int(time_s[at]) + series.period_s, int(time_s[at + 1])
            yield lo + at + series.start, calendar.open_seconds(was_s, is_s) > 0


def _range_of(values: Floats) -> Iterator[tuple[float, float]]:
    """Yield the lowest and the highest of *values* that are numbers, if any is."""
    known = values[np.isfinite(values)]
    if len(known):
        yield float(known.min()), float(known.max())
