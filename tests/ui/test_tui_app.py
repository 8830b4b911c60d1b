"""The terminal chart under Textual, headless: each key, and when it is drawn."""

from __future__ import annotations

import asyncio
import os
import random
import time
from decimal import Decimal

import pytest

from piker.testing import private_dirs
from piker.ui._order_events import (
    CancelAll,
    CancelOrders,
    ChangePrice,
    Halt,
    Submit,
)
from piker.ui._times import PERIODS
from piker.ui._trading import Toast
from piker.ui._tui import _app
from piker.ui._tui._app import ChartApp
from piker.ui._tui._cells import text_of
from piker.ui._tui._finder import Finder
from piker.ui._tui._form import Form
from piker.ui._tui._overlays import Help
from piker.ui._tui._taps import action_of, combo_of_key
from tests.ui._headless import (
    BTC,
    drawn,
    drive,
    left_of,
    matches,
    model_of,
    screen,
    told,
)

# -- keys -----------------------------------------------------------------------------

#: Keys that are pressed before, for those that need something to act on.
BEFORE = {
    "clear": ["f"],
    "live": ["f"],
    "enter": ["f"],
    "cancel": ["m"],
    "pick": ["m"],
    "nudge_up": ["m"],
    "nudge_down": ["m"],
    "page_right": ["pageup"],
    "pan_right": ["pageup"],
    "reset_view": ["pageup", "<"],
    "next_period": ["["],
    "halt": [],
}
#: What is so after a key of an action, and wasn't before it.
AFTER = {
    "open_search": lambda app, model: isinstance(app.overlay, Finder),
    "toggle_help": lambda app, model: isinstance(app.overlay, Help),
    "open_pane": lambda app, model: isinstance(app.overlay, Form),
    "toggle_panes": lambda app, model: "3 orders" not in screen(app),
    "toggle_watchlist": lambda app, model: "watchlist" not in screen(app),
    "clear": lambda app, model: model.entry.mode.staged is None,
    "reset_view": lambda app, model: model.look.chart.view.fits,
    "redraw": lambda app, model: model.look.places is not None,
    "zoom_in": lambda app, model: model.look.zoom.scale.cells == 2,
    "zoom_out": lambda app, model: model.look.zoom.scale.bars == 2,
    "query": lambda app, model: " C 66,195.34" in screen(app),
    "previous_period": lambda app, model: model.period_s == 30,
    "next_period": lambda app, model: model.period_s == 60,
    "next_style": lambda app, model: model.look.chart.style == "bars",
    "toggle_log": lambda app, model: " log" in screen(app),
    "toggle_utc": lambda app, model: "local" in screen(app),
    "toggle_theme": lambda app, model: model.theme == "light",
    "halt": lambda app, model: "again within 2 s" in screen(app),
    "close_window": lambda app, model: app._exit,
    "stage_buy": lambda app, model: "dark buy paper" in screen(app),
    "stage_sell": lambda app, model: " dark-sell " in screen(app),
    "stage_alert": lambda app, model: "alert 66195.34 at" in screen(app),
    "live": lambda app, model: " live-buy " in screen(app),
    "cancel": lambda app, model: model.link.done == [CancelOrders(("o66393.93",))],
    "set_slots": lambda app, model: "in 6 slots" not in screen(app),
    "pan_left": lambda app, model: left_of(model) < 0,
    "pan_right": lambda app, model: left_of(model) > PAGED,
    "page_left": lambda app, model: left_of(model) == PAGED,
    "page_right": lambda app, model: left_of(model) == 0,
    "price_out": lambda app, model: "by hand" in screen(app),
    "price_in": lambda app, model: "by hand" in screen(app),
    "next_market": lambda app, model: model.market.fqme == "ethusdt.spot.sim",
    "previous_market": lambda app, model: model.market.fqme == "ethusdt.spot.sim",
    "cursor_up": lambda app, model: model.entry.mode.cursor is not None,
    "cursor_down": lambda app, model: model.entry.mode.cursor is not None,
    "tick_up": lambda app, model: model.entry.mode.cursor is not None,
    "tick_down": lambda app, model: model.entry.mode.cursor is not None,
    "cursor_last": lambda app, model: model.entry.mode.cursor == Decimal("66195.34"),
    "line_up": lambda app, model: model.entry.mode.cursor == Decimal("65930.56"),
    "line_down": lambda app, model: model.entry.mode.cursor == Decimal("66393.93"),
    "enter": lambda app, model: isinstance(model.link.done[-1], Submit),
    "pick": lambda app, model: " move-" in screen(app),
    "nudge_up": lambda app, model: isinstance(model.link.done[-1], ChangePrice),
    "nudge_down": lambda app, model: isinstance(model.link.done[-1], ChangePrice),
}  # fmt: skip
PAGED = -35
#: The check wants something that is there only after the key.
NEVER_FALSE = {"redraw", "enter", "pick", "nudge_up", "nudge_down", "cancel"}
#: What isn't one key.
NOT_ONE = {"c c, quickly": ["c", "c"], "1-9, 0 for 10": ["4"], "tab": ["tab"]}


