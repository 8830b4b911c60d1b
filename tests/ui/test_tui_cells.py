"""The terminal chart as cells: pictures by hand, and what holds for any picture."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from piker.tsp import OHLCV
from piker.ui._chart import Chart
from piker.ui._order_lines import line_of
from piker.ui._series import Series
from piker.ui._theme import DARK
from piker.ui._tui._cells import (
    Grid,
    Ink,
    Piece,
    fitted,
    one_cell,
    padded,
    shortened,
    solid,
    text_of,
    width_of,
)
from piker.ui._tui._look import Look
from piker.ui._tui._palette import palette
from piker.ui._tui._plot import draw
from piker.ui._tui._scale import SCALES, Scale, Zoom
from piker.ui._tui._scene import InSight, Scene, arrange, lay_out
from piker.ui._view import View
from piker.ui.indicators import parse
from tests.clearing._orders import market as mkt_of
from tests.ui import _fakes

INK = Ink("#ffffff", "#000000")
INKS = palette("dark")


# -- cells ----------------------------------------------------------------------------


def test_what_is_put_is_cut_at_the_edges():
    grid = Grid(4, 2, INK)
    red = Ink("#ff0000", "#000000")
    grid.put(-1, 0, "abc", red)
    grid.put(3, 1, "xyz", red)
    grid.put(4, 0, "no", red)
    grid.put(0, 2, "no", red)
    grid.put(9, 1, "longer", red)
    assert text_of(grid.rows()) == "bc  \n   x"
    assert grid.rows()[0] == (("bc", red), ("  ", INK))


def test_what_is_put_under_covers_nothing():
    grid = Grid(4, 1, INK)
    grid.put(1, 0, "a ", Ink("#ff0000", "#0000ff"))
    for x in range(4):
        grid.put_under(x, 0, "-", INK)
    assert text_of(grid.rows()) == "-a -"


@given(
    st.lists(st.tuples(st.text("ab", max_size=5), st.integers(0, 3))),
    st.integers(0, 30),
)
def test_a_line_is_as_wide_as_it_is_to_be(pieces, width):
    made = [Piece(((text, INK),) if text else (), rank) for text, rank in pieces]
    assert width_of(fitted(made, width, INK)) == width
    assert width_of(padded([(text, INK) for text, _ in pieces], width, INK)) == width


def test_the_least_of_a_line_is_left_out_first():
    pieces = [
        Piece(((name, INK),), rank) for name, rank in (("aa", 0), ("bb", 2), ("cc", 1))
    ]
    assert [
        "".join(text for text, _ in fitted(pieces, width, INK)).rstrip()
        for width in (10, 9, 6, 5, 1)
    ] == ["aa  bb  cc", "aa  cc", "aa  cc", "aa", "a"]


@given(st.text(max_size=50))
def test_each_character_of_a_foreign_text_is_a_cell(text):
    from rich.cells import cell_len

    assert cell_len(one_cell(text)) == len(one_cell(text))


def test_texts_and_colours():
    assert one_cell("a\x1b[31m\tb\n 株e\u0301") == "a?[31m b ?e?"
    assert [shortened("abcdef", n) for n in (6, 4, 1, 0)] == ["abcdef", "abc…", "…", ""]
    assert solid("#123456", "#000000") == "#123456"
    assert solid("#80ff0000", "#000000") == "#800000"


# -- scale ----------------------------------------------------------------------------


@settings(max_examples=300)
@given(
    st.integers(0, len(SCALES) - 1),
    st.integers(20, 250),
    st.integers(-5000, 5000),
    st.lists(
        st.tuples(st.sampled_from(["zoom", "pan", "width"]), st.integers(-40, 40))
    ),
)
def test_each_bar_is_as_wide_as_any_other(at, width, start, moves):
    end = start + 4000
    view, zoom = View(width=float(width), height=10.0), Zoom(at)
    zoom.to_newest(view, end)
    for what, n in moves:
        if what == "zoom":
            zoom.change(view, 1 if n > 0 else -1, end)
        elif what == "pan":
            zoom.pan(view, n, start, end)
        else:
            view.width = float(max(width + n, 20))
            zoom.pan(view, 0, start, end)
        scale = zoom.scale
        assert (view.right - view.left) * scale.cells == view.width * scale.bars
        first, last = view.bars()
        cells = [
            zoom.cell_of(view, i * scale.bars)
            for i in range(first // scale.bars, last // scale.bars + 1)
        ]
        assert set(np.diff(cells)) <= {scale.cells}
        # some bars stay in sight, unless all there is takes less than a cell
        assert view.left < end
        assert view.right > start


def test_zoom_keeps_the_newest_bar_where_it_is():
    view, zoom = View(width=70.0, height=10.0), Zoom()
    zoom.to_newest(view, 1000)
    assert zoom.cell_of(view, 999) == 66
    before = view.x(999)
    while zoom.change(view, 1, 1000):
        assert abs(view.x(999) - before) <= zoom.scale.cells
    assert zoom.scale == Scale(cells=8)
    while zoom.change(view, -1, 1000):
        pass
    assert zoom.scale == SCALES[-1]
    assert not zoom.change(view, -1, 1000)


# -- candles --------------------------------------------------------------------------


def chart_of(*rows, volume=1.0, tick="0.01"):
    """Return a chart of bars given as (open, high, low, close)."""
    bars = np.zeros(len(rows), OHLCV)
    for i, name in enumerate(("open", "high", "low", "close")):
        bars[name] = [row[i] for row in rows]
    bars["time"] = _fakes.START_S + np.arange(len(rows)) * 60
    bars["volume"] = volume
    series = Series(mkt_of(price_tick=tick), 60)
    series.splice(bars)
    return Chart(series)


def drawn(chart, zoom, width=20, height=8, **scene):
    arrange(chart, zoom, width, height, InSight())
    zoom.to_newest(chart.view, chart.series.end)
    places = arrange(chart, zoom, width, height, InSight())
    return draw(Scene(chart=chart, zoom=zoom, **scene), places, INKS), places


def by_hand(chart, zoom, low, high, width=20, height=8):
    """Return the characters of the prices, from a lowest to a highest price."""
    chart.view.fits = False
    chart.view.span.lowest, chart.view.span.highest = low, high
    rows, places = drawn(chart, zoom, width, height)
    return [
        "".join(text for text, _ in row)[: places.plot].replace("┈", " ").rstrip()
        for row in rows[: places.prices]
    ]


def test_candles_of_a_cell_by_hand():
    chart = chart_of(
        (1, 5, 0, 3),  # wick below, body, wick above
        (3, 3, 1, 1),  # body alone
        (2, 4, 0, 2),  # no body: half a row stands for it
        (1.5, 2.5, 1.5, 2.0),  # ends at halves of rows
        (3, 3.5, 2.5, 3),
    )
    assert by_hand(chart, Zoom(), 0, 7, width=16) == [
        "",
        "",
        " │",
        " │ │ ╷",
        " ┃┃│╷╹",
        " ┃┃╿╹",
        " │ │",
    ]


def test_wider_candles_are_true_to_an_eighth():
    chart = chart_of((1, 3.5, 0.5, 2.25), (2, 2, 1.5, 1.5), (2, 3, 1, 1.2))
    two, four = (Zoom(SCALES.index(Scale(cells=cells))) for cells in (2, 4))
    assert by_hand(chart, two, 0, 4, width=16, height=5) == [
        "╷",
        "▂   │",
        "█ ▄ ▂",  # what falls short of a row's end is drawn by what is left of it
        "╵",
    ]
    assert by_hand(chart, four, 0, 4, width=24, height=5) == [
        "   ╷",
        "  ▂▂▂      │",
        "  ███ ▄▄▄ ▂▂▂",
        "   ╵",
    ]


def test_bars_and_lines_by_hand():
    chart = chart_of((1, 3.5, 0.5, 2.25), (2, 2, 1.5, 1.5), (2, 3, 1, 1.2))
    chart.style = "bars"
    assert by_hand(chart, Zoom(), 0, 4, width=24, height=5) == [
        "           │",
        "           ├ │",
        "           │┼┼",
        "           ┤ │",
    ]
    closes = (0.1, 0.5, 1.2, 3.8, 3.9, 2.0)
    chart = chart_of(*[(close,) * 4 for close in closes])
    chart.style = "line"
    assert by_hand(chart, Zoom(), 0, 4, width=24, height=5) == [
        "           ▔▔",
        "           │",
        "          ▁  ▔",
        "        ▁─",
    ]


bar = st.tuples(*[st.floats(1.0, 7.0)] * 4).map(
    lambda four: (four[0], max(four), min(four), four[1])
)


@settings(max_examples=60)
@given(st.lists(bar, min_size=1, max_size=12), st.sampled_from([0, 1, 2, 3]))
def test_candles_cover_what_the_bars_do(bars, at):
    chart, zoom = chart_of(*bars), Zoom(at)
    chart.view.fits = False
    chart.view.span.lowest, chart.view.span.highest = 0.0, 8.0
    rows, places = drawn(chart, zoom, width=120, height=8)
    cells = [_cells(row) for row in rows[: places.prices]]
    per_row = 8.0 / places.prices
    for i, (opened, high, low, closed) in enumerate(bars):
        x = zoom.cell_of(chart.view, i)
        x += (max(zoom.scale.cells - 1, 1) - 1) // 2
        color = DARK.up if closed >= opened else DARK.down
        covered = [
            row
            for row in range(places.prices)
            if color in cells[row][x][1][:2] and cells[row][x][0] not in "┈ "
        ]
        # to half a row, at either end
        top, bottom = (8.0 - high) / per_row, (8.0 - low) / per_row
        assert covered, (i, bars)
        assert covered == list(range(covered[0], covered[-1] + 1))
        assert abs(covered[0] - math.floor(top)) <= 1
        assert abs(covered[-1] - math.floor(bottom)) <= 1


def _cells(row):
    return [(char, ink) for text, ink in row for char in text]


@pytest.mark.parametrize("style", ["candles", "bars", "line"])
def test_all_styles_draw_within_the_plot(style):
    market = _fakes.fake_market()
    look = Look.at(market, 60, [parse("ema:5"), parse("rsi:14")])
    look.chart.style = style
    look.refresh()
    places = look.arrange(60, 30)
    rows = draw(Scene(chart=look.chart, zoom=look.zoom), places, INKS)
    assert [width_of(row) for row in rows] == [60] * 30
    assert "rsi" in text_of(rows)
    assert places.studies == (4,)


def test_volume_fills_its_strip():
    chart = chart_of(*[(1, 2, 1, 2)] * 4)
    rows, places = drawn(chart, Zoom(), 20, 12)
    strip = text_of(rows[-1 - places.volume : -1])
    assert strip.count("█") == 4 * (places.volume - 1)
    empty = chart_of(*[(1, 2, 1, 2)] * 4, volume=0.0)
    rows, places = drawn(empty, Zoom(), 20, 12)
    assert not text_of(rows[-1 - places.volume : -1]).strip()


def test_of_what_has_no_room_nothing_is_left():
    assert (lay_out(80, 8, 9).volume, lay_out(80, 9, 9).volume) == (0, 2)
    assert lay_out(80, 23, 9, studies=2).studies == ()
    assert lay_out(80, 28, 9, studies=2).studies == (4, 4)
    for height in range(1, 60):
        places = lay_out(80, height, 9, studies=3)
        parts = places.prices + sum(places.studies) + places.volume + 1
        assert parts == max(height, 2)


# -- lines ----------------------------------------------------------------------------


def scene_rows(**scene):
    market = _fakes.fake_market()
    look = Look.at(market, 60, ())
    look.refresh()
    look.arrange(80, 20)
    places = look.arrange(80, 20)
    told = {"last": market.touch.last, **scene}
    rows = draw(Scene(chart=look.chart, zoom=look.zoom, **told), places, INKS)
    return rows, look, market


def line(market, action, part, style, **more):
    order = _fakes.order(action, _fakes.near(market, part), **more)
    return line_of(order, market.flume.mkt, style)


def test_lines_of_orders_look_as_they_are():
    market = _fakes.fake_market()
    lines = (
        line(market, "buy", -0.002, "solid"),
        line(market, "sell", 0.003, "dotted"),
        line(market, "sell", 0.001, "dashed"),
    )
    rows, look, _ = scene_rows(lines=lines)
    for each, char, words in zip(
        lines, "─·╌", ("buy", "dark sell", "sent sell"), strict=True
    ):
        row = rows[look.row_of(each.price)]
        text = "".join(part for part, _ in row)
        assert text.count(char) > 10
        assert f" {words} paper 0.1 " in text
        color = DARK.buy if each.what == "buy" else DARK.sell
        assert (
            text.endswith(f"{float(each.price):,.2f}".rjust(9) + " ")
            or f"{float(each.price):,.2f}" in text
        )
        assert any(ink.back == color for part, ink in row if part.strip())


def test_a_real_order_looks_like_no_paper_one():
    market = _fakes.fake_market()
    real = line(market, "buy", -0.002, "solid", account="sim.main")
    rows, look, _ = scene_rows(lines=(real,))
    row = rows[look.row_of(real.price)]
    label = next((text, ink) for text, ink in row if "REAL" in text)
    assert "sim.main" in label[0]
    assert label[1].back == DARK.live


def test_orders_out_of_sight_are_counted():
    market = _fakes.fake_market()
    lines = tuple(line(market, "buy", part, "solid") for part in (-0.5, -0.4, 0.5))
    rows, _, _ = scene_rows(lines=lines)
    text = text_of(rows)
    assert "▲ 1 order " in text.splitlines()[0]
    assert "▼ 2 orders " in text


def test_the_cursor_is_in_sight_wherever_it_is_put():
    market = _fakes.fake_market()
    look = Look.at(market, 60, ())
    look.refresh()
    look.arrange(80, 20)
    for part in (-0.3, 0.0, 0.3):
        cursor = Decimal(_fakes.near(market, part))
        places = look.arrange(80, 20, InSight((cursor,)))
        scene = Scene(chart=look.chart, zoom=look.zoom, cursor=cursor)
        rows = draw(scene, places, INKS)
        row = "".join(text for text, _ in rows[look.row_of(cursor)])
        assert "┄┄┄" in row
        assert f"{float(cursor):,.2f}" in row


def test_a_cursor_far_off_is_left_out_of_sight_if_nothing_is_staged():
    market = _fakes.fake_market()
    look = Look.at(market, 60, ())
    look.refresh()
    look.arrange(80, 20)
    before = look.chart.view.span.highest
    look.arrange(80, 20, InSight(near=(Decimal(_fakes.near(market, 0.5)),)))
    assert look.chart.view.span.highest == before
    near = Decimal(str(round(before * 1.0001, 2)))
    look.arrange(80, 20, InSight(near=(near,)))
    assert look.chart.view.span.highest > near


@given(st.floats(1e-6, 1e9), st.booleans(), st.integers(5, 60))
def test_prices_of_rows_lie_in_them(price, is_log, height):
    market = _fakes.fake_market()
    look = Look.at(market, 60, ())
    look.refresh()
    span = look.chart.view.span
    look.chart.view.fits = False
    span.lowest, span.highest, span.log = price, price * 1.5, is_log
    places = look.arrange(80, height)
    for row in range(places.prices):
        assert math.floor(look.chart.view.y(look.price_at(row)) + 1e-6) in (
            row,
            row - 1,
        )
        assert abs(look.chart.view.y(look.price_at(row)) - row - 0.5) <= 0.51


def test_a_move_of_a_row_is_round_and_at_least_a_tick():
    market = _fakes.fake_market()
    look = Look.at(market, 60, ())
    look.refresh()
    look.arrange(80, 20)
    start = Decimal(_fakes.near(market, 0.0))
    per_row = look.row_prices(start)[1] - look.row_prices(start)[0]
    up = look.moved(start, 1)
    assert abs(up - float(start) - per_row) < per_row / 2
    assert up % 1 == 0
    look.zoom_prices(1e-6)
    assert look.moved(start, 1) >= float(start) + 0.01
    assert look.moved(Decimal("0.01"), -1) == 0.01
