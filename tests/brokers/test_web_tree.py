"""Web venues in a tree: how often they are asked, and who feels whose faults."""

from __future__ import annotations

import os
import signal
import time
from itertools import pairwise

import pytest
import trio

from benchmarks._sessions import write_session
from piker.data import Disconnected, HistoryProgress, Quote, open_feed
from piker.testing.emulator import conf_of, open_emulator
from tests.brokers._venues import VENUES, open_simulated
from tests.data._live import next_event

pytestmark = pytest.mark.tree

BTC, XBT = "btcusdt.spot.binance", "xbtusdt.spot.kraken"
#: Two markets of each of three venues.
MARKETS = [
    BTC,
    "ethusdt.spot.binance",
    "btcusdt.usdtm.perp.binance",
    "ethusdt.usdtm.perp.binance",
    XBT,
    "ethusdt.spot.kraken",
]
#: Connections that tell of a venue's markets.
LINES = {venue.name: venue.lines for venue in VENUES}
#: In each broker's table: the waits before another connection end at a second.
SOON = "reconnect_max_s = 1\nclock = "


async def test_twenty_clients_are_one_subscription(open_test_pikerd):
    """Of each venue: a connection, or two; a subscription a stream; few requests."""
    async with (
        open_simulated() as venues,
        open_test_pikerd(conf=conf_of(*venues.values()), deadline_s=90),
        trio.open_nursery() as tasks,
    ):
        quoted = trio.Event()
        left = 20

        async def watch():
            nonlocal left
            async with open_feed(MARKETS) as feed:
                unseen = set(MARKETS)
                async for quote in feed.stream:
                    unseen.discard(quote.fqme)
                    if not unseen:
                        break
                left -= 1
                if not left:
                    quoted.set()
                await trio.sleep_forever()

        for _ in range(20):
            tasks.start_soon(watch)
        await quoted.wait()
        told = {name: await venue.stats() for name, venue in venues.items()}
        for name, counts in told.items():
            assert counts["websockets"] == LINES[name]
            assert len(counts["subscribed"]) == 4
            assert set(counts["subscribed"].values()) == {1}
            assert counts["limited"] == 0
        for name, path, klines in (
            ("binance.spot", "/api/v3/", 20),
            ("binance.usdtm", "/fapi/v1/", 10),
        ):
            asked = told[name]["requests"]
            assert asked[f"{path}exchangeInfo"] == asked[f"{path}ticker/24hr"] == 1
            assert asked[f"{path}time"] == 1
            assert asked[f"{path}ticker/bookTicker"] == 2
            assert asked[f"{path}klines"] <= klines
            assert asked[f"{path}aggTrades"] <= 2 * (1 + 2)  # a quote, what is missed
            assert told[name]["weight_max"] < 300
        asked = told["kraken.spot"]["requests"]
        assert asked["/0/public/AssetPairs"] == 1
        assert asked["/0/public/Ticker"] == 1 + 2  # volumes, a quote each
        assert asked["/0/public/Time"] == 1
        assert asked["/0/public/OHLC"] <= 2 * 3  # its tape is shorter than 720 minutes
        assert asked["/0/public/Trades"] <= 2 * 2
        tasks.cancel_scope.cancel()


async def test_venues_that_refuse_are_asked_ever_more_seldom(open_test_pikerd):
    async with (
        open_simulated() as venues,
        open_test_pikerd(
            conf=conf_of(*venues.values()).replace("clock = ", SOON), deadline_s=90
        ),
        open_feed(MARKETS) as feed,
    ):
        with trio.fail_after(30):
            await until_all_trade(feed)
        before = []
        began = trio.current_time()
        for venue in venues.values():
            before.append(await venue.stats())
            await venue.fault("upgrade", status=503, count=0)
            await venue.fault("disconnect", how="rst")
        await trio.sleep(3)
        for venue, was in zip(venues.values(), before, strict=True):
            tries = 0
            with trio.fail_after(15):  # the third is late, if there is much to do
                while tries < 3:
                    await trio.sleep(0.05)
                    told = await venue.stats()
                    more = len(told["attempts_s"]) - len(was["attempts_s"])
                    tries = more / LINES[venue.venue]
            # 0.25, 0.5, 1, 1 s.. each shortened by up to half
            assert tries <= 2 + 2 * (trio.current_time() - began)
            assert live_requests(told) == live_requests(was)
            await venue.clear()
        down, back = set(), set()
        with trio.fail_after(30):
            async for item in feed.messages:
                if isinstance(item, Disconnected):
                    down |= set(item.fqmes)
                elif isinstance(item, Quote) and item.fqme in down:
                    back.add(item.fqme)
                    if back == set(MARKETS):
                        break


async def until_all_trade(feed) -> None:
    """Wait until each market has told a trade: what was before it was asked for."""
    unseen = set(MARKETS)
    async for quote in feed.stream:
        if any(tick.type == "trade" for tick in quote.ticks):
            unseen.discard(quote.fqme)
            if not unseen:
                return


