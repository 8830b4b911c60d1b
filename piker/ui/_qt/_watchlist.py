"""The watchlist: markets with live quotes, one of which is shown."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import trio
from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QColor, QHideEvent, QKeyEvent, QShowEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLineEdit,
    QTableWidget,
    QTableWidgetItem,
)

from piker.errors import PikerError, ShmError, UsageError
from piker.ui._keys import lookup
from piker.ui._market import Market
from piker.ui._session import Session
from piker.ui._theme import Theme
from piker.ui._ticks import written
from piker.ui._trading import Toast

from ._combos import combo_of_event

_REFRESH_MS: Final = 250
_HEADS: Final = ("market", "last", "day")
_DAY_S: Final = 86_400


class Watchlist(QTableWidget):
    """Markets, a row each.

    Attributes:
      chosen: a market is to be shown, its name.
      wanted: markets that are to be watched, also those that can't be now.
    """

    chosen = Signal(str)

    def __init__(self, session: Session, theme: Theme) -> None:
        """Begin with no market."""
        super().__init__(0, len(_HEADS))
        self._session, self.theme = session, theme
        self._markets: dict[str, Market] = {}
        self._items: dict[str, list[QTableWidgetItem]] = {}
        self._is_seen = False
        self.wanted: list[str] = []
        self.setHorizontalHeaderLabels(list(_HEADS))
        self.verticalHeader().hide()
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setShowGrid(False)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.cellClicked.connect(self._clicked)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.refresh)

    @property
    def names(self) -> list[str]:
        """The markets, from the top."""
        return list(self._markets)

    async def add(self, name: str, *, is_saved: bool = False) -> None:
        """Watch a market; what keeps it from being watched is told.

        Args:
          name: of it; one that is wrong isn't wanted any more.
          is_saved: it comes from a saved layout, which keeps it whatever it is.
        """
        is_kept = is_saved or name in self.wanted
        if name not in self.wanted:
            self.wanted.append(name)
        try:
            market = await self._session.market(name)
        except PikerError as err:
            # whatever else it is may pass
            if isinstance(err, UsageError) and not is_kept and name in self.wanted:
                self.wanted.remove(name)
            self._session.toast(Toast(str(err), "bad"))
            return
        await trio.lowlevel.checkpoint_if_cancelled()
        if name not in self.wanted:
            return  # it was let go of meanwhile
        self.wanted[self.wanted.index(name)] = market.fqme
        self.wanted[:] = dict.fromkeys(self.wanted)
        if market.fqme in self._markets:
            return
        self._markets[market.fqme] = market
        market.look(self, is_looking=self._is_seen)
        row = self.rowCount()
        self.insertRow(row)
        items = [QTableWidgetItem("") for _ in _HEADS]
        for column, item in enumerate(items):
            if column:
                item.setTextAlignment(
                    Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                )
            self.setItem(row, column, item)
        self._items[market.fqme] = items
        self.refresh()

    def remove(self, fqme: str) -> None:
        """Watch a market no more."""
        if fqme not in self._markets:
            return
        self.removeRow(list(self._markets).index(fqme))
        self.wanted.remove(fqme)
        market = self._markets.pop(fqme)
        self._items.pop(fqme, None)
        market.look(self, is_looking=False)

    def see(self, *, is_seen: bool) -> None:
        """Have quotes sent while it is looked at."""
        self._is_seen = is_seen
        for market in self._markets.values():
            market.look(self, is_looking=is_seen)
        if is_seen:
            self._timer.start(_REFRESH_MS)
        else:
            self._timer.stop()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Ask for quotes: it is looked at."""
        super().showEvent(event)
        self.see(is_seen=True)

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802
        """Ask for none: it is hidden."""
        super().hideEvent(event)
        self.see(is_seen=False)

    def _clicked(self, row: int, _column: int) -> None:
        self.chosen.emit(self.names[row])

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Remove what is selected with delete."""
        if event.key() == Qt.Key.Key_Delete and self.currentRow() >= 0:
            self.remove(self.names[self.currentRow()])
            return
        event.ignore()

    def refresh(self) -> None:
        """Show the quotes as they are now."""
        if not self.isVisible():
            return
        for fqme, items in self._items.items():
            market = self._markets[fqme]
            touch, digits = market.touch, market.flume.mkt.price_digits
            day = day_change(market)
            texts = (fqme, _price(touch.last, digits), _percent(day))
            colors = (
                self.theme.bad if market.trouble else self.theme.text,
                self._moved(touch.last - touch.before),
                self._moved(day),
            )
            for item, text, color in zip(items, texts, colors, strict=True):
                if item.text() != text:
                    item.setText(text)
                item.setForeground(QColor(color))
            best = f"{_price(touch.bid, digits)} / {_price(touch.ask, digits)}"
            items[0].setToolTip(f"{fqme}  {market.trouble or best}")

    def _moved(self, by: float) -> str:
        if math.isnan(by) or not by:
            return self.theme.text
        return self.theme.up if by > 0 else self.theme.down


class WatchEntry(QLineEdit):
    """Where a market's name is typed that is to be watched.

    Attributes:
      done: it was taken, or let go: the chart wants the keyboard.
    """

    done = Signal()

    def __init__(
        self,
        watchlist: Watchlist,
        start: Callable[[Callable[[], Awaitable[object]]], None],
    ) -> None:
        """Add what is typed to *watchlist*; *start* does so."""
        super().__init__()
        self._watchlist, self._start = watchlist, start
        self.setPlaceholderText("watch a market, e.g. ethusdt.spot.sim")
        self.returnPressed.connect(self._take)

    def _take(self) -> None:
        name = self.text().strip().lower()
        if name:
            self._start(partial(self._watchlist.add, name))
        self.clear()
        self.done.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Take the keys that leave a form."""
        key = lookup("form", combo_of_event(event))
        if key is not None and key.action == "back":
            self.clear()
            self.done.emit()
            return
        super().keyPressEvent(event)


def day_change(market: Market) -> float:
    """Return what a market returned in the last 24 h, ``nan`` if that isn't known."""
    try:
        bars = market.flume.hist_shm.last(_DAY_S // 60 + 1)
    except ShmError:
        return math.nan
    if not len(bars):
        return math.nan
    # a market that was closed has bars of more than a day there
    base = bars.close[bars.time >= bars.time[-1] - _DAY_S][0]
    return float(bars.close[-1] / base - 1) if base > 0 else math.nan


def _price(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else written(value, digits)


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{value * 100:+.2f}%"
