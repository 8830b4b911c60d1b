"""Bars as characters: candles, bars with their ticks, a line of closes, volume.

    Columns (M4) --> cells      rows count from the top, as floats; a half or an eighth
                                of one is drawn where there is a character for it

Pure. A candle one cell wide is a line of a box, of which there are characters that
change from thin to fat in their middle: so wick and body meet to half a row. Wider ones
are blocks, whose ends are true to an eighth of a row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from piker.ui._m4 import Columns
from piker.ui._series import Floats
from piker.ui._view import Span, View

from ._cells import Grid, Ink
from ._scale import Zoom

#: Parts of a block from below, by eighths.
LOWER: Final = " ▁▂▃▄▅▆▇█"
#: A line at the top of a cell, and ever lower.
LEVELS: Final = "▔─▁"
#: By what the upper and the lower half of a cell have: nothing, wick, body.
_HALVES: Final = {
    (0, 0): " ", (1, 0): "╵", (0, 1): "╷", (1, 1): "│", (2, 0): "╹", (0, 2): "╻",
    (2, 2): "┃", (2, 1): "╿", (1, 2): "╽",
}  # fmt: skip


#: A line, blocks as wide as the body, or blocks of what is left free of it.
_Kind = Literal["line", "block", "rest"]
_Part = tuple[int, str, _Kind]


@dataclass(frozen=True)
class BarInks:
    """Colours of bars, rising and falling ones."""

    up: Ink
    down: Ink
    up_volume: Ink
    down_volume: Ink
    line: Ink


@dataclass(frozen=True)
class _Bars:
    """Columns as places: cells across, rows down; all of shape (n,)."""

    cell: list[int]
    is_up: list[bool]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]


def _placed(columns: Columns, view: View, zoom: Zoom) -> _Bars:
    ys = [
        _rows(view, prices)
        for prices in (columns.open, columns.high, columns.low, columns.close)
    ]
    cells = [zoom.cell_of(view, index) for index in columns.index.tolist()]
    is_up = (columns.close >= columns.open).tolist()
    return _Bars(cells, is_up, *ys)


def _rows(view: View, prices: Floats) -> list[float]:
    """Return the rows of prices; what lies far outside is brought near."""
    ys = np.nan_to_num(view.ys(prices), nan=0.0, posinf=1e6, neginf=-1e6)
    return np.clip(ys, -2.0, view.height + 2.0).tolist()


# -- candles --------------------------------------------------------------------------


def draw_candles(
    grid: Grid, columns: Columns, view: View, zoom: Zoom, inks: BarInks
) -> None:
    """Draw candles on the first ``view.height`` rows of a grid."""
    bars = _placed(columns, view, zoom)
    width = body_width(zoom)
    rows = range(int(view.height))
    candle = _thin if zoom.scale.cells == 1 else _thick
    for i, x in enumerate(bars.cell):
        ink = inks.up if bars.is_up[i] else inks.down
        top, bottom = sorted((bars.open[i], bars.close[i]))
        for row, char, kind in candle(bars.high[i], bars.low[i], top, bottom):
            if row not in rows:
                continue
            if kind == "line":
                grid.put(x + (width - 1) // 2, row, char, ink)
            elif kind == "block":
                grid.put(x, row, char * width, ink)
            else:
                grid.put(x, row, char * width, Ink(ink.back, ink.fore))


def body_width(zoom: Zoom) -> int:
    """Return how many cells a body takes: an odd number, so that it has a middle."""
    return max(zoom.scale.cells - 1, 1)


def _thin(high: float, low: float, top: float, bottom: float) -> Iterator[_Part]:
    """Yield the characters of a candle of one cell, to half a row."""
    first, last = math.floor(top * 2 + 0.5), math.floor(bottom * 2 + 0.5)
    if last <= first:
        first = math.floor(top + bottom)
        last = first + 1
    begin = min(math.floor(high * 2 + 0.5), first)
    end = max(math.floor(low * 2 + 0.5), last)

    def part(half: int) -> int:
        if first <= half < last:
            return 2
        return 1 if begin <= half < end else 0

    for row in range(begin // 2, (end + 1) // 2):
        yield row, _HALVES[part(2 * row), part(2 * row + 1)], "line"


def _thick(high: float, low: float, top: float, bottom: float) -> Iterator[_Part]:
    """Yield the characters of a wider candle, to an eighth of a row."""
    first = round(top * 8)
    last = max(round(bottom * 8), first + 1)
    begin = min(math.floor(high * 2 + 0.5), first // 4)
    end = max(math.floor(low * 2 + 0.5), -(-last // 4))
    for row in range(begin // 2, (end + 1) // 2):
        lo, hi = max(first - 8 * row, 0), min(last - 8 * row, 8)
        if lo < hi:
            yield (row, *_block(lo, hi))
            continue
        upper, lower = begin <= 2 * row < end, begin <= 2 * row + 1 < end
        if upper or lower:
            yield row, _HALVES[int(upper), int(lower)], "line"


def _block(lo: int, hi: int) -> tuple[str, _Kind]:
    """Return the character for the eighths [lo, hi) of a cell, from its top."""
    if hi == 8:
        return LOWER[8 - lo], "block"
    if lo == 0:
        # there are blocks from below only: what is below it is drawn in the back's ink
        return LOWER[8 - hi], "rest"
    return ("─" if hi - lo < 3 else "━"), "block"


# -- bars, lines ----------------------------------------------------------------------


def draw_bars(
    grid: Grid, columns: Columns, view: View, zoom: Zoom, inks: BarInks
) -> None:
    """Draw bars from low to high, with ticks: the open's left, the close's right."""
    bars = _placed(columns, view, zoom)
    middle = (body_width(zoom) - 1) // 2
    rows = range(int(view.height))
    for i, x in enumerate(bars.cell):
        ink = inks.up if bars.is_up[i] else inks.down
        opened, closed = math.floor(bars.open[i]), math.floor(bars.close[i])
        low = math.floor(bars.low[i])
        for row in range(math.floor(bars.high[i]), low + 1):
            is_open, is_close = row == opened, row == closed
            char = "┼" if is_open and is_close else "│"
            if is_open != is_close:
                char = "┤" if is_open else "├"
            if row in rows:
                grid.put(x + middle, row, char, ink)


def draw_line(
    grid: Grid, columns: Columns, values: Floats, view: View, zoom: Zoom, ink: Ink
) -> None:
    """Draw a line over the prices, of a value a column."""
    draw_values(
        grid, columns, values, (view, zoom), ink, (view.span, 0, int(view.height))
    )


def draw_values(
    grid: Grid,
    columns: Columns,
    values: Floats,
    place: tuple[View, Zoom],
    ink: Ink,
    strip: tuple[Span, int, int],
) -> None:
    """Draw a line in a strip, where nothing is drawn yet.

    Args:
      grid: to draw on.
      columns: of bars.
      values: one a column, ``nan`` where there is none.
      place: of the bars.
      ink: of the line.
      strip: what it shows, its first row, and how many it has.
    """
    (view, zoom), (span, top, height) = place, strip
    ys = (1 - span.fractions(values)) * height
    half = (body_width(zoom) - 1) // 2
    before: int | None = None
    for index, y in zip(columns.index.tolist(), ys.tolist(), strict=True):
        if not math.isfinite(y):
            before = None
            continue
        near = min(max(y, -1.0), height + 1.0)
        row = math.floor(near)
        x = zoom.cell_of(view, index) + half
        if 0 <= row < height:
            grid.put_under(x, top + row, LEVELS[int((near - row) * len(LEVELS))], ink)
        if before is not None:
            between = range(min(before, row) + 1, max(before, row))
            for other in between:
                if 0 <= other < height:
                    grid.put_under(x, top + other, "│", ink)
        before = row


# -- volume ---------------------------------------------------------------------------


def draw_volume(
    grid: Grid,
    columns: Columns,
    place: tuple[View, Zoom],
    inks: BarInks,
    strip: tuple[Span, int, int],
) -> None:
    """Draw what was traded, to an eighth of a row; arguments as of `draw_values`."""
    (view, zoom), (span, top, height) = place, strip
    eighths = np.nan_to_num(span.fractions(columns.volume) * height * 8)
    eighths = np.where(columns.volume > 0, np.maximum(eighths, 1), 0)
    is_up = (columns.close >= columns.open).tolist()
    width = body_width(zoom)
    for i, full in enumerate(np.minimum(eighths, 8 * height).astype(int).tolist()):
        x = zoom.cell_of(view, int(columns.index[i]))
        ink = inks.up_volume if is_up[i] else inks.down_volume
        for up in range(-(-full // 8)):
            char = LOWER[min(full - 8 * up, 8)]
            grid.put(x, top + height - 1 - up, char * width, ink)
