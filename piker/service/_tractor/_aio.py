"""asyncio inside an actor that was started with ``infect_asyncio``.

One shape on both versions: ``async with open_channel_from(target) as (chan, first)``
where ``async def target(chan, **kwargs)`` runs on the asyncio loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import trio
from outcome import Outcome
from tractor import to_asyncio

from ._engine import engine
from ._guest import wait_in_loop
from ._version import A5

T = TypeVar("T")


class AioSide:
    """The asyncio end of the channel; *send_nowait* raises ``trio.WouldBlock``."""

    def __init__(self, to_trio: Any, from_trio: Any) -> None:
        self._to_trio = to_trio
        self._from_trio = from_trio

    def started_nowait(self, value: Any = None) -> None:
        """Hand *value* to the trio side as its ``first``."""
        self._to_trio.send_nowait(value)

    def send_nowait(self, value: Any) -> None:
        """Send *value* to the trio side."""
        self._to_trio.send_nowait(value)

    async def get(self) -> Any:
        """Return the next value from the trio side."""
        return await self._from_trio.get()


@asynccontextmanager
async def open_channel_from(
    target: Callable[..., Awaitable[None]], **kwargs: Any
) -> AsyncIterator[tuple[Any, Any]]:
    """Run *target* on the asyncio loop; yield ``(chan, first)``.

    Leaving the block first cancels *target* and is no error.
    """
    if A5:

        async def shim(to_trio: Any, from_trio: Any) -> None:
            await target(chan=AioSide(to_trio, from_trio), **kwargs)

        async with to_asyncio.open_channel_from(shim) as (first, chan):
            yield chan, first
        return
    from tractor._exceptions import TrioTaskExited

    async def quiet(chan: Any) -> None:
        try:
            await target(chan=chan, **kwargs)
        except (TrioTaskExited, asyncio.CancelledError) as err:
            if isinstance(err, asyncio.CancelledError):
                raise

    async with to_asyncio.open_channel_from(quiet) as (chan, first):
        yield chan, first


def run_infected(main: Callable[[], Awaitable[T]]) -> T:
    """Run *main* with trio as a guest of an asyncio loop; return what it returns.

    Within it, `open_channel_from` works once `infect` was called in an open runtime:
    what ``infect_asyncio`` does for an actor that is spawned, for this process.
    """

    async def aio_main() -> T:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Outcome[T]] = loop.create_future()

        def soon(func: Callable[[], object]) -> None:
            loop.call_soon_threadsafe(func)

        trio.lowlevel.start_guest_run(
            main,
            run_sync_soon_threadsafe=soon,
            done_callback=ended.set_result,
            strict_exception_groups=False,
        )
        return (await ended).unwrap()

    return asyncio.run(aio_main())


def infect() -> None:
    """Let this process's actor use the asyncio loop that it is a guest of."""
    wait_in_loop()
    if A5:
        engine.current_actor()._infected_aio = True  # noqa: SLF001
    else:
        engine.runtime_vars()["_is_infected_aio"] = True
