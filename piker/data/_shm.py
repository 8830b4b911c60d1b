"""Bars in shared memory: one writer process, any number of readers.

    ShmWriter (datad) --stores--> file in /dev/shm --maps--> ShmArray (any process)

A reader sees a market's bars the moment they change, with no message and no copy
between processes. It never writes, never blocks the writer and never waits for it: a
row that is just being changed is read as it will be. What a buffer looks like and why
that is safe is told in `piker.data._shm_layout`.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left

import numpy as np
import numpy.typing as npt

from piker.errors import ShmError
from piker.msgs import ShmToken
from piker.tsp import OHLCV

from ._shm_file import pid_start
from ._shm_layout import (
    FIELDS as FIELDS,
    MUTABLE as MUTABLE,
    SEEN_BITS as SEEN_BITS,
    W_EPOCH,
    W_LAST,
    W_PID,
    W_PID_START,
    W_SEQ,
    Block,
    Keys as Keys,
    Mapping,
    Marks as Marks,
    Row as Row,
)
from ._shm_writer import ShmWriter as ShmWriter

#: Longest a read may take before it gives up.
READ_DEADLINE_S = 1.0

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


class Bars:
    """Consecutive bars, one array per column; units as in `piker.tsp.OHLCV`.

    Attributes:
      start: absolute index of the first one.
    """

    __slots__ = ("_raw", "start")

    def __init__(self, start: int, raw: Block) -> None:
        """Take *raw*, shape (7, n), floats as their bits; use `ShmArray`."""
        self.start = start
        self._raw = raw

    def __len__(self) -> int:
        return self._raw.shape[1]

    @property
    def time(self) -> _Ints:
        """Epoch second of each bar's open, UTC; strictly increasing."""
        return self._raw[0]

    @property
    def open(self) -> _Floats:
        """Price of the first trade, quote units."""
        return self._raw[1].view(np.float64)

    @property
    def high(self) -> _Floats:
        """Highest price."""
        return self._raw[2].view(np.float64)

    @property
    def low(self) -> _Floats:
        """Lowest price."""
        return self._raw[3].view(np.float64)

    @property
    def close(self) -> _Floats:
        """Price of the last trade."""
        return self._raw[4].view(np.float64)

    @property
    def volume(self) -> _Floats:
        """Sum of the sizes traded, base units."""
        return self._raw[5].view(np.float64)

    @property
    def count(self) -> _Ints:
        """Number of trades; 0 in an empty bar."""
        return self._raw[6]

    def to_structured(self) -> npt.NDArray[np.void]:
        """Return a copy as one array of dtype OHLCV, shape (n,)."""
        bars = np.empty(len(self), OHLCV)
        for i, name in enumerate(FIELDS):
            bars[name] = self._raw[i].view(OHLCV[name])
        return bars


class BarsView(Bars):
    """Bars where they lie in the buffer, read-only: they change while you look.

    Read what you need, then ask `unchanged` or `still_there` whether it counts.
    """

    __slots__ = ("_map", "_seq")

    def __init__(self, start: int, raw: Block, mapping: Mapping, seq: int) -> None:
        """Take a slice of the mapping as it was while SEQ was *seq*."""
        super().__init__(start, raw)
        self._map = mapping
        self._seq = seq

    def still_there(self) -> bool:
        """Whether all rows are still these bars; the `MUTABLE` newest may differ."""
        return self._map.intact_from() <= self.start

    def unchanged(self) -> bool:
        """Whether no value can have changed since the view was made."""
        fence = self._map.fence
        if fence:
            fence()
        same = not self._seq & 1 and self._map.words[W_SEQ] == self._seq
        return same and self.still_there()


