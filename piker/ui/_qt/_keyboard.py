"""Keys pressed over charts: what they are by the one table, and who is told."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, Qt, QTimer
from PySide6.QtGui import QFocusEvent, QKeyEvent

from piker.ui._keys import bare, on_chart
from piker.ui._order_events import FocusLost, Pressed, Released

from ._combos import combo_of_event

if TYPE_CHECKING:
    from ._window import ChartWindow


class Keyboard(QObject):
    """The keys of a window's canvases, and which of these is worked with."""

    def __init__(self, window: ChartWindow) -> None:
        """Take the keys of *window*."""
        super().__init__(window)
        self._window = window

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Take a canvas's keys, and notice that the mouse came to it."""
        kind, window = event.type(), self._window
        if kind in (QEvent.Type.Enter, QEvent.Type.MouseButtonPress):
            for chart in (window.fast, window.slow):
                if watched is chart.canvas:
                    window.active = chart
        elif isinstance(event, QFocusEvent) and kind == QEvent.Type.FocusOut:
            if event.reason() == Qt.FocusReason.PopupFocusReason:
                window.desk.take(FocusLost())  # a menu hears of what is released now
            else:
                QTimer.singleShot(0, self, self.check_focus)
        elif isinstance(event, QKeyEvent) and kind == QEvent.Type.KeyPress:
            return self.pressed(event, on_canvas=True)
        elif isinstance(event, QKeyEvent) and kind == QEvent.Type.KeyRelease:
            self._released(event)
        return False

    def check_focus(self) -> None:
        """Let go of all keys once neither chart would hear of their release."""
        window = self._window
        if not any(chart.canvas.hasFocus() for chart in (window.fast, window.slow)):
            window.desk.take(FocusLost())

    def pressed(self, event: QKeyEvent, *, on_canvas: bool) -> bool:
        """Do what a key is for, and tell whether it is for anything.

        Those of orders count on a chart only: elsewhere they are typed, and nobody
        hears that they are released.
        """
        key, window = on_chart(combo_of_event(event)), self._window
        if key is None or (key.where == "order" and not on_canvas):
            return False
        if key.where == "order" or key.action in ("clear", "halt"):
            window.active.canvas.point()  # the view may have moved below the mouse
            window.desk.take(Pressed(key, time.monotonic(), event.isAutoRepeat()))
        if key.where == "view":
            window.actions_.do(key.action, is_repeat=event.isAutoRepeat())
        return True

    def _released(self, event: QKeyEvent) -> None:
        combo = combo_of_event(event)
        if event.isAutoRepeat() or not combo:
            return
        self._window.desk.take(Released(combo))
        if bare(combo) == "q":
            self._window.actions_.show_values(is_shown=False)
