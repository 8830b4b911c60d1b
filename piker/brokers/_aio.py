"""A venue's client on the actor's asyncio loop, asked from trio.

    trio: proxy.call(Client.bars, ...) --mid, method--> relay task --> Client on asyncio
          <--the answer of that mid, or its exception-- done           (same thread)
          proxy.stream(Client.ticks, ...) <--batches--- emit(item)

Both loops take turns in one thread, so objects cross by reference, and what one side
does between two of its awaits is atomic to the other. An answer finds its caller by
its ``mid`` and in no other way: a caller that is gone leaves nothing behind that could
be taken for somebody else's. Nothing that the client raises ends the relay.

The actor needs ``infect_asyncio``: ``_spawn_kwargs`` of the backend.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast

import trio

from piker.errors import PikerError
from piker.log import get_logger
from piker.service import open_channel_from

from ._aio_line import CLOSE_S, Call, Line, ProxyStats, name_of
from ._aio_stream import Emit, Inbox

log = get_logger(__name__)

C = TypeVar("C")
T = TypeVar("T")
P = ParamSpec("P")


@dataclass(frozen=True)
class MethodProxy(Generic[C]):
    """A client of a venue, as trio sees it; use `open_proxy`.

    Attributes:
      deadline_s: a request is given up after so long.
      goes_on: a request whose caller is gone is left to run to its end, as what was
        sent can't be taken back.
    """

    _line: Line
    deadline_s: float
    goes_on: bool = False

    @property
    def stats(self) -> ProxyStats:
        """What it has met so far."""
        return self._line.stats

    @property
    def waiting(self) -> int:
        """How many requests are under way that somebody waits for."""
        return len(self._line.calls)

    @property
    def running(self) -> int:
        """How many requests are under way, waited for or not."""
        return self._line.running

    def within(self, deadline_s: float, *, goes_on: bool = False) -> MethodProxy[C]:
        """Return the same with another deadline, see the attributes."""
        return replace(self, deadline_s=deadline_s, goes_on=goes_on)

    async def call(
        self,
        method: Callable[Concatenate[C, P], Awaitable[T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a method of the client on its loop; return what it returns.

        Raises: what it raises, the very object; VenueUnreachable: no answer within the
          deadline, it was broken off, or the client is gone.
        """
        call = Call(method, args, kwargs, self.goes_on)
        self._line.begin(call, self.deadline_s)
        try:
            await call.done.wait()
        finally:
            if not call.done.is_set():
                self._line.let_go(call)
        return cast("T", call.unwrap())

    @asynccontextmanager
    async def stream(
        self,
        method: Callable[Concatenate[C, Emit[T], ...], Awaitable[None]],
        /,
        *args: Any,
        room: int = 4096,
        key: Callable[[T], Hashable | None] | None = None,
    ) -> AsyncIterator[AsyncIterator[list[T]]]:
        """Yield the batches of what a method emits; it ends with the block.

        Args:
          method: ``async method(client, emit, *args)``, run on the client's loop.
          *args: of it, after *emit*, which takes one item and never waits.
          room: items that may wait to be taken.
          key: what items can stand for each other: beyond *room* the newest of each key
            is kept. An item whose key is None is always kept. Without it all are.

        The iteration ends when the method returns. It raises what the method raises;
        Overrun, once more than *room* items wait that all have to be kept;
        VenueUnreachable if the client is gone.
        """
        line, inbox = self._line, Inbox[T](name_of(method), room, key)
        call = Call(method, (inbox.emit, *args), {}, then=inbox.end)
        line.begin(call)
        try:
            yield inbox
        finally:
            inbox.end()
            with trio.CancelScope(shield=True), trio.move_on_after(CLOSE_S):
                await line.end(call)

    async def wait_closed(self) -> str:
        """Wait until there is no client any more; return why."""
        await self._line.ended.wait()
        return self._line.why_ended


class _Chan(Protocol):
    """The asyncio end of `open_channel_from`."""

    def started_nowait(self, value: Any) -> None: ...


@asynccontextmanager
async def open_proxy(
    open_client: Callable[[], AbstractAsyncContextManager[C]],
    *,
    venue: str,
    deadline_s: float = 10.0,
) -> AsyncIterator[MethodProxy[C]]:
    """Open a client on the actor's asyncio loop; yield its proxy.

    Args:
      open_client: returns an **asyncio** context manager that yields the client; both
        are run on that loop, in one task. What ends it early ends the proxy.
      venue: its name, for errors.
      deadline_s: of requests, see `MethodProxy.within`.

    The block's end closes the client, within three seconds.

    Raises: what *open_client* raises as it opens.
    """
    line, stop = Line(venue), asyncio.Event()
    await trio.lowlevel.checkpoint()
    try:
        async with open_channel_from(
            _be_relay, line=line, stop=stop, open_client=open_client
        ) as (_, fault):
            _raise_if(fault)
            try:
                yield MethodProxy(line, deadline_s)
            finally:
                stop.set()
                await _ended(line)
    except BaseException:
        # cancelled while it opened: the relay is told so, and ends a moment later
        await _ended(line)
        raise


def _raise_if(fault: BaseException | None) -> None:
    if fault is not None:
        raise fault


async def _ended(line: Line) -> None:
    with trio.CancelScope(shield=True), trio.move_on_after(CLOSE_S) as patience:
        await line.ended.wait()
    if patience.cancelled_caught:
        log.error("%s: its client doesn't close", line.venue)


async def _be_relay(
    chan: _Chan,
    line: Line,
    stop: asyncio.Event,
    open_client: Callable[[], AbstractAsyncContextManager[Any]],
) -> None:
    """Hold the client, on asyncio, until trio's side ends or it does.

    Nothing comes out of here, for what does ends the actor's other work too: a client
    that can't be opened is told as the first word, one that dies to all who wait.
    """
    is_open, why = False, "it was closed"
    try:
        async with open_client() as client:
            line.hold(client)
            chan.started_nowait(None)
            is_open = True
            try:
                await stop.wait()
            finally:
                await line.end_all()
    except asyncio.CancelledError:
        why = "it was ended"  # by trio's side, which knows
    except BaseException as err:
        why = f"its client ended: {_words_of(err)}"
        if is_open:
            log.exception("%s: %s", line.venue, why)
        else:
            chan.started_nowait(err)
    finally:
        line.close(why)


def _words_of(err: BaseException) -> str:
    """Return an error in a few words; of a group its first."""
    while isinstance(err, BaseExceptionGroup):
        err = err.exceptions[0]
    return str(err) if isinstance(err, PikerError) else repr(err)
