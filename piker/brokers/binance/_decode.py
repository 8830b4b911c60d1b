"""Binance's stream frames to ticks: pure, from bytes to values.

    payload --> Envelope --> by stream name: trade      -> one tick
                                             aggTrade   -> one tick, count > 1
                                             bookTicker -> a bid and an ask
                                             others     -> None, left undecoded

What counts as a trade: on USD-M the venue also reports transfers that no order of
the market made (``X`` is ``INSURANCE_FUND``, ``ADL`` or ``NA``); the venue's own bars
leave them out, so they become ``utrade`` ticks, which make no bar.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

import msgspec

from piker.errors import BadPayload
from piker.msgs import Tick

from ._schemas import AggTrade, BookTicker, DepthUpdate, Envelope, Kline, Trade

#: What a frame says: the market as the venue spells it, and ticks, oldest first.
Decoded = tuple[str, list[Tick]]

_T = TypeVar("_T")
_NS_PER_MS = 1_000_000
_SHOWN_BYTES = 80  # of a bad frame, in the error's text
_FOREIGN = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def _decoder(kind: type[_T]) -> msgspec.json.Decoder[_T]:
    return msgspec.json.Decoder(kind, strict=False)


_ENVELOPE = msgspec.json.Decoder(Envelope)
_TRADE = _decoder(Trade)
_AGG_TRADE = _decoder(AggTrade)
_BOOK_TICKER = _decoder(BookTicker)
_DEPTH_UPDATE = _decoder(DepthUpdate)
_KLINE = _decoder(Kline)


def decode_frame(payload: bytes) -> Decoded | None:
    """Return the ticks of one frame of a combined stream.

    Args:
      payload: the frame, JSON.

    Returns:
      The market, e.g. ``"BTCUSDT"``, and its ticks; the list may be empty. None for
      a frame that holds no ticks: book depth, bars, the answer to a request.

    Raises:
      BadPayload: if the frame is not what the venue's documents say, or if it says
        that the venue refused a request.
    """
    try:
        envelope = _ENVELOPE.decode(payload)
        decode = _route(envelope.stream)
        if decode is not None:
            return decode(envelope.data)
    except _FOREIGN as error:
        raise _bad(payload, error) from error
    if envelope.error is not None:
        code, text = envelope.error.code, envelope.error.msg[:_SHOWN_BYTES]
        raise BadPayload(f"binance refused a request: code {code}, {text!r}")
    return None


def decode_depth(payload: bytes) -> DepthUpdate | None:
    """Return the book changes of one frame, None if it is of another stream.

    Raises:
      BadPayload: if the frame is not what the venue's documents say.
    """
    return _decode_only("depth", _DEPTH_UPDATE, payload)


def decode_kline(payload: bytes) -> Kline | None:
    """Return the bar of one frame, None if it is of another stream.

    Raises:
      BadPayload: if the frame is not what the venue's documents say.
    """
    return _decode_only("kline", _KLINE, payload)


def _decode_only(
    kind: str, decoder: msgspec.json.Decoder[_T], payload: bytes
) -> _T | None:
    try:
        envelope = _ENVELOPE.decode(payload)
        if _kind_of(envelope.stream) != kind:
            return None
        return decoder.decode(envelope.data)
    except _FOREIGN as error:
        raise _bad(payload, error) from error


def _kind_of(stream: str) -> str:
    """Return what *stream* carries: ``depth`` of ``btcusdt@depth@100ms``."""
    kind = stream.partition("@")[2] or stream.lstrip("!")
    return kind.partition("@")[0].partition("_")[0]


@lru_cache(maxsize=4096)
def _route(stream: str) -> Callable[[msgspec.Raw], Decoded] | None:
    """Return what decodes payloads of *stream*, None if they hold no ticks."""
    return {
        "trade": _from_trade,
        "aggTrade": _from_agg_trade,
        "bookTicker": _from_book_ticker,
    }.get(_kind_of(stream))


def _from_trade(data: msgspec.Raw) -> Decoded:
    trade = _TRADE.decode(data)
    of_market = trade.X == "MARKET"
    if trade.p == 0 or trade.q == 0:
        # a transfer may have no price; a trade of the market always has both
        if of_market:
            raise msgspec.ValidationError("a trade without price or size")
        return trade.s, []
    tick = Tick(
        "trade" if of_market else "utrade",
        trade.p,
        trade.q,
        trade.T * _NS_PER_MS,
        trade.t,
        -1 if trade.m else 1,
    )
    return trade.s, [tick]


def _from_agg_trade(data: msgspec.Raw) -> Decoded:
    """Give the tick its *last* trade's id, of the series that `Trade` counts in."""
    agg = _AGG_TRADE.decode(data)
    if agg.p == 0 or agg.q == 0 or agg.l < agg.f:
        raise msgspec.ValidationError("an aggregate without price, size or trades")
    tick = Tick(
        "trade",
        agg.p,
        agg.q,
        agg.T * _NS_PER_MS,
        agg.l,
        -1 if agg.m else 1,
        agg.l - agg.f + 1,
    )
    return agg.s, [tick]


def _from_book_ticker(data: msgspec.Raw) -> Decoded:
    book = _BOOK_TICKER.decode(data)
    time_ns = book.T * _NS_PER_MS
    if book.b and book.a:
        return book.s, [
            Tick("bid", book.b, book.B, time_ns),
            Tick("ask", book.a, book.A, time_ns),
        ]
    ticks = []
    if book.b:
        ticks.append(Tick("bid", book.b, book.B, time_ns))
    if book.a:
        ticks.append(Tick("ask", book.a, book.A, time_ns))
    return book.s, ticks


def _bad(payload: bytes, error: Exception) -> BadPayload:
    """Return what *error* about *payload* means, in one line."""
    shown = payload[:_SHOWN_BYTES]
    dots = "..." if len(payload) > _SHOWN_BYTES else ""
    reason = " ".join(str(error).split())
    return BadPayload(f"not a frame of binance's documents: {reason}: {shown!r}{dots}")
