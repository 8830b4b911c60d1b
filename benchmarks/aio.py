"""A request to a client on the actor's asyncio loop, beside one made on that loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from piker.brokers._aio import MethodProxy, open_proxy
from piker.service import _tractor as tr
from piker.testing import free_port

from ._report import Report, compared, quantile

FLOOR = "the same request to the same server made on the asyncio loop, same process"
RATIO = 3.0
_PAYLOAD = b"x" * 100


@dataclass
class EchoClient:
    """Asks a server on the loopback, one request at a time on a connection of its own.

    Attributes:
      free: connections that nobody uses.
    """

    port: int
    free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]

    async def ask(self, payload: bytes) -> bytes:
        """Return what the server says, which is *payload*."""
        if self.free:
            reader, writer = self.free.pop()
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(len(payload).to_bytes(4) + payload)
        size = int.from_bytes(await reader.readexactly(4))
        answer = await reader.readexactly(size)
        self.free.append((reader, writer))
        return answer

    async def times(self, requests: int) -> list[float]:
        """Return what requests made here take, us each."""
        took = []
        for _ in range(requests):
            began = time.perf_counter_ns()
            await self.ask(_PAYLOAD)
            took.append((time.perf_counter_ns() - began) / 1e3)
        return took

    async def throughput(self, requests: int, abreast: int) -> float:
        """Return requests a second, *abreast* at a time."""

        async def some() -> None:
            for _ in range(requests // abreast):
                await self.ask(_PAYLOAD)

        began = time.perf_counter()
        await asyncio.gather(*(some() for _ in range(abreast)))
        return requests / (time.perf_counter() - began)


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while size := await reader.readexactly(4):
            writer.write(size + await reader.readexactly(int.from_bytes(size)))
    except asyncio.IncompleteReadError:
        writer.close()


@asynccontextmanager
async def open_client() -> AsyncIterator[EchoClient]:
    """Yield a client of an echo server on the loopback."""
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    client = EchoClient(server.sockets[0].getsockname()[1], [])
    try:
        yield client
    finally:
        for _, writer in client.free:
            writer.close()
        server.close()


def run(rounds: int = 5, requests: int = 1000, abreast: int = 50) -> Report:
    """Measure a request's time, us, and how many a second go side by side."""

    async def main() -> tuple[list[list[float]], ...]:
        async with (
            tr.open_root_actor(
                name="aio", registry_addr=("127.0.0.1", free_port()), be_registry=True
            ),
        ):
            tr.infect()
            async with open_proxy(open_client, venue="echo") as proxy:
                patient = proxy.within(60)
                await _times(proxy, 100)  # connections, caches
                ours, floor, many, floor_many = [], [], [], []
                for _ in range(rounds):
                    floor.append(await patient.call(EchoClient.times, requests))
                    ours.append(await _times(proxy, requests))
                    floor_many.append(
                        [await patient.call(EchoClient.throughput, requests, abreast)]
                    )
                    many.append([await _throughput(proxy, requests, abreast)])
                return ours, floor, many, floor_many

    ours, floor, many, floor_many = tr.run_infected(main)
    rows = [
        compared(
            f"one at a time, {name}",
            "us",
            [quantile(times, share) for times in ours],
            [quantile(times, share) for times in floor],
            target=target,
        )
        for name, share, target in (("half", 0.5, RATIO), ("99 of 100", 0.99, None))
    ]
    rows.append(
        compared(
            f"{abreast} at a time, us a request",
            "us",
            [1e6 / rate for (rate,) in many],
            [1e6 / rate for (rate,) in floor_many],
        )
    )
    return Report("aio", FLOOR, tuple(rows))


async def _times(proxy: MethodProxy[EchoClient], requests: int) -> list[float]:
    took = []
    for _ in range(requests):
        began = time.perf_counter_ns()
        await proxy.call(EchoClient.ask, _PAYLOAD)
        took.append((time.perf_counter_ns() - began) / 1e3)
    return took


async def _throughput(
    proxy: MethodProxy[EchoClient], requests: int, abreast: int
) -> float:
    async def some() -> None:
        for _ in range(requests // abreast):
            await proxy.call(EchoClient.ask, _PAYLOAD)

    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(abreast):
            nursery.start_soon(some)
    return requests / (time.perf_counter() - began)
