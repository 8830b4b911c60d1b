"""Endpoints for the seam's tests; imported by child actors."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from decimal import Decimal
from typing import Any

import numpy as np
import psutil
import trio

from piker.errors import SymbolNotFound
from piker.msgs import Tick
from piker.service._tractor import (
    Context,
    endpoint,
    open_channel_from,
    open_child,
    piker_vars,
    register_self,
    sweep_contexts,
)

alive: set[str] = set()


@endpoint(started=int)
async def hold(ctx: Context, tag: str = "") -> None:
    """Stay until cancelled; *tag* is in ``alive`` meanwhile."""
    alive.add(tag)
    try:
        await ctx.started(os.getpid())
        await trio.sleep_forever()
    finally:
        alive.discard(tag)


@endpoint(started=list[str])
async def who_is_alive(ctx: Context) -> None:
    await ctx.started(sorted(alive))


@endpoint(started=int, sends=Tick, receives=Tick)
async def echo(ctx: Context, tag: str = "") -> None:
    alive.add(tag)
    try:
        await ctx.started(os.getpid())
        async with ctx.open_stream() as stream:
            async for tick in stream:
                await stream.send(tick)
    finally:
        alive.discard(tag)


@endpoint(sends=int)
async def count(ctx: Context, period_s: float, tag: str = "", upto: int = 0) -> None:
    """Send 0, 1, 2... for ever, or *upto* many."""
    alive.add(tag)
    try:
        await ctx.started()
        async with ctx.open_stream() as stream:
            i = 0
            while not upto or i < upto:
                await stream.send(i)
                i += 1
                await trio.sleep(period_s)
    finally:
        alive.discard(tag)


@endpoint(started=dict[str, Decimal], returns=Tick)
async def typed(ctx: Context, tick: Tick, prices: tuple[Decimal, ...]) -> Tick:
    assert isinstance(tick, Tick)
    await ctx.started({str(i): p for i, p in enumerate(prices)})
    return tick


@endpoint(started=float)
async def numpy_scalar(ctx: Context) -> None:
    await ctx.started(np.float64(1.5))


@endpoint(started=str)
async def unsendable(ctx: Context) -> None:
    await ctx.started(object())


@endpoint(returns=int)
async def unsendable_result(ctx: Context) -> object:
    await ctx.started()
    return object()


@endpoint()
async def fail(ctx: Context, when: str, kind: str) -> None:
    """Raise before or after ``started()``."""
    if when == "after":
        await ctx.started()
        await trio.sleep(0.05)
    if kind == "ours":
        raise SymbolNotFound("no market 'x' here; try 'y'")
    if kind == "exit":
        raise SystemExit(3)
    if kind == "interrupt":
        raise KeyboardInterrupt
    raise ZeroDivisionError("oops")


@endpoint()
async def never_start(ctx: Context, tag: str = "") -> None:
    alive.add(tag)
    try:
        await trio.sleep_forever()
    finally:
        alive.discard(tag)


@endpoint()
async def block(ctx: Context, seconds: float) -> None:
    """Block the whole actor: no await."""
    await ctx.started()
    time.sleep(seconds)


@endpoint()
async def deaf(ctx: Context) -> None:
    """Refuse to be cancelled."""
    await ctx.started()
    with trio.CancelScope(shield=True):
        await trio.sleep(60)


@endpoint(started=dict[str, str])
async def inherited(ctx: Context) -> None:
    await ctx.started({k: str(v) for k, v in piker_vars().items()})


@endpoint(started=int)
async def last_words(ctx: Context) -> None:
    """Answer, and have the process exit right after."""
    await ctx.started(42)
    os._exit(0)


@endpoint(returns=bytes)
async def big(ctx: Context) -> bytes:
    """Return more than a socket holds."""
    await ctx.started()
    return bytes(32 * 2**20)


@endpoint(sends=int)
async def parting_burst(ctx: Context, n: int) -> None:
    """Send *n* messages and die at once."""
    await ctx.started()
    async with ctx.open_stream() as stream:
        for i in range(n):
            await stream.send(i)
        os._exit(0)


async def not_an_endpoint() -> str:
    return "called"


async def aio_echo(chan, factor: int) -> None:
    """Runs on the asyncio loop: multiply what comes."""
    import asyncio

    alive.add("aio")
    try:
        chan.started_nowait("hello")
        while True:
            item = await chan.get()
            await asyncio.sleep(0)
            if item == "fail":
                raise ValueError("asked to")
            chan.send_nowait(item * factor)
    finally:
        alive.discard("aio")


@endpoint(started=list[str])
async def who_waits(ctx: Context) -> None:
    """Tell which threads wait for trio's I/O while it has nothing to do."""
    import asyncio
    import sys
    import threading

    names = {thread.ident: thread.name for thread in threading.enumerate()}
    found: list[str] = []

    def look() -> None:
        for ident, innermost in sys._current_frames().items():
            frame = innermost
            while frame is not None:
                if frame.f_code.co_name == "get_events":
                    found.append(names.get(ident, "a new thread"))
                frame = frame.f_back

    for _ in range(5):
        asyncio.get_running_loop().call_later(0.02, look)
        await trio.sleep(0.05)
    await ctx.started(found)


