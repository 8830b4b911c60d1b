"""Whoever connects is a stranger: what it sends ends its own connection at most.

Any process of the machine can connect, and a killed peer may stop in mid-word. tractor
serves a connection in the actor's own nursery and raises there what is no message.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar

import msgspec
import tractor
import trio

from piker.log import get_logger

from ._calls import under_way

log = get_logger(__name__)

T = TypeVar("T")
Async = Callable[..., Awaitable[T]]

#: What others than its parent may call of an actor itself: an end of their own calls,
#: and the registry. tractor's own would let anybody end it.
OPEN_CALLS = frozenset(
    {
        "_cancel_task",
        *("find_actor", "get_registry", "wait_for_actor"),
        *("register_actor", "unregister_actor"),
    }
)
#: A frame that announces more is none of ours: e.g. an HTTP request's first bytes.
MAX_FRAME_BYTES = 2**28


async def _receive(stream: Any, size: int) -> bytes:
    """Return the next *size* bytes of a tricycle stream, at once if no more are there.

    Its own ``receive_exactly()`` lets all other tasks run first. Where many messages
    came together that is what keeps their reader from running away from who takes
    them; one alone need not wait for it.
    """
    begin, buffer = stream._receive_pos, stream._buffer  # noqa: SLF001
    if begin + size != len(buffer):
        found: bytes = await stream.receive_exactly(size)
        return found
    stream._receive_pos = len(buffer)  # noqa: SLF001
    return bytes(buffer[begin:])


async def next_message(
    stream: Any,
    decode: Callable[[bytes], T],
    closed: Callable[[str], Exception],
) -> T:
    """Return the next message of a connection's *stream*; *closed* however it ends.

    tractor's own raised something else where a peer was killed within a message.
    """
    try:
        (size,) = struct.unpack("<I", await _receive(stream, 4))
        if size <= MAX_FRAME_BYTES:
            return decode(await _receive(stream, size))
    except (
        ValueError,  # tricycle's, for an end within what was asked for
        OSError,
        trio.BrokenResourceError,
        trio.ClosedResourceError,
        msgspec.DecodeError,
    ) as err:
        raise closed(f"connection broken: {err}") from None
    raise closed(f"a frame of {size} bytes is no message of ours")


def served_alone(serve: Async[None]) -> Async[None]:
    """Return *serve*, of a connection, so that a fault ends that and nothing beside."""

    @wraps(serve)
    async def serve_alone(*args: Any, **kwargs: Any) -> None:
        try:
            await serve(*args, **kwargs)
        except Exception as err:  # whatever a stranger sends, or a failing child
            me = tractor.current_actor(err_on_no_runtime=False)
            name = me.name if me is not None else "an actor at its end"
            log.warning("dropped a connection to %s: %s", name, _last_line(err))
            log.debug("dropped a connection", exc_info=err)

    return serve_alone


def _last_line(err: Exception) -> str:
    lines = str(err).strip().splitlines() or [""]
    return f"{type(err).__name__}: {lines[-1]}"


def guarded_invoke(invoke: Async[None]) -> Async[None]:
    """Return *invoke*, of what a peer calls, so that it asks who calls what."""

    @wraps(invoke)
    async def invoke_guarded(
        actor: Any, cid: str, chan: Any, func: Any, args: Any, **kwargs: Any
    ) -> None:
        if chan is not actor._parent_chan and not _is_open(actor, func):  # noqa: SLF001
            # as a call like others: of one to end the actor main ships no error
            kwargs = {k: v for k, v in kwargs.items() if k == "task_status"}
            func, args = _refuse, {"what": getattr(func, "__name__", str(func))}
        with under_way(cid):
            await invoke(actor, cid, chan, func, args, **kwargs)

    return invoke_guarded


def _is_open(actor: Any, func: Any) -> bool:
    if hasattr(func, "__endpoint__"):
        return True  # it asks for the cookie
    return any(func == getattr(actor, name, None) for name in OPEN_CALLS)


async def _refuse(what: str) -> AsyncIterator[None]:
    """Refuse, as a stream would: unlike a coroutine it may be left before its begin."""
    raise tractor.ModuleNotExposed(f"only this actor's parent may call {what!r}")
    yield
