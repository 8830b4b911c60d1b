"""Bare tractor trees: as many actors as piker's, with its imports, and nothing else.

``python -m benchmarks._bare WHAT JSON``; roots are ``boot``, ``supervised`` and
``source``, clients ``first``, ``attached``,
``watch``, ``latency``, ``flooded`` and ``chain``.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import trio

from ._speak import heard, parent_gone, say

#: What actors of piker import, by actor; a bare one imports the same.
IMPORTS: Final[dict[str, tuple[str, ...]]] = {
    "pikerd": ("piker.cli.pikerd", "piker.service"),
    "pikerd, once up": ("piker.data._daemon", "piker.brokers.sim"),
    "datad.sim": (
        "piker.data._daemon",
        "piker.data._rpc",
        "piker.service._actor_rpc",
        "piker.brokers.sim._search",
    ),
    "samplerd": ("piker.data._sampling", "piker.service._actor_rpc"),
    "client": ("piker.service", "piker.data"),
}
EPS: Final = "benchmarks._bare_eps"


def _load(actor: str) -> Any:
    for name in IMPORTS[actor]:
        importlib.import_module(name)
    return importlib.import_module(EPS)


def _modules(actor: str) -> list[str]:
    return [*IMPORTS[actor], EPS]


@asynccontextmanager
async def _root_actor(name: str, addr: tuple[str, int]) -> AsyncIterator[Any]:
    eps = _load("client" if name == "client" else "pikerd")
    modules = [] if name == "client" else [EPS]
    async with eps.engine.open_root_actor(
        name=name, registry_addr=addr, enable_modules=modules
    ):
        yield eps


@asynccontextmanager
async def _portal(eps: Any, addr: tuple[str, int]) -> AsyncIterator[Any]:
    chan = await eps.engine.connect_channel(tuple(addr))
    try:
        async with (
            trio.open_nursery() as tasks,
            eps.engine.portal_to(chan, tasks) as portal,
        ):
            yield portal
    finally:
        await eps.engine.close_channel(chan)


async def _start(eps: Any, children: Any, name: str) -> Any:
    return await eps.engine.start_actor(
        children, name, enable_modules=_modules(name), infect_asyncio=False
    )


# -- roots ----------------------------------------------------------------------


async def boot(addr: tuple[str, int]) -> None:
    """Start datad when a client wants it, and samplerd after it."""
    async with (
        _root_actor("pikerd", addr) as eps,
        eps.engine.open_nursery() as children,
        trio.open_nursery() as tasks,
    ):

        async def start(name: str) -> tuple[str, int]:
            portal = await _start(eps, children, name)
            async with portal.open_context(eps.address) as (ctx, told):
                await ctx.cancel()
            return tuple(told[1:])

        async def spawn() -> tuple[str, int]:
            where = await start("datad.sim")
            tasks.start_soon(start, "samplerd")
            return where

        eps.spawn = spawn
        _load("pikerd, once up")
        await trio.sleep_forever()


async def supervised(addr: tuple[str, int]) -> None:
    """Keep datad and samplerd up, one for one; say datad's pid and address."""
    async with _root_actor("pikerd", addr) as eps, trio.open_nursery() as tasks:
        for name in ("datad.sim", "samplerd"):
            await tasks.start(_supervise, eps, name)


async def _supervise(
    eps: Any, name: str, task_status: Any = trio.TASK_STATUS_IGNORED
) -> None:
    """Scope, nursery, actor, context, sleep; and again when it dies."""
    started = task_status.started
    while True:
        portal = None
        try:
            with trio.CancelScope() as scope:
                async with (
                    eps.engine.open_nursery() as children,
                    trio.open_nursery() as guard,
                ):
                    portal = await _start(eps, children, name)
                    guard.start_soon(_when_gone, portal.channel, scope.cancel)
                    async with portal.open_context(eps.address) as (_, told):
                        pid, *where = told
                        say(up=name, pid=pid, addr=where)
                        started()
                        started = _nothing
                        await trio.sleep_forever()
        except Exception:  # noqa: BLE001 - whatever the death looks like: again
            pass


def _nothing() -> None: ...


async def _when_gone(chan: Any, call: Callable[[], None]) -> None:
    """Do as bare code has to: look at the socket again and again."""
    from piker.service._tractor._peers import is_gone

    while not is_gone(chan):
        await trio.sleep(0.01)
    call()


async def source(addr: tuple[str, int]) -> None:
    """Start datad; have it send quotes as the parent tells."""
    async with (
        _root_actor("pikerd", addr) as eps,
        eps.engine.open_nursery() as children,
    ):
        portal = await _start(eps, children, "datad.sim")
        async with portal.open_context(eps.address) as (_, told):
            say(addr=told[1:])
            async for order in heard():
                async with portal.open_context(eps.send_quotes, **order):
                    pass
            os._exit(0)  # the context's end would wait for the far one's


# -- clients --------------------------------------------------------------------


async def first(addr: tuple[str, int]) -> None:
    """Have datad started; say when its first message came."""
    async with _root_actor("client", addr) as eps:
        began_ns = time.monotonic_ns()
        async with _portal(eps, addr) as root:
            async with root.open_context(eps.want) as (_, where):
                pass
        async with _first_message(eps, where):
            say(began=began_ns, first=time.monotonic_ns())
            await trio.sleep_forever()


