"""Several messages sent as one, where what they lead to is to be on disk at once.

    [fill, closed, position] --one message--> journal, all of it --one sync--> told

A message alone is sent as it is, so each end takes both. What comes to a client, or to
emsd from an order daemon, is sent so; requests aren't.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

T = TypeVar("T")

#: Messages that are sent as one, at most.
BATCH_MAX: Final = 256


def in_batches(msgs: Sequence[T]) -> Iterator[T | list[T]]:
    """Yield what is sent for *msgs*, in order: one alone, or many at once."""
    for at in range(0, len(msgs), BATCH_MAX):
        batch = list(msgs[at : at + BATCH_MAX])
        yield batch[0] if len(batch) == 1 else batch


def each_of(told: Any) -> list[Any]:
    """Return the messages that came as one."""
    return told if isinstance(told, list) else [told]
