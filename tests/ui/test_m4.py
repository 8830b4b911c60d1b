"""Many bars in a column, against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from piker.ui._m4 import Columns, bars_a_column, group, joined
from piker.ui._series import Series
from tests.ui._bars import MONDAY_S, rows_of, series_of, series_walk, walk

STARTS = st.integers(-40, 40)
K = st.integers(1, 9)


def told(columns: Columns) -> list[tuple]:
    arrays = (columns.index, columns.open, columns.high, columns.low, columns.close,
              columns.volume)  # fmt: skip
    return list(zip(*(each.tolist() for each in arrays), strict=True))


def by_hand(series: Series, first: int, end: int, k: int) -> list[tuple]:
    """Return the columns of bars that touch [first, end)."""
    found: dict[int, list[tuple[int, tuple]]] = {}
    for index, row in enumerate(rows_of(series), series.start):
        if first // k <= index // k <= (end - 1) // k:
            found.setdefault(index // k, []).append((index, row))
    return [
        (
            bars[0][0], bars[0][1][1], max(row[2] for _, row in bars),
            min(row[3] for _, row in bars), bars[-1][1][4],
            pytest.approx(sum(row[5] for _, row in bars)),
        )
        for bars in found.values()
    ]  # fmt: skip


@given(st.integers(0, 60), STARTS, st.integers(-60, 90), st.integers(1, 70), K)
def test_columns_are_what_a_loop_finds(
    n: int, start: int, first: int, more: int, k: int
):
    series = series_walk(n, start=start)
    columns = group(series, first, first + more, k)
    assert told(columns) == by_hand(series, first, first + more, k)
    assert columns.bars == k
    assert [len(getattr(columns, name)) for name in ("index", "volume")] == [
        len(columns)
    ] * 2


@given(st.integers(1, 60), STARTS, K)
def test_no_extreme_is_lost(n: int, start: int, k: int):
    series = series_walk(n, start=start, seed=n)
    columns = group(series, series.start, series.end, k)
    assert columns.within() == (series.low.min(), series.high.max())
    assert (columns.open[0], columns.close[-1]) == (series.open[0], series.close[-1])
    assert columns.volume.sum() == pytest.approx(series.volume.sum())


@given(st.integers(2, 80), STARTS, K, st.integers(1, 20), st.data())
def test_columns_stay_while_one_pans_and_bars_come(n, start, k, more, data):
    """Nothing shimmers: a column is the same wherever the picture's edges are."""
    bars = walk(MONDAY_S + 60 * np.arange(n + more))
    series = series_of(bars[:n], start=start)
    whole = {row[0]: row for row in told(group(series, start, start + n, k))}
    first = data.draw(st.integers(start, start + n - 1))
    end = data.draw(st.integers(first + 1, start + n))
    for row in told(group(series, first, end, k)):
        assert whole[row[0]] == row
    series.splice(bars[n - 1 :])
    later = told(group(series, start, series.end, k))
    # but for the newest column, which grows
    assert later[: len(whole) - 1] == list(whole.values())[:-1]


@given(st.integers(1, 60), STARTS, K, st.integers(0, 60))
def test_middles_and_last_bars_go_by_whole_columns(n, start, k, at):
    series = series_walk(n, start=start)
    columns = group(series, start, start + n, k)
    last = np.append(columns.index[1:], series.end) - 1
    assert columns.last[:-1].tolist() == last[:-1].tolist()
    assert columns.last[-1] >= last[-1]
    assert all((columns.last + 1) % k == 0)
    assert np.allclose(columns.middle[1:] + (k - 1) / 2, columns.last[1:])


def test_no_bars_make_no_columns():
    for series in (series_walk(0), series_walk(10)):
        for first, end in ((3, 3), (5, 2), (20, 30), (-20, -10)):
            for k in (1, 4):
                columns = group(series, first, end, k)
                if len(series) and (first, end, k) == (3, 3, 4):
                    continue  # a column that is begun is told whole
                assert told(columns) == []
                assert columns.within() is None


def test_columns_are_copies():
    """A picture isn't changed by the bars that come after it."""
    series = series_walk(10)
    columns = group(series, 0, 10, 1)
    before = told(columns)
    bars = walk(MONDAY_S + 60 * np.arange(10), seed=9)
    series.splice(bars)
    assert told(columns) == before


@given(st.floats(5, 4e6), st.floats(1, 4000))
def test_a_column_a_pixel_at_most(bars: float, width: float):
    k = bars_a_column(bars, width)
    assert k >= 1
    assert bars / k <= width * (1 + 1e-8)
    assert k == 1 or bars / (k - 1) > width * (1 - 1e-8)


def test_rounding_makes_no_other_columns():
    """A view that was panned is as wide as before, but for a bit of its last digit."""
    assert bars_a_column(800.0000000001, 800.0) == bars_a_column(800.0, 800.0) == 1
    assert bars_a_column(1600.0000000001, 800.0) == 2
    assert bars_a_column(801.0, 800.0) == 2
    assert bars_a_column(10, 0) == 10


def test_joined_columns_are_one_after_the_other():
    series = series_walk(20)
    one, other = group(series, 0, 12, 4), group(series, 12, 20, 4)
    assert told(joined(one, other)) == told(group(series, 0, 20, 4))
