"""Recorded sessions through a real tree: each bar equals the file's own trades.

file --datad.sim--> shared memory --> this process
file --json, Decimal--> the bars it should be
"""

from __future__ import annotations

import os
import random
import signal
from itertools import pairwise

import pytest
import trio

from piker.data import Disconnected, Ended, Feed, Quote, Reconnected, open_feed
from piker.service import Policy
from tests.data._replays import SESSIONS, bars_of, conf_of, rows

pytestmark = pytest.mark.tree

LENIENT = Policy(delays_s=(0.0,), max_deaths=10_000)


async def until_ended(feed: Feed) -> dict[str, str]:
    """Wait for the end of all of a feed's markets; return the reasons."""
    reasons: dict[str, str] = {}
    async for event in feed.events:
        if isinstance(event, Ended):
            reasons |= dict.fromkeys(event.fqmes, event.reason)
            if reasons.keys() == feed.flumes.keys():
                break
    return reasons


def check_bars(feed: Feed, name: str) -> None:
    """Compare both buffers of a session's market with its file, exactly."""
    flume = feed.flumes[SESSIONS[name]]
    for period_s, shm in ((1, flume.rt_shm), (60, flume.hist_shm)):
        got, expected = rows(shm), bars_of(name, period_s)
        beyond = [row for row in got if row[0] > expected[-1][0]]
        assert all(row[5:] == (0.0, 0) for row in beyond), "flat after the last trade"
        got = got[: len(got) - len(beyond)]
        if len(got) < shm.capacity - len(beyond):
            assert len(got) == len(expected)
        assert got == expected[-len(got) :]
        times = [row[0] for row in got + beyond]
        assert all(b - a == period_s for a, b in pairwise(times))


@pytest.mark.parametrize(
    "names",
    [
        ("usdm_hft/btcusdt_20240808.gz", "spot_hft/btcusdt_20240808.gz"),
        ("usdm_hft/ethusdt_20240808.gz", "spot_hft/ethusdt_20240808.gz"),
        ("spot_hft/btcusdt_20240809.gz",),
    ],
    ids=["btc", "eth", "btc-next-day"],
)
async def test_full_speed(open_test_pikerd, names):
    async with open_test_pikerd(conf=conf_of(*names)):
        async with open_feed([SESSIONS[name] for name in names]) as feed:
            reasons = await until_ended(feed)
            assert set(reasons.values()) == {"the source has no more data"}
            for name in names:
                check_bars(feed, name)
        async with open_feed([SESSIONS[names[0]]]) as again:
            assert isinstance(await again.events.receive(), Ended)
            check_bars(again, names[0])


async def test_at_20x(open_test_pikerd):
    """Three markets of two venues at once, each by its own session's clock."""
    names = (
        "usdm_hft/ethusdt_20240808.gz",
        "spot_hft/btcusdt_20240808.gz",
        "spot_hft/ethusdt_20240808.gz",
    )
    began = trio.current_time()
    async with open_test_pikerd(conf=conf_of(*names, speed=20)):
        async with open_feed([SESSIONS[name] for name in names]) as feed:
            quotes = feed.stream
            await until_ended(feed)
            took_s = trio.current_time() - began
            for name in names:
                check_bars(feed, name)
            assert len(quotes) > 200
    assert took_s > 16, "at 20x, and no faster"


class Watcher:
    """Keeps what a feed said, and looks at the order of it."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.said: list = []
        self.is_live = trio.Event()

    async def watch(self) -> None:
        async for item in self.feed.messages:
            self.said.append(item)
            if isinstance(item, Quote | Ended):
                self.is_live.set()
            elif isinstance(item, Disconnected):
                self.is_live = trio.Event()

    def losses(self) -> int:
        """Count them: Disconnected, then Reconnected, then quotes, each time."""
        said = [item for item in self.said if not isinstance(item, Ended)]
        for before, item in pairwise(said):
            if isinstance(item, Reconnected):
                assert isinstance(before, Disconnected)
                assert item.missed >= 0
            elif isinstance(item, Quote):
                assert isinstance(before, Reconnected | Quote)
        assert not isinstance(said[-1], Disconnected)
        return sum(isinstance(item, Disconnected) for item in said)


async def kill_datad(
    tree, rng: random.Random, watchers: list[Watcher], times: int
) -> None:
    """SIGKILL datad at random: just up, catching up, or with its clients served."""
    service = tree.services.service_tasks["datad.sim"]
    for i in range(times):
        await tree.services.wait_up("datad.sim")
        if i % 3:
            for watcher in watchers:
                await watcher.is_live.wait()
        await trio.sleep(rng.uniform(0.0, 0.35))
        os.kill(service.pid, signal.SIGKILL)
        while service.state == "running":
            await service.changed.wait()


async def test_at_20x_with_datad_killed_20_times(open_test_pikerd):
    """Two clients stay attached throughout; every bar is exact in the end."""
    name = "usdm_hft/btcusdt_20240808.gz"
    conf, rng = conf_of(name, speed=20), random.Random(7)
    async with open_test_pikerd(conf=conf, policy=LENIENT, deadline_s=150) as tree:
        async with (
            open_feed(SESSIONS[name]) as one,
            open_feed(SESSIONS[name], tick_throttle=20) as two,
            trio.open_nursery() as tasks,
        ):
            watchers = [Watcher(one), Watcher(two)]
            for watcher in watchers:
                tasks.start_soon(watcher.watch)
            await kill_datad(tree, rng, watchers, 20)
            for watcher in watchers:
                await until_ended(watcher.feed)
                await watcher.is_live.wait()
                check_bars(watcher.feed, name)
                assert 10 <= watcher.losses() <= 20
            assert tree.services.service_tasks["datad.sim"].restarts == 20
            tasks.cancel_scope.cancel()
