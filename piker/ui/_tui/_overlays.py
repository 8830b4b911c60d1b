"""What lies over the chart and takes the keys: a question, the table of keys.

Each is told keys by their combos, says when it is done, and is rows of cells: over the
chart as a box, or in place of it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final, Protocol

from ._cells import Row, one_cell, padded, width_of
from ._model import Model
from ._palette import Palette
from ._taps import help_groups

_BOX: Final = 60
_KEYS_WIDTH: Final = 26
_STEPS: Final = {
    "down": 1, "j": 1, "up": -1, "k": -1, "pagedown": 15, "space": 15, "pageup": -15,
    "wheel-down": 3, "wheel-up": -3,
}  # fmt: skip


class Overlay(Protocol):
    """What takes the keys."""

    def press(self, combo: str, text: str) -> bool:
        """Take a key, and the text it types; tell whether this is over."""

    def rows(self, below: Sequence[Row], width: int, height: int) -> list[Row]:
        """Return the screen; *below* is what it looks like without this."""


def boxed(
    below: Sequence[Row], lines: Sequence[Row], size: tuple[int, int], inks: Palette
) -> list[Row]:
    """Return a screen with lines in a box in its middle."""
    width, height = size
    inner = min(max(map(width_of, lines), default=0), width - 4)
    edge = inks.on_panel(inks.theme.line)
    across = "─" * (inner + 2)
    box: list[Row] = [((f"╭{across}╮", edge),)]
    for line in lines:
        middle = padded(line, inner, inks.panel)
        box.append((("│ ", edge), *middle, (" │", edge)))
    box.append(((f"╰{across}╯", edge),))
    left, top = (width - inner - 4) // 2, max((height - len(box)) // 2, 0)
    rows = list(below)
    for i, line in enumerate(box[: height - top]):
        row = rows[top + i]
        begin = padded(row, left, inks.panel)
        rows[top + i] = (*begin, *line, *_after(row, left + width_of(line)))
    return rows


def _after(row: Row, at: int) -> Row:
    """Return what of a row lies from a cell on."""
    rest = []
    for text, ink in row:
        if at < len(text):
            rest.append((text[max(at, 0) :], ink))
        at -= len(text)
    return tuple(rest)


# -- a question -----------------------------------------------------------------------


class Question:
    """Asks about real money: only ``y`` is a yes, and enter is nothing at all."""

    def __init__(self, model: Model, inks: Palette) -> None:
        self._model, self._inks = model, inks

    def press(self, combo: str, text: str) -> bool:
        """Take a key."""
        del text
        if combo in {"y", "n", "esc", "ctrl-c"}:
            self._model.answer(is_yes=combo == "y")
            return True
        return False

    def rows(self, below: Sequence[Row], width: int, height: int) -> list[Row]:
        """Return the screen with the question over it."""
        inks = self._inks
        loud = inks.on_panel(inks.theme.live, bold=True)
        asked = textwrap.wrap(one_cell(self._model.question), min(_BOX, width - 6))
        lines: list[Row] = [((line, loud),) for line in asked]
        lines += [((" ", inks.panel),), (("y yes    n no", inks.title),)]
        return boxed(below, lines, (width, height), inks)


# -- the keys -------------------------------------------------------------------------


class Help:
    """Shows the keys; any other key than those that scroll closes it."""

    def __init__(self, inks: Palette) -> None:
        self._inks = inks
        self._top = 0
        self._most = 0

    def press(self, combo: str, text: str) -> bool:
        """Take a key."""
        del text
        step = _STEPS.get(combo)
        if step is None:
            return True
        self._top = min(max(self._top + step, 0), self._most)
        return False

    def rows(self, below: Sequence[Row], width: int, height: int) -> list[Row]:
        """Return the table of keys, as much as there is room for."""
        del below
        inks = self._inks
        lines = help_rows(width, inks)
        room = max(height - 1, 1)
        self._most = max(len(lines) - room, 0)
        self._top = min(self._top, self._most)
        shown = lines[self._top : self._top + room]
        shown += [padded([], width, inks.panel)] * (room - len(shown))
        more = "up and down scroll, " if self._most else ""
        foot = f" {more}any other key goes back to the chart"
        return [*shown, padded([(foot, inks.panel_faint)], width, inks.panel)]


def help_rows(width: int, inks: Palette) -> list[Row]:
    """Return all keys and what they do."""
    rows: list[Row] = []
    for group in help_groups():
        rows.append(padded([(f" {group.title}", inks.title)], width, inks.panel))
        for line in group.rows:
            keys = line.keys if len(line.keys) < _KEYS_WIDTH else line.keys + "  "
            says = textwrap.wrap(line.says, max(width - _KEYS_WIDTH - 3, 20))
            head = (f"  {keys:<{_KEYS_WIDTH}}", inks.on_panel(inks.theme.line))
            rows.append(padded([head, (says[0], inks.panel)], width, inks.panel))
            blank = " " * (_KEYS_WIDTH + 2)
            rows += [
                padded([(blank + more, inks.panel)], width, inks.panel)
                for more in says[1:]
            ]
    return rows
