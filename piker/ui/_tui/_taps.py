"""Keys of the terminal chart: the table of the window, and what a terminal needs more.

    textual's key --combo_of_key--> "ctrl-l" --action_of--> what is done
                                    rows_of_help() --> the overlay that `?` shows

A terminal tells no release of a key and few combos with ctrl: tab stands for ctrl-i,
which is the same byte, and what is held in the window is tapped here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from piker.ui._keys import KEYS, HelpGroup, HelpRow, KeyAction, Where, lookup, on_chart

TermAction = (
    KeyAction
    | Literal[
        "cursor_up", "cursor_down", "tick_up", "tick_down", "cursor_last",
        "line_up", "line_down", "pan_left", "pan_right", "page_left", "page_right",
        "price_out", "price_in", "enter", "pick", "nudge_up", "nudge_down",
        "next_market", "previous_market", "open_pane",
    ]
)  # fmt: skip


@dataclass(frozen=True)
class Tap:
    """A key that only the terminal has.

    Attributes:
      combos: any of which does it.
      group: title of its rows in the overlay.
      action: what it does.
      says: that, in a sentence.
    """

    combos: tuple[str, ...]
    group: Literal["Chart", "Orders"]
    action: TermAction
    says: str


def _tap(
    group: Literal["Chart", "Orders"], combos: str, action: TermAction, says: str
) -> Tap:
    return Tap(tuple(combos.split()), group, action, says)


TAPS: Final = (
    _tap("Chart", "left", "pan_left", "Go back in time; with q, to the bar before"),
    _tap("Chart", "right", "pan_right", "Go on in time; with q, to the next bar"),
    _tap("Chart", "shift-left pageup", "page_left", "Go back by half of what is shown"),
    _tap("Chart", "shift-right pagedown", "page_right", "Go on by half of it"),
    _tap("Chart", "<", "price_out", "Show more prices"),
    _tap("Chart", ">", "price_in", "Show fewer prices; r fits them again"),
    _tap("Chart", ".", "next_market", "Show the next market of the watchlist"),
    _tap("Chart", ",", "previous_market", "Show the one before"),
    _tap("Chart", "ctrl-q", "close_window", "Leave; orders stay"),
    _tap("Orders", "up", "cursor_up", "Move the cursor up a row"),
    _tap("Orders", "down", "cursor_down", "Move it down a row"),
    _tap("Orders", "shift-up k", "tick_up", "Move it up a tick"),
    _tap("Orders", "shift-down j", "tick_down", "Move it down a tick"),
    _tap("Orders", "home", "cursor_last", "Put it at the last price"),
    _tap("Orders", "n", "line_up", "Put it on the next order above"),
    _tap("Orders", "m", "line_down", "Put it on the next order below"),
    _tap("Orders", "enter", "enter", "Submit what is staged, put down what is moved"),
    _tap("Orders", "e", "pick", "Pick up the order under the cursor, to move it"),
    _tap("Orders", "+ =", "nudge_up", "Move the order under the cursor up a row"),
    _tap("Orders", "-", "nudge_down", "Move it down a row"),
    _tap("Orders", "p", "open_pane", "Set the account, the limit and the slots"),
)

#: Of the window's table, what a terminal can't do: it has no such key or gesture, or
#: one picture only.
LEFT_OUT: Final[frozenset[KeyAction]] = frozenset(
    ("measure", "zoom_free", "open_menu", "new_window", "save_layout", "slots_key")
)
#: Combos that no terminal sends, or few do: they work where they come, untold.
_UNTOLD: Final = frozenset(("ctrl", "ctrl-=", "ctrl--", "middle-drag"))
_SAYS: Final[dict[KeyAction, str]] = {
    "query": "Show the values of a bar, or no longer",
    "stage_buy": "Stage a buy at the cursor; again lets go of it",
    "stage_sell": "Stage a sell at the cursor",
    "stage_alert": "Stage an alert at the cursor",
    "live": "Make what is staged live, or dark again",
    "set_slots": "Set the slots",
    "clear": "Let go of what is staged or moved; of the cursor",
    "toggle_panes": "Show or hide orders, positions and watchlist",
    "screenshot": "Save a picture of the screen",
    "close_window": "Leave; orders stay",
}
_SHOWN: Final = {
    "digit": "1-9, 0 for 10",
    "ctrl-i": "tab",
    "cc": "c c, quickly",
    "text": "typing",
    "line-drag": "drag a line",
    "axis-wheel": "wheel on the prices",
}
_GROUPS: Final[tuple[tuple[Where, str], ...]] = (
    ("view", "Chart"),
    ("order", "Orders"),
    ("search", "Search"),
    ("form", "Order pane"),
)
#: Where text is typed: the backspace of some terminals is another's ctrl-h.
ERASES: Final = frozenset(("backspace", "ctrl-h"))
_BY_COMBO: Final = {combo: tap for tap in TAPS for combo in tap.combos}


def action_of(combo: str) -> TermAction | None:
    """Return what a combo does on the chart, None if it does nothing."""
    tap = _BY_COMBO.get(combo)
    if tap is not None:
        return tap.action
    key = on_chart(combo)
    if key is None or key.action in LEFT_OUT:
        return None
    return key.action


def search_action(combo: str) -> KeyAction | None:
    """Return what a combo does in the search, None if it is typed."""
    key = lookup("search", combo)
    return None if key is None else key.action


# -- what textual calls them ----------------------------------------------------------

_NAMES: Final = {
    "escape": "esc",
    "tab": "ctrl-i",
    "ctrl+@": "ctrl-space",
    "ctrl+underscore": "ctrl--",
    "ctrl+minus": "ctrl--",
    "ctrl+equals_sign": "ctrl-=",
    "ctrl+left_square_bracket": "esc",
}
_MODIFIERS: Final = ("ctrl", "alt", "shift")


def combo_of_key(key: str, character: str | None) -> str:
    """Return the combo of a key as textual names it.

    Args:
      key: textual's name, e.g. ``ctrl+l``, ``question_mark``.
      character: it comes with, if any.
    """
    if key == "backspace" and character == "\x08":
        return "ctrl-h"  # the byte that ctrl-h sends; a backspace key sends another
    if key in _NAMES:
        return _NAMES[key]
    if character is not None and len(character) == 1 and character.isprintable():
        return character if character != " " else "space"
    *held, name = key.split("+")
    return "-".join((*(word for word in _MODIFIERS if word in held), name))


# -- the overlay ----------------------------------------------------------------------


def help_groups() -> tuple[HelpGroup, ...]:
    """Return the keys as the overlay shows them, group by group."""
    return tuple(HelpGroup(title, _rows(where, title)) for where, title in _GROUPS)


def _rows(where: Where, title: str) -> tuple[HelpRow, ...]:
    combos: dict[TermAction, list[str]] = {}
    says: dict[TermAction, str] = {}
    for key in KEYS:
        if key.where != where or key.action in LEFT_OUT or key.combo in _UNTOLD:
            continue
        combos.setdefault(key.action, []).append(_SHOWN.get(key.combo, key.combo))
        says.setdefault(key.action, _SAYS.get(key.action, key.says))
    for tap in TAPS:
        if tap.group == title:
            combos.setdefault(tap.action, []).extend(tap.combos)
            says.setdefault(tap.action, tap.says)
    return tuple(HelpRow(" or ".join(combos[each]), says[each]) for each in combos)
