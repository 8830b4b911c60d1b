"""Each key of the table does what the overlay says, pressed on a real window."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import trio
from PySide6.QtCore import QPoint
from PySide6.QtWidgets import QLabel, QMenu

from piker import config
from piker.ui._keys import KEYS, overlay
from piker.ui._layouts import load_layout
from piker.ui._qt import _keyboard
from tests.ui._hands import CTRL, SHIFT, Hands, use_window

CHECKS = {}


def does(*keys):
    """Note which (place, combo) a scenario presses."""

    def note(scenario):
        for key in keys:
            CHECKS.setdefault(key, scenario)
        return scenario

    return note


@pytest.fixture(autouse=True)
def own_dirs(tmp_path, monkeypatch):
    monkeypatch.setenv("PIKER_STATE_DIR", str(tmp_path / "state"))


async def tap_at(hands: Hands, combo: str, time_s: float) -> None:
    """Tap a key at this time, however long a busy machine takes from key to key."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_keyboard, "time", SimpleNamespace(monotonic=lambda: time_s))
        await hands.tap(combo)


# -- the chart ---------------------------------------------------------------------


@does(("view", "ctrl-l"), ("search", "ctrl-c"), ("search", "ctrl-space"),
      ("search", "esc"), ("search", "ctrl-l"))  # fmt: skip
async def search_opens_and_closes(hands: Hands):
    search = hands.window.search
    for close in ("ctrl-c", "ctrl-space", "esc"):
        await hands.tap("ctrl-l")
        assert search.isVisible()
        assert hands.widget() is search.line
        await hands.type("btc")
        await hands.tap("ctrl-l")
        assert search.line.selectedText() == "btc"
        await hands.tap(close)
        assert not search.isVisible()
        assert hands.widget() is hands.canvas


@does(("view", "ctrl-space"))
async def panes_toggle(hands: Hands):
    assert hands.window.side.isVisible()
    await hands.tap("ctrl-space")
    assert not hands.window.side.isVisible()
    await hands.tap("ctrl-space")
    assert hands.window.side.isVisible()


@does(("view", "esc"), ("view", "ctrl-c"), ("view", "shift-drag"))
async def a_measuring_box_is_let_go(hands: Hands):
    for clear in ("esc", "ctrl-c"):
        await hands.drag(QPoint(300, 100), QPoint(500, 200), held=SHIFT)
        box = hands.canvas.box
        assert box is not None
        assert box.one[0] < box.other[0]
        assert box.one[1] > box.other[1]
        await hands.tap(clear)
        assert hands.canvas.box is None


@does(("view", "r"), ("view", "drag"), ("view", "middle-drag"))
async def a_drag_pans_and_r_resets(hands: Hands):
    view = hands.canvas.chart.view
    await hands.tap("r")
    before = (view.left, view.right)
    for button in ("left", "middle"):
        await hands.drag(QPoint(300, 100), QPoint(500, 160), button)
        moved = before[0] - view.left
        assert moved == pytest.approx(200 / view.bar_px, rel=0.02)
        await hands.tap("r")
        assert (view.left, view.right) == pytest.approx(before)


@does(("view", "ctrl-r"))
async def redraw_paints_again(hands: Hands):
    frames, still = [], hands.canvas._made
    hands.canvas.painted.connect(lambda: frames.append(1))
    await hands.tap("ctrl-r")
    assert frames
    assert hands.canvas._made == still


@does(("view", "ctrl-="), ("view", "ctrl-i"), ("view", "ctrl--"), ("view", "ctrl-o"))
async def zoom_by_keys(hands: Hands):
    view = hands.canvas.chart.view
    for closer, wider in (("ctrl-=", "ctrl--"), ("ctrl-i", "ctrl-o")):
        shown = view.right - view.left
        await hands.tap(closer)
        assert view.right - view.left == pytest.approx(shown / 1.25)
        await hands.tap(wider)
        assert view.right - view.left == pytest.approx(shown)


@does(("view", "q"))
async def values_are_shown_while_q_is_held(hands: Hands):
    await hands.move(QPoint(400, 150))
    await hands.press("q")
    assert hands.canvas.shows_values
    await hands.release("q")
    assert not hands.canvas.shows_values


