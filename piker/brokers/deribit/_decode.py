r"""Deribit's frames to ticks: pure, from bytes to values.

payload --> by channel: trades         -> trades, a part a market and run of serials
                        quote, ticker  -> a bid and an ask
                        others         -> Notice
        \-> heartbeat, an answer -> Notice
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import UNSET

from piker.brokers._parts import Notice, Part, side_tick
from piker.brokers._payload import FOREIGN, as_request_id, bad_payload, one_line
from piker.brokers._runs import Event, cut_runs
from piker.msgs import Tick

from ._reasons import reason_of, words_of
from ._schemas import Envelope, Quote, Trade

_MS_NS: Final = 1_000_000

_ENVELOPE: Final = msgspec.json.Decoder(Envelope)
_TRADES: Final = msgspec.json.Decoder(list[Trade])
_QUOTE: Final = msgspec.json.Decoder(Quote)


def decode_message(payload: bytes) -> list[Part] | Notice:
    """Return what one frame says.

    A trade's serial is its ``trade_seq``. Trades of one market stand in order of their
    serials; where these skip a number a new part begins.

    Args:
      payload: the frame, JSON.

    Returns:
      parts, at least one; or a notice.

    Raises:
      BadPayload: if the frame is not what the venue's documents say.
    """
    try:
        envelope = _ENVELOPE.decode(payload)
        params = envelope.params
        if envelope.method == "subscription" and params is not None:
            decode = _CHANNELS.get(params.channel.partition(".")[0])
            if decode is not None:
                return decode(params.data)
        return _notice(envelope)
    except FOREIGN as error:
        raise bad_payload("deribit", payload, error) from error


def trade_event(trade: Trade) -> tuple[int, Tick]:
    """Return a trade's serial and tick; ValidationError of one that can't be."""
    if trade.price == 0 or trade.amount == 0:
        raise msgspec.ValidationError("a trade without price or size")
    side = 1 if trade.direction == "buy" else -1
    time_ns = trade.timestamp * _MS_NS
    tick = Tick("trade", trade.price, trade.amount, time_ns, trade.trade_seq, side)
    return trade.trade_seq, tick


def quote_ticks(quote: Quote) -> list[Tick]:
    """Return a bid and an ask."""
    time_ns = quote.timestamp * _MS_NS
    return [
        side_tick("bid", quote.best_bid_price, quote.best_bid_amount, time_ns),
        side_tick("ask", quote.best_ask_price, quote.best_ask_amount, time_ns),
    ]


def _from_trades(data: msgspec.Raw) -> list[Part]:
    trades = _TRADES.decode(data)
    if len(trades) == 1:
        serial, tick = trade_event(trades[0])
        return [Part(trades[0].instrument_name, [tick], serial, serial)]
    if not trades:
        raise msgspec.ValidationError("no trade in it")
    told: dict[str, list[Event]] = {}
    for trade in trades:
        told.setdefault(trade.instrument_name, []).append(trade_event(trade))
    return [
        part for symbol, events in told.items() for part in cut_runs(symbol, events)
    ]


def _from_quote(data: msgspec.Raw) -> list[Part]:
    quote = _QUOTE.decode(data)
    return [Part(quote.instrument_name, quote_ticks(quote))]


_CHANNELS: Final[dict[str, Callable[[msgspec.Raw], list[Part]]]] = {
    "trades": _from_trades,
    "quote": _from_quote,
    "ticker": _from_quote,
}


def _notice(told: Envelope) -> Notice:
    params = told.params
    if told.method == "heartbeat":
        return Notice("heartbeat", text=one_line(params.type if params else ""))
    if told.method:
        channel = params.channel if params else ""
        return Notice("other", text=one_line(channel or told.method))
    req_id = as_request_id(told.id)
    if told.error is not None:
        error = told.error
        symbol = one_line(_symbol_of(error.data))
        return Notice("refused", symbol, req_id, words_of(error), reason_of(error))
    if told.result is UNSET:
        return Notice("other", req_id=req_id)
    return Notice("ack", req_id=req_id)


def _symbol_of(data: object) -> str:
    """Return the market that a refusal names, as `_socket` tells it; else nothing."""
    told = data.get("instrument_name") if isinstance(data, dict) else None
    return told if isinstance(told, str) else ""
