"""Stored bars that changed by themselves, files of others, and what is told of them."""

from __future__ import annotations

import errno
import os
import random
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest

from piker import config
from piker.errors import StoreDamaged, StoreError
from piker.storage import (
    StoreWriter,
    bars_folder,
    list_stores,
    read_bars,
    repair,
    store_root,
    stored_folders,
    stored_span,
    verify,
)
from piker.storage._manifest import read_manifest
from piker.storage._parts import to_frame
from piker.tsp import missing_spans
from tests.storage.test_store_model import FQME, MONTH_S, damage, filled, make


@pytest.fixture(autouse=True)
def own_dirs(tmp_path):
    with config.use_dirs(config.Dirs.under(tmp_path)):
        yield


def the_one(folder, pattern):
    (path,) = folder.glob(pattern)
    return path


def test_no_flipped_bit_is_read_as_a_bar():
    """But for who wants the newest at once."""
    rng = random.Random(1)
    bars = make(MONTH_S + 60 * np.arange(3000))
    bars["close"] = bars["high"] = np.arange(3000)
    bars["open"] = bars["low"] = 0
    with closing(StoreWriter(FQME, 60)) as writer:
        writer.append(bars)
        writer.fold()
    path = the_one(bars_folder(FQME, 60), "*.parquet")
    raw = path.read_bytes()
    for turn in range(60):
        rotten = bytearray(raw)
        rotten[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        path.write_bytes(rotten)
        os.utime(path, ns=(turn, turn))  # a file system may count in jiffies
        for span in ((None, None), (MONTH_S + 600, MONTH_S + 6000)):
            read = read_bars(FQME, 60, *span)
            assert read.damaged == [f"{path} isn't as it was written"]
            assert not len(read)
    path.write_bytes(raw)
    os.utime(path, ns=(99, 99))
    assert np.array_equal(read_bars(FQME, 60).bars(), bars)
    assert np.array_equal(read_bars(FQME, 60, newest=7).bars(), bars[-7:])


def test_a_month_is_compared_with_its_digest_once(monkeypatch):
    with closing(StoreWriter(FQME, 60)) as writer:
        writer.append(make(MONTH_S + 60 * np.arange(-50, 50)))
        writer.fold()
    reads = []
    real = Path.read_bytes

    def read_bytes(path):
        reads.append(path.suffix)
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    for _ in range(3):
        read_bars(FQME, 60)
    assert reads.count(".parquet") == 2


@pytest.mark.parametrize("fault", ["times", "numbers", "month"])
def test_a_file_of_somebody_else_is_no_month_of_bars(fault):
    folder = bars_folder(FQME, 60)
    folder.mkdir(parents=True)
    bars = make(MONTH_S + (7 if fault == "times" else 60) * np.arange(5))
    if fault == "numbers":
        bars["open"] = np.nan
    name = "2024-01" if fault == "month" else "2024-02"
    to_frame(bars).write_parquet(folder / f"{name}.1.parquet")
    (said,) = repair(FQME, 60)
    assert "lies in" in said
    assert verify(FQME, 60) == []
    assert not len(read_bars(FQME, 60))


def test_a_file_of_somebody_else_that_was_taken_up_is_set_aside(monkeypatch):
    """By a piker that didn't look what was in it."""
    folder = bars_folder(FQME, 60)
    folder.mkdir(parents=True)
    to_frame(make(MONTH_S + 7 * np.arange(5))).write_parquet(
        folder / "2024-02.1.parquet"
    )
    with monkeypatch.context() as patch:
        patch.setattr("piker.storage._parts._refuse_others", lambda *_: None)
        StoreWriter(FQME, 60).close()
    assert "no whole 60 s" in verify(FQME, 60)[0]
    assert "no whole 60 s" in repair(FQME, 60)[0]
    assert verify(FQME, 60) == []


def test_a_folder_of_somebody_else_is_no_store():
    bars, _ = filled()
    for name in ("x/y/60s", "kraken/btcusdt.spot.binance/60s", "sim/btcusdt.sim/1x"):
        (store_root() / name).mkdir(parents=True)
    assert [(fqme, period_s) for fqme, period_s, _ in stored_folders()] == [(FQME, 60)]
    assert len(list_stores()) == 1
    assert len(bars)


def test_a_manifest_that_can_not_be_read_now_is_one_sentence(monkeypatch):
    filled()
    real = Path.read_bytes

    def refuse(path):
        if path.name == "manifest.json":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    for ask in (verify, read_bars, stored_span):
        with pytest.raises(StoreError, match="can't be read now: Permission denied"):
            ask(FQME, 60)
    assert "Permission denied" in list_stores()[0].fault


def test_the_span_of_a_store_counts_what_was_set_aside():
    """Whoever sets it aside: the month is asked for again by the next repair."""
    bars, folder = filled(tail=0)
    span = stored_span(FQME, 60)
    damage(the_one(folder, "2024-01.*.parquet"), "cut")
    StoreWriter(FQME, 60).close()  # as a datad does that opens it
    assert read_bars(FQME, 60).bars()["time"][0] > span[0]
    assert stored_span(FQME, 60) == span
    assert span == (bars["time"][0], bars["time"][-1] + 60)


def test_the_span_of_a_store_counts_what_a_fold_found_lost():
    _, folder = filled(tail=0)
    span = stored_span(FQME, 60)
    path = the_one(folder, "2024-01.*.parquet")
    with closing(StoreWriter(FQME, 60)) as writer:
        damage(path, "flip")
        writer.append(make(np.array([MONTH_S - 60])))
        writer.fold()
    assert read_bars(FQME, 60).bars()["time"][0] == MONTH_S - 60
    assert stored_span(FQME, 60) == span


def test_doubts_are_kept_until_they_are_dispelled():
    with closing(StoreWriter(FQME, 60)) as writer:
        writer.note_doubts([(600, 660), (0, 120)])
        writer.note_doubts([(120, 180)])
        writer.dispel((60, 120))
    folder = bars_folder(FQME, 60)
    assert msgspec.json.decode((folder / "manifest.json").read_bytes())["version"] == 2
    with closing(StoreWriter(FQME, 60)) as writer:
        assert writer.doubts == ((0, 60), (120, 180), (600, 660))
        writer.dispel((0, 660))
        assert writer.doubts == ()
    raw = msgspec.json.decode((folder / "manifest.json").read_bytes())
    assert raw["version"] == 1, "who is older reads it"
    assert "doubts" not in raw["manifest"]
    assert read_manifest(folder).doubts == ()


def test_a_store_as_it_was_before_there_were_doubts_is_read():
    from piker.storage._manifest import seal

    folder = bars_folder(FQME, 60)
    StoreWriter(FQME, 60).close()
    old = {
        "fqme": FQME,
        "period_s": 60,
        "number": 1,
        "tail": "tail.1.bin",
        "parts": {},
        "empty": [[0, 60]],
        "edition": "",
    }
    (folder / "manifest.json").write_bytes(seal(msgspec.json.encode(old), 1))
    assert read_manifest(folder).empty == ((0, 60),)
    (folder / "manifest.json").write_bytes(seal(b"{}", 1))
    with pytest.raises(StoreDamaged):
        read_manifest(folder)


def test_many_spans_known_to_be_empty_cost_no_time():
    """It was 11 s for these, each run looked through all that follow."""
    looked = 0

    class Counting(tuple):
        __slots__ = ()

        def __iter__(self):
            nonlocal looked
            looked += 1
            return super().__iter__()

    time_s = np.arange(0, 60 * 4000, 120)
    known = [Counting((int(at) + 60, int(at) + 120)) for at in time_s]
    assert missing_spans(time_s, (0, 60 * 4000), 60, None, known) == []
    assert looked < 10 * len(known)
