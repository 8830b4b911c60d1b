"""What an asyncio client emits, on its way to trio: bounded, and nothing of it waits.

asyncio: emit(item) --> [list, by key once it is full] --batches--> trio: async for
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from itertools import count
from typing import Generic, Protocol, TypeVar

import trio

from piker.errors import Overrun

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Emit(Protocol[T_contra]):
    """Takes one item of a stream; never waits."""

    def __call__(self, item: T_contra, /) -> None: ...


class Inbox(Generic[T]):
    """Items that have come and are not taken yet.

    Attributes:
      name: of what emits them, for errors.
    """

    def __init__(
        self, name: str, room: int, key: Callable[[T], Hashable | None] | None
    ) -> None:
        """Hold *room* items; beyond that the newest of each *key*, see `emit`."""
        self.name = name
        self._room = room
        self._key = key
        self._items: list[T] = []
        #: Of a full inbox, in the list's place; a key's later item moves to the end.
        self._by_key: dict[Hashable, T] | None = None
        self._nth = count()
        self._arrived = trio.Event()
        self._is_over = False
        self._error: BaseException | None = None

    def emit(self, item: T) -> None:
        """Take an item; where that can't be, the stream ends with Overrun."""
        if self._is_over:
            return
        if self._by_key is None and len(self._items) < self._room:
            self._items.append(item)
        else:
            self._conflate(item)
        self._arrived.set()

    def _conflate(self, item: T) -> None:
        if self._by_key is None:
            self._by_key = {}
            held, self._items = self._items, []
            for each in held:
                self._put(self._by_key, each)
        self._put(self._by_key, item)
        if len(self._by_key) > self._room:
            self._by_key = None
            self.end(
                Overrun(
                    f"{self.name}: over {self._room} items weren't taken in time; "
                    "ask for it again"
                )
            )

    def _put(self, held: dict[Hashable, T], item: T) -> None:
        key = None if self._key is None else self._key(item)
        if key is None:
            held[None, next(self._nth)] = item  # stands for itself alone
        else:
            held.pop(key, None)
            held[key] = item

    def end(self, error: BaseException | None = None) -> None:
        """Let nothing more come; *error* is raised once all is taken."""
        if not self._is_over:
            self._is_over, self._error = True, error
            self._arrived.set()

    def __aiter__(self) -> Inbox[T]:
        return self

    async def __anext__(self) -> list[T]:
        """Return all items there are, one at least, in the order of their coming."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while not (self._items or self._by_key):
            if self._is_over:
                error, self._error = self._error, None
                raise StopAsyncIteration if error is None else error
            self._arrived = trio.Event()
            await self._arrived.wait()
        batch = self._items or list((self._by_key or {}).values())
        self._items, self._by_key = [], None
        return batch
