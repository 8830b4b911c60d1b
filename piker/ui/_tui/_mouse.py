"""What the mouse does: points at prices, submits, drags lines, moves and zooms.

Where the keys put the cursor it stays until a button is pressed: a mouse that is
touched by chance is not to move what is about to be submitted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from piker.ui._order_events import DragBegun, DragEnded, Escaped

from ._frame import Area, Frame
from ._model import Model
from ._panels import watched_at

_LEFT: Final = 1
_ZOOM_PRICES: Final = 1.15


@dataclass
class _Press:
    """A button that is down.

    Attributes:
      drag: what moving it does.
      at: where it went down, or was seen last.
      moved: it isn't a click any more.
    """

    drag: Literal["pan", "line", "none"]
    at: tuple[int, int]
    moved: bool = False


class Mouse:
    """Follows the mouse over a model's frame."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._press: _Press | None = None
        self._pointed: tuple[int, int] | None = None

    def take(self, what: str, at: tuple[int, int], button: int, shown: Frame) -> None:
        """Take what it did.

        Args:
          what: ``down``, ``up``, ``move``, ``wheel-up``, ``wheel-down``.
          at: cell of the screen, from its left top.
          button: number of it, 1 is the left one.
          shown: what was on the screen.
        """
        area = shown.chart
        match what:
            case "down" if button == _LEFT and area.holds(*at):
                self._down(at, area)
            case "down" if shown.watchlist.holds(*at):
                self._choose(at, shown.watchlist)
            case "move" if self._press is not None:
                self._dragged(at, area)
            case "move":
                self._hover(at, area)
            case "up" if self._press is not None:
                self._up(at, area)
            case "wheel-up" | "wheel-down" if area.holds(*at):
                self._wheel(what, at, area)
            case _:
                return
        self._model.changed()

    def let_go(self) -> None:
        """Let go of what it holds where that was: something lies over the chart."""
        press, self._press = self._press, None
        if press is not None and press.drag == "line":
            self._model.entry.feed(Escaped())

    # -- places -----------------------------------------------------------------------

    def _price_at(self, at: tuple[int, int], area: Area) -> float | None:
        """Return the price that is pointed at, None beside the prices."""
        places = self._model.look.places
        x, y = at[0] - area.x, at[1] - area.y
        if places is None or not (0 <= x < places.plot and 0 <= y < places.prices):
            return None
        return self._model.look.price_at(y)

    def _is_cursor_row(self, at: tuple[int, int], area: Area) -> bool:
        """Tell whether the cursor is in a row already, where keys may have put it."""
        cursor = self._model.entry.mode.cursor
        return cursor is not None and self._model.look.row_of(cursor) == at[1] - area.y

    # -- what it does -----------------------------------------------------------------

    def _hover(self, at: tuple[int, int], area: Area) -> None:
        """Have the cursor follow, unless the keys have it."""
        model = self._model
        price = self._price_at(at, area)
        pointed, self._pointed = self._pointed, at
        if price is None or pointed == at or model.is_by_keys:
            return
        model.entry.move(price)

    def _down(self, at: tuple[int, int], area: Area) -> None:
        entry = self._model.entry
        price = self._price_at(at, area)
        if price is None:
            self._press = _Press("pan", at)
            return
        was_there = self._is_cursor_row(at, area)
        if not was_there:
            entry.move(price)
        by_keys, self._model.is_by_keys = self._model.is_by_keys, False
        under = entry.desk().under
        if not entry.is_busy and len(under) == 1:
            entry.feed(DragBegun(under[0]))
            self._press = _Press("line" if entry.mode.drag else "none", at)
            return
        # a click elsewhere than where the keys put what is staged only moves it there
        is_meant = was_there or not by_keys
        self._press = _Press("pan" if is_meant else "none", at)

    def _dragged(self, at: tuple[int, int], area: Area) -> None:
        press, model = self._press, self._model
        if press is None or at == press.at:
            return
        if press.drag == "line":
            price = self._price_at(at, area)
            if price is not None and at[1] != press.at[1]:
                model.entry.move(price)
        elif press.drag == "pan":
            model.look.pan(at[0] - press.at[0])
            view = model.look.chart.view
            if not view.fits:
                view.span.pan((at[1] - press.at[1]) / max(view.height, 1.0))
        press.moved, press.at = True, at

    def _up(self, at: tuple[int, int], area: Area) -> None:
        press, self._press = self._press, None
        entry = self._model.entry
        if press is None:
            return
        if press.drag == "line":
            entry.feed(DragEnded() if press.moved else Escaped())
            return
        is_click = not press.moved and press.drag == "pan"
        if is_click and entry.is_busy and self._price_at(at, area) is not None:
            entry.enter()

    def _wheel(self, what: str, at: tuple[int, int], area: Area) -> None:
        look = self._model.look
        is_up = what == "wheel-up"
        if look.places is not None and at[0] - area.x >= look.places.plot:
            look.zoom_prices(1 / _ZOOM_PRICES if is_up else _ZOOM_PRICES)
        else:
            look.change_zoom(1 if is_up else -1)

    def _choose(self, at: tuple[int, int], area: Area) -> None:
        market = watched_at(self._model, at[1] - area.y, area.height)
        if market is not None:
            self._model.show(market)
