"""When orders are over, by tables and against a walk over all seconds."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st

from piker.clearing._expiry import expires_at, market_end, session_end
from piker.msgs import NS, Calendar
from tests.clearing._orders import MKT, market, order

HOUR, DAY, WEEK = 3600, 86_400, 7 * 86_400
MONDAY = 4 * DAY  # 1970-01-05
ALWAYS = Calendar()
#: New York's stocks in winter: 14:30 to 21:00, Monday to Friday.
STOCKS = Calendar(weekly=tuple((i * DAY + 52_200, i * DAY + 75_600) for i in range(5)))
#: A future of Chicago: an hour's break a day, and a session over the week's border.
FUTURES = Calendar(
    weekly=(
        (0, 22 * HOUR),
        *((i * DAY - HOUR, i * DAY + 22 * HOUR) for i in range(1, 5)),
        (6 * DAY + 23 * HOUR, WEEK),
    )
)
#: The same by the clocks there.
CHICAGO = Calendar(
    weekly=(
        (0, 16 * HOUR),
        *((i * DAY - 7 * HOUR, i * DAY + 16 * HOUR) for i in range(1, 5)),
        (6 * DAY + 17 * HOUR, WEEK),
    ),
    zone="America/Chicago",
)
#: Open over the night in which clocks change.
NIGHT = Calendar(weekly=((5 * DAY, 6 * DAY + 12 * HOUR),), zone="America/Chicago")
WHOLE = Calendar(weekly=((0, DAY), (DAY, WEEK)))


def ns(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NS


@pytest.mark.parametrize(
    ("calendar", "now", "ends"),
    [
        (ALWAYS, "2026-03-02T00:00:00", "2026-03-03T00:00:00"),
        (ALWAYS, "2026-03-02T23:59:59", "2026-03-03T00:00:00"),
        (ALWAYS, "2026-12-31T12:00:00", "2027-01-01T00:00:00"),
        (WHOLE, "2026-03-02T12:00:00", "2026-03-03T00:00:00"),
        # a Monday, while open, at its very end, and before it opens
        (STOCKS, "2026-03-02T15:00:00", "2026-03-02T21:00:00"),
        (STOCKS, "2026-03-02T20:59:59", "2026-03-02T21:00:00"),
        (STOCKS, "2026-03-02T21:00:00", "2026-03-03T21:00:00"),
        (STOCKS, "2026-03-02T09:00:00", "2026-03-02T21:00:00"),
        # a Friday after hours, and a Sunday: Monday's session is meant
        (STOCKS, "2026-03-06T22:00:00", "2026-03-09T21:00:00"),
        (STOCKS, "2026-03-08T12:00:00", "2026-03-09T21:00:00"),
        # Sunday night and Monday are one session
        (FUTURES, "2026-03-08T23:30:00", "2026-03-09T22:00:00"),
        (FUTURES, "2026-03-09T01:00:00", "2026-03-09T22:00:00"),
        (FUTURES, "2026-03-09T22:10:00", "2026-03-10T22:00:00"),
        (FUTURES, "2026-03-06T22:10:00", "2026-03-09T22:00:00"),
        # in winter, over the change to summer time, and in summer
        (CHICAGO, "2026-03-02T01:00:00", "2026-03-02T22:00:00"),
        (CHICAGO, "2026-03-06T22:10:00", "2026-03-09T21:00:00"),
        (CHICAGO, "2026-03-09T21:10:00", "2026-03-10T21:00:00"),
        (NIGHT, "2026-03-07T12:00:00", "2026-03-08T17:00:00"),
        (NIGHT, "2026-11-01T00:00:00", "2026-11-01T18:00:00"),
    ],
)
def test_a_day_ends_with_its_session(calendar, now, ends):
    made = order(tif="day")
    assert expires_at(made, calendar, MKT, ns(now)) == ns(ends)


def test_the_last_ns_of_a_session_is_of_it():
    end = ns("2026-03-02T21:00:00")
    assert session_end(STOCKS, end - 1) == end
    assert session_end(STOCKS, end) == ns("2026-03-03T21:00:00")
    midnight = ns("2026-03-03T00:00:00")
    assert session_end(ALWAYS, midnight - 1) == midnight
    assert session_end(ALWAYS, midnight) == midnight + DAY * NS


NOW = ns("2026-03-02T15:00:00")
LATER = ns("2026-03-02T18:00:00")
EXPIRY = market(expiry="20260306")
END = ns("2026-03-06T21:00:00")


@pytest.mark.parametrize(
    ("made", "mkt", "ends"),
    [
        (order(), MKT, None),
        (order(), EXPIRY, END),
        (order(), market(expiry="perp"), None),
        (order(tif="gtd", expires_ns=LATER), MKT, LATER),
        (order(tif="gtd", expires_ns=LATER), EXPIRY, LATER),
        (order(tif="gtd", expires_ns=END + 1), EXPIRY, END),
        (order(tif="day"), EXPIRY, ns("2026-03-02T21:00:00")),
        (order(tif="ioc"), EXPIRY, None),
        (order(tif="fok"), EXPIRY, None),
        (order(price=None, otype="market"), EXPIRY, None),
        # in the dark it waits like any other
        (
            order(price=None, otype="market", exec_mode="dark", trigger="90"),
            EXPIRY,
            END,
        ),
        (order("alert", size="0", tif="day"), MKT, ns("2026-03-02T21:00:00")),
    ],
)
def test_how_long_each_lives(made, mkt, ends):
    assert expires_at(made, STOCKS, mkt, NOW) == ends


@pytest.mark.parametrize(
    ("expiry", "calendar", "ends"),
    [
        ("20260306", ALWAYS, "2026-03-07T00:00:00"),
        ("20260306", STOCKS, "2026-03-06T21:00:00"),
        ("20260306", FUTURES, "2026-03-06T22:00:00"),
        # a day on which it doesn't trade at all
        ("20260307", STOCKS, "2026-03-08T00:00:00"),
        # the session of the next day has begun: it ends at midnight all the same
        ("20260303", FUTURES, "2026-03-04T00:00:00"),
    ],
)
def test_a_market_ends_with_the_last_session_of_its_day(expiry, calendar, ends):
    assert market_end(market(expiry=expiry), calendar) == ns(ends)


@st.composite
def calendars(draw):
    edges = draw(st.lists(st.integers(0, 30), unique=True, max_size=8).map(sorted))
    spans = list(zip(edges[::2], edges[1::2], strict=False))
    if draw(st.booleans()):
        spans.append((WEEK - 20, WEEK - draw(st.integers(0, 3))))
    if spans and draw(st.booleans()):
        # what begins where another ends
        start, end = spans[0]
        if end - start > 1:
            spans[0:1] = [(start, start + 1), (start + 1, end)]
    return Calendar(weekly=tuple(spans))


@given(calendars(), st.integers(-2, 2), st.integers(-30, 40), st.integers(0, NS - 1))
def test_a_session_ends_where_a_walk_finds_it_closed(calendar, week, into, part_ns):
    now_s = MONDAY + (1000 + week) * WEEK + into
    end = session_end(calendar, now_s * NS + part_ns)
    assert end % NS == 0
    assert end > now_s * NS + part_ns
    if not calendar.weekly:
        assert end == (now_s // DAY + 1) * DAY * NS
        return
    end_s = end // NS
    opens_s = calendar.next_open(now_s)
    assert all(calendar.is_open(each) for each in range(opens_s, end_s))
    assert not calendar.is_open(end_s)


@given(
    st.sampled_from([ALWAYS, STOCKS, FUTURES, WHOLE]),
    st.integers(0, 20_000 * DAY * NS),
    st.sampled_from(["gtc", "day", "gtd", "ioc", "fok"]),
    st.sampled_from(["", "perp", "20260306"]),
    st.integers(1, 10**12),
)
def test_nothing_outlives_its_market_nor_its_own_time(
    calendar, now_ns, tif, expiry, ahead_ns
):
    mkt = market(expiry=expiry)
    made = order(tif=tif, expires_ns=now_ns + ahead_ns if tif == "gtd" else 0)
    end, last = expires_at(made, calendar, mkt, now_ns), market_end(mkt, calendar)
    assert (end is None) == (tif in ("ioc", "fok") or (tif == "gtc" and last is None))
    if end is not None:
        assert last is None or end <= last
        assert tif != "gtd" or end <= made.expires_ns
        assert tif != "day" or end <= now_ns + 8 * DAY * NS
