"""Trading hours as IB tells them, as a weekly calendar; pure.

``20260720:0400-20260720:2000;20260721:CLOSED`` --weekly()--> Calendar

Hours are local to an exchange, of today and the next few days: `Calendar` repeats a
week, by the clocks there. A working day that is closed or short is taken for a holiday
if others aren't, so that such days of other weeks aren't closed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from piker.errors import BadPayload
from piker.msgs import Calendar

#: Names that IB uses and the zone database doesn't have any more, or never had.
_ZONES: Final = {
    "EST": "US/Eastern",
    "EST (Eastern Standard Time)": "US/Eastern",
    "CST": "US/Central",
    "CST (Central Standard Time)": "US/Central",
    "JST": "Asia/Tokyo",
    "JST (Japan Standard Time)": "Asia/Tokyo",
    "GB-Eire": "Europe/London",
    "MET (Middle Europe Time)": "Europe/Berlin",
    "Australia/NSW": "Australia/Sydney",
}
_MINUTES: Final = 24 * 60
_WEEK_S: Final = 7 * 86_400
_ALWAYS: Final = ((0, _WEEK_S),)
_SATURDAY: Final = 5
_SUNDAY: Final = 6
_HOLIDAY_PROOF: Final = 3  # working days that must be alike for another to be odd
_MONDAY: Final = date(1970, 1, 5)
_SPAN: Final = re.compile(
    r"(?P<day>\d{8}):(?P<open>\d{4})-(?:(?P<to>\d{8}):)?(?P<close>\d{4})"
)

#: A day's hours: spans in minutes since its local midnight, the first may begin before.
Hours = tuple[tuple[int, int], ...]


def zone_of(name: str) -> ZoneInfo:
    """Return the time zone that IB calls *name*; raises BadPayload."""
    try:
        return ZoneInfo(_ZONES.get(name, name))
    except (KeyError, ValueError, OSError) as err:
        raise BadPayload(f"ib tells hours in an unknown time zone {name!r}") from err


def weekly(hours: str, zone: str) -> Calendar:
    """Return the weekly hours that the next days' hours show, by the exchange's clocks.

    Always open if *hours* is empty, as it is of markets that IB knows no hours of.

    Args:
      hours: ``tradingHours`` or ``liquidHours`` of ContractDetails.
      zone: their ``timeZoneId``.

    Raises:
      BadPayload: they are not what IB documents.
    """
    by_weekday = _usual(hours)
    if not any(by_weekday.values()):
        return Calendar()
    spans = []
    for weekday, day_hours in by_weekday.items():
        for start, end in day_hours:
            begin_s = (weekday * _MINUTES + start) * 60
            spans += _within_week(begin_s, begin_s + (end - start) * 60)
    week = _joined(spans)
    if week == _ALWAYS:
        return Calendar(weekly=week)
    return Calendar(weekly=week, zone=zone_of(zone).key)


def _days(hours: str) -> Iterator[tuple[date, Hours]]:
    """Yield each day that is told, with its hours: none of one that is closed."""
    found: dict[date, list[tuple[int, int]]] = {}
    for part in hours.replace(",", ";").split(";"):
        text = part.strip()
        if not text:
            continue
        if text.endswith(":CLOSED"):
            found.setdefault(_as_date(text.partition(":")[0]), [])
            continue
        day, start, end = _span(text, next(reversed(found), None))
        found.setdefault(day, []).append((start, end))
    for day, spans in found.items():
        yield day, tuple(sorted(spans))


def _span(text: str, before: date | None) -> tuple[date, int, int]:
    """Return the day that a session belongs to, and its minutes of that day.

    That is the day it ends on: futures open the evening before. The older form
    ``20260720:0930-1130,1300-1600`` names the day once.
    """
    if text[8:9] != ":" and before is not None:
        text = f"{before:%Y%m%d}:{text}"
    match = _SPAN.fullmatch(text)
    if match is None:
        raise BadPayload(f"trading hours that ib doesn't document: {text!r}")
    first = _as_date(match["day"])
    last = _as_date(match["to"] or match["day"])
    start, end = _minute(match["open"]), _minute(match["close"])
    if not match["to"] and end <= start:
        last += timedelta(days=1)
    if end == 0 and last > first:
        last, end = last - timedelta(days=1), _MINUTES  # midnight ends the day before
    start -= (last - first).days * _MINUTES
    if not -2 * _MINUTES * _SATURDAY < start < end:
        raise BadPayload(f"trading hours that end before they begin: {text!r}")
    return last, start, end


def _as_date(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC).date()
    except ValueError as err:
        raise BadPayload(f"a day in trading hours that is none: {text!r}") from err


def _minute(text: str) -> int:
    hour, minute = int(text[:2]), int(text[2:])
    if hour > 24 or minute > 59:
        raise BadPayload(f"a time in trading hours that is none: {text!r}")
    return hour * 60 + minute


def _usual(hours: str) -> dict[int, Hours]:
    """Return the hours of each weekday, 0 is Monday."""
    told: dict[int, Hours] = {}
    for day, spans in _days(hours):
        weekday = day.weekday()
        if not told.get(weekday):  # the first that is open, of two in one list
            told[weekday] = spans
    usual = _usual_of_days(told)
    is_sunday_usual = usual is not None and told.get(_SUNDAY) == usual
    if usual is not None and not is_sunday_usual:
        for weekday in range(_SATURDAY):
            hours_of_day = told.get(weekday, ())
            if _length(hours_of_day) < _length(usual):
                told[weekday] = _joined([*usual, *hours_of_day])
        return told
    if usual is not None and _length(usual) == _MINUTES:
        for weekday in range(_SUNDAY + 1):
            told.setdefault(weekday, usual)  # open all week, told of six days
    return told


def _usual_of_days(told: dict[int, Hours]) -> Hours | None:
    """Return the hours that most working days share, else the longest; None if none.

    Holidays may leave one day or two of a week, or of what is told of it.
    """
    counts = Counter(spans for day, spans in told.items() if day < _SATURDAY and spans)
    if not counts:
        return None
    spans, times = counts.most_common(1)[0]
    return spans if times >= _HOLIDAY_PROOF else max(counts, key=_length)


def _length(spans: Hours) -> int:
    return sum(end - start for start, end in spans)


def _within_week(start_s: int, end_s: int) -> list[tuple[int, int]]:
    """Return a span as parts of the week that begins on Monday, 0 h UTC."""
    start_s, length_s = start_s % _WEEK_S, min(end_s - start_s, _WEEK_S)
    end_s = start_s + length_s
    if end_s <= _WEEK_S:
        return [(start_s, end_s)]
    return [(start_s, _WEEK_S), (0, end_s - _WEEK_S)]


def _joined(spans: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    joined: list[tuple[int, int]] = []
    for start_s, end_s in sorted(spans):
        if joined and start_s <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end_s, joined[-1][1]))
        else:
            joined.append((start_s, end_s))
    return tuple(joined)
