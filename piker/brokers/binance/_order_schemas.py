"""Wire types of Binance spot's orders, trades and account events; only what is used.

Numbers arrive as decimal strings and stay exact.

https://developers.binance.com/docs/binance-spot-api-docs/rest-api/trading-endpoints
https://developers.binance.com/docs/binance-spot-api-docs/user-data-stream
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from ._schemas import Millis, Serial, Symbol

BuySell = Literal["BUY", "SELL"]
#: https://developers.binance.com/docs/binance-spot-api-docs/enums
Status = Literal[
    "NEW", "PENDING_NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "PENDING_CANCEL",
    "REJECTED", "EXPIRED", "EXPIRED_IN_MATCH",
]  # fmt: skip


class OrderRow(Struct, frozen=True, rename="camel"):
    """An order, as placed, canceled or listed.

    ``{"symbol": "LTCBTC", "orderId": 1, "clientOrderId": "myOrder1", "price": "0.1",
    "origQty": "1.0", "executedQty": "0.0", "status": "NEW", "side": "BUY",
    "updateTime": 1499827319559, ...}``

    Attributes:
      client_order_id: in the answer to a cancel that of the cancel.
      orig_client_order_id: there the order's own.
      transact_time: of an order that was placed or canceled just now, ms; where it is
        listed, ``updateTime`` tells.
      stop_price: of a stop.
    """

    symbol: Symbol
    order_id: Serial
    client_order_id: str
    price: Decimal
    orig_qty: Decimal
    executed_qty: Decimal
    status: Status
    side: BuySell
    orig_client_order_id: str = ""
    transact_time: Millis = 0
    update_time: Millis = 0
    stop_price: Decimal = Decimal(0)


class Half(Struct, frozen=True, rename="camel"):
    """One half of a cancel-replace: an order, or why there is none."""

    code: int = 0
    msg: str = ""
    symbol: str = ""
    order_id: Serial = 0
    client_order_id: str = ""
    orig_client_order_id: str = ""
    price: Decimal = Decimal(0)
    orig_qty: Decimal = Decimal(0)
    executed_qty: Decimal = Decimal(0)
    status: Status = "NEW"
    side: BuySell = "BUY"
    transact_time: Millis = 0
    update_time: Millis = 0
    stop_price: Decimal = Decimal(0)


class CanceledRow(Struct, frozen=True, rename="camel"):
    """An order that was ended with all of its market, or a list of orders.

    ``{"symbol": "BTCUSDT", "orderId": 28, "status": "CANCELED", ...}``,
    ``{"orderListId": 1929, "contingencyType": "OCO", "orderReports": [{...}, {...}]}``
    """

    order_reports: list[Raw] = []


class Replacement(Struct, frozen=True, rename="camel"):
    """What became of both halves.

    ``{"cancelResult": "SUCCESS", "newOrderResult": "FAILURE", "cancelResponse": {...},
    "newOrderResponse": {"code": -2010, "msg": "..."}}``
    """

    cancel_result: Literal["SUCCESS", "FAILURE"]
    new_order_result: Literal["SUCCESS", "FAILURE", "NOT_ATTEMPTED"]
    cancel_response: Half | None = None
    new_order_response: Half | None = None


class TradeRow(Struct, frozen=True, rename="camel"):
    """A trade of an account.

    ``{"symbol": "BNBBTC", "id": 28457, "orderId": 100234, "price": "4.00000100",
    "qty": "12.00000000", "commission": "10.10000000", "commissionAsset": "BNB",
    "time": 1499865549590, "isBuyer": true, "isMaker": false, ...}``
    """

    symbol: Symbol
    id: Serial
    order_id: Serial
    price: Decimal
    qty: Decimal
    commission: Decimal
    commission_asset: str
    time: Millis
    is_buyer: bool
    is_maker: bool


class BalanceRow(Struct, frozen=True):
    """``{"asset": "BTC", "free": "4723846.89208129", "locked": "0.00000000"}``."""

    asset: str
    free: Decimal
    locked: Decimal


class AccountRow(Struct, frozen=True, rename="camel"):
    """``{"canTrade": true, "canWithdraw": true, "balances": [...], ...}``."""

    balances: list[BalanceRow]


class PriceRow(Struct, frozen=True):
    """``{"symbol": "BNBUSDT", "price": "612.30000000"}``."""

    price: Decimal


class RestrictionsRow(Struct, frozen=True, rename="camel"):
    """What a key may do, of ``/sapi/v1/account/apiRestrictions``.

    ``{"ipRestrict": false, "enableReading": true, "enableWithdrawals": false,
    "enableSpotAndMarginTrading": true, ...}``
    """

    enable_withdrawals: bool = False
    enable_spot_and_margin_trading: bool = False
    ip_restrict: bool = False


# -- the websocket API -----------------------------------------------------------------


class ApiError(Struct, frozen=True):
    """``{"code": -2010, "msg": "...", "data": {...}}``."""

    code: int
    msg: str = ""
    data: Raw = Raw(b"null")


class ApiAnswer(Struct, frozen=True, rename="camel"):
    """An answer, or an event of a subscription.

    ``{"id": 7, "status": 200, "result": {...}}``,
    ``{"id": 7, "status": 400, "error": {...}}``, ``{"subscriptionId": 0, "event": {}}``
    """

    id: int | str | None = None
    status: int = 0
    result: Raw = Raw(b"null")
    error: ApiError | None = None
    event: Raw | UnsetType = UNSET


class EventHead(Struct, frozen=True):
    """What each event has: ``{"e": "executionReport", ...}``."""

    e: str


class ExecutionReport(Struct, frozen=True):
    """What happened to an order.

    ``{"e": "executionReport", "E": 1499405658658, "s": "ETHBTC", "c": "mUvoqJxF...",
    "S": "BUY", "q": "1.00000000", "p": "0.10264410", "C": "", "x": "NEW", "X": "NEW",
    "r": "NONE", "i": 4293153, "l": "0.00000000", "z": "0.00000000", "L": "0.00000000",
    "n": "0", "N": null, "T": 1499405658657, "t": -1, "m": false, ...}``

    Attributes:
      s: market.
      c: client order id; of a cancel its own.
      C: of a cancel the id of what it ended.
      S: side.
      q: size.
      p: limit.
      P: of a stop, the price from which on it counts.
      x: what happened: ``NEW``, ``TRADE``, ``CANCELED``, ``REJECTED``, ``EXPIRED`` ...
      X: what state it is in now.
      r: why it was rejected.
      i: the venue's id.
      l: size of this trade.
      z: filled so far.
      L: price of this trade.
      n: fee.
      N: in which asset.
      T: when, ms.
      t: id of this trade, -1 of none.
      m: whether it rested.
    """

    s: Symbol
    c: str
    S: BuySell
    q: Decimal
    p: Decimal
    x: str
    X: Status
    i: Serial
    l: Decimal  # noqa: E741 - the venue's name
    z: Decimal
    L: Decimal
    n: Decimal
    T: Millis
    t: Annotated[int, Meta(ge=-1, le=2**63 - 1)]
    N: str | None = None
    C: str = ""
    P: Decimal = Decimal(0)
    r: str = "NONE"
    m: bool = False
