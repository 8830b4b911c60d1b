"""Lines of orders, arrows of fills and the position's line, painted over prices."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Final

from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QPainter, QPen, QPolygonF

from piker.msgs import NS
from piker.ui._allocator import plain
from piker.ui._order_lines import FillMark, OrderLine, PositionMark, label_spots
from piker.ui._ticks import written

from ._axes import Tag
from ._picture import Picture
from ._shapes import color_of

_ARROW_PX: Final = 6.0
#: Between a label and the edge it stands at.
_EDGE_PX: Final = 12.0
_DASHES: Final = {"solid": "solid", "dotted": "dot", "dashed": "dash"}


def paint_lines(
    painter: QPainter, picture: Picture, lines: list[tuple[OrderLine, bool]]
) -> list[Tag]:
    """Paint lines of orders with their labels, none over another.

    Args:
      painter: of the picture.
      picture: for its view and theme.
      lines: each with whether it is held by the mouse, or staged there.

    Returns: a tag for each.
    """
    theme, view, strip = picture.theme, picture.chart.view, picture.layout["prices"]
    digits = picture.chart.series.mkt.price_digits
    tags: list[Tag] = []
    shown: list[tuple[OrderLine, float]] = []
    for line, is_held in lines:
        price, color = float(line.price), getattr(theme, line.what)
        y = view.y(price)
        picture.paint_level(painter, price, color, _DASHES[line.style])
        back = theme.live if line.is_real else color
        tags.append(Tag(y, written(price, digits), back, is_fixed=is_held))
        if strip.top <= y < strip.bottom:
            shown.append((line, y))
    high = picture.axes.line_px + 2
    spots = label_spots([y for _, y in shown], high, strip.top, strip.bottom)
    for (line, _), y in zip(shown, spots, strict=True):
        _paint_label(painter, picture, line, y)
    return tags


def _paint_label(
    painter: QPainter, picture: Picture, line: OrderLine, y: float
) -> None:
    """Write what an order is in a box at the right edge."""
    theme, axes = picture.theme, picture.axes
    is_alert = line.what == "alert"
    text = line.label if is_alert else f"{line.what} {line.label}"
    width = axes.width(text) + 12
    left = max(picture.layout.plot_width - width - _EDGE_PX, 0.0)
    box = QRectF(left, round(y - axes.line_px / 2), width, axes.line_px)
    color = theme.live if line.is_real else getattr(theme, line.what)
    painter.fillRect(box, color_of(theme.panel))
    painter.setBrush(color_of("#00000000"))
    painter.setPen(QPen(color_of(color), 2 if line.is_real else 1))
    painter.drawRect(box)
    at = QPointF(left + 6, box.bottom() - axes.metrics.descent() - 1)
    axes.write(painter, at, text, color)


def paint_position(
    painter: QPainter, picture: Picture, mark: PositionMark | None
) -> list[Tag]:
    """Paint the line of a position and what it would bring; return its tag."""
    if mark is None:
        return []
    theme, axes, strip = picture.theme, picture.axes, picture.layout["prices"]
    color = {1: theme.up, -1: theme.down}.get(mark.sign, theme.faint)
    price = float(mark.price)
    y = picture.chart.view.y(price)
    picture.paint_level(painter, price, color, "dash")
    if strip.top <= y < strip.bottom:
        text = f"{mark.direction} {plain(abs(mark.size))} {mark.slots}  {mark.pnl}"
        wide, high = axes.width(text) + 12, axes.line_px
        box = QRectF(_EDGE_PX, round(y - high / 2), wide, high)
        painter.fillRect(box, color_of(theme.panel))
        at = QPointF(_EDGE_PX + 6, box.bottom() - axes.metrics.descent() - 1)
        axes.write(painter, at, text, color)
    digits = picture.chart.series.mkt.price_digits
    return [Tag(y, written(price, digits), color)]


def paint_fills(
    painter: QPainter, picture: Picture, marks: tuple[FillMark, ...]
) -> None:
    """Paint an arrow at each fill that is in sight; *marks* come in order of time."""
    for mark in _in_sight(picture, marks):
        _paint_fill(painter, picture, mark)


def _in_sight(picture: Picture, marks: tuple[FillMark, ...]) -> tuple[FillMark, ...]:
    series, view = picture.chart.series, picture.chart.view
    if not len(series) or not marks:
        return ()
    rows = [round(at) - series.start for at in (view.left, view.right)]
    first, last = (min(max(row, 0), len(series) - 1) for row in rows)
    edges_ns = (
        int(series.time[first]) * NS,
        (int(series.time[last]) + series.period_s) * NS,
    )
    lo, hi = (bisect_left(marks, ns, key=lambda each: each.time_ns) for ns in edges_ns)
    return marks[lo:hi]


def _paint_fill(painter: QPainter, picture: Picture, mark: FillMark) -> None:
    """Paint an arrow at the bar of a fill: up below its price, or down above it."""
    view, series, theme = picture.chart.view, picture.chart.series, picture.theme
    x = math.floor(view.x(series.index_at(mark.time_ns / NS))) + 0.5
    y = view.y(float(mark.price))
    if not (0 <= x < picture.layout.plot_width and 0 <= y < view.height):
        return
    way = 1 if mark.side == "buy" else -1
    tip, foot = y + 2 * way, y + (2 + _ARROW_PX * 1.5) * way
    corners = [(x, tip), (x - _ARROW_PX, foot), (x + _ARROW_PX, foot)]
    painter.setPen(QPen(color_of(theme.back), 1))
    painter.setBrush(color_of(getattr(theme, mark.side)))
    painter.drawPolygon(QPolygonF([QPointF(*corner) for corner in corners]))
