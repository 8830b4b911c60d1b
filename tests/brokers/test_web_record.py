"""A recording of several markets of a venue that refuses some of them."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager

import msgspec
import pytest
import trio

from piker.brokers._web import Page, Source, VenueTime, open_hub
from piker.brokers._web._record import record_markets
from piker.brokers._web._time import Told
from piker.errors import SymbolNotFound, VenueRefused
from piker.msgs import Asset, Ended, boot_ns
from tests.brokers._recorded import MKT, NS
from tests.brokers._ws_venue import open_ws_venue

A, B, UNLISTED = (f"{symbol}usdt.spot.binance" for symbol in ("a", "b", "unlisted"))
HOUR_NS = 3600 * NS


class Sink:
    """Takes what is recorded."""

    def __init__(self):
        self.frames, self.ended, self._came = [], [], trio.Event()

    def frame(self, received_ns, payload):
        self.frames.append((received_ns, payload))
        self._came.set()

    def note(self, note): ...

    def watch(self, fqme, reached): ...

    def event(self, event):
        if isinstance(event, Ended):
            self.ended.append((event.fqmes, event.reason))
            self._came.set()

    async def until(self, so):
        """Wait until *so* of it holds."""
        with trio.fail_after(20):
            while not so(self):
                self._came = trio.Event()
                await self._came.wait()


@asynccontextmanager
async def open_bench():
    """Yield a venue, a sink, and what records its markets into that."""

    async def fetch(since):
        return Page([], is_last=True)

    async def ask_time():
        return Told.between(time.time_ns(), boot_ns(), boot_ns())

    async with open_ws_venue() as venue, open_hub(venue.dialect()) as hub:

        @asynccontextmanager
        async def open_source(fqme):
            if fqme == UNLISTED:
                raise SymbolNotFound(f"no market {fqme!r} at x")
            symbol = fqme.partition("usdt.")[0]
            dst = Asset(name=symbol)
            yield Source(
                mkt=msgspec.structs.replace(MKT, dst=dst, bs_mktid=symbol),
                hub=hub,
                fetch=fetch,
                quote=None,
                ask_time=ask_time,
                time=VenueTime("x"),
            )

        sink = Sink()

        async def record(*fqmes):
            await record_markets(open_source, sink, list(fqmes), points={})

        yield venue, sink, record


async def test_the_others_are_recorded_on(caplog):
    """One isn't listed any more, one is refused later; then the last one is, too."""
    async with open_bench() as (venue, sink, record):
        venue.refuses = {"b"}
        with pytest.raises(VenueRefused, match="refused 'a'"):
            async with trio.open_nursery() as tasks:
                tasks.start_soon(record, A, UNLISTED, B)
                await sink.until(lambda sink: len(sink.ended) == 2)
                await venue.trade("a", 7)
                await sink.until(lambda sink: sink.frames)
                venue.refuses = {"a"}
                await venue.drop()
    assert sink.ended == [
        ((UNLISTED,), f"no market {UNLISTED!r} at x"),
        ((B,), "x refused 'b': no such pair"),
        ((A,), "x refused 'a': no such pair"),
    ]
    assert [payload for _, payload in sink.frames] == [
        b'{"k": "trade", "s": "a", "n": 7}'
    ]


async def test_a_recording_of_nothing_but_unlisted_markets_is_an_error():
    async with open_bench() as (_, sink, record):
        with pytest.raises(SymbolNotFound, match="no market"):
            await record(UNLISTED)
        assert len(sink.ended) == 1


async def test_frames_are_stamped_by_a_clock_that_nobody_sets(monkeypatch):
    began_ns, now_ns = boot_ns(), time.time_ns
    async with open_bench() as (venue, sink, record), trio.open_nursery() as tasks:
        tasks.start_soon(record, A)
        await venue.wait_heard(1)
        for number in range(3):
            hours = (0, 1, -1)[number]
            monkeypatch.setattr(time, "time_ns", lambda h=hours: now_ns() + h * HOUR_NS)
            await venue.trade("a", number)
            await sink.until(lambda sink, n=number: len(sink.frames) > n)
        tasks.cancel_scope.cancel()
    stamps = [at_ns for at_ns, _ in sink.frames]
    assert began_ns < stamps[0] < stamps[1] < stamps[2] < boot_ns()
