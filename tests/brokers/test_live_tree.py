"""Live orders at an emulated Binance, through the whole tree."""

from __future__ import annotations

import os
import signal
from decimal import Decimal

import pytest

from tests.brokers._live import ACCOUNT, FQME, SYMBOL, live_trading, open_live, order

pytestmark = pytest.mark.tree


async def test_an_order_rests_fills_in_parts_and_ends(open_test_pikerd):
    async with open_live(open_test_pikerd) as live, live_trading() as me:
        assert ACCOUNT in me.client.accounts
        rests = order(58_000, "0.5")
        await me.client.send(rests)
        await me.until(resp="open", oid=rests.oid)
        assert [one["state"] for one in (await live.orders()).values()] == ["open"]
        await live.venue.outside(SYMBOL, "sell", "57000", "50.2")
        fill = await me.until(resp="fill", oid=rests.oid)
        assert (fill.fill.size, fill.fill.price) == (Decimal("0.2"), 58_000)
        assert fill.fill.cost == Decimal("0.0002") * 58_000
        await live.venue.outside(SYMBOL, "sell", "57000", "1")
        await me.until(resp="closed", oid=rests.oid)
        assert me.positions[ACCOUNT, FQME].size == Decimal("0.5")
        await live.check(me, [rests.oid])


async def test_an_order_is_edited_and_cancelled(open_test_pikerd):
    async with open_live(open_test_pikerd) as live, live_trading() as me:
        rests = order(58_000, "0.5")
        await me.client.send(rests)
        await me.until(resp="open", oid=rests.oid)
        await me.client.update(rests.oid, price=Decimal(58_100))
        await me.until(resp="open", oid=rests.oid, reason="edited")
        await live.venue.outside(SYMBOL, "sell", "58100", "50.2")
        await me.until(resp="fill", oid=rests.oid)
        # partly filled: what is left is placed anew
        await me.client.update(rests.oid, price=Decimal(58_200), size=Decimal("0.3"))
        await me.until(resp="open", oid=rests.oid, reason="edited")
        states = [(one["state"], one["size"]) for one in (await live.orders()).values()]
        assert states == [("canceled", "0.50000"), ("canceled", "0.50000"),
                          ("open", "0.10000")]  # fmt: skip
        await live.check(me, [rests.oid])
        await me.client.cancel(rests.oid)
        await me.until(resp="canceled", oid=rests.oid)
        await live.check(me, [rests.oid])
        assert not me.dialogs


async def test_what_the_venue_refuses_is_told(open_test_pikerd):
    async with open_live(open_test_pikerd) as live, live_trading() as me:
        for wrong, words in (
            (order(58_000, "20"), "insufficient balance"),
            (order(60_000, post_only=True), "immediately match"),
        ):
            await me.client.send(wrong)
            told = await me.until(resp="error", oid=wrong.oid)
            assert words in told.reason
        assert not (await live.orders())
        assert not me.dialogs


# -- what goes wrong on the way -------------------------------------------------------


@pytest.mark.parametrize(
    "how", ["unheard", "unanswered", "late", "unsure", "page", "odd", "refused"]
)
async def test_an_order_whose_answer_is_lost(open_test_pikerd, how):
    """It is asked for, and never sent twice."""
    async with open_live(open_test_pikerd) as live, live_trading() as me:
        await live.venue.fault("asked", on="place", how=how, seconds=0.5)
        rests = order(58_000, "0.5")
        await me.client.send(rests)
        # what an overloaded venue did nobody knows
        told = await me.until(oid=rests.oid, resp_in=("open", "error"))
        is_there = how in ("unanswered", "late", "unsure", "odd")
        assert (told.resp == "open") is is_there, told
        states = [one["state"] for one in (await live.orders()).values()]
        assert states == ["open"] * is_there
        await live.check(me, [rests.oid])
        again = order(58_000, "0.1")
        await me.client.send(again)
        await me.until(resp="open", oid=again.oid)
        await live.check(me, [rests.oid, again.oid])


# -- orders from elsewhere ------------------------------------------------------------


async def test_an_order_from_elsewhere_is_looked_after(open_test_pikerd):
    """It shows, fills, is edited and cancelled as any other; after deaths, too."""
    async with open_live(open_test_pikerd) as live:
        by_hand = {"account": "main", "symbol": SYMBOL, "side": "buy",
                   "price": "58000", "size": "0.5"}  # fmt: skip
        first = (await live.venue.control("place", by_hand))["serial"]
        async with live_trading() as me:
            one = f"{ACCOUNT}:{first}"
            # it is told of at the start, or a moment later
            told = me.dialogs.get(one) or await me.until(resp="open", oid=one)
            assert (told.req.price, told.req.size) == (58_000, Decimal("0.5"))
            second = (await live.venue.control("place", by_hand))["serial"]
            two = f"{ACCOUNT}:{second}"
            await me.until(resp="open", oid=two)
            await live.venue.outside(SYMBOL, "sell", "58000", "50.2")
            fill = await me.until(resp="fill", oid=one)
            assert fill.fill.size == Decimal("0.2")
            await me.client.update(two, price=Decimal(58_100))
            await me.until(resp="open", oid=two, reason="edited")
            await me.client.cancel(one)
            await me.until(resp="canceled", oid=one)
            for name in ("brokerd.binance", "emsd"):
                pid = live.tree.services.service_tasks[name].pid
                os.kill(pid, signal.SIGKILL)
                await live.tree.services.service_tasks[name].changed.wait()
            await me.client.cancel(two)
            await me.until(resp="canceled", oid=two)
            await live.check(me, [one, two])
            assert not me.dialogs