@endpoint(started=str, sends=int, receives=int | str)
async def through_asyncio(ctx: Context, factor: int) -> None:
    async with open_channel_from(aio_echo, factor=factor) as (chan, first):
        await ctx.started(first)
        async with ctx.open_stream() as stream:
            async for item in stream:
                if item == "leave":
                    return
                await chan.send(item)
                await stream.send(await chan.receive())


@endpoint(started=int)
async def late(ctx: Context) -> None:
    """Start after a while."""
    await trio.sleep(0.2)
    await ctx.started(os.getpid())


@endpoint(sends=int, receives=int)
async def late_reader(ctx: Context) -> None:
    """Start at once, and send back after a while what came first."""
    await ctx.started()
    await trio.sleep(0.1)
    async with ctx.open_stream() as stream:
        await stream.send(await stream.receive())


@endpoint()
async def register_again(ctx: Context) -> None:
    await register_self()
    await ctx.started()


@endpoint()
async def sweep_often(ctx: Context) -> None:
    """Sweep whenever this actor sends, from now on."""
    sweep_at_each_send(type(ctx._ctx.chan))
    await ctx.started()


def sweep_at_each_send(channel_class, put=setattr):
    send = channel_class.send

    async def sweeping(self, *args, **kwargs):
        sweep_contexts()
        await send(self, *args, **kwargs)
        sweep_contexts()

    put(channel_class, "send", sweeping)


@endpoint(started=dict[str, Any])
async def surroundings(ctx: Context) -> None:
    """Tell what a process has from whoever made it."""
    await ctx.started(
        {
            "files": sorted(file_kinds()),
            "env": dict(os.environ),
            "cwd": os.getcwd(),
            "path": sys.path,
            "parent": os.getppid(),
            "group": os.getpgid(0),
            "ignored": [
                str(s) for s in SIGNALS if signal.getsignal(s) is signal.SIG_IGN
            ],
            "title": " ".join(psutil.Process().cmdline()),
            "main": sys.modules["__main__"].__spec__.name,
        }
    )


SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD)


def file_kinds() -> list[str]:
    """Return what this process has open, less what differs from run to run."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{fd}").partition(":")[0])
    return found


@endpoint()
async def say(ctx: Context, text: str) -> None:
    """Write to stderr."""
    os.write(2, text.encode())
    await ctx.started()


@endpoint(started=int)
async def be_parent_of(ctx: Context, modules: tuple[str, ...]) -> None:
    """Have a child of its own until cancelled; tell its pid."""
    async with open_child("leaf", enable_modules=modules) as child:
        await ctx.started(child.pid)
        await trio.sleep_forever()


@endpoint()
async def be_parent(ctx: Context, modules: tuple[str, ...]) -> None:
    """Have a child of its own until cancelled."""
    await ctx.started()
    async with open_child("leaf", enable_modules=modules):
        await trio.sleep_forever()
