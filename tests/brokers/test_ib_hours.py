"""IB's trading hours: local to an exchange, of a few days, made a week in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from piker.brokers.ib._hours import _days, weekly, zone_of
from piker.errors import BadPayload

NEW_YORK = "US/Eastern"
STOCK = (
    "20260719:CLOSED;20260720:0930-20260720:1600;20260721:0930-20260721:1600;"
    "20260722:0930-20260722:1600;20260723:0930-20260723:1600;"
    "20260724:0930-20260724:1600"
)
FUTURE = (
    "20260719:1700-20260720:1600;20260720:1700-20260721:1600;"
    "20260721:1700-20260722:1600;20260722:1700-20260723:1600;"
    "20260723:1700-20260724:1600;20260725:CLOSED"
)
CHICAGO = "US/Central"


def at(text: str) -> int:
    """Return an ISO time of UTC, epoch s."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def sessions(hours: str, zone: str) -> list[tuple[int, int]]:
    """Return when a market is open, ascending, joined where they touch, epoch s."""
    where, spans = zone_of(zone), []

    def epoch_s(day, minute: int) -> int:
        whole, rest = divmod(minute, 24 * 60)
        midnight = datetime(day.year, day.month, day.day, tzinfo=where)
        # of the wall clock: a day of summer time's begin has 23 hours
        there = midnight + timedelta(days=whole)
        return int(there.replace(hour=rest // 60, minute=rest % 60).timestamp())

    for day, parts in _days(hours):
        spans += [(epoch_s(day, start), epoch_s(day, end)) for start, end in parts]
    joined: list[tuple[int, int]] = []
    for start_s, end_s in sorted(spans):
        if joined and start_s <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end_s, joined[-1][1]))
        elif end_s > start_s:
            joined.append((start_s, end_s))
    return joined


def test_sessions_are_spans_of_time():
    told = sessions(STOCK, NEW_YORK)
    assert told[0] == (at("2026-07-20T13:30"), at("2026-07-20T20:00"))
    assert len(told) == 5


def test_spans_that_touch_are_one():
    told = sessions("20260720:0400-20260720:0930;20260720:0930-20260720:1600", NEW_YORK)
    assert told == [(at("2026-07-20T08:00"), at("2026-07-20T20:00"))]


def test_the_older_form_names_a_day_once():
    told = sessions("20260720:0930-1130,1300-1600;20260721:CLOSED", NEW_YORK)
    assert told == [
        (at("2026-07-20T13:30"), at("2026-07-20T15:30")),
        (at("2026-07-20T17:00"), at("2026-07-20T20:00")),
    ]


def test_a_stock_is_closed_at_night_and_on_weekends():
    calendar = weekly(STOCK, NEW_YORK)
    assert calendar.is_open(at("2026-07-22T13:30"))
    assert not calendar.is_open(at("2026-07-22T13:29"))
    assert not calendar.is_open(at("2026-07-22T20:00"))
    assert not calendar.is_open(at("2026-07-25T15:00"))
    assert calendar.next_open(at("2026-07-24T20:00")) == at("2026-07-27T13:30")


def test_a_future_opens_on_sunday_evening():
    calendar = weekly(FUTURE, CHICAGO)
    assert calendar.next_open(at("2026-07-25T12:00")) == at("2026-07-26T22:00")
    assert not calendar.is_open(at("2026-07-21T21:30")), "an hour each day"
    assert calendar.is_open(at("2026-07-21T22:00"))
    assert not calendar.is_open(at("2026-07-24T21:00"))


def test_a_week_goes_by_the_clocks_there():
    """Whenever it was told: who watches a market for months is told once."""
    calendar = weekly(STOCK, NEW_YORK)
    for day, opens, closes in (
        ("2026-01-21", "14:30", "21:00"),
        ("2026-03-06", "14:30", "21:00"),
        ("2026-03-09", "13:30", "20:00"),
        ("2026-07-21", "13:30", "20:00"),
        ("2026-10-30", "13:30", "20:00"),
        ("2026-11-02", "14:30", "21:00"),
    ):
        midnight_s = at(day)
        assert calendar.next_open(midnight_s) == at(f"{day}T{opens}")
        assert calendar.prev_open(midnight_s + 86_400) == at(f"{day}T{closes}") - 1
    future = weekly(FUTURE, CHICAGO)
    assert future.next_open(at("2026-03-07T12:00")) == at("2026-03-08T22:00")
    assert future.next_open(at("2026-10-31T12:00")) == at("2026-11-01T23:00")


