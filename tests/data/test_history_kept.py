"""What is stored is shown; what is in doubt is asked for again; what a disk costs."""

from __future__ import annotations

import threading
import time
from contextlib import asynccontextmanager, closing
from types import SimpleNamespace

import numpy as np
import pytest
import trio

from piker.brokers import HistoryConf, Lost
from piker.config import DataConf
from piker.data import _history, _keeper
from piker.data._better import replaces
from piker.data._doubts import SETTLE_S, Doubts
from piker.data._market import Market
from piker.data._market_bars import MarketBars
from piker.data._venue_bars import Pace, VenueBars
from piker.errors import NoData, StoreBusy, StoreFull, VenueUnreachable
from piker.msgs import NS
from piker.storage import StoreWriter, list_stores, read_bars
from piker.tsp import OHLCV, between
from tests.data._truth import BEGIN_S, FQME, Truth, Venue
from tests.data.test_history import NOW_S, Place, check_joined, diff, running

START_S = NOW_S - NOW_S % 60


def lacks(venue: Venue, *lost: tuple[int, tuple[int, int]]) -> None:
    """Have a venue know nothing of some spans, each of a period."""
    get_bars = venue.get_bars

    async def some(period_s, end_s, start_s=None):
        bars = await get_bars(period_s, end_s, start_s)
        for each_s, (first_s, stop_s) in lost:
            is_lost = (bars["time"] >= first_s) & (bars["time"] < stop_s)
            bars = bars[~is_lost | (each_s != period_s)]
        if not len(bars):
            raise NoData("none")
        return bars

    venue.get_bars = some


def store(period_s: int, bars) -> None:
    with closing(StoreWriter(FQME, period_s)) as writer:
        writer.append(bars)
        writer.fold()


def shown(place: Place, period_s: int, span):
    return between(place.rows(period_s), *span)


@asynccontextmanager
async def kept(place: Place, now_s: int):
    """The past of a market being kept; its buffers are open already."""
    async with trio.open_nursery() as tasks:
        tasks.start_soon(place.history.run, place.init(now_s), place.builders)
        yield
        tasks.cancel_scope.cancel()


# -- what is stored is shown ------------------------------------------------------


async def test_bars_imported_while_datad_was_stopped_are_shown(clock, dirs, tmp_path):
    """Its buffers were kept, with flat bars where the venue had none."""
    truth = Truth(2, 3700, share=1.0)
    venue = Venue(truth, max_bars=1000)
    lost = (START_S - 1200, START_S - 600)
    live = (NOW_S + 10, NOW_S + 30)
    lacks(venue, (60, lost), (1, live))
    place = Place(tmp_path, venue)
    place.open()
    await place.begin(NOW_S)
    async with kept(place, NOW_S):
        await place.until_done()
        for builder in place.builders.values():
            builder.apply(truth.ticks(NOW_S, live[0]))
            builder.advance_to(live[1])
        await trio.sleep(10)
    place.close()
    store(60, between(truth.bars[60], *lost))
    store(1, between(truth.bars[1], *live))
    again = Place(tmp_path, venue)
    again.open()
    again.start_s = place.start_s
    for builder in again.builders.values():
        builder.apply(truth.ticks(live[1], NOW_S + 60))
        builder.advance_to(NOW_S + 60)
    async with kept(again, NOW_S + 60):
        await again.until_done()
        await trio.sleep(10)
        assert np.array_equal(shown(again, 60, lost), between(truth.bars[60], *lost))
        assert np.array_equal(shown(again, 1, live), between(truth.bars[1], *live))
    again.close(lose=True)


