"""Changes of services, kept for who asks later and told to who listens now."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from piker.msgs import ServiceEvent

HISTORY = 500
#: Events that wait for a listener that isn't looking.
WAITING = 1000


class Events:
    """All listeners of one table of services; none of them can hold another up."""

    def __init__(self) -> None:
        self.history: deque[ServiceEvent] = deque(maxlen=HISTORY)
        self._listeners: dict[
            trio.MemorySendChannel[ServiceEvent],
            trio.MemoryReceiveChannel[ServiceEvent],
        ] = {}

    @asynccontextmanager
    async def subscribe(self) -> AsyncIterator[trio.MemoryReceiveChannel[ServiceEvent]]:
        """Yield a channel of all events from now on; a slow reader loses the oldest."""
        send, receive = trio.open_memory_channel[ServiceEvent](WAITING)
        self._listeners[send] = receive
        try:
            yield receive
        finally:
            del self._listeners[send]
            send.close()
            receive.close()

    def tell(self, event: ServiceEvent) -> None:
        """Give *event* to all listeners, without waiting for any."""
        self.history.append(event)
        for send, receive in self._listeners.items():
            try:
                send.send_nowait(event)
            except trio.WouldBlock:
                receive.receive_nowait()
                send.send_nowait(event)
            except trio.BrokenResourceError:
                continue  # its reader has closed it and is about to leave
