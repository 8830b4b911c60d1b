"""The rules of :mod:`._dialog`, and the table of them: one a state and event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from piker.msgs import Order

from ._dialog import (
    EDITS_KEPT,
    ENDS,
    KINDS,
    STATES,
    Act,
    Dialog,
    Happening,
    Kind,
    Odd,
    Refuse,
    Send,
    State,
    Step,
    Tell,
    resp_of,
)
from ._exact import add

Rule = Callable[[Dialog, Happening], Step]

NEVER_CAME: Final = "it never reached the broker"


def step(dialog: Dialog, event: Happening) -> Step:
    """Return what *event* does to *dialog*."""
    return TABLE[dialog.state, event.kind](dialog, event)


# -- what somebody wants -------------------------------------------------------------


def _again(dialog: Dialog, event: Happening) -> Step:
    """Take an order that is known: a client tries again, or two share an id."""
    if event.order == (dialog.asked or dialog.order):
        return Step(dialog=dialog, acts=(_state_of(dialog),))
    return Step(
        dialog=dialog,
        acts=(
            Refuse(
                request="order",
                reason=f"the id {dialog.oid!r} belongs to another order; each order "
                "wants an id of its own, an edit changes one",
            ),
        ),
    )


def _edit_dark(dialog: Dialog, event: Happening) -> Step:
    assert event.order is not None
    now = _with_edit(dialog, event).but(
        order=event.order, trigger=event.trigger, expires_ns=event.expires_ns
    )
    return Step(dialog=now, acts=(Tell(resp="dark_open"),))


def _edit_later(dialog: Dialog, event: Happening) -> Step:
    """Note the edit until the request under way is answered."""
    if dialog.cancel_called:
        return _edit_ending(dialog, event)
    now = _with_edit(dialog, event).but(wish=event.order, expires_ns=event.expires_ns)
    return Step(dialog=now, acts=(_state_of(now, "the edit waits for an answer"),))


def _edit_open(dialog: Dialog, event: Happening) -> Step:
    now = _with_edit(dialog, event).but(wish=event.order, expires_ns=event.expires_ns)
    result = _go_on(now)
    noted = _state_of(result.dialog, "the edit is under way")
    return Step(dialog=result.dialog, acts=(*result.acts, noted))


def _edit_ending(dialog: Dialog, event: Happening) -> Step:
    reason = "the order is being cancelled; it can't be edited any more"
    return _refuse_edit(dialog, event, reason)


def _edit_ended(dialog: Dialog, event: Happening) -> Step:
    return _refuse_edit(dialog, event, f"the order has ended: {_end_of(dialog)}")


def _refuse_edit(dialog: Dialog, event: Happening, reason: str) -> Step:
    refusal = Refuse(request="edit", reason=reason, edit_id=event.edit_id)
    return Step(dialog=dialog, acts=(refusal,))


def _cancel_dark(dialog: Dialog, event: Happening) -> Step:
    now = dialog.but(state="canceled", cancel_called=True, why=event.reason)
    return Step(dialog=now, acts=(Tell(resp="canceled", reason=event.reason),))


def _cancel_later(dialog: Dialog, event: Happening) -> Step:
    """Note the cancel until the request under way is answered; no edit comes before."""
    if dialog.cancel_called:
        return Step(dialog=dialog, acts=(_state_of(dialog),))
    now = dialog.but(cancel_called=True, why=event.reason, wish=None)
    return Step(dialog=now, acts=(_state_of(now),))


def _cancel_open(dialog: Dialog, event: Happening) -> Step:
    now = dialog.but(state="canceling", cancel_called=True, why=event.reason, wish=None)
    return Step(dialog=now, acts=(Send(what="cancel"), _state_of(now)))


def _cancel_again(dialog: Dialog, event: Happening) -> Step:
    return Step(dialog=dialog, acts=(_state_of(dialog),))


def _cancel_ended(dialog: Dialog, event: Happening) -> Step:
    reason = f"the order has ended: {_end_of(dialog)}"
    return Step(dialog=dialog, acts=(Refuse(request="cancel", reason=reason),))


# -- what the market does ------------------------------------------------------------


def _fire(dialog: Dialog, event: Happening) -> Step:
    told = Tell(resp="triggered", price=event.price, reason=event.reason)
    if dialog.is_alert:
        return Step(dialog=dialog.but(state="alerted"), acts=(told,))
    now = dialog.but(state="submitting", limit=event.limit, sent=dialog.order)
    return Step(dialog=now, acts=(Send(what="order"), told))


# -- what the broker says ------------------------------------------------------------


def _acked(dialog: Dialog, event: Happening) -> Step:
    """The order is there: what was wanted meanwhile is next."""
    now = _known_by(dialog, event).but(state="open", sent=None)
    return _go_on(now)


def _opened(dialog: Dialog, event: Happening) -> Step:
    """It rests; an ack may have been lost, or come later."""
    told: tuple[Act, ...] = () if dialog.was_open else (Tell(resp="open"),)
    now = _known_by(dialog, event).but(state="open", sent=None, was_open=True)
    return _go_on(now, told)


def _edit_acked(dialog: Dialog, event: Happening) -> Step:
    if event.rev < dialog.rev:
        return _ignore(dialog, event)  # of the order itself, come late
    assert dialog.sent is not None
    now = _known_by(dialog, event).but(
        state="open",
        order=dialog.sent,
        limit=dialog.price_to_send,
        sent=None,
        was_open=True,
    )
    return _ended_if_filled(now, (Tell(resp="open", reason="edited"),))


def _edit_found(dialog: Dialog, event: Happening) -> Step:
    """After the line was lost: the edit came there, or it is sent again."""
    if event.rev >= dialog.rev:
        return _edit_acked(dialog, event)
    return Step(dialog=_known_by(dialog, event), acts=(Send(what="edit"),))


def _edit_refused(dialog: Dialog, event: Happening) -> Step:
    if event.rev < dialog.rev:
        return _ignore(dialog, event)
    now = dialog.but(state="open", sent=None)
    refusal = Refuse(request="edit", reason=event.reason, edit_id=dialog.wish_id)
    # whoever comes later is not to see an edit under way
    return _ended_if_filled(now, (refusal, _state_of(now, "the edit was refused")))


def _cancel_refused(dialog: Dialog, event: Happening) -> Step:
    now = dialog.but(state="open", cancel_called=False, why="")
    refusal = Refuse(request="cancel", reason=event.reason)
    told = _state_of(now, "the cancel was refused")
    return Step(dialog=now, acts=(refusal, told))


def _cancel_found(dialog: Dialog, event: Happening) -> Step:
    return Step(dialog=_known_by(dialog, event), acts=(Send(what="cancel"),))


def _filled(dialog: Dialog, event: Happening) -> Step:
    """A part was executed, in whatever state: no fill is ever left out."""
    now, told = _booked(dialog, event)
    size = max(now.order.size, now.sent.size if now.sent else now.order.size)
    if now.filled < size or now.has_ended:
        return Step(dialog=now, acts=told)
    return _end(now, "filled", told)


def _filled_odd(dialog: Dialog, event: Happening) -> Step:
    """A fill of what isn't at the broker: booked, and said to be odd."""
    now, told = _booked(dialog, event)
    odd = Odd(reason=f"a fill of an order that is {dialog.state}")
    return Step(dialog=now, acts=(*told, odd))


