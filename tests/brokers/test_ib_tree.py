"""IB in a tree: an actor with an asyncio loop, cut off, killed, asked by many."""

from __future__ import annotations

import os
import signal
import time

import pytest
import trio

from piker.data import Disconnected, Quote, Reconnected, Warned, open_feed
from piker.msgs import NS
from piker.service import Policy
from piker.testing.emulator import open_emulator
from tests.brokers._venues import WHOLE_S, check_live_bars, venue_s
from tests.data._live import watched
from tests.data._replays import rows
from tests.testing._tws import QUARTER

pytestmark = pytest.mark.tree

#: The future is one that still trades: after its last day the tape is still.
TSLA, MNQ = "tsla.nasdaq.ib", f"mnq.cme.{QUARTER}.ib"
SIM = ["tsla.nasdaq.sim", f"mnq.cme.{QUARTER}.sim"]
#: Its local symbol; quarters are named H, M, U, Z.
MNQ_SYMBOL = f"MNQ{'HMUZ'[int(QUARTER[4:6]) // 3 - 1]}{QUARTER[3]}"
TOLD = (Quote, Disconnected, Reconnected)
SELDOM, SELDOM_SIM = "babab.nasdaq.ib", "babab.nasdaq.sim"
#: Datads that are killed one after the other are no reason to give up.
LENIENT = Policy(delays_s=(0.0,), max_deaths=100)
#: In the table of ib: the waits before another look for a gateway end soon.
SOON = "reconnect_max_s = 0.5\nsmall_bars = 100000\n"


async def check_bars(feed, fqme, venue, symbol, *, more_than) -> None:
    """Compare the 1 s bars with the venue's trades, once there are some."""
    with trio.fail_after(40):
        while await check_live_bars(feed, fqme, venue, symbol) <= more_than:
            await trio.sleep(0.5)


async def test_bars_are_those_of_the_venues_trades(open_test_pikerd):
    async with (
        open_emulator("ib.tws", sim=SIM, past_s=600) as venue,
        open_test_pikerd(conf=venue.conf, deadline_s=120),
        open_feed([TSLA, MNQ]) as feed,
    ):
        await trio.sleep(6)
        await check_bars(feed, TSLA, venue, SIM[0], more_than=3)
        await check_bars(feed, MNQ, venue, SIM[1], more_than=3)
        told = await venue.stats()
        assert told["websockets"] == 1
        assert told["limited"] == 0


async def test_twenty_clients_are_one_subscription(open_test_pikerd):
    async with (
        open_emulator("ib.tws", sim=SIM, past_s=600) as venue,
        open_test_pikerd(conf=venue.conf, deadline_s=120),
        trio.open_nursery() as tasks,
    ):
        left, quoted = 20, trio.Event()

        async def watch():
            nonlocal left
            async with open_feed([TSLA, MNQ]) as feed:
                unseen = {TSLA, MNQ}
                async for quote in feed.stream:
                    unseen.discard(quote.fqme)
                    if not unseen:
                        break
                left -= 1
                if not left:
                    quoted.set()
                await trio.sleep_forever()

        for _ in range(20):
            tasks.start_soon(watch)
        with trio.fail_after(100):
            await quoted.wait()
        told = await venue.stats()
        assert told["websockets"] == 1
        assert told["subscribed"] == {"TSLA": 1, MNQ_SYMBOL: 1}
        assert told["requests"]["reqContractDetails"] == 2
        tasks.cancel_scope.cancel()


#: What cuts the line, and what is said of it.
CUTS = {
    "socket": ({"kind": "disconnect", "how": "rst"}, "hung up"),
    "reset": ({"kind": "reset", "seconds": 2}, "hung up"),
    "kept": ({"kind": "connectivity", "seconds": 2}, "has lost ib"),
    "lost": ({"kind": "connectivity", "seconds": 2, "lost": True}, "has lost ib"),
    "farm": ({"kind": "farm", "name": "usfarm"}, "'usfarm'"),
}


