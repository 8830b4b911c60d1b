"""One endless series of changes to shared bars, and judges of what became of it.

Every cell, key and mark is a function of the change's number. So a reader can tell from
any copy whether it is torn, an adopter from the marks alone what every row has to be.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np

from piker.data._shm import FIELDS, MUTABLE, Bars, Keys, Marks, ShmWriter

PERIOD_S = 60

# Bar i is appended (op 0), ticked 4 times (1..4), then its neighbour gets a late tick
# (5), then the oldest bar that may change at all one more (6), then one much older is
# corrected (7), which leaves the marks. Each adds 1 to a count.
OPS = 8
CORRECTED = 20
_SPREAD = random.Random(7).getrandbits(512) | 1


def cells(index: Any, count: Any) -> tuple[Any, ...]:
    """Return the row of bar *index* after *count* changes; ints or arrays."""
    base = 1000.0 + index % 1000
    return (
        index * PERIOD_S,
        base + count * 0.125,
        base + count * 0.25,
        base - count * 0.5,
        base + count % 3 + count * 0.0625,
        count * (count + 1) / 2.0,
        count,
    )


def keys_of(index: int, count: int) -> Keys:
    """Return the keys that go with `cells`; an appended bar has none."""
    if count == 1:
        return Keys()
    return Keys(index * 10**9 + count, 10 * index + count, -count - index, index)


def marks_of(tid: int) -> Marks:
    """Return the marks that go with change number *tid*."""
    return (
        Marks(tid, tid * 1000 + 7, tid * _SPREAD % (1 << 512)) if tid >= 0 else Marks()
    )


def counts_after(i: int, op: int, index: Any) -> Any:
    """Return how often bars *index* were changed when op *op* of bar *i* was done."""
    age = i - np.asarray(index)
    return np.select(
        [
            age == 0,
            age == 1,
            age < MUTABLE - 1,
            age == MUTABLE - 1,
            age < CORRECTED,
            age == CORRECTED,
        ],
        [1 + min(op, 4), 5 + (op >= 5), 6, 6 + (op >= 6), 7, 7 + (op >= 7)],
        8,
    )


def done_by(writer: ShmWriter) -> tuple[int, int]:
    """Return bar and op of the last change in a buffer, from its marks and bounds."""
    i, op = divmod(writer.marks.last_tid, OPS)
    return (i + 1, 0) if writer.bounds[1] == i + 2 else (i, op)


def write_series(writer: ShmWriter, go_on: Callable[[], bool]) -> None:
    """Continue the series wherever the buffer stands, until *go_on* says no."""
    i, op = done_by(writer)
    rows = 0
    while rows % 100 or go_on():
        i, op = (i + 1, 0) if op == OPS - 1 else (i, op + 1)
        rows += op == 0
        if op == 0:
            writer.append(cells(i, 1))
            continue
        if op == OPS - 1:
            if i - CORRECTED >= writer.bounds[0]:
                writer.correct(i - CORRECTED, cells(i - CORRECTED, 8))
            continue
        age, count = {5: (1, 6), 6: (MUTABLE - 1, 7)}.get(op, (0, op + 1))
        if i >= age:
            at = i - age
            marks = marks_of(OPS * i + op)
            writer.rewrite(at, cells(at, count), keys_of(at, count), marks)


# -- judging copies ----------------------------------------------------------------
_TAIL = MUTABLE + 1
#: Counts the newest rows can have at one moment; a copy may end some bars before it.
_TAILS = {
    tuple(counts_after(i, op, range(_TAIL)).tolist())
    for i in range(_TAIL - 1, CORRECTED + 2 * _TAIL)
    for op in range(OPS)
}


def judge(bars: Bars) -> dict[str, int]:
    """Return how many rows of a copy are torn, out of place or of another moment."""
    index = bars.start + np.arange(len(bars))
    count = bars.count
    wanted = cells(index, count)
    torn = np.zeros(len(bars), bool)
    for name, column in zip(FIELDS[1:], wanted[1:], strict=True):
        torn |= getattr(bars, name) != column
    torn |= (count < 1) | (count > 8)
    older = count[:-_TAIL]
    mixed = len(bars) >= _TAIL and (
        tuple(count[-_TAIL:].tolist()) not in _TAILS
        or bool(((older != 7) & (older != 8)).any())
        or bool((older[1:] > older[:-1]).any())
    )
    misplaced = bars.time != wanted[0]
    return {
        "torn": int(torn.sum()),
        "misplaced": int(misplaced.sum()),
        "mixed": int(mixed),
    }


def judge_adopted(writer: ShmWriter, bars: Bars) -> int:
    """Return how many rows, keys and marks differ from what the series says."""
    i, op = done_by(writer)
    bad = int(writer.marks != marks_of(writer.marks.last_tid))
    first, last = writer.bounds
    bad += int((bars.start, len(bars)) != (first, last - first) or last != i + 1)
    if op == OPS - 2 and i - CORRECTED >= first:
        op += writer.row(i - CORRECTED)[-1] == 8  # the marks don't tell
    index = np.arange(first, last)
    counts = counts_after(i, op, index)
    for name, column in zip(FIELDS, cells(index, counts), strict=True):
        bad += int((getattr(bars, name) != column).sum())
    for at in range(max(first, last - MUTABLE), last):
        bad += writer.keys(at) != keys_of(at, int(counts[at - first]))
    return bad
