"""A small venue on the loopback: a websocket that a test has do what it wants."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import trio
from websockets.exceptions import ConnectionClosed
from websockets.trio.server import ServerConnection, serve

from piker.brokers._parts import Notice, Part, side_tick
from piker.brokers._web import Dialect, RateBudget
from piker.errors import BadPayload
from piker.msgs import Tick


def decode(payload: bytes) -> list[Part] | Notice:
    """Take a frame of this venue apart."""
    try:
        told = json.loads(payload)
        kind = told["k"]
        if kind == "trade":
            n = told["n"]
            return [Part(told["s"], [Tick("trade", 1.0, 1.0, 1, n)], n, n)]
        if kind == "quote":
            sides = ("bid", told["bid"]), ("ask", told["ask"])
            return [Part(told["s"], [side_tick(*side, 1.0, 0) for side in sides])]
    except (ValueError, KeyError, TypeError) as error:
        raise BadPayload(f"not what x documents: {error}: {payload[:20]!r}") from error
    if kind == "bug":
        raise ZeroDivisionError
    said = (told.get("s", ""), told.get("id", -1), told.get("text", ""))
    return Notice(kind, *said, told.get("why", "other"))


def request(method: str, symbols, req_id: int) -> list[str]:
    return [json.dumps({"m": method, "s": list(symbols), "id": req_id})]


class WsVenue:
    """What the venue does, and what it has seen.

    Attributes:
      acks: whether it answers subscriptions at once.
      owed: answers that it didn't give.
      refuses: symbols that it doesn't have.
      why: reason that it refuses them for.
      greets: sent to each who connects.
      heard: requests: (method, symbols).
      conns: open websockets.
    """

    def __init__(self) -> None:
        self.port = 0
        self.acks = True
        self.owed: list[tuple[ServerConnection, dict]] = []
        self.refuses: set[str] = set()
        self.why = "market"
        self.greets: list[str | bytes] = []
        self.heard: list[tuple[str, list[str]]] = []
        self.paths: list[str] = []
        self.times: list[float] = []
        self.conns: list[ServerConnection] = []

    def dialect(self, **options) -> Dialect:
        usual = {
            "venue": "x",
            "url": lambda symbols: f"ws://127.0.0.1:{self.port}/{','.join(symbols)}",
            "in_url": False,
            "subscribe": partial(request, "sub"),
            "unsubscribe": partial(request, "unsub"),
            "decode": decode,
            "acks": 1,
            "frames_a_s": 1000,
            "connects": RateBudget(1000, 1.0),
        }
        return Dialect(**(usual | options))

    async def handle(self, conn: ServerConnection) -> None:
        self.conns.append(conn)
        self.paths.append(conn.request.path)
        self.times.append(trio.current_time())
        try:
            for frame in self.greets:
                await conn.send(frame)
            async for text in conn:
                told = json.loads(text)
                self.heard.append((told["m"], told["s"]))
                if told["m"] == "sub" and self.acks:
                    await self._answer(conn, told)
                elif told["m"] == "sub":
                    self.owed.append((conn, told))
        except ConnectionClosed:
            pass
        finally:
            self.conns.remove(conn)

    async def _answer(self, conn: ServerConnection, told: dict) -> None:
        for symbol in told["s"]:
            kind = "refused" if symbol in self.refuses else "ack"
            answer = {"k": kind, "s": symbol, "id": told["id"], "text": "no such pair"}
            await conn.send(json.dumps(answer | {"why": self.why}))

    async def answer_owed(self) -> None:
        for conn, told in self.owed:
            if conn in self.conns:
                await self._answer(conn, told)

    async def send(self, *frames: str | bytes | dict) -> None:
        """Send to all who are connected."""
        for frame in frames:
            text = json.dumps(frame) if isinstance(frame, dict) else frame
            for conn in list(self.conns):
                with suppress(ConnectionClosed):
                    await conn.send(text)

    async def trade(self, symbol: str, *serials: int) -> None:
        await self.send(*({"k": "trade", "s": symbol, "n": n} for n in serials))

    async def drop(self) -> None:
        """Reset all connections."""
        for conn in list(self.conns):
            await conn.stream.aclose()

    async def wait_conns(self, n: int) -> None:
        """Wait until so many websockets have been opened, ever."""
        with trio.fail_after(20):
            while len(self.paths) < n:
                await trio.sleep(0.005)

    async def wait_heard(self, n: int) -> None:
        """Wait until so many requests came, ever."""
        with trio.fail_after(20):
            while len(self.heard) < n:
                await trio.sleep(0.005)


@asynccontextmanager
async def open_ws_venue(**options) -> AsyncIterator[WsVenue]:
    venue = WsVenue()
    options = {"ping_interval": None, "compression": None} | options
    async with trio.open_nursery() as tasks:
        server = await tasks.start(
            partial(serve, venue.handle, 0, host="127.0.0.1", **options)
        )
        venue.port = server.listeners[0].socket.getsockname()[1]
        yield venue
        tasks.cancel_scope.cancel()
