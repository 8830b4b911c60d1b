"""A writer of shared bars that is killed at any store leaves all done or all undone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.shm import shm_folder
from piker.data._shm import MUTABLE, Keys, Marks, ShmArray, ShmWriter
from piker.data._shm_layout import AHEAD, W_LAST, W_SEQ
from tests.data._fuse import Dead, Fuse, mortal_writer
from tests.data._ring import CAPACITY, bars, fill, open_ring, row

NEW = Keys(11, 12, 13, 14)
MARKS = Marks(500, 501, (1 << 511) + 5)
PREPENDED = 100  # bars of the past that OPS add, so that minute and index differ


@pytest.fixture
def folder() -> Iterator[Path]:
    with shm_folder() as place:
        yield place


def build(path: Path, rows: int) -> bytes:
    """Return a ring of *rows* bars, the newest of them changed, with keys and marks."""
    writer = open_ring(path)
    fill(writer, bars(PREPENDED, PREPENDED + rows))
    first, last = writer.bounds
    newest = range(max(first, last - MUTABLE), last)
    for i in [*newest, *newest[-1:], *newest[-2:-1]]:
        keys = Keys(*(k * 1000 + i for k in range(4)))
        writer.rewrite(i, row(PREPENDED + i, 0.25), keys, Marks(i, 3 * i, i << 440))
    writer.close()
    content = path.read_bytes()
    path.unlink()
    return content


def rewrite(age: int) -> Callable[[ShmWriter], object]:
    def change(writer: ShmWriter) -> None:
        i = writer.bounds[1] - age
        writer.rewrite(i, row(PREPENDED + i, 0.5), NEW, MARKS)

    return change


def correct(age: int) -> Callable[[ShmWriter], object]:
    def change(writer: ShmWriter) -> None:
        i = writer.bounds[1] - age
        writer.correct(i, row(PREPENDED + i, 0.75))

    return change


def append(writer: ShmWriter) -> None:
    writer.append(row(PREPENDED + writer.bounds[1]))


def prepend(writer: ShmWriter) -> None:
    writer.prepend(bars(PREPENDED - 20, PREPENDED))


def extend(count: int) -> Callable[[ShmWriter], object]:
    def change(writer: ShmWriter) -> None:
        start = PREPENDED + writer.bounds[1]
        writer.extend(bars(start, start + count))

    return change


#: name: rows there are, change, fewest stores it takes
CASES = {
    "append": (20, append, 8),
    "append to an empty one": (0, append, 8),
    "append to a full one": (500, append, 8),
    "append over the seam": (512, append, 8),
    "tick": (20, rewrite(1), 9),
    "tick of the row changed last": (20, rewrite(2), 9),
    "tick of a full one": (515, rewrite(1), 9),
    "late tick": (515, rewrite(4), 9),
    "latest tick": (515, rewrite(MUTABLE), 9),
    "correction": (20, correct(MUTABLE + 1), 7),
    "correction of the oldest": (515, correct(CAPACITY), 7),
    "correction beside the keys of another": (60, correct(MUTABLE + 2), 7),
    "prepend": (20, prepend, 8),
    "extend": (20, extend(30), 8),
    "extend over the seam": (300, extend(AHEAD), 8),
    "extend a full one": (510, extend(AHEAD), 8),
}


def adopted(path: Path) -> tuple[object, ...]:
    """Return all there is to know of a buffer, as its next writer finds it."""
    writer = open_ring(path)
    first, last = writer.bounds
    rows = tuple(writer.row(i) for i in range(first, last))
    keys = tuple(writer.keys(i) for i in range(max(first, last - MUTABLE), last))
    assert not writer._words[W_SEQ] & 1
    state = (first, last, rows, keys, writer.marks)
    writer.close()
    return state


def read(array: ShmArray) -> tuple[object, ...]:
    """Return what a reader finds: the same but keys and marks."""
    got = array.last(CAPACITY)
    first, last = array.bounds()
    assert (got.start, len(got)) == (first, last - first)
    newest = array.forming()
    rows = tuple(map(tuple, got.to_structured().tolist()))
    assert newest == (rows[-1] if rows else None)
    since = array.since(0).to_structured().tolist()
    assert since == list(rows)
    return first, last, rows


def kill_at(path: Path, content: bytes, change, store: float) -> tuple[bool, int]:
    """Start *change* on a fresh buffer, die at *store*; returns died, stores done."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    fuse = Fuse()
    with mortal_writer(path, fuse) as open_mortal:
        writer = open_mortal()
        fuse.left, fuse.stores = store, 0
        try:
            change(writer)
        except Dead:
            return True, fuse.stores
        return False, fuse.stores


