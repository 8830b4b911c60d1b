"""Stops that the venue itself holds, and orders that fill whole or not at all."""

from __future__ import annotations

import os
import signal
from decimal import Decimal

import pytest

from piker.errors import OrderRefused
from tests.brokers._live import BINANCE, KRAKEN, live_trading, open_live, order

pytestmark = pytest.mark.tree

D = Decimal
AT = pytest.mark.parametrize("at", [BINANCE, KRAKEN], ids=["binance", "kraken"])


async def resting(live) -> list[dict]:
    told = await live.venue.account("main")
    return [one for one in told["orders"] if one["state"] in ("open", "waiting")]


async def print_at(live, price: str) -> None:
    """Have somebody trade there, a little, and the book be as it was."""
    at, venue = live.at, live.venue
    await venue.outside(at.symbol, "sell", price, "1", rests=True)
    await venue.outside(at.symbol, "buy", price, "1")


@AT
async def test_a_stop_waits_is_moved_fires_and_fills(open_test_pikerd, at):
    async with open_live(open_test_pikerd, at=at) as live, live_trading(at) as me:
        await print_at(live, "59500")
        stop = order(58_900, "0.5", "sell", at, trigger=D("59200"))
        await me.client.send(stop)
        await me.until(resp="open", oid=stop.oid)
        (only,) = await resting(live)
        assert only["state"] == "waiting"
        assert (D(only["price"]), D(only["stop"])) == (58_900, 59_200)
        await me.client.update(stop.oid, trigger=D(59_100))
        await me.until(resp="open", oid=stop.oid, reason="edited")
        (only,) = await resting(live)
        assert (D(only["price"]), D(only["stop"])) == (58_900, 59_100)
        await print_at(live, "59150")  # it would have fired before
        assert [one["state"] for one in await resting(live)] == ["waiting"]
        await print_at(live, "59050")
        fill = await me.until(resp="fill", oid=stop.oid)
        assert (fill.fill.size, fill.fill.price) == (D("0.5"), 59_000)
        await me.until(resp="closed", oid=stop.oid)
        await live.check(me, [stop.oid])


@AT
async def test_a_stop_without_a_limit_sells_at_what_is_paid(open_test_pikerd, at):
    async with open_live(open_test_pikerd, at=at) as live, live_trading(at) as me:
        await print_at(live, "59500")
        stop = order(None, "0.5", "sell", at, otype="market", trigger=D("59200"))
        await me.client.send(stop)
        await me.until(resp="open", oid=stop.oid)
        assert [D(one["stop"]) for one in await resting(live)] == [59_200]
        await me.client.update(stop.oid, trigger=D(59_100), size=D("0.4"))
        await me.until(resp="open", oid=stop.oid, reason="edited")
        (only,) = await resting(live)
        assert (D(only["stop"]), D(only["size"])) == (59_100, D("0.4"))
        await print_at(live, "59050")
        fill = await me.until(resp="fill", oid=stop.oid)
        assert (fill.fill.size, fill.fill.price) == (D("0.4"), 59_000)
        await me.until(resp="closed", oid=stop.oid)
        await live.check(me, [stop.oid])


@AT
async def test_stops_outlive_daemons_and_are_cancelled(open_test_pikerd, at):
    async with open_live(open_test_pikerd, at=at) as live, live_trading(at) as me:
        await print_at(live, "59500")
        stop = order(58_000, "0.5", "sell", at, trigger=D("58500"))
        bare = order(None, "0.3", "sell", at, otype="market", trigger=D("58500"))
        for each in (stop, bare):
            await me.client.send(each)
            await me.until(resp="open", oid=each.oid)
        for name in (f"brokerd.{at.broker}", "emsd"):
            daemon = live.tree.services.service_tasks[name]
            os.kill(daemon.pid, signal.SIGKILL)
            await daemon.changed.wait()
        assert set(me.dialogs) == {stop.oid, bare.oid}
        assert len(await resting(live)) == 2
        await me.client.update(stop.oid, trigger=D(58_400))
        await me.until(resp="open", oid=stop.oid, reason="edited")
        for each in (stop, bare):
            await me.client.cancel(each.oid)
            await me.until(resp="canceled", oid=each.oid)
        assert not await resting(live)


@AT
async def test_a_stop_that_would_fire_at_once_is_refused(open_test_pikerd, at):
    async with open_live(open_test_pikerd, at=at) as live, live_trading(at) as me:
        for wrong in (
            order(58_000, "0.5", "sell", at, trigger=D("200000")),
            order(60_500, "0.5", "buy", at, trigger=D("58500")),
        ):
            with pytest.raises(OrderRefused, match="a stop, which waits"):
                await me.client.send(wrong)
        assert not await resting(live)


@AT
async def test_fok_is_filled_whole_or_not_at_all(open_test_pikerd, at):
    async with open_live(open_test_pikerd, at=at) as live, live_trading(at) as me:
        await live.venue.outside(at.symbol, "sell", "59500", "0.3", rests=True)
        much = order(59_500, "0.5", at=at, tif="fok")
        await me.client.send(much)
        ended = await me.until(resp="canceled", oid=much.oid)
        assert not ended.filled
        whole = order(59_500, "0.3", at=at, tif="fok")
        await me.client.send(whole)
        await me.until(resp="closed", oid=whole.oid)
        await live.check(me, [much.oid, whole.oid])
