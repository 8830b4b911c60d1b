"""What keys and menus do to a window, by the names of the key table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu

from piker import config
from piker.errors import PikerError
from piker.ui._chart import STYLES
from piker.ui._keys import KEYS, KeyAction, key_for
from piker.ui._order_events import Chosen, Escaped, Pressed
from piker.ui._times import next_period
from piker.ui._trading import Toast
from piker.ui._wanted import span_text

if TYPE_CHECKING:
    from ._window import ChartWindow

_ZOOM: Final = 1.25
#: Menus, and what stands in them; None is a line between.
_MENUS: Final[dict[str, tuple[KeyAction | None, ...]]] = {
    "&Chart": (
        "open_search", "new_window", "save_layout", "screenshot", None, "close_window",
    ),
    "&View": (
        "reset_view", "zoom_in", "zoom_out", None, "previous_period", "next_period",
        "next_style", "toggle_log", "toggle_utc", None, "toggle_theme", "toggle_panes",
        "toggle_watchlist", "redraw",
    ),
    "&Orders": (
        "stage_buy", "stage_sell", "stage_alert", None, "cancel_all", "clear", None,
        "halt",
    ),
    "&Help": ("toggle_help",),
}  # fmt: skip


class Actions:
    """The actions of one window."""

    def __init__(self, window: ChartWindow) -> None:
        """Make the window's menus."""
        self._window = window
        self._rules: dict[KeyAction, Callable[[], None]] = {
            "open_search": window.search.open,
            "toggle_panes": self._toggle_panes,
            "clear": self._clear,
            "reset_view": self._reset,
            "redraw": self._redraw,
            "zoom_in": lambda: self._zoom(1 / _ZOOM),
            "zoom_out": lambda: self._zoom(_ZOOM),
            "query": lambda: self.show_values(is_shown=True),
            "previous_period": lambda: self._step_period(-1),
            "next_period": lambda: self._step_period(1),
            "next_style": self._next_style,
            "toggle_log": self._toggle_log,
            "toggle_utc": self._toggle_utc,
            "toggle_theme": lambda: window.wants.emit("toggle_theme"),
            "toggle_watchlist": self._toggle_watchlist,
            "toggle_help": window.help.toggle,
            "screenshot": self._screenshot,
            "save_layout": lambda: window.wants.emit("save_layout"),
            "new_window": lambda: window.wants.emit("new_window"),
            "close_window": self._close,
            "open_menu": lambda: self.open_menu(window.cursor().pos()),
        }
        for title, names in _MENUS.items():
            self._fill(window.menuBar().addMenu(title), names)
        self._studies = window.menuBar().addMenu("&Indicators")
        self._studies.aboutToShow.connect(self._fill_studies)

    def do(self, action: KeyAction, *, is_repeat: bool = False) -> None:
        """Do what a key or a menu is for; nothing for what isn't done here."""
        rule = self._rules.get(action)
        if rule is None or (is_repeat and action not in _MAY_REPEAT):
            return
        try:
            rule()
        except PikerError as err:
            self._window.toasts.show(Toast(str(err), "bad"))
        except OSError as err:
            what = f"{err.filename or action}: {err.strerror}"
            self._window.toasts.show(Toast(f"can't write {what}", "bad"))

    # -- menus -------------------------------------------------------------------------

    def open_menu(self, at: QPoint) -> None:
        """Show what a right click offers, at a place on the screen."""
        self.menu().popup(at)

    def menu(self) -> QMenu:
        """Return what a right click offers."""
        menu = QMenu(self._window)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for title in ("&Orders", "&View"):
            self._fill(menu, _MENUS[title])
            menu.addSeparator()
        return menu

    def _fill(self, menu: QMenu, names: tuple[KeyAction | None, ...]) -> None:
        for name in names:
            if name is None:
                menu.addSeparator()
                continue
            key = key_for(name)
            entry = QAction(f"{key.says}\t{key.combo}", menu)  # it goes with its menu
            entry.triggered.connect(self._chooser(name))
            menu.addAction(entry)

    def _chooser(self, name: KeyAction) -> Callable[[], None]:
        def choose() -> None:
            desk = self._window.desk
            staged = {"stage_buy": "buy", "stage_sell": "sell", "stage_alert": "alert"}
            if name in staged:
                desk.take(Chosen(staged[name]))  # type: ignore[arg-type]
            elif key_for(name).where == "order" or name in ("halt", "clear"):
                desk.take(Pressed(key_for(name), desk.now_s()))
            self.do(name)
            self._window.focus_chart()

        return choose

    def _fill_studies(self) -> None:
        """Offer the indicators there are, those that are shown marked."""
        from piker.ui.indicators import known

        window, menu = self._window, self._studies
        menu.clear()
        shown = {study.wanted.indicator.name for study in window.fast.chart.studies}
        for name, indicator in known().items():
            entry = menu.addAction(f"{name}: {indicator.says}")
            entry.setCheckable(True)
            entry.setChecked(name in shown)
            entry.triggered.connect(self._study_toggler(name))

    def _study_toggler(self, name: str) -> Callable[[], None]:
        def toggle() -> None:
            from piker.ui.indicators import parse

            window = self._window
            wanted = [study.wanted for study in window.fast.chart.studies]
            kept = [each for each in wanted if each.indicator.name != name]
            if len(kept) == len(wanted):
                kept.append(parse(name))
            for chart in (window.fast, window.slow):
                chart.show_studies(tuple(kept))

        return toggle

    # -- what is done ------------------------------------------------------------------

    def _reset(self) -> None:
        self._window.active.reset()

    def _zoom(self, factor: float) -> None:
        chart = self._window.active.chart
        chart.view.zoom_at_end(factor, chart.series.end)
        self._window.active.canvas.viewed.emit()
        self._window.active.canvas.look()

    def _clear(self) -> None:
        window = self._window
        for chart in (window.fast, window.slow):
            chart.canvas.box = None
            chart.canvas.look()
        window.help.hide()
        window.search.hide()
        window.desk.take(Escaped())
        window.focus_chart()

    def _redraw(self) -> None:
        for chart in (self._window.fast, self._window.slow):
            chart.canvas.forget()

    def show_values(self, *, is_shown: bool) -> None:
        """Show the values of the bar below the cursor beside it."""
        for chart in (self._window.fast, self._window.slow):
            chart.canvas.shows_values = is_shown
            chart.canvas.look()

    def _step_period(self, by: int) -> None:
        chart = self._window.active
        period_s = next_period(chart.period_s, by)
        if period_s == chart.period_s:
            return
        wanted = tuple(study.wanted for study in chart.chart.studies)
        chart.show_markets(chart.markets, period_s)
        chart.show_studies(wanted)
        self._window.status.say(f"bars of {span_text(period_s)}")

    def _next_style(self) -> None:
        chart = self._window.active
        at = (STYLES.index(chart.chart.style) + 1) % len(STYLES)
        chart.show_style(STYLES[at])
        self._window.status.say(f"bars are drawn as: {STYLES[at]}")

    def _toggle_log(self) -> None:
        chart = self._window.active
        chart.show_log(is_log=not chart.chart.view.span.log)

    def _toggle_utc(self) -> None:
        window = self._window
        window.is_utc = not window.is_utc
        for chart in (window.fast, window.slow):
            chart.show_zone(utc=window.is_utc)
        window.status.say("times are UTC" if window.is_utc else "times are local")

    def _toggle_panes(self) -> None:
        self._window.side.setVisible(not self._window.side.isVisible())

    def _toggle_watchlist(self) -> None:
        window = self._window
        is_shown = window.watchlist.isVisible()
        window.side.setVisible(True)
        window.watchlist.setVisible(not is_shown)

    def _screenshot(self) -> None:
        window = self._window
        folder = config.state_dir() / "pictures"
        folder.mkdir(parents=True, exist_ok=True)
        at = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")[:-3]
        path = folder / f"{window.market.fqme}-{at}.png"
        window.save_picture(path)
        window.toast(f"saved {path}")

    def _close(self) -> None:
        self._window.close()


#: Actions that go on while their key is held.
_MAY_REPEAT: Final = frozenset(("zoom_in", "zoom_out"))
assert {key.action for key in KEYS} >= {
    name for names in _MENUS.values() for name in names if name is not None
}, "menus name what the table has"
