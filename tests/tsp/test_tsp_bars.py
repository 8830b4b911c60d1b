"""Bars are the exact aggregation of their trades, however they are merged."""

from __future__ import annotations

from collections import OrderedDict
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, strategies as st

from piker.msgs import Calendar
from piker.tsp import (
    OHLCV,
    aggregate,
    fill_gaps,
    find_gaps,
    merge,
    open_mask,
    resample,
    to_float,
    to_steps,
)

DAY_S = 86_400
NS = 1_000_000_000
LOT = Decimal("0.001")
WEEKDAYS = Calendar(
    weekly=tuple((d * DAY_S + 52_200, d * DAY_S + 75_600) for d in range(5))
)
LONDON = Calendar(
    weekly=tuple((d * DAY_S + 28_800, d * DAY_S + 59_400) for d in range(7)),
    zone="Europe/London",
)
ROUND_THE_CLOCK = Calendar(  # Sunday evening to Friday, an hour's break a day
    weekly=(
        (0, 79_200),
        *((d * DAY_S - 3_600, d * DAY_S + 79_200) for d in range(1, 5)),
        (6 * DAY_S + 82_800, 7 * DAY_S),
    )
)

trades = st.lists(
    st.tuples(
        st.integers(0, 500 * NS), st.integers(1, 9_999_999), st.integers(1, 10**9)
    ),
    max_size=60,
).map(sorted)


