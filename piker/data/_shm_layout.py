"""What a buffer of bars looks like in its file.

    header, 4096 bytes: what it is | SEQ FIRST LAST | 2 records | keys of 8 rows
    7 columns of SLOTS x 8 bytes, back to back: time open high low close volume count

A bar has an absolute index, an int that may be negative, and lies in slot
``index % SLOTS`` for as long as it exists: rows never move. The rows that exist are
``[max(FIRST, LAST - capacity), LAST)``. These rules make the file safe to read while
one process writes it, and to take over when that process was killed at any store:

1. *Publish by one store.* The writer fills slots that hold no existing row, then
   stores LAST (newer rows) or FIRST (older ones). SLOTS exceeds the capacity, so
   even a full ring has slots to spare, and a row is only dropped by the same store
   that publishes its successor. A reader whose copy took long asks ``intact_from``
   which of its rows can't have been overwritten meanwhile.
2. *SEQ is odd during a change in place*, which only the ``MUTABLE`` newest rows see.
   Before SEQ turns odd the whole change is written down in the one of the two
   records that isn't in force. So whoever finds SEQ odd, a reader or the next
   writer, takes the row from that record and needs not wait for its writer.
3. *The marks live in the records*: the store that makes SEQ even again puts the
   record of the change in force, with its marks. Row and marks can't disagree.
4. *Keys carry their row's index*, so a row that was just published has none and no
   store is needed for that. Those of the row changed last are in the record in force;
   they are copied to their place in the table before a record of another row replaces
   it, and looked up there from then on.

x86-64 keeps the order of plain stores and of plain loads, which is all this asks for;
elsewhere `find_fence` supplies a fence. Never truncate a file that is mapped somewhere.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import struct
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from piker.errors import ShmError, ShmMismatch

MAGIC: Final = 0x0053_5241_425F_4B50  # "PK_BARS\0"
VERSION: Final = 1

FIELDS: Final = ("time", "open", "high", "low", "close", "volume", "count")
INT_FIELDS: Final = frozenset({"time", "count"})

#: The newest rows that may still change in place.
MUTABLE: Final = 8
#: How many rows a writer may fill beyond LAST while the ring is full.
AHEAD: Final = 64
#: Longest market name, bytes of utf-8.
FQME_BYTES: Final = 256

HEADER_BYTES: Final = 4096
_SLOTS_STEP: Final = 512  # columns start on pages of 4096 bytes
#: Most rows a buffer may be asked to hold.
MAX_CAPACITY: Final = 1 << 40

# words (int64) of the header
W_MAGIC, W_VERSION, W_CAPACITY, W_SLOTS, W_PERIOD, W_EPOCH = range(6)
W_PID, W_PID_START, W_ADOPTIONS, W_REPAIRS, W_FQME_LEN, W_SINCE = range(6, 12)
W_DOUBT, W_DOUBT_END = range(12, 14)
W_SEQ, W_FIRST, W_LAST = range(16, 19)  # a cache line of their own
_W_FQME: Final = 192

#: Where the two records lie, bytes; which one counts is `record_offset`'s to say.
RECORDS_AT: Final = (8 * 64, 8 * 96)
#: Where index and keys of each mutable row lie, bytes; of row i at ``i % MUTABLE``.
KEYS_AT: Final = tuple(8 * (128 + 5 * i) for i in range(MUTABLE))

_HEAD: Final = struct.Struct("6q")
_ROW: Final = struct.Struct("2q5dq")  # index, row
#: A change: index, 7 of the row, 4 keys, last_tid, last_time_ns, 64 bytes of seen.
RECORD: Final = struct.Struct("2q5dq4q2q64s")
#: Index and 4 keys.
KEYS: Final = struct.Struct("5q")
_WORD: Final = struct.Struct("q")
_SEEN_BYTES: Final = 64

#: Bits of `Marks.seen`.
SEEN_BITS: Final = 8 * _SEEN_BYTES

_Ints: TypeAlias = "memoryview[int]"  # a string: only type checkers subscript it
_Floats: TypeAlias = "memoryview[float]"
Columns: TypeAlias = "tuple[_Ints, _Floats, _Floats, _Floats, _Floats, _Floats, _Ints]"
Fence = Callable[[], object]
Block = npt.NDArray[np.int64]
Column = npt.NDArray[Any]
AnyRow = tuple[int, float, float, float, float, float, int]
AnyKeys = tuple[int, int, int, int]
#: Bars as a structured array of dtype OHLCV, or as 7 columns in its order.
AnyBars = npt.NDArray[np.void] | Sequence[npt.ArrayLike]


class Row(NamedTuple):
    """One bar; units as in `piker.tsp.OHLCV`."""

    time: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    count: int  # type: ignore[assignment]  # tuple.count, which nobody needs here


class Keys(NamedTuple):
    """Which trades opened and closed a bar; all 0 until it is first rewritten.

    Attributes:
      open_time_ns: stamp of the trade that set ``open``.
      open_tid: its venue id.
      close_time_ns: stamp of the trade that set ``close``.
      close_tid: its venue id.
    """

    open_time_ns: int = 0
    open_tid: int = 0
    close_time_ns: int = 0
    close_tid: int = 0


class Marks(msgspec.Struct, frozen=True, gc=False):
    """Which of a market's trades a buffer holds.

    Attributes:
      last_tid: highest venue trade id applied, -1 before the first.
      last_time_ns: time of the newest trade applied, 0 before the first.
      seen: a set of `SEEN_BITS` bits: bit k is set if trade ``last_tid - 1 - k`` was
        applied too.
    """

    last_tid: int = -1
    last_time_ns: int = 0
    seen: int = 0


class Mapping:
    """A buffer's file, mapped: its words, columns, records and the rules' arithmetic.

    Attributes:
      words: the header as int64.
      columns: one writable or read-only memoryview per field, a slot an item.
      block: the columns as one array of shape (7, slots), floats as their bits.
      memory: the whole file; what `RECORD` and `KEYS` pack into.
    """

    def __init__(self, fd: int, path: str, *, writable: bool = False) -> None:
        """Map the file behind *fd*; raises ShmMismatch if it is no buffer of ours."""
        self.path = path
        self.fence = find_fence()
        self.slots = _check_head(fd, path)
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        self.memory = mm = mmap.mmap(fd, 0, access=access)
        ints, floats = memoryview(mm).cast("q"), memoryview(mm).cast("d")
        self.words: _Ints = ints[: HEADER_BYTES // 8]
        starts = [HEADER_BYTES // 8 + i * self.slots for i in range(len(FIELDS))]
        self.columns: Columns = tuple(  # type: ignore[assignment]
            (ints if name in INT_FIELDS else floats)[at : at + self.slots]
            for name, at in zip(FIELDS, starts, strict=True)
        )
        flat: Block = np.frombuffer(mm, np.int64, 7 * self.slots, HEADER_BYTES)
        self.block = flat.reshape(7, self.slots)
        self.capacity: int = self.words[W_CAPACITY]
        self.period_s: int = self.words[W_PERIOD]
        length = min(max(self.words[W_FQME_LEN], 0), FQME_BYTES)
        name = bytes(mm[8 * _W_FQME : 8 * _W_FQME + length])
        self.fqme = name.decode(errors="replace")

    def check(self, fqme: str, period_s: int, capacity: int) -> None:
        """Raise ShmMismatch unless the buffer is the one described."""
        wanted = (fqme, period_s, capacity)
        found = (self.fqme, self.period_s, self.capacity)
        if wanted != found:
            raise ShmMismatch(
                f"wanted a buffer of {_describe(*wanted)} in {self.path!r}, found "
                f"one of {_describe(*found)}; remove the file or use another name"
            )

    def first(self, last: int) -> int:
        """Return the oldest row there is while LAST is *last*."""
        return max(self.words[W_FIRST], last - self.capacity)

    def intact_from(self) -> int:
        """Return the oldest row that can't have been overwritten yet."""
        return self.words[W_LAST] - self.slots + AHEAD

    def pieces(self, start: int, stop: int) -> list[tuple[int, int, int]]:
        """Return rows [start, stop) as pieces (slot, length, offset from *start*)."""
        slot, length = start % self.slots, stop - start
        head = min(length, self.slots - slot)
        tail = [(0, length - head, head)] if head < length else []
        return [(slot, head, 0), *tail]

    def row(self, slot: int) -> Row:
        """Return what lies in a slot now."""
        times, opens, highs, lows, closes, volumes, counts = self.columns
        return Row(
            times[slot], opens[slot], highs[slot], lows[slot], closes[slot],
            volumes[slot], counts[slot],
        )  # fmt: skip

    def change(self, seq: int) -> list[int]:
        """Return index, row and keys of `record_offset`'s record, as 12 words."""
        at = record_offset(seq) // 8
        return self.words[at : at + 12].tolist()

    def redo_row(self, seq: int) -> tuple[int, Row]:
        """Return index and row of the change behind an odd *seq*."""
        index, *row = _ROW.unpack_from(self.memory, record_offset(seq))
        return index, Row(*row)

    def marks(self, seq: int) -> Marks:
        """Return the marks in force while SEQ is *seq*."""
        *_, tid, time_ns, seen = RECORD.unpack_from(self.memory, record_offset(seq))
        return Marks(tid, time_ns, int.from_bytes(seen, "little"))

    def keys(self, index: int, seq: int) -> Keys:
        """Return the keys of a row while SEQ is *seq*, all 0 if none were stored."""
        changed, *cells = self.change(seq)
        if changed == index:
            return Keys(*cells[7:])
        tag, *keys = KEYS.unpack_from(self.memory, KEYS_AT[index % MUTABLE])
        return Keys(*keys) if tag == index else Keys()

    def save_keys(self, seq: int) -> None:
        """Copy the keys in the record in force to the table."""
        index, *cells = self.change(seq)
        KEYS.pack_into(self.memory, KEYS_AT[index % MUTABLE], index, *cells[7:])

    def release(self) -> None:
        """Make every later access through `words` and `columns` fail."""
        for view in (self.words, *self.columns):
            view.release()


