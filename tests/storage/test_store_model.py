"""What is stored is what was appended, whatever happens in between."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from piker import config
from piker.errors import (
    BadFqme,
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreTooNew,
)
from piker.storage import (
    StoreWriter,
    _admin,
    _folder,
    _reader,
    _writer,
    bars_folder,
    delete,
    read_bars,
    stored_folders,
    verify,
)
from piker.storage._manifest import read_manifest, seal
from piker.storage._tail import RECORD, decode, encode
from piker.tsp import OHLCV, join_spans

FQME = "btcusdt.spot.sim"
MONTH_S = 1_706_745_600  # 2024-02-01


def make(times, close=1.0, volume=2.0, count=3):
    bars = np.zeros(len(times), OHLCV)
    bars["time"] = times
    for name in ("open", "high", "low", "close"):
        bars[name] = close
    bars["volume"], bars["count"] = volume, count
    return bars


@pytest.fixture(autouse=True)
def own_dirs(tmp_path):
    with config.use_dirs(config.Dirs.under(tmp_path)):
        yield


minutes = st.lists(  # around the turn of a month and of a year
    st.integers(-3000, 3000).map(lambda i: MONTH_S + 60 * i)
    | st.integers(-50, 50).map(lambda i: 1_704_067_200 + 60 * i),
    max_size=40,
)


class Store(RuleBasedStateMachine):
    """A store against a dict."""

    @initialize()
    def begin(self):
        self.top = tempfile.mkdtemp()
        self.used = config.use_dirs(config.Dirs.under(self.top))
        self.writer = StoreWriter(FQME, 60)
        self.model = {}
        self.empty = ()
        self.price = 0

    def teardown(self):
        if hasattr(self, "writer"):
            self.writer.close()
            self.used.__exit__(None, None, None)
            shutil.rmtree(self.top)

    @rule(times=minutes)
    def append(self, times):
        self.price += 1
        self.writer.append(make(times, close=float(self.price)))
        self.model |= dict.fromkeys(times, float(self.price))

    @rule()
    def fold(self):
        self.writer.fold()

    @rule()
    def open_anew(self):
        self.writer.close()
        self.writer = StoreWriter(FQME, 60)
        assert self.writer.damaged == []

    @rule(first=st.integers(0, 50), length=st.integers(0, 9))
    def note_empty(self, first, length):
        self.writer.note_empty([(first, first + length)])
        self.empty = join_spans(self.empty, [(first, first + length)])

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def read_a_span(self, data):
        known = sorted(self.model)
        around = st.sampled_from(known) | st.integers(known[0] - 60, known[-1] + 60)
        start, end = data.draw(around), data.draw(around)
        newest = data.draw(st.none() | st.integers(0, 50))
        want = [t for t in known if start <= t < end]
        want = want if newest is None else want[len(want) - min(newest, len(want)) :]
        got = read_bars(FQME, 60, start, end, newest=newest).bars()
        assert got["time"].tolist() == want
        assert got["close"].tolist() == [self.model[t] for t in want]

    @invariant()
    def all_is_there(self):
        if not hasattr(self, "writer"):
            return
        read = read_bars(FQME, 60)
        got = read.bars()
        assert read.damaged == []
        assert got["time"].tolist() == sorted(self.model)
        assert got["close"].tolist() == [self.model[t] for t in sorted(self.model)]
        assert self.writer.empty == self.empty


Store.TestCase.settings = settings(max_examples=40, stateful_step_count=20)
TestStore = Store.TestCase


def test_each_field_comes_back_bit_by_bit():
    rng = np.random.default_rng(1)
    bars = make(MONTH_S + 60 * np.arange(5000))
    close = rng.lognormal(0, 20, 5000)
    for name in ("open", "high", "low", "close"):
        bars[name] = close
    bars["volume"] = rng.lognormal(0, 90, 5000)
    bars["count"] = rng.integers(0, 1 << 62, 5000)
    writer = StoreWriter(FQME, 60)
    writer.append(bars[:2500])
    writer.fold()
    writer.append(bars[2500:])
    writer.close()
    assert read_bars(FQME, 60).bars().tobytes() == bars.tobytes()
    assert stored_folders() == [(FQME, 60, bars_folder(FQME, 60))]


@given(st.integers(0, 400))
def test_a_tail_that_was_cut_holds_all_whole_bars_before(cut):
    bars = make(range(5))
    raw = encode(bars)
    got = decode(raw[:cut])
    assert got.bars.tobytes() == bars[: cut // RECORD].tobytes()
    assert (got.records, got.bad) == (min(cut // RECORD, 5), 0)


@given(st.integers(0, 5 * RECORD * 8 - 1))
def test_a_changed_bit_costs_its_bar_only(bit):
    bars = make(range(5))
    raw = bytearray(encode(bars)) + bytes(3 * RECORD)
    raw[bit // 8] ^= 1 << bit % 8
    got = decode(bytes(raw))
    kept = np.delete(bars, bit // 8 // RECORD)
    assert got.bars.tobytes() == kept.tobytes()
    assert (got.records, got.bad) == (5, 1)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), max_size=12))
def test_spans_join(spans):
    got, model = (), set()
    for first, length in spans:
        got = join_spans(got, [(first, first + length)])
        model |= set(range(first, first + length))
    assert {t for first, end in got for t in range(first, end)} == model
    assert all(a[1] < b[0] for a, b in pairwise(got))


def test_one_writer_at_a_time():
    writer = StoreWriter(FQME, 60)
    with pytest.raises(StoreBusy, match=f"process {os.getpid()} writes"):
        StoreWriter(FQME, 60)
    other = StoreWriter(FQME, 1)  # another period is another store
    other.close()
    writer.close()
    StoreWriter(FQME, 60).close()


@pytest.mark.parametrize(
    ("bars", "words"),
    [
        (make([61]), "time of the bar at 61 s is no whole 60 s"),
        (make([-(2**60)]), "years 1 to 9999"),
        (make([60], close=float("nan")), "no number"),
        (make([60], volume=-1.0), "volume of the bar at 60 s is negative"),
        (make([60], count=-1), "count of the bar at 60 s is negative"),
        (np.zeros(1, [("time", "i8")]), "no OHLCV"),
    ],
)
def test_what_is_no_bar_is_refused_whole(bars, words):
    writer = StoreWriter(FQME, 60)
    with pytest.raises(StoreError, match=words):
        writer.append(bars)
    assert not len(read_bars(FQME, 60))
    writer.close()


def test_high_and_low_hold_the_others():
    writer = StoreWriter(FQME, 60)
    bars = make([60, 120])
    bars["high"][1] = 0.5
    with pytest.raises(StoreError, match="at 120 s lie beyond"):
        writer.append(bars)
    writer.close()


def test_no_store_and_no_name():
    assert not len(read_bars(FQME, 60))
    assert read_bars(FQME, 60).bars().dtype == OHLCV
    with pytest.raises(BadFqme):
        read_bars("../x", 60)
    with pytest.raises(StoreError, match="at least 1 s"):
        read_bars(FQME, 0)


# -- damage -------------------------------------------------------------------


def filled(folded=2000, tail=100):
    """Store bars over a turn of the month; return them and the folder."""
    bars = make(MONTH_S + 60 * np.arange(-1000, folded - 1000 + tail))
    writer = StoreWriter(FQME, 60)
    writer.append(bars[:folded])
    writer.fold()
    writer.append(bars[folded:])
    writer.close()
    return bars, bars_folder(FQME, 60)


def of_february(bars):
    return bars[bars["time"] >= MONTH_S]


def damage(path: Path, how: str) -> None:
    raw = path.read_bytes()
    if how == "cut":
        path.write_bytes(raw[: len(raw) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "foreign":
        path.write_bytes(b"PK\x03\x04" + os.urandom(len(raw) - 4))
    elif how == "gone":
        path.unlink()
    else:
        middle = len(raw) // 2
        path.write_bytes(raw[:middle] + bytes([raw[middle] ^ 255]) + raw[middle + 1 :])


@pytest.mark.parametrize("how", ["cut", "empty", "foreign", "gone"])
def test_a_damaged_month_is_set_aside_and_the_others_stay(how):
    bars, folder = filled()
    (path,) = folder.glob("2024-01.*.parquet")
    damage(path, how)
    read = read_bars(FQME, 60)
    assert read.bars().tobytes() == of_february(bars).tobytes()
    assert len(read.damaged) == 1
    assert str(path) in read.damaged[0]
    writer = StoreWriter(FQME, 60)
    if how == "foreign":  # it has the size it should have: only who reads it sees
        writer.append(bars[:1])
        writer.fold()
    assert len(writer.damaged) == 1
    assert len(list((folder / "damaged").glob("*"))) == (how != "gone")
    writer.append(bars[bars["time"] < MONTH_S])
    writer.fold()
    writer.close()
    read = read_bars(FQME, 60)
    assert (read.bars().tobytes(), read.damaged) == (bars.tobytes(), [])


def test_a_changed_byte_of_a_month_is_found_before_it_is_written_again():
    bars, folder = filled()
    (path,) = folder.glob("2024-02.*.parquet")
    damage(path, "flip")
    writer = StoreWriter(FQME, 60)
    writer.fold()
    assert "isn't as it was written" in writer.damaged[0]
    writer.close()
    assert len(list((folder / "damaged").iterdir())) == 1
    january = bars[bars["time"] < MONTH_S]
    got = read_bars(FQME, 60).bars()
    assert got.tobytes() == np.concatenate((january, bars[-100:])).tobytes()


def test_a_parquet_file_of_something_else_is_no_month():
    import polars as pl

    bars, folder = filled()
    (path,) = folder.glob("2024-01.*.parquet")
    pl.DataFrame({"a": [1, 2]}).write_parquet(path)
    read = read_bars(FQME, 60, newest=len(bars))
    assert "holds no bars but" in read.damaged[0]
    assert read.bars().tobytes() == of_february(bars).tobytes()
    read = read_bars(FQME, 60)
    assert "isn't as it was written" in read.damaged[0]
    assert read.bars().tobytes() == of_february(bars).tobytes()


@pytest.mark.parametrize("how", ["cut", "foreign", "gone", "flip"])
def test_without_its_manifest_a_store_is_found_again(how):
    bars, folder = filled()
    damage(folder / "manifest.json", how)
    if how != "gone":
        with pytest.raises(StoreDamaged, match=r"manifest\.json (can't|isn't)"):
            read_bars(FQME, 60)
    else:
        assert "piker store repair" in read_bars(FQME, 60).damaged[0]
    writer = StoreWriter(FQME, 60)
    assert len(writer.damaged) == (how != "gone")
    writer.close()
    assert read_bars(FQME, 60).bars().tobytes() == bars.tobytes()


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_changed_bit_of_a_manifest_costs_a_bar(data):
    with tempfile.TemporaryDirectory() as top, config.use_dirs(config.Dirs.under(top)):
        bars, folder = filled(1500, 20)
        raw = bytearray((folder / "manifest.json").read_bytes())
        bit = data.draw(st.integers(0, 8 * len(raw) - 1))
        raw[bit // 8] ^= 1 << bit % 8
        (folder / "manifest.json").write_bytes(raw)
        StoreWriter(FQME, 60).close()
        assert read_bars(FQME, 60).bars().tobytes() == bars.tobytes()


def test_a_tail_damaged_under_its_writer_is_set_aside_at_the_fold():
    writer = StoreWriter(FQME, 60)
    writer.append(make(60 * np.arange(10)))
    (path,) = writer.folder.glob("tail.*.bin")
    raw = bytearray(path.read_bytes())
    raw[3 * RECORD] ^= 1
    path.write_bytes(raw)
    writer.fold()
    writer.close()
    assert len(read_bars(FQME, 60)) == 9
    assert "1 bars of" in writer.damaged[0]
    assert [p.read_bytes() for p in writer.folder.glob("damaged/*")] == [bytes(raw)]


@pytest.mark.parametrize("fault", [errno.EIO, errno.ENOSPC])
def test_a_bar_that_was_not_stored_never_shows(monkeypatch, fault):
    writer = StoreWriter(FQME, 60)
    writer.append(make([0]))

    def fail(_):
        raise OSError(fault, os.strerror(fault))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        with pytest.raises(StoreFull if fault == errno.ENOSPC else StoreError):
            writer.append(make(60 * np.arange(1, 6), close=7.0))
    writer.append(make([300], close=2.0))
    bars = read_bars(FQME, 60).bars()
    assert bars["time"].tolist() == [0, 300]
    assert bars["close"].tolist() == [1.0, 2.0]
    writer.close()


def open_files():
    return len(os.listdir("/proc/self/fd"))


def test_a_fold_that_fails_leaves_nothing_and_keeps_all(monkeypatch):
    bars = make(MONTH_S + 60 * np.arange(-50, 50))
    writer = StoreWriter(FQME, 60)
    writer.append(bars)
    writer.fold()  # polars opens files of its own at its first use
    writer.append(bars)
    before = {p.name for p in writer.folder.iterdir()}, open_files()

    def fail(*_):
        raise OSError(errno.ENOSPC, "no room")

    steps = ((_folder, "write_manifest"), (_writer, "write_part"))
    for where, step in (*steps, (_writer, "sync_folder")):
        with monkeypatch.context() as patch:
            patch.setattr(where, step, fail)
            with pytest.raises(StoreFull):
                writer.fold()
        assert ({p.name for p in writer.folder.iterdir()}, open_files()) == before
    assert read_bars(FQME, 60).bars().tobytes() == bars.tobytes()
    writer.fold()
    writer.close()
    assert read_bars(FQME, 60).bars().tobytes() == bars.tobytes()


def test_a_manifest_in_force_counts_though_its_writing_failed(monkeypatch):
    bars = make(60 * np.arange(50))
    writer = StoreWriter(FQME, 60)
    writer.append(bars)
    write = _folder.write_manifest

    def write_and_fail(*args):
        write(*args)
        raise OSError(errno.EIO, "the folder can't be synced")

    monkeypatch.setattr(_folder, "write_manifest", write_and_fail)
    writer.fold()
    writer.append(make([6000]))
    writer.close()
    assert len(read_bars(FQME, 60)) == 51


def test_what_can_not_be_opened_now_is_not_damaged(monkeypatch):
    bars, folder = filled()
    writer = StoreWriter(FQME, 60)
    read = Path.read_bytes

    def fail(path):
        if path.suffix == ".parquet":
            raise OSError(errno.EMFILE, "too many open files")
        return read(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", fail)
        with pytest.raises(StoreError, match="too many open files"):
            writer.fold()
    assert writer.damaged == []
    assert not (folder / "damaged").exists()
    writer.fold()
    writer.close()
    assert read_bars(FQME, 60).bars().tobytes() == bars.tobytes()


def test_a_writer_that_comes_while_a_store_is_deleted_begins_a_new_one(monkeypatch):
    filled()
    remove = _admin.remove_gone
    came = []

    def come_first(market):
        came.append(StoreWriter(FQME, 60))
        came[0].append(make([60]))
        remove(market)

    monkeypatch.setattr(_admin, "remove_gone", come_first)
    delete(FQME, 60)
    came[0].append(make([120]))
    came[0].close()
    assert read_bars(FQME, 60).bars()["time"].tolist() == [60, 120]


def test_a_fold_beside_it_is_no_damage_to_who_verifies(monkeypatch):
    bars, _ = filled()
    writer = StoreWriter(FQME, 60)
    check = _admin.check_part
    folds = [writer.fold]

    def fold_first(*args):
        while folds:
            folds.pop()()
        return check(*args)

    monkeypatch.setattr(_admin, "check_part", fold_first)
    assert verify(FQME, 60) == []
    writer.close()
    assert read_bars(FQME, 60).bars().tobytes() == bars.tobytes()


def test_a_damaged_tail_costs_the_bars_that_are_damaged():
    bars, folder = filled()
    (path,) = folder.glob("tail.*.bin")
    raw = bytearray(path.read_bytes())
    raw[5 * RECORD + 9] ^= 1
    path.write_bytes(raw)
    kept = np.delete(bars, 2005)
    read = read_bars(FQME, 60)
    assert read.bars().tobytes() == kept.tobytes()
    assert "1 bars of" in read.damaged[0]
    writer = StoreWriter(FQME, 60)
    assert len(writer.damaged) == 1
    writer.append(bars[2005:2006])
    writer.close()
    read = read_bars(FQME, 60)
    assert (read.bars().tobytes(), read.damaged) == (bars.tobytes(), [])
    assert [p.read_bytes() for p in (folder / "damaged").iterdir()] == [bytes(raw)]


def test_a_tail_that_is_being_written_is_read_again(monkeypatch):
    """Pages of a file are written one by one, and read so."""
    bars, folder = filled()
    (path,) = folder.glob("tail.*.bin")
    raw = path.read_bytes()
    half = bytearray(raw)
    half[90 * RECORD : 95 * RECORD] = bytes(5 * RECORD)  # the later ones are there
    path.write_bytes(half)
    monkeypatch.setattr(_reader.time, "sleep", lambda _: path.write_bytes(raw))
    read = read_bars(FQME, 60)
    assert (read.bars().tobytes(), read.damaged) == (bars.tobytes(), [])


def test_a_later_pikers_store_is_left_alone():
    _, folder = filled()
    (folder / "manifest.json").write_bytes(seal(b'{"other":1}', version=3))
    before = {p: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    for use in (lambda: StoreWriter(FQME, 60), lambda: read_bars(FQME, 60)):
        with pytest.raises(StoreTooNew, match="later piker"):
            use()
    assert {p: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before


def test_what_a_killed_writer_left_is_swept():
    bars, folder = filled()
    number = read_manifest(folder).number
    for name in (f"2024-01.{number + 1}.parquet", f"tail.{number + 1}.bin", ".x.new"):
        (folder / name).write_bytes(b"half")
    assert read_bars(FQME, 60).bars().tobytes() == bars.tobytes()
    StoreWriter(FQME, 60).close()
    assert not list(folder.glob(f"*.{number + 1}.*"))
    assert not list(folder.glob(".*"))
    assert read_bars(FQME, 60).bars().tobytes() == bars.tobytes()
