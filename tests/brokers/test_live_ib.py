"""Live orders at an emulated TWS, through the whole tree."""

from __future__ import annotations

import os
import signal
from decimal import Decimal

import pytest
import trio

from piker.accounting import read_ledger
from piker.clearing import Order
from piker.data import open_feed
from piker.msgs import Error
from tests.brokers._live import IB, At, live_trading, open_live, order

pytestmark = pytest.mark.tree

D = Decimal
PRICE = IB.price(58_100)


async def test_an_order_is_changed_where_it_is_and_fills(open_test_pikerd):
    async with open_live(open_test_pikerd, at=IB) as live, live_trading(IB) as me:
        assert IB.account in me.client.accounts
        rests = order(58_000, "0.5", at=IB)
        await me.client.send(rests)
        await me.until(resp="open", oid=rests.oid)
        await me.client.update(rests.oid, price=PRICE)
        await me.until(resp="open", oid=rests.oid, reason="edited")
        (only,) = (await live.told())["orders"]
        assert (D(only["price"]), only["state"]) == (PRICE, "open")
        await live.outside("sell", 58_100, "50.2")
        fill = await me.until(resp="fill", oid=rests.oid)
        assert (fill.fill.size, fill.fill.price) == (100, PRICE)
        assert fill.fill.cost > 0
        # the whole of it is told, what is filled too
        await me.client.update(rests.oid, price=D("116.4"), size=D(150))
        await me.until(resp="open", oid=rests.oid, reason="edited")
        (only,) = (await live.told())["orders"]
        assert (D(only["price"]), D(only["size"])) == (D("116.4"), 150)
        await live.check(me, [rests.oid])
        await me.client.cancel(rests.oid)
        await me.until(resp="canceled", oid=rests.oid)
        await live.check(me, [rests.oid])
        assert not me.dialogs


async def test_what_the_gateway_refuses_is_told(open_test_pikerd):
    async with open_live(open_test_pikerd, at=IB) as live, live_trading(IB) as me:
        for wrong, words in (
            (order(58_000, "10000", at=IB), "Available Funds are insufficient"),
            (order(60_000, post_only=True, at=IB), "ib takes no post-only orders"),
        ):
            await me.client.send(wrong)
            told = await me.until(resp="error", oid=wrong.oid)
            assert words in told.reason
            assert live.key not in told.reason
        ioc = order(60_000, "60", "buy", tif="ioc", at=IB)
        await me.client.send(ioc)
        end = await me.until(resp="canceled", oid=ioc.oid)
        assert end.filled == 25_000
        await live.check(me, [ioc.oid])


async def test_a_stop_waits_is_moved_fires_and_fills(open_test_pikerd):
    async with open_live(open_test_pikerd, at=IB) as live, live_trading(IB) as me:
        await print_at(live, 59_500)
        limited = order(58_900, "0.5", "sell", IB, trigger=IB.price(59_200))
        bare = order(None, "0.3", "sell", IB, otype="market", trigger=IB.price(59_200))
        for stop in (limited, bare):
            await me.client.send(stop)
            await me.until(resp="open", oid=stop.oid)
            await me.client.update(stop.oid, trigger=IB.price(59_100))
            await me.until(resp="open", oid=stop.oid, reason="edited")
        await kill(live, "brokerd.ib")
        assert [
            (one["state"], D(one["stop"])) for one in (await live.told())["orders"]
        ] == [("waiting", IB.price(59_100))] * 2
        await print_at(live, 59_050)
        for stop in (limited, bare):  # whichever ends first
            if "closed" not in me.resps(stop.oid):
                await me.until(resp="closed", oid=stop.oid)
        await live.check(me, [limited.oid, bare.oid])


async def print_at(live, price) -> None:
    """Have somebody trade there, a little, and the book be as it was."""
    await live.outside("sell", price, "1", rests=True)
    await live.outside("buy", price, "1")


