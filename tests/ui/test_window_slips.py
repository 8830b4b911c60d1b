"""Slips of hand: what is no order, no edit and no choice must not become one."""

from __future__ import annotations

from contextlib import closing

import pytest
import trio
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from piker.data import Found
from piker.errors import VenueUnreachable
from piker.msgs import PAPER, Match, Warned
from piker.storage import StoreWriter
from piker.ui._allocator import default_for
from piker.ui._layouts import Layout
from piker.ui._order_mode import Mode
from tests.ui._bench import mkt_of, walk
from tests.ui._hands import CTRL, Hands, use_window

SCENARIOS = []


def scenario(func):
    SCENARIOS.append(func)
    return func


async def place(hands: Hands, share: float = 0.3) -> str:
    at = hands.at(300, hands.price(share))
    await hands.move(at)
    await hands.press("f")
    await hands.click(at)
    await hands.release("f")
    return hands.ems.asked[-1][1].oid


def sent(hands: Hands) -> int:
    return sum(asked[0] == "send" for asked in hands.ems.asked)


@scenario
async def a_click_on_a_line_edits_nothing(hands: Hands):
    oid = await place(hands)
    price = float(hands.ems.dialogs[oid].req.price)
    for off in (-3, 0, 3):
        await hands.click(hands.at(500, price) + QPoint(0, off))
    assert len(hands.ems.asked) == 1
    assert hands.window.desk.mode.drag is None


@scenario
async def a_drag_does_not_make_a_line_jump(hands: Hands):
    oid = await place(hands)
    price = float(hands.ems.dialogs[oid].req.price)
    start = hands.at(500, price) + QPoint(0, 3)
    await hands.drag(start, start + QPoint(0, -40))
    new = float(hands.ems.dialogs[oid].req.price)
    view = hands.canvas.chart.view
    assert view.y(price) - view.y(new) == pytest.approx(40, abs=1)


@scenario
async def keys_typed_elsewhere_stage_nothing(hands: Hands):
    window = hands.window
    focusable = (
        window.pane.limit, window.pane.slots, window.watchlist, window.watch_entry,
        window.pane.account,
    )  # fmt: skip
    for widget in focusable:
        widget.setFocus()
        await hands.settle()
        for key in ("f", "d", "a", "s", "o", "ctrl"):
            await hands.press(key)
            await hands.release(key)
        hands.canvas.setFocus()
        await hands.settle()
        mode = hands.window.desk.mode
        assert (mode.down, mode.staged) == ((), None), widget
    await hands.click(hands.at(300, hands.price(0.4)))
    assert not sent(hands)


@scenario
async def a_key_held_while_the_focus_leaves_is_let_go(hands: Hands):
    await hands.press("f")
    assert hands.window.desk.mode.staged == "buy"
    hands.window.pane.limit.setFocus()
    await hands.settle()
    assert hands.window.desk.mode.staged is None


@scenario
async def a_key_that_is_released_over_a_menu_is_let_go(hands: Hands):
    from PySide6.QtWidgets import QMenu

    await hands.move(hands.at(300, hands.price(0.3)))
    await hands.press("f")
    await hands.click(hands.at(300, hands.price(0.3)), "right")
    (menu,) = [m for m in hands.window.findChildren(QMenu) if m.isVisible()]
    QTest.keyRelease(menu, Qt.Key.Key_F)
    menu.close()
    await hands.settle(0.1)
    await hands.click(hands.at(300, hands.price(0.3)))
    assert not sent(hands)


@scenario
async def enter_before_the_answer_shows_what_is_typed(hands: Hands):
    await hands.tap("ctrl-l")
    assert hands.window.search.items()[0].text(0) == "btcusdt.spot.sim"
    QTest.keyClicks(hands.widget(), "ethusdt.spot.sim")
    await hands.press("enter")
    await hands.settle(0.2)
    assert hands.window.market.fqme == "ethusdt.spot.sim"


@scenario
async def what_is_staged_on_one_chart_is_placed_on_the_other(hands: Hands):
    slow = hands.window.slow.canvas
    await hands.move(QPoint(300, 60), slow)
    await hands.press("f")
    QTest.mouseClick(slow, Qt.MouseButton.LeftButton, pos=QPoint(300, 60))
    await hands.settle()
    await hands.release("f")
    assert sent(hands) == 1


