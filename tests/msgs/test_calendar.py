"""Trading hours, against a naive reading of the same spans."""

import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, strategies as st

from piker.msgs import Calendar, zone_shifts
from piker.msgs._calendar import WEEK_S

_MONDAY = 4 * 86_400
HOUR = 3600
#: Sunday 22:00 to Friday 21:00 with an hour's break each day, like a CME future.
CME = Calendar(
    weekly=(
        *((d * 24 * HOUR, (d * 24 + 21) * HOUR) for d in range(1)),
        *(((d * 24 - 2) * HOUR, (d * 24 + 21) * HOUR) for d in range(1, 5)),
        ((6 * 24 + 22) * HOUR, WEEK_S),
    )
)


def _naive_open(calendar, time_s):
    into = (time_s - _MONDAY) % WEEK_S
    return not calendar.weekly or any(
        start <= into < end for start, end in calendar.weekly
    )


@st.composite
def _calendars(draw):
    # Few and near edges, so that the naive walk stays short and borders are met.
    edges = draw(st.lists(st.integers(0, 40), unique=True, max_size=8).map(sorted))
    tail = draw(st.booleans())
    spans = list(zip(edges[::2], edges[1::2], strict=False))
    if tail:
        spans.append((WEEK_S - 20, WEEK_S - draw(st.integers(0, 19))))
    return Calendar(weekly=tuple(spans))


_weeks = st.integers(-3, 3)


@given(_calendars(), _weeks, st.integers(-60, 60))
def test_opens_and_closes_like_the_naive_walk(calendar, week, into):
    now = _MONDAY + week * WEEK_S + into
    assert calendar.is_open(now) == _naive_open(calendar, now)
    after, before = calendar.next_open(now), calendar.prev_open(now)
    assert before <= now <= after
    assert _naive_open(calendar, after)
    assert _naive_open(calendar, before)
    gap = range(before + 1, after)
    if len(gap) < 200:
        assert not any(_naive_open(calendar, t) for t in gap if t != now)
    else:  # nothing opens in the long middle: no span lies there
        assert not any(_naive_open(calendar, t) for t in (*gap[:100], *gap[-100:]))


@given(_calendars(), _weeks, st.integers(-60, 60), st.integers(-10, 150))
def test_open_seconds_like_the_naive_count(calendar, week, into, length):
    start = _MONDAY + week * WEEK_S + into
    naive = sum(_naive_open(calendar, t) for t in range(start, start + length))
    assert calendar.open_seconds(start, start + length) == naive


@given(_calendars(), st.lists(st.integers(-(10**10), 10**10), min_size=3, max_size=3))
def test_open_seconds_add_up(calendar, times):
    a, b, c = sorted(times)
    whole = calendar.open_seconds(a, c)
    assert whole == calendar.open_seconds(a, b) + calendar.open_seconds(b, c)
    assert 0 <= whole <= c - a
    a_week = sum(end - start for start, end in calendar.weekly) or WEEK_S
    assert calendar.open_seconds(a, a + WEEK_S) == a_week


def test_a_futures_week():
    monday = _MONDAY + 2900 * WEEK_S
    assert CME.open_seconds(monday, monday + WEEK_S) == (21 + 4 * 23 + 2) * HOUR
    friday_close = monday + (4 * 24 + 21) * HOUR
    sunday_open = monday + (6 * 24 + 22) * HOUR
    assert not CME.is_open(friday_close)
    assert CME.is_open(friday_close - 1)
    assert CME.next_open(friday_close) == sunday_open
    assert CME.prev_open(sunday_open - 1) == friday_close - 1
    assert CME.open_seconds(friday_close, sunday_open) == 0
    assert CME.is_open(monday - 1)  # the week's end and the next one's start touch
    assert CME.is_open(monday)


def test_no_spans_is_always_open():
    always = Calendar()
    assert always.is_open(-5)
    assert (always.next_open(7), always.prev_open(7)) == (7, 7)
    assert always.open_seconds(3, 10) == 7
    assert always.open_seconds(10, 3) == 0


