"""A child that comes up just as nobody wants it any more; alike in either tractor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio


class _SpawnStatus:
    """Passes on that a child is up, also where its nursery was cancelled just now.

    Nobody takes it over then, and tractor waits, shielded, for who took it to let go.
    """

    def __init__(self, nursery: Any, status: Any) -> None:
        self._nursery = nursery
        self._status = status

    def started(self, portal: Any) -> None:
        self._status.started(portal)
        if trio.current_effective_deadline() == -float("inf"):
            self._nursery._join_procs.set()  # noqa: SLF001


def handed_over(spawn: Callable[..., Awaitable[None]]) -> Callable[..., Any]:
    """Return tractor's *spawn* so that it lets go of a child whom nobody takes."""

    async def spawn_noted(
        name: str, nursery: Any, *args: Any, task_status: Any, **kwargs: Any
    ) -> None:
        status = _SpawnStatus(nursery, task_status)
        await spawn(name, nursery, *args, task_status=status, **kwargs)

    return spawn_noted


def found_at_once(wait: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    """Return tractor's *wait* for a peer so that one that is there already is found.

    It waited for the next to connect, for ever: a forked child may be sooner than who
    forked it.
    """

    async def wait_for_peer(server: Any, uid: tuple[str, str]) -> tuple[Any, Any]:
        if channels := server._peers.get(uid):  # noqa: SLF001
            connected = trio.Event()
            connected.set()
            return connected, channels[-1]
        event, channel = await wait(server, uid)
        return event, channel

    return wait_for_peer


async def hard_kill(proc: trio.Process, *_: Any, **__: Any) -> None:
    """End a child that never came up.

    tractor's own wants a deprecated part of trio (a5), or waits 1.6 s first (main).
    """
    proc.kill()
    await proc.wait()
