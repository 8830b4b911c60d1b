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

    async def turn(self, per_s: float) -> None:
        """Wait for a turn, of at most *per_s* a second."""
        now = trio.current_time()
        at = max(self._next_at, now)
        self._next_at = at + 1 / per_s
        await trio.sleep_until(at)


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
        bars = await self._answer(period_s, end_s, None)
        if not len(bars):
            return Frame(bars, end_s)
        return Frame(bars, int(bars["time"][0]), empty=self._holes(bars, period_s))

    async def newest_since(self, period_s: int, end_s: int, stored: Bars) -> Frame:
        """Return *stored* bars, without holes, and those that follow before *end_s*.

        Raises VenueError, also if the venue's don't follow at once.
        """
        since_s = int(stored["time"][-1]) + period_s
        bars = stored
        if since_s < end_s:
            news = await self._answer(period_s, end_s, since_s)
            bars = np.concatenate((stored, news))
        return Frame(bars, int(bars["time"][0]), empty=self._holes(bars, period_s))

    async def frame(self, period_s: int, span: Span) -> Frame:
        """Return the newest part of *span*, not empty; raises VenueError."""
        start_s, end_s = span
        low_s = max(start_s, end_s - self.conf.max_bars * period_s)
        bars = await self._ask(period_s, end_s, low_s)
        if not len(bars):
            return await self._before(period_s, (start_s, low_s))
        newer_s = int(bars["time"][-1]) + period_s
        if newer_s < end_s:  # none there, or the answer was cut off
            more = await self._ask(period_s, end_s, newer_s)
            bars = np.concatenate((bars, more))
        return Frame(bars, int(bars["time"][0]), empty=self._holes(bars, period_s))

    async def _before(self, period_s: int, span: Span) -> Frame:
        """Return the newest part of a span that follows one without bars."""
        start_s, end_s = span
        bars = await self._ask(period_s, end_s, None)
        if not len(bars):
            return Frame(bars, start_s, is_last=True)
        bars = between(bars, start_s, None)
        if not len(bars):
            return Frame(bars, start_s)
        return Frame(bars, int(bars["time"][0]), empty=self._holes(bars, period_s))

    async def _ask(self, period_s: int, end_s: int, start_s: int | None) -> Bars:
        await self.pace.turn(self.conf.requests_s)
        return await self._answer(period_s, end_s, start_s)

    async def _answer(self, period_s: int, end_s: int, start_s: int | None) -> Bars:
        """Return what can be gone on with of one answer."""
        answer = np.empty(0, OHLCV)
        with suppress(NoData):
            answer = await self.get_bars(period_s, end_s, start_s)
        return self._sound(answer, period_s, (start_s, end_s))

    def _sound(self, bars: Bars, period_s: int, within: tuple[int | None, int]) -> Bars:
        """Return bars without what can't be, or wasn't asked for."""
        if bars.dtype != OHLCV:
            raise BadPayload(f"{period_s} s bars are no OHLCV but {bars.dtype}")
        faults = find_faults(bars, period_s)
        if faults:
            what, is_off = faults[0]
            self.warn(f"{period_s} s bars of its venue are left out by this: {what}")
            for _, each in faults[1:]:
                is_off = is_off | each
            dropped = self._dropped.setdefault(period_s, set())
            dropped |= set(bars["time"][is_off].tolist())
            bars = bars[~is_off]
        try:
            return between(in_order(bars), *within)
        except ValueError as err:
            raise BadPayload(f"of {period_s} s bars, {err}") from None

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
