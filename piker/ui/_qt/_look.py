"""How widgets look in a theme: fonts and one style sheet."""

from __future__ import annotations

from PySide6.QtGui import QFont, QFontDatabase
from PySide6.QtWidgets import QApplication

from piker.ui._theme import Theme

#: Tried in turn where none is configured; all have digits of equal width.
_FONTS = ("Hack", "DejaVu Sans", "Noto Sans", "Liberation Sans")


def font_of(name: str, size_px: int) -> QFont:
    """Return the configured font, or the first that is installed."""
    installed = set(QFontDatabase.families())
    wanted = [name] if name else []
    found = next((each for each in (*wanted, *_FONTS) if each in installed), "")
    font = QFont(found) if found else QFont()
    font.setPixelSize(size_px)
    font.setStyleHint(QFont.StyleHint.SansSerif)
    return font


def dress(app: QApplication, theme: Theme, font: QFont) -> None:
    """Give all widgets a theme's colours."""
    app.setStyle("Fusion")
    app.setFont(font)
    app.setStyleSheet(sheet(theme))


def sheet(theme: Theme) -> str:
    """Return a theme as a style sheet of Qt."""
    return f"""
    QWidget {{ background: {theme.back}; color: {theme.text}; }}
    QMenuBar, QMenu, QStatusBar, QFrame#panel, QFrame#toast {{
        background: {theme.panel};
    }}
    QMenuBar::item:selected, QMenu::item:selected {{ background: {theme.edge}; }}
    QMenu::separator {{ height: 1px; background: {theme.edge}; margin: 4px 8px; }}
    QStatusBar {{ border-top: 1px solid {theme.edge}; }}
    QStatusBar::item {{ border: none; }}
    QSplitter::handle {{ background: {theme.edge}; }}
    QSplitter::handle:horizontal {{ width: 2px; }}
    QSplitter::handle:vertical {{ height: 2px; }}
    QLabel {{ background: transparent; }}
    QLabel[tone="faint"] {{ color: {theme.faint}; }}
    QLabel[tone="good"] {{ color: {theme.up}; }}
    QLabel[tone="bad"] {{ color: {theme.bad}; }}
    QLabel[tone="note"] {{ color: {theme.warn}; }}
    QLabel[tone="live"] {{ color: {theme.live}; font-weight: bold; }}
    QLineEdit, QComboBox, QSpinBox, QPushButton {{
        background: {theme.panel}; border: 1px solid {theme.edge};
        border-radius: 3px; padding: 3px 6px; selection-background-color: {theme.line};
    }}
    QLineEdit:focus, QComboBox:focus, QPushButton:focus {{
        border-color: {theme.line};
    }}
    QPushButton:hover {{ background: {theme.edge}; }}
    QPushButton:disabled {{ color: {theme.faint}; }}
    QPushButton[tone="buy"] {{ color: {theme.buy}; border-color: {theme.buy}; }}
    QPushButton[tone="sell"] {{ color: {theme.sell}; border-color: {theme.sell}; }}
    QPushButton[tone="alert"] {{ color: {theme.alert}; border-color: {theme.alert}; }}
    QTreeWidget, QTableWidget {{
        background: {theme.back}; alternate-background-color: {theme.panel};
        border: 1px solid {theme.edge}; outline: none;
        selection-background-color: {theme.edge}; selection-color: {theme.text};
    }}
    QHeaderView::section {{
        background: {theme.panel}; color: {theme.faint}; border: none; padding: 2px 6px;
    }}
    QFrame#toast {{ border: 1px solid {theme.edge}; border-radius: 4px; }}
    QFrame#panel {{ border: 1px solid {theme.edge}; border-radius: 6px; }}
    QToolTip {{ background: {theme.panel}; color: {theme.text}; }}
    QScrollBar {{ background: {theme.back}; width: 10px; height: 10px; }}
    QScrollBar::handle {{ background: {theme.edge}; border-radius: 4px; }}
    QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
    """


def tone(widget: object, name: str) -> None:
    """Give a widget the colours of a purpose."""
    style = widget.style()  # type: ignore[attr-defined]
    widget.setProperty("tone", name)  # type: ignore[attr-defined]
    style.unpolish(widget)
    style.polish(widget)
