"""Trading hours read off bars, and gaps told apart by them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from piker.msgs import Calendar
from piker.storage import read_foreign
from piker.tsp import OHLCV, find_gaps, infer_hours, list_gaps, open_mask
from tests._data import data_dir
from tests.tsp.test_tsp_bars import ROUND_THE_CLOCK, WEEKDAYS

HISTORY = "history_and_streams"
START = 1_700_000_040 // 604_800 * 604_800


def at(times):
    bars = np.zeros(len(times), OHLCV)
    bars["time"] = times
    return bars


@given(
    st.sampled_from([Calendar(), WEEKDAYS, ROUND_THE_CLOCK]),
    st.integers(0, 604_800 // 60 - 1),
    st.integers(3, 6),
    st.integers(0, 2**32),
)
def test_hours_come_back_from_bars_with_quiet_minutes(calendar, shift, weeks, seed):
    rng = np.random.default_rng(seed)
    first = START + 60 * shift
    every = np.arange(first, first + weeks * 604_800, 60)
    traded = open_mask(calendar, every, 60) & (rng.random(len(every)) > 0.02)
    got = infer_hours(every[traded], 60)
    probe = np.arange(START, START + 604_800, 60)
    assert (open_mask(got, probe, 60) == open_mask(calendar, probe, 60)).mean() > 0.999


@pytest.mark.parametrize("times", [[], [60], list(range(0, 86_400 * 9, 3600))])
def test_too_little_says_nothing(times):
    assert infer_hours(np.array(times, np.int64), 60) == Calendar()


def test_days_have_no_hours():
    assert infer_hours(np.arange(0, 86_400 * 90, 86_400), 86_400) == Calendar()


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
    gaps = list_gaps(bars, 60, infer_hours(bars["time"], 60))
    closed = [g for g in gaps if g.kind == "closed"]
    assert len(gaps) == 375
    assert sorted(g.periods for g in closed) == [60] * 18 + [49 * 60] * 4
    assert sum(g.missing for g in gaps) == 423


def test_holes_of_a_recorded_coin_are_none_of_closed_market():
    bars = read_foreign(
        data_dir() / HISTORY / "freqtrade_btc/UNITTEST_BTC-1m.feather", 60
    ).bars
    gaps = list_gaps(bars, 60, infer_hours(bars["time"], 60))
    assert len(gaps) == 538
    assert {g.kind for g in gaps} == {"missing"}
    assert sum(g.missing for g in gaps) == 717
