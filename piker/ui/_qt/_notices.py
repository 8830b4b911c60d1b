"""What lies over the charts: the overlay of keys, and toasts."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import QPoint, Qt, QTimer
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from piker.ui._keys import HelpGroup, overlay
from piker.ui._trading import Toast

from ._look import tone

_TOAST_MS: Final = 6000
_BAD_MS: Final = 15_000
_MOST_TOASTS: Final = 6
_EDGE_PX: Final = 14
#: So that times can be read below them.
_FOOT_PX: Final = 34


class HelpOverlay(QFrame):
    """All keys, as the one table has them."""

    def __init__(self, parent: QWidget) -> None:
        """Lie over *parent*, hidden."""
        super().__init__(parent)
        self._over = parent
        self.setObjectName("panel")
        row = QHBoxLayout(self)
        row.setContentsMargins(18, 14, 18, 14)
        row.setSpacing(26)
        groups = overlay()
        for part in (groups[:1], groups[1:]):
            column = QVBoxLayout()
            for group in part:
                self._add(column, group)
            column.addStretch(1)
            row.addLayout(column)
        self.hide()

    def _add(self, column: QVBoxLayout, group: HelpGroup) -> None:
        title = QLabel(group.title)
        tone(title, "note")
        column.addWidget(title)
        grid = QGridLayout()
        grid.setHorizontalSpacing(14)
        grid.setVerticalSpacing(2)
        for i, line in enumerate(group.rows):
            grid.addWidget(QLabel(line.keys), i, 0)
            says = QLabel(line.says)
            tone(says, "faint")
            grid.addWidget(says, i, 1)
        column.addLayout(grid)
        column.addSpacing(8)

    def toggle(self) -> None:
        """Show it, or hide it."""
        if self.isVisible():
            self.hide()
            return
        self.adjustSize()
        self.move(
            max((self._over.width() - self.width()) // 2, 0),
            max((self._over.height() - self.height()) // 2, 0),
        )
        self.show()
        self.raise_()


class Toasts:
    """Messages at the lower left that go away by themselves."""

    def __init__(self, window: QWidget, over: QWidget) -> None:
        """Show them in a window, over one of its widgets."""
        self._window, self._over = window, over
        self._shown: list[QFrame] = []

    def show(self, toast: Toast) -> None:
        """Show a message; the oldest goes where there are many."""
        frame = QFrame(self._window)
        frame.setObjectName("toast")
        frame.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        label = QLabel(toast.text, frame)
        widest = max(self._over.width() // 2, 240)
        if label.sizeHint().width() > widest:
            label.setWordWrap(True)
            label.setFixedWidth(widest)
        tone(label, toast.tone)
        row = QHBoxLayout(frame)
        row.setContentsMargins(10, 6, 10, 6)
        row.addWidget(label)
        frame.adjustSize()
        self._shown.append(frame)
        while len(self._shown) > _MOST_TOASTS:
            self._remove(self._shown[0])
        frame.show()
        self.place()
        wait_ms = _BAD_MS if toast.tone == "bad" else _TOAST_MS
        QTimer.singleShot(wait_ms, frame, lambda: self._remove(frame))

    def place(self) -> None:
        """Put them one above the other."""
        corner = self._over.mapTo(self._window, QPoint(0, self._over.height()))
        y = corner.y() - _FOOT_PX
        for frame in reversed(self._shown):
            y -= frame.height()
            frame.move(corner.x() + _EDGE_PX, y)
            frame.raise_()
            y -= 6

    def _remove(self, frame: QFrame) -> None:
        if frame in self._shown:
            self._shown.remove(frame)
            frame.hide()
            frame.deleteLater()
            self.place()

    @property
    def texts(self) -> list[str]:
        """What is shown, oldest first."""
        return [
            label.text()
            for frame in self._shown
            for label in frame.findChildren(QLabel)
        ]
