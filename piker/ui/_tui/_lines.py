"""What lies over the bars: orders, the position, fills, the last price, the cursor.

    solid ───  rests at the broker or the paper engine
    dotted ···  emsd holds it: it waits in the dark, or is an alert
    dashed ╌╌╌  on its way
    double ═══  what is held, at its mean price

Labels of orders stand at the left, those of the position and of fills where they are;
each price is told at the axis too. Of what is out of sight the number is told.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from piker.msgs import NS
from piker.ui._order_lines import OrderLine
from piker.ui._theme import Theme
from piker.ui._ticks import written

from ._candles import body_width
from ._cells import Grid, Ink
from ._palette import Palette
from ._scene import Places, Scene

_CHARS: Final = {"solid": "─", "dotted": "·", "dashed": "╌"}
_WORDS: Final = {"solid": "", "dotted": "dark ", "dashed": "sent "}


@dataclass(frozen=True)
class Tag:
    """A price told at the axis.

    Attributes:
      row: where.
      text: the price.
      ink: of it.
    """

    row: int
    text: str
    ink: Ink


def color_of(line: OrderLine, theme: Theme) -> str:
    """Return the colour of an order's line."""
    return {"buy": theme.buy, "sell": theme.sell, "alert": theme.alert}[line.what]


def words_of(line: OrderLine) -> str:
    """Return what a line's label says."""
    if line.what == "alert":
        return line.label
    real = "REAL " if line.is_real else ""
    return f"{real}{_WORDS[line.style]}{line.what} {line.label}"


def draw_lines(grid: Grid, scene: Scene, places: Places, inks: Palette) -> list[Tag]:
    """Draw all of it over the bars; return the tags, what matters most last."""
    over = _Over(grid, scene, places, inks)
    # lines fill what is blank, so what matters most comes first ...
    over.lines()
    over.cursor_column()
    # ... and labels cover what is there, so it comes last
    over.last_price()
    over.fills()
    over.position()
    over.cursor()
    over.orders()
    over.staged()
    return over.tags