@asynccontextmanager
async def _first_message(eps: Any, datad: tuple[str, int]) -> AsyncIterator[None]:
    async with _portal(eps, datad) as portal:
        async with portal.open_context(eps.ticks) as (ctx, _):
            async with eps.engine.open_stream(ctx, eps.BUFFER) as stream:
                await stream.receive()
                yield


async def attached(addr: tuple[str, int], datad: tuple[str, int]) -> None:
    """Read one message of a running datad; say how long that took."""
    async with _root_actor("client", addr) as eps:
        began_ns = time.monotonic_ns()
        async with _first_message(eps, datad):
            say(began=began_ns, first=time.monotonic_ns())
            await trio.sleep_forever()


async def watch(addr: tuple[str, int], name: str) -> None:
    """Stay attached to *name*; say when the first message of each new process came."""
    from piker.service._tractor._discovery import find_actor

    async with _root_actor("client", addr) as eps:
        while True:
            try:
                async with find_actor(name) as portal:
                    if portal is None:
                        await trio.sleep(0.02)
                        continue
                    await _watch_one(eps, portal)
            except Exception:  # noqa: BLE001 - whatever the death looks like: again
                await trio.sleep(0.01)


async def _watch_one(eps: Any, portal: Any) -> None:
    async with trio.open_nursery() as tasks:

        def gone() -> None:
            tasks.cancel_scope.cancel()

        tasks.start_soon(_when_gone, portal.channel, gone)
        async with portal.open_context(eps.ticks) as (ctx, pid):
            async with eps.engine.open_stream(ctx, eps.BUFFER) as stream:
                await stream.receive()
                say(fresh=time.monotonic_ns(), pid=pid)
                while True:
                    await stream.receive()


async def latency(addr: tuple[str, int], datad: tuple[str, int], count: int) -> None:
    """Receive *count* quotes; say how late each was, ns since it was due, and made."""
    async with _root_actor("client", addr) as eps, _portal(eps, datad) as portal:
        async with portal.open_context(eps.listen) as (ctx, _):
            async with eps.engine.open_stream(ctx, eps.BUFFER) as stream:
                say(ready=True)
                due, made = [], []
                for _ in range(count):
                    raw = await stream.receive()
                    now_ns = time.monotonic_ns()
                    due_ns, made_ns = eps.STAMPS.unpack_from(raw)
                    due.append(now_ns - due_ns)
                    made.append(now_ns - made_ns)
                say(due=due, made=made)
                await trio.sleep_forever()


async def flooded(
    addr: tuple[str, int], datad: tuple[str, int], count: int, size: int, batch: int
) -> None:
    """Read messages as fast as they come; say how long that took."""
    async with _root_actor("client", addr) as eps, _portal(eps, datad) as portal:
        kwargs = {"count": count, "size": size, "batch": batch}
        async with portal.open_context(eps.flood, **kwargs) as (ctx, _):
            async with eps.engine.open_stream(ctx, eps.BUFFER) as stream:
                began_ns = 0
                for i in range(count):
                    await stream.receive()
                    began_ns = began_ns or time.monotonic_ns()
                    if not i % 32:
                        await stream.send(None)
                say(seconds=(time.monotonic_ns() - began_ns) / 1e9)
                await trio.sleep_forever()


async def chain(
    addr: tuple[str, int], datad: tuple[str, int], size: int, write: int, path: str
) -> None:
    """Take a message of *size* bytes 6 hops, with 2 writes to disk on its way.

    Says ns of it, and of its writes with their fdatasyncs, as often as it is told.
    """
    async with _root_actor("client", addr) as eps, _portal(eps, datad) as portal:
        async with portal.open_context(eps.echo) as (ctx, _):
            async with eps.engine.open_stream(ctx, eps.BUFFER) as stream:
                say(ready=True)
                with open(path, "wb", buffering=0) as file:
                    async for count in heard():
                        all_ns, sync_ns = [], []
                        for _ in range(count):
                            began_ns, synced_ns = time.monotonic_ns(), 0
                            for i in range(3):
                                await stream.send(bytes(size))
                                await stream.receive()
                                synced_ns += _synced_ns(file, write) if i < 2 else 0
                            all_ns.append(time.monotonic_ns() - began_ns)
                            sync_ns.append(synced_ns)
                        say(all=all_ns, syncs=sync_ns)
                os._exit(0)


def _synced_ns(file: Any, size: int) -> int:
    began_ns = time.monotonic_ns()
    file.write(bytes(size))
    os.fdatasync(file.fileno())
    return time.monotonic_ns() - began_ns


# -- the process ----------------------------------------------------------------

_ROOTS: Final = {"boot": boot, "supervised": supervised, "source": source}
_CLIENTS: Final = {
    "first": first,
    "attached": attached,
    "watch": watch,
    "latency": latency,
    "flooded": flooded,
    "chain": chain,
}


async def _leave_with_parent() -> None:
    await parent_gone()
    os._exit(0)  # bare actors have no bounded end; children see it and leave too


async def _main(what: str, told: dict[str, Any]) -> None:
    told["addr"] = tuple(told["addr"])
    async with trio.open_nursery() as tasks:
        if what not in ("source", "chain"):  # they hear their parent by themselves
            tasks.start_soon(_leave_with_parent)
        await {**_ROOTS, **_CLIENTS}[what](**told)
        os._exit(0)


if __name__ == "__main__":
    signal.alarm(600)  # the last bound of all
    trio.run(_main, sys.argv[1], json.loads(sys.argv[2]))