def live_requests(told) -> dict[str, int]:
    """Return what was asked of a venue, but for the past: that is loaded meanwhile."""
    return {
        path: count
        for path, count in told["requests"].items()
        if not path.endswith(("klines", "OHLC"))
    }


async def test_venues_that_offer_no_tls(open_test_pikerd):
    """REST is there, the stream isn't: said in a sentence, tried ever more seldom."""
    async with open_simulated() as venues:
        conf = conf_of(*venues.values()).replace('"ws://', '"wss://')
        conf = conf.replace("clock = ", SOON)
        async with (
            open_test_pikerd(conf=conf, deadline_s=90),
            open_feed(MARKETS) as feed,
        ):
            reasons = {}
            with trio.fail_after(30):
                while reasons.keys() != set(MARKETS):
                    event = await next_event(feed)
                    if isinstance(event, Disconnected):  # else of quotes alone
                        reasons |= dict.fromkeys(event.fqmes, event.reason)
            began = trio.current_time()
            before = [(await v.stats())["connections"] for v in venues.values()]
            await trio.sleep(2)
            for (name, venue), was in zip(venues.items(), before, strict=True):
                tries, asked = 0, 0
                with trio.fail_after(15):  # the next is late, if there is much to do
                    while tries < 1:
                        await trio.sleep(0.05)
                        asked += 1  # a question for the counters is a connection
                        now = (await venue.stats())["connections"]
                        tries = (now - was - asked) / LINES[name]
                assert tries <= 2 + 2 * (trio.current_time() - began)
        for fqme, reason in reasons.items():
            assert fqme.rpartition(".")[2] in reason
            assert "wss://127.0.0.1" in reason
            assert "doesn't speak TLS" in reason
            assert "\n" not in reason


#: What one venue does wrong while the other is listened to.
FAULTS = [
    [{"kind": "garbage"}, {"kind": "truncate"}, {"kind": "reorder", "span": 9}],
    [{"kind": "disconnect", "how": "mid_frame"}],
    [
        {"kind": "http", "status": 500, "count": 0},
        {"kind": "upgrade", "count": 0},
        {"kind": "disconnect", "how": "rst"},
    ],
    [{"kind": "http", "status": 429, "retry_after": 3, "count": 0}],
    [{"kind": "slow", "accept_s": 2, "response_s": 2}],
    [{"kind": "silence", "seconds": 2, "pongs": False}],
]
RATE_HZ = 50
LASTS_S = 0.6


async def test_a_venue_that_fails_is_not_felt_by_another(open_test_pikerd, tmp_path):
    """Each trade comes, none is long in coming; `benchmarks isolation` says how long.

    What couples two venues would be a wait of ours: a back-off, a deadline, a start.
    """
    steady = tmp_path / "steady"
    write_session(steady, RATE_HZ, 60)
    async with (
        open_emulator("binance.spot", sim=["btcusdt.spot.sim"], past_s=600) as bad,
        open_emulator("kraken.spot", session=steady) as good,
        open_test_pikerd(conf=conf_of(bad, good)) as tree,
        open_feed([BTC, XBT]) as feed,
        trio.open_nursery() as tasks,
    ):
        struck, healthy = (
            tree.services.service_tasks[f"datad.{name}"]
            for name in ("binance", "kraken")
        )
        pid = healthy.pid
        arrivals = []
        tasks.start_soon(note_arrivals, feed, arrivals)
        for faults in FAULTS:
            for fault in faults:
                await bad.fault(**fault)
            await trio.sleep(LASTS_S)
            await bad.clear()
        os.kill(struck.pid, signal.SIGSTOP)
        await trio.sleep(LASTS_S)
        os.kill(struck.pid, signal.SIGCONT)
        os.kill(struck.pid, signal.SIGKILL)
        await trio.sleep(LASTS_S)
        await bad.fault("refuse", seconds=1)
        await trio.sleep(LASTS_S)
        tasks.cancel_scope.cancel()
        told = [await feed.events.receive() for _ in range(len(feed.events))]
        told = [event for event in told if not isinstance(event, HistoryProgress)]
        assert {fqme for event in told for fqme in event.fqmes} == {BTC}
        assert (healthy.pid, healthy.restarts) == (pid, 0)
        assert struck.restarts == 1
        tids = [tid for _, tid in arrivals]
        assert tids == list(range(tids[0], tids[0] + len(tids)))
        assert len(tids) > 0.8 * RATE_HZ * LASTS_S * (len(FAULTS) + 3)
        # room for a machine that is busy; how long it is, the benchmark says
        assert max(b[0] - a[0] for a, b in pairwise(arrivals)) < 4.0
        told = await good.stats()
        assert (told["websockets"], told["slow_clients"]) == (1, 0)
        assert told["statuses"].keys() == {"200"}


async def note_arrivals(feed, arrivals):
    """Note when each trade of a feed came."""
    async for quote in feed.streams["kraken"]:
        now = time.monotonic()
        arrivals += [(now, t.tid) for t in quote.ticks if t.type == "trade"]