async def test_stored_bars_that_the_venue_lost_are_shown(clock, dirs, tmp_path):
    """The newest, and those that a frame for a hole covers; beyond a window, too."""
    truth = Truth(2, 3600, share=1.0)
    venue = Venue(truth, max_bars=300)
    newest, hole = (START_S - 1200, START_S - 600), (START_S - 1000, START_S - 900)
    older = (START_S - 1100, START_S - 1050)
    lacks(venue, (60, newest), (1, (START_S - 40, START_S - 30)), (1, older))
    store(60, between(truth.bars[60], None, START_S))
    bars = between(truth.bars[1], None, START_S)
    store(1, bars[(bars["time"] < hole[0]) | (bars["time"] >= hole[1])])
    place = Place(tmp_path, venue)
    async with running(place, NOW_S):
        await place.until_done()
        check_joined(place, NOW_S)


@pytest.mark.parametrize("window", [120, 1 << 17])
async def test_a_frame_that_goes_beyond_what_was_read_hides_nothing(
    clock, dirs, tmp_path, monkeypatch, window
):
    monkeypatch.setattr("piker.data._backfill._WINDOW", window)
    truth = Truth(3, 3600, share=1.0)
    venue = Venue(truth, max_bars=300)
    hole, lost = (START_S - 500, START_S - 450), (START_S - 700, START_S - 600)
    lacks(venue, (1, lost))
    bars = between(truth.bars[1], None, START_S)
    store(1, bars[(bars["time"] < hole[0]) | (bars["time"] >= hole[1])])
    place = Place(tmp_path, venue)
    async with running(place, NOW_S):
        await place.until_done()
        check_joined(place, NOW_S)


async def test_an_import_stays_though_the_venue_has_other_bars(clock, dirs, tmp_path):
    """But for the newest: who stored those may have been stopped too soon."""
    truth = Truth(2, 3600, share=1.0)
    bars = between(truth.bars[60], None, START_S).copy()
    mine = slice(20, 40)
    bars["volume"][mine] += 5
    bars["volume"][-3:] += 5
    store(60, bars)
    place = Place(tmp_path, Venue(truth, max_bars=1000))
    async with running(place, NOW_S):
        await place.until_done()
        await trio.sleep(10)
        stored = read_bars(FQME, 60, None, START_S).bars()
        assert np.array_equal(stored[mine], bars[mine])
        assert np.array_equal(stored[-3:], truth.bars[60][: len(bars)][-3:])
        assert np.array_equal(shown(place, 60, (BEGIN_S, START_S)), stored)


def test_which_stored_bars_a_venues_replace():
    known = np.zeros(40, OHLCV)
    known["time"] = [*range(20), *range(29, 49)]
    known["count"] = 1
    known["count"][5] = 0
    bars = known.copy()
    bars["count"] = 2
    bars["count"][-1] = 0
    got = np.flatnonzero(replaces(bars, known, 1, 49)).tolist()
    assert got == [5, *range(12, 20)]
    got = np.flatnonzero(replaces(bars, known, 1)).tolist()
    assert got == [5, *range(12, 20), *range(32, 39)]
    assert replaces(bars, known[:0], 1).all()
    assert not replaces(bars[:0], known, 1).any()


async def test_flat_bars_after_what_is_filled_are_stored_at_its_close(
    clock, dirs, tmp_path
):
    """The first answer lacked its end, then the venue was away; nothing trades."""
    truth = Truth(2, 3700, share=1.0)
    keep = truth.time_ns < START_S * NS
    truth.time_ns, truth.price, truth.lots = (
        each[keep] for each in (truth.time_ns, truth.price, truth.lots)
    )
    truth.bars = {p: bars[bars["time"] < START_S] for p, bars in truth.bars.items()}
    venue = Venue(truth, max_bars=1000)
    real, away = venue.get_bars, [True]

    async def get_bars(period_s, end_s, start_s=None):
        if start_s is None and end_s == START_S:
            return (await real(period_s, end_s, start_s))[:-5]
        if away[0]:
            raise VenueUnreachable("away")
        return await real(period_s, end_s, start_s)

    venue.get_bars = get_bars
    place = Place(tmp_path, venue)
    async with running(place, NOW_S):
        for at in range(NOW_S, NOW_S + 60):
            await trio.sleep(1)
            place.take(at, at + 1)
        away[0] = False
        await place.until_done()
        place.take(NOW_S + 60, NOW_S + 80)
        await trio.sleep(30)
    stored = read_bars(FQME, 1, START_S, NOW_S + 79).bars()
    assert len(stored) == NOW_S + 79 - START_S
    assert set(stored["close"].tolist()) == {truth.bars[1]["close"][-1]}


