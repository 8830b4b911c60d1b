"""emsd's eyes: what fires, what was missed, and who waits for whom."""

from __future__ import annotations

import math
import time
from contextlib import asynccontextmanager
from decimal import Decimal

import numpy as np
import pytest
import trio

from piker.clearing._journal import open_journal
from piker.clearing._paper_desk import Desk
from piker.clearing._router import Origin, Outlets, Router
from piker.clearing._watch import Watch
from piker.config import ClearingConf
from piker.data._taps import MSG_TYPES, Tap
from piker.errors import JournalFull
from piker.msgs import (
    NS,
    Calendar,
    Cancel,
    Disconnected,
    Edit,
    HistoryProgress,
    Quote,
    Reconnected,
    Status,
    Tick,
    WallClock,
)
from piker.tsp import OHLCV
from tests.clearing._orders import MKT, D, order

FQME = MKT.fqme


def quote(*prices, **but) -> Quote:
    ticks = [Tick("trade", float(price), 1.0, time.time_ns()) for price in prices]
    told = {"last": float(prices[-1]) if prices else float("nan"), "ticks": ticks}
    return Quote(fqme=FQME, time_ns=time.time_ns(), **told | but)


class FakeFlume:
    """A market whose bars are at hand."""

    mkt, fqme, clock, calendar = MKT, FQME, WallClock(), Calendar()

    def __init__(self) -> None:
        self.first_quote = quote("100")
        self.bars = np.zeros(0, OHLCV)
        self.asked: list = []
        self.while_read = lambda: None

    async def read(self, start_s, end_s, period_s):
        self.asked.append((start_s, period_s))
        await trio.lowlevel.checkpoint()
        self.while_read()
        return self.bars[self.bars["time"] >= start_s]


class FakeFeed:
    """A feed that says what a test puts."""

    def __init__(self) -> None:
        self.flume = FakeFlume()
        self.flumes = {FQME: self.flume}
        self.tap: Tap | None = None

    @property
    def messages(self) -> Tap:
        if self.tap is None:
            self.tap = Tap(MSG_TYPES, every_tick=True)
        return self.tap

    def say(self, *items) -> None:
        for item in items:
            if self.tap is not None:  # who doesn't listen yet doesn't hear
                self.tap.put("sim", item)


class World:
    """A router, a watch and a feed, and what was told."""

    def __init__(self, journal, **clearing) -> None:
        self.told: list = []
        self.sent: list = []
        self.router = Router(
            journal,
            Outlets(request=lambda d, what: self.sent.append((d.oid, what)),
                    tell=self.told.append),
            ClearingConf(**clearing),
        )  # fmt: skip
        self.feed = FakeFeed()
        self.watch = Watch(FQME, self.router, lambda: None, 0.0)
        self.refused: list = []

    def ask(self, msg) -> None:
        self.router.command(msg, Origin(self.refused.append))

    def resps(self, oid="o1") -> list[str]:
        return [m.resp for m in self.told if isinstance(m, Status) and m.oid == oid]

    def reasons(self, oid="o1") -> list[str]:
        return [m.reason for m in self.told if isinstance(m, Status) and m.oid == oid]


@pytest.fixture
def world(tmp_path):
    with open_journal(tmp_path / "ems" / "journal.sqlite") as journal:
        yield World(journal)


def bars(*rows):
    """Return bars of (seconds ago, low, high)."""
    now_s = int(time.time())
    made = np.zeros(len(rows), OHLCV)
    for i, (ago_s, low, high) in enumerate(rows):
        made[i]["time"] = now_s - ago_s
        made[i]["low"], made[i]["high"] = low, high
        made[i]["open"] = made[i]["close"] = low
    return made


def done(period_s) -> HistoryProgress:
    return HistoryProgress(
        fqmes=(FQME,), period_s=period_s, done=1.0, oldest_s=0, bars=1, reason="",
        time_ns=1,
    )  # fmt: skip


async def run(world, tasks) -> None:
    tasks.start_soon(world.watch._look, world.feed)
    await settle()


async def settle() -> None:
    await trio.testing.wait_all_tasks_blocked(0.01)


