"""A chart as values: what is drawn, how it is fitted, and where time is missing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from piker.msgs import Calendar
from piker.ui._chart import STYLES, Chart
from piker.ui._m4 import Columns, bars_a_column, group
from piker.ui._overlay import Overlay
from piker.ui._series import Series
from piker.ui._study import Study
from piker.ui._view import Span, View
from piker.ui.indicators import Indicator, Wanted, parse
from tests.ui._bars import MONDAY_S, market, series_of, series_walk, walk

HOUR_S, DAY_S = 3600, 86_400
NAMES = ("index", "open", "high", "low", "close", "volume")


def told(columns: Columns) -> list[tuple]:
    arrays = [getattr(columns, name).tolist() for name in NAMES]
    return list(zip(*arrays, strict=True))


def chart_of(series: Series, left: float, right: float, width: float = 800.0) -> Chart:
    return Chart(series, View(left, right, width))


# -- what is drawn ---------------------------------------------------------------------
@given(
    st.integers(0, 400),
    st.integers(-50, 50),
    st.floats(-300, 500),
    st.floats(5, 500),
    st.floats(10, 400),
)
def test_what_is_drawn_is_the_columns_in_sight(n, start, left, bars, width):
    series = series_walk(n, start=start)
    chart = chart_of(series, left, left + bars, width)
    still, tip = drawn = chart.drawn()
    k = bars_a_column(chart.view.right - chart.view.left, width)
    first, end = chart.view.bars()
    assert told(drawn.all) == told(group(series, first, end, k))
    assert told(still) + told(tip) == told(drawn.all)
    assert len(drawn.all) <= width + 3
    if len(tip):
        assert len(tip) == 1
        assert tip.close[0] == series.close[-1]
        assert (series.end - 1) // k == int(tip.index[0]) // k
    elif len(series):
        newest = (series.end - 1) // k
        assert newest not in [i // k for i in still.index.tolist()]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["tick", "grow", "prepend", "trim", "pan", "zoom", "other"]
            ),
            st.integers(1, 60),
        ),
        max_size=30,
    ),
    st.floats(50, 300),
)
def test_what_is_kept_of_it_is_never_stale(steps, width):
    source = walk(MONDAY_S + 60 * np.arange(6000))
    lo, hi = 3000, 3100
    series = series_of(source[lo:hi])
    chart = chart_of(series, 0.0, 120.0, width)
    for what, n in steps:
        if what == "tick":
            source["close"][hi - 1] += 0.01
            series.splice(source[hi - 1 : hi])
        elif what == "grow":
            hi += n
            series.splice(source[hi - n - 1 : hi])
        elif what == "prepend":
            series.prepend(source[lo - n : lo])
            lo -= n
        elif what == "trim":
            series.trim(n * 5)
            lo = hi - len(series)
        elif what == "pan":
            chart.view.pan(n * 10.0 - 300, 0.0, series.start, series.end)
        elif what == "zoom":
            chart.view.zoom(n / 30)
        else:
            # another series may be as long, and have changed as often
            chart.series = series = series_of(walk(MONDAY_S + 60 * np.arange(9), n))
            source = walk(MONDAY_S - 180_000 + 60 * np.arange(6000), n)
            lo, hi = 3000, 3009
            series.splice(source[lo:hi])
        first, end = chart.view.bars()
        k = bars_a_column(chart.view.right - chart.view.left, width)
        assert told(chart.drawn().all) == told(group(series, first, end, k))


def test_a_tick_leaves_what_stands_still_as_it_is():
    series = series_walk(100)
    chart = chart_of(series, 0.0, 110.0, 50.0)
    still = chart.drawn().still
    bars = walk(MONDAY_S + 60 * np.arange(101), seed=3)
    series.splice(bars[99:100])
    drawn = chart.drawn()
    assert drawn.still is still
    assert drawn.tip.close[0] == bars["close"][99]
    series.splice(bars[100:])
    assert chart.drawn().still is not still


# -- how -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("bar_px", "drawn_as"), [(6, "candles"), (4, "candles"), (3.9, "bars"), (2, "bars"),
                             (1.9, "line"), (0.01, "line")]
)  # fmt: skip
def test_bars_are_drawn_as_there_is_room(bar_px: float, drawn_as: str):
    chart = chart_of(series_walk(10), 0.0, 800 / bar_px)
    assert chart.drawn_as == drawn_as
    for style in STYLES:
        chart.style = style
        assert chart.drawn_as == (drawn_as if style == "auto" else style)


def test_the_bar_below_the_mouse():
    chart = chart_of(series_walk(10, start=-3), -5.0, 15.0)
    for row in range(10):
        for off in (-0.4, 0.0, 0.4):
            assert chart.row_at(chart.view.x(row - 3 + off)) == row
    assert chart.row_at(chart.view.x(-3.6)) is None
    assert chart.row_at(chart.view.x(6.6)) is None
    assert chart_of(series_walk(0), 0, 10).row_at(5.0) is None


# -- fitting ---------------------------------------------------------------------------
@given(st.integers(1, 300), st.floats(-20, 280), st.floats(5, 300), st.booleans())
def test_all_that_is_shown_fits(n: int, left: float, bars: float, log: bool):
    series, other = series_walk(n), series_walk(300, seed=5)
    chart = chart_of(series, left, left + bars)
    chart.overlays = [Overlay(other), Overlay(series_walk(0))]
    chart.view.span.log = log
    chart.fit()
    shown, span = chart.drawn().all, chart.view.span
    if not len(shown):
        return
    line = Overlay(other).line(series, shown)
    assert span.lowest < min(shown.low.min(), line.min())
    assert span.highest > max(shown.high.max(), line.max())
    assert chart.volume.lowest == 0.0
    assert chart.volume.highest > shown.volume.max()


def test_a_line_over_the_prices_begins_where_they_do():
    """It is told of all columns at once: the newest one isn't a beginning."""
    series = series_walk(100)
    bars = walk(MONDAY_S + 60 * np.arange(100), seed=1)
    bars["close"][:-1], bars["close"][-1] = (
        50.0,
        100.0,
    )  # it doubles with the newest bar
    chart = chart_of(series, 0.0, 110.0)
    chart.overlays = [Overlay(series_of(bars))]
    chart.fit()
    assert chart.view.span.highest > 2 * series.close[0]


