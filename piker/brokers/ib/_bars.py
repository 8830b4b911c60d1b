"""IB's past bars as bars of ours, a frame at a time.

asked for what opens before a time --frame of IB's size--> OHLCV
                                   nothing there --the newest day, minute with a trade

IB answers 162 for a frame without a trade: a weekend, a holiday, an option that nobody
traded. That isn't the end of its past, which is looked for by longer bars.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Final

import numpy as np
import numpy.typing as npt
from ib_async import BarData

from piker.errors import BadPayload, NoData
from piker.msgs import Calendar
from piker.tsp import OHLCV

from ._odd import Recent

#: Bars of one request, of either length: a day of minutes.
MAX_BARS: Final = 1440
PERIODS_S: Final = (1, 60)
_SIZES: Final = {1: "1 secs", 60: "1 min"}
_DAY_S: Final = 86_400
#: Spans in seconds go so far; beyond, in days. For bars of a second and of a minute.
#: Both are of time in which it trades: a day is the session that runs, if just begun.
_SECONDS_MAX: Final = {1: 1800, 60: 28_800}
_LEAST_S: Final = {1: 30, 60: 120}
#: IB keeps bars of 30 s and less for six months.
_SMALL_KEPT_S: Final = 180 * _DAY_S
#: Looked through for the newest day with a trade.
_LONG_SPANS: Final = ("1 M", "1 Y")

Bars = npt.NDArray[np.void]
#: Asks IB: end, span, size of bars.
AskBars = Callable[[int, str, str], Awaitable[list[BarData]]]


@dataclass(frozen=True)
class History:
    """One market's past.

    Attributes:
      name: of the market, for errors.
      ask: asks IB for its bars; raises NoData and other VenueErrors.
      calendar: its hours.
      has_volume: whether IB counts what is traded.
      now_s: gives the time it is there, epoch s.
      odd_s: so many seconds more are asked for of small bars. IB takes no question like
        another within 15 s, and whoever was here before may have asked it.
      recent: questions for small bars that we asked ourselves, likewise.
    """

    name: str
    ask: AskBars
    calendar: Calendar
    has_volume: bool = True
    now_s: Callable[[], float] = time.time
    odd_s: int = 0
    recent: Recent = field(default_factory=Recent)

    async def bars(self, period_s: int, end_s: int, start_s: int | None) -> Bars:
        """Return bars, see :class:`piker.brokers.GetBars`."""
        if period_s not in _SIZES:
            raise NoData(f"{self.name!r} has no bars of {period_s} s at ib")
        end_s = min(end_s, int(self.now_s()) + period_s)
        end_s -= end_s % period_s
        if end_s <= 0 or (start_s is not None and start_s >= end_s):
            raise self._none(period_s, end_s)
        if period_s == 1 and end_s < self.now_s() - _SMALL_KEPT_S:
            raise self._none(period_s, end_s)
        if start_s is None:
            return await self._newest(period_s, end_s)
        start_s = max(start_s, end_s - MAX_BARS * period_s)
        return await self._between(period_s, start_s, end_s)

    async def _between(self, period_s: int, start_s: int, end_s: int) -> Bars:
        """Return the bars of a span; of its newer half, if all is more than IB has."""
        if not self.calendar.open_seconds(start_s, end_s):
            raise self._none(period_s, end_s)
        try:
            return await self._frame(period_s, end_s, end_s - start_s, start_s)
        except NoData:
            span_s = end_s - start_s
            half_s = span_s // (2 * period_s) * period_s
            is_same = as_span(period_s, half_s) == as_span(period_s, span_s)
            if half_s < _LEAST_S[period_s] or is_same:
                raise
        return await self._frame(period_s, end_s, half_s, end_s - half_s)

    async def _newest(self, period_s: int, end_s: int) -> Bars:
        """Return the newest bars before a time, however long ago they were."""
        span_s = MAX_BARS * period_s
        if not self.calendar.open_seconds(end_s - span_s, end_s):
            open_s = self.calendar.prev_open(end_s - 1)  # closed for as long as that
            end_s = min(end_s, open_s // period_s * period_s + period_s)
        try:
            return await self._frame(period_s, end_s, span_s)
        except NoData:
            pass
        if period_s == 1:
            minutes = await self._newest(60, -(-end_s // 60) * 60)
            traded_s = minutes["time"][minutes["count"] > 0]
            if not len(traded_s):
                raise self._none(period_s, end_s)
            end_s = min(end_s, int(traded_s[-1]) + 60)
        else:
            end_s = await self._day_end(end_s)
        return await self._frame(period_s, end_s, span_s)

    async def _day_end(self, end_s: int) -> int:
        """Return when the newest day with a trade before a time was over."""
        for span in _LONG_SPANS:
            try:
                days = await self.ask(end_s, span, "1 day")
            except NoData:
                continue
            if days:
                # of the exchange's own day: over everywhere half a day later
                return min(end_s, _day_s(days[-1].date) + _DAY_S + _DAY_S // 2)
        raise self._none(60, end_s)

    async def _frame(
        self, period_s: int, end_s: int, span_s: int, start_s: int | None = None
    ) -> Bars:
        """Return what one request gives; raises NoData if that is nothing."""
        if period_s == 1:
            span_s = max(span_s, _LEAST_S[period_s]) + self.odd_s
            longest_s = max(span_s, _SECONDS_MAX[period_s])
            _, span_s = self.recent.unlike(
                (end_s, each_s) for each_s in range(span_s, longest_s + 1)
            )
        told = await self.ask(end_s, as_span(period_s, span_s), _SIZES[period_s])
        bars = to_bars(told, has_volume=self.has_volume)
        kept = bars["time"] < end_s
        if start_s is not None:
            kept &= bars["time"] >= start_s
        if not kept.any():
            raise self._none(period_s, end_s)
        return bars[kept][-MAX_BARS:]

    def _none(self, period_s: int, end_s: int) -> NoData:
        return NoData(f"{self.name!r} has no bars of {period_s} s before {end_s} s")


def as_span(period_s: int, span_s: int) -> str:
    """Return how IB is told a span of bars, so that its answer has it all.

    ``1440 S``; ``2 D``, of which the newer day may have just begun.
    """
    if span_s > _SECONDS_MAX[period_s]:
        return f"{-(-span_s // _DAY_S) + 1} D"
    return f"{max(span_s, _LEAST_S[period_s])} S"


def to_bars(told: list[BarData], *, has_volume: bool = True) -> Bars:
    """Return IB's bars as OHLCV, in the order that they are told in.

    IB tells -1 of what it doesn't count. A bar of what has no volume counts one trade:
    one of none would be empty, its prices those of the bar before.

    Raises:
      BadPayload: a bar's time is none.
    """
    bars = np.zeros(len(told), OHLCV)
    for at, bar in enumerate(told):
        volume = max(float(bar.volume), 0.0) if has_volume else 0.0
        has_trade = volume > 0 or not has_volume
        count = max(int(bar.barCount), 1) if has_trade else 0
        bars[at] = (
            _time_s(bar.date), bar.open, bar.high, bar.low, bar.close, volume, count
        )  # fmt: skip
    return bars


def _time_s(stamp: date | datetime) -> int:
    if isinstance(stamp, datetime) and stamp.tzinfo is not None:
        return int(stamp.timestamp())
    raise BadPayload(f"ib told a bar of no second: {stamp!r}")


def _day_s(stamp: date | datetime) -> int:
    """Return when a day begins in UTC, epoch s."""
    return int(datetime(stamp.year, stamp.month, stamp.day, tzinfo=UTC).timestamp())
