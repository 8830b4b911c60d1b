"""``piker ledger``: what was traded, account by account, and what it comes to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ._run import options_of, say, settle, until_told

if TYPE_CHECKING:
    from decimal import Decimal

    from piker.accounting import (
        AccountName,
        Audit,
        ImportedTrades,
        LedgerView,
        Position,
        Transaction,
    )
    from piker.msgs import BrokerdPosition, SyncProgress

    from ._run import Options

app = typer.Typer(invoke_without_command=True)

Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="E.g. sim.paper.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON.")]

#: Digits of ratios in tables; JSON has them whole.
SHOWN_DIGITS = 10
RATIOS = ("ppu", "bep", "realised")
ROW_NUMBERS = ("size", "price", "fee", "held", "ppu", "bep", "realised", "fees")


@app.callback()
def ledger(ctx: typer.Context) -> None:
    """Look at, check and fill the ledgers of accounts; lists them by default."""
    settle(options_of(ctx))
    if ctx.invoked_subcommand is None:
        ls()


@app.command()
def ls(as_json: AsJson = False) -> None:
    """List the accounts that have a ledger; exit code 1 if one can't be read."""
    from piker.accounting import ledgers_dir, list_accounts

    from ._show import new_table, open_console, put_json

    told = [_listed(name.broker, name.label) for name in list_accounts()]
    if as_json:
        put_json(told)
    elif not told:
        say(f"there are no ledgers in {ledgers_dir()}")
        return
    else:
        numbers = ("trades", "markets", "open")
        table = new_table("account", *numbers, "last trade (UTC)", right=numbers)
        for each in told:
            counts = [f"{each[key]:,}" if key in each else "-" for key in numbers]
            table.add_row(each["account"], *counts, _at(each.get("last")))
        open_console().print(table)
    for each in told:
        if fault := each.get("fault"):
            say(f"{each['account']}: {fault}")
    if any("fault" in each for each in told):
        raise typer.Exit(1)


