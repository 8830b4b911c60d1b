"""Recorded sessions over real sockets: each bar equals the session's own trades.

file --emulator--> websocket, REST --datad--> shared memory --> this process
file --json, Decimal--> the bars it should be

All three venues are in each tree, and each is struck.
"""

from __future__ import annotations

import os
import random
import signal

import pytest
import trio

from piker.data import Disconnected, Reconnected, Warned, open_feed
from piker.service import Policy
from piker.testing.emulator import conf_of
from tests.brokers._venues import VENUES, open_venues, wait_exact
from tests.data._live import next_event

pytestmark = pytest.mark.tree

FQMES = [venue.fqme for venue in VENUES]
LENIENT = Policy(delays_s=(0.0,), max_deaths=10_000)
#: Streams of each market. Until all are subscribed to, nothing passes: of minutes that
#: begin before a feed is open there are no bars of a second where a venue has none.
STREAMS = 2


async def play_out(emulators, feed, deadline_s=40):
    """Wait for the end of all sessions and for all of their bars; return counters."""
    found = [await emulator.wait_done(deadline_s) for emulator in emulators]
    for venue in VENUES:
        await wait_exact(feed, venue)
    return found


def conf_soon(emulators, most_s):
    """Return a ``conf.toml`` by which lost streams are soon connected to again."""
    soon = f"reconnect_max_s = {most_s}"
    return conf_of(*emulators).replace("clock = ", f"{soon}\nclock = ")


async def test_at_full_speed(open_test_pikerd):
    async with (
        open_venues(speed=0) as emulators,
        open_test_pikerd(conf=conf_of(*emulators), deadline_s=120),
        open_feed(FQMES) as feed,
    ):
        for venue, told in zip(VENUES, await play_out(emulators, feed), strict=True):
            assert told["websockets"] == venue.lines
            assert told["statuses"].keys() == {"200"}


#: Faults that are in force all the time instead of striking now and then.
LASTING = [
    {"kind": "slow", "accept_s": 0.5, "response_s": 0.2},
    {"kind": "latency", "ms": 40},
    {"kind": "skew", "ms": 2500},
]


async def test_at_20x_from_slow_venues_whose_clocks_are_off(open_test_pikerd):
    async with (
        open_venues(speed=20, faults=LASTING, streams=STREAMS) as emulators,
        open_test_pikerd(conf=conf_of(*emulators), deadline_s=120),
        open_feed(FQMES) as feed,
    ):
        for venue, told in zip(VENUES, await play_out(emulators, feed), strict=True):
            assert told["websockets"] == venue.lines
            assert told["statuses"].keys() == {"200"}


HOW = ["clean", "rst", "mid_frame"]


async def test_disconnects_at_20_random_frames_at_20x(open_test_pikerd):
    rng = random.Random("cut at 20x")
    latency = [{"kind": "latency", "ms": 5}]
    async with open_venues(speed=20, faults=latency, streams=STREAMS) as emulators:
        for emulator in emulators:
            for i in range(20):
                at = 200 + 450 * i + rng.randrange(140)
                await emulator.fault("disconnect", at=[at], how=rng.choice(HOW))
        async with (
            open_test_pikerd(conf=conf_soon(emulators, 0.05), deadline_s=120),
            open_feed(FQMES) as feed,
        ):
            for told in await play_out(emulators, feed):
                assert told["fired"]["disconnect"] == 20
                assert told["websockets"] >= 15


async def test_a_storm_of_60_disconnects_at_full_speed(open_test_pikerd):
    """All that is missed is fetched, and no venue is asked for more than it allows."""
    rng = random.Random("cut at full speed")
    async with open_venues(speed=0, streams=STREAMS) as emulators:
        for emulator in emulators:
            for i in range(60):
                at = 200 + 300 * i + rng.randrange(140)
                how, missed = rng.choice(HOW), rng.choice([0, 1, 40, 40, 40, 40, 120])
                await emulator.fault("disconnect", at=[at], how=how, missed=missed)
        async with (
            open_test_pikerd(conf=conf_soon(emulators, 0.05), deadline_s=120),
            open_feed(FQMES) as feed,
        ):
            found = await play_out(emulators, feed)
            for venue, told in zip(VENUES, found, strict=True):
                assert told["fired"]["disconnect"] == 60
                assert told["websockets"] == venue.lines + 60
                assert told["limited"] == 0
                assert told["statuses"].keys() == {"200"}


async def test_datads_killed_20_times(open_test_pikerd):
    async with (
        open_venues(speed=20, streams=STREAMS) as emulators,
        open_test_pikerd(
            conf=conf_of(*emulators), policy=LENIENT, deadline_s=150
        ) as tree,
        open_feed(FQMES) as feed,
    ):
        services = [
            tree.services.service_tasks[f"datad.{broker}"]
            for broker in {venue.broker for venue in VENUES}
        ]
        async with trio.open_nursery() as killers:
            for service in services:
                killers.start_soon(kill_20_times, tree, service)
        await play_out(emulators, feed)
        assert [service.restarts for service in services] == [20, 20]


async def kill_20_times(tree, service):
    rng = random.Random(service.spec.name)
    for _ in range(20):
        await tree.services.wait_up(service.spec.name)
        await trio.sleep(rng.uniform(0.0, 0.6))
        os.kill(service.pid, signal.SIGKILL)
        while service.state == "running":
            await service.changed.wait()


SPOILT = [
    {"kind": "garbage", "at": [300, 301, 900, 2500]},
    {"kind": "garbage", "at": [1500, 1501, 1502, 4000], "replace": True},
    {"kind": "truncate", "at": [500, 700, 701, 702, 5000]},
    {"kind": "duplicate", "at": [400, 1000, 3000], "times": 5},
    {"kind": "reorder", "at": [350, 2000], "span": 2},
    {"kind": "reorder", "at": [800, 3500], "span": 40},
]


