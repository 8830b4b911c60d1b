"""tractor's main branch under the names the rest of the seam uses. See ``_a5.py``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import tractor
import trio
from tractor import ModuleNotExposed
from tractor.discovery._addr import wrap_address
from tractor.ipc import Channel
from tractor.msg.types import Aid
from tractor.runtime import _runtime, _state
from tractor.runtime._portal import open_portal
from tractor.spawn import _spawn

from ._calls import note_calls
from ._spawn import handed_over

Addr = tuple[str, int]
Uid = tuple[str, str]


def prepare(guard_rpc: Any, buffer_size: int) -> None:
    """Make the runtime ours: RPC lookups guarded, streams with room."""
    lookup = _runtime.Actor._get_rpc_func  # noqa: SLF001

    def guarded(self: Any, ns: str, name: str) -> Any:
        return guard_rpc(lookup(self, ns, name), ns, name, ModuleNotExposed)

    _runtime.Actor._get_rpc_func = guarded  # noqa: SLF001
    _runtime.Actor.msg_buffer_size = buffer_size
    note_calls(_runtime.Actor)
    _spawn.new_proc = handed_over(_spawn.new_proc)


def runtime_vars() -> dict[str, Any]:
    return _state._runtime_vars  # noqa: SLF001


def current_actor() -> Any:
    return tractor.current_actor(err_on_no_runtime=False)


def uid_of(thing: Any) -> Uid:
    """Of an actor or a channel."""
    return (thing.aid.name, thing.aid.uuid)


def _plain(addr: Any) -> Addr:
    addr = addr.unwrap() if hasattr(addr, "unwrap") else addr
    return (str(addr[0]), int(addr[1]))


def own_addr() -> Addr:
    return _plain(current_actor().accept_addr)


def registry_addr() -> Addr | None:
    addrs = current_actor().reg_addrs
    return _plain(addrs[0]) if addrs else None


def local_registry() -> Any:
    """This actor, if it keeps the registry, else None."""
    actor = current_actor()
    return actor if actor.is_registrar else None


@asynccontextmanager
async def open_root_actor(
    *, name: str, registry_addr: Addr, enable_modules: list[str]
) -> AsyncIterator[Any]:
    async with tractor.open_root_actor(
        registry_addrs=[registry_addr],
        name=name,
        enable_modules=enable_modules,
        loglevel="critical",
    ) as actor:
        yield actor


open_nursery = tractor.open_nursery


async def start_actor(
    nursery: Any, name: str, *, enable_modules: list[str], infect_asyncio: bool
) -> tractor.Portal:
    return await nursery.start_actor(
        name,
        enable_modules=enable_modules,
        infect_asyncio=infect_asyncio,
        loglevel="critical",
        inherit_parent_main=False,
    )


async def connect_channel(addr: Addr) -> Any:
    """Return a channel to *addr*, the handshake done; its ``aid`` is the peer's."""
    chan = await Channel.from_addr(wrap_address(addr))
    try:
        await chan._do_handshake(aid=current_actor().aid)  # noqa: SLF001
    except BaseException:
        await close_channel(chan)
        raise
    return chan


async def close_channel(chan: Any) -> None:
    if chan._transport is not None:  # noqa: SLF001
        with trio.CancelScope(shield=True):  # a close never blocks on the peer
            await chan._transport.stream.aclose()  # noqa: SLF001


def portal_to(chan: Any, nursery: trio.Nursery) -> Any:
    """Return the manager of a portal over an open channel, its reader in *nursery*."""
    return open_portal(chan, nursery)


async def probe(addr: Addr, uid: Uid) -> Uid:
    """Shake hands with whoever listens at *addr*, outside any runtime."""
    chan = await Channel.from_addr(wrap_address(addr))
    try:
        peer = await chan._do_handshake(aid=Aid(name=uid[0], uuid=uid[1]))  # noqa: SLF001
        return (peer.name, peer.uuid)
    finally:
        await close_channel(chan)


def registry_rows(answer: dict[str, Any]) -> list[tuple[Uid, Addr]]:
    rows: list[tuple[Uid, Addr]] = []
    for key, addrs in answer.items():
        name, _, unique = key.rpartition(".")
        rows.extend(((name, unique), _plain(addr)) for addr in addrs)
    return rows


def register_args(uid: Uid, addr: Addr) -> dict[str, Any]:
    return {"uid": uid, "addr": addr}


def open_stream(ctx: Any, size: int) -> Any:
    return ctx.open_stream(allow_overruns=False, msg_buffer_size=size)


def forget_stream(ctx: Any, stream: Any) -> None:
    """Do nothing: main drops closed streams by itself."""


def is_caller(ctx: Any) -> bool:
    return ctx._portal is not None  # noqa: SLF001


async def result_of(ctx: Any) -> Any:
    return await ctx.wait_for_result()


def end_self() -> None:
    """Begin the orderly end of this actor; for callers inside its trio run."""
    current_actor().cancel_soon()


def feeder_of(ctx: Any) -> Any:
    """Return the memory channel that a context's messages come through."""
    return ctx._rx_chan  # noqa: SLF001
