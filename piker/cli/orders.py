"""``piker orders``: place, watch, change and end orders; on paper by default."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piker.errors import OrderRefused, OrderUnknown, UsageError

from ._run import Options, OutputClosed, options_of, run_async, say

if TYPE_CHECKING:
    from piker.msgs import Status

    from ._orders import Orders

app = typer.Typer()

Market = Annotated[str, typer.Argument(metavar="FQME", help="E.g. btcusdt.spot.sim.")]
Oid = Annotated[str, typer.Argument(metavar="OID", help="The order's id.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON.")]
Wait = Annotated[bool, typer.Option("--wait", "-w", help="Go on until it has ended.")]
NewOid = Annotated[
    str | None,
    typer.Option("--oid", metavar="ID", help="An id of your own, unique for ever."),
]
Limit = Annotated[
    str | None, typer.Option("--limit", "-l", metavar="PRICE", help="Pay no more.")
]
Trigger = Annotated[
    str | None,
    typer.Option("--trigger", metavar="PRICE", help="It waits for that price."),
]


@app.callback()
def orders() -> None:
    """Place, watch, change and end orders; on paper unless an account is named.

    Exit codes: 0 it was accepted, 1 rejected, 2 it can't be meant so, 3 unknown.
    """


@app.command()
def place(  # noqa: PLR0913, PLR0917 - each is an option
    ctx: typer.Context,
    fqme: Market,
    buy: Annotated[
        str | None, typer.Option("--buy", "-b", metavar="SIZE", help="Base units.")
    ] = None,
    sell: Annotated[
        str | None, typer.Option("--sell", "-s", metavar="SIZE", help="Base units.")
    ] = None,
    limit: Limit = None,
    market: Annotated[
        bool, typer.Option("--market", "-m", help="At the price now, or near it.")
    ] = False,
    dark: Annotated[
        bool, typer.Option("--dark", help="Hold it here until its price comes.")
    ] = False,
    trigger: Trigger = None,
    tif: Annotated[
        str, typer.Option("--tif", metavar="TIF", help="gtc, day, gtd, ioc or fok.")
    ] = "",
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="End of it, UTC.")
    ] = None,
    post_only: Annotated[
        bool, typer.Option("--post-only", help="Reject it rather than take.")
    ] = False,
    reduce_only: Annotated[
        bool, typer.Option("--reduce-only", help="Only make a position smaller.")
    ] = False,
    account: Annotated[
        str, typer.Option("--account", "-a", help="E.g. kraken.main: a live one.")
    ] = "paper",
    oid: NewOid = None,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Place an order, on paper by default, and say what has become of it.

    Exit code 0 if it was accepted, 1 if it was rejected, 3 if that isn't known. With
    --wait 0 if it was filled, 1 if it ended otherwise. Ctrl-C ends the waiting, not
    the order. The same order with the same --oid again is one order.
    """
    from ._order_words import Typed
    from ._orders import place as work

    typed = Typed(
        buy=buy,
        sell=sell,
        limit=limit,
        market=market,
        dark=dark,
        trigger=trigger,
        tif=tif,
        until=until,
        post_only=post_only,
        reduce_only=reduce_only,
        account=account,
    )
    _send(options_of(ctx), work, fqme, typed, oid, wait=wait, as_json=as_json)