@pytest.mark.parametrize("cut", CUTS)
async def test_what_is_missed_is_fetched(open_test_pikerd, cut):
    """The line goes and comes back: it is told, in order, and no trade lacks."""
    fault, words = CUTS[cut]
    async with (
        open_emulator("ib.tws", sim=SIM[:1], past_s=600) as venue,
        open_test_pikerd(conf=venue.conf + SOON, deadline_s=120),
        open_feed([TSLA]) as feed,
        watched(feed) as (watcher,),
    ):
        with trio.fail_after(100):
            await watcher.until(Quote)
            await trio.sleep(1.5)
            await venue.fault(**fault)
            lost = await watcher.until(Disconnected)
            assert words in lost.reason
            at = watcher.said.index(lost)
            if cut == "farm":
                await venue.clear()
            await watcher.until(Reconnected, at)
            await watcher.until(Quote, at)
            await trio.sleep(1)
        await check_bars(feed, TSLA, venue, SIM[0], more_than=3)
        # the past is loaded meanwhile, and told of
        watcher.said = [one for one in watcher.said if isinstance(one, TOLD)]
        assert watcher.check_order() == 1
        assert (await venue.stats())["subscribed_now"] == {"TSLA": 1}


async def test_a_datad_that_is_killed_goes_on_where_it_was(open_test_pikerd):
    async with (
        open_emulator("ib.tws", sim=SIM[:1], past_s=600) as venue,
        open_test_pikerd(conf=venue.conf + SOON, deadline_s=120) as tree,
        open_feed([TSLA]) as feed,
        watched(feed) as (watcher,),
    ):
        service = tree.services.service_tasks["datad.ib"]
        with trio.fail_after(60):
            await watcher.until(Quote)
            await trio.sleep(2)
            pid = service.pid
            os.kill(pid, signal.SIGKILL)
            lost = await watcher.until(Disconnected)
            at = watcher.said.index(lost)
            await watcher.until(Reconnected, at)
            await watcher.until(Quote, at)
            await trio.sleep(2)
        assert (service.pid != pid, service.restarts) == (True, 1)
        await check_bars(feed, TSLA, venue, SIM[0], more_than=3)
        told = await venue.stats()
        assert told["websockets_now"] == 1
        # what it asks for anew isn't what the one before asked: IB would take it amiss
        assert told["limited"] == 0


async def test_a_market_that_ib_tells_nothing_of_any_more_is_asked_for_anew(
    open_test_pikerd,
):
    """No word of it comes, as of a market in which nobody trades."""
    async with (
        open_emulator("ib.tws", sim=SIM[:1], past_s=600) as venue,
        open_test_pikerd(conf=venue.conf + SOON + "quiet_s = 2\n", deadline_s=90),
        open_feed([TSLA]) as feed,
        watched(feed) as (watcher,),
    ):
        with trio.fail_after(60):
            await watcher.until(Quote)
            await trio.sleep(3)
            warned = None
            while warned is None:  # if nobody trades meanwhile, it has told all of it
                at = len(watcher.said)  # of the mute, not of a pause before it
                await venue.fault("mute")
                with trio.move_on_after(8):
                    warned = await watcher.until(Warned, at)
            assert "told nothing of tsla.nasdaq.ib for a while" in warned.reason
            await watcher.until(Quote, watcher.said.index(warned, at))
        await trio.sleep(3)
        await check_bars(feed, TSLA, venue, SIM[0], more_than=6)
        assert not [e for e in watcher.said if isinstance(e, Disconnected)]


