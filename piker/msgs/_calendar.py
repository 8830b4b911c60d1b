"""Trading hours: when a market is open."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from datetime import datetime
from functools import cache, cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

from piker.types import Struct

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

WEEK_S = 7 * 86_400
_MONDAY = 4 * 86_400  # 1970-01-05, the first Monday after the epoch
#: No clocks are known to change before or after.
_BEGIN, _END = -(1 << 62), 1 << 62
_LAST_CHANGE = 131 * 366 * 86_400  # of 2100, and a bit
_STEP = 14 * 86_400  # none of two changes is nearer to the other


@cache
def zone_shifts(zone: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return when the clocks of a zone change, and how far they are ahead from then on.

    Args:
      zone: as the time zone database names it; UTC if empty.

    Returns: epoch s, ascending, the first before all time; seconds ahead of UTC.

    Raises: ValueError: there is no such zone.
    """
    if not zone:
        return (_BEGIN,), (0,)
    from zoneinfo import ZoneInfo  # few markets need it, and all commands come here

    try:
        where = ZoneInfo(zone)
    except (KeyError, OSError, ValueError) as err:
        raise ValueError(f"no time zone is called {zone!r}") from err
    starts, ahead = [_BEGIN], [_ahead_s(where, 0)]
    for at in range(_STEP, _LAST_CHANGE, _STEP):
        if (ahead_s := _ahead_s(where, at)) != ahead[-1]:
            starts.append(_change(where, at - _STEP, at))
            ahead.append(ahead_s)
    return tuple(starts), tuple(ahead)


def _ahead_s(where: ZoneInfo, time_s: int) -> int:
    ahead = datetime.fromtimestamp(time_s, where).utcoffset()
    return int(ahead.total_seconds()) if ahead is not None else 0


def _change(where: ZoneInfo, before_s: int, after_s: int) -> int:
    """Return the first second by the new clocks, of a change between two times."""
    new_s = _ahead_s(where, after_s)
    while after_s - before_s > 1:
        middle_s = (before_s + after_s) // 2
        if _ahead_s(where, middle_s) == new_s:
            after_s = middle_s
        else:
            before_s = middle_s
    return after_s


class Calendar(Struct, frozen=True, kw_only=True, dict=True):
    """Weekly trading hours, by the clocks of where they are kept.

    Every question costs O(log n) in the number of spans, and in UTC however far apart
    the times asked about are; ValueError if spans and zone are not as said below.

    Attributes:
      weekly: open spans as (start, end) in seconds since Monday 00:00, ascending,
        disjoint, ``0 <= start < end <= 604800``; the end itself is closed; empty means
        always open.
      zone: whose clocks show them, as the time zone database names it; they are set to
        summer time and back. UTC if empty.
    """

    weekly: tuple[tuple[int, int], ...] = ()
    zone: str = ""

    def __post_init__(self) -> None:
        free_from = 0
        for start, end in self.weekly:
            if not free_from <= start < end <= WEEK_S:
                raise ValueError(
                    "weekly spans must ascend, be disjoint and lie within"
                    f" 0..{WEEK_S}, got {(start, end)} after {free_from}"
                )
            free_from = end
        zone_shifts(self.zone)

    def is_open(self, time_s: int) -> bool:
        """Tell whether the market trades at *time_s* (epoch seconds)."""
        return self.next_open(time_s) == time_s

    def next_open(self, time_s: int) -> int:
        """Return the first second >= *time_s* at which the market is open."""
        if not self.weekly:
            return time_s
        for _, until_s, ahead_s in self._shifts_from(time_s):
            opens_s = self._next_open(time_s + ahead_s) - ahead_s
            if opens_s < until_s:
                return opens_s
            time_s = until_s
        raise AssertionError("clocks change no more at the end of time")

    def prev_open(self, time_s: int) -> int:
        """Return the last second <= *time_s* at which the market is open."""
        if not self.weekly:
            return time_s
        while True:
            since_s, _, ahead_s = next(self._shifts_from(time_s))
            opens_s = self._prev_open(time_s + ahead_s) - ahead_s
            if opens_s >= since_s:
                return opens_s
            time_s = since_s - 1

    def open_seconds(self, start_s: int, end_s: int) -> int:
        """Return how many seconds of [*start_s*, *end_s*) are open; 0 if it is empty.

        Args:
          start_s: epoch seconds.
          end_s: epoch seconds, not counted itself.
        """
        if end_s <= start_s:
            return 0
        if not self.weekly:
            return end_s - start_s
        opened = 0
        for _, until_s, ahead_s in self._shifts_from(start_s):
            stop_s = min(end_s, until_s)
            opened += self._opened_until(stop_s + ahead_s)
            opened -= self._opened_until(start_s + ahead_s)
            if stop_s == end_s:
                break
            start_s = stop_s
        return opened

    def ahead_s(self, time_s: int) -> int:
        """Return how far its clocks are ahead of UTC at *time_s* (epoch seconds)."""
        return next(self._shifts_from(time_s))[2]

    def _shifts_from(self, time_s: int) -> Iterator[tuple[int, int, int]]:
        """Yield from when to when its clocks are ahead by so much, from *time_s* on."""
        starts, ahead = zone_shifts(self.zone)
        for at in range(max(bisect_right(starts, time_s) - 1, 0), len(starts)):
            until_s = starts[at + 1] if at + 1 < len(starts) else _END
            yield starts[at], until_s, ahead[at]

    # -- by its own clocks: seconds since 1970 as they show them -------------------

    def _next_open(self, time_s: int) -> int:
        week, into, at = self._locate(time_s)
        if at >= 0 and into < self.weekly[at][1]:
            return time_s
        if at + 1 < len(self.weekly):
            return week + self.weekly[at + 1][0]
        return week + WEEK_S + self.weekly[0][0]

    def _prev_open(self, time_s: int) -> int:
        week, _, at = self._locate(time_s)
        if at < 0:
            return week - WEEK_S + self.weekly[-1][1] - 1
        return min(time_s, week + self.weekly[at][1] - 1)

    def _opened_until(self, time_s: int) -> int:
        """Return open seconds from the first Monday to *time_s*; negative before it."""
        week, into, at = self._locate(time_s)
        full = (week - _MONDAY) // WEEK_S * self._opened_before[-1]
        if at < 0:
            return full
        start, end = self.weekly[at]
        return full + self._opened_before[at] + min(into, end) - start

    def _locate(self, time_s: int) -> tuple[int, int, int]:
        """Return the week's first second, the seconds into it, and the last span begun.

        The span's index is -1 where none of the week has begun.
        """
        into = (time_s - _MONDAY) % WEEK_S
        return time_s - into, into, bisect_right(self._starts, into) - 1

    @cached_property
    def _starts(self) -> tuple[int, ...]:
        return tuple(start for start, _ in self.weekly)

    @cached_property
    def _opened_before(self) -> tuple[int, ...]:
        """Open seconds of a week before each span, and after the last."""
        return tuple(accumulate((end - start for start, end in self.weekly), initial=0))
