"""The order pane: for which account, how much, in how many slots; buttons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Final

from PySide6.QtCore import QEvent, QObject, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QPaintEvent
from PySide6.QtWidgets import (
    QComboBox,
    QFormLayout,
    QFrame,
    QGridLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from piker.errors import UsageError
from piker.msgs import PAPER, Action
from piker.ui._allocator import (
    UNIT_NAMES,
    UNITS,
    FillBar,
    fill_bar,
    parse_amount,
    parse_slots,
    plain,
    unit_name,
    with_unit,
)
from piker.ui._keys import key_for, lookup
from piker.ui._order_events import Chosen, Pressed
from piker.ui._theme import Theme

from ._combos import combo_of_event
from ._look import tone
from ._order_layer import OrderDesk
from ._shapes import color_of, painting_on

_BAR_PX: Final = 14
#: With which a box is opened or left; what is in it is gone through once it is open.
_BOX_KEYS: Final = frozenset(
    (
        Qt.Key.Key_Space, Qt.Key.Key_F4, Qt.Key.Key_Tab, Qt.Key.Key_Backtab,
    )
)  # fmt: skip


class SlotBar(QWidget):
    """How full the limit is, a box a slot."""

    def __init__(self, theme: Theme) -> None:
        """Show nothing filled."""
        super().__init__()
        self.theme = theme
        self._bar = FillBar(1, 0, 0.0, is_over=False)
        self.setFixedHeight(_BAR_PX)

    def show_bar(self, bar: FillBar) -> None:
        """Show how full it is."""
        if bar != self._bar:
            self._bar = bar
            self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return a good size."""
        return QSize(160, _BAR_PX)

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802
        """Paint the boxes."""
        bar, theme = self._bar, self.theme
        gap = 2 if bar.slots <= 40 else 0
        wide = (self.width() - gap * (bar.slots - 1)) / bar.slots
        color = color_of(theme.bad if bar.is_over else theme.line)
        with painting_on(self) as painter:
            for i in range(bar.slots):
                left = i * (wide + gap)
                painter.fillRect(QRectF(left, 0, wide, _BAR_PX), color_of(theme.edge))
                part = 1.0 if i < bar.full else bar.part if i == bar.full else 0.0
                if part:
                    painter.fillRect(QRectF(left, 0, wide * part, _BAR_PX), color)