async def test_a_market_of_other_servers_is_not_cut_off(open_test_pikerd):
    """The servers of futures are lost: shares go on, and nothing is said of them.

    Shares of which IB tells nothing for two seconds by chance are cut off too, as
    nobody can tell: then it is tried again.
    """
    async with (
        open_emulator("ib.tws", sim=SIM, past_s=600) as venue,
        open_test_pikerd(conf=venue.conf + SOON, deadline_s=120),
        open_feed([TSLA, MNQ]) as feed,
        watched(feed) as (watcher,),
    ):
        with trio.fail_after(90):
            await watcher.until(Quote)
            cut: set[str] = set()
            while cut != {MNQ}:
                await trio.sleep(2)
                at = len(watcher.said)
                await venue.fault("farm", name="usfuture")
                await watcher.until(Disconnected, at, fqme=MNQ)
                await venue.clear()
                await watcher.until(Reconnected, at, fqme=MNQ)
                lost = [e for e in watcher.said[at:] if isinstance(e, Disconnected)]
                cut = {fqme for event in lost for fqme in event.fqmes}
        await trio.sleep(1)
        await check_bars(feed, MNQ, venue, SIM[1], more_than=3)


async def test_a_market_that_is_opened_while_its_servers_are_lost(open_test_pikerd):
    """Nothing is told of it: it isn't taken for quiet, and no trade lacks after."""
    async with (
        open_emulator("ib.tws", sim=SIM, past_s=600) as venue,
        open_test_pikerd(conf=venue.conf + SOON, deadline_s=120),
        open_feed([MNQ]) as other,
        watched(other) as (others,),
    ):
        with trio.fail_after(60):
            await others.until(Quote)
            await venue.fault("farm", name="usfarm")
            async with open_feed([TSLA]) as feed, watched(feed) as (watcher,):
                lost = await watcher.until(Disconnected)
                assert "'usfarm'" in lost.reason
                await trio.sleep(3)
                await venue.clear()
                at = watcher.said.index(lost)
                await watcher.until(Reconnected, at)
                await watcher.until(Quote, at)
                await trio.sleep(1)
                await check_bars(feed, TSLA, venue, SIM[0], more_than=3)


async def test_a_datad_asks_nothing_that_the_one_before_has_asked(open_test_pikerd):
    """IB refuses it for 15 s, and then all else that it is asked for of the past.

    In a market that seldom trades each finds what the one before found.
    """
    async with (
        open_emulator("ib.tws", sim=[SELDOM_SIM], past_s=600) as venue,
        open_test_pikerd(
            conf=venue.conf + SOON, policy=LENIENT, deadline_s=200
        ) as tree,
        open_feed([SELDOM]) as feed,
        watched(feed) as (watcher,),
    ):
        await watcher.until(Quote)
        service, began_ns = tree.services.service_tasks["datad.ib"], time.time_ns()
        for _ in range(8):
            at = len(watcher.said)
            os.kill(service.pid, signal.SIGKILL)
            await watcher.until(Disconnected, at)
            await watcher.until(Reconnected, at)
        assert (await venue.stats())["limited"] == 0
        with trio.move_on_after(60):  # at times it doesn't trade for minutes
            while not await _bars_since(venue, began_ns):
                await trio.sleep(0.2)
        await check_live_bars(feed, SELDOM, venue, SELDOM_SIM)


async def _bars_since(venue, began_ns: int) -> bool:
    """Whether a bar of trades since then is whole."""
    told = (t.time_ns for t in await venue.trades(SELDOM_SIM) if t.time_ns > began_ns)
    return next(told, 1 << 63) // NS + WHOLE_S < await venue_s(venue)


async def test_a_chain_of_a_hundred_options(open_test_pikerd):
    """All are subscribed at once; their pasts are asked for no faster than IB wants."""
    async with (
        open_emulator("ib.tws", sim=SIM[:1], past_s=600) as venue,
        open_test_pikerd(conf=venue.conf, deadline_s=200),
    ):
        # by its clock what we send in a few spans of time may come in one
        await venue.control("limits", {"messages": 180, "burst": 21})
        told = await venue.control("contracts")
        names = [name_of(one["key"]) for one in told if one["sec_type"] == "OPT"][:100]
        assert len(set(names)) == 100
        with trio.fail_after(180):
            async with open_feed(names) as feed:
                assert feed.flumes.keys() == set(names)
                counts = await venue.stats()
                assert len(counts["subscribed_now"]) == 100
                await trio.sleep(10)
                counts = await venue.stats()
        assert counts["limited"] == 0
        assert counts["websockets"] == 1
        assert counts["requests"]["reqContractDetails"] == 100


