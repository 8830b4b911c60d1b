"""Trades into bars: the rules, applied to a shared buffer.

    ticks --> drop known ones --> the bar of each trade's own time --> one store a bar
    steps --> flat bars up to now

A trade lands in the bar of its own stamp. Among the newest rows late ones are welcome:
they correct their bar, and the empty bars after it are flat at the new close. Which
trades are in is part of what is stored, so a restarted writer counts nothing twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from piker.msgs import NS, Calendar, MktPair, Tick
from piker.tsp import OHLCV, between, fill_gaps, open_mask

from ._shm import MUTABLE, SEEN_BITS, Keys, Marks, ShmWriter

_FULL: Final = (1 << SEEN_BITS) - 1
_BULK: Final = 64  # flat bars from which on numpy is faster than one by one
_FLAT_MAX: Final = 3600  # flat bars looked at after one that is corrected
_CHUNK: Final = 1 << 16  # flat bars made at once
_TOO_LARGE: Final = 1 << 63  # for a word of the buffer
_TOO_MANY: Final = 1 << 32  # for one trade to stand for: sums have room
_TOO_MUCH: Final = 1e300  # likewise; and nothing compares with nan


@dataclass(slots=True)
class _Bar:
    """One of the newest bars, as it is in the buffer or is about to be."""

    index: int
    time: int
    open: float
    high: float
    low: float
    close: float
    lots: int
    count: int
    first: tuple[int, int]
    last: tuple[int, int]


@dataclass
class BarStats:
    """What a builder has met.

    Attributes:
      applied: trades that are in the bars.
      known: trades that were in already.
      too_late: trades older than the rows that may still change; left out.
      early: trades from before the buffer's first bar or its history; left out.
      odd: trades without a time, that count none, or whose price or size is no
        number; left out.
    """

    applied: int = 0
    known: int = 0
    too_late: int = 0
    early: int = 0
    odd: int = 0


@dataclass(eq=False)
class BarBuilder:
    """Builds the bars of one market and period in its buffer.

    Args:
      writer: of the buffer; what it holds is gone on with.
      mkt: the market; says how sizes count.
      calendar: its trading hours; no bars while it is closed.
      since_ns: trades before it are in the history already.
      late: times of bars that lack a trade which came too late, epoch s; for the user
        to look at and to clear.
    """

    writer: ShmWriter
    mkt: MktPair
    period_s: int
    calendar: Calendar = field(default_factory=Calendar)
    since_ns: int = 0
    stats: BarStats = field(default_factory=BarStats)
    late: set[int] = field(default_factory=set)
    _tail: deque[_Bar] = field(default_factory=lambda: deque(maxlen=MUTABLE))
    _dirty: _Bar | None = None
    _last_tid: int = -1
    _last_ns: int = 0
    _seen: int = _FULL
    _resumed_ns: int = 0

    def __post_init__(self) -> None:
        self._period_ns = self.period_s * NS
        self.reload()

    def reload(self) -> None:
        """Take up the buffer as it is: once opened, or filled from elsewhere."""
        marks = self.writer.marks
        self._dirty = None
        self.since_ns = max(self.since_ns, self.writer.since_s * NS)
        self._last_tid, self._last_ns = marks.last_tid, marks.last_time_ns
        self._seen = marks.seen
        self._resumed_ns = marks.last_time_ns
        self._load_tail()

    def prepend(self, bars: npt.NDArray[np.void]) -> int:
        """Put older bars before the oldest, flat ones in between; return how many.

        Args:
          bars: dtype OHLCV, ascending; of those that aren't older, and those there is
            no room for, none is taken.
        """
        first, last = self.writer.bounds
        oldest_s = self.writer.row(first).time if last > first else self.writer.since_s
        bars = between(bars, None, oldest_s)
        room = self.writer.token.capacity - (last - first)
        if not len(bars) or room <= 0:
            return 0
        bars = self._cut(bars, oldest_s, room)
        bars = fill_gaps(bars, self.period_s, self.calendar, until_s=oldest_s)
        stored = self.writer.prepend(bars)
        if len(self._tail) < MUTABLE:
            self._load_tail()
        return stored

    def correct(self, bars: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
        """Change bars that change by no trade any more, and the flat ones after them.

        Args:
          bars: dtype OHLCV; those that aren't there, or may still change, are left.

        Returns: the bars that change by no trade any more and are others now, OHLCV.
        """
        writer = self.writer
        _, last = writer.bounds
        corrected: list[tuple[Any, ...]] = []
        changed = []
        for index, bar in self._others(bars):
            old = writer.row(index)
            if index < last - MUTABLE:
                writer.correct(index, bar)
            elif old.time < writer.since_s:  # of the history: no trade is in it
                writer.rewrite(index, bar, writer.keys(index), writer.marks)
            else:
                continue
            changed.append(index)
            corrected.append(bar)
        for index in changed:
            corrected += self._carry_on(index)
        if changed:
            self._load_tail()
            self._flatten()
        return np.array(corrected, OHLCV)

    def _others(self, bars: npt.NDArray[np.void]) -> list[tuple[int, tuple[Any, ...]]]:
        """Return those of *bars* that are others here, each with its index.

        Trades that were heard of are no less true: a bar of none takes no place of one.
        """
        writer = self.writer
        if not len(bars):
            return []
        first = writer.find(int(bars["time"].min()))
        rows = writer.rows(first, writer.find(int(bars["time"].max()) + 1))
        if not len(rows):
            return []
        at = np.minimum(np.searchsorted(rows["time"], bars["time"]), len(rows) - 1)
        old = rows[at]
        is_other = (old["time"] == bars["time"]) & (old != bars)
        is_other &= (old["count"] == 0) | (bars["count"] > 0)
        return list(
            zip((first + at[is_other]).tolist(), bars[is_other].tolist(), strict=True)
        )

    def _carry_on(self, index: int) -> list[tuple[Any, ...]]:
        """Have the empty bars after one go on at its close; return those that differed.

        Of the bars that change by no trade any more.
        """
        writer, found = self.writer, []
        close = writer.row(index).close
        stop = min(writer.bounds[1] - MUTABLE, index + _FLAT_MAX)
        for at in range(index + 1, stop):
            row = writer.row(at)
            if row[-1] or row.close == close:
                break
            flat = (row.time, close, close, close, close, 0.0, 0)
            writer.correct(at, flat)
            found.append(flat)
        return found

    def _flatten(self) -> None:
        """Have the empty ones of the newest bars go on at the close before them."""
        before = max(self._tail[0].index - 1, self.writer.bounds[0])
        close = self.writer.row(before).close
        for bar in self._tail:
            if not bar.count and bar.close != close:
                bar.open = bar.high = bar.low = bar.close = close
                self._store(bar, self.writer.marks)
            close = bar.close

    def _cut(
        self, bars: npt.NDArray[np.void], oldest_s: int, room: int
    ) -> npt.NDArray[np.void]:
        """Return the newest of *bars* that fill *room* rows before *oldest_s*.

        Filled as a whole, one bar of 1970 would take gigabytes.
        """
        step = self.period_s
        back_s = room * step
        while self.calendar.open_seconds(oldest_s - back_s, oldest_s) < room * step:
            back_s *= 2
            if back_s > oldest_s:
                break
        cut_s = oldest_s - back_s
        at = int(np.searchsorted(bars["time"], cut_s))
        if not at or (at < len(bars) and bars["time"][at] == cut_s):
            return bars[at:]
        kept = bars[at - 1 :].copy()
        kept["time"][0] = cut_s
        for name in ("open", "high", "low"):
            kept[name][0] = kept["close"][0]
        kept["volume"][0] = kept["count"][0] = 0
        return kept

    def _load_tail(self) -> None:
        first, last = self.writer.bounds
        self._tail.clear()
        for index in range(max(first, last - MUTABLE), last):
            row, keys = self.writer.row(index), self.writer.keys(index)
            self._tail.append(
                _Bar(
                    index,
                    *row[:5],
                    self.mkt.to_size_ticks(row.volume),
                    row[6],
                    (keys.open_time_ns, keys.open_tid),
                    (keys.close_time_ns, keys.close_tid),
                )
            )

    def resume_point(self) -> tuple[int, int] | None:
        """Return (time_ns, tid): a source sends again from there, nothing is missed.

        None while the buffer is empty; the tid is -1 where ids aren't known.
        """
        if not self._tail:
            return None
        if self._last_tid >= 0:
            return self._last_ns, max(self._last_tid - SEEN_BITS, 0)
        return self._last_ns or self._tail[0].time * NS, -1

    @property
    def newest_s(self) -> int | None:
        """Time of the newest bar, None if there is none."""
        return self._tail[-1].time if self._tail else None

    @property
    def settled_s(self) -> int:
        """Up to where bars change by no trade any more, epoch s; 0 if none is there."""
        first, last = self.writer.bounds
        row = self.writer.row(max(first, last - MUTABLE)) if last > first else None
        return max(row.time, self.writer.since_s) if row is not None else 0

    @property
    def oldest_s(self) -> int:
        """Time of the oldest bar, 0 if there is none."""
        first, last = self.writer.bounds
        return self.writer.row(first).time if last > first else 0

    @property
    def close(self) -> float:
        """Close of the newest bar, nan if there is none."""
        return self._tail[-1].close if self._tail else float("nan")

    # -- time -------------------------------------------------------------------

    def advance_to(self, time_s: int) -> int:
        """Open the bars up to the one that holds *time_s*, flat; return how many.

        Does nothing before the first bar, for times gone by, and while closed.
        """
        if not self._tail:
            return 0
        newest = self._tail[-1]
        target = time_s - time_s % self.period_s
        if target <= newest.time:
            return 0
        if (target - newest.time) // self.period_s > _BULK:
            return self._append_many(newest, target)
        opened = 0
        at = self._next_bar(newest.time)
        while at <= target:
            self._append(at, newest.close)
            opened += 1
            at = self._next_bar(at)
        return opened

    def _next_bar(self, after_s: int) -> int:
        """Return the next bar's time: one in which the market is open at all."""
        open_s = self.calendar.next_open(after_s + self.period_s)
        return open_s - open_s % self.period_s

    def _append(self, time_s: int, price: float) -> _Bar:
        index = self.writer.append((time_s, price, price, price, price, 0.0, 0))
        bar = _Bar(index, time_s, price, price, price, price, 0, 0, (0, 0), (0, 0))
        self._tail.append(bar)
        return bar

    def _append_many(self, newest: _Bar, target: int) -> int:
        """Append the flat bars after *newest* up to *target* by the thousand."""
        step, stop = self.period_s, target + self.period_s
        start = newest.time + step
        if not self.calendar.weekly:
            # more than the buffer holds would only push each other out
            start = max(start, stop - self.writer.token.capacity * step)
        opened = 0
        for at in range(start, stop, _CHUNK * step):
            times = np.arange(at, min(at + _CHUNK * step, stop), step, dtype=np.int64)
            times = times[open_mask(self.calendar, times, step)]
            bars = np.zeros(len(times), OHLCV)
            bars["time"] = times
            for name in ("open", "high", "low", "close"):
                bars[name] = newest.close
            opened += self.writer.extend(bars)
        self._load_tail()
        return opened

    # -- trades -----------------------------------------------------------------

    def apply(self, ticks: Iterable[Tick]) -> int:
        """Put the trades among *ticks* into their bars; return how many were new."""
        before = self.stats.applied
        period_ns, to_lots = self._period_ns, self.mkt.to_size_ticks
        for tick in ticks:
            if tick.type != "trade":
                continue
            if is_odd(tick):
                self.stats.odd += 1
                continue
            opens_s = tick.time_ns // period_ns * self.period_s
            if self._dirty is not None and self._dirty.time != opens_s:
                self._flush()  # before this trade counts as in: it isn't yet
            if not self._is_new(tick.tid, tick.time_ns):
                continue
            bar = self._dirty or self._bar_at(opens_s, tick.price)
            if bar is None:
                continue
            if bar.count and not bar.last[0]:
                self.stats.early += 1  # a bar of the history: complete as it is
                self._dirty = None
                continue
            self._trade(bar, tick, to_lots(tick.size))
        self._flush()
        return self.stats.applied - before

    def _is_new(self, tid: int, time_ns: int) -> bool:
        """Tell whether a trade isn't in yet, and note that it is now."""
        if time_ns < self.since_ns:
            self.stats.early += 1
            return False
        if tid > self._last_tid:
            self._see(tid)
            return True
        if tid < 0:  # without ids, time is all there is to go by
            is_new = time_ns > self._resumed_ns
        else:
            bit = self._last_tid - tid - 1
            is_new = 0 <= bit < SEEN_BITS and not self._seen >> bit & 1
            if is_new:
                self._seen |= 1 << bit
        self.stats.known += not is_new
        return is_new

    def _see(self, tid: int) -> None:
        """Note a trade whose id is the highest so far.

        Ids that were skipped, or come before the first, stay open: they may come late.
        """
        ahead = tid - self._last_tid
        if ahead > 1 or self._seen != _FULL:
            known = self._last_tid >= 0 and ahead <= SEEN_BITS
            self._seen = ((self._seen << 1 | 1) << ahead - 1) & _FULL if known else 0
        self._last_tid = tid

    def _bar_at(self, opens_s: int, price: float) -> _Bar | None:
        """Make the bar of *opens_s* the one being changed; None if it can't be."""
        tail = self._tail
        if not tail:
            bar = self._append(opens_s, price)
        elif opens_s > tail[-1].time:
            self.advance_to(opens_s)
            bar = tail[-1]
            if bar.time != opens_s:  # a trade while closed: the venue knows best
                bar = self._append(opens_s, bar.close)
        else:
            found = next((b for b in reversed(tail) if b.time == opens_s), None)
            if found is None:
                if opens_s < tail[0].time and tail[0].index == self.writer.bounds[0]:
                    self.stats.early += 1
                else:
                    self.stats.too_late += 1
                    self.late.add(opens_s)
                return None
            bar = found
        self._dirty = bar
        return bar

    def _trade(self, bar: _Bar, tick: Tick, lots: int) -> None:
        price, key = tick.price, (tick.time_ns, tick.tid)
        if not bar.count:
            bar.open = bar.high = bar.low = bar.close = price
            bar.first = bar.last = key
        else:
            if price > bar.high:
                bar.high = price
            elif price < bar.low:
                bar.low = price
            if key >= bar.last:
                bar.close, bar.last = price, key
            elif key < bar.first:
                bar.open, bar.first = price, key
        bar.lots += lots
        bar.count += tick.count
        self._last_ns = max(self._last_ns, tick.time_ns)
        self.stats.applied += 1

    def _flush(self) -> None:
        """Store the bar being changed, and the empty bars after it at its close."""
        bar, self._dirty = self._dirty, None
        if bar is None:
            return
        old = self.writer.marks
        if bar is not self._tail[-1]:
            for after in self._tail:
                if after.index <= bar.index:
                    continue
                if after.count:
                    break
                after.open = after.high = after.low = after.close = bar.close
                self._store(after, old)
        self._store(bar, Marks(self._last_tid, self._last_ns, self._seen))

    def _store(self, bar: _Bar, marks: Marks) -> None:
        volume = self.mkt.from_size_ticks(bar.lots)
        self.writer.rewrite(
            bar.index,
            (bar.time, bar.open, bar.high, bar.low, bar.close, volume, bar.count),
            Keys(*bar.first, *bar.last),
            marks,
        )


def is_odd(tick: Tick) -> bool:
    """Tell whether a trade can't be in any bar: an empty bar is one that counts 0."""
    return not (
        0 < tick.time_ns < _TOO_LARGE
        and tick.tid < _TOO_LARGE
        and 1 <= tick.count < _TOO_MANY
        and -_TOO_MUCH < tick.price < _TOO_MUCH
        and 0 <= tick.size < _TOO_MUCH
    )
