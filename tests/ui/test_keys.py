"""The table of keys: nothing in it clashes, all of it is shown, nothing is missing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

from piker.ui._keys import (
    KEYS,
    KeyAction,
    Where,
    bare,
    combo_of,
    key_for,
    lookup,
    on_chart,
    overlay,
)

PLACES = get_args(Where)

#: What upstream's chart has (its list of keys and mouse, less the debugger).
UPSTREAM = {
    "view": {
        "ctrl-l": "open_search", "ctrl-space": "toggle_panes", "esc": "clear",
        "ctrl-c": "clear", "r": "reset_view", "ctrl-r": "redraw", "ctrl-=": "zoom_in",
        "ctrl-i": "zoom_in", "ctrl--": "zoom_out", "ctrl-o": "zoom_out", "q": "query",
        "shift-drag": "measure", "wheel": "zoom_time", "axis-wheel": "zoom_price",
        "drag": "pan", "middle-drag": "pan", "right-drag": "zoom_free",
    },
    "order": {
        "f": "stage_buy", "d": "stage_sell", "a": "stage_alert", "s": "live",
        "ctrl": "live", "click": "submit", "line-drag": "move_line", "c": "cancel",
        "delete": "cancel", "cc": "cancel_all", "o": "slots_key", "1": "set_slots",
        "9": "set_slots", "0": "set_slots",
    },
    "search": {
        "text": "type_search", "ctrl-j": "next_item", "ctrl-k": "previous_item",
        "ctrl-down": "next_item", "ctrl-up": "previous_item", "ctrl-d": "next_section",
        "ctrl-u": "previous_section", "enter": "load_item", "ctrl-l": "select_text",
        "ctrl-c": "back", "ctrl-space": "back",
    },
    "form": {"enter": "apply", "ctrl-c": "back", "ctrl-space": "back"},
}  # fmt: skip
ADDED = {
    "toggle_help", "halt", "screenshot", "toggle_log", "toggle_utc", "next_period",
    "previous_period", "toggle_theme", "toggle_watchlist", "save_layout", "new_window",
    "next_style", "close_window", "open_menu",
}  # fmt: skip


def test_no_combo_is_two_keys_of_one_place():
    counts = Counter((key.where, key.combo) for key in KEYS)
    assert [each for each, count in counts.items() if count > 1] == []


def test_keys_of_the_view_and_of_orders_work_at_once_so_none_is_both():
    on_it = [key.combo for key in KEYS if key.where in {"view", "order"}]
    assert len(on_it) == len(set(on_it))


def test_each_action_has_a_key_and_each_place_too():
    assert {key.action for key in KEYS} == set(get_args(KeyAction))
    assert {key.where for key in KEYS} == set(PLACES)
    for action in get_args(KeyAction):
        assert key_for(action).action == action


@pytest.mark.parametrize("where", PLACES)
def test_keys_of_upstream_do_what_they_did(where):
    found = {combo: lookup(where, combo) for combo in UPSTREAM[where]}
    assert {
        combo: key.action for combo, key in found.items() if key is not None
    } == UPSTREAM[where]


def test_what_was_added_is_on_the_chart():
    assert {key.action for key in KEYS if key.where == "view"} >= ADDED


def test_one_action_says_one_thing_and_holds_or_not():
    for where in PLACES:
        said = {}
        for key in KEYS:
            if key.where == where:
                said.setdefault(key.action, set()).add((key.says, key.holds))
        assert {action: len(each) for action, each in said.items()} == dict.fromkeys(
            said, 1
        )


def test_what_is_held_is_found_by_its_bare_name():
    """A release tells the key, with whatever modifiers are held by then."""
    held = [key.combo for key in KEYS if key.holds]
    assert held
    assert all(bare(combo) == combo for combo in held)
    assert bare("ctrl-f") == bare("shift-f") == bare("ctrl-alt-shift-f") == "f"
    assert bare("ctrl--") == bare("-") == "-"


def test_combos_are_spelled_in_one_way():
    assert combo_of("l", ctrl=True) == "ctrl-l"
    assert combo_of("drag", shift=True) == "shift-drag"
    assert combo_of("x", shift=True, alt=True, ctrl=True) == "ctrl-alt-shift-x"
    assert combo_of("?", shift=True) == "?"  # where it takes a shift to type it
    assert combo_of("ctrl", ctrl=True) == "ctrl"
    for key in KEYS:
        assert key.combo == key.combo.lower()


def test_ctrl_makes_live_and_takes_no_key_away():
    assert on_chart("ctrl-f").action == "stage_buy"
    assert on_chart("ctrl-f").combo == "f"  # so that its release is known
    assert on_chart("ctrl-click").action == "submit"
    assert on_chart("ctrl-3").combo == "3"
    assert on_chart("ctrl-c").action == "clear"
    assert on_chart("ctrl-o").action == "zoom_out"
    assert on_chart("ctrl-delete") is None  # what cancels is meant as it is written
    assert on_chart("ctrl-cc") is None
    assert on_chart("shift-f") is None
    assert on_chart("x") is None


def test_a_digit_is_one_only_where_digits_are_keys():
    assert lookup("order", "7").combo == "7"
    assert lookup("view", "7") is None
    assert lookup("order", "77") is None


def test_the_overlay_shows_every_key_once():
    groups = overlay()
    assert [group.title for group in groups] == [
        "Chart",
        "Orders",
        "Search",
        "Order pane",
    ]
    rows = [row for group in groups for row in group.rows]
    actions = {(key.where, key.action) for key in KEYS}
    assert len(rows) == len(actions)
    assert {row.says for row in rows} == {key.says for key in KEYS}
    chart = {row.says: row.keys for row in groups[0].rows}
    assert chart["Zoom in"] == "ctrl-= or ctrl-i"
    assert chart["Show the values under the cursor"] == "hold q"
    assert overlay("form", "view") == (groups[3], groups[0])


def test_sentences_are_short():
    assert all(0 < len(key.says) <= 90 and not key.says.endswith(".") for key in KEYS)


def test_the_page_of_the_docs_has_each_key():
    page = (Path(__file__).parents[2] / "docs" / "chart.md").read_text()
    for group in overlay():
        assert f"### {group.title}\n" in page
        for row in group.rows:
            assert f"| {row.keys} | {row.says} |\n" in page
