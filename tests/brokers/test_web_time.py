"""A venue's clock: measured, kept while it holds, never set with this machine's."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace

import msgspec
import pytest
import trio

from piker.brokers import OnClock
from piker.brokers._web import _stream, _time
from piker.brokers._web._record import _start_ns
from piker.brokers._web._stream import Source, _describe, _keep_time
from piker.brokers._web._time import Told, VenueTime, skew_s
from piker.errors import VenueUnreachable
from piker.msgs import Asset, Clock, MktPair, Quote, VenueClock, Warned

NS = 1_000_000_000
START_NS = 1_700_000_000 * NS
MKT = MktPair(
    dst=Asset(name="btc"), src=Asset(name="usdt"), price_tick=Decimal("0.01"),
    size_tick=Decimal("0.001"), bs_mktid="BTCUSDT", broker="binance", venue="spot",
)  # fmt: skip


class World:
    """This machine's clocks and a venue's; trio's mocked time drives them all."""

    def __init__(self, monkeypatch, clock) -> None:
        self._clock, self._began = clock, clock.current_time()
        self.wall_off_ns = self.venue_off_ns = 0
        self.error_ns = 0
        self.asked = 0
        self.fault: Exception | None = None
        fake = SimpleNamespace(
            time_ns=lambda: START_NS + self.wall_off_ns + self.boot_ns(),
            clock_gettime_ns=self.boot_ns, CLOCK_BOOTTIME=7,
        )  # fmt: skip
        for module in ("piker.msgs._clock", _time.__name__, _stream.__name__):
            monkeypatch.setattr(f"{module}.time", fake)

    def boot_ns(self, *_) -> int:
        return round((self._clock.current_time() - self._began) * NS)

    async def ask(self) -> Told:
        self.asked += 1
        await trio.sleep(0.05)
        if self.fault is not None:
            raise self.fault
        at_ns = self.boot_ns()
        return Told(START_NS + self.venue_off_ns + at_ns, at_ns, self.error_ns)


@pytest.fixture
def world(monkeypatch, autojump_clock):
    return World(monkeypatch, autojump_clock)


def test_what_an_answer_means():
    assert Told.between(5 * NS, 1000, 3000) == Told(5 * NS, 2000, 1000)
    assert Told.between(5 * NS, 1000, 3000, 500) == Told(5 * NS, 2000, 1500)


def test_it_crosses_a_wire_as_it_is():
    clock = VenueClock(name="binance", ahead_ns=-(2**62))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(clock), type=Clock) == clock
    assert clock.key != VenueClock(name="binance", ahead_ns=1).key


@pytest.mark.parametrize("off_ns", [0, 300_000_000, -990_000_000])
async def test_a_machine_whose_clock_is_right_goes_by_it(world, autojump_clock, off_ns):
    world.venue_off_ns = off_ns
    clock = await VenueTime("x").clock(world.ask)
    assert clock.now_ns() == START_NS + world.boot_ns()
    assert skew_s(clock) == 0


@pytest.mark.parametrize("off_s", [-3600, -120, -8, -1.1, 1.1, 8, 120, 3600])
async def test_a_machine_whose_clock_is_off_goes_by_the_venues(
    world, autojump_clock, off_s
):
    world.venue_off_ns = round(off_s * NS)
    clock = await VenueTime("x").clock(world.ask)
    assert skew_s(clock) == pytest.approx(off_s)
    await trio.sleep(1000)
    assert skew_s(clock) == pytest.approx(off_s)


async def test_a_measure_is_no_better_than_it_says(world, autojump_clock):
    world.venue_off_ns, world.error_ns = round(1.4 * NS), NS // 2
    assert skew_s(await VenueTime("x").clock(world.ask)) == 0


async def test_setting_this_machines_clock_moves_no_market(world, autojump_clock):
    """It was minutes off when the market was opened, and is put right."""
    world.wall_off_ns = -600 * NS
    time = VenueTime("x")
    clock = await time.clock(world.ask)
    world.wall_off_ns = 0
    assert clock.now_ns() == START_NS + world.boot_ns()
    await trio.sleep(100)
    assert await time.clock(world.ask) == clock
    assert world.asked == 3, "twice at first: it was far off ours"


async def test_all_markets_share_one_question_and_one_clock(world, autojump_clock):
    time, clocks = VenueTime("x"), []

    async def ask():
        clocks.append(await time.clock(world.ask))

    async with trio.open_nursery() as tasks:
        for _ in range(20):
            tasks.start_soon(ask)
    assert world.asked == 1
    assert len({clock.key for clock in clocks}) == 1


