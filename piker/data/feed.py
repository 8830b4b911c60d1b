"""Feeds: what a client holds while it watches markets.

    open_feed(fqmes) --> one line a broker: find datad | subscribe | relay | (lost:
                         say so, wait, find it again)  --> Feed

A feed outlives the daemons behind it. It never does so silently: Disconnected, then
Reconnected, stand among the events where they happened.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import trio

from piker.brokers import get_brokermod
from piker.errors import (
    DeadlineExceeded,
    PikerError,
    RegistryUnreachable,
    ServiceError,
    TransportClosed,
    UsageError,
)
from piker.log import get_logger
from piker.msgs import (
    Calendar,
    Clock,
    Credit,
    Disconnected,
    FeedEvent,
    FeedMsg,
    FlumeMsg,
    Fqme,
    MktPair,
    Pause,
    Quote,
    Reconnected,
    Resume,
)
from piker.service import MsgStream, collapse_eg, maybe_open_context, open_context

from ._daemon import maybe_spawn_datad
from ._rpc import open_feed_bus
from ._shm import ShmArray
from ._subs import ACK_EVERY

log = get_logger(__name__)

#: Messages a consumer that isn't looking lets pile up before the far end conflates.
BACKLOG_MAX: Final = 256
_EVENTS_KEPT: Final = 1000
_RETRY_S: Final = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
_LOST: Final = (TransportClosed, DeadlineExceeded, RegistryUnreachable, ServiceError)


class Flume:
    """One market of a feed: what it is, its first quote, its bars."""

    def __init__(self, told: FlumeMsg) -> None:
        self._told = told

    @property
    def mkt(self) -> MktPair:
        """The market."""
        return self._told.init.mkt

    @property
    def fqme(self) -> str:
        """Its full name."""
        return self.mkt.fqme

    @property
    def clock(self) -> Clock:
        """The clock it runs on."""
        return self._told.init.clock

    @property
    def calendar(self) -> Calendar:
        """Its trading hours."""
        return self._told.init.calendar

    @property
    def first_quote(self) -> Quote:
        """The newest quote known when the feed was opened."""
        return self._told.first_quote

    @cached_property
    def rt_shm(self) -> ShmArray:
        """Its 1 s bars, attached at first use."""
        return ShmArray.attach(self._told.rt_shm)

    @cached_property
    def hist_shm(self) -> ShmArray:
        """Its 60 s bars, attached at first use."""
        return ShmArray.attach(self._told.hist_shm)


class Tap:
    """An ordered view of some of a feed's messages; iterate it."""

    def __init__(self, kinds: tuple[type, ...], broker: str | None = None) -> None:
        self._kinds = kinds
        self._broker = broker
        self._items: deque[Any] = deque()
        self._wake = trio.Event()
        self._room = trio.Event()
        self._closed = False

    def __len__(self) -> int:
        return len(self._items)

    @property
    def is_full(self) -> bool:
        """Whether its consumer is behind."""
        return len(self._items) >= BACKLOG_MAX

    def put(self, broker: str, item: FeedMsg) -> None:
        """Take a message, if it is of a kind this tap shows."""
        if not isinstance(item, self._kinds):
            return
        if self._broker not in (None, broker):
            return
        if self._kinds == _EVENT_TYPES and len(self._items) >= _EVENTS_KEPT:
            self._items.popleft()
        self._items.append(item)
        self._wake.set()

    def close(self) -> None:
        """End the iteration once it is drained."""
        self._closed = True
        self._wake.set()
        self._room.set()

    async def wait_room(self) -> None:
        """Wait until its consumer has caught up a little."""
        while self.is_full and not self._closed:
            await self._room.wait()
            self._room = trio.Event()

    def receive_nowait(self) -> Any:
        """Return the next message; ``trio.WouldBlock`` if there is none now."""
        if not self._items:
            raise trio.WouldBlock
        return self._next()

    def _next(self) -> Any:
        if len(self._items) == BACKLOG_MAX:
            self._room.set()
        return self._items.popleft()

    async def receive(self) -> Any:
        """Return the next message; ``trio.EndOfChannel`` after the feed's end."""
        while not self._items:
            if self._closed:
                raise trio.EndOfChannel
            await self._wake.wait()
            self._wake = trio.Event()
        return self._next()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None


