"""A small JSON-RPC venue on the loopback that a test has do what it wants."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import trio
from websockets.exceptions import ConnectionClosed
from websockets.trio.server import ServerConnection, serve


class RpcVenue:
    """What the venue does, and what it has seen.

    Attributes:
      on: by method, what makes the result of the params; None: no answer at all. An
        exception it raises with a dict is the error.
      heard: requests, as they came.
      conns: open websockets.
      connects: websockets, ever.
    """

    def __init__(self) -> None:
        self.port = 0
        self.on: dict[str, Callable[[dict], Any]] = {
            "public/set_heartbeat": lambda _: "ok",
            "public/test": lambda _: {"version": "1.2.26"},
            "public/get_time": lambda _: 1_700_000_000_000,
            "public/subscribe": lambda params: params["channels"],
            "public/unsubscribe": lambda params: params["channels"],
        }
        self.heard: list[dict] = []
        self.conns: list[ServerConnection] = []
        self.connects = 0
        self.late: deque[tuple[ServerConnection, str]] = deque()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/api/v2"

    def asked(self, method: str) -> list[dict]:
        """Return the params of all requests of a method."""
        return [one["params"] for one in self.heard if one["method"] == method]

    async def handle(self, conn: ServerConnection) -> None:
        self.conns.append(conn)
        self.connects += 1
        try:
            async for text in conn:
                told = json.loads(text)
                self.heard.append(told)
                answer = {"jsonrpc": "2.0", "id": told["id"]}
                make = self.on.get(told["method"])
                try:
                    result = None if make is None else make(told["params"])
                except Refused as err:
                    answer["error"] = err.args[0]
                else:
                    if result is None:
                        continue
                    if result is LATE:
                        self.late.append((conn, told))
                        continue
                    answer["result"] = result
                await conn.send(json.dumps(answer))
        except ConnectionClosed:
            pass
        finally:
            self.conns.remove(conn)

    async def answer_late(self, result: Callable[[dict], Any], *, last: bool) -> None:
        """Answer one of the requests that were left, the last of them or the first."""
        conn, told = self.late.pop() if last else self.late.popleft()
        answer = {"jsonrpc": "2.0", "id": told["id"], "result": result(told["params"])}
        with suppress(ConnectionClosed):
            await conn.send(json.dumps(answer))

    async def send(self, frame: dict | str) -> None:
        """Send to all who are connected."""
        text = json.dumps(frame) if isinstance(frame, dict) else frame
        for conn in list(self.conns):
            with suppress(ConnectionClosed):
                await conn.send(text)

    async def drop(self) -> None:
        """Reset all connections."""
        for conn in list(self.conns):
            await conn.stream.aclose()

    async def wait_heard(self, method: str, n: int = 1) -> None:
        """Wait until so many requests of a method came, ever."""
        with trio.fail_after(20):
            while len(self.asked(method)) < n:
                await trio.sleep(0.005)


class Refused(Exception):
    """An answer with an error: ``Refused({"code": 10028, "message": "..."})``."""


#: The answer is given by `RpcVenue.answer_late`.
LATE: Any = object()


@asynccontextmanager
async def open_rpc_venue() -> AsyncIterator[RpcVenue]:
    venue = RpcVenue()
    async with trio.open_nursery() as tasks:
        server = await tasks.start(
            partial(
                serve, venue.handle, 0, host="127.0.0.1", ping_interval=None,
                compression=None,
            )
        )  # fmt: skip
        venue.port = server.listeners[0].socket.getsockname()[1]
        yield venue
        tasks.cancel_scope.cancel()
