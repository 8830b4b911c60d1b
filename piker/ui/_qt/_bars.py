"""Bars to pixels: candles, bars, lines and volume, on whole pixels.

Everything that is a bar is made of rectangles with whole coordinates: nothing is
smoothed, so equal bars look equal wherever they stand.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from PySide6.QtGui import QPainter

from piker.ui._chart import Chart
from piker.ui._m4 import Columns
from piker.ui._theme import Theme
from piker.ui._view import View

from ._shapes import Floats, Ints, Line, Rects, Strip, color_of

#: Of a bar's width, its body; the rest keeps it apart from the next one.
_BODY: Final = 0.78
#: Columns narrower than this, pixels, are made as an image where they are tall.
_THIN_PX: Final = 2.0
#: For fewer columns an image of all the strip isn't worth it.
_FEW: Final = 64

_Block = tuple[Floats, Floats, Floats, Floats]


class BarsPainter:
    """Columns of a chart as shapes, made once and drawn as often as is wanted."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._prices = (Rects(), Rects())
        self._volumes, self._thin = (Rects(), Rects()), Strip()
        self._spans, self._line = Rects(), Line()

    def make(
        self, chart: Chart, columns: Columns, volume_px: float, theme: Theme
    ) -> None:
        """Make the shapes of some columns.

        Args:
          chart: for its view; prices count from the top of their strip.
          columns: what to make.
          volume_px: height of the strip of volume; 0 for none.
          theme: colours, where they can't be told later.
        """
        drawn_as = chart.drawn_as
        rose = columns.close >= columns.open
        sides = (np.flatnonzero(rose), np.flatnonzero(~rose))
        for shapes, rows in zip(self._prices, sides, strict=True):
            if drawn_as == "line" or not len(rows):
                shapes.put()
            elif drawn_as == "candles":
                shapes.put(*candle_blocks(chart.view, columns, rows))
            else:
                shapes.put(*bar_blocks(chart.view, columns, rows))
        self._make_line(chart.view, columns, is_drawn=drawn_as == "line")
        is_thin = len(columns) > _FEW and chart.view.bar_px * columns.bars < _THIN_PX
        for shapes, rows in zip(self._volumes, sides, strict=True):
            is_drawn = volume_px and not is_thin and len(rows)
            shapes.put(
                *([volume_block(chart, columns, rows, volume_px)] if is_drawn else [])
            )
        if is_thin and volume_px:
            self._thin.put(*thin_volume(chart, columns, volume_px, theme))
        else:
            self._thin.clear()

    def _make_line(self, view: View, columns: Columns, *, is_drawn: bool) -> None:
        """Make a line of closes; of columns of many bars from their lows to highs."""
        is_wide = is_drawn and columns.bars > 1 and len(columns) > 0
        self._spans.put(*([spans_block(view, columns)] if is_wide else []))
        if is_drawn and not is_wide:
            self._line.put(view.xs(columns.middle), view.ys(columns.close))
        else:
            self._line.clear()

    def draw(self, painter: QPainter, theme: Theme) -> None:
        """Draw prices; the painter's origin is the upper left corner of the strip."""
        for shapes, color in zip(self._prices, (theme.up, theme.down), strict=True):
            shapes.draw(painter, color)
        self._spans.draw(painter, theme.line)
        self._line.draw(painter, theme.line)

    def draw_volume(self, painter: QPainter, theme: Theme) -> None:
        """Draw what was traded, likewise."""
        colors = (theme.up_volume, theme.down_volume)
        self._thin.draw(painter)
        for shapes, color in zip(self._volumes, colors, strict=True):
            shapes.draw(painter, color)


def body_px(bar_px: float) -> int:
    """Return how wide a bar's body is: an odd number of pixels, so it has a middle."""
    width = int(bar_px * _BODY)
    return max(width - 1 + width % 2, 1)


def _middles(view: View, columns: Columns, rows: np.ndarray) -> Floats:
    """Return the left edge of the pixel that is the middle of each column."""
    return np.floor(view.xs(columns.middle[rows]))


def _edges(view: View, one: Floats, other: Floats) -> tuple[Floats, Floats]:
    """Return the upper edge and the height, at least a pixel, between two prices."""
    a = np.round(view.ys(one))
    b = np.round(view.ys(other))
    return np.minimum(a, b), np.maximum(np.abs(a - b), 1.0)


def candle_blocks(view: View, columns: Columns, rows: np.ndarray) -> list[_Block]:
    """Return wicks and bodies of some columns as rectangles."""
    x = _middles(view, columns, rows)
    width = body_px(view.bar_px * columns.bars)
    wick_top, wick = _edges(view, columns.high[rows], columns.low[rows])
    body_top, body = _edges(view, columns.open[rows], columns.close[rows])
    ones = np.ones(len(rows))
    return [
        (x, wick_top, ones, wick),
        (x - width // 2, body_top, ones * width, body),
    ]


def bar_blocks(view: View, columns: Columns, rows: np.ndarray) -> list[_Block]:
    """Return bars with a tick for the open on their left, one for the close right."""
    x = _middles(view, columns, rows)
    arm = max(int(view.bar_px * columns.bars * 0.4), 1)
    top, height = _edges(view, columns.high[rows], columns.low[rows])
    opened = np.round(view.ys(columns.open[rows]))
    closed = np.round(view.ys(columns.close[rows]))
    ones = np.ones(len(rows))
    return [
        (x, top, ones, height),
        (x - arm, opened, ones * arm, ones),
        (x + 1, closed, ones * arm, ones),
    ]


def spans_block(view: View, columns: Columns) -> _Block:
    """Return from low to high of each column, joined to the close before it."""
    high, low = columns.high.copy(), columns.low.copy()
    np.maximum(high[1:], columns.close[:-1], out=high[1:])
    np.minimum(low[1:], columns.close[:-1], out=low[1:])
    x, width = _widths(view, columns, columns.index)
    top, height = _edges(view, high, low)
    return x, top, width, height


def _widths(view: View, columns: Columns, index: np.ndarray) -> tuple[Floats, Floats]:
    """Return left edges and widths of columns that leave no room between them."""
    x = np.floor(view.xs(index - 0.5))
    right = np.floor(view.xs(index + (columns.bars - 0.5)))
    return x, np.maximum(right - x, 1.0)


def volume_block(
    chart: Chart, columns: Columns, rows: np.ndarray, height: float
) -> _Block:
    """Return volumes as rectangles that stand on the bottom."""
    view = chart.view
    tall = np.ceil(columns.volume[rows] / chart.volume.highest * height)
    body = body_px(view.bar_px * columns.bars)
    x = _middles(view, columns, rows) - body // 2
    return x, height - tall, np.full(len(rows), float(body)), tall


def thin_volume(
    chart: Chart, columns: Columns, height: float, theme: Theme
) -> tuple[Floats, Ints, int]:
    """Return volumes a pixel: how tall, of which colour, on a strip how high."""
    view = chart.view
    middles = view.left + (np.arange(int(view.width)) + 0.5) / view.bar_px
    at = np.searchsorted(columns.index - 0.5, middles, "right") - 1
    ends = float(columns.index[-1]) + columns.bars - 0.5
    tall = np.ceil(columns.volume / chart.volume.highest * height)
    rose = columns.close >= columns.open
    up, down = (color_of(c).rgba() for c in (theme.up_volume, theme.down_volume))
    is_there = (at >= 0) & (middles < ends)
    return (
        np.where(is_there, np.minimum(tall[at], height), 0.0),
        np.where(rose, up, down)[at],
        int(height),
    )
