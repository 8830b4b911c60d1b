"""Feeds: what a client holds while it watches markets.

    open_feed --> one line a broker --messages--> Feed --> a tap for each consumer

A feed outlives the daemons behind it. It never does so silently: Disconnected, then
Reconnected, stand among the events where they happened.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import trio

from piker.brokers import check_broker
from piker.errors import ShmError, UsageError
from piker.msgs import (
    Calendar,
    Clock,
    FeedEvent,
    FeedMsg,
    FlumeMsg,
    Fqme,
    HistoryProgress,
    MktPair,
    Quote,
    ShmToken,
)
from piker.service import collapse_eg, maybe_open_context

from ._buffers import HIST_S
from ._line import Line
from ._past import base_period, read_past
from ._shm import ShmArray
from ._subs import check_wish
from ._taps import EVENT_TYPES, MSG_TYPES, Tap

_EVENTS_KEPT: Final = 1000


class Flume:
    """One market of a feed: what it is, its first quote, its bars.

    Ask for `rt_shm` and `hist_shm` each time you read: where a buffer had to be made
    anew, they are the new one.
    """

    def __init__(self, told: FlumeMsg) -> None:
        """Describe what datad told."""
        self._told = told
        self._attached: dict[ShmToken, tuple[int, ShmArray]] = {}

    def renew(self, told: FlumeMsg) -> None:
        """Take what datad says now; a buffer made anew is attached at its next use."""
        self._told = told
        self._attached = {
            token: (inode, bars)
            for token, (inode, bars) in self._attached.items()
            if inode == _inode(token) and token in (told.rt_shm, told.hist_shm)
        }

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

    @property
    def rt_shm(self) -> ShmArray:
        """Its 1 s bars, attached at first use; raises ShmError if they are gone."""
        return self._attach(self._told.rt_shm)

    @property
    def hist_shm(self) -> ShmArray:
        """Its 60 s bars, attached at first use; raises ShmError if they are gone."""
        return self._attach(self._told.hist_shm)

    async def read(
        self,
        start_s: float | None = None,
        end_s: float | None = None,
        period_s: int = 60,
    ) -> npt.NDArray[np.void]:
        """Return bars of any age and period: of the buffer, before that of the store.

        Waits for no venue: what isn't loaded yet, or is lost, is missing. Of the
        newest bars the last one still forms.

        Args:
          start_s: epoch seconds; None for the oldest that is stored.
          end_s: bars open before it; None for up to now.
          period_s: bar length; made of 60 s bars where it is a multiple, else of 1 s
            bars.

        Returns:
          dtype ``piker.tsp.OHLCV``, shape (n,), strictly ascending in whole periods.

        Raises: UsageError for a period that isn't positive; StoreTooNew; StoreDamaged.
        """
        try:
            held = self.hist_shm if base_period(period_s) == HIST_S else self.rt_shm
        except ShmError:
            held = None  # its writer is gone, and the tree too
        return await read_past(self.mkt, held, (start_s, end_s), period_s)

    def _attach(self, token: ShmToken) -> ShmArray:
        if token not in self._attached:
            # looked at before: what was swapped meanwhile is noticed by renew()
            self._attached[token] = (_inode(token), ShmArray.attach(token))
        return self._attached[token][1]


def _inode(token: ShmToken) -> int:
    try:
        return Path(token.path).stat().st_ino
    except OSError:
        return 0


@dataclass(eq=False)
class Feed:
    """Markets being watched.

    Attributes:
      flumes: by full name.
      events: what happened to the feed, a view to iterate; the newest 1000 are kept.
      every_tick: no tick is merged away, neither here nor on the way here.
    """

    flumes: dict[str, Flume] = field(default_factory=dict)
    events: Tap = field(default_factory=lambda: Tap(EVENT_TYPES))
    every_tick: bool = False
    _taps: list[Tap] = field(default_factory=list)
    _lines: dict[str, Line] = field(default_factory=dict)
    _past: deque[FeedEvent] = field(default_factory=lambda: deque(maxlen=_EVENTS_KEPT))
    _progress: dict[tuple[tuple[str, ...], int], FeedEvent] = field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        self._taps.append(self.events)

    @cached_property
    def stream(self) -> Tap:
        """Quotes of all markets in order of arrival, from the first use on."""
        return self._tap((Quote,))

    @cached_property
    def messages(self) -> Tap:
        """Quotes and events in the order in which they came, from the first use on.

        The events from before that come first.
        """
        return self._tap(MSG_TYPES, past=self._happened())

    @cached_property
    def streams(self) -> dict[str, Tap]:
        """Quotes by broker, from the first use on."""
        return {name: self._tap((Quote,), name) for name in self._lines}

    def _tap(
        self,
        kinds: tuple[type, ...],
        broker: str | None = None,
        past: Iterable[FeedEvent] = (),
    ) -> Tap:
        tap = Tap(kinds, broker, past, every_tick=self.every_tick)
        self._taps.append(tap)
        return tap

    async def pause(self) -> None:
        """Ask for no quotes, for all who share this feed; bars and events go on."""
        for line in self._lines.values():
            await line.command(paused=True)

    async def resume(self) -> None:
        """Ask for quotes again."""
        for line in self._lines.values():
            await line.command(paused=False)

    def view(self) -> Feed:
        """Return another consumer's view of the same lines, with taps of its own."""
        mine = Tap(EVENT_TYPES, past=self._happened())
        other = Feed(
            self.flumes,
            mine,
            self.every_tick,
            _lines=self._lines,
            _past=self._past,
            _progress=self._progress,
        )
        other._taps = self._taps  # one list: who relays sees all
        self._taps.append(mine)
        return other

    def close_view(self) -> None:
        """End this consumer's own taps; the lines go on for the others."""
        mine = [self.events]
        mine += [tap for tap in vars(self).values() if isinstance(tap, Tap)]
        mine += vars(self).get("streams", {}).values()
        for tap in mine:
            tap.close()
            if tap in self._taps:
                self._taps.remove(tap)

    def _happened(self) -> list[FeedEvent]:
        """Return what a consumer who comes now is to be told."""
        return [*self._past, *self._progress.values()]

    def _note(self, event: FeedEvent) -> None:
        if isinstance(event, HistoryProgress):
            self._progress[event.fqmes, event.period_s] = event
        else:
            self._past.append(event)

    def _put(self, broker: str, item: FeedMsg) -> None:
        if not isinstance(item, Quote):
            self._note(item)
        for tap in self._taps:
            tap.put(broker, item)

    def _learn(self, told: FlumeMsg) -> None:
        fqme = told.init.mkt.fqme
        if fqme in self.flumes:
            self.flumes[fqme].renew(told)
        else:
            self.flumes[fqme] = Flume(told)

    def _add(
        self,
        name: str,
        throttle: float | None,
        on_wait: Callable[[str], None] | None,
    ) -> None:
        """Put a market on its broker's line; raises BadFqme, BrokerNotFound."""
        broker = Fqme.parse(name).broker
        check_broker(broker)
        if broker not in self._lines:
            self._lines[broker] = Line(
                broker, throttle, self._put, self._learn, on_wait=on_wait
            )
            self._lines[broker].every_tick = self.every_tick
        if name not in self._lines[broker].fqmes:
            self._lines[broker].fqmes.append(name)

    @asynccontextmanager
    async def _held(self) -> AsyncIterator[None]:
        """Hold all lines for the length of the block."""
        async with collapse_eg(), trio.open_nursery() as tasks:
            async with collapse_eg(), trio.open_nursery() as opening:
                for line in self._lines.values():
                    opening.start_soon(tasks.start, line.run)
            try:
                yield
            finally:
                for tap in self._taps:
                    tap.close()
                tasks.cancel_scope.cancel()


