"""What all users within one process share: one client, the connections of a venue."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

import trio

from piker.service import maybe_open_context

T = TypeVar("T")

_host: trio.lowlevel.RunVar[Any] = trio.lowlevel.RunVar("piker.venues")
_kept: trio.lowlevel.RunVar[dict[Hashable, Any]] = trio.lowlevel.RunVar("piker.kept")


async def _be_host(ready: trio.Event) -> None:
    async with trio.open_nursery() as tasks:
        _host.set((tasks, ready))
        ready.set()
        await trio.sleep_forever()


async def _host_nursery() -> trio.Nursery:
    """Return a nursery that lives as long as this trio run.

    No user can lend one: a connection outlives whichever of its users came first.
    """
    try:
        found = _host.get()
    except LookupError:
        ready = trio.Event()
        found = (None, ready)
        _host.set(found)
        trio.lowlevel.spawn_system_task(_be_host, ready)
    await found[1].wait()
    nursery: trio.Nursery = _host.get()[0]
    return nursery


def run_local(key: Hashable, make: Callable[[], T]) -> T:
    """Return what *make* gave the first time *key* was asked for in this trio run.

    For what must not be forgotten while nobody uses it: budgets, lists of symbols.
    """
    try:
        kept = _kept.get()
    except LookupError:
        kept = {}
        _kept.set(kept)
    if key not in kept:
        kept[key] = make()
    found: T = kept[key]
    return found


@asynccontextmanager
async def open_shared(
    opener: Callable[[], AbstractAsyncContextManager[T]], key: Hashable
) -> AsyncIterator[T]:
    """Yield *opener*'s value, opened once for all users of *key* in this process.

    It is closed when its last user leaves.
    """
    nursery = await _host_nursery()
    kwargs = {"opener": opener}
    async with maybe_open_context(_open, kwargs=kwargs, key=key, nursery=nursery) as (
        _,
        value,
    ):
        yield value


@asynccontextmanager
async def _open(
    opener: Callable[[], AbstractAsyncContextManager[T]],
) -> AsyncIterator[T]:
    """Be one opener for all: what is shared is told by the key alone."""
    async with opener() as value:
        yield value
