"""A market's desk on a feed made by hand: held as long as needed, and believed."""

from __future__ import annotations

from contextlib import asynccontextmanager
from decimal import Decimal

import msgspec
import pytest
import trio

from piker.clearing import PaperRules, _paper_desk
from piker.clearing._paper_desk import Desk
from piker.clearing._paper_store import PaperStore
from piker.errors import SymbolNotFound, VenueUnreachable
from piker.msgs import (
    BrokerdCancel,
    Disconnected,
    MktPair,
    Quote,
    Reconnected,
    WallClock,
)
from tests.clearing._paper import MKT, order, quote, short, trade

SOON = PaperRules(latency_ns=0, cancel_latency_ns=0, trade_lag_ns=0)


def quoted(*ticks) -> Quote:
    now_ns = WallClock().now_ns()
    return Quote(fqme=MKT.fqme, last=100.0, ticks=list(ticks), time_ns=now_ns)


class Flume:
    """One market of the feed."""

    mkt: MktPair = MKT
    fqme = MKT.fqme
    clock = WallClock()
    first_quote = quoted(*quote(), trade(99, 50, tid=3))


class Source:
    """Opens feeds: *faults* are raised first, *items* are what they say."""

    def __init__(self) -> None:
        self.opened = self.open = 0
        self.takes_s = 0.0
        self.faults: list = []
        self.flume = Flume()
        self.say, self._items = trio.open_memory_channel(100)

    @asynccontextmanager
    async def open_feed(self, fqmes, *, every_tick):
        assert every_tick
        await trio.sleep(self.takes_s)
        if self.faults:
            raise self.faults.pop(0)
        self.opened += 1
        self.open += 1
        try:
            yield self
        finally:
            self.open -= 1

    @property
    def flumes(self):
        return {self.flume.fqme: self.flume}

    @property
    def messages(self):
        return self._items


@pytest.fixture
def source(monkeypatch):
    source = Source()
    monkeypatch.setattr(_paper_desk, "open_feed", source.open_feed)
    return source


@pytest.fixture
def told():
    """What the desk told, in few words."""
    return []


@pytest.fixture
def desk(tmp_path, source, told):
    store = PaperStore(tmp_path / "state" / "sim.sqlite")

    def put(answers) -> None:
        told.extend(map(short, answers))

    yield Desk(MKT.fqme, SOON, store, put, lambda _: Decimal(0))
    store.close()


async def settle() -> None:
    await trio.testing.wait_all_tasks_blocked(0.01)


async def test_a_feed_is_held_while_an_order_lives_and_a_while_longer(
    desk, source, told, autojump_clock
):
    async with trio.open_nursery() as tasks:
        desk.ask(order(price="99"))
        tasks.start_soon(desk.run)
        await trio.sleep(1000)
        assert told == [("ack", "a", 0), ("open", "a")]
        assert (source.opened, source.open) == (1, 1), "one feed, however long"
        desk.ask(BrokerdCancel(oid="a", account="paper", time_ns=0))
        await trio.sleep(50)
        assert told[2:] == [("canceled", "a")]
        assert source.open == 1
        await trio.sleep(20)
        assert (source.open, desk.is_running) == (0, False)
        assert desk.market.state.touch.is_down, "its quotes are of no use any more"
        desk.ask(order("b", price="101"))
        tasks.start_soon(desk.run)
        await trio.sleep(1)
        assert told[-1] == ("closed", "b")
        assert source.opened == 2


async def test_the_newest_quote_known_has_no_trade_for_us(desk, source, told):
    async with trio.open_nursery() as tasks:
        desk.ask(order(price="100"))
        tasks.start_soon(desk.run)
        await settle()
        lost = {"fqmes": (MKT.fqme,), "time_ns": 1}
        await source.say.send(Disconnected(reason="x", **lost))
        await source.say.send(quoted(trade(99, 50, tid=4)))
        await source.say.send(Reconnected(missed=1, **lost))
        await source.say.send(Flume.first_quote)
        await settle()
        assert told == [("ack", "a", 0), ("open", "a")]
        await source.say.send(quoted(trade(99, 50, tid=5)))
        await settle()
        assert told[2:] == [("fill", "a", "1.000", "100.0"), ("closed", "a")]
        tasks.cancel_scope.cancel()


