"""A paperboi in a real tree: orders, fills, the ledger, and deaths in between."""

from __future__ import annotations

import os
import signal
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
import trio

from piker.accounting import read_ledger
from piker.data import open_feed
from piker.errors import TransportClosed
from piker.msgs import (
    BrokerdError,
    BrokerdFill,
    BrokerdOrderAck,
    BrokerdPosition,
    BrokerdStatus,
    Reconciled,
)
from piker.service import Policy
from tests._data import binance_session
from tests.clearing._talk import BTC, held, order, talk

pytestmark = pytest.mark.tree
FAST = "[paper]\nlatency_ms = 1\ncancel_latency_ms = 1\n"
FAR = "0.01"


async def touch() -> tuple[Decimal, Decimal]:
    """Return the best bid and ask there are now."""
    async with open_feed(BTC) as feed:
        ticks = {t.type: t.price for t in feed.flumes[BTC].first_quote.ticks}
        while not {"bid", "ask"} <= ticks.keys():
            ticks |= {t.type: t.price for t in (await feed.stream.receive()).ticks}
        mkt = feed.flumes[BTC].mkt
        return mkt.quantize(ticks["bid"], "price"), mkt.quantize(ticks["ask"], "price")


@asynccontextmanager
async def mortal(talking):
    """Hold a dialog whose far end is killed within."""
    with pytest.raises(TransportClosed):
        async with talking as ems:
            yield ems


async def kill(tree, ems) -> None:
    """Kill the paperboi, and hear of it."""
    os.kill(tree.services.service_tasks["paperboi.sim"].pid, signal.SIGKILL)
    with pytest.raises((TransportClosed, trio.EndOfChannel)):
        await ems.until(Reconciled)


async def test_from_order_to_position(open_test_pikerd):
    async with open_test_pikerd(conf=FAST) as tree, talk() as ems:
        _, ask = await touch()
        assert (ems.init.accounts, ems.init.positions) == (("paper",), ())
        await ems.send(order(price=str(ask * 2), size="0.002"))
        position = await ems.until(BrokerdPosition)
        kinds = [type(msg) for msg in ems.said[1:]]
        assert kinds[:2] == [BrokerdOrderAck, BrokerdStatus]
        assert kinds[-2:] == [BrokerdStatus, BrokerdPosition]
        fills = ems.fills()
        assert [fill.seq for fill in fills] == list(range(1, len(fills) + 1))
        assert sum(fill.size for fill in fills) == position.size == Decimal("0.002")
        assert position.symbol == BTC
        assert all(fill.cost == fill.price * fill.size / 1000 for fill in fills)
        ledger = read_ledger("sim", "paper")
        assert [txn.tid for txn in ledger.txns] == [fill.tid for fill in fills]
        assert ledger.positions()[BTC].size == position.size
        assert {"paperboi.sim", "datad.sim"} <= tree.services.service_tasks.keys()
        assert not [name for name in tree.services.service_tasks if "brokerd" in name]


async def test_resting_edited_and_canceled(open_test_pikerd):
    async with open_test_pikerd(conf=FAST), talk() as ems:
        await ems.send(order(price=FAR))
        await ems.until(BrokerdStatus, status="open")
        await ems.send(order(price="0.02", rev=1, reqid="paper.a"))
        assert (await ems.until(BrokerdStatus, status="open")).rev == 1
        await ems.send(order(price="0.02", rev=1, reqid="paper.a"))
        await ems.until(BrokerdOrderAck, rev=1)
        await ems.cancel()
        done = await ems.until(BrokerdStatus, status="canceled")
        assert (done.filled, done.reason) == (0, "canceled by request")
        for oid in ("a", "nosuch"):
            await ems.cancel(oid)
        assert (await ems.until(BrokerdStatus)).status == "canceled", "told again"
        error = await ems.until(BrokerdError)
        assert error.reason == "no order 'nosuch' is known"


async def test_what_is_no_order_is_refused(open_test_pikerd):
    async with open_test_pikerd(conf=FAST), talk() as ems:
        for fields, text in (
            ({"symbol": "nosuch.spot"}, "no market 'nosuch.spot.sim' in sim"),
            ({"symbol": "BTC/USDT"}, "illegal character"),
            ({"size": "0"}, "a size must be > 0"),
            ({"price": "0.001"}, "a price must be a multiple of 0.01"),
            ({"account": "sim.main"}, "the account here is 'paper'"),
            ({"rev": 1, "reqid": "paper.a"}, "no order 'a' is known"),
        ):
            await ems.send(order(**fields))
            assert text in (await ems.until(BrokerdError, oid="a")).reason
        await ems.send(order(price=FAR))
        await ems.until(BrokerdStatus, status="open")


