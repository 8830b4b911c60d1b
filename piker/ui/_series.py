"""Bars as a chart keeps them: one array a column, growing at both ends.

    buffer of datad --update()--> Series <--prepend()-- store, as one pans left

A bar keeps its index for as long as the series lives, whatever comes before it or after
it, so what is anchored at an index stands still on the screen; only bars that are put
between others, where a hole was, move those behind them on. Mostly the newest bars
change; `Change` says from where on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from piker.msgs import MktPair
from piker.tsp import OHLCV, resample

_FIELDS: Final = OHLCV.names or ()
_LEAST_ROOM: Final = 1024
#: Newest bars of a buffer that may still change in place (`piker.data`: 8), and some to
#: spare; what is older changes with its epoch only.
_UNSETTLED: Final = 16

Bars = npt.NDArray[np.void]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Buffer(Protocol):
    """What a series reads of `piker.data.ShmArray`."""

    @property
    def period_s(self) -> int: ...

    @property
    def epoch(self) -> int: ...

    def last(self, n: int) -> Rows: ...

    def since(self, time_s: float) -> Rows: ...

    def bounds(self) -> tuple[int, int]: ...


class Rows(Protocol):
    """What a series reads of `piker.data.Bars`."""

    @property
    def start(self) -> int: ...

    def __len__(self) -> int: ...

    def to_structured(self) -> Bars: ...


@dataclass(frozen=True)
class Change:
    """What an update changed.

    Attributes:
      first: index of the first bar that differs; *now* if the newest were dropped.
      end: index after the newest, before the update.
      now: the same after it.
    """

    first: int
    end: int
    now: int

    @property
    def tip_only(self) -> bool:
        """Whether nothing but the newest bar differs, and there is no newer one."""
        return self.first + 1 == self.end == self.now


class Series:
    """Bars of one market and period.

    Attributes:
      mkt: the market.
      period_s: bar length, seconds.
      start: index of the oldest bar; falls as older ones are put before it.
      past: rises with each change of more than the newest bar.
    """

    def __init__(self, mkt: MktPair, period_s: int) -> None:
        """Begin with no bars; the first of them has index 0."""
        self.mkt, self.period_s = mkt, period_s
        self.start, self.past = 0, 0
        self._room = {name: np.empty(0, OHLCV[name]) for name in _FIELDS}
        self._lo = self._hi = 0
        self._buffer: Buffer | None = None
        self._epoch = self._oldest = self._unsettled_s = 0
        self._is_anew = False

    def __len__(self) -> int:
        return self._hi - self._lo

    @property
    def end(self) -> int:
        """Index after the newest bar."""
        return self.start + len(self)

    @property
    def time(self) -> Ints:
        """Epoch second of each bar's open; strictly ascending."""
        return self._room["time"][self._lo : self._hi]

    @property
    def open(self) -> Floats:
        """First price, quote units."""
        return self._column("open")

    @property
    def high(self) -> Floats:
        """Highest price."""
        return self._column("high")

    @property
    def low(self) -> Floats:
        """Lowest price."""
        return self._column("low")

    @property
    def close(self) -> Floats:
        """Last price."""
        return self._column("close")

    @property
    def volume(self) -> Floats:
        """What was traded, base units."""
        return self._column("volume")

    @property
    def count(self) -> Ints:
        """Number of trades."""
        return self._room["count"][self._lo : self._hi]

    def _column(self, name: str) -> Floats:
        return self._room[name][self._lo : self._hi]

    def index_at(self, time_s: float) -> int:
        """Return the index of the bar in force at a time, within what there is."""
        at = int(np.searchsorted(self.time, time_s, "right")) - 1
        return self.start + min(max(at, 0), max(len(self) - 1, 0))

    # -- what changes it ----------------------------------------------------------

    def update(self, buffer: Buffer) -> Change | None:
        """Take what a buffer of bars has that is new; None if nothing is.

        Args:
          buffer: its period divides this one's.

        Raises: ShmError if the buffer can't be read now.
        """
        epoch = buffer.epoch  # before the bars: a change meanwhile is seen next time
        oldest, end = buffer.bounds()
        same_past = buffer is self._buffer and epoch == self._epoch
        same_past = same_past and not self._is_anew
        if same_past and oldest >= self._oldest and len(self):
            rows = buffer.since(self._unsettled_s)
        else:
            rows = buffer.last(end - oldest)
        bars = rows.to_structured()
        self._buffer, self._epoch, self._oldest = buffer, epoch, oldest
        if not len(bars):
            return None
        unsettled_s = int(bars["time"][-_UNSETTLED:][0])
        self._unsettled_s = unsettled_s // self.period_s * self.period_s
        if buffer.period_s != self.period_s:
            # asked for now, so that what was dropped meanwhile counts as lacking
            bars = self._resampled(bars, starts=rows.start <= buffer.bounds()[0])
        if not self._is_anew:
            return self.splice(bars)
        self._is_anew, end = False, self.end
        self.trim(int(np.sum(self.time >= bars["time"][0])))
        self.splice(bars)
        self.past += 1
        return Change(self.start, end, self.end)

    def forget(self) -> None:
        """Read all of the buffer with the next update, and keep nothing older.

        That is a change of all bars, whether they differ or not.
        """
        self._is_anew = True

    def _resampled(self, bars: Bars, *, starts: bool) -> Bars:
        """Return longer bars; the one that a buffer *starts* within is left out."""
        longer = resample(bars, self.period_s, self.mkt.size_tick)
        is_cut = starts and bars["time"][0] % self.period_s
        return longer[1:] if is_cut and len(longer) > 1 else longer

    def splice(self, bars: Bars) -> Change | None:
        """Put bars in place of all that are as new as the oldest of them or newer.

        Args:
          bars: dtype OHLCV, shape (n,), ascending.

        Returns: what differs; None if nothing does.
        """
        if not len(bars):
            return None
        end = self.end
        older = self.prepend(bars) if len(self) else 0
        keep = older or int(np.searchsorted(self.time, bars["time"][0]))
        bars = bars[older:]
        same = self._first_difference(keep, bars)
        if same < len(bars) or keep + same < len(self):
            self._write(keep, bars, same)
        elif not older:
            return None
        first = self.start if older else self.start + keep + same
        change = Change(first, end, self.end)
        if not change.tip_only:
            self.past += 1
        return change

    def _write(self, at: int, bars: Bars, same: int) -> None:
        """Put bars at a row, in place of all from there on, but for the same ones."""
        size = at + len(bars)
        self._make_room(0, max(size - len(self), 0))
        for name in _FIELDS:
            self._room[name][self._lo + at + same : self._lo + size] = bars[name][same:]
        self._hi = self._lo + size

    def _first_difference(self, at: int, bars: Bars) -> int:
        """Return how many of *bars* are those that stand at *at* and after it."""
        n = min(len(bars), len(self) - at)
        differs = np.zeros(n, np.bool_)
        for name in _FIELDS:
            held = self._room[name][self._lo + at : self._lo + at + n]
            differs |= held != bars[name][:n]
        return int(differs.argmax()) if differs.any() else n

    def prepend(self, bars: Bars) -> int:
        """Put older bars before the others; those that aren't older are left out.

        Args:
          bars: dtype OHLCV, shape (n,), ascending.

        Returns: how many were put.
        """
        if len(self):
            bars = bars[: np.searchsorted(bars["time"], self.time[0])]
        n = len(bars)
        if not n:
            return 0
        self._make_room(n, 0)
        self._lo -= n
        for name in _FIELDS:
            self._room[name][self._lo : self._lo + n] = bars[name]
        self.start -= n
        self.past += 1
        return n

    def trim(self, most: int) -> None:
        """Forget the oldest bars beyond *most*; the others keep their index."""
        surplus = len(self) - most
        if surplus > 0:
            self._lo += surplus
            self.start += surplus
            self.past += 1

    def _make_room(self, before: int, after: int) -> None:
        """See to it that so many rows fit on either side."""
        size = self._room["time"].size
        if self._lo >= before and size - self._hi >= after:
            return
        n = len(self)
        spare = max(_LEAST_ROOM, (n + before + after) // 4)
        lo = before + (spare if before else 0)
        for name, column in self._room.items():
            grown = np.empty(lo + n + after + spare, column.dtype)
            grown[lo : lo + n] = column[self._lo : self._hi]
            self._room[name] = grown
        self._lo, self._hi = lo, lo + n
