"""Qt's key events as the combos of the key table."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent

from piker.ui._keys import combo_of

_NAMES: Final = {
    Qt.Key.Key_Escape: "esc",
    Qt.Key.Key_Return: "enter",
    Qt.Key.Key_Enter: "enter",
    Qt.Key.Key_Space: "space",
    Qt.Key.Key_Delete: "delete",
    Qt.Key.Key_Up: "up",
    Qt.Key.Key_Down: "down",
    Qt.Key.Key_Left: "left",
    Qt.Key.Key_Right: "right",
    Qt.Key.Key_F1: "f1",
    Qt.Key.Key_Control: "ctrl",
    Qt.Key.Key_Shift: "shift",
    Qt.Key.Key_Alt: "alt",
}


def combo_of_event(event: QKeyEvent) -> str:
    """Return the combo of a key event; empty of a key that has no name there."""
    key, held = Qt.Key(event.key()), event.modifiers()
    name = _NAMES.get(key, "")
    if not name:
        text = event.text()
        # with ctrl the text is a control character: the key itself says which it is
        if len(text) == 1 and text.isprintable():
            name = text.lower()
        elif 0x20 < event.key() < 0x7F:
            name = chr(event.key()).lower()
    if not name:
        return ""
    return combo_of(
        name,
        ctrl=bool(held & Qt.KeyboardModifier.ControlModifier),
        alt=bool(held & Qt.KeyboardModifier.AltModifier),
        shift=bool(held & Qt.KeyboardModifier.ShiftModifier),
    )
