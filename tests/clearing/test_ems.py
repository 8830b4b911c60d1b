"""emsd with real daemons on the simulated venue: orders, darks, clients, and deaths."""

from __future__ import annotations

import os
import signal
from decimal import Decimal
from functools import partial

import psutil
import pytest
import trio

from piker.clearing import (
    BrokerdPosition,
    EmsDown,
    EmsState,
    EmsUp,
    Error,
    Status,
    maybe_spawn_emsd,
)
from piker.clearing._journal import count_live, journal_path, verify_journal
from piker.clearing._rpc import halt_trading, resume_trading
from piker.errors import OrderRefused, PikerError, UsageError
from piker.service import call_endpoint, current_pikerd
from tests.clearing._trade import BTC, CONF, order, price_now, trading

pytestmark = pytest.mark.tree


async def pid_of(name: str) -> int:
    infos = {info.name: info for info in await current_pikerd().infos()}
    return infos[name].pid if name in infos else -1


async def wait_up(name: str, other_than: int = -1) -> int:
    with trio.fail_after(20):
        while (pid := await pid_of(name)) in (-1, other_than):
            await trio.sleep(0.05)
    return pid


async def check_no_brokerd() -> None:
    for name in ("emsd", "paperboi.sim", "datad.sim"):
        await wait_up(name)
    names = [info.name for info in await current_pikerd().infos()]
    assert not [name for name in names if name.startswith("brokerd")]


async def test_from_order_to_position(open_test_pikerd):
    async with open_test_pikerd(conf=CONF), trading() as me, trading() as other:
        sent = order(None, otype="market")
        taken = await me.client.send(sent)
        assert (taken.resp, taken.req) == ("pending", sent)
        for each in (me, other):  # each client hears all
            fill = await each.until(resp="fill", oid=sent.oid)
            assert fill.fill.size == sent.size == fill.filled
            await each.until(resp="closed", oid=sent.oid)
            held = await each.until(BrokerdPosition)
            assert (held.symbol, held.size) == (BTC, sent.size)
            assert each.positions["paper", BTC] == held
            assert each.resps(sent.oid) == ["pending", "open", "fill", "closed"]
            assert sent.oid not in each.dialogs
        async with trading() as late:  # it is told what was filled meanwhile
            assert late.positions["paper", BTC].size == sent.size
            await late.until(resp="fill", oid=sent.oid)
        async with trading(after_seq=-1) as latest:
            assert not latest.trades._receive.statistics().current_buffer_used
        await check_no_brokerd()


async def test_an_order_that_rests_is_edited_and_cancelled(open_test_pikerd):
    async with open_test_pikerd(conf=CONF), trading() as me:
        low = await price_now() - 500
        rests = order(low, size="0.5")
        await me.client.send(rests)
        await me.until(resp="open", oid=rests.oid)
        assert (await me.client.send(rests)).resp == "open"  # a client tries again
        edited = await me.client.update(rests.oid, price=low - 1, size=Decimal("0.25"))
        assert edited.edit_id
        told = await me.until(resp="open", oid=rests.oid, reason="edited")
        assert (told.req.price, told.req.size) == (low - 1, Decimal("0.25"))
        async with trading() as late:
            assert late.dialogs[rests.oid].req == told.req
        await me.client.cancel(rests.oid)
        await me.until(resp="canceled", oid=rests.oid)
        assert (await me.client.cancel(rests.oid)).resp == "canceled"
        for refused in (
            me.client.update(rests.oid, price=low),
            me.client.cancel("nobody"),
            me.client.update("nobody", price=low),
            me.client.send(order(low, oid=rests.oid, size="9")),
            me.client.send(order(low, size="0")),
            me.client.send(order(low, size="NaN")),
            me.client.send(order("0.001")),
            me.client.send(order(low, account="sim.main")),
            me.client.send(order(low, symbol="nosuch.spot.sim")),
            me.client.send(order(low, symbol="btcusdt.spot.nowhere")),
            me.client.send(order(low, symbol="?")),
            me.client.send(order(low * 3)),
        ):
            with pytest.raises(OrderRefused) as caught:
                await refused
            assert "\n" not in str(caught.value)
        assert not me.dialogs


