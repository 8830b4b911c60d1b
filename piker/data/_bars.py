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
from typing import Final

import numpy as np

from piker.msgs import NS, Calendar, MktPair, Tick
from piker.tsp import OHLCV

from ._shm import MUTABLE, SEEN_BITS, Keys, Marks, ShmWriter

_FULL: Final = (1 << SEEN_BITS) - 1
_BULK: Final = 64  # flat bars from which on numpy is faster than one by one


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
    """

    applied: int = 0
    known: int = 0
    too_late: int = 0
    early: int = 0


@dataclass(eq=False)
class BarBuilder:
    """Builds the bars of one market and period in its buffer.

    Args:
      writer: of the buffer; what it holds is gone on with.
      mkt: the market; says how sizes count.
      calendar: its trading hours; no bars while it is closed.
      since_ns: trades before it are in the history already.
    """

    writer: ShmWriter
    mkt: MktPair
    period_s: int
    calendar: Calendar = field(default_factory=Calendar)
    since_ns: int = 0
    stats: BarStats = field(default_factory=BarStats)
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
        """Take up the buffer as it is: after it was opened, or filled from elsewhere."""
        first, last = self.writer.bounds
        marks = self.writer.marks
        self._tail.clear()
        self._dirty = None
        self._last_tid, self._last_ns = marks.last_tid, marks.last_time_ns
        self._seen = marks.seen if marks.last_tid >= 0 else _FULL
        self._resumed_ns = marks.last_time_ns
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
        opened = 0
        if (target - newest.time) // self.period_s > _BULK:
            opened = self._append_many(newest, target)
            newest = self._tail[-1]
        step = self.period_s
        at = self.calendar.next_open(newest.time + step)
        at += -at % step
        while at <= target:
            self._append(at, newest.close)
            opened += 1
            at = self.calendar.next_open(at + step)
            at += -at % step
        return opened

    def _append(self, time_s: int, price: float) -> _Bar:
        index = self.writer.append((time_s, price, price, price, price, 0.0, 0))
        bar = _Bar(index, time_s, price, price, price, price, 0, 0, (0, 0), (0, 0))
        self._tail.append(bar)
        return bar

    def _append_many(self, newest: _Bar, target: int) -> int:
        """Append the flat bars after *newest* up to *target* by the thousand."""
        step = self.period_s
        times = np.arange(newest.time + step, target + step, step, dtype=np.int64)
        times = times[-self.writer.token.capacity :]
        if self.calendar.weekly:
            is_open = self.calendar.is_open
            times = times[np.fromiter(map(is_open, times.tolist()), bool, len(times))]
        bars = np.zeros(len(times), OHLCV)
        bars["time"] = times
        for name in ("open", "high", "low", "close"):
            bars[name] = newest.close
        self.writer.extend(bars)
        self.reload()
        return len(times)

    # -- trades -----------------------------------------------------------------

    def apply(self, ticks: Iterable[Tick]) -> int:
        """Put the trades among *ticks* into their bars; return how many were new."""
        before = self.stats.applied
        period_ns, to_lots = self._period_ns, self.mkt.to_size_ticks
        for tick in ticks:
            if tick.type != "trade":
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
        if tid < 0:
            if time_ns <= self._resumed_ns:
                self.stats.known += 1  # without ids, time is all there is to go by
                return False
            return True
        ahead = tid - self._last_tid
        if ahead == 1 and self._seen == _FULL:
            self._last_tid = tid
            return True
        if ahead > 0:
            # ids the venue skipped so far stay open: they may come late
            if self._last_tid < 0:
                self._seen = _FULL
            elif ahead > SEEN_BITS:
                self._seen = 0
            else:
                self._seen = ((self._seen << 1 | 1) << (ahead - 1)) & _FULL
            self._last_tid = tid
            return True
        bit = -ahead - 1
        if ahead == 0 or bit >= SEEN_BITS or self._seen >> bit & 1:
            self.stats.known += 1
            return False
        self._seen |= 1 << bit
        return True

    def _bar_at(self, opens_s: int, price: float) -> _Bar | None:
        """Make the bar that opens at *opens_s* the one being changed; None if it can't."""
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
        if tick.time_ns > self._last_ns:
            self._last_ns = tick.time_ns
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
