"""Live orders at an emulated Deribit, through the whole tree, on an asyncio loop."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from decimal import Decimal

import pytest
import trio

from piker.accounting import audit, read_ledger
from piker.brokers.deribit._listing import parse_instruments
from tests.brokers._live import DERIBIT, At, live_trading, open_live, order
from tests.brokers.test_deribit_tree import ask_raw

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


async def test_sizes_of_an_inverse_market_are_usd_and_its_money_is_coins(
    open_test_pikerd,
):
    async with open_live(open_test_pikerd, at=INVERSE) as live, live_trading(
        INVERSE
    ) as me:  # fmt: skip
        await live.venue.outside(INVERSE.symbol, "sell", "60000", "100000", rests=True)
        await live.venue.outside(INVERSE.symbol, "buy", "50000", "100000", rests=True)
        buys = order(60_000, "6000", at=INVERSE)
        await me.client.send(buys)
        fill = await me.until(resp="fill", oid=buys.oid)
        assert (fill.fill.size, fill.fill.price) == (6000, 60_000)
        assert fill.fill.cost == D("0.00005"), "0.05 % of 0.1 coins"
        await live.venue.outside(INVERSE.symbol, "sell", "50000", "100000")
        await live.venue.outside(INVERSE.symbol, "sell", "75000", "100000", rests=True)
        await live.venue.outside(INVERSE.symbol, "buy", "75000", "100000")
        await live.venue.outside(INVERSE.symbol, "buy", "75000", "100000", rests=True)
        sells = order(75_000, "6000", "sell", at=INVERSE)
        await me.client.send(sells)
        fill = await me.until(resp="fill", oid=sells.oid)
        await me.until(resp="closed", oid=sells.oid)
        position = read_ledger(*_ledger()).positions()[INVERSE.fqme]
        assert position.is_inverse
        assert position.is_flat
        paid = D("0.00005") + D("0.00004")
        assert position.realised == D("0.1") - D("0.08") - paid
        told = await live.venue.account("main")
        assert D(told["money"]["BTC"]["free"]) < 100 + position.realised, "at 8:00 UTC"


def _ledger():
    return DERIBIT.broker, DERIBIT.account


async def test_what_the_venue_refuses_is_told(open_test_pikerd):
    async with open_live(open_test_pikerd, at=DERIBIT) as live, live_trading(
        DERIBIT
    ) as me:  # fmt: skip
        for wrong, words in (
            (order(58_000, "100000000", at=DERIBIT), "not_enough_funds"),
            (order(60_000, post_only=True, at=DERIBIT), "post_only_reject"),
        ):
            await me.client.send(wrong)
            told = await me.until(resp="error", oid=wrong.oid)
            assert words in told.reason
        ioc = order(60_000, "60", "buy", tif="ioc", at=DERIBIT)
        await me.client.send(ioc)
        end = await me.until(resp="canceled", oid=ioc.oid)
        assert (end.filled, end.reason) == (50, "nothing more was to be had")
        await live.check(me, [ioc.oid])


async def test_a_token_that_ends_is_asked_for_again(open_test_pikerd):
    """Of the line and of what is looked up; no order is lost, none sent twice."""
    async with open_live(open_test_pikerd, at=DERIBIT) as live, live_trading(
        DERIBIT
    ) as me:  # fmt: skip
        rests = order(58_000, "0.5", at=DERIBIT)
        await me.client.send(rests)
        await me.until(resp="open", oid=rests.oid)
        await live.venue.control("expire_tokens?name=main", {})
        more = order(57_000, "0.5", at=DERIBIT)
        await me.client.send(more)
        await me.until(resp="open", oid=more.oid)
        await live.venue.control("expire_tokens?name=main", {})
        for one in (rests, more):
            await me.client.cancel(one.oid)
            await me.until(resp="canceled", oid=one.oid)
        assert len((await live.venue.account("main"))["orders"]) == 2


@pytest.mark.parametrize("limit", [None, 90_500])
async def test_a_stop_counts_and_is_one_order_all_along(open_test_pikerd, limit):
    """What the venue gives another id once it counts has one id here."""
    async with open_live(open_test_pikerd, at=DERIBIT) as live, live_trading(
        DERIBIT
    ) as me:  # fmt: skip
        otype = "market" if limit is None else "limit"
        stop = order(limit, "0.5", at=DERIBIT, trigger=D(90_000), otype=otype)
        await me.client.send(stop)
        await me.until(resp="open", oid=stop.oid)
        (only,) = (await live.venue.account("main"))["orders"]
        assert only["state"] == "waiting"
        await me.client.update(stop.oid, trigger=D(90_200))
        await me.until(resp="open", oid=stop.oid, reason="edited")
        await live.venue.outside(DERIBIT.symbol, "sell", "90200", "1", rests=True)
        await live.venue.outside(DERIBIT.symbol, "buy", "90200", "0.1")
        fill = await me.until(resp="fill", oid=stop.oid)
        assert (fill.fill.price, fill.fill.size) == (90_200, D("0.5"))
        await me.until(resp="closed", oid=stop.oid)
        await live.check(me, [stop.oid])


async def test_a_stop_that_counted_while_nobody_was_there(open_test_pikerd):
    async with open_live(open_test_pikerd, at=DERIBIT) as live, live_trading(
        DERIBIT
    ) as me:  # fmt: skip
        stop = order(90_500, "0.5", at=DERIBIT, trigger=D(90_000))
        await me.client.send(stop)
        await me.until(resp="open", oid=stop.oid)
        daemon = live.tree.services.service_tasks["brokerd.deribit"]
        os.kill(daemon.pid, signal.SIGKILL)
        await live.venue.outside(DERIBIT.symbol, "sell", "90200", "0.2", rests=True)
        await live.venue.outside(DERIBIT.symbol, "buy", "90200", "0.1")
        fill = await me.until(resp="fill", oid=stop.oid)
        assert fill.fill.size == D("0.1")
        await me.client.cancel(stop.oid)
        await me.until(resp="canceled", oid=stop.oid)
        await live.check(me, [stop.oid])


async def until_booked(tid_starts: str, count: int):
    """Return what the ledger has of such ids, once there are so many."""
    with trio.fail_after(30):
        while True:
            txns = read_ledger(*_ledger()).txns
            found = [txn for txn in txns if txn.tid.startswith(tid_starts)]
            if len(found) >= count:
                return found
            await trio.sleep(0.1)


async def look_again(live) -> None:
    """Have brokerd ask the venue for all, and take it in: its line breaks."""
    before = await _log_asked(live)
    await live.venue.fault("disconnect", how="rst")
    with trio.fail_after(30):
        while await _log_asked(live) == before:
            await trio.sleep(0.05)
    await trio.sleep(0.5)  # what would be booked twice must be by then


async def _log_asked(live) -> int:
    told = (await live.venue.stats())["requests"]
    return told.get("private/get_transaction_log", 0)


@pytest.mark.parametrize("funding", ["0", "0.0001", "-0.0003"])
async def test_a_settlement_is_booked_once(open_test_pikerd, funding):
    """What is held has earned is paid then, and of a perpetual funding, either way."""
    async with open_live(open_test_pikerd, at=INVERSE) as live, live_trading(
        INVERSE
    ) as me:  # fmt: skip
        await live.venue.outside(INVERSE.symbol, "sell", "60000", "100000", rests=True)
        buys = order(60_000, "6000", at=INVERSE)
        await me.client.send(buys)
        await me.until(resp="closed", oid=buys.oid)
        asked = f"settle?currency=BTC&price=75000&funding={funding}"
        await live.venue.control(asked, {})
        paid = D(funding) * D("0.08")  # of the coins that 6000 USD are then
        for _ in range(2):
            await look_again(live)
            (settled,) = await until_booked("log-btc-", 1)
        assert (settled.etype, settled.price, settled.size) == ("settlement", 75_000, 0)
        assert settled.fqme == INVERSE.fqme
        ledger = read_ledger(*_ledger())
        position = ledger.positions()[INVERSE.fqme]
        assert position.ppu == 75_000
        assert settled.cost == paid
        assert position.realised == D("0.1") - D("0.08") - D("0.00005") - paid
        told = await live.venue.account("main")
        assert D(told["money"]["BTC"]["free"]) == 100 + position.realised
        with trio.fail_after(30):
            while me.positions[INVERSE.account, INVERSE.fqme].avg_price != 75_000:
                await me.trades._receive.receive()
        # the account file is written once nobody trades
        assert [
            text for text in audit(ledger).differences if "account." not in text
        ] == []


async def option_of(live) -> At:
    """Return a call of the first expiry, deep in the money: what is traded then."""
    body = await ask_raw(
        live.venue, "public/get_instruments", currency="BTC", kind="option"
    )
    listed, _ = parse_instruments(body)
    calls = [one.mkt for one in listed if one.mkt.name.right == "c"]
    mkt = min(calls, key=lambda mkt: (mkt.expiry, mkt.name.strike_price))
    return replace(INVERSE, fqme=mkt.fqme, symbol=mkt.bs_mktid)


async def test_an_option_that_expires_is_delivered_into_the_ledger(open_test_pikerd):
    """Of a call in the money: what it pays less the fee, and nothing is held then."""
    async with open_live(open_test_pikerd, at=INVERSE) as live:
        at = await option_of(live)
        await live.venue.outside(at.symbol, "sell", "0.1", "10", rests=True)
        async with live_trading(at) as me:
            buys = order("0.1", "0.7", at=at)
            await me.client.send(buys)
            fill = await me.until(resp="fill", oid=buys.oid)
            assert fill.fill.cost == D("0.7") * D("0.0003")
            await me.until(resp="closed", oid=buys.oid)
            strike = D(at.symbol.split("-")[2])
            price = 2 * strike  # half a coin for one
            await live.venue.control(
                f"deliver?instrument={at.symbol}&price={price}", {}
            )
            for _ in range(2):
                await look_again(live)
                (ended,) = await until_booked("log-btc-", 1)
            assert (ended.etype, ended.price) == ("expiry", D("0.5"))
            assert ended.size == 0, "all there is"
            ledger = read_ledger(*_ledger())
            position = ledger.positions()[at.fqme]
            assert position.is_flat
            told = await live.venue.account("main")
            assert D(told["money"]["BTC"]["free"]) == 100 + position.realised
            assert audit(ledger).differences == ()


async def test_an_order_that_may_only_reduce(open_test_pikerd):
    async with open_live(open_test_pikerd, at=DERIBIT) as live, live_trading(
        DERIBIT
    ) as me:  # fmt: skip
        buys = order(60_000, "0.5", at=DERIBIT)
        await me.client.send(buys)
        await me.until(resp="closed", oid=buys.oid)
        less = order(60_500, "0.5", "sell", reduce_only=True, at=DERIBIT)
        await me.client.send(less)
        await me.until(resp="open", oid=less.oid)
        (row,) = [
            one
            for one in (await live.venue.account("main"))["orders"]
            if one["state"] == "open"
        ]
        assert D(row["size"]) == D("0.5")
        await me.client.cancel(less.oid)
        await me.until(resp="canceled", oid=less.oid)


async def test_data_and_orders_do_not_die_of_each_other(open_test_pikerd):
    """Killed, each comes back alone; an order rests and is ended all the same."""
    async with open_live(open_test_pikerd, at=DERIBIT) as live, live_trading(
        DERIBIT
    ) as me:  # fmt: skip
        rests = order(58_000, "0.5", at=DERIBIT)
        await me.client.send(rests)
        await me.until(resp="open", oid=rests.oid)
        services = live.tree.services.service_tasks
        pids = {name: services[f"{name}.deribit"].pid for name in ("datad", "brokerd")}
        os.kill(pids["datad"], signal.SIGKILL)
        await trio.sleep(1)
        assert services["brokerd.deribit"].pid == pids["brokerd"]
        (only,) = (await live.venue.account("main"))["orders"]
        assert only["state"] == "open"
        with trio.fail_after(30):
            while services["datad.deribit"].pid in (-1, pids["datad"]):
                await trio.sleep(0.05)
        again = services["datad.deribit"].pid
        os.kill(services["brokerd.deribit"].pid, signal.SIGKILL)
        await me.client.cancel(rests.oid)
        await me.until(resp="canceled", oid=rests.oid)
        assert services["datad.deribit"].pid == again


async def test_spot_is_bought_and_held(open_test_pikerd):
    at = replace(
        DERIBIT, fqme="btcusdt.spot.deribit", symbol="BTC_USDT",
        money={"USDT": "1000000", "BTC": "100"},
    )  # fmt: skip
    async with open_live(open_test_pikerd, at=at) as live, live_trading(at) as me:
        rests = order(58_000, "0.5", at=at)
        await me.client.send(rests)
        await me.until(resp="open", oid=rests.oid)
        await live.venue.fault("asked", on="amend", how="unanswered")
        await me.client.update(rests.oid, price=D(58_100))
        await me.until(resp="open", oid=rests.oid, reason="edited")
        buys = order(60_000, "0.25", at=at)
        await me.client.send(buys)
        fill = await me.until(resp="fill", oid=buys.oid)
        assert (fill.fill.size, fill.fill.price, fill.fill.cost) == (
            D("0.25"), 60_000, 0,
        )  # fmt: skip
        await me.until(resp="closed", oid=buys.oid)
        await me.client.cancel(rests.oid)
        await me.until(resp="canceled", oid=rests.oid)
        position = read_ledger(*_ledger()).positions()[at.fqme]
        assert (position.size, position.is_inverse) == (D("0.25"), False)
        told = (await live.venue.account("main"))["money"]
        assert (D(told["BTC"]["free"]), D(told["USDT"]["free"])) == (
            D("100.25"), 985_000,
        )  # fmt: skip