async def test_darks_and_alerts_fire_where_they_are_reached(open_test_pikerd):
    async with open_test_pikerd(conf=CONF, deadline_s=120), trading() as me:
        now = await price_now()
        far = order(now - 500, exec_mode="dark", size="0.5")
        near = [
            order(now + Decimal("0.01") * by, exec_mode="dark", action=action)
            for by, action in ((1, "buy"), (-1, "sell"))
        ]
        alert = order(now + Decimal("0.02"), action="alert", size="0")
        for one in (far, *near, alert):
            assert (await me.client.send(one)).resp == "dark_open"
        for one in (*near, alert):
            await me.fire(one.oid)
        assert far.oid in me.dialogs
        moved = await me.client.update(far.oid, price=now - 400)
        assert (moved.resp, moved.req.price) == ("dark_open", now - 400)
        await me.client.cancel(far.oid)
        await me.until(resp="canceled", oid=far.oid)
        await check_no_brokerd()


async def test_emsd_dies_and_nothing_is_lost(open_test_pikerd):
    async with open_test_pikerd(conf=CONF, deadline_s=90), trading() as me:
        now = await price_now()
        rests, dark = order(now - 500), order(now - 600, exec_mode="dark")
        for one in (rests, dark):
            await me.client.send(one)
        await me.until(resp="open", oid=rests.oid)
        paper = await wait_up("paperboi.sim")
        was = await wait_up("emsd")
        os.kill(was, signal.SIGKILL)
        await me.until(EmsDown)
        late = order(now - 700)
        async with trio.open_nursery() as tasks:  # what is asked meanwhile waits
            tasks.start_soon(me.client.send, late)
            tasks.start_soon(me.client.cancel, rests.oid)
            await me.until(EmsUp)
        # in either order
        await me.until_is("canceled", rests.oid)
        await me.until_is("open", late.oid)
        assert await wait_up("emsd", was) != was
        assert await wait_up("paperboi.sim", paper) != paper  # its child
        assert set(me.dialogs) == {late.oid, dark.oid}
        await me.fire(dark.oid)
        await me.client.cancel(late.oid)
        await me.until(resp="canceled", oid=late.oid)


async def test_an_edit_asked_of_an_emsd_that_has_seen_no_market_yet_is_done(
    open_test_pikerd,
):
    async with open_test_pikerd(conf=CONF, deadline_s=90), trading("") as me:
        now = await price_now()
        dark = order(now - 600, exec_mode="dark")
        await me.client.send(dark)
        datad, emsd = await wait_up("datad.sim"), await wait_up("emsd")
        os.kill(datad, signal.SIGSTOP)  # for less than it is taken for dead
        os.kill(emsd, signal.SIGKILL)
        await me.until(EmsDown)
        await me.until(EmsUp)
        async with trio.open_nursery() as tasks:
            tasks.start_soon(partial(me.client.update, dark.oid, price=now - 500))
            await trio.sleep(0.5)
            os.kill(datad, signal.SIGCONT)
        assert me.dialogs[dark.oid].req.price == now - 500


async def test_paperboi_and_datad_die_and_orders_live_on(open_test_pikerd):
    async with open_test_pikerd(conf=CONF, deadline_s=90), trading() as me:
        now = await price_now()
        rests = order(now - 500)
        await me.client.send(rests)
        await me.until(resp="open", oid=rests.oid)
        for name in ("paperboi.sim", "datad.sim", "samplerd"):
            was = await wait_up(name)
            emsd = await wait_up("emsd")
            os.kill(was, signal.SIGKILL)
            meanwhile = order(now - 501)
            await me.client.send(meanwhile)
            await me.until(resp="open", oid=meanwhile.oid, deadline_s=40)
            await wait_up(name, was)
            assert await wait_up("emsd") == emsd
        assert rests.oid in me.dialogs
        await me.client.cancel(rests.oid)
        await me.until(resp="canceled", oid=rests.oid)