@app.command(context_settings={"ignore_unknown_options": True})
def alert(
    ctx: typer.Context,
    fqme: Market,
    price: Annotated[str, typer.Argument(metavar="PRICE", help="To be told of.")],
    oid: NewOid = None,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Have it told when a market reaches a price; exit codes as of `place`."""
    from ._order_words import number_of
    from ._orders import alert as work

    level = number_of(price, "price")
    _send(options_of(ctx), work, fqme, level, oid, wait=wait, as_json=as_json)


@app.command()
def ls(
    ctx: typer.Context,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Go on until Ctrl-C.")
    ] = False,
    ended: Annotated[
        bool, typer.Option("--all", "-a", help="Also what has ended lately.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON; with --watch a line a change.")
    ] = False,
) -> None:
    """Show the orders that are open, and what keeps them from being worked."""
    from ._orders import follow, look

    options = options_of(ctx)
    if watch and as_json:
        run_async(options, follow, ended=ended, put=_put_change)
    elif watch:
        _watch(options, ended=ended)
    else:
        _show(run_async(options, look, ended=ended), as_json=as_json)


@app.command()
def edit(
    ctx: typer.Context,
    oid: Oid,
    limit: Limit = None,
    size: Annotated[
        str | None,
        typer.Option(
            "--size", "-s", metavar="SIZE", help="All of it, what is filled too."
        ),
    ] = None,
    trigger: Trigger = None,
    as_json: AsJson = False,
) -> None:
    """Change an order that is open; exit code 1 if that is refused, 3 if unknown."""
    from ._order_words import checked_oid, maybe_number
    from ._orders import Changes, edit as work

    changes = Changes(
        price=maybe_number(limit, "limit"),
        size=maybe_number(size, "size"),
        trigger=maybe_number(trigger, "trigger"),
    )
    if changes == Changes():
        raise UsageError("an edit changes something: give --limit, --size or --trigger")
    with _outcome(checked_oid(oid), as_json=as_json):
        status = run_async(options_of(ctx), work, oid, changes)
        _put(status, "accepted", as_json=as_json)


@app.command()
def cancel(
    ctx: typer.Context,
    oid: Annotated[
        str | None, typer.Argument(metavar="[OID]", help="The order's id.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="All orders there are, alerts too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """End an order, whatever it is doing; exit code 1 if it can't be, 3 if unknown.

    One that is cancelled already is no error; one that was filled is.
    """
    from ._order_words import checked_oid
    from ._orders import cancel as work

    if every == (oid is not None):
        raise UsageError("give the id of an order, or --all: `piker orders ls`")
    if oid is None:
        _cancel_all(options_of(ctx), as_json=as_json)
        return
    with _outcome(checked_oid(oid), as_json=as_json):
        status, was_open = run_async(options_of(ctx), work, oid)
        if not was_open and not as_json:
            typer.echo(f"{oid} is cancelled already")
        else:
            _put(status, "accepted", as_json=as_json)


@app.command()
def positions(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show what accounts hold, from their ledgers; starts nothing.

    What they would earn is told too where a feed of the market is running.
    """
    from ._positions import held, held_view
    from ._show import print_whole, put_json

    rows, faults = run_async(options_of(ctx), held)
    if as_json:
        put_json(rows)
    elif rows:
        print_whole(held_view(rows))
    elif not faults:
        say("no account holds anything")
    for fault in faults:
        say(fault)
    if faults:
        raise typer.Exit(1)


# -- helpers --------------------------------------------------------------------------


def _send(
    options: Options,
    work: Any,
    fqme: str,
    wanted: Any,
    oid: str | None,
    *,
    wait: bool,
    as_json: bool,
) -> None:
    """Send an order or an alert and say what has become of it."""
    from piker.clearing import new_oid

    from ._order_words import checked_oid, sentence

    name = new_oid() if oid is None else checked_oid(oid)
    last: list[Status] = []

    def told(status: Status) -> None:
        last[:] = [status]
        if wait and not as_json:
            _echo(sentence(status))

    try:
        with _outcome(name, as_json=as_json):
            status = run_async(options, work, fqme, wanted, name, wait=wait, told=told)
            if as_json or not wait:
                _put(status, "accepted", as_json=as_json)
    except KeyboardInterrupt:
        know = f"{name} lives on" if last else f"whether {name} was placed isn't known"
        say(f"{know}: `piker orders ls` shows it")
        raise
    if wait and status.resp not in ("closed", "triggered"):
        raise typer.Exit(1)


def _echo(text: str) -> None:
    """Print a line from within a session: who reads it may have left."""
    try:
        typer.echo(text)
    except BrokenPipeError:
        raise OutputClosed from None


@contextmanager
def _outcome(oid: str, *, as_json: bool) -> Iterator[None]:
    """Print as JSON what an order was refused with, or that nobody knows."""
    from ._show import put_json

    try:
        yield
    except OrderRefused as err:
        if as_json:
            put_json({"outcome": "rejected", "oid": oid, "reason": str(err)})
        raise
    except OrderUnknown as err:
        if as_json:
            put_json({"outcome": "unknown", "oid": oid, "reason": str(err)})
        raise


def _put(status: Status, outcome: str, *, as_json: bool) -> None:
    from ._order_words import row_of, sentence
    from ._show import put_json

    if as_json:
        put_json({"outcome": outcome, **row_of(status)})
    else:
        typer.echo(sentence(status))


def _show(found: Orders, *, as_json: bool) -> None:
    from ._order_words import orders_view, row_of, state_notes
    from ._show import bare_fields, open_console, put_json

    if as_json:
        state = bare_fields(found.state) if found.state else {}
        keys = ("halted", "down", "unwatched")
        told = {key: state[key] for key in keys if key in state}
        put_json({**told, "orders": [row_of(each) for each in found.statuses]})
    elif found.statuses:
        view = orders_view(found.statuses, state_notes(found.state))
        open_console().print(view)
    else:
        say("\n".join(["no order is open", *state_notes(found.state)]))


def _put_change(msg: Any) -> None:
    """Print a change as a line of JSON."""
    from piker.msgs import Status

    from ._order_words import row_of
    from ._show import bare_fields, put_json

    if isinstance(msg, Status):
        fill = bare_fields(msg.fill) if msg.fill else None
        put_json({"type": "order", "event": msg.resp, **row_of(msg), "fill": fill})
    else:
        put_json({"type": msg.__struct_config__.tag, **bare_fields(msg)})


def _watch(options: Options, *, ended: bool) -> None:
    """Show a table that changes in place."""
    from rich.live import Live

    from ._order_words import orders_view, state_notes
    from ._orders import follow
    from ._show import open_console

    with Live(console=open_console(), auto_refresh=False) as live:

        def show(found: Orders) -> None:
            notes = [] if found.statuses else ["no order is open"]
            notes += state_notes(found.state)
            if found.lost:
                notes.append(f"as it was; waiting for emsd: {found.lost}")
            live.update(orders_view(found.statuses, notes), refresh=True)

        run_async(options, follow, ended=ended, show=show)


def _cancel_all(options: Options, *, as_json: bool) -> None:
    from ._order_words import row_of, sentence
    from ._orders import cancel_all
    from ._show import put_json

    ended, faults = run_async(options, cancel_all)
    if as_json:
        put_json({"cancelled": [row_of(each) for each in ended], "faults": faults})
    else:
        for each in ended:
            typer.echo(sentence(each))
        if not ended and not faults:
            say("no order is open")
    for fault in faults:
        say(fault)
    if faults:
        raise typer.Exit(1)
