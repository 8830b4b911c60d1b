"""Errors that come several at once: of a stream, its call and its connection."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from piker.errors import PikerError
from piker.service import leaves


@contextmanager
def one_of_ours() -> Iterator[None]:
    """Raise one of several errors that are ours, in place of their group.

    Where a peer dies, who sends, who receives and who holds the call may each find
    out, and what they held was cancelled. Where all of it is being cancelled from
    outside, that alone is raised: nobody there has a use for what else went wrong.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        found = leaves(group)
        cancels = [err for err in found if isinstance(err, trio.Cancelled)]
        ours = [err for err in found if isinstance(err, PikerError)]
        if len(cancels) + len(ours) < len(found):
            raise
        is_cancelled = trio.current_effective_deadline() == -math.inf
        if cancels and (is_cancelled or not ours):
            raise cancels[0] from None
        raise ours[0] from None
