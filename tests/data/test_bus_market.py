"""Markets of a bus: opened and closed at every bad moment, faults, order of events."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import trio

from piker.brokers import HistoryConf, OnClock, Reached
from piker.brokers._parts import side_tick
from piker.data import _buffers, _bus
from piker.data._shm import ShmArray, ShmWriter
from piker.data._subs import Sub
from piker.errors import (
    BadPayload,
    MarketGone,
    SessionFileError,
    ShmFull,
    SymbolNotFound,
    TransportClosed,
    VenueRefused,
    VenueUnreachable,
)
from piker.msgs import Disconnected, Ended, Quote, Reconnected, Tick, VenueClock, Warned
from piker.tsp import OHLCV
from tests.data._scripted import (
    NS,
    START_S,
    Backend,
    open_bench,
    replay_clock,
    settle,
    taken,
    trade,
)

BTC, ETH = "btcusdt.spot.scripted", "ethusdt.spot.scripted"


@pytest.fixture
def bench(tmp_path, monkeypatch):
    def open_it(backend=None, conf=""):
        return open_bench(tmp_path, monkeypatch, backend, conf)

    return open_it


@pytest.fixture
def clock(autojump_clock):
    """Time passes at once when every task waits."""
    return autojump_clock


@asynccontextmanager
async def watching(bus, *fqmes, hz=None):
    async with bus.subscribe(list(fqmes), hz) as (sub, flumes):
        yield sub, flumes


def bars(flume, period_s=1):
    token = flume.rt_shm if period_s == 1 else flume.hist_shm
    got = ShmArray.attach(token).last(10_000)
    return dict(zip(got.time.tolist(), got.count.tolist(), strict=True))


def stop_wall_clock(monkeypatch, at_s=0):
    now_ns = (START_S + at_s) * NS
    fake = SimpleNamespace(time_ns=lambda: now_ns, monotonic_ns=lambda: 0)
    monkeypatch.setattr("piker.msgs._clock.time", fake)


def follow_trio_clock(monkeypatch, clock):
    """Have the wall's and the machine's clock tell trio's mocked time."""
    began = clock.current_time()

    def now_ns(*_):
        return round((clock.current_time() - began) * NS)

    fake = SimpleNamespace(
        time_ns=lambda: START_S * NS + now_ns(), monotonic_ns=now_ns,
        clock_gettime_ns=now_ns, CLOCK_BOOTTIME=7,
    )  # fmt: skip
    monkeypatch.setattr("piker.msgs._clock.time", fake)


def kinds(items):
    return [type(item).__name__ for item in items]


async def test_viewers_share_one_upstream(bench, clock):
    async with bench() as b, watching(b.bus, BTC) as (one, flumes):
        async with watching(b.bus, BTC, BTC) as (two, both):
            await b.backend.ups[0].put(trade(1))
            await settle()
            assert both[0] == both[1]
            assert [len(taken(sub)) for sub in (one, two)] == [1, 1]
            assert b.bus.stats()[BTC]["subs"] == 2
        assert b.bus.stats()[BTC]["subs"] == 1
        assert b.bus.stats()[BTC]["upstreams"] == len(b.backend.ups) == 1
        assert flumes[0].down == ""


async def test_upstream_closes_a_linger_after_the_last_left(bench, clock):
    conf = "[data]\nlinger_s = 60\nidle_s = 900\n"
    async with bench(conf=conf) as b, trio.open_nursery() as tasks:
        tasks.start_soon(b.bus.end_when_idle)
        async with watching(b.bus, BTC):
            pass
        await trio.sleep(50)
        async with watching(b.bus, BTC):
            pass
        await trio.sleep(50)
        assert b.backend.open_now[BTC] == 1, "measured from the first leave"
        await trio.sleep(12)
        assert b.backend.open_now[BTC] == 0
        assert b.bus.stats()[BTC]["upstreams"] == 0
        tasks.cancel_scope.cancel()


async def test_idle_bus_ends_after_the_last_left(bench, clock):
    async with bench(conf="[data]\nlinger_s = 1\nidle_s = 30\n") as b:
        began = trio.current_time()
        async with trio.open_nursery() as tasks:
            tasks.start_soon(b.bus.end_when_idle)
            async with watching(b.bus, BTC):
                await trio.sleep(100)
            left = trio.current_time()
        assert 30 <= trio.current_time() - left < 32
        assert left - began > 99


