"""A clock that jumps, and threads that do a task's work meanwhile."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import outcome
import pytest
import trio
from trio.testing import MockClock

from piker.data import _history, _keeper

#: How long a thread may work, real seconds, before time jumps on without it.
HUNG_S = 20.0


@contextmanager
def waits_for_threads(clock: MockClock, jump_after_s: float = 0.001) -> Iterator[None]:
    """Have a clock jump when all tasks wait, but not while a thread works for one.

    Args:
      clock: which.
      jump_after_s: real seconds; longer than none for a thread that was abandoned.
    """
    working = 0
    run_sync = trio.to_thread.run_sync

    async def waited_for(*args, **kwargs):
        nonlocal working
        working += 1
        clock.autojump_threshold = HUNG_S
        try:
            return await run_sync(*args, **kwargs)
        finally:
            working -= 1
            if not working:
                clock.autojump_threshold = jump_after_s

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trio.to_thread, "run_sync", waited_for)
        for name in ("NEWEST_DEADLINE_S", "TAIL_DEADLINE_S", "CLOSE_DEADLINE_S"):
            patch.setattr(_history, name, math.inf)
        patch.setattr(_keeper, "CLOSE_DEADLINE_S", math.inf)
        clock.autojump_threshold = jump_after_s
        yield


@contextmanager
def threads_in_turn(rng: Random) -> Iterator[None]:
    """Have what is for a thread done by the loop, at a moment that *rng* tells.

    So a seed tells all that happens, and nothing waits for a thread to be woken.
    """

    async def turns() -> None:
        for _ in range(rng.randrange(3)):
            await trio.lowlevel.checkpoint()

    async def in_turn(sync, *args, limiter, **abandon):
        async with limiter:
            is_done = False
            with trio.CancelScope(shield=not any(abandon.values())):
                try:
                    await turns()
                    is_done = True
                    result = outcome.capture(sync, *args)
                    await turns()
                finally:
                    if not is_done:  # left alone, a thread goes on
                        outcome.capture(sync, *args)
        return result.unwrap()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trio.to_thread, "run_sync", in_turn)
        yield