_EVENT_TYPES: tuple[type, ...] = FeedEvent.__args__
_MSG_TYPES: tuple[type, ...] = (Quote, *_EVENT_TYPES)


@dataclass(eq=False)
class _Line:
    """A feed's connection to one broker's datad."""

    broker: str
    fqmes: list[str]
    stream: MsgStream[FeedMsg] | None = None
    paused: bool = False
    consumed: int = 0
    lost: bool = False


@dataclass(eq=False)
class Feed:
    """Markets being watched.

    Attributes:
      flumes: by full name.
      events: what happened to the feed, a view to iterate; the newest 1000 are kept.
    """

    flumes: dict[str, Flume] = field(default_factory=dict)
    events: Tap = field(default_factory=lambda: Tap(_EVENT_TYPES))
    _taps: list[Tap] = field(default_factory=list)
    _lines: dict[str, _Line] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._taps.append(self.events)

    @cached_property
    def stream(self) -> Tap:
        """Quotes of all markets in order of arrival, from the first use on."""
        return self._tap(Tap((Quote,)))

    @cached_property
    def messages(self) -> Tap:
        """Quotes and events in the order in which they came, from the first use on."""
        return self._tap(Tap(_MSG_TYPES))

    @cached_property
    def streams(self) -> dict[str, Tap]:
        """Quotes by broker, from the first use on."""
        return {name: self._tap(Tap((Quote,), name)) for name in self._lines}

    def _tap(self, tap: Tap) -> Tap:
        self._taps.append(tap)
        return tap

    async def pause(self) -> None:
        """Ask for no quotes; bars and events go on."""
        await self._command(Pause(), paused=True)

    async def resume(self) -> None:
        """Ask for quotes again."""
        await self._command(Resume(), paused=False)

    async def _command(self, command: Pause | Resume, *, paused: bool) -> None:
        for line in self._lines.values():
            line.paused = paused
            if line.stream is not None:
                try:
                    await line.stream.send(command)
                except TransportClosed:
                    pass  # it is told when the line is up again

    def view(self) -> Feed:
        """Return another consumer's view of the same lines, with taps of its own."""
        other = Feed(flumes=self.flumes, _lines=self._lines)
        other._taps = self._taps  # noqa: SLF001 - one list: who relays sees all
        self._taps.append(other.events)
        return other

    def _put(self, broker: str, item: FeedMsg) -> None:
        for tap in self._taps:
            tap.put(broker, item)

    async def _wait_room(self) -> None:
        for tap in self._taps:
            if tap.is_full and tap is not self.events:
                await tap.wait_room()

    def _close(self, taps: Iterable[Tap]) -> None:
        for tap in taps:
            tap.close()


@asynccontextmanager
async def open_feed(
    fqmes: list[str] | tuple[str, ...] | str,
    *,
    tick_throttle: float | None = None,
) -> AsyncIterator[Feed]:
    """Watch markets: their bars, their quotes, and what happens to their source.

    Args:
      fqmes: full or short names, of any brokers.
      tick_throttle: quotes a second and market at most; all by default.

    Raises:
      BadFqme, BrokerNotFound, SymbolNotFound: names that lead nowhere.
      ServiceQuarantined, ServiceStopped, RegistryUnreachable: no daemon to be had.
      PikerError: what the backend refuses with.
    """
    names = [fqmes] if isinstance(fqmes, str) else list(fqmes)
    if tick_throttle is not None and not 0 < tick_throttle <= 1000:
        raise UsageError(f"a throttle is 0 < Hz <= 1000, got {tick_throttle!r}")
    feed = Feed()
    for name in names:
        broker = Fqme.parse(name).broker
        get_brokermod(broker)
        line = feed._lines.setdefault(broker, _Line(broker, []))  # noqa: SLF001
        if name not in line.fqmes:
            line.fqmes.append(name)
    if not names:
        raise UsageError("a feed wants at least one market, got none")
    async with collapse_eg(), trio.open_nursery() as tasks:
        async with collapse_eg(), trio.open_nursery() as opening:
            for line in feed._lines.values():  # noqa: SLF001
                opening.start_soon(_start_line, tasks, feed, line, tick_throttle)
        try:
            yield feed
        finally:
            feed._close(feed._taps)  # noqa: SLF001
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def maybe_open_feed(
    fqmes: list[str] | tuple[str, ...],
    *,
    nursery: trio.Nursery,
    tick_throttle: float | None = None,
) -> AsyncIterator[Feed]:
    """Watch markets over one feed for all users of this process; each has its view.

    Args:
      fqmes: as for :func:`open_feed`.
      nursery: outlives all users; holds the shared feed.
      tick_throttle: as for :func:`open_feed`.
    """
    key = (tuple(fqmes), tick_throttle)
    kwargs = {"fqmes": tuple(fqmes), "tick_throttle": tick_throttle}
    async with maybe_open_context(
        open_feed, kwargs=kwargs, key=key, nursery=nursery
    ) as (_, feed):
        view = feed.view()
        try:
            yield view
        finally:
            mine = [
                view.events,
                *(v for v in view.__dict__.values() if isinstance(v, Tap)),
            ]
            mine += view.__dict__.get("streams", {}).values()
            view._close(mine)  # noqa: SLF001
            for tap in mine:
                if tap in feed._taps:  # noqa: SLF001
                    feed._taps.remove(tap)  # noqa: SLF001


