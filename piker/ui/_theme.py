"""Colours and fonts, by what they are for.

One table a theme: whoever draws names a purpose, never a colour. Rising and falling
differ in lightness too, so they can be told apart by who sees no red or green.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

ThemeName = Literal["dark", "light"]

#: Purposes that lines and labels of orders are drawn for.
OrderColor = Literal["buy", "sell", "alert"]


@dataclass(frozen=True)
class Theme:
    """Colours as ``#rrggbb``, or ``#aarrggbb`` of what lets others shine through.

    Attributes:
      name: of the theme.
      back: behind everything.
      panel: behind side panes, bars and labels without a colour of their own.
      edge: lines between panes.
      grid: lines of labelled prices and times.
      text: that is read.
      faint: text of axes and of what matters less.
      up: bars that rose; ``down``: that fell.
      up_volume: of volume below such bars; ``down_volume`` likewise.
      line: closes as a line.
      overlays: further markets and indicators, in turn.
      buy: orders and fills; ``sell``, ``alert`` likewise.
      live: what is about a live account, so that it looks like no paper one.
      warn: what needs to be looked at; ``bad``: what doesn't work.
      cross: lines below the mouse.
      box: behind what is measured; ``region``: the part the fast chart shows.
      closed: first bar after the market was closed; ``gap``: where bars are missing.
      mark: what others have drawn; ``haze``: behind text that lies over bars.
    """

    name: ThemeName
    back: str
    panel: str
    edge: str
    grid: str
    text: str
    faint: str
    up: str
    down: str
    up_volume: str
    down_volume: str
    line: str
    overlays: tuple[str, ...]
    buy: str
    sell: str
    alert: str
    live: str
    warn: str
    bad: str
    cross: str
    box: str
    region: str
    closed: str
    gap: str
    mark: str
    haze: str


DARK: Final = Theme(
    name="dark",
    back="#131722",
    panel="#1c2230",
    edge="#2a3142",
    grid="#1f2635",
    text="#d6dae3",
    faint="#8b93a7",
    up="#26b29b",
    down="#e0524e",
    up_volume="#1d5f58",
    down_volume="#6b3439",
    line="#7aa2f7",
    overlays=("#e0af68", "#bb9af7", "#7dcfff", "#ff9e64", "#9ece6a", "#f7768e"),
    buy="#2fc4ab",
    sell="#ff6b66",
    alert="#e6c34a",
    live="#ff8c1a",
    warn="#e6c34a",
    bad="#ff6b66",
    cross="#7c859a",
    box="#30578ad6",
    region="#287aa2f7",
    closed="#3a4358",
    gap="#38e6c34a",
    mark="#30ff9e64",
    haze="#b0131722",
)

LIGHT: Final = Theme(
    name="light",
    back="#ffffff",
    panel="#f1f3f7",
    edge="#d5d9e2",
    grid="#eceff4",
    text="#1b2130",
    faint="#626b80",
    up="#0c8f7b",
    down="#cf3630",
    up_volume="#b5e2da",
    down_volume="#f2c4c2",
    line="#2f5fc9",
    overlays=("#b36b00", "#7c3fd1", "#0082ad", "#c24e00", "#4d7d14", "#c2185b"),
    buy="#0c8f7b",
    sell="#cf3630",
    alert="#9a7400",
    live="#c65a00",
    warn="#9a7400",
    bad="#cf3630",
    cross="#7c859a",
    box="#302f5fc9",
    region="#202f5fc9",
    closed="#c3c9d6",
    gap="#389a7400",
    mark="#30c24e00",
    haze="#b0ffffff",
)

THEMES: Final[dict[str, Theme]] = {"dark": DARK, "light": LIGHT}
assert set(THEMES) == set(get_args(ThemeName)), "each name has a theme"


def luminance(color: str) -> float:
    """Return how light a colour is, 0 to 1; of ``#aarrggbb`` what is opaque of it.

    Relative luminance as WCAG 2.2 defines it (www.w3.org/TR/WCAG22).
    """
    red, green, blue = (part / 255 for part in bytes.fromhex(color[-6:]))
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (red, green, blue)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, 1 to 21; text wants 4.5 (WCAG 2.2)."""
    lights = sorted((luminance(one), luminance(other)))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def text_on(color: str) -> str:
    """Return black or white, whichever reads better on a colour."""
    return max("#000000", "#ffffff", key=lambda each: contrast(color, each))
