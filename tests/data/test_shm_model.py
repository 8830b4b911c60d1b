"""The shared ring of bars against a plain list, under any order of changes."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
from hypothesis import settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from piker.data._shm import MUTABLE, SEEN_BITS, Keys, Marks, Row, ShmArray
from piker.tsp import OHLCV
from tests.data._fuse import Dead, Fuse, mortal_writer
from tests.data._ring import CAPACITY, open_ring

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
PRICES = st.floats(allow_nan=False, width=64)
KEYS = st.builds(Keys, INT64, INT64, INT64, INT64)
MARKS = st.builds(Marks, INT64, INT64, st.integers(0, (1 << SEEN_BITS) - 1))
CELLS = st.tuples(PRICES, PRICES, PRICES, PRICES, PRICES, INT64)
GAPS = st.integers(1, 5)


class Ring(RuleBasedStateMachine):
    """A writer, a reader that stays attached, and what the bars ought to be."""

    def __init__(self) -> None:
        super().__init__()
        # removed with the object, also where an example fails
        self.folder = tempfile.TemporaryDirectory(prefix="piker-shm-", dir="/dev/shm")
        self.path = Path(self.folder.name) / "ring"
        self.rows: list[Row] = []
        self.start = 0
        self.keys: dict[int, Keys] = {}
        self.marks = Marks()

    @initialize()
    def make(self) -> None:
        self.writer = open_ring(self.path)
        self.array = ShmArray.attach(self.writer.token)

    def teardown(self) -> None:
        if hasattr(self, "writer"):
            self.writer.close()
        self.folder.cleanup()

    @property
    def stop(self) -> int:
        return self.start + len(self.rows)

    def grow(self, rows: list[Row]) -> None:
        self.rows += rows
        lost = max(len(self.rows) - CAPACITY, 0)
        del self.rows[:lost]
        self.start += lost

    def newer(self, count: int, gap: int) -> list[Row]:
        newest = self.rows[-1].time if self.rows else 0
        return [
            Row(newest + gap * (k + 1), 1.0 + k, 2.0, 0.5, float(gap), 3.0, k)
            for k in range(count)
        ]

    # -- changes -------------------------------------------------------------------
    @rule(gap=GAPS, cells=CELLS)
    def append(self, gap: int, cells: tuple) -> None:
        (head,) = self.newer(1, gap)
        new = Row(head.time, *cells)
        assert self.writer.append(new) == self.stop
        self.grow([new])

    @rule(count=st.integers(0, 450), gap=GAPS)
    def extend(self, count: int, gap: int) -> None:
        rows = self.newer(count, gap)
        taken = min(count, CAPACITY)
        assert self.writer.extend(np.array([tuple(r) for r in rows], OHLCV)) == taken
        self.grow(rows[count - taken :])

    @rule(count=st.integers(0, 450), gap=GAPS)
    def prepend(self, count: int, gap: int) -> None:
        oldest = self.rows[0].time if self.rows else 0
        rows = [
            Row(oldest - gap * (count - k), -1.0 - k, 2.0, 0.5, 1.0, 3.0, k)
            for k in range(count)
        ]
        taken = min(count, CAPACITY - len(self.rows))
        assert self.writer.prepend(np.array([tuple(r) for r in rows], OHLCV)) == taken
        self.rows[:0] = rows[count - taken :]
        self.start -= taken

    @precondition(lambda self: self.rows)
    @rule(age=st.integers(1, MUTABLE), cells=CELLS, keys=KEYS, marks=MARKS)
    def rewrite(self, age: int, cells: tuple, keys: Keys, marks: Marks) -> None:
        at = max(self.stop - age, self.start)
        new = Row(self.rows[at - self.start].time, *cells)
        self.writer.rewrite(at, new, keys, marks)
        self._rewritten(at, new, keys, marks)

    @precondition(lambda self: self.rows)
    @rule(
        age=st.integers(1, MUTABLE),
        cells=CELLS,
        keys=KEYS,
        marks=MARKS,
        store=st.integers(0, 12),
    )
    def die_in_rewrite(self, age, cells, keys, marks, store) -> None:
        at = max(self.stop - age, self.start)
        new = Row(self.rows[at - self.start].time, *cells)
        seen = self.die(store, lambda mortal: mortal.rewrite(at, new, keys, marks))
        found = self.writer.row(at), self.writer.keys(at), self.writer.marks
        if found == (new, keys, marks):  # else nothing of it may be there
            self._rewritten(at, new, keys, marks)
        self.agree(seen)

    @precondition(lambda self: len(self.rows) > MUTABLE)
    @rule(back=st.integers(1, 500), cells=CELLS)
    def correct(self, back: int, cells: tuple) -> None:
        at = max(self.stop - MUTABLE - back, self.start)
        new = Row(self.rows[at - self.start].time, *cells)
        epoch = self.array.epoch
        self.writer.correct(at, new)
        self.rows[at - self.start] = new
        assert self.array.epoch > epoch

    @precondition(lambda self: len(self.rows) > MUTABLE)
    @rule(back=st.integers(1, 500), cells=CELLS, store=st.integers(0, 9))
    def die_in_correct(self, back: int, cells: tuple, store: int) -> None:
        at = max(self.stop - MUTABLE - back, self.start)
        new = Row(self.rows[at - self.start].time, *cells)
        epoch = self.array.epoch
        seen = self.die(store, lambda mortal: mortal.correct(at, new))
        if tuple(self.writer.row(at)) == tuple(new):
            self.rows[at - self.start] = new
            assert self.array.epoch > epoch
        self.agree(seen)

    def die(self, store: int, change):
        """Have a writer die in a change; return what a reader sees, open the next."""
        self.writer.close()
        fuse = Fuse()
        with mortal_writer(self.path, fuse) as open_mortal:
            mortal = open_mortal()
            fuse.left = store
            with suppress(Dead):
                change(mortal)
        seen = self.array.last(CAPACITY)
        self.writer = open_ring(self.path)
        return seen

    def _rewritten(self, at: int, new: Row, keys: Keys, marks: Marks) -> None:
        self.rows[at - self.start] = new
        self.keys[at] = keys
        self.marks = marks

    @rule()
    def adopt(self) -> None:
        self.writer.close()
        self.writer = open_ring(self.path)

    # -- reads ---------------------------------------------------------------------
    def agree(self, got, low: int | None = None, high: int | None = None) -> None:
        low = self.start if low is None else low
        high = self.stop if high is None else high
        wanted = np.array(
            [tuple(r) for r in self.rows[low - self.start : high - self.start]], OHLCV
        )
        assert got.to_structured().tobytes() == wanted.tobytes()
        assert got.start == low or not len(wanted)

    @rule(n=st.integers(0, 500))
    def read_last(self, n: int) -> None:
        self.agree(self.array.last(n), max(self.stop - n, self.start))

    @rule(n=st.integers(0, 500))
    def look(self, n: int) -> None:
        view = self.array.view(n)
        assert len(view) >= min(n, len(self.rows)) or not view.start % 512
        self.agree(view, view.start, self.stop)
        assert view.unchanged()

    @rule(low=st.integers(-900, 900), span=st.integers(-10, 900))
    def read_span(self, low: int, span: int) -> None:
        anchor = self.rows[len(self.rows) // 2].time if self.rows else 0
        from_s, to_s = anchor + low, anchor + low + span
        inside = [
            k for k, r in enumerate(self.rows, self.start) if from_s <= r.time < to_s
        ]
        low, high = (inside[0], inside[-1] + 1) if inside else (self.start, self.start)
        self.agree(self.array.slice(from_s, to_s), low, high)
        after = [k for k, r in enumerate(self.rows, self.start) if r.time >= from_s]
        self.agree(self.array.since(from_s), after[0] if after else self.stop)

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "writer"):
            return
        assert self.array.bounds() == self.writer.bounds == (self.start, self.stop)
        self.agree(self.array.last(CAPACITY))
        assert self.array.forming() == (self.rows[-1] if self.rows else None)
        assert self.writer.marks == self.marks
        for at in range(max(self.start, self.stop - MUTABLE), self.stop):
            assert self.writer.row(at) == self.rows[at - self.start]
            assert self.writer.keys(at) == self.keys.get(at, Keys())


Ring.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestRing = Ring.TestCase
