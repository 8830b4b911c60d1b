"""An indicator that is kept up bar by bar is what it is when computed anew."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from piker.errors import UsageError
from piker.tsp import OHLCV
from piker.ui._m4 import group
from piker.ui._series import Change, Series
from piker.ui._study import Study, bars_of
from piker.ui.indicators import Bars, Indicator, Wanted, known, parse
from tests.ui._bars import MONDAY_S, market, series_walk, walk

ASKED = ["ema:2", "ema:7", "sma:5", "rsi:3", "rsi:1", "vwap", "dollar", "rate"]


def assert_as_anew(study: Study, series: Series) -> None:
    fresh = Study(study.wanted)
    fresh.update(series)
    assert study.lines.keys() == fresh.lines.keys()
    for name, values in fresh.lines.items():
        np.testing.assert_allclose(study.lines[name], values, rtol=1e-9, atol=1e-9)


def jittered(bars: np.ndarray, rows: slice, rng: np.random.Generator) -> np.ndarray:
    """Return bars of which some have other prices and sizes."""
    bars = bars.copy()
    part = bars[rows]
    part["close"] += rng.integers(-9, 10, len(part)) / 100
    part["high"] = np.maximum(part["high"], part["close"])
    part["low"] = np.minimum(part["low"], part["close"])
    part["volume"] = rng.integers(0, 99, len(part)) / 1000
    return bars


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["tick", "tick", "grow", "redo", "prepend", "trim", "cut"]),
            st.integers(1, 40),
        ),
        max_size=25,
    ),
    st.integers(0, 99),
)
def test_what_is_kept_up_equals_what_is_computed_anew(steps, seed):
    rng = np.random.default_rng(seed)
    series = Series(market(), 600)
    source = walk(MONDAY_S + 600 * np.arange(3000), seed)
    source["close"][rng.random(3000) < 0.4] = 100.0  # also where nothing moves
    lo = hi = 1000
    studies = [Study(parse(text)) for text in ASKED]
    for what, n in steps:
        change = None
        if what == "tick" and hi > lo:
            source = jittered(source, slice(hi - 1, hi), rng)
            change = series.splice(source[hi - 1 : hi])
        elif what == "grow":
            source = jittered(source, slice(hi - 1, hi), rng)
            at, hi = max(hi - 3, lo), hi + n
            change = series.splice(source[at:hi])
        elif what == "redo":
            at = max(hi - n, lo)
            source = jittered(source, slice(at, hi), rng)
            change = series.splice(source[at:hi])
        elif what == "prepend" and hi > lo:
            series.prepend(source[lo - n : lo])
            lo -= n
            for study in studies:
                study.update(series)
        elif what == "trim":
            series.trim(n)
            lo = hi - len(series)
        elif what == "cut" and hi - lo > n:
            hi -= n  # the source has fewer bars than before
            change = series.splice(source[max(hi - 2, lo) : hi])
        if change is not None or what == "trim":
            for study in studies:
                study.update(series, change)
    if len(series):
        for study in studies:
            assert_as_anew(study, series)


@pytest.mark.parametrize("text", known())
def test_a_still_market_is_kept_up_as_well(text: str):
    """Nothing moves for longer than a decay lasts: RSI stays as it was."""
    bars = walk(MONDAY_S + np.arange(2500))
    bars["close"][1000:] = bars["close"][999]
    series = Series(market(), 1)
    study = Study(parse(text))
    for end in (1000, 1001, 1500, 2400):
        study.update(series, series.splice(bars[:end]))
    for end in range(2401, 2441):
        study.update(series, series.splice(bars[end - 2 : end]))
        assert_as_anew(study, series)


def test_a_missed_change_is_noticed():
    series = series_walk(10)
    study = Study(parse("sma:3"))
    study.update(series)
    bars = walk(MONDAY_S + 60 * np.arange(200))
    series.splice(bars[9:150])
    study.update(series, series.splice(bars[149:]))
    assert_as_anew(study, series)


def test_a_series_that_lost_its_bars_has_no_lines():
    series = series_walk(10)
    study = Study(parse("ema"))
    study.update(series)
    series.trim(0)
    study.update(series, Change(0, 10, 10))
    assert study.lines == {}
    assert np.isnan(study.at(group(series_walk(5), 0, 5, 1), "ema")).all()
    study.update(series, series.splice(walk(MONDAY_S + 6000 + 60 * np.arange(5))))
    assert_as_anew(study, series)


def test_only_the_newest_rows_are_computed():
    """A tick costs what the indicator says it needs, not a whole series."""
    seen: list[tuple[int, int]] = []

    def compute(bars: Bars, n: float) -> dict[str, np.ndarray]:
        seen.append((len(bars), bars.first))
        return {"a": bars.close}

    since = {"since": lambda bars, row, n: row - n}
    study = Study(
        Wanted(Indicator("odd", compute, defaults={"n": 5}, **since), {"n": 5})
    )
    series = series_walk(100)
    study.update(series)
    bars = walk(MONDAY_S + 60 * np.arange(103), seed=1)
    study.update(series, series.splice(bars[99:100]))
    study.update(series, series.splice(bars[100:103]))
    assert seen == [(100, 0), (6, 5), (8, 5)]
    assert study.lines["a"].tolist() == series.close.tolist()


def test_a_line_of_another_name_is_computed_whole():
    names = iter("aab")
    compute = lambda bars: {next(names, "b"): bars.close}  # noqa: E731
    study = Study(Wanted(Indicator("odd", compute, since=lambda bars, row: row), {}))
    series = series_walk(50)
    study.update(series)
    for seed in (1, 2):
        bars = walk(MONDAY_S + 60 * np.arange(51), seed)
        study.update(series, series.splice(bars[48 + seed : 49 + seed]))
    assert list(study.lines) == ["b"]
    assert study.lines["b"].tolist() == series.close.tolist()


def test_an_indicator_that_fails_keeps_the_lines_it_had():
    fails = []

    def compute(bars: Bars) -> dict[str, np.ndarray]:
        assert not fails, "on purpose"
        return {"a": bars.close}

    study = Study(Wanted(Indicator("odd", compute), {}))
    series = series_walk(5)
    study.update(series)
    fails.append(1)
    with pytest.raises(UsageError, match="on purpose"):
        study.update(series)
    assert study.lines["a"].tolist() == series.close.tolist()
    study.keep_up(series)
    assert study.lines == {}
    assert "on purpose" in study.trouble
    fails.clear()
    study.keep_up(series, series.splice(walk([MONDAY_S + 600])))
    assert study.trouble == ""
    assert study.lines["a"].tolist() == series.close.tolist()


# -- what is drawn of it ---------------------------------------------------------------
@given(
    st.integers(1, 60), st.integers(-30, 30), st.integers(1, 9), st.integers(-40, 80)
)
def test_a_column_shows_the_value_of_its_last_bar(
    n: int, start: int, k: int, first: int
):
    series = series_walk(n, start=start)
    study = Study(parse("dollar"))
    study.update(series)
    columns = group(series, first, first + 40, k)
    expected = [
        study.lines["paid"][min((i // k + 1) * k - 1, series.end - 1) - start]
        for i in columns.index.tolist()
    ]
    assert study.at(columns, "paid").tolist() == expected


def test_where_a_line_has_no_values_yet_none_is_drawn():
    series = series_walk(20)
    study = Study(parse("dollar"))
    study.update(series)
    older = walk(MONDAY_S - 600 + 60 * np.arange(10))
    series.prepend(older)
    values = study.at(group(series, -10, 20, 1), "paid")
    assert np.isnan(values[:10]).all()
    assert values[10:].tolist() == study.lines["paid"].tolist()
    assert np.isnan(study.at(group(series, -10, 20, 1), "what")).all()


def test_its_strip_shows_all_of_it():
    series = series_walk(300)
    study = Study(parse("dollar"))
    study.update(series)
    shown = (group(series, 0, 290, 10), group(series, 290, 300, 10))
    study.fit(shown)
    values = np.concatenate([study.at(each, "paid") for each in shown])
    assert study.span.lowest < values.min() <= values.max() < study.span.highest
    assert study.has_strip
    assert not Study(parse("ema")).has_strip


def test_a_strip_with_bounds_has_those():
    series = series_walk(50)
    study = Study(parse("rsi"))
    study.update(series)
    study.fit((group(series, 0, 50, 1),))
    assert (study.span.lowest, study.span.highest) == (0.0, 100.0)


def test_a_strip_of_nothing_stays_as_it_was():
    study = Study(parse("dollar"))
    study.fit(())
    series = series_walk(3)
    study.fit((group(series, 0, 3, 1),))
    assert (study.span.lowest, study.span.highest) == (0.0, 1.0)


def test_bars_are_looked_at_where_they_lie():
    series = series_walk(5)
    bars = bars_of(series)
    for name in OHLCV.names:
        assert np.shares_memory(getattr(bars, name), getattr(series, name))
    cut = bars.cut(2, 4)
    assert (len(cut), cut.first, cut.period_s) == (3, 2, 60)
