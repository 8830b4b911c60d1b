"""trio as a guest in asyncio's loop, which textual runs in: one thread for both.

    textual: keys, screen  <--call_soon--  trio: feeds, orders

Whichever ends first ends the other, and its error comes out as it was. The terminal is
as it was before by the time trio's end is waited for, which isn't done for ever. While
the screen is up Ctrl-C is a key; one that another process sends ends both in order.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import trio
from textual.app import App

from piker.log import get_logger

if TYPE_CHECKING:
    from outcome import Outcome

log = get_logger(__name__)

T = TypeVar("T")

#: After the screen is gone; all that ends is bounded by itself, this is for what is
#: forgotten.
END_DEADLINE_S: Final = 15.0
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class HostApp(App[None], inherit_bindings=False):
    """An app whose errors are raised where it was run, not printed by textual."""

    ENABLE_COMMAND_PALETTE = False
    ALLOW_SELECT = False

    @property
    def fault(self) -> Exception | None:
        """What ended it, None if it was told to."""
        fault: Exception | None = self._exception
        return fault

    def fail(self, error: Exception) -> None:
        """End it by an error that came up outside of its own handlers."""
        self._handle_exception(error)

    def _fatal_error(self) -> None:
        """End; textual would print the traceback over what is said of the error."""
        self._close_messages_no_wait()


def run(app: HostApp, work: Callable[[], Awaitable[T]], **screen: Any) -> T | None:
    """Run *work* with trio while an app runs; return what it returns.

    Args:
      app: it ends when *work* has ended.
      work: cancelled when the app has ended, and then nothing is returned.
      **screen: for the app's ``run_async()``.

    Raises: what *work* raised, or what ended the app; of two the first. After Ctrl-C
      from elsewhere KeyboardInterrupt, after another signal SystemExit.
    """
    return asyncio.run(_host(app, work, screen))


async def _host(
    app: HostApp, work: Callable[[], Awaitable[T]], screen: dict[str, Any]
) -> T | None:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Outcome[T | None]] = loop.create_future()
    scope = trio.CancelScope()

    async def guest() -> T | None:
        with scope:
            return await work()
        return None

    def soon(func: Callable[[], object]) -> None:
        loop.call_soon_threadsafe(func)

    trio.lowlevel.start_guest_run(
        guest,
        run_sync_soon_threadsafe=soon,
        done_callback=ended.set_result,
        host_uses_signal_set_wakeup_fd=True,
        strict_exception_groups=False,
    )
    ended.add_done_callback(lambda _: app.exit())
    with _heard(app) as got:
        try:
            await app.run_async(**screen)
        finally:
            was_first = not ended.done()
            scope.cancel()
            outcome = await _after(ended, got)
    _raise_for(got)
    if app.fault is not None and was_first:
        raise app.fault
    return outcome.unwrap()


async def _after(
    ended: asyncio.Future[Outcome[T | None]], got: list[int]
) -> Outcome[T | None]:
    """Wait for trio's end; not for ever, as nobody sees what it waits for."""
    code = 128 + got[0] if got else 1
    timer = threading.Timer(END_DEADLINE_S, os._exit, (code,))
    timer.daemon = True
    timer.start()
    try:
        return await asyncio.shield(ended)
    finally:
        timer.cancel()


@contextmanager
def _heard(app: HostApp) -> Iterator[list[int]]:
    """Have signals end the app; yield those that came. An ignored one stays so."""
    loop = asyncio.get_running_loop()
    got: list[int] = []
    wanted = [sig for sig in _SIGNALS if signal.getsignal(sig) is not signal.SIG_IGN]

    def hear(number: int) -> None:
        got.append(number)
        log.info("ends by signal %s", signal.Signals(number).name)
        app.exit()

    is_main = threading.current_thread() is threading.main_thread()
    for sig in wanted if is_main else ():
        loop.add_signal_handler(sig, hear, sig)
    try:
        yield got
    finally:
        for sig in wanted if is_main else ():
            loop.remove_signal_handler(sig)


def _raise_for(got: list[int]) -> None:
    """Raise what a signal ends a command with, if one came."""
    if got and got[0] == signal.SIGINT:
        raise KeyboardInterrupt
    if got:
        raise SystemExit(128 + got[0])
