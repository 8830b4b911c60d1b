"""Venues on the loopback with their real sessions, and the bars those make."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import zip_longest

import trio

from piker.data import Feed
from piker.testing.emulator import Emulator, open_emulator
from tests._data import binance_session
from tests.data._naive import NS, Print, naive_bars
from tests.data._replays import bars_of, rows


@dataclass(frozen=True)
class Venue:
    """An emulated venue and a market of it, fed by a recorded session.

    Attributes:
      lines: connections that tell of the market.
    """

    name: str
    fqme: str
    session: str
    lines: int = 1

    @property
    def broker(self) -> str:
        return self.fqme.rpartition(".")[2]

    @property
    def path(self):
        return binance_session(self.session)


SPOT = Venue("binance.spot", "btcusdt.spot.binance", "spot_hft/btcusdt_20240808.gz")
USDTM = Venue(
    "binance.usdtm", "btcusdt.usdtm.perp.binance", "usdm_hft/btcusdt_20240808.gz", 2
)
# what was traded elsewhere, told as Kraken tells it
KRAKEN = Venue("kraken.spot", "xbtusdt.spot.kraken", "spot_hft/btcusdt_20240808.gz")
VENUES = (SPOT, USDTM, KRAKEN)
#: A bar that is this old has all of its trades.
WHOLE_S = 3


async def _start(ending: AsyncExitStack, options: dict[str, dict]) -> dict:
    """Start emulators side by side, each with its options; return them by name."""
    found: dict[str, Emulator] = {}

    async def start_one(name: str) -> None:
        found[name] = await ending.enter_async_context(
            open_emulator(name, **options[name])
        )

    async with trio.open_nursery() as starting:
        for name in options:
            starting.start_soon(start_one, name)
    return {name: found[name] for name in options}


@asynccontextmanager
async def open_venues(**options) -> AsyncIterator[list[Emulator]]:
    """Run the emulators of `VENUES`, in their order."""
    async with AsyncExitStack() as ending:
        wanted = {v.name: {"session": v.path, **options} for v in VENUES}
        yield list((await _start(ending, wanted)).values())


@asynccontextmanager
async def open_simulated(**options) -> AsyncIterator[dict[str, Emulator]]:
    """Run the emulators of the same venues, BTC and ETH of `sim` trading now."""
    spot, perp = (
        [f"{coin}usdt.{kind}.sim" for coin in ("btc", "eth")]
        for kind in ("spot", "usdtm.perp")
    )
    async with AsyncExitStack() as ending:
        wanted = {
            venue.name: {"sim": perp if venue is USDTM else spot, **options}
            for venue in VENUES
        }
        yield await _start(ending, wanted)


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


async def wait_exact(feed: Feed, venue: Venue, deadline_s: float = 30) -> None:
    """Wait until all bars are as they should be; fail with what differs."""
    with trio.move_on_after(deadline_s):
        while differences(feed, venue):
            await trio.sleep(0.05)
        return
    wrong = differences(feed, venue)
    raise AssertionError(f"{len(wrong)} bars differ, e.g. {wrong[:3]}")


async def venue_s(emulator) -> float:
    return (await emulator.stats())["clock_ns"] / NS


async def check_live_bars(feed, fqme: str, emulator, symbol: str = "BTCUSDT") -> int:
    """Compare the 1 s bars since the market was opened; return how many there are."""
    flume = feed.flumes[fqme]
    whole_s = int(await venue_s(emulator)) - WHOLE_S
    await trio.sleep(0.5)
    start_ns = flume._told.init.start_ns
    prints = [
        Print(one.time_ns, one.tid, Decimal(str(one.price)), Decimal(str(one.size)))
        for one in await emulator.trades(symbol)
        if one.time_ns >= start_ns
    ]
    expected = [row for row in naive_bars(prints, 1) if row[0] <= whole_s]
    await bars_are(flume, expected)
    with trio.move_on_after(20):  # under a load they are late for a while
        while abs(await behind_s(flume, emulator)) >= 3:
            await trio.sleep(0.1)
        return len(expected)
    raise AssertionError("bars don't follow the venue's clock")


async def behind_s(flume, emulator) -> float:
    """Return how far the newest 1 s bar is from the venue's time."""
    newest_s = rows(flume.rt_shm)[-1][0]
    return await venue_s(emulator) - newest_s


async def bars_are(flume, expected: list[tuple]) -> None:
    """Check the 1 s bars of a span.

    What was missed may be asked for again just now, under a load: soon they are right.
    """
    until = trio.current_time() + 15
    while True:
        got = [
            row
            for row in rows(flume.rt_shm)
            if expected[0][0] <= row[0] <= expected[-1][0]
        ]
        odd = [pair for pair in zip_longest(got, expected) if pair[0] != pair[1]]
        if not odd:
            return
        assert trio.current_time() < until, f"bars aren't the trades': {odd[:5]}"
        await trio.sleep(0.1)