def test_each_key_does_what_the_overlay_says():
    combos = set(told()) - {"c c, quickly", "ctrl-p"}
    assert len(combos) > 50

    async def script(pilot, app, model):
        ends = [combo for combo in combos if action_of(combo) == "close_window"]
        for combo in [*sorted(combos - set(ends)), ends[0]]:
            keys = NOT_ONE.get(combo, [combo])
            action = action_of({"tab": "ctrl-i"}.get(combo, keys[0]))
            assert action is not None, combo
            app.overlay, fresh = None, model_of()
            app.attach(fresh)
            await drawn(app)
            await pilot.press(*BEFORE.get(action, []))
            check = AFTER[action]
            if action not in NEVER_FALSE:
                assert not check(app, fresh), f"else {combo} is no test"
            await pilot.press(*keys)
            assert check(app, fresh), (combo, screen(app))

    drive(script)


async def press_each(pilot, model, combo: str, *at_s: float) -> None:
    """Press a key at these times."""
    for each in at_s:
        model.monotonic = lambda each=each: each
        await pilot.press(combo)


def test_two_quick_taps_on_c_cancel_all():
    async def script(pilot, app, model):
        await press_each(pilot, model, "c", 0.0, 0.1)
        (intent,) = (each for each in model.link.done if isinstance(each, CancelAll))
        assert set(intent.oids) == set(model.session.trading.dialogs)

    drive(script)


def test_a_key_that_is_held_is_no_double_tap():
    """A terminal tells its repeats as presses, some thirty a second."""

    async def script(pilot, app, model):
        repeats = [0.5 + i * 0.033 for i in range(10)]
        await press_each(pilot, model, "c", 0.0, *repeats)
        assert not any(isinstance(each, CancelAll) for each in model.link.done)

    drive(script)


def test_halt_wants_two_presses():
    async def script(pilot, app, model):
        await press_each(pilot, model, "ctrl-h", 0.0)
        assert model.link.done == []
        await press_each(pilot, model, "ctrl-h", 0.3)
        assert model.link.done == [Halt()]

    drive(script)


def test_a_picture_of_the_screen_is_saved(tmp_path):
    async def script(pilot, app, model):
        await pilot.press("ctrl-p")
        (file,) = (tmp_path / "state" / "pictures").glob("*.svg")
        assert "btcusdt.spot.sim" in file.read_text()
        assert "saved " in screen(app)

    with private_dirs(tmp_path):
        drive(script)


@pytest.mark.parametrize(
    ("key", "character", "combo"),
    [
        ("ctrl+l", None, "ctrl-l"), ("question_mark", "?", "?"), ("F", "F", "F"),
        ("escape", "\x1b", "esc"), ("tab", "\t", "ctrl-i"), ("enter", "\r", "enter"),
        ("backspace", "\x08", "ctrl-h"), ("backspace", "\x7f", "backspace"),
        ("ctrl+@", "\x00", "ctrl-space"), ("shift+up", None, "shift-up"),
        ("left_square_bracket", "[", "["), ("space", " ", "space"), ("5", "5", "5"),
        ("ctrl+shift+up", None, "ctrl-shift-up"), ("delete", None, "delete"),
        ("ctrl+equals_sign", None, "ctrl-="), ("ctrl+underscore", "\x1f", "ctrl--"),
    ],
)  # fmt: skip
def test_names_of_textual_are_combos(key, character, combo):
    assert combo_of_key(key, character) == combo


# -- drawing --------------------------------------------------------------------------