def record_offset(seq: int) -> int:
    """Return where the record lies that is in force, or pending if *seq* is odd."""
    return RECORDS_AT[((seq + 1) >> 1) & 1]


def slots_for(capacity: int) -> int:
    """Return how many slots a ring of *capacity* rows has."""
    return -(-(capacity + 2 * AHEAD) // _SLOTS_STEP) * _SLOTS_STEP


def file_bytes(slots: int) -> int:
    """Return the size of a file with so many slots."""
    return HEADER_BYTES + len(FIELDS) * 8 * slots


def empty_header(name: bytes, period_s: int, capacity: int, slots: int) -> bytes:
    """Return the header of a buffer with no rows, of market *name*."""
    header = bytearray(HEADER_BYTES)
    _HEAD.pack_into(header, 0, MAGIC, VERSION, capacity, slots, period_s, 0)
    _WORD.pack_into(header, 8 * W_FQME_LEN, len(name))
    header[8 * _W_FQME : 8 * _W_FQME + len(name)] = name
    none = Marks()
    no_change = (0,) * 12
    RECORD.pack_into(
        header, record_offset(0), *no_change, none.last_tid, none.last_time_ns,
        bytes(_SEEN_BYTES),
    )  # fmt: skip
    return bytes(header)


@cache
def find_fence(machine: str | None = None) -> Fence | None:
    """Return what orders memory accesses on this machine, None if nothing is needed.

    Raises: ShmError where it is needed and libatomic isn't there.
    """
    machine = machine or platform.machine()
    if machine in {"x86_64", "AMD64"}:
        return None
    try:
        fence = ctypes.CDLL("libatomic.so.1").atomic_thread_fence
    except (OSError, AttributeError) as e:
        raise ShmError(
            f"shared bars need libatomic.so.1 on a machine of type {machine!r}, "
            "which can't be loaded; install it (debian: libatomic1)"
        ) from e
    fence.argtypes, fence.restype = [ctypes.c_int], None
    return partial(fence, 5)  # memory_order_seq_cst


def as_columns(bars: AnyBars) -> list[Column]:
    """Return 7 contiguous columns of one length; raises ShmError for anything else."""
    if isinstance(bars, np.ndarray) and bars.dtype.names:
        if missing := set(FIELDS) - set(bars.dtype.names):
            raise ShmError(f"wanted bars with the fields {FIELDS}, without {missing}")
        bars = [bars[name] for name in FIELDS]
    if len(bars) != len(FIELDS):
        raise ShmError(f"wanted {len(FIELDS)} columns of bars, got {len(bars)}")
    columns: list[Column] = [
        np.ascontiguousarray(column, np.int64 if name in INT_FIELDS else np.float64)
        for name, column in zip(FIELDS, bars, strict=True)
    ]
    if len({column.shape for column in columns}) != 1 or columns[0].ndim != 1:
        raise ShmError(
            f"wanted columns of one length, got {[c.shape for c in columns]}"
        )
    if not np.all(columns[0][1:] > columns[0][:-1]):
        at = int(np.argmin(columns[0][1:] > columns[0][:-1]))
        raise ShmError(
            f"wanted bars whose times strictly increase, got {columns[0][at + 1]} s "
            f"after {columns[0][at]} s"
        )
    return columns


def _describe(fqme: str, period_s: int, capacity: int) -> str:
    return f"{fqme!r} with {capacity} bars of {period_s} s"


def _check_head(fd: int, path: str) -> int:
    """Return how many slots the file has, or raise ShmMismatch."""
    head = os.pread(fd, _HEAD.size, 0)
    magic, version, capacity, slots = 0, 0, 0, 0
    if len(head) == _HEAD.size:
        magic, version, capacity, slots, *_ = _HEAD.unpack(head)
    if magic != MAGIC:
        raise ShmMismatch(
            f"wanted a buffer of bars in {path!r}, found something else; remove it"
        )
    if version != VERSION:
        raise ShmMismatch(
            f"wanted layout {VERSION} in {path!r}, found {version}; restart the tree "
            "with one version of piker"
        )
    size = os.fstat(fd).st_size
    if not 1 <= capacity <= slots - 2 * AHEAD or size != file_bytes(slots):
        raise ShmMismatch(
            f"wanted {capacity} bars in {slots} slots in {path!r}, found a file of "
            f"{size} bytes, which is damaged; remove it"
        )
    return slots
