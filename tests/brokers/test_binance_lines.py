"""Binance's connections: which of them tells what, and how much fits on each."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio

from piker.brokers import binance
from piker.brokers._web._dialect import Up
from piker.brokers.binance import _feed
from piker.brokers.binance._api import load_conf
from piker.msgs import Tick
from piker.testing import private_dirs
from tests.testing._emulated import open_local, write_session

BTC = "btcusdt.usdtm.perp.binance"
AGG, BOOK = "btcusdt@aggTrade", "btcusdt@bookTicker"


async def test_all_that_usdtm_tells_comes_by_its_routes(tmp_path):
    """Nothing but the first page is fetched: the venue's one tape, trade by trade."""
    session = write_session(tmp_path / "session", usdtm=True)
    async with open_local(
        "binance.usdtm", session=session, speed=0, streams=2
    ) as venue:
        with private_dirs(tmp_path, venue.conf):
            async with trio.open_nursery() as tasks:
                ticks = await play(tasks)
                tasks.cancel_scope.cancel()
        told, trades = await venue.stats(), await venue.trades("BTCUSDT")
    assert told["subscribed"] == {AGG: 1, BOOK: 1}
    assert told["websockets"] == 2
    assert told["requests"]["/fapi/v1/aggTrades"] <= 3  # a quote, what was missed
    assert ticks["trade"][-1].tid == trades[-1].tid == 5299
    assert len(ticks["bid"]) == len(ticks["ask"]) == 300


async def play(tasks: trio.Nursery) -> dict[str, list[Tick]]:
    """Return what the market tells up to the end of its tape, by type."""
    send, receive = trio.open_memory_channel(1000)

    async def stream(task_status):
        live = trio.Event()
        await binance.stream_quotes(
            send, [BTC], live, resume={}, task_status=task_status
        )

    await tasks.start(stream)
    found: dict[str, list[Tick]] = {"trade": [], "bid": [], "ask": []}
    with trio.fail_after(30):
        while len(found["bid"]) < 300 or sum(t.count for t in found["trade"]) < 300:
            _, ticks = await receive.receive()
            for tick in ticks:
                found[tick.type].append(tick)
    return found


@pytest.mark.parametrize(
    ("venue", "markets", "websockets"), [("spot", 600, 2), ("usdtm", 250, 4)]
)
async def test_as_many_markets_as_one_likes(tmp_path, venue, markets, websockets):
    """More than fit in a URL, in a request, or on a connection; and once more."""
    session = write_session(tmp_path / "session", usdtm=venue == "usdtm")
    async with open_local(f"binance.{venue}", session=session, streams=10**6) as place:
        with private_dirs(tmp_path, place.conf):
            async with open_members(venue, markets) as members:
                await all_up(members)
                told = await place.stats()
                assert set(told["subscribed_now"].values()) == {1}
                assert len(told["subscribed_now"]) == 2 * markets
                assert told["websockets_now"] == websockets
                await place.fault("disconnect", how="rst")
                await all_up(members)
                told = await place.stats()
                assert len(told["subscribed_now"]) == 2 * markets
                assert len(told["attempts_s"]) == 2 * websockets


@asynccontextmanager
async def open_members(venue, markets):
    """Yield a member of each line of so many markets."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(hub.join(symbol))
            for symbol in (f"MADE{number:03}USDT" for number in range(markets))
            for line in _feed._LINES[venue]
            for hub in [
                await stack.enter_async_context(
                    _feed._shared_hub(venue, line, load_conf(), symbol)
                )
            ]
        ]


async def all_up(members) -> None:
    with trio.fail_after(30):
        for member in members:
            while not isinstance(await member.items.receive(), Up):
                pass


async def test_who_comes_takes_the_place_of_who_left(tmp_path):
    """On a connection that is full: who left is unsubscribed first."""
    session = write_session(tmp_path / "session", usdtm=True)
    trades, _ = _feed._LINES["usdtm"]
    async with open_local("binance.usdtm", session=session, streams=10**6) as place:
        with private_dirs(tmp_path, place.conf):
            async with AsyncExitStack() as stack, AsyncExitStack() as leaving:

                async def join(symbol, stack=stack):
                    opening = _feed._shared_hub("usdtm", trades, load_conf(), symbol)
                    hub = await stack.enter_async_context(opening)
                    return await stack.enter_async_context(hub.join(symbol))

                members = [await join(f"M{number:03}USDT") for number in range(199)]
                await all_up([*members, await join("OLDUSDT", leaving)])
                await leaving.aclose()
                await all_up([await join("NEWUSDT")])
                told = await place.stats()
                assert told["websockets"] == 1
                assert len(told["subscribed_now"]) == 200
                await all_up([await join("MOREUSDT")])
                assert (await place.stats())["websockets_now"] == 2