async def test_orders_wait_for_the_next_pikerd(open_test_pikerd):
    async with open_test_pikerd(conf=CONF) as tree:
        folder = tree.folder
        async with trading() as me:
            now = await price_now()
            rests, dark = order(now - 500), order(now - 600, exec_mode="dark")
            for one in (rests, dark):
                await me.client.send(one)
            await me.until(resp="open", oid=rests.oid)
    async with open_test_pikerd(conf=CONF) as tree:
        assert tree.folder == folder
        await wait_up("emsd")  # nobody asked for it but the journal
        await wait_up("paperboi.sim")
        async with trading() as me:
            assert set(me.dialogs) == {rests.oid, dark.oid}
            for one in (rests, dark):
                await me.client.cancel(one.oid)
            await me.until(resp="canceled", oid=rests.oid)
        assert count_live(journal_path()) == 0
        assert verify_journal(journal_path())["ended"] == 2


async def test_trading_is_halted_and_resumed(open_test_pikerd):
    async with open_test_pikerd(conf=CONF, deadline_s=180), trading() as me:
        now = await price_now()
        rests, alert = order(now - 500), order(now - 600, action="alert", size="0")
        darks = [  # it may move by some of that in a moment, and never by all
            order(now + way * away, exec_mode="dark", action=action)
            for away in (2, 20, 200)
            for way, action in ((1, "buy"), (-1, "sell"))
        ]
        for each in (rests, alert, *darks):
            await me.client.send(each)
        await me.until(resp="open", oid=rests.oid)
        async with maybe_spawn_emsd() as portal:
            state = await call_endpoint(portal, halt_trading, reason="lunch")
        assert state.halted == "lunch"
        await me.until(EmsState, halted="lunch")
        await me.until(resp="canceled", oid=rests.oid)
        fired = {msg.oid for msg in me.heard if getattr(msg, "resp", "") == "triggered"}
        left = [each for each in darks if each.oid not in fired]
        with pytest.raises(OrderRefused, match="halted"):
            await me.client.send(order(now - 500))
        above = min(each.price for each in left if each.action == "buy")
        below = max(each.price for each in left if each.action == "sell")
        with trio.fail_after(120):  # until one is reached
            while below < await price_now() < above:
                await trio.sleep(0.2)
        await trio.sleep(1)
        assert {each.oid for each in left} <= set(me.dialogs)
        os.kill(await wait_up("emsd"), signal.SIGKILL)  # it outlives emsd
        await me.until(EmsUp)
        assert me.client.state.halted == "lunch"
        with pytest.raises(OrderRefused, match="halted"):
            await me.client.send(order(now - 500))
        assert {each.oid for each in left} <= set(me.dialogs)
        async with maybe_spawn_emsd() as portal:
            await call_endpoint(portal, resume_trading)
        await me.until(EmsState, halted="")
        with trio.fail_after(60):  # sent, or told that it was missed
            while not any(
                msg.resp == "triggered" or "come back" in msg.reason
                for msg in me.heard
                if isinstance(msg, Status) and msg.oid in {each.oid for each in left}
            ):
                await me.until(Status, deadline_s=60)


async def test_no_live_orders_where_there_is_no_live_account(open_test_pikerd):
    async with open_test_pikerd(conf=CONF):
        with pytest.raises(UsageError, match="takes no live orders"):
            async with trading(mode="live"):
                pass
        with pytest.raises(UsageError, match="paper or live"):
            async with trading(mode="dead"):
                pass
        with pytest.raises(PikerError, match="nosuch"):
            async with trading("nosuch.spot.sim"):
                pass
        async with trading("") as anywhere:
            sent = order(await price_now() - 500)
            await anywhere.client.send(sent)
            await anywhere.until(resp="open", oid=sent.oid)
        infos = await current_pikerd().infos()
        assert not [one for one in infos if one.name.startswith("brokerd")]
        assert psutil.pid_exists(await pid_of("emsd"))


async def test_a_refusal_is_for_who_asked(open_test_pikerd):
    async with open_test_pikerd(conf=CONF), trading() as me, trading() as other:
        bad, good = order("0.001"), order(await price_now() - 500)
        with pytest.raises(OrderRefused, match="multiple of"):
            await me.client.send(bad)
        await me.until(Error, oid=bad.oid)
        await me.client.send(good)
        await other.until(Status, oid=good.oid)
        assert not [msg for msg in other.heard if isinstance(msg, Error)]
