"""A consumer's ordered view of a feed's messages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

import trio

from piker.msgs import FeedEvent, FeedMsg, Quote

from ._mailbox import Mailbox
from ._tick_box import TickBox

#: Quotes a consumer that isn't looking lets pile up before they are merged.
BACKLOG_MAX: Final = 256
EVENT_TYPES: Final[tuple[type, ...]] = FeedEvent.__args__
MSG_TYPES: Final[tuple[type, ...]] = (Quote, *EVENT_TYPES)


class Tap:
    """An ordered view of some of a feed's messages; iterate it.

    A consumer that is too slow gets merged quotes, with what was left out counted in
    ``missed``; it holds nobody else up. Where every tick is wanted, quotes are joined
    with all of their ticks, up to a bound.
    """

    def __init__(
        self,
        kinds: tuple[type, ...],
        broker: str | None = None,
        past: Iterable[FeedEvent] = (),
        *,
        every_tick: bool = False,
    ) -> None:
        """Show messages of *kinds*, of all brokers or of one, *past* events first."""
        self._kinds = kinds
        self._broker = broker
        self._box = TickBox(BACKLOG_MAX) if every_tick else Mailbox(BACKLOG_MAX)
        self._wake = trio.Event()
        self._closed = False
        for event in past:
            self.put(broker, event)

    def __len__(self) -> int:
        return len(self._box)

    def put(self, broker: str | None, item: FeedMsg) -> None:
        """Take a message, if it is of a kind this tap shows; never blocks."""
        if self._closed or not isinstance(item, self._kinds):
            return
        if self._broker not in (None, broker):
            return
        self._box.put(item)
        self._wake.set()

    def close(self) -> None:
        """End the iteration once it is drained."""
        self._closed = True
        self._wake.set()

    def receive_nowait(self) -> Any:
        """Return the next message; ``trio.WouldBlock`` if there is none now."""
        letter = self._box.take()
        if letter is None:
            raise trio.WouldBlock
        return letter[0]

    async def receive(self) -> Any:
        """Return the next message; ``trio.EndOfChannel`` after the feed's end."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while (letter := self._box.take()) is None:
            if self._closed:
                raise trio.EndOfChannel
            wake = self._wake
            await wake.wait()
            if wake is self._wake:  # else another reader of this tap made a new one
                self._wake = trio.Event()
        return letter[0]

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None