async def test_who_comes_when_the_bus_is_gone_is_to_come_again(bench, clock):
    async with bench():
        pass
    with pytest.raises(TransportClosed, match="is ending"):
        _bus.current_bus()


@pytest.mark.parametrize(("day_s", "last"), [(86_400, 50.0), (-86_400, 100.0)])
async def test_who_comes_after_a_while_is_shown_nothing_old(bench, clock, day_s, last):
    """The stream starts with a newer quote; that of a recording is its first."""
    backend = Backend(clock=replay_clock())
    async with bench(backend) as b:
        async with watching(b.bus, BTC):
            bid = Tick("bid", 99.9, 1.0, START_S * NS)
            await backend.ups[0].put(trade(1), bid)
            await settle()
        b.bus.markets[BTC].stop()
        backend.first = Tick("last", 50.0, 0.0, (START_S + day_s) * NS)
        async with watching(b.bus, BTC) as (_, flumes):
            first = flumes[0].first_quote
            assert first.last == last
            assert [tick.price for tick in first.ticks] == [last], "no bid of yore"


async def test_who_comes_is_shown_no_side_of_the_book_that_is_gone(bench, clock):
    """Nor what was bid when the market was opened."""
    backend = Backend(clock=replay_clock(), first=Tick("bid", 99.0, 1.0))
    async with bench(backend) as b, watching(b.bus, BTC) as (sub, _):
        for bid in (side_tick("bid", 99.9, 1.0, 0), side_tick("bid", 0.0, 0.0, 0)):
            await backend.ups[0].put(bid)
            await settle()
        told = [t for q in taken(sub) if isinstance(q, Quote) for t in q.ticks]
        assert repr(told[-1]) == repr(Tick("bid", math.nan, 0.0))
        async with watching(b.bus, BTC) as (_, flumes):
            assert repr(flumes[0].first_quote.ticks) == repr(told[-1:])


async def test_a_viewer_who_comes_while_the_upstream_closes(bench, clock):
    backend = Backend(close_s=0.5, clock=replay_clock())
    async with bench(backend, "[data]\nlinger_s = 1\n") as b:
        async with watching(b.bus, BTC):
            await backend.ups[0].put(trade(1), trade(2))
            await settle()
        market = b.bus.markets[BTC]
        market.stop()
        await trio.sleep(0.1)
        assert backend.open_now[BTC] == 1, "still closing"
        async with watching(b.bus, BTC) as (sub, flumes):
            up = await backend.next_up(1)
            assert up.resume.tid == 0
            assert backend.most_open == 1
            await up.put(trade(1), trade(2), trade(3))
            await settle()
            assert market.live
            assert bars(flumes[0]) == {START_S + i: 1 for i in (1, 2, 3)}
            assert kinds(taken(sub)) == ["Quote"]
            assert flumes[0].down == ""


async def test_closed_between_its_start_and_its_first_quote(bench, clock):
    """The last viewer leaves, and one comes, before the backend has said a word."""
    async with bench(Backend(clock=replay_clock())) as b:
        async with trio.open_nursery() as tasks:
            tasks.start_soon(watching(b.bus, BTC).__aenter__)
            while BTC not in b.bus.markets:
                await trio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        assert b.bus.markets[BTC].claims == 0
        b.bus.markets[BTC].stop()
        async with watching(b.bus, BTC):
            assert b.bus.markets[BTC].live


async def test_what_was_missed_is_told_and_in_the_bars(bench, clock):
    backend = Backend(live_at_once=False, clock=replay_clock())
    async with bench(backend) as b, trio.open_nursery() as tasks:
        got = []

        async def watch(task_status):
            async with watching(b.bus, BTC) as pair:
                got.append(pair)
                task_status.started()
                await trio.sleep_forever()

        async def catch_up(at, *ticks):
            up = await backend.next_up(at)
            await up.put(*ticks)
            up.is_live.set()

        tasks.start_soon(catch_up, 0, trade(1))
        await tasks.start(watch)
        sub, flumes = got[0]
        await backend.ups[0].put(trade(2))
        backend.ups[0].fail(VenueUnreachable("gone"))
        up = await backend.next_up(1)
        assert up.resume.tid == 0
        await up.put(trade(1), trade(2), trade(3), trade(4))
        await settle()
        up.is_live.set()
        await settle()
        await up.put(trade(5))
        await settle()
        said = taken(sub)
        assert kinds(said) == ["Quote", "Disconnected", "Reconnected", "Quote"]
        assert said[1].reason == "gone"
        assert said[2].missed == 2
        assert [t.tid for q in said if isinstance(q, Quote) for t in q.ticks] == [2, 5]
        assert bars(flumes[0]) == {START_S + i: 1 for i in (1, 2, 3, 4, 5)}
        tasks.cancel_scope.cancel()


