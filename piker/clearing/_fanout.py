"""What every client is told, in one order, once it is on the disk.

    router --tell--> [batch] --journal.sync--> each client's mailbox

All that piles up while one sync is under way shares the next one.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import trio

from piker.errors import Overrun
from piker.msgs import BATCH_MAX, EmsMsg, Status
from piker.service import MsgStream, encode

from ._journal import Journal

#: Messages that wait for a client before it is let go; it comes back and asks anew.
WAITING_MAX: Final = 50_000


@dataclass(eq=False)
class Mailbox:
    """What waits for one client.

    Attributes:
      after_seq: what has a serial up to this it was told otherwise.
    """

    after_seq: int = 0
    _waiting: deque[bytes] = field(default_factory=deque)
    _wake: trio.Event = field(default_factory=trio.Event)
    _overrun: bool = False

    def put(self, msg: EmsMsg, raw: bytes | None = None) -> None:
        """Take a message; never blocks."""
        if isinstance(msg, Status) and 0 < msg.seq <= self.after_seq:
            return
        if len(self._waiting) >= WAITING_MAX:
            self._overrun = True
        else:
            self._waiting.append(encode(msg) if raw is None else raw)
        self._wake.set()

    async def send_to(self, stream: MsgStream[Any]) -> None:
        """Send what comes, for ever; raises Overrun if the client is too slow."""
        while True:
            while self._waiting:
                await stream.send_encoded(self._next())
            if self._overrun:
                raise Overrun(
                    f"this client is too slow: more than {WAITING_MAX} messages waited"
                )
            await self._wake.wait()
            self._wake = trio.Event()

    def _next(self) -> bytes:
        """Return what is sent next: all that waits, within bounds, as one message."""
        count = min(len(self._waiting), BATCH_MAX)
        raws = [self._waiting.popleft() for _ in range(count)]
        return raws[0] if count == 1 else encode([msgspec.Raw(raw) for raw in raws])


@dataclass(eq=False)
class Fanout:
    """Tells all clients.

    Attributes:
      clients: who is connected now.
    """

    journal: Journal
    clients: set[Mailbox] = field(default_factory=set)
    _batch: list[EmsMsg] = field(default_factory=list)
    _wake: trio.Event = field(default_factory=trio.Event)

    def tell(self, msg: EmsMsg) -> None:
        """Take what is to be told; never blocks."""
        self._batch.append(msg)
        self._wake.set()

    async def run(self) -> None:
        """Tell it, for ever. Raises OSError if the disk doesn't take it."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            batch, self._batch = self._batch, []
            if any(isinstance(msg, Status) and msg.seq for msg in batch):
                await self.journal.sync()
            for msg in batch:
                raw = encode(msg)
                for client in self.clients:
                    client.put(msg, raw)
