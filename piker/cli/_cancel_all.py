"""``piker brokers cancel-all``: asks, has a broker end all, tells what came of it."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import trio
import typer

from piker.accounting import AccountName
from piker.errors import UsageError

from ._demo import end_tree, free_addr
from ._live_accounts import end_all
from ._run import Options, say, settle, until_told
from ._show import bare_fields, put_json

if TYPE_CHECKING:
    from piker.msgs import AllEnded, Resting


def cancel_all(options: Options, account: str, *, yes: bool, as_json: bool) -> None:
    """End all open orders of an account; exit code 1 if any rests, or may.

    Raises: UsageError; AccountNotFound; what keeps the broker from being asked.
    """
    name = AccountName.parse(account)
    if name.label == "paper":
        raise UsageError(
            f"{name} is a paper account: `piker orders cancel --all` ends its orders"
        )
    if not yes and not sys.stdin.isatty():
        raise UsageError("nobody can be asked, stdin is no terminal: say --yes")
    agrees = None if yes else partial(_agrees, str(name))
    work = partial(end_all, settle(options), str(name), free_addr(), agrees)
    done, asked = trio.run(until_told, work, end_tree)
    if done is None:
        say("nothing was asked for")
        raise typer.Exit(1)
    if as_json:
        put_json({"account": str(name), "asked": asked, **bare_fields(done)})
    else:
        typer.echo(f"{name}: {counted(done.ended)} ended")
    for sentence in open_sentences(done):
        say(f"{name}: {sentence}")
    if done.fault:
        raise typer.Exit(1)


async def _agrees(account: str, there: list[Resting]) -> bool:
    """Ask whether all that is open is to be ended; of nothing it is."""
    if not there:
        return True
    typer.echo(
        f"{account}: {counted(len(there))} open, whoever placed them; end all? [y/N] ",
        nl=False,
        err=True,
    )
    await trio.lowlevel.wait_readable(sys.stdin.fileno())  # Ctrl-C is heard meanwhile
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def counted(count: int) -> str:
    """Return so many orders in words."""
    return f"{count:,} order{'s' * (count != 1)}"


def open_sentences(done: AllEnded) -> list[str]:
    """Return a sentence for each order that rests, and why that is, or isn't known."""
    if not done.fault:
        return []
    rest = [
        f"still open: {each.side} {each.size:f} {each.bs_mktid} at {each.price:f}, "
        f"{each.filled:f} of it filled, {each.reqid} there"
        for each in done.resting
    ]
    return [
        *rest,
        done.fault if rest else f"whether any is open isn't known: {done.fault}",
    ]