async def test_a_source_that_comes_up_and_goes_is_asked_less_and_less(bench, clock):
    """Else it is opened ten times a second, until its venue bans the address."""
    backend = Backend(clock=replay_clock())
    async with bench(backend) as b, watching(b.bus, BTC):
        began = trio.current_time()
        while trio.current_time() - began < 60:
            up = await backend.next_up(len(backend.ups) - 1)
            await settle()
            assert b.bus.markets[BTC].live
            up.fail(VenueUnreachable("gone"))
            await backend.opened.wait()
        assert len(backend.ups) < 10
        await trio.sleep(60)
        before = trio.current_time()
        backend.ups[-1].fail(VenueUnreachable("gone"))
        await backend.opened.wait()
        assert trio.current_time() - before < 1, "it had been up for long"


async def test_what_was_sent_before_live_is_no_news(bench, clock):
    """A burst is still in the channel when the backend says that it is live."""
    backend = Backend(live_at_once=False, clock=replay_clock())
    async with bench(backend) as b, trio.open_nursery() as tasks:

        async def burst():
            up = await backend.next_up(0)
            await settle()
            for i in range(1, 41):
                up.send.send_nowait((BTC, [trade(i)]))
            up.is_live.set()

        tasks.start_soon(burst)
        async with watching(b.bus, BTC) as (sub, flumes):
            await backend.ups[0].put(trade(41))
            await settle()
            assert flumes[0].missed == b.bus.markets[BTC].missed == 40
            assert [t.tid for quote in taken(sub) for t in quote.ticks] == [41]


async def test_who_comes_while_it_is_down_hears_of_its_return(bench, clock):
    backend = Backend(clock=replay_clock())
    async with bench(backend) as b, watching(b.bus, BTC) as (early, _):
        backend.faults[BTC] = [VenueUnreachable("still gone")] * 3
        backend.ups[0].fail(VenueUnreachable("gone"))
        await trio.sleep(0.2)
        async with watching(b.bus, BTC) as (late, flumes):
            assert flumes[0].down == "still gone"
            await backend.next_up(1)
            await settle()
            assert kinds(taken(early)) == ["Disconnected", "Reconnected"]
            assert kinds(taken(late)) == ["Reconnected"]
            async with watching(b.bus, BTC) as (third, fresh):
                assert fresh[0].down == ""
                assert taken(third) == []


async def test_catching_up_for_long_is_said(bench, clock):
    backend = Backend(live_at_once=False)
    async with bench(backend) as b, watching(b.bus, BTC) as (sub, flumes):
        assert "still being fetched" in flumes[0].down
        backend.ups[0].is_live.set()
        await settle()
        assert kinds(taken(sub)) == ["Reconnected"]


@pytest.mark.parametrize("fault", [ZeroDivisionError("a bug"), VenueUnreachable("off")])
async def test_a_fault_of_one_market_is_its_own(bench, clock, fault):
    backend = Backend(clock=replay_clock())
    async with bench(backend) as b, watching(b.bus, BTC) as (btc, _):
        async with watching(b.bus, ETH) as (eth, _):
            backend.ups[0].fail(fault)
            await backend.next_up(2)
            await backend.ups[1].put(trade(1))
            await settle()
            assert kinds(taken(btc)) == ["Disconnected", "Reconnected"]
            assert kinds(taken(eth)) == ["Quote"]
            assert b.bus.stats()[ETH]["opened"] == 1


@pytest.mark.parametrize("fault", [SessionFileError("cut off"), MarketGone("banned")])
async def test_what_was_sent_before_a_fatal_fault_counts(bench, clock, fault):
    backend = Backend(clock=replay_clock())
    async with bench(backend) as b, watching(b.bus, BTC) as (sub, flumes):
        up = backend.ups[0]
        for i in range(1, 51):
            up.send.send_nowait((BTC, [trade(i)]))
        up.fail(fault)
        await settle()
        said = taken(sub)
        assert isinstance(said[-1], Ended)
        assert said[-1].reason == str(fault)
        assert len(bars(flumes[0])) == 50
        assert sum(len(quote.ticks) for quote in said[:-1]) == 50


