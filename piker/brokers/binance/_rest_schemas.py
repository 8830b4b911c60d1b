"""Wire types of Binance's REST bodies, spot and USD-M futures; only what is used.

Numbers arrive as decimal strings and become the nearest double, or a Decimal where
they are a step. Rows that are JSON arrays are array-like structs; what follows their
last field is left out.

https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints
https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Raw, Struct

from ._schemas import Amount, Millis, Serial, Symbol


class ServerTime(Struct, frozen=True):
    """``{"serverTime": 1700000000125}``, ms."""

    serverTime: Millis  # noqa: N815 - the venue's name


class Problem(Struct, frozen=True):
    """``{"code": -1121, "msg": "Invalid symbol."}``.

    https://developers.binance.com/docs/binance-spot-api-docs/errors
    """

    code: int
    msg: str = ""


class KlineRow(Struct, frozen=True, array_like=True, gc=False):
    """One bar.

    ``[1699999980000, "36480.0", "36501.0", "36479.5", "36500.1", "12.345",
    1700000039999, "450481.2", 115, "6.100", "222590.6", "0"]``

    Attributes:
      t: its open, ms.
      o: open.
      h: high.
      l: low.
      c: close.
      v: volume, base units.
      T: its end, ms.
      q: volume, quote units; left undecoded.
      n: trades.
    """

    t: Millis
    o: Amount
    h: Amount
    l: Amount  # noqa: E741 - the venue's name
    c: Amount
    v: Amount
    T: Millis
    q: Raw
    n: Serial


class AggTradeRow(Struct, frozen=True, gc=False):
    """An aggregate as its stream sends it, without the market.

    ``{"a": 1207, "p": "36500.1", "q": "1.250", "f": 4211, "l": 4214,
    "T": 1700000000123, "m": false}``

    Spot's history has numbers that stand for no trade any more: price and size are 0
    there and ``f`` and ``l`` are -1.
    """

    a: Serial
    p: Amount
    q: Amount
    f: Annotated[int, Meta(ge=-1, le=2**63 - 1)]
    l: Annotated[int, Meta(ge=-1, le=2**63 - 1)]  # noqa: E741 - the venue's name
    T: Millis
    m: bool


class BookTickerRow(Struct, frozen=True, gc=False, rename="camel"):
    """The best bid and ask.

    ``{"symbol": "BTCUSDT", "bidPrice": "36500.11", "bidQty": "3.1", "askPrice":
    "36500.12", "askQty": "0.75"}``; USD-M adds ``"time": 1700000000123``.
    """

    symbol: Symbol
    bid_price: Amount
    bid_qty: Amount
    ask_price: Amount
    ask_qty: Amount
    time: Millis = 0


class DayRow(Struct, frozen=True, gc=False, rename="camel"):
    """24 hours of a market: ``{"symbol": "BTCUSDT", "quoteVolume": "15.3", ...}``."""

    symbol: Symbol
    quote_volume: Amount


class Filter(Struct, frozen=True, gc=False, rename="camel"):
    """A rule for orders; of most kinds only the name is read.

    ``{"filterType": "PRICE_FILTER", "minPrice": "0.01", "tickSize": "0.01", ...}``
    ``{"filterType": "LOT_SIZE", "minQty": "0.001", "stepSize": "0.001", ...}``
    ``{"filterType": "NOTIONAL", "minNotional": "5.0", ...}``, where futures have
    ``{"filterType": "MIN_NOTIONAL", "notional": "100"}``
    """

    filter_type: str
    tick_size: Decimal = Decimal(0)
    step_size: Decimal = Decimal(0)
    min_qty: Decimal = Decimal(0)
    max_qty: Decimal = Decimal(0)
    min_notional: Decimal = Decimal(0)
    notional: Decimal = Decimal(0)


class Market(Struct, frozen=True, rename="camel"):
    """A market of exchangeInfo.

    Spot: ``{"symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset":
    "USDT", "filters": [...], ...}``. USD-M adds ``"contractType": "PERPETUAL"``, or
    ``"CURRENT_QUARTER"`` and the like, and ``"deliveryDate": 1798185600000``.

    https://developers.binance.com/docs/binance-spot-api-docs/rest-api/general-endpoints
    https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Exchange-Information

    Attributes:
      symbol: as the venue spells it.
      status: ``TRADING`` if it trades; else ``BREAK``, ``SETTLING``, ``HALT`` ...
      base_asset, quote_asset: what is traded, what for.
      filters: rules for orders, its steps among them.
      contract_type: empty on spot, and before a contract is listed.
      delivery_date: ms; far away in a perpetual.
    """

    symbol: Symbol
    status: str
    base_asset: Symbol
    quote_asset: Symbol
    filters: list[Filter]
    contract_type: str = ""
    delivery_date: Millis = 0


class ExchangeInfo(Struct, frozen=True):
    """``{"symbols": [...], "serverTime": 1700000000125, ...}``."""

    symbols: list[Market]