async def _start_line(
    tasks: trio.Nursery, feed: Feed, line: _Line, throttle: float | None
) -> None:
    await tasks.start(_run_line, feed, line, throttle)


async def _run_line(
    feed: Feed,
    line: _Line,
    throttle: float | None,
    task_status: Any = trio.TASK_STATUS_IGNORED,
) -> None:
    """Hold one broker's line, for ever; before it was up once, errors come out."""
    tries = 0
    was_up = False
    while True:
        try:
            async with maybe_spawn_datad(line.broker) as portal:
                async with open_context(
                    portal,
                    open_feed_bus,
                    fqmes=line.fqmes,
                    tick_throttle=throttle,
                    start_deadline_s=60.0,
                ) as (ctx, flumes):
                    async with ctx.open_stream() as stream:
                        await _line_up(feed, line, flumes, stream)
                        if not was_up:
                            was_up = True
                            task_status.started()
                        tries = 0
                        await _relay(feed, line, stream)
        except _LOST as err:
            if not was_up and (tries > 3 or not isinstance(err, TransportClosed)):
                raise
            if was_up:
                _line_down(feed, line, str(err))
        except PikerError as err:
            if not was_up:
                raise
            _line_down(feed, line, str(err))
        finally:
            line.stream = None
        await trio.sleep(_RETRY_S[min(tries, len(_RETRY_S) - 1)])
        tries += 1


async def _line_up(
    feed: Feed, line: _Line, flumes: list[FlumeMsg], stream: MsgStream[FeedMsg]
) -> None:
    line.stream, line.consumed = stream, 0
    if line.paused:
        await stream.send(Pause())
    for told in flumes:
        fqme = told.init.mkt.fqme
        old = feed.flumes.get(fqme)
        if old is None or old._told.rt_shm != told.rt_shm:  # noqa: SLF001
            feed.flumes[fqme] = Flume(told)
    if line.lost:
        line.lost = False
        names = tuple(told.init.mkt.fqme for told in flumes)
        missed = sum(told.missed for told in flumes)
        event = Reconnected(fqmes=names, missed=missed, time_ns=time.time_ns())
        feed._put(line.broker, event)  # noqa: SLF001
        for told in flumes:
            feed._put(line.broker, told.first_quote)  # noqa: SLF001


def _line_down(feed: Feed, line: _Line, reason: str) -> None:
    if line.lost:
        return
    line.lost = True
    names = tuple(
        name for name, flume in feed.flumes.items() if flume.mkt.broker == line.broker
    )
    log.warning("lost the feed of %s: %s", line.broker, reason)
    event = Disconnected(fqmes=names, reason=reason, time_ns=time.time_ns())
    feed._put(line.broker, event)  # noqa: SLF001


async def _relay(feed: Feed, line: _Line, stream: MsgStream[FeedMsg]) -> None:
    """Hand messages to the consumers; acknowledge as they are consumed."""
    async for item in stream:
        feed._put(line.broker, item)  # noqa: SLF001
        line.consumed += 1
        if line.consumed >= ACK_EVERY:
            await feed._wait_room()  # noqa: SLF001
            await stream.send(Credit(n=line.consumed))
            line.consumed = 0
