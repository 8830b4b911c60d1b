"""Find a daemon, or have pikerd start it: the way every client reaches every daemon."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from piker.errors import RegistryUnreachable, ServiceError, TransportClosed
from piker.types import Struct

from . import _tractor as tr
from ._mngr import current_services, has_services
from ._spec import SPAWNERS, kind_of

SPAWN_DEADLINE_S = 45.0


class Found(Struct, kw_only=True):
    """A running daemon: its uuid and where it listens."""

    name: str
    uuid: str
    host: str
    port: int


async def find_or_spawn_here(name: str, spawn_args: dict[str, Any]) -> Found:
    """Find or start *name* under this process's own ``Services``.

    Callers for one name wait for each other, so there is one process however many.
    """
    spawner = SPAWNERS.get(kind_of(name))
    if spawner is None:
        kinds = ", ".join(sorted(SPAWNERS))
        raise ServiceError(f"no kind of daemon for {name!r}; kinds: {kinds}")
    services = current_services()
    async with services.locks[name]:
        if name not in services.service_tasks:
            module, _, function = spawner.partition(":")
            await getattr(importlib.import_module(module), function)(**spawn_args)
        service = await services.wait_up(name)
    while True:
        if service.child is not None and service.child.portal is not None:
            uid = tr.uid_of(service.child.portal.channel)
            addr = dict(await tr.registered()).get(uid)
            if addr is not None:
                return Found(name=name, uuid=uid[1], host=addr[0], port=addr[1])
        await trio.sleep(0.01)  # it registers a moment after it is up
        service = await services.wait_up(name)


async def _ask_pikerd(name: str, spawn_args: dict[str, Any]) -> Found:
    from ._rpc import find_or_spawn

    addr = tr.registry_addr()
    if addr is None:
        raise RegistryUnreachable("this process belongs to no tree")
    try:
        async with tr.open_portal_to(addr) as portal:
            return await tr.call_endpoint(
                portal,
                find_or_spawn,
                deadline_s=SPAWN_DEADLINE_S,
                name=name,
                spawn_args=spawn_args,
            )
    except TransportClosed as err:
        raise RegistryUnreachable(
            f"no pikerd answers at {addr[0]}:{addr[1]}: {err}"
        ) from None


@asynccontextmanager
async def maybe_spawn_daemon(
    name: str, spawn_args: dict[str, Any] | None = None
) -> AsyncIterator[tr.Portal]:
    """Yield a portal to the daemon *name*, started by pikerd first if it isn't up.

    The portal has a connection of its own. The daemon outlives the block.

    Raises:
      ServiceQuarantined, ServiceStopped: it isn't to run now.
      RegistryUnreachable: no pikerd.
      TransportClosed, DeadlineExceeded: it died or hung just now; try again.
    """
    ask = find_or_spawn_here if has_services() else _ask_pikerd
    found = await ask(name, spawn_args or {})
    async with tr.open_portal_to((found.host, found.port)) as portal:
        if tr.uid_of(portal.channel)[1] != found.uuid:
            raise TransportClosed(f"{name!r} died just now")
        yield portal
