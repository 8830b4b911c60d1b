"""The terminal: textual hands over keys and the mouse, and puts rows on the screen.

    keys, mouse --> ChartApp --> overlay or Model          changed() --ask_draw-->
    frame(model) --rows--> Canvas: only those that differ are put

Ten pictures a second at most, and none while nothing changes.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

from piker import config
from piker.errors import UsageError
from piker.ui._theme import ThemeName
from piker.ui._trading import Toast

from ._cells import Ink, Row, padded
from ._finder import Finder
from ._form import Form
from ._frame import Area, Frame, frame, waiting
from ._guest import HostApp
from ._model import Model
from ._mouse import Mouse
from ._overlays import Help, Overlay, Question
from ._palette import palette
from ._taps import action_of, combo_of_key

#: Seconds between two pictures at least.
DRAW_S: Final = 0.1
#: While toasts are shown it is looked again whether they are over.
_TOAST_LOOK_S: Final = 1.0


@lru_cache(maxsize=1024)
def _style(ink: Ink) -> Style:
    return Style(color=ink.fore, bgcolor=ink.back, bold=ink.bold)


class Canvas(Widget):
    """Shows rows of cells; of new ones only those that differ are put on the screen."""

    DEFAULT_CSS = "Canvas { width: 100%; height: 100%; }"

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[Row] = []

    def show(self, rows: Sequence[Row]) -> None:
        """Show other rows."""
        old, self._rows = self._rows, list(rows)
        if len(old) != len(self._rows):
            self.refresh()
            return
        changed = [y for y, row in enumerate(self._rows) if row != old[y]]
        if changed:
            width = self.size.width
            self.refresh(*(Region(0, y, width, 1) for y in changed))

    def render_line(self, y: int) -> Strip:
        """Return a row as textual wants it."""
        width = self.size.width
        if y >= len(self._rows):
            return Strip.blank(width)
        segments = [Segment(text, _style(ink)) for text, ink in self._rows[y]]
        return Strip(segments).adjust_cell_length(width)

    # -- the mouse --------------------------------------------------------------------

    def _tell(self, what: str, event: events.MouseEvent) -> None:
        app = self.app
        assert isinstance(app, ChartApp), "it is part of one"
        event.stop()
        app.moused(what, event)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Tell of a button that went down."""
        self.capture_mouse()
        self._tell("down", event)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """Tell of one that came up."""
        self.release_mouse()
        self._tell("up", event)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Tell where the mouse is."""
        self._tell("move", event)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Tell of the wheel."""
        self._tell("wheel-up", event)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Tell of the wheel."""
        self._tell("wheel-down", event)


class ChartScreen(Screen[None], inherit_bindings=False):
    """The one screen: nothing on it has the focus, so it gets all keys."""

    DEFAULT_CSS = "ChartScreen { overflow: hidden; }"


class ChartApp(HostApp, inherit_bindings=False):
    """The terminal chart.

    Attributes:
      model: what is shown; None until there is a market.
      says: what is waited for until then.
      overlay: what takes the keys in place of the chart.
      frame: as it was drawn last.
      draws: pictures that were drawn.
    """

    def __init__(self, says: str = "connecting ...", theme: ThemeName = "dark") -> None:
        """Begin with nothing but what is waited for."""
        super().__init__()
        self._first_theme = theme
        self.model: Model | None = None
        self.says = says
        self.overlay: Overlay | None = None
        self.frame = Frame([], Area(0, 0, 0, 0), Area(0, 0, 0, 0))
        self.draws = 0
        self._canvas = Canvas()
        self._mouse: Mouse | None = None
        self._drawn_s = 0.0
        self._pending: dict[str, asyncio.TimerHandle] = {}
        self._own_context: contextvars.Context | None = None

    def get_default_screen(self) -> Screen[None]:
        """Return the one screen there is."""
        return ChartScreen()

    def on_mount(self) -> None:
        """Put the canvas on the screen."""
        self._own_context = contextvars.copy_context()
        self.screen.mount(self._canvas)
        self.ask_draw()

    def on_resize(self) -> None:
        """Draw for another size."""
        self.ask_draw()

    def on_unmount(self) -> None:
        """Draw no more."""
        for timer in self._pending.values():
            timer.cancel()

    def attach(self, model: Model) -> None:
        """Show a model from now on."""
        self.model, self._mouse = model, Mouse(model)
        model.changed = self.ask_draw
        self.ask_draw()

    def say(self, text: str) -> None:
        """Tell something: over the chart, or in place of it while there is none."""
        if self.model is not None:
            self.model.say(text)
        else:
            self.says = text
            self.ask_draw()

    # -- drawing ----------------------------------------------------------------------

    def ask_draw(self) -> None:
        """Have all drawn anew, soon; asked often it is drawn once."""
        due_s = self._drawn_s + DRAW_S - time.monotonic()
        self._later("draw", max(due_s, 0.0), self._draw)

    def _later(self, name: str, delay_s: float, what: Callable[[], None]) -> None:
        """Do something in the app's context, if it isn't to be done anyway."""
        if self._own_context is None or name in self._pending:
            return

        def fire() -> None:
            del self._pending[name]
            try:
                what()
            except Exception as err:  # noqa: BLE001 - textual does so in its handlers
                self.fail(err)

        loop = asyncio.get_running_loop()
        self._pending[name] = loop.call_later(delay_s, fire, context=self._own_context)

    def _draw(self) -> None:
        self._drawn_s = time.monotonic()
        width, height = self.size
        if width < 1 or height < 1 or not self._canvas.is_attached:
            return
        self.draws += 1
        self._canvas.show(self._picture(width, height))
        if self.model is not None and self.model.toasts:
            self._later("toasts", _TOAST_LOOK_S, self.ask_draw)

    def _picture(self, width: int, height: int) -> list[Row]:
        model = self.model
        if model is None:
            return waiting(self.says, width, height, palette(self._first_theme).text)
        self.frame = frame(model, width, height)
        if self.overlay is None:
            return self.frame.rows
        blank = padded([], width, palette(model.theme).panel)
        below = self.frame.rows + [blank] * (height - len(self.frame.rows))
        return self.overlay.rows(below, width, height)[:height]

    # -- keys -------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        """Take a key."""
        event.stop()
        event.prevent_default()
        text = event.character if event.is_printable and event.character else ""
        self.pressed(combo_of_key(event.key, event.character), text)

    def on_paste(self, event: events.Paste) -> None:
        """Take what was pasted, as if it were typed; on the chart it means nothing."""
        event.stop()
        if self.overlay is not None:
            self._to_overlay("paste", event.text)

    def pressed(self, combo: str, text: str = "") -> None:
        """Do what a key is for."""
        if self.model is None:
            if combo in {"ctrl-c", "ctrl-q", "ctrl-w", "esc"}:
                self.exit()
            return
        if self.overlay is not None:
            self._to_overlay(combo, text)
        else:
            self._on_chart(self.model, combo)
        self._attend(self.model)
        self.ask_draw()

    def _attend(self, model: Model) -> None:
        """Let what is asked take the keys at once: the next one is meant for it."""
        if model.question and not isinstance(self.overlay, Question):
            self.overlay = Question(model, palette(model.theme))

    def _to_overlay(self, combo: str, text: str) -> None:
        overlay = self.overlay
        if overlay is not None and overlay.press(combo, text):
            self.overlay = None
        self.ask_draw()

    def _on_chart(self, model: Model, combo: str) -> None:
        action = action_of(combo)
        if action is None or model.act(action, combo):
            return
        inks = palette(model.theme)
        match action:
            case "open_search":
                self.overlay = Finder(model, inks)
            case "toggle_help":
                self.overlay = Help(inks)
            case "open_pane":
                self.overlay = Form(model, inks)
            case "redraw":
                self.screen.refresh()
            case "screenshot":
                self._save_picture(model)
            case "close_window":
                self.exit()

    def _save_picture(self, model: Model) -> None:
        """Save the screen as SVG where windows save their pictures."""
        folder = Path(config.state_dir()) / "pictures"
        at = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        path = folder / f"{model.market.fqme}-{at}.svg"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(self.export_screenshot(), encoding="utf-8")
        except OSError as err:
            model.session.toast(Toast(f"can't write {path}: {err.strerror}", "bad"))
        else:
            model.say(f"saved {path}")

    # -- the mouse --------------------------------------------------------------------

    def moused(self, what: str, event: events.MouseEvent) -> None:
        """Take what the mouse did."""
        if self._mouse is None:
            return
        if self.overlay is not None:
            self._mouse.let_go()
            if what.startswith("wheel"):
                self._to_overlay(what, "")
            return
        self._mouse.take(what, (event.x, event.y), event.button, self.frame)
        if self.model is not None:
            self._attend(self.model)


def check_terminal() -> None:
    """Raise UsageError where there is no terminal to draw on."""
    for stream in (sys.__stdin__, sys.__stderr__):
        if stream is None or not stream.isatty():
            raise UsageError(
                "a chart in a terminal wants one: stdin and stderr, where it is drawn,"
                " are to be a terminal's; `piker chart --snapshot` writes a picture"
            )
