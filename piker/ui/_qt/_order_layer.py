"""Orders, fills and positions drawn over prices, and the mouse on them.

Trading --> lines, marks --> painted      drags, clicks, keys --> order mode --> intents
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Final

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QPainter

from piker.clearing import new_oid
from piker.ui._allocator import Allocator, default_for, lot_of
from piker.ui._market import Market
from piker.ui._order_desk import Confirms, Desk, dragged_line
from piker.ui._order_events import (
    AskLive,
    Clicked,
    CursorMoved,
    DragBegun,
    DragEnded,
    DragMoved,
    Event,
    Intent,
    Say,
    SetSlots,
)
from piker.ui._order_lines import PositionMark, position_mark
from piker.ui._order_mode import Mode, mode_text, staged_line, step
from piker.ui._trading import Trading

from ._axes import Tag
from ._order_marks import paint_fills, paint_lines, paint_position
from ._picture import Picture
from ._surface import Grabber, Surface

#: How near the mouse must be to a line to take it, pixels.
_NEAR_PX: Final = 5.0


class OrderDesk(QObject):
    """Order mode of one window: what is staged, and what the order pane is set to.

    Attributes:
      changed: something that is drawn has changed.
      pointed: the cursor is at another price, with something staged.
      wanted: an intent that goes to emsd.
      asked: a question about a real order.
      said: a sentence for the status bar.
    """

    changed = Signal()
    pointed = Signal()
    wanted = Signal(object)
    asked = Signal(str)
    said = Signal(str)

    def __init__(self, trading: Trading, confirms: Confirms = "all") -> None:
        """Begin with nothing staged."""
        super().__init__()
        self.trading, self.confirms = trading, confirms
        self.market: Market | None = None
        self.alloc, self.mode = Allocator(), Mode()
        self._allocs: dict[str, Allocator] = {}
        self.under: tuple[str, ...] = ()

    def begin(self, market: Market) -> None:
        """Trade another market, with what the pane was set to for it."""
        if self.market is not None:
            self._allocs[self.market.fqme] = self.alloc
        self.market, self.mode, self.under = market, Mode(), ()
        self.alloc = self._allocs.get(market.fqme) or default_for(market.flume.mkt)
        self.changed.emit()

    def desk(self) -> Desk:
        """Return what is known now."""
        assert self.market is not None, "a market is shown"
        mkt, last = self.market.flume.mkt, self.market.touch.last
        key = (self.alloc.account, mkt.fqme)
        return Desk(
            mkt=mkt,
            alloc=self.alloc,
            accounts=tuple(self.trading.accounts),
            position=lot_of(self.trading.positions.get(key)),
            lines=self.trading.lines(mkt),
            under=self.under,
            last_price=None if math.isnan(last) else mkt.quantize(last, "price"),
            halted=self.trading.halted,
            confirms=self.confirms,
        )

    def take(self, event: Event) -> None:
        """Let order mode decide, and have done what it wants."""
        if self.market is None:
            return
        before = self.mode
        self.mode, intents = step(self.mode, event, self.desk(), new_oid)
        for intent in intents:
            self._do(intent)
        if intents or replace(self.mode, cursor=None) != replace(before, cursor=None):
            self.changed.emit()
        elif self.mode.cursor != before.cursor and self.mode.staged is not None:
            self.pointed.emit()

    def _do(self, intent: Intent) -> None:
        match intent:
            case Say(text):
                self.said.emit(text)
            case AskLive(text):
                self.asked.emit(text)
            case SetSlots(slots):
                self.alloc = replace(self.alloc, slots=slots)
            case _:
                self.wanted.emit(intent)

    def text(self) -> str:
        """Return what the status bar says of the mode."""
        return mode_text(self.mode, self.desk()) if self.market is not None else "view"

    def position(self) -> PositionMark | None:
        """Return the mark of the position of the pane's account."""
        if self.market is None:
            return None
        mkt = self.market.flume.mkt
        held = self.trading.positions.get((self.alloc.account, mkt.fqme))
        return position_mark(held, mkt, self.alloc, self.market.touch.last)

    def now_s(self) -> float:
        """Return monotonic seconds, by which taps are told apart."""
        return time.monotonic()


class OrderLayer(Grabber):
    """The orders of one canvas."""

    def __init__(self, desk: OrderDesk, surface: Surface) -> None:
        """Draw *desk*'s orders on a surface."""
        self._desk, self._surface = desk, surface
        self._grip_px = 0.0

    def _y(self, price: float) -> float:
        return self._surface.chart.view.y(price)

    def _price(self, y: float) -> float:
        return self._surface.chart.view.price(y)

    # -- mouse ----------------------------------------------------------------------

    def near(self, y: float) -> tuple[str, ...]:
        """Return the ids of the orders with lines at a pixel, the nearest first."""
        if self._desk.market is None:
            return ()
        found = [
            (abs(self._y(float(line.price)) - y), line.oid)
            for line in self._desk.trading.lines(self._desk.market.flume.mkt)
        ]
        return tuple(oid for off, oid in sorted(found) if off <= _NEAR_PX)

    def hover(self, y: float | None) -> None:
        """Follow the mouse; None: it left the prices."""
        self._desk.under = self.near(y) if y is not None else ()
        self._desk.take(CursorMoved(None if y is None else self._price(y)))

    def grabs(self, y: float) -> bool:
        """Tell whether there is a line; while something is staged a click submits."""
        return self._desk.mode.staged is None and bool(self.near(y))

    def begin(self, y: float) -> None:
        """Take the nearest line, where it is: it doesn't jump to the mouse."""
        for oid in self.near(y)[:1]:
            line = self._desk.desk().line(oid)
            if line is not None:
                self._grip_px = self._y(float(line.price)) - y
                self._desk.take(DragBegun(oid))

    def move(self, y: float) -> None:
        """Hold it at a pixel."""
        self._desk.take(DragMoved(self._price(y + self._grip_px)))

    def drop(self, y: float) -> None:
        """Let go of it."""
        self.move(y)
        self._desk.take(DragEnded())

    def cancel(self) -> None:
        """Let go of it where it was."""
        self._desk.take(DragEnded())

    def click(self, price: float) -> None:
        """Submit what is staged at a price."""
        self._desk.take(CursorMoved(price))
        self._desk.take(Clicked())

    # -- painting -------------------------------------------------------------------

    def paint(self, painter: QPainter, picture: Picture) -> list[Tag]:
        """Paint all lines and marks; return their tags."""
        desk = self._desk
        if desk.market is None or desk.market.fqme != picture.chart.series.mkt.fqme:
            return []
        known, drag = desk.desk(), desk.mode.drag
        dragged = drag.line.oid if drag is not None else ""
        lines = [(line, False) for line in known.lines if line.oid != dragged]
        held = (
            dragged_line(drag, known) if drag is not None else None,
            staged_line(desk.mode, known),
        )
        lines += [(line, True) for line in held if line is not None]
        tags = paint_position(painter, picture, desk.position())
        tags += paint_lines(painter, picture, lines)
        paint_fills(painter, picture, desk.trading.fills(known.mkt.fqme))
        return tags
