"""Orders as clients of TWS write them, and what is known of each.

By https://interactivebrokers.github.io/tws-api/{order_submission,basic_orders}.html;
the fields and their order are those of the published clients from version 177 on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from ._exchange import Kind, Order, Side, Tif, Trade
from ._tws_contracts import Query
from ._tws_fields import Fields, Wrong, invalid
from ._tws_kinds import Listed

_KINDS: Final[dict[str, Kind]] = {
    "LMT": "limit", "MKT": "market", "STP": "stop", "STP LMT": "stop_limit",
}  # fmt: skip
_TIFS: Final[dict[str, Tif]] = {
    "GTC": "gtc", "DAY": "gtc", "": "gtc", "IOC": "ioc", "FOK": "fok",
}  # fmt: skip


@dataclass(frozen=True)
class Written:
    """An order as it was written.

    Attributes:
      contract: as it was described.
      action: ``BUY`` or ``SELL``.
      size: how much.
      kind: ``LMT``, ``MKT``, ``STP`` or ``STP LMT``.
      limit, stop: prices, None if there is none.
      tif: as it was written.
      account: empty for the only one.
      ref: the client's own name of it.
    """

    contract: Query
    action: str
    size: Decimal
    kind: str
    limit: Decimal | None
    stop: Decimal | None
    tif: str
    account: str
    ref: str
    outside_rth: bool = False
    hidden: bool = False
    what_if: bool = False

    @property
    def side(self) -> Side:
        """Which way."""
        return "buy" if self.action == "BUY" else "sell"

    def to_order(self, key: str, account: str, cl_id: str, heard_ns: int) -> Order:
        """Return it as the exchange takes it."""
        return Order(
            0, account, key, self.side, _KINDS[self.kind], self.size, self.limit,
            tif=_TIFS[self.tif] if self.limit is not None else _tif_of(self),
            stop=self.stop, cl_id=cl_id, heard_ns=heard_ns,
        )  # fmt: skip


def _tif_of(order: Written) -> Tif:
    """Return how long what has no limit waits: not at all, once it counts."""
    return "fok" if order.tif == "FOK" else "ioc"


def read(fields: Fields) -> Written:
    """Take the fields of ``placeOrder`` after the order's id; raises Wrong."""
    contract = Query.of(fields)
    action, size, kind = fields.skip(2).text(), fields.amount(), fields.text()
    limit, aux, tif = fields.amount(), fields.amount(), fields.text()
    oca, account, ref = fields.text(), fields.text(), fields.skip(2).text()
    is_sent, parent = fields.flag(), fields.whole()
    outside_rth, hidden = fields.skip(4).flag(), fields.flag()
    if contract.sec_type == "BAG" or oca or parent or not is_sent:
        raise invalid("combinations and orders that hang together aren't emulated")
    _refuse(action, size, kind, tif)
    what_if = _is_what_if(fields)
    assert size is not None, "else it was refused"
    is_limit, is_stop = kind.endswith("LMT"), kind.startswith("STP")
    if (is_limit and limit is None) or (is_stop and not aux):
        raise Wrong(107, "Cannot transmit incomplete order.")
    return Written(
        contract, action, size, kind, limit if is_limit else None,
        aux if is_stop else None, tif, account, ref, outside_rth, hidden, what_if,
    )  # fmt: skip


def _refuse(action: str, size: Decimal | None, kind: str, tif: str) -> None:
    if action not in ("BUY", "SELL"):
        raise invalid(f"Invalid action: {action!r}")
    if kind not in _KINDS:
        raise invalid(f"Invalid order type: {kind!r}")
    if tif not in _TIFS:
        raise invalid(f"Invalid time in force: {tif!r}")
    if not size:
        raise Wrong(434, "The order size cannot be zero.")
    if size < 0:
        raise invalid("The size value cannot be negative")


def _is_what_if(fields: Fields) -> bool:
    """Take the fields between ``hidden`` and ``whatIf``; raises Wrong.

    Those that bring others with them aren't emulated, so that their place is fixed.
    """
    if fields.skip(7 + 22).text():  # after volatilityType
        raise invalid("delta neutral orders aren't emulated")
    fields.skip(1 + 4 + 2)  # ... scaleSubsLevelSize
    if fields.amount():
        raise invalid("scale orders aren't emulated")
    fields.skip(3)
    if fields.text():
        raise invalid("hedges aren't emulated")
    if fields.skip(4).flag():
        raise invalid("delta neutral contracts aren't emulated")
    if fields.text():
        raise invalid("algorithms aren't emulated")
    return fields.skip().flag()


@dataclass(eq=False)
class Ticket:
    """An order that TWS knows.

    Attributes:
      order_id: the client's number; 0 if it was given at the screen, below 0 if a
        client has it as its own since.
      client_id: whose number it is.
      perm_id: TWS's own number.
      listed: what is traded.
      exchange: as it was named.
      account: whose.
      written: as it was written last.
      order: at the exchange, None if it never came there.
      status: as it was told last.
      trades: its fills.
      ended_ms: when it was over, 0 if it isn't.
    """

    order_id: int
    client_id: int
    perm_id: int
    listed: Listed
    exchange: str
    account: str
    written: Written
    order: Order | None = None
    status: str = "PendingSubmit"
    trades: list[Trade] = field(default_factory=list)
    ended_ms: int = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing comes of it any more."""
        return self.status in ("Filled", "Cancelled", "Inactive")

    def to_dict(self) -> dict[str, Any]:
        """Return what tests want to know besides the exchange's."""
        return {
            "order_id": self.order_id, "client_id": self.client_id,
            "perm_id": self.perm_id, "ref": self.written.ref, "status": self.status,
        }  # fmt: skip
