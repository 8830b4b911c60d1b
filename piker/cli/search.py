"""``piker search``: markets by a part of their name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ._run import options_of, run_async, say

if TYPE_CHECKING:
    from rich.table import Table

    from piker.data import Found
    from piker.msgs import Match
    from piker.service import Addr


def search(
    ctx: typer.Context,
    pattern: Annotated[
        str, typer.Argument(help="Words of a name, e.g. btc or 'eth perp'.")
    ],
    broker: Annotated[
        list[str] | None,
        typer.Option("--broker", "-b", help="Ask this one; more than once for more."),
    ] = None,
    kind: Annotated[
        str, typer.Option("--kind", "-k", help="E.g. perp, future, option, stock.")
    ] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="JSON.")] = False,
) -> None:
    """Find markets by a part of their name, best first; exit code 1 if none fits.

    A broker that doesn't answer is named on stderr; the others' markets are shown.
    """
    from ._show import bare_fields, open_console, put_json

    found = run_async(options_of(ctx), _search, pattern, broker, kind, limit)
    if as_json:
        put_json([bare_fields(match) for match in found.matches])
    elif found.matches:
        open_console().print(_table(found.matches))
    for name, err in found.faults.items():
        say(f"{name} didn't answer: {err}")
    if not found.matches:
        say(f"no market fits {pattern!r}" + (" at the others" if found.faults else ""))
        raise typer.Exit(1)


async def _search(
    addr: Addr, pattern: str, brokers: list[str] | None, kind: str, limit: int
) -> Found:
    from piker.brokers import check_broker
    from piker.data import known_kind, search_symbols
    from piker.service import maybe_open_pikerd

    known_kind(kind)  # before a pikerd is started for nothing
    for name in brokers or ():
        check_broker(name)
    async with maybe_open_pikerd("search", addr, on_start=say):
        return await search_symbols(pattern, brokers, kind=kind, limit=limit)


def _table(found: list[Match]) -> Table:
    from ._show import new_table

    table = new_table("market", "kind", "fits", "description", right=("fits",))
    # a name is to be typed: the description is cut instead
    table.columns[0].min_width = max(len(match.fqme) for match in found)
    for match in found:
        table.add_row(match.fqme, match.kind, f"{match.score:.0f}", match.description)
    return table
