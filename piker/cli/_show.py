"""What commands print: JSON for programs, tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from ._run import OutputClosed

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from piker.msgs import ServiceInfo

_PIPE_WIDTH = 200

STATE_STYLES = {
    "running": "green",
    "starting": "yellow",
    "unresponsive": "bold yellow",
    "backoff": "yellow",
    "quarantined": "bold red",
    "stopping": "dim",
    "stopped": "dim",
}


def open_console() -> Console:
    """Return a console on stdout; nothing is cut where it is no terminal."""
    import os

    from rich.console import Console

    class Pipeable(Console):
        def on_broken_pipe(self) -> None:
            raise OutputClosed

    console = Pipeable(highlight=False)
    if console.is_terminal or "COLUMNS" in os.environ:
        return console
    return Pipeable(highlight=False, width=_PIPE_WIDTH)


def put_json(value: Any) -> None:
    """Print *value*, which may hold structs, as one line of JSON."""
    import msgspec

    try:
        typer.echo(msgspec.json.encode(value).decode())
    except BrokenPipeError:
        raise OutputClosed from None


def bare_fields(struct: Any) -> dict[str, Any]:
    """Return the fields of *struct* by name, without its tag."""
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def new_table(*columns: str, right: Sequence[str] = (), title: str = "") -> Table:
    """Return an empty table; the columns named in *right* hold numbers."""
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD,
        header_style="bold",
        pad_edge=False,
        title=title or None,
        title_justify="left",
    )
    for name in columns:
        justify = "right" if name in right else "left"
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    return table


def _give_way(table: Table, name: str) -> None:
    """Let a column be the one that is cut where there is too little room."""
    for column in table.columns:
        if column.header == name:
            column.no_wrap, column.overflow = False, "ellipsis"


def print_whole(table: Table) -> None:
    """Print *table*; where it is too wide its lines wrap, and no number is cut."""
    from rich.measure import Measurement

    console = open_console()
    endless = console.options.update(max_width=10_000)
    need = Measurement.get(console, endless, table).maximum
    console.width = max(need, console.width)
    console.print(table, crop=False)


def services_view(infos: Sequence[ServiceInfo]) -> RenderableType:
    """Return pikerd and its services as a table; below it faults, and what goes on."""
    from rich.console import Group
    from rich.text import Text

    numbers = ("pid", "up", "restarts", "MiB", "cpu %")
    table = new_table("service", "state", *numbers, "address", right=numbers)
    _give_way(table, "address")
    for at, info in enumerate(infos):
        last = at == len(infos) - 1
        stem = "" if not at else "└─ " if last else "├─ "
        restarts = Text(str(info.restarts), style="yellow" if info.restarts else "dim")
        table.add_row(
            Text.assemble((stem, "dim"), info.name),
            Text(info.state, style=STATE_STYLES[info.state]),
            str(info.pid) if info.pid > 0 else "-",
            duration(info.uptime_s) if info.uptime_s else "-",
            restarts,
            f"{info.rss_mb:.0f}" if info.rss_mb else "-",
            f"{info.cpu:.0f}" if info.rss_mb else "-",
            info.address or "-",
        )
    notes = [
        Text.assemble((f"{info.name}: ", STATE_STYLES[info.state]), info.reason)
        for info in infos
        if info.reason
    ]
    notes += [
        Text.assemble(f"{info.name}: ", info.doing, style="dim")
        for info in infos
        if info.doing
    ]
    return Group(table, *notes)


def duration(seconds: float) -> str:
    """Return *seconds* in its two largest units: ``4s``, ``2m 05s``, ``3d 04h``."""
    whole = int(seconds)
    minutes, secs = divmod(whole, 60)
    hours, mins = divmod(minutes, 60)
    days, hrs = divmod(hours, 24)
    if days:
        return f"{days}d {hrs:02}h"
    if hours:
        return f"{hours}h {mins:02}m"
    if minutes:
        return f"{minutes}m {secs:02}s"
    return f"{secs}s"
