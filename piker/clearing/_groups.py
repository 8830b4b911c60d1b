"""Errors that come several at once: of a stream, its call and its connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from piker.errors import PikerError
from piker.service import leaves


@contextmanager
def one_of_ours() -> Iterator[None]:
    """Raise the first of several errors that are all ours, in place of their group.

    Where a peer dies, who sends, who receives and who holds the call may each find out.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        found = leaves(group)
        if not all(isinstance(err, PikerError) for err in found):
            raise
        raise found[0] from None
