"""Lengths of bars that keys go through, and whose clock is shown."""

from __future__ import annotations

from datetime import tzinfo
from typing import Final

#: Bar lengths, seconds.
PERIODS: Final = (
    1, 5, 15, 30, 60, 300, 900, 1800, 3600, 14_400, 86_400, 604_800,
)  # fmt: skip


def next_period(period_s: int, by: int) -> int:
    """Return the next longer bar length, or the next shorter one of a negative *by*.

    The longest and the shortest have none beyond.
    """
    if by > 0:
        return next((each for each in PERIODS if each > period_s), PERIODS[-1])
    return next((each for each in reversed(PERIODS) if each < period_s), PERIODS[0])


def local_zone() -> tzinfo:
    """Return this machine's time zone, with its summer times."""
    from pendulum.tz.local_timezone import get_local_timezone

    zone: tzinfo = get_local_timezone()
    return zone
