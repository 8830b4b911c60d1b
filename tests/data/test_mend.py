"""Holes of a store, filled by its venue: exactly, newest first, and to an end."""

from __future__ import annotations

import tracemalloc
from contextlib import asynccontextmanager, closing
from copy import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import trio

from piker.data._bus import FeedsBus
from piker.data._mend import mend_market
from piker.errors import (
    StoreBusy,
    StoreError,
    VenueRefused,
    VenueUnreachable,
)
from piker.storage import StoreWriter, read_bars, verify
from piker.tsp import between, fill_gaps
from tests.data._truth import BEGIN_S, FQME, MKT, Truth, Venue
from tests.data.test_history import Place, diff

LENGTH_S = 3600
NOW_S = BEGIN_S + LENGTH_S


class Bench:
    """A bus over a venue, and what was told."""

    def __init__(self, venue: Venue) -> None:
        venue.now_s = NOW_S
        self.venue, self.told = venue, []
        mod = venue.module()
        mod.get_mkt_info = self._mkt_info
        self.bus = FeedsBus(mod)

    async def _mkt_info(self, name):
        return MKT, None

    async def mend(self, period_s: int = 1, span=None):
        """Mend; return how it ended."""
        self.told.clear()
        self.venue.requests.clear()
        await mend_market(self.bus, FQME, period_s, span, self._tell)
        assert self.bus.doing() == ""
        assert [told.done >= 1 for told in self.told].index(True) + 1 == len(self.told)
        return self.told[-1]

    async def _tell(self, told) -> None:
        assert self.bus.doing() == f"mends {FQME}, 1 s: {told.done:.0%}"
        self.told.append(told)


def store(bars, *empty) -> None:
    with closing(StoreWriter(FQME, 1)) as writer:
        writer.append(bars)
        for span in empty:
            writer.note_empty([span])


def stored():
    assert not verify(FQME, 1)
    return read_bars(FQME, 1).bars()


def without(bars, *spans):
    """Leave out what opens in spans of seconds after BEGIN_S."""
    at_s = bars["time"] - BEGIN_S
    for start, end in spans:
        bars, at_s = (each[(at_s < start) | (at_s >= end)] for each in (bars, at_s))
    return bars


HOLES = ((100, 160), (900, 910), (2000, 2700), (3200, 3201))


async def test_holes_are_filled_exactly_and_nothing_else(clock, dirs):
    """What was noted as empty is asked for again; a stored bar stays as it is."""
    bench = Bench(Venue(Truth(1, LENGTH_S, share=0.9), max_bars=500))
    truth = bench.venue.truth.bars[1].copy()
    own = truth[50:52]
    own["close"] = own["high"]  # the user's, of an import say
    own["count"] += 7
    kept = without(truth, *HOLES)
    store(kept, (BEGIN_S + 100, BEGIN_S + 160))
    told = await bench.mend()
    assert np.array_equal(stored(), truth)
    lacked = int(truth["time"][-1] - truth["time"][0]) + 1 - len(kept)
    left = lacked - (len(truth) - len(kept))
    assert (told.lacked, told.filled, told.left) == (lacked, lacked - left, left)
    ends = [end for _, end, start in bench.venue.requests if start is not None]
    assert ends[0] > ends[-1]
    assert len(bench.venue.requests) <= 20, "one frame answers for many holes"
    assert all(p.notes == () for p in bench.told)
    again = await bench.mend()
    assert (again.filled, again.left) == (0, left)
    StoreWriter(FQME, 1).close()  # it is free


