"""Who asks a paper engine, and what it is answered without a market."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
import trio

from piker.msgs import (
    PAPER,
    BrokerdFill,
    BrokerdMsg,
    BrokerdOrder,
    BrokerdOrderAck,
    BrokerdRequest,
    BrokerdStatus,
    is_same,
    refusal,
)
from piker.service import MsgStream

from ._paper_order import PaperOrder, reqid_of
from ._paper_store import EndedOrder

_Timed = TypeVar("_Timed", BrokerdStatus, BrokerdFill)


@dataclass(eq=False)
class Dialog:
    """Who asks now.

    Attributes:
      stream: where answers go.
      scope: of its end.
      gone: set once it ended.
      is_told: whether it is told of what happens: it asked what did.
    """

    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    gone: trio.Event = field(default_factory=trio.Event)
    stream: MsgStream[BrokerdRequest] | None = None
    is_told: bool = False


def of_ended(asked: BrokerdOrder, ended: EndedOrder) -> list[BrokerdMsg]:
    """Answer a request about an order that is over."""
    if asked.rev:
        return [refusal(asked, f"the order is {ended.status.status}")]
    if not is_same(asked, ended.asked):
        return [refusal(asked, f"the id {asked.oid!r} is that of another order")]
    ack = BrokerdOrderAck(
        oid=asked.oid, rev=0, reqid=reqid_of(asked.oid), account=PAPER
    )
    return [ack, ended.status]


def unknown(oid: str) -> BrokerdStatus:
    """Return how an order is told that never came."""
    return BrokerdStatus(oid=oid, reqid="", status="unknown", time_ns=0, account=PAPER)


def at_wall(msg: _Timed, **fields: int) -> _Timed:
    """Return a message of now, by the time of day."""
    return msgspec.structs.replace(msg, time_ns=time.time_ns(), **fields)


def pending(order: PaperOrder) -> BrokerdStatus:
    """Return how an order is told that was acked, as it came."""
    asked = order.asked
    return BrokerdStatus(
        oid=asked.oid,
        reqid=order.reqid,
        status="pending",
        time_ns=time.time_ns(),
        account=PAPER,
        symbol=asked.symbol,
        action=asked.action,
        price=asked.price,
        size=asked.size,
        remaining=asked.size,
    )
