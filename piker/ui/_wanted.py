"""What a chart is asked to show, in windows and terminals alike."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from msgspec.structs import replace

from piker.errors import UsageError

from ._layouts import LAST, Layout, WindowLayout, load_layout
from ._theme import ThemeName

_PERIOD: Final = re.compile(r"(\d{1,7})\s*([smhdw]?)", re.ASCII | re.IGNORECASE)
_UNITS_S: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LONGEST_S: Final = 366 * 86_400


@dataclass(frozen=True)
class Picture:
    """A picture to be written, with no window shown.

    Attributes:
      path: where to.
      width: of it, logical pixels; ``height`` likewise.
      scale: pixels of the picture a logical one.
    """

    path: Path
    width: int = 1600
    height: int = 900
    scale: float = 1.0


@dataclass(frozen=True)
class Wanted:
    """What a chart is to show.

    Attributes:
      fqmes: markets; the first is traded, the others lie over it. Empty: what was
        shown last.
      mode: ``live`` orders may go to accounts at brokers.
      period_s: of the fast chart, or of a terminal's; 0: as usual.
      theme: name of it; as configured by default.
      layout: name of a saved layout to restore.
      picture: to be written instead of showing a window.
    """

    fqmes: tuple[str, ...] = ()
    mode: Literal["paper", "live"] = "paper"
    period_s: int = 0
    theme: ThemeName | Literal[""] = ""
    layout: str = LAST
    picture: Picture | None = None


def layout_for(wanted: Wanted) -> Layout:
    """Return what is to be opened; raises UsageError if nothing is known."""
    saved = load_layout(wanted.layout)
    if wanted.fqmes:
        window = WindowLayout(fqmes=wanted.fqmes, period_s=wanted.period_s or 1)
        watched = saved.watchlist if saved is not None else ()
        return Layout(windows=(window,), watchlist=watched, theme=wanted.theme)
    if saved is None or not saved.windows:
        raise UsageError(
            "name a market to show, e.g. `piker chart btcusdt.spot.sim`: no layout"
            f" {wanted.layout!r} was saved yet"
        )
    if wanted.period_s:
        windows = tuple(replace(w, period_s=wanted.period_s) for w in saved.windows)
        saved = replace(saved, windows=windows)
    return replace(saved, theme=wanted.theme) if wanted.theme else saved


def period_of(text: str) -> int:
    """Return a bar length in seconds by what was typed: ``1s``, ``5m``, ``1h``, ``1d``.

    Raises UsageError if it is none that bars can have.
    """
    found = _PERIOD.fullmatch(text.strip())
    if found is not None:
        period_s = int(found[1]) * _UNITS_S[found[2].lower()]
        # made of 1 s bars below a minute, of whole minutes above
        if 0 < period_s <= _LONGEST_S and (period_s < 60 or period_s % 60 == 0):
            return period_s
    raise UsageError(
        f"a period is e.g. 1s, 5m, 1h, 1d or 1w, and whole minutes from a minute on,"
        f" got {text!r}"
    )


def span_text(period_s: int) -> str:
    """Return a bar length as traders write it: ``15 m``."""
    for unit in ("w", "d", "h", "m"):
        if period_s % _UNITS_S[unit] == 0:
            return f"{period_s // _UNITS_S[unit]} {unit}"
    return f"{period_s} s"
