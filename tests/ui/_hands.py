"""A window, and hands that use it: events as Qt gets them of a keyboard and a mouse."""

from __future__ import annotations

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest

pytest.importorskip("PySide6.QtWidgets", exc_type=ImportError)

import trio
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from trio.testing import wait_all_tasks_blocked

from piker.config import UiConf
from piker.ui._layouts import WindowLayout
from piker.ui._qt._app import ChartApp
from piker.ui._qt._guest import application, run
from piker.ui._theme import THEMES
from tests.ui._bench import open_bench

CTRL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier
NONE = Qt.KeyboardModifier.NoModifier
BUTTONS = {
    "left": Qt.MouseButton.LeftButton,
    "middle": Qt.MouseButton.MiddleButton,
    "right": Qt.MouseButton.RightButton,
}
NAMED = {
    "esc": Qt.Key.Key_Escape,
    "space": Qt.Key.Key_Space,
    "enter": Qt.Key.Key_Return,
    "delete": Qt.Key.Key_Delete,
    "up": Qt.Key.Key_Up,
    "down": Qt.Key.Key_Down,
    "f1": Qt.Key.Key_F1,
    "ctrl": Qt.Key.Key_Control,
    "?": Qt.Key.Key_Question,
    "[": Qt.Key.Key_BracketLeft,
    "]": Qt.Key.Key_BracketRight,
    "=": Qt.Key.Key_Equal,
    "-": Qt.Key.Key_Minus,
}


class Hands:
    """Whoever sits before a window; with no tree behind it, all else comes to rest."""

    def __init__(self, charts: ChartApp, window, *, has_tree: bool = True) -> None:
        self.charts, self.window, self.has_tree = charts, window, has_tree

    async def reopen(self) -> None:
        """Sit before another window, as the one before was closed."""
        fqme = next(iter(self.charts.session.markets))
        self.window = await self.charts.open(WindowLayout(fqmes=(fqme,)))
        self.window.show()
        self.window.activateWindow()
        self.window.focus_chart()

    @property
    def canvas(self):
        return self.window.fast.canvas

    @property
    def ems(self):
        return self.window.session.trading._client

    def widget(self):
        """Return what has the keyboard."""
        return QApplication.focusWidget() or self.canvas

    async def settle(self, seconds: float = 0.05) -> None:
        """Wait a while, and for what is under way: this may be held up itself."""
        await trio.sleep(seconds)
        if self.has_tree:
            return
        await wait_all_tasks_blocked()
        threads = trio.to_thread.current_default_thread_limiter()
        while threads.borrowed_tokens:
            await trio.sleep(0.01)
            await wait_all_tasks_blocked()

    # -- keyboard -----------------------------------------------------------------

    def key_of(self, name: str):
        held = NONE
        while name.startswith(("ctrl-", "shift-")) and len(name) > 5:
            word, _, name = name.partition("-")
            held |= CTRL if word == "ctrl" else SHIFT
        key = NAMED.get(name)
        if key is None:
            key = Qt.Key(ord(name.upper()))
        return key, held

    async def press(self, combo: str) -> None:
        key, held = self.key_of(combo)
        QTest.keyPress(self.widget(), key, held)
        await self.settle(0.01)

    async def release(self, combo: str) -> None:
        key, held = self.key_of(combo)
        QTest.keyRelease(self.widget(), key, held)
        await self.settle(0.01)

    async def tap(self, *combos: str) -> None:
        for combo in combos:
            await self.press(combo)
            await self.release(combo)
        await self.settle()

    async def type(self, text: str) -> None:
        QTest.keyClicks(self.widget(), text)
        await self.settle()

    # -- mouse --------------------------------------------------------------------

    def at(self, x: float, price: float) -> QPoint:
        """Return the place of a price on the fast chart, *x* pixels from the left."""
        return QPoint(int(x), round(self.canvas.chart.view.y(price)))

    def price(self, share: float) -> float:
        """Return the price so far up the fast chart, 0 to 1."""
        return self.canvas.chart.view.span.price(share)

    async def move(self, to: QPoint, canvas=None) -> None:
        QTest.mouseMove(canvas or self.canvas, to)
        await self.settle(0.01)

    async def click(self, at: QPoint, button: str = "left", held=NONE) -> None:
        QTest.mouseClick(self.canvas, BUTTONS[button], held, at)
        await self.settle()

    async def drag(
        self, start: QPoint, end: QPoint, button="left", held=NONE, canvas=None
    ):
        canvas = canvas or self.canvas
        QTest.mouseMove(canvas, start)
        QTest.mousePress(canvas, BUTTONS[button], held, start)
        for i in range(1, 9):
            # a move with a button down: QTest's own says that none is
            at = start + (end - start) * (i / 8)
            self.send_move(canvas, QPointF(at), BUTTONS[button], held)
        QTest.mouseRelease(canvas, BUTTONS[button], held, end)
        await self.settle()

    def send_move(self, canvas, at: QPointF, button, held) -> None:
        from PySide6.QtCore import QEvent
        from PySide6.QtGui import QMouseEvent

        event = QMouseEvent(
            QEvent.Type.MouseMove, at, canvas.mapToGlobal(at),
            Qt.MouseButton.NoButton, button, held,
        )  # fmt: skip
        QApplication.sendEvent(canvas, event)

    async def wheel(self, turns: float, x: float = 300.0, y: float = 100.0, held=NONE):
        at = QPointF(x, y)
        event = QWheelEvent(
            at, self.canvas.mapToGlobal(at), QPoint(), QPoint(0, int(turns * 120)),
            Qt.MouseButton.NoButton, held, Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        QApplication.sendEvent(self.canvas, event)
        await self.settle(0.01)


def use_window(tmp_path, scenario, *names, deadline_s: float = 60.0, **conf) -> None:
    """Run ``await scenario(hands)`` before a window that is shown."""

    async def main() -> None:
        with trio.fail_after(deadline_s):
            async with open_bench(tmp_path, *names) as session:
                session.trading.on_toast.add(lambda toast: told.append(toast.text))
                charts = ChartApp(session, UiConf(**conf), THEMES["dark"], app)
                fqme = next(iter(session.markets))
                window = await charts.open(WindowLayout(fqmes=(fqme,)))
                window.resize(1400, 900)
                window.show()
                window.activateWindow()
                await trio.sleep(0.05)
                QTest.mouseMove(window.fast.canvas, QPoint(200, 100))
                await trio.sleep(0.05)
                window.focus_chart()
                try:
                    await scenario(Hands(charts, window, has_tree=False))
                finally:
                    charts.close()
                await charts.until_closed()

    app = application()
    faults: list[BaseException] = []
    told: list[str] = []
    run(app, main, faults.append)
    assert not faults
    assert not [text for text in told if text.startswith("a fault")]