async def test_a_saver_puts_no_flat_bar_over_one_with_trades(clock, dirs, tmp_path):
    """Imported while nobody listened; the newest stored ones are stored again."""
    truth = Truth(2, 3700, share=1.0)
    place = Place(tmp_path, Venue(truth, max_bars=1000), store=False)
    place.open()
    await place.begin(NOW_S)
    place.builders[1].advance_to(NOW_S + 30)
    mine = between(truth.bars[1], NOW_S, NOW_S + 20)
    store(1, mine)
    keeper = _keeper.Keeper(FQME, 1, place.warnings.append)
    saver = _keeper.LiveSaver(place.builders[1], keeper)
    await saver.begin()
    assert await saver.save()
    await keeper.close()
    stored = read_bars(FQME, 1, NOW_S, NOW_S + 29).bars()
    assert np.array_equal(stored[:20], mine)
    assert len(stored) == 29
    place.close(lose=True)


async def test_who_is_cancelled_as_it_begins_stores_what_closed(
    clock, dirs, tmp_path, monkeypatch
):
    truth = Truth(2, 3700, share=1.0)
    place = Place(tmp_path, Venue(truth, max_bars=1000), store=False)
    place.open()
    await place.begin(NOW_S)
    place.take(NOW_S, NOW_S + 30)
    keeper = _keeper.Keeper(FQME, 1, place.warnings.append)
    read, waits = keeper.read, [trio.sleep_forever]

    async def slow(*args, **kwargs):
        if waits:
            await waits.pop()()
        return await read(*args, **kwargs)

    monkeypatch.setattr(keeper, "read", slow)
    with trio.move_on_after(1):
        await _history._save_live(place.builders[1], keeper)
    await keeper.close()
    stored = read_bars(FQME, 1, NOW_S, NOW_S + 29).bars()
    assert np.array_equal(stored, between(truth.bars[1], NOW_S, NOW_S + 29))
    place.close(lose=True)


# -- what the venue is asked ------------------------------------------------------


def kraken_like(truth: Truth) -> Venue:
    """A venue that has its newest hundred bars only, and says so."""
    venue = Venue(truth, max_bars=100)
    real = venue.get_bars

    async def get_bars(period_s, end_s, start_s=None):
        venue.oldest_s = venue.now_s - 100 * period_s
        return await real(period_s, end_s, start_s)

    @asynccontextmanager
    async def open_history_client(mkt):
        yield get_bars, HistoryConf((1,), 100, 0.5, reach_bars=98)

    venue.module = lambda: SimpleNamespace(
        __name__="piker.brokers.scripted", open_history_client=open_history_client
    )
    return venue


async def test_holes_beyond_a_venues_reach_are_not_asked_for(clock, dirs, tmp_path):
    """E.g. those of an imported file without rows for minutes without a trade."""
    truth = Truth(1, 3700, share=0.5)
    venue = kraken_like(truth)
    store(1, between(truth.bars[1], None, START_S))
    place = Place(tmp_path, venue)
    async with running(place, NOW_S):
        await trio.sleep(60)
        asked = len(venue.requests)
        await trio.sleep(2 * 3600)
        assert len(venue.requests) - asked <= 8
        place.take(NOW_S, NOW_S + 50)
        began, asked = trio.current_time(), len(venue.requests)
        place.history.doubt(1, NOW_S + 20)
        while not any(start == NOW_S + 20 for _, _, start in venue.requests[asked:]):
            await trio.sleep(1)
        assert trio.current_time() - began < 30