def plain_bars(rows, period_s, lot=LOT):
    """Aggregate with dicts and decimals, as a reader would by hand."""
    bars = OrderedDict()
    for time_ns, price, lots in rows:
        bars.setdefault(time_ns // NS // period_s * period_s, []).append((price, lots))
    return [
        (
            time_s,
            *(float(p) / 100 for p in (r[0][0], max(r)[0], min(r)[0], r[-1][0])),
            float(sum((Decimal(lots) * lot for _, lots in r), Decimal(0))),
            len(r),
        )
        for time_s, r in bars.items()
    ]


def columns(rows):
    table = np.array(rows, np.int64).reshape(-1, 3)
    return table[:, 0], table[:, 1] / 100, table[:, 2]


@given(trades, st.sampled_from([1, 5, 7, 60, 3600]))
def test_bars_equal_an_aggregation_by_hand(rows, period_s):
    got = aggregate(*columns(rows), period_s, LOT)
    assert got.dtype == OHLCV
    assert got.tolist() == plain_bars(rows, period_s)


@given(trades, st.sampled_from(["0.001", "0.00001", "1", "0.25", "0.05", "2.5", "10"]))
def test_volume_is_the_double_nearest_to_the_decimal_sum(rows, lot):
    got = aggregate(*columns(rows), 60, Decimal(lot))
    assert got.tolist() == plain_bars(rows, 60, Decimal(lot))


@given(trades, st.sampled_from([(1, 5), (1, 60), (5, 60), (60, 3600)]))
def test_resampled_bars_are_those_of_the_trades(rows, periods):
    short, long = periods
    by_way = resample(aggregate(*columns(rows), short, LOT), long, LOT)
    assert by_way.tobytes() == aggregate(*columns(rows), long, LOT).tobytes()


def test_volumes_beyond_64_bits_of_lots_add_up():
    """A coin of tiny worth: 2e12 of it, in lots of a hundred millionth."""
    bars = np.zeros(3, OHLCV)
    bars["time"], bars["volume"] = [0, 1, 60], [1e12, 1e12, 3.0]
    longer = resample(bars, 60, Decimal("1e-8"))
    assert longer["volume"].tolist() == [2e12, 3.0]


@given(st.sampled_from([1, 60, 3600, DAY_S]))
def test_mask_agrees_where_clocks_change(period_s):
    for change_s in (1_774_746_000, 1_792_890_000):  # 2026-03-29, 2026-10-25
        times = change_s + 900 * np.arange(-300, 300)
        wanted = [LONDON.next_open(t) < t + period_s for t in times.tolist()]
        assert open_mask(LONDON, times, period_s).tolist() == wanted


def test_wrong_input_is_refused():
    rows = columns([(2 * NS, 1, 1), (1 * NS, 1, 1)])
    with pytest.raises(ValueError, match="order of time"):
        aggregate(*rows, 1, LOT)
    with pytest.raises(ValueError, match="at least 1 s"):
        aggregate(*rows, 0, LOT)
    bars = np.zeros(2, OHLCV)
    bars["time"] = 5, 4
    with pytest.raises(ValueError, match="order of time"):
        resample(bars, 60, LOT)
    with pytest.raises(ValueError, match="ascend"):
        fill_gaps(bars, 1)


@given(st.lists(st.integers(0, 10**15)), st.sampled_from(["0.01", "0.25", "1", "10"]))
def test_steps_come_back_from_floats(steps, tick):
    there = to_float(np.array(steps, np.int64), Decimal(tick))
    assert there.tolist() == [float(s * Decimal(tick)) for s in steps]
    assert to_steps(there, Decimal(tick)).tolist() == steps


@given(st.integers(0, 10**10), st.sampled_from([1, 60, 3600, DAY_S]))
@pytest.mark.parametrize("calendar", [Calendar(), WEEKDAYS, ROUND_THE_CLOCK, LONDON])
def test_mask_agrees_with_the_calendar(calendar, time_s, period_s):
    got = open_mask(calendar, np.array([time_s]), period_s)[0]
    assert got == (calendar.next_open(time_s) < time_s + period_s)


@given(trades, st.sampled_from([1, 5, 60]))
def test_filled_bars_have_no_holes_and_keep_each_bar(rows, period_s):
    bars = aggregate(*columns(rows), period_s, LOT)
    filled = fill_gaps(bars, period_s)
    assert find_gaps(filled, period_s) == []
    assert all(b - a == period_s for a, b in pairwise(filled["time"].tolist()))
    assert filled[np.isin(filled["time"], bars["time"])].tobytes() == bars.tobytes()
    close = None
    for bar in filled.tolist():
        if bar[6] == 0:
            assert bar[1:] == (close, close, close, close, 0.0, 0)
        close = bar[4]


def test_a_closed_market_gets_no_bars():
    friday = 1_700_229_600 // DAY_S * DAY_S  # 2023-11-17
    bars = np.zeros(2, OHLCV)
    bars["time"] = friday + 75_540, friday + 3 * DAY_S + 52_260
    bars["close"] = 3.0
    assert find_gaps(bars, 60, WEEKDAYS) == [
        (friday + 3 * DAY_S + 52_200, friday + 3 * DAY_S + 52_260)
    ]
    assert len(fill_gaps(bars, 60, WEEKDAYS)) == 3
    assert len(fill_gaps(bars, 60)) > 3_000
    odd = bars.copy()
    odd["time"] = friday - 60, friday + 52_260  # the first one while closed
    assert fill_gaps(odd, 60, WEEKDAYS)["time"].tolist() == [
        friday - 60,
        friday + 52_200,
        friday + 52_260,
    ]
    days = bars.copy()
    days["time"] = days["time"] // DAY_S * DAY_S
    assert len(fill_gaps(days, DAY_S, WEEKDAYS)) == 2


def test_filling_goes_on_to_the_time_asked_for():
    bars = np.zeros(1, OHLCV)
    bars["time"], bars["close"] = 60, 2.0
    filled = fill_gaps(bars, 60, until_s=240)
    assert filled["time"].tolist() == [60, 120, 180]
    assert filled["open"].tolist() == [0.0, 2.0, 2.0]
    assert len(fill_gaps(bars[:0], 60, until_s=240)) == 0


@given(st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40)))
def test_merge_is_the_union_and_the_newer_wins(old, new):
    def series(times, close):
        bars = np.zeros(len(times), OHLCV)
        bars["time"], bars["close"] = sorted(times), close
        return bars

    got = merge(series(old, 1.0), series(new, 2.0))
    want = dict.fromkeys(old, 1.0) | dict.fromkeys(new, 2.0)
    assert dict(zip(got["time"].tolist(), got["close"].tolist(), strict=True)) == want
    assert got["time"].tolist() == sorted(want)
