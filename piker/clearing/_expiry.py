"""When an order is over by itself: by the clock and the hours of its market.

    gtc      | the market's own end, if it has one
    gtd      | the time it says
    day      | the end of the trading session that runs, or comes next
    ioc, fok | nobody waits for it: its broker ends it at once

Pure. Times are ns since the epoch by the market's clock; an order is over from the
very ns on. A calendar knows spans of open hours only: a market that rests at noon has
two sessions a day.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Final

from piker.msgs import NS, Calendar, MktPair, Order

_DAY_S: Final = 86_400
_WEEK_S: Final = 7 * _DAY_S
_MONDAY_S: Final = 4 * _DAY_S  # 1970-01-05, where the weeks of a calendar begin


def expires_at(
    order: Order, calendar: Calendar, mkt: MktPair, now_ns: int
) -> int | None:
    """Return when *order* is over, None if never, or if that isn't for a clock to say.

    Args:
      order: which; a market order is none that waits.
      calendar: hours of its market.
      mkt: its market; no order outlives it.
      now_ns: when the order came; of a ``day`` order, which day is meant.
    """
    if order.is_at_once:
        return None
    ends = [market_end(mkt, calendar)]
    if order.tif == "gtd":
        ends.append(order.expires_ns)
    elif order.tif == "day":
        ends.append(session_end(calendar, now_ns))
    return min((each for each in ends if each is not None), default=None)


def market_end(mkt: MktPair, calendar: Calendar) -> int | None:
    """Return when a market that expires trades no more, None if it doesn't expire.

    It is the end of the day of its expiry (UTC), or of that day's last session; a venue
    may close it some hours earlier.
    """
    day = mkt.name.expiry_date
    if day is None:
        return None
    begins_s = int(datetime.combine(day, time(), UTC).timestamp())
    last_s = calendar.prev_open(begins_s + _DAY_S - 1)
    ends_s = last_s + 1 if last_s >= begins_s else begins_s + _DAY_S
    return ends_s * NS


def session_end(calendar: Calendar, now_ns: int) -> int:
    """Return the end of the trading session that runs, or else comes next.

    A market that never closes has days, from 00:00 UTC to the next.
    """
    now_s = now_ns // NS
    ends_s = _span_end(calendar, now_s)
    if ends_s is None:
        day = datetime.fromtimestamp(now_s, UTC).date() + timedelta(days=1)
        ends_s = int(datetime.combine(day, time(), UTC).timestamp())
    return ends_s * NS


def _span_end(calendar: Calendar, now_s: int) -> int | None:
    """Return where the next second that isn't open follows one that is, if ever."""
    spans = calendar.weekly
    opens_s = calendar.next_open(now_s)
    ahead_s = calendar.ahead_s(opens_s)
    into_s = (opens_s + ahead_s - _MONDAY_S) % _WEEK_S
    running = (i for i, (start, end) in enumerate(spans) if start <= into_s < end)
    at = next(running, 0)
    ends_s = opens_s - into_s + (spans[at][1] if spans else 0)
    for i in range(at, at + len(spans)):
        # what follows without a pause is the same session, over a week's end too
        start, end = spans[(i + 1) % len(spans)]
        if (start - spans[i % len(spans)][1]) % _WEEK_S:
            # by the clocks of then: they may have changed on the way
            return ends_s + ahead_s - calendar.ahead_s(ends_s)
        ends_s += end - start
    return None
