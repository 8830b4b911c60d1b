"""What bare actors let others call: tractor alone, none of piker's guards.

The engine's names are those of the tractor that is installed; nothing is added.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Awaitable, Callable
from typing import Any

import tractor
import trio

from piker.service._tractor._engine import engine

engine.be_bare()
STAMPS = struct.Struct("<qq")
BUFFER = 2**12

#: Of the root: starts the children a client wants; returns datad's address.
spawn: Callable[[], Awaitable[tuple[str, int]]] | None = None


def exposed(func: Any) -> Any:
    """Make *func* callable from other actors, as tractor does it."""
    func = tractor.context(func)
    func.__endpoint__ = None  # the seam's import lets nothing else be called
    return func


@exposed
async def want(ctx: tractor.Context) -> None:
    """Started: where datad listens; it and samplerd are started first."""
    assert spawn is not None
    await ctx.started(await spawn())


@exposed
async def address(ctx: tractor.Context) -> None:
    """Started: pid, and where this actor listens."""
    await ctx.started((os.getpid(), *engine.own_addr()))
    await trio.sleep_forever()


@exposed
async def ticks(ctx: tractor.Context) -> None:
    """Started: pid. Sends: a number every 10 ms, the first at once."""
    await ctx.started(os.getpid())
    async with engine.open_stream(ctx, BUFFER) as stream:
        i = 0
        while True:
            await stream.send(i)
            i += 1
            await trio.sleep(0.01)


_listeners: list[Any] = []


@exposed
async def listen(ctx: tractor.Context) -> None:
    """Sends: what `send_quotes` makes, until the client leaves."""
    await ctx.started()
    async with engine.open_stream(ctx, BUFFER) as stream:
        _listeners.append(stream)
        try:
            await trio.sleep_forever()
        finally:
            _listeners.remove(stream)


@exposed
async def send_quotes(
    ctx: tractor.Context, rate_hz: float, count: int, size: int
) -> None:
    """Send *size* bytes to each listener, at absolute deadlines.

    A message begins with two monotonic stamps: when it was due, when it was made.
    Ends: after *count* messages.
    """
    await ctx.started()
    step_s = 1 / rate_hz
    pad = bytes(max(size - STAMPS.size, 0))
    origin_ns = time.monotonic_ns() + 50_000_000
    for i in range(count):
        due_ns = origin_ns + int(i * step_s * 1e9)
        wait_s = (due_ns - time.monotonic_ns()) / 1e9
        await trio.sleep(max(wait_s, 0))
        payload = STAMPS.pack(due_ns, time.monotonic_ns()) + pad
        for stream in _listeners:
            await stream.send(payload)


@exposed
async def echo(ctx: tractor.Context) -> None:
    """Sends: what it receives."""
    await ctx.started()
    async with engine.open_stream(ctx, BUFFER) as stream:
        while True:
            await stream.send(await stream.receive())


@exposed
async def flood(ctx: tractor.Context, count: int, size: int, batch: int) -> None:
    """Sends: *count* messages of *batch* times *size* bytes, waiting for every 32nd.

    Receives: anything, for every 32 it has read.
    """
    await ctx.started()
    payload = bytes(size * batch)
    async with engine.open_stream(ctx, BUFFER) as stream:
        for i in range(count):
            await stream.send(payload)
            if i >= 128 and not i % 32:
                await stream.receive()
