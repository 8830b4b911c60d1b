"""The search pane: markets of all brokers by a part of their name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QFrame,
    QLabel,
    QLineEdit,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from piker.data import Found
from piker.errors import PikerError
from piker.ui._keys import KeyAction, lookup
from piker.ui._seek import Seeker, by_hand, fits, meant
from piker.ui._session import Session

from ._combos import combo_of_event
from ._look import tone

#: Typing is waited for, so that a word is asked for once.
_WAIT_MS: Final = 120
_CACHE: Final = "cache"


class SearchPane(QFrame):
    """A line to type in, and what fits below it, a section a broker.

    Attributes:
      chosen: a market is to be shown, its name.
      left: it was closed with nothing chosen.
    """

    chosen = Signal(str)
    left = Signal()

    def __init__(
        self,
        parent: QWidget,
        session: Session,
        start: Callable[[Callable[[], Awaitable[object]]], None],
    ) -> None:
        """Lie over *parent*, hidden; *start* does things for as long as that lives."""
        super().__init__(parent)
        self.setObjectName("panel")
        self._session, self._over, self._start = session, parent, start
        self._seeker = Seeker(session)
        self._sections: list[list[QTreeWidgetItem]] = []
        self._answered = ""
        self.line, self.tree, self.told = QLineEdit(), QTreeWidget(), QLabel()
        self.line.setPlaceholderText("a part of a name, e.g. btc or eth perp")
        self.tree.setColumnCount(3)
        self.tree.setHeaderHidden(True)
        self.tree.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.told.setWordWrap(True)
        tone(self.told, "faint")
        column = QVBoxLayout(self)
        for widget in (self.line, self.tree, self.told):
            column.addWidget(widget)
        self.line.installEventFilter(self)
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.timeout.connect(self._ask)
        self.line.textEdited.connect(lambda _text: timer.start(_WAIT_MS))
        self.tree.itemActivated.connect(self._activated)
        self.tree.itemClicked.connect(self._activated)
        self.hide()

    def open(self) -> None:
        """Show it, ready to be typed in."""
        parent = self._over
        wide = min(max(parent.width() // 2, 420), parent.width() - 20)
        self.setGeometry(
            (parent.width() - wide) // 2, 40, wide, max(parent.height() * 2 // 3, 160)
        )
        self.show()
        self.raise_()
        self.line.setFocus()
        self.line.selectAll()
        if not self.tree.topLevelItemCount():
            self._show_cache()

    # -- asking -----------------------------------------------------------------------

    def _ask(self) -> None:
        pattern = self.line.text().strip()
        if not pattern:
            self._seeker.stop()
            self._show_cache()
            return
        self.told.setText("looking ...")
        self._start(self._seeker.find(pattern, partial(self._take, pattern)))

    def _take(self, pattern: str, found: Found | PikerError) -> None:
        if isinstance(found, PikerError):
            self.told.setText(str(found))
        else:
            self._show(found, pattern)

    def _show_cache(self) -> None:
        """Show the markets that were looked at: those are there at once."""
        self._clear()
        self._answered = ""
        names = sorted({market.fqme for market in self._session.markets.values()})
        self._section(_CACHE, [(name, "", "") for name in names])
        self.told.setText("")
        self._select(0)

    def _show(self, found: Found, pattern: str) -> None:
        # what is chosen by hand stays so as more comes
        kept = self._chosen() if self._answered == pattern.lower() else ""
        self._clear()
        self._answered = pattern.lower()
        held = sorted({market.fqme for market in self._session.markets.values()})
        cached = [name for name in held if fits(name, pattern)]
        self._section(_CACHE, [(name, "", "") for name in cached])
        by_broker: dict[str, list[tuple[str, str, str]]] = {}
        for match in found.matches:
            broker = match.fqme.rpartition(".")[2]
            row = (match.fqme, match.kind.replace("_", " "), match.description)
            by_broker.setdefault(broker, []).append(row)
        for broker, rows in by_broker.items():
            self._section(broker, rows)
        told = [f"{name}: {err}" for name, err in found.faults.items()]
        if found.waits_for:
            told.insert(0, f"looking at {', '.join(found.waits_for)} ...")
        elif not found.matches and not cached:
            told.insert(0, f"no market fits {pattern!r}")
        self.told.setText("\n".join(told))
        names = [item.text(0) for item in self.items()]
        self._select(names.index(kept) if kept in names else 0)

    def _chosen(self) -> str:
        """Return the name that was chosen by hand, empty if none was."""
        items, current = self.items(), self.tree.currentItem()
        at = items.index(current) if current in items else 0
        return by_hand([item.text(0) for item in items], at)

    def _section(self, title: str, rows: list[tuple[str, str, str]]) -> None:
        if not rows:
            return
        head = QTreeWidgetItem([f"{title} ({len(rows)})"])
        head.setFlags(Qt.ItemFlag.ItemIsEnabled)
        self.tree.addTopLevelItem(head)
        items = [QTreeWidgetItem(list(row)) for row in rows]
        head.addChildren(items)
        self._sections.append(items)
        head.setExpanded(True)
        self.tree.resizeColumnToContents(0)

    # -- choosing ----------------------------------------------------------------------

    def _clear(self) -> None:
        self.tree.clear()
        self._sections.clear()

    def items(self) -> list[QTreeWidgetItem]:
        """Return the markets that are shown, from the top."""
        return [item for section in self._sections for item in section]

    def _select(self, at: int) -> None:
        items = self.items()
        if items:
            self.tree.setCurrentItem(items[min(max(at, 0), len(items) - 1)])

    def _move(self, by: int) -> None:
        items, current = self.items(), self.tree.currentItem()
        self._select(items.index(current) + by if current in items else 0)

    def _move_section(self, by: int) -> None:
        """Go to the first market of another section."""
        current = self.tree.currentItem()
        at = next((i for i, s in enumerate(self._sections) if current in s), None)
        if at is None:
            self._select(0)
            return
        target = min(max(at + by, 0), len(self._sections) - 1)
        self.tree.setCurrentItem(self._sections[target][0])

    def _activated(self, item: QTreeWidgetItem) -> None:
        if item.parent() is not None:
            self._choose(item.text(0))

    def _choose(self, name: str) -> None:
        self.hide()
        self.chosen.emit(name)

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Take the keys of the table while its line is typed in."""
        if not isinstance(event, QKeyEvent) or event.type() != QEvent.Type.KeyPress:
            return False
        key = lookup("search", combo_of_event(event))
        return key is not None and self._do(key.action)

    def _do(self, action: KeyAction) -> bool:
        match action:
            case "next_item":
                self._move(1)
            case "previous_item":
                self._move(-1)
            case "next_section":
                self._move_section(1)
            case "previous_section":
                self._move_section(-1)
            case "select_text":
                self.line.selectAll()
            case "back":
                self.hide()
                self.left.emit()
            case "load_item":
                self._load()
            case _:
                return False
        return True

    def _load(self) -> None:
        """Show what is selected; what is typed if it is the full name of a market."""
        item = self.tree.currentItem()
        chosen = item.text(0) if item is not None and item.parent() is not None else ""
        name = meant(chosen, self.line.text(), self._answered)
        if name:
            self._choose(name)
