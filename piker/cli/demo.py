"""``piker demo``: a tree of its own, live, with no network, no key and no trace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from piker.errors import UsageError

from ._run import Options, options_of, say, until_told

if TYPE_CHECKING:
    from ._demo import Demo, Report

HEADLESS_S = 5.0
REFRESH_S = 0.2
SERVICES_EVERY = 5  # refreshes: what the cpu did in between can be told then
CHART_ROWS = 8


def demo(
    ctx: typer.Context,
    session: Annotated[
        Path | None,
        typer.Option("--session", metavar="FILE", help="Play a recorded session."),
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option("--speed", min=0, help="Of the session; 0 is full speed."),
    ] = None,
    headless: Annotated[
        bool, typer.Option("--headless", help="Show nothing, tell how it went.")
    ] = False,
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", min=0.1, help="End after so many."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="End with a line of JSON on how it went.")
    ] = False,
) -> None:
    """Show a live market on a tree of its own; nothing of it is left afterwards.

    Two paper orders are placed there: one at the market, and a dark one that sells half
    of it once its price comes.
    """
    from piker.service import fork_daemons_off_me

    fork_daemons_off_me()
    from ._demo import private_folders
    from ._show import bare_fields, put_json

    if speed is not None and session is None:
        raise UsageError("--speed is of a recorded session: name one with --session")
    if headless and seconds is None:
        seconds = HEADLESS_S
    try:
        with private_folders(session, 1.0 if speed is None else speed):
            report = _run(options_of(ctx), session, seconds, headless=headless)
    except* KeyboardInterrupt:
        say("the private tree ended, its files are removed")
        raise
    if as_json:
        put_json(bare_fields(report))
    else:
        say(_sentence(report))
    if not report.ok:
        raise typer.Exit(1)


def _run(
    options: Options, session: Path | None, seconds: float | None, *, headless: bool
) -> Report:
    from functools import partial

    import trio

    from ._demo import demo_fqme, end_tree, run_demo

    screen = _no_screen if headless else _screen
    work = partial(
        run_demo, demo_fqme(session), seconds, screen, verbose=options.verbose
    )
    return trio.run(until_told, work, end_tree)


def _sentence(report: Report) -> str:
    first = f"first quote after {report.time_to_first_quote_s:.2f} s"
    seen = f"{report.quotes:,} quotes, {report.bars:,} bars"
    ended = f"{', '.join(report.actors)} ended"
    if report.ok:
        return (
            f"{report.fqme}: {first}, {seen}; {report.orders} paper orders,"
            f" {report.fills} fills, {report.position:f} held; {ended}, nothing is left"
        )
    if not report.quotes:
        return f"{report.fqme}: no quote came; {ended}"
    if not report.bars:
        return f"{report.fqme}: {first}, {seen}: not one bar was made; {ended}"
    if not report.fills:
        return f"{report.fqme}: {first}, {seen}: no paper order was filled; {ended}"
    return f"{report.fqme}: {first}, {seen}; {ended}, but not all of it is gone"


async def _no_screen(demo: Demo) -> None:
    """Show nothing but that it runs."""
    await demo.begun.wait()
    say(f"{demo.fqme}: first quote after {demo.first_quote_s:.2f} s")


async def _screen(demo: Demo) -> None:
    """Draw the tree, the market and its last closes until cancelled."""
    from itertools import count

    import trio
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    from piker import config

    from ._board import Board
    from ._show import open_console, services_view

    console = open_console()
    board = Board(demo.feed)
    demo.listeners.append(board.take)
    where = config.show_addr(demo.addr)
    foot = Text(f"a private tree at {where}; Ctrl-C ends it and removes it all", "dim")
    with Live(console=console, auto_refresh=False) as live:
        for turn in count():
            if not turn % SERVICES_EVERY:
                tree = services_view(await demo.infos())
            market = board.view(console.width)
            chart = board.chart(demo.fqme, console.width, CHART_ROWS)
            traded = Text(demo.desk.view())
            live.update(Group(tree, market, chart, traded, foot), refresh=True)
            await trio.sleep(REFRESH_S)