async def test_who_was_let_in_once_is_not_refused_for_good(bench, clock):
    backend = Backend(clock=replay_clock())
    async with bench(backend) as b, watching(b.bus, BTC) as (sub, _):
        await backend.ups[0].put(trade(1))
        backend.ups[0].fail(VenueRefused("x refused a request: HTTP 404"))
        up = await backend.next_up(1)
        await settle()
        await up.put(trade(2))
        await settle()
        said = taken(sub)
        assert kinds(said) == ["Quote", "Disconnected", "Reconnected", "Quote"]
        assert said[1].reason == "x refused a request: HTTP 404"


async def test_one_given_up_is_tried_again_for_the_next(bench, clock):
    backend = Backend(clock=replay_clock())
    async with bench(backend) as b, watching(b.bus, BTC) as (first, flumes):
        await backend.ups[0].put(trade(1))
        backend.ups[0].fail(MarketGone("banned"))
        await settle()
        async with watching(b.bus, BTC) as (second, _):
            await backend.ups[1].put(trade(2))
            await settle()
            assert kinds(taken(first)) == ["Quote", "Ended", "Reconnected", "Quote"]
            assert kinds(taken(second)) == ["Quote"]
            assert bars(flumes[0]) == {START_S + 1: 1, START_S + 2: 1}


@pytest.mark.parametrize(
    "fault",
    [
        VenueRefused("no"),
        SessionFileError("broken"),
        ShmFull("full"),
    ],
)
async def test_a_refused_start_reaches_its_opener_only(bench, clock, fault):
    backend = Backend(clock=replay_clock())
    async with bench(backend) as b, watching(b.bus, ETH) as (eth, _):
        for _ in range(2):
            backend.faults[BTC] = [fault]
            with pytest.raises(type(fault), match=str(fault)):
                async with watching(b.bus, ETH, BTC):
                    pass
            assert b.bus.markets[ETH].claims == 1
            assert BTC not in b.bus.markets
        await backend.ups[0].put(trade(1))
        async with watching(b.bus, BTC) as (btc, _):
            await backend.ups[1].put(trade(1))
            await settle()
            assert kinds(taken(btc)) == kinds(taken(eth)) == ["Quote"]


@pytest.mark.parametrize("fault", [VenueUnreachable("away"), BadPayload("what")])
async def test_a_venue_that_is_away_is_not_waited_for(bench, clock, fault):
    backend = Backend(clock=replay_clock())
    async with bench(backend) as b, watching(b.bus, ETH) as (eth, _):
        backend.faults[BTC] = [fault, fault]
        for _ in range(2):
            with pytest.raises(type(fault), match=str(fault)):
                async with watching(b.bus, ETH, BTC):
                    pass
            assert not b.bus.markets[BTC].is_wanted
        async with watching(b.bus, BTC) as (btc, _):
            await backend.ups[1].put(trade(1))
            await settle()
            assert kinds(taken(btc)) == ["Quote"]
        assert kinds(taken(eth)) == []


async def test_no_room_for_one_of_two_buffers_leaves_none(
    bench, clock, monkeypatch, tmp_path
):
    real = ShmWriter.open

    def no_room(path, *, fqme, period_s, capacity):
        if fqme == BTC and period_s == 1:
            raise ShmFull("no room")
        return real(path, fqme=fqme, period_s=period_s, capacity=capacity)

    monkeypatch.setattr(_buffers.ShmWriter, "open", no_room)
    async with bench(Backend(clock=replay_clock())) as b, watching(b.bus, ETH):
        with pytest.raises(ShmFull, match="no room"):
            async with watching(b.bus, BTC):
                pass
        names = {path.name for path in (tmp_path / "shm").iterdir()}
        assert names == {f"{ETH}.1s", f"{ETH}.60s"}


async def test_a_bad_name_among_good_ones_leaves_nothing_subscribed(bench, clock):
    backend = Backend(unknown={ETH})
    async with bench(backend) as b:
        with pytest.raises(SymbolNotFound, match="ethusdt"):
            async with watching(b.bus, BTC, ETH):
                pass
        assert b.bus.stats() == {}
        assert backend.ups == []


async def test_a_venue_that_never_answers_is_named(bench, clock):
    backend = Backend()
    backend.faults[BTC] = [VenueUnreachable("no route to the venue")] * 100
    async with bench(backend) as b:
        with pytest.raises(VenueUnreachable, match="no route to the venue"):
            async with watching(b.bus, BTC):
                pass
        assert b.bus.markets[BTC].claims == 0