async def test_spoilt_and_reordered_frames(open_test_pikerd):
    """None of them costs the connection."""
    async with (
        open_venues(speed=60, faults=SPOILT, streams=STREAMS) as emulators,
        open_test_pikerd(conf=conf_of(*emulators), deadline_s=120),
        open_feed(FQMES) as feed,
    ):
        for venue, told in zip(VENUES, await play_out(emulators, feed), strict=True):
            assert told["fired"] == {
                "garbage": 8, "truncate": 5, "duplicate": 3, "reorder": 4
            }  # fmt: skip
            assert told["websockets"] == venue.lines


async def test_silence_with_the_socket_open(open_test_pikerd):
    """A dead line, then one that answers pings and says nothing of the market."""
    async with (
        # 40 s of tape: the second silence has to be over before it is
        open_venues(speed=9, streams=STREAMS) as emulators,
        # four silences are waited for, 5 s each where nothing else is going on
        open_test_pikerd(conf=conf_of(*emulators), deadline_s=150),
        open_feed(FQMES) as feed,
    ):
        async with trio.open_nursery() as striking:
            for venue, emulator in zip(VENUES, emulators, strict=True):
                striking.start_soon(fall_silent_twice, venue, emulator)
        for emulator in emulators:
            assert not (await emulator.stats())["done"], "some fell silent at the end"
            await emulator.set_speed(60)
        for venue, told in zip(VENUES, await play_out(emulators, feed), strict=True):
            assert told["fired"] == {"silence": 2}
            assert told["websockets"] == 3 * venue.lines


async def fall_silent_twice(venue, emulator):
    for times, pongs in enumerate((False, True), 2):
        await emulator.fault("silence", seconds=60, pongs=pongs)
        opened = times * venue.lines
        said = await until(emulator, lambda told, n=opened: told["websockets"] >= n)
        # the market is told of on the new line
        await until(emulator, lambda told, n=said["sent"]: told["sent"] > n + 100)


async def until(emulator, holds):
    """Wait until something holds of an emulator's counters; return them then."""
    with trio.fail_after(40):
        while not holds(told := await emulator.stats()):
            await trio.sleep(0.1)  # each look costs 4 ms of a core
    return told


#: Where each venue lists its markets, tells its time and its past trades.
PATHS = {
    "binance.spot": [f"/api/v3/{name}" for name in ("exchangeInfo", "time", "aggT")],
    "binance.usdtm": [f"/fapi/v1/{name}" for name in ("exchangeInfo", "time", "aggT")],
    "kraken.spot": [f"/0/public/{name}" for name in ("AssetPairs", "Time", "Trades")],
}
LIMITED = {"kind": "http", "status": 429, "retry_after": 1, "count": 2}
BROKEN = {"kind": "http", "status": 502, "count": 2}
PAGE = {"kind": "http", "status": 200, "html": True, "count": 2}


async def test_requests_that_fail(open_test_pikerd):
    """429, 5xx and pages for JSON: at the start, and when missed trades are fetched."""
    many = 10_000  # each fault costs requests; how many there may be is tested above
    async with open_venues(speed=30, budget=many, streams=STREAMS) as emulators:
        for emulator in emulators:
            for fault, path in zip(
                (LIMITED, BROKEN, PAGE), PATHS[emulator.venue], strict=True
            ):
                await emulator.fault(**fault, path=path)
        async with (
            open_test_pikerd(
                conf=f"{conf_soon(emulators, 0.5)}requests = {many}\n", deadline_s=120
            ),
            open_feed(FQMES) as feed,
        ):
            async with trio.open_nursery() as striking:
                for emulator in emulators:
                    striking.start_soon(fail_refetches, emulator)
            for told in await play_out(emulators, feed):
                assert told["fired"] == {"http": 12, "upgrade": 6, "disconnect": 3}


async def fail_refetches(emulator):
    """Cut the line three times, and let what is missed not be had at once."""
    trades = PATHS[emulator.venue][2]
    for times, fault in enumerate((LIMITED, BROKEN, PAGE), 1):
        await emulator.fault(**fault, path=trades)
        # until then more passes than a subscription's snapshot tells
        await emulator.fault("upgrade", status=503, count=2)
        await emulator.fault("disconnect", how="rst")
        await until(emulator, lambda told, n=times: told["fired"]["http"] == 6 + 2 * n)


async def test_venues_that_refuse_to_listen_for_a_while(open_test_pikerd):
    async with (
        open_venues(speed=60, streams=STREAMS) as emulators,
        open_test_pikerd(conf=conf_soon(emulators, 0.5), deadline_s=120) as tree,
        open_feed(FQMES) as feed,
    ):
        for emulator in emulators:
            await emulator.fault("upgrade", count=0)  # it isn't back before we refuse
            await emulator.fault("disconnect", how="rst")
            await emulator.fault("refuse", seconds=4)  # though it may be held up
        await trio.sleep(4.5)  # what asks them for their counters is refused too
        for emulator in emulators:
            await emulator.clear()
        await play_out(emulators, feed)
        said = {fqme: [] for fqme in FQMES}
        with trio.fail_after(20):
            while any(Reconnected not in types for types in said.values()):
                event = await next_event(feed)
                for fqme in event.fqmes:
                    said[fqme].append(type(event))
        logs = tree.logs()
    for types in said.values():  # of lost quotes there may be warnings besides
        assert [t for t in types if t is not Warned] == [Disconnected, Reconnected]
    for emulator in emulators:
        assert f"at {emulator.ws_url}: the connection was refused" in logs
