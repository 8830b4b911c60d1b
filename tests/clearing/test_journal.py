"""The journal: what was written is there, whatever happened; what isn't is said."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from piker.clearing._dialog import Dialog
from piker.clearing._journal import Journal, count_live, open_journal, verify_journal
from piker.errors import (
    JournalBusy,
    JournalDamaged,
    JournalFull,
    JournalTooNew,
)
from piker.msgs import Status
from tests.clearing._orders import order


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "ems" / "journal.sqlite"


def dialog(oid="o1", state="dark", **but) -> Dialog:
    return Dialog(order=order(oid=oid, exec_mode="dark"), state=state, born_ns=1, **but)


def status(seq, oid="o1", resp="dark_open") -> Status:
    return Status(seq=seq, time_ns=seq, oid=oid, resp=resp)


async def test_what_was_written_is_there(path):
    with open_journal(path) as journal:
        assert (journal.live(), journal.seq) == ([], 0)
        journal.write([dialog()], [status(1)], {"seen/x": 7})
        journal.write([dialog("o2", "canceled")], [status(2, "o2", "canceled")])
        await journal.sync()
    assert count_live(path) == 1
    with open_journal(path) as journal:
        assert journal.live() == [dialog()]
        assert journal.get("o2") == dialog("o2", "canceled")
        assert journal.get("o3") is None
        assert journal.seq == 2
        assert [one.seq for one in journal.tells_since(0)] == [1, 2]
        assert [one.seq for one in journal.tells_since(0, 1)] == [2]
        assert [one.seq for one in journal.tells_since(2)] == []
        assert journal.note("seen/x", int, 0) == 7
        assert journal.note("seen/y", int, 3) == 3
    assert verify_journal(path) == {"live": 1, "ended": 1, "told": 2}


def test_a_reader_sees_what_is_written_while_it_is_open(path):
    with open_journal(path) as journal:
        journal.write([dialog()])
        assert count_live(path) == 1
        journal.write([dialog(state="canceled")])
        assert count_live(path) == 0
        assert verify_journal(path)["ended"] == 1


def test_a_half_written_change_is_none(path, monkeypatch):
    with open_journal(path) as journal:
        journal.write([dialog()])
        with pytest.raises(TypeError):
            journal.write([dialog("o2")], notes={"x": object()})
        assert [one.oid for one in journal.live()] == ["o1"]


def test_what_is_told_is_forgotten_at_last_and_what_lives_is_not(path):
    with open_journal(path) as journal:
        journal.write([dialog("lives")], [status(1, "lives")])
        for seq in range(2, 100):
            oid = f"o{seq}"
            journal.write([dialog(oid, "canceled")], [status(seq, oid, "canceled")])
        journal.prune(keep=10)
        assert len(journal.tells_since(0)) == 10
        assert journal.get("lives") is not None
        assert journal.get("o50") is None
        assert journal.get("o99") is not None
        journal.checkpoint()
        assert journal.get("o99") is not None


def test_much_is_forgotten_little_by_little(path):
    with open_journal(path) as journal:
        for first in range(1, 3_501, 500):
            seqs = range(first, first + 500)
            journal.write([], [status(seq, "o1") for seq in seqs])
        left = [3_500]
        while journal.prune(keep=10):
            left.append(len(journal.tells_since(0)))
        assert left == [3_500, 2_500, 1_500, 500]
        assert [one.seq for one in journal.tells_since(0)] == list(range(3_491, 3_501))


def test_notes_are_found_by_how_they_begin_and_forgotten(path):
    with open_journal(path) as journal:
        journal.write(notes={"a/1": 1, "a/2": 2, "b/1": 3})
        assert journal.notes("a/", int) == {"a/1": 1, "a/2": 2}
        journal.write(notes={"a/1": None, "none": None})
        assert journal.notes("a/", int) == {"a/2": 2}
        assert journal.notes("", int) == {"a/2": 2, "b/1": 3}


def test_one_process_has_it(path):
    with open_journal(path):
        code = (
            "import sys; from pathlib import Path; "
            "from piker.clearing._journal import open_journal\n"
            "try:\n with open_journal(Path(sys.argv[1])): pass\n"
            "except Exception as e: print(type(e).__name__, e)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.startswith("JournalBusy")
        assert str(os.getpid()) in done.stdout
        with pytest.raises(JournalBusy), open_journal(path):
            pass
    with open_journal(path):
        pass


def test_a_later_pikers_is_left_alone(path):
    with open_journal(path) as journal:
        journal.write([dialog()])
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 2")
    db.close()
    before = path.read_bytes()
    for use in (opened, count_live, verify_journal):
        with pytest.raises(JournalTooNew, match="layout 2"):
            use(path)
    assert path.read_bytes() == before


def opened(path) -> None:
    with open_journal(path):
        pass


@pytest.mark.parametrize("where", [0, 100, 4096, "price"])
def test_what_is_not_ours_or_is_damaged_is_said_and_kept(path, where):
    with open_journal(path) as journal:
        for i in range(200):
            journal.write([dialog(f"o{i}")], [status(i + 1, f"o{i}")])
    raw = bytearray(path.read_bytes())
    if where == "price":
        at = raw.rindex(b'"price":"100"')
        raw[at + 9 : at + 12] = b"200"
    else:
        raw[where : where + 64] = os.urandom(64)
    path.write_bytes(raw)
    with pytest.raises(JournalDamaged, match="can't be read"):
        verify_journal(path)
    assert path.read_bytes() == raw


def test_another_programs_database_is_not_touched(path):
    path.parent.mkdir(mode=0o700)
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE t (x)")
    db.execute("PRAGMA user_version = 1")
    db.commit()
    db.close()
    before = path.read_bytes()
    with pytest.raises(JournalDamaged, match="another program"), open_journal(path):
        pass
    assert path.read_bytes() == before


@contextmanager
def full_disk(journal: Journal):
    """Let the database grow by nothing: as where the disk is full."""
    db = journal._db
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages}")
    yield
    db.execute("PRAGMA max_page_count = 1000000")


def test_without_room_it_is_as_it_was_and_goes_on_once_there_is(path):
    with open_journal(path) as journal:
        journal.write([dialog()], [status(1)])
        with full_disk(journal):
            with pytest.raises(JournalFull, match="free some space"):
                journal.write([dialog(f"o{i}") for i in range(500)], [status(2)])
        assert [one.oid for one in journal.live()] == ["o1"]
        assert journal.tells_since(1) == []
        journal.write([dialog("o2")], [status(2, "o2")])
        assert [one.oid for one in journal.live()] == ["o1", "o2"]


def test_a_killed_writer_leaves_all_that_was_written(path):
    code = """
import sys
from pathlib import Path
from piker.clearing._journal import open_journal
from tests.clearing.test_journal import dialog, status
with open_journal(Path(sys.argv[1])) as journal:
    for i in range(100000):
        journal.write([dialog(f"o{i}")], [status(i + 1, f"o{i}")])
        sys.stdout.write(f"{i}\\n")
        sys.stdout.flush()
"""
    writer = subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert writer.stdout is not None
    last = -1
    for line in writer.stdout:
        last = int(line)
        if last == 300:
            writer.kill()
    writer.wait()
    writer.stdout.close()
    with open_journal(path) as journal:
        found = {one.oid for one in journal.live()}
        assert {f"o{i}" for i in range(last + 1)} <= found
        assert len(found) <= last + 2
        assert journal.seq in (last + 1, last + 2)
    assert verify_journal(path)["live"] == len(found)