def test_prices_set_by_hand_stay():
    chart = chart_of(series_walk(50), 0.0, 60.0)
    chart.view.fits = False
    chart.view.span = Span(5.0, 6.0)
    chart.fit()
    assert (chart.view.span.lowest, chart.view.span.highest) == (5.0, 6.0)
    assert chart.volume.highest > 1


def test_a_market_that_stands_still_is_shown_some_ticks_high():
    bars = walk(MONDAY_S + 60 * np.arange(10))
    for name in ("open", "high", "low", "close"):
        bars[name] = 100.0
    bars["volume"] = 0.0
    chart = Chart(series_of(bars, tick="0.25"), View(0, 20))
    chart.fit()
    assert chart.view.span.highest - chart.view.span.lowest >= 1.0
    assert chart.view.span.fraction(100.0) == pytest.approx(0.5)
    assert chart.volume.highest > chart.volume.lowest


def test_where_no_bar_is_in_sight_nothing_is_fitted():
    chart = chart_of(series_walk(10), 100.0, 200.0)
    chart.view.span = Span(5.0, 6.0)
    chart.fit()
    assert (chart.view.span.lowest, chart.view.span.highest) == (5.0, 6.0)


def test_an_empty_chart_can_be_drawn():
    chart = Chart(Series(market(), 60))
    chart.studies = [Study(parse("rsi"))]
    chart.fit()
    assert len(chart.drawn().all) == 0
    assert list(chart.gaps()) == []


def test_strips_are_fitted_and_studies_kept_up():
    series = series_walk(50)
    chart = chart_of(series, 0.0, 60.0)
    chart.studies = [Study(parse("dollar")), Study(parse("ema:3"))]
    for study in chart.studies:
        study.update(series)
    chart.fit()
    paid = chart.studies[0]
    assert paid.span.highest > paid.lines["paid"].max()
    bars = walk(MONDAY_S + 60 * np.arange(52))
    change = series.splice(bars[49:])
    assert change is not None
    left = chart.view.left
    chart.take(change)
    assert chart.view.left == left + 2
    assert all(
        len(line) == 52 for each in chart.studies for line in each.lines.values()
    )
    chart.view.pan(10_000.0, 0.0, series.start, series.end)
    left = chart.view.left
    change = series.splice(walk(MONDAY_S + 60 * np.arange(60))[51:])
    assert change is not None
    chart.take(change)
    assert chart.view.left == left


def test_a_study_that_fails_holds_nothing_else_up():
    series = series_walk(50)
    chart = chart_of(series, 0.0, 60.0)
    odd = Indicator("odd", lambda bars: {"a": bars.close[1:]}, place="own")
    chart.studies = [Study(Wanted(odd, {})), Study(parse("ema:3"))]
    change = series.splice(walk(MONDAY_S + 60 * np.arange(52))[49:])
    assert change is not None
    chart.take(change)
    chart.fit()
    assert "'odd' gave" in chart.studies[0].trouble
    assert len(chart.studies[1].lines["ema"]) == 52


# -- missing time ----------------------------------------------------------------------
#: Weekdays 13:30 to 20:00 UTC.
SESSIONS = Calendar(
    weekly=tuple(
        (d * DAY_S + 13 * HOUR_S + 1800, d * DAY_S + 20 * HOUR_S) for d in range(5)
    )
)


def session(day: int, minutes: range = range(390)) -> np.ndarray:
    return MONDAY_S + day * DAY_S + 13 * HOUR_S + 1800 + 60 * np.array(minutes)


def test_closed_hours_are_no_gaps():
    times = np.concatenate(
        [session(0), session(1, range(100)), session(1, range(130, 390)), session(4),
         session(7)]
    )  # fmt: skip
    chart = chart_of(series_of(walk(times), start=-100), -100.0, 1700.0)
    chart.calendar = SESSIONS
    # the night after Monday; half an hour; Wednesday and Thursday; a weekend
    assert list(chart.gaps()) == [(290, False), (390, True), (650, True), (1040, False)]
    chart.calendar = Calendar()
    assert [is_gap for _, is_gap in chart.gaps()] == [True] * 4


def test_gaps_in_sight_only_and_where_bars_are_told_apart():
    times = np.concatenate([session(0), session(1), session(2)])
    chart = chart_of(series_of(walk(times)), 380.0, 400.0)
    chart.calendar = SESSIONS
    assert list(chart.gaps()) == [(390, False)]
    chart.view.left, chart.view.right = 390.0, 410.0
    assert list(chart.gaps()) == [(390, False)]
    chart.view.left, chart.view.right = 391.0, 411.0
    assert list(chart.gaps()) == []
    chart.view.left, chart.view.right = 0.0, 3300.0
    assert list(chart.gaps()) == []


@given(st.lists(st.integers(1, 4), min_size=1, max_size=60), st.integers(-9, 9))
def test_each_gap_is_found(gaps: list[int], start: int):
    times = MONDAY_S + 60 * np.cumsum(gaps)
    chart = chart_of(series_of(walk(times), start=start), -20.0, 80.0)
    expected = [(start + i, True) for i, gap in enumerate(gaps) if i and gap > 1]
    assert list(chart.gaps()) == expected
