"""Wire types of Deribit's orders, trades and accounts; only what is used.

Prices and amounts are JSON numbers; they become the decimals that are written.

https://docs.deribit.com/api-reference/trading/private-buy
https://docs.deribit.com/subscriptions/user/userchangesinstrument_nameinterval
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct

from ._schemas import Millis, Symbol

Side = Literal["buy", "sell"]


class Granted(Struct, frozen=True):
    """What ``public/auth`` is answered with.

    ``{"access_token": "...", "expires_in": 900, "refresh_token": "...", "scope":
    "connection mainaccount trade:read_write", "token_type": "bearer"}``

    https://docs.deribit.com/api-reference/authentication/public-auth

    Attributes:
      expires_in: seconds.
    """

    access_token: str
    expires_in: Annotated[float, Meta(ge=0)]
    refresh_token: str = ""
    scope: str = ""


class OrderRow(Struct, frozen=True):
    """An order.

    ``{"order_id": "USDC-104819327443", "label": "...", "instrument_name":
    "ETH_USDC-PERPETUAL", "direction": "buy", "amount": 0.001, "filled_amount": 0.0,
    "price": 2973.55, "order_state": "open", "order_type": "limit", "time_in_force":
    "good_til_cancelled", "last_update_timestamp": 1767978363493, ...}``; of a stop
    besides ``"price": "market_price", "trigger_price": 2228.0, "trigger":
    "mark_price"``, and no filled amount before it counts.

    Attributes:
      order_state: ``open``, ``filled``, ``rejected``, ``cancelled``, ``untriggered``,
        ``triggered``.
      order_type: ``limit``, ``market``, ``stop_limit``, ``stop_market``, ...
      price: limit, or ``market_price``.
      trigger_order_id: of an order that a stop became, the id which that had.
    """

    order_id: str
    order_state: str
    instrument_name: Symbol
    direction: Side
    amount: Decimal
    order_type: str
    last_update_timestamp: Millis
    price: Raw = Raw(b"null")
    filled_amount: Decimal | None = None
    label: str = ""
    trigger_price: Decimal | None = None
    trigger_order_id: str | None = None
    cancel_reason: str | None = None
    time_in_force: str = ""
    creation_timestamp: Millis = 0


class Placed(Struct, frozen=True):
    """What ``private/buy``, ``sell`` and ``edit`` are answered with."""

    order: OrderRow


class UserTrade(Struct, frozen=True):
    """A trade of an account.

    ``{"trade_seq": 299513, "trade_id": "47958936", "timestamp": 1589923311862,
    "state": "filled", "price": 9681.5, "order_type": "limit", "order_id": "3993343822",
    "liquidity": "M", "instrument_name": "BTC-26JUN20", "fee_currency": "BTC", "fee":
    -2.1e-7, "direction": "buy", "amount": 10, "label": "..."}``

    https://docs.deribit.com/api-reference/trading/private-get_user_trades_by_instrument

    Attributes:
      trade_id: unique in its currency, which it begins with: ``ETH-15``; but of BTC.
      fee: < 0 of a rebate.
      liquidity: ``M`` of who rested, ``T`` of who took.
    """

    trade_id: str
    order_id: str
    instrument_name: Symbol
    direction: Side
    price: Decimal
    amount: Decimal
    timestamp: Millis
    fee: Decimal = Decimal(0)
    fee_currency: str = ""
    liquidity: str = ""
    label: str = ""


class UserTrades(Struct, frozen=True):
    """``{"trades": [...], "has_more": false}``."""

    trades: list[UserTrade]
    has_more: bool = False


class Changes(Struct, frozen=True):
    """What happened to orders of one instrument.

    ``{"instrument_name": "BTC-PERPETUAL", "orders": [...], "trades": [...],
    "positions": [...]}``
    """

    orders: list[OrderRow] = []
    trades: list[UserTrade] = []


class LogRow(Struct, frozen=True):
    """What changed an account's money.

    ``{"id": 61311, "type": "settlement", "timestamp": 1613659544153, "currency": "BTC",
    "instrument_name": "BTC-PERPETUAL", "side": "long", "position": 1520, "amount":
    1520, "price": 51807.07, "change": 0.00215706, "cashflow": 0.00215706,
    "commission": null, "session_rpl": -0.00004467, "session_upl": 0.00220172,
    "interest_pl": 0.00000993, "total_interest_pl": 0.00001243,
    "info": {"settlement_price": 51807}, ...}``

    https://docs.deribit.com/api-reference/account-management/private-get_transaction_log

    Attributes:
      type: ``trade``, ``settlement``, ``delivery``, ``deposit``, ``transfer``, ...
      side: of a position ``long`` or ``short``; of one that ended ``close sell`` or
        ``close buy``.
      amount: of the position.
      change: of the money, fees included.
      cashflow: without them.
      interest_pl: funding since the last trade or settlement, of a perpetual; of a
        trade too, which doesn't pay it.
      total_interest_pl: funding of the whole session, which a settlement pays.
    """

    id: int
    type: str
    timestamp: Millis
    currency: str
    instrument_name: str | None = None
    side: str | None = None
    amount: Decimal | None = None
    price: Decimal | None = None
    change: Decimal | None = None
    cashflow: Decimal | None = None
    commission: Decimal | None = None
    interest_pl: Decimal | None = None
    total_interest_pl: Decimal | None = None


class LogPage(Struct, frozen=True):
    """``{"logs": [...], "continuation": 250}``, the newest first; null at the end."""

    logs: list[LogRow]
    continuation: int | None = None


class Summary(Struct, frozen=True):
    """What an account has of a currency.

    ``{"currency": "BTC", "balance": 302.6, "session_rpl": -0.03258105, "session_upl":
    0.05271555, "equity": 302.6, ...}``

    Attributes:
      balance: cash.
      session_rpl: profits of futures since the last settlement, which pays them.
    """

    currency: str
    balance: Decimal
    session_rpl: Decimal | None = None


class Summaries(Struct, frozen=True):
    """``{"summaries": [...], ...}``."""

    summaries: list[Summary]


class Position(Struct, frozen=True):
    """What an account holds of an instrument, an element of ``private/get_positions``.

    ``{"instrument_name": "BTC-25DEC26-50000-C", "kind": "option", "direction": "sell",
    "size": -0.3, "average_price": 0.0485, ...}``

    https://docs.deribit.com/api-reference/account-management/private-get_positions

    Attributes:
      direction: ``buy``, ``sell``, or ``zero`` of none.
      size: of futures in what they are quoted in, of options in coins.
    """

    instrument_name: Symbol
    direction: str
    size: Decimal


class IndexPrice(Struct, frozen=True):
    """``{"index_price": 11628.81, "estimated_delivery_price": 11628.81}``."""

    index_price: Decimal