def test_it_is_drawn_ten_times_a_second_and_only_if_something_changed():
    async def script(pilot, app, model):
        draws = -1
        async with asyncio.timeout(10):  # what is there is drawn, and no more
            while app.draws != draws:
                draws = app.draws
                await asyncio.sleep(0.3)
        began = time.monotonic()
        while time.monotonic() < began + 0.5:
            model.changed()
            await asyncio.sleep(0.002)
        took_s = time.monotonic() - began
        assert app.draws - draws <= took_s / _app.DRAW_S + 1.5

    drive(script, draw_s=_app.DRAW_S)


def test_of_a_tick_only_some_rows_are_put():
    async def script(pilot, app, model):
        put = []
        refresh = app._canvas.refresh
        app._canvas.refresh = lambda *regions, **how: (
            put.extend(regions) or refresh(*regions, **how)
        )
        model.market.touch.last += 0.01
        await drawn(app)
        assert 0 < len(put) < 6

    drive(script)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60), (60, 20), (30, 8)])
def test_it_takes_any_size(size):
    async def script(pilot, app, model):
        await pilot._pilot.resize_terminal(*size)
        await drawn(app)
        lines = screen(app).splitlines()
        assert len(lines) == size[1]
        assert {len(line) for line in lines} == {size[0]}
        assert text_of(app.frame.rows) == screen(app)

    drive(script)


def test_periods_go_from_the_first_to_the_last_and_history_is_asked_for():
    async def script(pilot, app, model):
        await pilot.press(*"[" * 13)
        assert model.period_s == PERIODS[0]
        await pilot.press(*"]" * 13)
        assert model.period_s == PERIODS[-1]
        await pilot.press("[", "[", "[", "pageup", "pageup")
        assert (BTC, 3600) in model.link.asked_older

    drive(script)


def test_hidden_markets_are_not_asked_for():
    async def script(pilot, app, model):
        assert model.link.watched == {BTC: True, "ethusdt.spot.sim": True}
        await pilot.press("w")
        assert model.link.watched == {BTC: True, "ethusdt.spot.sim": False}
        await pilot.press(".")
        assert model.link.watched == {BTC: False, "ethusdt.spot.sim": True}

    drive(script)


def test_an_error_in_drawing_ends_the_app_with_it():
    async def main():
        app = ChartApp()
        async with app.run_test(size=(80, 24)):
            model = model_of()
            app.attach(model)
            await drawn(app)
            model.market.flume.mkt = None
            app.ask_draw()
            async with asyncio.timeout(10):
                while not app._exit:
                    await asyncio.sleep(0.01)

    with pytest.raises(AttributeError):
        asyncio.run(main())


def test_a_monkey_breaks_nothing():
    """Press and click at random; ``PIKER_MONKEY`` says how often."""
    rng = random.Random(5)
    combos = sorted({*told(), *"123456789xyzn?", "ctrl-i", "digit", "y", "n", "enter"})
    combos = [each for each in combos if action_of(each) != "close_window"]
    times = int(os.environ.get("PIKER_MONKEY", "10000"))

    async def script(pilot, app, model):
        model.link.is_emsd = True
        model.session.trading._client.accounts = ("paper", "sim.main")
        model.link.found = matches("ethusdt.spot.sim", "nope.spot.sim")
        app._save_picture = lambda model: None
        width, height = app.size
        for n in range(times):
            if rng.random() < 0.7:
                combo = rng.choice(combos)
                app.pressed(combo, combo if len(combo) == 1 else "")
            elif app.overlay is None:
                what = rng.choice(
                    ["down", "up", "move", "move", "wheel-up", "wheel-down"]
                )
                at = (rng.randrange(width), rng.randrange(height))
                app._mouse.take(what, at, rng.choice([1, 1, 1, 3]), app.frame)
                app._attend(model)
            if n % 7 == 0:
                model.market.touch.last *= rng.uniform(0.999, 1.001)
            if n % 20 == 0:
                app._draw()
                assert len(app.frame.rows) == height
        assert not app._exit
        sent = [each for each in model.link.done if isinstance(each, Submit)]
        assert sent

    drive(script)


def test_toasts_of_the_session_are_shown():
    async def script(pilot, app, model):
        model.session.toast(Toast("buy 1 of it at 2 on paper", "good"))
        await drawn(app)
        assert "buy 1 of it at 2 on paper" in screen(app)

    drive(script)
