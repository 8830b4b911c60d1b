"""A chart in a terminal before it is drawn: what is shown, and where its parts lie.

    lay_out --> Places          arrange: the view takes the size, prices are fitted

+------------------------------+----------+
| prices                       | prices   |
| indicators of their own      |          |
| volume                       |          |
| times                        |          |
+------------------------------+----------+
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from piker.ui._chart import Chart
from piker.ui._order_lines import FillMark, OrderLine, PositionMark
from piker.ui._ticks import written
from piker.ui._view import Span

from ._cells import Ink
from ._scale import Zoom

_LEAST_AXIS: Final = 7
#: Rows of a picture from which on there is room for volume, and for studies.
_VOLUME_FROM: Final = 9
_STUDY_FROM: Final = 24
_STUDY_ROWS: Final = 4
#: Of the height.
_NEAR: Final = 0.5


@dataclass(frozen=True)
class Places:
    """Where the parts of a picture lie, cells.

    Attributes:
      plot: width of the strips; the price axis lies right of them.
      axis: width of the price axis.
      prices: rows of the prices.
      studies: rows of each further strip, below them.
      volume: rows of the volume, below those.
      height: of all of it, with the time axis.
    """

    plot: int
    axis: int
    prices: int
    studies: tuple[int, ...]
    volume: int
    height: int

    @property
    def width(self) -> int:
        """Of all of it."""
        return self.plot + self.axis


def lay_out(width: int, height: int, axis: int, studies: int = 0) -> Places:
    """Divide a picture; what there is no room for is left out.

    Args:
      width: of it, cells.
      height: of it, rows.
      axis: cells that the labels of prices take.
      studies: strips that are wanted.
    """
    axis = min(max(axis, _LEAST_AXIS), max(width - 1, 0))
    volume = 0 if height < _VOLUME_FROM else min(max(height // 6, 2), 8)
    room = (height - _STUDY_FROM) // _STUDY_ROWS + 1
    strips = (_STUDY_ROWS,) * max(min(studies, room), 0)
    prices = max(height - 1 - volume - sum(strips), 1)
    return Places(max(width - axis, 1), axis, prices, strips, volume, height)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is drawn.

    Attributes:
      chart: the bars.
      zoom: their scale.
      last: newest price, ``nan`` if none is known.
      is_up: it rose.
      lines: open orders and alerts.
      staged: line of what would be submitted, or is moved.
      fills: of the market.
      position: of the account that orders are for.
      cursor: price that is pointed at.
      column: index of the bar that is pointed at.
      notices: lines of text to be told over the chart.
    """

    chart: Chart
    zoom: Zoom
    last: float = float("nan")
    is_up: bool = True
    lines: tuple[OrderLine, ...] = ()
    staged: OrderLine | None = None
    fills: tuple[FillMark, ...] = ()
    position: PositionMark | None = None
    cursor: Decimal | None = None
    column: int | None = None
    notices: tuple[tuple[str, Ink], ...] = ()


def axis_width(chart: Chart) -> int:
    """Return the cells that labels of prices take, and one to spare."""
    digits = chart.series.mkt.price_digits
    prices = [chart.view.span.highest, chart.view.span.lowest]
    if len(chart.series):
        prices.append(float(chart.series.close[-1]))
    return max(len(written(price, digits)) for price in prices) + 1


@dataclass(frozen=True)
class InSight:
    """Prices that are to be shown besides those of the bars.

    Attributes:
      must: however far off they are, e.g. what is staged.
      near: where they are half a picture's height off at most.
    """

    must: tuple[Decimal, ...] = ()
    near: tuple[Decimal, ...] = ()

    def among(self, span: Span) -> list[float]:
        """Return the prices that count, for a span of bars."""
        near = [
            price
            for price in map(float, self.near)
            if -_NEAR <= span.fraction(price) <= 1 + _NEAR
        ]
        return [*map(float, self.must), *near]


def arrange(
    chart: Chart, zoom: Zoom, width: int, height: int, in_sight: InSight
) -> Places:
    """Have a chart take a size: its view shows whole bars, prices are fitted.

    Args:
      chart: whose view is changed.
      zoom: its scale.
      width: of the picture, cells.
      height: of the picture, rows.
      in_sight: further prices to be shown.
    """
    strips = sum(study.has_strip for study in chart.studies)
    places = lay_out(width, height, axis_width(chart), strips)
    view = chart.view
    view.width, view.height = float(places.plot), float(places.prices)
    if len(chart.series):
        zoom.pan(view, 0, chart.series.start, chart.series.end)
    else:
        zoom.settle(view)
    chart.fit()
    span = view.span
    also = in_sight.among(span) if view.fits else []
    if also and not span.lowest <= min(also) <= max(also) <= span.highest:
        span.fit(min(*also, span.lowest), max(*also, span.highest))
    return places