def name_of(key: str) -> str:
    """Return the name of an option by its local symbol: ``TSLA  270115C00250000``."""
    symbol, rest = key[:6].strip().lower(), key[6:]
    strike = f"{int(rest[7:]) / 1000:g}".replace(".", "_")
    return f"{symbol}.20{rest[:6]}.{strike}{rest[6].lower()}.cboe.ib"


async def test_money_goes_by_the_middle(open_test_pikerd):
    """It has no trades: its bars are of the middle of bid and ask, without a volume."""
    async with (
        open_emulator("ib.tws", sim=["eurusd.idealpro.sim"], past_s=600) as venue,
        open_test_pikerd(conf=venue.conf, deadline_s=120),
        open_feed(["eurusd.idealpro.ib"]) as feed,
    ):
        flume = feed.flumes["eurusd.idealpro.ib"]
        quotes, told, sides = 0, set(), []
        with trio.fail_after(80):
            async for quote in feed.stream:
                quotes += 1
                told |= {tick.type for tick in quote.ticks}
                sides += [t.price for t in quote.ticks if t.type in ("bid", "ask")]
                # a bar may be of a quote that is still on its way
                close = rows(flume.rt_shm)[-1][4]
                is_between = bool(sides) and min(sides) <= close <= max(sides)
                if told >= {"bid", "ask", "trade"} and quotes > 5 and is_between:
                    break
        assert not flume._told.init.has_volume
        bars = rows(flume.rt_shm)
        assert len(bars) > 300, "its past is there"
        assert all(row[5] == 0 for row in bars)


async def test_delayed_data_are_shown_if_they_are_asked_for(open_test_pikerd):
    """Each new connection is told anew: it begins with live data, which are denied."""
    async with (
        open_emulator("ib.tws", sim=SIM, past_s=600) as venue,
        open_test_pikerd(
            conf=f"{venue.conf}{SOON}market_data_type = 3\n", deadline_s=120
        ),
    ):
        await venue.control("permit?symbol=TSLA&code=10167", {})
        async with open_feed([TSLA]) as feed, watched(feed) as (watcher,):
            with trio.fail_after(100):
                await watcher.until(Quote)
                await venue.fault("disconnect", how="rst")
                at = watcher.said.index(await watcher.until(Disconnected))
                await watcher.until(Reconnected, at)
                quote = await watcher.until(Quote, at)
        assert quote.last > 0
        assert (await venue.stats())["requests"]["reqMarketDataType"] == 2


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "farm", "name": "usfarm", "seconds": 1.2},
        {"kind": "connectivity", "seconds": 1.2},
        {"kind": "connectivity", "seconds": 1.2, "lost": True},
    ],
    ids=["servers", "kept", "lost"],
)
async def test_a_loss_that_is_heard_of_once_it_is_over_leaves_no_hole(
    open_test_pikerd, fault
):
    """Datad was stopped: it hears of the loss, its end and later trades at once."""
    async with (
        open_emulator("ib.tws", sim=SIM[:1], past_s=600, budget=100_000) as venue,
        open_test_pikerd(conf=venue.conf + SOON, deadline_s=120) as tree,
        open_feed([TSLA]) as feed,
        watched(feed) as (watcher,),
    ):
        await watcher.until(Quote)
        await trio.sleep(5)
        service = tree.services.service_tasks["datad.ib"]
        for _ in range(2):
            os.kill(service.pid, signal.SIGSTOP)
            await venue.fault(**fault)
            await trio.sleep(3.2)  # for a second and more of trades after it
            os.kill(service.pid, signal.SIGCONT)
            await trio.sleep(6)
            await check_live_bars(feed, TSLA, venue, SIM[0])
        assert service.restarts == 0
