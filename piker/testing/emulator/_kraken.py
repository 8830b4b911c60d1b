"""Kraken's spot websocket, version 2: messages of the market, requests of clients.

    Print -> trade: all its trades in one message;  ticker, of event_trigger "trades"
    Book  -> ticker, of event_trigger "bbo"

By https://docs.kraken.com/api/docs/websocket-v2/{trade,ticker,status,heartbeat,ping}.
Prices and sizes are JSON numbers. The tape's stamps are of whole milliseconds; prints
of one get a microsecond each, and the trades of a print, one taker's, share theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import trio

from ._core import Core, Frame, Private, Reply
from ._kraken_names import Pair
from ._kraken_private import AUTH, KrakenPrivate
from ._kraken_rest import KrakenRest, stamp_us
from ._kraken_rows import rfc3339
from ._listing import listings
from ._tape import LOTS, Item, Market, Print
from ._ws import Connection, text_frame

_SNAPSHOT_TRADES: Final = 50
_HEARTBEAT_S: Final = 1.0
_CHANNELS: Final = ("trade", "ticker")
_TRIGGERS: Final = ("bbo", "trades")
#: Numbers as they stand there.
_REQUEST: Final = msgspec.json.Decoder(float_hook=Decimal)


class Kraken:
    """The venue, see `Venue`.

    Args:
      core: state.
      made_up: markets to list besides those of the tape.
      budget: requests at once, None for what is usual.
    """

    def __init__(
        self, core: Core, *, made_up: int = 0, budget: int | None = None
    ) -> None:
        self.core = core
        pairs = [Pair(one) for one in listings(core.tape, made_up)]
        self._pairs = {pair.symbol: pair for pair in pairs}
        self._by_market = {one.listed.market: one for one in pairs}
        self.rest = KrakenRest(core, pairs, budget)
        self._orders = KrakenPrivate(core, pairs, budget)
        self.private: Private | None = self._orders
        self._numbers = count(13834774380200032777)
        self._ready: dict[int, bytes] = {}  # by id of the item
        self._days: dict[Pair, tuple[int, str]] = {}

    def answer(self, path: str, query: dict[str, str]) -> Reply:
        """Return the answer to a GET."""
        return self.rest.answer(path, query)

    # -- messages of the market ----------------------------------------------------

    def prepare(self, item: Item) -> None:
        """Make the message of a print's trades; a ticker tells what was before it."""
        if isinstance(item, Print):
            self._ready[id(item)] = self._print(self._by_market[item.market], item)

    def due(self) -> Iterator[Frame]:
        """Yield nothing: all messages are made of items."""
        return iter(())

    def frames(self, item: Item) -> Iterator[Frame]:
        """Yield the trades of a print, or a best bid and ask."""
        pair = self._by_market[item.market]
        self._orders.accounts.follow(pair.symbol, item)
        listeners = self.core.listeners
        trigger = "bbo"
        if isinstance(item, Print):
            trigger = "trades"
            ready = self._ready.pop(id(item), None) if self._ready else None
            if conns := listeners.get(pair.trade_stream):
                yield Frame(conns, ready or self._print(pair, item))
        if conns := listeners.get(f"{pair.ticker_stream} {trigger}"):
            told = self._ticker(pair, item.market)
            if told:
                yield Frame(conns, text_frame(_message("ticker", "update", told)))

    def _print(self, pair: Pair, item: Print) -> bytes:
        return text_frame(_message("trade", "update", _trades(pair, item, 0)))

    def _ticker(self, pair: Pair, market: Market) -> str:
        """Return the state of *market*, nothing before its first trade and book."""
        book = market.book
        if book is None or not market.prints:
            return ""
        digits = pair.price_digits
        time_us = max(book.time_ms * 1000, stamp_us(market.prints[-1]))
        return (
            f'{{"symbol":"{pair.symbol}","bid":{book.bid:.{digits}f}'
            f',"bid_qty":{book.bid_size:.8f},"ask":{book.ask:.{digits}f}'
            f',"ask_qty":{book.ask_size:.8f},{self._day(pair, market)}'
            f',"timestamp":"{rfc3339(time_us)}"}}'
        )

    def _day(self, pair: Pair, market: Market) -> str:
        """Return what only trades change in a ticker, made once for each."""
        trades, told = self._days.get(pair, (0, ""))
        if trades == market.trades:
            return told
        digits = pair.price_digits
        first, last = market.prints[0].price, market.prints[-1].price
        vwap = market.notional / market.lots * LOTS
        told = (
            f'"last":{last:.{digits}f},"volume":{market.lots / LOTS:.8f}'
            f',"vwap":{vwap:.{digits}f},"low":{market.low:.{digits}f}'
            f',"high":{market.high:.{digits}f},"change":{last - first:.{digits}f}'
            f',"change_pct":{(last / first - 1) * 100:.2f}'
        )
        self._days[pair] = market.trades, told
        return told

    def _snapshot(self, pair: Pair, channel: str) -> str:
        """Return what a new listener gets first; nothing if nothing has passed."""
        market = pair.listed.market
        if market is None:
            return ""
        if channel == "ticker":
            return self._ticker(pair, market)
        left, rows = _SNAPSHOT_TRADES, []
        for item in reversed(market.prints):
            skip = max(0, len(item.lots) - left)
            rows.append(_trades(pair, item, skip))
            left -= len(item.lots) - skip
            if not left:
                break
        return ",".join(reversed(rows))

    # -- requests of clients -------------------------------------------------------

    def refusal(self, url: str) -> int:
        """Return 0 for the paths of version 2."""
        return 0 if urlsplit(url).path.rstrip("/") in ("/v2", AUTH) else 404

    def opened(self, conn: Connection) -> None:
        """Tell the state of the venue."""
        told = {
            "api_version": "v2",
            "connection_id": next(self._numbers),
            "system": "online",
            "version": "2.0.10",
        }
        _say(conn, {"channel": "status", "type": "update", "data": [told]})

    def counted(self, conn: Connection) -> bool:
        """Let everything pass: the venue names no number."""
        return not conn.is_closing

    def heard(self, conn: Connection, payload: bytes) -> None:
        """Answer a request."""
        try:
            request = _REQUEST.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            request = None
        request = request if isinstance(request, dict) else {}
        method = request.get("method")
        reply: dict[str, Any] = {"method": method, "time_in": self._now()}
        if isinstance(request.get("req_id"), int):
            reply["req_id"] = request["req_id"]
        if _is_private(conn) and self._orders.take(conn, request, reply):
            return
        if method == "ping":
            _say(conn, {**reply, "method": "pong", "time_out": self._now()})
        elif method not in {"subscribe", "unsubscribe"} or not isinstance(
            request.get("params"), dict
        ):
            text = f"Unsupported method {method}" if method else "Malformed request"
            self._refuse(conn, {**reply, "method": "error"}, text)
        else:
            self._take(conn, reply, request["params"])

    def _take(
        self, conn: Connection, reply: dict[str, Any], params: dict[str, Any]
    ) -> None:
        """Answer a subscription, or the end of one."""
        channel, symbols = params.get("channel"), params.get("symbol")
        if channel not in _CHANNELS:
            return self._refuse(conn, reply, f"Unsupported channel {channel}")
        if not isinstance(symbols, list) or not symbols:
            return self._refuse(conn, reply, "Symbol(s) not found")
        trigger = params.get("event_trigger", "trades")
        if trigger not in _TRIGGERS:
            return self._refuse(conn, reply, "Event trigger not supported")
        for symbol in symbols:
            self._do(conn, reply, params, str(symbol))
        return None

    def _do(
        self, conn: Connection, reply: dict[str, Any], params: Any, symbol: str
    ) -> None:
        """Answer for one symbol: a subscription, or its end."""
        channel = params["channel"]
        pair = self._pairs.get(symbol)
        if pair is None:
            text = f"Currency pair not supported {symbol}"
            return self._refuse(conn, reply | {"symbol": symbol}, text)
        result: dict[str, Any] = {"channel": channel, "symbol": symbol}
        stream = pair.trade_stream
        if channel == "ticker":
            result["event_trigger"] = params.get("event_trigger", "trades")
            stream = f"{pair.ticker_stream} {result['event_trigger']}"
        is_end = reply["method"] == "unsubscribe"
        if is_end != (stream in conn.streams):
            text = "Subscription Not Found" if is_end else "Already subscribed"
            return self._refuse(conn, reply | {"symbol": symbol}, text)
        if not is_end:
            result["snapshot"] = bool(params.get("snapshot", channel == "ticker"))
        told = reply | {"result": result, "success": True, "time_out": self._now()}
        _say(conn, told)
        if is_end:
            return self.core.unsubscribe(conn, stream)
        if result["snapshot"] and (data := self._snapshot(pair, channel)):
            conn.say(_message(channel, "snapshot", data))
        return self.core.subscribe(conn, stream)

    def _refuse(self, conn: Connection, reply: dict[str, Any], text: str) -> None:
        _say(conn, reply | {"error": text, "success": False, "time_out": self._now()})

    async def keep(self, conn: Connection) -> None:
        """Be there for what is asked on it; send heartbeats."""
        if not _is_private(conn):
            await self._beat(conn)
            return
        async with trio.open_nursery() as tasks:
            tasks.start_soon(self._orders.keep, conn)
            await self._beat(conn)

    async def _beat(self, conn: Connection) -> None:
        """Send a heartbeat for each second in which nothing else was sent."""
        while True:
            wait_s = conn.last_sent + _HEARTBEAT_S - trio.current_time()
            await trio.sleep(wait_s if wait_s > 0 else _HEARTBEAT_S)
            idle_s = trio.current_time() - conn.last_sent
            if conn.streams and not conn.is_silent and idle_s >= _HEARTBEAT_S:
                conn.say(b'{"channel":"heartbeat"}')

    def _now(self) -> str:
        return rfc3339(self.core.server_ns() // 1000)


def _trades(pair: Pair, item: Print, skip: int) -> str:
    """Return the trades of *item*, less the first *skip*, as JSON rows."""
    at = rfc3339(stamp_us(item))
    side = "buy" if item.side >= 0 else "sell"
    head = (
        f'{{"symbol":"{pair.symbol}","side":"{side}"'
        f',"price":{item.price:.{pair.price_digits}f},"qty":'
    )
    return ",".join(
        f'{head}{item.lots[nth] / LOTS:.8f},"ord_type":"market"'
        f',"trade_id":{item.first_id + nth},"timestamp":"{at}"}}'
        for nth in range(skip, len(item.lots))
    )


def _is_private(conn: Connection) -> bool:
    return conn.path.startswith(AUTH)


def _message(channel: str, kind: str, rows: str) -> bytes:
    return f'{{"channel":"{channel}","type":"{kind}","data":[{rows}]}}'.encode()


def _say(conn: Connection, value: Any) -> None:
    conn.say(msgspec.json.encode(value))