async def test_13_a_cancel_waits_for_one_batch_of_ticks_at_most(world):
    """Whatever waits: here 100,000 ticks."""
    handled = []
    async with trio.open_nursery() as tasks:
        await run(world, tasks)
        world.ask(order(price="90", exec_mode="dark"))
        real = world.router.ticks

        def counted(fqme, ticks, last):
            handled.append(len(ticks))
            real(fqme, ticks, last)

        world.router.ticks = counted
        for _ in range(100):
            world.feed.say(quote(*["100"] * 1000))

        async def cancel():
            await trio.lowlevel.checkpoint()
            world.ask(Cancel(oid="o1"))
            assert sum(handled) <= 4096
            assert world.resps() == ["dark_open", "canceled"]

        tasks.start_soon(cancel)
        await settle()
        assert sum(handled) == 100_000
        tasks.cancel_scope.cancel()


async def test_13_a_paper_cancel_waits_for_one_batch_at_most():
    """The paper engine's market too hears its feed by the batch."""
    desk = Desk(FQME, None, None, lambda _: None, lambda _: Decimal(0))
    feed, heard = FakeFeed(), []
    feed.messages  # noqa: B018 - from here on
    for _ in range(100):
        feed.say(quote(*["100"] * 1000))
    desk._tell = lambda told: heard.append(len(told.ticks))
    async with trio.open_nursery() as tasks:
        tasks.start_soon(desk._hear, feed, feed.flume)

        async def look():
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()
            assert sum(heard) <= 2 * 4096
            tasks.cancel_scope.cancel()

        tasks.start_soon(look)
    assert heard


async def test_a_tick_that_comes_while_bars_are_read_is_seen(world):
    world.feed.flume.while_read = lambda: world.feed.say(quote("89"))
    world.router.watch(FQME, world.watch._seen(world.feed.flume) and world.watch.state)
    world.ask(order(price="90", exec_mode="dark"))
    async with trio.open_nursery() as tasks:
        await run(world, tasks)
        world.feed.say(quote("100"))
        await settle()
        tasks.cancel_scope.cancel()
    assert world.resps() == ["dark_open", "triggered"]
    assert world.sent == [("o1", "order")]


async def test_11_what_was_crossed_while_nobody_looked_is_reported_once(world):
    async with trio.open_nursery() as tasks:
        await run(world, tasks)
        world.ask(order(price="90", exec_mode="dark"))
        world.ask(order(price="80", exec_mode="dark", oid="o2"))
        world.ask(order("alert", price="90", size="0", oid="o3"))
        for oid in ("o1", "o2", "o3"):
            born = world.router.dialogs[oid].but(born_ns=time.time_ns() - 100 * NS)
            world.router.dialogs[oid] = born
        world.watch.state.seen_ns = time.time_ns() - 60 * NS
        world.feed.say(Disconnected(fqmes=(FQME,), reason="gone", time_ns=1))
        await settle()
        world.feed.say(quote("70"))  # not seen: the feed is lost, it may be old
        await settle()
        assert world.resps() == ["dark_open"]
        world.feed.flume.bars = bars((50, 89, 95), (40, 95, 100), (10, 99, 101))
        world.feed.say(Reconnected(fqmes=(FQME,), missed=3, time_ns=1))
        await settle()
        assert world.resps() == ["dark_open"]  # by what price, nobody knows yet
        world.feed.say(quote("100"))
        await settle()
        world.feed.say(done(1), done(60))
        await settle()
        tasks.cancel_scope.cancel()
    assert world.resps() == ["dark_open", "dark_open"]
    assert "has come back since" in world.reasons()[-1]
    assert world.resps("o2") == ["dark_open"]
    assert world.resps("o3") == ["dark_open", "triggered"]
    assert not world.sent


@pytest.mark.parametrize("how", ["cancelled", "edited"])
@pytest.mark.parametrize("when", ["down", "back", "seen"])
async def test_11_what_was_missed_is_told_though_it_was_ended_before_that_was_known(
    world, how, when
):
    """A client that is back first cancels; the bars of the outage come later."""
    async with trio.open_nursery() as tasks:
        await run(world, tasks)
        world.feed.say(quote("100"))
        for oid, price in (("o1", "90"), ("o2", "80")):
            world.ask(order(price=price, exec_mode="dark", oid=oid))
            born = world.router.dialogs[oid].but(born_ns=time.time_ns() - 100 * NS)
            world.router.dialogs[oid] = born
        world.watch.state.seen_ns = time.time_ns() - 60 * NS
        world.feed.say(Disconnected(fqmes=(FQME,), reason="gone", time_ns=1))
        back = Reconnected(fqmes=(FQME,), missed=3, time_ns=1)
        if when != "down":
            world.feed.say(back)
        if when == "seen":  # its first bars are there, those of the outage aren't
            world.feed.say(quote("100"))
        await settle()
        for oid in ("o1", "o2"):
            if how == "cancelled":
                world.ask(Cancel(oid=oid))
            else:
                world.ask(Edit(oid=oid, edit_id=oid, price=D("70")))
        await settle()
        assert not any("nobody looked" in reason for reason in world.reasons())
        world.feed.flume.bars = bars((50, 89, 95), (10, 99, 101))
        if when == "down":
            world.feed.say(back)
        world.feed.say(done(1), done(60), quote("100"))
        await settle()
        tasks.cancel_scope.cancel()
    assert "was reached while nobody looked, before that" in world.reasons()[-1]
    assert world.resps()[-1] == ("canceled" if how == "cancelled" else "dark_open")
    assert not any("nobody looked" in reason for reason in world.reasons("o2"))
    assert not world.router.unjudged
    assert not world.sent


