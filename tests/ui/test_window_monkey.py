"""A monkey at the keyboard and the mouse: whatever it does, nothing breaks."""

from __future__ import annotations

import os
import random

import pytest
import trio
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QKeyEvent, QMouseEvent, QWheelEvent
from PySide6.QtWidgets import QApplication

from piker.ui._keys import KEYS
from tests.ui._hands import CTRL, NONE, SHIFT, Hands, use_window

#: PIKER_MONKEY_EVENTS=100000 for a long look.
EVENTS = int(os.environ.get("PIKER_MONKEY_EVENTS", "3000"))
SEED = int(os.environ.get("PIKER_MONKEY_SEED", "7"))
COMBOS = sorted(
    {key.combo for key in KEYS}
    - {"ctrl-w", "ctrl-n", "ctrl-p", "digit", "text", "cc", "ctrl-s"}
)
BUTTONS = (
    Qt.MouseButton.LeftButton, Qt.MouseButton.MiddleButton, Qt.MouseButton.RightButton
)  # fmt: skip


class Monkey:
    """Sends events to whatever lies where it points."""

    def __init__(self, hands: Hands, rng: random.Random) -> None:
        self.hands, self.rng, self.down = hands, rng, Qt.MouseButton.NoButton
        self.sent = 0

    def act(self) -> None:
        acts = (
            (self.key, 30), (self.mouse_move, 30), (self.mouse_press, 10),
            (self.mouse_release, 10), (self.double_click, 2), (self.wheel, 10),
            (self.trade, 6), (self.resize, 1), (self.trouble, 1),
        )  # fmt: skip
        self.rng.choices([act for act, _ in acts], [often for _, often in acts])[0]()
        self.sent += 1

    def held(self):
        return self.rng.choice((NONE, NONE, NONE, CTRL, SHIFT, CTRL | SHIFT))

    def key(self) -> None:
        rng = self.rng
        if rng.random() < 0.6:
            name = rng.choice(COMBOS)
            if name.endswith(("drag", "click", "wheel")):
                return
            key, held = self.hands.key_of(name)
        else:
            key, held = Qt.Key(rng.choice(range(0x20, 0x5F))), self.held()
        kinds = (QEvent.Type.KeyPress, QEvent.Type.KeyRelease)
        text = chr(key.value).lower() if key.value < 0x80 and held == NONE else ""
        for kind in kinds if rng.random() < 0.8 else (rng.choice(kinds),):
            event = QKeyEvent(kind, key, held, text, rng.random() < 0.2)
            QApplication.sendEvent(self.hands.widget(), event)

    def point(self):
        window = self.hands.window
        at = QPoint(
            self.rng.randrange(-20, window.width() + 20),
            self.rng.randrange(-20, window.height() + 20),
        )
        menu = QApplication.activePopupWidget()
        if menu is not None:  # it takes the mouse, as on a screen
            return menu, QPointF(menu.rect().center())
        if self.rng.random() < 0.7:
            canvas = self.rng.choice((window.fast.canvas, window.slow.canvas))
            return canvas, QPointF(
                self.rng.uniform(-5, canvas.width() + 5),
                self.rng.uniform(-5, canvas.height() + 5),
            )
        widget = window.childAt(at) or window
        return widget, QPointF(widget.mapFrom(window, at))

    def mouse(self, kind, button, buttons) -> None:
        widget, at = self.point()
        event = QMouseEvent(
            kind, at, widget.mapToGlobal(at), button, buttons, self.held()
        )
        QApplication.sendEvent(widget, event)

    def mouse_move(self) -> None:
        self.mouse(QEvent.Type.MouseMove, Qt.MouseButton.NoButton, self.down)

    def mouse_press(self) -> None:
        self.down = self.rng.choice(BUTTONS)
        self.mouse(QEvent.Type.MouseButtonPress, self.down, self.down)

    def mouse_release(self) -> None:
        button, self.down = self.down, Qt.MouseButton.NoButton
        self.mouse(QEvent.Type.MouseButtonRelease, button, self.down)

    def double_click(self) -> None:
        left = Qt.MouseButton.LeftButton
        self.mouse(QEvent.Type.MouseButtonDblClick, left, left)

    def wheel(self) -> None:
        widget, at = self.point()
        turns = QPoint(self.rng.choice((0, 0, 120)), self.rng.randrange(-600, 600))
        event = QWheelEvent(
            at, widget.mapToGlobal(at), QPoint(), turns, Qt.MouseButton.NoButton,
            self.held(), Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        QApplication.sendEvent(widget, event)

    def trade(self) -> None:
        market = self.hands.window.market
        price = market.touch.last * self.rng.choice((1, 1, 1.0001, 0.9999, 1.01, 0.99))
        market.trade(round(price, 2), new_bar=self.rng.random() < 0.3)

    def resize(self) -> None:
        self.hands.window.resize(
            self.rng.randrange(300, 1700), self.rng.randrange(200, 1100)
        )

    def trouble(self) -> None:
        market = self.hands.window.market
        market.trouble = self.rng.choice(("", "", "the venue closed the connection"))
        self.hands.window.session.lost = self.rng.choice(("", "no pikerd"))


async def play(hands: Hands) -> None:
    monkey = Monkey(hands, random.Random(SEED))
    while monkey.sent < EVENTS:
        if hands.window not in hands.charts.windows:
            await hands.reopen()  # it found that entry of the menu
        monkey.act()
        if not monkey.sent % 10:
            await trio.sleep(0)
        if not monkey.sent % 200:
            await trio.sleep(0.02)
    view = hands.window.fast.chart.view
    assert view.left < view.right
    assert view.span.lowest < view.span.highest


@pytest.mark.timeout(120 + EVENTS / 50)
def test_a_monkey_breaks_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("PIKER_STATE_DIR", str(tmp_path / "state"))
    deadline_s = 60 + EVENTS / 50
    use_window(tmp_path, play, "btcusdt", "ethusdt", deadline_s=deadline_s)
