"""Bars that survive bad sectors, writers killed between two changes, and deletions."""

from __future__ import annotations

import errno
import os
import shutil
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from piker import config
from piker.errors import StoreError, StoreFull
from piker.storage import (
    StoreWriter,
    _admin,
    _folder,
    _lock,
    bars_folder,
    delete,
    finish_deletions,
    list_stores,
    read_bars,
    repair,
    stored_span,
    verify,
)
from piker.storage._manifest import read_manifest
from piker.storage._tail import RECORD
from tests.storage._faults import runs_through, spoil
from tests.storage.test_store_model import FQME, MONTH_S, damage, filled, make


@pytest.fixture(autouse=True)
def own_dirs(tmp_path):
    with config.use_dirs(config.Dirs.under(tmp_path)):
        yield


def fail_with(code):
    def fail(*_args, **_kwargs):
        raise OSError(code, os.strerror(code))

    return fail


def january(bars):
    return bars[bars["time"] < MONTH_S]


def stored():
    """Return what is stored, as bytes; nothing is amiss."""
    read = read_bars(FQME, 60)
    assert read.damaged == []
    return read.bars().tobytes()


def set_aside(folder):
    """Return what lies in damaged/, sorted."""
    return sorted(p.read_bytes() for p in folder.glob("damaged/*"))


def the_one(folder, pattern):
    (path,) = folder.glob(pattern)
    return path


# -- the lock -----------------------------------------------------------------


@pytest.mark.parametrize("step", ["pwrite", "ftruncate"])
def test_a_lock_without_room_for_its_pid_is_let_go(monkeypatch, step):
    StoreWriter(FQME, 60).close()
    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail_with(errno.ENOSPC))
        with pytest.raises(StoreFull, match="free some space"):
            StoreWriter(FQME, 60)
    StoreWriter(FQME, 60).close()


@pytest.mark.parametrize("times", [1, 3, 999])
def test_a_writer_that_comes_while_the_last_period_is_deleted(monkeypatch, times):
    make_folder, left = _lock.make_folder, iter(range(times))

    def late(folder):
        make_folder(folder.parent)
        if next(left, None) is not None:
            folder.parent.rmdir()  # as who deletes the market does
            folder.parent.parent.rmdir()
        folder.mkdir(exist_ok=True)

    monkeypatch.setattr(_lock, "make_folder", late)
    if times > 100:
        with pytest.raises(StoreError, match="removed again and again"):
            StoreWriter(FQME, 60)
        return
    StoreWriter(FQME, 60).close()


# -- which manifest counts ----------------------------------------------------


def test_where_it_can_not_be_told_what_counts_nothing_is_removed(monkeypatch):
    bars = make(MONTH_S + 60 * np.arange(-50, 50))
    writer = StoreWriter(FQME, 60)
    writer.append(bars[:70])
    writer.fold()
    writer.append(bars[70:])
    with monkeypatch.context() as patch:
        for step in ("write_manifest", "read_manifest"):
            patch.setattr(_folder, step, fail_with(errno.EMFILE))
        with pytest.raises(StoreError, match="Too many open files"):
            writer.fold()
    manifest = read_manifest(writer.folder)
    for name in (manifest.tail, *(p.file for p in manifest.parts.values())):
        assert (writer.folder / name).exists()
    assert stored() == bars.tobytes()
    for change in (lambda: writer.append(bars), lambda: writer.note_empty([(0, 60)])):
        with pytest.raises(StoreError, match="open them anew"):
            change()
    anew = StoreWriter(FQME, 60)  # the lock is free
    anew.fold()
    anew.close()
    writer.close()
    assert stored() == bars.tobytes()


# -- bad sectors --------------------------------------------------------------


