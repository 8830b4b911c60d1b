"""Bars that grow at both ends, against plain lists."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from benchmarks.shm import shm_folder
from piker.data._shm import Keys, Marks, Row, ShmArray, ShmWriter
from piker.tsp import OHLCV
from piker.ui._series import Change, Series
from tests.data._ring import open_ring
from tests.ui._bars import market, rows_of, series_of, walk

STEPS = settings(max_examples=60, stateful_step_count=30, deadline=None)
#: Few values, so that a bar often is what it was.
CELLS = st.tuples(st.integers(1, 3), st.integers(0, 2))
GAPS = st.integers(1, 3)


def bar(time_s: int, cells: tuple[int, int]) -> tuple:
    price, lots = cells
    return (time_s, price, price + 1.0, price - 0.5, price + 0.25, lots / 1000, lots)


def array_of(rows: list[tuple]) -> np.ndarray:
    return np.array(rows, OHLCV)


def plain(rows: list[tuple]) -> list[tuple]:
    """Return rows with the types that an array gives back."""
    return array_of(rows).tolist()


# -- splice, prepend, trim -------------------------------------------------------------
class Spliced(RuleBasedStateMachine):
    """A series, and its bars by index as they ought to be."""

    def __init__(self) -> None:
        super().__init__()
        self.series = Series(market(), 60)
        self.start, self.rows, self.past = 0, [], 0

    @property
    def by_index(self) -> dict[int, tuple]:
        return dict(enumerate(self.rows, self.start))

    def run_of(self, first_s: int, gaps: list[int], cells: list) -> list[tuple]:
        times = [first_s + sum(gaps[:i]) for i in range(len(gaps))]
        return [bar(*each) for each in zip(times, cells, strict=False)]

    @rule(
        back=st.integers(-3, 12),
        gaps=st.lists(GAPS, min_size=1, max_size=8),
        cells=st.lists(CELLS, min_size=8, max_size=8),
        same=st.integers(0, 6),
    )
    def splice(self, back: int, gaps: list[int], cells: list, same: int) -> None:
        newest_s = self.rows[-1][0] if self.rows else 50
        bars = self.run_of(newest_s - back, gaps, cells)
        # what is read again is mostly as it was
        kept = [row for row in self.rows if row[0] >= bars[0][0]][:same]
        if kept:
            bars = kept + [row for row in bars if row[0] > kept[-1][0]]
        self.put(bars)

    @rule(skip=st.integers(0, 30), drop=st.integers(0, 3), cells=CELLS)
    def correct_the_past(self, skip: int, drop: int, cells: tuple[int, int]) -> None:
        bars = self.rows[skip:]
        if bars:
            bars = [bar(bars[0][0], cells), *bars[1 + drop :]]
            self.put(bars)

    def put(self, bars: list[tuple]) -> None:
        before, end = self.by_index, self.start + len(self.rows)
        older = [row for row in bars if self.rows and row[0] < self.rows[0][0]]
        self.rows = [row for row in self.rows if row[0] < bars[0][0]] + bars
        self.start -= len(older)
        change = self.series.splice(array_of(bars))
        after = self.by_index
        differs = [i for i in before.keys() | after.keys()
                   if before.get(i) != after.get(i)]  # fmt: skip
        now = self.start + len(self.rows)
        if not differs:
            assert change is None
            return
        assert change == Change(min(differs), end, now)
        assert change.tip_only == (differs == [end - 1] and now == end)
        self.past += not change.tip_only
        assert (self.series.past > self.seen_past) == (not change.tip_only)

    @rule(
        gaps=st.lists(GAPS, max_size=5),
        cells=st.lists(CELLS, min_size=5, max_size=5),
        off=st.integers(-1, 3),
    )
    def prepend(self, gaps: list[int], cells: list, off: int) -> None:
        if not self.rows:
            return
        oldest_s = self.rows[0][0]
        bars = self.run_of(oldest_s - sum(gaps) + off, gaps, cells)
        older = [row for row in bars if row[0] < oldest_s]
        assert self.series.prepend(array_of(bars)) == len(older)
        self.rows = older + self.rows
        self.start -= len(older)
        assert (self.series.past > self.seen_past) == bool(older)

    @rule(most=st.integers(0, 60))
    def trim(self, most: int) -> None:
        surplus = max(len(self.rows) - most, 0)
        self.series.trim(most)
        self.rows = self.rows[surplus:]
        self.start += surplus
        assert (self.series.past > self.seen_past) == bool(surplus)

    @invariant()
    def is_the_list(self) -> None:
        series = self.series
        assert rows_of(series) == plain(self.rows)
        assert (series.start, len(series)) == (self.start, len(self.rows))
        assert series.end == self.start + len(self.rows)
        self.seen_past = series.past


Spliced.TestCase.settings = STEPS
TestSpliced = Spliced.TestCase


# -- reading a buffer ------------------------------------------------------------------
@dataclass
class FakeRows:
    start: int
    rows: list[tuple]

    def __len__(self) -> int:
        return len(self.rows)

    def to_structured(self) -> np.ndarray:
        return array_of(self.rows)


@dataclass(eq=False)
class FakeBuffer:
    """A ring of bars as `piker.data` keeps one, and all that ever was in it."""

    period_s: int = 60
    capacity: int = 40
    epoch: int = 0
    all: list[tuple] = field(default_factory=list)
    start: int = 0  # index of the oldest of all

    def bounds(self) -> tuple[int, int]:
        end = self.start + len(self.all)
        return max(self.start, end - self.capacity), end

    @property
    def held(self) -> list[tuple]:
        return self.all[self.bounds()[0] - self.start :]

    def last(self, n: int) -> FakeRows:
        rows = self.held[-n:] if n else []
        return FakeRows(self.bounds()[1] - len(rows), rows)

    def since(self, time_s: float) -> FakeRows:
        return self.last(sum(row[0] >= time_s for row in self.held))


class Read(RuleBasedStateMachine):
    """A buffer that changes as those of datad do, and a series that reads it."""

    period_s = 60

    @initialize(n=st.integers(0, 30), first=st.integers(0, 9))
    def begin(self, n: int, first: int) -> None:
        self.buffer = FakeBuffer()
        self.series = Series(market(), self.period_s)
        self.indexes: dict[int, int] = {}
        self.first_s = 60_000 + 60 * first
        self.is_read = False
        self.grow([1] * n, [(1, 1)] * n)

    def grow(self, gaps: list[int], cells: list) -> None:
        for gap, each in zip(gaps, cells, strict=True):
            last_s = self.buffer.all[-1][0] if self.buffer.all else self.first_s
            self.buffer.all.append(bar(last_s + 60 * gap, each))
        self.is_read = False

    @rule(gap=GAPS, cells=st.lists(CELLS, min_size=1, max_size=5))
    def append(self, gap: int, cells: list) -> None:
        self.grow([1] * (len(cells) - 1) + [gap], cells)

    @rule(back=st.integers(1, 8), cells=CELLS)
    def trade(self, back: int, cells: tuple[int, int]) -> None:
        rows = self.buffer.all
        if len(rows) >= back:
            rows[-back] = bar(rows[-back][0], cells)
            self.is_read = False

    @rule(back=st.integers(9, 30), cells=CELLS)
    def correct(self, back: int, cells: tuple[int, int]) -> None:
        rows = self.buffer.held
        if len(rows) >= back:
            self.buffer.all[-back] = bar(rows[-back][0], cells)
            self.buffer.epoch += 2
            self.is_read = False

    @rule(cells=st.lists(CELLS, min_size=1, max_size=20))
    def backfill(self, cells: list) -> None:
        buffer = self.buffer
        room = buffer.capacity - len(buffer.all)
        if not buffer.all or room <= 0:
            return
        first_s = buffer.all[0][0]
        older = [bar(first_s - 60 * (i + 1), each) for i, each in enumerate(cells)]
        older = older[:room][::-1]
        buffer.all[:0] = older
        buffer.start -= len(older)
        self.is_read = False

    @rule()
    def restart(self) -> None:
        """The daemon is another one; its buffer holds what the old one held."""
        self.buffer = FakeBuffer(all=list(self.buffer.held))
        self.is_read = False

    @rule()
    def read(self) -> None:
        before, past = self.rows_by_index(), self.series.past
        change = self.series.update(self.buffer)
        self.is_read = True
        after = self.rows_by_index()
        differs = [i for i in before.keys() | after.keys()
                   if before.get(i) != after.get(i)]  # fmt: skip
        assert (change is None) == (not differs)
        if change is not None:
            assert change.first == min(differs)
            assert (self.series.past > past) == (not change.tip_only)
        assert self.series.update(self.buffer) is None

    def rows_by_index(self) -> dict[int, tuple]:
        return dict(enumerate(rows_of(self.series), self.series.start))

    @invariant()
    def indexes_stay(self) -> None:
        for i, time_s in enumerate(self.series.time.tolist(), self.series.start):
            assert self.indexes.setdefault(time_s, i) == i

    def expected(self) -> list[tuple]:
        return plain(self.buffer.held)

    @invariant()
    def is_what_the_buffer_holds(self) -> None:
        expected = self.expected()
        if self.is_read and expected:
            since = self.series.time >= expected[0][0]
            assert np.array(rows_of(self.series))[since].tolist() == [
                list(row) for row in expected
            ]


class ReadLonger(Read):
    """The same for bars of five times the buffer's period."""

    period_s = 300

    def expected(self) -> list[tuple]:
        """Return longer bars all of which the buffer holds, made by hand."""
        held = self.buffer.held
        groups: dict[int, list[tuple]] = {}
        for row in held:
            groups.setdefault(row[0] // 300 * 300, []).append(row)
        if held and held[0][0] % 300 and len(groups) > 1:
            del groups[held[0][0] // 300 * 300]
        return [
            (
                time_s, *map(float, (rows[0][1], max(row[2] for row in rows),
                min(row[3] for row in rows), rows[-1][4])),
                sum(row[6] for row in rows) / 1000, sum(row[6] for row in rows),
            )
            for time_s, rows in groups.items()
        ]  # fmt: skip


Read.TestCase.settings = ReadLonger.TestCase.settings = STEPS
TestRead = Read.TestCase
TestReadLonger = ReadLonger.TestCase


def test_a_late_trade_in_an_old_minute_reaches_a_longer_bar():
    """Eight minutes may still change: two bars of five minutes aren't enough."""
    rows = [bar(60 * i, (1, 1)) for i in range(11)]
    buffer = FakeBuffer(all=rows)
    series = Series(market(), 300)
    series.update(buffer)
    rows[3] = bar(180, (3, 2))  # the eighth from the end, two bars of five minutes ago
    change = series.update(buffer)
    assert change == Change(0, 3, 3)
    assert (series.high[0], series.count[0]) == (4.0, 6)


def test_a_session_that_opens_within_a_bar_is_told_to_its_end():
    """Trading begins at 9:30: the hour's bar is whole all the same."""
    day_s, open_s = 86_400, 9 * 3600 + 1800
    rows = [bar(60 * i, (1, 1)) for i in range(60)]
    rows += [bar(day_s + open_s + 60 * i, (1, 1)) for i in range(30)]
    buffer = FakeBuffer(all=rows, capacity=1000)
    series = Series(market(), 3600)
    series.update(buffer)
    rows[-1] = bar(rows[-1][0], (1, 2))
    rows.append(bar(day_s + 10 * 3600, (1, 1)))
    assert series.update(buffer) == Change(1, 2, 3)
    assert series.count.tolist() == [60, 31, 1]
    assert series.time.tolist() == [0, day_s + 9 * 3600, day_s + 10 * 3600]


def test_bars_put_before_those_of_a_buffer_move_none():
    buffer = FakeBuffer(all=[bar(60 * i, (1, 1)) for i in range(20, 30)], start=20)
    series = Series(market(), 60)
    series.update(buffer)
    time_s = series.time[3]
    buffer.all[:0] = [bar(60 * i, (1, 1)) for i in range(10, 20)]
    buffer.start -= 10
    change = series.update(buffer)
    assert change == Change(-10, 10, 10)
    assert not change.tip_only
    assert series.time[3 - series.start] == time_s


def test_a_new_bar_beside_a_changed_one_is_more_than_the_tip():
    series = series_of(array_of([bar(0, (1, 1)), bar(60, (1, 1))]))
    change = series.splice(array_of([bar(60, (2, 1)), bar(120, (1, 1))]))
    assert change == Change(1, 2, 3)
    assert not change.tip_only


# -- the real thing --------------------------------------------------------------------
@pytest.fixture
def ring() -> Iterator[tuple[ShmWriter, ShmArray]]:
    with shm_folder() as place:
        writer = open_ring(Path(place) / "ring")
        yield writer, ShmArray.attach(writer.token)
        writer.close()


def shm_row(i: int, x: float = 0.0) -> Row:
    return Row(60 * i, 100 + x, 102 + x, 99 - x, 101 + x, 0.5 + x, 3)


def test_it_reads_shared_memory_as_it_is_written(ring):
    writer, array = ring
    one, five = Series(market(), 60), Series(market(), 300)
    rng = np.random.default_rng(1)
    assert one.update(array) is None
    for i in range(1000):
        writer.append(shm_row(i))
        for _ in range(rng.integers(0, 3)):
            at = i - int(rng.integers(0, min(i + 1, 8)))
            changed = shm_row(at, float(rng.integers(1, 9)) / 8)
            writer.rewrite(at, changed, Keys(), Marks())
        if rng.random() < 0.01 and i > 100:
            writer.correct(i - 50, shm_row(i - 50, 0.5))
        if rng.random() < 0.7:
            one.update(array)
            five.update(array)
    one.update(array)
    five.update(array)
    held = array.last(10**6).to_structured()
    assert rows_of(one)[-len(held) :] == held.tolist()
    assert one.time.tolist() == [60 * i for i in range(1000)]
    whole = len(held) // 5 - 1
    for i in range(1, whole):
        part = held[-5 * i :][:5]
        assert five.close[-i] == part["close"][-1]
        assert five.high[-i] == part["high"].max()
        assert five.low[-i] == part["low"].min()
        assert five.volume[-i] == pytest.approx(part["volume"].sum(), abs=1e-3)


# -- finding ---------------------------------------------------------------------------
@given(
    st.lists(GAPS, min_size=1, max_size=30), st.integers(-5, 100), st.integers(-9, 9)
)
def test_the_bar_in_force_at_a_time(gaps: list[int], time_s: int, start: int):
    times = np.cumsum(gaps)
    series = series_of(walk(times), 1, start)
    at = [i for i, each in enumerate(times) if each <= time_s]
    assert series.index_at(time_s) == start + (at[-1] if at else 0)


def test_an_empty_series_has_no_place_but_its_start():
    assert Series(market(), 60).index_at(5) == 0
