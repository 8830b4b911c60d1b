"""``piker chart``: markets as charts, in windows or in the terminal."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from piker.errors import PikerError, UsageError

from ._run import Options, options_of, say, settle, until_told

if TYPE_CHECKING:
    from piker.ui import ThemeName, Wanted

_SIZE = re.compile(r"(\d+)x(\d+)", re.ASCII | re.IGNORECASE)
_UI_EXTRA = "it comes with piker's extra 'ui': `./run` and requirements.lock have it"


def chart(  # noqa: PLR0913, PLR0917 - each is an option
    ctx: typer.Context,
    fqmes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FQME...]",
            help="The first is traded; others lie over it, or beside it with --tui.",
        ),
    ] = None,
    tui: Annotated[
        bool, typer.Option("--tui", help="In this terminal, with no window.")
    ] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Orders may go to accounts at brokers.")
    ] = False,
    period: Annotated[
        str,
        typer.Option(
            "--period",
            "-p",
            metavar="P",
            help="E.g. 5m, 1h; 1s by default, 1m in a terminal.",
        ),
    ] = "",
    theme: Annotated[
        str, typer.Option("--theme", metavar="NAME", help="dark or light.")
    ] = "",
    layout: Annotated[
        str, typer.Option("--layout", metavar="NAME", help="Open a saved layout.")
    ] = "last",
    snapshot: Annotated[
        Path | None,
        typer.Option("--snapshot", metavar="FILE", help="Write a picture, then end."),
    ] = None,
    size: Annotated[
        str, typer.Option("--size", metavar="WxH", help="Of the picture, pixels.")
    ] = "1600x900",
    scale: Annotated[
        float,
        typer.Option("--scale", min=0.5, max=4, help="Picture pixels a pixel."),
    ] = 1.0,
) -> None:
    """Show markets as charts, and trade on them; on paper unless --live is given.

    With no FQME what was shown last is opened again. Closing a chart cancels no order.
    A pikerd is started if none runs.
    """
    from piker.ui import Picture, Wanted, period_of

    if theme not in ("", "dark", "light"):
        raise UsageError(f"a theme is dark or light, got {theme!r}")
    wanted = Wanted(
        fqmes=tuple(fqmes or ()),
        mode="live" if live else "paper",
        period_s=period_of(period) if period else 0,
        theme=cast("ThemeName", theme),
        layout=layout,
        picture=None if snapshot is None else Picture(snapshot, *_size_of(size), scale),
    )
    check_names(wanted.fqmes)
    options = options_of(ctx)
    if tui:
        _run_tui(options, wanted)
    else:
        _run_windows(options, wanted)


def check_names(fqmes: tuple[str, ...]) -> None:
    """Raise BadFqme or BrokerNotFound for a name that leads nowhere.

    Before a pikerd is started for nothing.
    """
    from piker.brokers import check_broker
    from piker.msgs import Fqme

    for fqme in fqmes:
        check_broker(Fqme.parse(fqme).broker)


def _size_of(text: str) -> tuple[int, int]:
    found = _SIZE.fullmatch(text.strip())
    width, height = (int(each) for each in found.groups()) if found else (0, 0)
    if not (200 <= width <= 8192 and 150 <= height <= 8192):
        raise UsageError(
            f"a size is WIDTHxHEIGHT from 200x150 to 8192x8192, got {text!r}: e.g."
            " 1600x900"
        )
    return width, height


def _run_windows(options: Options, wanted: Wanted) -> None:
    """Show windows; say what lacks where Qt can't be had."""
    from piker.ui import check_screen

    if wanted.picture is None:
        check_screen()
    check_libraries(has_x11=wanted.picture is None)
    addr = settle(options)
    try:
        from piker.ui._qt._app import run_chart
    except ImportError as err:
        raise PikerError(
            f"windows need PySide6 and pyqtgraph ({err}): {_UI_EXTRA};"
            " `piker chart --tui` shows charts in the terminal"
        ) from None
    run_chart(addr, wanted, say, until_told)


def _run_tui(options: Options, wanted: Wanted) -> None:
    from piker import config
    from piker.ui import layout_for, load_indicators
    from piker.ui._tui import run_tui

    addr = settle(options)
    conf = config.load_config().ui
    load_indicators(conf)
    layout = layout_for(wanted)
    first = layout.windows[0]
    theme = wanted.theme or layout.theme or conf.theme
    run_tui(
        addr,
        first.fqmes,
        wanted.mode,
        wanted.period_s or first.slow_period_s,
        conf.indicators,
        "light" if theme == "light" else "dark",
    )


def check_libraries(*, has_x11: bool) -> None:
    """Raise PikerError if system libraries lack that Qt needs; it names their packages.

    Qt itself would say that it finds no plugin, and abort.
    """
    from ._checks import QT_LIBRARIES, lacking_qt_libraries

    platform = os.environ.get("QT_QPA_PLATFORM", "")
    is_x11 = has_x11 and not os.environ.get("WAYLAND_DISPLAY")
    lacking = lacking_qt_libraries(has_x11=is_x11 and platform in ("", "xcb"))
    if lacking:
        packages = " ".join(dict.fromkeys(QT_LIBRARIES[name] for name in lacking))
        raise PikerError(
            f"windows need {', '.join(lacking)}, which this machine lacks: on Debian"
            f" `apt-get install {packages}`; `piker chart --tui` needs none of it"
        )