async def test_a_clock_is_kept_until_it_is_wrong(world, autojump_clock):
    world.venue_off_ns = 120 * NS
    time = VenueTime("x")
    first = await time.clock(world.ask)
    for off_ns, same in (
        (120 * NS + NS // 3, True),
        (120 * NS - NS // 3, True),
        (122 * NS, False),
        (0, False),
    ):
        await trio.sleep(61)
        world.venue_off_ns = off_ns
        clock = await time.clock(world.ask)
        assert (clock == first) is same
    assert clock.now_ns() == time.now_ns() == START_NS + world.boot_ns()


@pytest.mark.parametrize("wrong_s", [-7200, -30, 5, 7200])
async def test_a_single_wrong_answer_moves_no_clock(
    world, autojump_clock, clock_at, caplog, wrong_s
):
    """Ahead, it would open flat bars up to it; behind, none for ten minutes."""
    time, ask = clock_at
    first = await time.clock(ask)
    for _ in range(2):
        await trio.sleep(700)
        world.answers = [wrong_s]
        assert await time.clock(ask) == first
        await trio.sleep(700)
        world.answers = [wrong_s, 2 * wrong_s]
        assert await time.clock(ask) == first
    assert [r.levelname for r in caplog.records].count("WARNING") == 1, "once"
    await trio.sleep(700)
    world.answers = [wrong_s, wrong_s]
    assert skew_s(await time.clock(ask)) == pytest.approx(wrong_s)


@pytest.mark.parametrize("wrong_s", [-7200, 30])
async def test_a_wrong_first_answer_is_not_believed(
    world, autojump_clock, clock_at, wrong_s
):
    time, ask = clock_at
    world.answers = [wrong_s]
    assert skew_s(await time.clock(ask)) == 0


async def test_an_answer_out_of_a_cache_moves_no_clock(world, autojump_clock):
    time = VenueTime("x")
    first = await time.clock(world.ask)
    cached_ns = START_NS + world.boot_ns()

    async def ask():
        return Told(cached_ns, world.boot_ns(), NS // 2)

    await trio.sleep(100)
    assert await time.clock(ask) == first


@pytest.fixture
def clock_at(world):
    """A venue whose answers are off by what the world says, in turn."""
    world.answers = []

    async def ask() -> Told:
        told = await world.ask()
        off_s = world.answers.pop(0) if world.answers else 0
        return told._replace(venue_ns=told.venue_ns + off_s * NS)

    return VenueTime("x"), ask


async def test_no_bar_of_the_history_still_forms(world, autojump_clock):
    """Our clock has passed a minute that the venue's hasn't, and is taken for it."""
    minute_ns = START_NS + 40 * NS
    assert minute_ns % (60 * NS) == 0
    world.wall_off_ns, world.venue_off_ns = 40_200_000_000, 39_300_000_000

    async def quote() -> Quote:
        return Quote(fqme=MKT.fqme, last=1.0, ticks=[], time_ns=0)

    source = Source(MKT, None, None, quote, world.ask, VenueTime("x"))
    for start_ns in (minute_ns - 60 * NS, minute_ns):
        init, _ = await _describe(source)
        assert init.clock.now_ns() > minute_ns
        assert init.start_ns == await _start_ns(source, None) == start_ns
        await trio.sleep(5)


async def test_a_market_is_told_when_its_venues_clock_changes(world, autojump_clock):
    send, receive = trio.open_memory_channel(10)
    stream = SimpleNamespace(came_up=trio.Event(), send=send)
    source = Source(MKT, None, None, None, world.ask, VenueTime("x"))
    clock = await source.time.clock(world.ask)
    async with trio.open_nursery() as tasks:
        tasks.start_soon(_keep_time, source, clock, stream)
        await trio.sleep(1500)
        assert world.asked == 3, "asked every ten minutes"
        assert receive.statistics().current_buffer_used == 0
        world.venue_off_ns = -30 * NS
        world.fault = VenueUnreachable("away")
        stream.came_up.set()  # after a lost connection
        stream.came_up = trio.Event()
        await trio.sleep(1)
        assert world.asked == 4
        world.fault = None
        await trio.sleep(700)
        changed, warned = receive.receive_nowait(), receive.receive_nowait()
        assert isinstance(changed, OnClock)
        assert changed.fqme == MKT.fqme
        assert skew_s(changed.clock) == -30
        assert isinstance(warned, Warned)
        assert "30.0 s behind ours" in warned.reason
        await trio.sleep(1500)
        assert receive.statistics().current_buffer_used == 0, "told once"
        tasks.cancel_scope.cancel()
