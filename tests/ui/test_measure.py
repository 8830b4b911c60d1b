"""What a measuring box says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from piker.ui._measure import Box, measured
from tests.ui._bars import MONDAY_S, series_of, series_walk, walk


def test_a_box_over_bars():
    bars = walk(MONDAY_S + 60 * np.arange(4))
    bars["close"] = [100.0, 110.0, 99.0, 108.9]
    bars["high"], bars["low"] = 1234.5, 98.25
    bars["volume"] = [1.0, 2.5, 0.0, 1000.0]
    series = series_of(bars)
    box = Box((-0.3, 100.0), (3.4, 108.9))
    sigma = np.diff(np.log(bars["close"])).std() * 100
    assert measured(series, box) == [
        "+8.90  (+8.90 %)",
        "4 bars, 0:04:00",
        "max 1,234.50  min 98.25",
        f"range 1,136.25  sigma {sigma:.3f} %",
        "volume 1,003.5",
    ]


def test_a_box_that_is_begun_at_its_right():
    series = series_walk(100)
    one, other = (20.0, 2000.0), (10.0, 1000.0)
    assert measured(series, Box(one, other))[0] == "-1,000.00  (-50.00 %)"
    assert (
        measured(series, Box(one, other))[1:] == measured(series, Box(other, one))[1:]
    )


@pytest.mark.parametrize(
    ("begun", "ended", "text"),
    [
        (0.0, 5.0, "+5.00"),
        (-37.0, 20.0, "+57.00"),
        (100.0, 100.0, "+0.00  (+0.00 %)"),
        (100.0, 99.999, "+0.00  (+0.00 %)"),
        (100.0, 0.0, "-100.00  (-100.00 %)"),
    ],
)
def test_what_a_change_says(begun: float, ended: float, text: str):
    assert measured(series_walk(5), Box((0.0, begun), (1.0, ended)))[0] == text


def test_a_box_beside_all_bars_tells_the_change_only():
    series = series_walk(10)
    for left in (-50.0, 20.0):
        assert measured(series, Box((left, 1.0), (left + 9, 2.0))) == [
            "+1.00  (+100.00 %)"
        ]
    assert len(measured(series_walk(0), Box((0.0, 1.0), (5.0, 2.0)))) == 1


@given(st.integers(0, 50), st.floats(-60, 60), st.floats(-60, 60), st.integers(-9, 9))
def test_a_box_counts_the_bars_within_it(n: int, left: float, right: float, start: int):
    series = series_walk(n, start=start)
    lines = measured(series, Box((left, 1.0), (right, 2.0)))
    lo, hi = sorted((round(left), round(right)))
    inside = [i for i in range(start, start + n) if lo <= i <= hi]
    if not inside:
        assert len(lines) == 1
        return
    assert lines[1].startswith(f"{len(inside)} bars")
    part = slice(inside[0] - start, inside[-1] - start + 1)
    assert f"max {series.high[part].max():.2f}" in lines[2]
    assert f"min {series.low[part].min():.2f}" in lines[2]
    assert ("sigma -" in lines[3]) == (len(inside) < 3)


def test_prices_below_zero_have_no_sigma():
    bars = walk(MONDAY_S + 60 * np.arange(5))
    bars["close"][2] = -1.0
    assert measured(series_of(bars), Box((0, 1.0), (4, 2.0)))[3].endswith("sigma -")
