"""A whole screen as rows of cells, and where its parts lie on it.

80 x 24                               from 120 cells on
+----------------------------+        +---------------------+----------+
| market, best prices        |        | market, best prices            |
+----------------------------+        +---------------------+----------+
| chart                      |        | chart               | watchlist|
+-----------------+----------+        +----------+----------+          |
| orders          | watchlist|        | orders   | positions|          |
| positions       |          |        |          |          |          |
+-----------------+----------+        +----------+----------+----------+
| mode, what is staged       |        | mode, what is staged           |
| feed, daemons              |        | feed, daemons                  |
+----------------------------+        +--------------------------------+
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final, NamedTuple

from piker.msgs import PAPER
from piker.ui._order_desk import Desk
from piker.ui._order_lines import OrderLine, position_mark

from ._cells import Ink, Row, padded, text_of
from ._entry import Entry
from ._model import Model
from ._palette import Palette, palette
from ._panels import header, held, orders, positions, watchlist
from ._plot import draw
from ._scene import InSight, Scene
from ._status import notices, order_row, state_row

#: Below this width and height there is no chart. Nothing that matters is cut from
#: 80 x 24 on.
_LEAST: Final = (40, 12)
_WIDE: Final = 120
_SIDE: Final = 34
_SIDE_MOST: Final = 48
_LOW: Final = 32
_NOTICE_WIDTH: Final = 64


class Area(NamedTuple):
    """A rectangle of the screen."""

    x: int
    y: int
    width: int
    height: int

    def holds(self, x: int, y: int) -> bool:
        """Tell whether a cell lies in it."""
        is_across = self.x <= x < self.x + self.width
        return is_across and self.y <= y < self.y + self.height


class Frame(NamedTuple):
    """A screen.

    Attributes:
      rows: of all of it.
      chart: where the chart is.
      watchlist: where the watchlist is; empty if it isn't shown.
    """

    rows: list[Row]
    chart: Area
    watchlist: Area

    @property
    def text(self) -> str:
        """Its characters, a line a row."""
        return text_of(self.rows)


def frame(model: Model, width: int, height: int) -> Frame:
    """Return the screen as it is to look now; takes what is new of the bars first."""
    inks = palette(model.theme)
    if width < _LEAST[0] or height < _LEAST[1]:
        return _too_small(width, height, inks.panel)
    head = header(model, width, inks)
    desk = model.entry.desk()
    feet = [order_row(model, desk, width, inks), state_row(model, width, inks)]
    room = height - len(head) - len(feet)
    has_side = model.has_panes and model.has_watchlist
    is_wide = width >= _WIDE
    side = max(_SIDE, min(width // 4, _SIDE_MOST)) if has_side and is_wide else 0
    low = _low_height(room) if model.has_panes else 0
    chart = Area(0, len(head), width - side, room - low)
    if side:
        watch = Area(width - side, chart.y, side, room)
    else:
        across = min(_LOW, width // 2) if has_side else 0
        watch = Area(width - across, chart.y + chart.height, across, low)
    body = _chart(model, desk, chart, inks)
    tables = _tables(model, (width - watch.width, low), inks, is_wide=is_wide)
    beside = _watch(model, watch, inks)
    if side:
        body = _beside([*body, *tables], beside)
    else:
        body += _beside(tables, beside)
    rows = [padded(row, width, inks.panel) for row in (*head, *body, *feet)]
    return Frame(rows, chart, watch)


def _low_height(room: int) -> int:
    """Return the rows of the tables below the chart."""
    if room < 12:
        return 0
    return 6 if room < 32 else 9


def _watch(model: Model, area: Area, inks: Palette) -> list[Row]:
    """Return the watchlist with a line left of it."""
    if not area.width or not area.height:
        return []
    edge = ("│", inks.on_panel(inks.theme.edge))
    rows = watchlist(model, (area.width - 1, area.height), inks)
    return [(edge, *row) for row in rows]


def _beside(left: Sequence[Row], right: Sequence[Row]) -> list[Row]:
    if not right:
        return list(left)
    return [(*one, *other) for one, other in zip(left, right, strict=True)]


def _tables(
    model: Model, size: tuple[int, int], inks: Palette, *, is_wide: bool
) -> list[Row]:
    """Return orders and positions: side by side, or one below the other."""
    width, height = size
    if not height:
        return []
    if is_wide:
        half = width // 2
        left = orders(model, (half, height), inks)
        right = positions(model, (width - half, height), inks)
        return _beside(left, right)
    wanted = 1 + max(len(held(model)), 1)
    # what is held takes less room than it wants where orders need it
    spare = height - 1 - len(model.session.trading.dialogs)
    below = min(wanted, max(spare, height // 3), height - 2)
    rows = orders(model, (width, height - below), inks)
    return rows + positions(model, (width, below), inks)


def _chart(model: Model, desk: Desk, area: Area, inks: Palette) -> list[Row]:
    model.chart_size = (area.width, area.height)
    look, entry = model.look, model.entry
    look.refresh()
    market, mkt = model.market, model.market.flume.mkt
    staged, cursor = entry.staged(desk), entry.mode.cursor
    places = look.arrange(area.width, area.height, _in_sight(entry, staged))
    model.load_older()
    trading, touch = model.session.trading, market.touch
    account = entry.alloc.account or PAPER
    held_here = trading.positions.get((account, mkt.fqme))
    drag = entry.mode.drag
    lines = tuple(
        line for line in desk.lines if drag is None or line.oid != drag.line.oid
    )
    scene = Scene(
        chart=look.chart,
        zoom=look.zoom,
        last=touch.last,
        is_up=not touch.last < touch.before,
        lines=lines,
        staged=staged,
        fills=trading.fills(mkt.fqme),
        position=position_mark(held_here, mkt, entry.alloc, touch.last),
        cursor=cursor,
        column=model.column,
        notices=notices(model, min(places.plot, _NOTICE_WIDTH), inks),
    )
    return draw(scene, places, inks)


def _in_sight(entry: Entry, staged: OrderLine | None) -> InSight:
    """Return what is to be in sight of what is pointed at and staged."""
    cursor = entry.mode.cursor
    pointed = (cursor,) if cursor is not None and cursor > 0 else ()
    if not entry.is_busy:
        return InSight(near=pointed)
    return InSight((*pointed, staged.price) if staged is not None else pointed)


def _too_small(width: int, height: int, ink: Ink) -> Frame:
    nothing = Area(0, 0, 0, 0)
    text = f"the chart wants 80 x 24, this is {width} x {height}"
    return Frame(waiting(text, width, height, ink), nothing, nothing)


def waiting(text: str, width: int, height: int, ink: Ink) -> list[Row]:
    """Return a screen that says what is waited for, before there is a market."""
    lines = textwrap.wrap(text, max(width - 4, 1))[:height]
    rows = [padded([], width, ink)] * height
    top = (height - len(lines)) // 2
    for i, line in enumerate(lines):
        rows[top + i] = padded([(f"  {line}", ink)], width, ink)
    return rows
