"""Orders on an account at a broker: asked about, looking different, no accident."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtWidgets import QMessageBox

from tests.ui._hands import Hands, use_window

REAL = "sim.real"


def choose(hands: Hands, account: str) -> None:
    pane = hands.window.pane
    pane.account.setCurrentText(account)
    pane.account.activated.emit(pane.account.currentIndex())


async def place(hands: Hands, *held: str, share: float = 0.3) -> None:
    at = hands.at(300, hands.price(share))
    await hands.move(at)
    for key in held:
        await hands.press(key)
    await hands.click(at)
    for key in reversed(held):
        await hands.release(key)
    await hands.settle(0.1)


def question(hands: Hands) -> QMessageBox | None:
    boxes = hands.window.findChildren(QMessageBox)
    return next((box for box in boxes if box.isVisible()), None)


async def answer(hands: Hands, *, yes: bool) -> None:
    kind = QMessageBox.StandardButton
    question(hands).button(kind.Yes if yes else kind.No).click()
    await hands.settle(0.1)


def sent(hands: Hands) -> list:
    return [order for what, order, *_ in hands.ems.asked if what == "send"]


async def asks_first(hands: Hands) -> None:
    choose(hands, REAL)
    assert hands.window.desk.alloc.account == REAL
    assert hands.window.pane.account.property("tone") == "live"
    hands.window._refresh_status()
    assert hands.window.status.account.property("tone") == "live"
    for keys in (("f",), ("f", "s")):
        await place(hands, *keys)
        box = question(hands)
        assert "real money" in box.text()
        assert REAL in box.text()
        assert box.defaultButton() is box.button(QMessageBox.StandardButton.No)
        assert not sent(hands)
        await answer(hands, yes=False)
        assert question(hands) is None
        assert not sent(hands)
    await place(hands, "f", "s")
    await answer(hands, yes=True)
    (order,) = sent(hands)
    assert (order.account, order.exec_mode) == (REAL, "live")
    (line,) = hands.window.desk.desk().lines
    assert line.is_real


async def drags_ask_too(hands: Hands) -> None:
    choose(hands, REAL)
    await place(hands, "f", "s")
    await answer(hands, yes=True)
    price = float(sent(hands)[0].price)
    await hands.drag(hands.at(500, price), hands.at(500, hands.price(0.5)))
    assert "move the buy" in question(hands).text()
    assert len(hands.ems.asked) == 1
    await answer(hands, yes=True)
    assert hands.ems.asked[-1][0] == "update"


async def what_changed_meanwhile_is_not_sent(hands: Hands) -> None:
    choose(hands, REAL)
    await place(hands, "f", "s")
    desk = hands.window.desk
    desk.alloc = replace(desk.alloc, slots=3)
    await answer(hands, yes=True)
    assert not sent(hands)
    assert "has changed" in hands.window.status.currentMessage()


async def paper_is_never_asked_about(hands: Hands) -> None:
    await place(hands, "f", "s")
    assert question(hands) is None
    assert [order.account for order in sent(hands)] == ["paper"]


async def a_double_click_sends_one(hands: Hands) -> None:
    from PySide6.QtCore import Qt
    from PySide6.QtTest import QTest

    at = hands.at(300, hands.price(0.3))
    await hands.move(at)
    await hands.press("f")
    QTest.mouseClick(hands.canvas, Qt.MouseButton.LeftButton, pos=at)
    QTest.mouseDClick(hands.canvas, Qt.MouseButton.LeftButton, pos=at)
    await hands.release("f")
    await hands.settle(0.1)
    assert len(sent(hands)) == 1


def test_a_real_order_is_asked_about(tmp_path):
    use_window(tmp_path, asks_first)


def test_a_drag_of_a_real_order_is_asked_about(tmp_path):
    use_window(tmp_path, drags_ask_too)


def test_an_answer_to_another_question_does_nothing(tmp_path):
    use_window(tmp_path, what_changed_meanwhile_is_not_sent)


def test_paper_orders_are_not_asked_about(tmp_path):
    use_window(tmp_path, paper_is_never_asked_about)


def test_a_double_click_sends_one_order(tmp_path):
    use_window(tmp_path, a_double_click_sends_one)
