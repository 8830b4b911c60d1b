"""Wire types of Kraken's REST bodies; only what is used.

Every body is ``{"error": [...], "result": {...}}``, its status 200 even where it was
refused. Numbers arrive as decimal strings, stamps as JSON numbers. Rows that are JSON
arrays are array-like structs; what follows their last field is left out.

https://docs.kraken.com/api/docs/guides/spot-rest-intro
https://docs.kraken.com/api/docs/category/rest-api/market-data
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct

from ._schemas import Amount, Serial

#: Seconds since the epoch, below the year 2262.
Seconds = Annotated[int, Meta(ge=0, lt=9_223_372_036)]
#: Decimals of a number.
Digits = Annotated[int, Meta(ge=0, le=18)]
#: What a Ticker's pair gives as ``[price, whole lots, size]``.
Level = tuple[Amount, Amount, Amount]
#: Today's and the last 24 hours'.
Days = tuple[Amount, Amount]


class Body(Struct, frozen=True):
    """``{"error": [], "result": {...}}``, or ``{"error": ["EService:Unavailable"]}``.

    An error begins with ``E``, a warning with ``W``.
    """

    error: list[str]
    result: Raw = Raw()


class Pair(Struct, frozen=True):
    """A market of AssetPairs, under its REST name ``XXBTZUSD``.

    ``{"altname": "XBTUSD", "wsname": "XBT/USD", "base": "XXBT", "quote": "ZUSD",
    "pair_decimals": 1, "lot_decimals": 8, "tick_size": "0.1", "ordermin": "0.00005",
    "costmin": "0.5", "status": "online", ...}``

    https://docs.kraken.com/api/docs/rest-api/get-tradable-asset-pairs

    Attributes:
      wsname: names as version 1 of the websocket spells them; dark pools have none.
      pair_decimals: of prices, where ``tick_size`` isn't told.
      lot_decimals: of sizes.
      tick_size: step of prices.
      ordermin: least size of an order.
      costmin: least size times price of one.
      status: ``online``, ``cancel_only``, ``post_only``, ``limit_only``,
        ``reduce_only``.
    """

    pair_decimals: Digits
    lot_decimals: Digits
    wsname: str = ""
    tick_size: Decimal | None = None
    ordermin: Decimal = Decimal(0)
    costmin: Decimal = Decimal(0)
    status: str = "online"


class TradeRow(Struct, frozen=True, array_like=True, gc=False):
    """``["36500.10000", "0.25000000", 1700000000.1234567, "b", "m", "", 4211]``.

    https://docs.kraken.com/api/docs/rest-api/get-recent-trades

    Attributes:
      price: quote units.
      size: base units.
      time_s: when it was matched; digits past microseconds are cut off.
      side: of the taker.
      order_type, misc: left undecoded.
      trade_id: number of the trade in its market.
    """

    price: Amount
    size: Amount
    time_s: Decimal
    side: Literal["b", "s"]
    order_type: Raw
    misc: Raw
    trade_id: Serial


class OhlcRow(Struct, frozen=True, array_like=True, gc=False):
    """One bar, its mean price left undecoded.

    ``[1699999980, "36480.0", "36501.0", "36479.5", "36500.1", "36490.2", "12.3", 115]``

    https://docs.kraken.com/api/docs/rest-api/get-ohlc-data
    """

    time_s: Seconds
    open: Amount
    high: Amount
    low: Amount
    close: Amount
    vwap: Raw
    volume: Amount
    count: Serial


class TickerRow(Struct, frozen=True):
    """A market of Ticker.

    ``{"a": ["36500.2", "1", "1.000"], "b": ["36500.1", "1", "1.000"], "c": ["36500.1",
    "0.25"], "v": ["0.8", "163.3"], "p": ["36480.1", "36490.2"], "t": [35, 3276], ...}``

    https://docs.kraken.com/api/docs/rest-api/get-ticker-information

    Attributes:
      a: best ask.
      b: best bid.
      c: price and size of the last trade.
      v: volume, base units.
      p: mean price, weighted by volume.
    """

    a: Level
    b: Level
    c: tuple[Amount, Amount]
    v: Days
    p: Days


class Time(Struct, frozen=True):
    """``{"unixtime": 1700000000, "rfc1123": "Tue, 14 Nov 23 22:13:20 +0000"}``."""

    unixtime: Seconds
