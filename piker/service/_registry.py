"""Looking up services by name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from . import _tractor as tr


@asynccontextmanager
async def find_service(
    name: str, registry_addr: tr.Addr | None = None
) -> AsyncIterator[tr.Portal | None]:
    """Yield a portal to the running service *name*, None if it isn't there.

    Never starts it. Raises RegistryUnreachable.
    """
    async with tr.find_actor(name, registry_addr) as portal:
        yield portal


@asynccontextmanager
async def find_services(
    name: str, registry_addr: tr.Addr | None = None
) -> AsyncIterator[list[tr.Portal]]:
    """Yield portals to all that are called *name*, e.g. each open chart.

    Raises as :func:`find_service` does.
    """
    async with tr.find_actors(name, registry_addr) as portals:
        yield portals


async def check_for_service(
    name: str, registry_addr: tr.Addr | None = None
) -> tr.Addr | None:
    """Return where the running service *name* listens, None if it isn't there."""
    async with tr.query_actor(name, registry_addr) as (addr, _):
        return addr


async def forget(name: str) -> None:
    """Take all actors called *name* out of the registry; RegistryUnreachable.

    For who knows them dead: a killed actor takes nothing back by itself.
    """
    for uid, _ in await tr.registered():
        if uid[0] == name:
            await tr.evict(uid)