async def test_a_backend_that_says_nothing_is_given_a_deadline(bench, clock):
    async def silent(*_, **__):
        await trio.sleep_forever()

    async with bench() as b:
        b.bus.mod.stream_quotes = silent
        with pytest.raises(VenueUnreachable, match="said nothing of"):
            async with watching(b.bus, BTC):
                pass


async def test_who_comes_after_the_end_is_told_of_it(bench, clock):
    backend = Backend(clock=replay_clock())
    async with bench(backend) as b, watching(b.bus, BTC) as (first, _):
        await backend.ups[0].put(trade(1))
        backend.ups[0].fail()
        await settle()
        async with watching(b.bus, BTC) as (second, flumes):
            assert kinds(taken(first)) == ["Quote", "Ended"]
            assert kinds(taken(second)) == ["Ended"]
            assert flumes[0].down == ""
            assert flumes[0].first_quote.last == 100.0
            assert len(backend.ups) == 1


async def test_an_end_while_catching_up(bench, clock):
    """A replay that ends before its stream ever was live: back, then ended."""
    backend = Backend(clock=replay_clock())
    async with bench(backend) as b, watching(b.bus, BTC) as (sub, flumes):
        backend.live_at_once = False
        backend.ups[0].fail(VenueUnreachable("gone"))
        up = await backend.next_up(1)
        await up.put(trade(1))
        up.fail()
        await settle()
        said = taken(sub)
        assert kinds(said) == ["Disconnected", "Reconnected", "Ended"]
        assert said[1].missed == 1
        assert bars(flumes[0]) == {START_S + 1: 1}


async def test_a_fault_while_an_upstream_is_closed(bench, clock):
    """It came of the cancel, or beside it: the other markets, and datad, go on."""
    backend = Backend(close_fault=VenueUnreachable("no farewell"))
    async with bench(backend) as b, watching(b.bus, ETH) as (eth, _):
        async with watching(b.bus, BTC):
            pass
        b.bus.markets[BTC].stop()
        await backend.ups[1].closed.wait()
        await settle()
        await backend.ups[0].put(trade(1))
        async with watching(b.bus, BTC) as (btc, _):
            await backend.ups[2].put(trade(1))
            await settle()
            assert kinds(taken(eth)) == kinds(taken(btc)) == ["Quote"]
        backend.close_fault = None


@pytest.mark.parametrize("fault", [None, VenueUnreachable("gone")])
async def test_an_end_that_the_backend_tells(bench, clock, fault):
    """Its stream may end later, or never: nothing goes on after the end."""
    backend = Backend(clock=replay_clock())
    async with bench(backend) as b, watching(b.bus, BTC) as (sub, _):
        up = backend.ups[0]
        await up.put(trade(1))
        await up.send.send(Ended(fqmes=(BTC,), reason="delisted", time_ns=0))
        await settle()
        up.fail(fault)
        await trio.sleep(5)
        assert kinds(taken(sub)) == ["Quote", "Ended"]
        told = b.bus.stats()[BTC]
        assert (told["ended"], told["live"], told["down"]) == (True, False, "delisted")


@pytest.mark.parametrize("seconds", [0, 60])
async def test_no_history_is_no_reason_for_no_quotes(bench, clock, seconds):
    backend = Backend(clock=replay_clock(), start_ns=(START_S + 1) * NS)

    @asynccontextmanager
    async def no_history(mkt):
        await trio.sleep(seconds)
        raise VenueUnreachable("try tomorrow")
        yield

    async with bench(backend) as b:
        b.bus.mod.open_history_client = no_history
        async with watching(b.bus, BTC) as (sub, flumes):
            await backend.ups[0].put(trade(0), trade(1), trade(2))
            await settle()
            said = taken(sub)
            assert kinds(said) == ["Warned", "Quote"], "its opener is told"
            assert said[0].reason.startswith("no history")
            assert bars(flumes[0]) == {START_S + 1: 1, START_S + 2: 1}, "since start_ns"
            async with watching(b.bus, BTC) as (late, _):
                assert kinds(taken(late)) == ["Warned"]


def flat(times, **cells):
    made = np.zeros(len(times), OHLCV)
    made["time"] = times
    for name in ("open", "high", "low", "close", "volume"):
        made[name] = 1.0
    for name, values in cells.items():
        made[name] = values
    return made


LAST_S = START_S - START_S % 60


