"""One paper order: what is kept of it, and how it is told."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from piker.msgs import PAPER, BrokerdOrder, BrokerdStatus, Side

from ._grid import Grid

#: ``sent``: on its way; ``waiting``: there, but the market can't be seen; ``open``; and
#: the two ends.
State = Literal["sent", "waiting", "open", "closed", "canceled"]
_LIVE: Final = frozenset({"sent", "waiting", "open"})
_TOLD: Final[dict[str, Literal["pending", "open", "closed", "canceled"]]] = {
    "sent": "pending",
    "waiting": "pending",
    "open": "open",
    "closed": "closed",
    "canceled": "canceled",
}


class PaperOrder(msgspec.Struct, kw_only=True):
    """An order in a paper market; prices and sizes in ticks.

    Attributes:
      asked: the new order, as it came.
      edit: the newest change of it, as it came; None if there was none.
      refused: why *edit* was refused, empty if it wasn't.
      rev: the revision in force.
      price, lots: in force.
      filled: lots so far.
      fills: how many.
      state: where it is.
      reason: of what ended it, or of why it waits.
      is_taking: it crosses the touch, and takes there what comes.
      cancel_asked: a cancel is on its way.
      due_ns: when the last of what is on its way for it counts.
    """

    asked: BrokerdOrder
    price: int
    lots: int
    due_ns: int
    edit: BrokerdOrder | None = None
    refused: str = ""
    rev: int = 0
    filled: int = 0
    fills: int = 0
    state: State = "sent"
    reason: str = ""
    is_taking: bool = False
    cancel_asked: bool = False

    @property
    def oid(self) -> str:
        """Emsd's id of it."""
        return self.asked.oid

    @property
    def reqid(self) -> str:
        """Our id of it: nothing but the order itself decides it."""
        return reqid_of(self.asked.oid)

    @property
    def action(self) -> Side:
        """Which way."""
        return self.asked.action

    @property
    def side(self) -> int:
        """1 to buy, -1 to sell."""
        return 1 if self.asked.action == "buy" else -1

    @property
    def key(self) -> int:
        """Of its level in its book: the better the price the lower."""
        return -self.side * self.price

    @property
    def remaining(self) -> int:
        """Lots still open."""
        return self.lots - self.filled

    @property
    def is_live(self) -> bool:
        """Whether it may still be filled."""
        return self.state in _LIVE

    def crosses(self, price: int | None) -> bool:
        """Tell whether it would take what is offered at *price*."""
        return price is not None and (price - self.price) * self.side <= 0


def reqid_of(oid: str) -> str:
    """Return the paper engine's id of an order."""
    return f"paper.{oid}"


def status_of(order: PaperOrder, grid: Grid, time_ns: int) -> BrokerdStatus:
    """Return how an order is told."""
    return BrokerdStatus(
        oid=order.oid,
        reqid=order.reqid,
        status=_TOLD[order.state],
        time_ns=time_ns,
        account=PAPER,
        symbol=order.asked.symbol,
        action=order.action,
        rev=order.rev,
        price=grid.price(order.price),
        size=grid.size(order.lots),
        filled=grid.size(order.filled),
        remaining=grid.size(order.remaining if order.is_live else 0),
        reason=order.reason,
    )
