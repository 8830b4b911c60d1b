"""The one process that stores into a buffer of bars; see `piker.data._shm_layout`.

    open: flock | make or map | finish a dead writer's change | sign
    append, extend, prepend: fill hidden slots | publish by one store
    rewrite: record | SEQ odd | row and keys | SEQ even, the record's marks in force

It never waits for a reader, never moves a row and never leaves SEQ odd while alive.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from piker.errors import ShmError
from piker.msgs import ShmToken
from piker.tsp import OHLCV

from ._shm_file import own, pid_start, unlock
from ._shm_layout import (
    AHEAD,
    FIELDS,
    MUTABLE,
    RECORD,
    RECORDS_AT,
    SEEN_BITS,
    W_ADOPTIONS,
    W_DOUBT,
    W_DOUBT_END,
    W_EPOCH,
    W_FIRST,
    W_LAST,
    W_PID,
    W_PID_START,
    W_REPAIRS,
    W_SEQ,
    W_SINCE,
    AnyBars,
    AnyKeys,
    AnyRow,
    Column,
    Keys,
    Mapping,
    Marks,
    Row,
    as_columns,
)

_SEEN_BYTES: Final = SEEN_BITS // 8
_BEFORE_ALL_S: Final = -(1 << 63)


class ShmWriter:
    """Writes the bars of one market and period; at most one at a time exists.

    Every change is atomic for readers, and for a kill at any moment: the next writer
    finds it done or not begun, marks and keys included. Only `extend` may be found
    done in part: its oldest rows, in order. Not for use by two threads at once.
    """

    __slots__ = (
        "_changed", "_columns", "_fd", "_fence", "_first", "_last", "_map", "_marks",
        "_memory", "_newest_s", "_path", "_seq", "_slots", "_words",
    )  # fmt: skip
    _changed: int
    _first: int
    _last: int
    _marks: Marks
    _newest_s: int
    _seq: int

    @classmethod
    def open(
        cls, path: str | Path, *, fqme: str, period_s: int, capacity: int
    ) -> ShmWriter:
        """Make the buffer at *path*, or adopt the one that is there.

        Args:
          path: of the file, its folder exists; on a memory file system.
          fqme: full market name, at most 256 bytes of utf-8.
          period_s: bar length in seconds.
          capacity: rows to keep; when they are full, each new one drops the oldest.
        Raises: ShmBusy if another process writes it; ShmMismatch if what is there is
          something else; ShmFull if there is no room; ShmError.
        """
        where = str(Path(path).absolute())
        fd = own(where, fqme, period_s, capacity)
        try:
            mapping = Mapping(fd, where, writable=True)
            mapping.check(fqme, period_s, capacity)
            return cls(mapping, fd)
        except BaseException:
            unlock(fd)
            raise

    def __init__(self, mapping: Mapping, fd: int) -> None:
        """Adopt a mapped file, whose lock is *fd*'s; use `open`."""
        self._map = mapping
        self._fd = fd
        self._path = mapping.path
        self._slots = mapping.slots
        self._fence = mapping.fence
        self._words = mapping.words
        self._columns = mapping.columns
        self._memory = mapping.memory
        self._load()
        words = self._words
        words[W_PID_START] = 0  # nobody shall see a mixed pair
        words[W_PID] = os.getpid()
        words[W_PID_START] = pid_start(os.getpid())
        words[W_ADOPTIONS] += 1

    # -- what is there -----------------------------------------------------------
    @property
    def token(self) -> ShmToken:
        """What a reader needs to attach."""
        m = self._map
        return ShmToken(
            path=m.path, fqme=m.fqme, period_s=m.period_s, capacity=m.capacity
        )

    @property
    def bounds(self) -> tuple[int, int]:
        """Index of the oldest row, and of the row after the newest."""
        return self._map.first(self._last), self._last

    @property
    def marks(self) -> Marks:
        """Which trades were applied: the marks of the newest `rewrite`."""
        return self._marks

    @property
    def epoch(self) -> int:
        """Which generation of the market's past the buffer holds."""
        return self._words[W_EPOCH]

    @property
    def adoptions(self) -> int:
        """How many writers the buffer has had."""
        return self._words[W_ADOPTIONS]

    @property
    def repairs(self) -> int:
        """How many changes of killed writers were finished by the next one."""
        return self._words[W_REPAIRS]

    @property
    def since_s(self) -> int:
        """Epoch second from which on the bars are made of trades, 0 if unknown.

        Older ones are history: of the venue, of the store, or stand-ins for it.
        """
        return self._words[W_SINCE]

    @since_s.setter
    def since_s(self, time_s: int) -> None:
        self._words[W_SINCE] = time_s

    @property
    def doubt(self) -> tuple[int, int] | None:
        """Span of bars that may lack a trade, noted nowhere else; epoch s, or None.

        It outlives its writer at once: no store and no disk is waited for.
        """
        start_s, end_s = self._words[W_DOUBT], self._words[W_DOUBT_END]
        return (start_s, end_s) if start_s < end_s else None

    @doubt.setter
    def doubt(self, span: tuple[int, int] | None) -> None:
        # whoever is killed between two stores leaves the old span, or more than it
        if span is None:
            self._words[W_DOUBT_END] = 0
            return
        start_s, end_s = span
        known = self.doubt
        if known is not None:
            start_s, end_s = min(start_s, known[0]), max(end_s, known[1])
        self._words[W_DOUBT], self._words[W_DOUBT_END] = start_s, end_s

    def row(self, index: int) -> Row:
        """Return row *index*; raises ShmError if there is none."""
        first, last = self.bounds
        if not first <= index < last:
            raise ShmError(
                f"no bar {index} of {self._map.fqme!r}, have {first}..{last}"
            )
        slot = index % self._slots
        return self._map.row(slot)

    def rows(self, start: int, stop: int) -> npt.NDArray[np.void]:
        """Return a copy of the rows [start, stop) that exist, dtype OHLCV."""
        first, last = self.bounds
        start, stop = max(start, first), min(stop, last)
        bars = np.empty(max(stop - start, 0), OHLCV)
        for slot, length, at in self._map.pieces(start, start + len(bars)):
            for i, name in enumerate(FIELDS):
                column = self._map.block[i, slot : slot + length]
                bars[name][at : at + length] = column.view(OHLCV[name])
        return bars

    def find(self, time_s: int) -> int:
        """Return the index of the first row that opens at *time_s* or later."""
        times, slots = self._columns[0], self._slots
        first, last = self.bounds
        rows = range(first, last)
        return first + bisect_left(rows, time_s, key=lambda i: times[i % slots])

    def keys(self, index: int) -> Keys:
        """Return the keys of row *index*, all 0 before its first `rewrite`.

        Raises: ShmError if it isn't one of the `MUTABLE` newest.
        """
        self._check_mutable(index)
        return self._map.keys(index, self._seq)

    # -- the hot path ------------------------------------------------------------
    def append(self, row: AnyRow) -> int:
        """Publish a bar after the newest, with no keys; drop the oldest if full.

        Args:
          row: time, open, high, low, close, volume, count; best a plain tuple.
        Returns: its index.
        Raises: ShmError if its time isn't after the newest bar's.
        """
        time_s, open_, high, low, close, volume, count = row
        if time_s <= self._newest_s:
            raise self._unordered(time_s)
        index = self._last
        slot = index % self._slots
        times, opens, highs, lows, closes, volumes, counts = self._columns
        try:
            times[slot] = time_s
            opens[slot] = open_
            highs[slot] = high
            lows[slot] = low
            closes[slot] = close
            volumes[slot] = volume
            counts[slot] = count
            if self._fence:
                self._fence()
            self._words[W_LAST] = self._last = index + 1
            self._newest_s = time_s
        except BaseException:  # a Ctrl-C may come between any two lines
            self._load()
            raise
        return index

    def rewrite(self, index: int, row: AnyRow, keys: AnyKeys, marks: Marks) -> None:
        """Change one of the `MUTABLE` newest bars, its keys and the marks, at once.

        A change of several bars is one call each, the bar that got the trade last:
        the marks count the trade as applied from then on.

        Args:
          index: of the bar.
          row: all of the new bar; its time must be what it was.
          keys: open_time_ns, open_tid, close_time_ns, close_tid.
          marks: the new marks; `marks` where they stay.
        Raises: ShmError if the bar can't change any more, or in its time.
        """
        time_s, open_, high, low, close, volume, count = row
        open_ns, open_tid, close_ns, close_tid = keys
        last = self._last
        if not last > index >= last - MUTABLE or index < self._first:
            self._check_mutable(index)
        slot = index % self._slots
        times, opens, highs, lows, closes, volumes, counts = self._columns
        if times[slot] != time_s:
            raise ShmError(
                f"wanted to rewrite the bar of {times[slot]} s of {self._map.fqme!r}, "
                f"got one of {time_s} s; a bar keeps its time"
            )
        seq = self._seq + 2
        fence = self._fence
        words = self._words
        try:
            if index != self._changed and self._changed >= last - MUTABLE:
                self._map.save_keys(self._seq)
            # also the check of all arguments: what fits the record fits the columns
            RECORD.pack_into(
                self._memory,
                RECORDS_AT[(seq >> 1) & 1],
                index, time_s, open_, high, low, close, volume, count,
                open_ns, open_tid, close_ns, close_tid, marks.last_tid,
                marks.last_time_ns, marks.seen.to_bytes(_SEEN_BYTES, "little"),
            )  # fmt: skip
            if fence:
                fence()
            words[W_SEQ] = seq - 1
            if fence:
                fence()
            opens[slot] = open_
            highs[slot] = high
            lows[slot] = low
            closes[slot] = close
            volumes[slot] = volume
            counts[slot] = count
            if fence:
                fence()
            words[W_SEQ] = self._seq = seq
            self._marks = marks
            self._changed = index
        except BaseException:  # a Ctrl-C may come between any two lines
            self._load()
            raise

    # -- the past ----------------------------------------------------------------
    def correct(self, index: int, row: AnyRow) -> None:
        """Change a bar that is older than the `MUTABLE` newest: a new epoch begins.

        Readers of what lies there meanwhile find the old bar or the new one; those
        that keep a copy learn from the epoch that it is of another past.

        Args:
          index: of the bar.
          row: all of the new bar; its time must be what it was.
        Raises: ShmError if there is no such bar, it is too new, or in its time.
        """
        old = self.row(index)
        if index >= self._last - MUTABLE or old.time != row[0]:
            raise ShmError(
                f"wanted to correct bar {index} of {self._map.fqme!r} at {old.time} s,"
                f" got one of {row[0]} s; only bars before the {MUTABLE} newest are"
                " corrected, and keep their time"
            )
        seq = self._seq + 2
        try:
            if self._changed >= self._last - MUTABLE:
                self._map.save_keys(self._seq)
            self._words[W_EPOCH] += 1
            RECORD.pack_into(
                self._memory, RECORDS_AT[(seq >> 1) & 1], index, *row, *Keys(),
                self._marks.last_tid, self._marks.last_time_ns,
                self._marks.seen.to_bytes(_SEEN_BYTES, "little"),
            )  # fmt: skip
            self._order()
            self._words[W_SEQ] = seq - 1
            self._order()
            self._redo(seq - 1)
            # before SEQ is even again: who finds it so compares the epochs
            self._words[W_EPOCH] += 1
            self._order()
            self._words[W_SEQ] = self._seq = seq
            self._changed = index
        except BaseException:  # a Ctrl-C may come between any two lines
            self._load()
            raise

    def _order(self) -> None:
        if self._fence:
            self._fence()

    # -- many rows ---------------------------------------------------------------
    def extend(self, bars: AnyBars) -> int:
        """Append many bars; of more than the capacity the newest are taken.

        What finds free slots is published at once, the rest in steps of `AHEAD` rows.

        Returns: how many were stored.
        Raises: ShmError if times don't strictly increase, from the newest bar's on.
        """
        columns = as_columns(bars)
        times = columns[0]
        if len(times) and times[0] <= self._newest_s:
            raise self._unordered(int(times[0]))
        stored = min(len(times), self._map.capacity)
        columns = [column[len(times) - stored :] for column in columns]
        done = 0
        try:
            while done < stored:
                last = self._last
                # slots no reader ever saw a row in, or the few it expects to lose
                free = max(self._slots - (last - self._first), AHEAD)
                step = min(stored - done, free)
                self._fill(last, [column[done : done + step] for column in columns])
                if self._fence:
                    self._fence()
                self._words[W_LAST] = self._last = last + step
                done += step
        finally:
            self._load()
        return stored

    def prepend(self, bars: AnyBars) -> int:
        """Publish older bars, right before the oldest, as many as find room.

        Returns: how many of them, counted from the newest, were stored.
        Raises: ShmError if times don't strictly increase, up to the oldest bar's.
        """
        columns = as_columns(bars)
        first, last = self.bounds
        times = columns[0]
        if last > first and len(times) and times[-1] >= self.row(first).time:
            raise ShmError(
                f"wanted bars of {self._map.fqme!r} before the oldest at "
                f"{self.row(first).time} s, got one at {times[-1]} s; times must "
                "strictly increase"
            )
        stored = min(len(times), self._map.capacity - (last - first))
        if stored:
            older = [column[len(times) - stored :] for column in columns]
            self._fill(first - stored, older)
            if self._fence:
                self._fence()
            self._words[W_FIRST] = first - stored
            self._load()
        return stored

    def close(self, *, remove: bool = False) -> None:
        """Give the buffer up for another writer to adopt; a second call does nothing.

        Args:
          remove: unlink the file; who has it mapped keeps what is in it.
        """
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        self._words[W_PID_START] = 0
        self._map.release()
        if remove:
            Path(self._path).unlink(missing_ok=True)
        unlock(fd)

    # -- private -----------------------------------------------------------------
    def _load(self) -> None:
        """Take the state from the file, after finishing a change that was begun."""
        words = self._words
        seq = words[W_SEQ]
        if seq & 1:
            self._redo(seq)
            if self._map.change(seq)[0] < words[W_LAST] - MUTABLE:
                words[W_EPOCH] += 1  # a correction
            seq += 1
            words[W_SEQ] = seq
            words[W_REPAIRS] += 1
        self._seq = seq
        self._first, self._last = words[W_FIRST], words[W_LAST]
        self._marks = self._map.marks(seq)
        self._changed = self._map.change(seq)[0]
        first, last = self.bounds
        self._newest_s = self.row(last - 1).time if last > first else _BEFORE_ALL_S

    def _redo(self, seq: int) -> None:
        index, *cells = self._map.change(seq)
        self._map.block[:, index % self._slots] = cells[:7]
        if self._fence:
            self._fence()

    def _fill(self, index: int, columns: Sequence[Column]) -> None:
        """Store columns into the slots of the hidden rows from *index* on."""
        block = self._map.block
        for slot, length, at in self._map.pieces(index, index + len(columns[0])):
            for i, column in enumerate(columns):
                piece = column[at : at + length]
                block[i, slot : slot + length] = piece.view(np.int64)

    def _check_mutable(self, index: int) -> None:
        first, last = self.bounds
        low = max(first, last - MUTABLE)
        if not low <= index < last:
            raise ShmError(
                f"wanted to change bar {index} of {self._map.fqme!r}, only {low} up to "
                f"{last - 1} still change"
            )

    def _unordered(self, time_s: float) -> ShmError:
        return ShmError(
            f"wanted a bar of {self._map.fqme!r} after the newest at {self._newest_s} "
            f"s, got one at {time_s} s; times must strictly increase"
        )