def test_a_bad_sector_in_a_tail_costs_what_is_in_it(monkeypatch):
    bars, folder = filled(tail=1000)
    path = the_one(folder, "tail.*.bin")
    first = 3 * 4096 // RECORD
    with monkeypatch.context() as patch:
        spoil(patch, path, 3 * 4096 + 100, 3 * 4096 + 200)
        read = read_bars(FQME, 60)
        assert read.bars().tobytes() == bars[:2000].tobytes()
        want = [f"{path} can't be read: Input/output error"]
        assert read.damaged == verify(FQME, 60) == want
        assert "can't be read" in list_stores()[0].fault
        writer = StoreWriter(FQME, 60)
        kept = np.delete(bars, slice(2000 + first, 2000 + first + 4096 // RECORD))
        assert stored() == kept.tobytes()
        assert "936 bars of it were saved" in writer.damaged[0]
        writer.append(bars[2000:])
        writer.close()
        assert stored() == bars.tobytes()
    assert [len(raw) for raw in set_aside(folder)] == [1024 * RECORD]


def test_a_tail_that_goes_bad_under_its_writer_is_set_aside_by_the_fold(monkeypatch):
    writer = StoreWriter(FQME, 60)
    bars = make(60 * np.arange(100))
    writer.append(bars)
    with monkeypatch.context() as patch:
        spoil(patch, the_one(writer.folder, "tail.*.bin"), 4096, 4097)
        writer.fold()
        assert stored() == bars[:64].tobytes()
    writer.close()
    assert len(writer.damaged) == len(set_aside(writer.folder)) == 1


@pytest.mark.parametrize("with_manifest", [False, True])
def test_an_unreadable_tail_or_manifest_hides_no_month(monkeypatch, with_manifest):
    bars, folder = filled()
    path = the_one(folder, "tail.*.bin")
    with monkeypatch.context() as patch:
        spoil(patch, path, 0, 1 << 30)
        if with_manifest:
            spoil(patch, folder / "manifest.json", 0, 1 << 30)
            with pytest.raises(StoreError, match=r"json can't be read: Input/output"):
                read_bars(FQME, 60)
        writer = StoreWriter(FQME, 60)
        assert len(writer.damaged) == 1 + with_manifest
        writer.close()
        assert stored() == bars[:2000].tobytes()
    assert len(set_aside(folder)) == 1 + with_manifest


# -- older files --------------------------------------------------------------


@pytest.mark.parametrize("how", ["cut", "gone", "flip"])
def test_a_lost_month_is_taken_from_the_file_that_a_killed_fold_left(how):
    bars, folder = filled(tail=0)
    older = the_one(folder, "2024-01.*.parquet")
    raw = older.read_bytes()
    writer = StoreWriter(FQME, 60)
    writer.append(make([MONTH_S - 60 * 2000]))
    writer.fold()
    writer.close()
    older.write_bytes(raw)  # the fold was killed before it removed it
    damage(folder / read_manifest(folder).parts["2024-01"].file, how)
    damage(the_one(folder, "tail.*.bin"), "gone")  # so nothing is swept
    writer = StoreWriter(FQME, 60)
    assert len(writer.damaged) == 2 - (how == "flip")
    if how == "flip":  # only who reads it sees that
        writer.append(bars[:1])
        writer.fold()
    writer.close()
    assert stored() == bars.tobytes()
    assert len(set_aside(folder)) == (how != "gone")
    assert repair(FQME, 60) == []
    assert stored() == bars.tobytes()
    writer = StoreWriter(FQME, 60)
    writer.append(bars)
    writer.fold()
    writer.close()
    assert stored() == bars.tobytes()
    assert len(list(folder.glob("*.parquet"))) == 2


def test_a_fold_removes_only_what_the_manifest_before_named():
    bars, folder = filled(tail=0)
    left = folder / "2023-12.1.parquet"
    shutil.copy(the_one(folder, "2024-01.*.parquet"), left)
    damage(the_one(folder, "2024-01.*.parquet"), "cut")
    writer = StoreWriter(FQME, 60)
    writer.append(january(bars))
    writer.fold()
    writer.close()
    assert left.exists()
    assert stored() == bars.tobytes()
    StoreWriter(FQME, 60).close()  # finds nothing amiss
    assert not left.exists()
    assert len(set_aside(folder)) == 1


# -- editions -----------------------------------------------------------------


def test_bars_of_another_edition_are_set_aside_and_reported():
    writer = StoreWriter(FQME, 60, "seed 1")
    writer.append(make(60 * np.arange(50)))
    writer.fold()
    writer.append(make(60 * np.arange(50, 60)))
    writer.close()
    for same in ("seed 1", None):
        writer = StoreWriter(FQME, 60, same)
        assert writer.damaged == []
        writer.close()
    assert len(read_bars(FQME, 60)) == 60
    writer = StoreWriter(FQME, 60, "seed 2")
    assert len(writer.damaged) == len(set_aside(writer.folder)) == 2
    assert all("of another edition, 'seed 1'; it lies in" in s for s in writer.damaged)
    assert stored() == b""
    new = make([600])
    writer.append(new)
    writer.fold()
    writer.close()
    assert stored() == new.tobytes()
    assert [p.name[:7] for p in writer.folder.glob("*.parquet")] == ["1970-01"]


def test_bars_of_no_edition_are_taken_for_the_first_that_is_named():
    bars, folder = filled()
    StoreWriter(FQME, 60, "seed 1").close()
    assert stored() == bars.tobytes()
    assert read_manifest(folder).edition == "seed 1"
    StoreWriter(FQME, 60, "seed 2").close()
    assert stored() == b""


def test_a_damaged_manifest_costs_no_bar_of_an_edition():
    writer = StoreWriter(FQME, 60, "seed 1")
    bars = make(60 * np.arange(50))
    writer.append(bars)
    writer.close()
    damage(writer.folder / "manifest.json", "cut")
    writer = StoreWriter(FQME, 60, "seed 1")
    writer.close()
    assert len(writer.damaged) == 1
    assert stored() == bars.tobytes()
    assert read_manifest(writer.folder).edition == "seed 1"


# -- killed in between --------------------------------------------------------


def kill_everywhere(monkeypatch, tmp_path, prepare, change, check):
    """Kill *change* at each step in turn, and *check* what is left each time.

    Args:
      prepare: makes a store, returns what the others need of it.
      change: is killed; gets what *prepare* returned.
      check: gets it, too, afterwards.
    """
    for sync in ("fsync", "fdatasync"):  # for the loss of power, which this isn't
        monkeypatch.setattr(os, sync, lambda _: None)
    for steps in count():
        with config.use_dirs(config.Dirs.under(tmp_path / str(steps))):
            made = prepare()
            is_done = runs_through(monkeypatch, steps, partial(change, made))
            check(made)
        if is_done:
            assert steps > 5
            return


def test_a_kill_while_a_damaged_tail_is_set_aside_loses_no_bar(monkeypatch, tmp_path):
    def prepare():
        bars, folder = filled()
        path = the_one(folder, "tail.*.bin")
        raw = bytearray(path.read_bytes())
        raw[5 * RECORD + 9] ^= 1
        path.write_bytes(raw)
        return folder, np.delete(bars, 2005).tobytes(), [bytes(raw)]

    def change(_):
        StoreWriter(FQME, 60).close()

    def check(made):
        folder, kept, lost = made
        assert read_bars(FQME, 60).bars().tobytes() == kept
        for _ in range(2):
            StoreWriter(FQME, 60).close()
            assert (stored(), set_aside(folder)) == (kept, lost)

    kill_everywhere(monkeypatch, tmp_path, prepare, change, check)


def test_a_kill_while_damage_is_folded_loses_no_bar(monkeypatch, tmp_path):
    """The tail goes bad under its writer, and a month too."""

    def prepare():
        bars, folder = filled(tail=0)
        writer = StoreWriter(FQME, 60)
        writer.append(january(bars)[:10])
        tail = the_one(folder, "tail.*.bin")
        raw = bytearray(tail.read_bytes())
        raw[3 * RECORD] ^= 1
        tail.write_bytes(raw)
        month = the_one(folder, "2024-01.*.parquet")
        damage(month, "flip")
        kept = np.concatenate((np.delete(bars[:10], 3), bars[1000:]))
        return writer, kept.tobytes(), sorted([bytes(raw), month.read_bytes()])

    def change(made):
        made[0].fold()

    def check(made):
        writer, kept, lost = made
        writer.close()
        for _ in range(2):
            repair(FQME, 60)
            assert (stored(), set_aside(writer.folder)) == (kept, lost)

    kill_everywhere(monkeypatch, tmp_path, prepare, change, check)


def test_a_kill_while_a_manifest_is_made_anew_loses_no_bar(monkeypatch, tmp_path):
    def prepare():
        bars, folder = filled()
        manifest = folder / "manifest.json"
        damage(manifest, "flip")
        return folder, bars.tobytes(), manifest.read_bytes()

    def change(_):
        StoreWriter(FQME, 60).close()

    def check(made):
        folder, bars, manifest = made
        for _ in range(2):
            StoreWriter(FQME, 60).close()
            assert (stored(), set_aside(folder)) == (bars, [manifest])

    kill_everywhere(monkeypatch, tmp_path, prepare, change, check)


def test_a_kill_between_two_editions_loses_no_bar(monkeypatch, tmp_path):
    def prepare():
        writer = StoreWriter(FQME, 60, "seed 1")
        writer.append(make(MONTH_S + 60 * np.arange(-9, 9)))
        writer.fold()
        writer.append(make([0]))
        writer.close()
        files = [*writer.folder.glob("*.parquet"), *writer.folder.glob("tail*")]
        return writer.folder, sorted(p.read_bytes() for p in files)

    def change(_):
        StoreWriter(FQME, 60, "seed 2").close()

    def check(made):
        folder, lost = made
        if read_manifest(folder).edition == "seed 1":
            assert len(read_bars(FQME, 60)) == 19
        for _ in range(2):
            writer = StoreWriter(FQME, 60, "seed 2")
            writer.append(make([60]))
            writer.close()
            assert (stored(), set_aside(folder)) == (make([60]).tobytes(), lost)

    kill_everywhere(monkeypatch, tmp_path, prepare, change, check)


# -- deletions ----------------------------------------------------------------


def test_what_a_killed_deletion_left_is_removed_by_the_next(monkeypatch):
    _, folder = filled()

    def leave():
        with monkeypatch.context() as patch:
            patch.setattr(_admin, "remove_gone", fail_with(errno.EIO))
            with pytest.raises(StoreError, match="can't remove bars in .*Input/output"):
                delete(FQME, 60)
        assert len(list(folder.parent.glob(".60s.*.gone"))) == 1

    leave()
    finish_deletions(FQME)
    assert not folder.parent.parent.exists()
    filled()
    leave()
    StoreWriter(FQME, 60).close()
    assert [p.name for p in folder.parent.iterdir()] == ["60s"]
    leave()
    StoreWriter(FQME, 1).close()
    delete(FQME, 1)
    assert not folder.parent.parent.exists()


def test_what_can_not_be_removed_is_told(monkeypatch):
    filled()
    monkeypatch.setattr(os, "unlink", fail_with(errno.EACCES))
    with pytest.raises(StoreError, match="can't remove bars in .*Permission denied"):
        delete(FQME, 60)
    assert bars_folder(FQME, 60).exists() is False


def test_damage_is_set_aside_where_files_have_one_name_only(monkeypatch):
    bars, folder = filled(tail=0)
    month = the_one(folder, "2024-01.*.parquet")
    damage(month, "cut")
    raw = month.read_bytes()
    monkeypatch.setattr(os, "link", fail_with(errno.EPERM))
    writer = StoreWriter(FQME, 60)
    writer.append(bars[:1])
    writer.close()
    assert set_aside(folder) == [raw]


def test_too_many_open_files_is_no_damage(monkeypatch):
    bars, _ = filled()
    real = Path.open

    def full(path, *args, **kwargs):
        if path.suffix == ".parquet":
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.raises(StoreError, match="can't be read now: Too many open files"):
            read_bars(FQME, 60)
    assert stored() == bars.tobytes()


def test_the_span_of_a_store_without_its_tail_is_that_of_its_months():
    bars, folder = filled(tail=0)
    the_one(folder, "tail.*.bin").unlink()
    assert stored_span(FQME, 60) == (bars["time"][0], bars["time"][-1] + 60)
    assert "is missing" in repair(FQME, 60)[0]
