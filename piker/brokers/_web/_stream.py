"""``stream_quotes`` of a web venue: its first word, then its markets side by side."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from piker.brokers._backend import FeedItem, ResumePoint, Started
from piker.msgs import NS, Clock, FeedInit, MktPair, Quote, WallClock, Warned
from piker.service import collapse_eg

from ._hub import Hub
from ._market import FetchPage, MarketStream

_MINUTE_NS: Final = 60 * NS
#: A venue's clock that is off by more is warned about.
_SKEW_S: Final = 1.0


@dataclass(frozen=True)
class Source:
    """Where one market's stream comes from.

    Attributes:
      mkt: the market.
      hub: its venue's stream.
      fetch: gives its past trades.
      quote: gives its newest quote.
      now_ns: asks the venue for its time, ns since the epoch.
      clock: the market's.
      has_snapshot: whether a subscription begins with the newest trades.
    """

    mkt: MktPair
    hub: Hub
    fetch: FetchPage
    quote: Callable[[], Awaitable[Quote]]
    now_ns: Callable[[], Awaitable[int]]
    clock: Clock
    has_snapshot: bool = False


OpenSource = Callable[[str], AbstractAsyncContextManager[Source]]


async def stream_markets(
    open_source: OpenSource,
    send_chan: trio.MemorySendChannel[FeedItem],
    symbols: list[str],
    feed_is_live: trio.Event,
    *,
    resume: Mapping[str, ResumePoint],
    task_status: Started,
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
    async with opening as source, source.hub.join(source.mkt.bs_mktid) as member:
        # the hub connects while the venue is asked for its time and a quote
        init, quote, warning = await _describe(source)
        note_start(init, quote)
        if warning is not None:
            await send_chan.send(warning)
        stream = MarketStream(
            fqme=source.mkt.fqme,
            hub=source.hub,
            member=member,
            fetch=source.fetch,
            send=send_chan,
            note_live=note_live,
            start_ns=init.start_ns,
            point=point,
            has_snapshot=source.has_snapshot,
        )
        await stream.run()


async def _describe(source: Source) -> tuple[FeedInit, Quote, Warned | None]:
    """Ask the venue for its time and a first quote, side by side."""
    quotes: list[Quote] = []

    async def ask_quote() -> None:
        quotes.append(await source.quote())

    async with collapse_eg(), trio.open_nursery() as tasks:
        tasks.start_soon(ask_quote)
        began_ns = time.time_ns()
        now_ns = await source.now_ns()
        ours_ns = (began_ns + time.time_ns()) // 2
    # from a whole minute on, so that the bars that are forming now become whole
    init = FeedInit(
        mkt=source.mkt, clock=source.clock, start_ns=now_ns // _MINUTE_NS * _MINUTE_NS
    )
    return init, quotes[0], _skew(source, (now_ns - ours_ns) / NS)


def _skew(source: Source, ahead_s: float) -> Warned | None:
    if not isinstance(source.clock, WallClock) or abs(ahead_s) <= _SKEW_S:
        return None
    way = "ahead of" if ahead_s > 0 else "behind"
    return Warned(
        fqmes=(source.mkt.fqme,),
        reason=f"the venue's clock is {abs(ahead_s):.1f} s {way} ours",
        time_ns=time.time_ns(),
    )


@asynccontextmanager
async def hold(source: Source) -> AsyncIterator[Source]:
    """Yield a source that needs no closing."""
    yield source