def test_a_holiday_is_a_day_like_the_others_in_other_weeks():
    holiday = STOCK.replace("20260722:0930-20260722:1600", "20260722:CLOSED")
    assert weekly(holiday, NEW_YORK) == weekly(STOCK, NEW_YORK)
    short = STOCK.replace("0930-20260724:1600", "0930-20260724:1300")
    assert weekly(short, NEW_YORK) == weekly(STOCK, NEW_YORK)
    assert len(sessions(holiday, NEW_YORK)) == 4, "it is closed all the same"


@pytest.mark.parametrize("closed", [("20", "21", "22"), ("20", "21", "22", "23")])
def test_holidays_may_be_most_of_a_week(closed):
    """The golden week of Tokyo: a feed that is opened in it lives on in the next."""
    hours = STOCK
    for day in closed:
        hours = hours.replace(
            f"202607{day}:0930-202607{day}:1600", f"202607{day}:CLOSED"
        )
    assert weekly(hours, NEW_YORK) == weekly(STOCK, NEW_YORK)
    short = hours.replace("0930-20260724:1600", "0930-20260724:1300")
    assert weekly(short, NEW_YORK).is_open(at("2026-07-28T14:00"))


def test_hours_of_one_day_alone_are_those_of_working_days():
    one = weekly("20260720:0930-20260720:1600", NEW_YORK)
    assert one == weekly(STOCK, NEW_YORK)


def test_where_friday_is_a_day_of_rest_it_stays_one():
    hours = ";".join(
        f"202607{day}:1000-202607{day}:1500" for day in ("19", "20", "21", "22", "23")
    )
    calendar = weekly(f"{hours};20260724:CLOSED;20260725:CLOSED", "Asia/Riyadh")
    assert calendar.is_open(at("2026-07-19T08:00"))
    assert not calendar.is_open(at("2026-07-24T08:00"))


def test_open_around_the_clock():
    days = ";".join(
        f"202607{day}:0000-202607{int(day) + 1}:0000"
        for day in ("19", "20", "21", "22", "23", "24", "25")
    )
    calendar = weekly(days, "UTC")
    assert calendar.weekly == ((0, 7 * 86_400),)


def test_no_hours_is_always_open():
    assert weekly("", NEW_YORK).weekly == ()
    assert weekly("20260725:CLOSED", NEW_YORK).weekly == ()


@pytest.mark.parametrize(
    ("hours", "zone"),
    [
        ("nonsense", NEW_YORK),
        ("20261340:0930-20261340:1600", NEW_YORK),
        ("20260720:2930-20260720:3000", NEW_YORK),
        ("20260722:0930-20260720:1600", NEW_YORK),
        (STOCK, "Nowhere/Else"),
        (STOCK, "../etc"),
    ],
)
def test_hours_that_ib_does_not_document(hours, zone):
    with pytest.raises(BadPayload) as caught:
        weekly(hours, zone)
    assert "\n" not in str(caught.value)


@given(
    st.lists(st.tuples(st.integers(0, 1439), st.integers(0, 1439)), max_size=2),
    st.sampled_from([NEW_YORK, CHICAGO, "Asia/Tokyo", "Europe/London", "UTC"]),
)
def test_a_week_repeats_what_is_told(spans, zone):
    """Any hours make a calendar, that is open where this week's hours are."""
    parts = []
    for back, (start, end) in enumerate(spans):
        if start >= end:
            continue
        day = f"{datetime(2026, 7, 20 + back, tzinfo=UTC):%Y%m%d}"
        parts.append(
            f"{day}:{start // 60:02}{start % 60:02}-{day}:{end // 60:02}{end % 60:02}"
        )
    hours = ";".join(parts)
    calendar = weekly(hours, zone)
    for start_s, end_s in sessions(hours, zone):
        assert calendar.open_seconds(start_s, end_s) == end_s - start_s
    assert all(a[1] < b[0] for a, b in pairwise(sessions(hours, zone)))


def test_a_day_of_the_clocks_change_has_another_length():
    told = sessions("20261101:0000-20261102:0000", NEW_YORK)
    ((start_s, end_s),) = told
    assert end_s - start_s == 25 * 3600
    zone = ZoneInfo(NEW_YORK)
    assert datetime.fromtimestamp(start_s, zone) + timedelta(days=1) == (
        datetime.fromtimestamp(end_s, zone)
    )