@does(("view", "wheel"), ("view", "axis-wheel"))
async def the_wheel_zooms_time_and_on_the_axis_prices(hands: Hands):
    view, series = hands.canvas.chart.view, hands.canvas.chart.series
    newest, shown = view.x(series.end - 1), view.right - view.left
    await hands.wheel(3)
    assert view.right - view.left < shown
    assert view.x(series.end - 1) == pytest.approx(newest, abs=0.5)
    shown, under = view.right - view.left, view.index(300)
    await hands.wheel(-2, x=300, held=CTRL)
    assert view.right - view.left > shown
    assert view.index(300) == pytest.approx(under, abs=0.01)
    high = view.span.highest - view.span.lowest
    assert view.fits
    await hands.wheel(2, x=hands.canvas.width() - 10)
    assert not view.fits
    assert view.span.highest - view.span.lowest < high


@does(("view", "right-drag"))
async def a_right_drag_zooms_both(hands: Hands):
    view = hands.canvas.chart.view
    shown, high = view.right - view.left, view.span.highest - view.span.lowest
    await hands.drag(QPoint(400, 100), QPoint(500, 160), "right")
    assert view.right - view.left < shown
    assert view.span.highest - view.span.lowest > high
    assert not view.fits


@does(("view", "right-click"))
async def a_right_click_opens_the_menu(hands: Hands):
    shown = []
    await hands.click(QPoint(400, 100), "right")
    shown += [each for each in hands.window.findChildren(QMenu) if each.isVisible()]
    (menu,) = shown
    texts = [entry.text() for entry in menu.actions()]
    assert any(text.startswith("Stage a buy") for text in texts)
    menu.close()


@does(("view", "["), ("view", "]"))
async def periods_step(hands: Hands):
    for combo, period_s in (("]", 5), ("]", 15), ("[", 5), ("[", 1), ("[", 1)):
        await hands.tap(combo)
        assert hands.window.fast.period_s == period_s
        series = hands.window.fast.chart.series
        assert series.period_s == period_s
        assert len(series) > 100
        assert not (series.time % period_s).any()


@does(("view", "b"))
async def styles_go_round(hands: Hands):
    styles = []
    for _ in range(4):
        await hands.tap("b")
        styles.append(hands.window.fast.chart.style)
    assert styles == ["candles", "bars", "line", "auto"]


@does(("view", "l"))
async def log_scale_toggles(hands: Hands):
    await hands.tap("l")
    assert hands.canvas.chart.view.span.log
    await hands.tap("l")
    assert not hands.canvas.chart.view.span.log


@does(("view", "t"))
async def utc_toggles(hands: Hands):
    assert hands.window.is_utc
    await hands.tap("t")
    assert not hands.window.is_utc
    await hands.tap("t")
    assert str(hands.canvas.chart.zone) == "UTC"


@does(("view", "ctrl-t"))
async def themes_toggle(hands: Hands):
    for name in ("light", "dark"):
        await hands.tap("ctrl-t")
        assert hands.canvas.picture.theme.name == name
        image = hands.canvas.grab().toImage()
        assert image.pixelColor(3, 60).name() == hands.charts.theme.back


@does(("view", "w"))
async def the_watchlist_toggles(hands: Hands):
    assert hands.window.watchlist.isVisible()
    await hands.tap("w")
    assert not hands.window.watchlist.isVisible()
    await hands.tap("w")
    assert hands.window.watchlist.isVisible()


@does(("view", "?"), ("view", "f1"))
async def the_overlay_shows_each_key(hands: Hands):
    for combo in ("?", "f1"):
        await hands.tap(combo)
        shown = hands.window.help
        assert shown.isVisible()
        texts = {label.text() for label in shown.findChildren(QLabel)}
        for group in overlay():
            assert group.title in texts
            for row in group.rows:
                assert {row.keys, row.says} <= texts
        await hands.tap(combo)
        assert not shown.isVisible()


@does(("view", "ctrl-p"))
async def a_picture_is_saved(hands: Hands):
    await hands.tap("ctrl-p")
    (path,) = (config.state_dir() / "pictures").glob("btcusdt.spot.sim-*.png")
    assert path.stat().st_size > 5000
    assert str(path) in hands.window.toasts.texts[-1]


@does(("view", "ctrl-s"))
async def a_layout_is_saved(hands: Hands):
    await hands.tap("]", "ctrl-s")
    layout = load_layout()
    assert layout is not None
    assert layout.windows[0].fqmes == ("btcusdt.spot.sim",)
    assert layout.windows[0].period_s == 5


@does(("view", "ctrl-n"), ("view", "ctrl-w"))
async def windows_open_and_close(hands: Hands):
    await hands.tap("ctrl-n")
    await hands.settle(0.3)
    assert len(hands.charts.windows) == 2
    other = hands.charts.windows[1]
    assert other.market is hands.window.market
    other.activateWindow()
    other.focus_chart()
    await hands.settle()
    await hands.tap("ctrl-w")
    await hands.settle(0.1)
    assert hands.charts.windows == [hands.window]