@app.command()
def show(
    account: Account,
    fqme: Annotated[
        str | None, typer.Argument(metavar="[FQME]", help="All markets by default.")
    ] = None,
    last: Annotated[
        int | None, typer.Option("--last", "-l", min=1, metavar="N", help="Only these.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the transactions of an account, and what each left.

    `held`, `ppu`, `bep`, `realised` and `fees` are the position's after it: ppu the
    mean entry price without fees, bep where closing it breaks even, both of what is
    held; realised is less all fees. Tables have 10 digits of these three, JSON has all.
    """
    from ._show import new_table, print_whole, put_json

    view = _read(account)
    rows = _rows(view, _market(view, fqme), last)
    if as_json:
        put_json(rows)
        return
    # Columns that say the same in each row would only take room.
    words = [
        (key, head)
        for key, head in (("fqme", "market"), ("etype", "what"))
        if len({row[key] for row in rows}) > 1
    ]
    heads = [head for _, head in words]
    table = new_table("#", "time (UTC)", *heads, *ROW_NUMBERS, right=ROW_NUMBERS)
    for row in rows:
        cells = [row[key] for key, _ in words]
        cells += [_cell(row[key], is_ratio=key in RATIOS) for key in ROW_NUMBERS]
        table.add_row(str(row["seq"]), _at(row["dt"]), *cells)
    print_whole(table)


@app.command(name="audit")
def audit_(
    account: Annotated[
        str | None, typer.Argument(metavar="[ACCOUNT]", help="All by default.")
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write the account file anew first.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Add ledgers up a second way and compare; exit code 1 if anything differs.

    With the positions that piker keeps, and with the account file. Files only: what a
    broker has is compared by `piker ledger sync`.
    """
    from piker.accounting import Audit, list_accounts
    from piker.errors import LedgerError

    from ._show import put_json

    names = [account] if account else [str(name) for name in list_accounts()]
    told: list[tuple[str, Audit]] = []
    for name in names:
        try:
            told.append((name, _audited(name, write=write)))
        except LedgerError as err:
            if account:
                raise
            told.append((name, Audit(0, 0, (str(err),), ())))
    if as_json:
        put_json([{"account": name, **asdict(found)} for name, found in told])
    for name, found in told:
        for sentence in (*found.notes, *found.differences):
            say(f"{name}: {sentence}")
        if not found.differences:
            say(f"{name}: {found.trades:,} trades of {found.markets} markets add up")
    if any(found.differences for _, found in told):
        raise typer.Exit(1)


@app.command(name="import")
def import_(
    account: Account,
    file: Annotated[
        Path,
        typer.Argument(help="CSV, a row a trade; of ib a Flex report too. Or .gz."),
    ],
    fqme: Annotated[
        str | None,
        typer.Option("--fqme", "-f", help="Market of all rows, where no column is."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Only say what would be booked.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Book the trades of a file; those that are booked already are left out.

    Columns are found by their names, and stderr says which is taken for what. All of
    the file is booked, or, where something in it is wrong, nothing.
    """
    from piker.accounting import AccountName

    from ._show import put_json

    name = AccountName.parse(account)
    found = _found_in(file.expanduser(), name, _parsed(fqme) or "")
    for note in found.notes:
        say(note)
    booked, known = _book(name.broker, name.label, found.txns, dry_run=dry_run)
    verb = "would be booked" if dry_run else "booked"
    say(f"{booked:,} trades {verb}, {known:,} were there already")
    if as_json:
        counts = {"read": len(found.txns), "booked": booked, "known": known}
        put_json({"account": str(name), **counts, "notes": found.notes})


@app.command()
def sync(
    ctx: typer.Context,
    account: Account,
    market: Annotated[
        list[str] | None,
        typer.Option(
            "--market", "-m", metavar="FQME", help="Besides those of the ledger."
        ),
    ] = None,
    whole: Annotated[
        bool, typer.Option("--all", help="From the first trade on.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a ledger up to date with who clears the account.

    Of an account at a broker the trades since the last that is booked are fetched, by
    the order daemon that runs, or by one that leaves nothing; and each balance there is
    told apart into what trades come to, and the rest. Of a paper account what the
    engine holds is compared. Exit code 1 if that isn't what the ledger comes to.
    """
    from functools import partial

    import trio

    from piker.accounting import AccountName
    from piker.errors import UsageError

    from ._demo import end_tree, free_addr
    from ._show import put_json
    from ._sync import sync_paper

    name = AccountName.parse(account)
    if name.label != "paper":
        _sync_live(options_of(ctx), name, market or [], whole=whole, as_json=as_json)
        return
    if market or whole:
        raise UsageError(
            "--market and --all are for accounts at brokers: a paper engine has no "
            "trades but those of its ledger"
        )
    _read(account)  # nothing is started for a ledger that isn't there
    addr = settle(options_of(ctx))
    work = partial(sync_paper, addr, name, free_addr())
    found = trio.run(until_told, work, end_tree)
    if as_json:
        put_json({**asdict(found), "positions": _bare(found.positions)})
    for sentence in (*found.notes, *found.differences):
        say(f"{account}: {sentence}")
    if found.differences:
        raise typer.Exit(1)
    held = len(found.positions)
    say(f"{account}: {found.trades:,} trades, {held} open; the engine has the same")


def _sync_live(
    options: Options,
    name: AccountName,
    markets: list[str],
    *,
    whole: bool,
    as_json: bool,
) -> None:
    """Fetch the trades of an account at a broker."""
    from functools import partial

    import trio

    from ._demo import end_tree, free_addr
    from ._live_accounts import beyond_text, held_text, sync as fetch
    from ._show import bare_fields, put_json

    addr = settle(options)
    fqmes = [fqme for each in markets if (fqme := _parsed(each))]
    with _fetching() as show:
        work = partial(fetch, addr, str(name), fqmes, whole, free_addr(), show)
        done, asked = trio.run(until_told, work, end_tree)
    if as_json:
        told = {**bare_fields(done), "positions": _bare(done.positions)}
        put_json({"account": str(name), "asked": asked, **told})
    say(
        f"{name}: {done.seen:,} trades told, {done.booked:,} of them new; "
        f"{done.trades:,} in the ledger, {len(done.positions)} open; the account has "
        f"{held_text(done.balances) or 'nothing'}"
    )
    for sentence in beyond_text(done):
        say(f"{name}: {sentence}")


@contextmanager
def _fetching() -> Iterator[Callable[[SyncProgress], None]]:
    """Show how far trades are fetched, on stderr where that is a terminal.

    The bar is of time, from the first trade to now: how many come, no venue says.
    """
    from datetime import UTC, datetime

    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    console = Console(stderr=True)
    with Progress(
        SpinnerColumn(),
        BarColumn(bar_width=10),
        TextColumn("{task.description}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as shown:
        task = shown.add_task("asking for trades", total=None)
        began_ns: dict[int, int] = {}

        def show(told: SyncProgress) -> None:
            first_ns = began_ns.setdefault(told.nth, told.time_ns)
            done = (told.time_ns - first_ns) / max(1, time.time_ns() - first_ns)
            day = datetime.fromtimestamp(told.time_ns // 10**9, UTC)
            # short: a bar gets what a line has left
            which = f" ({told.nth} of {told.markets})" if told.markets > 1 else ""
            words = (
                f"{told.fqme}{which} {told.seen:,} trades to {day:%Y-%m-%d %H:%M},"
                f" {told.booked:,} new"
            )
            shown.update(task, description=words, total=1.0, completed=done)

        yield show


# -- helpers ------------------------------------------------------------------


def _bare(positions: tuple[BrokerdPosition, ...]) -> list[dict[str, Any]]:
    from ._show import bare_fields

    return [bare_fields(each) for each in positions]


def _read(account: str) -> LedgerView:
    """Return the ledger; says what is odd about it."""
    from piker.accounting import AccountName, read_ledger

    name = AccountName.parse(account)
    view = read_ledger(name.broker, name.label)
    if view.torn:
        say(view.torn)
    return view


def _parsed(fqme: str | None) -> str | None:
    from piker.msgs import Fqme

    return None if fqme is None else str(Fqme.parse(fqme))


def _market(view: LedgerView, fqme: str | None) -> str | None:
    """Return the market meant, None for all; raises LedgerError if it has no trade."""
    from piker.errors import LedgerError

    market = _parsed(fqme)
    if market is not None and all(txn.fqme != market for txn in view.txns):
        traded = sorted({txn.fqme for txn in view.txns})
        among = (
            f"those with some are {', '.join(traded[:20])}" if traded else "none has"
        )
        raise LedgerError(f"no trade of {market} in the ledger of {view.name}; {among}")
    return market


def _listed(broker: str, label: str) -> dict[str, Any]:
    from piker.accounting import read_ledger
    from piker.errors import LedgerError

    told: dict[str, Any] = {"account": f"{broker}.{label}"}
    try:
        view = read_ledger(broker, label)
        held = view.positions()
    except LedgerError as err:
        return {**told, "fault": str(err)}
    told |= {"trades": len(view), "markets": len(held)}
    told["open"] = sum(not position.is_flat for position in held.values())
    told["last"] = view.txns[-1].dt if len(view) else None
    return told | ({"note": view.torn} if view.torn else {})


def _rows(
    view: LedgerView, market: str | None, last: int | None
) -> list[dict[str, Any]]:
    """Return a row for each transaction, of the *last* ones, with what it left."""
    from piker.accounting import position_for

    chosen = [(seq, txn) for seq, txn in view.since(0) if market in {None, txn.fqme}]
    first = 0 if last is None else len(chosen) - last
    held: dict[str, Position] = {}
    rows = []
    for i, (seq, txn) in enumerate(chosen):
        position = held.setdefault(txn.fqme, position_for(txn))
        position.add(txn, seq)
        if i >= first:
            rows.append(_row(seq, txn, position))
    return rows


def _row(seq: int, txn: Transaction, after: Position) -> dict[str, Any]:
    return {
        "seq": seq,
        "dt": txn.dt,
        "fqme": txn.fqme,
        "tid": txn.tid,
        "oid": txn.oid,
        "etype": txn.etype,
        "size": txn.size,
        "price": txn.price,
        "fee": txn.cost,
        "held": after.size,
        "ppu": after.ppu,
        "bep": after.bep,
        "realised": after.realised,
        "fees": after.fees,
    }


def _audited(account: str, *, write: bool) -> Audit:
    from piker.accounting import audit, write_account

    view = _read(account)
    if write:
        write_account(view)
    return audit(view)


def _found_in(file: Path, name: AccountName, fqme: str) -> ImportedTrades:
    """Return the trades of a file: of a broker's own report, or of a CSV file."""
    from piker.accounting import read_ledger, read_trades
    from piker.brokers import BACKENDS, get_brokermod

    read_report = None
    if name.broker in BACKENDS and not fqme:
        read_report = getattr(get_brokermod(name.broker), "read_report", None)
    if read_report is not None:
        view = read_ledger(name.broker, name.label) if name.ledger.exists() else None
        report: ImportedTrades | None = read_report(file, name, view)
        if report is not None:
            _refuse_others(file, name, report)
            return report
    return read_trades(file, name, fqme)


def _refuse_others(file: Path, name: AccountName, report: ImportedTrades) -> None:
    """Refuse a report of which trades are booked in another account of the broker.

    A broker's ids of trades are each of one account, those of splits aren't. Whose a
    report is can't be told by the account's number: brokers.toml is opened by order
    daemons alone.
    """
    from piker.accounting import booked_elsewhere
    from piker.errors import UsageError

    trades = [txn.tid for txn in report.txns if txn.etype == "clear"]
    met = booked_elsewhere(name, trades)
    if met is not None:
        other, tid = met
        raise UsageError(
            f"can't import {file}: wanted a report of {name}, and its trade {tid!r} is"
            f" booked in {other}: import it there"
        )


def _book(
    broker: str, label: str, txns: tuple[Transaction, ...], *, dry_run: bool
) -> tuple[int, int]:
    """Book what isn't there; return how many that were, and how many were there."""
    from piker.accounting import (
        AccountName,
        open_ledger,
        positions_of,
        read_ledger,
        write_account,
    )

    if dry_run:
        name = AccountName.of(broker, label)
        view = read_ledger(broker, label) if name.ledger.exists() else None
        fresh = _fresh(view, txns)
        return len(fresh), len(txns) - len(fresh)
    with open_ledger(broker, label) as book:
        if book.torn:
            say(book.torn)
        fresh = _fresh(book, txns)
        before = book.seq
        held = positions_of((*book.txns, *fresh))  # refused before it is booked
        book.append(*fresh)
        write_account(book, held)
        return book.seq - before, len(txns) - (book.seq - before)


def _fresh(
    view: LedgerView | None, txns: tuple[Transaction, ...]
) -> tuple[Transaction, ...]:
    """Return those of *txns* that aren't booked; says what is odd about them."""
    if view is None or not len(view):
        return txns
    known = {txn.tid: txn for txn in view.txns}
    fresh = tuple(txn for txn in txns if txn.tid not in known)
    unlike = [
        txn.tid
        for txn in txns
        if (had := known.get(txn.tid))
        and (had.fqme, had.size, had.price) != (txn.fqme, txn.size, txn.price)
    ]
    if unlike:
        say(
            f"{len(unlike)} trades are booked already with another market, size or "
            f"price, e.g. {unlike[0]!r}: left as they are booked"
        )
    last = view.txns[-1].time_ns
    if late := sum(txn.time_ns < last for txn in fresh):
        say(
            f"{late} trades are older than the last that is booked: positions count "
            "trades in the order of the ledger"
        )
    return fresh


def _cell(value: Decimal, *, is_ratio: bool) -> str:
    """Return a number as a table shows it: whole, unless it may have no end."""
    from decimal import Context

    shown = Context(prec=SHOWN_DIGITS).plus(value).normalize() if is_ratio else value
    return f"{shown:,f}" if shown else "0"


def _at(dt: str | None) -> str:
    return dt[:19].replace("T", " ") if dt else "-"
