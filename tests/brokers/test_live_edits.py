"""Orders that a venue changes in their place: lost answers, a death of brokerd."""

from __future__ import annotations

import os
import signal
from decimal import Decimal

import pytest

from piker.msgs import Error
from tests.brokers._live import DERIBIT, IB, KRAKEN, live_trading, open_live, order

pytestmark = [
    pytest.mark.tree,
    pytest.mark.parametrize("at", [KRAKEN, DERIBIT, IB], ids=lambda at: at.broker),
]


@pytest.mark.parametrize("how", ["unheard", "unanswered", "late", "unsure", "silent"])
async def test_a_change_whose_answer_is_lost(open_test_pikerd, at, how):
    async with open_live(open_test_pikerd, at=at) as live, live_trading(at) as me:
        rests = order(58_000, "0.5", at=at)
        await me.client.send(rests)
        await me.until(resp="open", oid=rests.oid)
        await live.venue.fault("asked", on="amend", how=how, seconds=0.5)
        await me.client.update(rests.oid, price=at.price(58_100))
        if how == "unheard":
            told = await me.until(Error, request="edit", oid=rests.oid)
            assert "never came" in told.reason
        else:
            await me.until(resp="open", oid=rests.oid, reason="edited")
        (only,) = (await live.told())["orders"]
        wanted = at.price(58_000 if how == "unheard" else 58_100)
        assert (Decimal(only["price"]), only["state"]) == (wanted, "open")
        assert me.dialogs[rests.oid].req.price == wanted
        await me.client.cancel(rests.oid)
        await me.until(resp="canceled", oid=rests.oid)


async def test_a_killed_brokerd_knows_which_revision_is_in_force(open_test_pikerd, at):
    async with open_live(open_test_pikerd, at=at) as live, live_trading(at) as me:
        rests = order(58_000, "0.5", at=at)
        await me.client.send(rests)
        await me.until(resp="open", oid=rests.oid)
        await me.client.update(rests.oid, price=at.price(58_100))
        await me.until(resp="open", oid=rests.oid, reason="edited")
        daemon = live.tree.services.service_tasks[f"brokerd.{at.broker}"]
        os.kill(daemon.pid, signal.SIGKILL)
        await live.outside("sell", 58_100, "50.2")
        fill = await me.until(resp="fill", oid=rests.oid)
        assert fill.fill.size == at.size("0.2")
        await me.client.update(rests.oid, price=at.price(58_300))
        await me.until(resp="open", oid=rests.oid, reason="edited")
        await me.client.cancel(rests.oid)
        await me.until(resp="canceled", oid=rests.oid)
        await live.check(me, [rests.oid])