@does(("view", "ctrl-h"))
async def halt_wants_two_presses(hands: Hands):
    done = []
    hands.window.desk.wanted.connect(done.append)
    await tap_at(hands, "ctrl-h", 0.0)
    assert not done
    assert "again within" in hands.window.status.currentMessage()
    hands.window.desk.wanted.disconnect(hands.window._wanted)
    await tap_at(hands, "ctrl-h", 1.9)
    assert [type(each).__name__ for each in done] == ["Halt"]


# -- orders ------------------------------------------------------------------------


async def stage(hands: Hands, combo: str, share: float) -> None:
    await hands.move(hands.at(300, hands.price(share)))
    await hands.press(combo)


@does(("order", "f"), ("order", "d"), ("order", "a"), ("order", "click"))
async def staged_orders_are_submitted_by_a_click(hands: Hands):
    cases = (("f", "buy", 0.2), ("d", "sell", 0.8), ("a", "alert", 0.5))
    for combo, action, share in cases:
        hands.ems.asked.clear()
        await stage(hands, combo, share)
        assert hands.window.desk.mode.staged == action
        place = hands.at(300, hands.price(share))
        await hands.click(place)
        await hands.release(combo)
        ((_, order),) = hands.ems.asked
        assert (order.action, order.exec_mode) == (action, "dark")
        assert float(order.price) == pytest.approx(
            hands.canvas.chart.view.price(place.y()), abs=0.01
        )
        assert hands.window.desk.mode.staged is None
    await hands.click(hands.at(600, hands.price(0.6)))
    assert len(hands.ems.asked) == 1, "nothing is staged any more"


@does(("order", "s"), ("order", "ctrl"))
async def s_or_ctrl_makes_it_live(hands: Hands):
    for i, live in enumerate(("s", "ctrl")):
        await stage(hands, "f", 0.1 + 0.1 * i)
        await hands.press(live)
        assert hands.window.desk.mode.exec_mode == "live"
        held = CTRL if live == "ctrl" else Hands.key_of(hands, "s")[1]
        await hands.click(hands.at(300, hands.price(0.1 + 0.1 * i)), held=held)
        await hands.release(live)
        await hands.release("f")
    assert [order.exec_mode for _, order in hands.ems.asked] == ["live", "live"]


async def place(hands: Hands, share: float, combo: str = "f") -> str:
    await stage(hands, combo, share)
    await hands.click(hands.at(300, hands.price(share)))
    await hands.release(combo)
    return hands.ems.asked[-1][1].oid


@does(("order", "line-drag"))
async def a_line_is_dragged(hands: Hands):
    oid = await place(hands, 0.3)
    price = float(hands.ems.dialogs[oid].req.price)
    to = hands.at(500, hands.price(0.5))
    await hands.drag(hands.at(500, price), to)
    what, changed, new, _, _ = hands.ems.asked[-1]
    assert (what, changed) == ("update", oid)
    assert float(new) == pytest.approx(hands.canvas.chart.view.price(to.y()), abs=0.01)


@does(("order", "c"), ("order", "delete"))
async def what_is_under_the_cursor_is_cancelled(hands: Hands):
    for key in ("c", "delete"):
        oid, other = await place(hands, 0.3), await place(hands, 0.6)
        price = float(hands.ems.dialogs[oid].req.price)
        await hands.move(hands.at(500, price))
        await hands.tap(key)
        assert hands.ems.asked[-1] == ("cancel", oid)
        assert set(hands.ems.dialogs) == {other}
        await hands.ems.cancel(other)


@does(("order", "cc"))
async def two_taps_cancel_all(hands: Hands):
    oids = {await place(hands, share) for share in (0.2, 0.4, 0.6)}
    await hands.move(hands.at(500, hands.price(0.9)))
    for time_s in (0.0, 0.1):
        await tap_at(hands, "c", time_s)
    await hands.settle(0.1)
    assert {each[1] for each in hands.ems.asked if each[0] == "cancel"} == oids
    assert not hands.ems.dialogs


@does(("order", "o"), ("order", "digit"))
async def digits_set_slots(hands: Hands):
    for held in ("o", "f"):
        await hands.press(held)
        await hands.tap("4")
        await hands.release(held)
        assert hands.window.desk.alloc.slots == 4
        await hands.press(held)
        await hands.tap("0")
        await hands.release(held)
        assert hands.window.desk.alloc.slots == 10
        await hands.tap("7")
        assert hands.window.desk.alloc.slots == 10, "nothing is held"