@scenario
async def only_the_left_button_submits(hands: Hands):
    await hands.move(hands.at(300, hands.price(0.3)))
    await hands.press("f")
    await hands.click(hands.at(300, hands.price(0.3)), "middle")
    QTest.mouseClick(
        hands.canvas, Qt.MouseButton.BackButton, pos=hands.at(300, hands.price(0.3))
    )
    assert not sent(hands)


@scenario
async def what_is_sent_is_what_is_shown(hands: Hands):
    """Prices are fitted anew below a mouse that rests: so is what a click submits."""
    at = QPoint(300, 200)
    await hands.move(at)
    await hands.press("f")
    market = hands.window.market
    market.trade(market.touch.last * 1.01)
    await hands.settle(0.3)
    shown = hands.window.desk.mode.cursor
    await hands.click(at)
    await hands.release("f")
    assert hands.ems.asked[-1][1].price == shown
    assert float(shown) == pytest.approx(hands.canvas.chart.view.price(200), abs=0.011)


@scenario
async def what_is_no_longer_under_the_mouse_is_not_cancelled(hands: Hands):
    oid = await place(hands)
    await hands.move(hands.at(500, float(hands.ems.dialogs[oid].req.price)))
    assert hands.window.desk.under == (oid,)
    market = hands.window.market
    market.trade(market.touch.last * 1.01)
    await hands.settle(0.3)
    await hands.tap("c")
    assert oid in hands.ems.dialogs


@scenario
async def another_button_does_not_end_a_drag(hands: Hands):
    oid = await place(hands)
    price = float(hands.ems.dialogs[oid].req.price)
    start = hands.at(500, price)
    left, middle = Qt.MouseButton.LeftButton, Qt.MouseButton.MiddleButton
    QTest.mousePress(hands.canvas, left, pos=start)
    hands.send_move(hands.canvas, QPointF(start + QPoint(0, -30)), left, Qt.NoModifier)
    QTest.mousePress(hands.canvas, middle, pos=start)
    QTest.mouseRelease(hands.canvas, middle, pos=start)
    assert hands.window.desk.mode.drag is not None
    QTest.mouseRelease(hands.canvas, left, pos=start + QPoint(0, -30))
    await hands.settle()
    assert hands.window.desk.mode.drag is None
    assert float(hands.ems.dialogs[oid].req.price) > price


