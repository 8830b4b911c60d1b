"""``piker``: the root command, its options and its commands."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.main import get_command

from . import (
    brokers,
    chart,
    debug,
    demo,
    doctor,
    halt,
    init,
    ledger,
    orders,
    quotes,
    record,
    search,
    services,
    store,
)
from ._run import Options, RootGroup, print_version

app = typer.Typer(
    cls=RootGroup,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


@app.callback()
def root(
    ctx: typer.Context,
    registry: Annotated[
        str | None,
        typer.Option("--registry", "-r", metavar="HOST:PORT", help="Where pikerd is."),
    ] = None,
    config_dir: Annotated[
        Path | None,
        typer.Option("--config-dir", "-c", metavar="DIR", help="Where conf.toml is."),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Tracebacks, logs on stderr.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=print_version, is_eager=True, help="Which piker."
        ),
    ] = False,
) -> None:
    """A trading stack of your own: feeds and orders that outlive any chart."""
    ctx.obj = Options(registry, config_dir, verbose)


app.command(name="demo")(demo.demo)
app.command(name="search")(search.search)
app.command(name="quotes")(quotes.quotes)
app.command(name="chart")(chart.chart)
app.command(name="record")(record.record)
app.add_typer(orders.app, name="orders")
app.command(name="halt")(halt.halt)
app.command(name="resume")(halt.resume)
app.add_typer(services.app, name="services")
app.add_typer(store.app, name="store")
app.add_typer(ledger.app, name="ledger")
app.add_typer(brokers.app, name="brokers")
app.command(name="init")(init.init)
app.command(name="doctor")(doctor.doctor)
app.add_typer(debug.app, name="debug")


@cache
def command() -> Callable[..., Any]:
    """Return what reads a command line and runs it: 50 ms of a core to make."""
    return get_command(app)
