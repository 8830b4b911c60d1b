"""``piker halt``, ``piker resume``: the switch that keeps orders from leaving."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ._run import options_of, run_async, say

if TYPE_CHECKING:
    from piker.msgs import EmsState
    from piker.service import Addr


def halt(
    ctx: typer.Context,
    reason: Annotated[
        str, typer.Argument(metavar="[REASON]", help="Shown wherever orders are.")
    ] = "",
) -> None:
    """Cancel all orders at brokers and take no new ones, until `piker resume`.

    Dark orders and alerts are kept and fire nothing. Live reduce-only orders are still
    taken. It lasts, whatever dies or restarts.
    """
    state = run_async(options_of(ctx), _halt, reason)
    typer.echo(f"trading is halted: {state.halted}; `piker resume` ends that")


def resume(ctx: typer.Context) -> None:
    """Trade again after `piker halt`; no error if nothing was halted."""
    run_async(options_of(ctx), _resume)
    typer.echo("trading goes on")


async def _halt(addr: Addr, reason: str) -> EmsState:
    from piker.clearing import halt as work
    from piker.service import maybe_open_pikerd

    async with maybe_open_pikerd("halt", addr, on_start=say):
        return await work(reason)


async def _resume(addr: Addr) -> EmsState:
    from piker.clearing import resume as work
    from piker.service import maybe_open_pikerd

    async with maybe_open_pikerd("resume", addr, on_start=say):
        return await work()