def _closed(dialog: Dialog, event: Happening) -> Step:
    reason = ""
    if dialog.filled < dialog.order.size:
        reason = f"the broker says it is filled; fills of {dialog.filled} are known"
    return _end(dialog, "filled", (), reason)


def _gone(dialog: Dialog, event: Happening) -> Step:
    """The broker says it is cancelled: why, emsd knows best where it asked for that."""
    return _end(dialog, "canceled", (), dialog.why or event.reason)


def _refused(dialog: Dialog, event: Happening) -> Step:
    return _end(dialog, "rejected", (), event.reason)


def _never_came(dialog: Dialog, event: Happening) -> Step:
    """It was to be sent and isn't there: send it, unless it is of no use any more."""
    if dialog.cancel_called:
        return _end(dialog, "canceled", (), dialog.why or NEVER_CAME)
    was_dark = dialog.trigger is not None
    if dialog.order.is_at_once and not was_dark:
        # Who sent it wanted it then. A dark one fires, late or not, within its limit.
        return _end(dialog, "canceled", (), NEVER_CAME)
    return Step(dialog=dialog, acts=(Send(what="order"),))


def _vanished(dialog: Dialog, event: Happening) -> Step:
    reason = dialog.why or "the broker doesn't know the order any more"
    return _end(dialog, "canceled", (), reason)


def _haunts(dialog: Dialog, event: Happening) -> Step:
    """It has ended here and rests there: it is cancelled there."""
    now = _known_by(dialog, event).but(state="canceling", cancel_called=True)
    told = Tell(resp="open", reason="the broker still has it; it is cancelled there")
    return Step(dialog=now, acts=(Send(what="cancel"), told))


def _ignore(dialog: Dialog, event: Happening) -> Step:
    """Nothing comes of it: it was known, or is too late to matter."""
    return Step(dialog=dialog)


def _odd(dialog: Dialog, event: Happening) -> Step:
    odd = Odd(reason=f"{event.kind!r} of an order that is {dialog.state!r}")
    return Step(dialog=dialog, acts=(odd,))


# -- parts of rules ------------------------------------------------------------------


def _state_of(dialog: Dialog, reason: str = "") -> Tell:
    return Tell(resp=resp_of(dialog), reason=reason or dialog.why)


def _with_edit(dialog: Dialog, event: Happening) -> Dialog:
    edits = (*dialog.edits, event.edit_id)[-EDITS_KEPT:]
    asked = dialog.asked or dialog.order
    return dialog.but(edits=edits, wish_id=event.edit_id, asked=asked)


def _known_by(dialog: Dialog, event: Happening) -> Dialog:
    return dialog.but(reqid=event.reqid or dialog.reqid)


