"""Web venues in a tree: how often they are asked, and who feels whose faults."""

from __future__ import annotations

import pytest
import trio

from piker.data import Disconnected, Quote, open_feed
from piker.testing.emulator import conf_of, open_emulator

pytestmark = pytest.mark.tree

SIM = ["btcusdt.spot.sim", "ethusdt.spot.sim"]
BTC, ETH = "btcusdt.spot.binance", "ethusdt.spot.binance"
XBT = "xbtusdt.spot.kraken"


async def test_twenty_clients_are_one_subscription(open_test_pikerd):
    async with (
        open_emulator("binance.spot", sim=SIM) as emulator,
        open_test_pikerd(conf=emulator.conf),
        trio.open_nursery() as tasks,
    ):
        quoted = trio.Event()
        left = 20

        async def watch():
            nonlocal left
            async with open_feed([BTC, ETH]) as feed:
                seen = set()
                async for quote in feed.stream:
                    if seen != {BTC, ETH} and (seen := seen | {quote.fqme}) == {
                        BTC,
                        ETH,
                    }:
                        left -= 1
                        if not left:
                            quoted.set()

        for _ in range(20):
            tasks.start_soon(watch)
        await quoted.wait()
        told = await emulator.stats()
        assert told["websockets"] == 1
        assert set(told["subscribed"].values()) == {1}
        assert len(told["subscribed"]) == 4
        asked = told["requests"]
        assert asked["/api/v3/exchangeInfo"] == asked["/api/v3/ticker/24hr"] == 1
        assert asked["/api/v3/time"] == asked["/api/v3/ticker/bookTicker"] == 2
        assert asked["/api/v3/klines"] <= 4
        assert told["weight_max"] < 300
        tasks.cancel_scope.cancel()


async def test_a_storm_of_reconnects_stays_small(open_test_pikerd):
    async with (
        open_emulator("binance.spot", sim=SIM) as emulator,
        open_test_pikerd(conf=emulator.conf),
        open_feed([BTC, ETH]) as feed,
    ):
        quotes = feed.stream
        await quotes.receive()
        before = await emulator.stats()
        await emulator.fault("upgrade", status=503, count=0)
        await emulator.fault("disconnect", how="rst")
        await trio.sleep(6)
        after = await emulator.stats()
        tries = len(after["attempts_s"]) - len(before["attempts_s"])
        assert 3 <= tries <= 8  # 0.25, 0.5, 1, 2, 4 s, each shortened by up to half
        assert after["requests"] == before["requests"]
        await emulator.clear()
        with trio.fail_after(10):
            while [event async for event in _so_far(feed)] == []:
                await trio.sleep(0.05)
            async for item in feed.messages:
                if isinstance(item, Quote):
                    break


async def _so_far(feed):
    for _ in range(len(feed.events)):
        yield await feed.events.receive()


async def test_a_venue_that_fails_is_not_felt_by_another(open_test_pikerd):
    async with (
        open_emulator("binance.spot", sim=SIM) as bad,
        open_emulator("kraken.spot", sim=SIM) as good,
        open_test_pikerd(conf=conf_of(bad, good)) as tree,
        open_feed(BTC) as failing,
        open_feed(XBT) as feed,
    ):
        services = tree.services.service_tasks
        pid = services["datad.kraken"].pid
        quotes = feed.stream
        for fault in (
            {"kind": "garbage"},
            {"kind": "disconnect", "how": "mid_frame"},
            {"kind": "http", "status": 500, "count": 0},
            {"kind": "silence", "seconds": 2, "pongs": False},
            {"kind": "refuse", "seconds": 1},
        ):
            await bad.fault(fault.pop("kind"), **fault)
            with trio.fail_after(5):
                for _ in range(3):
                    await quotes.receive()
        assert [event async for event in _so_far(feed)] == []
        assert services["datad.kraken"].pid == pid
        assert services["datad.kraken"].restarts == 0
        with trio.fail_after(20):
            async for event in failing.events:
                if isinstance(event, Disconnected):
                    break