def token_of(folder: Path) -> object:
    writer = open_ring(folder / "token")
    token = writer.token
    writer.close(remove=True)
    return token


@pytest.mark.parametrize("name", CASES)
def test_a_kill_at_any_store_leaves_all_or_nothing(folder, name):
    rows, change, fewest = CASES[name]
    path = folder / "token"
    token = token_of(folder)
    content = build(path, rows)
    path.write_bytes(content)
    before = adopted(path)
    died, stores = kill_at(path, content, change, float("inf"))
    after = adopted(path)
    assert not died
    assert stores >= fewest
    assert before != after
    found = []
    for store in range(stores):
        died, _ = kill_at(path, content, change, store)
        assert died
        seen = read(ShmArray.attach(token))
        state = adopted(path)
        assert state in (before, after), f"after {store} stores"
        assert seen == state[:3], f"after {store} stores"
        assert read(ShmArray.attach(token)) == seen
        found.append(state == after)
    assert found == sorted(found)  # once it happened it stays
    assert not found[0]


def test_a_kill_in_a_long_extend_leaves_its_oldest_rows(folder):
    path = folder / "token"
    token = token_of(folder)
    content = build(path, 500)
    allowed = []
    for done in (0, AHEAD, 2 * AHEAD, 150):
        kill_at(path, content, extend(done), float("inf"))
        allowed.append(adopted(path))
    _, stores = kill_at(path, content, extend(150), float("inf"))
    assert stores > 3 * 8
    found = []
    for store in range(stores):
        kill_at(path, content, extend(150), store)
        seen = read(ShmArray.attach(token))
        state = adopted(path)
        found.append(allowed.index(state))
        assert seen == state[:3]
    assert found == sorted(found)
    assert set(found) == {0, 1, 2}


@pytest.mark.parametrize("age", [1, MUTABLE])
def test_a_kill_while_repairing_leaves_a_buffer_to_repair(folder, age):
    path = folder / "token"
    token_of(folder)
    content = build(path, 515)
    _, stores = kill_at(path, content, rewrite(age), float("inf"))
    after = adopted(path)
    kill_at(path, content, rewrite(age), stores - 3)
    broken = path.read_bytes()
    repairs = 0
    for store in range(100):
        path.unlink()
        path.write_bytes(broken)
        fuse = Fuse()
        fuse.left = store
        with mortal_writer(path, fuse) as open_mortal:
            try:
                open_mortal()
            except Dead:
                repairs += 1
            else:
                break
        assert adopted(path) == after
    assert repairs >= 4


def test_an_interrupt_in_a_change_is_finished_at_once(folder):
    """Ctrl-C is no kill: the writer lives, and its next change must be right."""
    path = folder / "token"
    token = token_of(folder)
    content = build(path, 20)
    _, stores = kill_at(path, content, rewrite(3), float("inf"))
    for store in range(stores + 1):
        path.unlink()
        path.write_bytes(content)
        fuse = Fuse()
        with mortal_writer(path, fuse) as open_mortal:
            writer = open_mortal()
            array = ShmArray.attach(token)
            _interrupt(fuse, store, rewrite(3), writer)
            assert not writer._words[W_SEQ] & 1
            rewrite(1)(writer)
            _interrupt(fuse, store, append, writer)
            if writer.bounds[1] == 20:
                append(writer)
            append(writer)
            writer.rewrite(20, row(PREPENDED + 20, 2.0), NEW, Marks(7, 7, 7))
            first, last, rows = read(array)
            assert (first, last, writer.marks) == (0, 22, Marks(7, 7, 7))
            assert rows[17] in {row(PREPENDED + 17, 0.5), row(PREPENDED + 17, 0.25)}
            assert rows[19:] == (
                row(PREPENDED + 19, 0.5),
                row(PREPENDED + 20, 2.0),
                row(PREPENDED + 21),
            )
            assert writer.keys(20) == writer.keys(19) == NEW
            assert writer.keys(21) == Keys()


def _interrupt(fuse: Fuse, store: int, change, writer: ShmWriter) -> None:
    """Make one store of *change* fail, and only that one."""
    burn = fuse.burn
    count = iter(range(10**6))
    fuse.burn = lambda: next(count) == store
    try:
        change(writer)
    except Dead:
        pass
    finally:
        fuse.burn = burn


def test_the_fuse_sees_the_store_that_publishes(folder):
    path = folder / "token"
    token = token_of(folder)
    content = build(path, 20)
    kill_at(path, content, append, 7)
    assert ShmArray.attach(token)._map.words[W_LAST] == 20
    kill_at(path, content, append, 8)
    assert ShmArray.attach(token)._map.words[W_LAST] == 21
