"""Gaps, and which of them are closed market by what other weeks show."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from piker.msgs import Calendar
from piker.storage import read_foreign
from piker.tsp import OHLCV, find_gaps, list_gaps, open_mask
from tests._data import data_dir
from tests.tsp.test_tsp_bars import ROUND_THE_CLOCK, WEEKDAYS

HISTORY = "history_and_streams"
WEEK_S = 604_800
START = 1_700_000_040 // WEEK_S * WEEK_S


def at(times):
    bars = np.zeros(len(times), OHLCV)
    bars["time"] = times
    return bars


@given(
    st.sampled_from([Calendar(), WEEKDAYS, ROUND_THE_CLOCK]),
    st.integers(0, WEEK_S // 60 - 1),
    st.integers(3, 6),
    st.integers(0, 2**32),
)
def test_closed_is_told_from_quiet_minutes(calendar, shift, weeks, seed):
    rng = np.random.default_rng(seed)
    first = START + 60 * shift
    every = np.arange(first, first + weeks * WEEK_S, 60)
    is_open = open_mask(calendar, every, 60)
    traded = every[is_open & (rng.random(len(every)) > 0.02)]
    gaps = list_gaps(at(traded), 60, "observed")
    within = every[(every > traded[0]) & (every < traded[-1])]
    really = np.count_nonzero(open_mask(calendar, within, 60)) - (len(traded) - 2)
    assert abs(sum(gap.missing for gap in gaps) - really) <= 0.02 * really + 30


def test_a_clock_set_for_summer_leaves_breaks_closed():
    every = np.arange(START, START + 10 * WEEK_S, 60)
    break_h = np.where(every < START + 5 * WEEK_S, 22, 21)
    traded = every[every // 3600 % 24 != break_h]
    gaps = list_gaps(at(traded), 60, "observed")
    assert len(gaps) == 70
    assert sum(gap.kind == "closed" for gap in gaps) == 70


def test_one_odd_bar_in_a_weekend_opens_no_other():
    every = np.arange(START, START + 8 * WEEK_S, 60)
    traded = every[open_mask(WEEKDAYS, every, 60)]
    odd = START + 4 * WEEK_S + 5 * 86_400  # the epoch was a Thursday
    while open_mask(WEEKDAYS, np.array([odd]), 60)[0]:
        odd += 3600
    gaps = list_gaps(at(np.union1d(traded, odd)), 60, "observed")
    assert {gap.kind for gap in gaps} == {"closed"}


@pytest.mark.parametrize(
    "times", [[60], [60, 600], range(0, 86_400 * 30, 3600), range(0, WEEK_S, 60)]
)
def test_too_little_to_tell_is_open(times):
    gaps = list_gaps(at(list(times)), 60, "observed")
    assert all(gap.kind == "missing" for gap in gaps)


def test_days_have_no_hours_and_a_long_hole_takes_no_memory():
    days = np.arange(0, 86_400 * 90, 86_400)
    weekdays = at(days[days // 86_400 % 7 < 5])
    assert {g.kind for g in list_gaps(weekdays, 86_400, "observed")} == {"missing"}
    years = at([0, 20 * 365 * 86_400])
    for hours in (None, WEEKDAYS, "observed"):
        (gap,) = list_gaps(years, 60, hours)
        assert gap.periods == 20 * 365 * 1440 - 1
    (gap,) = list_gaps(years, 60, WEEKDAYS)
    assert gap.missing == WEEKDAYS.open_seconds(60, 20 * 365 * 86_400) // 60


@given(st.sets(st.integers(0, 300), min_size=1))
def test_gaps_of_both_kinds_are_those_of_a_naive_walk(minutes):
    calendar = Calendar(weekly=((345_600, 345_600 + 60 * 100),))  # from the epoch on
    times = sorted(60 * m for m in minutes)
    got = list_gaps(at(times), 60, calendar)
    walk = [t for t in range(times[0], times[-1], 60) if t not in times]
    assert sum(g.periods for g in got) == len(walk)
    assert sum(g.missing for g in got) == sum(calendar.is_open(t) for t in walk)
    assert [(g.start_s, g.end_s) for g in got] == find_gaps(at(times), 60)
    assert all((g.kind == "closed") is (g.missing == 0) for g in got)


def test_the_breaks_of_a_recorded_future_are_closed_market():
    name = "cme_6e_1m/6EH4.XCME_1min_bars_20240101_20240131.csv.gz"
    bars = read_foreign(data_dir() / HISTORY / name, 60).bars
    gaps = list_gaps(bars, 60, "observed")
    closed = [g for g in gaps if g.kind == "closed"]
    assert len(gaps) == 375
    assert sorted(g.periods for g in closed) == [60] * 18 + [49 * 60] * 4
    assert sum(g.missing for g in gaps) == 423


def test_holes_of_a_recorded_coin_are_none_of_closed_market():
    bars = read_foreign(
        data_dir() / HISTORY / "freqtrade_btc/UNITTEST_BTC-1m.feather", 60
    ).bars
    gaps = list_gaps(bars, 60, "observed")
    assert len(gaps) == 538
    assert {g.kind for g in gaps} == {"missing"}
    assert sum(g.missing for g in gaps) == 717
