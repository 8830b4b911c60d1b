"""What others draw, as it is seen in a window."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint

from piker.msgs import DrawRects, Rect, Redraw, RemoveRects
from piker.ui._layouts import WindowLayout
from piker.ui._theme import THEMES
from tests.ui._hands import Hands, use_window

SCENARIOS = []
BTC = "btcusdt.spot.sim"


def scenario(func):
    SCENARIOS.append(func)
    return func


def color_at(chart, x: float, y: float) -> str:
    return chart.canvas.grab().toImage().pixelColor(QPoint(int(x), int(y))).name()


def rect_of(chart, ago: int, lasts: int, **more) -> Rect:
    """Return one that begins some bars before the newest."""
    begin_s = float(chart.chart.series.time[-1 - ago])
    end_s = begin_s + lasts * chart.period_s
    return Rect(fqme=BTC, begin_s=begin_s, end_s=end_s, **more)


def x_of(chart, ago: float) -> float:
    return chart.chart.view.x(chart.chart.series.end - 1 - ago)


@scenario
async def it_lies_over_its_bars_behind_them(hands: Hands):
    window = hands.window
    for chart in (window.fast, window.slow):
        foot = chart.chart.view.height - 3  # below all bars
        with window.session.annots.open_caller() as do:
            assert not do(DrawRects(rects={1: rect_of(chart, 20, 10, color="#123456")}))
            await hands.settle()
            assert color_at(chart, x_of(chart, 15), foot) == "#123456"
            for beside in (22, 8):
                assert color_at(chart, x_of(chart, beside), foot) != "#123456"
            do(RemoveRects(aids=[1]))
            await hands.settle()
            assert color_at(chart, x_of(chart, 15), foot) != "#123456"


@scenario
async def it_goes_with_prices_and_with_the_view(hands: Hands):
    chart = hands.window.fast
    span = chart.chart.view.span
    low, high = span.price(0.01), span.price(0.05)
    rect = rect_of(chart, 40, 20, lowest=low, highest=high, color="#123456")
    with hands.window.session.annots.open_caller() as do:
        do(DrawRects(rects={1: rect}))
        for _ in range(3):
            view = chart.chart.view
            middle = (view.y(low) + view.y(high)) / 2
            assert color_at(chart, x_of(chart, 30), middle) == "#123456"
            assert color_at(chart, x_of(chart, 30), view.y(high) - 4) != "#123456"
            await hands.wheel(-1, x=chart.canvas.width() - 10)  # prices, from now on
            await hands.drag(QPoint(300, 100), QPoint(340, 90))


@scenario
async def a_text_stays_in_sight(hands: Hands):
    chart = hands.window.fast
    rect = rect_of(chart, 3000, 3000, color="#123456", text="a hole of many hours")
    with hands.window.session.annots.open_caller() as do:
        before = chart.canvas.grab().toImage()
        do(DrawRects(rects={1: rect}))
        after = chart.canvas.grab().toImage()
        line = int(chart.canvas.picture.axes.line_px)
        ink = {after.pixelColor(x, y).name() for x in range(4, 60) for y in range(line)}
        assert len(ink) > 5, "letters"
        assert before != after


@scenario
async def a_text_is_written_where_there_is_room_for_it(hands: Hands):
    chart = hands.window.fast
    rect = rect_of(chart, 40, 10, color="#123456", text="three bars missing")
    with hands.window.session.annots.open_caller() as do:
        assert not do(DrawRects(rects={1: rect}))
        for bars, is_written in ((60, True), (2000, False)):
            chart.chart.view.show(bars, chart.chart.series.end)
            chart.canvas.look()
            image = chart.canvas.grab().toImage()
            left = round(x_of(chart, 40.5))
            line = int(chart.canvas.picture.axes.line_px)
            ink = {
                image.pixelColor(x, y).name()
                for x in range(left + 3, left + 60)
                for y in range(line)
            }
            assert (THEMES["dark"].text in ink) == is_written, bars


@scenario
async def a_tick_writes_no_text_that_it_does_not_touch(hands: Hands):
    chart = hands.window.fast
    written = []
    axes = chart.canvas.picture.axes
    write = axes.write

    def note(painter, at, text, color):
        written.append(text)
        return write(painter, at, text, color)

    rects = {
        i: rect_of(chart, 100 - 5 * i, 5, color="#40123456", text=f"{i}")
        for i in range(18)
    }
    chart.chart.view.show(150, chart.chart.series.end)
    await hands.move(QPoint(-1, -1))
    chart.canvas.mouse = None  # what it points at is written at the top
    with hands.window.session.annots.open_caller() as do:
        assert not do(DrawRects(rects=rects))
        await hands.settle(0.2)
        axes.write = note
        chart.canvas.repaint()
        assert set(written) > {rect.text for rect in rects.values()}
        written.clear()
        chart.canvas.update_tip()
        await hands.settle()
        assert written, "the price"
        assert not {rect.text for rect in rects.values()} & set(written)
        del axes.write


@scenario
async def a_colour_of_its_own_is_the_themes_otherwise(hands: Hands):
    chart = hands.window.fast
    with hands.window.session.annots.open_caller() as do:
        do(DrawRects(rects={1: rect_of(chart, 20, 10)}))
        foot = chart.chart.view.height - 3
        colors = set()
        for theme in (THEMES["dark"], THEMES["light"]):
            hands.charts.show_theme(theme)
            await hands.settle()
            color = color_at(chart, x_of(chart, 15), foot)
            assert color not in (theme.back, theme.mark)  # let shine through
            colors.add(color)
        assert len(colors) == 2


@scenario
async def of_another_market_or_length_it_is_not_shown(hands: Hands):
    window = hands.window
    with window.session.annots.open_caller() as do:
        rect = rect_of(window.fast, 20, 10, period_s=1)
        do(DrawRects(rects={1: rect}))
        assert window.fast.chart.annots == (rect,)
        assert not window.slow.chart.annots
        await hands.tap("]")  # the fast one shows longer bars now
        assert window.fast.period_s != 1
        assert not window.fast.chart.annots
        await hands.tap("[")
        assert window.fast.chart.annots == (rect,)
        window.switch("ethusdt.spot.sim")
        await hands.settle()
        assert not window.fast.chart.annots
        later = await hands.charts.open(WindowLayout(fqmes=(BTC,)))
        assert later.fast.chart.annots == (rect,), "opened later"
        later.close()
    assert not window.session.annots.of(BTC, 1)
    assert len(window.session.annots.listeners) == 1


@scenario
async def bars_are_read_anew_and_stay_where_they_are(hands: Hands):
    window = hands.window
    chart, market = window.fast.chart, window.market
    await hands.drag(QPoint(300, 100), QPoint(700, 100))
    where, times = (chart.view.left, chart.view.right), chart.series.time.copy()
    past = chart.series.past
    with window.session.annots.open_caller() as do:
        # something is wrong with what was read
        chart.series._room["close"][chart.series._lo :] = 1.0
        do(Redraw(fqme="ethusdt.spot.sim"))
        assert (chart.series.close == 1.0).all()
        do(Redraw(fqme=BTC, period_s=1))
    await hands.settle()
    assert window.fast.chart is chart
    assert not (chart.series.close == 1.0).any()
    assert chart.series.past > past
    assert (chart.view.left, chart.view.right) == where
    assert (chart.series.time == times).all()
    market.trade(market.touch.last, new_bar=True)
    await hands.settle()
    assert len(chart.series) == len(times) + 1


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda func: func.__name__)
def test_annots(tmp_path, monkeypatch, scenario):
    monkeypatch.setenv("PIKER_STATE_DIR", str(tmp_path / "state"))
    use_window(tmp_path, scenario, "btcusdt", "ethusdt")
