r"""Kraken's websocket frames, version 2, to ticks: pure, from bytes to values.

payload --> by channel: trade  -> trades, a part a market and run of serials
                        ticker -> a bid and an ask a market
                        others -> Notice
        \-> by method: what answers a request -> Notice
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import msgspec

from piker.brokers._parts import Notice, Part, side_tick
from piker.brokers._payload import FOREIGN, as_request_id, bad_payload, one_line
from piker.brokers._runs import Event, cut_runs
from piker.msgs import Tick

from ._reasons import reason_of
from ._schemas import Envelope, Status, Subscribed, Ticker, Trade

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_S: Final = 9_223_372_036  # of ns in 64 bits
_NS: Final = 1_000_000_000

_ENVELOPE: Final = msgspec.json.Decoder(Envelope)
_TRADES: Final = msgspec.json.Decoder(list[Trade])
_TICKERS: Final = msgspec.json.Decoder(list[Ticker])
_STATUS: Final = msgspec.json.Decoder(list[Status])
_SUBSCRIBED: Final = msgspec.json.Decoder(Subscribed)


def decode_message(payload: bytes) -> list[Part] | Notice:
    """Return what one frame says.

    A trade's serial is its id. Trades of one market stand in order of their ids; where
    these skip a number a new part begins, so that within a part none is missing.

    Args:
      payload: the frame, JSON.

    Returns:
      parts, at least one; or a notice.

    Raises:
      BadPayload: if the frame is not what the venue's documents say.
    """
    try:
        envelope = _ENVELOPE.decode(payload)
        decode = _CHANNELS.get(envelope.channel)
        if decode is not None:
            return decode(envelope.data)
        return _notice(envelope)
    except FOREIGN as error:
        raise bad_payload("kraken", payload, error) from error


def stamp_ns(stamp: str) -> int:
    """Return an RFC 3339 stamp in UTC as ns since the epoch, whole microseconds.

    Raises:
      ValueError: if it is none, or before 1970 or after 2262.
    """
    if stamp[10:11] != "T" or stamp[-1] != "Z" or stamp[19:20] not in {".", "Z"}:
        raise ValueError(f"no stamp in UTC: {stamp!r}")
    digits = stamp[20:-1]
    if digits and not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"no stamp in UTC: {stamp!r}")
    return _second_ns(stamp[:19]) + int(f"{digits:0<6}"[:6]) * 1000


@lru_cache(maxsize=1024)
def _second_ns(second: str) -> int:
    since = datetime.fromisoformat(f"{second}+00:00") - _EPOCH
    second_s = since.days * 86_400 + since.seconds
    if not 0 <= second_s < _LAST_S:
        raise ValueError(f"a stamp out of range: {second!r}")
    return second_s * _NS


def _from_trades(data: msgspec.Raw) -> list[Part]:
    trades = _TRADES.decode(data)
    if len(trades) == 1:
        tick = _trade_tick(trades[0])
        return [Part(trades[0].symbol, [tick], tick.tid, tick.tid)]
    if not trades:
        raise msgspec.ValidationError("no trade in it")
    told: dict[str, list[Event]] = {}
    for trade in trades:
        event = trade.trade_id, _trade_tick(trade)
        told.setdefault(trade.symbol, []).append(event)
    return [
        part for symbol, events in told.items() for part in cut_runs(symbol, events)
    ]


def _trade_tick(trade: Trade) -> Tick:
    if trade.price == 0 or trade.qty == 0:
        raise msgspec.ValidationError("a trade without price or size")
    side = 1 if trade.side == "buy" else -1
    time_ns = stamp_ns(trade.timestamp)
    return Tick("trade", trade.price, trade.qty, time_ns, trade.trade_id, side)


def _from_tickers(data: msgspec.Raw) -> list[Part]:
    tickers = _TICKERS.decode(data)
    if not tickers:
        raise msgspec.ValidationError("no market in it")
    parts = []
    for ticker in tickers:
        time_ns = stamp_ns(ticker.timestamp) if ticker.timestamp else 0
        ticks = [
            side_tick("bid", ticker.bid, ticker.bid_qty, time_ns),
            side_tick("ask", ticker.ask, ticker.ask_qty, time_ns),
        ]
        parts.append(Part(ticker.symbol, ticks))
    return parts


def _from_status(data: msgspec.Raw) -> Notice:
    told = _STATUS.decode(data)
    return Notice("status", text=one_line(", ".join(one.system for one in told)))


def _from_heartbeat(_: msgspec.Raw) -> Notice:
    return Notice("heartbeat")


_CHANNELS: Final[dict[str, Callable[[msgspec.Raw], list[Part] | Notice]]] = {
    "trade": _from_trades,
    "ticker": _from_tickers,
    "status": _from_status,
    "heartbeat": _from_heartbeat,
}


def _notice(told: Envelope) -> Notice:
    if told.channel:
        return Notice("other", text=one_line(told.channel))
    req_id = as_request_id(told.req_id)
    if told.error is not None or told.success is False:
        symbol, text = one_line(told.symbol or ""), one_line(told.error or "")
        return Notice("refused", symbol, req_id, text, reason_of([text]))
    if told.method == "pong":
        return Notice("heartbeat", req_id=req_id)
    if not told.success:
        return Notice("other", req_id=req_id, text=one_line(told.method))
    done = Subscribed()
    if told.method in {"subscribe", "unsubscribe"} and isinstance(
        told.result, msgspec.Raw
    ):
        done = _SUBSCRIBED.decode(told.result)
    text = one_line(f"{told.method} {done.channel}")
    return Notice("ack", one_line(done.symbol), req_id, text)
