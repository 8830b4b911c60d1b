"""Wire types of Kraken's websocket, version 2.

Each message of a channel is ``{"channel": NAME, "type": "snapshot" | "update", "data":
[...]}``; what answers a request has a ``method`` in place of the channel. Prices and
sizes are JSON numbers and become the nearest double; unknown fields are ignored.

Bounds refuse what no market can mean: negative numbers, numbers past 1e15.

https://docs.kraken.com/api/docs/guides/spot-ws-intro
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

#: A price or a size; 1e15 is past every market and still below 2**53 whole steps.
Amount = Annotated[float, Meta(ge=0, lt=1e15)]
#: A number the venue counts up.
Serial = Annotated[int, Meta(ge=0, le=2**63 - 1)]
#: A market as the venue spells it, e.g. ``BTC/USDT``.
Symbol = Annotated[str, Meta(min_length=1, max_length=40)]
#: RFC 3339 in UTC, e.g. ``2023-11-14T22:13:20.123456Z``.
Stamp = Annotated[str, Meta(min_length=20, max_length=35)]


class Envelope(Struct, frozen=True, gc=False):
    """A message of a channel, or what a request is answered with.

    A message: ``{"channel": "trade", "type": "update", "data": [...]}``; between them,
    about once a second, ``{"channel": "heartbeat"}``.

    An answer, one for each symbol asked for::

      {"method": "subscribe", "success": true, "req_id": 7, "result": {"channel":
       "trade", "symbol": "BTC/USDT", "snapshot": true}, "time_in": ..., ...}
      {"method": "subscribe", "success": false, "req_id": 7, "symbol": "ABC/USDT",
       "error": "Currency pair not supported ABC/USDT", "time_in": ..., ...}
      {"method": "pong", "req_id": 8, "time_in": ..., "time_out": ...}

    https://docs.kraken.com/api/docs/websocket-v2/trade
    https://docs.kraken.com/api/docs/websocket-v2/heartbeat
    https://docs.kraken.com/api/docs/websocket-v2/ping

    Attributes:
      channel: empty in an answer.
      data: what it says, by channel.
      method: what was asked for, ``pong`` of a ping.
      req_id: as it was asked with.
      success: whether it was done.
      result: what was done.
      error: why it was not.
      symbol: the market asked for, where it was not done.
    """

    channel: str = ""
    data: Raw = Raw()
    method: str = ""
    req_id: int | None = None
    success: bool | None = None
    result: Raw | UnsetType = UNSET
    error: str | None = None
    symbol: str | None = None


class Subscribed(Struct, frozen=True, gc=False):
    """The ``result`` of a subscription that was done or ended."""

    channel: str = ""
    symbol: str = ""


class Trade(Struct, frozen=True, gc=False):
    """One match of two orders; a message holds one or more.

    ``{"symbol": "BTC/USDT", "side": "buy", "price": 36500.1, "qty": 0.25, "ord_type":
    "market", "trade_id": 4211, "timestamp": "2023-11-14T22:13:20.123456Z"}``

    https://docs.kraken.com/api/docs/websocket-v2/trade

    Attributes:
      symbol: market.
      side: of the taker.
      price: quote units.
      qty: base units.
      trade_id: number of the trade in its market.
      timestamp: when it was matched.
    """

    symbol: Symbol
    side: Literal["buy", "sell"]
    price: Amount
    qty: Amount
    trade_id: Serial
    timestamp: Stamp


class Ticker(Struct, frozen=True, gc=False):
    """The best bid and ask, and numbers of the day, which are left undecoded.

    ``{"symbol": "BTC/USDT", "bid": 36500.1, "bid_qty": 3.1, "ask": 36500.2, "ask_qty":
    0.75, "last": 36500.1, "volume": 91.2, "vwap": 36480.3, "low": 36011.0, "high":
    36800.9, "change": 120.5, "change_pct": 0.33, "timestamp":
    "2023-11-14T22:13:20.123456Z"}``

    https://docs.kraken.com/api/docs/websocket-v2/ticker

    Attributes:
      symbol: market.
      bid: best bid; 0 or null if there is none.
      bid_qty: size there, base units.
      ask: best ask; 0 or null if there is none.
      ask_qty: size there, base units.
      timestamp: when, empty if it isn't told.
    """

    symbol: Symbol
    bid: Amount | None
    bid_qty: Amount | None
    ask: Amount | None
    ask_qty: Amount | None
    timestamp: Annotated[str, Meta(max_length=35)] = ""


class Status(Struct, frozen=True, gc=False):
    """The state of the venue, sent when a connection opens and when it changes.

    ``{"system": "online", "api_version": "v2", "connection_id": 12345678901234567890,
    "version": "2.0.10"}``

    https://docs.kraken.com/api/docs/websocket-v2/status

    Attributes:
      system: ``online``, ``cancel_only``, ``post_only`` or ``maintenance``.
    """

    system: str
