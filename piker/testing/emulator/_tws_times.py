"""Times and lengths of time as clients of TWS write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ._tws_fields import Wrong, invalid

DAY_S: Final = 86_400
_YEAR_S: Final = 365 * DAY_S
#: Seconds of each size of a bar.
BAR_SIZES: Final = {
    "1 secs": 1, "5 secs": 5, "10 secs": 10, "15 secs": 15, "30 secs": 30,
    "1 min": 60, "2 mins": 120, "3 mins": 180, "5 mins": 300, "10 mins": 600,
    "15 mins": 900, "20 mins": 1200, "30 mins": 1800, "1 hour": 3600,
    "2 hours": 7200, "3 hours": 10_800, "4 hours": 14_400, "8 hours": 28_800,
    "1 day": DAY_S,
}  # fmt: skip
_UNITS: Final = {"S": 1, "D": DAY_S, "W": 7 * DAY_S, "M": 30 * DAY_S, "Y": _YEAR_S}
_STAMP: Final = re.compile(r"(\d{8})([ -] *)(\d\d:\d\d:\d\d)(?: +(\S+))?")


def bar_size(text: str) -> int:
    """Return the seconds of a bar; raises Wrong."""
    found = BAR_SIZES.get(text)
    if found is None:
        legal = ", ".join(BAR_SIZES)
        raise invalid(
            f"Historical data bar size setting is invalid. Legal ones are: {legal}"
        )
    return found


def duration(text: str) -> int:
    """Return seconds of e.g. ``1800 S`` or ``2 D``; raises Wrong."""
    count, _, unit = text.strip().partition(" ")
    if not count.isdecimal() or unit not in _UNITS or not 0 < int(count) < 10**6:
        raise invalid("Invalid duration; a number and one of S, D, W, M, Y")
    length = int(count) * _UNITS[unit]
    if unit == "S" and length > DAY_S:
        raise invalid(
            "Historical data requests for durations longer than 86400 seconds must"
            " be made in days."
        )
    if unit != "Y" and length > _YEAR_S:
        raise invalid(
            "Historical data requests for durations longer than 365 days must be"
            " made in years."
        )
    return length


def time_of(text: str, zone: str) -> int:
    """Return the epoch second of a stamp; raises Wrong.

    Args:
      text: ``20261129 10:00:00 US/Eastern``, or ``20261129-10:00:00``, which is UTC.
      zone: where none is told.
    """
    wrong = Wrong(
        10314,
        "End Date/Time: The date, time, or time-zone entered is invalid. The correct"
        " format is yyyymmdd hh:mm:ss xx/xxxx",
    )
    found = _STAMP.fullmatch(text.strip())
    if found is None:
        raise wrong
    day, gap, clock, told = found.groups()
    try:
        there = ZoneInfo(told or ("UTC" if "-" in gap else zone))
        at = datetime.strptime(f"{day} {clock}", "%Y%m%d %H:%M:%S")  # noqa: DTZ007
    except (ValueError, ZoneInfoNotFoundError):
        raise wrong from None
    if not 1900 <= at.year <= 2200:
        raise wrong
    return int(at.replace(tzinfo=there).timestamp())


def stamp(time_s: float, form: int, zone: str) -> str:
    """Return a time as asked for: as text there (1), or in epoch seconds (2)."""
    if form == 2:
        return str(int(time_s))
    at = datetime.fromtimestamp(time_s, ZoneInfo(zone))
    return f"{at:%Y%m%d %H:%M:%S} {zone}"


def day_stamp(time_s: float) -> str:
    """Return a day."""
    return f"{datetime.fromtimestamp(time_s, UTC):%Y%m%d}"
