"""Clients of a piker tree, a process each.

``python -m benchmarks._client WHAT JSON``; a parent hears and tells, see ``_speak``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any, Final

import trio

from piker.data import (
    Disconnected,
    Ended,
    Feed,
    HistoryProgress,
    Quote,
    Reconnected,
    open_feed,
    open_search,
    search_symbols,
)
from piker.service import encode, open_piker_runtime

from ._speak import heard, parent_gone, say


async def first(fqmes: list[str]) -> None:
    """Open a feed; say when, and when its first quotes came."""
    began_ns = time.monotonic_ns()
    async with open_feed(fqmes) as feed:
        quotes = feed.stream
        say(began=began_ns, first=time.monotonic_ns())
        await quotes.receive()
        say(live=time.monotonic_ns())
        await parent_gone()


async def loaded(fqmes: list[str]) -> None:
    """Open a feed; say when all of its markets' past is loaded."""
    async with open_feed(fqmes) as feed:
        done: dict[int, float] = {}
        async for event in feed.events:
            if isinstance(event, HistoryProgress):
                done[event.period_s] = event.done
                if len(done) == 2 and min(done.values()) >= 1:
                    break
        say(loaded=time.monotonic_ns())
        await parent_gone()


async def searches(patterns: list[str]) -> None:
    """Search for each pattern, in one open search and in one of its own; say ns."""
    took, once = [], []
    async with open_search(["sim"]) as search:
        await search.find("warm")
        for pattern in patterns:
            began_ns = time.monotonic_ns()
            await search.find(pattern)
            took.append(time.monotonic_ns() - began_ns)
    for pattern in patterns:
        began_ns = time.monotonic_ns()
        await search_symbols(pattern, ["sim"])
        once.append(time.monotonic_ns() - began_ns)
    say(took=took, once=once)
    await parent_gone()


async def watch(fqmes: list[str]) -> None:
    """Stay attached; say what happens to the feed, and the first quote after it."""
    async with open_feed(fqmes) as feed:
        lost = True
        async for item in feed.messages:
            now_ns = time.monotonic_ns()
            if isinstance(item, Quote):
                if lost:
                    say(fresh=now_ns)
                lost = False
            elif isinstance(item, Disconnected):
                lost = True
                say(lost=now_ns)
            elif isinstance(item, Reconnected):
                say(back=now_ns, missed=item.missed)


async def latency(fqmes: list[str], skip: int, seconds: float) -> None:
    """Receive a session's quotes; say how late each was, ns.

    ``due`` counts from the trade's own stamp, which is when it was due, ``made`` from
    datad's stamp on the quote.
    """
    async with open_feed(fqmes) as feed:
        (flume,) = feed.flumes.values()
        quotes, clock = feed.stream, flume.clock
        say(ready=True)
        for _ in range(skip):
            await quotes.receive()
        due, made = [], []
        size = 0
        until = trio.current_time() + seconds
        while trio.current_time() < until:  # at least one
            quote = await quotes.receive()
            now_ns = clock.now_ns()
            made.append(now_ns - quote.time_ns)
            due += [now_ns - tick.time_ns for tick in quote.ticks]
            size = size or len(encode(quote))
        say(due=due, made=made, size=size)
        await parent_gone()


async def arrivals(fqmes: list[str]) -> None:
    """Note when each quote with a trade came, ns, and its last trade; say it if asked.

    Events are said as they come.
    """
    found: list[tuple[int, int]] = []

    async def receive(feed: Feed) -> None:
        async for item in feed.messages:
            now_ns = time.monotonic_ns()
            if not isinstance(item, Quote):
                say(event=repr(item))
                continue
            tids = [tick.tid for tick in item.ticks if tick.type == "trade"]
            if tids:
                if not found:
                    say(ready=True)
                found.append((now_ns, tids[-1]))

    async with open_feed(fqmes) as feed, trio.open_nursery() as tasks:
        tasks.start_soon(receive, feed)
        async for _ in heard():
            say(arrivals=found)
        tasks.cancel_scope.cancel()


async def flooded(fqmes: list[str]) -> None:
    """Read a feed to its end as fast as it comes; say how much came how fast."""
    async with open_feed(fqmes) as feed:
        say(**await _drain(feed))
        await parent_gone()


async def _drain(feed: Feed) -> dict[str, float]:
    ticks = missed = trades = 0
    began_ns = last_ns = 0
    async for item in feed.messages:
        if isinstance(item, Ended):
            break
        if not isinstance(item, Quote):
            continue
        last_ns = time.monotonic_ns()
        began_ns = began_ns or last_ns
        ticks += len(item.ticks)
        trades += sum(tick.type == "trade" for tick in item.ticks)
        missed += item.missed
    seconds = (last_ns - began_ns) / 1e9
    return {"ticks": ticks, "trades": trades, "missed": missed, "seconds": seconds}


_PROGRAMS: Final = {
    "first": first,
    "watch": watch,
    "latency": latency,
    "arrivals": arrivals,
    "flooded": flooded,
    "searches": searches,
    "loaded": loaded,
}


async def _leave_with_parent() -> None:
    await parent_gone()
    os._exit(0)


async def _main(what: str, told: dict[str, Any]) -> None:
    addr = tuple(told.pop("addr"))
    async with trio.open_nursery() as tasks:
        if what == "watch":
            tasks.start_soon(_leave_with_parent)
        async with open_piker_runtime("client", addr):
            await _PROGRAMS[what](**told)
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    signal.alarm(600)  # the last bound of all
    trio.run(_main, sys.argv[1], json.loads(sys.argv[2]))
