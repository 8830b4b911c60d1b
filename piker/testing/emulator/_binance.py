"""Binance's streams, spot and USD-M: messages of the market, requests of clients.

    Print -> <symbol>@aggTrade, and one <symbol>@trade for each of its trades
    Book  -> <symbol>@bookTicker

By https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams and
.../docs/derivatives/usds-margined-futures/websocket-market-streams. As there, any
well-formed stream name is acknowledged, whether or not such a market exists, and on
USD-M whether or not it is one that the connection's route tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, urlsplit

import msgspec
import trio

from ._binance_private import WS_API, BinancePrivate
from ._binance_rest import BinanceRest
from ._core import Core, Frame, Private, Reply
from ._listing import Listed, decimals, listings
from ._tape import LOTS, Book, Item, Market, Print
from ._ws import Connection, text_frame

Kind = Literal["spot", "usdtm"]

#: Frames of a client in a second, streams of a connection, pings: by the documents.
_MESSAGES_S: Final = {"spot": 5, "usdtm": 10}
_STREAMS: Final = {"spot": 1024, "usdtm": 200}
#: Characters of a URL, bytes of a client's message: by what clients met.
_URL_MAX: Final = 8004
_MESSAGE_MAX: Final = 4088  # 4096 with the frame's head
#: USD-M: a path begins with what is told there; where it doesn't, what is public is.
#: .../websocket-market-streams/Important-WebSocket-Change-Notice
_ROUTE: Final = re.compile(r"/(public|market|private)(?=/)")
_PUBLIC: Final = frozenset({"bookTicker", "depth", "rpiDepth", "trade"})
_PING_S: Final = {"spot": 20.0, "usdtm": 180.0}
_PONG_S: Final = {"spot": 60.0, "usdtm": 600.0}
_PINGS: Final = 3  # and at least as many of them go unanswered

_METHODS: Final = (
    "SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY",
)  # fmt: skip
_STREAM_NAME: Final = re.compile(r"!?[a-z0-9_]+@[A-Za-z0-9_@]+|![A-Za-z]+(@arr)?")


class Symbol:
    """A market of the tape as Binance spells it.

    Attributes:
      name: e.g. ``BTCUSDT``.
      listed: the rest.
      price_digits: decimals of its prices; spot writes eight.
      size_digits: see *price_digits*.
    """

    def __init__(self, listed: Listed, kind: Kind) -> None:
        self.listed = listed
        delivery = f"_{listed.delivery}" if listed.delivery else ""
        self.name = f"{listed.base}{listed.quote}{delivery}"
        is_spot = kind == "spot"
        self.price_digits = 8 if is_spot else max(2, decimals(listed.price_tick))
        self.size_digits = 8 if is_spot else decimals(listed.size_tick)
        lower = self.name.lower()
        self.agg, self.trade = f"{lower}@aggTrade", f"{lower}@trade"
        self.book = f"{lower}@bookTicker"

    @cached_property
    def market(self) -> Market:
        """Its part of the tape."""
        assert self.listed.market is not None, "it is made up"
        return self.listed.market


class Binance:
    """The venue, see `Venue`.

    Args:
      core: state.
      kind: which of its markets.
      made_up: markets to list besides those of the tape.
      budget: weight a minute, None for the documented one.
      ping_s: between pings, None for the documented time.
    """

    def __init__(
        self,
        core: Core,
        kind: Kind,
        *,
        made_up: int = 0,
        budget: int | None = None,
        ping_s: float | None = None,
    ) -> None:
        self.core = core
        self.kind = kind
        listed = [Symbol(one, kind) for one in listings(core.tape, made_up)]
        self._symbols = {one.market: one for one in listed if one.listed.market}
        self.rest = BinanceRest(core, kind, listed, budget)
        names = {one.name: one.listed for one in listed}
        self._orders = (
            BinancePrivate(core, names, self.rest) if kind == "spot" else None
        )
        self.private: Private | None = self._orders
        self._ping_s = ping_s or _PING_S[kind]
        self._pong_s = 3 * ping_s if ping_s else _PONG_S[kind]
        self._heard_s: dict[Connection, list[float]] = {}
        self._ready: dict[int, bytes] = {}  # by id of the item

    def answer(self, path: str, query: dict[str, str]) -> Reply:
        """Return the answer to a GET."""
        return self.rest.answer(path, query)

    # -- messages of the market ----------------------------------------------------

    def prepare(self, item: Item) -> None:
        """Make the message of an aggregate, or of a best bid and ask."""
        self._ready[id(item)] = self._main(self._symbols[item.market], item)

    def due(self) -> Iterator[Frame]:
        """Yield nothing: all messages are made of items."""
        return iter(())

    def frames(self, item: Item) -> Iterator[Frame]:
        """Yield an aggregate and its trades, or a best bid and ask."""
        symbol = self._symbols[item.market]
        listeners = self.core.listeners
        if self._orders is not None:
            self._orders.accounts.follow(symbol.name, item)
        ready = self._ready.pop(id(item), None) if self._ready else None
        if isinstance(item, Book):
            stream = symbol.book
        else:
            stream = symbol.agg
            if conns := listeners.get(symbol.trade):
                for at in range(len(item.lots)):
                    trade = self._trade(symbol, item, at)
                    yield Frame(conns, _wire(symbol.trade, trade), _cut(symbol.trade))
        if conns := listeners.get(stream):
            if ready is None or self._skew_ms:
                ready = self._main(symbol, item)
            yield Frame(conns, ready, _cut(stream))

    def _main(self, symbol: Symbol, item: Item) -> bytes:
        if isinstance(item, Book):
            return _wire(symbol.book, self._book(symbol, item))
        return _wire(symbol.agg, self._agg_trade(symbol, item))

    def _agg_trade(self, symbol: Symbol, item: Print) -> str:
        return (
            f'{{"e":"aggTrade","E":{item.time_ms + self._skew_ms},"s":"{symbol.name}"'
            f',"a":{item.agg_id},"p":"{item.price:.{symbol.price_digits}f}"'
            f',"q":"{item.size / LOTS:.{symbol.size_digits}f}","f":{item.first_id}'
            f',"l":{item.first_id + len(item.lots) - 1},"T":{item.time_ms}'
            f',"m":{"true" if item.side < 0 else "false"}'
            + (',"M":true}' if self.kind == "spot" else "}")
        )

    def _trade(self, symbol: Symbol, item: Print, at: int) -> str:
        is_spot = self.kind == "spot"
        head = f'{{"e":"trade","E":{item.time_ms + self._skew_ms}'
        if not is_spot:
            head += f',"T":{item.time_ms}'
        head += (
            f',"s":"{symbol.name}","t":{item.first_id + at}'
            f',"p":"{item.price:.{symbol.price_digits}f}"'
            f',"q":"{item.lots[at] / LOTS:.{symbol.size_digits}f}"'
        )
        maker = "true" if item.side < 0 else "false"
        if is_spot:
            return f'{head},"T":{item.time_ms},"m":{maker},"M":true}}'
        return f'{head},"X":"MARKET","m":{maker}}}'

    def _book(self, symbol: Symbol, item: Book) -> str:
        price, size = symbol.price_digits, symbol.size_digits
        said = (
            f'"u":{item.update_id},"s":"{symbol.name}","b":"{item.bid:.{price}f}"'
            f',"B":"{item.bid_size:.{size}f}","a":"{item.ask:.{price}f}"'
            f',"A":"{item.ask_size:.{size}f}"'
        )
        if self.kind == "spot":
            return f"{{{said}}}"
        event_ms = item.time_ms + self._skew_ms
        return f'{{"e":"bookTicker",{said},"T":{item.time_ms},"E":{event_ms}}}'

    @property
    def _skew_ms(self) -> int:
        return 0 if self.core.tape.is_live else self.core.faults.skew_ms

    # -- requests of clients -------------------------------------------------------

    def refusal(self, url: str) -> int:
        """Return 0 for ``/ws``, ``/ws/<stream>`` and ``/stream``, else a status."""
        if len(url) > _URL_MAX:
            return 414
        _, path = self._route(urlsplit(url).path)
        is_known = path.rstrip("/") in {"/ws", "/stream"} or path.startswith("/ws/")
        if self._orders is not None:
            is_known |= path == WS_API
        return 0 if is_known else 404

    def _route(self, path: str) -> tuple[str, str]:
        """Return the route that *path* begins with, empty for none, and the rest."""
        found = _ROUTE.match(path) if self.kind == "usdtm" else None
        return (found[1], path[found.end() :]) if found else ("", path)

    def opened(self, conn: Connection) -> None:
        """Subscribe what the path says."""
        parts = urlsplit(conn.path)
        if parts.path == WS_API:
            return
        conn.route, path = self._route(parts.path)
        conn.combined = path.startswith("/stream")
        asked = dict(parse_qsl(parts.query)).get("streams", "")
        if not conn.combined:
            asked = path.removeprefix("/ws").strip("/")
        self._subscribe(conn, [name for name in asked.split("/") if name])

    def counted(self, conn: Connection) -> bool:
        """Count a frame; False if there were too many in a second."""
        if conn.path.startswith(WS_API):
            return True  # orders are counted there, not frames
        now = trio.current_time()
        heard = [at for at in self._heard_s.get(conn, []) if now - at < 1]
        self._heard_s[conn] = [*heard, now]
        return len(heard) < _MESSAGES_S[self.kind]

    def heard(self, conn: Connection, payload: bytes) -> None:
        """Answer a request; one that is too long never."""
        if self._orders is not None and conn.path.startswith(WS_API):
            return self._orders.heard(conn, payload)
        if len(payload) > _MESSAGE_MAX:
            return None
        try:
            asked = msgspec.json.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            text = "Invalid JSON: expected value at line 1 column 1"
            return self._refuse(conn, 3, text, None)
        request = asked if isinstance(asked, dict) else {}
        req_id = request.get("id")
        if "method" not in request:
            at = f"at line 1 column {len(payload)}"
            text = f"Invalid request: missing field `method` {at}"
            return self._refuse(conn, 2, text, req_id)
        if req_id is True or not isinstance(req_id, int | str | None):
            text = "Invalid request: request ID must be an unsigned integer"
            return self._refuse(conn, 2, text, None)
        params = request.get("params")
        names = params if isinstance(params, list) else []
        return self._do(conn, request["method"], names, req_id)

    def _do(self, conn: Connection, method: Any, names: list[Any], req_id: Any) -> None:
        match method:
            case "LIST_SUBSCRIPTIONS":
                names = [*conn.streams, *conn.mute_streams]
                _say(conn, {"result": names, "id": req_id})
            case "GET_PROPERTY":
                _say(conn, {"result": conn.combined, "id": req_id})
            case "SET_PROPERTY":
                if len(names) != 2 or not isinstance(names[1], bool):
                    text = "Invalid value type: expected Boolean"
                    return self._refuse(conn, 1, text, req_id)
                conn.combined = names[1]
                _say(conn, {"result": None, "id": req_id})
            case "SUBSCRIBE" | "UNSUBSCRIBE":
                self._change(conn, method, names, req_id)
            case _:
                known = ", ".join(f"`{name}`" for name in _METHODS)
                text = f"unknown variant `{method}`, expected one of {known}"
                self._refuse(conn, 2, f"Invalid request: {text}", req_id)
        return None

    def _change(
        self, conn: Connection, method: str, names: list[Any], req_id: Any
    ) -> None:
        wrong = [n for n in names if not isinstance(n, str) or not _is_stream(n)]
        if wrong or not names:
            text = "Invalid request: invalid stream"
            return self._refuse(conn, 2, text, req_id)
        if method == "UNSUBSCRIBE":
            for name in names:
                self.core.unsubscribe(conn, name)
                conn.mute_streams.pop(name, None)
        elif self._is_too_many(conn, names):
            text = "Invalid request: too many parameters"
            return self._refuse(conn, 2, text, req_id)
        _say(conn, {"result": None, "id": req_id})
        if method == "SUBSCRIBE":
            self._subscribe(conn, names)
        return None

    def _is_too_many(self, conn: Connection, names: list[str]) -> bool:
        asked = {*conn.streams, *conn.mute_streams, *names}
        return len(asked) > _STREAMS[self.kind]

    def _subscribe(self, conn: Connection, names: list[str]) -> None:
        for name in names[: _STREAMS[self.kind]]:
            if self._is_told(conn, name):
                self.core.subscribe(conn, name)
            else:
                conn.mute_streams[name] = None

    def _is_told(self, conn: Connection, name: str) -> bool:
        """Whether *conn* is of the route by which the stream *name* is told."""
        if self.kind == "spot":
            return True
        channel = re.split("[@_]", name.partition("@")[2] or name[1:])[0]
        route = "public" if channel in _PUBLIC else "market"
        return (conn.route or "public") == route

    def _refuse(self, conn: Connection, code: int, text: str, req_id: Any) -> None:
        _say(conn, {"code": code, "msg": text, "id": req_id})

    async def keep(self, conn: Connection) -> None:
        """Be there for what is asked on it; ping it now and then."""
        if self._orders is None or not conn.path.startswith(WS_API):
            await self._ping(conn)
            return
        async with trio.open_nursery() as tasks:
            tasks.start_soon(self._orders.keep, conn)
            await self._ping(conn)

    async def _ping(self, conn: Connection) -> None:
        """Ping it now and then; end it if it doesn't answer."""
        waits_since, unanswered = trio.current_time(), 0
        try:
            while True:
                await trio.sleep(self._ping_s)
                now = trio.current_time()
                if conn.last_heard >= waits_since:
                    waits_since, unanswered = now, 0  # not when: pings may be late
                else:
                    unanswered += 1
                conn.ping()
                # one who was held up along with us had no time to answer the last
                if unanswered >= _PINGS and now - waits_since > self._pong_s:
                    self.core.drop(conn)
                    await conn.close(1008, "Pong timeout")
                    conn.break_off()
        finally:
            self._heard_s.pop(conn, None)


def _is_stream(name: str) -> bool:
    return _STREAM_NAME.fullmatch(name) is not None


def _wire(stream: str, told: str) -> bytes:
    return text_frame(f'{{"stream":"{stream}","data":{told}}}'.encode())


def _cut(stream: str) -> int:
    return len(stream) + len('{"stream":"","data":')


def _say(conn: Connection, value: Any) -> None:
    conn.say(msgspec.json.encode(value))