@asynccontextmanager
async def waiting_for_90(world):
    """A dark that has waited for 100 s at a market that was seen until 60 s ago."""
    async with trio.open_nursery() as tasks:
        await run(world, tasks)
        world.feed.say(quote("100"))
        await settle()
        world.ask(order(price="90", exec_mode="dark", oid="o1"))
        born = world.router.dialogs["o1"].but(born_ns=time.time_ns() - 100 * NS)
        world.router._keep(None, born)
        world.router.journal.write([born])
        world.watch.state.seen_ns = time.time_ns() - 60 * NS
        world.feed.say(Disconnected(fqmes=(FQME,), reason="gone", time_ns=1))
        await settle()
        yield
        tasks.cancel_scope.cancel()


async def see_the_gap(world):
    """Watch anew, with the bars of the gap: 89 was there."""
    world.feed.flume.bars = bars((50, 89, 95), (10, 99, 101))
    async with trio.open_nursery() as tasks:
        await run(world, tasks)
        world.feed.say(done(1), done(60), quote("100"))
        await settle()
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("how", ["cancelled", "edited"])
async def test_11_what_was_missed_is_told_by_the_next_emsd_if_this_one_dies(
    tmp_path, how
):
    path = tmp_path / "ems" / "journal.sqlite"
    with open_journal(path) as journal:
        world = World(journal)
        async with waiting_for_90(world):
            if how == "cancelled":
                world.ask(Cancel(oid="o1"))
            else:
                world.ask(Edit(oid="o1", edit_id="e", price=D("70")))
    for times in (1, 0):  # and the one after that doesn't tell it again
        with open_journal(path) as journal:
            world = World(journal)
            assert len(world.router.unjudged.get(FQME, ())) == times
            await see_the_gap(world)
            told = [one for one in world.reasons() if "before that" in one]
            assert len(told) == times, world.told


async def test_11_a_gap_whose_bars_come_after_a_death_is_looked_at_by_the_next_emsd(
    tmp_path,
):
    path = tmp_path / "ems" / "journal.sqlite"
    with open_journal(path) as journal:
        world = World(journal)
        async with waiting_for_90(world):
            world.feed.say(Reconnected(fqmes=(FQME,), missed=3, time_ns=1))
            world.feed.say(quote("100"))
            await settle()
            world.watch._noted_at = -math.inf
            world.feed.say(quote("100.5"))
            await settle()
    with open_journal(path) as journal:
        world = World(journal)
        await see_the_gap(world)
    assert any("was reached while nobody looked" in one for one in world.reasons())


async def test_an_edit_that_a_full_disk_refused_is_not_judged(world, monkeypatch):
    def full(*_, **__):
        raise JournalFull("no room")

    async with waiting_for_90(world):
        with monkeypatch.context() as patch:
            patch.setattr(world.router.journal, "write", full)
            world.ask(Edit(oid="o1", edit_id="e", price=D("70")))
        assert [err.reason for err in world.refused] == ["no room"]
        assert not world.router.unjudged
        world.router.flush()
        assert not world.router.journal.notes("unjudged/", object)


async def test_many_cancels_in_a_gap_are_journaled_each_by_itself(world):
    """Not with all before it: ten thousand would hold emsd up for minutes."""
    async with waiting_for_90(world):
        written: list[int] = []
        write = world.router.journal.write

        def counted(dialogs=(), tells=(), notes=None):
            written.append(len(notes or ()))
            write(dialogs, tells, notes)

        for i in range(20):
            world.ask(order(price="90", exec_mode="dark", oid=f"more{i}"))
        world.router.journal.write = counted
        for i in range(20):
            world.ask(Cancel(oid=f"more{i}"))
        assert max(written) == 1
        assert len(world.router.journal.notes("unjudged/", object)) == 20