class ShmArray:
    """Read-only access to the bars of one market and period, from any process.

    ::

        bars = ShmArray.attach(flume.rt_shm)
        recent = bars.last(500)
        print(recent.time[-1], recent.close.mean())

    Nothing has to be closed: the file is unmapped with the last reference to it. The
    bars stay readable, and stop changing, when their writer is gone.
    """

    __slots__ = ("_map", "token")

    @classmethod
    def attach(cls, token: ShmToken) -> ShmArray:
        """Map the buffer that *token* names.

        Raises: ShmMismatch if there is something else; ShmError if there is nothing.
        """
        try:
            fd = os.open(token.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as e:
            raise ShmError(
                f"can't read the bars of {token.fqme!r} at {token.path!r}: "
                f"{e.strerror}; open the feed again for a new token"
            ) from e
        try:
            mapping = Mapping(fd, token.path)
        finally:
            os.close(fd)
        mapping.check(token.fqme, token.period_s, token.capacity)
        return cls(mapping, token)

    def __init__(self, mapping: Mapping, token: ShmToken) -> None:
        """Read *mapping*; use `attach`."""
        self._map = mapping
        self.token = token

    def __len__(self) -> int:
        first, last = self.bounds()
        return last - first

    def __repr__(self) -> str:
        first, last = self.bounds()
        return f"<ShmArray {self.fqme} {self.period_s}s bars {first}..{last}>"

    @property
    def fqme(self) -> str:
        """Full name of the market."""
        return self._map.fqme

    @property
    def period_s(self) -> int:
        """Bar length in seconds."""
        return self._map.period_s

    @property
    def capacity(self) -> int:
        """Most rows there can be; from then on each new one drops the oldest."""
        return self._map.capacity

    @property
    def epoch(self) -> int:
        """Generation of the past; if it changed, read again what you keep of it."""
        return self._map.words[W_EPOCH]

    def writer_alive(self) -> bool:
        """Whether the process that writes the bars lives, as far as can be seen."""
        words = self._map.words
        start = words[W_PID_START]
        return start != 0 and pid_start(words[W_PID]) == start

    def bounds(self) -> tuple[int, int]:
        """Return index of the oldest bar, and of the one after the newest."""
        last = self._map.words[W_LAST]
        return self._map.first(last), last

    def last(self, n: int) -> Bars:
        """Return a consistent copy of the *n* newest bars, of all if there are fewer.

        Consistent: no bar is torn, none missing or twice, and the newest are as they
        were at one moment.

        Raises: ShmError if no such copy came about within `READ_DEADLINE_S`.
        """
        words = self._map.words
        patience = _Patience(self._map)
        while True:
            seq = words[W_SEQ]
            if self._map.fence:
                self._map.fence()
            last = words[W_LAST]
            start = max(self._map.first(last), last - max(n, 0))
            bars = self._copy(seq, start, last, patience)
            if len(bars) or start == last:
                return bars
            patience.retry()

    def since(self, time_s: float) -> Bars:
        """Return a consistent copy of the bars that open at *time_s* or later."""
        return self.slice(time_s, None)

    def slice(self, start_s: float | None, end_s: float | None) -> Bars:
        """Return a consistent copy of the bars with start_s <= time < end_s.

        Finding them takes O(log n).

        Args:
          start_s: epoch seconds UTC, None for the oldest.
          end_s: epoch seconds UTC, None for up to the newest.
        Raises: ShmError if no such copy came about within `READ_DEADLINE_S`.
        """
        words = self._map.words
        patience = _Patience(self._map)
        while True:
            seq = words[W_SEQ]
            if self._map.fence:
                self._map.fence()
            first, last = self.bounds()
            start = first if start_s is None else self._find(start_s, first, last)
            stop = last if end_s is None else self._find(end_s, start, last)
            bars = self._copy(seq, start, stop, patience)
            # a search misled by newer bars in old slots ends among the old ones
            if self._map.intact_from() <= start:
                return bars
            patience.retry()

    def view(self, n: int) -> BarsView:
        """Return the *n* newest bars without a copy, or fewer.

        The ring has one seam; of bars on both sides of it, those after it are
        returned. Take `last` where the number matters.
        """
        words = self._map.words
        seq = words[W_SEQ]
        if self._map.fence:
            self._map.fence()
        last = words[W_LAST]
        start = max(self._map.first(last), last - max(n, 0))
        slot, length, at = self._map.pieces(start, last)[-1]
        raw = self._map.block[:, slot : slot + length]
        return BarsView(start + at, raw, self._map, seq)

    def forming(self) -> Row | None:
        """Return the newest bar as it was at one moment, None if there is none.

        Raises: ShmError if that failed for `READ_DEADLINE_S`.
        """
        m = self._map
        words = m.words
        patience = _Patience(m)
        while True:
            seq = words[W_SEQ]
            if m.fence:
                m.fence()
            last = words[W_LAST]
            if m.first(last) == last:
                return None
            row = m.row((last - 1) % m.slots)
            if seq & 1:
                index, pending = m.redo_row(seq)
                row = pending if index == last - 1 else row
            if m.fence:
                m.fence()
            if words[W_SEQ] == seq and m.intact_from() < last:
                return row
            patience.retry()

    # -- private -----------------------------------------------------------------
    def _find(self, time_s: float, first: int, last: int) -> int:
        """Return the first row of [first, last) that opens at *time_s* or later."""
        times, slots = self._map.columns[0], self._map.slots
        return (
            bisect_left(range(first, last), time_s, key=lambda i: times[i % slots])
            + first
        )

    def _copy(self, seq: int, start: int, stop: int, patience: _Patience) -> Bars:
        """Copy rows [start, stop), which existed after SEQ was *seq*.

        Returns: less, or none, of the oldest if the writer overwrote them meanwhile.
        """
        m = self._map
        raw = np.empty((len(FIELDS), stop - start), np.int64)
        while True:
            epoch = m.words[W_EPOCH]
            if m.fence:
                m.fence()
            self._read(raw, start, stop)
            if m.fence:
                m.fence()
            if seq & 1 or m.words[W_SEQ] != seq:
                self._settle(raw, start, stop, patience)
                if m.fence:
                    m.fence()
            if m.words[W_EPOCH] == epoch:  # else an old bar was corrected meanwhile
                break
            patience.retry()
        lost = min(max(m.intact_from() - start, 0), stop - start)
        return Bars(start + lost, raw[:, lost:])

    def _settle(self, raw: Block, start: int, stop: int, patience: _Patience) -> None:
        """Copy the newest rows of *raw* again until no change in place overlaps."""
        m = self._map
        low = max(start, stop - MUTABLE)
        while True:
            seq = m.words[W_SEQ]
            if m.fence:
                m.fence()
            self._read(raw[:, low - start :], low, stop)
            if seq & 1:  # the change is under way, or its writer dead: take all of it
                index, *cells = m.change(seq)
                if start <= index < stop:
                    raw[:, index - start] = cells[:7]
            if m.fence:
                m.fence()
            if m.words[W_SEQ] == seq:
                return
            patience.retry()

    def _read(self, raw: Block, start: int, stop: int) -> None:
        block = self._map.block
        for slot, length, at in self._map.pieces(start, stop):
            raw[:, at : at + length] = block[:, slot : slot + length]


class _Patience:
    """Counts the tries of a read, yields the CPU now and then, and ends it at last."""

    __slots__ = ("_deadline", "_map", "_tries")

    def __init__(self, mapping: Mapping) -> None:
        self._map = mapping
        self._tries = 0
        self._deadline = 0.0

    def retry(self) -> None:
        """Return for another try; raises ShmError when there were enough."""
        self._tries += 1
        if self._tries & 15:
            return
        now = time.monotonic()
        self._deadline = self._deadline or now + READ_DEADLINE_S
        if now > self._deadline:
            raise ShmError(
                f"wanted a consistent read of the bars of {self._map.fqme!r}, its "
                f"writer changed them without pause for {READ_DEADLINE_S} s; ask for "
                "fewer bars, or slow the replay down"
            )
        time.sleep(0)
