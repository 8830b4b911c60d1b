"""Charts in windows: one client of the tree, any number of windows.

    run_chart --> Qt's loop <-- trio: open_session --> ChartApp --> ChartWindow ...

It ends when its last window is closed, or with Ctrl-C; orders, alerts and feeds go on.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import trio
from msgspec.structs import replace
from PySide6.QtCore import QCoreApplication, QEvent, QRect
from PySide6.QtWidgets import QApplication

from piker import config
from piker.config import UiConf
from piker.errors import PikerError
from piker.log import get_logger
from piker.service import Addr
from piker.ui._indicator_modules import load_indicators
from piker.ui._layouts import LAST, Layout, WindowLayout, save_layout
from piker.ui._market import base_of
from piker.ui._session import Session, open_session
from piker.ui._theme import THEMES, Theme
from piker.ui._trading import Toast
from piker.ui._wanted import Picture, Wanted, layout_for

from ._guest import application, run
from ._look import dress, font_of
from ._window import ChartWindow

log = get_logger(__name__)

#: How long a picture waits for bars to fill it.
_PICTURE_S: Final = 20.0
_SETTLE_S: Final = 0.25


@dataclass(eq=False)
class Faults:
    """Tells of errors in windows, each kind once: they come with each picture."""

    session: Session | None = None
    _told: set[str] = field(default_factory=set)

    def take(self, err: BaseException) -> None:
        """Take an error."""
        text = f"a fault of piker itself: {err!r}; its log says more"
        if self.session is not None and text not in self._told:
            self._told.add(text)
            self.session.toast(Toast(text, "bad"))


@dataclass(eq=False)
class ChartApp:
    """All windows.

    Attributes:
      session: what they look at.
      conf: how they look.
      theme: in force.
      name: of the layout that what is open is saved as.
      windows: that are open.
    """

    session: Session
    conf: UiConf
    theme: Theme
    app: QApplication
    name: str = LAST
    windows: list[ChartWindow] = field(default_factory=list)
    _saves: bool = False
    _closed: trio.Event = field(default_factory=trio.Event)

    def __post_init__(self) -> None:
        self.font = font_of(self.conf.font_name, self.conf.font_size)
        dress(self.app, self.theme, self.font)

    async def open(self, layout: WindowLayout) -> ChartWindow:
        """Open a window; raises what one of its markets is refused with."""
        markets = [await self.session.market(name) for name in layout.fqmes]
        window = ChartWindow(self.session, markets[0], self.conf, self.theme, self.font)
        window.show_markets(markets)
        self._arrange(window, layout)
        window.closed.connect(self._gone)
        window.wants.connect(partial(self._wanted, window))
        self.windows.append(window)
        for market in markets:
            await window.watchlist.add(market.fqme)
        return window

    async def open_all(self, layout: Layout) -> None:
        """Open a layout's windows; one that is refused is told if another is open.

        Raises what the last one was refused with if none is.
        """
        refused: list[PikerError] = []
        for each in layout.windows:
            try:
                (await self.open(each)).show()
            except PikerError as err:
                refused.append(err)
        if not self.windows:
            raise refused[-1]
        for why in refused:
            self.session.toast(Toast(str(why), "bad"))
        watchlist = self.windows[0].watchlist
        for name in layout.watchlist:
            self.windows[0].start(partial(watchlist.add, name, is_saved=True))
        # what was saved holds what was refused now: it is kept then
        self._saves = not refused

    def _arrange(self, window: ChartWindow, layout: WindowLayout) -> None:
        """Set a window up as it was."""
        left, top, width, height = layout.place
        place = QRect(left, top, width, height)
        screen = self.app.primaryScreen()
        if screen is not None:  # it may have been saved on a larger one
            place = place.intersected(screen.availableGeometry())
        if place.width() > 200 and place.height() > 150:
            window.setGeometry(place)
        if len(layout.splits) == 2:
            window.charts.setSizes(list(layout.splits[0]))
            window.split.setSizes(list(layout.splits[1]))
        window.side.setVisible(layout.side)
        window.watchlist.setVisible(layout.watch)
        for chart, period_s in (
            (window.fast, layout.period_s), (window.slow, layout.slow_period_s)
        ):  # fmt: skip
            studies = tuple(study.wanted for study in chart.chart.studies)
            if chart.period_s != period_s:
                chart.show_markets(chart.markets, period_s)
                chart.show_studies(studies)
        window.fast.show_style(layout.style)
        window.fast.show_log(is_log=layout.log)

    def _gone(self, window: ChartWindow) -> None:
        """Forget a window that was closed; with the last one its layout is kept."""
        layout = self._layout() if self._saves and self.windows == [window] else None
        if window in self.windows:
            self.windows.remove(window)
        if not self.windows:
            self._closed.set()
        if layout is not None:
            self._keep(layout)

    def _keep(self, layout: Layout) -> None:
        try:
            save_layout(layout, self.name)
        except OSError as err:
            log.warning("the layout can't be saved: %s", err)

    def _wanted(self, window: ChartWindow, action: str) -> None:
        """Do what concerns more than one window."""
        if action == "toggle_theme":
            self.show_theme(THEMES["light" if self.theme.name == "dark" else "dark"])
        elif action == "save_layout":
            try:
                window.toast(f"saved the layout in {self.save()}")
            except OSError as err:
                window.toast(f"the layout can't be saved: {err.strerror}")
        elif action == "new_window":
            layout = window.layout_()
            left, top, width, height = layout.place
            moved = replace(layout, place=(left + 40, top + 40, width, height))
            # the one it was asked for in may be closed meanwhile
            self.session.start(partial(self._another, moved))

    async def _another(self, layout: WindowLayout) -> None:
        window = await self.open(layout)
        if self._closed.is_set():  # the last one was closed meanwhile
            window.close()
        else:
            window.show()

    def show_theme(self, theme: Theme) -> None:
        """Show everything in other colours."""
        self.theme = theme
        dress(self.app, theme, self.font)
        for window in self.windows:
            window.show_theme(theme)

    def _layout(self) -> Layout:
        """Return what is open."""
        first = self.windows[0]
        return Layout(
            windows=tuple(window.layout_() for window in self.windows),
            watchlist=tuple(
                dict.fromkeys(
                    name for window in self.windows for name in window.watchlist.wanted
                )
            ),
            theme=self.theme.name,
            utc=first.is_utc,
        )

    def save(self) -> Path:
        """Save what is open as the layout that was opened; return where."""
        return save_layout(self._layout(), self.name)

    def close(self) -> None:
        """Close all windows, and let Qt take them apart now.

        Left to the garbage collector they'd go in whatever order it finds them in, some
        after what they stand on.
        """
        if self._saves and self.windows:
            self._keep(self._layout())  # of all of them, before the first is gone
            self._saves = False
        for window in list(self.windows):
            window.close()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)

    async def until_closed(self) -> None:
        """Wait until the last window is closed."""
        await self._closed.wait()


Work = Callable[[], Awaitable[None]]


def run_chart(
    addr: Addr,
    wanted: Wanted,
    on_start: Callable[[str], None] | None = None,
    around: Callable[[Work], Awaitable[None]] | None = None,
) -> None:
    """Show charts until their windows are closed.

    Args:
      addr: where the registry is.
      wanted: what is shown.
      on_start: told in a sentence that a pikerd was started, or that a picture lacks
        something.
      around: does the work it is given, and ends it at signals; as it is by default.

    Raises:
      UsageError: no market was named and none was saved, or there is no screen.
      PikerError: what the session, or the last window, is refused with.
    """
    conf = config.load_config().ui
    load_indicators(conf)
    if wanted.picture is not None:
        # whether there is a screen or not: nothing is shown on it
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
        os.environ["QT_SCALE_FACTOR"] = f"{wanted.picture.scale:g}"
    layout = layout_for(wanted)
    app = application()
    faults = Faults()
    main = partial(_main, app, addr, wanted, (conf, layout), on_start, faults)
    run(app, main if around is None else partial(around, main), faults.take)


async def _main(
    app: QApplication,
    addr: Addr,
    wanted: Wanted,
    look: tuple[UiConf, Layout],
    on_start: Callable[[str], None] | None,
    faults: Faults,
) -> None:
    conf, layout = look
    theme = THEMES[wanted.theme or layout.theme or conf.theme]
    is_picture = wanted.picture is not None
    async with (
        open_session(
            addr,
            wanted.mode,
            on_start=on_start,
            trades=not is_picture,
            fqme=layout.windows[0].fqmes[0],
            annots=not is_picture,
        ) as session,
        AsyncExitStack() as stack,
    ):
        faults.session = session
        charts = ChartApp(session, conf, theme, app, wanted.layout)
        stack.callback(charts.close)
        if wanted.picture is not None:
            window = await charts.open(layout.windows[0])
            await _take_picture(window, wanted.picture, on_start)
            return
        await charts.open_all(layout)
        await charts.until_closed()


async def _take_picture(
    window: ChartWindow, picture: Picture, say: Callable[[str], None] | None
) -> None:
    """Write a picture once there are bars enough to fill it."""
    window.side.hide()
    window.menuBar().hide()
    for widget in (window, window.fast.canvas, window.slow.canvas):
        widget.setMinimumSize(1, 1)
    window.setFixedSize(picture.width, picture.height)
    window.show()
    with trio.move_on_after(_PICTURE_S) as patience:
        while not _is_filled(window):  # noqa: ASYNC110 - bars are no event
            await trio.sleep(_SETTLE_S)
    if patience.cancelled_caught and say is not None:
        say(f"not all of the picture's bars came within {_PICTURE_S:g} s")
    await trio.sleep(_SETTLE_S)
    try:
        picture.path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise PikerError(f"can't write {picture.path}: {err.strerror}") from None
    for chart in (window.fast, window.slow):
        chart.refresh()
        chart.reset()
    window.save_picture(picture.path)


def _is_filled(window: ChartWindow) -> bool:
    """Tell whether both charts have bars from edge to edge, or all there are."""
    for chart in (window.fast, window.slow):
        left = chart.chart.view.left
        first = chart.chart.series
        left_s = (
            first.time[0] + (left - first.start) * first.period_s if len(first) else 0
        )
        for market in chart.markets:
            series = market.series(chart.period_s)
            progress = market.progress.get(base_of(chart.period_s))
            is_all = progress is not None and progress.done >= 1
            if not len(series) or (series.time[0] > left_s and not is_all):
                return False
    return True