@pytest.mark.parametrize(
    ("odd", "kept", "said"),
    [
        (flat([LAST_S - 60, LAST_S - 120]), (120, 60), ""),
        (flat([LAST_S - 60, LAST_S - 60]), (60,), ""),
        (flat([LAST_S - 60] * 2, volume=[1.0, 2.0]), (), "two bars of one time differ"),
        (flat([LAST_S - 90, LAST_S - 30]), (), "is no whole 60 s"),
        (flat([LAST_S - 60, LAST_S]), (60,), ""),
        (
            flat([LAST_S - 120, LAST_S - 60], volume=[1.0, math.nan]),
            (120, 60),
            "volume",
        ),
        (flat([LAST_S - 120, LAST_S - 60], close=[math.inf, 1.0]), (60,), "close"),
        (flat([LAST_S - 120, LAST_S - 60], volume=[-1.0, 1.0]), (60,), "negative"),
        (flat([LAST_S - 120, LAST_S - 60], high=[1.0, 0.5]), (120, 60), "beyond its"),
        (flat([LAST_S - 120, LAST_S - 60])["time"], (), "no history: 60 s bars are no"),
        (ZeroDivisionError("a bug"), (), "no history: 'scripted' failed"),
        (BadPayload("what is this"), (), "no history: what is this"),
    ],
    ids=str,
)
async def test_odd_history_is_left_out_and_quotes_go_on(bench, clock, odd, kept, said):
    """It must neither end the market nor reach the buffers; what is sound does."""
    backend = Backend(clock=replay_clock(), start_ns=LAST_S * NS)

    @asynccontextmanager
    async def odd_history(mkt):
        async def get_bars(period_s, end_s, start_s=None):
            if isinstance(odd, Exception):
                raise odd
            return odd

        yield get_bars, HistoryConf(periods_s=(60,))

    async with bench(backend) as b:
        b.bus.mod.open_history_client = odd_history
        async with watching(b.bus, BTC) as (sub, flumes):
            await backend.ups[0].put(trade(1))
            await settle()
            items = taken(sub)
            assert kinds(items) == ["Warned", "Quote"][not said :]
            assert not said or said in items[0].reason
            got = bars(flumes[0], 60)
            assert got == {LAST_S - back_s: 0 for back_s in kept} | {LAST_S: 1}


# -- time -----------------------------------------------------------------------


async def test_bars_of_a_replay_follow_its_data(bench, clock):
    backend = Backend(clock=replay_clock(speed=1000.0))
    async with bench(backend) as b, watching(b.bus, BTC) as (_, flumes):
        up = backend.ups[0]
        await up.put(trade(1))
        await up.send.send(Reached(BTC, (START_S + 30) * NS))
        await up.put(trade(29, START_S + 29.5))
        await settle()
        got = bars(flumes[0])
        assert list(got) == list(range(START_S + 1, START_S + 30))
        assert sum(got.values()) == 2
        assert b.bus.markets[BTC].bars.builders[1].stats.too_late == 0


async def test_wall_steps_open_bars_no_further_than_the_data(bench, clock, monkeypatch):
    backend = Backend()
    stop_wall_clock(monkeypatch)
    async with bench(backend) as b, watching(b.bus, BTC) as (_, flumes):
        up = backend.ups[0]
        await up.put(trade(0))
        b.step(START_S + 2)
        await settle()
        assert list(bars(flumes[0])) == [START_S, START_S + 1, START_S + 2]
        await up.send.send(Reached(BTC, (START_S + 2) * NS + 1))
        b.step(START_S + 4)
        await settle()
        assert max(bars(flumes[0])) == START_S + 2, "the data isn't there yet"
        await up.send.send(Reached(BTC, (START_S + 9) * NS))
        await settle()
        assert max(bars(flumes[0])) == START_S + 4, "the clock isn't there yet"


async def test_a_late_step_lets_the_trades_of_that_time_come_first(
    bench, clock, monkeypatch
):
    """datad was stopped for 15 s: step and trades wait together when it goes on."""
    stop_wall_clock(monkeypatch, 16)
    async with bench() as b, watching(b.bus, BTC) as (_, flumes):
        up = b.backend.ups[0]
        await up.put(trade(0))
        b.step(START_S + 1)
        await settle()
        b.step(START_S + 16)
        for i in range(1, 16):
            await up.put(trade(i))
        await trio.sleep(7)
        assert bars(flumes[0]) == {START_S + i: int(i < 16) for i in range(17)}


