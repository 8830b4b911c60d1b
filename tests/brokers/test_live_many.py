"""Many orders at once at an emulated Kraken, which may be asked seldom."""

from __future__ import annotations

import os
import signal
from contextlib import asynccontextmanager

import pytest
import trio

from tests.brokers._live import KRAKEN, live_trading, open_live, order

pytestmark = pytest.mark.tree

MANY = 60


@asynccontextmanager
async def many_open(open_test_pikerd):
    """Yield a tree, who trades there, and ids of orders that rest."""
    conf = "max_open_orders = 0\nmax_orders_per_s = 0\n"
    async with open_live(open_test_pikerd, at=KRAKEN, conf=conf) as live, live_trading(
        KRAKEN
    ) as me:  # fmt: skip
        oids = []
        for i in range(MANY):
            one = order(50_000 + i, "0.001", at=KRAKEN)
            await me.client.send(one)
            oids.append(one.oid)
        while not all(oid in me.dialogs and is_open(me, oid) for oid in oids):
            await me.until()
        yield live, me, oids


def is_open(me, oid: str) -> bool:
    return me.dialogs[oid].resp == "open"


async def queries(live) -> int:
    told = (await live.venue.stats())["requests"]
    return told.get("/0/private/QueryOrders", 0)


async def test_cancels_whose_answers_are_lost_are_asked_for_together(open_test_pikerd):
    async with many_open(open_test_pikerd) as (live, me, oids):
        await live.venue.fault("latency", ms=50)
        before = await queries(live)
        for oid in oids:
            me.client.cancel_nowait(oid)
        await trio.sleep(0.02)
        await live.venue.fault("disconnect", how="rst")
        await live.venue.clear()
        while me.dialogs:
            await me.until()
        await live.check(me, oids)
        assert await queries(live) - before < MANY / 4


async def test_orders_that_ended_while_brokerd_was_dead_are_asked_for_together(
    open_test_pikerd,
):
    async with many_open(open_test_pikerd) as (live, me, oids):
        before = await queries(live)
        os.kill(live.tree.services.service_tasks["brokerd.kraken"].pid, signal.SIGSTOP)
        for one in (await live.venue.account("main"))["orders"]:
            await live.venue.control(f"cancel?serial={one['serial']}")
        os.kill(live.tree.services.service_tasks["brokerd.kraken"].pid, signal.SIGKILL)
        while me.dialogs:
            await me.until()
        await live.check(me, oids)
        assert 0 < await queries(live) - before < MANY / 4
