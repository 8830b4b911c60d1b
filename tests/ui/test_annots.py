"""What others draw in charts: where it lies, whose it is, what is refused."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, strategies as st

from piker.msgs import DrawRects, Rect, Redraw, RemoveRects
from piker.tsp import OHLCV
from piker.ui._annots import MOST_RECTS, Annots, spots_of
from piker.ui._series import Series
from tests.ui._bench import mkt_of

BTC = "btcusdt.spot.sim"


def rect(begin_s=0.0, end_s=60.0, **more) -> Rect:
    return Rect(fqme=BTC, begin_s=begin_s, end_s=end_s, **more)


def series_of(times, period_s=60, start=0) -> Series:
    bars = np.zeros(len(times), OHLCV)
    bars["time"] = times
    bars["open"] = bars["high"] = bars["low"] = bars["close"] = 1.0
    series = Series(mkt_of(), period_s)
    series.start = start
    series.splice(bars)
    return series


def edges(series, *rects):
    spots = spots_of(rects, series)
    return list(zip(spots.left.tolist(), spots.right.tolist(), strict=True))


# -- where it lies --------------------------------------------------------------------


def test_it_covers_the_bars_from_its_begin_to_its_end():
    series = series_of([0, 60, 120, 180, 240], start=-3)
    # up to the bar that begins at its end, which it leaves out
    assert edges(series, rect(60, 180)) == [(-2.5, -0.5)]
    # within a bar: that bar
    assert edges(series, rect(70, 80)) == [(-2.5, -1.5)]
    assert edges(series, rect(60, 60)) == [(-2.5, -1.5)]


def test_what_lies_beyond_the_bars_lies_as_many_periods_away():
    series = series_of([600, 660, 720])
    assert edges(series, rect(480, 600)) == [(-2.5, -0.5)]
    assert edges(series, rect(720, 900)) == [(1.5, 4.5)]


def test_what_lies_in_a_gap_stands_before_the_first_bar_after_it():
    series = series_of([0, 60, 600, 660])
    assert edges(series, rect(120, 600)) == [(1.5, 2.5)]
    assert edges(series, rect(0, 300)) == [(-0.5, 1.5)]


def test_before_there_are_bars_it_lies_nowhere():
    spots = spots_of((rect(),), series_of([]))
    assert not len(spots.within(-1e9, 1e9))


@given(
    st.lists(st.integers(0, 500), min_size=1, max_size=40, unique=True),
    st.floats(-100.0, 600.0),
    st.floats(0.0, 300.0),
)
def test_it_covers_each_bar_within_it_and_none_else(minutes, begin, lasts):
    series = series_of([60 * minute for minute in sorted(minutes)])
    begin_s, end_s = begin * 60, (begin + lasts) * 60
    ((left, right),) = edges(series, rect(begin_s, end_s))
    assert right >= left + 1
    covered = [i for i in range(len(series)) if left < i < right]
    held = [
        i
        for i, time_s in enumerate(series.time)
        if time_s >= math.floor(begin_s / 60) * 60 and time_s + 60 <= end_s
    ]
    assert set(held) <= set(covered)
    # one more where an end lies within it
    assert len(covered) <= len(held) + 1


def test_only_what_is_in_sight_is_told():
    series = series_of([60 * i for i in range(100)])
    rects = tuple(rect(600 * i, 600 * i + 60, text=str(i)) for i in range(10))
    assert spots_of(rects, series).within(15, 45).tolist() == [2, 3, 4]


# -- whose it is ----------------------------------------------------------------------


class Told:
    def __init__(self) -> None:
        self.times, self.anew = 0, []
        self.annots = Annots(lambda *what: self.anew.append(what))
        self.annots.listeners.add(self.tell)

    def tell(self) -> None:
        self.times += 1


def test_a_callers_rectangles_last_as_long_as_they_stay():
    told = Told()
    annots = told.annots
    with annots.open_caller() as one:
        with annots.open_caller() as other:
            assert not one(DrawRects(rects={1: rect()}))
            assert not other(DrawRects(rects={1: rect(text="b"), 2: rect()}))
            assert len(annots.of(BTC, 60)) == 3
            assert not other(RemoveRects(aids=[1, 7]))
            assert [each.text for each in annots.of(BTC, 60)] == ["", ""]
        assert len(annots.of(BTC, 60)) == 1
        # drawn otherwise
        assert not one(DrawRects(rects={1: rect(text="new")}))
        assert [each.text for each in annots.of(BTC, 60)] == ["new"]
    assert not annots.of(BTC, 60)
    assert told.times == 6


def test_each_chart_draws_what_is_meant_for_it():
    annots = Told().annots
    with annots.open_caller() as do:
        do(DrawRects(rects={1: rect(), 2: rect(period_s=60), 3: rect(period_s=1)}))
        assert len(annots.of(BTC, 60)) == len(annots.of(BTC, 1)) == 2
        assert len(annots.of(BTC, 300)) == 1
        assert not annots.of("ethusdt.spot.sim", 60)


def test_all_are_drawn_or_none():
    told = Told()
    with told.annots.open_caller() as do:
        fault = do(DrawRects(rects={1: rect(), 2: rect(color="red")}))
        assert fault == "a colour is #rrggbb or #aarrggbb, got 'red'"
        assert not told.annots.of(BTC, 60)
        many = {i: rect() for i in range(MOST_RECTS)}
        assert not do(DrawRects(rects=many))
        assert not do(DrawRects(rects=many)), "they take the place of the others"
        fault = do(DrawRects(rects={-1: rect()}))
        assert fault == (
            "a chart draws up to 10,000 rectangles; 10,000 are drawn and 1 more were "
            "asked for"
        )
    assert told.times == 3


def test_bars_are_read_anew_for_who_asks():
    told = Told()
    with told.annots.open_caller() as do:
        assert not do(Redraw(fqme=BTC, period_s=60))
    assert told.anew == [(BTC, 60)]
    assert not told.times


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ({"begin_s": math.nan}, "a time is no number: nan, 60.0"),
        ({"end_s": math.inf}, "a time is no number: 0.0, inf"),
        ({"end_s": -5.0}, "a rectangle ends at -5, before its begin"),
        ({"lowest": math.nan}, r"a price is no number: \[nan\]"),
        (
            {"lowest": 2.0, "highest": 1.0},
            "the highest price 1 is below the lowest 2",
        ),
        ({"color": "#12"}, "a colour is #rrggbb or #aarrggbb, got '#12'"),
        ({"text": "a\nb"}, "a text is one line of up to 200 printable characters"),
        ({"text": "a" * 201}, "a text is one line of up to 200 printable characters"),
        ({"period_s": -1}, "a period is some seconds, 0 for any, got -1"),
    ],
)
def test_what_cannot_be_drawn_is_told(wrong, fault):
    assert re.fullmatch(fault, rect(**wrong).fault)


@pytest.mark.parametrize("color", ["", "#a1b2c3", "#80A1B2C3"])
def test_colours(color):
    assert not rect(color=color, lowest=1.0, highest=1.0, text="né").fault