async def test_a_market_that_isnt_there_is_refused(desk, source, told):
    source.faults = [SymbolNotFound("no market")]
    desk.ask(order())
    desk.ask(BrokerdCancel(oid="a", account="paper", time_ns=0))
    await desk.run()
    assert told == [("error", "a", "order"), ("error", "a", "cancel")]


async def test_a_market_whose_steps_changed_is_met_anew_once_nothing_lives(
    desk, source, told, autojump_clock
):
    finer = msgspec.structs.replace(MKT, price_tick=Decimal("0.1"))
    async with trio.open_nursery() as tasks:
        desk.ask(order(price="99"))
        tasks.start_soon(desk.run)
        await trio.sleep(1)
        source.flume.mkt = finer
        await source.say.aclose()  # the feed is opened anew
        await trio.sleep(5)
        desk.ask(order("b", price="99.1"))
        desk.ask(BrokerdCancel(oid="a", account="paper", time_ns=0))
        await trio.sleep(100)
        assert told[2:] == [("error", "b", "order"), ("canceled", "a")]
        source.say, source._items = trio.open_memory_channel(100)
        desk.ask(order("b", price="99.1"))
        tasks.start_soon(desk.run)
        await trio.sleep(1)
        assert told[4:] == [("ack", "b", 0), ("open", "b")]
        tasks.cancel_scope.cancel()


async def test_a_market_of_another_full_name_is_refused(desk, source, told):
    source.flume.fqme = "xbtusdt.spot.sim"
    desk.ask(order())
    await desk.run()
    assert told == [("error", "a", "order")]


async def test_a_venue_that_isnt_there_is_waited_for_a_while(
    desk, source, told, autojump_clock
):
    source.faults = [VenueUnreachable("down")] * 999
    desk.ask(order())
    began = trio.current_time()
    await desk.run()
    assert told == [("error", "a", "order")]
    assert 29 < trio.current_time() - began < 31
    source.faults = [VenueUnreachable("down")] * 3
    async with trio.open_nursery() as tasks:
        desk.ask(order(price="101"))
        tasks.start_soon(desk.run)
        await trio.sleep(10)
        assert told[-1] == ("closed", "a")
        tasks.cancel_scope.cancel()


async def test_orders_are_answered_while_a_known_market_has_no_feed(
    desk, source, told, autojump_clock
):
    async with trio.open_nursery() as tasks:
        desk.ask(order(price="99"))
        tasks.start_soon(desk.run)
        await trio.sleep(1)
        source.faults = [VenueUnreachable("down")] * 5
        await source.say.aclose()
        await trio.sleep(1)
        desk.ask(BrokerdCancel(oid="a", account="paper", time_ns=0))
        desk.ask(order("b", price="101"))
        await trio.sleep(1)
        assert told[2:] == [("canceled", "a"), ("ack", "b", 0), ("pending", "b")]
        tasks.cancel_scope.cancel()


async def test_what_is_to_be_filled_at_once_waits_for_a_feed_that_was_let_go(
    desk, source, told, autojump_clock
):
    async with trio.open_nursery() as tasks:
        desk.ask(order(price="101"))
        tasks.start_soon(desk.run)
        await trio.sleep(100)
        assert (told.pop(), source.open) == (("closed", "a"), 0)
        source.takes_s = 1.0
        desk.ask(order("b", price="101", tif="ioc"))
        tasks.start_soon(desk.run)
        await trio.sleep(2)
        assert told[-1] == ("closed", "b")
        await trio.sleep(100)
        source.takes_s = 100.0
        desk.ask(order("c", price="101", tif="ioc"))
        tasks.start_soon(desk.run)
        await trio.sleep(5)
        assert told[-1] == ("closed", "b")
        await trio.sleep(10)
        assert told[-1] == ("canceled", "c"), "it doesn't wait for ever"
        tasks.cancel_scope.cancel()
