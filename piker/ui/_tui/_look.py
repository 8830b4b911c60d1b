"""One market at one period as it is looked at: its bars, its view, its scale."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from piker.ui._chart import Chart
from piker.ui._market import Market
from piker.ui._study import Study
from piker.ui._ticks import nice_step
from piker.ui.indicators import Wanted

from ._scale import Zoom
from ._scene import InSight, Places, arrange

_OLDER_CELLS: Final = 20
_RETRY_S: Final = 5.0
_NOTHING: Final = InSight()


@dataclass(eq=False)
class Look:
    """A chart of a market, and what is asked of its past.

    Attributes:
      market: which.
      chart: its bars of one period.
      zoom: how wide they are.
      places: where it lay when it was arranged last, None before.
    """

    market: Market
    chart: Chart
    zoom: Zoom = field(default_factory=Zoom)
    places: Places | None = None
    _is_new: bool = True
    _asks_older: bool = False
    _barren_until_s: float = -math.inf

    @classmethod
    def at(cls, market: Market, period_s: int, wanted: Sequence[Wanted]) -> Look:
        """Look at a market's bars of a period."""
        chart = Chart(
            market.series(period_s),
            studies=[Study(each) for each in wanted],
            calendar=market.flume.calendar,
        )
        return cls(market, chart)

    @property
    def period_s(self) -> int:
        """Length of its bars."""
        return self.chart.series.period_s

    def refresh(self) -> None:
        """Take what is new of its bars."""
        change = self.market.refresh(self.period_s)
        if change is not None:
            self.chart.take(change)

    def arrange(self, width: int, height: int, in_sight: InSight = _NOTHING) -> Places:
        """Take a size; some further prices are to be in sight."""
        view, series = self.chart.view, self.chart.series
        if self._is_new and len(series):
            self._is_new = False
            self.places = arrange(self.chart, self.zoom, width, height, in_sight)
            self.zoom.to_newest(view, series.end)
        self.places = arrange(self.chart, self.zoom, width, height, in_sight)
        return self.places

    # -- what is in sight -------------------------------------------------------------

    def reset(self) -> None:
        """Show the newest bars, prices fitted."""
        self.chart.view.fits = True
        self.zoom.to_newest(self.chart.view, self.chart.series.end)

    def pan(self, cells: float) -> None:
        """Move it to the right by cells."""
        series = self.chart.series
        if len(series):
            self.zoom.pan(self.chart.view, cells, series.start, series.end)

    def change_zoom(self, steps: int, x: float | None = None) -> bool:
        """Look closer, or further if negative."""
        series = self.chart.series
        if not len(series):
            return False
        return self.zoom.change(self.chart.view, steps, series.end, x)

    def zoom_prices(self, factor: float) -> None:
        """Show *factor* times the range of prices, by hand from now on."""
        self.chart.view.fits = False
        self.chart.view.span.zoom(factor)

    def wants_older(self) -> bool:
        """Tell whether older bars are to be loaded now; `got_older` answers it."""
        series, view = self.chart.series, self.chart.view
        if self._is_new or self._asks_older or not len(series):
            return False
        if view.left - _OLDER_CELLS / view.bar_px > series.start:
            return False
        if time.monotonic() < self._barren_until_s:
            return False
        self._asks_older = True
        return True

    def got_older(self, bars: int) -> None:
        """Take note of older bars that were loaded; with none, wait a little."""
        self._asks_older = False
        if not bars:
            self._barren_until_s = time.monotonic() + _RETRY_S
        for study in self.chart.studies:
            study.keep_up(self.chart.series)

    # -- prices and rows ------------------------------------------------------------

    def row_of(self, price: Decimal) -> int | None:
        """Return the row of a price, None if it isn't in sight."""
        y = self.chart.view.y(float(price))
        rows = self.places.prices if self.places is not None else 0
        return int(y) if math.isfinite(y) and 0 <= y < rows else None

    def row_prices(self, price: Decimal) -> tuple[float, float]:
        """Return the lowest and the highest price of the row that a price is in."""
        y = self.chart.view.y(float(price))
        if not math.isfinite(y):
            return float(price), float(price)
        view, row = self.chart.view, math.floor(y)
        return view.price(row + 1), view.price(row)

    def price_at(self, row: float) -> float:
        """Return a round price within a row, about its middle."""
        view = self.chart.view
        middle, upper = view.price(row + 0.5), view.price(row)
        return self._round(middle, abs(upper - middle))

    def moved(self, price: Decimal, rows: float) -> float:
        """Return a round price so many rows higher, at least a tick away."""
        view = self.chart.view
        tick = float(self.chart.series.mkt.price_tick)
        to = view.price(view.y(float(price)) - rows)
        to = self._round(to, abs(to - float(price)) / 2)
        sign = 1 if rows > 0 else -1
        if (to - float(price)) * sign < tick:
            to = float(price) + sign * tick
        return max(to, tick)

    def _round(self, price: float, within: float) -> float:
        """Return the roundest price that is no further off than *within*."""
        if not (math.isfinite(price) and within > 0):
            return price
        step = nice_step(within / 2.5)
        tick = float(self.chart.series.mkt.price_tick)
        return round(price / step) * step if step > tick else price

    def index_at(self, x: int) -> int | None:
        """Return the index of the bar at a cell, None where there is none."""
        series = self.chart.series
        index = math.floor(self.chart.view.index(x + 0.5) + 0.5)
        return index if series.start <= index < series.end else None
