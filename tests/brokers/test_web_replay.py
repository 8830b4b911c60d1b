"""Recorded sessions over real sockets: each bar equals the session's own trades.

file --emulator--> websocket, REST --datad--> shared memory --> this process
file --json, Decimal--> the bars it should be
"""

from __future__ import annotations

import os
import random
import signal

import pytest
import trio

from piker.data import Disconnected, Quote, Reconnected, open_feed
from piker.service import Policy
from piker.testing.emulator import conf_of, open_emulator
from tests.brokers._venues import KRAKEN, SPOT, USDTM, VENUES, wait_exact

pytestmark = pytest.mark.tree

#: Venues that fail every second are connected to again at once.
SOON = "reconnect_max_s = 0.05\n"
LENIENT = Policy(delays_s=(0.0,), max_deaths=10_000)
by_name = pytest.mark.parametrize("venue", VENUES, ids=lambda venue: venue.name)


@by_name
async def test_full_speed(open_test_pikerd, venue):
    async with (
        open_emulator(venue.name, session=venue.path, speed=0) as emulator,
        open_test_pikerd(conf=emulator.conf),
        open_feed(venue.fqme) as feed,
    ):
        await emulator.wait_done()
        await wait_exact(feed, venue)
        told = await emulator.stats()
        assert told["websockets"] == 1
        assert told["statuses"].keys() == {"200"}


async def test_three_venues_at_20x(open_test_pikerd):
    async with (
        open_emulator(SPOT.name, session=SPOT.path, speed=20) as spot,
        open_emulator(USDTM.name, session=USDTM.path, speed=20) as usdtm,
        open_emulator(KRAKEN.name, session=KRAKEN.path, speed=20) as kraken,
        open_test_pikerd(conf=conf_of(spot, usdtm, kraken)),
        open_feed([venue.fqme for venue in VENUES]) as feed,
    ):
        for emulator in (spot, usdtm, kraken):
            await emulator.wait_done(40)
        for venue in VENUES:
            await wait_exact(feed, venue)


@by_name
@pytest.mark.parametrize("speed", [0, 20])
async def test_disconnects_at_20_random_frames(open_test_pikerd, venue, speed):
    rng = random.Random(f"{venue.name} {speed}")
    async with open_emulator(venue.name, session=venue.path, speed=speed) as emulator:
        for i in range(20):
            at = 200 + 450 * i + rng.randrange(140)  # clear of what is missed
            how = rng.choice(["clean", "rst", "mid_frame"])
            missed = rng.choice([0, 1, 40, 300]) if not speed else 0
            await emulator.fault("disconnect", at=[at], how=how, missed=missed)
        async with (
            open_test_pikerd(conf=emulator.conf + SOON, deadline_s=120),
            open_feed(venue.fqme) as feed,
        ):
            told = await emulator.wait_done(90)
            await wait_exact(feed, venue)
            assert told["fired"]["disconnect"] == 20
            assert told["websockets"] >= 15


@by_name
async def test_datad_killed_20_times(open_test_pikerd, venue):
    rng = random.Random(venue.name)
    async with (
        open_emulator(venue.name, session=venue.path, speed=20) as emulator,
        open_test_pikerd(conf=emulator.conf, policy=LENIENT) as tree,
        open_feed(venue.fqme) as feed,
    ):
        name = f"datad.{venue.broker}"
        service = tree.services.service_tasks[name]
        for _ in range(20):
            await tree.services.wait_up(name)
            await trio.sleep(rng.uniform(0.0, 0.6))
            os.kill(service.pid, signal.SIGKILL)
            while service.state == "running":
                await service.changed.wait()
        await emulator.wait_done(40)
        await wait_exact(feed, venue)
        assert service.restarts == 20


#: Faults that are in force all the time instead of striking now and then.
LASTING = {"slow", "latency", "skew"}
FAULTS = {
    "garbage": [
        {"kind": "garbage", "at": [300, 301, 900, 2500]},
        {"kind": "garbage", "at": [1500, 1501, 1502, 4000], "replace": True},
    ],
    "truncated": [{"kind": "truncate", "at": [500, 700, 701, 702, 5000]}],
    "duplicates": [{"kind": "duplicate", "at": [400, 1000, 3000], "times": 5}],
    "reordered": [
        {"kind": "reorder", "at": [350, 2000], "span": 2},
        {"kind": "reorder", "at": [800, 3500], "span": 40},
    ],
    "silence": [{"kind": "silence", "at": [1200], "seconds": 30, "pongs": False}],
    "silence with pongs": [{"kind": "silence", "at": [1200], "seconds": 30}],
    "429": [
        {"kind": "http", "status": 429, "retry_after": 1, "count": 3},
        {"kind": "disconnect", "at": [1500], "how": "rst"},
    ],
    "5xx": [
        {"kind": "http", "status": 502, "count": 2},
        {"kind": "disconnect", "at": [1500]},
        {"kind": "upgrade", "status": 503, "count": 2},
    ],
    "html": [
        {"kind": "http", "status": 200, "html": True, "count": 2},
        {"kind": "garbage", "at": [1500], "replace": True},
    ],
    "slow": [{"kind": "slow", "accept_s": 0.5, "response_s": 0.2}],
    "latency": [
        {"kind": "latency", "ms": 40},
        {"kind": "disconnect", "at": [900], "how": "mid_frame"},
    ],
    "skew": [{"kind": "skew", "ms": 2500}],
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_bar_is_exact_whatever_happens(open_test_pikerd, fault):
    """The fault strikes all three venues, within seconds of each other."""
    options = {"speed": 60, "faults": FAULTS[fault]}
    async with (
        open_emulator(SPOT.name, session=SPOT.path, **options) as spot,
        open_emulator(USDTM.name, session=USDTM.path, **options) as usdtm,
        open_emulator(KRAKEN.name, session=KRAKEN.path, **options) as kraken,
        open_test_pikerd(conf=conf_of(spot, usdtm, kraken)),
        open_feed([venue.fqme for venue in VENUES]) as feed,
    ):
        for emulator, venue in zip((spot, usdtm, kraken), VENUES, strict=True):
            told = await emulator.wait_done(40)
            await wait_exact(feed, venue)
            struck = {one["kind"] for one in FAULTS[fault]} - LASTING
            assert told["fired"].keys() == struck


async def test_a_venue_refuses_to_listen_for_a_while(open_test_pikerd):
    async with (
        open_emulator(SPOT.name, session=SPOT.path, speed=60) as emulator,
        open_test_pikerd(conf=emulator.conf),
        open_feed(SPOT.fqme) as feed,
    ):
        messages = feed.messages
        await emulator.fault("disconnect", at=[9000], how="rst")
        await emulator.fault("refuse", seconds=3.5)
        await trio.sleep(4)  # what asks it for its counters is refused too
        await emulator.wait_done(40)
        await wait_exact(feed, SPOT)
        said = [await messages.receive() for _ in range(len(messages))]
    kinds = [type(item) for item in said if not isinstance(item, Quote)]
    assert kinds == [Disconnected, Reconnected]