@pytest.mark.parametrize("slept_s", [5, 3600])
async def test_bars_wait_for_what_was_traded_while_the_machine_slept(
    bench, clock, monkeypatch, slept_s
):
    """The step comes at once; that the line is dead shows after some seconds only."""
    stop_wall_clock(monkeypatch, slept_s + 9)
    async with bench() as b, watching(b.bus, BTC) as (_, flumes):
        up = b.backend.ups[0]
        await up.put(trade(0))
        b.step(START_S + 1)
        await settle()
        for i in range(5):  # while it sleeps; and on the dead line
            b.step(START_S + slept_s + i)
            await trio.sleep(1)
        lost = Disconnected(fqmes=(BTC,), reason="silent", time_ns=1)
        await up.send.send(lost)
        for i in range(5, 8):
            b.step(START_S + slept_s + i)
            await trio.sleep(1)
        assert max(bars(flumes[0])) == START_S + 1
        await up.put(*(trade(i) for i in range(1, slept_s + 8)))
        await up.send.send(Reconnected(fqmes=(BTC,), missed=-1, time_ns=2))
        await settle()
        b.step(START_S + slept_s + 9)
        await settle()
        last = slept_s + 9
        assert bars(flumes[0]) == {
            START_S + i: int(i < slept_s + 8) for i in range(last + 1)
        }


async def test_a_lost_market_stands_still(bench, clock, monkeypatch):
    """Else flat bars would lie where the trades belong that are fetched later."""
    stop_wall_clock(monkeypatch, 40)
    backend = Backend()
    async with bench(backend) as b, watching(b.bus, BTC) as (_, flumes):
        await backend.ups[0].put(trade(0))
        b.step(START_S + 1)
        await settle()
        backend.faults[BTC] = [VenueUnreachable("gone")] * 3
        backend.ups[0].fail(VenueUnreachable("gone"))
        await settle()
        for i in range(2, 40):
            b.step(START_S + i)
        up = await backend.next_up(1)
        await up.put(*(trade(i) for i in range(40)))
        await settle()
        b.step(START_S + 40)
        await trio.sleep(1)
        assert bars(flumes[0]) == {START_S + i: int(i < 40) for i in range(41)}


# -- oddities -------------------------------------------------------------------


async def test_odd_trades_are_left_out_and_told_once(bench, clock):
    backend = Backend(clock=replay_clock())
    odd = [
        Tick("trade", math.nan, 1.0, START_S * NS, 2),
        Tick("trade", 1.0, math.inf, START_S * NS, 3),
        Tick("trade", 1.0, -1.0, START_S * NS, 4),
        Tick("trade", 1.0, 1.0, 0, 5),
        Tick("trade", 1.0, 1.0, START_S * NS, 5, 0, 0),
        Tick("trade", 1.0, 1.0, START_S * NS, 5, 0, -1),
        Tick("trade", 1.0, 1.0, START_S * NS, 5, 0, 1 << 62),
        Tick("trade", 1.0, 1.0, START_S * NS, 1 << 63),
        Tick("trade", 1.0, 1.7e308, START_S * NS, 5),
        Tick("trade", -1.7e308, 1.0, START_S * NS, 5),
        Tick("trade", 1.0, 1.0, 1 << 63, 5),
    ]
    async with bench(backend) as b, watching(b.bus, BTC) as (sub, flumes):
        up = backend.ups[0]
        await up.put(trade(1), *odd)
        await up.put(*odd)
        await up.put(trade(6))
        await settle()
        said = taken(sub)
        assert kinds(said) == ["Warned", "Quote", "Quote"]
        assert [t.tid for q in said[1:] for t in q.ticks] == [1, 6]
        assert sum(bars(flumes[0]).values()) == 2
        assert b.bus.stats()[BTC]["odd"] == 22


async def test_one_stamp_far_ahead_freezes_nothing(bench, clock, monkeypatch):
    """Bars opened up to it would take no trade any more for an hour."""
    follow_trio_clock(monkeypatch, clock)
    async with bench() as b, watching(b.bus, BTC) as (sub, flumes):
        up = b.backend.ups[0]
        for i in range(1, 31):
            b.step(START_S + i)
            at_s = START_S + i
            await up.put(trade(i, at_s + (3000 if i in (7, 19) else 0)))
            await trio.sleep(1)
        said = taken(sub)
        assert bars(flumes[0]) == {
            START_S + i: int(i not in (7, 19)) for i in range(1, 31)
        }
        told = [item.reason for item in said if not isinstance(item, Quote)]
        assert told == ["a stamp far ahead of all others was left out of the bars"]
        assert b.bus.stats()[BTC]["left_out"] == 2


