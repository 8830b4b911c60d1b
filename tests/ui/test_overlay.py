"""Another market over the first, by what it returned."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from piker.ui._m4 import group
from piker.ui._overlay import Overlay
from tests.ui._bars import MONDAY_S, series_of, series_walk, walk


def by_hand(main, other, columns) -> list[float]:
    """Return the line of *other* by looking at each bar."""
    closes = []
    for i in columns.index.tolist():
        last = min((i // columns.bars + 1) * columns.bars - 1, main.end - 1)
        time_s = main.time[last - main.start]
        before = [close for each, close in zip(other.time, other.close, strict=True)
                  if each <= time_s]  # fmt: skip
        closes.append(before[-1] if before else math.nan)
    have = [i for i, close in enumerate(closes) if not math.isnan(close)]
    if not have:
        return closes
    base = columns.close[have[0]] / closes[have[0]]
    return [close * base for close in closes]


@given(
    st.integers(1, 50),
    st.lists(st.integers(1, 200), max_size=60),
    st.integers(-3000, 4000),
    st.integers(1, 7),
    st.integers(-10, 60),
)
def test_a_line_is_what_was_returned_since_the_left_edge(n, gaps, off_s, k, first):
    main = series_walk(n, start=-5)
    other = series_of(walk(MONDAY_S + off_s + np.cumsum(gaps, dtype=np.int64), 1, 7.0))
    columns = group(main, first, first + 30, k)
    line = Overlay(other).line(main, columns)
    assert line == pytest.approx(by_hand(main, other, columns), nan_ok=True)


def test_a_line_of_the_past_knows_nothing_of_the_present():
    """What is right of the picture doesn't move its last point."""
    main, other = series_walk(200), series_walk(200, seed=1)
    columns = group(main, 0, 100, 10)
    line = Overlay(other).line(main, columns)
    expected = other.close[99] / other.close[9] * columns.close[0]
    assert line[-1] == pytest.approx(expected)


def test_a_market_that_costs_nothing_has_no_line():
    main = series_walk(10)
    bars = walk(MONDAY_S + 60 * np.arange(10))
    bars["close"] = 0.0
    overlay = Overlay(series_of(bars))
    assert np.isnan(overlay.line(main, group(main, 0, 10, 1))).all()


def test_nothing_is_drawn_of_nothing():
    main, empty = series_walk(10), series_walk(0)
    assert len(Overlay(main).line(main, group(main, 20, 30, 1))) == 0
    assert np.isnan(Overlay(empty).line(main, group(main, 0, 10, 1))).all()
