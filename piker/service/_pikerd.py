"""pikerd, from its inside: who it serves, and when it leaves."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil
import trio

from piker import config
from piker.errors import ServiceError
from piker.log import get_logger
from piker.msgs import ServiceInfo

from . import _tractor as tr
from ._mngr import Services
from ._nested import command_nested, nested_infos
from ._service import measure
from ._tree import Tree

log = get_logger(__name__)


@dataclass(eq=False)
class Pikerd:
    """The root of a tree: the holder of its places, its services, its clients."""

    tree: Tree
    services: Services
    scope: trio.CancelScope
    since: float = field(default_factory=time.time)
    why_ended: str = ""
    _attached: Counter[str] = field(default_factory=Counter)
    _changed: trio.Event = field(default_factory=trio.Event)
    _proc: psutil.Process = field(default_factory=psutil.Process)
    _up_at: float = field(default_factory=trio.current_time)

    @property
    def clients(self) -> set[str]:
        """Those attached now, as ``name:pid``."""
        return set(self._attached)

    def end(self, why: str) -> None:
        """Begin the tree's end."""
        self.why_ended = why
        log.info("pikerd ends: %s", why)
        self.scope.cancel()

    @contextmanager
    def client(self, name: str) -> Iterator[None]:
        """Count a client for the length of the block.

        One may be counted twice for a moment: it is back before its loss was noticed.
        """
        self._attached[name] += 1
        self._note_change()
        log.info("client attached name=%s", name)
        try:
            yield
        finally:
            self._attached[name] -= 1
            self._attached += Counter()  # drops the zeros
            self._note_change()
            log.info("client left name=%s", name)

    def _note_change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def end_when_idle(self, idle_s: float) -> None:
        """End the tree once it had no client for *idle_s* seconds."""
        while True:
            changed = self._changed
            wait_s = float("inf") if self._attached else idle_s
            with trio.move_on_after(wait_s) as scope:
                await changed.wait()
            if scope.cancelled_caught:
                self.end(f"no client for {idle_s:g} s")
                return

    def own_info(self) -> ServiceInfo:
        """Return pikerd itself as a service."""
        rss, cpu = measure(self._proc)
        return ServiceInfo(
            name="pikerd",
            pid=os.getpid(),
            state="running",
            uptime_s=round(trio.current_time() - self._up_at, 3),
            restarts=0,
            rss_mb=round(rss, 1),
            cpu=cpu,
            address=config.show_addr(self.tree.addr),
            reason="",
        )

    def _info(self, name: str) -> ServiceInfo:
        return next(info for info in self.services.infos() if info.name == name)

    async def infos(self) -> list[ServiceInfo]:
        """Return pikerd, all its services, and what those supervise themselves."""
        rows = await tr.registered()
        addresses = {uid[0]: config.show_addr(addr) for uid, addr in rows}
        mine = self.services.infos(addresses)
        return [self.own_info(), *mine, *await nested_infos(self.services)]

    async def restart(self, name: str) -> ServiceInfo:
        """Restart a service, or one that a service supervises; return it once it is up.

        Raises: ServiceError: there is none, or what keeps it from being up.
        """
        if name not in self.services.service_tasks:
            found = await command_nested(self.services, name, restart=True)
            if found is not None:
                return found
        await self.services.restart(name)
        return self._info(name)

    async def stop(self, name: str) -> ServiceInfo:
        """Stop a service, or one that a service supervises, until it is restarted.

        Raises: ServiceError: there is none.
        """
        if name not in self.services.service_tasks:
            found = await command_nested(self.services, name, restart=False)
            if found is not None:
                return found
        await self.services.cancel_service(name)
        return self._info(name)


_pikerd: Pikerd | None = None


def current_pikerd() -> Pikerd:
    """Return this process's pikerd; ServiceError elsewhere."""
    if _pikerd is None:
        raise ServiceError("this process is not pikerd")
    return _pikerd


def maybe_pikerd() -> Pikerd | None:
    """Return this process's pikerd, None elsewhere and while it boots."""
    return _pikerd


def set_pikerd(pikerd: Pikerd | None) -> None:
    """Make *pikerd* this process's."""
    global _pikerd  # noqa: PLW0603 - one root per process
    _pikerd = pikerd
