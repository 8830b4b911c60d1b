"""trio as asyncio's guest, waiting for its I/O in asyncio's selector.

A guest of trio's own making has a thread wait for it: each time that trio has nothing
to do, and something happens then, two threads and the interpreter's lock change hands.
On Linux one selector can watch another one, so that asyncio's own wait serves both.

    trio: nothing to do --> asyncio's selector watches trio's --readable, or in time-->
    asyncio: what it does concerns trio --call_soon--> trio goes on
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import trio
from outcome import Outcome, capture

from piker.log import get_logger

log = get_logger(__name__)

_run: Any = trio._core._run  # noqa: SLF001 - of trio's inner parts, used here alone
_by_thread: Callable[..., None] = _run.start_thread_soon
_by_pipe: Callable[[Any], None] = _run.Runner.force_guest_tick_asap

#: Guests that wait in their loop just now, by trio's runner.
_waits: dict[Any, _Wait] = {}


def wait_in_loop() -> None:
    """Let a trio that is an asyncio loop's guest wait in that loop from now on.

    Nothing changes for guests of other hosts; where trio isn't as it is known here,
    its own way stays.
    """
    _run.start_thread_soon = _wait
    _run.Runner.force_guest_tick_asap = _force


def _wait(get_events: Callable[[], Any], deliver: Callable[[Any], None]) -> None:
    """Have *deliver* called once there are events: in the loop, or by a thread."""
    try:
        _Wait(get_events)
    except (RuntimeError, LookupError, AttributeError, OSError) as err:
        log.debug("trio waits in a thread: %r", err)
        _by_thread(get_events, deliver)


def _force(runner: Any) -> None:
    """Let *runner* go on, as something has become ready in its own thread."""
    waiting = _waits.get(runner)
    if waiting is None or runner.guest_tick_scheduled:
        _by_pipe(runner)
        return
    runner.guest_tick_scheduled = True
    waiting.end_soon()


class _Wait:
    """One wait: over when trio's selector has something, when told, or after a time."""

    __slots__ = ("_fd", "_guest", "_is_over", "_loop", "_timer")

    def __init__(self, get_events: Callable[[], Any]) -> None:
        """Wait as *get_events*, trio's closure, was to do it."""
        names = get_events.__code__.co_freevars
        held = dict(zip(names, get_events.__closure__ or (), strict=True))
        self._guest, timeout_s = (held[name].cell_contents for name in _HELD)
        self._is_over = False
        self._fd: int = self._guest.runner.io_manager._epoll.fileno()  # noqa: SLF001
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._end)
        self._timer = self._loop.call_later(timeout_s, self._end)
        _waits[self._guest.runner] = self

    def end_soon(self) -> None:
        """End it with the loop's next turn."""
        self._loop.call_soon(self._end)

    def _end(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._loop.remove_reader(self._fd)
        self._timer.cancel()
        guest, runner = self._guest, self._guest.runner
        del _waits[runner]
        events: Outcome[Any] = capture(runner.io_manager.get_events, 0)
        # as trio's own `deliver` does, but without a detour by another thread's queue
        guest.unrolled_run_next_send = events
        guest.run_sync_soon_not_threadsafe = self._loop.call_soon
        runner.guest_tick_scheduled = True
        guest.guest_tick()


_HELD = ("self", "timeout")
