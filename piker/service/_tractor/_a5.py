"""tractor 0.1.0a5 under the names the rest of the seam uses. See ``_main.py``."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

import tractor
import trio
from tractor import _actor, _discovery, _ipc, _mp_fixup_main, _root, _spawn, _state
from tractor._exceptions import ModuleNotExposed, TransportClosed
from tractor._ipc import Channel, MsgpackTCPStream
from tractor._portal import open_portal

from ._calls import note_calls
from ._spawn import found_at_once, handed_over, hard_kill
from ._strangers import guarded_invoke, next_message, served_alone
from ._whole import sends_whole

Addr = tuple[str, int]
Uid = tuple[str, str]

#: Of a connection: by call, where the messages of its stream go.
_SINKS = "piker_sinks"
_reading: ContextVar[bool] = ContextVar("piker_reading", default=False)


def prepare(guard_rpc: Any, buffer_size: int) -> None:
    """Make the runtime ours: guarded RPC lookups, roomy streams, no ``__main__``."""
    lookup = _actor.Actor._get_rpc_func  # noqa: SLF001

    def guarded(self: Any, ns: str, name: str) -> Any:
        return guard_rpc(lookup(self, ns, name), ns, name, ModuleNotExposed)

    _actor.Actor._get_rpc_func = guarded  # noqa: SLF001
    _actor.Actor.msg_buffer_size = buffer_size
    actor = _actor.Actor
    actor._stream_handler = served_alone(actor._stream_handler)  # noqa: SLF001
    actor._process_messages = _noted(actor._process_messages)  # noqa: SLF001
    _actor.try_ship_error_to_parent = _of_own(_actor.try_ship_error_to_parent)
    _actor._invoke = guarded_invoke(_actor._invoke)  # noqa: SLF001
    MsgpackTCPStream._iter_packets = _packets  # noqa: SLF001
    MsgpackTCPStream.__init__ = sends_whole(MsgpackTCPStream.__init__)
    _ipc.get_stream_addrs = _stream_addrs
    note_calls(_actor.Actor)
    _actor.Arbiter.unregister_actor = _unregister
    full = _actor.Actor.accept_addr.fget
    # of IPv6 it has four parts, which a child refuses as its parent's address
    _actor.Actor.accept_addr = property(lambda self: full(self)[:2])
    _spawn.do_hard_kill = hard_kill
    _spawn.new_proc = handed_over(_spawn.new_proc)
    actor.wait_for_peer = found_at_once(actor.wait_for_peer)
    _discovery._connect_chan = _root._connect_chan = _connected  # noqa: SLF001
    # a child would run its parent's __main__ again, whatever that imports
    _mp_fixup_main._mp_figure_out_main = dict  # noqa: SLF001


_their_packets = MsgpackTCPStream._iter_packets  # noqa: SLF001


def be_bare() -> None:
    """Read connections as tractor does: for a floor to be measured against."""
    MsgpackTCPStream._iter_packets = _their_packets  # noqa: SLF001


def _noted(process: Any) -> Any:
    """Return tractor's *process*, which reads a connection, so that it is known."""

    @wraps(process)
    async def process_noted(*args: Any, **kwargs: Any) -> Any:
        token = _reading.set(True)
        try:
            return await process(*args, **kwargs)
        finally:
            _reading.reset(token)

    return process_noted


def _of_own(tell: Any) -> Any:
    """Return tractor's *tell* so that a parent hears of its child's own end alone.

    It told it what was met while any connection was read, and the parent then gave up
    its own connection to the child.
    """

    @wraps(tell)
    async def tell_of_own(parent: Any, err: BaseException) -> None:
        if not _reading.get():
            await tell(parent, err)

    return tell_of_own


def _stream_addrs(stream: trio.SocketStream) -> tuple[Any, Any]:
    """Return the addresses of both ends; of a peer that has left already, no place.

    tractor's own raised, and left the socket to the collector.
    """
    try:
        peer = stream.socket.getpeername()[:2]
    except OSError:
        peer = ("", 0)
    return tuple(stream.socket.getsockname()[:2]), tuple(peer)


async def _packets(transport: Any) -> AsyncIterator[Any]:
    """Yield a connection's messages; TransportClosed however it ends.

    What belongs to a stream that takes its messages itself isn't yielded: on the way
    that the others go tractor writes each of them out, three times, for a log that
    nobody keeps.
    """
    stream = transport.recv_stream
    sinks = transport.__dict__.setdefault(_SINKS, {})
    while True:
        msg = await next_message(stream, transport.decode, TransportClosed)
        sink = sinks.get(msg.get("cid")) if sinks and type(msg) is dict else None
        if sink is None or "yield" not in msg or not _has_taken(sink, msg):
            yield msg


def _has_taken(sink: trio.MemorySendChannel[Any], msg: dict[str, Any]) -> bool:
    try:
        sink.send_nowait(msg)
    except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
        return False  # tractor knows what to do about it
    return True


