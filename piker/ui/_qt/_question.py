"""Questions about real money."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QMessageBox, QWidget


def ask(window: QWidget, text: str, answered: Callable[[bool], None]) -> QMessageBox:
    """Ask whether something may be done; no is the default, so enter does nothing.

    Args:
      window: that it is about.
      text: the question.
      answered: told the answer, no where it was closed.

    Returns: the box, which doesn't hold the program up.
    """
    box = QMessageBox(window)
    box.setWindowTitle("real money")
    box.setText(text)
    yes, no = QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.No
    box.setStandardButtons(yes | no)
    box.setDefaultButton(no)
    box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    box.finished.connect(lambda button: answered(button == yes.value))
    box.open()
    return box
