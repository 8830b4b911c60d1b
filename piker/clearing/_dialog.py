"""What an order is to emsd: its state, and what each thing that happens does to it.

    (dialog, event) --TABLE--> rule --> Step(dialog, what to do about it)

One table has an entry for every pair of a state and an event. The rules are pure: they
send nothing and journal nothing; emsd does, in that order: journal, act, tell. One
request to the broker is under way per order; what is wanted meanwhile waits.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final, Literal, get_args

import msgspec

from piker.msgs import BrokerdFill, BrokerdStatus, Order, Resp
from piker.types import Struct

from ._triggers import Trigger

#: ``dark``: held here; ``submitting``: sent, or to be sent, no ack yet; ``open``: the
#: broker has it; ``editing``, ``canceling``: and such a request is under way. The
#: others are ends; ``alerted`` is an alert's.
State = Literal[
    "dark", "submitting", "open", "editing", "canceling",
    "filled", "canceled", "rejected", "alerted",
]  # fmt: skip
STATES: Final[tuple[State, ...]] = get_args(State)
_RESPS: Final[dict[State, Resp]] = {
    "dark": "dark_open",
    "submitting": "pending",
    "open": "open",
    "editing": "open",
    "canceling": "open",
    "filled": "closed",
    "canceled": "canceled",
    "rejected": "error",
    "alerted": "triggered",
}
ENDS: Final[frozenset[State]] = frozenset(("filled", "canceled", "rejected", "alerted"))
#: Ids of edits that are remembered of an order, the newest.
EDITS_KEPT: Final = 32

Kind = Literal[
    # what somebody wants
    "submit", "edit", "cancel", "expire",
    # what the market does
    "fire",
    # what the broker says
    "ack", "open", "fill", "closed", "gone", "refused_order", "refused_edit",
    "refused_cancel",
    # what it says when it is asked after the line was lost
    "found", "absent",
]  # fmt: skip
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


class Dialog(Struct, frozen=True, kw_only=True):
    """One order, as emsd knows it; its row in the journal.

    Attributes:
      order: as it is in force.
      state: where it stands.
      born_ns: when it came, by the market's clock.
      rev: of the last order or edit sent.
      reqid: the broker's id, once it gave one.
      filled: base units so far.
      cost: fees so far, quote units.
      limit: price it goes to the broker with; None while it is dark, or an alert.
      trigger: of a dark order or alert.
      sent: contents of the request under way; None if none is.
      wish: contents wanted next; None if it is to stay as it is.
      wish_id: the client's id of the newest edit that *sent* or *wish* has.
      asked: as it came first; None if it was never edited.
      edits: ids of the newest edits, so that one sent again is known.
      was_open: clients were told that it is open.
      cancel_called: its end is wanted.
      why: its end is wanted for, or came by; empty: a client wanted it.
      expires_ns: its end, by the market's clock; 0 for none.
    """

    order: Order
    state: State
    born_ns: int
    rev: int = 0
    reqid: str | None = None
    filled: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    limit: Decimal | None = None
    trigger: Trigger | None = None
    sent: Order | None = None
    wish: Order | None = None
    wish_id: str = ""
    asked: Order | None = None
    edits: tuple[str, ...] = ()
    was_open: bool = False
    cancel_called: bool = False
    why: str = ""
    expires_ns: int = 0

    @property
    def oid(self) -> str:
        """The order's id."""
        return self.order.oid

    @property
    def has_ended(self) -> bool:
        """Tell whether nothing more is to come, but a fill that comes late."""
        return self.state in ENDS

    @property
    def is_alert(self) -> bool:
        """Tell whether it only tells."""
        return self.order.action == "alert"

    @property
    def to_send(self) -> Order:
        """The contents of the request under way, or of what is in force."""
        return self.sent or self.order

    @property
    def price_to_send(self) -> Decimal:
        """The limit the broker is to be told; what only fired keeps the one it got."""
        price = self.to_send.price
        if price is None and self.to_send.is_stop:
            assert self.to_send.trigger is not None
            return self.to_send.trigger
        if price is None or (price == self.order.price and self.limit is not None):
            assert self.limit is not None, "what is sent has a limit"
            return self.limit
        return price

    def but(self, **changes: object) -> Dialog:
        """Return it with *changes*."""
        return msgspec.structs.replace(self, **changes)


class Happening(Struct, frozen=True, kw_only=True):
    """Something that happens to an order.

    Attributes:
      kind: what.
      order: the contents, of a ``submit``; the whole of what is wanted, of an ``edit``.
      edit_id: of an ``edit``.
      trigger: the new one, of an ``edit`` of a dark order.
      expires_ns: the end, of an ``edit``.
      limit: price to send it with, of a ``fire``, or an ``edit`` of what was sent.
      price: that crossed the trigger, of a ``fire``.
      reqid: the broker's id, where it told one.
      rev: the revision the broker speaks of.
      fill: the execution, of a ``fill``.
      status: what the broker said, of ``open``, ``closed``, ``gone``, ``found``.
      reason: one sentence.
    """

    kind: Kind
    order: Order | None = None
    edit_id: str = ""
    trigger: Trigger | None = None
    expires_ns: int = 0
    limit: Decimal | None = None
    price: Decimal | None = None
    reqid: str | None = None
    rev: int = 0
    fill: BrokerdFill | None = None
    status: BrokerdStatus | None = None
    reason: str = ""


# -- what to do about it -------------------------------------------------------------


class Send(Struct, frozen=True, kw_only=True):
    """Send a request to the broker: the dialog as it is now says its contents."""

    what: Literal["order", "edit", "cancel"]


class Tell(Struct, frozen=True, kw_only=True):
    """Tell every client what has become of the order."""

    resp: Resp
    reason: str = ""
    fill: BrokerdFill | None = None
    price: Decimal | None = None


class Refuse(Struct, frozen=True, kw_only=True):
    """Tell every client that a request was refused; the order is as it was."""

    request: Literal["order", "edit", "cancel"]
    reason: str
    edit_id: str = ""


class Odd(Struct, frozen=True, kw_only=True):
    """Log it: a broker said what doesn't fit; nothing else comes of it."""

    reason: str


Act = Send | Tell | Refuse | Odd


class Step(Struct, frozen=True, kw_only=True):
    """What becomes of an order, and what is to be done.

    Attributes:
      dialog: from now on.
      acts: in order; the journal comes before the first.
    """

    dialog: Dialog
    acts: tuple[Act, ...] = ()


def resp_of(dialog: Dialog) -> Resp:
    """Return what a client is told of a dialog that it asks about."""
    return _RESPS[dialog.state]