def test_far_apart_costs_nothing():
    began = time.process_time()
    CME.open_seconds(-(10**15), 10**15)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "weekly",
    [
        ((5, 5),), ((9, 5),), ((-1, 5),), ((0, WEEK_S + 1),), ((0, 9), (8, 12)),
        ((20, 30), (0, 5)),
    ],
)  # fmt: skip
def test_wrong_spans_are_refused(weekly):
    with pytest.raises(ValueError, match="weekly spans must ascend, be disjoint and"):
        Calendar(weekly=weekly)
    with pytest.raises(msgspec.ValidationError, match="weekly spans must ascend"):
        msgspec.convert({"weekly": weekly}, Calendar)


def test_survives_the_wire():
    assert CME.is_open(_MONDAY)  # what is cached stays at home
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(CME), type=Calendar) == CME


# -- by the clocks of a place ----------------------------------------------------------

NEW_YORK = Calendar(
    weekly=tuple(((d * 24 + 9) * HOUR + 1800, (d * 24 + 16) * HOUR) for d in range(5)),
    zone="America/New_York",
)
_ZONES = ["America/New_York", "Europe/London", "Australia/Sydney", "Asia/Tokyo"]


def _by_clocks(calendar, time_s):
    there = datetime.fromtimestamp(time_s, ZoneInfo(calendar.zone))
    into = there.weekday() * 86_400 + there.hour * HOUR
    into += there.minute * 60 + there.second
    return any(start <= into < end for start, end in calendar.weekly)


def _at(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("day", "opens"),
    [("2026-03-06", "14:30"), ("2026-03-09", "13:30"), ("2026-10-30", "13:30"),
     ("2026-11-02", "14:30"), ("1999-07-01", "13:30"), ("2099-01-08", "14:30")],
)  # fmt: skip
def test_an_exchange_opens_by_its_own_clocks(day, opens):
    opens_s = _at(f"{day}T{opens}")
    assert NEW_YORK.next_open(_at(day)) == opens_s
    assert NEW_YORK.prev_open(opens_s + 20 * HOUR) == opens_s + 23_400 - 1
    assert NEW_YORK.open_seconds(_at(day), opens_s + HOUR) == HOUR


def test_a_week_in_which_clocks_change_is_as_long_as_others():
    for monday in ("2026-03-02", "2026-03-09", "2026-10-26", "2026-07-20"):
        begins_s = _at(monday)
        assert NEW_YORK.open_seconds(begins_s, begins_s + WEEK_S) == 5 * 23_400


@st.composite
def _near_a_change(draw):
    """A calendar with edges in the night of a change, and times around it."""
    zone = draw(st.sampled_from(_ZONES))
    edges = draw(st.lists(st.integers(0, 48 * 4), unique=True, max_size=8).map(sorted))
    spans = [
        (5 * 86_400 + 900 * a, 5 * 86_400 + 900 * b)
        for a, b in zip(edges[::2], edges[1::2], strict=False)
    ]
    changes = [at for at in zone_shifts(zone)[0] if at > 0] or [_at("2026-03-08")]
    change = draw(st.sampled_from(changes[-120:]))
    calendar = Calendar(weekly=tuple(spans) or ((0, HOUR),), zone=zone)
    return calendar, change + 900 * draw(st.integers(-60, 60))


@given(_near_a_change(), st.integers(0, 120))
def test_around_a_change_of_clocks_like_the_naive_walk(made, length):
    calendar, start_s = made
    steps = [start_s + 900 * nth for nth in range(length)]
    naive = [_by_clocks(calendar, at) for at in steps]
    assert [calendar.is_open(at) for at in steps] == naive
    assert calendar.open_seconds(start_s, start_s + 900 * length) == 900 * sum(naive)
    if any(naive):
        assert calendar.next_open(start_s) == steps[naive.index(True)]
        last = steps[len(naive) - 1 - naive[::-1].index(True)]
        assert calendar.prev_open(start_s + 900 * length - 1) == last + 899


@pytest.mark.parametrize("zone", ["Nowhere/Else", "../etc", "/etc/passwd"])
def test_a_zone_that_is_none_is_refused(zone):
    with pytest.raises(ValueError, match="no time zone is called"):
        Calendar(zone=zone)
