"""What a chart shows: pixels there and back, and nothing that gets it off the rails."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from piker.ui._view import LEAST_BARS, MOST_BARS, Span, View

PRICES = st.floats(1e-8, 1e8)
ANY = st.floats(-1e12, 1e12)


@st.composite
def spans(draw, *, is_log: bool | None = None) -> Span:
    lowest = draw(PRICES)
    log = draw(st.booleans()) if is_log is None else is_log
    return Span(lowest, lowest * draw(st.floats(1.001, 1e6)), log)


# -- spans -----------------------------------------------------------------------------
@given(spans(), st.floats(-0.5, 1.5))
def test_a_fraction_there_and_back(span: Span, fraction: float):
    assert span.fraction(span.price(fraction)) == pytest.approx(fraction, abs=1e-6)


@given(spans(), st.lists(PRICES, min_size=1, max_size=9))
def test_many_prices_lie_where_each_does(span: Span, prices: list[float]):
    each = [span.fraction(price) for price in prices]
    assert span.fractions(np.array(prices)) == pytest.approx(each, rel=1e-9, abs=1e-9)


@given(spans())
def test_ends_and_middle(span: Span):
    assert span.fraction(span.lowest) == pytest.approx(0, abs=1e-9)
    assert span.fraction(span.highest) == pytest.approx(1)
    factor = span.highest / span.lowest
    middle = span.lowest * math.sqrt(factor) if span.log else (
        (span.lowest + span.highest) / 2
    )  # fmt: skip
    assert span.price(0.5) == pytest.approx(middle, rel=1e-9)


def test_equal_factors_are_equally_far_on_a_log_scale():
    span = Span(1, 1000, log=True)
    assert span.is_log
    got = [span.fraction(price) for price in (1, 10, 100, 1000)]
    assert got == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_what_a_log_scale_cant_show_is_below_it():
    span = Span(1, 100, log=True)
    assert span.fraction(0.0) == span.fraction(-5.0) == -math.inf
    assert span.fractions(np.array([0.0, -5.0])).tolist() == [-math.inf] * 2
    assert np.isnan(span.fractions(np.array([np.nan]))[0])


def test_a_log_scale_of_prices_below_zero_is_none():
    """Oil cost less than nothing once."""
    span = Span(-37.0, 20.0, log=True)
    assert not span.is_log
    assert span.price(span.fraction(-10.0)) == pytest.approx(-10.0)
    span.fit(-40.0, 10.0)
    assert span.lowest < -40.0
    assert span.highest > 10.0
    span.fit(5.0, 10.0)
    assert span.is_log
    assert 0 < span.lowest < 5.0


@given(ANY, st.floats(0, 1e12), st.floats(0, 100), st.booleans())
def test_what_is_fitted_is_shown_with_room(lowest, more, least, log):
    span = Span(log=log)
    highest = lowest + more
    span.fit(lowest, highest, least)
    assert span.lowest < lowest <= highest < span.highest
    assert span.highest - span.lowest >= least
    assert 0 < span.fraction(lowest) <= span.fraction(highest) < 1
    if more > 1e-6 * max(abs(lowest), abs(highest), least, 1e-3):
        assert span.fraction(highest) - span.fraction(lowest) > 0.3 or more < least


@given(spans(), st.sampled_from([math.nan, math.inf, -math.inf]))
def test_nothing_is_fitted_to_what_is_no_number(span: Span, odd: float):
    before = (span.lowest, span.highest)
    span.fit(odd, 1.0)
    span.fit(1.0, odd)
    assert (span.lowest, span.highest) == before


@given(spans(), st.floats(0.5, 2))
def test_a_zoom_keeps_the_middle(span: Span, factor: float):
    middle = span.price(0.5)
    zoomed = Span(span.lowest, span.highest, span.log)
    zoomed.zoom(factor)
    if (zoomed.lowest, zoomed.highest) != (span.lowest, span.highest):
        assert zoomed.is_log == span.is_log or zoomed.lowest <= 0
    if zoomed.is_log == span.is_log:
        assert zoomed.price(0.5) == pytest.approx(middle, rel=1e-6)


@pytest.mark.parametrize("log", [False, True])
def test_a_drag_down_shows_higher_prices(log: bool):
    span = Span(100.0, 200.0, log)
    price = span.price(0.75)
    span.pan(0.25)
    assert span.price(0.5) == pytest.approx(price)


@pytest.mark.parametrize("factor", [0.1, 10.0])
@pytest.mark.parametrize("log", [False, True])
def test_a_zoom_without_end_ends(factor: float, log: bool):
    span = Span(100.0, 200.0, log)
    for _ in range(1000):
        span.zoom(factor)
        assert 0 <= span.fraction(span.price(0.5)) <= 1
    assert span.is_log == log


# -- views -----------------------------------------------------------------------------
@st.composite
def views(draw) -> View:
    left = draw(st.floats(-1e6, 1e6))
    return View(
        left,
        left + draw(st.floats(LEAST_BARS, 1e6)),
        draw(st.floats(1, 4000)),
        draw(st.floats(1, 4000)),
        draw(spans()),
    )


@given(views(), st.floats(-1e3, 5e3), st.floats(0, 1))
def test_a_pixel_there_and_back(view: View, x: float, part: float):
    assert view.x(view.index(x)) == pytest.approx(x, abs=1e-3)
    y = part * view.height
    assert view.y(view.price(y)) == pytest.approx(y, abs=1e-3)
    assert view.xs(np.array([view.index(x)]))[0] == pytest.approx(x, abs=1e-3)
    assert view.ys(np.array([view.price(y)]))[0] == pytest.approx(y, abs=1e-3)


@given(views())
def test_edges(view: View):
    assert view.x(view.left) == 0
    assert view.x(view.right) == pytest.approx(view.width)
    assert view.y(view.span.lowest) == pytest.approx(view.height, abs=1e-6)
    assert view.y(view.span.highest) == pytest.approx(0, abs=1e-6)


@given(views())
def test_the_bars_that_are_shown(view: View):
    first, end = view.bars()
    assert view.x(first + 0.5) >= -1e-6  # its right edge is in sight
    assert view.x(first - 0.5) <= 1e-6
    assert view.x(end - 1 - 0.5) <= view.width * (1 + 1e-9) + 1e-6
    assert view.x(end - 0.5) >= view.width * (1 - 1e-9) - 1e-6


def test_what_is_far_off_still_has_a_pixel():
    """Painters count in ints, and round() knows no infinity."""
    view = View(span=Span(1, 2, log=True))
    ys = [view.y(price) for price in (0.0, -1.0, 1e300, 1e-300)]
    assert [round(y) for y in ys][:2] == [1_000_000] * 2
    assert view.ys(np.array([0.0, -1.0, 1e300, 1e-300])).tolist() == ys
    assert math.isnan(view.y(math.nan))
    assert np.isnan(view.ys(np.array([math.nan]))[0])


@given(views(), st.floats(0.01, 100), st.floats(0, 1))
def test_a_zoom_keeps_its_pivot(view: View, factor: float, part: float):
    x = part * view.width
    index, shown = view.index(x), view.right - view.left
    view.zoom(factor, x)
    assert view.x(index) == pytest.approx(x, abs=1e-2)
    wanted = min(max(shown * factor, LEAST_BARS), MOST_BARS)
    assert view.right - view.left == pytest.approx(wanted, rel=1e-6)


@given(views(), st.floats(0.01, 100))
def test_a_zoom_at_the_end_keeps_the_newest_bar_or_the_edge(view: View, factor: float):
    end = math.floor(view.right) - 1
    x, right = view.x(end - 1), view.right
    view.zoom_at_end(factor, end)
    if x >= 0:
        assert view.x(end - 1) == pytest.approx(x, abs=1e-2)
    view.zoom_at_end(factor, round(right + 2e6))
    view.zoom(0.5)
    assert view.right == pytest.approx(right, abs=view.right - view.left)


@given(views(), ANY, st.integers(-1000, 1000), st.integers(0, 1000))
def test_a_pan_leaves_bars_in_sight(view: View, dx: float, start: int, n: int):
    shown, end = view.right - view.left, start + n
    view.pan(dx, 0.0, start, end)
    assert view.right - view.left == pytest.approx(shown)
    assert view.right >= start + min(LEAST_BARS, shown / 2) - 1e-6
    assert view.left <= end - min(LEAST_BARS, shown / 2) + 1e-6


def test_a_pan_moves_by_pixels():
    view = View(0.0, 100.0, 800.0, 400.0, Span(0, 100), fits=False)
    view.pan(80.0, 40.0, -1000, 1000)
    assert (view.left, view.right) == (-10.0, 90.0)
    assert (view.span.lowest, view.span.highest) == pytest.approx((10, 110))
    view.fits = True
    view.pan(0.0, 40.0, -1000, 1000)
    assert view.span.lowest == pytest.approx(10)


def test_the_newest_bar_is_followed_while_it_is_in_sight():
    view = View()
    view.show(100, end=1000)
    left = view.left
    assert view.follow(1000, 1001)
    assert view.left == left + 1
    view.pan(800.0, 0.0, 0, 1001)
    left = view.left
    assert not view.follow(1001, 1002)
    assert view.left == left
    view.zoom(0.1, x=0.0)  # what shows the past by a zoom stands still as well
    view.zoom(10, x=0.0)
    view.pan(-800.0, 0.0, 0, 1002)
    view.zoom(0.1, x=0.0)
    assert not view.follow(1002, 1003)
    view.zoom(10, x=0.0)
    assert view.follow(1003, 1010)


@given(st.floats(-10, 1e8), st.integers(-1000, 10**6), st.floats(1, 4000))
def test_what_is_shown_ends_with_the_newest_bar(bars: float, end: int, width: float):
    view = View(width=width)
    view.show(bars, end)
    assert 0.9 * width < view.x(end - 0.5) < width
    assert view.right - view.left >= LEAST_BARS - 1e-6
    view.fits = False
    view.reset(end)
    assert view.fits
    assert view.bar_px == pytest.approx(min(6.0, width / LEAST_BARS))


@given(views(), st.floats(2, 4000), st.floats(1, 4000))
def test_bars_stay_as_wide_when_there_is_more_room(view: View, width, height):
    bar_px, right, was = view.bar_px, view.right, view.width
    view.resize(width, height)
    assert (view.width, view.height, view.right) == (width, height, right)
    shown = min(max(width / bar_px, LEAST_BARS), MOST_BARS)
    if was > 1:
        assert view.right - view.left == pytest.approx(shown, rel=1e-6)


# -- any order of changes --------------------------------------------------------------
class Moved(RuleBasedStateMachine):
    """A view that somebody plays with."""

    @initialize(log=st.booleans())
    def begin(self, log: bool) -> None:
        self.view = View(span=Span(log=log))
        self.start, self.end = 0, 0

    @rule(width=st.floats(-10, 5000), height=st.floats(-10, 5000))
    def resize(self, width: float, height: float) -> None:
        self.view.resize(width, height)

    @rule(
        factor=st.floats(0, 1e6),
        x=st.none() | st.floats(-1e4, 1e4),
        at_end=st.booleans(),
    )
    def zoom(self, factor: float, x: float | None, at_end: bool) -> None:
        if at_end:
            self.view.zoom_at_end(factor, self.end)
        else:
            self.view.zoom(factor, x)

    @rule(dx=st.floats(-1e5, 1e5), dy=st.floats(-1e5, 1e5), fits=st.booleans())
    def pan(self, dx: float, dy: float, fits: bool) -> None:
        self.view.fits = fits
        self.view.pan(dx, dy, self.start, self.end)

    @rule(factor=st.floats(0, 100), times=st.integers(1, 40))
    def zoom_prices(self, factor: float, times: int) -> None:
        for _ in range(times):
            self.view.span.zoom(factor)

    @rule(low=ANY, more=st.floats(0, 1e12), least=st.floats(0, 1e3))
    def fit(self, low: float, more: float, least: float) -> None:
        self.view.span.fit(low, low + more, least)
        assert self.view.span.fraction(low) >= 0
        assert self.view.span.fraction(low + more) <= 1

    @rule(log=st.booleans())
    def log(self, log: bool) -> None:
        self.view.span.log = log

    @rule(more=st.integers(0, 10_000), older=st.integers(0, 10_000))
    def grow(self, more: int, older: int) -> None:
        self.view.follow(self.end, self.end + more)
        self.end += more
        self.start -= older

    @rule(bars=st.floats(0, 1e9))
    def show(self, bars: float) -> None:
        self.view.show(bars, self.end)

    @invariant()
    def is_sane(self) -> None:
        if not hasattr(self, "view"):
            return
        view, span = self.view, self.view.span
        numbers = (view.left, view.right, view.width, view.height, span.lowest,
                   span.highest, view.bar_px, view.x(0), view.y(1.0), view.index(5),
                   view.price(5))  # fmt: skip
        assert all(math.isfinite(each) for each in numbers)
        assert span.lowest < span.highest
        assert 0 < (view.right - view.left) <= MOST_BARS * 1.01
        assert view.bars()[0] < view.bars()[1]


Moved.TestCase.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None
)
TestMoved = Moved.TestCase
