"""Find a daemon, or have pikerd start it: the way every client reaches every daemon."""

from __future__ import annotations

import importlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from piker import config
from piker.errors import (
    DeadlineExceeded,
    PikerError,
    RegistryUnreachable,
    ServiceError,
    TransportClosed,
)
from piker.log import get_logger
from piker.types import Struct

from . import _tractor as tr
from ._address import unanswered
from ._mngr import Services, current_services, has_services
from ._service import Service
from ._spec import AT_BOOT, SPAWNERS, kind_of

log = get_logger(__name__)

#: For pikerd's answer; pikerd itself gives up, and says why, before that.
SPAWN_DEADLINE_S = 45.0
UP_DEADLINE_S = 40.0
_NAME = re.compile(r"[\w-]+(\.[\w-]+)*")


class Found(Struct, frozen=True, kw_only=True):
    """A running daemon: its uuid and where it listens."""

    name: str
    uuid: str
    host: str
    port: int


def load_spawners() -> None:
    """Import what starts daemons, so that the first client doesn't wait for it.

    It takes as long as half a daemon's start; a fresh pikerd has that time while its
    first client is on its way.
    """
    for spawner in SPAWNERS.values():
        importlib.import_module(spawner.partition(":")[0])


async def start_at_boot() -> None:
    """Start what is wanted as soon as pikerd is up; one that fails is said, no more."""
    for source in AT_BOOT:
        module, _, function = source.partition(":")
        wanted: list[str] = getattr(importlib.import_module(module), function)()
        for name in wanted:
            try:
                await find_or_spawn_here(name, {})
            except PikerError as err:
                log.error("%s is wanted at boot and can't be had: %s", name, err)  # noqa: TRY400


async def run_beside(source: str, services: Services) -> None:
    """Run one of `BESIDE` beside *services*; what it fails with is said, no more."""
    module, _, function = source.partition(":")
    try:
        await getattr(importlib.import_module(module), function)(services)
    except PikerError as err:
        log.error("%s ended: %s", source, err)  # noqa: TRY400


async def find_or_spawn_here(name: str, spawn_args: dict[str, Any]) -> Found:
    """Find or start *name* under this process's own ``Services``.

    Callers for one name wait for each other, so there is one process however many. A
    daemon that is found on its way out, idle, is started anew.
    """
    spawner = SPAWNERS.get(kind_of(name))
    if spawner is None or not _NAME.fullmatch(name):
        kinds = ", ".join(sorted(SPAWNERS))
        raise ServiceError(f"no kind of daemon for {name!r}; kinds: {kinds}")
    services = current_services()
    with trio.move_on_after(UP_DEADLINE_S):
        while True:
            async with services.locks[name]:
                is_fresh = name not in services.service_tasks
                if is_fresh:
                    module, _, function = spawner.partition(":")
                    await getattr(importlib.import_module(module), function)(
                        **spawn_args
                    )
            service = services.service_tasks.get(name)
            try:
                return await _where(services, name)
            except ServiceError:
                if is_fresh or not _ended(services, service):
                    raise
    raise DeadlineExceeded(f"{name!r} was not up in {UP_DEADLINE_S:g} s: {_why(name)}")


async def _where(services: Services, name: str) -> Found:
    """Return where *name* listens once it is up.

    The registry is asked for that once a run: it may lose the entry, not the daemon.
    """
    while True:
        child = (await services.wait_up(name)).child
        if child is not None and child.portal is not None:
            uid = tr.uid_of(child.portal.channel)
            child.addr = child.addr or dict(await tr.registered()).get(uid)
            if child.addr is not None:
                host, port = child.addr
                return Found(name=name, uuid=uid[1], host=host, port=port)
        await trio.sleep(0.01)  # it registers a moment after it is up


def _ended(services: Services, service: Service | None) -> bool:
    """Tell whether *service* ended by itself: nobody refused it or stopped it."""
    if service is None:
        return True
    is_there = services.service_tasks.get(service.spec.name) is service
    return not is_there and service.wanted and service.refusal is None


def _why(name: str) -> str:
    service = current_services().service_tasks.get(name)
    if service is None:
        return "it is gone"
    return f"it is {service.state}" + (f", {service.reason}" if service.reason else "")


async def _ask_pikerd(name: str, spawn_args: dict[str, Any]) -> Found:
    from ._rpc import find_or_spawn

    addr = tr.registry_addr()
    if addr is None:
        raise RegistryUnreachable("this process belongs to no tree")
    asked = False
    try:
        async with tr.open_portal_to(addr) as portal:
            asked = True
            return await tr.call_endpoint(
                portal,
                find_or_spawn,
                deadline_s=SPAWN_DEADLINE_S,
                name=name,
                spawn_args=spawn_args,
            )
    except TransportClosed as err:
        raise RegistryUnreachable(
            f"no pikerd answers at {config.show_addr(addr)}: {err}"
        ) from None
    except DeadlineExceeded:
        if asked:
            raise
        raise RegistryUnreachable(unanswered(addr)) from None


@asynccontextmanager
async def maybe_spawn_daemon(
    name: str, spawn_args: dict[str, Any] | None = None
) -> AsyncIterator[tr.Portal]:
    """Yield a portal to the daemon *name*, started by pikerd first if it isn't up.

    The portal has a connection of its own. The daemon outlives the block.

    Raises:
      ServiceQuarantined, ServiceStopped: it isn't to run now.
      PikerError: its setup refused to run, with its own error.
      RegistryUnreachable: no pikerd.
      TransportClosed, DeadlineExceeded: it died or hung just now; try again.
    """
    here = has_services() and current_services().owns(name)
    ask = find_or_spawn_here if here else _ask_pikerd
    found = await ask(name, spawn_args or {})
    async with tr.open_portal_to((found.host, found.port)) as portal:
        if tr.uid_of(portal.channel)[1] != found.uuid:
            raise TransportClosed(f"{name!r} died just now")
        yield portal
