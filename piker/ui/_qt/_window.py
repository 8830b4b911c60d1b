"""A chart window: two charts of a market, the side pane, and what keys do to them.

    +--------------------------------------+-----------+
    | history chart, 1 m; the region is    | order     |
    | what the fast chart shows            | pane      |
    +--------------------------------------+-----------+
    | fast chart, 1 s                      | watchlist |
    +--------------------------------------+-----------+
    | status bar                                       |
    +--------------------------------------------------+

Closing it cancels no order. Hidden, it asks for no quotes and paints nothing.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

import trio
from PySide6.QtCore import QEvent, Qt, QTimer, Signal
from PySide6.QtGui import (
    QCloseEvent,
    QFont,
    QHideEvent,
    QKeyEvent,
    QResizeEvent,
    QShowEvent,
)
from PySide6.QtWidgets import QMainWindow, QMessageBox, QSplitter, QVBoxLayout, QWidget

from piker.config import UiConf
from piker.errors import PikerError
from piker.ui._layouts import WindowLayout
from piker.ui._linked import go_to, region_of
from piker.ui._market import Market
from piker.ui._order_events import Confirmed, Intent
from piker.ui._session import Session
from piker.ui._theme import Theme
from piker.ui._trading import Toast
from piker.ui.indicators import parse

from ._actions import Actions
from ._canvas import ChartCanvas
from ._keyboard import Keyboard
from ._market_chart import MarketChart
from ._notices import HelpOverlay, Toasts
from ._order_layer import OrderDesk, OrderLayer
from ._order_pane import OrderPane
from ._question import ask
from ._search import SearchPane
from ._status import StatusBar
from ._watchlist import WatchEntry, Watchlist

#: Between two pictures at least: of the fast chart as screens have it, of the history
#: chart, where a tick moves little, as eyes do.
_FAST_MS: Final = 16
_SLOW_MS: Final = 100
_STATUS_MS: Final = 250


class ChartWindow(QMainWindow):
    """One window.

    Attributes:
      closed: it was closed, itself.
      wants: what concerns all windows: an action's name.
    """

    closed = Signal(object)
    wants = Signal(str)

    def __init__(
        self, session: Session, market: Market, conf: UiConf, theme: Theme, font: QFont
    ) -> None:
        """Show a market."""
        super().__init__()
        self.session, self.conf, self.theme = session, conf, theme
        self.is_utc = conf.utc
        self._scopes: list[trio.CancelScope] = []
        self.desk = OrderDesk(session.trading, conf.confirm)
        self.fast = MarketChart(session, market, 1, (theme, font), self.start)
        self.slow = MarketChart(session, market, 60, (theme, font), self.start)
        self.active = self.fast
        self.side = QWidget()
        self.pane = OrderPane(self.desk, theme)
        self.watchlist = Watchlist(session, theme)
        self.watch_entry = WatchEntry(self.watchlist, self.start)
        self.status = StatusBar(session, self.desk)
        self._is_seen, self._is_closed = False, False
        self._painted_s, self._asked = 0.0, 0
        self._question: QMessageBox | None = None
        self._fast_timer = self._timer(_FAST_MS, self._fast_frame)
        self._slow_timer = self._timer(_SLOW_MS, self._slow_frame)
        self._lay_out()
        self.search = SearchPane(self, session, self.start)
        self.help = HelpOverlay(self)
        self.toasts = Toasts(self, self.charts)
        self.actions_ = Actions(self)
        self.keyboard = Keyboard(self)
        self._connect()
        self._begin([market])

    def _timer(self, wait_ms: int, func: Callable[[], None]) -> QTimer:
        """Return a timer that calls something once it was started, once."""
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setTimerType(Qt.TimerType.PreciseTimer)
        timer.setInterval(wait_ms)
        timer.timeout.connect(func)
        return timer

    def _lay_out(self) -> None:
        self.charts = QSplitter(Qt.Orientation.Vertical)
        self.charts.addWidget(self.slow.canvas)
        self.charts.addWidget(self.fast.canvas)
        self.charts.setSizes([300, 560])
        self.charts.setChildrenCollapsible(False)
        column = QVBoxLayout(self.side)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.pane)
        column.addWidget(self.watchlist, 1)
        column.addWidget(self.watch_entry)
        self.split = QSplitter(Qt.Orientation.Horizontal)
        self.split.addWidget(self.charts)
        self.split.addWidget(self.side)
        self.split.setStretchFactor(0, 1)
        self.split.setSizes([1180, 320])
        self.setCentralWidget(self.split)
        self.setStatusBar(self.status)
        self.resize(1500, 900)

    def _connect(self) -> None:
        for chart in (self.fast, self.slow):
            canvas = chart.canvas
            layer = OrderLayer(self.desk, canvas)
            canvas.grabber = layer
            canvas.hovered.connect(_hover(layer, canvas))
            canvas.clicked.connect(layer.click)
            canvas.menu_wanted.connect(self.actions_.open_menu)
            canvas.installEventFilter(self.keyboard)
            chart.show_zone(utc=self.is_utc)
        self.fast.canvas.viewed.connect(self._link)
        self.slow.canvas.region_moved.connect(self._region_moved)
        self.slow.shows_touch = False
        self.desk.changed.connect(self._desk_changed)
        self.desk.pointed.connect(self._pointed)
        self.desk.wanted.connect(self._wanted)
        self.desk.asked.connect(self._ask)
        self.desk.said.connect(self.status.say)
        self.pane.said.connect(self.status.say)
        self.pane.done.connect(self.focus_chart)
        self.search.chosen.connect(self.switch)
        self.search.left.connect(self.focus_chart)
        self.watchlist.chosen.connect(self.switch)
        self.watch_entry.done.connect(self.focus_chart)
        self.session.trading.listeners.add(self._traded)
        self.session.trading.on_toast.add(self.toasts.show)
        self.session.annots.listeners.add(self._annotated)
        self._ticker = QTimer(self)
        self._ticker.timeout.connect(self._refresh_status)
        self._ticker.start(_STATUS_MS)

    # -- markets -----------------------------------------------------------------------

    @property
    def market(self) -> Market:
        """The market that is traded."""
        return self.fast.market

    def _begin(self, markets: list[Market]) -> None:
        """Show markets, the first of them to be traded."""
        studies = tuple(parse(text) for text in self.conf.indicators)
        for chart in (self.fast, self.slow):
            chart.show_markets(markets)
            chart.show_studies(studies)
        for market in markets:
            market.listeners.add(self._mark)
        self.desk.begin(markets[0])
        self.setWindowTitle(f"{markets[0].fqme} - piker")
        self._link()

    def switch(self, name: str) -> None:
        """Show another market, found by its name; what it is refused with is told."""
        self.focus_chart()
        self._asked += 1
        number = self._asked

        async def show() -> None:
            self.status.say(f"opening {name} ...")
            market = await self.session.market(name)
            await trio.lowlevel.checkpoint_if_cancelled()
            if number != self._asked:
                return  # something else was asked for meanwhile
            self.status.clearMessage()
            self.show_markets([market])
            await self.watchlist.add(market.fqme)

        self.start(show)

    def start(self, work: Callable[[], Awaitable[object]]) -> None:
        """Have something done for as long as this window is open.

        Cancelling reaches it where it waits. What it waited for may have come just
        before: it looks for itself then (``checkpoint_if_cancelled``) whether what it
        has is wanted any more.
        """
        if self._is_closed:
            return
        scope = trio.CancelScope()
        self._scopes.append(scope)

        async def scoped() -> None:
            try:
                await work()
            finally:
                self._scopes.remove(scope)
                self._take_apart()

        self.session.start(scoped, scope)

    def show_markets(self, markets: list[Market]) -> None:
        """Show other markets than before."""
        for market in self.fast.markets:
            market.listeners.discard(self._mark)
            market.look(self, is_looking=False)
        self._begin(markets)
        self._look(is_looking=self._is_seen)

    def _look(self, *, is_looking: bool) -> None:
        """Have quotes sent while this is looked at."""
        for market in self.fast.markets:
            market.look(self, is_looking=is_looking)

    # -- what changes ------------------------------------------------------------------

    def _mark(self) -> None:
        """Have it painted within a frame: something came."""
        if not self.isVisible():
            return
        if not self._fast_timer.isActive():
            since_ms = (time.monotonic() - self._painted_s) * 1e3
            self._fast_timer.start(max(0, round(_FAST_MS - since_ms)))
        if not self._slow_timer.isActive():
            self._slow_timer.start()

    def _fast_frame(self) -> None:
        self._painted_s = time.monotonic()
        if self.isVisible():
            self.fast.refresh()
            self._link()

    def _slow_frame(self) -> None:
        if self.isVisible():
            self.slow.refresh()
            self._link()

    def _link(self) -> None:
        """Mark in the history chart what the fast chart shows."""
        region = region_of(self.fast.chart, self.slow.chart)
        if region != self.slow.chart.region:
            self.slow.chart.region = region
            self.slow.canvas.update()

    def _region_moved(self, left: float, _right: float) -> None:
        """Show in the fast chart what was marked in the history chart."""
        go_to(self.fast.chart, self.slow.chart, left)
        self._link()
        self.fast.canvas.look()
        self.fast.maybe_load_older()

    def _traded(self) -> None:
        self.pane.refresh()
        for chart in (self.fast, self.slow):
            chart.canvas.look()

    def _desk_changed(self) -> None:
        if self._question is not None and self.desk.mode.pending is None:
            box, self._question = self._question, None
            box.close()  # answered, or nothing to answer any more
        self._traded()
        self._refresh_status()

    def _refresh_status(self) -> None:
        self.status.refresh(self.market)
        if self.desk.position() is not None:  # what it would bring goes with the price
            self.pane.refresh()
            for chart in (self.fast, self.slow):
                chart.canvas.update()

    def _annotated(self) -> None:
        """Show what others have drawn by now."""
        for chart in (self.fast, self.slow):
            chart.show_annots()

    def _pointed(self) -> None:
        """Show what is staged where the cursor is now."""
        for chart in (self.fast, self.slow):
            chart.canvas.update()
        self.status.refresh(self.market)

    # -- orders ------------------------------------------------------------------------

    def _wanted(self, intent: Intent) -> None:
        # of the session, not of the window: it is to be done though that is closed
        self.session.start(partial(self.session.trading.do, intent))

    def _ask(self, text: str) -> None:
        """Ask about a real order."""
        self._question = ask(
            self, text, lambda is_yes: self.desk.take(Confirmed(is_yes))
        )

    # -- keys ----------------------------------------------------------------------

    def focus_chart(self) -> None:
        """Give the keyboard to the chart."""
        self.active.canvas.setFocus()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Take keys that no widget took."""
        if not self.keyboard.pressed(event, on_canvas=False):
            super().keyPressEvent(event)

    # -- life --------------------------------------------------------------------------

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Ask for quotes: it is looked at."""
        super().showEvent(event)
        self._see(is_seen=True)

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802
        """Ask for none: it is hidden."""
        super().hideEvent(event)
        self._see(is_seen=False)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Likewise while it is minimised."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.ActivationChange:
            self.keyboard.check_focus()
        if event.type() == QEvent.Type.WindowStateChange:
            self._see(is_seen=self.isVisible() and not self.isMinimized())

    def _see(self, *, is_seen: bool) -> None:
        self._is_seen = is_seen
        self._look(is_looking=is_seen)
        if is_seen:
            self._ticker.start(_STATUS_MS)
            self._mark()
        else:
            self._ticker.stop()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Keep what lies over the charts in its place."""
        super().resizeEvent(event)
        self.toasts.place()

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        """Let go of everything but orders."""
        self._see(is_seen=False)
        self.watchlist.see(is_seen=False)
        for scope in tuple(self._scopes):
            scope.cancel()
        for chart in (self.fast, self.slow):
            chart.close()
        for market in self.fast.markets:
            market.listeners.discard(self._mark)
        self.session.trading.listeners.discard(self._traded)
        self.session.trading.on_toast.discard(self.toasts.show)
        self.session.annots.listeners.discard(self._annotated)
        super().closeEvent(event)
        self._is_closed = True
        self.closed.emit(self)
        self._take_apart()

    def _take_apart(self) -> None:
        """Have Qt delete it once it is closed and nothing is done for it any more."""
        if self._is_closed and not self._scopes:
            self.deleteLater()

    def show_theme(self, theme: Theme) -> None:
        """Show everything in other colours."""
        self.theme = self.watchlist.theme = self.pane.bar.theme = theme
        for chart in (self.fast, self.slow):
            chart.canvas.set_theme(theme)
        self.watchlist.refresh()
        self.pane.bar.update()

    def layout_(self) -> WindowLayout:
        """Return how it is set up."""
        place = self.geometry()
        return WindowLayout(
            fqmes=tuple(market.fqme for market in self.fast.markets),
            period_s=self.fast.period_s,
            slow_period_s=self.slow.period_s,
            style=self.fast.chart.style,
            log=self.fast.chart.view.span.log,
            place=(place.x(), place.y(), place.width(), place.height()),
            splits=(tuple(self.charts.sizes()), tuple(self.split.sizes())),
            side=self.side.isVisible(),
            watch=self.watchlist.isVisible(),
        )

    def save_picture(self, path: Path) -> None:
        """Write what it shows as a picture; raises PikerError if that can't be."""
        if not self.grab().save(str(path)):
            raise PikerError(f"a picture can't be written to {path}")

    def toast(self, text: str) -> None:
        """Tell something."""
        self.toasts.show(Toast(text))


def _hover(layer: OrderLayer, canvas: ChartCanvas) -> Callable[[object], None]:
    """Return what follows the mouse over a canvas."""

    def hover(price: object) -> None:
        is_price = isinstance(price, float)
        layer.hover(canvas.chart.view.y(price) if is_price else None)  # type: ignore[arg-type]

    return hover
