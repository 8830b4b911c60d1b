"""A test that is an actor with an asyncio loop, in its own process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from piker.service import _tractor as tr
from piker.testing import free_port

T = TypeVar("T")


def run_infected(
    test: Callable[..., Awaitable[T]], *args: object, deadline_s: float = 60
) -> T:
    """Run an async *test* where `open_channel_from` works; return what it returns."""

    async def main() -> T:
        with trio.fail_after(deadline_s):
            async with tr.open_root_actor(
                name="infected",
                registry_addr=("127.0.0.1", free_port()),
                be_registry=True,
            ):
                tr.infect()
                return await test(*args)

    return tr.run_infected(main)
