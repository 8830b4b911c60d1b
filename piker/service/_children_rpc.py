"""What a daemon that supervises others lets pikerd call. Endpoints only."""

from __future__ import annotations

from piker.msgs import ServiceInfo

from . import _tractor as tr
from ._mngr import current_services


@tr.endpoint(started=list[ServiceInfo])
async def list_own_services(ctx: tr.Context) -> None:
    """Started: the services that this daemon supervises, as they are now."""
    rows = await tr.registered()
    addresses = {uid[0]: f"{addr[0]}:{addr[1]}" for uid, addr in rows}
    await ctx.started(current_services().infos(addresses))


@tr.endpoint(started=ServiceInfo)
async def restart_own_service(ctx: tr.Context, name: str) -> None:
    """Restart a service of this daemon's and wait until it is up. Started: it."""
    await current_services().restart(name)
    await ctx.started(_info(name))


@tr.endpoint(started=ServiceInfo)
async def stop_own_service(ctx: tr.Context, name: str) -> None:
    """Stop a service of this daemon's until it is restarted. Started: it."""
    await current_services().cancel_service(name)
    await ctx.started(_info(name))


def _info(name: str) -> ServiceInfo:
    return next(info for info in current_services().infos() if info.name == name)