async def kill(live, name: str) -> None:
    """Kill a daemon, and wait until the tree has noticed."""
    daemon = live.tree.services.service_tasks[name]
    os.kill(daemon.pid, signal.SIGKILL)
    await daemon.changed.wait()


# -- who dies, and who doesn't notice --------------------------------------------------


async def test_orders_and_data_die_apart(open_test_pikerd):
    """Whichever of the two daemons is killed, the other goes on as it was."""
    async with open_live(open_test_pikerd, at=IB) as live, live_trading(IB) as me:
        pids = {
            name: live.tree.services.service_tasks[name].pid
            for name in ("datad.ib", "brokerd.ib")
        }
        rests = order(58_000, "0.5", at=IB)
        await me.client.send(rests)
        await me.until(resp="open", oid=rests.oid)
        await kill(live, "datad.ib")
        await live.outside("sell", 58_000, "50.2")
        await me.until(resp="fill", oid=rests.oid)
        assert live.tree.services.service_tasks["brokerd.ib"].pid == pids["brokerd.ib"]
        await me.client.update(rests.oid, price=PRICE)
        await me.until(resp="open", oid=rests.oid, reason="edited")
        await wait_running(live, "datad.ib")
        pid = live.tree.services.service_tasks["datad.ib"].pid
        async with open_feed(IB.fqme):
            await kill(live, "brokerd.ib")
            await wait_running(live, "brokerd.ib")
            assert live.tree.services.service_tasks["datad.ib"].pid == pid
        assert [one["state"] for one in (await live.told())["orders"]] == ["open"]
        await me.client.cancel(rests.oid)
        await me.until(resp="canceled", oid=rests.oid)
        await live.check(me, [rests.oid])


async def wait_running(live, name: str) -> None:
    daemon = live.tree.services.service_tasks[name]
    with trio.fail_after(30):
        while daemon.state != "running":
            await daemon.changed.wait()


# -- contracts -------------------------------------------------------------------------


async def test_an_order_for_a_market_that_no_feed_has_opened(open_test_pikerd):
    """Its contract is learnt with it; after a restart, before anything is asked."""
    async with open_live(open_test_pikerd, at=IB) as live, live_trading(IB) as me:
        option = await an_option(live)
        for side, price in (("buy", "9"), ("sell", "11")):
            await live.venue.outside(option["key"], side, price, "500", rests=True)
        fqme = f"tsla.{option['expiry']}.{option['strike']}c.cboe.ib"
        one = Order(
            oid="lazy", action="buy", symbol=fqme, size=D(10), price=D(10),
            account=IB.account,
        )  # fmt: skip
        await me.client.send(one)
        await me.until(resp="open", oid="lazy")
        before = await asked_contracts(live)
        await kill(live, "brokerd.ib")
        await wait_running(live, "brokerd.ib")
        await settled(live, before)
        # nothing more is told of contracts: what is open is known by now
        await live.venue.fault("answer", on="details", how="never", count=0)
        await me.client.update("lazy", price=D("10.5"))
        await me.until(resp="open", oid="lazy", reason="edited")
        await live.venue.outside(option["key"], "sell", "10.5", "4")
        fill = await me.until(resp="fill", oid="lazy")
        assert (fill.fill.size, fill.fill.symbol) == (4, fqme)
        await me.client.cancel("lazy")
        await me.until(resp="canceled", oid="lazy")
        held = read_ledger("ib", IB.account).positions()[fqme]
        assert (held.size, held.multiplier) == (4, 100)


