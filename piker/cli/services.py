"""``piker services``: what runs in the tree, and its restart and stop by command."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ._run import Options, options_of, run_async

if TYPE_CHECKING:
    from piker.msgs import ServiceEvent, ServiceInfo
    from piker.service import Addr

REFRESH_S = 1.0
END_DEADLINE_S = 15.0

app = typer.Typer(invoke_without_command=True)


@app.callback()
def services(
    ctx: typer.Context,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Go on until Ctrl-C.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON; with --watch a line for each event.")
    ] = False,
) -> None:
    """Show pikerd and the daemons it supervises."""
    if ctx.invoked_subcommand is not None:
        return
    options = options_of(ctx)
    if watch and as_json:
        _watch_json(options)
    elif watch:
        _watch_table(options)
    else:
        _show_once(options, as_json=as_json)


@app.command()
def restart(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="E.g. datad.sim.")],
) -> None:
    """Restart a daemon, even a stopped or quarantined one; wait until it is up."""
    info = run_async(options_of(ctx), _restart, name)
    typer.echo(f"{info.name} is {info.state}, pid {info.pid}", err=True)


@app.command()
def stop(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="E.g. datad.sim; pikerd ends all.")],
) -> None:
    """Stop a daemon until it is restarted by command; `pikerd` ends the whole tree."""
    info = run_async(options_of(ctx), _stop, name)
    what = "the whole tree" if info.name == "pikerd" else info.name
    typer.echo(f"{what} is stopped", err=True)


# -- once ---------------------------------------------------------------------


def _show_once(options: Options, *, as_json: bool) -> None:
    from ._show import bare_fields, open_console, put_json, services_view

    infos = run_async(options, _list)
    if as_json:
        put_json([bare_fields(info) for info in infos])
        return
    open_console().print(services_view(infos))


async def _list(addr: Addr) -> list[ServiceInfo]:
    from piker.service import call_endpoint, open_piker_runtime, open_portal_to
    from piker.service._rpc import list_services

    async with open_piker_runtime("services", addr), open_portal_to(addr) as portal:
        found: list[ServiceInfo] = await call_endpoint(portal, list_services)
    return found


async def _restart(addr: Addr, name: str) -> ServiceInfo:
    from piker.errors import UsageError
    from piker.service import call_endpoint, open_piker_runtime, open_portal_to
    from piker.service._rpc import restart_service

    if name == "pikerd":
        raise UsageError(
            "pikerd is the root and can't be restarted in place: `piker services stop "
            "pikerd` ends the tree, `pikerd` starts one"
        )
    async with open_piker_runtime("services", addr), open_portal_to(addr) as portal:
        info: ServiceInfo = await call_endpoint(portal, restart_service, name=name)
    return info


async def _stop(addr: Addr, name: str) -> ServiceInfo:
    from piker.service import call_endpoint, open_piker_runtime, open_portal_to
    from piker.service._rpc import stop_service

    async with open_piker_runtime("services", addr), open_portal_to(addr) as portal:
        info: ServiceInfo = await call_endpoint(portal, stop_service, name=name)
        if name == "pikerd":
            await _wait_ended(info.pid)
    return info


async def _wait_ended(pid: int) -> None:
    """Wait until pikerd is gone, which it is after all of its tree."""
    import trio

    from piker.errors import DeadlineExceeded

    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        with trio.fail_after(END_DEADLINE_S):
            await trio.lowlevel.wait_readable(pidfd)
    except trio.TooSlowError:
        raise DeadlineExceeded(
            f"pikerd (pid {pid}) was told to end and still runs after "
            f"{END_DEADLINE_S:g} s: look at its log, or kill it with `kill -9 {pid}`"
        ) from None
    finally:
        os.close(pidfd)


# -- watching -----------------------------------------------------------------


def _watch_table(options: Options) -> None:
    from rich.live import Live
    from rich.text import Text

    from ._show import open_console, services_view

    console = open_console()
    with Live(console=console, auto_refresh=False) as live:

        def show(infos: list[ServiceInfo]) -> None:
            live.update(services_view(infos), refresh=True)

        def lost(why: str) -> None:
            live.update(Text(f"waiting for the next pikerd: {why}"), refresh=True)

        run_async(options, _follow, _watch_infos, show, lost)


def _watch_json(options: Options) -> None:
    from ._show import bare_fields, put_json

    def put(event: ServiceEvent) -> None:
        put_json(bare_fields(event))

    def lost(why: str) -> None:
        typer.echo(f"waiting for the next pikerd: {why}", err=True)

    run_async(options, _follow, _watch_events, put, lost)


async def _follow(
    addr: Addr,
    watch: Callable[[Addr, Callable[[Any], None]], Awaitable[None]],
    put: Callable[[Any], None],
    lost: Callable[[str], None],
) -> None:
    """Watch a tree for ever; when its pikerd is gone, go on with the next one."""
    import trio

    from piker.errors import DeadlineExceeded, TransportClosed
    from piker.service import open_piker_runtime

    async with open_piker_runtime("services", addr):
        while True:
            try:
                await watch(addr, put)
            except (TransportClosed, DeadlineExceeded) as err:
                lost(str(err))
            await trio.sleep(REFRESH_S)


async def _watch_infos(addr: Addr, put: Callable[[list[ServiceInfo]], None]) -> None:
    import trio

    from piker.service import call_endpoint, open_portal_to
    from piker.service._rpc import list_services

    async with open_portal_to(addr) as portal:
        while True:
            put(await call_endpoint(portal, list_services))
            await trio.sleep(REFRESH_S)


async def _watch_events(addr: Addr, put: Callable[[ServiceEvent], None]) -> None:
    from piker.service import open_context, open_portal_to
    from piker.service._rpc import stream_service_events

    async with (
        open_portal_to(addr) as portal,
        open_context(portal, stream_service_events) as (ctx, _),
        ctx.open_stream() as events,
    ):
        async for event in events:
            put(event)
