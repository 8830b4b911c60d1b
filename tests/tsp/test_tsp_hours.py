"""Gaps, and which of them are closed market by what other weeks show."""

from __future__ import annotations

from itertools import chain, groupby

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from piker.msgs import Calendar
from piker.storage import read_foreign
from piker.tsp import OHLCV, _hours, find_gaps, list_gaps, open_mask
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


@pytest.mark.parametrize("calendar", [Calendar(), WEEKDAYS, ROUND_THE_CLOCK])
@pytest.mark.parametrize("days", [8, 21, 45])
def test_an_outage_of_weeks_is_no_evidence_that_the_market_was_closed(calendar, days):
    every = np.arange(START, START + 14 * WEEK_S, 60)
    is_open = open_mask(calendar, every, 60)
    first = START + 4 * WEEK_S + 3600 * 31
    is_lost = (every >= first) & (every < first + days * 86_400)
    is_lost |= (every >= START + 12 * WEEK_S) & (every < START + 13 * WEEK_S + 60)
    times = every[is_open & ~is_lost]
    gaps = list_gaps(at(times), 60, "observed")
    is_within = (every > times[0]) & (every < times[-1])
    assert sum(g.missing for g in gaps) == np.count_nonzero(
        is_within & is_open & is_lost
    )
    long = [g for g in gaps if g.end_s - g.start_s > WEEK_S]
    assert [g.kind for g in long] == ["missing"] * 2
    assert {g.kind for g in gaps if g not in long} <= {"closed"}


def test_weeks_beyond_two_outages_tell_the_hours_in_both():
    every = np.arange(START, START + 12 * WEEK_S, 60)
    is_open = open_mask(WEEKDAYS, every, 60)
    into = every - START
    is_lost = (into >= 3 * WEEK_S) & (into < 9 * WEEK_S)
    alone = np.flatnonzero(is_open & is_lost & (into > 6 * WEEK_S))[0]
    is_lost[alone] = False
    gaps = list_gaps(at(every[is_open & ~is_lost]), 60, "observed")
    assert sum(g.missing for g in gaps) == np.count_nonzero(is_open & is_lost)


@given(st.integers(31, 4000), st.integers(0, 2))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_closed_run_counts_wherever_chunks_are_cut(monkeypatch, chunk, week):
    every = np.arange(START, START + 5 * WEEK_S, 60)
    first = START + week * WEEK_S + 7777 * 60
    is_lost = (every >= first) & (every < first + 9 * 86_400)
    bars = at(every[open_mask(ROUND_THE_CLOCK, every, 60) & ~is_lost])
    want = list_gaps(bars, 60, "observed")
    with monkeypatch.context() as patch:
        patch.setattr(_hours, "_CHUNK", chunk)
        assert list_gaps(bars, 60, "observed") == want


@given(
    st.lists(st.lists(st.booleans(), max_size=9), max_size=6),
    st.integers(0, 5),
)
def test_long_runs_are_those_of_a_naive_walk(chunks, least):
    got = _hours._count_long_runs((np.array(c, bool) for c in chunks), least)
    runs = [len(list(r)) for flag, r in groupby(chain(*chunks)) if flag]
    assert got == sum(n for n in runs if n >= least)


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