class OrderPane(QFrame):
    """The form of the order pane.

    Attributes:
      done: a value was taken or the form was left: the chart wants the keyboard.
      said: why a value wasn't taken.
    """

    done = Signal()
    said = Signal(str)

    def __init__(self, desk: OrderDesk, theme: Theme) -> None:
        """Show what *desk* is set to."""
        super().__init__()
        self._desk = desk
        self.account, self.unit = QComboBox(), QComboBox()
        self.limit, self.slots = QLineEdit(), QLineEdit()
        self.bar, self.pnl, self.held = SlotBar(theme), QLabel(), QLabel()
        self.state = QLabel()
        self.state.setWordWrap(True)
        tone(self.state, "bad")
        self._lay_out()
        for unit in UNITS:
            self.unit.addItem(UNIT_NAMES[unit], unit)
        for field in (self.account, self.unit, self.limit, self.slots):
            field.installEventFilter(self)
        self.account.activated.connect(self._take_account)
        self.unit.activated.connect(self._take_unit)
        self.limit.returnPressed.connect(lambda: self._apply(self._take_limit))
        self.slots.returnPressed.connect(lambda: self._apply(self._take_slots))
        self.refresh()

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.addRow("account", self.account)
        form.addRow("size in", self.unit)
        form.addRow("limit", self.limit)
        form.addRow("slots", self.slots)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 8, 8, 8)
        column.addLayout(form)
        column.addWidget(self.bar)
        column.addWidget(self.held)
        column.addWidget(self.pnl)
        column.addLayout(self._buttons())
        column.addWidget(self.state)

    def _buttons(self) -> QGridLayout:
        """Return buttons that stage an order, to be placed by a click on the chart."""
        grid = QGridLayout()
        rows: tuple[tuple[str, Action, bool], ...] = (
            ("dark buy", "buy", False), ("dark sell", "sell", False),
            ("live buy", "buy", True), ("live sell", "sell", True),
        )  # fmt: skip
        for i, (text, action, is_live) in enumerate(rows):
            button = self._button(text, action)
            button.clicked.connect(self._chooser(action, is_live=is_live))
            grid.addWidget(button, i // 2, i % 2)
        alert = self._button("alert", "alert")
        alert.clicked.connect(self._chooser("alert", is_live=False))
        grid.addWidget(alert, 2, 0)
        cancel = self._button("cancel all", "")
        cancel.clicked.connect(self._cancel_all)
        grid.addWidget(cancel, 2, 1)
        return grid

    def _button(self, text: str, purpose: str) -> QPushButton:
        button = QPushButton(text)
        tone(button, purpose)
        button.setToolTip("then click on the chart, at its price" if purpose else "")
        return button

    def _chooser(self, action: Action, *, is_live: bool) -> Callable[[], None]:
        def choose() -> None:
            self._desk.take(Chosen(action, is_live))
            self.done.emit()

        return choose

    def _cancel_all(self) -> None:
        self._desk.take(Pressed(key_for("cancel_all"), self._desk.now_s()))
        self.done.emit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Take the keys that leave the form; boxes change by being opened only.

        A turn of the wheel or a letter meant for the chart is no choice of an account.
        """
        is_box = watched in (self.account, self.unit)
        if is_box and event.type() == QEvent.Type.Wheel:
            event.ignore()
            return True
        if not isinstance(event, QKeyEvent) or event.type() != QEvent.Type.KeyPress:
            return False
        key = lookup("form", combo_of_event(event))
        if key is not None and key.action == "back":
            self.refresh()
            self.done.emit()
            return True
        return is_box and event.key() not in _BOX_KEYS

    # -- what is typed ----------------------------------------------------------------

    def _apply(self, take: Callable[[], None]) -> None:
        try:
            take()
        except UsageError as err:
            self.said.emit(str(err))
            return
        self.refresh()
        self.done.emit()

    def _take_limit(self) -> None:
        amount = parse_amount(self.limit.text())
        self._desk.alloc = replace(self._desk.alloc, limit=amount)

    def _take_slots(self) -> None:
        slots = parse_slots(self.slots.text())
        self._desk.alloc = replace(self._desk.alloc, slots=slots)

    def _take_account(self) -> None:
        account = self.account.currentText()
        self._desk.alloc = replace(self._desk.alloc, account=account)
        self.refresh()
        self.done.emit()

    def _take_unit(self) -> None:
        self._apply(self._change_unit)
        self.refresh()

    def _change_unit(self) -> None:
        if self._desk.market is None:
            return
        last = self._desk.desk().last_price
        mkt = self._desk.market.flume.mkt
        unit = self.unit.currentData()
        self._desk.alloc = with_unit(self._desk.alloc, mkt, unit, last)

    # -- what is shown ----------------------------------------------------------------

    def refresh(self) -> None:
        """Show what the desk is set to and what is held."""
        alloc = self._desk.alloc
        # an account that is shut by now is still the one that is chosen
        names = (PAPER, alloc.account, *self._desk.trading.accounts)
        accounts = list(dict.fromkeys(names))
        if [self.account.itemText(i) for i in range(self.account.count())] != accounts:
            self.account.clear()
            self.account.addItems(accounts)
        self.account.setCurrentText(alloc.account)
        self.unit.setCurrentIndex(UNITS.index(alloc.unit))
        for field, text in (
            (self.limit, plain(alloc.limit)),
            (self.slots, str(alloc.slots)),
        ):
            if not field.hasFocus():  # else it is being typed
                field.setText(text)
        purpose = "live" if alloc.account != PAPER else ""
        if self.account.property("tone") != purpose:
            tone(self.account, purpose)
        self._refresh_position()

    def _refresh_position(self) -> None:
        """Show the position and what keeps orders from being worked."""
        desk, mark = self._desk, self._desk.position()
        if desk.market is not None:
            for i, unit in enumerate(UNITS):
                self.unit.setItemText(i, unit_name(unit, desk.market.flume.mkt))
            known = desk.desk()
            self.bar.show_bar(fill_bar(desk.alloc, known.mkt, known.position))
        held = "flat" if mark is None else f"{mark.direction} {_size(mark.size)}"
        self.held.setText(held if mark is None else f"{held}  {mark.slots}")
        self.pnl.setText("" if mark is None else mark.pnl)
        purpose = {1: "good", -1: "bad"}.get(mark.sign if mark else 0, "faint")
        if self.pnl.property("tone") != purpose:
            tone(self.pnl, purpose)
        self._refresh_state()

    def _refresh_state(self) -> None:
        trading, told = self._desk.trading, []
        if trading.halted:
            told.append(f"halted: {trading.halted}")
        if trading.down:
            told.append(f"no orders: {trading.down}")
        state = trading.state
        if state is not None:
            told += [f"{name}: {why}" for name, why in state.down.items()]
            told += [
                f"{name} unwatched: {why}" for name, why in state.unwatched.items()
            ]
        self.state.setText("\n".join(told))


def _size(size: Decimal) -> str:
    return plain(abs(size))
