"""Trading hours: when a market is open."""

from __future__ import annotations

from bisect import bisect_right

from piker.types import Struct

WEEK_S = 7 * 86_400
_MONDAY = 4 * 86_400  # 1970-01-05, the first Monday after the epoch


class Calendar(Struct, kw_only=True):
    """Weekly trading hours in UTC.

    Attributes:
      weekly: open spans as (start, end) in seconds since Monday 00:00 UTC,
        ascending, disjoint, ``0 <= start < end <= 604800``; empty means always open.
    """

    weekly: tuple[tuple[int, int], ...] = ()

    def is_open(self, time_s: int) -> bool:
        """Tell whether the market trades at *time_s* (epoch seconds)."""
        return self.next_open(time_s) == time_s

    def next_open(self, time_s: int) -> int:
        """Return the first second >= *time_s* at which the market is open."""
        if not self.weekly:
            return time_s
        into = (time_s - _MONDAY) % WEEK_S
        week = time_s - into
        at = bisect_right(self.weekly, into, key=lambda span: span[0]) - 1
        if at >= 0 and into < self.weekly[at][1]:
            return time_s
        if at + 1 < len(self.weekly):
            return week + self.weekly[at + 1][0]
        return week + WEEK_S + self.weekly[0][0]