async def an_option(live) -> dict:
    """Return a call on the shares, in the middle of its chain."""
    listed = await live.venue.control("contracts")
    calls = [
        {**one, "strike": str(int(one["key"][-8:]) / 1000).removesuffix(".0")}
        for one in listed
        if one["sec_type"] == "OPT" and one["key"][-9] == "C"
    ]
    return calls[len(calls) // 2]


async def asked_contracts(live) -> int:
    return (await live.venue.stats())["requests"].get("reqContractDetails", 0)


async def settled(live, before: int) -> None:
    """Wait until a new daemon has learnt the contracts of what is open.

    It has asked for two, beyond those that were *before* it, and asks for no more.
    """
    with trio.fail_after(30):
        seen = before
        while (now := await asked_contracts(live)) != seen or now < before + 2:
            seen = now
            await trio.sleep(0.7)


# -- orders of others ------------------------------------------------------------------


async def by_hand(live, price="115", size="250") -> str:
    """Have the account's owner place an order in TWS; return its id here."""
    told = {"account": live.key, "symbol": IB.symbol, "side": "buy", "price": price,
            "size": size}  # fmt: skip
    placed = await live.venue.control("place", told)
    return f"{IB.account}:{placed['perm_id']}"


async def test_an_order_placed_in_tws_is_shown_and_can_not_be_changed(open_test_pikerd):
    async with open_live(open_test_pikerd, at=IB) as live:
        oid = await by_hand(live)
        async with live_trading(IB) as me:
            told = await me.until(resp="open", oid=oid)
            assert (told.req.price, told.req.size) == (115, 250)
            await me.client.cancel(oid)
            refused = await me.until(Error, oid=oid)
            assert "brokerd_id = 0 in [brokers.ib]" in refused.reason
            assert [one["state"] for one in (await live.told())["orders"]] == ["open"]
            await live.outside("sell", 57_500, "50.2")
            await kill(live, "brokerd.ib")
            fill = await me.until(resp="fill", oid=oid)
            assert fill.fill.size == 100


async def test_what_is_traded_in_tws_is_booked_at_once(open_test_pikerd):
    async with open_live(open_test_pikerd, at=IB) as live, live_trading(IB) as me:
        first = order(60_000, "0.1", at=IB)
        await me.client.send(first)
        await me.until(resp="closed", oid=first.oid)
        await by_hand(live, price="120", size="70")
        with trio.fail_after(15):
            while read_ledger("ib", IB.account).positions()[IB.fqme].size != 120:
                await trio.sleep(0.1)
        held = read_ledger("ib", IB.account).positions()[IB.fqme]
        assert held.trades == 2


async def test_client_0_changes_and_ends_what_was_placed_in_tws(open_test_pikerd):
    zero = At(**{**vars(IB), "conf": "brokerd_id = 0\n"})
    async with open_live(open_test_pikerd, at=zero) as live, live_trading(zero) as me:
        oid = await by_hand(live)
        await me.until(resp="open", oid=oid)
        await me.client.update(oid, price=D("115.2"))
        await me.until(resp="open", oid=oid, reason="edited")
        (only,) = (await live.told())["orders"]
        assert (D(only["price"]), only["state"]) == (D("115.2"), "open")
        await me.client.cancel(oid)
        await me.until(resp="canceled", oid=oid)


# -- fees ------------------------------------------------------------------------------


async def test_a_fee_that_comes_late_is_booked_by_itself(open_test_pikerd):
    async with open_live(open_test_pikerd, at=IB) as live, live_trading(IB) as me:
        await live.venue.fault("answer", on="commission", how="late", seconds=5)
        # else the list of executions tells it, too
        await live.venue.fault("answer", on="executions", how="never", count=1)
        one = order(60_000, "0.1", at=IB)
        await me.client.send(one)
        fill = await me.until(resp="fill", oid=one.oid)
        assert fill.fill.cost == 0
        with trio.fail_after(20):
            while not (fees := read_ledger("ib", IB.account).positions()[IB.fqme].fees):
                await trio.sleep(0.1)
        (trade,) = (await live.told())["trades"]
        assert fees == D(trade["fee"])
        assert [txn.etype for txn in read_ledger("ib", IB.account).txns] == [
            "clear", "fee",
        ]  # fmt: skip
        await live.check(me, [one.oid])