# -- search and forms ----------------------------------------------------------------


@does(("search", "text"), ("search", "ctrl-j"), ("search", "ctrl-down"),
      ("search", "down"), ("search", "ctrl-k"), ("search", "ctrl-up"),
      ("search", "up"), ("search", "ctrl-d"), ("search", "ctrl-u"),
      ("search", "enter"))  # fmt: skip
async def a_market_is_searched_and_loaded(hands: Hands):
    window, search = hands.window, hands.window.search
    await hands.tap("ctrl-l")
    await hands.type("usdt")
    with trio.fail_after(20):
        while "dogeusdt.spot.kraken" not in [each.text(0) for each in search.items()]:
            await hands.settle()
    rows = [item.text(0) for item in search.items()]
    assert rows == ["btcusdt.spot.sim", "ethusdt.spot.sim", "solusdt.spot.sim"] * 1 + [
        "btcusdt.spot.sim", "dogeusdt.spot.kraken",
    ]  # fmt: skip

    def selected() -> str:
        return search.tree.currentItem().text(0)

    for down, up in (("ctrl-j", "ctrl-k"), ("ctrl-down", "ctrl-up"), ("down", "up")):
        assert selected() == rows[0]
        await hands.tap(down)
        assert selected() == rows[1]
        await hands.tap(up)
    await hands.tap("ctrl-d")
    assert selected() == rows[3]
    await hands.tap("ctrl-d")
    assert selected() == rows[4]
    await hands.tap("ctrl-u", "ctrl-u")
    assert selected() == rows[0]
    await hands.tap("down", "enter")
    await hands.settle(0.2)
    assert window.market.fqme == "ethusdt.spot.sim"
    assert "ethusdt.spot.sim" in window.watchlist.names
    assert window.windowTitle().startswith("ethusdt")


@does(("form", "enter"))
async def a_form_takes_a_value(hands: Hands):
    pane = hands.window.pane
    pane.limit.setFocus()
    pane.limit.selectAll()
    await hands.type("2.5k")
    await hands.tap("enter")
    assert hands.window.desk.alloc.limit == 2500
    assert hands.widget() is hands.canvas
    pane.slots.setFocus()
    pane.slots.selectAll()
    await hands.type("none")
    await hands.tap("enter")
    assert "slots are a whole number" in hands.window.status.currentMessage()


@does(("form", "ctrl-c"), ("form", "ctrl-space"), ("form", "esc"))
async def a_form_is_left(hands: Hands):
    for combo in ("ctrl-c", "ctrl-space", "esc"):
        hands.window.pane.limit.setFocus()
        await hands.settle()
        assert hands.widget() is hands.window.pane.limit
        await hands.tap(combo)
        assert hands.widget() is hands.canvas
        assert hands.window.side.isVisible()


async def a_market_is_watched_and_watched_no_more(hands: Hands):
    window = hands.window
    window.watch_entry.setFocus()
    await hands.type("ethusdt.spot.sim")
    await hands.tap("enter")
    await hands.settle(0.3)
    assert window.watchlist.names == ["btcusdt.spot.sim", "ethusdt.spot.sim"]
    assert hands.widget() is hands.canvas
    row = [window.watchlist.item(1, column).text() for column in range(3)]
    assert row[0] == "ethusdt.spot.sim"
    assert row[1] != "-"
    assert row[2].endswith("%")
    window.watch_entry.setFocus()
    await hands.type("nothing.spot.sim")
    await hands.tap("enter")
    await hands.settle(0.1)
    assert "no market" in window.toasts.texts[-1]
    window.watchlist.cellClicked.emit(1, 0)
    await hands.settle(0.2)
    assert window.market.fqme == "ethusdt.spot.sim"
    window.watchlist.setFocus()
    window.watchlist.setCurrentCell(0, 0)
    await hands.tap("delete")
    assert window.watchlist.names == ["ethusdt.spot.sim"]


def test_the_watchlist_by_hand(tmp_path):
    use_window(tmp_path, a_market_is_watched_and_watched_no_more, "btcusdt", "ethusdt")


@pytest.mark.parametrize(
    "scenario", dict.fromkeys(CHECKS.values()), ids=lambda each: each.__name__
)
def test_a_key_does_what_the_overlay_says(tmp_path, scenario):
    use_window(tmp_path, scenario, "btcusdt", "ethusdt", "solusdt")


def test_each_key_of_the_table_is_pressed():
    assert {(key.where, key.combo) for key in KEYS} == set(CHECKS)
