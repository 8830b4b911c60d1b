"""One order of ours at a venue: its revisions, and what is known of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal

import trio
from msgspec.structs import replace

from piker.msgs import BrokerdOrder, MktPair, OpenOrder, stranger_oid

from ._client_ids import client_id, revisions
from ._reconcile import Known, later
from ._venue import NewOrder, OrderState

ZERO: Final = Decimal(0)


@dataclass(eq=False)
class LiveOrder:
    """An order, for as long as brokerd knows it.

    Attributes:
      asked: as it is wanted, of the newest revision that was begun.
      mkt: its market.
      rev: the revision in force at the venue, -1 before the first is.
      states: how revisions are there, by the venue's id.
      acked: the newest revision that emsd was told of.
      booked: how much of it is in the ledger, by the venue's id of the revision.
      untold: how much more the venue counts and lists no more, by the same.
      is_told_open: emsd was told that it rests.
      is_over: emsd was told how it ended.
      turn: one request at a time.
      doing: what is under way at the venue.
      is_asked_for: fills of it that weren't told are being asked for.
      why_over: why it is over, where the venue doesn't know.
      in_place: the venue changes it where it is: all revisions have the id of the
        first, and are told apart by what they ask for.
    """

    asked: BrokerdOrder
    mkt: MktPair
    rev: int = -1
    reqid: str = ""
    states: dict[str, OrderState] = field(default_factory=dict)
    acked: int = -1
    booked: dict[str, Decimal] = field(default_factory=dict)
    untold: dict[str, Decimal] = field(default_factory=dict)
    is_told_open: bool = False
    is_over: bool = False
    turn: trio.Lock = field(default_factory=trio.Lock)
    doing: Literal["", "place", "amend", "cancel"] = ""
    why_over: str = ""
    is_asked_for: bool = False
    in_place: bool = False

    @property
    def oid(self) -> str:
        """Id of it at emsd."""
        return self.asked.oid

    @property
    def state(self) -> OrderState | None:
        """How the revision in force is at the venue, None before the first is."""
        return self.states.get(self.reqid)

    @property
    def filled(self) -> Decimal:
        """How much of it was filled, by what the venue says of all revisions."""
        return sum((each.filled for each in self.states.values()), ZERO)

    @property
    def filled_before(self) -> Decimal:
        """How much of it revisions before the one in force have filled."""
        state = self.state
        return self.filled - (state.filled if state is not None else ZERO)

    @property
    def unbooked(self) -> list[OrderState]:
        """Revisions of which more is filled than is in the ledger, or can be."""
        return [
            each
            for reqid, each in self.states.items()
            if self.missing(each) > self.untold.get(reqid, ZERO)
        ]

    def missing(self, state: OrderState) -> Decimal:
        """Return how much of what is filled of a revision isn't in the ledger."""
        return state.filled - self.booked.get(state.reqid, ZERO)

    @property
    def client_ids(self) -> dict[str, int]:
        """The ids of its revisions, and their numbers."""
        if self.in_place:
            return {client_id(self.oid, 0): 0}
        return dict(revisions(self.oid, max(self.asked.rev, self.rev, 0)))

    def rev_of(self, state: OrderState) -> int:
        """Return which revision a state is of, -1 if it is of none."""
        if self.in_place:
            if state.reqid != self.reqid and state.cl_id not in self.client_ids:
                return -1
            if self.is_wanted(state):
                return self.asked.rev
            return self.rev if self.rev >= 0 else max(self.asked.rev - 1, 0)
        return self.client_ids.get(state.cl_id, -1)

    def is_wanted(self, state: OrderState, asked: BrokerdOrder | None = None) -> bool:
        """Tell whether the order is as it was asked for, or as it is now wanted."""
        asked = asked or self.asked
        price = ZERO if asked.otype == "market" else asked.price
        return (state.price, state.size, state.trigger) == (
            price, asked.size, asked.trigger or ZERO,
        )  # fmt: skip

    def take(self, state: OrderState) -> None:
        """Note how a revision is, if that is later than what is known."""
        self.states[state.reqid] = later(self.states.get(state.reqid), state)

    def begin_rev(self, state: OrderState) -> None:
        """Have a revision be the one in force."""
        self.take(state)
        rev = self.rev_of(state)
        if rev >= self.rev:
            self.rev, self.reqid = max(rev, 0), state.reqid

    def to_place(self, asked: BrokerdOrder) -> NewOrder:
        """Return what is placed for a request: of an edit what isn't filled."""
        return NewOrder(
            mkt=self.mkt,
            cl_id=client_id(asked.oid, asked.rev),
            side=asked.action,
            price=None if asked.otype == "market" else asked.price,
            size=asked.size - self.filled,
            tif=asked.tif,
            post_only=asked.post_only,
            trigger=asked.trigger,
            reduce_only=asked.reduce_only,
        )

    def to_amend(self, asked: BrokerdOrder) -> NewOrder:
        """Return what an order is changed to: where that is in its place, all of it."""
        order = self.to_place(asked)
        return replace(order, size=asked.size) if self.in_place else order

    def known(self) -> Known:
        """Return it as it goes into a reconciliation."""
        return Known(
            oid=self.oid,
            newest=0 if self.in_place else max(self.asked.rev, self.rev),
            symbol=self.mkt.fqme,
            reqid=self.reqid,
            seen=self.state,
        )


def of_open_order(oid: str, told: OpenOrder, account: str, mkt: MktPair) -> LiveOrder:
    """Return an order that a Reconcile tells of, before the venue was asked."""
    asked = BrokerdOrder(
        oid=oid,
        rev=told.rev,
        account=account,
        time_ns=0,
        symbol=told.symbol,
        action=told.action,
        price=told.price,
        size=told.size,
        tif=told.tif,
        post_only=told.post_only,
        trigger=told.trigger,
        otype=told.otype,
    )
    return LiveOrder(asked, mkt, reqid=told.reqid)


def of_stranger(state: OrderState, account: str, mkt: MktPair) -> LiveOrder:
    """Return an order that came to the venue from elsewhere."""
    asked = BrokerdOrder(
        oid=stranger_oid(account, state.reqid),
        rev=0,
        account=account,
        time_ns=0,
        symbol=mkt.bs_fqme,
        action=state.side,
        price=state.price or state.trigger,
        size=state.size,
        trigger=state.trigger or None,
        otype="limit" if state.price else "market",
    )
    order = LiveOrder(asked, mkt)
    order.take(state)
    order.rev, order.reqid, order.acked = 0, state.reqid, 0
    return order
