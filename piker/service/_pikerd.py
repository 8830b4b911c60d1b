"""pikerd, from its inside: who it serves, and when it leaves."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil
import trio

from piker.errors import ServiceError
from piker.log import get_logger
from piker.msgs import ServiceInfo

from . import _tractor as tr
from ._mngr import Services, measure
from ._tree import Tree

log = get_logger(__name__)


@dataclass(eq=False)
class Pikerd:
    """The root of a tree: the holder of its places, its services, its clients."""

    tree: Tree
    services: Services
    scope: trio.CancelScope
    since: float = field(default_factory=time.time)
    clients: set[str] = field(default_factory=set)
    why_ended: str = ""
    _client_left: trio.Event = field(default_factory=trio.Event)
    _proc: psutil.Process = field(default_factory=psutil.Process)
    _up_at: float = field(default_factory=trio.current_time)

    def end(self, why: str) -> None:
        """Begin the tree's end."""
        self.why_ended = why
        log.info("pikerd ends: %s", why)
        self.scope.cancel()

    @contextmanager
    def client(self, name: str) -> Iterator[None]:
        """Count a client for the length of the block."""
        self.clients.add(name)
        log.info("client attached name=%s", name)
        try:
            yield
        finally:
            self.clients.discard(name)
            self._client_left.set()
            log.info("client left name=%s", name)

    async def end_when_idle(self, idle_s: float) -> None:
        """End the tree once it had no client for *idle_s* seconds."""
        while True:
            self._client_left = trio.Event()
            if not self.clients:
                with trio.move_on_after(idle_s):
                    while not self.clients:
                        await trio.sleep(min(1.0, idle_s / 4))
                if not self.clients:
                    self.end(f"no client for {idle_s:g} s")
                    return
            await self._client_left.wait()

    def own_info(self) -> ServiceInfo:
        """Return pikerd itself as a service."""
        rss, cpu = measure(self._proc)
        host, port = self.tree.addr
        return ServiceInfo(
            name="pikerd",
            pid=os.getpid(),
            state="running",
            uptime_s=round(trio.current_time() - self._up_at, 3),
            restarts=0,
            rss_mb=round(rss, 1),
            cpu=cpu,
            address=f"{host}:{port}",
            reason="",
        )

    def info(self, name: str) -> ServiceInfo:
        """Return one service."""
        for info in self.services.infos():
            if info.name == name:
                return info
        raise ServiceError(f"no daemon {name!r}")

    async def infos(self) -> list[ServiceInfo]:
        """Return pikerd and all its services."""
        rows = await tr.registered()
        addresses = {uid[0]: f"{addr[0]}:{addr[1]}" for uid, addr in rows}
        return [self.own_info(), *self.services.infos(addresses)]


_pikerd: Pikerd | None = None


def current_pikerd() -> Pikerd:
    """Return this process's pikerd; ServiceError elsewhere."""
    if _pikerd is None:
        raise ServiceError("this process is not pikerd")
    return _pikerd


def set_pikerd(pikerd: Pikerd | None) -> None:
    """Make *pikerd* this process's."""
    global _pikerd  # noqa: PLW0603 - one root per process
    _pikerd = pikerd
