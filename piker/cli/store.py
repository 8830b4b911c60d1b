"""``piker store``: the bars on this machine's disk."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piker.errors import UsageError

from ._run import options_of, run_async, say, settle

if TYPE_CHECKING:
    from piker.msgs import MendProgress
    from piker.service import Addr
    from piker.storage import StoredBars
    from piker.tsp import Gap

app = typer.Typer(invoke_without_command=True)

CHUNK_BARS = 1 << 18
CLOCK_OFF_S = 60.0

Market = Annotated[str, typer.Argument(metavar="FQME", help="E.g. btcusdt.spot.sim.")]
MAX_PERIOD_S = 366 * 86_400
Period = Annotated[
    int,
    typer.Option(
        "--period",
        "-p",
        min=1,
        max=MAX_PERIOD_S,
        metavar="S",
        help="Bar length, seconds.",
    ),
]
AnyPeriod = Annotated[
    int | None,
    typer.Option("--period", "-p", min=1, max=MAX_PERIOD_S, help="All by default."),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON.")]


@app.callback()
def store(ctx: typer.Context) -> None:
    """Look at, fill and mend the bars on this machine's disk; lists them by default."""
    settle(options_of(ctx))
    if ctx.invoked_subcommand is None:
        ls()


@app.command()
def ls(as_json: AsJson = False) -> None:
    """List the markets with stored bars; exit code 1 if some can't be read."""
    from piker.storage import list_stores, store_root

    from ._show import bare_fields, open_console, put_json
    from ._store_tables import store_table

    found = list_stores()
    if as_json:
        put_json([bare_fields(info) for info in found])
    elif found:
        open_console().print(store_table(found))
    else:
        say(f"no bars are stored in {store_root()}")
    faults = [info for info in found if info.fault]
    for info in faults:
        say(f"{info.fqme}, {info.period_s} s: {info.fault}")
    if faults:
        raise typer.Exit(1)


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV (.gz too), parquet or feather.")],
    fqme: Annotated[str, typer.Option("--fqme", "-f", help="Whose bars they are.")],
    period: Period,
    zone: Annotated[
        str, typer.Option("--zone", help="Of times that name none.")
    ] = "UTC",
    as_json: AsJson = False,
) -> None:
    """Store the bars of a file; where a bar is stored already, the file's one counts.

    Says on stderr what it took each column and the times for.
    """
    from piker.storage import StoreWriter, read_foreign

    from ._show import put_json
    from ._store_name import full_name, period_notes
    from ._store_tables import at

    fqme, notes = full_name(fqme)  # a wrong one is told before a long read
    found = read_foreign(file.expanduser(), period, zone)
    _refuse_future(int(found.bars["time"][-1]))
    found.notes += notes + period_notes(period)
    for note in found.notes:
        say(note)
    writer = StoreWriter(fqme, period)
    try:
        with _progress(f"storing {len(found.bars):,} bars") as progress:
            for i in range(0, len(found.bars), CHUNK_BARS):
                progress(i / len(found.bars))
                writer.append(found.bars[i : i + CHUNK_BARS])
                writer.fold()
            progress(1.0)
    finally:
        writer.close()
    for fault in writer.damaged:
        say(fault)
    first, last = (int(found.bars["time"][i]) for i in (0, -1))
    if as_json:
        told = {"fqme": fqme, "period_s": period, "bars": len(found.bars)}
        put_json({**told, "first_s": first, "last_s": last, "notes": found.notes})
    else:
        say(f"stored {len(found.bars):,} bars, {at(first)} to {at(last)}")