@contextmanager
def direct(ctx: Any) -> Iterator[None]:
    """Have the messages of an open stream go to it directly, while the block runs."""
    sinks = ctx.chan.msgstream.__dict__.setdefault(_SINKS, {})
    sinks[ctx.cid] = ctx._send_chan  # noqa: SLF001
    try:
        yield
    finally:
        del sinks[ctx.cid]


async def send_over(stream: Any, raw: bytes) -> None:
    """Send *raw* over a stream, as ``stream.send()`` does, but at once where it can.

    tractor's own lets all other tasks run before it takes a lock that is free.
    """
    ctx = stream._ctx  # noqa: SLF001
    if ctx._error:  # noqa: SLF001
        raise ctx._error  # noqa: SLF001
    if stream._closed:  # noqa: SLF001
        raise trio.ClosedResourceError("this stream was closed")
    transport = ctx.chan.msgstream
    lock = transport._send_lock  # noqa: SLF001
    try:
        lock.acquire_nowait()
    except trio.WouldBlock:
        await lock.acquire()
    try:
        data = transport.encode({"yield": raw, "cid": ctx.cid})
        await transport.stream.send_all(struct.pack("<I", len(data)) + data)
    finally:
        lock.release()


async def _unregister(registry: Any, uid: Uid) -> None:
    """Forget an actor; unlike tractor's own it may be forgotten already.

    The registry may be a later one than it registered with, or had it found dead.
    """
    registry._registry.pop((str(uid[0]), str(uid[1])), None)  # noqa: SLF001


@asynccontextmanager
async def _connected(host: str, port: int) -> AsyncIterator[Channel]:
    """Yield a channel that is closed however the block ends; tractor's own leaked."""
    chan = Channel((host, port))
    try:
        await chan.connect()
        yield chan
    finally:
        await close_channel(chan)


def runtime_vars() -> dict[str, Any]:
    return _state._runtime_vars  # noqa: SLF001


def current_actor() -> Any:
    return tractor.current_actor(err_on_no_runtime=False)


def uid_of(thing: Any) -> Uid:
    """Of an actor or a channel."""
    return tuple(thing.uid)


def own_addr() -> Addr:
    host, port = current_actor().accept_addr
    return (host, port)


def registry_addr() -> Addr | None:
    return current_actor()._arb_addr  # noqa: SLF001


def local_registry() -> Any:
    """This actor, if it keeps the registry, else None."""
    actor = current_actor()
    return actor if actor.is_arbiter else None


@asynccontextmanager
async def open_root_actor(
    *, name: str, registry_addr: Addr, enable_modules: list[str]
) -> AsyncIterator[Any]:
    async with tractor.open_root_actor(
        arbiter_addr=registry_addr,
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
    )


async def connect_channel(addr: Addr) -> Any:
    """Return a channel to *addr*, the handshake done; its ``uid`` is the peer's."""
    chan = Channel(addr)
    try:
        await chan.connect()
        await current_actor()._do_handshake(chan)  # noqa: SLF001
    except BaseException:
        await close_channel(chan)
        raise
    return chan


async def close_channel(chan: Any) -> None:
    if chan.msgstream is not None:
        with trio.CancelScope(shield=True):  # a close never blocks on the peer
            await chan.msgstream.stream.aclose()


def portal_to(chan: Any, nursery: trio.Nursery) -> Any:
    """Return the manager of a portal over an open channel, its reader in *nursery*."""
    return open_portal(chan, nursery)


async def probe(addr: Addr, uid: Uid) -> Uid:
    """Shake hands with whoever listens at *addr*, outside any runtime."""
    chan = Channel(addr)
    try:
        await chan.connect()
        await chan.send(uid)
        name, unique = await chan.recv()
        return (str(name), str(unique))
    finally:
        await close_channel(chan)


def registry_rows(answer: dict[str, Any]) -> list[tuple[Uid, Addr]]:
    rows = []
    for key, addr in answer.items():
        name, _, unique = key.rpartition(".")
        rows.append(((name, unique), (str(addr[0]), int(addr[1]))))
    return rows


def register_args(uid: Uid, addr: Addr) -> dict[str, Any]:
    return {"uid": uid, "sockaddr": addr}


def open_stream(ctx: Any, size: int) -> Any:
    return ctx.open_stream(backpressure=False, msg_buffer_size=size)


def forget_stream(ctx: Any, stream: Any) -> None:
    """Drop what a closed stream leaves behind: a5 takes the wrong one out."""
    if ctx._portal is not None:  # noqa: SLF001
        ctx._portal._streams.discard(stream)  # noqa: SLF001


def is_caller(ctx: Any) -> bool:
    return ctx._portal is not None  # noqa: SLF001


async def result_of(ctx: Any) -> Any:
    return await ctx.result()


def end_self() -> None:
    """Begin the orderly end of this actor; for callers inside its trio run."""
    current_actor().cancel_soon()


def feeder_of(ctx: Any) -> Any:
    """Return the memory channel that a context's messages come through."""
    return ctx._recv_chan  # noqa: SLF001
