"""The whole screen of the terminal chart, as rows of cells."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from hypothesis import given, settings, strategies as st

from piker.msgs import HistoryProgress, ServiceInfo, Warned
from piker.ui._study import Study
from piker.ui._theme import DARK
from piker.ui._times import PERIODS, local_zone, next_period
from piker.ui._trading import Toast
from piker.ui._tui._cells import (
    Ink,
    text_of,
    width_of,
)
from piker.ui._tui._frame import frame, waiting
from piker.ui._tui._look import Look
from piker.ui._tui._model import Model
from piker.ui._tui._overlays import boxed, help_rows
from piker.ui._tui._palette import palette
from piker.ui._tui._plot import draw
from piker.ui._tui._scene import Scene
from piker.ui._tui._tables import Column, table
from piker.ui.indicators import parse
from tests.ui import _fakes

INK = Ink("#ffffff", "#000000")
INKS = palette("dark")


# -- the whole screen -----------------------------------------------------------------


def model_of(*, is_busy=True, **more):
    market = _fakes.fake_market()
    session = _fakes.fake_session(market)
    model = Model(session, _fakes.FakeLink(session), market, **more)
    if is_busy:
        _fakes.busy(session.trading._client, market, session.trading._fills)
    return model


def test_at_80_by_24_nothing_that_matters_is_cut():
    model = model_of()
    model.watch(_fakes.fake_market(_fakes.coin("eth"), seed=3, price=2500.0))
    text = frame(model, 80, 24).text
    last = f"{model.market.touch.last:,.2f}"
    for words in (
        "btcusdt.spot.sim", "1m", f"{last}▲", f"bid {last} x0.512", "ask ", "x1.25",
        "spr 0.01", "3 orders", "1 position", "watchlist", "ethusdt.spot.sim",
        "paper $6k in 6 slots ▮▯▯▯▯▯", "● live 12 ms", "05:00:00 UTC", "dark", "live",
        "long :1x", "+$0.98",
    ):  # fmt: skip
        assert words in text, (words, text)
    for status in model.session.trading.dialogs.values():
        assert text.count(f"{float(status.req.price):,.2f}") == 2  # axis and table


SIZES = st.tuples(st.integers(1, 220), st.integers(1, 70))
ACTIONS = st.lists(
    st.sampled_from(
        [
            "zoom_in", "zoom_out", "pan_left", "pan_right", "page_left", "page_right",
            "reset_view", "toggle_log", "next_style", "query", "next_period",
            "previous_period", "toggle_utc", "toggle_theme", "toggle_panes",
            "toggle_watchlist", "stage_buy", "stage_sell", "stage_alert", "live",
            "cursor_up", "cursor_down", "tick_up", "tick_down", "line_up", "line_down",
            "enter", "pick", "nudge_up", "nudge_down", "clear", "price_out", "price_in",
            "cancel", "halt", "next_market", "cursor_last",
        ]
    ),
    max_size=25,
)  # fmt: skip


@settings(max_examples=150)
@given(SIZES, ACTIONS, st.booleans(), st.integers(0, 300))
def test_whatever_is_pressed_the_screen_is_as_large_as_it_is(
    size, actions, is_busy, bars
):
    market = _fakes.fake_market(bars=300)
    market.flume.hist_shm.bars = market.flume.hist_shm.bars[:bars]
    session = _fakes.fake_session(market)
    model = Model(session, _fakes.FakeLink(session), market)
    if is_busy:
        _fakes.busy(session.trading._client, market, session.trading._fills)
        model.watch(_fakes.fake_market(_fakes.coin("eth")))
    for action in [None, *actions]:
        if action is not None:
            assert model.act(action)
        if model.question:
            model.answer(is_yes=False)
        shown = frame(model, *size)
        assert [width_of(row) for row in shown.rows] == [size[0]] * len(shown.rows)
        assert len(shown.rows) <= size[1]
        if size[1] >= 5:
            assert len(shown.rows) == size[1]


def test_troubles_are_told_with_their_reasons():
    model = model_of()
    session, trading = model.session, model.session.trading
    model.market.trouble = "the connection to wss://x was lost"
    session.lost = "no pikerd at 127.0.0.1:1"
    trading.down = "emsd was killed"
    trading._client.state = trading._client.state.__class__(
        time_ns=0, halted="by me", down={"brokerd.x": "gone"}, unwatched={"a.b": "x"}
    )
    session.services = [
        service("datad.sim", restarts=2),
        service("brokerd.x", state="quarantined", reason="it died 5 times"),
    ]
    model.market.progress[60] = HistoryProgress(
        fqmes=("a",), period_s=60, done=0.43, oldest_s=0, bars=1, reason="", time_ns=0
    )
    wide = frame(model, 200, 40).text
    for words in (
        "reconnecting", "no quotes: the connection to wss://x was lost", "pikerd lost",
        "emsd lost", "orders can't be placed: emsd was killed", "HALTED",
        "trading is halted: by me", "brokerd.x lost", "a.b unwatched",
        "history 1m 43%", "restarts datad.sim 2", "brokerd.x quarantined",
        "brokerd.x is quarantined: it died 5 times",
    ):  # fmt: skip
        assert words in wide, (words, wide)
    narrow = frame(model, 80, 24).text
    for words in ("● reconnecting", "pikerd lost", "emsd lost", "HALTED"):
        assert words in narrow, (words, narrow)


def test_what_is_odd_is_told_for_a_minute():
    model = model_of()
    fqme = model.market.fqme
    warned = Warned(fqmes=(fqme,), reason="a trade came 9 s late", time_ns=0)
    model.market._take(warned)
    told = f"{fqme}: a trade came 9 s late"
    assert told in frame(model, 80, 24).text
    model.market._noted_s -= 61
    assert told not in frame(model, 80, 24).text


def service(name, **more):
    told = {"state": "running", "reason": "", **more}
    return ServiceInfo(
        name=name, pid=1, uptime_s=1.0, rss_mb=1.0, cpu=0.0, address="",
        **{"restarts": 0, **told},
    )  # fmt: skip


def test_toasts_go_after_a_while():
    model = model_of()
    now = [100.0]
    model.monotonic = lambda: now[0]
    model._toasted(Toast("sold it", "good"))
    model._toasted(Toast("refused " + "very " * 40, "bad"))
    text = frame(model, 80, 24).text
    assert "sold it" in text
    assert "refused" in text
    now[0] += 7
    text = frame(model, 80, 24).text
    assert "sold it" not in text
    assert "refused" in text
    now[0] += 7
    assert "refused" not in frame(model, 80, 24).text


def test_a_table_leaves_out_what_matters_least():
    columns = [Column("a"), Column("b", is_right=True, rank=2), Column("c", rank=1)]
    lines = [[("one", INK), ("22", INK), ("three", INK)]] * 4
    wide = text_of(table("t", columns, lines, (30, 3), (INK, INK))).splitlines()
    assert [row.rstrip() for row in wide] == [
        " t     b  c",
        " one  22  three",
        " … 3 more",
    ]
    narrow = text_of(table("t", columns, lines, (12, 6), (INK, INK))).splitlines()
    assert narrow[1].rstrip() == " one  three"
    assert table("t", columns, lines, (12, 0), (INK, INK)) == []


def test_a_table_cuts_names_before_numbers():
    columns = [Column("name"), Column("last", is_right=True)]
    lines = [[("btcusdt.usdtm.perp.sim", INK), ("25,748.56", INK)]]
    shown = text_of(table("t", columns, lines, (30, 2), (INK, INK))).splitlines()
    assert shown[1] == " btcusdt.usdtm.per…  25,748.56"


def test_the_help_has_all_keys_at_any_width():
    for width in (40, 80, 120):
        rows = help_rows(width, INKS)
        assert {width_of(row) for row in rows} == {width}
    text = text_of(help_rows(120, INKS))
    assert "tab or ctrl-o" not in text
    for words in ("tab ", "Stage a buy", "ctrl-l", "shift-up or k", "c c, quickly"):
        assert words in text
    assert "hold" not in text.lower().replace("holds", "")


def test_a_box_lies_over_what_is_below():
    below = frame(model_of(), 80, 24).rows
    rows = boxed(below, [(("hello", INK),)], (80, 24), INKS)
    assert {width_of(row) for row in rows} == {80}
    assert len(rows) == 24
    assert "│ hello │" in text_of(rows)
    assert text_of(rows).splitlines()[0] == text_of(below).splitlines()[0]


def test_before_there_is_a_market_it_is_said_what_is_waited_for():
    rows = waiting("connecting", 40, 5, INK)
    assert [width_of(row) for row in rows] == [40] * 5
    assert "connecting" in text_of(rows)


def test_periods_and_zones():
    assert list(PERIODS) == sorted(PERIODS)
    assert (next_period(60, 1), next_period(60, -1)) == (300, 30)
    assert (next_period(420, 1), next_period(420, -1)) == (900, 300)
    assert (next_period(1, -1), next_period(PERIODS[-1], 1)) == (1, PERIODS[-1])
    now = datetime.now(UTC)
    assert now.astimezone(local_zone()).utcoffset() == now.astimezone().utcoffset()


def test_studies_are_told_apart_by_their_colours():
    market = _fakes.fake_market()
    look = Look.at(market, 60, [parse("ema:5"), parse("sma:40")])
    look.refresh()
    assert all(isinstance(each, Study) and each.lines for each in look.chart.studies)
    places = look.arrange(80, 30)
    rows = draw(Scene(chart=look.chart, zoom=look.zoom), places, INKS)
    inks = {ink.fore for row in rows for text, ink in row if set(text) & set("▔─▁")}
    assert set(DARK.overlays[:2]) <= inks


def test_ten_pictures_a_second_are_cheap():
    model = model_of()
    frame(model, 80, 24)
    took = []
    for _ in range(5):
        began = time.process_time()
        for n in range(4):
            model.market.touch.last += 0.01 * n
            frame(model, 80, 24)
        took.append((time.process_time() - began) / 4)
    # of the 15 ms that ten of them a second may take of a core
    assert min(took) < 0.010
