"""History in a tree, over real sockets: at once, complete, stored, gone on with."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest
import trio

from benchmarks.faults import CONF as DEEP, PATIENT, deep_venue, kill_again_and_again
from piker.brokers.sim._synthetic import Synthetic
from piker.brokers.sim._universe import find_market
from piker.data import HistoryProgress, open_feed
from piker.storage import read_bars, verify
from piker.testing.emulator import open_emulator
from piker.tsp import between, fill_gaps, resample

pytestmark = pytest.mark.tree

NS = 10**9
SOURCE = "btcusdt.spot.sim"
BTC, XBT = "btcusdt.spot.binance", "xbtusdt.spot.kraken"
CONF = "[data]\nhist_days = 2\nrt_hours = 0.75\n"


async def loaded(feed, *periods: int, since_ns: int = 0) -> dict[int, HistoryProgress]:
    """Wait until all of the past is loaded; return what was told last."""
    told: dict[int, HistoryProgress] = {}
    with trio.fail_after(40):
        async for event in feed.events:
            if isinstance(event, HistoryProgress) and event.time_ns >= since_ns:
                told[event.period_s] = event
                if len(told) == 2 and min(told[p].done for p in told) >= 1:
                    return told
    raise AssertionError("the feed ended")


def truth(start_s: int, end_s: int, period_s: int):
    source = Synthetic(find_market(SOURCE))
    bars = source.bars((start_s - 7200) * NS, end_s * NS, period_s)
    return between(fill_gaps(bars, period_s, until_s=end_s), start_s, end_s)


async def check_bars(read, start_s: int, end_s: int, period_s: int) -> None:
    """Each bar of a span is there, once, and the venue's; the newest are waited for."""
    start_s, end_s = (at - at % period_s for at in (start_s, end_s))
    wanted = truth(start_s, end_s, period_s)
    assert len(wanted) == (end_s - start_s) // period_s
    until = trio.current_time() + 15
    while not np.array_equal(got := between(read(), start_s, end_s), wanted):
        lacking = np.setdiff1d(wanted["time"], got["time"])
        assert trio.current_time() < until, (period_s, len(got), len(wanted), lacking)
        await trio.sleep(0.2)


def shown(shm):
    """Return what reads all bars of a buffer."""
    return lambda: shm.last(10_000).to_structured()


def klines(told) -> int:
    return told["requests"].get("/api/v3/klines", 0)


FAULTS = [
    {"kind": "bars", "how": how, "count": 2}
    for how in ("reversed", "overlap", "cut", "odd", "repeated")
]


async def test_newest_first_then_all_and_never_twice(open_test_pikerd):
    """Line 4 of its issue, at a venue that answers some requests wrongly."""
    began_s = int(time.time())
    async with (
        open_emulator(
            "binance.spot", sim=[SOURCE], past_s=600, history_s=3 * 86_400
        ) as venue,
        open_test_pikerd(
            conf=CONF + venue.conf, policy=PATIENT, deadline_s=150
        ) as tree,
    ):
        await venue.fault("slow", response_s=1)  # we may be held up before we look
        async with open_feed(BTC) as feed:
            flume = feed.flumes[BTC]
            first = {1: len(flume.rt_shm), 60: len(flume.hist_shm)}
            await venue.fault("slow", response_s=0.05)
            assert min(first.values()) >= 500, "at once"
            assert max(first.values()) < 1800, "not all of it yet"
            for fault in FAULTS:
                await venue.fault(**fault)
            told = await loaded(feed)
            assert [told[p].done for p in (1, 60)] == [1, 1]
            asked = klines(await venue.stats())
            async with open_feed(BTC) as second:
                late = await loaded(second)
                assert late == told, "who comes later is told, too"
            assert klines(await venue.stats()) == asked
            await trio.sleep(6.5)
            now_s = int(time.time()) - 2
            await check_bars(shown(flume.rt_shm), began_s - 2600, now_s, 1)
            await check_bars(shown(flume.hist_shm), began_s - 172_000, now_s, 60)
            for period_s, back_s in ((1, 2600), (60, 172_000)):
                await check_bars(
                    lambda p=period_s: read_bars(BTC, p).bars(),
                    began_s - back_s, now_s - 6, period_s,
                )  # fmt: skip
                assert not verify(BTC, period_s)
            read = await flume.read(began_s - 86_400, now_s, 3600)
            start_s = (began_s - 86_400) // 3600 * 3600
            every = truth(start_s, now_s - now_s % 60, 60)
            whole = resample(every, 3600, flume.mkt.size_tick)
            assert np.array_equal(read[:-1], whole[: len(read) - 1])

        # datad dies: the buffer is adopted, no old bar is asked for again
        killed_ns = time.time_ns()
        service = tree.services.service_tasks["datad.binance"]
        async with open_feed(BTC) as feed:
            os.kill(service.pid, signal.SIGKILL)
            await loaded(feed, since_ns=killed_ns)
            assert klines(await venue.stats()) - asked <= 8


async def test_a_venue_without_seconds(open_test_pikerd):
    """Kraken: 720 minutes and no more; its seconds begin as stand-ins."""
    async with (
        open_emulator(
            "kraken.spot", sim=[SOURCE], past_s=600, history_s=86_400
        ) as venue,
        open_test_pikerd(conf=CONF + venue.conf),
        open_feed(XBT) as feed,
    ):
        flume = feed.flumes[XBT]
        assert len(flume.hist_shm) >= 700
        await loaded(feed)
        seconds = flume.rt_shm.last(10_000).to_structured()
        minutes = flume.hist_shm.last(10_000).to_structured()
        assert np.all(np.diff(seconds["time"]) == 1)
        assert np.all(np.diff(minutes["time"]) == 60)
        merged = resample(seconds, 60, flume.mkt.size_tick)[:-2]
        start_s, end_s = int(merged["time"][0]), int(merged["time"][-1]) + 60
        assert end_s - start_s >= 2500
        assert np.array_equal(merged, between(minutes, start_s, end_s))


async def test_killed_in_mid_load(open_test_pikerd):
    """A sample; `python -m benchmarks.faults` kills fifty times."""
    async with (
        deep_venue() as venue,
        open_test_pikerd(
            conf=DEEP + venue.conf, policy=PATIENT, deadline_s=150
        ) as tree,
    ):
        outcome = await kill_again_and_again(tree, venue, kills=4, seed=5)
    assert outcome.faults == []
    assert outcome.kills == 4
    assert outcome.in_backfill
