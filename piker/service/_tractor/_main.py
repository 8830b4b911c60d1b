"""tractor's main branch under the names the rest of the seam uses. See ``_a5.py``."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator
from contextlib import (
    AbstractContextManager,
    asynccontextmanager,
    nullcontext,
    suppress,
)
from functools import wraps
from typing import Any

import tractor
import trio
from tractor import ModuleNotExposed, TransportClosed, _root
from tractor.discovery._addr import wrap_address
from tractor.ipc import Channel, _server
from tractor.ipc._tcp import MsgpackTCPStream, TCPAddress
from tractor.msg import _ctxvar_MsgCodec
from tractor.msg.types import Aid
from tractor.runtime import _rpc, _runtime, _state
from tractor.runtime._portal import open_portal
from tractor.spawn import _spawn, _trio

from ._calls import note_calls
from ._spawn import found_at_once, handed_over, hard_kill
from ._strangers import guarded_invoke, next_message, served_alone
from ._whole import sends_whole

Addr = tuple[str, int]
Uid = tuple[str, str]


def prepare(guard_rpc: Any, buffer_size: int) -> None:
    """Make the runtime ours: RPC lookups guarded, streams with room."""
    lookup = _runtime.Actor._get_rpc_func  # noqa: SLF001

    def guarded(self: Any, ns: str, name: str) -> Any:
        return guard_rpc(lookup(self, ns, name), ns, name, ModuleNotExposed)

    _runtime.Actor._get_rpc_func = guarded  # noqa: SLF001
    _runtime.Actor.msg_buffer_size = buffer_size
    _server.handle_stream_from_peer = served_alone(_server.handle_stream_from_peer)
    _rpc._invoke = guarded_invoke(_outlived(_rpc._invoke))  # noqa: SLF001
    MsgpackTCPStream._iter_packets = _packets  # noqa: SLF001
    MsgpackTCPStream.__init__ = sends_whole(MsgpackTCPStream.__init__)
    MsgpackTCPStream.get_stream_addrs = staticmethod(_stream_addrs)
    _root._probe_registry_addrs = _registries(_root._probe_registry_addrs)  # noqa: SLF001
    note_calls(_runtime.Actor)
    _trio.hard_kill = hard_kill
    _spawn.new_proc = handed_over(_spawn.new_proc)
    server = _server.Server
    server.wait_for_peer = found_at_once(server.wait_for_peer)


def _outlived(invoke: Any) -> Any:
    """Return tractor's *invoke* so that an answer nobody takes doesn't end the actor.

    An endpoint's own errors it ships; a peer that is gone it raised in the actor's
    nursery, e.g. of one that was killed within a large result.
    """

    @wraps(invoke)
    async def invoke_outlived(*args: Any, **kwargs: Any) -> None:
        with suppress(TransportClosed):
            await invoke(*args, **kwargs)

    return invoke_outlived


async def _packets(transport: Any) -> AsyncIterator[Any]:
    """Yield a connection's messages; TransportClosed however it ends."""
    while True:
        yield await next_message(transport.recv_stream, _decode, TransportClosed)


def _decode(raw: bytes) -> Any:
    return _ctxvar_MsgCodec.get().decode(raw)


def _stream_addrs(stream: trio.SocketStream) -> tuple[TCPAddress, TCPAddress]:
    """Return the addresses of both ends; of a peer that has left already, no place.

    tractor's own raised, and left the socket to the collector.
    """
    try:
        peer = stream.socket.getpeername()[:2]
    except OSError:
        peer = ("0.0.0.0", 0)  # noqa: S104 - it wants an address, and binds nothing
    own = stream.socket.getsockname()[:2]
    return TCPAddress.from_addr(own), TCPAddress.from_addr(peer)


def _registries(probe: Any) -> Any:
    """Return tractor's *probe* for registries so that what is none is an OSError."""

    @wraps(probe)
    async def probe_registries(*args: Any, **kwargs: Any) -> Any:
        found, occupied = await probe(*args, **kwargs)
        if occupied and not found:
            raise OSError(errno.EADDRINUSE, "another program listens there")
        return found, occupied

    return probe_registries


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


def be_bare() -> None:
    """Do nothing: what is ours costs main nothing worth a measurement."""


def direct(_: Any) -> AbstractContextManager[None]:
    """Do nothing: main has a shorter way by itself."""
    return nullcontext()


async def send_over(stream: Any, raw: bytes) -> None:
    """Send *raw* over a stream."""
    await stream.send(raw)


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