def _booked(dialog: Dialog, event: Happening) -> tuple[Dialog, tuple[Act, ...]]:
    fill = event.fill
    assert fill is not None
    now = dialog.but(
        filled=add(dialog.filled, fill.size),
        cost=add(dialog.cost, fill.cost),
        reqid=event.reqid or dialog.reqid,
    )
    return now, (Tell(resp="fill", fill=fill),)


def _go_on(dialog: Dialog, told: tuple[Act, ...] = ()) -> Step:
    """Do what was wanted while the order was not to be touched."""
    if dialog.cancel_called:
        now = dialog.but(state="canceling", wish=None)
        return Step(dialog=now, acts=(*told, Send(what="cancel")))
    if dialog.wish is None:
        return Step(dialog=dialog, acts=told)
    wish: Order = dialog.wish
    if wish.size <= dialog.filled:
        refusal = Refuse(
            request="edit",
            reason=f"a size of {wish.size} is below what is filled, {dialog.filled}",
            edit_id=dialog.wish_id,
        )
        return Step(dialog=dialog.but(wish=None), acts=(*told, refusal))
    now = dialog.but(state="editing", sent=wish, wish=None, rev=dialog.rev + 1)
    return Step(dialog=now, acts=(*told, Send(what="edit")))


def _ended_if_filled(dialog: Dialog, told: tuple[Act, ...]) -> Step:
    """Go on, unless what came in the meantime has filled it."""
    if dialog.filled >= dialog.order.size:
        return _end(dialog, "filled", told)
    return _go_on(dialog, told)


def _end(dialog: Dialog, state: State, told: tuple[Act, ...], reason: str = "") -> Step:
    now = dialog.but(state=state, sent=None, wish=None, why=reason)
    return Step(dialog=now, acts=(*told, Tell(resp=resp_of(now), reason=reason)))


def _end_of(dialog: Dialog) -> str:
    return dialog.state + (f", {dialog.why}" if dialog.why else "")


# -- the table -----------------------------------------------------------------------

_AT_BROKER: Final[dict[Kind, Rule]] = {
    "submit": _again,
    "fire": _ignore,
    "fill": _filled,
    "closed": _closed,
    "gone": _gone,
    "absent": _vanished,
    "refused_order": _refused,
}
_ENDED: Final[dict[Kind, Rule]] = {
    "submit": _again,
    "edit": _edit_ended,
    "cancel": _cancel_ended,
    "expire": _ignore,
    "fire": _ignore,
    "ack": _ignore,
    "open": _ignore,
    "fill": _filled,
    "closed": _ignore,
    "gone": _ignore,
    "refused_order": _ignore,
    "refused_edit": _ignore,
    "refused_cancel": _ignore,
    "found": _haunts,
    "absent": _ignore,
}
_ROWS: Final[dict[State, dict[Kind, Rule]]] = {
    "dark": {
        "submit": _again,
        "edit": _edit_dark,
        "cancel": _cancel_dark,
        "expire": _cancel_dark,
        "fire": _fire,
        "ack": _odd,
        "open": _odd,
        "fill": _filled_odd,
        "closed": _odd,
        "gone": _odd,
        "refused_order": _refused,  # by a gate, as it was to leave
        "refused_edit": _odd,
        "refused_cancel": _odd,
        "found": _odd,
        "absent": _ignore,
    },
    "submitting": {
        **_AT_BROKER,
        "edit": _edit_later,
        "cancel": _cancel_later,
        "expire": _cancel_later,
        "ack": _acked,
        "open": _opened,
        "found": _opened,
        "absent": _never_came,
        "refused_edit": _odd,
        "refused_cancel": _odd,
    },
    "open": {
        **_AT_BROKER,
        "edit": _edit_open,
        "cancel": _cancel_open,
        "expire": _cancel_open,
        "ack": _ignore,
        "open": _opened,
        "found": _opened,
        "refused_edit": _odd,
        "refused_cancel": _odd,
    },
    "editing": {
        **_AT_BROKER,
        "edit": _edit_later,
        "cancel": _cancel_later,
        "expire": _cancel_later,
        "ack": _edit_acked,
        "open": _edit_acked,
        "found": _edit_found,
        "refused_order": _edit_refused,
        "refused_edit": _edit_refused,
        "refused_cancel": _odd,
    },
    "canceling": {
        **_AT_BROKER,
        "edit": _edit_ending,
        "cancel": _cancel_again,
        "expire": _ignore,
        "ack": _ignore,
        "open": _ignore,
        "found": _cancel_found,
        "refused_edit": _odd,
        "refused_cancel": _cancel_refused,
    },
    "filled": {**_ENDED, "found": _odd},
    "canceled": {**_ENDED, "cancel": _cancel_again},
    "rejected": dict(_ENDED),
    "alerted": {**_ENDED, "fill": _filled_odd, "found": _odd},
}

#: What each event does in each state.
TABLE: Final[dict[tuple[State, Kind], Rule]] = {
    (state, kind): _ROWS[state][kind] for state in STATES for kind in KINDS
}
assert set(_ROWS) == set(STATES)
assert all(state in _ROWS for state in ENDS)
