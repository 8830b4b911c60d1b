"""What pikerd lets others call. Endpoints only: this module is exposed whole."""

from __future__ import annotations

import os
import time
from typing import Any

import trio

from piker.errors import PikerdNotServing
from piker.msgs import ServiceEvent, ServiceInfo

from . import _tractor as tr
from ._daemon import Found, find_or_spawn_here
from ._introspect import task_tree
from ._mngr import current_services
from ._pikerd import current_pikerd, maybe_pikerd


@tr.endpoint(started=Found)
async def find_or_spawn(ctx: tr.Context, name: str, spawn_args: dict[str, Any]) -> None:
    """Find the daemon *name*, or start it; one process however many ask.

    Started: where it is.
    Raises: ServiceQuarantined; ServiceStopped; what its setup refuses with.
    """
    await ctx.started(await find_or_spawn_here(name, spawn_args))


@tr.endpoint(started=list[ServiceInfo])
async def list_services(ctx: tr.Context) -> None:
    """Started: all services as they are now, pikerd itself first."""
    await ctx.started(await current_pikerd().infos())


@tr.endpoint(started=list[ServiceEvent], sends=ServiceEvent)
async def stream_service_events(ctx: tr.Context) -> None:
    """Stream every change of a service's state.

    Started: the changes so far, oldest first, at most 500.
    Sends: each change. Ends: with pikerd.
    """
    services = current_services()
    async with services.subscribe() as events:
        await ctx.started(services.history)
        async with ctx.open_stream() as stream:
            async for event in events:
                await stream.send(event)


@tr.endpoint(started=ServiceInfo)
async def restart_service(ctx: tr.Context, name: str) -> None:
    """Restart a service and wait until it is up. Started: it, as it is then."""
    await ctx.started(await current_pikerd().restart(name))


@tr.endpoint(started=ServiceInfo)
async def stop_service(ctx: tr.Context, name: str) -> None:
    """Stop a service until it is restarted by command; ``pikerd`` ends the tree."""
    pikerd = current_pikerd()
    if name == "pikerd":
        await ctx.started(pikerd.own_info())
        pikerd.end("stopped by command")
        return
    await ctx.started(await pikerd.stop(name))


@tr.endpoint(started=dict[str, Any])
async def attach_client(ctx: tr.Context, name: str, pid: int) -> None:
    """Be a client of this tree for the length of the call.

    Started: ``pid`` and ``since`` (epoch s) of pikerd, ``shm``: its shm folder.
    Raises: PikerdNotServing.
    """
    pikerd = maybe_pikerd()
    if pikerd is None or pikerd.why_ended:
        why = f"ending: {pikerd.why_ended}" if pikerd else "not up yet, or ending"
        raise PikerdNotServing(f"pikerd is {why}; try again in a moment")
    client = f"{name}:{pid}"
    try:
        with pikerd.client(client):
            await ctx.started(
                {"pid": os.getpid(), "since": pikerd.since, "shm": str(pikerd.tree.shm)}
            )
            await trio.sleep_forever()
    finally:
        if client not in pikerd.clients:
            with trio.move_on_after(1.0) as scope:
                scope.shield = True  # the call is cancelled; the list is at hand
                await tr.evict(ctx.peer)


@tr.endpoint()
async def hold_tree(ctx: tr.Context, why: str) -> None:
    """Keep the tree from ending for that it has no clients, for the length of the call.

    For daemons: pikerd's registry loses none of them when the call ends.
    """
    with current_pikerd().client(why):
        await ctx.started()
        await trio.sleep_forever()


@tr.endpoint(started=str)
async def dump_tasks(ctx: tr.Context) -> None:
    """Started: this actor's task tree as text."""
    await ctx.started(task_tree())


@tr.endpoint(started=float)
async def ping(ctx: tr.Context) -> None:
    """Started: this actor's wall clock, epoch seconds."""
    await ctx.started(time.time())