@pytest.mark.parametrize("seed", range(12))
async def test_an_ill_behaved_venue_fills_them_as_well(clock, dirs, seed):
    rng = np.random.default_rng(seed)
    venue = Venue(
        Truth(seed, LENGTH_S, share=(0.05, 0.5, 1.0)[seed % 3]),
        seed=seed,
        max_bars=int(rng.integers(20, 400)),
        fault_share=0.03,
        is_odd=bool(seed % 2),
        cuts_newest=bool(seed % 4 // 2),
    )
    bench = Bench(venue)
    truth = venue.truth.bars[1]
    kept = rng.random(len(truth)) < 0.6
    kept[[0, -1]] = True
    kept[len(kept) // 3 : len(kept) // 2] = False
    store(truth[kept])
    told = await bench.mend()
    assert np.array_equal(stored(), truth)
    assert told.filled == np.count_nonzero(~kept)


async def test_a_venue_that_has_no_more_brings_it_to_an_end(clock, dirs):
    bench = Bench(Venue(Truth(2, LENGTH_S, share=1.0), oldest_s=BEGIN_S + 2200))
    truth = bench.venue.truth.bars[1]
    store(without(truth, *HOLES))
    told = await bench.mend()
    assert np.array_equal(stored(), without(truth, *HOLES[:2], (2000, 2200)))
    assert (told.filled, told.left) == (501, 60 + 10 + 200)
    assert len(bench.venue.requests) <= 20


async def test_a_venue_is_not_asked_for_more_than_it_keeps(clock, dirs, monkeypatch):
    bench = Bench(Venue(Truth(9, LENGTH_S, share=1.0)))
    monkeypatch.setattr("time.time", lambda: NOW_S)
    open_any = bench.bus.mod.open_history_client

    @asynccontextmanager
    async def open_short(mkt):
        async with open_any(mkt) as (get_bars, conf):
            yield get_bars, replace(conf, reach_bars=1100)

    bench.bus.mod.open_history_client = open_short
    truth = bench.venue.truth.bars[1]
    store(without(truth, *HOLES))
    told = await bench.mend()
    assert np.array_equal(stored(), without(truth, *HOLES[:2], (2000, 2500)))
    assert (told.filled, told.left) == (201, 60 + 10 + 500)
    assert min(start for _, _, start in bench.venue.requests) >= NOW_S - 1100


async def test_bars_beyond_those_stored_are_asked_for_where_files_are_gone(clock, dirs):
    bench = Bench(Venue(Truth(3, LENGTH_S, share=1.0)))
    truth = bench.venue.truth.bars[1]
    store(without(truth, (0, 500), (3000, 3600)))
    assert (await bench.mend()).lacked == 0
    told = await bench.mend(span=(BEGIN_S + 200, BEGIN_S + 3400))
    assert told.filled == 300 + 400
    assert np.array_equal(stored(), without(truth, (0, 200), (3400, 3600)))


async def test_a_venue_that_goes_away_costs_nothing_that_it_gave(clock, dirs):
    bench = Bench(Venue(Truth(4, LENGTH_S, share=1.0)))
    truth = bench.venue.truth.bars[1]
    store(without(truth, (100, 3500)))
    sound = bench.venue.get_bars

    async def three_then_none(*args):
        if len(bench.venue.requests) >= 3:
            raise VenueUnreachable("the line is dead")
        return await sound(*args)

    bench.venue.get_bars = three_then_none
    said = "^the line is dead; 300 bars that lacked are stored by now$"
    with pytest.raises(VenueUnreachable, match=said):
        await bench.mend()
    assert np.array_equal(stored(), without(truth, (100, 3200)))
    bench.venue.get_bars = sound
    assert (await bench.mend()).filled == 3100
    assert np.array_equal(stored(), truth)


async def test_what_can_not_be_asked_for_is_one_sentence_each(clock, dirs):
    truth = Truth(5, LENGTH_S, share=1.0)
    bench = Bench(Venue(truth, periods=(60,)))
    with pytest.raises(StoreError, match="no 1 s bars of 'btcusdt.spot.scripted'"):
        await bench.mend()
    store(without(truth.bars[1], *HOLES))
    with pytest.raises(VenueRefused, match="of 1 s, only of 60 s: .* --offline"):
        await bench.mend()
    del bench.bus.mod.open_history_client
    with pytest.raises(VenueRefused, match="of 1 s, nor any other"):
        await bench.mend()
    bench = Bench(Venue(truth))
    with closing(StoreWriter(FQME, 1)):
        for _ in range(2):  # the second one waits for no retry either
            with pytest.raises(StoreBusy, match="writes the bars"):
                await bench.mend()
    assert bench.venue.requests == []
    assert (await bench.mend()).filled == 771, "at once: nobody writes it now"


def lacking(truth: Truth, *spans) -> Truth:
    """Return what a venue tells that lost its bars of some spans."""
    told = copy(truth)
    told.bars = {p: without(bars, *spans) for p, bars in truth.bars.items()}
    return told


@asynccontextmanager
async def open_market(place: Place, bench: Bench):
    """The market is open in the bus's datad, its past being kept."""
    place.history.keepers = bench.bus.keepers
    place.open()
    builders = place.builders
    bars, past = SimpleNamespace(builders=builders), SimpleNamespace(progress={})
    bench.bus.markets[FQME] = SimpleNamespace(bars=bars, history=past)
    assert not await place.begin(NOW_S)
    scope, ended = trio.CancelScope(), trio.Event()

    async def keep() -> None:
        with scope:
            await place.history.run(place.init(NOW_S), builders)
        ended.set()

    async def close() -> None:
        scope.cancel()
        await ended.wait()

    async with trio.open_nursery() as tasks:
        tasks.start_soon(keep)
        yield close
        await close()
    place.close(lose=True)


async def test_in_an_open_market_one_writer_writes_for_both(clock, dirs, tmp_path):
    """Its buffer is corrected; and whoever is the last lets go of the store."""
    bench = Bench(Venue(Truth(6, LENGTH_S, share=0.8)))
    truth = bench.venue.truth
    sound, gate = bench.venue.get_bars, trio.Event()

    async def waits(*args):
        await gate.wait()
        return await sound(*args)

    bench.venue.truth = lacking(bench.venue.truth, (1500, 1900))
    place = Place(tmp_path, bench.venue)
    async with open_market(place, bench) as close, trio.open_nursery() as tasks:
        await place.until_done()
        assert not np.isin(truth.bars[1], place.rows(1)).all()
        bench.venue.truth, bench.venue.get_bars = truth, waits
        tasks.start_soon(bench.mend)
        await trio.sleep(5)
        await close()  # nobody wants the market any more, the mend has the store
        with pytest.raises(StoreBusy):
            await trio.to_thread.run_sync(StoreWriter, FQME, 1)
        gate.set()
    assert place.warnings == []
    got = stored()
    assert np.isin(truth.bars[1], got).all(), diff(got, truth.bars[1])
    StoreWriter(FQME, 1).close()


async def test_the_buffer_of_an_open_market_is_corrected(clock, dirs, tmp_path):
    bench = Bench(Venue(Truth(7, LENGTH_S, share=0.8)))
    truth = bench.venue.truth
    bench.venue.truth = lacking(bench.venue.truth, (1500, 1900))
    place = Place(tmp_path, bench.venue)
    async with open_market(place, bench):
        await place.until_done()
        bench.venue.truth = truth
        told = await bench.mend()
        place.take(NOW_S, NOW_S)
        start_s = place.start_s
        whole = between(fill_gaps(truth.bars[1], 1, until_s=start_s), None, start_s)
        got = between(place.rows(1), None, start_s)
        assert np.array_equal(got, whole), diff(got, whole)
        bars = truth.bars[1]
        lacked = len(bars) - len(without(bars, (1500, 1900)))
        assert told.filled == lacked
    assert place.warnings == []


async def test_one_bar_of_long_ago_costs_no_gigabytes(clock, dirs, tmp_path):
    """Neither in the store nor from the venue, beside a buffer of today."""
    bench = Bench(Venue(Truth(8, LENGTH_S, share=1.0)))
    truth = bench.venue.truth
    old = truth.bars[1][:2].copy()
    old["time"] = BEGIN_S - 60 * 86_400, BEGIN_S - 30 * 86_400
    place = Place(tmp_path, bench.venue)
    async with open_market(place, bench):
        await place.until_done()
        store_by = place.history.keepers
        async with store_by.held(FQME, 1, place.warnings.append, "") as keeper:
            assert await keeper.append(old[:1])
        told = copy(truth)
        told.bars = {**truth.bars, 1: np.concatenate((old, truth.bars[1]))}
        bench.venue.truth = told
        tracemalloc.start()
        try:
            found = await bench.mend()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 60 << 20
        assert found.filled == 1
        assert found.left == 60 * 86_400 - 2
        assert len(bench.venue.requests) <= 8
    assert np.array_equal(between(stored(), None, BEGIN_S), old)
