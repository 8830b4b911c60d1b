"""Every key and mouse gesture of the chart client: the one table that defines them.

    what was pressed --combo_of--> "ctrl-l" --lookup, on_chart--> Key --action--> done
                                       KEYS --overlay--> the rows that `?` shows

A combo is text: modifiers in the order ctrl, alt, shift, then the key by its name in
lower case, e.g. ``f``, ``ctrl-=``, ``esc``, ``shift-drag``; a letter twice, ``cc``, is
two taps. Nothing is bound elsewhere: menus and the overlay are made from this table.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

Where = Literal["view", "order", "search", "form"]

KeyAction = Literal[
    # the chart
    "open_search", "toggle_panes", "clear", "reset_view", "redraw", "zoom_in",
    "zoom_out", "query", "measure", "zoom_time", "zoom_price", "pan", "zoom_free",
    "open_menu", "previous_period", "next_period", "next_style", "toggle_log",
    "toggle_utc", "toggle_theme", "toggle_watchlist", "toggle_help", "screenshot",
    "save_layout", "new_window", "close_window", "halt",
    # orders
    "stage_buy", "stage_sell", "stage_alert", "live", "submit", "move_line", "cancel",
    "cancel_all", "slots_key", "set_slots",
    # search and forms
    "type_search", "next_item", "previous_item", "next_section", "previous_section",
    "load_item", "select_text", "apply", "back",
]  # fmt: skip

#: Two taps on a key are one gesture if they are no further apart, seconds.
DOUBLE_TAP_S: Final = 1 / 6
#: The halt key is to be pressed again within so many seconds.
HALT_AGAIN_S: Final = 2.0

_MODIFIERS: Final = ("ctrl", "alt", "shift")
_DIGITS: Final = frozenset("0123456789")
_DIGIT: Final = "digit"


@dataclass(frozen=True)
class Key:
    """One combo in one place.

    Attributes:
      combo: what is pressed; ``digit`` stands for each of 0 to 9.
      where: the place it is for: the chart, orders on it, the search pane, a form.
      action: what it does.
      says: that in a sentence, for the overlay and menus.
      holds: acts for as long as it is held down.
    """

    combo: str
    where: Where
    action: KeyAction
    says: str
    holds: bool = False


def _keys(
    where: Where,
    combos: str,
    action: KeyAction,
    says: str,
    *,
    holds: bool = False,
) -> tuple[Key, ...]:
    """Return a key for each of *combos*, which blanks part."""
    return tuple(Key(combo, where, action, says, holds) for combo in combos.split())


_VIEW: Final = (
    _keys("view", "ctrl-l", "open_search", "Search for a market"),
    _keys("view", "ctrl-space", "toggle_panes", "Show or hide the side panes"),
    _keys("view", "esc ctrl-c", "clear",
          "Let go of boxes, staged orders and drags; back to the chart"),
    _keys("view", "r", "reset_view", "Go back to the newest bars"),
    _keys("view", "ctrl-r", "redraw", "Draw everything anew"),
    _keys("view", "ctrl-= ctrl-i", "zoom_in", "Zoom in"),
    _keys("view", "ctrl-- ctrl-o", "zoom_out", "Zoom out"),
    _keys("view", "q", "query", "Show the values under the cursor", holds=True),
    _keys("view", "shift-drag", "measure", "Measure a box"),
    _keys("view", "wheel", "zoom_time", "Zoom time, the newest bar stays"),
    _keys("view", "axis-wheel", "zoom_price", "Zoom the price by hand"),
    _keys("view", "drag middle-drag", "pan", "Move the chart"),
    _keys("view", "right-drag", "zoom_free", "Zoom time and price"),
    _keys("view", "right-click", "open_menu", "Open the menu"),
    _keys("view", "[", "previous_period", "Take the next shorter period of bars"),
    _keys("view", "]", "next_period", "Take the next longer period of bars"),
    _keys("view", "b", "next_style", "Switch between candles, bars and a line"),
    _keys("view", "l", "toggle_log", "Switch the price scale: linear or logarithmic"),
    _keys("view", "t", "toggle_utc", "Switch the time axis: UTC or local time"),
    _keys("view", "ctrl-t", "toggle_theme", "Switch the theme: dark or light"),
    _keys("view", "w", "toggle_watchlist", "Show or hide the watchlist"),
    _keys("view", "? f1", "toggle_help", "Show or hide these keys"),
    _keys("view", "ctrl-p", "screenshot", "Save a picture of the window"),
    _keys("view", "ctrl-s", "save_layout", "Save the layout"),
    _keys("view", "ctrl-n", "new_window", "Open another window"),
    _keys("view", "ctrl-w", "close_window", "Close the window; orders stay"),
    _keys("view", "ctrl-h", "halt",
          f"Halt trading, if pressed twice within {HALT_AGAIN_S:g} s: orders at brokers"
          " are cancelled"),
)  # fmt: skip
_ORDER: Final = (
    _keys("order", "f", "stage_buy", "Stage a buy at the cursor", holds=True),
    _keys("order", "d", "stage_sell", "Stage a sell at the cursor", holds=True),
    _keys("order", "a", "stage_alert", "Stage an alert at the cursor", holds=True),
    _keys("order", "s ctrl", "live", "Make what is staged live, not dark", holds=True),
    _keys("order", "click", "submit", "Submit what is staged"),
    _keys("order", "line-drag", "move_line", "Change the price of an order or alert"),
    _keys("order", "c delete", "cancel", "Cancel what is under the cursor"),
    _keys("order", "cc", "cancel_all", "Cancel all orders and alerts of this market"),
    _keys("order", "o", "slots_key", "Set the slots, with a digit", holds=True),
    _keys("order", _DIGIT, "set_slots", "Set the slots, while f, d, a, s or o is held"),
)  # fmt: skip
_SEARCH: Final = (
    _keys("search", "text", "type_search", "Look at all brokers for what is typed"),
    _keys("search", "ctrl-j ctrl-down down", "next_item", "Go to the next market"),
    _keys("search", "ctrl-k ctrl-up up", "previous_item", "Go to the one before"),
    _keys("search", "ctrl-d", "next_section", "Go to the next section"),
    _keys("search", "ctrl-u", "previous_section", "Go to the section before"),
    _keys("search", "enter", "load_item", "Show the market"),
    _keys("search", "ctrl-l", "select_text", "Type something else"),
    _keys("search", "ctrl-c ctrl-space esc", "back", "Go back to the chart"),
)
_FORM: Final = (
    _keys("form", "enter", "apply", "Take the value"),
    _keys("form", "ctrl-c ctrl-space esc", "back", "Go back to the chart"),
)

#: All keys, in the order in which they are shown.
KEYS: Final[tuple[Key, ...]] = tuple(
    key for group in (_VIEW, _ORDER, _SEARCH, _FORM) for row in group for key in row
)
_BY_COMBO: Final = {(key.where, key.combo): key for key in KEYS}
_TITLES: Final[dict[Where, str]] = {
    "view": "Chart",
    "order": "Orders",
    "search": "Search",
    "form": "Order pane",
}
#: ctrl makes an order live, so these are meant with it as they are without it.
_ALSO_WITH_CTRL: Final[frozenset[KeyAction]] = frozenset(
    ("stage_buy", "stage_sell", "stage_alert", "submit", "set_slots")
)
_SHOWN: Final = {
    _DIGIT: "1-9, 0 for 10",
    "axis-wheel": "wheel on the price axis",
    "line-drag": "drag a line",
    "cc": "c c, quickly",
    "text": "typing",
}


def combo_of(
    name: str, *, ctrl: bool = False, alt: bool = False, shift: bool = False
) -> str:
    """Return the combo of a key or gesture and the modifiers held with it.

    Args:
      name: in lower case, a printable one as it comes out of the keyboard: ``f``,
        ``?``, ``esc``, ``drag``; or a modifier itself.
      ctrl, alt, shift: what is held down.
    """
    if name in _MODIFIERS:
        return name
    # who types a ? may have to hold shift for it, or not: that is the keyboard's affair
    is_sign = len(name) == 1 and not name.isalpha()
    held = (ctrl, alt, shift and not is_sign)
    parts = [word for word, is_held in zip(_MODIFIERS, held, strict=True) if is_held]
    return "-".join((*parts, name))


def bare(combo: str) -> str:
    """Return *combo* without its modifiers: ``f`` of ``ctrl-f``."""
    for word in _MODIFIERS:
        combo = combo.removeprefix(f"{word}-") or combo
    return combo


def lookup(where: Where, combo: str) -> Key | None:
    """Return what *combo* is in one place, None if it is nothing there.

    A digit is found as itself: its key's combo is ``5``, not ``digit``.
    """
    found = _BY_COMBO.get((where, combo))
    if found is not None or combo not in _DIGITS:
        return found
    digits = _BY_COMBO.get((where, _DIGIT))
    return replace(digits, combo=combo) if digits is not None else None


def on_chart(combo: str) -> Key | None:
    """Return what *combo* is on the chart, where keys of orders and view both work.

    What stages or submits is found with ctrl before it too, as that makes it live.
    """
    found = lookup("order", combo) or lookup("view", combo)
    if found is None and combo.startswith("ctrl-"):
        key = lookup("order", combo.removeprefix("ctrl-"))
        found = key if key is not None and key.action in _ALSO_WITH_CTRL else None
    return found


def key_for(action: KeyAction) -> Key:
    """Return the first key of an action, as menus name it; each action has one."""
    return next(key for key in KEYS if key.action == action)


@dataclass(frozen=True)
class HelpRow:
    """A line of the overlay.

    Attributes:
      keys: all that do it, e.g. ``hold s or ctrl``.
      says: what they do.
    """

    keys: str
    says: str


@dataclass(frozen=True)
class HelpGroup:
    """The lines of one place, below its title."""

    title: str
    rows: tuple[HelpRow, ...]


def overlay(*where: Where) -> tuple[HelpGroup, ...]:
    """Return the keys of some places as they are shown; of all, if none is named."""
    return tuple(HelpGroup(_TITLES[each], _rows(each)) for each in where or _TITLES)


def _rows(where: Where) -> tuple[HelpRow, ...]:
    """Return a line for each action of a place."""
    by_action: dict[KeyAction, list[Key]] = {}
    for key in KEYS:
        if key.where == where:
            by_action.setdefault(key.action, []).append(key)
    return tuple(HelpRow(_spelled(keys), keys[0].says) for keys in by_action.values())


def _spelled(keys: list[Key]) -> str:
    names = [_SHOWN.get(key.combo, key.combo) for key in keys]
    text = " or ".join(names) if len(names) < 3 else _listed(names)
    return f"hold {text}" if keys[0].holds else text


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