async def test_one_look_answers_many_holes_and_lets_doubts_go_first(
    clock, dirs, tmp_path
):
    """On a disk too full to note what is empty, too."""
    truth = Truth(5, 3700, share=0.5)
    venue = Venue(truth, max_bars=100)
    conf = HistoryConf((1,), 100, 0.5)

    @asynccontextmanager
    async def open_history_client(mkt):
        yield venue.get_bars, conf

    venue.module = lambda: SimpleNamespace(
        __name__="piker.brokers.scripted", open_history_client=open_history_client
    )
    store(1, between(truth.bars[1], None, START_S))
    place = Place(tmp_path, venue)

    async def full(_keeper, _spans):
        pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_keeper.Keeper, "note_empty", full)
        async with running(place, NOW_S):
            await trio.sleep(200)
            while len(place.history.progress) < 1:
                await trio.sleep(1)
            place.take(NOW_S, NOW_S + 50)
            await trio.sleep(3600 - trio.current_time() % 3600)
            asked = len(venue.requests)
            while len(venue.requests) < asked + 3:
                await trio.sleep(1)  # the look has begun
            place.history.doubt(1, NOW_S + 20)
            await trio.sleep(30)
            starts = [start for _, _, start in venue.requests[asked:]]
            assert NOW_S + 20 in starts
            await trio.sleep(3400)
            assert len(venue.requests) - asked < 2 * 36 + 20
            asked = len(venue.requests)
            await trio.sleep(3600)
            assert len(venue.requests) - asked <= 8, "the session knows"


async def test_a_market_that_is_not_stored_asks_for_its_past_once(
    clock, dirs, tmp_path
):
    """Not at each opening: what it has got to is in the buffer."""
    venue = Venue(Truth(2, 3600, share=1.0), max_bars=100)
    place = Place(tmp_path, venue, store=False)
    place.open()
    await place.begin(NOW_S)
    async with kept(place, NOW_S):
        while len(venue.requests) < 10:
            await trio.sleep(0.01)
    first = len(venue.requests)
    for most in (50, 4, 4):
        venue.requests.clear()
        async with kept(place, NOW_S):
            await trio.sleep(60)
            await place.until_done()
        assert len(venue.requests) <= most - (first if most == 50 else 0) + 4
    check_joined(place, NOW_S)
    place.close(lose=True)


async def test_a_cancelled_turn_is_the_next_ones(autojump_clock):
    pace = Pace()
    await pace.turn(1)
    with trio.move_on_after(0.5):
        await pace.turn(1)
    began = trio.current_time()
    await pace.turn(1)
    assert trio.current_time() - began == pytest.approx(0.5)
    await pace.turn(1)
    assert trio.current_time() - began == pytest.approx(1.5)


# -- what an answer doesn't say ---------------------------------------------------


def ones(first: int, end: int):
    bars = np.zeros(end - first, OHLCV)
    bars["time"] = 60 * np.arange(first, end)
    for name in ("open", "high", "low", "close", "volume"):
        bars[name] = 1
    bars["count"] = 3
    return bars