async def test_a_resting_order_outlives_a_kill(open_test_pikerd):
    async with open_test_pikerd(conf=FAST) as tree:
        with trio.fail_after(50):
            async with mortal(talk()) as ems:
                _, ask = await touch()
                await ems.send(order("t", price=str(ask * 2), size="0.002"))
                await ems.until(BrokerdPosition)
                await ems.send(order("r", price=FAR))
                await ems.send(order("s", "sell", price="9999999"))
                await ems.until(BrokerdStatus, status="open", oid="s")
                first, bought = ems.init.instance, ems.fills()
                await kill(tree, ems)
            async with talk(tell=False) as ems:
                assert ems.init.instance != first
                assert [each.size for each in ems.init.positions] == [Decimal("0.002")]
                said = await ems.reconcile(0, "t", "r", "x")
                assert [msg.tid for msg in ems.fills()] == [msg.tid for msg in bought]
                told = {
                    msg.oid: msg.status
                    for msg in said
                    if isinstance(msg, BrokerdStatus)
                }
                assert told == {"t": "closed", "r": "open", "s": "open", "x": "unknown"}
                assert said[-1] == Reconciled(account="paper", seq=len(bought))
                assert [type(m) for m in await ems.reconcile(len(bought), "t")] == [
                    BrokerdStatus, BrokerdStatus, BrokerdStatus, BrokerdPosition,
                    Reconciled,
                ]  # fmt: skip
                await ems.send(order("t", price=str(ask * 2), size="0.002"))
                await ems.until(BrokerdStatus, oid="t", status="closed")
                bid, _ = await touch()
                await ems.send(
                    order("r", price=str(bid * 2), rev=1, reqid="paper.r", size="0.001")
                )
                await ems.until(BrokerdStatus, oid="r", status="closed")
                await ems.until(BrokerdPosition)
                assert held(ems).size == Decimal("0.003")
        ledger = read_ledger("sim", "paper")
        assert len({txn.tid for txn in ledger.txns}) == len(ledger.txns)
        assert ledger.positions()[BTC].size == Decimal("0.003")


async def test_killed_again_and_again_under_orders_nothing_is_lost_or_doubled(
    open_test_pikerd,
):
    """Each order is sent until it is known to be over; each buys what it says, once."""
    policy = Policy(delays_s=(0.0,), max_deaths=50)
    async with open_test_pikerd(conf=FAST, policy=policy) as tree:
        with trio.fail_after(55):
            _, ask = await touch()
            fills: dict[str, BrokerdFill] = {}
            seq, done = 0, 0
            for round_ in range(6):
                async with mortal(talk(tell=False)) as ems:
                    told = [f"o{i}" for i in range(done, 4 * round_)]
                    for msg in await ems.reconcile(seq, *told):
                        note(msg, fills)
                    seq = ems.said[-1].seq
                    with trio.move_on_after(0.15 * round_):
                        for i in range(4 * round_, 4 * round_ + 4):
                            await ems.send(
                                order(f"o{i}", price=str(ask * 2), size="0.001")
                            )
                        while True:
                            msg = await ems.next()
                            note(msg, fills)
                            if isinstance(msg, BrokerdFill):
                                seq = max(seq, msg.seq)
                    await kill(tree, ems)
            async with talk(tell=False) as ems:
                for i in range(24):
                    await ems.send(order(f"o{i}", price=str(ask * 2), size="0.001"))
                for msg in await ems.reconcile(0):
                    note(msg, fills)
                while len(read_ledger("sim", "paper").txns) < 24:
                    await trio.sleep(0.05)
                await trio.sleep(0.3)
        ledger = read_ledger("sim", "paper")
        assert ledger.positions()[BTC].size == Decimal("0.024")
        assert {txn.oid for txn in ledger.txns} == {f"o{i}" for i in range(24)}
        assert fills.keys() <= {txn.tid for txn in ledger.txns}


def note(msg, fills) -> None:
    if isinstance(msg, BrokerdFill):
        known = fills.setdefault(msg.tid, msg)
        assert (known.seq, known.price, known.size) == (msg.seq, msg.price, msg.size)


async def test_the_next_dialog_takes_over(open_test_pikerd):
    async with open_test_pikerd(conf=FAST), talk() as one:
        await one.send(order(price=FAR))
        await one.until(BrokerdStatus, status="open")
        async with talk(tell=False) as two:
            with pytest.raises(trio.EndOfChannel):
                await one.until(Reconciled)
            said = await two.reconcile(0)
            assert [msg.oid for msg in said[:-1]] == ["a"]
            await two.cancel()
            await two.until(BrokerdStatus, status="canceled")
        async with talk(tell=False) as three:
            assert await three.reconcile(0, "a") != []
            assert three.said[0].status == "canceled"


async def test_a_lost_feed_is_waited_for(open_test_pikerd):
    async with open_test_pikerd(conf=FAST) as tree, talk() as ems:
        bid, _ = await touch()
        await ems.send(order(price=FAR))
        await ems.until(BrokerdStatus, status="open")
        os.kill(tree.services.service_tasks["datad.sim"].pid, signal.SIGKILL)
        await ems.send(order("b", price=str(bid * 2), size="0.001"))
        await ems.until(BrokerdStatus, oid="b", status="closed")
        assert tree.services.service_tasks["paperboi.sim"].restarts == 0


@pytest.mark.parametrize("speed", [5, 0])
async def test_a_replay_is_traded_by_its_own_clock(open_test_pikerd, speed):
    """At full speed there is none: the data moves it, and it goes on after its end."""
    session = binance_session("spot_hft/btcusdt_20240808.gz")
    conf = f'{FAST}[sim]\nspeed = {speed}\nsessions = ["{session}"]\n'
    async with open_test_pikerd(conf=conf), talk() as ems:
        symbol = "btcusdt.spot.binance"
        await ems.send(order(price="50000", size="0.001", symbol=symbol))
        await ems.send(order("b", price="70000", size="0.001", symbol=symbol))
        await ems.send(order("c", "sell", price="70000", size="1", symbol=symbol))
        if speed:
            fill = await ems.until(BrokerdFill, oid="b")
            assert fill.symbol == f"{symbol}.sim"
            assert fill.broker_time_ns // 10**9 // 86_400 == 19_943, "on its day"
            await ems.until(BrokerdPosition)
        acked = (m.oid for m in ems.said if isinstance(m, BrokerdOrderAck))
        if "c" not in acked:
            await ems.until(BrokerdOrderAck, oid="c")
        await ems.cancel("a")
        await ems.until(BrokerdStatus, oid="a", status="canceled")
