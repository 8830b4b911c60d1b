"""When contracts trade, as TWS tells it: a line of sessions in the exchange's zone.

    20261127:0930-20261127:1600;20261128:CLOSED;20261129:1800-20261130:1700

By https://interactivebrokers.github.io/tws-api/contract_details.html, of the form that
TWS has had since version 970. Saturdays and Sundays without a session are told closed.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from piker.msgs import Calendar

#: So many days are told, today first.
DAYS: Final = 6
_WEEK_S: Final = 7 * 86400
_MONDAY_S: Final = 4 * 86400  # 1970-01-05, a Monday


def sessions_of(calendar: Calendar, zone: str, now_s: int) -> str:
    """Return the sessions from *now_s*'s day on, see the module.

    Args:
      calendar: when the market trades.
      zone: of the exchange.
      now_s: epoch seconds.
    """
    there = ZoneInfo(zone)
    today = datetime.fromtimestamp(now_s, there).date()
    days = [today + timedelta(days=nth) for nth in range(DAYS)]
    told: dict[str, list[str]] = {f"{day:%Y%m%d}": [] for day in days}
    for start_s, end_s in _spans(calendar, now_s, there):
        start, end = (datetime.fromtimestamp(at, there) for at in (start_s, end_s))
        day = f"{start:%Y%m%d}"
        if day in told:
            told[day].append(f"{start:%Y%m%d:%H%M}-{end:%Y%m%d:%H%M}")
    return ";".join(
        span for day, spans in told.items() for span in spans or [f"{day}:CLOSED"]
    )


def _spans(calendar: Calendar, now_s: int, zone: ZoneInfo) -> Iterator[tuple[int, int]]:
    """Yield sessions of the weeks around, those that touch as one."""
    if not calendar.weekly:  # there is no end to it: a day is a session
        day = datetime.fromtimestamp(now_s, zone).replace(
            hour=0, minute=0, second=0, microsecond=0
        )
        for nth in range(DAYS):
            first, last = day + timedelta(days=nth), day + timedelta(days=nth + 1)
            yield int(first.timestamp()), int(last.timestamp())
        return
    week_s = (now_s - _MONDAY_S) // _WEEK_S * _WEEK_S + _MONDAY_S - _WEEK_S
    open_s, close_s = 0, 0
    for nth in range(4):
        for start, end in calendar.weekly:
            start_s, end_s = (week_s + nth * _WEEK_S + at for at in (start, end))
            if start_s == close_s:
                close_s = end_s
                continue
            if close_s:
                yield open_s, close_s
            open_s, close_s = start_s, end_s
    yield open_s, close_s
