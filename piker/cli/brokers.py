"""``piker brokers``: which backends there are, and what each offers."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ._run import options_of, settle

if TYPE_CHECKING:
    from rich.table import Table


_WIDE = 104  # columns, in which a host's endpoints stand in one line


def brokers(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="JSON.")] = False,
) -> None:
    """List the brokers, and which endpoints each offers and misses."""
    from piker.brokers import iter_brokermods

    from ._show import open_console, put_json

    settle(options_of(ctx))
    found = [_describe(mod) for mod in iter_brokermods()]
    if as_json:
        put_json(found)
        return
    console = open_console()
    console.print(_table(found, "  " if console.width >= _WIDE else "\n"))


def _describe(mod: ModuleType) -> dict[str, Any]:
    """Return a backend's name and, by kind of host, what it offers and misses."""
    from piker.data.validate import _eps, broker_name, get_eps, missing_eps

    return {
        "name": broker_name(mod),
        "description": (mod.__doc__ or "").strip().partition("\n")[0],
        "endpoints": {
            kind: {
                "offered": list(get_eps(mod, kind)),
                "missing": missing_eps(mod, kind),
            }
            for kind in _eps
        },
    }


def _table(found: list[dict[str, Any]], between: str) -> Table:
    """Return the brokers as a table, with *between* between endpoints."""
    from rich.text import Text

    from ._show import new_table

    table = new_table("broker", "host", "endpoints")
    for broker in found:
        name = broker["name"]
        for kind, eps in broker["endpoints"].items():
            offered = [Text(f"✓ {ep}", style="green") for ep in eps["offered"]]
            missing = [Text(f"- {ep}", style="dim") for ep in eps["missing"]]
            table.add_row(name, kind, Text(between).join([*offered, *missing]))
            name = ""
        table.add_section()
    return table
