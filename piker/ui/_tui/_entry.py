"""Orders by taps: a terminal tells no release of a key, so nothing is held here.

    f, d, a --Chosen--> order mode (the window's rules) --intents--> done by `Doer`

What is staged stays so until it is submitted or let go; ``s`` makes it live, or dark
again. A line under the cursor is picked up, moved with the cursor and put down: a drag.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final, Protocol

from piker.clearing import new_oid
from piker.msgs import Action
from piker.ui._allocator import MAX_SLOTS, Allocator, lot_of
from piker.ui._keys import KeyAction, key_for, lookup
from piker.ui._market import Market
from piker.ui._order_desk import Confirms, Desk, dragged_line
from piker.ui._order_events import (
    AskLive,
    Chosen,
    Clicked,
    Confirmed,
    CursorMoved,
    DragBegun,
    DragEnded,
    DragMoved,
    Escaped,
    Event,
    Intent,
    Pressed,
    Released,
    Say,
    SetSlots,
)
from piker.ui._order_lines import OrderLine
from piker.ui._order_mode import Mode, NewOid, staged_line, step
from piker.ui._trading import Trading

_STAGES: Final[dict[KeyAction, Action]] = {
    "stage_buy": "buy",
    "stage_sell": "sell",
    "stage_alert": "alert",
}


class Doer(Protocol):
    """Does what order mode wants."""

    def do(self, intent: Intent) -> None:
        """Have it done by emsd."""

    def ask(self, question: str) -> None:
        """Ask about real money; the answer comes to :meth:`Entry.answer`."""

    def say(self, text: str) -> None:
        """Tell it at once."""


@dataclass(eq=False)
class Entry:
    """Order entry on one market.

    Attributes:
      market: which.
      trading: orders and positions.
      doer: of what is wanted.
      row_prices: the lowest and the highest price of the row that the cursor is in,
        as it is drawn; what lies there is under the cursor.
      alloc: what the order pane is set to.
      confirms: which real orders are asked about.
      mode: what is going on.
      oid: gives ids to new orders.
    """

    market: Market
    trading: Trading
    doer: Doer
    row_prices: Callable[[Decimal], tuple[float, float]]
    alloc: Allocator = field(default_factory=Allocator)
    confirms: Confirms = "all"
    mode: Mode = field(default_factory=Mode)
    oid: NewOid = new_oid
    _nudged: tuple[str, Decimal | None] = ("", None)

    # -- how things stand -----------------------------------------------------------

    def desk(self) -> Desk:
        """Return what is known now."""
        mkt = self.market.flume.mkt
        lines = self.trading.lines(mkt)
        last = self.market.touch.last
        held = self.trading.positions.get((self.alloc.account, mkt.fqme))
        return Desk(
            mkt=mkt,
            alloc=self.alloc,
            accounts=self.trading.accounts,
            position=lot_of(held),
            lines=lines,
            under=tuple(line.oid for line in self._under(lines)),
            last_price=mkt.quantize(last, "price") if last > 0 else None,
            halted=self.trading.halted,
            confirms=self.confirms,
        )

    def _under(self, lines: tuple[OrderLine, ...]) -> list[OrderLine]:
        """Return the lines at the cursor's price; if none is, those in its row."""
        cursor = self.mode.cursor
        if cursor is None:
            return []
        exact = [line for line in lines if line.price == cursor]
        if exact:
            return exact
        low, high = self.row_prices(cursor)
        return [line for line in lines if low < float(line.price) <= high]

    def staged(self, desk: Desk) -> OrderLine | None:
        """Return the line that is drawn for what is staged or moved, if any is."""
        if self.mode.drag is not None:
            return dragged_line(self.mode.drag, desk)
        return staged_line(self.mode, desk)

    @property
    def is_busy(self) -> bool:
        """Whether something is staged or moved, to be put at the cursor."""
        return self.mode.staged is not None or self.mode.drag is not None

    # -- what is done ---------------------------------------------------------------

    def feed(self, event: Event) -> None:
        """Have something happen."""
        self.mode, intents = step(self.mode, event, self.desk(), self.oid)
        for intent in intents:
            self._want(intent)

    def _want(self, intent: Intent) -> None:
        match intent:
            case SetSlots(slots):
                self.alloc = replace(self.alloc, slots=min(max(slots, 1), MAX_SLOTS))
            case Say(text):
                self.doer.say(text)
            case AskLive(text):
                self.doer.ask(text)
            case _:
                self.doer.do(intent)

    def stage(self, action: KeyAction) -> None:
        """Stage an order at the cursor; what is staged already is let go."""
        what = _STAGES[action]
        if self.mode.drag is not None:
            self.doer.say("an order is being moved: enter puts it there, esc lets go")
            return
        # dark, whatever was staged before it: live is asked for each time
        self.feed(Chosen(None if self.mode.staged == what else what))

    def toggle_live(self) -> None:
        """Make what is staged live, or dark again."""
        chosen = self.mode.chosen
        if chosen is None or chosen.action is None:
            self.doer.say("nothing is staged: f stages a buy, d a sell, a an alert")
        elif chosen.action == "alert":
            self.doer.say("an alert is never sent, so it isn't live or dark")
        else:
            self.feed(Chosen(chosen.action, is_live=not chosen.is_live))

    def digit(self, combo: str, now_s: float) -> None:
        """Set the slots by a digit."""
        key = lookup("order", combo)
        assert key is not None, "it is a digit"
        hold = key_for("slots_key")
        for event in (Pressed(hold, now_s), Pressed(key, now_s), Released(hold.combo)):
            self.feed(event)

    def enter(self) -> None:
        """Submit what is staged, or put down what is moved."""
        if self.mode.drag is not None:
            self.feed(DragEnded())
        elif self.mode.staged is not None:
            self.feed(Clicked())
        else:
            self.doer.say("nothing is staged: f stages a buy, d a sell, a an alert")

    def escape(self) -> None:
        """Let go of what is staged or moved; with nothing of it, of the cursor."""
        is_busy = self.is_busy
        self.feed(Escaped())
        if not is_busy:
            self.feed(CursorMoved(None))

    def move(self, price: Decimal | float | None) -> None:
        """Put the cursor at a price; what is moved comes along."""
        self.feed(CursorMoved(price))
        if self.mode.drag is not None:
            self.feed(DragMoved(price))

    def pick(self) -> None:
        """Pick up the order under the cursor, to be moved with it."""
        oid = self._one_under("pick up")
        if oid is not None:
            self.feed(DragBegun(oid))

    def _one_under(self, what: str) -> str | None:
        """Return the order that is meant by the cursor, None and say why if none is."""
        if self.mode.staged is not None:
            self.doer.say("an order is staged: enter submits it, esc lets go")
            return None
        under = self.desk().under
        if len(under) == 1:
            return under[0]
        how = "no order is" if not under else f"{len(under)} orders are"
        self.doer.say(f"{how} under the cursor: put it on the one to {what}")
        return None

    def nudge(self, to: Callable[[Decimal], Decimal | float]) -> None:
        """Move the order under the cursor to another price, the cursor with it."""
        if self.mode.drag is not None:
            self.move(to(self.mode.drag.to))
            return
        oid, price = self._to_nudge()
        if oid is None or price is None:
            return
        self.feed(DragBegun(oid))
        self.move(to(price))
        self._nudged = (oid, self.mode.cursor)
        self.feed(DragEnded())

    def _to_nudge(self) -> tuple[str | None, Decimal | None]:
        """Return the order under the cursor, and where it is or was just sent to."""
        oid, to = self._nudged
        if oid and to == self.mode.cursor and self.desk().line(oid) is not None:
            return oid, to
        found = self._one_under("move")
        line = None if found is None else self.desk().line(found)
        return (found, line.price) if line is not None else (None, None)

    def answer(self, *, is_yes: bool) -> None:
        """Take the answer to what was asked."""
        self.feed(Confirmed(is_yes))
