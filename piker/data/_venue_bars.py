"""A venue's past bars of one market: asked for a frame at a time, within its pace.

    span --frame()--> its newest part, and from where on that is all there is
         --frame() of what is left--> ...           until the span is covered

Whatever a venue answers, each frame leaves less to ask for: one that repeats itself,
overlaps or gives nothing comes to an end as well.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import trio

from piker.brokers import GetBars, HistoryConf
from piker.errors import BadPayload, NoData
from piker.tsp import OHLCV, Span, between, find_faults, in_order

Bars = npt.NDArray[np.void]


@dataclass
class Pace:
    """Lets requests through so often at most; first come, first served.

    One is shared by all markets of a venue: what past bars may ask for is less than
    the venue allows, so that a live market that has missed trades never waits.
    """

    _next_at: float = 0.0
    _given_back: list[float] = field(default_factory=list)

    async def turn(self, per_s: float) -> None:
        """Wait for a turn, of at most *per_s* a second.

        Who is cancelled meanwhile gives it back: the next to come takes it.
        """
        now = trio.current_time()
        back = [at for at in self._given_back if at >= now]
        if back:
            at = min(back)
            back.remove(at)
        else:
            at = max(self._next_at, now)
            self._next_at = at + 1 / per_s
        self._given_back = back
        try:
            await trio.sleep_until(at)
        except trio.Cancelled:
            self._given_back.append(at)
            raise


@dataclass(frozen=True)
class Frame:
    """The newest part of a span.

    Attributes:
      bars: dtype OHLCV, ascending, shape (n,); may be none.
      start_s: from there to the end asked for these are all the venue has, epoch s.
      is_last: it has none before either.
      empty: spans between the bars in which the venue has none.
    """

    bars: Bars
    start_s: int
    is_last: bool = False
    empty: tuple[Span, ...] = ()

    def before(self, end_s: int) -> Frame:
        """Return the part of it that opens before *end_s*."""
        empty = tuple(span for span in self.empty if span[1] <= end_s)
        return replace(self, bars=between(self.bars, None, end_s), empty=empty)


@dataclass(frozen=True)
class _Answer:
    """What one question was answered with: bars, and where the venue has none."""

    bars: Bars
    empty: tuple[Span, ...] = ()


@dataclass(eq=False)
class VenueBars:
    """One market's past bars at its venue.

    Attributes:
      get_bars: asks for them.
      conf: how it may be asked.
      pace: of all who ask the venue for bars.
      warn: takes a sentence about an oddity.
    """

    get_bars: GetBars
    conf: HistoryConf
    pace: Pace
    warn: Callable[[str], None]
    _dropped: dict[int, set[int]] = field(default_factory=dict)

    async def newest(self, period_s: int, end_s: int) -> Frame:
        """Return the newest bars before *end_s*, as many as one request gives.

        It waits for no turn: somebody waits for them. Raises VenueError.
        """
        return _frame(await self._answer(period_s, end_s, None), end_s=end_s)

    async def newest_since(self, period_s: int, end_s: int, stored: Bars) -> Frame:
        """Return *stored* bars, without holes, and those that follow before *end_s*.

        Whether the venue has none in between isn't known: its answer may be cut off.
        Raises VenueError.
        """
        since_s = int(stored["time"][-1]) + period_s
        known = _Answer(stored)
        if since_s < end_s:
            return _frame(known, await self._answer(period_s, end_s, since_s))
        return _frame(known)

    async def frame(self, period_s: int, span: Span) -> Frame:
        """Return the newest part of *span*, not empty; raises VenueError."""
        start_s, end_s = span
        low_s = max(start_s, end_s - self.conf.max_bars * period_s)
        answer = await self._ask(period_s, end_s, low_s)
        if not len(answer.bars):
            return await self._before(period_s, (start_s, low_s))
        newer_s = int(answer.bars["time"][-1]) + period_s
        if newer_s < end_s:  # none there, or the answer was cut off
            return _frame(answer, await self._ask(period_s, end_s, newer_s))
        return _frame(answer)

    async def _before(self, period_s: int, span: Span) -> Frame:
        """Return the newest part of a span that follows one without bars."""
        start_s, end_s = span
        answer = await self._ask(period_s, end_s, None)
        if not len(answer.bars):
            return Frame(answer.bars, start_s, is_last=True)
        bars = between(answer.bars, start_s, None)
        if not len(bars):
            return Frame(bars, start_s)
        empty = tuple(span for span in answer.empty if span[0] >= start_s)
        return _frame(_Answer(bars, empty))

    async def _ask(self, period_s: int, end_s: int, start_s: int | None) -> _Answer:
        await self.pace.turn(self.conf.requests_s)
        return await self._answer(period_s, end_s, start_s)

    async def _answer(self, period_s: int, end_s: int, start_s: int | None) -> _Answer:
        """Return what can be gone on with of one answer."""
        answer = np.empty(0, OHLCV)
        with suppress(NoData):
            answer = await self.get_bars(period_s, end_s, start_s)
        if answer.dtype != OHLCV:
            raise BadPayload(f"{period_s} s bars are no OHLCV but {answer.dtype}")
        try:
            sound = in_order(self._sound(answer, period_s))
        except ValueError as err:
            raise BadPayload(f"of {period_s} s bars, {err}") from None
        bars = between(sound, start_s, end_s)
        time_s = answer["time"]
        is_off = (time_s % period_s != 0) | (time_s >= end_s)
        if start_s is not None:
            is_off |= time_s < start_s
        # whose time is damaged lacks where it belongs, and that may be anywhere
        return _Answer(bars, () if is_off.any() else self._holes(bars, period_s))

    def _sound(self, bars: Bars, period_s: int) -> Bars:
        """Return bars without what can't be."""
        faults = find_faults(bars, period_s)
        if not faults:
            return bars
        what, is_off = faults[0]
        self.warn(f"{period_s} s bars of its venue are left out by this: {what}")
        for _, each in faults[1:]:
            is_off = is_off | each
        dropped = self._dropped.setdefault(period_s, set())
        dropped |= set(bars["time"][is_off].tolist())
        return bars[~is_off]

    def _holes(self, bars: Bars, period_s: int) -> tuple[Span, ...]:
        """Return what lacks between bars, but for those that were left out here.

        A hole that is longer than an answer may be one in the answer only.
        """
        time_s = bars["time"]
        dropped = self._dropped.get(period_s, set())
        found = []
        for at in np.flatnonzero(np.diff(time_s) > period_s):
            first_s, end_s = int(time_s[at]) + period_s, int(time_s[at + 1])
            is_short = end_s - first_s <= self.conf.max_bars * period_s
            if is_short and not any(first_s <= t < end_s for t in dropped):
                found.append((first_s, end_s))
        return tuple(found)


def _frame(*answers: _Answer, end_s: int = 0) -> Frame:
    """Return answers, ascending, as one frame; what lies between two is unknown.

    Args:
      answers: at least one.
      end_s: up to where they were asked for, if all of them may be without a bar.
    """
    bars = np.concatenate([answer.bars for answer in answers])
    empty = tuple(span for answer in answers for span in answer.empty)
    return Frame(bars, int(bars["time"][0]) if len(bars) else end_s, empty=empty)