@pytest.mark.parametrize("policy", ["alert", "fire"])
async def test_11_what_still_holds_fires_and_what_does_not_by_the_users_wish(
    tmp_path, policy
):
    with open_journal(tmp_path / "ems" / "journal.sqlite") as journal:
        world = World(journal, on_missed_cross=policy)
        async with trio.open_nursery() as tasks:
            await run(world, tasks)
            for oid, price in (("o1", "90"), ("o2", "101")):
                world.ask(order(price=price, exec_mode="dark", oid=oid))
                born = world.router.dialogs[oid].but(born_ns=time.time_ns() - 100 * NS)
                world.router.dialogs[oid] = born
            world.watch.state.seen_ns = time.time_ns() - 60 * NS
            world.feed.say(Disconnected(fqmes=(FQME,), reason="gone", time_ns=1))
            world.feed.flume.bars = bars((50, 89, 103))
            await settle()
            world.feed.say(Reconnected(fqmes=(FQME,), missed=3, time_ns=1))
            world.feed.say(quote("102"))
            await settle()
            tasks.cancel_scope.cancel()
    assert world.resps("o2") == ["dark_open", "triggered"]  # above 101: it holds
    assert world.resps("o1")[-1] == ("triggered" if policy == "fire" else "dark_open")


async def test_no_dark_fires_by_the_last_price_of_a_feed_that_is_down(world):
    """It is as old as it may be, and nobody has told yet that the feed is down."""
    world.feed.flume.first_quote = quote("80")
    world.router.watch(FQME, world.watch._seen(world.feed.flume))
    world.watch.state._last = 100.0
    world.ask(order(price="90", exec_mode="dark"))
    world.watch.state._last = 80.0
    async with trio.open_nursery() as tasks:
        await run(world, tasks)
        world.feed.say(Disconnected(fqmes=(FQME,), reason="gone", time_ns=1))
        await settle()
        tasks.cancel_scope.cancel()
    assert world.resps() == ["dark_open"]


async def test_a_market_that_is_watched_by_two_names_has_one_state(world):
    other = Watch("btcusdt.sim", world.router, lambda: None, 0.0)
    async with trio.open_nursery() as tasks:
        await run(world, tasks)
        tasks.start_soon(other._look, world.feed)
        await settle()
        tasks.cancel_scope.cancel()
    assert other.state is world.watch.state is world.router.markets[FQME]
    assert other.fqme == FQME


async def test_nothing_fires_while_the_market_is_closed(world):
    """What was reached is looked for when it opens."""
    closed = Calendar(weekly=((1, 2),))
    world.feed.flume.calendar = closed
    async with trio.open_nursery() as tasks:
        await run(world, tasks)
        world.ask(order(price="90", exec_mode="dark"))
        world.feed.say(quote("89"))
        await settle()
        assert world.resps() == ["dark_open"]
        world.watch.state.calendar = Calendar()
        world.feed.say(quote("89"))
        await settle()
        tasks.cancel_scope.cancel()
    assert world.resps() == ["dark_open", "triggered"]


async def test_no_dark_fires_by_a_crossed_book_or_an_old_tick(world):
    world.watch.max_age_s = 30.0
    async with trio.open_nursery() as tasks:
        await run(world, tasks)
        world.ask(order(price="90", exec_mode="dark"))
        old = time.time_ns() - 60 * NS
        world.feed.say(
            quote("100", ticks=[Tick("trade", 89.0, 1.0, old)], last=89.0),
        )
        await settle()
        assert world.resps() == ["dark_open"]
        now = time.time_ns()
        world.feed.say(
            quote(ticks=[Tick("bid", 101.0, 1.0, now), Tick("ask", 100.5, 1.0, now)],
                  last=100.0),
            quote(ticks=[Tick("ask", 89.0, 1.0, now)], last=100.0),
        )  # fmt: skip
        await settle()
        assert world.resps() == ["dark_open"]
        world.feed.say(
            quote(ticks=[Tick("bid", 88.0, 1.0, time.time_ns())], last=100.0),
            quote(ticks=[Tick("ask", 89.5, 1.0, time.time_ns())], last=100.0),
        )
        await settle()
        tasks.cancel_scope.cancel()
    assert world.resps() == ["dark_open", "triggered"]
