"""``piker brokers``: which backends there are, and what each offers."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ._run import options_of, settle

if TYPE_CHECKING:
    from rich.table import Table

    from piker.msgs import AccountCheck


_WIDE = 104  # columns, in which a host's endpoints stand in one line


app = typer.Typer(invoke_without_command=True)

AsJson = Annotated[bool, typer.Option("--json", help="JSON.")]


@app.callback()
def brokers(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the brokers, and which endpoints each offers and misses."""
    if ctx.invoked_subcommand is not None:
        return
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


@app.command()
def check(
    ctx: typer.Context,
    broker: Annotated[str, typer.Argument(metavar="BROKER", help="E.g. binance.")],
    as_json: AsJson = False,
) -> None:
    """Look at the accounts of a broker: whether their keys work, and what for.

    The broker's order daemon looks, which alone may read brokers.toml: the one that
    runs, or one that leaves nothing. Exit code 1 if an account can't be used.
    """
    from functools import partial

    import trio

    from ._demo import end_tree, free_addr
    from ._live_accounts import check as look
    from ._run import say, until_told
    from ._show import bare_fields, open_console, put_json

    addr = settle(options_of(ctx))
    work = partial(look, addr, broker.lower(), free_addr())
    found, _ = trio.run(until_told, work, end_tree)
    if as_json:
        put_json([bare_fields(each) for each in found])
    else:
        open_console().print(_checks(found))
        for each in found:
            for sentence in filter(None, (each.fault, *each.warnings)):
                say(f"{each.account}: {sentence}")
    if any(each.fault for each in found):
        raise typer.Exit(1)


@app.command(name="cancel-all")
def cancel_all(
    ctx: typer.Context,
    account: Annotated[
        str, typer.Argument(metavar="BROKER.ACCOUNT", help="E.g. binance.main.")
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """End all open orders of an account at its venue, whoever placed them.

    By the venue's own call, whether emsd runs or not. New ones aren't kept from being
    placed: `piker halt` does that. Exit code 1 if any rests, or that isn't known.
    """
    from ._cancel_all import cancel_all as work

    work(options_of(ctx), account, yes=yes, as_json=as_json)


def _checks(found: list[AccountCheck]) -> Table:
    from ._live_accounts import held_text
    from ._show import new_table

    table = new_table("account", "may", "clock", "balances", right=("clock",))
    table.columns[-1].no_wrap = False  # there may be dozens: they go on below
    for each in found:
        may = ["trade"] * each.may_trade + ["withdraw"] * each.may_withdraw
        clock = "-" if each.fault else f"{each.clock_off_s:+.1f} s"
        held = held_text(each.balances) or "-"
        table.add_row(each.account, ", ".join(may) or "-", clock, held)
    return table
