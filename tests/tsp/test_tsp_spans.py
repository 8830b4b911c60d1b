"""Spans and runs of bars, each against a walk over all periods."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, strategies as st

from piker.msgs import Calendar
from piker.tsp import OHLCV, between, find_nulls, is_news, missing_spans, without

PERIOD_S = 60
#: From the epoch on, which is a Thursday: 20 minutes open, 15 closed, 25 open.
HOURS = Calendar(weekly=((345_600, 346_800), (347_700, 349_200)))

calendars = st.sampled_from([None, Calendar(), HOURS])
minutes = st.integers(-3, 63).map(lambda m: PERIOD_S * m)
times = st.sets(minutes).map(sorted)


def runs_of(periods):
    """Return runs of consecutive periods, ascending ones, as lists."""
    runs = []
    for time_s in periods:
        if runs and time_s == runs[-1][-1] + PERIOD_S:
            runs[-1].append(time_s)
        else:
            runs.append([time_s])
    return runs


def is_open(calendar, time_s):
    return calendar is None or calendar.is_open(time_s)


def span_of(run):
    return run[0], run[-1] + PERIOD_S


@st.composite
def spans(draw):
    """Draw disjoint, ascending spans; some touch."""
    edges = sorted(draw(st.sets(minutes, max_size=8)))
    if draw(st.booleans()):
        return list(pairwise(edges))
    return list(zip(edges[::2], edges[1::2], strict=False))


@st.composite
def bars(draw, ordered=True):
    """Draw bars of different minutes, few of them alike, many flat or untraded."""
    taken = draw(times if ordered else times.flatmap(st.permutations))
    rows = np.zeros(len(taken), OHLCV)
    for row, time_s in zip(rows, taken, strict=True):
        row["time"] = time_s
        row["open"] = row["low"] = row["close"] = 1.0
        row["high"] = draw(st.sampled_from([1.0, 1.0, 2.0]))
        row["volume"] = draw(st.sampled_from([0.0, 0.0, 0.5]))
        row["count"] = draw(st.sampled_from([0, 0, 7]))
    return rows


@given(minutes, minutes, spans())
def test_without_leaves_what_no_known_span_has(start_s, end_s, known):
    got = list(without((start_s, end_s), known))
    left = [
        t
        for t in range(start_s, end_s, PERIOD_S)
        if not any(first <= t < end for first, end in known)
    ]
    assert got == [span_of(run) for run in runs_of(left)]


@given(times, minutes, minutes, calendars, spans())
def test_missing_spans_are_runs_without_a_bar(held, start_s, end_s, calendar, known):
    within = (start_s, end_s)
    got = missing_spans(np.array(held, np.int64), within, PERIOD_S, calendar, known)
    missing = [
        t
        for t in range(start_s, end_s, PERIOD_S)
        if t not in held and not any(first <= t < end for first, end in known)
    ]
    opened = [[t for t in run if is_open(calendar, t)] for run in runs_of(missing)]
    assert got == [span_of(run) for run in opened if run]


@given(bars(), calendars, st.integers(1, 4))
def test_nulls_are_runs_of_flat_bars_without_a_trade(held, calendar, least):
    nulls = [
        int(bar["time"])
        for bar in held
        if (bar["count"], bar["volume"]) == (0, 0)
        and bar["high"] == bar["low"]
        and is_open(calendar, int(bar["time"]))
    ]
    want = [span_of(run) for run in runs_of(nulls) if len(run) >= least]
    assert find_nulls(held, PERIOD_S, calendar, least) == want


edges = st.none() | st.integers(-200, 4000)


@given(bars(), edges, edges)
def test_between_is_a_view_of_the_bars_of_a_span(held, start_s, end_s):
    got = between(held, start_s, end_s)
    lowest = -(1 << 62) if start_s is None else start_s
    end = 1 << 62 if end_s is None else end_s
    assert got["time"].tolist() == [t for t in held["time"] if lowest <= t < end]
    assert not len(got) or np.shares_memory(got, held)


@given(bars(ordered=False), bars())
def test_news_is_a_bar_that_was_not_known_as_it_is(held, known):
    told = {bar.tobytes() for bar in known}
    got = is_news(held, known)
    assert got.dtype == np.bool_
    assert got.tolist() == [bar.tobytes() not in told for bar in held]
    assert not is_news(known, known).any()