@scenario
async def a_turn_of_the_wheel_or_a_letter_chooses_no_account(hands: Hands):
    pane = hands.window.pane
    at = QPointF(pane.account.rect().center())
    for turns in (-120, 120):
        event = QWheelEvent(
            at, pane.account.mapToGlobal(at), QPoint(), QPoint(0, turns),
            Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        QApplication.sendEvent(pane.account, event)
    pane.account.setFocus()
    await hands.type("s")
    assert hands.window.desk.alloc.account == PAPER
    assert pane.account.currentText() == PAPER


@scenario
async def a_limit_that_is_typed_is_left_alone(hands: Hands):
    pane = hands.window.pane
    pane.limit.setFocus()
    pane.limit.clear()
    await place_nothing(hands)
    await hands.type("25")
    await hands.tap("enter")
    assert hands.window.desk.alloc.limit == 25


async def place_nothing(hands: Hands) -> None:
    hands.window.session.trading._tell()
    await hands.settle()


@scenario
async def each_market_has_an_order_pane_of_its_own(hands: Hands):
    window = hands.window
    window.pane.slots.setFocus()
    window.pane.slots.selectAll()
    await hands.type("3")
    await hands.tap("enter")
    window.switch("ethusdt.spot.sim")
    await hands.settle(0.2)
    assert window.desk.alloc.slots == 6
    window.switch("btcusdt.spot.sim")
    await hands.settle(0.2)
    assert window.desk.alloc.slots == 3


def test_where_no_dollars_are_paid_orders_begin_small():
    mkt = mkt_of("ethbtc")
    alloc = default_for(mkt)
    assert alloc.unit == "units"
    assert alloc.slot == mkt.size_tick


@scenario
async def the_market_asked_for_last_is_shown(hands: Hands):
    window, slow = hands.window, trio.Event()
    find = window.session.market

    async def market(name):
        if name.startswith("btc"):
            await slow.wait()
        return await find(name)

    window.session.market = market
    window.switch("btcusdt.spot.sim")
    window.switch("ethusdt.spot.sim")
    await hands.settle(0.2)
    assert window.market.fqme == "ethusdt.spot.sim"
    slow.set()
    await hands.settle(0.2)
    assert window.market.fqme == "ethusdt.spot.sim"


@scenario
async def halt_is_reached_by_the_menu(hands: Hands):
    from PySide6.QtWidgets import QMenu

    for _ in range(2):
        await hands.click(QPoint(400, 150), "right")
        (menu,) = [m for m in hands.window.findChildren(QMenu) if m.isVisible()]
        (entry,) = [e for e in menu.actions() if e.text().startswith("Halt trading")]
        entry.trigger()
        menu.close()
        await hands.settle(0.1)
    assert hands.ems.asked[-1][0] == "halt"


@scenario
async def keys_that_change_how_it_looks_show_at_once(hands: Hands):
    """No trade comes: a picture is made for the key alone."""
    market = hands.window.market
    market.trade(market.touch.last)
    await hands.settle(0.2)
    for key in ("b", "b", "l", "t", "ctrl-t"):
        made = hands.canvas._made
        await hands.tap(*([key] * 2 if key == "b" else [key]))  # auto is candles
        await hands.settle(0.1)
        assert hands.canvas._made != made, key


@scenario
async def a_window_that_is_closed_is_not_touched(hands: Hands):
    """It was opening a market; another window is told nothing of it."""
    window, late = hands.window, trio.Event()
    other = await hands.charts.open(window_layout(window))
    other.show()
    find = window.session.market

    async def market(name):
        await late.wait()
        return await find(name)

    other.session.market = market
    other.switch("ethusdt.spot.sim")
    await hands.settle()
    other.close()
    await hands.settle(0.1)
    late.set()
    await hands.settle(0.1)
    window.market.trade(window.market.touch.last + 1)
    await hands.settle(0.1)
    assert not window.toasts.texts


def window_layout(window):
    return window.layout_()


@scenario
async def two_windows_of_a_market_both_follow_it(hands: Hands):
    other = await hands.charts.open(window_layout(hands.window))
    other.show()
    await hands.settle(0.1)
    market = hands.window.market
    for _ in range(5):
        market.trade(market.touch.last + 1, new_bar=True)
        await hands.settle(0.05)
    for window in (hands.window, other):
        chart = window.fast.chart
        assert chart.view.right > chart.series.end - 1
        assert all(
            len(line) == len(chart.series)
            for study in chart.studies
            for line in study.lines.values()
        )


@scenario
async def hidden_and_shown_again_it_asks_for_quotes(hands: Hands):
    window, market = hands.window, hands.window.market
    for is_shown in (False, True, False, True):
        window.setVisible(is_shown)
    await hands.settle(0.1)
    assert {window, window.watchlist} <= market._lookers
    window.hide()
    await hands.settle(0.1)
    assert not market._lookers


@scenario
async def menus_leave_nothing_behind(hands: Hands):
    from PySide6.QtGui import QAction
    from PySide6.QtWidgets import QMenu

    async def open_one() -> int:
        await hands.click(QPoint(400, 150), "right")
        for menu in hands.window.findChildren(QMenu):
            if menu.isVisible():
                menu.close()
        await hands.settle(0.1)
        return len(hands.window.findChildren(QAction))

    await open_one()
    count = await open_one()
    assert await open_one() == count


@scenario
async def the_region_goes_with_the_mouse(hands: Hands):
    """However slowly it is dragged, and whatever bars the fast chart has."""
    slow, fast = hands.window.slow, hands.window.fast
    await hands.settle(0.2)
    fast.chart.view.pan(2000, 0, fast.chart.series.start, fast.chart.series.end)
    fast.canvas.viewed.emit()
    await hands.settle(0.1)
    left, right = (slow.chart.view.x(at) for at in slow.chart.region)
    start = QPoint(int((left + right) / 2), 40)
    await hands.drag(start, start + QPoint(-30, 0), canvas=slow.canvas)
    moved = slow.chart.view.x(slow.chart.region[0]) - left
    assert moved == pytest.approx(-30, abs=4)


@scenario
async def older_bars_come_as_one_pans(hands: Hands):
    bars = walk(20_000, 1, seed=3)
    bars["time"] -= 5000
    with closing(StoreWriter(hands.window.market.fqme, 1)) as writer:
        writer.append(bars)
    chart = hands.window.fast.chart
    for _ in range(4):
        before = chart.series.start
        chart.view.left, chart.view.right = before, before + 200.0
        await hands.drag(QPoint(300, 100), QPoint(600, 100))
        with trio.fail_after(20):
            while chart.series.start == before:
                await hands.settle()
    assert len(chart.series) == 25_000
    assert all(
        len(line) == len(chart.series)
        for study in chart.studies
        for line in study.lines.values()
    )


@scenario
async def what_a_broker_found_is_shown_while_others_are_waited_for(hands: Hands):
    search, others = hands.window.search, trio.Event()
    near = [Match(fqme=f"btc{x}.spot.sim", kind="crypto", score=50.0) for x in "ab"]
    far = Match(fqme="btc.spot.kraken", kind="crypto", score=90.0)

    async def find(pattern, *, limit, on_part):
        on_part(Found(near, {}, ("kraken",)))
        await others.wait()
        return Found([far, *near], {})

    hands.window.session._search.find = find
    await hands.tap("ctrl-l")
    await hands.type("btc")
    with trio.fail_after(20):
        while "btca.spot.sim" not in [each.text(0) for each in search.items()]:
            await hands.settle()
    assert search.told.text() == "looking at kraken ..."
    while search.tree.currentItem().text(0) != "btca.spot.sim":
        await hands.tap("down")
    others.set()
    await hands.settle()
    names = [each.text(0) for each in search.items()]
    assert names.index("btc.spot.kraken") < names.index("btca.spot.sim")
    assert search.tree.currentItem().text(0) == "btca.spot.sim", "chosen by hand"
    assert not search.told.text()
    await hands.tap("esc")


@scenario
async def what_was_typed_before_is_searched_for_no_more(hands: Hands):
    search, asked, ended = hands.window.search, [], []

    async def find(pattern, *, limit, on_part):
        asked.append(pattern)
        try:
            await trio.sleep_forever()
        finally:
            ended.append(pattern)

    hands.window.session._search.find = find
    await hands.tap("ctrl-l")
    for text in ("b", "bt"):
        await hands.type(text[-1])
        with trio.fail_after(20):
            while text not in asked or len(ended) < len(asked) - 1:
                await hands.settle()
    assert (asked, ended) == (["b", "bt"], ["b"])
    search.line.clear()
    search._ask()
    with trio.fail_after(20):
        while "bt" not in ended:
            await hands.settle()
    assert ended == ["b", "bt"]
    assert not search.told.text()
    await hands.tap("esc")


@scenario
async def what_is_odd_is_told_once_and_kept_for_a_minute(hands: Hands):
    window, market = hands.window, hands.window.market
    warned = Warned(fqmes=(market.fqme,), reason="a trade came 9 s late", time_ns=0)
    told = f"{market.fqme}: {warned.reason}"
    market._take(warned)
    window._refresh_status()
    assert window.status.currentMessage() == told
    window.status.clearMessage()
    window._refresh_status()
    assert not window.status.currentMessage(), "once"
    assert window.status.feed.toolTip() == told
    market._noted_s -= 61
    window._refresh_status()
    assert not window.status.feed.toolTip()


@scenario
async def ctrl_c_in_a_field_is_no_order(hands: Hands):
    await hands.click(hands.at(300, hands.price(0.5)), held=CTRL)
    assert not sent(hands)


@scenario
async def a_wrong_name_is_saved_nowhere(hands: Hands):
    window, session = hands.window, hands.charts.session
    shown = list(window.watchlist.wanted)

    async def type_it(name: str) -> None:
        window.watch_entry.setFocus()
        await hands.type(name)
        await hands.tap("enter")

    await type_it("nothing.spot.sim")
    assert "no market" in window.toasts.texts[-1]
    assert window.watchlist.wanted == shown
    # what a layout holds stays in it, also if it is typed once more
    saved = Layout(windows=(window.layout_(),), watchlist=("gone.spot.sim",))
    await hands.charts.open_all(saved)
    window.activateWindow()
    await hands.settle()
    await type_it("gone.spot.sim")
    assert window.watchlist.wanted == [*shown, "gone.spot.sim"]
    hands.charts.windows[-1].close()
    window.activateWindow()

    async def fails(name: str):
        await trio.lowlevel.checkpoint()
        raise VenueUnreachable(f"no answer about {name}")

    session.market = fails
    await type_it("ethusdt.spot.sim")
    del session.market
    assert window.watchlist.wanted[-1] == "ethusdt.spot.sim", "it may come yet"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)
def test_slips(tmp_path, monkeypatch, scenario):
    monkeypatch.setenv("PIKER_STATE_DIR", str(tmp_path / "state"))
    use_window(tmp_path, scenario, "btcusdt", "ethusdt")


def test_nothing_is_held_at_the_beginning():
    assert Mode().down == ()