class _Over:
    """Draws over one picture."""

    def __init__(self, grid: Grid, scene: Scene, places: Places, inks: Palette) -> None:
        self.grid, self.scene, self.places, self.inks = grid, scene, places, inks
        self.digits = scene.chart.series.mkt.price_digits
        self.tags: list[Tag] = []
        self._ends: dict[int, int] = {}
        self._begins: dict[int, int] = {}

    def row(self, price: Decimal | float | None) -> int | None:
        """Return the row of a price, None if it is out of sight."""
        if price is None or not math.isfinite(price):
            return None
        y = self.scene.chart.view.y(float(price))
        return int(y) if math.isfinite(y) and 0 <= y < self.places.prices else None

    def tag(self, row: int, price: Decimal | float, color: str) -> None:
        text = written(float(price), self.digits)
        self.tags.append(Tag(row, text, self.inks.tag(color)))

    # -- lines ------------------------------------------------------------------------

    def lines(self) -> None:
        scene, theme = self.scene, self.inks.theme
        if scene.staged is not None:
            self._order_line(scene.staged)
        self._across(scene.cursor, "┄", theme.cross)
        for line in scene.lines:
            self._order_line(line)
        mark = scene.position
        if mark is not None:
            self._across(mark.price, "═", theme.live if mark.is_real else theme.line)
        newest = scene.zoom.cell_of(scene.chart.view, scene.chart.series.end)
        self._across(scene.last, "┈", theme.up if scene.is_up else theme.down, newest)

    def _order_line(self, line: OrderLine) -> None:
        color = color_of(line, self.inks.theme)
        self._across(line.price, _CHARS[line.style], color)

    def _across(
        self, price: Decimal | float | None, char: str, color: str, since: int = 0
    ) -> None:
        row = self.row(price)
        if row is not None:
            ink = self.inks.on_chart(color)
            for x in range(max(since, 0), self.places.plot):
                self.grid.put_under(x, row, char, ink)

    def cursor_column(self) -> None:
        scene, zoom = self.scene, self.scene.zoom
        if scene.column is None:
            return
        x = zoom.cell_of(scene.chart.view, scene.column) + (body_width(zoom) - 1) // 2
        if x < self.places.plot:
            ink = self.inks.on_chart(self.inks.theme.cross)
            for row in range(self.places.prices):
                self.grid.put_under(x, row, "┊", ink)

    # -- labels -----------------------------------------------------------------------

    def last_price(self) -> None:
        row, theme = self.row(self.scene.last), self.inks.theme
        if row is not None:
            self.tag(row, self.scene.last, theme.up if self.scene.is_up else theme.down)

    def fills(self) -> None:
        chart, zoom, theme = self.scene.chart, self.scene.zoom, self.inks.theme
        for fill in self.scene.fills if len(chart.series) else ():
            row = self.row(fill.price)
            index = chart.series.index_at(fill.time_ns / NS)
            x = zoom.cell_of(chart.view, index) + (body_width(zoom) - 1) // 2
            if row is None or not 0 <= x < self.places.plot:
                continue
            char, color = ("▲", theme.buy) if fill.side == "buy" else ("▼", theme.sell)
            self.grid.put(x, row, char, self.inks.on_chart(color, bold=True))

    def position(self) -> None:
        mark = self.scene.position
        row = None if mark is None else self.row(mark.price)
        if row is None or mark is None:
            return
        theme = self.inks.theme
        color = theme.live if mark.is_real else theme.line
        text = f" {mark.direction} {mark.slots} {mark.pnl} "
        self._at_right(row, text, self.inks.tag(color))
        self.tag(row, mark.price, color)

    def cursor(self) -> None:
        row = self.row(self.scene.cursor)
        if row is not None and self.scene.cursor is not None:
            self.tag(row, self.scene.cursor, self.inks.theme.cross)

    def orders(self) -> None:
        above = below = 0
        for line in self.scene.lines:
            row = self.row(line.price)
            if row is None:
                is_above = float(line.price) > self.scene.chart.view.span.highest
                above, below = above + is_above, below + (not is_above)
                continue
            color = color_of(line, self.inks.theme)
            self._at_left(row, f" {words_of(line)} ", self._label_ink(line, color))
            self.tag(row, line.price, color)
        for count, sign, row in ((above, "▲", 0), (below, "▼", self.places.prices - 1)):
            if count:
                text = f" {sign} {count} {'order' if count == 1 else 'orders'} "
                self._at_right(row, text, self.inks.tag(self.inks.theme.edge))

    def staged(self) -> None:
        line = self.scene.staged
        row = None if line is None else self.row(line.price)
        if row is None or line is None:
            return
        color = color_of(line, self.inks.theme)
        ink = self._label_ink(line, color)._replace(bold=True)
        self._at_left(row, f" ▶ {words_of(line)} ", ink)
        self.tag(row, line.price, color)

    def _label_ink(self, line: OrderLine, color: str) -> Ink:
        if line.is_real:
            return self.inks.tag(self.inks.theme.live)
        if line.style == "solid":
            return self.inks.tag(color)
        return self.inks.on_chart(color, bold=True)

    def _at_left(self, row: int, text: str, ink: Ink) -> None:
        """Write a label right of those that are there; a mark if there is no room."""
        at = self._ends.get(row, 1)
        room = self.places.plot - at - 1
        text = text if len(text) <= room else " + "[: max(room, 0)]
        self.grid.put(at, row, text, ink)
        self._ends[row] = at + len(text) + 1

    def _at_right(self, row: int, text: str, ink: Ink) -> None:
        """Write a label left of those that are there."""
        end = self._begins.get(row, self.places.plot)
        at = max(end - len(text), 0)
        self.grid.put(at, row, text[: end - at], ink)
        self._begins[row] = at - 1