@asynccontextmanager
async def open_feed(
    fqmes: list[str] | tuple[str, ...] | str,
    *,
    tick_throttle: float | None = None,
    every_tick: bool = False,
    on_wait: Callable[[str], None] | None = None,
) -> AsyncIterator[Feed]:
    """Watch markets: their bars, their quotes, and what happens to their source.

    Args:
      fqmes: full or short names, of any brokers.
      tick_throttle: quotes a second and market at most; all by default.
      every_tick: merge none away, however slow the consumers are: they get fewer quotes
        with all ticks in them, 4,096 at most, in order, each once. Up to 250,000 of a
        market wait; older ones are counted in ``missed``. After a Reconnected, the
        newest quote comes again.
      on_wait: wait for venues that can't be reached yet, and tell it why; by default
        that is an error.

    Raises:
      BadFqme, BrokerNotFound, SymbolNotFound: names that lead nowhere.
      ServiceQuarantined, ServiceStopped, RegistryUnreachable: no daemon to be had.
      VenueUnreachable, RateLimited: a venue is not to be had now, see *on_wait*.
      PikerError: what the backend refuses with.
    """
    names = [fqmes] if isinstance(fqmes, str) else list(fqmes)
    if not names:
        raise UsageError("a feed wants at least one market, got none")
    check_wish(tick_throttle, every_tick=every_tick)
    feed = Feed(every_tick=every_tick)
    for name in names:
        feed._add(name, tick_throttle, on_wait)  # noqa: SLF001
    async with feed._held():  # noqa: SLF001
        yield feed


@asynccontextmanager
async def maybe_open_feed(
    fqmes: list[str] | tuple[str, ...],
    *,
    nursery: trio.Nursery,
    tick_throttle: float | None = None,
    every_tick: bool = False,
) -> AsyncIterator[Feed]:
    """Watch markets over one feed for all users of this process; each has its view.

    Args:
      fqmes: as for :func:`open_feed`.
      nursery: outlives all users; holds the shared feed.
      tick_throttle: as for :func:`open_feed`.
      every_tick: likewise.
    """
    key = (tuple(fqmes), tick_throttle, every_tick)
    kwargs = {
        "fqmes": tuple(fqmes),
        "tick_throttle": tick_throttle,
        "every_tick": every_tick,
    }
    async with maybe_open_context(
        open_feed, kwargs=kwargs, key=key, nursery=nursery
    ) as (_, feed):
        view = feed.view()
        try:
            yield view
        finally:
            view.close_view()
