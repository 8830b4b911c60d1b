"""Structured-concurrency helpers with tractor main's semantics, on both versions.

The release's own ``maybe_open_context`` stays locked for ever after one failed enter
and its ``gather_contexts`` hangs on falsy values, so neither is used.
"""

from __future__ import annotations

import functools
import inspect
from collections import OrderedDict
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Hashable,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

import trio

P = ParamSpec("P")
T = TypeVar("T")


@asynccontextmanager
async def collapse_eg() -> AsyncGenerator[None, None]:
    """Raise the one error of a group that holds just one, however deep.

    Put it around a nursery: trio 0.22 collapses by itself, later ones don't.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        only: BaseException = group
        while isinstance(only, BaseExceptionGroup) and len(only.exceptions) == 1:
            only = only.exceptions[0]
        if only is group:
            raise
        raise only from only.__cause__


def leaves(exc: BaseException) -> list[BaseException]:
    """Return the plain exceptions within *exc*, in order, groups opened."""
    if isinstance(exc, BaseExceptionGroup):
        return [leaf for sub in exc.exceptions for leaf in leaves(sub)]
    return [exc]


def but_cancels(exc: BaseException) -> BaseException:
    """Return *exc* without the cancels in its groups, if it holds anything else.

    For an error kept from inside a scope and raised again outside of it: there the
    scope's own cancels are nobody's. One of somebody outside comes at the next
    checkpoint.
    """
    if not isinstance(exc, BaseExceptionGroup):
        return exc
    rest = exc.split(trio.Cancelled)[1]
    if rest is None:
        return exc
    found = leaves(rest)
    return found[0] if len(found) == 1 else rest


@asynccontextmanager
async def gather_contexts(
    managers: Sequence[AbstractAsyncContextManager[T]],
) -> AsyncGenerator[tuple[T, ...], None]:
    """Enter *managers* concurrently; yield their values in order.

    Each is entered and left by a task of its own. An error in one cancels the rest
    and the body. ``ValueError`` if there are none.
    """
    if not managers:
        raise ValueError("gather_contexts() wants at least one manager, got none")
    values: dict[int, T] = {}
    ready, leave = trio.Event(), trio.Event()

    async def hold(at: int, manager: AbstractAsyncContextManager[T]) -> None:
        async with manager as value:
            values[at] = value
            if len(values) == len(managers):
                ready.set()
            await leave.wait()

    async with collapse_eg(), trio.open_nursery() as tasks:
        for at, manager in enumerate(managers):
            tasks.start_soon(hold, at, manager)
        await ready.wait()
        try:
            yield tuple(values[at] for at in range(len(managers)))
        finally:
            leave.set()


@dataclass(eq=False)
class _Shared:
    """One manager held open for several users of this process."""

    value: Any = None
    error: BaseException | None = None
    users: set[trio.CancelScope] = field(default_factory=set)
    ready: trio.Event = field(default_factory=trio.Event)
    leave: trio.Event = field(default_factory=trio.Event)
    gone: trio.Event = field(default_factory=trio.Event)
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


_shared: dict[Hashable, _Shared] = {}


async def _hold_shared(
    key: Hashable,
    entry: _Shared,
    opener: Callable[[], AbstractAsyncContextManager[Any]],
) -> None:
    """Hold one shared manager open, in a task that belongs to no user.

    Its end is the end of all users' blocks, as it would be of a block of its own.
    """
    try:
        with entry.scope:
            async with opener() as entry.value:
                entry.ready.set()
                await entry.leave.wait()
    except BaseExceptionGroup as err:
        entry.error = err.split(trio.Cancelled)[1]  # nobody else's cancel is theirs
    except Exception as err:  # noqa: BLE001 - raised again, in its users
        entry.error = err
    finally:
        if _shared.get(key) is entry:
            del _shared[key]
        for user in entry.users:
            user.cancel()
        entry.ready.set()
        entry.gone.set()


@asynccontextmanager
async def maybe_open_context(
    opener: Callable[..., AbstractAsyncContextManager[T]],
    *,
    kwargs: dict[str, Any] | None = None,
    key: Hashable | None = None,
    nursery: trio.Nursery,
) -> AsyncIterator[tuple[bool, T]]:
    """Yield ``(hit, value)``: *opener*'s value, opened once for all users of a key.

    The manager lives in *nursery* and is left when its last user leaves. A failed or
    cancelled enter leaves nothing behind; the next user opens anew. One that ends while
    it is used cancels its users' blocks; its error is raised in each of them, and one
    of its leave in the last user.

    Args:
      opener: makes the manager.
      kwargs: for *opener*.
      key: what is shared; *opener* and *kwargs* by default.
      nursery: outlives every user.
    """
    kwargs = kwargs or {}
    key = (opener, key if key is not None else tuple(sorted(kwargs.items())))
    entry = _shared.get(key)
    while entry is not None and entry.leave.is_set():
        await entry.gone.wait()  # its last user is leaving: wait, then open anew
        entry = _shared.get(key)
    hit = entry is not None
    if entry is None:
        entry = _shared[key] = _Shared()
        nursery.start_soon(
            _hold_shared, key, entry, functools.partial(opener, **kwargs)
        )
    user = trio.CancelScope()
    entry.users.add(user)
    try:
        await entry.ready.wait()
        if entry.error is not None:
            raise entry.error
        with user:
            yield hit, entry.value
    finally:
        entry.users.remove(user)
        if not entry.users:
            entry.leave.set()
            if not entry.ready.is_set():
                entry.scope.cancel()  # nobody waits for its enter any more
            with trio.move_on_after(3) as scope:
                # the resource is to be gone once its last user is past the block
                scope.shield = True
                await entry.gone.wait()
    if entry.error is not None:
        raise entry.error


def async_lifo_cache(
    maxsize: int = 128,
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
    """Cache an async function's results by **all** of its arguments.

    Callers of one key that is being computed wait for the one computation; an error
    or a cancel isn't cached, and the next waiter computes. The least recently used
    goes first. The function must have no effect that a caller relies on.
    """

    def decorate(func: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        signature = inspect.signature(func)
        results: OrderedDict[Hashable, T] = OrderedDict()
        locks: dict[Hashable, tuple[trio.Lock, list[None]]] = {}

        @functools.wraps(func)
        async def cached(*args: P.args, **kwargs: P.kwargs) -> T:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            key = tuple(
                tuple(sorted(v.items())) if isinstance(v, dict) else v
                for v in bound.arguments.values()
            )
            lock, users = locks.setdefault(key, (trio.Lock(), []))
            users.append(None)
            try:
                async with lock:
                    if key in results:
                        results.move_to_end(key)
                        return results[key]
                    results[key] = value = await func(*args, **kwargs)
                    while len(results) > maxsize:
                        results.popitem(last=False)
                    return value
            finally:
                users.pop()
                if not users:
                    locks.pop(key, None)

        cached.cache_clear = results.clear  # type: ignore[attr-defined]
        return cached

    return decorate
