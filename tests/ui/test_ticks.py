"""Labels of axes: round, apart, right."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pytest
from hypothesis import example, given, strategies as st

from piker.ui._ticks import DAY_S, Mark, nice_step, price_marks, time_marks, written
from piker.ui._view import Span

TICKS = [
    "0.01",
    "0.25",
    "5",
    "1",
    "0.00000001",
    "0.03125",
    "0.5",
    "0.1",
    "100",
    "0.005",
]
HEIGHTS = st.floats(1, 4000)
LEAST_PX = 42.0


def digits_of(tick: Decimal) -> int:
    return max(0, -int(tick.normalize().as_tuple().exponent))


def is_multiple(price: float, tick: Decimal) -> bool:
    times = price / float(tick)
    return abs(times - round(times)) <= 1e-6 * max(abs(times), 1)


# -- prices ----------------------------------------------------------------------------
@given(st.floats(1e-12, 1e12))
def test_a_nice_step_is_the_least_of_ones_twos_and_fives(least: float):
    step = nice_step(least)
    assert least * (1 - 1e-8) <= step <= 2.5 * least * (1 + 1e-8)
    assert f"{step:.6e}"[:8] in ("1.000000", "2.000000", "5.000000")


def test_a_nice_step_of_what_is_none():
    for odd in (0.0, -1.0, float("nan"), float("inf")):
        assert nice_step(odd) == 1.0
    assert nice_step(5e-324) > 0


@given(
    st.sampled_from(TICKS).map(Decimal),
    st.integers(0, 10**7),
    st.integers(1, 10**6),
    HEIGHTS,
    st.booleans(),
)
def test_price_labels_are_round_apart_and_told_apart(tick, low, more, height, log):
    span = Span(float(tick) * (low + 0.3), float(tick) * (low + 0.3 + more), log)
    marks = price_marks(span, height, tick, digits_of(tick))
    assert all(span.lowest <= mark.at <= span.highest * (1 + 1e-12) for mark in marks)
    assert all(is_multiple(mark.at, tick) for mark in marks)
    ys = [span.fraction(mark.at) * height for mark in marks]
    assert all(up - low >= LEAST_PX * 0.999 for low, up in pairwise(ys))
    texts = [mark.text for mark in marks]
    assert len(set(texts)) == len(texts)
    for mark in marks:
        assert float(mark.text.replace(",", "")) == pytest.approx(mark.at, rel=1e-9)


@example(Decimal("0.03125"), 0, 30)
@given(
    st.sampled_from(TICKS).map(Decimal), st.integers(0, 10**6), st.integers(30, 10**5)
)
def test_an_axis_with_room_has_labels(tick: Decimal, low: int, more: int):
    for log in (False, True):
        span = Span(float(tick) * (low + 1), float(tick) * (low + 1 + more), log)
        assert len(price_marks(span, 500, tick, digits_of(tick))) >= 2, span


@pytest.mark.parametrize(
    ("low", "high", "tick", "texts"),
    [
        (99.9, 101.1, "0.25", ["100.00", "100.25", "100.50", "100.75", "101.00"]),
        (4_000, 4_026, "5", ["4,000", "4,005", "4,010", "4,015", "4,020", "4,025"]),
        (0, 5.2e-7, "0.00000001", ["0.0000000", "0.0000001", "0.0000002", "0.0000003",
                                   "0.0000004", "0.0000005"]),
        (110, 110.4, "0.03125", ["110.000", "110.125", "110.250", "110.375"]),
        (-0.25, 0.25, "0.01", ["-0.2", "-0.1", "0.0", "0.1", "0.2"]),
        (60_000, 62_500, "0.01", ["60,000", "60,500", "61,000", "61,500", "62,000",
                                  "62,500"]),
    ],
)  # fmt: skip
def test_what_labels_say(low: float, high: float, tick: str, texts: list[str]):
    marks = price_marks(Span(low, high), 260, Decimal(tick), digits_of(Decimal(tick)))
    assert [mark.text for mark in marks] == texts


@pytest.mark.parametrize(
    ("low", "high", "height", "texts"),
    [
        (0, 37.8, 45, ["20"]),  # volume: not its lower edge, not 34.3597
        (0, 7.3, 43, ["0", "5"]),
        (58_990, 59_480, 46, ["59,200"]),
        (58_990, 59_480, 70, ["59,000", "59,200", "59,400"]),
        (0.99, 1.002, 32, ["1.00"]),
        (1e6, 1e6 + 3, 30, ["1,000,002"]),
    ],
)
def test_a_label_that_is_alone_is_round(low, high, height, texts):
    marks = price_marks(Span(low, high), height, Decimal("0.000001"), 6, 28)
    assert [mark.text for mark in marks] == texts


@pytest.mark.parametrize(
    ("high", "height", "texts"),
    [
        (99, 500, ["1", "2", "3", "5", "10", "20", "30", "50"]),
        (99, 300, ["1", "2", "5", "10", "20", "50"]),
        (99, 200, ["1", "3", "10", "30"]),
        (1e6, 300, ["1", "10", "100", "1,000", "10,000", "100,000", "1,000,000"]),
        (1e6, 100, ["1", "1,000", "1,000,000"]),
        (10, 1000, ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]),
    ],
)
def test_what_a_log_scale_says(high: float, height: float, texts: list[str]):
    marks = price_marks(Span(1, high, log=True), height, Decimal("0.01"), 2)
    assert [mark.text for mark in marks] == texts


def test_no_label_where_there_is_no_room():
    assert price_marks(Span(0, 1), 41, Decimal("0.01"), 2) == []
    assert price_marks(Span(1, 1), 500, Decimal("0.01"), 2) == []
    assert price_marks(Span(2, 1), 500, Decimal("0.01"), 2) == []
    # a tick above all that is shown
    assert price_marks(Span(1.1, 1.9), 500, Decimal(1), 0) == []


def test_a_log_scale_of_nothing_above_zero_is_labelled_as_any():
    for low in (0.0, -37.0):
        marks = price_marks(Span(low, 20, log=True), 300, Decimal("0.01"), 2)
        texts = [mark.text for mark in marks]
        assert texts[-1] == "20"
        assert "0" in texts


@pytest.mark.parametrize(
    ("price", "digits", "text"),
    [(0.0, 2, "0.00"), (-0.001, 2, "0.00"), (-0.0, 0, "0"), (-0.01, 2, "-0.01"),
     (1234567.891, 2, "1,234,567.89"), (-1234.5, 1, "-1,234.5"),
     (1e-8, 8, "0.00000001")],
)  # fmt: skip
def test_a_price_written(price: float, digits: int, text: str):
    assert written(price, digits) == text


# -- times -----------------------------------------------------------------------------
STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800,
           14_400, 21_600, 43_200)  # fmt: skip
ZONES = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]


def zone_of(name: str) -> tzinfo:
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except ZoneInfoNotFoundError:
        pytest.skip("this machine has no time zones: install tzdata")


def at(text: str, zone: tzinfo = UTC) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp())


def local(time_s: int, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(int(time_s), zone)


def marks_of(
    time_s: np.ndarray, period_s: int, bar_px: float, zone: tzinfo = UTC, start: int = 0
) -> list[Mark]:
    return time_marks(time_s, start, period_s, bar_px, zone)


#: Moments around which clocks are set, or nothing happens.
WHENS = st.sampled_from(
    ["2024-03-31T01:00", "2024-10-27T01:00", "2024-03-10T07:00", "2024-11-03T06:00",
     "2024-04-06T15:00", "2024-10-05T15:30", "2024-07-10T12:34", "2023-12-31T22:00"]
)  # fmt: skip


@given(
    WHENS,
    st.sampled_from(["UTC", *ZONES]),
    st.sampled_from([1, 5, 60, 300, 900, 3600]),
    st.floats(0.05, 40),
    st.integers(-300, 300),
)
def test_times_stand_where_a_clock_shows_round_ones(
    when, zone, period_s, bar_px, shift
):
    """With bars all along: at the bar of each multiple of the step, no other."""
    zone = zone_of(zone)
    n = int(900 / bar_px)
    first = at(when) // period_s * period_s + (shift - n // 2) * period_s
    time_s = first + period_s * np.arange(n + 1)
    marks = marks_of(time_s, period_s, bar_px, zone)
    step_s = next((s for s in STEPS_S if s >= 90 / bar_px * period_s), DAY_S)
    for mark in marks:
        clock = local(time_s[int(mark.at)], zone)
        into_s = clock.hour * 3600 + clock.minute * 60 + clock.second
        # bars of hours stand between those of a clock that is half an hour off
        assert into_s % step_s < period_s
        assert_says(mark, clock, step_s)
    assert_apart(marks, 90 / bar_px)
    # none is missing: but where the clock was set two are closer than a step
    steps = [local(each, zone).utcoffset() for each in (time_s[0], time_s[-1])]
    if steps[0] == steps[1] and step_s < DAY_S:
        offset_s = int(steps[0].total_seconds())
        count = (time_s[-1] + offset_s) // step_s - (time_s[0] - 1 + offset_s) // step_s
        assert len(marks) == count


def assert_says(mark: Mark, clock: datetime, step_s: float) -> None:
    """Its text is of the bar that it stands at, whatever part of it is told."""
    told = {f"{clock:%H:%M}", f"{clock:%H:%M:%S}", f"{clock.day} {clock:%b}",
            f"{clock:%b}", f"{clock:%Y}"}  # fmt: skip
    assert mark.text in told
    if ":" in mark.text:
        assert not mark.is_major
        assert mark.text.count(":") == (2 if step_s < 60 else 1)


def assert_apart(marks: list[Mark], least: float) -> None:
    ats = [mark.at for mark in marks]
    assert ats == sorted(ats)
    assert all(b - a >= least * 0.9 for a, b in pairwise(ats))


@given(
    st.sampled_from(["UTC", *ZONES]),
    st.sampled_from([1, 60, 300, 3600, 4 * 3600, DAY_S, 7 * DAY_S]),
    st.floats(0.05, 40),
    st.integers(0, 10**6),
    st.integers(-(10**6), 10**6),
)
def test_labels_of_sessions_are_apart_and_right(zone, period_s, bar_px, skip, start):
    """A stock's hours, 9:30 to 16:00 in New York on weekdays."""
    zone = zone_of(zone)
    n = int(900 / bar_px)
    span_s = n * period_s * 6
    first = (at("2023-11-20T00:00") + skip * 60) // period_s * period_s
    time_s = np.arange(first, first + span_s, period_s)
    if period_s < DAY_S:
        into_day = (time_s - 5 * 3600) % DAY_S
        weekday = (time_s // DAY_S + 3) % 7
        is_open = (into_day >= 34_200) & (into_day < 57_600) & (weekday < 5)
        time_s = time_s[is_open]
    time_s = time_s[:n]
    marks = marks_of(time_s, period_s, bar_px, zone, start)
    assert_apart(marks, 90 / bar_px)
    clock_zone = UTC if period_s >= DAY_S else zone
    for mark in marks:
        row = int(mark.at) - start
        now = local(time_s[row], clock_zone)
        before = local(time_s[row - 1] if row else time_s[0] - 1, clock_zone)
        coarsest = (
            f"{now:%Y}" if now.year != before.year
            else f"{now:%b}" if now.month != before.month
            else f"{now.day} {now:%b}" if now.day != before.day
            else f"{now:%H:%M}"
        )  # fmt: skip
        assert mark.text.startswith(coarsest)


@given(st.lists(st.integers(1, 10**7), min_size=1, max_size=60), st.floats(0.01, 100))
def test_bars_far_apart_are_labelled_all_the_same(gaps: list[int], bar_px: float):
    time_s = 1_700_000_000 + np.cumsum(gaps)
    marks = marks_of(time_s, 1, bar_px)
    assert_apart(marks, 90 / bar_px)
    for mark in marks:
        assert_says(mark, local(time_s[int(mark.at)], UTC), 0 if ":" in mark.text and
                    mark.text.count(":") == 2 else 60)  # fmt: skip


def times(marks: list[Mark]) -> list[str]:
    return [f"{mark.text}{'!' * mark.is_major}" for mark in marks]


def test_minutes_of_a_day_break():
    time_s = at("2024-05-31T22:00") + 60 * np.arange(240)
    assert times(marks_of(time_s, 60, 3.0)) == [
        "22:00", "22:30", "23:00", "23:30", "Jun!", "00:30", "01:00", "01:30",
    ]  # fmt: skip


def test_a_session_begins_with_its_day_and_its_own_time():
    zone = zone_of("America/New_York")
    time_s = np.concatenate([at(f"2024-06-{day}T09:30", zone) + 60 * np.arange(390)
                             for day in ("06", "07", "10")])  # fmt: skip
    marks = marks_of(time_s, 60, 0.5, zone)
    # those of a day's noon would stand too close to where it begins
    assert times(marks) == ["12:00", "7 Jun!", "10 Jun!", "15:00"]
    assert [mark.at for mark in marks if mark.is_major] == [390, 780]
    marks = marks_of(time_s, 60, 2.5, zone)
    assert times(marks)[5:8] == ["15:00", "7 Jun!", "11:00"]


def test_a_pause_at_noon_is_said_by_the_time_trading_goes_on():
    morning, noon = at("2024-06-06T10:00"), at("2024-06-06T13:10")
    time_s = np.concatenate([morning + 60 * np.arange(90), noon + 60 * np.arange(90)])
    assert times(marks_of(time_s, 60, 6.0)) == [
        "10:00", "10:15", "10:30", "10:45", "11:00", "11:15", "13:10", "13:30",
        "13:45", "14:00", "14:15", "14:30",
    ]  # fmt: skip


def test_a_year_of_days():
    time_s = at("2023-07-01T00:00") + DAY_S * np.arange(420)
    assert times(marks_of(time_s, DAY_S, 4.0)) == [
        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "2024!", "Feb", "Mar", "Apr", "May",
        "Jun", "Jul", "Aug",
    ]  # fmt: skip


def test_weeks_of_days_name_their_months():
    time_s = at("2024-05-25T00:00") + DAY_S * np.arange(45)
    assert times(marks_of(time_s, DAY_S, 14.0)) == [
        "Jun!", "10 Jun", "17 Jun", "24 Jun", "Jul!", "8 Jul",
    ]  # fmt: skip


def test_days_are_of_utc_wherever_one_looks():
    time_s = at("2023-12-20T00:00") + DAY_S * np.arange(30)
    zone = zone_of("America/New_York")
    assert times(marks_of(time_s, DAY_S, 45.0, zone)) == times(
        marks_of(time_s, DAY_S, 45.0)
    )
    assert "2024!" in times(marks_of(time_s, DAY_S, 45.0, zone))


def test_the_first_session_of_a_year_is_named_for_it():
    """Markets were closed at New Year."""
    time_s = np.array([at("2023-12-29T00:00"), at("2024-01-02T00:00")])
    assert times(marks_of(time_s, DAY_S, 100.0)) == ["29 Dec", "2024!"]


def test_the_clock_is_set_back():
    """From 3:00 to 2:00: two is shown twice, and the hours go on."""
    zone = zone_of("Europe/Berlin")
    time_s = at("2024-10-26T23:00") + 60 * np.arange(300)
    marks = marks_of(time_s, 60, 1.5, zone)
    assert times(marks) == ["01:00", "02:00", "02:00", "03:00", "04:00"]
    marks = marks_of(time_s, 60, 1.0, zone)
    assert times(marks)[-2:] == ["02:00", "04:00"]


def test_the_clock_is_set_forward():
    zone = zone_of("Europe/Berlin")
    time_s = at("2024-03-30T23:00") + 60 * np.arange(300)
    assert times(marks_of(time_s, 60, 1.5, zone)) == [
        "31 Mar!", "01:00", "03:00", "04:00", "05:00"][:5]  # fmt: skip
    half = zone_of("Australia/Lord_Howe")
    time_s = at("2024-10-05T14:00") + 60 * np.arange(300)
    assert times(marks_of(time_s, 60, 1.5, half)) == [
        "01:00", "03:00", "04:00", "05:00"]  # fmt: skip


def test_no_bars_no_labels():
    assert marks_of(np.empty(0, np.int64), 60, 6.0) == []


def test_a_hole_of_years_costs_nothing(monkeypatch):
    """Seconds around a hole: no clock is asked for each quarter minute of it."""
    calls = []
    import piker.ui._ticks as ticks

    monkeypatch.setattr(ticks, "_next_second", counted(ticks._next_second, calls))
    time_s = np.concatenate([np.arange(70), 10**8 + np.arange(70)])
    marks = marks_of(time_s, 1, 6.0)
    assert_apart(marks, 15)
    assert len(marks) > 5
    assert len(calls) < 30
    calls.clear()
    marks = marks_of(np.arange(0, 86_400 * 5000, 86_400), 1, 0.2)
    assert_apart(marks, 450)
    assert len(marks) > 3
    assert len(calls) < 1100


def counted(function, calls: list):
    def counting(*args):
        calls.append(args)
        return function(*args)

    return counting
