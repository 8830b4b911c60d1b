"""Saved layouts: windows, their markets and how they are shown, in a TOML file.

One file in the state dir, `chart.toml`; a layout a name, the one that is restored by
default is called ``last``. A file that can't be read costs the layout, not the chart.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import tomlkit
from msgspec import Meta

from piker import config
from piker.errors import ConfigError
from piker.files import put_whole
from piker.log import get_logger
from piker.types import Struct

from ._chart import Style
from ._theme import ThemeName

log = get_logger(__name__)

LAST: Final = "last"
Period = Annotated[int, Meta(ge=1, le=366 * 86_400)]


class WindowLayout(Struct, frozen=True, kw_only=True):
    """One window.

    Attributes:
      fqmes: the market that is traded, then those over it.
      period_s: of the fast chart.
      slow_period_s: of the history chart.
      style: how bars are drawn.
      log: whether prices are shown on a log scale.
      place: left, top, width, height on the screen; pixels.
      splits: sizes of the charts, then of charts and side pane; pixels.
      side: whether the side pane is shown; ``watch``: the watchlist in it.
    """

    fqmes: Annotated[tuple[str, ...], Meta(min_length=1)]
    period_s: Period = 1
    slow_period_s: Period = 60
    style: Style = "auto"
    log: bool = False
    place: tuple[int, int, int, int] = (60, 60, 1440, 900)
    splits: tuple[tuple[int, ...], ...] = ()
    side: bool = True
    watch: bool = True


class Layout(Struct, frozen=True, kw_only=True):
    """What is open.

    Attributes:
      windows: in the order in which they were opened.
      watchlist: markets in the side list.
      theme: name of it; empty: as it is configured.
      utc: whether times are UTC, not local.
    """

    windows: tuple[WindowLayout, ...] = ()
    watchlist: tuple[str, ...] = ()
    theme: ThemeName | Literal[""] = ""
    utc: bool = True


def layouts_path() -> Path:
    """Return the file that layouts are in."""
    return config.state_dir() / "chart.toml"


def load_layouts() -> dict[str, Layout]:
    """Return all saved layouts by name; none where there is no file yet.

    Raises ConfigError if the file can't be understood; it says where.
    """
    path = layouts_path()
    try:
        told: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        return {name: msgspec.convert(each, Layout) for name, each in told.items()}
    except FileNotFoundError:
        return {}
    except (
        tomllib.TOMLDecodeError,
        msgspec.ValidationError,
        OSError,
        ValueError,
    ) as err:
        raise ConfigError(
            f"layouts can't be read from {path}: {err}; remove the file to begin anew"
        ) from None


def load_layout(name: str = LAST) -> Layout | None:
    """Return a saved layout, None if there is none; one that is damaged is logged."""
    try:
        return load_layouts().get(name)
    except ConfigError as err:
        log.warning("%s", err)
        return None


def save_layout(layout: Layout, name: str = LAST) -> Path:
    """Save a layout under a name; return where.

    A file that can't be understood is replaced: it held nothing that can be restored.
    Raises OSError if it can't be written.
    """
    try:
        layouts = load_layouts()
    except ConfigError as err:
        log.warning("%s", err)
        layouts = {}
    layouts[name] = layout
    path = layouts_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {key: msgspec.to_builtins(each) for key, each in layouts.items()}
    put_whole(path, tomlkit.dumps(told).encode(), durable=True)
    return path
