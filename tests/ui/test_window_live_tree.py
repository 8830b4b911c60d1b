"""A chart on a live account of an emulated venue: asked, sent, moved, cancelled."""

from __future__ import annotations

from decimal import Decimal

import pytest
from PySide6.QtCore import QPoint
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QMessageBox

from piker.config import UiConf
from piker.ui._layouts import WindowLayout
from piker.ui._qt._app import ChartApp
from piker.ui._qt._guest import application, run
from piker.ui._session import open_session
from piker.ui._theme import THEMES
from tests.brokers._live import BINANCE, KRAKEN, open_live
from tests.ui._hands import Hands
from tests.ui.test_window_tree import until

pytestmark = pytest.mark.tree


async def answer_yes(hands: Hands) -> None:
    boxes = hands.window.findChildren(QMessageBox)
    await until(lambda: any(box.isVisible() for box in boxes), what="a question")
    (box,) = [box for box in boxes if box.isVisible()]
    assert "real money" in box.text() or "move" in box.text()
    box.button(QMessageBox.StandardButton.Yes).click()
    await hands.settle(0.1)


async def trade(hands: Hands, live) -> None:
    """Stage, submit, drag and cancel an order; the venue has it each time."""
    window, account = hands.window, live.at.account

    # whatever the tape says, nothing that is shown is at the touch
    await live.venue.outside(live.at.symbol, "sell", "900000", "50", rests=True)
    await live.venue.outside(live.at.symbol, "buy", "1000", "50", rests=True)

    async def at_venue() -> list[dict]:
        return (await live.venue.account("main"))["orders"]

    await until(lambda: len(window.fast.chart.series) > 2, what="bars")
    await until(lambda: window.pane.account.findText(account) >= 0, what="accounts")
    window.pane.account.setCurrentText(account)
    window.pane.account.activated.emit(window.pane.account.currentIndex())
    await hands.settle(0.2)
    assert window.desk.alloc.account == account
    said: list[str] = []
    window.desk.said.connect(said.append)
    at = hands.at(300, hands.price(0.25))
    await hands.move(at)
    for key in ("f", "s"):
        await hands.press(key)
    await hands.click(at)
    for key in ("s", "f"):
        await hands.release(key)
    await answer_yes(hands)
    lines = lambda: window.desk.desk().lines  # noqa: E731 - what is drawn now
    try:
        await until(lambda: len(lines()) == 1, 20)
    except AssertionError:
        told = (await at_venue(), window.session.trading.dialogs, said)
        raise AssertionError(f"no line: {told}") from None
    assert lines()[0].is_real
    while not (orders := await at_venue()):
        await hands.settle(0.05)
    (order,) = orders
    assert (order["side"], order["state"]) == ("buy", "open")
    price = float(order["price"])
    await hands.drag(hands.at(500, price), hands.at(500, hands.price(0.15)))
    await answer_yes(hands)
    while True:
        (*_, now) = await at_venue()
        if now["state"] == "open" and Decimal(now["price"]) != Decimal(order["price"]):
            break
        await hands.settle(0.05)
    await hands.settle(0.5)
    (oid,) = [line.oid for line in window.desk.desk().lines]
    await window.session.trading._client.cancel(oid)
    await until(lambda: not window.desk.desk().lines, what="no line")
    (*_, gone) = await at_venue()
    assert gone["state"] == "canceled"


@pytest.mark.parametrize("at", [BINANCE, KRAKEN], ids=["binance", "kraken"])
def test_an_order_of_a_chart_goes_to_the_venue(open_test_pikerd, at):
    async def main() -> None:
        async with (
            open_live(open_test_pikerd, at=at, embedded=False, deadline_s=120) as live,
            open_session(live.tree.addr, "live", fqme=at.fqme) as session,
        ):
            charts = ChartApp(session, UiConf(), THEMES["dark"], app)
            try:
                window = await charts.open(WindowLayout(fqmes=(at.fqme,)))
                window.resize(1400, 900)
                window.show()
                window.activateWindow()
                QTest.mouseMove(window.fast.canvas, QPoint(200, 100))
                window.focus_chart()
                hands = Hands(charts, window)
                await trade(hands, live)
                shots.append(window.grab())
            finally:
                charts.close()

    app = application()
    shots: list = []
    faults: list[BaseException] = []
    run(app, main, faults.append)
    assert not faults
    assert not shots[0].isNull()
