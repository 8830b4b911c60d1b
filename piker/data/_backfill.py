"""One period's way back in time, newest bars first, as far as configured.

    store --what it has--> buffer       a hole: venue --frame--> buffer, store
    the newest part first, so that each step leaves less to do

What a venue has no 1 s bars of gets stand-ins in the buffer, made of whole minutes:
never stored, and exact once they are merged to minutes again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import trio

from piker.errors import BadPayload, VenueError, VenueRefused
from piker.tsp import OHLCV, Span, between, fill_gaps, is_news, missing_spans

from ._bars import BarBuilder
from ._buffers import HIST_S, RT_S
from ._keeper import Keeper
from ._shm import MUTABLE
from ._venue_bars import Bars, Frame, VenueBars

#: Periods looked at together: what they need of memory is bounded, whatever the depth.
_WINDOW: Final = 1 << 17
#: Waits before a venue that doesn't answer is asked for old bars again.
_RETRY_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
#: A span whose answers can't be read is left for later after so many in a row.
_BAD_TRIES: Final = 5
#: Bars that are put into the buffer at once: a few ms of work.
_AT_ONCE: Final = 8192
#: Waits for a store that can't be read.
_UNREAD_S: Final = (1.0, 5.0, 10.0, 30.0)
_NO_BARS: Final = np.empty(0, OHLCV)


@dataclass(eq=False)
class Backfill:
    """Loads the past of one market and period.

    Attributes:
      builder: of its buffer.
      span: from the configured depth to where bars of trades begin.
      keeper: of its store; None: nothing is stored.
      venue: whom to ask; None: nobody.
      warn: takes a sentence about what can't be had.
      note: called whenever it has got on, or stands still.
      at_s: what opens from there on is in, as far as it can be had, epoch s.
      bars: taken from the store and the venue.
      reason: why it stands still, empty if it doesn't.
    """

    builder: BarBuilder
    span: Span
    keeper: Keeper | None
    venue: VenueBars | None
    warn: Callable[[str], None]
    note: Callable[[Backfill], None]
    at_s: int = 0
    bars: int = 0
    reason: str = ""
    _venue_from_s: int = 0
    _moved: trio.Event = field(default_factory=trio.Event)

    def __post_init__(self) -> None:
        self.at_s = self.span[1]
        self.period_s = self.builder.period_s
        reach = self.venue.conf.reach_bars if self.venue is not None else 0
        if reach:
            self._venue_from_s = self.span[1] - reach * self.period_s

    @property
    def done(self) -> float:
        """How much of the span is covered, 0 to 1."""
        start_s, end_s = self.span
        return (end_s - self.at_s) / (end_s - start_s) if end_s > start_s else 1.0

    async def run(self, minutes: Backfill) -> None:
        """Load all of the span; *minutes* is that of the same market's 60 s bars."""
        start_s = self.span[0]
        while self.at_s > start_s:
            window = (max(start_s, self.at_s - _WINDOW * self.period_s), self.at_s)
            stored, holes = await self._look_patiently(window)
            for hole in reversed(holes):
                await self._put(between(stored, hole[1], self.at_s), hole[1])
                await self._fill(hole, stored, minutes)
            await self._put(between(stored, None, self.at_s), window[0])
        self.note(self)

    async def mend(self, spans: Iterable[Span]) -> None:
        """Ask the venue again for bars that are in doubt or lack; store its own.

        What the buffer has otherwise is corrected: a new epoch of it; and what that
        changes of the flat bars after it is stored, too.
        """
        if self.venue is None or self.period_s not in self.venue.conf.periods_s:
            return
        for start_s, end_s in spans:
            at_s = end_s
            while at_s > start_s:
                frame = await self._frame(self.venue, (start_s, at_s))
                stored = _NO_BARS
                if self.keeper is not None:
                    stored = await self.keeper.read((start_s, at_s))
                # what was flat at a wrong close is to be flat at the right one
                calendar = self.builder.calendar
                bars = fill_gaps(frame.bars, self.period_s, calendar, at_s)
                bars = bars[_no_worse(bars, stored)]
                await self._store(frame, stored)
                changed = self.builder.correct(bars)
                if self.keeper is not None:
                    await self.keeper.append(changed)
                at_s = start_s if frame.is_last else frame.start_s

    async def holes(self) -> list[Span]:
        """Return what lacks in the store up to the bars that still change."""
        _, last = self.builder.writer.bounds
        index = last - MUTABLE - 1
        if self.keeper is None or index < self.builder.writer.bounds[0]:
            return []
        end_s = self.builder.writer.row(index).time
        start_s = max(self.span[0], end_s - _WINDOW * self.period_s)
        if end_s <= start_s:
            return []
        holes = (await self._look((start_s, end_s)))[1]
        can_keep = self.keeper.is_readable and await self.keeper.ready()
        return holes if can_keep else []

    async def reach(self, time_s: int) -> None:
        """Wait until it has got to *time_s*, or to its end."""
        while self.at_s > max(time_s, self.span[0]):
            await self._moved.wait()

    async def _look_patiently(self, window: Span) -> tuple[Bars, list[Span]]:
        """Return that once the store can be read, if it can be soon.

        A venue may have less: what is stored would be passed over for good.
        """
        for wait_s in _UNREAD_S:
            found = await self._look(window)
            if self.keeper is None or self.keeper.is_readable:
                self.reason = ""
                return found
            self.reason = "stored bars can't be read"
            self.note(self)
            await trio.sleep(wait_s)
        return await self._look(window)

    async def _look(self, window: Span) -> tuple[Bars, list[Span]]:
        """Return what is stored of a window, and what it lacks."""
        if self.keeper is None:
            return _NO_BARS, [window]
        stored = await self.keeper.read(window)
        calendar, empty = self.builder.calendar, self.keeper.empty
        return stored, missing_spans(
            stored["time"], window, self.period_s, calendar, empty
        )

    async def _fill(self, hole: Span, stored: Bars, minutes: Backfill) -> None:
        """Ask the venue for what lacks; one frame may answer for holes before, too."""
        start_s, _ = hole
        if self.venue is None or self.period_s not in self.venue.conf.periods_s:
            if self.period_s == RT_S and start_s < self.at_s:
                await self._put(await _stand_ins(hole, minutes), start_s)
            return
        while self.at_s > max(start_s, self._venue_from_s):
            frame = await self._frame(self.venue, (self.span[0], self.at_s))
            await self._store(frame, stored)
            self.builder.correct(self._shown(frame.bars))
            if frame.is_last:
                self._venue_from_s = self.at_s
            # without a bar it says nothing of what is stored from before the hole
            reach_s = frame.start_s if len(frame.bars) else max(frame.start_s, start_s)
            await self._put(frame.bars, reach_s)

    def _shown(self, bars: Bars) -> Bars:
        """Return those of *bars* that the buffer has: its first ones were cut off."""
        first, last = self.builder.writer.bounds
        oldest_s = self.builder.writer.row(first).time if last > first else None
        return between(bars, oldest_s, None) if oldest_s is not None else _NO_BARS

    async def _store(self, frame: Frame, stored: Bars) -> None:
        """Store what of a frame isn't yet."""
        if self.keeper is not None:
            await self.keeper.append(frame.bars[is_news(frame.bars, stored)])
            await self.keeper.note_empty(frame.empty)

    async def _frame(self, venue: VenueBars, span: Span) -> Frame:
        """Return the newest part of a span, however long the venue takes."""
        tries = bad = 0
        while True:
            try:
                frame = await venue.frame(self.period_s, span)
            except VenueRefused as err:
                self.warn(f"no older {self.period_s} s bars can be had by this: {err}")
                return Frame(_NO_BARS, span[0], is_last=True)
            except VenueError as err:
                bad = bad + 1 if isinstance(err, BadPayload) else 0
                if bad > _BAD_TRIES:
                    self.warn(f"some {self.period_s} s bars can't be read by us: {err}")
                    return Frame(_NO_BARS, span[0], is_last=True)
                self.reason = str(err)
                self.note(self)
                await trio.sleep(_RETRY_S[min(tries, len(_RETRY_S) - 1)])
                tries += 1
            else:
                self.reason = ""
                return frame

    async def _put(self, bars: Bars, start_s: int) -> None:
        """Take bars that reach back to *start_s* into the buffer, if it has room."""
        if start_s >= self.at_s:
            return  # a frame went further back
        for end in range(len(bars), 0, -_AT_ONCE):
            self.builder.prepend(bars[max(0, end - _AT_ONCE) : end])
            await trio.lowlevel.checkpoint()  # quotes go on meanwhile
        self.bars += len(bars)
        self.at_s = start_s
        self._moved.set()
        self._moved = trio.Event()
        self.note(self)


def _no_worse(bars: Bars, known: Bars) -> npt.NDArray[np.bool_]:
    """Tell which of *bars* don't say that nothing traded where *known* knows better."""
    if not len(known):
        return np.ones(len(bars), np.bool_)
    at = np.minimum(np.searchsorted(known["time"], bars["time"]), len(known) - 1)
    same = known["time"][at] == bars["time"]
    worse: npt.NDArray[np.bool_] = (
        same & (bars["count"] == 0) & (known["count"][at] > 0)
    )
    return ~worse


async def _stand_ins(hole: Span, minutes: Backfill) -> Bars:
    """Return a hole's 60 s bars, those of whole minutes in it, once they are loaded."""
    start_s, end_s = -(-hole[0] // HIST_S) * HIST_S, hole[1] // HIST_S * HIST_S
    await minutes.reach(start_s)
    writer = minutes.builder.writer
    return writer.rows(writer.find(start_s), writer.find(end_s))
