"""Trading hours: when a market is open."""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from itertools import accumulate

from piker.types import Struct

WEEK_S = 7 * 86_400
_MONDAY = 4 * 86_400  # 1970-01-05, the first Monday after the epoch


class Calendar(Struct, frozen=True, kw_only=True, dict=True):
    """Weekly trading hours in UTC.

    Every question costs O(log n) in the number of spans, however far apart the
    times asked about are. ValueError if the spans are not as said below.

    Attributes:
      weekly: open spans as (start, end) in seconds since Monday 00:00 UTC,
        ascending, disjoint, ``0 <= start < end <= 604800``; the end itself is
        closed; empty means always open.
    """

    weekly: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        free_from = 0
        for start, end in self.weekly:
            if not free_from <= start < end <= WEEK_S:
                raise ValueError(
                    "weekly spans must ascend, be disjoint and lie within"
                    f" 0..{WEEK_S}, got {(start, end)} after {free_from}"
                )
            free_from = end

    def is_open(self, time_s: int) -> bool:
        """Tell whether the market trades at *time_s* (epoch seconds)."""
        return self.next_open(time_s) == time_s

    def next_open(self, time_s: int) -> int:
        """Return the first second >= *time_s* at which the market is open."""
        if not self.weekly:
            return time_s
        week, into, at = self._locate(time_s)
        if at >= 0 and into < self.weekly[at][1]:
            return time_s
        if at + 1 < len(self.weekly):
            return week + self.weekly[at + 1][0]
        return week + WEEK_S + self.weekly[0][0]

    def prev_open(self, time_s: int) -> int:
        """Return the last second <= *time_s* at which the market is open."""
        if not self.weekly:
            return time_s
        week, _, at = self._locate(time_s)
        if at < 0:
            return week - WEEK_S + self.weekly[-1][1] - 1
        return min(time_s, week + self.weekly[at][1] - 1)

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
        return self._opened_until(end_s) - self._opened_until(start_s)

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
