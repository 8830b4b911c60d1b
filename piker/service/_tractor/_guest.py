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
from outcome import capture

from piker.log import get_logger

log = get_logger(__name__)

_run: Any = trio._core._run  # noqa: SLF001 - of trio's inner parts, used here alone
_by_thread: Callable[..., None] = _run.start_thread_soon
_by_pipe: Callable[[Any], None] = _run.Runner.force_guest_tick_asap

#: Guests that wait in their loops, by trio's runner.
_hosts: dict[Any, _Host] = {}


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
        guest, timeout_s = _held_by(get_events)
        host = _hosts.get(guest.runner) or _Host(guest)
    except (RuntimeError, LookupError, AttributeError, OSError) as err:
        log.debug("trio waits in a thread: %r", err)
        _by_thread(get_events, deliver)
    else:
        host.wait(timeout_s)


def _held_by(get_events: Callable[[], Any]) -> tuple[Any, float]:
    """Return the guest, and for how long it is to wait: trio's closure has both."""
    names = get_events.__code__.co_freevars
    held = dict(zip(names, get_events.__closure__ or (), strict=True))
    return held["self"].cell_contents, held["timeout"].cell_contents


def _force(runner: Any) -> None:
    """Let *runner* go on, as something has become ready in its own thread."""
    host = _hosts.get(runner)
    if host is None or runner.guest_tick_scheduled:
        _by_pipe(runner)
    else:
        host.end_soon()


class _Host:
    """The loop as one guest's host: its wait ends when it is told to, or in time."""

    __slots__ = ("_due", "_fd", "_guest", "_is_waiting", "_loop", "_timer", "_told")

    def __init__(self, guest: Any) -> None:
        self._guest = guest
        self._is_waiting = False
        self._timer: asyncio.TimerHandle | None = None
        self._due = float("inf")
        self._fd: int = guest.runner.io_manager._epoll.fileno()  # noqa: SLF001
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._go_on)
        guest.run_sync_soon_not_threadsafe = self._loop.call_soon
        told, guest.done_callback = guest.done_callback, self._close
        self._told: Callable[[Any], None] = told
        _hosts[guest.runner] = self

    def wait(self, timeout_s: float) -> None:
        """Let the guest go on once its selector has something, or after a time."""
        self._is_waiting = True
        due = self._loop.time() + timeout_s
        if (
            due < self._due
        ):  # a timer that is early does no harm, as most are called off
            if self._timer is not None:
                self._timer.cancel()
            self._due = due
            self._timer = self._loop.call_at(due, self._on_time)

    def end_soon(self) -> None:
        """Let it go on with the loop's next turn."""
        self._guest.runner.guest_tick_scheduled = True
        self._loop.call_soon(self._go_on)

    def _on_time(self) -> None:
        self._due, self._timer = float("inf"), None
        self._go_on()

    def _go_on(self) -> None:
        if not self._is_waiting:
            return  # it goes on already, and looks into its selector then
        self._is_waiting = False
        guest, runner = self._guest, self._guest.runner
        # what trio's own `deliver` does, but without a detour by another thread
        guest.unrolled_run_next_send = capture(runner.io_manager.get_events, 0)
        runner.guest_tick_scheduled = True
        guest.guest_tick()

    def _close(self, outcome: Any) -> None:
        """Leave the loop as it was, before anything gets the number of our file."""
        self._loop.remove_reader(self._fd)
        if self._timer is not None:
            self._timer.cancel()
        del _hosts[self._guest.runner]
        self._told(outcome)
