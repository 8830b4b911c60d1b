"""The search: what is typed, what was found, which of it is chosen.

typed --> a question, the one before is let go of --> what has come of it so far
    --> sections: markets that are open, then by broker
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from piker.data import Found
from piker.errors import PikerError
from piker.ui._seek import by_hand, fits, meant

from ._cells import Ink, Row, one_cell, padded, shortened
from ._model import Model
from ._palette import Palette
from ._taps import ERASES, search_action

_MOST_TEXT: Final = 100
_OPEN: Final = "open"
_EVERYONE: Final = "all brokers"


class Item(NamedTuple):
    """A market that may be chosen.

    Attributes:
      section: ``open``, or the broker's name.
      fqme: full name.
      says: a few words about it.
    """

    section: str
    fqme: str
    says: str = ""


class Finder:
    """The search as an overlay.

    Attributes:
      text: as typed.
      at: number of the item that is chosen.
    """

    def __init__(self, model: Model, inks: Palette) -> None:
        """Begin with the markets that are open."""
        self.text, self.at = "", 0
        self._model, self._inks = model, inks
        self._is_marked = False
        self._found: list[Item] = []
        self._faults: list[str] = []
        self._asked = self._answered = ""
        self._waits_for = ""

    # -- what there is --------------------------------------------------------------

    def items(self) -> list[Item]:
        """Return what may be chosen, section by section."""
        typed = self.text.strip()
        names = sorted({each.fqme for each in self._model.session.markets.values()})
        if not typed:
            return [Item(_OPEN, name) for name in names]
        return [Item(_OPEN, each) for each in names if fits(each, typed)] + self._found

    def _ask(self) -> None:
        """Search for what is typed."""
        text = self.text.strip()
        if not text or text == self._asked:
            return
        self._waits_for, self._asked = _EVERYONE, text
        self._model.link.find(text, self._take)

    def _take(self, found: Found | PikerError) -> None:
        names = [item.fqme for item in self.items()]
        chosen = by_hand(names, self.at) if self._answered == self._asked else ""
        self._waits_for, self._answered = "", self._asked
        if isinstance(found, PikerError):
            self._found, self._faults = [], [str(found)]
        else:
            items = [
                Item(match.fqme.rpartition(".")[2], match.fqme, _words(match))
                for match in found.matches
            ]
            # brokers stand in the order of their best match
            order = list(dict.fromkeys(item.section for item in items))
            items.sort(key=lambda item: order.index(item.section))
            self._found = items
            self._faults = [f"{name}: {why}" for name, why in found.faults.items()]
            self._waits_for = ", ".join(found.waits_for)
        names = [item.fqme for item in self.items()]
        # what is chosen stays so as more comes
        self._go(names.index(chosen) if chosen in names else self.at)
        self._model.changed()

    # -- keys -----------------------------------------------------------------------

    def press(self, combo: str, text: str) -> bool:
        """Take a key, and the text it types."""
        action = search_action(combo)
        match action:
            case "back":
                return True
            case "load_item":
                return self._load()
            case "next_item" | "previous_item":
                self._go(self.at + (1 if action == "next_item" else -1))
            case "next_section" | "previous_section":
                self._go_section(1 if action == "next_section" else -1)
            case "select_text":
                self._is_marked = True
            case _:
                self._type(combo, text)
        return False

    def _type(self, combo: str, text: str) -> None:
        before = self.text
        if combo in ERASES:
            self.text = "" if self._is_marked else self.text[:-1]
        elif text:
            kept = "" if self._is_marked else self.text
            self.text = kept + one_cell(text) if text != " " else kept + " "
            self.text = self.text[:_MOST_TEXT]
        if self.text != before:
            self.at = 0
        self._is_marked = False
        self._ask()

    def _load(self) -> bool:
        """Show what is chosen; what is typed, if nothing was found yet."""
        items = self.items()
        # with nothing typed the list is no answer to what was
        answered = self._answered if self.text.strip() else ""
        name = meant(items[self.at].fqme if items else "", self.text, answered)
        if not name:
            return False
        self._model.open(name)
        return True

    def _go(self, at: int) -> None:
        self.at = min(max(at, 0), max(len(self.items()) - 1, 0))

    def _go_section(self, step: int) -> None:
        """Go to the first item of the next section, or of the one before."""
        items = self.items()
        if not items:
            return
        firsts = [
            i
            for i, item in enumerate(items)
            if i == 0 or items[i - 1].section != item.section
        ]
        here = max(i for i in firsts if i <= self.at)
        to = firsts.index(here) + step
        self._go(firsts[min(max(to, 0), len(firsts) - 1)])

    # -- rows -----------------------------------------------------------------------

    def rows(self, below: Sequence[Row], width: int, height: int) -> list[Row]:
        """Return the screen of the search."""
        del below
        inks = self._inks
        lines = [self._input(width), padded([], width, inks.panel)]
        body, chosen = self._body(width)
        room = max(height - len(lines) - 1, 1)
        first = min(max(chosen - room // 2, 0), max(len(body) - room, 0))
        lines += body[first : first + room]
        blank = padded([], width, inks.panel)
        lines += [blank] * (height - 1 - len(lines))
        foot = (
            " enter shows it  up, down choose  ctrl-u, ctrl-d sections  esc goes back"
        )
        return [*lines, padded([(foot, inks.panel_faint)], width, inks.panel)]

    def _input(self, width: int) -> Row:
        inks = self._inks
        mark = inks.tag(inks.theme.line) if self._is_marked else inks.title
        cursor = (" ", inks.tag(inks.theme.text))
        row = [(" search ", inks.panel_faint), (self.text, mark), cursor]
        return padded(row, width, inks.panel)

    def _body(self, width: int) -> tuple[list[Row], int]:
        """Return the lines below what is typed, and the number of the chosen one."""
        inks, chosen, section = self._inks, 0, ""
        rows: list[Row] = []
        for i, item in enumerate(self.items()):
            if item.section != section:
                section = item.section
                rows.append(
                    padded([(f" {section}", inks.panel_faint)], width, inks.panel)
                )
            if i == self.at:
                chosen = len(rows)
            rows.append(self._item(item, width, is_chosen=i == self.at))
        for text, ink in self._said():
            lines = textwrap.wrap(text, max(width - 2, 1))
            rows += [padded([(f" {line}", ink)], width, inks.panel) for line in lines]
        return rows, chosen

    def _said(self) -> Iterator[tuple[str, Ink]]:
        inks = self._inks
        if self._waits_for:
            yield f"looking at {self._waits_for} ...", inks.panel_faint
        elif self._answered and self._answered == self.text.strip() and not self._found:
            yield f"no market fits {self._answered!r}", inks.panel_faint
        for fault in self._faults:
            yield one_cell(fault), inks.on_panel(inks.theme.bad)

    def _item(self, item: Item, width: int, *, is_chosen: bool) -> Row:
        inks = self._inks
        ink = inks.tag(inks.theme.line) if is_chosen else inks.panel
        faint = ink if is_chosen else inks.panel_faint
        name = f" {'▸' if is_chosen else ' '} {one_cell(item.fqme)}"
        says = shortened(one_cell(item.says), max(width - len(name) - 4, 0))
        return padded([(name, ink), (f"  {says}", faint)], width, ink)


def _words(match: object) -> str:
    kind = str(getattr(match, "kind", "")).replace("_", " ")
    said = str(getattr(match, "description", ""))
    return f"{kind}  {said}" if said else kind
