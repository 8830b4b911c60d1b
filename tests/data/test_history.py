"""The past of a market: joined to its present, stored, gone on with; odd venues."""

from __future__ import annotations

import math
import random
import threading
import time
from contextlib import asynccontextmanager, closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings, strategies as st

from piker.brokers import HistoryConf
from piker.config import DataConf
from piker.data import _keeper
from piker.data._bars import BarBuilder
from piker.data._history import History
from piker.data._shm import ShmArray, ShmWriter
from piker.data._venue_bars import Pace, VenueBars
from piker.data.feed import Flume
from piker.errors import (
    NoData,
    StoreFull,
    UsageError,
    VenueRefused,
)
from piker.msgs import NS, FeedInit, FlumeMsg, Quote, Tick
from piker.storage import StoreWriter, list_stores, read_bars, verify
from piker.testing import private_dirs
from piker.tsp import OHLCV, aggregate, between, fill_gaps, find_fault, resample
from tests.data._clock import threads_in_turn, waits_for_threads
from tests.data._truth import BEGIN_S, FQME, LOT, MKT, Truth, Venue

NO_BARS = np.empty(0, OHLCV)


class Place:
    """A market's buffers, as datad after datad has them; all in one folder."""

    def __init__(self, folder: Path, venue: Venue, **conf) -> None:
        self.folder, self.venue = folder, venue
        self.conf = DataConf(hist_days=1, rt_hours=1, **conf)
        self.builders: dict[int, BarBuilder] = {}
        self.events: list = []
        self.warnings: list[str] = []
        self.history = History(
            FQME, venue.module(), self.conf, Pace(), self.events.append,
            self.warnings.append,
        )  # fmt: skip
        self.start_s = 0

    def open(self) -> None:
        for p in (60, 1):
            writer = ShmWriter.open(
                self.folder / f"{p}s", fqme=FQME, period_s=p, capacity=1 << 13
            )
            self.builders[p] = BarBuilder(writer, MKT, p)

    def close(self, *, lose: bool = False) -> None:
        for builder in self.builders.values():
            builder.writer.close(remove=lose)

    def init(self, now_s: int) -> FeedInit:
        return FeedInit(mkt=MKT, start_ns=(now_s - now_s % 60) * NS)

    async def begin(self, now_s: int) -> str:
        """Have the buffers as far as a client would see them at first."""
        self.venue.now_s = now_s
        fresh = all(b.newest_s is None for b in self.builders.values())
        init = self.init(now_s)
        self.start_s = init.start_ns // NS
        fault = await self.history.load_newest(init, self.builders) if fresh else ""
        self.take(0, now_s)
        return fault

    def take(self, from_s: float, upto_s: float) -> None:
        """Live trades, and the clock."""
        self.venue.now_s = max(self.venue.now_s, int(upto_s))
        points = [b.resume_point() for b in self.builders.values()]
        if not from_s:
            from_s = min((p[0] // NS for p in points if p), default=self.start_s)
            from_s = max(from_s - 512, BEGIN_S)  # as sources do, by their ids
        for builder in self.builders.values():
            builder.apply(self.venue.truth.ticks(from_s, upto_s))
            builder.advance_to(int(upto_s))

    def rows(self, period_s: int):
        writer = self.builders[period_s].writer
        return writer.rows(*writer.bounds)

    async def until_done(self) -> None:
        while not all(
            p in self.history.progress and self.history.progress[p].done >= 1
            for p in (1, 60)
        ):
            await trio.sleep(5)


def filled(bars, period_s, end_s):
    return fill_gaps(bars, period_s, until_s=end_s)


def check_joined(place: Place, now_s: float) -> None:
    """Each bar of the buffers is the truth's, none missing, none twice."""
    for period_s in (1, 60):
        truth = truth_upto(place, period_s, now_s)
        got = place.rows(period_s)
        assert np.array_equal(got, truth), diff(got, truth)


def diff(got, truth) -> str:
    """Say where two series of bars differ."""
    union = np.union1d(got, truth)
    lacking = np.setdiff1d(truth["time"], got["time"])
    other = [row for row in union if (row in got) != (row in truth)]
    return f"{len(got)} of {len(truth)}; lacks {lacking[:9]}; differ {other[:6]}"


def truth_upto(place: Place, period_s: int, now_s: float):
    """Bars of the trades up to *now_s*, those of the forming period as far as known."""
    truth = place.venue.truth
    known = truth.time_ns < now_s * NS
    bars = aggregate(
        truth.time_ns[known], truth.price[known], truth.lots[known], period_s, LOT
    )
    return filled(bars, period_s, int(now_s) + 1)


def check_stored(place: Place, upto_s: int) -> None:
    """Each closed bar of the truth is stored, exactly; others are flat."""
    for period_s in (1, 60):
        found = read_bars(FQME, period_s)
        assert not found.damaged
        if len(found):
            assert not verify(FQME, period_s)
        stored = found.bars()
        assert not find_fault(stored, period_s)
        assert np.all(np.diff(stored["time"]) > 0)
        end_s = upto_s - upto_s % period_s
        stored = between(stored, None, end_s)
        truth = between(place.venue.truth.bars[period_s], None, end_s)
        traded = stored[stored["count"] > 0]
        assert np.array_equal(traded, truth), (
            f"{period_s} s: {diff(traded, truth)}; {place.warnings} {place.events}"
        )
        if not len(stored):
            continue
        whole = between(filled(truth, period_s, end_s), int(stored["time"][0]), None)
        assert np.array_equal(stored, whole[np.isin(whole["time"], stored["time"])])


def trio_run(main, seed: int = 0):
    """Run with a clock that jumps; *seed* tells the order of tasks and threads."""
    run = trio._core._run
    run._ALLOW_DETERMINISTIC_SCHEDULING = True
    run._r = random.Random(seed)
    clock = trio.testing.MockClock()
    with waits_for_threads(clock, 0.0), threads_in_turn(random.Random(seed)):
        return trio.run(main, clock=clock)


# -- the join ---------------------------------------------------------------------


@pytest.mark.parametrize("part", range(10))
@settings(
    max_examples=100,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.differing_executors,
    ],
)
@given(data=st.data())
def test_a_backfill_meets_live_bars_with_none_missing_and_none_twice(part, data):
    """A thousand ways, in ten parts so that they can be tried side by side."""
    draw = data.draw
    seed = draw(st.integers(0, 2**32))
    truth = Truth(seed, 1500, draw(st.sampled_from((0.02, 0.3, 0.9))))
    venue = Venue(
        truth,
        seed=seed,
        max_bars=draw(st.integers(20, 400)),
        fault_share=draw(st.sampled_from((0.0, 0.2))),
        is_odd=draw(st.booleans()),
        cuts_newest=draw(st.booleans()),
    )
    lives = draw(
        st.lists(
            st.tuples(
                st.integers(0, 200),  # seconds away
                st.lists(st.floats(0.01, 60), max_size=6),  # seconds between batches
                st.sampled_from(("keep", "lose")),  # of the buffers
                st.integers(0, 60),  # turns of the loop given to history
            ),
            min_size=1,
            max_size=3,
        )
    )
    # in memory: a thousand examples wait for no disk
    place = TemporaryDirectory(prefix="piker-history-", dir="/dev/shm")
    with place as folder, private_dirs(Path(folder) / "dirs"):
        trio_run(lambda: live(Path(folder), venue, lives), seed)


async def live(folder: Path, venue: Venue, lives) -> None:
    """Let one datad after the other have the market; then look at all there is."""
    now_s = float(BEGIN_S + 300)
    for number, (away_s, batches, after, turns) in enumerate(lives):
        now_s = float(math.ceil(now_s) + away_s)
        place = Place(folder, venue)
        place.open()
        await place.begin(int(now_s))
        async with trio.open_nursery() as tasks:
            tasks.start_soon(place.history.run, place.init(int(now_s)), place.builders)
            for wait_s in batches:
                for _ in range(venue.rng.randrange(turns + 1)):
                    await trio.lowlevel.checkpoint()
                place.take(now_s, now_s + wait_s)
                now_s += wait_s
            is_last = number == len(lives) - 1
            if is_last:
                await place.until_done()
                place.take(now_s, now_s)
                await trio.sleep(10)  # what closed is stored
            tasks.cancel_scope.cancel()
        if is_last:
            check_joined(place, now_s)
            check_stored(place, int(now_s) - 1)
        place.close(lose=after == "lose" or is_last)


# -- by example -------------------------------------------------------------------


@asynccontextmanager
async def running(place: Place, now_s: int):
    """A market of which history is being loaded, its buffers open."""
    place.open()
    try:
        fault = await place.begin(now_s)
        assert not fault, fault
        async with trio.open_nursery() as tasks:
            tasks.start_soon(place.history.run, place.init(now_s), place.builders)
            yield
            tasks.cancel_scope.cancel()
    finally:
        place.close(lose=True)


NOW_S = BEGIN_S + 3600


async def test_the_newest_bars_are_there_before_anything_else(clock, dirs, tmp_path):
    """A chart opens at once: neither the store nor old bars are waited for."""
    venue = Venue(Truth(1, 3600))
    gate = trio.Event()
    get_bars = venue.get_bars

    async def slow_when_old(period_s, end_s, start_s=None):
        if start_s is not None:
            await gate.wait()
        return await get_bars(period_s, end_s, start_s)

    venue.get_bars = slow_when_old
    place = Place(tmp_path, venue)
    async with running(place, NOW_S):
        await trio.sleep(50)
        for period_s, rows in ((60, 60), (1, 100)):
            got = place.rows(period_s)
            assert len(got[got["time"] < place.start_s]) >= rows
            assert period_s not in place.history.progress or (
                place.history.progress[period_s].done < 1
            )
        gate.set()
        await place.until_done()
        check_joined(place, NOW_S)
    told = [e.done for e in place.events if e.period_s == 1]
    assert told == sorted(told)
    assert told[-1] == 1


async def test_what_is_stored_is_not_asked_for_again(clock, dirs, tmp_path):
    venue = Venue(Truth(2, 3600, share=1.0))
    place = Place(tmp_path, venue)
    async with running(place, NOW_S):
        await place.until_done()
    check_stored(place, NOW_S - 60)
    venue.requests.clear()
    again = Place(tmp_path, venue)
    async with running(again, NOW_S):
        await again.until_done()
        check_joined(again, NOW_S)
    newest = [r for r in venue.requests if r[1] == again.start_s]
    assert len(newest) <= 2, "the newest of each period, at once"
    beyond = [r for r in venue.requests if r[1] <= BEGIN_S]
    assert len(venue.requests) == len(newest) + len(beyond), venue.requests
    assert len(beyond) <= 4, "is there nothing older still: two questions a period"


async def test_a_restart_goes_on_where_it_was(clock, dirs, tmp_path):
    """Each frame is stored as it comes: who is cancelled has lost none of them."""
    venue = Venue(Truth(3, 3600, share=1.0), max_bars=50)
    place = Place(tmp_path, venue)
    place.open()
    await place.begin(NOW_S)
    with trio.CancelScope() as scope:
        for_ten = venue.get_bars

        async def ten_then_cancel(*args):
            if len(venue.requests) == 12:
                scope.cancel()
            return await for_ten(*args)

        venue.get_bars = ten_then_cancel
        place.history.mod = venue.module()
        await place.history.run(place.init(NOW_S), place.builders)
    place.close(lose=True)
    known = {p: set(read_bars(FQME, p).bars()["time"].tolist()) for p in (1, 60)}
    assert len(known[1]) > 200
    venue.get_bars, venue.requests = for_ten, []
    again = Place(tmp_path, venue)
    async with running(again, NOW_S):
        await again.until_done()
        check_joined(again, NOW_S)
    twice = [
        (p, start, end)
        for p, end, start in venue.requests
        if start is not None
        and {*range(start, end, p)} <= known[p]
        and end != again.start_s  # the newest are asked for once more
    ]
    assert not twice


@pytest.mark.parametrize("mood", ["same", "empty", "nothing", "future", "past"])
async def test_a_useless_history_comes_to_an_end(clock, dirs, tmp_path, mood):
    venue = Venue(Truth(4, 3600))
    bars = venue.truth.bars

    async def get_bars(period_s, end_s, start_s=None):
        venue.requests.append((period_s, end_s, start_s))
        some = bars[period_s]
        if mood == "nothing":
            raise NoData("none")
        if mood == "empty":
            return some[:0]
        shift = {"same": 0, "future": 600, "past": -7200}[mood]
        some = some[some["time"] < NOW_S - NOW_S % 60][-100:].copy()
        some["time"] += shift
        return some

    venue.get_bars = get_bars
    place = Place(tmp_path, venue)
    place.open()
    await place.begin(NOW_S)
    async with trio.open_nursery() as tasks:
        tasks.start_soon(place.history.run, place.init(NOW_S), place.builders)
        with trio.fail_after(36_000):  # of a clock that jumps while a thread works
            await place.until_done()
        tasks.cancel_scope.cancel()
    assert len(venue.requests) < 20
    for period_s in (1, 60):
        time_s = place.rows(period_s)["time"]
        assert np.all(np.diff(time_s) == period_s)
    place.close(lose=True)


async def test_a_venue_that_refuses_is_told_of_and_not_asked_for_ever(
    clock, dirs, tmp_path
):
    venue = Venue(Truth(5, 3600))
    place = Place(tmp_path, venue)
    place.open()
    await place.begin(NOW_S)

    async def refuse(period_s, end_s, start_s=None):
        venue.requests.append((period_s, end_s, start_s))
        raise VenueRefused("not for you")

    venue.get_bars = refuse
    place.history.mod = venue.module()
    venue.requests.clear()
    async with trio.open_nursery() as tasks:
        tasks.start_soon(place.history.run, place.init(NOW_S), place.builders)
        await place.until_done()
        tasks.cancel_scope.cancel()
    assert len(venue.requests) == 2
    assert any("not for you" in said for said in place.warnings)
    place.close(lose=True)


async def test_why_it_stands_still_is_told_and_then_that_it_does_not(
    clock, dirs, tmp_path
):
    venue = Venue(Truth(6, 3600))
    place = Place(tmp_path, venue)
    place.open()
    await place.begin(NOW_S)
    sound, venue.fault_share = venue.get_bars, 1.0
    async with trio.open_nursery() as tasks:
        tasks.start_soon(place.history.run, place.init(NOW_S), place.builders)
        while len(place.history.progress) < 2:
            await trio.sleep(1)
        assert {p.reason for p in place.history.progress.values()} == {"not now"}
        venue.get_bars, venue.fault_share = sound, 0.0
        await place.until_done()
        tasks.cancel_scope.cancel()
    assert {p.reason for p in place.history.progress.values()} == {""}
    check_joined(place, NOW_S)
    place.close(lose=True)


async def test_a_venue_without_seconds_gets_stand_ins_that_add_up(
    clock, dirs, tmp_path
):
    """Where none were stored; exact by the minute; never stored themselves."""
    venue = Venue(Truth(7, 3700, share=0.9), periods=(60,))
    place = Place(tmp_path, venue)
    now_s = NOW_S + 47
    async with running(place, now_s):
        await place.until_done()
        got = between(place.rows(1), None, place.start_s)
        assert np.all(np.diff(got["time"]) == 1)
        minutes = resample(got, 60, LOT)
        truth = between(venue.truth.bars[60], BEGIN_S, place.start_s)
        assert np.array_equal(between(minutes, int(truth["time"][0]), None), truth)
        await trio.sleep(10)
    stored = read_bars(FQME, 1).bars()
    assert len(stored)
    assert stored["time"][0] >= place.start_s


async def test_bars_are_on_screen_while_their_store_is_somebody_elses(
    clock, dirs, tmp_path
):
    venue = Venue(Truth(8, 3600))
    place = Place(tmp_path, venue)
    other = StoreWriter(FQME, 60)
    async with running(place, NOW_S):
        await place.until_done()
        check_joined(place, NOW_S)
        assert any("aren't stored" in said for said in place.warnings)
        assert not len(read_bars(FQME, 60))
        other.close()
        place.take(NOW_S, NOW_S + 200)
        await trio.sleep(60)
        stored = read_bars(FQME, 60).bars()
        assert stored["time"].tolist() == [place.start_s + at for at in (0, 60, 120)]


async def test_a_client_reads_what_is_older_than_the_buffer(clock, dirs, tmp_path):
    """From the store, joined to the buffer, in any period."""
    truth = Truth(9, 3600, share=0.9)
    older = truth.bars[60][:10].copy()
    older["time"] -= 2 * 86_400  # deeper than is loaded
    with closing(StoreWriter(FQME, 60)) as before:
        before.append(older)
    place = Place(tmp_path, Venue(truth))
    async with running(place, NOW_S):
        await place.until_done()
        place.take(NOW_S, NOW_S + 130)
        tokens = {p: b.writer.token for p, b in place.builders.items()}
        told = FlumeMsg(
            init=place.init(NOW_S),
            first_quote=Quote(fqme=FQME, last=1.0, ticks=[], time_ns=0),
            rt_shm=tokens[1],
            hist_shm=tokens[60],
        )
        flume = Flume(told)
        every = np.concatenate((older, place.rows(60)))
        assert np.array_equal(await flume.read(), every)
        start_s = (BEGIN_S + 601) // 600 * 600
        ten = await flume.read(BEGIN_S + 601, NOW_S, 600)
        assert np.array_equal(ten, between(resample(every, 600, LOT), start_s, NOW_S))
        both = (int(older["time"][4]), BEGIN_S + 70)
        assert np.array_equal(await flume.read(*both), between(every, *both))
        assert np.array_equal(await flume.read(period_s=1), place.rows(1))
        within = BEGIN_S + 1860 - 600 * 2
        (*_, last) = (await flume.read(BEGIN_S, within, 600)).tolist()
        assert last in resample(every, 600, LOT).tolist(), "a whole one, cut by nobody"
        for bad in (0, -60):
            with pytest.raises(UsageError):
                await flume.read(period_s=bad)
    gone = Flume(told)
    stored = read_bars(FQME, 1, BEGIN_S, BEGIN_S + 100).bars()
    assert np.array_equal(await gone.read(BEGIN_S, BEGIN_S + 100, 1), stored)
    assert len(stored)


async def test_a_bar_that_lacks_a_trade_is_asked_for_again(clock, dirs, tmp_path):
    """The trade came too late for it: buffer and store get the venue's bar."""
    truth = Truth(10, 3700, share=0.4)
    place = Place(tmp_path, Venue(truth))
    async with running(place, NOW_S):
        await place.until_done()
        ticks = truth.ticks(NOW_S, NOW_S + 60)
        late = ticks.pop(3)
        place.venue.now_s = NOW_S + 60
        for builder in place.builders.values():
            builder.apply(ticks)
            builder.advance_to(NOW_S + 60)
        array = ShmArray.attach(place.builders[1].writer.token)
        epoch = array.epoch
        await trio.sleep(10)
        late_s = late.time_ns // NS
        before = read_bars(FQME, 1, late_s, late_s + 1).bars()
        place.builders[1].apply([late])
        place.builders[60].apply([late])
        assert place.builders[1].late == {late_s}
        place.history.doubt(1, late_s)
        while array.epoch == epoch:
            await trio.sleep(1)
        check_joined(place, NOW_S + 60)
        await trio.sleep(10)
        check_stored(place, NOW_S + 50)
        assert not np.array_equal(before, read_bars(FQME, 1, late_s, late_s + 1).bars())


async def test_what_a_venue_has_later_is_asked_for_later(clock, dirs, tmp_path):
    truth = Truth(11, 3600)
    venue = Venue(truth, oldest_s=NOW_S - 600)
    place = Place(tmp_path, venue)
    async with running(place, NOW_S):
        await place.until_done()
        assert read_bars(FQME, 60).bars()["time"][0] >= NOW_S - 600
        venue.oldest_s = 0
        await trio.sleep(4000)
        assert read_bars(FQME, 60).bars()["time"][0] == BEGIN_S


async def test_bars_asked_for_ahead_are_used_if_they_reach_the_first_trades(
    clock, dirs, tmp_path, monkeypatch
):
    """A clock that is behind the venue's leaves a hole: they are asked for again."""
    venue = Venue(Truth(12, 3600, share=1.0), ahead=True)
    venue.now_s = NOW_S
    for ours_s, requests in ((NOW_S, 2), (NOW_S + 59, 2), (NOW_S - 120, 4)):
        monkeypatch.setattr("time.time", lambda at=ours_s: at)
        venue.requests.clear()
        place = Place(tmp_path, venue, store=False)
        place.open()
        await place.history.ask_ahead(MKT)
        await place.begin(NOW_S)
        assert len(venue.requests) == requests
        for period_s in (1, 60):
            got = between(place.rows(period_s), None, place.start_s)
            assert got["time"][-1] == place.start_s - period_s
            assert np.isin(got, venue.truth.bars[period_s]).all()
        place.close(lose=True)


async def test_bars_that_still_formed_when_asked_for_ahead_are_asked_for_again(
    clock, dirs, tmp_path, monkeypatch
):
    """Our clock was ahead of the venue's, and to describe the market took a while."""
    venue = Venue(Truth(14, 3600, share=1.0), ahead=True)
    venue.now_s = NOW_S
    place = Place(tmp_path, venue, store=False)
    place.open()
    now_ns = (place.init(NOW_S).start_ns // NS - 2) * NS
    monkeypatch.setattr("time.time_ns", lambda: now_ns)
    monkeypatch.setattr("time.time", lambda: NOW_S)
    await place.history.ask_ahead(MKT)
    await place.begin(NOW_S)
    assert len(venue.requests) == 4
    place.close(lose=True)


async def test_a_cancelled_question_ahead_holds_up_nobody(clock, dirs, tmp_path):
    venue = Venue(Truth(15, 3600), ahead=True)
    place = Place(tmp_path, venue, store=False)
    place.open()
    sound, venue.get_bars = venue.get_bars, trio.sleep_forever
    venue.get_bars = lambda *_: trio.sleep_forever()
    with trio.move_on_after(1):
        await place.history.ask_ahead(MKT)
    venue.get_bars = sound
    began = trio.current_time()
    assert not await place.begin(NOW_S)
    assert trio.current_time() - began < 1
    place.close(lose=True)


async def test_a_lone_old_bar_makes_no_years_of_nothing(clock, dirs, tmp_path):
    """What is empty for good is what lacks within an answer's length, no more."""
    venue = Venue(Truth(16, 3600, share=1.0), max_bars=20)
    get_bars = venue.get_bars

    async def with_a_lone_one(period_s, end_s, start_s=None):
        bars = await get_bars(period_s, end_s, start_s)
        lone = bars[:1].copy()
        lone["time"] = 60
        return np.concatenate((lone, bars[1:]))

    venue.get_bars = with_a_lone_one
    place = Place(tmp_path, venue)
    async with running(place, NOW_S):
        venue.get_bars = get_bars
        place.history.mod = venue.module()
        await place.until_done()
    again = Place(tmp_path, venue)
    async with running(again, NOW_S):
        await again.until_done()
        check_joined(again, NOW_S)


async def test_trades_of_before_that_come_again_are_no_doubts(clock, dirs, tmp_path):
    """A source that is resumed sends what is known as well, from long before."""
    truth = Truth(17, 3700, share=1.0)
    place = Place(tmp_path, Venue(truth))
    place.open()
    await place.begin(NOW_S)
    place.take(NOW_S, NOW_S + 30)
    place.close()
    place.open()
    for builder in place.builders.values():
        builder.apply(truth.ticks(NOW_S - 300, NOW_S + 40))
        builder.apply([Tick("trade", 1.0, 0.001, NS, 10**6)])
        assert not builder.late
        assert not builder.stats.too_late
    place.close(lose=True)


async def test_stored_bars_from_before_the_venues_are_shown(clock, dirs, tmp_path):
    """The venue has none as old; what lacks in between is flat."""
    truth = Truth(18, 3600, share=1.0)
    with closing(StoreWriter(FQME, 60)) as before:
        before.append(truth.bars[60][:30])
    place = Place(tmp_path, Venue(truth, oldest_s=BEGIN_S + 2400))
    async with running(place, NOW_S):
        await place.until_done()
        rows = place.rows(60)
        assert rows["time"][0] == BEGIN_S
        assert np.array_equal(rows[:30], truth.bars[60][:30])
        assert not rows["count"][30:40].any()
        assert np.all(np.diff(rows["time"]) == 60)


async def test_a_store_that_fails_once_stops_neither_past_nor_present(
    clock, dirs, tmp_path, monkeypatch
):
    truth = Truth(19, 4000, share=1.0)
    place = Place(tmp_path, Venue(truth))
    async with running(place, NOW_S):
        await place.until_done()
        real = _keeper.read_bars

        def full(*args, **kwargs):
            raise OSError(24, "Too many open files")

        monkeypatch.setattr(_keeper, "read_bars", full)
        asked = len(place.venue.requests)
        await trio.sleep(4000)
        assert len(place.venue.requests) == asked, "not to be read isn't to lack"
        monkeypatch.setattr(_keeper, "read_bars", real)
        place.take(NOW_S, NOW_S + 100)
        await trio.sleep(20)
        stored = read_bars(FQME, 1, NOW_S, NOW_S + 99).bars()
        assert np.array_equal(stored, between(truth.bars[1], NOW_S, NOW_S + 99))


async def test_doubts_hold_up_no_look_for_what_lacks(clock, dirs, tmp_path):
    truth = Truth(20, 3600, share=1.0)
    venue = Venue(truth, oldest_s=NOW_S - 600)
    place = Place(tmp_path, venue)
    async with running(place, NOW_S):
        await place.until_done()
        venue.oldest_s = 0
        for _ in range(6):
            place.history.doubt(60, NOW_S - 300)
            await trio.sleep(1800)
        assert read_bars(FQME, 60).bars()["time"][0] == BEGIN_S


async def test_a_fold_that_fails_makes_nothing_be_stored_twice(
    clock, dirs, tmp_path, monkeypatch
):
    def full(writer):
        raise StoreFull("no room")

    monkeypatch.setattr(StoreWriter, "wants_fold", property(lambda _: True))
    monkeypatch.setattr(StoreWriter, "fold", full)
    truth = Truth(21, 4000, share=1.0)
    place = Place(tmp_path, Venue(truth))
    async with running(place, NOW_S):
        await place.until_done()
        for at in range(NOW_S, NOW_S + 200, 20):
            place.take(at, at + 20)
            await trio.sleep(6)
        await trio.sleep(60)
        info = {each.period_s: each for each in list_stores()}
    bars = len(read_bars(FQME, 1))
    assert info[1].tail <= bars + 100, "but for those a late trade may change"


async def test_the_newest_stored_bars_are_asked_for_again(clock, dirs, tmp_path):
    """Who stored them was stopped while trades of theirs were on their way."""
    truth = Truth(30, 3600, share=1.0)
    bars = between(truth.bars[1], None, NOW_S - NOW_S % 60 - 20).copy()
    bars["volume"][-1] = bars["count"][-1] = 0
    with closing(StoreWriter(FQME, 1)) as before:
        before.append(bars)
    place = Place(tmp_path, Venue(truth, max_bars=1000))
    async with running(place, NOW_S):
        await place.until_done()
        check_joined(place, NOW_S)
        await trio.sleep(10)
    check_stored(place, NOW_S - 60)


async def test_stored_seconds_are_waited_for_that_can_not_be_read_at_once(
    clock, dirs, tmp_path, monkeypatch
):
    """A venue that has none would leave stand-ins in their place."""
    truth = Truth(31, 3700, share=0.9)
    start_s = NOW_S - NOW_S % 60
    with closing(StoreWriter(FQME, 1)) as before:
        before.append(between(filled(truth.bars[1], 1, start_s), None, start_s))
    place = Place(tmp_path, Venue(truth, periods=(60,)))
    real, failed = _keeper.read_bars, []

    def fail_at_first(*args, **kwargs):
        if len(failed) < 3:
            failed.append(args)
            raise OSError(24, "Too many open files")
        return real(*args, **kwargs)

    monkeypatch.setattr(_keeper, "read_bars", fail_at_first)
    async with running(place, NOW_S):
        await place.until_done()
        got = between(place.rows(1), BEGIN_S + 1300, start_s)
        assert np.array_equal(got, between(filled(truth.bars[1], 1, start_s),
                                           BEGIN_S + 1300, start_s))  # fmt: skip


async def test_what_a_venue_gives_in_parts_is_not_made_up_meanwhile(
    clock, dirs, tmp_path
):
    """It restores its history, the oldest first."""
    venue = Venue(Truth(32, 3600, share=1.0), oldest_s=NOW_S - 600)
    get_bars, known_s = venue.get_bars, [NOW_S]

    async def some(period_s, end_s, start_s=None):
        bars = await get_bars(period_s, end_s, start_s)
        return bars[(bars["time"] < known_s[0]) | (bars["time"] >= NOW_S - 600)]

    venue.get_bars = some
    place = Place(tmp_path, venue)
    async with running(place, NOW_S):
        await place.until_done()
        venue.oldest_s, known_s[0] = 0, BEGIN_S + 600
        await trio.sleep(3700)
        assert not (read_bars(FQME, 60).bars()["count"] == 0).any()
        known_s[0] = NOW_S
        await trio.sleep(3700)
    check_stored(place, NOW_S - 60)


async def test_a_stuck_disk_takes_no_threads_of_others(dirs):
    release = threading.Event()
    try:
        async with trio.open_nursery() as tasks:
            for _ in range(60):
                tasks.start_soon(_keeper.in_thread, release.wait)
            await trio.sleep(0.05)
            with trio.fail_after(30):
                await trio.to_thread.run_sync(time.monotonic)
            release.set()
    finally:
        release.set()


async def test_a_saver_that_waited_puts_nothing_old_over_a_mended_bar(
    clock, dirs, tmp_path
):
    truth = Truth(33, 3700, share=1.0)
    place = Place(tmp_path, Venue(truth), store=False)
    place.open()
    await place.begin(NOW_S)
    place.take(NOW_S, NOW_S + 5)
    keeper = _keeper.Keeper(FQME, 1, place.warnings.append)
    saver = _keeper.LiveSaver(place.builders[1], keeper)
    await saver.begin()
    assert await saver.save()
    mended = truth.bars[1][truth.bars[1]["time"] == place.start_s + 1].copy()
    mended["volume"] = 9.0
    await keeper.append(mended)
    place.take(NOW_S + 5, NOW_S + 40)
    assert await saver.save()
    await keeper.close()
    (kept,) = read_bars(FQME, 1, place.start_s + 1, place.start_s + 2).bars()
    assert kept["volume"] == 9.0
    place.close(lose=True)


def test_flat_bars_after_a_corrected_one_go_on_at_its_close(tmp_path):
    writer = ShmWriter.open(tmp_path / "b", fqme=FQME, period_s=1, capacity=1024)
    builder = BarBuilder(writer, MKT, 1)
    builder.apply([Tick("trade", 10.0, 0.001, 100 * NS, 1)])
    builder.advance_to(130)
    bars = np.zeros(3, OHLCV)
    bars["time"] = (105, 106, 107)
    for name in ("open", "high", "low", "close"):
        bars[name] = 11.0
    bars["count"][0] = bars["volume"][0] = 1
    changed = builder.correct(bars)
    assert changed["time"].tolist() == list(range(105, 131 - 8))
    builder.advance_to(140)
    rows = writer.rows(*writer.bounds)
    assert set(between(rows, 105, None)["close"].tolist()) == {11.0}
    assert set(between(rows, None, 105)["close"].tolist()) == {10.0}
    writer.close(remove=True)


async def test_a_bar_that_was_left_out_is_no_empty_one():
    """Though the venue is asked once more, and that answer has another odd one."""
    truth = Truth(34, 600, share=1.0)
    odd = {BEGIN_S + 300, BEGIN_S + 540}

    async def get_bars(period_s, end_s, start_s=None):
        bars = between(truth.bars[60], start_s, end_s).copy()
        if not len(bars):
            raise NoData("none")
        bars["close"][np.isin(bars["time"], list(odd))] = np.nan
        return bars

    conf = HistoryConf(max_bars=100, requests_s=1e6)
    venue = VenueBars(get_bars, conf, Pace(), lambda _: None)
    frame = await venue.frame(60, (BEGIN_S, BEGIN_S + 600))
    assert len(frame.bars) == 8
    assert frame.empty == ()


async def test_a_first_answer_that_was_cut_off_is_made_good(clock, dirs, tmp_path):
    """The newest bars lacked: they are flat in the buffer until they are there."""
    venue = Venue(Truth(13, 3600, share=1.0))
    get_bars = venue.get_bars

    async def cut_at_first(period_s, end_s, start_s=None):
        bars = await get_bars(period_s, end_s, start_s)
        return bars[: len(bars) // 2] if start_s is None else bars

    venue.get_bars = cut_at_first
    place = Place(tmp_path, venue)
    async with running(place, NOW_S):
        with pytest.raises(AssertionError):
            check_joined(place, NOW_S)
        await place.until_done()
        check_joined(place, NOW_S)


async def test_one_bar_of_long_ago_costs_no_gigabytes(tmp_path):
    writer = ShmWriter.open(tmp_path / "b", fqme=FQME, period_s=1, capacity=1024)
    writer.since_s = NOW_S
    builder = BarBuilder(writer, MKT, 1)
    bars = np.zeros(2, OHLCV)
    bars["time"] = (0, 3600)
    for name in ("open", "high", "low", "close"):
        bars[name] = (1.0, 2.0)
    bars["volume"] = bars["count"] = 1
    assert builder.prepend(bars) == 1024
    got = writer.rows(*writer.bounds)
    assert got["time"].tolist() == list(range(NOW_S - 1024, NOW_S))
    assert set(got["close"].tolist()) == {2.0}
    assert got["count"].sum() == 0
    assert builder.prepend(bars) == 0
    writer.close(remove=True)