@pytest.mark.parametrize("odd", [1 << 61, 60 * 1002 + 7, 60 * 1002 * 1000, 60])
async def test_a_bar_of_a_damaged_time_leaves_no_empty_minute(odd):
    """What it was of can't be told: no minute without a bar is one of no trade."""

    async def get_bars(period_s, end_s, start_s=None):
        bars = ones(1000, 1005)
        bars["time"][2] = odd
        return bars

    venue = VenueBars(get_bars, HistoryConf((60,), 1000, 1e6), Pace(), lambda _: None)
    frame = await venue.frame(60, (60 * 900, 60 * 1005))
    assert frame.empty == ()
    assert (frame.bars["time"] // 60).tolist() == [1000, 1001, 1003, 1004]


async def test_what_lies_between_two_answers_is_not_empty():
    """Each may be cut off: told are a hundred bars, it gives fifty."""
    bars = ones(1000, 1400)
    bars = bars[bars["time"] != 60 * 1395]

    async def get_bars(period_s, end_s, start_s=None):
        return between(bars, start_s, end_s)[-50:]

    venue = VenueBars(get_bars, HistoryConf((60,), 100, 1e6), Pace(), lambda _: None)
    frame = await venue.newest_since(60, 60 * 1400, bars[:320])
    assert len(frame.bars) == 370
    assert frame.empty == ((60 * 1395, 60 * 1396),)

    async def first_half(period_s, end_s, start_s=None):
        return between(bars, start_s, end_s)[: 20 if start_s < 60 * 1321 else 5]

    venue.get_bars = first_half
    frame = await venue.frame(60, (60 * 1320, 60 * 1400))
    assert frame.empty == ()


# -- what is in doubt -------------------------------------------------------------


async def test_bars_of_lost_trades_are_asked_for_of_both_periods(clock, dirs, tmp_path):
    """Once no trade can change them any more."""
    truth = Truth(10, 4400, share=1.0)
    place = Place(tmp_path, Venue(truth))
    span = (NOW_S + 20, NOW_S + 30)
    async with running(place, NOW_S):
        await place.until_done()
        ticks = truth.ticks(NOW_S, NOW_S + 60)
        place.venue.now_s = NOW_S + 60
        for builder in place.builders.values():
            kept_ticks = (t for t in ticks if not span[0] <= t.time_ns // NS < span[1])
            builder.apply(kept_ticks)
            builder.advance_to(NOW_S + 60)
        for period_s in (1, 60):
            first, end = span[0] // period_s, -(-span[1] // period_s)
            place.history.doubt(period_s, first * period_s, end * period_s)
        place.take(NOW_S + 60, NOW_S + 100)
        await trio.sleep(10)
        whole = between(truth.bars[60], START_S, START_S + 120)
        assert not np.array_equal(shown(place, 60, (START_S, START_S + 120)), whole)
        for at in range(NOW_S + 100, NOW_S + 700, 60):
            place.take(at, at + 60)
            await trio.sleep(60)
        check_joined(place, NOW_S + 700)
        assert place.history._doubts[60].spans == ()
    for period_s in (1, 60):
        got = read_bars(FQME, period_s, START_S, START_S + 120).bars()
        assert np.array_equal(
            got, between(truth.bars[period_s], START_S, START_S + 120)
        )


async def test_doubts_that_one_answer_settles_are_one_question(clock, dirs, tmp_path):
    """Each restart of a backend may leave one; no bar between them is touched."""
    truth = Truth(11, 4400, share=1.0)
    place = Place(tmp_path, Venue(truth, max_bars=100))
    async with running(place, NOW_S):
        await place.until_done()
        place.take(NOW_S, NOW_S + 300)
        lies = truth.bars[1].copy()
        lies["volume"] += 1
        place.venue.truth = SimpleNamespace(bars={**truth.bars, 1: lies})
        asked = len(place.venue.requests)
        seconds = [NOW_S + 10, *range(NOW_S + 150, NOW_S + 250, 10)]
        for at in seconds:
            place.history.doubt(1, at)
        await trio.sleep(20)
        starts = [start for _, _, start in place.venue.requests[asked:]]
        assert starts == [NOW_S + 150, NOW_S + 10]
        got = shown(place, 1, (NOW_S, NOW_S + 260))
        was = between(truth.bars[1], NOW_S, NOW_S + 260)
        assert got["time"][got != was].tolist() == seconds
        assert place.history._doubts[1].spans == ()


async def test_what_a_venues_trades_leave_out_is_in_doubt(autojump_clock):
    """Every bar from the trade before it to the one after."""
    mod = SimpleNamespace(__name__="piker.brokers.scripted")
    market = Market(FQME, mod, DataConf(), lambda _: None)
    market.bars.builders = {
        p: SimpleNamespace(period_s=p, writer=SimpleNamespace(doubt=None))
        for p in (1, 60)
    }
    market._handle(Lost(FQME, 119 * NS + 5, 121 * NS))
    told = {p: doubts._told for p, doubts in market.history._doubts.items()}
    assert told == {1: ((119, 122),), 60: ((60, 180),)}
    # and in the buffers, for who goes on if this process is killed right now
    noted = {p: builder.writer.doubt for p, builder in market.bars.builders.items()}
    assert noted == {1: (119, 122), 60: (60, 180)}


def _lost(place: Place, start_s: int, end_s: int) -> None:
    """Have datad told that trades are lost, as a backend tells it."""
    bars = MarketBars(place.warnings.append, place.history.doubt, place.builders)
    bars.lose(start_s * NS, (end_s - 1) * NS)


@pytest.mark.parametrize("when", ["while the venue is asked", "before a disk has it"])
async def test_doubts_outlive_a_datad_that_is_killed_right_after(
    clock, dirs, tmp_path, monkeypatch, when
):
    """Trades that came later are in by then: the next one goes on from there."""
    truth = Truth(10, 3700, share=1.0)
    place = Place(tmp_path, Venue(truth))
    place.open()
    await place.begin(NOW_S)
    ticks = truth.ticks(NOW_S, NOW_S + 60)
    lost = [(NOW_S + 5, NOW_S + 8), (NOW_S + 30, NOW_S + 40)]
    sound = place.venue.fault_share
    async with kept(place, NOW_S):
        await place.until_done()
        place.venue.now_s = NOW_S + 60
        for builder in place.builders.values():
            builder.apply(
                one
                for one in ticks
                if not any(a <= one.time_ns // NS < b for a, b in lost)
            )
            builder.advance_to(NOW_S + 60)
        await trio.sleep(10)
        place.venue.fault_share = 1.0
        if when == "before a disk has it":
            monkeypatch.setattr(StoreWriter, "note_doubts", _is_full)
        _lost(place, *lost[0])
        await trio.sleep(20)
        _lost(place, *lost[1])
        await trio.sleep(1)
        assert place.builders[1].writer.doubt == (
            None if when == "while the venue is asked" else (lost[0][0], lost[1][1])
        )
    place.close()
    monkeypatch.undo()
    place.venue.fault_share = sound
    again = Place(tmp_path, place.venue)
    again.open()
    again.start_s = place.start_s
    again.take(NOW_S + 60, NOW_S + 61)
    async with kept(again, NOW_S):
        await trio.sleep(60)
        assert again.builders[1].writer.doubt is None
    got = read_bars(FQME, 1, NOW_S, NOW_S + 40).bars()
    want = between(truth.bars[1], NOW_S, NOW_S + 40)
    assert np.array_equal(got, want), diff(got, want)
    again.close(lose=True)


async def test_a_doubt_told_again_while_it_is_asked_for_is_asked_for_again(
    autojump_clock,
):
    """The answer under way may be older than the trade that lacks."""
    doubts, asked = Doubts(), []

    async def mend(spans):
        asked.append(spans)
        if len(asked) == 1:
            doubts.add((100, 101))
        await trio.sleep(1)
        return spans

    writer = SimpleNamespace(doubt=None)
    builder = SimpleNamespace(writer=writer, newest_s=200, oldest_s=0, settled_s=200)
    fill = SimpleNamespace(
        builder=builder, mend=mend, can_mend=True, keeper=None, period_s=1
    )
    async with trio.open_nursery() as tasks:
        tasks.start_soon(doubts.keep_on, fill)
        doubts.add((100, 102))
        for left in (
            [
                (100, 101),
            ],
            [],
        ):
            await trio.sleep(SETTLE_S)
            await doubts.settle(fill)
            assert list(doubts.spans) == left
        tasks.cancel_scope.cancel()
    assert asked == [[(100, 102)], [(100, 101)]]


def _is_full(_writer, _spans) -> None:
    raise StoreFull("no space left on device")


@pytest.mark.parametrize("how", ["the market is closed", "datad is killed"])
async def test_doubts_outlive_who_had_them(clock, dirs, tmp_path, how):
    truth = Truth(10, 3700, share=0.4)
    place = Place(tmp_path, Venue(truth))
    place.open()
    await place.begin(NOW_S)
    ticks = truth.ticks(NOW_S, NOW_S + 60)
    late = [t for t in ticks if t.time_ns // NS < NOW_S + 40]
    sound = place.venue.fault_share
    async with kept(place, NOW_S):
        await place.until_done()
        place.venue.now_s = NOW_S + 60
        for builder in place.builders.values():
            builder.apply([t for t in ticks if t not in late])
            builder.advance_to(NOW_S + 60)
        await trio.sleep(10)
        place.venue.fault_share = 1.0
        for at in {t.time_ns // NS for t in late}:
            place.history.doubt(1, at)
        await trio.sleep(20)
    again = place
    if how == "datad is killed":
        place.close(lose=True)
        again = Place(tmp_path, place.venue)
        again.open()
        again.builders[1].writer.since_s = START_S
        again.start_s = place.start_s
        again.take(NOW_S + 60, NOW_S + 61)
    place.venue.fault_share = sound
    async with kept(again, NOW_S):
        await trio.sleep(60)
        with closing(StoreWriter(FQME, 7)):
            pass
    got = read_bars(FQME, 1, NOW_S, NOW_S + 40).bars()
    want = between(truth.bars[1], NOW_S, NOW_S + 40)
    assert np.array_equal(got[got["count"] > 0], want)
    with closing(StoreWriter(FQME, 1)) as writer:
        assert writer.doubts == ()
    again.close(lose=True)


async def test_a_venues_empty_bar_takes_no_place_of_one_with_trades(
    clock, dirs, tmp_path
):
    truth = Truth(10, 3700, share=1.0)
    venue = Venue(truth)
    real, stale = venue.get_bars, set()

    async def get_bars(period_s, end_s, start_s=None):
        bars = (await real(period_s, end_s, start_s)).copy()
        is_stale = np.isin(bars["time"], list(stale))
        bars["volume"][is_stale] = bars["count"][is_stale] = 0
        for name in ("open", "high", "low"):
            bars[name][is_stale] = bars["close"][is_stale]
        return bars

    venue.get_bars = get_bars
    place = Place(tmp_path, venue)
    at = NOW_S + 20
    async with running(place, NOW_S):
        await place.until_done()
        place.take(NOW_S, NOW_S + 60)
        await trio.sleep(10)
        stale.update((at, START_S - 5))
        place.history.doubt(1, at)
        await trio.sleep(60)
    again = Place(tmp_path, venue)
    async with running(again, NOW_S):
        await again.until_done()
        assert shown(again, 1, (START_S - 5, START_S - 4))["count"] > 0
    for time_s in stale:
        got = read_bars(FQME, 1, time_s, time_s + 1).bars()
        assert np.array_equal(got, between(truth.bars[1], time_s, time_s + 1))


async def test_of_too_many_doubts_near_ones_are_joined(autojump_clock):
    doubts = Doubts()
    for at in range(0, 60_000, 30):
        doubts.add((at, at + 1))
    doubts.add((10**6, 10**6 + 1))
    assert len(doubts._told) <= 500
    assert doubts._told[-1] == (10**6, 10**6 + 1)
    assert doubts._told[0][0] == 0
    assert doubts._told[-2][1] == 60_000 - 29


# -- what a store costs -----------------------------------------------------------


@pytest.mark.parametrize("has_future", [False, True])
async def test_a_bar_of_the_future_hides_none_that_is_to_be_stored(
    clock, dirs, tmp_path, has_future
):
    """Its datad was killed, its buffer adopted; the venue has no seconds."""
    truth = Truth(10, 4000, share=1.0)
    venue = Venue(truth, periods=(60,))
    place = Place(tmp_path, venue)
    place.open()
    await place.begin(NOW_S)
    async with kept(place, NOW_S):
        await place.until_done()
        place.take(NOW_S, NOW_S + 20)
        await trio.sleep(10)
    place.take(NOW_S + 20, NOW_S + 50)
    place.close()
    if has_future:
        future = truth.bars[60][-1:].copy()
        future["time"] += 86_400 * 400
        store(1, future)
    again = Place(tmp_path, venue)
    again.open()
    again.start_s = place.start_s
    again.take(0, NOW_S + 60)
    async with kept(again, NOW_S + 60):
        await trio.sleep(20)
    got = read_bars(FQME, 1, NOW_S, NOW_S + 59).bars()
    assert np.array_equal(got, between(truth.bars[1], NOW_S, NOW_S + 59))
    again.close(lose=True)


class Disk:
    """Holds up whoever reads or writes by it, until it is let go."""

    def __init__(self, real) -> None:
        self.real, self.gate, self.is_in = real, threading.Event(), threading.Event()

    def __call__(self, *args, **kwargs):
        self.is_in.set()
        self.gate.wait(20)
        return self.real(*args, **kwargs)


async def test_a_disk_that_hangs_holds_up_no_opening(dirs, tmp_path, monkeypatch):
    """The venue is asked for all of the newest bars then."""
    disk = Disk(_history.read_tail)
    monkeypatch.setattr(_history, "read_tail", disk)
    monkeypatch.setattr(_history, "TAIL_DEADLINE_S", 0.2)
    place = Place(tmp_path, Venue(Truth(1, 3600)))
    place.open()
    began = time.monotonic()
    try:
        assert await place.begin(NOW_S) == ""
        assert time.monotonic() - began < 15
        assert len(shown(place, 60, (BEGIN_S, START_S))) == 60
    finally:
        disk.gate.set()
        place.close(lose=True)


@pytest.mark.parametrize("step", ["read", "append", "close", "open"])
async def test_a_disk_that_hangs_holds_up_no_end(dirs, tmp_path, monkeypatch, step):
    """And whoever comes after it has let go gets the store."""
    for mod in (_history, _keeper):
        monkeypatch.setattr(mod, "CLOSE_DEADLINE_S", 0.2)
    place = Place(tmp_path, Venue(Truth(1, 3700)))
    place.open()
    await place.begin(NOW_S)
    if step == "read":
        disk = Disk(_keeper.read_bars)
        monkeypatch.setattr(_keeper, "read_bars", disk)
    elif step == "open":
        disk = Disk(StoreWriter)
        monkeypatch.setattr(_keeper, "StoreWriter", disk)
    else:
        disk = Disk(getattr(StoreWriter, step))

        def hang(*args):  # a function: bound to its writer, where a disk isn't
            return disk(*args)

        monkeypatch.setattr(StoreWriter, step, hang)
    try:
        async with kept(place, NOW_S):
            while not (disk.is_in.is_set() or (step == "close" and list_stores())):
                await trio.sleep(0.01)
            began = time.monotonic()
        assert time.monotonic() - began < 15
        assert await trio.to_thread.run_sync(disk.is_in.wait, 20)
    finally:
        disk.gate.set()
    place.take(NOW_S, NOW_S + 60)
    async with kept(place, NOW_S):
        with trio.fail_after(20):
            while len(read_bars(FQME, 1, NOW_S, NOW_S + 50)) < 20:
                await trio.sleep(0.05)
    with trio.fail_after(20):
        while True:
            try:
                StoreWriter(FQME, 1).close()
                break
            except StoreBusy:
                await trio.sleep(0.05)
    place.close(lose=True)
