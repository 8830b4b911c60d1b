"""A broker to test against: what it is told may be lost, what it did never is."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal

import msgspec

from piker.msgs import (
    BrokerdCancel,
    BrokerdError,
    BrokerdFill,
    BrokerdOrder,
    BrokerdOrderAck,
    BrokerdPosition,
    BrokerdStatus,
    DialogInit,
    Reconcile,
    Reconciled,
)

FQME = "btcusdt.spot.sim"


@dataclass
class Resting:
    """One order at the broker."""

    msg: BrokerdOrder
    reqid: str
    rev: int = 0
    price: Decimal = Decimal(0)
    size: Decimal = Decimal(0)
    filled: Decimal = Decimal(0)
    status: str = "open"
    is_late: bool = False  # acked, and still on its way into the book


@dataclass
class Broker:
    """Orders by oid, a ledger, and two pipes that may break."""

    orders: dict[str, Resting] = field(default_factory=dict)
    ledger: list[BrokerdFill] = field(default_factory=list)
    inbox: deque = field(default_factory=deque)
    outbox: deque = field(default_factory=deque)
    received: list[BrokerdOrder] = field(default_factory=list)
    gap: int = 0  # by how much a hand has moved the serials of the ledger
    tell_again: bool = False  # and what was told is told again, by its new serial

    # -- connections ------------------------------------------------------------------

    def init(self) -> DialogInit:
        size = self.position
        held = (
            BrokerdPosition(
                broker="sim", account="paper", symbol=FQME, size=size,
                avg_price=Decimal(1), seq=len(self.ledger),
            ),
        ) if size else ()  # fmt: skip
        return DialogInit(
            accounts=("paper",),
            positions=held,
            instance="1",
            seqs={"paper": len(self.ledger) + self.gap},
        )

    @property
    def position(self) -> Decimal:
        return sum(
            (one.size if one.action == "buy" else -one.size for one in self.ledger),
            Decimal(0),
        )

    def lose(self) -> None:
        """Break both pipes."""
        self.inbox.clear()
        self.outbox.clear()

    # -- what it does -----------------------------------------------------------------

    def take_one(self) -> None:
        """Do the oldest thing asked."""
        match self.inbox.popleft():
            case BrokerdOrder() as msg if msg.reqid is None and msg.rev == 0:
                self._new(msg)
            case BrokerdOrder() as msg:
                self._edit(msg)
            case BrokerdCancel() as msg:
                self._cancel(msg)
            case Reconcile() as msg:
                self._reconcile(msg)

    def _new(self, msg: BrokerdOrder) -> None:
        if msg.oid not in self.orders:
            self.received.append(msg)
            self.orders[msg.oid] = Resting(
                msg, f"r{len(self.orders)}", price=msg.price, size=msg.size,
                is_late=len(self.orders) % 3 == 0,
            )  # fmt: skip
        order = self.orders[msg.oid]
        self._say(BrokerdOrderAck(oid=msg.oid, rev=0, reqid=order.reqid))
        if not order.is_late:
            self._say(self._status(order))

    def _edit(self, msg: BrokerdOrder) -> None:
        order = self.orders.get(msg.oid)
        why = ""
        if order is None:
            why = "no such order"
        elif order.rev >= msg.rev:
            pass  # known
        elif order.status != "open":
            why = "it has ended"
        elif msg.size < order.filled:
            why = "it is below what is filled"
        else:
            order.rev, order.price, order.size = msg.rev, msg.price, msg.size
        if why:
            self._say(
                BrokerdError(reason=why, request="edit", oid=msg.oid, rev=msg.rev)
            )
            return
        self._say(BrokerdOrderAck(oid=msg.oid, rev=msg.rev, reqid=order.reqid))
        if order.filled >= order.size and order.status == "open":
            order.status = "closed"
            self._say(self._status(order))

    def _cancel(self, msg: BrokerdCancel) -> None:
        order = self.orders.get(msg.oid)
        if order is None:
            self._say(
                BrokerdError(reason="no such order", request="cancel", oid=msg.oid)
            )
            return
        if order.status == "open":
            order.status = "canceled"
        self._say(self._status(order))

    def _reconcile(self, msg: Reconcile) -> None:
        for at, fill in enumerate(self.ledger, 1):
            seq = at + self.gap if self.tell_again else fill.seq
            if seq > msg.after_seq:
                self._say(msgspec.structs.replace(fill, seq=seq))
        for oid in msg.oids:
            order = self.orders.get(oid)
            if order is None:
                self._say(BrokerdStatus(oid=oid, reqid="", status="unknown", time_ns=1))
            else:
                self._say(self._status(order))
        for oid, order in self.orders.items():
            if order.status == "open" and oid not in msg.oids:
                self._say(self._status(order))
        self._say(Reconciled(account="paper", seq=len(self.ledger) + self.gap))

    def fill(self, oid: str, size: Decimal) -> None:
        """Execute a part of an order; it is in the ledger before it is told."""
        order = self.orders[oid]
        size = min(size, order.size - order.filled)
        order.filled += size
        done = BrokerdFill(
            oid=oid, reqid=order.reqid, tid=f"t{len(self.ledger)}",
            seq=len(self.ledger) + 1 + self.gap, account="paper", symbol=FQME,
            action=order.msg.action, size=size, price=order.price,
            cost=Decimal("0.001"), time_ns=1, broker_time_ns=1,
        )  # fmt: skip
        self.ledger.append(done)
        self._say(done)
        if order.filled >= order.size:
            order.status = "closed"
            self._say(self._status(order))
        self._say(self.init().positions[0] if self.position else self._flat())

    def end(self, oid: str, status: str = "canceled") -> None:
        """End an order of its own will."""
        self.orders[oid].status = status
        self._say(self._status(self.orders[oid], "the venue ended it"))

    def arrive(self) -> None:
        """Let what was on its way into the book be there."""
        for order in self.orders.values():
            if order.is_late:
                order.is_late = False
                if order.status == "open":
                    self._say(self._status(order))

    def open_oids(self) -> list[str]:
        return [oid for oid, one in self.orders.items() if one.status == "open"]

    # -- words ------------------------------------------------------------------------

    def _say(self, msg) -> None:
        self.outbox.append(msg)

    def _flat(self) -> BrokerdPosition:
        return BrokerdPosition(
            broker="sim", account="paper", symbol=FQME, size=Decimal(0),
            avg_price=Decimal(0), seq=len(self.ledger),
        )  # fmt: skip

    def _status(self, order: Resting, reason: str = "") -> BrokerdStatus:
        waits = order.is_late and order.status == "open"
        return BrokerdStatus(
            oid=order.msg.oid, reqid=order.reqid,
            status="pending" if waits else order.status, time_ns=1,
            account="paper", rev=order.rev, price=order.price, size=order.size,
            filled=order.filled, remaining=order.size - order.filled, reason=reason,
        )  # fmt: skip
