"""Requests that are answered in their order, but for those that take their time.

a connection's requests --> one after the other; one that has to wait lets others by
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import trio

from ._private import PrivateSide
from ._ws import Connection

#: Told once a request no longer stands in the way of those after it.
_STATUS: ContextVar[Any] = ContextVar("_STATUS", default=trio.TASK_STATUS_IGNORED)


class InTurn(PrivateSide):
    """See the module."""

    async def serve(self, conn: Connection, reply: Callable[..., Any]) -> None:
        """Have requests be replied to one after the other, see `PrivateSide`."""
        async with self._asked_of(conn) as asked, trio.open_nursery() as tasks:
            async for request in asked:
                await tasks.start(self._in_turn, reply, conn, *request)

    @asynccontextmanager
    async def _asked_of(self, conn: Connection) -> AsyncIterator[Any]:
        _, asked = self._inbox(conn)
        try:
            yield asked
        finally:
            del self._inboxes[conn]
            self.leave(conn)

    async def _in_turn(
        self, reply: Callable[..., Any], *request: Any,
        task_status: Any = trio.TASK_STATUS_IGNORED,
    ) -> None:  # fmt: skip
        is_started = False

        def started() -> None:
            nonlocal is_started
            if not is_started:
                is_started = True
                task_status.started()

        _STATUS.set(started)
        await reply(*request)
        started()

    async def pause(self, seconds: float) -> None:
        """Wait, while what comes after it is answered."""
        _STATUS.get()()
        await trio.sleep(seconds)
