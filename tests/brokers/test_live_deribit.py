"""Live orders at an emulated Deribit, through the whole tree, on an asyncio loop."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.brokers._live import DERIBIT, At, live_trading, open_live, order

pytestmark = pytest.mark.tree

D = Decimal
INVERSE = At(
    "btcusd.perp.deribit", "BTC-PERPETUAL", DERIBIT.account, DERIBIT.venue,
    DERIBIT.conf, DERIBIT.fast, {"BTC": "100"},
)  # fmt: skip


async def test_an_order_is_changed_where_it_is_and_fills(open_test_pikerd):
    async with open_live(open_test_pikerd, at=DERIBIT) as live, live_trading(
        DERIBIT
    ) as me:  # fmt: skip
        assert DERIBIT.account in me.client.accounts
        rests = order(58_000, "0.5", at=DERIBIT)
        await me.client.send(rests)
        await me.until(resp="open", oid=rests.oid)
        await me.client.update(rests.oid, price=D(58_100))
        await me.until(resp="open", oid=rests.oid, reason="edited")
        (only,) = (await live.venue.account("main"))["orders"]
        assert (D(only["price"]), only["state"]) == (58_100, "open")
        await live.venue.outside(DERIBIT.symbol, "sell", "58100", "50.2")
        fill = await me.until(resp="fill", oid=rests.oid)
        assert (fill.fill.size, fill.fill.price) == (D("0.2"), 58_100)
        assert fill.fill.cost == 0, "who rests pays nothing"
        await me.client.update(rests.oid, price=D(58_200), size=D("0.3"))
        await me.until(resp="open", oid=rests.oid, reason="edited")
        (only,) = (await live.venue.account("main"))["orders"]
        assert (D(only["price"]), D(only["size"])) == (58_200, D("0.3"))
        await live.check(me, [rests.oid])
        await me.client.cancel(rests.oid)
        await me.until(resp="canceled", oid=rests.oid)
        await live.check(me, [rests.oid])
        assert not me.dialogs
