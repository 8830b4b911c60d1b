"""Venues on the loopback with their real sessions, and the bars those make."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import trio

from piker.data import Feed
from piker.testing.emulator import Emulator, open_emulator
from tests._data import binance_session
from tests.data._replays import bars_of, rows


@dataclass(frozen=True)
class Venue:
    """An emulated venue and a market of it, fed by a recorded session."""

    name: str
    fqme: str
    session: str

    @property
    def broker(self) -> str:
        return self.fqme.rpartition(".")[2]

    @property
    def path(self):
        return binance_session(self.session)


SPOT = Venue("binance.spot", "btcusdt.spot.binance", "spot_hft/btcusdt_20240808.gz")
USDTM = Venue(
    "binance.usdtm", "btcusdt.usdtm.perp.binance", "usdm_hft/btcusdt_20240808.gz"
)
# what was traded elsewhere, told as Kraken tells it
KRAKEN = Venue("kraken.spot", "xbtusdt.spot.kraken", "spot_hft/btcusdt_20240808.gz")
VENUES = (SPOT, USDTM, KRAKEN)


@asynccontextmanager
async def open_venues(**options) -> AsyncIterator[list[Emulator]]:
    """Run the emulators of `VENUES`, in their order, started side by side."""
    async with AsyncExitStack() as ending:
        found: dict[str, Emulator] = {}

        async def open_one(venue: Venue) -> None:
            found[venue.name] = await ending.enter_async_context(
                open_emulator(venue.name, session=venue.path, **options)
            )

        async with trio.open_nursery() as starting:
            for venue in VENUES:
                starting.start_soon(open_one, venue)
        yield [found[venue.name] for venue in VENUES]


def differences(feed: Feed, venue: Venue) -> list[tuple]:
    """Return where a market's bars are not what its session's trades make."""
    flume = feed.flumes[venue.fqme]
    found = []
    for period_s, shm in ((1, flume.rt_shm), (60, flume.hist_shm)):
        got = {row[0]: row for row in rows(shm)}
        expected = {row[0]: row for row in bars_of(venue.session, period_s)}
        found += [
            (period_s, expected[at], got.get(at))
            for at in expected
            if got.get(at) != expected[at]
        ]
        found += [(period_s, None, got[at]) for at in got.keys() - expected.keys()]
    return found


async def wait_exact(feed: Feed, venue: Venue, deadline_s: float = 15) -> None:
    """Wait until all bars are as they should be; fail with what differs."""
    with trio.move_on_after(deadline_s):
        while differences(feed, venue):
            await trio.sleep(0.05)
        return
    wrong = differences(feed, venue)
    raise AssertionError(f"{len(wrong)} bars differ, e.g. {wrong[:3]}")
