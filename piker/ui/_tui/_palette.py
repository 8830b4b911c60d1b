"""A theme's colours as inks, by what they are for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from piker.ui._theme import THEMES, Theme, text_on

from ._candles import BarInks
from ._cells import Ink, solid


@dataclass(frozen=True)
class Palette:
    """Inks of a theme.

    Attributes:
      theme: whose.
      text: that is read.
      faint: text of axes, and of what matters less.
      grid: lines of labelled prices.
      bars: of bars and volume.
      panel: text of panels; ``panel_faint`` likewise.
      title: head of a panel.
    """

    theme: Theme
    text: Ink
    faint: Ink
    grid: Ink
    bars: BarInks
    panel: Ink
    panel_faint: Ink
    title: Ink

    def on_chart(self, color: str, *, bold: bool = False) -> Ink:
        """Return a colour on the chart's back."""
        return Ink(solid(color, self.theme.back), self.theme.back, bold)

    def on_panel(self, color: str, *, bold: bool = False) -> Ink:
        """Return a colour on a panel's back."""
        return Ink(solid(color, self.theme.panel), self.theme.panel, bold)

    def tag(self, color: str) -> Ink:
        """Return text on a colour."""
        color = solid(color, self.theme.back)
        return Ink(text_on(color), color)


@lru_cache(maxsize=len(THEMES))
def palette(name: str) -> Palette:
    """Return the inks of a theme."""
    theme = THEMES[name]

    def on(color: str) -> Ink:
        return Ink(solid(color, theme.back), theme.back)

    return Palette(
        theme=theme,
        text=on(theme.text),
        faint=on(theme.faint),
        grid=on(theme.grid),
        bars=BarInks(
            on(theme.up),
            on(theme.down),
            on(theme.up_volume),
            on(theme.down_volume),
            on(theme.line),
        ),
        panel=Ink(theme.text, theme.panel),
        panel_faint=Ink(theme.faint, theme.panel),
        title=Ink(theme.text, theme.panel, bold=True),
    )
