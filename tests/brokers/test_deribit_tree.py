"""Deribit in a tree: exact bars over an asyncio client, whatever the line does."""

from __future__ import annotations

import random
from decimal import Decimal

import msgspec
import pytest
import trio

from piker.data import Disconnected, Quote, Reconnected, open_feed
from piker.testing.emulator import open_emulator
from tests.brokers._damage import damaged
from tests.brokers._venues import WHOLE_S, bars_are, venue_s
from tests.brokers.test_decode_fuzz import DERIBIT
from tests.brokers.test_web_fuzz import flood
from tests.data._naive import Print, naive_bars
from tests.data._replays import rows
from tests.testing._emulated import plain_http

pytestmark = pytest.mark.tree

SIM = ["btcusdt.usdtm.perp.sim"]
PERP, LINEAR = "btcusd.perp.deribit", "btcusdc.perp.deribit"
SYMBOLS = {PERP: "BTC-PERPETUAL", LINEAR: "BTC_USDC-PERPETUAL"}
_JSON = msgspec.json.Decoder(float_hook=Decimal)


async def ask(venue, method, **params):
    """Return a result of the venue's, asked by HTTP: not by the way piker asks."""
    return _JSON.decode(await ask_raw(venue, method, **params))["result"]


async def ask_raw(venue, method, **params) -> bytes:
    """Return an answer of the venue's."""
    async with plain_http(timeout=20) as client:
        told = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = await client.post(f"{venue.http_url}/api/v2", json=told)
    return answer.content


async def prints_of(venue, symbol, start_ns):
    """Return all trades of a market since a time, as the venue lists them."""
    found: dict[int, Print] = {}
    by = "_and_time"
    start = {"start_timestamp": start_ns // 10**6, "end_timestamp": 10**14}
    while True:
        page = await ask(
            venue,
            f"public/get_last_trades_by_instrument{by}",
            instrument_name=symbol,
            count=1000,
            sorting="asc",
            **start,
        )
        for one in page["trades"]:
            found[one["trade_seq"]] = Print(
                one["timestamp"] * 10**6, one["trade_seq"], one["price"], one["amount"]
            )
        if not page["has_more"]:
            return list(found.values())
        by, start = "", {"start_seq": max(found) + 1}


async def check_bars(feed, fqme, venue) -> int:
    """Compare the 1 s bars since the market was opened; return how many there are."""
    flume = feed.flumes[fqme]
    whole_s = int(await venue_s(venue)) - WHOLE_S
    await trio.sleep(0.5)
    start_ns = flume._told.init.start_ns
    prints = await prints_of(venue, SYMBOLS[fqme], start_ns)
    assert [one.tid for one in prints] == list(
        range(prints[0].tid, prints[0].tid + len(prints))
    )
    kept = [one for one in prints if one.time_ns >= start_ns]
    expected = [row for row in naive_bars(kept, 1) if row[0] <= whole_s]
    await bars_are(flume, expected)
    return len(expected)


async def wait_s(venue, seconds: float) -> None:
    until = await venue_s(venue) + seconds
    while await venue_s(venue) < until:
        await trio.sleep(0.1)


async def test_bars_are_those_of_the_venues_trades(open_test_pikerd):
    """Of an inverse market in USD, of a linear one in coins; a lost line, too."""
    async with (
        open_emulator("deribit", sim=SIM, past_s=600, budget=10**6) as venue,
        open_test_pikerd(conf=venue.conf, deadline_s=120) as tree,
        open_feed([PERP, LINEAR]) as feed,
    ):
        quote = await feed.stream.receive()
        assert isinstance(quote, Quote)
        assert tree.services.service_tasks["datad.deribit"].spec.spawn_kwargs == {
            "infect_asyncio": True
        }
        await wait_s(venue, 6)
        await venue.fault("disconnect", how="rst", missed=40)
        seen = []
        with trio.fail_after(40):
            async for item in feed.messages:
                if isinstance(item, Disconnected | Reconnected):
                    seen += [(type(item), fqme) for fqme in item.fqmes]
                if {one for one in seen if one[0] is Reconnected} == {
                    (Reconnected, PERP),
                    (Reconnected, LINEAR),
                }:
                    break
        await wait_s(venue, 6)
        for fqme in (PERP, LINEAR):
            assert await check_bars(feed, fqme, venue) > 8
        sizes = {row[5] for row in rows(feed.flumes[PERP].hist_shm)}
        assert len(sizes) > 5
        assert all(size % 10 == 0 for size in sizes), "contracts of 10 USD"


async def test_a_chain_is_subscribed_with_one_request(open_test_pikerd):
    """A hundred options: one connection, one subscription of all, bids and asks."""
    async with open_emulator("deribit", sim=SIM, past_s=600, budget=10**6) as venue:
        told = await ask(venue, "public/get_instruments", currency="BTC", kind="option")
        assert len(told) >= 100
        symbols = [one["instrument_name"] for one in told[:100]]
        names = [f"{symbol.lower()}.deribit" for symbol in symbols]
        async with open_test_pikerd(conf=venue.conf, deadline_s=120):
            with trio.fail_after(60):
                async with open_feed(names) as feed:
                    assert len(feed.flumes) == 100
                    sided = set()
                    async for quote in feed.stream:
                        if {tick.type for tick in quote.ticks} >= {"bid", "ask"}:
                            sided.add(quote.fqme)
                        if len(sided) > 50:
                            break
                    counted = await venue.stats()
        # the stream, what is asked, and before the list of markets
        assert counted["websockets"] <= 3
        subscribed = counted["subscribed"]
        assert len(subscribed) == 200


async def test_damaged_frames_never_end_a_datad(open_test_pikerd, tmp_path):
    """Of the stream's connection, and of the one that is asked."""
    frames = list(damaged(random.Random(3), DERIBIT, 20_000))
    async with (
        open_emulator("deribit", sim=SIM, past_s=600, budget=10**6) as venue,
        open_test_pikerd(conf=venue.conf, deadline_s=120) as tree,
        open_feed([PERP]) as feed,
    ):
        await feed.stream.receive()
        before = tree.services.service_tasks["datad.deribit"].pid
        await flood(venue, tmp_path, frames)
        await wait_s(venue, 4)
        await check_bars(feed, PERP, venue)
        service = tree.services.service_tasks["datad.deribit"]
        assert (service.pid, service.restarts) == (before, 0)


async def test_a_silent_venue_is_given_up_and_what_it_kept_is_fetched(open_test_pikerd):
    async with (
        open_emulator("deribit", sim=SIM, past_s=600, budget=10**6) as venue,
        open_test_pikerd(conf=venue.conf, deadline_s=120),
        open_feed([PERP]) as feed,
    ):
        await feed.stream.receive()
        await wait_s(venue, 3)
        await venue.fault("silence", seconds=20, pongs=False)
        seen = []
        with trio.fail_after(60):
            async for item in feed.messages:
                if isinstance(item, Disconnected | Reconnected):
                    seen.append(type(item))
                if Reconnected in seen:
                    break
        assert seen == [Disconnected, Reconnected]
        await wait_s(venue, 5)
        assert await check_bars(feed, PERP, venue) > 8