@app.command()
def export(
    fqme: Market,
    file: Annotated[Path, typer.Argument(help="Ends in .csv, .parquet, .feather.")],
    period: Period,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a market's stored bars to a file; times are epoch seconds."""
    from piker.errors import StoreError, UsageError
    from piker.storage import write_foreign

    from ._show import put_json

    path = file.expanduser()
    if path.exists() and not force:
        raise UsageError(f"{path} exists: name another file, or say --force")
    found = _read(fqme, period)
    try:
        with _progress(f"writing {path.name}"):
            write_foreign(path, found.bars())
    except OSError as err:
        raise StoreError(f"can't write {path}: {err.strerror or err}") from None
    say(f"wrote {len(found):,} bars to {path}")
    if as_json:
        told = {"fqme": fqme, "period_s": period, "file": str(path)}
        put_json({**told, "bars": len(found), "damaged": found.damaged})
    if found.damaged:
        raise typer.Exit(1)


@app.command()
def gaps(
    ctx: typer.Context,
    fqme: Market,
    period: Period,
    always_open: Annotated[
        bool,
        typer.Option("--always-open", help="Take no time for closed market."),
    ] = False,
    chart: Annotated[
        bool,
        typer.Option("--chart", help="Mark them in open charts too, until Ctrl-C."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the runs of periods without a bar, oldest first.

    A gap is `closed` where other weeks have no bars at these hours either (stderr says
    so), else `missing`: nothing traded, or the bars are lost.
    """
    from piker.tsp import list_gaps

    from ._show import open_console, put_json
    from ._store_tables import gap_table

    found = _read(fqme, period)
    with _progress("comparing hours of other weeks"):
        listed = list_gaps(found.bars(), period, None if always_open else "observed")
    if as_json:
        put_json([asdict(gap) for gap in listed])
    elif listed:
        open_console().print(gap_table(listed))
    missing, lacking = sum(g.missing for g in listed), [g for g in listed if g.missing]
    say(
        f"{len(found):,} bars; {len(listed) - len(lacking)} times closed; {missing:,} "
        f"bars missing in {len(lacking)} gaps"
    )
    if len(lacking) < len(listed):
        say("closed is read off the same hours of other weeks; --always-open: none is")
    if chart and lacking:
        sys.stdout.flush()
        run_async(options_of(ctx), _mark, fqme, lacking)
    elif chart:
        say("there is nothing to mark in a chart")
    if found.damaged:
        raise typer.Exit(1)


@app.command(name="verify")
def verify_(
    fqme: Annotated[
        str | None, typer.Argument(metavar="[FQME]", help="All by default.")
    ] = None,
    period: AnyPeriod = None,
    as_json: AsJson = False,
) -> None:
    """Compare stored bars with what was written; exit code 1 if they differ."""
    from piker.errors import StoreError
    from piker.storage import verify

    from ._show import put_json

    told: list[dict[str, Any]] = []
    for name, seconds in _chosen(fqme, period):
        with _progress(f"{name}, {seconds} s") as progress:
            try:
                faults = verify(name, seconds, progress)
            except StoreError as err:
                faults = [str(err)]
        told.append({"fqme": name, "period_s": seconds, "faults": faults})
    if as_json:
        put_json(told)
    for each in told:
        for fault in each["faults"]:
            say(f"{each['fqme']}, {each['period_s']} s: {fault}")
    bad = sum(bool(each["faults"]) for each in told)
    say(f"{len(told) - bad} of {len(told)} are sound")
    if bad:
        raise typer.Exit(1)


@app.command(name="repair")
def repair_(
    ctx: typer.Context,
    fqme: Market,
    period: Period,
    offline: Annotated[
        bool, typer.Option("--offline", help="Don't ask the venue.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Set damaged files aside, then ask the venue for the bars that lack.

    Between the first stored bar and the last; those that are there stay as they are.
    """
    from piker.errors import StoreError
    from piker.storage import stored_span

    from ._show import put_json

    span = (0, 0)
    with suppress(StoreError):  # of a broken manifest, or told just below
        span = stored_span(fqme, period)
    told: dict[str, Any] = {"fqme": fqme, "period_s": period}
    told["set_aside"] = _set_aside(fqme, period, offline=offline)
    found = None if offline else run_async(options_of(ctx), _mend, fqme, period, span)
    told |= {name: getattr(found, name, None) for name in ("lacked", "filled", "left")}
    if found is not None:
        say(
            f"{found.lacked:,} bars lacked: {found.filled:,} were filled, "
            f"{found.left:,} the venue doesn't have"
            if found.lacked
            else "no bar lacked"
        )
    if as_json:
        put_json(told)


@app.command(name="delete")
def delete_(
    fqme: Market,
    period: AnyPeriod = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove a market's stored bars."""
    from piker.storage import delete, finish_deletions

    from ._show import put_json

    finish_deletions(fqme)
    chosen = _chosen(fqme, period)
    what = ", ".join(f"{seconds} s" for _, seconds in chosen)
    if not yes:
        typer.confirm(
            f"remove the stored bars of {fqme} ({what})?", abort=True, err=as_json
        )
    for name, seconds in chosen:
        delete(name, seconds)
    say(f"removed the bars of {fqme} ({what})")
    if as_json:
        put_json([{"fqme": name, "period_s": seconds} for name, seconds in chosen])


# -- helpers ------------------------------------------------------------------


def _chosen(fqme: str | None, period: int | None) -> list[tuple[str, int]]:
    """Return the stores meant, at least one."""
    from piker.errors import StoreError
    from piker.msgs import Fqme
    from piker.storage import nothing_stored, store_root, stored_folders

    wanted = str(Fqme.parse(fqme)) if fqme is not None else None
    found = [
        (name, seconds)
        for name, seconds, _ in stored_folders()
        if wanted in {None, name} and period in {None, seconds}
    ]
    if not found and fqme is not None:
        raise nothing_stored(fqme, period)
    if not found:
        raise StoreError(f"no bars are stored in {store_root()}")
    return found


def _refuse_future(last_s: int) -> None:
    """Raise UsageError for bars that can't be known yet."""
    from piker.errors import UsageError

    from ._store_tables import at

    if last_s > time.time() + CLOCK_OFF_S:
        raise UsageError(
            f"the newest bar opens at {at(last_s)}, which is yet to come: is --zone "
            "right, and this machine's clock?"
        )


def _read(fqme: str, period: int) -> StoredBars:
    """Return all stored bars, at least one; say what is damaged."""
    from piker.storage import nothing_stored, read_bars

    with _progress("reading") as progress:
        found = read_bars(fqme, period, progress=progress)
    for fault in found.damaged:
        say(fault)
    if not len(found):
        raise nothing_stored(fqme, period)
    return found


def _set_aside(fqme: str, period: int, *, offline: bool) -> list[str]:
    """Set damaged files aside, say which; return the same."""
    from piker.errors import StoreBusy
    from piker.storage import repair

    try:
        faults = repair(fqme, period)
    except StoreBusy as err:
        if offline:
            raise
        say(f"damaged files aren't looked for: {err}")
        return []
    for fault in faults:
        say(fault)
    if not faults:
        say("nothing was damaged")
    return faults


async def _mark(addr: Addr, fqme: str, gaps: list[Gap]) -> None:
    """Mark gaps in open charts until these are closed: the newest, if they are many."""
    from piker.msgs import Fqme, Rect
    from piker.ui import MOST_RECTS, open_annot_ctl

    fqme = str(Fqme.parse(fqme))  # it may be typed in capitals
    rects = [
        Rect(
            fqme=fqme,
            begin_s=gap.start_s,
            end_s=gap.end_s,
            text=f"{gap.missing:,} bars missing",
        )
        for gap in gaps[-MOST_RECTS:]
    ]
    async with open_annot_ctl(addr) as ctl:
        if fqme not in ctl.fqmes:
            raise UsageError(
                f"no open chart looks at {fqme}, but at {', '.join(ctl.fqmes)}"
            )
        await ctl.add_rects(rects)
        marked = "1 gap is" if len(rects) == 1 else f"{len(rects):,} gaps are"
        say(f"{marked} marked in the open charts; Ctrl-C ends it")
        await ctl.until_closed()
    say("the charts were closed")


async def _mend(
    addr: Addr, fqme: str, period: int, span: tuple[int, int]
) -> MendProgress:
    """Have datad ask for what lacks."""
    from piker.brokers import check_broker
    from piker.data import mend_bars
    from piker.msgs import Fqme
    from piker.service import maybe_open_pikerd

    check_broker(Fqme.parse(fqme).broker)  # before a pikerd is started for nothing
    async with maybe_open_pikerd("store", addr, on_start=say):
        with _progress("asking for bars that lack") as progress:

            def show(told: MendProgress) -> None:
                progress(told.done)
                for note in told.notes:
                    say(note)

            return await mend_bars(fqme, period, span, show)


@contextmanager
def _progress(what: str) -> Iterator[Callable[[float], None]]:
    """Show a bar on stderr while the block lasts, where that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(
        console=console, transient=True, disable=not console.is_terminal
    ) as shown:
        task = shown.add_task(what, total=1.0)
        yield lambda done: shown.update(task, completed=done)
