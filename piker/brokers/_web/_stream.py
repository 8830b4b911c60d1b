"""``stream_quotes`` of a web venue: its first word, then its markets side by side."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import trio

from piker.brokers._backend import FeedItem, OnClock, ResumePoint, Started
from piker.errors import VenueError
from piker.log import get_logger
from piker.msgs import (
    NS,
    Clock,
    FeedInit,
    MktPair,
    Quote,
    SessionClock,
    VenueClock,
    Warned,
)
from piker.service import collapse_eg

from ._dialect import Member
from ._hub import Hub
from ._market import MarketStream
from ._pages import FetchPage, Page, Since
from ._quotes import QuoteLine
from ._time import SKEW_NS, AskTime, VenueTime, skew_s

log = get_logger(__name__)

_MINUTE_NS: Final = 60 * NS
#: A bar that ended so long ago is whole in a venue's history: its time is known to a
#: second or two, and its bars may lag behind its trades.
_SETTLED_NS: Final = 5 * NS
#: A venue's time is measured anew so often, and after a lost connection if the newest
#: measure is older than a minute: a line that comes and goes is no reason to ask again.
_TIME_EVERY_S: Final = 600.0


@dataclass(eq=False)
class _Asked:
    """A page that one asks for and others wait for; neither if it was cancelled."""

    page: Page | None = None
    error: VenueError | None = None
    done: trio.Event = field(default_factory=trio.Event)


@dataclass(frozen=True)
class Source:
    """Where one market's stream comes from.

    Attributes:
      mkt: the market.
      hub: its venue's stream, of all or of trades alone.
      fetch: gives its past trades.
      quote: gives its newest quote.
      ask_time: asks the venue for its time.
      time: the clock that makes.
      replay: the market's clock in its place, of a venue that replays another time.
      has_snapshot: whether a subscription begins with the newest trades.
      quotes: its venue's stream of bids and asks, if that is another.
    """

    mkt: MktPair
    hub: Hub
    fetch: FetchPage
    quote: Callable[[], Awaitable[Quote]]
    ask_time: AskTime
    time: VenueTime
    replay: SessionClock | None = None
    has_snapshot: bool = False
    quotes: Hub | None = None

    @property
    def hubs(self) -> list[Hub]:
        """All streams that tell of it, that of its trades first."""
        return [self.hub] if self.quotes is None else [self.hub, self.quotes]

    @asynccontextmanager
    async def joined(self) -> AsyncIterator[list[Member]]:
        """Yield a member of each of `hubs`."""
        async with AsyncExitStack() as stack:
            yield [
                await stack.enter_async_context(hub.join(self.mkt.bs_mktid))
                for hub in self.hubs
            ]

    def quote_lines(
        self, members: list[Member], send: trio.MemorySendChannel[FeedItem]
    ) -> list[QuoteLine]:
        """Return what takes quotes of streams of their own, none or one, to *send*."""
        hubs = self.hubs[1:]
        return [
            QuoteLine(self.mkt.fqme, hub, member, self.quote, send)
            for hub, member in zip(hubs, members, strict=True)
        ]

    async def page(self, since: Since) -> Page:
        """Fetch a page of past trades, one request for all who ask at a time.

        Raises what *fetch* raises.
        """
        fetching, key = self.hub.fetching, (self.mkt.bs_mktid, since)
        while (other := fetching.get(key)) is not None:
            await other.done.wait()
            if other.error is not None:
                raise other.error
            if other.page is not None:
                return other.page
        mine = fetching[key] = _Asked()
        try:
            mine.page = await self.fetch(since)
        except VenueError as err:
            mine.error = err
            raise
        finally:
            del fetching[key]
            mine.done.set()
        return mine.page


OpenSource = Callable[[str], AbstractAsyncContextManager[Source]]


async def stream_markets(
    open_source: OpenSource,
    send_chan: trio.MemorySendChannel[FeedItem],
    symbols: list[str],
    feed_is_live: trio.Event,
    *,
    resume: Mapping[str, ResumePoint],
    task_status: Started = trio.TASK_STATUS_IGNORED,
) -> None:
    """Be a backend's ``stream_quotes``, see :class:`piker.brokers.StreamQuotes`.

    Args:
      open_source: opens the source of a market by its name.
      send_chan: of the contract, as what follows.
      symbols: full names.
      feed_is_live: set once all markets are.
      resume: points by full name.
      task_status: told the inits and first quotes.
    """
    inits: dict[str, FeedInit] = {}
    quotes: dict[str, Quote] = {}
    late = set(symbols)

    def note_live(fqme: str) -> None:
        late.discard(fqme)
        if not late:
            feed_is_live.set()

    def note_start(init: FeedInit, quote: Quote) -> None:
        inits[init.mkt.fqme], quotes[init.mkt.fqme] = init, quote
        if len(inits) == len(symbols):
            task_status.started((list(inits.values()), quotes))

    async with collapse_eg(), trio.open_nursery() as tasks:
        for fqme in symbols:
            tasks.start_soon(
                partial(
                    _stream_one,
                    open_source(fqme),
                    send_chan,
                    note_start=note_start,
                    note_live=partial(note_live, fqme),
                    point=resume.get(fqme),
                )
            )


async def _stream_one(
    opening: AbstractAsyncContextManager[Source],
    send_chan: trio.MemorySendChannel[FeedItem],
    *,
    note_start: Callable[[FeedInit, Quote], None],
    note_live: Callable[[], None],
    point: ResumePoint | None,
) -> None:
    async with opening as source, source.joined() as (member, *quotes):
        # the hub connects while the venue is asked for its time and a quote
        init, quote = await _describe(source)
        note_start(init, quote)
        stream = MarketStream(
            fqme=source.mkt.fqme,
            hub=source.hub,
            member=member,
            fetch=source.page,
            send=send_chan,
            note_live=note_live,
            start_ns=init.start_ns,
            point=point,
            has_snapshot=source.has_snapshot,
            now_ns=None if source.replay else source.time.now_ns,
        )
        async with collapse_eg(), trio.open_nursery() as tasks:
            tasks.start_soon(_keep_time, source, init.clock, stream)
            for line in source.quote_lines(quotes, send_chan):
                tasks.start_soon(line.run)
            await stream.run()
            tasks.cancel_scope.cancel()


async def _describe(source: Source) -> tuple[FeedInit, Quote]:
    """Ask the venue for its time and a first quote, side by side."""
    quotes: list[Quote] = []

    async def ask_quote() -> None:
        quotes.append(await source.quote())

    async with collapse_eg(), trio.open_nursery() as tasks:
        tasks.start_soon(ask_quote)
        clock, now_ns = await ask_clock(source)
    init = FeedInit(mkt=source.mkt, clock=clock, start_ns=start_from(now_ns))
    return init, quotes[0]


def start_from(now_ns: int) -> int:
    """Return from where on trades are wanted, as history has whole bars until there.

    Args:
      now_ns: the venue's time, as is what is returned: ns since the epoch.
    """
    return (now_ns - _SETTLED_NS) // _MINUTE_NS * _MINUTE_NS


async def ask_clock(source: Source) -> tuple[Clock, int]:
    """Return a market's clock, and what time it is there."""
    if source.replay is not None:
        return source.replay, (await source.ask_time()).venue_ns
    clock = await source.time.clock(source.ask_time)
    return clock, clock.now_ns()


