"""Trading on the chart: what keys and mouse come to, decided as values.

    (Mode, Event, Desk) --step--> (Mode, intents)       intents are done by who asked

Hold ``f``, ``d`` or ``a`` to stage, ``s`` or ctrl to make it live, click to submit.
What is dark waits at emsd, what is live goes at once: to the paper engine on the paper
account, to the broker on a real one. No real order leaves here by accident: it is asked
about first, unless that is switched off, and looked at again when the answer comes.

Pure: no clock, no window, no client. One `Mode` a chart; a new market begins with a new
one. Who loses the keyboard's focus tells `FocusLost`, else a key that is released
elsewhere would count as held.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

import msgspec

from piker.msgs import PAPER, Action, ExecMode, MktPair, Order

from ._keys import DOUBLE_TAP_S, HALT_AGAIN_S, Key, KeyAction, bare, lookup
from ._order_desk import (
    BEING_CANCELLED,
    Desk,
    Drag,
    change_for,
    order_for,
    question_about,
    question_of,
)
from ._order_events import (
    AskLive,
    CancelAll,
    CancelOrders,
    ChangePrice,
    Chosen,
    Clicked,
    Confirmed,
    CursorMoved,
    DragBegun,
    DragEnded,
    DragMoved,
    Escaped,
    Event,
    FocusLost,
    Halt,
    Intent,
    Pressed,
    Released,
    Say,
    SetSlots,
    Submit,
)
from ._order_lines import OrderLine, line_of

NewOid = Callable[[], str]
Step = tuple["Mode", tuple[Intent, ...]]

_STAGES: Final[dict[KeyAction, Action]] = {
    "stage_buy": "buy",
    "stage_sell": "sell",
    "stage_alert": "alert",
}
_HELD: Final[frozenset[KeyAction]] = frozenset((*_STAGES, "live", "slots_key"))


@dataclass(frozen=True)
class Pending:
    """What is asked about.

    Attributes:
      intent: done on a yes.
      drag: that it came of, None of a new order.
    """

    intent: Submit | ChangePrice
    drag: Drag | None = None


@dataclass(frozen=True, kw_only=True)
class Mode:
    """What is going on.

    Attributes:
      down: keys that are held, the newest last.
      chosen: staged by a menu, in place of keys.
      cursor: price below the cursor, to the tick; None: it is elsewhere.
      drag: under way.
      tapped_s: when the cancel key was tapped, monotonic seconds; a second tap soon
        cancels all.
      halt_s: when the halt key was pressed, likewise.
      pending: what is asked about.
    """

    down: tuple[Key, ...] = ()
    chosen: Chosen | None = None
    cursor: Decimal | None = None
    drag: Drag | None = None
    tapped_s: float = -math.inf
    halt_s: float = -math.inf
    pending: Pending | None = None

    @property
    def staged(self) -> Action | None:
        """What a click submits: of the newest key that is held."""
        held = [_STAGES[key.action] for key in self.down if key.action in _STAGES]
        if held:
            return held[-1]
        return self.chosen.action if self.chosen is not None else None

    @property
    def exec_mode(self) -> ExecMode:
        """How it is sent; an alert is never sent."""
        if self.staged == "alert":
            return "dark"
        if any(key.action == "live" for key in self.down):
            return "live"
        has_keys = any(key.action in _STAGES for key in self.down)
        is_chosen_live = self.chosen is not None and self.chosen.is_live
        return "live" if is_chosen_live and not has_keys else "dark"


def step(mode: Mode, event: Event, desk: Desk, new_oid: NewOid) -> Step:
    """Return what *event* makes of *mode*, and what is to be done about it, in order.

    Args:
      mode: as it was.
      event: what happened.
      desk: as things stand now.
      new_oid: gives an id for a new order; called once for each that is made.
    """
    return _RULES[type(event)](mode, event, desk, new_oid)


def mode_text(mode: Mode, desk: Desk) -> str:
    """Return what the status bar says: ``view``, ``dark-buy``, ``live-sell``, ..."""
    if mode.staged is None:
        return "view"
    if mode.staged == "alert":
        return "alert"
    text = f"{mode.exec_mode}-{mode.staged}"
    account = desk.alloc.account
    return text if account == PAPER else f"{text} on {account}, real money"


# -- keys ----------------------------------------------------------------------------


def _pressed(mode: Mode, event: Pressed, desk: Desk, new_oid: NewOid) -> Step:
    key = event.key
    if event.is_repeat:
        return mode, ()
    if key.action in _HELD:
        others = tuple(held for held in mode.down if held.combo != key.combo)
        return replace(mode, down=(*others, key)), ()
    if key.action == "submit":
        return _clicked(mode, Clicked(), desk, new_oid)
    rule = _ON_KEY.get(key.action)
    return rule(mode, event, desk) if rule is not None else (mode, ())


def _released(mode: Mode, event: Released, _desk: Desk, _oid: NewOid) -> Step:
    name = bare(event.combo)
    return replace(mode, down=tuple(key for key in mode.down if key.combo != name)), ()


def _set_slots(mode: Mode, event: Pressed, _desk: Desk) -> Step:
    if not mode.down or not event.key.combo.isdigit():
        return mode, ()
    return mode, (SetSlots(int(event.key.combo) or 10),)


def _cancel(mode: Mode, event: Pressed, desk: Desk) -> Step:
    """Cancel what is under the cursor; a second tap soon cancels all."""
    has_double = lookup("order", event.key.combo * 2) is not None
    if has_double and 0 <= event.time_s - mode.tapped_s < DOUBLE_TAP_S:
        return _cancel_all(mode, event, desk)
    now = replace(mode, tapped_s=event.time_s) if has_double else mode
    if desk.under:
        return now, (CancelOrders(desk.under),)
    return now, (Say("no order is under the cursor: c twice, quickly, cancels all"),)


def _cancel_all(mode: Mode, _event: Pressed, desk: Desk) -> Step:
    now = replace(mode, tapped_s=-math.inf)
    if not desk.lines:
        return now, (Say(f"no order is open in {desk.mkt.fqme}"),)
    return now, (CancelAll(tuple(line.oid for line in desk.lines)),)


def _halt(mode: Mode, event: Pressed, desk: Desk) -> Step:
    """Halt on the second press; none resumes, as who panics presses thrice."""
    if desk.halted:
        text = f"trading is halted already: {desk.halted}; `piker resume` ends that"
        return replace(mode, halt_s=-math.inf), (Say(text),)
    if 0 <= event.time_s - mode.halt_s < HALT_AGAIN_S:
        return replace(mode, halt_s=-math.inf), (Halt(),)
    text = (
        f"press {event.key.combo} again within {HALT_AGAIN_S:g} s to halt trading:"
        " orders at brokers are cancelled, dark ones don't fire"
    )
    return replace(mode, halt_s=event.time_s), (Say(text),)


def _clear(mode: Mode, _event: object, _desk: Desk, *_: object) -> Step:
    return Mode(cursor=mode.cursor), ()


def _lost_focus(mode: Mode, _event: FocusLost, _desk: Desk, _oid: NewOid) -> Step:
    kept = Mode(cursor=mode.cursor, pending=mode.pending)
    return replace(kept, halt_s=mode.halt_s), ()  # a menu takes the focus too


def _chosen(mode: Mode, event: Chosen, _desk: Desk, _oid: NewOid) -> Step:
    return replace(mode, chosen=event if event.action is not None else None), ()


# -- new orders ----------------------------------------------------------------------


def _moved(mode: Mode, event: CursorMoved, desk: Desk, _oid: NewOid) -> Step:
    return replace(mode, cursor=_to_tick(event.price, desk.mkt)), ()


def _to_tick(price: Decimal | float | None, mkt: MktPair) -> Decimal | None:
    if price is None or not math.isfinite(price):
        return None
    return mkt.order_price(price)


def staged_order(mode: Mode, desk: Desk) -> Order | Say | None:
    """Return what a click submits now, without an id; or why it submits nothing."""
    if mode.staged is None:
        return None
    return order_for(mode.staged, mode.exec_mode, mode.cursor, desk)


def staged_line(mode: Mode, desk: Desk) -> OrderLine | None:
    """Return the line of what a click submits now, None if it submits nothing."""
    order = staged_order(mode, desk)
    if not isinstance(order, Order):
        return None
    return line_of(order, desk.mkt, "solid" if order.exec_mode == "live" else "dotted")


def _clicked(mode: Mode, _event: Clicked, desk: Desk, new_oid: NewOid) -> Step:
    order = staged_order(mode, desk)
    if order is None:
        return mode, ()
    if mode.pending is not None:
        return mode, (_ANSWER_FIRST,)
    if isinstance(order, Say):
        return mode, (order,)
    submit = Submit(msgspec.structs.replace(order, oid=new_oid()))
    if desk.asks(order.account, is_dark=order.exec_mode == "dark"):
        return _ask(mode, Pending(submit), question_of(order, desk.mkt))
    return replace(mode, chosen=None), (submit,)


def _ask(mode: Mode, pending: Pending, question: str) -> Step:
    # The question takes the focus: releases of what is held now won't be seen.
    return Mode(cursor=mode.cursor, pending=pending), (AskLive(question),)


def _confirmed(mode: Mode, event: Confirmed, desk: Desk, _oid: NewOid) -> Step:
    """Do what was asked about, if it would still be the same."""
    pending, now = mode.pending, replace(mode, pending=None)
    if pending is None or not event.is_yes:
        return now, ()
    again = _anew(pending, desk)
    if again == pending.intent:
        return now, (pending.intent,)
    return now, (again if isinstance(again, Say) else _NOT_THE_SAME,)


def _anew(pending: Pending, desk: Desk) -> Submit | ChangePrice | Say | None:
    """Return what is pending as it would be made now."""
    if pending.drag is not None:
        return change_for(pending.drag, desk)
    assert isinstance(pending.intent, Submit)
    asked = pending.intent.order
    order = order_for(asked.action, asked.exec_mode, asked.price, desk)
    if isinstance(order, Say):
        return order
    return Submit(msgspec.structs.replace(order, oid=asked.oid))


# -- lines that are dragged ----------------------------------------------------------


def _drag_begun(mode: Mode, event: DragBegun, desk: Desk, _oid: NewOid) -> Step:
    """Take a line; while something is staged a click is meant for that."""
    mode, line = replace(mode, drag=None), desk.line(event.oid)
    if line is None or mode.staged is not None:
        return mode, ()
    if mode.pending is not None:
        return mode, (_ANSWER_FIRST,)
    if line.drag is None:
        return mode, (Say(BEING_CANCELLED),)
    return replace(mode, drag=Drag(line, line.price)), ()


def _drag_moved(mode: Mode, event: DragMoved, desk: Desk, _oid: NewOid) -> Step:
    to = _to_tick(event.price, desk.mkt)
    if mode.drag is None or to is None:
        return mode, ()
    return replace(mode, drag=replace(mode.drag, to=to)), ()


def _drag_ended(mode: Mode, _event: DragEnded, desk: Desk, _oid: NewOid) -> Step:
    drag, now = mode.drag, replace(mode, drag=None)
    if drag is None or drag.to == drag.line.price:
        return now, ()
    change = change_for(drag, desk)
    if change is None:
        return now, ()
    if isinstance(change, Say):
        return now, (change,)
    line = drag.line
    if line.is_real and desk.asks(line.account, is_dark=line.style == "dotted"):
        return _ask(now, Pending(change, drag), question_about(change, line))
    return now, (change,)


_ANSWER_FIRST: Final = Say("an order waits for your answer: say yes or no to it first")
_NOT_THE_SAME: Final = Say(
    "the market, the position or the order pane has changed since it was asked about,"
    " so it wasn't done: do it again"
)
_ON_KEY: Final[dict[KeyAction, Callable[[Mode, Pressed, Desk], Step]]] = {
    "set_slots": _set_slots,
    "cancel": _cancel,
    "cancel_all": _cancel_all,
    "halt": _halt,
    "clear": _clear,
}
_RULES: Final[dict[type, Callable[[Mode, Any, Desk, NewOid], Step]]] = {
    Pressed: _pressed,
    Released: _released,
    Chosen: _chosen,
    CursorMoved: _moved,
    Clicked: _clicked,
    DragBegun: _drag_begun,
    DragMoved: _drag_moved,
    DragEnded: _drag_ended,
    Escaped: _clear,
    FocusLost: _lost_focus,
    Confirmed: _confirmed,
}
