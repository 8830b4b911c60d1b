"""Wire types of Kraken spot's orders, trades and executions; only what is used.

REST says decimals as texts, the websocket as JSON numbers; both stay exact.

https://docs.kraken.com/api/docs/websocket-v2/executions
https://docs.kraken.com/api/docs/rest-api/get-open-orders
https://docs.kraken.com/api/docs/rest-api/get-trade-history
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct

Side = Literal["buy", "sell"]


# -- the websocket ---------------------------------------------------------------------


class Message(Struct, frozen=True):
    """An answer, or a message of a channel.

    ``{"method": "add_order", "req_id": 42, "success": true, "result": {...}, ...}``,
    ``{"channel": "executions", "type": "update", "data": [...], "sequence": 8}``

    Attributes:
      time_out: of an answer, when it left.
    """

    method: str = ""
    req_id: int | None = None
    success: bool = True
    error: str = ""
    result: Raw = Raw(b"null")
    time_out: str = ""
    channel: str = ""
    type: str = ""
    data: Raw = Raw(b"[]")
    sequence: int = 0


class Named(Struct, frozen=True):
    """``{"order_id": "OABCDE-12345-FGHIJ", "cl_ord_id": "..."}``."""

    order_id: str
    cl_ord_id: str = ""


class Amended(Struct, frozen=True):
    """``{"amend_id": "TTW6PD-...", "order_id": "O...", "cl_ord_id": "..."}``."""

    amend_id: str = ""
    order_id: str = ""
    cl_ord_id: str = ""


class Fee(Struct, frozen=True):
    """``{"asset": "USD", "qty": 0.34566}``."""

    asset: str
    qty: Decimal


class Triggers(Struct, frozen=True):
    """Of a stop: ``{"reference": "last", "price": 59000.0, ...}``."""

    price: Decimal = Decimal(0)


class Execution(Struct, frozen=True):
    """Something that happened to an order; most fields are there only if they changed.

    ``{"order_id": "OK4GJX-KSTLS-7DZZO5", "cl_ord_id": "...", "symbol": "BTC/USD",
    "side": "sell", "order_qty": 0.005, "cum_qty": 0.0, "limit_price": 26500.0,
    "exec_type": "pending_new", "order_status": "pending_new", "timestamp": "..."}``

    Attributes:
      exec_type: ``pending_new``, ``new``, ``trade``, ``filled``, ``canceled``,
        ``expired``, ``amended``, ``restated``, ``status`` ...
      order_status: ``pending_new``, ``new``, ``partially_filled``, ``filled``,
        ``canceled``, ``expired``; ``triggered`` of stops.
      cum_qty: filled so far.
      exec_id: of a trade, its id.
      last_qty, last_price: of a trade.
      liquidity_ind: of a trade, ``t`` of who took, ``m`` of who rested.
      triggers: of a stop, what it waits for.
    """

    order_id: str
    exec_type: str
    timestamp: str
    order_status: str = ""
    cl_ord_id: str = ""
    symbol: str = ""
    side: Side | None = None
    order_qty: Decimal | None = None
    cum_qty: Decimal | None = None
    limit_price: Decimal | None = None
    reason: str = ""
    exec_id: str = ""
    last_qty: Decimal | None = None
    last_price: Decimal | None = None
    liquidity_ind: str = ""
    fees: list[Fee] = []
    triggers: Triggers | None = None


# -- REST ------------------------------------------------------------------------------


class Descr(Struct, frozen=True):
    """``{"pair": "XBTUSDT", "type": "buy", "price": "29500.0", ...}``.

    Attributes:
      ordertype: ``limit``, ``market``, ``stop-loss``, ``stop-loss-limit`` ...
      price, price2: limit, and 0; of a stop trigger and limit, in either order.
    """

    pair: str
    type: Side
    price: Decimal
    ordertype: str = "limit"
    price2: Decimal = Decimal(0)


class OrderRow(Struct, frozen=True):
    """An order, by its id: ``{"status": "open", "descr": {...}, "vol": "0.5", ...}``.

    Attributes:
      status: ``pending``, ``open``, ``closed``, ``canceled``, ``expired``.
      closetm: when it ended, seconds since the epoch.
      stopprice: of a stop, the price from which on it counts; else 0.
      vol: size.
      vol_exec: of it, filled.
      trades: ids, where they were asked for.
    """

    status: Literal["pending", "open", "closed", "canceled", "expired"]
    descr: Descr
    vol: Decimal
    vol_exec: Decimal
    stopprice: Decimal = Decimal(0)
    closetm: Decimal = Decimal(0)
    cl_ord_id: str = ""
    reason: str | None = None
    trades: list[str] = []


class OpenOrders(Struct, frozen=True):
    """``{"open": {"O26VBY-ISGAE-JP5TLU": {...}}}``."""

    open: dict[str, OrderRow]


class ClosedOrders(Struct, frozen=True):
    """``{"closed": {"O5KZFT-GH3AD-LP6TLU": {...}}, "count": 2}``."""

    closed: dict[str, OrderRow]


class Count(Struct, frozen=True):
    """``{"count": 4}``: so many orders were ended, or will be."""

    count: Annotated[int, Meta(ge=0)]


class TradeRow(Struct, frozen=True):
    """A trade, by its id.

    ``{"ordertxid": "O26VBY-ISGAE-JP5TLU", "pair": "XBTUSDT", "time": 1688585840.8921,
    "type": "buy", "price": "29500.50", "fee": "23.60", "vol": "0.5", "maker": true}``

    Attributes:
      pair: key of AssetPairs.
      time: seconds since the epoch.
      fee: quote units.
    """

    ordertxid: str
    pair: str
    time: Decimal
    type: Side
    price: Decimal
    fee: Decimal
    vol: Decimal
    maker: bool = False


class History(Struct, frozen=True):
    """``{"trades": {"TCCCTY-WJ6EO-4FP4VZ": {...}}, "count": 2}``, the newest first."""

    trades: dict[str, TradeRow]
    count: int = 0


class Token(Struct, frozen=True):
    """``{"token": "1Dwc4lzS...", "expires": 900}``."""

    token: str
