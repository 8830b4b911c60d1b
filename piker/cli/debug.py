"""``piker debug``: what every actor is doing right now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ._run import options_of, run_async

if TYPE_CHECKING:
    from ._dump import Dump

app = typer.Typer()


@app.callback()
def debug() -> None:
    """Look into a running tree."""


@app.command()
def dump(
    ctx: typer.Context,
    deadline_s: Annotated[
        float, typer.Option("--deadline", metavar="SECONDS", min=0.1, help="Per actor.")
    ] = 3.0,
    as_json: Annotated[bool, typer.Option("--json", help="JSON.")] = False,
) -> None:
    """Show the tasks of every actor, or the stacks of one that doesn't answer."""
    from ._dump import dump_tree
    from ._show import bare_fields, put_json

    dumps = run_async(options_of(ctx), dump_tree, deadline_s)
    if as_json:
        put_json([bare_fields(each) for each in dumps])
        return
    for each in dumps:
        _put(each)


def _put(dump: Dump) -> None:
    head = f"== {dump.name} (pid {dump.pid})"
    typer.echo(f"{head}: {dump.note}" if dump.note else head)
    typer.echo(dump.tasks or dump.stacks)
    typer.echo()
