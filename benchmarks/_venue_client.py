"""Clients of live orders at an emulated Kraken: by piker, and with nothing between.

``python -m benchmarks._venue_client ours|bare JSON``; a parent tells ``[what, kwargs]``
by ``_speak``. Both do the same: place orders that rest, cancel them, many at once.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Final, Protocol

import trio
from websockets.trio.client import connect

from piker.brokers._live._secrets import Keys, Secret
from piker.brokers.kraken._sign import signed_form
from piker.clearing import OrderClient, new_oid, open_ems
from piker.msgs import Order, Status
from piker.service import open_piker_runtime

from ._speak import heard, say

PRICE: Final = Decimal(58_000)
SIZE: Final = Decimal("0.001")
_WAIT_S: Final = 30.0


class Desk(Protocol):
    """Who places and cancels."""

    async def place(self) -> str:
        """Place an order; return its id once the venue has taken it."""
        ...

    async def cancel(self, oid: str) -> None:
        """Cancel it; return once that is known."""
        ...

    def taken_ns(self, oid: str) -> int:
        """Return when emsd took an order, wall ns; 0 where there is no emsd."""
        ...


class Client:
    """Does what the parent tells, with either desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def sent(self, count: int) -> list[tuple[int, int]]:
        """Place *count* orders, one by one.

        Returns: when each was sent, and taken by emsd, wall ns.
        """
        took = []
        for _ in range(count):
            sent_ns = time.time_ns()
            oid = await self._desk.place()
            took.append((sent_ns, self._desk.taken_ns(oid)))
            await self._desk.cancel(oid)
        return took

    async def pairs(self, seconds: float, workers: int) -> list[tuple[float, float]]:
        """Place and cancel, again and again; return when each pair ended, and ms."""
        began = time.monotonic()
        done: list[tuple[float, float]] = []

        async def work() -> None:
            while (at := time.monotonic()) - began < seconds:
                await self._desk.cancel(await self._desk.place())
                now = time.monotonic()
                done.append((now - began, (now - at) * 1e3))

        with trio.fail_after(seconds + _WAIT_S):
            async with trio.open_nursery() as tasks:
                for _ in range(workers):
                    tasks.start_soon(work)
        return done

    async def cancels(self, seconds: float, every_s: float) -> list[float]:
        """Return ms of cancels, one each *every_s*."""
        took = []
        until = trio.current_time() + seconds
        while trio.current_time() < until:
            oid = await self._desk.place()
            began_ns = time.monotonic_ns()
            await self._desk.cancel(oid)
            took.append((time.monotonic_ns() - began_ns) / 1e6)
            await trio.sleep(every_s)
        return took


class Ours:
    """Through emsd and brokerd."""

    def __init__(self, client: OrderClient, fqme: str, account: str) -> None:
        self._client, self._fqme, self._account = client, fqme, account
        self._told: dict[tuple[str, str], trio.Event] = {}
        self._taken_ns: dict[str, int] = {}

    def _event(self, oid: str, resp: str) -> trio.Event:
        return self._told.setdefault((oid, resp), trio.Event())

    async def listen(self) -> None:
        """Note what is told, for ever."""
        async for msg in self._client.trades:
            if isinstance(msg, Status):
                if msg.resp in ("error", "closed"):
                    raise RuntimeError(f"order {msg.oid}: {msg.resp}: {msg.reason}")
                if msg.resp == "pending":
                    self._taken_ns.setdefault(msg.oid, msg.time_ns)
                if (told := self._told.get((msg.oid, msg.resp))) is not None:
                    told.set()

    async def place(self) -> str:
        """Place an order; return its id once the venue has taken it."""
        oid = new_oid()
        told = self._event(oid, "open")
        self._client.send_nowait(
            Order(
                oid=oid, action="buy", symbol=self._fqme, size=SIZE, price=PRICE,
                account=self._account,
            )
        )  # fmt: skip
        await told.wait()
        del self._told[oid, "open"]
        return oid

    async def cancel(self, oid: str) -> None:
        """Cancel it; return once that is known."""
        told = self._event(oid, "canceled")
        self._client.cancel_nowait(oid)
        await told.wait()
        del self._told[oid, "canceled"]
        self._taken_ns.pop(oid, None)

    def taken_ns(self, oid: str) -> int:
        """Return when emsd took an order, wall ns."""
        return self._taken_ns[oid]


class Bare:
    """A websocket and nothing else."""

    def __init__(self, socket: Any, token: str) -> None:
        self._socket, self._token = socket, token
        self._waiting: dict[int, tuple[trio.Event, list[Any]]] = {}
        self._count = 0

    async def listen(self) -> None:
        """Take answers, for ever."""
        async for text in self._socket:
            told = json.loads(text)
            if (waits := self._waiting.pop(told.get("req_id"), None)) is not None:
                waits[1].append(told)
                waits[0].set()

    async def ask(self, method: str, **params: Any) -> Any:
        """Ask for something; return its result."""
        self._count += 1
        number = self._count
        waits = self._waiting[number] = (trio.Event(), [])
        told = {"method": method, "req_id": number,
                "params": {**params, "token": self._token}}  # fmt: skip
        await self._socket.send(json.dumps(told))
        await waits[0].wait()
        (answer,) = waits[1]
        if not answer["success"]:
            raise RuntimeError(answer["error"])
        return answer["result"]

    async def place(self) -> str:
        """Place an order; return its id once the venue has taken it."""
        placed = await self.ask(
            "add_order", order_type="limit", side="buy", symbol="BTC/USDT",
            order_qty=float(SIZE), limit_price=float(PRICE), time_in_force="gtc",
            cl_ord_id=new_oid(),
        )  # fmt: skip
        return placed["order_id"]

    async def cancel(self, oid: str) -> None:
        """Cancel it; return once that is known."""
        await self.ask("cancel_order", order_id=[oid])

    def taken_ns(self, _oid: str) -> int:
        """There is no emsd: 0."""
        return 0


@asynccontextmanager
async def _ours(told: dict[str, Any]) -> AsyncIterator[Ours]:
    fqme = told["fqme"]
    async with (
        open_piker_runtime("client", tuple(told["addr"])),
        open_ems(fqme, "live") as (client, *_),
    ):
        yield Ours(client, fqme, told["account"])


@asynccontextmanager
async def _bare(told: dict[str, Any]) -> AsyncIterator[Bare]:
    import httpx

    path = "/0/private/GetWebSocketsToken"
    keys = Keys(Secret(told["key"]), Secret(told["secret"]))
    form, headers = signed_form(keys, path, time.time_ns(), {})
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(told["http"] + path, content=form, headers=headers)
    token = answer.json()["result"]["token"]
    async with connect(told["ws"], proxy=None) as socket:
        yield Bare(socket, token)


async def _main(kind: str, told: dict[str, Any]) -> None:
    opened: Any = _ours(told) if kind == "ours" else _bare(told)
    async with opened as desk, trio.open_nursery() as tasks:
        tasks.start_soon(desk.listen)
        client = Client(desk)
        if kind == "bare":
            await desk.ask("subscribe", channel="executions")
        say(ready=True)
        async for what, kwargs in heard():
            say(took=await getattr(client, what)(**kwargs))
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(_main, sys.argv[1], json.loads(sys.argv[2]))
