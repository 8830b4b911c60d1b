r"""Binance's stream frames to ticks: pure, from bytes to values.

    payload --> by stream name: trade      -> one tick
                                aggTrade   -> one tick, count > 1
                                bookTicker -> a bid and an ask
                                others     -> Notice, its payload left undecoded
            \-> no stream: the answer to a request, or a word about the connection

What counts as a trade: on USD-M the venue also reports transfers that no order of
the market made (``X`` is ``INSURANCE_FUND``, ``ADL`` or ``NA``); the venue's own bars
leave them out, so they become ``utrade`` ticks, which make no bar.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, TypeVar

import msgspec

from piker.brokers._parts import Notice, Part, side_tick
from piker.brokers._payload import FOREIGN, as_request_id, bad_payload, one_line
from piker.msgs import Tick

from ._reasons import reason_of
from ._rest_schemas import AggTradeRow
from ._schemas import AggTrade, BookTicker, DepthUpdate, Envelope, Kline, Trade

_T = TypeVar("_T")
_new: Final = tuple.__new__  # half the time of a NamedTuple's own
_NS_PER_MS: Final = 1_000_000
_MAX_COUNT: Final = 1 << 31  # trades in an aggregate


def _decoder(kind: type[_T]) -> msgspec.json.Decoder[_T]:
    return msgspec.json.Decoder(kind, strict=False)


_ENVELOPE: Final = msgspec.json.Decoder(Envelope)
_TRADE: Final = _decoder(Trade)
_AGG_TRADE: Final = _decoder(AggTrade)
_BOOK_TICKER: Final = _decoder(BookTicker)
_DEPTH_UPDATE: Final = _decoder(DepthUpdate)
_KLINE: Final = _decoder(Kline)


def decode_message(payload: bytes) -> list[Part] | Notice:
    """Return what one frame of a combined stream says.

    Serials are the aggregate's id ``a`` of an aggTrade and the trade's id ``t`` of a
    trade; an aggTrade's tick has its *last* trade's id, of the series of ``t``.

    Args:
      payload: the frame, JSON.

    Returns:
      one part, whose ticks may be empty; or a notice.

    Raises:
      BadPayload: if the frame is not what the venue's documents say.
    """
    try:
        envelope = _ENVELOPE.decode(payload)
        decode = _route(envelope.stream)
        if decode is not None:
            return [decode(envelope.data)]
    except FOREIGN as error:
        raise bad_payload("binance", payload, error) from error
    return _other(envelope.stream) if envelope.stream else _notice(envelope)


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
    except FOREIGN as error:
        raise bad_payload("binance", payload, error) from error


@lru_cache(maxsize=4096)
def _other(stream: str) -> Notice:
    return Notice("other", text=one_line(stream))


def _notice(told: Envelope) -> Notice:
    req_id = as_request_id(told.id)
    refusal = told.error
    if refusal is not None:
        text = one_line(f"code {refusal.code}: {refusal.msg}")
        return Notice("refused", "", req_id, text, reason_of(refusal.code))
    if told.code is not None:
        text = one_line(f"code {told.code}: {told.msg}")
        return Notice("refused", "", req_id, text, reason_of(told.code))
    if told.result is not msgspec.UNSET:
        return Notice("ack", req_id=req_id)
    is_status = told.e == "serverShutdown"
    return Notice("status" if is_status else "other", text=one_line(told.e))


def _kind_of(stream: str) -> str:
    """Return what *stream* carries: ``depth`` of ``btcusdt@depth@100ms``."""
    kind = stream.partition("@")[2] or stream.lstrip("!")
    return kind.partition("@")[0].partition("_")[0]


@lru_cache(maxsize=4096)
def _route(stream: str) -> Callable[[msgspec.Raw], Part] | None:
    """Return what decodes payloads of *stream*, None if they hold no ticks."""
    return _ROUTES.get(_kind_of(stream))


def _from_trade(data: msgspec.Raw) -> Part:
    trade = _TRADE.decode(data)
    of_market = trade.X == "MARKET"
    if trade.p == 0 or trade.q == 0:
        # a transfer may have no price; a trade of the market always has both
        if of_market:
            raise msgspec.ValidationError("a trade without price or size")
        return Part(trade.s, [], trade.t, trade.t)
    tick = Tick(
        "trade" if of_market else "utrade",
        trade.p,
        trade.q,
        trade.T * _NS_PER_MS,
        trade.t,
        -1 if trade.m else 1,
    )
    return _new(Part, (trade.s, [tick], trade.t, trade.t))


def _from_agg_trade(data: msgspec.Raw) -> Part:
    agg = _AGG_TRADE.decode(data)
    return _new(Part, (agg.s, [agg_trade_tick(agg)], agg.a, agg.a))


def agg_trade_tick(agg: AggTrade | AggTradeRow) -> Tick:
    """Return the tick of an aggregate; ValidationError if it holds no trade."""
    count = agg.l - agg.f + 1
    if agg.p == 0 or agg.q == 0 or not 0 < count < _MAX_COUNT:
        raise msgspec.ValidationError("an aggregate without price, size or trades")
    return Tick(
        "trade", agg.p, agg.q, agg.T * _NS_PER_MS, agg.l, -1 if agg.m else 1, count
    )


def _from_book_ticker(data: msgspec.Raw) -> Part:
    book = _BOOK_TICKER.decode(data)
    time_ns = book.T * _NS_PER_MS
    if book.b and book.a:
        bid = Tick("bid", book.b, book.B, time_ns)
        ask = Tick("ask", book.a, book.A, time_ns)
        return _new(Part, (book.s, [bid, ask], -1, -1))
    return book_part(book.s, (book.b, book.B), (book.a, book.A), time_ns)


def book_part(
    symbol: str, bid: tuple[float, float], ask: tuple[float, float], time_ns: int
) -> Part:
    """Return a best bid and ask, price and size each; one without price is none."""
    return Part(
        symbol, [side_tick("bid", *bid, time_ns), side_tick("ask", *ask, time_ns)]
    )


_ROUTES: Final = {
    "trade": _from_trade,
    "aggTrade": _from_agg_trade,
    "bookTicker": _from_book_ticker,
}
