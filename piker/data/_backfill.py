"""One period's way back in time, newest bars first, as far as configured.

    store --what it has--> buffer       a hole: venue --frame--> buffer, store
    the newest part first, so that each step leaves less to do

What a venue has no 1 s bars of gets stand-ins in the buffer, made of whole minutes:
never stored, and exact once they are merged to minutes again.

A stored bar with trades is no worse than the venue's: an import may be better. Only the
newest before a hole are replaced: who stored them may have been stopped too soon.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import trio

from piker.errors import BadPayload, VenueError, VenueRefused
from piker.tsp import (
    OHLCV,
    Span,
    between,
    fill_gaps,
    is_news,
    join_spans,
    merge,
    missing_spans,
)

from ._bars import BarBuilder
from ._better import is_worse, replaces
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
#: Bars that are corrected at once, likewise.
_CORRECT_AT_ONCE: Final = 512
#: Waits for a store that can't be read.
_UNREAD_S: Final = (1.0, 5.0, 10.0, 30.0)
_NO_BARS: Final = np.empty(0, OHLCV)


async def _no_more() -> None:
    """Stand for what there is nothing of to be done first."""


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
      urgent: awaited between two questions to the venue: does what can't wait.
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
    urgent: Callable[[], Awaitable[None]] = _no_more
    at_s: int = 0
    bars: int = 0
    reason: str = ""
    _venue_from_s: int = 0
    _none: tuple[Span, ...] = ()
    _moved: trio.Event = field(default_factory=trio.Event)

    def __post_init__(self) -> None:
        self.at_s = self.at_s or self.span[1]
        self.period_s = self.builder.period_s
        self._venue_from_s = self._reach_s(self.span[1])

    def _reach_s(self, now_s: int) -> int:
        """Return from where on the venue has bars at all."""
        reach = self.venue.conf.reach_bars if self.venue is not None else 0
        return now_s - reach * self.period_s if reach else 0

    @property
    def can_mend(self) -> bool:
        """Whether its bars can be asked for again."""
        return self.venue is not None and self.period_s in self.venue.conf.periods_s

    @property
    def done(self) -> float:
        """How much of the span is covered, 0 to 1."""
        start_s, end_s = self.span
        return (end_s - self.at_s) / (end_s - start_s) if end_s > start_s else 1.0

    async def run(self, minutes: Backfill) -> None:
        """Load all of the span; *minutes* is that of the same market's 60 s bars."""
        await self._show_live()
        start_s = self.span[0]
        while self.at_s > start_s:
            window = (max(start_s, self.at_s - _WINDOW * self.period_s), self.at_s)
            stored, holes = await self._look_patiently(window)
            if self.can_mend:  # else there may be stand-ins, each for a minute
                await self._show(stored)
            for hole in reversed(holes):
                await self._put(between(stored, hole[1], self.at_s), hole[1])
                await self._fill(hole, stored, window[0], minutes)
            await self._put(between(stored, None, self.at_s), window[0])
        self.note(self)

    # -- what is stored, shown ------------------------------------------------------

    async def _show_live(self) -> None:
        """Show what was stored of the time of trades while nobody listened."""
        since_s, end_s = self.span[1], self.builder.settled_s
        if self.keeper is not None and end_s > since_s:
            await self._show(await self.keeper.read((since_s, end_s)))

    async def _show(self, stored: Bars) -> None:
        """Have the buffer show stored bars where it knows of no trade."""
        writer = self.builder.writer
        first, last = writer.bounds
        stored = stored[stored["count"] > 0]
        if last > first and len(stored):
            rows = writer.rows(writer.find(int(stored["time"][0])), last)
            flat_s = rows["time"][rows["count"] == 0]
            await self._correct(stored[np.isin(stored["time"], flat_s)])

    async def _correct(self, bars: Bars) -> None:
        """Correct the buffer; and in the store the flat ones that this changes."""
        changed = []
        for at in range(0, len(bars), _CORRECT_AT_ONCE):
            some = bars[at : at + _CORRECT_AT_ONCE]
            changed.append(self.builder.correct(some))
            await trio.lowlevel.checkpoint()  # quotes go on meanwhile
        if changed and self.keeper is not None:
            await self.keeper.renew(np.concatenate(changed))

    # -- again ----------------------------------------------------------------------

    async def mend(self, spans: Sequence[Span]) -> list[Span]:
        """Ask the venue again for bars that are in doubt, and take its word for them.

        What the buffer has otherwise is corrected: a new epoch of it; and what that
        changes of the flat bars after it is stored, too.

        Args:
          spans: at least one; disjoint, ascending.

        Returns: those, or parts, that need not be asked for any more: the newest. What
          lies so near that one answer may have it is one question.
        """
        if self.venue is None or not self.can_mend:
            return list(spans)
        end_s = spans[-1][1]
        reach_s = self._reach_s(self.builder.newest_s or 0)
        low_s = max(reach_s, end_s - self.venue.conf.max_bars * self.period_s)
        if low_s >= end_s:
            return list(spans)  # it has none of them any more
        start_s = next(first_s for first_s, stop_s in spans if stop_s > low_s)
        frame = await self._frame(self.venue, (max(start_s, low_s), end_s))
        settled = []
        for first_s, stop_s in spans:
            part = max(first_s, frame.start_s), stop_s
            if part[0] < stop_s:
                known = await self._stored(part)
                bars = between(frame.bars, *part)
                fresh = bars[~is_worse(bars, known)]
                await self._renew(bars, fresh, known, stop_s)
                settled.append(part)
        return settled

    async def look_again(self) -> None:
        """Ask for all that lacks in the store, newest first.

        One frame may answer for several holes. What the venue has no bar of, between
        others, isn't asked for again.
        """
        holes = await self._holes()
        if self.venue is None or not self.can_mend or not holes:
            return
        floor_s, at_s = holes[0][0], holes[-1][1]
        newer = _NO_BARS
        for start_s, end_s in reversed(holes):
            at_s = min(at_s, end_s)
            while at_s > start_s:
                await self.urgent()
                frame = await self._frame(self.venue, (floor_s, at_s))
                known = await self._stored((frame.start_s, at_s))
                fresh = frame.bars[replaces(frame.bars, known, self.period_s, at_s)]
                if self.keeper is not None:
                    await self.keeper.note_empty(frame.empty)
                self._none = join_spans(self._none, frame.empty)
                await self._renew(frame.bars, fresh, known, at_s)
                self._note_none(frame.bars, newer)
                newer = frame.bars
                at_s = floor_s if frame.is_last else frame.start_s

    def _note_none(self, bars: Bars, newer: Bars) -> None:
        """Note that the venue has no bar between two answers, while it is open here.

        A long hole may be one that it hasn't filled yet.
        """
        if len(bars) and len(newer):
            none = int(bars["time"][-1]) + self.period_s, int(newer["time"][0])
            if none[1] - none[0] <= MUTABLE * self.period_s:
                self._none = join_spans(self._none, [none])

    async def _renew(self, bars: Bars, fresh: Bars, known: Bars, end_s: int) -> None:
        """Store those of the venue's *bars* that are *fresh*, and show them."""
        if self.keeper is not None:
            await self.keeper.append(fresh[is_news(fresh, known)])
        # what was flat at a wrong close is to be flat at the right one
        whole = merge(known, fresh)
        if len(bars):
            whole = fill_gaps(whole, self.period_s, self.builder.calendar, end_s)
        is_due = ~np.isin(whole["time"], known["time"])
        is_due |= np.isin(whole["time"], fresh["time"])
        await self._correct(self._shown(whole[is_due]))

    async def _holes(self) -> list[Span]:
        """Return what lacks in the store and may be had."""
        end_s = self.builder.settled_s - self.period_s
        start_s = max(self.span[0], end_s - _WINDOW * self.period_s)
        reach_s = self._reach_s(self.builder.newest_s or 0)
        start_s = max(start_s, reach_s + -reach_s % self.period_s)
        if self.keeper is None or end_s <= start_s:
            return []
        holes = (await self._look((start_s, end_s)))[1]
        can_keep = self.keeper.is_readable and await self.keeper.ready()
        return holes if can_keep else []

    # -- steps ----------------------------------------------------------------------

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
        calendar = self.builder.calendar
        empty = join_spans(self.keeper.empty, self._none)
        return stored, missing_spans(
            stored["time"], window, self.period_s, calendar, empty
        )

    async def _fill(
        self, hole: Span, stored: Bars, since_s: int, minutes: Backfill
    ) -> None:
        """Ask the venue for what lacks; one frame may answer for holes before, too.

        Args:
          hole: what lacks, up to where it has got.
          stored: what is stored around it.
          since_s: from where on that is all.
          minutes: as in `run`.
        """
        start_s, _ = hole
        if self.venue is None or not self.can_mend:
            if self.period_s == RT_S and start_s < self.at_s:
                await self._put(await _stand_ins(hole, minutes), start_s)
            return
        while self.at_s > max(start_s, self._venue_from_s):
            await self.urgent()
            end_s = self.at_s
            frame = await self._frame(self.venue, (self.span[0], end_s))
            if frame.is_last:
                self._venue_from_s = end_s
            # without a bar it says nothing of what is stored from before the hole
            reach_s = frame.start_s if len(frame.bars) else max(frame.start_s, start_s)
            known = between(stored, reach_s, end_s)
            if reach_s < since_s:
                known = await self._stored((reach_s, end_s))
            fresh = await self._store(frame, known, end_s)
            await self._correct(self._shown(fresh))
            await self._put(merge(known, fresh), reach_s)

    def _shown(self, bars: Bars) -> Bars:
        """Return those of *bars* that the buffer has: its first ones were cut off."""
        first, last = self.builder.writer.bounds
        oldest_s = self.builder.writer.row(first).time if last > first else None
        return between(bars, oldest_s, None) if oldest_s is not None else _NO_BARS

    async def _stored(self, span: Span) -> Bars:
        return await self.keeper.read(span) if self.keeper is not None else _NO_BARS

    async def _store(self, frame: Frame, known: Bars, end_s: int) -> Bars:
        """Store what of a frame isn't yet; return what counts of it."""
        fresh = frame.bars[replaces(frame.bars, known, self.period_s, end_s)]
        if self.keeper is not None:
            await self.keeper.append(fresh[is_news(fresh, known)])
            await self.keeper.note_empty(frame.empty)
        return fresh

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


async def _stand_ins(hole: Span, minutes: Backfill) -> Bars:
    """Return a hole's 60 s bars, those of whole minutes in it, once they are loaded."""
    start_s, end_s = -(-hole[0] // HIST_S) * HIST_S, hole[1] // HIST_S * HIST_S
    await minutes.reach(start_s)
    writer = minutes.builder.writer
    return writer.rows(writer.find(start_s), writer.find(end_s))
