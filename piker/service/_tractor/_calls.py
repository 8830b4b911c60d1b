"""Calls whose two ends don't know of each other yet.

tractor notes a call's context before the far end has heard of it, and the far end's
before its task is listed. Until the call has started it looks like what a finished
one leaves, and who sweeps that must be told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_under_way: Counter[str] = Counter()
_starting: ContextVar[list[str] | None] = ContextVar("piker_starting", default=None)


def is_under_way(cid: str) -> bool:
    """Tell whether the call *cid* is being started, here or for somebody."""
    return cid in _under_way


@contextmanager
def under_way(cid: str) -> Iterator[None]:
    """Note the call *cid* for the length of the block."""
    _under_way[cid] += 1
    try:
        yield
    finally:
        _drop(cid)


@contextmanager
def starting() -> Iterator[None]:
    """Note the calls that this task makes in the block, until the block ends."""
    made: list[str] = []
    token = _starting.set(made)
    try:
        yield
    finally:
        _starting.reset(token)
        for cid in made:
            _drop(cid)


def note_calls(actor_class: Any) -> None:
    """Have all actors note the calls they make until the far end has confirmed them."""
    start, get_context = actor_class.start_remote_task, actor_class.get_context

    def noted_context(self: Any, chan: Any, cid: str, *args: Any, **kwargs: Any) -> Any:
        made = _starting.get()
        if made is not None:
            _under_way[cid] += 1
            made.append(cid)
        return get_context(self, chan, cid, *args, **kwargs)

    async def noted_start(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _starting.get() is not None:  # whoever notes it already does so for longer
            return await start(self, *args, **kwargs)
        with starting():
            return await start(self, *args, **kwargs)

    actor_class.get_context = noted_context
    actor_class.start_remote_task = noted_start


def _drop(cid: str) -> None:
    _under_way[cid] -= 1
    if not _under_way[cid]:
        del _under_way[cid]
