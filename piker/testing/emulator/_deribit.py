"""Deribit: JSON-RPC 2.0 over one websocket, and the same methods over HTTP.

    {"jsonrpc": "2.0", "id": 1, "method": "public/subscribe", "params": {...}}
        --> Public, Session, DeribitPrivate --> {"id": 1, "result": ...} or an error
    the tape --> World --> Channels --> {"method": "subscription", ...}

By https://docs.deribit.com/articles/json-rpc-overview and .../session-management/.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import trio

from ._core import Core, Frame, Private, Reply
from ._deribit_channels import Channels
from ._deribit_private import DeribitPrivate
from ._deribit_public import Public
from ._deribit_rpc import HTTP, WS, Asking, Session
from ._deribit_world import World
from ._tape import Item
from ._ws import Connection


class Deribit:
    """The venue, see `Venue`.

    Args:
      core: state.
      made_up: instruments to list besides those of the tape.
      budget: requests at once, None for what is documented.
      ping_s: between heartbeats, None for what a client asks for.
    """

    def __init__(
        self,
        core: Core,
        *,
        made_up: int = 0,
        budget: int | None = None,
        ping_s: float | None = None,
    ) -> None:
        self.core = core
        self.world = World(core, made_up)
        self.channels = Channels(core, self.world)
        public = Public(core, self.world)
        self._asked = DeribitPrivate(core, self.world, self.channels, public, budget)
        self.private: Private | None = self._asked
        self._ping_s = ping_s
        self._sessions: dict[Connection, Session] = {}

    def answer(self, path: str, query: dict[str, str]) -> Reply:
        """Return what is said of a path that isn't the API's."""
        del query
        return Reply(404, f"no {path} here, only {HTTP}".encode(), kind="text/plain")

    # -- messages of the market ----------------------------------------------------

    def prepare(self, item: Item) -> None:
        """Make nothing ahead: what is told depends on what passed before."""

    def frames(self, item: Item) -> Iterator[Frame]:
        """Yield notifications of an item that has just passed."""
        touched = self.world.follow(item)
        self._asked.follow(item, touched)
        yield from self.channels.frames(item, touched)
        yield from self._asked.told()

    def due(self) -> Iterator[Frame]:
        """Yield notifications whose time has come."""
        yield from self._asked.told()
        tape = self.core.tape
        is_over = self.core.is_full_speed and tape.is_done  # no later item comes
        now_ms = self.core.clock_ns() // 1_000_000
        yield from self.channels.due(now_ms, is_over=is_over)

    # -- requests of clients -------------------------------------------------------

    def refusal(self, url: str) -> int:
        """Return 0 for the one path of websockets."""
        return 0 if urlsplit(url).path.rstrip("/") == WS else 404

    def opened(self, conn: Connection) -> None:
        """Say nothing: the client is to begin."""
        self._sessions[conn] = Session(conn, self._ping_s)

    def counted(self, conn: Connection) -> bool:
        """Let frames pass: requests are counted, not they."""
        return not conn.is_closing

    def heard(self, conn: Connection, payload: bytes) -> None:
        """Take a request."""
        session = self._sessions[conn]
        asking = Asking.of(payload)
        session.note(asking)
        self._asked.put(conn, session, asking)

    async def keep(self, conn: Connection) -> None:
        """Be there for what is asked; send the heartbeats that were asked for."""
        session = self._sessions[conn]
        try:
            async with trio.open_nursery() as tasks:
                tasks.start_soon(self._asked.keep, conn)
                await session.beat()
                self.core.drop(conn)
                await conn.close(1000, "test_request wasn't answered")
                conn.break_off()
        finally:
            del self._sessions[conn]
            self._asked.disconnects.end(session)
