"""Live orders at an emulated Kraken, through the whole tree: changed in their place."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.brokers._live import KRAKEN, live_trading, open_live, order

pytestmark = pytest.mark.tree

D = Decimal


async def test_an_order_is_changed_where_it_is_and_fills(open_test_pikerd):
    async with open_live(open_test_pikerd, at=KRAKEN) as live, live_trading(
        KRAKEN
    ) as me:  # fmt: skip
        assert KRAKEN.account in me.client.accounts
        rests = order(58_000, "0.5", at=KRAKEN)
        await me.client.send(rests)
        await me.until(resp="open", oid=rests.oid)
        await me.client.update(rests.oid, price=D(58_100))
        await me.until(resp="open", oid=rests.oid, reason="edited")
        (only,) = (await live.venue.account("main"))["orders"]
        assert (D(only["price"]), only["state"]) == (58_100, "open")
        await live.venue.outside(KRAKEN.symbol, "sell", "58100", "50.2")
        fill = await me.until(resp="fill", oid=rests.oid)
        assert (fill.fill.size, fill.fill.price) == (D("0.2"), 58_100)
        assert fill.fill.cost == D("0.2") * 58_100 * D("0.001")
        # the whole of it is told, what is filled too
        await me.client.update(rests.oid, price=D(58_200), size=D("0.3"))
        await me.until(resp="open", oid=rests.oid, reason="edited")
        (only,) = (await live.venue.account("main"))["orders"]
        assert (D(only["price"]), D(only["size"])) == (58_200, D("0.3"))
        await live.check(me, [rests.oid])
        await me.client.cancel(rests.oid)
        await me.until(resp="canceled", oid=rests.oid)
        await live.check(me, [rests.oid])
        assert not me.dialogs


async def test_what_the_venue_refuses_is_told(open_test_pikerd):
    async with open_live(open_test_pikerd, at=KRAKEN) as live, live_trading(
        KRAKEN
    ) as me:  # fmt: skip
        for wrong, words in (
            (order(58_000, "20", at=KRAKEN), "Insufficient funds"),
            (order(60_000, post_only=True, at=KRAKEN), "Post only order"),
        ):
            await me.client.send(wrong)
            told = await me.until(resp="error", oid=wrong.oid)
            assert words in told.reason
        ioc = order(60_000, "60", "buy", tif="ioc", at=KRAKEN)
        await live.venue.open_account("main", live.key, live.secret, USDT="9000000")
        await me.client.send(ioc)
        end = await me.until(resp="canceled", oid=ioc.oid)
        assert end.filled == 50
        await live.check(me, [ioc.oid])
