"""Every pair of a state and an event, against a table written by hand."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from piker.clearing._dialog import (
    ENDS,
    KINDS,
    STATES,
    Dialog,
    Happening,
    Odd,
    Refuse,
    Send,
    Tell,
)
from piker.clearing._dialog_rules import TABLE, step
from piker.clearing._triggers import Trigger
from piker.msgs import BrokerdFill, Order

ORDER = Order(
    oid="o1",
    action="buy",
    symbol="btcusdt.spot.sim",
    size=Decimal(3),
    price=Decimal(10),
)
DEARER = Order(
    oid="o1",
    action="buy",
    symbol="btcusdt.spot.sim",
    size=Decimal(3),
    price=Decimal(11),
)
TRIGGER = Trigger(level=Decimal(10), way="below", action="buy")

#: state: kind -> next state, and what is done. S: sends (order, edit, cancel),
#: T: tells, R: refuses, O: is odd.
TRUTH = {
    "dark": {
        "submit": "dark T:dark_open", "edit": "dark T:dark_open",
        "cancel": "canceled T:canceled", "expire": "canceled T:canceled",
        "fire": "submitting S:order T:triggered", "ack": "dark O", "open": "dark O",
        "fill": "dark T:fill O", "closed": "dark O", "gone": "dark O",
        "refused_order": "rejected T:error", "refused_edit": "dark O",
        "refused_cancel": "dark O", "found": "dark O", "absent": "dark",
    },
    "submitting": {
        "submit": "submitting T:pending", "edit": "submitting T:pending",
        "cancel": "submitting T:pending", "expire": "submitting T:pending",
        "fire": "submitting", "ack": "open", "open": "open T:open",
        "fill": "submitting T:fill", "closed": "filled T:closed",
        "gone": "canceled T:canceled", "refused_order": "rejected T:error",
        "refused_edit": "submitting O", "refused_cancel": "submitting O",
        "found": "open T:open", "absent": "submitting S:order",
    },
    "open": {
        "submit": "open T:open", "edit": "editing S:edit T:open",
        "cancel": "canceling S:cancel T:open", "expire": "canceling S:cancel T:open",
        "fire": "open", "ack": "open", "open": "open T:open", "fill": "open T:fill",
        "closed": "filled T:closed", "gone": "canceled T:canceled",
        "refused_order": "rejected T:error", "refused_edit": "open O",
        "refused_cancel": "open O", "found": "open T:open",
        "absent": "canceled T:canceled",
    },
    "editing": {
        "submit": "editing T:open", "edit": "editing T:open",
        "cancel": "editing T:open", "expire": "editing T:open", "fire": "editing",
        "ack": "open T:open",
        "open": "open T:open", "fill": "editing T:fill", "closed": "filled T:closed",
        "gone": "canceled T:canceled", "refused_order": "open R T:open",
        "refused_edit": "open R T:open", "refused_cancel": "editing O",
        "found": "open T:open", "absent": "canceled T:canceled",
    },
    "canceling": {
        "submit": "canceling T:open", "edit": "canceling R",
        "cancel": "canceling T:open", "expire": "canceling", "fire": "canceling",
        "ack": "canceling",
        "open": "canceling", "fill": "canceling T:fill", "closed": "filled T:closed",
        "gone": "canceled T:canceled", "refused_order": "rejected T:error",
        "refused_edit": "canceling O", "refused_cancel": "open R T:open",
        "found": "canceling S:cancel", "absent": "canceled T:canceled",
    },
    "filled": {
        "submit": "filled T:closed", "edit": "filled R", "cancel": "filled R",
        "expire": "filled", "fire": "filled", "ack": "filled", "open": "filled",
        "fill": "filled T:fill", "closed": "filled", "gone": "filled",
        "refused_order": "filled", "refused_edit": "filled", "refused_cancel": "filled",
        "found": "filled O", "absent": "filled",
    },
    "canceled": {
        "submit": "canceled T:canceled", "edit": "canceled R",
        "cancel": "canceled T:canceled", "expire": "canceled", "fire": "canceled",
        "ack": "canceled", "open": "canceled", "fill": "canceled T:fill",
        "closed": "canceled", "gone": "canceled", "refused_order": "canceled",
        "refused_edit": "canceled", "refused_cancel": "canceled",
        "found": "canceling S:cancel T:open", "absent": "canceled",
    },
    "rejected": {
        "submit": "rejected T:error", "edit": "rejected R", "cancel": "rejected R",
        "expire": "rejected", "fire": "rejected", "ack": "rejected", "open": "rejected",
        "fill": "rejected T:fill", "closed": "rejected", "gone": "rejected",
        "refused_order": "rejected", "refused_edit": "rejected",
        "refused_cancel": "rejected", "found": "canceling S:cancel T:open",
        "absent": "rejected",
    },
    "alerted": {
        "submit": "alerted T:triggered", "edit": "alerted R", "cancel": "alerted R",
        "expire": "alerted", "fire": "alerted", "ack": "alerted", "open": "alerted",
        "fill": "alerted T:fill O", "closed": "alerted", "gone": "alerted",
        "refused_order": "alerted", "refused_edit": "alerted",
        "refused_cancel": "alerted", "found": "alerted O", "absent": "alerted",
    },
}  # fmt: skip
PAIRS = [(state, kind) for state in STATES for kind in KINDS]


def fill_of(size, **but) -> BrokerdFill:
    told = {
        "oid": "o1", "reqid": "r1", "tid": "t1", "seq": 1, "account": "paper",
        "symbol": "btcusdt.spot.sim", "action": "buy", "size": Decimal(size),
        "price": Decimal(10), "cost": Decimal("0.01"), "time_ns": 1,
        "broker_time_ns": 1,
    }  # fmt: skip
    return BrokerdFill(**told | but)


def dialog_in(state, **but) -> Dialog:
    """Return an order as it usually is in a state."""
    changes = {
        "order": ORDER,
        "limit": None if state in ("dark", "alerted") else Decimal(10),
        "trigger": TRIGGER if state in ("dark", "alerted") else None,
        "sent": {"submitting": ORDER, "editing": DEARER}.get(state),
        "rev": 1 if state == "editing" else 0,
        "cancel_called": state == "canceling",
        "reqid": None if state in ("dark", "submitting", "alerted") else "r1",
    }
    return Dialog(state=state, born_ns=1, **changes | but)


def happening(kind, **but) -> Happening:
    told = {
        "submit": {"order": ORDER},
        "edit": {"order": DEARER, "edit_id": "e1", "trigger": TRIGGER},
        "fire": {"price": Decimal(9), "limit": Decimal(10)},
        "fill": {"fill": fill_of(1), "reqid": "r1"},
    }.get(kind, {"reqid": "r1", "rev": 1})
    return Happening(kind=kind, **told | but)


def said(result) -> str:
    words = [result.dialog.state]
    for act in result.acts:
        match act:
            case Send():
                words.append(f"S:{act.what}")
            case Tell():
                words.append(f"T:{act.resp}")
            case Refuse():
                words.append("R")
            case Odd():
                words.append("O")
    return " ".join(words)


def test_the_table_has_every_pair():
    assert set(TABLE) == set(PAIRS)
    assert {(s, k) for s, row in TRUTH.items() for k in row} == set(PAIRS)


@pytest.mark.parametrize(("state", "kind"), PAIRS)
def test_each_pair_does_what_is_written(state, kind):
    assert said(step(dialog_in(state), happening(kind))) == TRUTH[state][kind]


@pytest.mark.parametrize(("state", "kind"), PAIRS)
def test_no_fill_is_ever_left_out_and_nothing_else_makes_one(state, kind):
    before = dialog_in(state, filled=Decimal(1), cost=Decimal(1))
    after = step(before, happening(kind)).dialog
    if kind == "fill":
        assert (after.filled, after.cost) == (Decimal(2), Decimal("1.01"))
    else:
        assert (after.filled, after.cost) == (Decimal(1), Decimal(1))


@pytest.mark.parametrize("state", STATES)
def test_the_last_part_ends_it(state):
    after = step(
        dialog_in(state, filled=Decimal(2)), happening("fill", fill=fill_of(1))
    )
    if state in ENDS or state == "dark":
        assert after.dialog.state == state
    else:
        assert said(after) == "filled T:fill T:closed"


# -- what waits for the request under way ---------------------------------------------


def test_a_cancel_before_the_ack_is_sent_with_the_ack():
    """Window (a) and (c) of a lost cancel: between the sending and the first answer."""
    waiting = step(dialog_in("submitting"), happening("cancel")).dialog
    assert waiting.cancel_called
    for answer in ("ack", "open", "found"):
        assert "canceling" in said(step(waiting, happening(answer)))
        assert "S:cancel" in said(step(waiting, happening(answer)))


def test_a_cancel_after_the_ack_before_the_first_open_is_sent_at_once():
    acked = step(dialog_in("submitting"), happening("ack")).dialog
    assert said(step(acked, happening("cancel"))) == "canceling S:cancel T:open"
    assert acked.reqid == "r1"


def test_a_cancel_after_a_part_was_filled_is_sent_at_once():
    partly = step(dialog_in("open"), happening("fill")).dialog
    assert said(step(partly, happening("cancel"))) == "canceling S:cancel T:open"


def test_a_cancel_after_a_trigger_is_sent_with_the_ack():
    fired = step(dialog_in("dark"), happening("fire")).dialog
    waiting = step(fired, happening("cancel")).dialog
    assert said(step(waiting, happening("ack"))) == "canceling S:cancel"


def test_a_cancel_of_what_never_came_there_ends_it_and_sends_nothing():
    waiting = step(dialog_in("submitting"), happening("cancel")).dialog
    assert said(step(waiting, happening("absent"))) == "canceled T:canceled"


def test_edits_before_the_ack_are_one_edit_after_it():
    """No second order: the newest contents are sent as an edit, once."""
    waiting = step(dialog_in("submitting"), happening("edit")).dialog
    newest = happening("edit", edit_id="e2", order=_but(ORDER, price=Decimal(12)))
    waiting = step(waiting, newest).dialog
    after = step(waiting, happening("ack", rev=0))
    assert said(after) == "editing S:edit"
    assert after.dialog.price_to_send == Decimal(12)
    assert after.dialog.rev == 1
    done = step(after.dialog, happening("ack", rev=1))
    assert said(done) == "open T:open"
    assert done.dialog.order.price == done.dialog.limit == Decimal(12)


def test_an_edit_under_way_is_not_taken_for_answered_by_an_older_answer():
    editing = dialog_in("editing", rev=2)
    assert said(step(editing, happening("ack", rev=1))) == "editing"
    assert said(step(editing, happening("refused_edit", rev=1))) == "editing"
    assert said(step(editing, happening("ack", rev=2))) == "open T:open"


def test_an_edit_that_never_came_there_is_sent_again_with_its_number():
    after = step(dialog_in("editing", rev=2), happening("found", rev=1))
    assert said(after) == "editing S:edit"
    assert after.dialog.rev == 2


def test_a_cancel_beats_an_edit_that_waits():
    waiting = step(dialog_in("editing"), happening("edit", edit_id="e2")).dialog
    waiting = step(waiting, happening("cancel")).dialog
    assert said(step(waiting, happening("ack"))) == "canceling T:open S:cancel"
    assert said(step(waiting, happening("edit", edit_id="e3"))) == "editing R"


def test_a_refused_edit_lets_the_next_one_go():
    waiting = step(dialog_in("editing"), happening("edit", edit_id="e2")).dialog
    after = step(waiting, happening("refused_edit"))
    assert said(after) == "editing R T:open S:edit"
    assert after.dialog.rev == 2


def test_an_edit_below_what_was_filled_meanwhile_is_refused_here():
    waiting = step(
        dialog_in("submitting"),
        happening("edit", order=_but(ORDER, size=Decimal(1))),
    ).dialog
    partly = step(waiting, happening("fill", fill=fill_of(2))).dialog
    assert said(step(partly, happening("ack"))) == "open R"


def test_a_smaller_size_that_is_filled_already_ends_it():
    editing = dialog_in("editing", sent=_but(ORDER, size=Decimal(2)))
    partly = step(editing, happening("fill", fill=fill_of(2))).dialog
    assert partly.state == "editing"  # the broker may refuse the edit, and go on
    assert said(step(partly, happening("ack"))) == "filled T:open T:closed"
    assert said(step(partly, happening("refused_edit"))) == "open R T:open"


def test_a_market_order_that_never_came_there_is_not_sent_late():
    for but in ({"otype": "market", "price": None}, {"tif": "ioc"}, {"tif": "fok"}):
        order = _but(ORDER, **but)
        late = dialog_in("submitting", order=order, sent=order)
        assert said(step(late, happening("absent"))) == "canceled T:canceled"


def test_a_stop_that_never_came_there_is_sent_all_the_same():
    """It was to wait there, so it isn't late."""
    stop = _but(ORDER, otype="market", price=None, trigger=Decimal(12))
    late = dialog_in("submitting", order=stop, sent=stop)
    assert said(step(late, happening("absent"))) == "submitting S:order"
    assert late.price_to_send == 12


def test_a_dark_market_order_that_never_came_there_is_sent_all_the_same():
    """It fired, and the line was down: a cross that was seen fires."""
    market = _but(ORDER, otype="market", price=None, exec_mode="dark")
    late = dialog_in("submitting", order=market, sent=market, trigger=TRIGGER)
    assert said(step(late, happening("absent"))) == "submitting S:order"


def test_what_fired_keeps_the_limit_it_fired_with_when_only_its_size_is_edited():
    fired = dialog_in("open", limit=Decimal("10.05"))
    sized = step(fired, happening("edit", order=_but(ORDER, size=Decimal(5)))).dialog
    assert sized.price_to_send == Decimal("10.05")
    priced = step(fired, happening("edit", order=DEARER)).dialog
    assert priced.price_to_send == Decimal(11)


def test_one_id_two_orders():
    other = happening("submit", order=_but(ORDER, size=Decimal(9)))
    for state in STATES:
        after = step(dialog_in(state), other)
        assert said(after) == f"{state} R"
        assert after.dialog == dialog_in(state)


def _but(order, **changes):
    return msgspec.structs.replace(order, **changes)
