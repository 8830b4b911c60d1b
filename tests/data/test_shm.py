"""The shared ring of bars: what its writer stores and what readers get of it."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.shm import shm_folder
from piker.data import _shm
from piker.data._shm import Keys, Marks, ShmArray, ShmWriter
from piker.data._shm_layout import W_SEQ
from piker.errors import ShmError
from piker.tsp import OHLCV
from tests.data._ring import CAPACITY, bars, fill, open_ring, row, rows_of


@pytest.fixture
def folder() -> Iterator[Path]:
    with shm_folder() as place:
        yield place


@pytest.fixture
def pair(folder: Path) -> tuple[ShmWriter, ShmArray]:
    writer = open_ring(folder / "ring")
    return writer, ShmArray.attach(writer.token)


# -- what a reader gets ------------------------------------------------------------
def test_an_empty_buffer_reads_as_empty(pair):
    writer, array = pair
    assert array.bounds() == writer.bounds == (0, 0)
    assert len(array) == 0
    assert array.forming() is None
    for got in (array.last(5), array.since(0), array.view(5), array.slice(None, None)):
        assert len(got) == 0
        assert got.to_structured().dtype == OHLCV
    assert writer.marks == Marks(-1, 0, 0)


def test_a_reader_sees_each_change_at_once(pair):
    writer, array = pair
    assert writer.append(row(0)) == 0
    assert array.forming() == row(0)
    writer.rewrite(0, row(0, 1.0), Keys(1, 2, 3, 4), Marks(9, 8, 7))
    assert array.forming() == row(0, 1.0) == writer.row(0)
    assert writer.append(row(1)) == 1
    got = array.last(2)
    assert rows_of(got) == [row(0, 1.0), row(1)]
    assert (got.start, got.time.tolist(), got.count.tolist()) == (0, [0, 60], [3, 3])
    assert [got.open[1], got.high[1], got.low[1]] == [1.0, 2.0, 0.5]
    assert [got.close[1], got.volume[1]] == [1.5, 10.0]


def test_a_copy_stays_as_it_is_and_a_view_does_not(pair):
    writer, array = pair
    writer.append(row(0))
    copy, view = array.last(1), array.view(1)
    assert view.unchanged()
    writer.rewrite(0, row(0, 5.0), Keys(), Marks())
    assert (copy.close[0], view.close[0]) == (1.5, 6.5)
    assert view.still_there()
    assert not view.unchanged()


def test_a_view_outlives_appends_until_it_is_lapped(pair):
    writer, array = pair
    fill(writer, bars(0, 400))
    view = array.view(CAPACITY)
    assert (view.start, len(view)) == (16, CAPACITY)
    for i in range(400, 400 + 64):
        writer.append(row(i))
    assert view.unchanged()
    assert rows_of(view) == [row(i) for i in range(16, 400)]
    fill(writer, bars(464, 464 + 64))
    assert not view.still_there()
    assert not view.unchanged()


def test_a_view_ends_at_the_seam(pair):
    writer, array = pair
    fill(writer, bars(0, 515))
    view = array.view(100)
    assert (view.start, rows_of(view)) == (512, [row(i) for i in (512, 513, 514)])
    assert not view.close.flags.writeable
    assert rows_of(array.last(100)) == [row(i) for i in range(415, 515)]


def test_bars_are_found_by_time_across_gaps_and_the_seam(pair):
    writer, array = pair
    times = [i * 60 + (i // 100) * 6000 for i in range(600)]
    data = bars(0, 600)
    data["time"] = times
    fill(writer, data)
    kept = data[-CAPACITY:]
    for low, high in [(None, None), (0, 5), (kept["time"][0], kept["time"][0] + 1),
                      (30_000, 42_000), (41_999.5, 48_001), (10**9, None), (None, 0),
                      (48_000, 30_000)]:  # fmt: skip
        above = kept["time"] >= (-1 if low is None else low)
        below = kept["time"] < (10**12 if high is None else high)
        got = array.slice(low, high).to_structured()
        assert got.tolist() == kept[above & below].tolist(), (low, high)
    assert array.since(times[-2]).time.tolist() == times[-2:]


def test_a_full_ring_keeps_exactly_its_capacity(pair):
    writer, array = pair
    for i in range(2 * CAPACITY):
        writer.append(row(i))
        assert array.bounds() == (max(0, i + 1 - CAPACITY), i + 1)
    got = array.last(10**9)
    assert rows_of(got) == [row(i) for i in range(CAPACITY, 2 * CAPACITY)]


def test_of_more_bars_than_fit_the_newest_are_taken(pair):
    writer, array = pair
    assert writer.extend(bars(0, 1000)) == CAPACITY
    assert rows_of(array.last(1000)) == [row(i) for i in range(616, 1000)]


def test_older_bars_find_what_room_there_is(pair):
    writer, array = pair
    writer.extend(bars(900, 1000))
    assert writer.prepend(bars(600, 900)) == CAPACITY - 100
    assert array.bounds() == (100 - CAPACITY, 100)
    assert rows_of(array.last(1000)) == [row(i) for i in range(616, 1000)]
    assert writer.prepend(bars(0, 616)) == 0
    assert writer.prepend(bars(0, 0)) == 0
    writer.append(row(1000))
    assert array.last(1).time[0] == 60_000


# -- keys and marks ----------------------------------------------------------------
def test_keys_belong_to_their_row_and_marks_to_the_buffer(pair):
    writer, _ = pair
    for i in range(12):
        writer.append(row(i))
    for i in range(4, 12):
        assert writer.keys(i) == Keys()
        writer.rewrite(i, row(i, 0.5), Keys(i, 2 * i, -i, 4), Marks(i, i, 1 << i))
    assert [writer.keys(i)[1] for i in range(4, 12)] == [2 * i for i in range(4, 12)]
    assert writer.marks == Marks(11, 11, 1 << 11)
    writer.append(row(12))
    assert writer.keys(12) == Keys()
    assert writer.keys(5) == Keys(5, 10, -5, 4)
    with pytest.raises(ShmError, match=r"bar 4 .* only 5 up to 12 still change"):
        writer.keys(4)


def test_all_512_bits_are_kept(pair):
    writer, _ = pair
    writer.append(row(0))
    everything = Marks((1 << 63) - 1, -1, (1 << 512) - 1)
    writer.rewrite(0, row(0), Keys(), everything)
    token = writer.token
    writer.close()
    writer = open_ring(Path(token.path))
    assert writer.marks == everything
    with pytest.raises(OverflowError):
        writer.rewrite(0, row(0, 1.0), Keys(), Marks(0, 0, 1 << 512))
    assert (writer.marks, writer.row(0)) == (everything, row(0))


@pytest.mark.parametrize(
    ("index", "new", "said"),
    [
        (3, row(3), "only 4 up to 11 still change"),
        (12, row(12), "only 4 up to 11 still change"),
        (11, row(10), "bar of 660 s .* got one of 600 s"),
    ],
)
def test_only_the_newest_rows_change_and_never_their_time(pair, index, new, said):
    writer, array = pair
    writer.extend(bars(0, 12))
    with pytest.raises(ShmError, match=said):
        writer.rewrite(index, new, Keys(), Marks(5, 5, 5))
    assert rows_of(array.last(12)) == [row(i) for i in range(12)]
    assert writer.marks == Marks()


def test_rows_that_were_dropped_do_not_change(pair):
    writer, _ = pair
    writer.extend(bars(0, 3))
    with pytest.raises(ShmError, match="only 0 up to 2 still change"):
        writer.rewrite(-1, row(-1), Keys(), Marks())
    with pytest.raises(ShmError, match=r"no bar 3 .* have 0\.\.3"):
        writer.row(3)


def test_a_wrong_type_changes_nothing(pair):
    writer, array = pair
    writer.append(row(0))
    with pytest.raises(struct.error):
        writer.rewrite(0, row(0)._replace(close="1"), Keys(), Marks(1, 1, 1))
    with pytest.raises(TypeError):
        writer.append(row(1)._replace(close="1"))
    assert rows_of(array.last(9)) == [row(0)]
    assert writer.marks == Marks()
    writer.append(row(1))
    writer.rewrite(1, row(1, 2.0), Keys(), Marks(2, 2, 2))
    assert rows_of(array.last(9)) == [row(0), row(1, 2.0)]


# -- order of times ----------------------------------------------------------------
def test_times_must_strictly_increase(pair):
    writer, array = pair
    writer.extend(bars(10, 13))
    twice = bars(20, 23)
    twice["time"][2] = twice["time"][1]
    for change in (
        lambda: writer.append(row(12)),
        lambda: writer.extend(bars(12, 15)),
        lambda: writer.prepend(bars(8, 11)),
        lambda: writer.extend(twice),
        lambda: writer.prepend(bars(2, 5)[::-1]),
    ):
        with pytest.raises(ShmError, match="strictly increase"):
            change()
    assert rows_of(array.last(99)) == [row(i) for i in (10, 11, 12)]


def test_columns_must_be_seven_of_one_length(pair):
    writer, array = pair
    columns = [bars(0, 4)[name] for name in OHLCV.names]
    with pytest.raises(ShmError, match="7 columns of bars, got 6"):
        writer.extend(columns[:6])
    with pytest.raises(ShmError, match="one length"):
        writer.extend([*columns[:6], columns[6][:3]])
    with pytest.raises(ShmError, match="count"):
        writer.extend(bars(0, 4)[["time", "open", "high", "low", "close", "volume"]])
    assert writer.extend(columns) == 4
    assert rows_of(array.last(4)) == [row(i) for i in range(4)]


# -- reads that meet a writer ------------------------------------------------------
def test_a_change_in_the_middle_of_a_copy_is_not_torn(pair, monkeypatch):
    writer, array = pair
    writer.extend(bars(0, 20))
    read = ShmArray._read
    changes = iter([4.0, 5.0])

    def slow_read(self, raw, start, stop):
        read(self, raw, start, stop)
        if x := next(changes, None):
            writer.rewrite(19, row(19, x), Keys(), Marks())
            raw[4:, -1] = self._map.block[4:, 19]

    monkeypatch.setattr(ShmArray, "_read", slow_read)
    assert rows_of(array.last(5))[-1] == row(19, 5.0)


def test_rows_lost_while_copying_are_left_out(pair, monkeypatch):
    writer, array = pair
    fill(writer, bars(0, 400))
    read = ShmArray._read
    more = iter([bars(400, 700)])

    def slow_read(self, raw, start, stop):
        if (newer := next(more, None)) is not None:
            writer.extend(newer)
        read(self, raw, start, stop)

    monkeypatch.setattr(ShmArray, "_read", slow_read)
    got = array.last(300)
    first = array._map.intact_from()
    assert 100 < first < 400
    assert (got.start, rows_of(got)) == (first, [row(i) for i in range(first, 400)])
    more = iter([bars(700, 1000)])
    got = array.since(60 * 330)  # starts over, as its rows are gone
    assert rows_of(got) == [row(i) for i in range(1000 - CAPACITY, 1000)]


def test_a_read_gives_up_in_the_end(pair, monkeypatch):
    writer, array = pair
    writer.extend(bars(0, 20))

    class Restless:
        """The words of a file whose SEQ is another at every look."""

        def __init__(self, words):
            self.words = words
            self.seq = 0

        def __getitem__(self, i):
            self.seq += 1
            return self.seq if i == W_SEQ else self.words[i]

    monkeypatch.setattr(_shm, "READ_DEADLINE_S", 0.05)
    monkeypatch.setattr(array._map, "words", Restless(array._map.words))
    for read in (array.forming, lambda: array.last(3), lambda: array.since(600)):
        began = time.monotonic()
        with pytest.raises(ShmError, match="changed them without pause"):
            read()
        assert 0.04 < time.monotonic() - began < 10
