"""Wire types of Binance's market streams, spot and USD-M futures.

A combined stream wraps each payload as ``{"stream": NAME, "data": PAYLOAD}``. Spot and
USD-M payloads of one kind share a struct here where their fields mean the same; what
only one of them sends has a default. Prices and sizes arrive as decimal strings and
become the nearest double (these structs are decoded with ``strict=False``); unknown
fields are ignored, for the venue adds some from time to time.

Bounds refuse what no market can mean: negative numbers, ``nan``, infinity, stamps past
the year 2262, which ns in 64 bits can't hold.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

#: A price or a size; 1e15 is past every market and still below 2**53 whole steps.
Amount = Annotated[float, Meta(ge=0, lt=1e15)]
#: Milliseconds since the epoch.
Millis = Annotated[int, Meta(ge=0, lt=9_223_372_036_854)]
#: A number the venue counts up.
Serial = Annotated[int, Meta(ge=0, le=2**63 - 1)]
#: A market as the venue spells it, e.g. ``BTCUSDT``.
Symbol = Annotated[str, Meta(min_length=1, max_length=40)]
#: One price level of a book: price and size, decimal strings.
Level = tuple[str, str]


class Refusal(Struct, frozen=True):
    """Why the venue refused a request made over the stream.

    ``{"code": 2, "msg": "Invalid request: unknown method"}``
    """

    code: int = 0
    msg: str = ""


class Envelope(Struct, frozen=True, gc=False):
    """What a combined stream wraps around each payload, or a request's answer.

    ``{"stream": "btcusdt@trade", "data": {...}}``

    A request is answered by ``{"result": null, "id": 7}``, by ``{"error": {"code": 2,
    "msg": "Invalid request"}, "id": 7}`` or, in an older form, by ``{"code": 2, "msg":
    "Invalid request", "id": 7}``. Before it closes a connection for good, spot sends
    ``{"e": "serverShutdown", "E": 1700000000125}``.

    https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
    https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams/Live-Subscribing-Unsubscribing-to-streams

    Attributes:
      stream: empty if it is no payload of a stream.
      data: the payload.
      id: of the request that this answers.
      result: of the request; UNSET if it isn't told.
      error: why the request was refused.
      code, msg: the same in the older form.
      e: kind of a payload that came without a wrapping.
    """

    stream: str = ""
    data: Raw = Raw()
    id: int | str | None = None
    result: Raw | UnsetType = UNSET
    error: Refusal | None = None
    code: int | None = None
    msg: str = ""
    e: str = ""


class Trade(Struct, frozen=True, gc=False):
    """One match of two orders.

    Spot::

      {"e": "trade", "E": 1700000000125, "s": "BTCUSDT", "t": 4211, "p": "36500.12",
       "q": "0.25000000", "T": 1700000000123, "m": true, "M": true}

    USD-M adds ``"X"``, what made it: ``MARKET``, ``INSURANCE_FUND``, ``ADL``, ``NA``.

    https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams#trade-streams
    https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams

    Attributes:
      s: market.
      t: trade id, rising by one a trade in each market.
      p: price.
      q: size, base units.
      T: when it was matched, ms.
      m: whether the buyer was the maker, that is the taker sold.
      X: what made it; spot trades are all of the market.
    """

    s: Symbol
    t: Serial
    p: Amount
    q: Amount
    T: Millis
    m: bool
    X: str = "MARKET"


class AggTrade(Struct, frozen=True, gc=False):
    """Trades of one taker order at one price, added up.

    ``{"e": "aggTrade", "E": 1700000000125, "s": "BTCUSDT", "a": 1207, "p": "36500.1",
    "q": "1.250", "f": 4211, "l": 4214, "T": 1700000000123, "m": false}``

    https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams#aggregate-trade-streams
    https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams/Aggregate-Trade-Streams

    Attributes:
      s: market.
      a: id of the aggregate, a series of its own.
      p: price.
      q: size of all, base units.
      f: id of the first trade in it.
      l: id of the last one.
      T: when it was matched, ms.
      m: whether the buyer was the maker.
    """

    s: Symbol
    a: Serial
    p: Amount
    q: Amount
    f: Serial
    l: Serial  # noqa: E741 - the venue's name
    T: Millis
    m: bool


class BookTicker(Struct, frozen=True, gc=False):
    """The best bid and ask, sent when either changes.

    Spot, which sends neither a kind nor a stamp::

      {"u": 900120, "s": "BTCUSDT", "b": "36500.11000000", "B": "3.10000000",
       "a": "36500.12000000", "A": "0.75000000"}

    USD-M adds ``"e": "bookTicker"``, ``"T"`` and ``"E"``.

    https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams#individual-symbol-book-ticker-streams
    https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams/Individual-Symbol-Book-Ticker-Streams

    Attributes:
      s: market.
      b: best bid; 0 if there is none.
      B: size there, base units.
      a: best ask; 0 if there is none.
      A: size there, base units.
      T: when it changed, ms; 0 on spot.
    """

    s: Symbol
    b: Amount
    B: Amount
    a: Amount
    A: Amount
    T: Millis = 0


class DepthUpdate(Struct, frozen=True):
    """Levels of the book that changed; a size of 0 removes one.

    ``{"e": "depthUpdate", "E": 1700000000125, "T": 1700000000123, "s": "BTCUSDT",
    "U": 900101, "u": 900120, "pu": 900100, "b": [["36500.1", "2.500"]], "a": []}``

    https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams#diff-depth-stream
    https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams/Diff-Book-Depth-Streams

    Attributes:
      s: market.
      U: number of the first change in it.
      u: number of the last one.
      b: bids that changed.
      a: asks that changed.
      T: when, ms; 0 on spot.
      pu: number of the last change in the update before; -1 on spot.
    """

    s: Symbol
    U: Serial
    u: Serial
    b: list[Level]
    a: list[Level]
    T: Millis = 0
    pu: int = -1


class Candle(Struct, frozen=True, gc=False):
    """The bar inside a `Kline`.

    Attributes:
      t: its open, ms.
      i: its period as the venue spells it, e.g. ``1m``.
      o: open.
      h: high.
      l: low.
      c: close.
      v: volume, base units.
      n: trades.
      x: whether it is closed.
    """

    t: Millis
    i: str
    o: Amount
    h: Amount
    l: Amount  # noqa: E741 - the venue's name
    c: Amount
    v: Amount
    n: Serial
    x: bool


class Kline(Struct, frozen=True):
    """The forming or just closed bar of a market.

    ``{"e": "kline", "E": 1700000000125, "s": "BTCUSDT", "k": {"t": 1699999980000,
    "T": 1700000039999, "s": "BTCUSDT", "i": "1m", "f": 4100, "L": 4214, "o": "36480.0",
    "c": "36500.1", "h": "36501.0", "l": "36479.5", "v": "12.345", "n": 115, "x": false,
    "q": "450481.2", "V": "6.100", "Q": "222590.6", "B": "0"}}``

    https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams#klinecandlestick-streams-for-utc
    https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams/Kline-Candlestick-Streams
    """

    s: Symbol
    k: Candle
