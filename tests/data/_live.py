"""A live tree of the sim: what its bars should be, what its datad says of itself."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import cache
from itertools import zip_longest
from typing import Any

import trio

from piker.brokers.sim._synthetic import Synthetic
from piker.brokers.sim._universe import find_market
from piker.data import (
    Disconnected,
    Feed,
    Flume,
    HistoryProgress,
    Quote,
    Reconnected,
    maybe_spawn_datad,
)
from piker.data._rpc import feed_stats
from piker.service import call_endpoint

NS = 10**9
BTC, ETH = "btcusdt.spot.sim", "ethusdt.spot.sim"
SEED = 7


@cache
def synthetic(fqme: str) -> Synthetic:
    return Synthetic(find_market(fqme), SEED)


def expected(fqme: str, start_s: int, end_s: int, period_s: int = 1) -> list[tuple]:
    """Return an always open market's bars of [start, end), flat where not traded."""
    before = synthetic(fqme).bars((start_s - 7200) * NS, start_s * NS, period_s)
    close = float(before["close"][-1])
    bars = synthetic(fqme).bars(start_s * NS, end_s * NS, period_s)
    traded = {row[0]: row for row in bars.tolist()}
    rows = []
    for at in range(start_s, end_s, period_s):
        row = traded.get(at, (at, close, close, close, close, 0.0, 0))
        close = row[4]
        rows.append(row)
    return rows


async def check_live_bars(flume: Flume, since_s: float) -> int:
    """Compare the bars from *since_s* up to now with the generator's; return how many.

    The newest are waited for: a second that ends now has all its trades a bit later,
    on a busy machine much later.
    """
    now_s = flume.clock.now_ns() // NS
    until = trio.current_time() + 10
    for period_s, shm in ((1, flume.rt_shm), (60, flume.hist_shm)):
        start_s, end_s = (int(at) // period_s * period_s for at in (since_s, now_s))
        wanted = expected(flume.fqme, start_s, end_s, period_s)
        while (got := shm.slice(start_s, end_s).to_structured().tolist()) != wanted:
            assert trio.current_time() < until, [
                pair for pair in zip_longest(got, wanted) if pair[0] != pair[1]
            ][:5]
            await trio.sleep(0.1)
    return now_s - int(since_s)


async def stats() -> dict[str, Any]:
    """Return what datad.sim says of its markets."""
    async with maybe_spawn_datad("sim") as portal:
        return await call_endpoint(portal, feed_stats)


async def wait_stats(fqme: str, **wanted: Any) -> dict[str, Any]:
    """Wait until datad.sim says *wanted* of a market."""
    with trio.fail_after(10):
        while True:
            told = (await stats()).get(fqme, {})
            if all(told.get(key) == value for key, value in wanted.items()):
                return told
            await trio.sleep(0.05)


async def next_event(feed: Feed) -> Any:
    """Return the next event of a feed that isn't about how far the past is loaded."""
    while isinstance(event := await feed.events.receive(), HistoryProgress):
        pass
    return event


class Watcher:
    """Reads a feed's messages and looks at their order."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.said: list = []
        self._changed = trio.Event()

    async def run(self) -> None:
        async for item in self.feed.messages:
            self.said.append(item)
            self._changed.set()
            self._changed = trio.Event()

    async def until(self, kind: type, after: int = 0, *, fqme: str = "") -> Any:
        """Return the first message of a kind, of a market, from number *after* on."""
        while True:
            for item in self.said[after:]:
                if isinstance(item, kind) and (not fqme or fqme in item.fqmes):
                    return item
            await self._changed.wait()

    def check_order(self) -> int:
        """Each loss is told, then its end, then come quotes; return how many."""
        losses = 0
        before: Any = None
        for item in self.said:
            if isinstance(item, Reconnected):
                assert isinstance(before, Disconnected)
            elif isinstance(item, Quote):
                assert not isinstance(before, Disconnected)
            elif isinstance(item, Disconnected):
                losses += not isinstance(before, Disconnected)
            before = item
        return losses


@asynccontextmanager
async def watched(*feeds: Feed):
    """Yield a running Watcher of each feed."""
    watchers = [Watcher(feed) for feed in feeds]
    async with trio.open_nursery() as tasks:
        for watcher in watchers:
            tasks.start_soon(watcher.run)
        yield watchers
        tasks.cancel_scope.cancel()