async def test_a_venue_that_runs_ahead_of_its_clock_is_followed(
    bench, clock, monkeypatch
):
    follow_trio_clock(monkeypatch, clock)
    async with bench() as b, watching(b.bus, BTC) as (sub, flumes):
        up = b.backend.ups[0]
        for i in range(1, 21):
            b.step(START_S + i)
            await up.put(trade(i, START_S + 90 + i))
            await trio.sleep(1)
        assert bars(flumes[0]) == {START_S + 90 + i: 1 for i in range(1, 21)}
        told = [item.reason for item in taken(sub) if not isinstance(item, Quote)]
        assert told == ["its venue's stamps lead the clock by 91 s"]
        up.fail(VenueUnreachable("gone"))
        up = await b.backend.next_up(1)
        await up.put(trade(21, START_S + 111), trade(22, START_S + 3000))
        await settle()
        assert max(bars(flumes[0])) == START_S + 111, "its bars show how far it leads"


async def test_a_market_changes_its_clock(bench, clock, monkeypatch):
    """Its venue's time was measured anew; the timer of the old clock ends."""
    follow_trio_clock(monkeypatch, clock)
    async with bench() as b, watching(b.bus, BTC) as (_, flumes):
        up = b.backend.ups[0]
        await up.put(trade(0))
        ahead = VenueClock(name="x", ahead_ns=(START_S + 20) * NS)
        await up.send.send(OnClock(BTC, ahead))
        await settle()
        assert max(bars(flumes[0])) == START_S + 20
        assert b.bus.markets[BTC].join(Sub((BTC,), None)).init.clock == ahead
        b.step(START_S + 21)
        await settle()
        assert max(bars(flumes[0])) == START_S + 21
        assert b.bus._clocks == {ahead.key}


async def test_a_change_of_the_clock_loses_no_trade_that_was_held_back(
    bench, clock, monkeypatch
):
    """Their stamps led the old clock, which was behind; by the new one they are due."""
    follow_trio_clock(monkeypatch, clock)
    async with bench() as b, watching(b.bus, BTC) as (sub, flumes):
        up = b.backend.ups[0]
        await up.put(trade(0))
        await up.put(trade(19), trade(20), trade(600))
        await settle()
        assert max(bars(flumes[0])) == START_S, "held back"
        ahead = VenueClock(name="x", ahead_ns=(START_S + 40) * NS)
        await up.send.send(OnClock(BTC, ahead))
        await settle()
        got = bars(flumes[0])
        assert [at_s - START_S for at_s, count in got.items() if count] == [0, 19, 20]
        assert max(got) == START_S + 40
        tids = [t.tid for q in taken(sub) if isinstance(q, Quote) for t in q.ticks]
        assert tids == [0, 19, 20], "what leads the new clock too is still held back"
        assert b.bus.stats()[BTC]["left_out"] == 0
        await up.put(trade(41))
        await settle()
        assert b.bus.stats()[BTC]["left_out"] == 1


async def test_what_was_odd_at_its_opening_is_told_to_each_who_comes(bench, clock):
    backend = Backend(live_at_once=False)
    odd = Warned(fqmes=(BTC,), reason="its clock is off", time_ns=1)
    late = Warned(fqmes=(BTC,), reason="something passing", time_ns=2)
    async with bench(backend) as b, trio.open_nursery() as tasks:

        async def open_it():
            up = await backend.next_up(0)
            await up.send.send(odd)
            await settle()
            up.is_live.set()

        tasks.start_soon(open_it)
        async with watching(b.bus, BTC) as (one, _):
            await settle()
            await backend.ups[0].send.send(late)
            await settle()
            async with watching(b.bus, BTC) as (two, _):
                assert [item.reason for item in taken(one)] == [odd.reason, late.reason]
                assert [item.reason for item in taken(two)] == [odd.reason]


async def test_a_trade_too_late_is_told(bench, clock):
    backend = Backend(clock=replay_clock())
    async with bench(backend) as b, watching(b.bus, BTC) as (sub, flumes):
        await backend.ups[0].put(trade(1), trade(30), trade(31, START_S + 5))
        await settle()
        assert "too late for its 1 s bar" in taken(sub)[0].reason
        assert sum(bars(flumes[0]).values()) == 2
        assert sum(bars(flumes[0], 60).values()) == 3, "the minute still changes"