async def _keep_time(source: Source, clock: Clock, stream: MarketStream) -> None:
    """Have a market follow its venue's time, and its user know of a skew."""
    if not isinstance(clock, VenueClock):
        return
    await _warn_of_skew(source, clock, stream)
    while True:
        with trio.move_on_after(_TIME_EVERY_S):
            await stream.came_up.wait()
        try:
            now = await source.time.clock(source.ask_time)
        except VenueError as err:
            log.info("%s: its venue doesn't tell the time: %s", source.mkt.fqme, err)
            await trio.sleep(_TIME_EVERY_S / 10)
            continue
        if now != clock:
            clock = now
            await stream.send.send(OnClock(source.mkt.fqme, clock))
            await _warn_of_skew(source, clock, stream)


async def _warn_of_skew(
    source: Source, clock: VenueClock, stream: MarketStream
) -> None:
    ahead_s = skew_s(clock)
    if abs(ahead_s) * NS <= SKEW_NS:
        return
    way = "ahead of" if ahead_s > 0 else "behind"
    reason = (
        f"the venue's clock is {abs(ahead_s):.1f} s {way} ours: bars go by the venue's"
    )
    await stream.send.send(
        Warned(fqmes=(source.mkt.fqme,), reason=reason, time_ns=time.time_ns())
    )


@asynccontextmanager
async def hold(source: Source) -> AsyncIterator[Source]:
    """Yield a source that needs no closing."""
    yield source
