"""fdatasync without a thread: the kernel does it, and says so through an eventfd.

    datasync(fd) --io_submit: IOCB_CMD_FDSYNC--> kernel --eventfd--> event loop

A thread takes the interpreter's lock from the event loop twice for each sync, which
costs more than the sync does. Where the system has no such calls a thread it is.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any, Final

import trio

_SIGN: Final = 1 << 63

#: Contexts of which each has an eventfd, and serves one sync at a time.
_idle: list[Any] = []


async def datasync(fd: int) -> None:
    """Have what was written to *fd* on the disk on return; a cancel waits for that.

    Raises: OSError: it isn't, and a later one of the same file may not say so again.
    """
    await trio.lowlevel.checkpoint_if_cancelled()
    with trio.CancelScope(shield=True):  # bounded by the disk
        context = _idle.pop() if _idle else _new_context()
        if context is None:
            await trio.to_thread.run_sync(os.fdatasync, fd)
            return
        await _sync_by(context, fd)
        _idle.append(context)


def _new_context() -> Any:
    """Return a context, None where there can't be any (more)."""
    with suppress(ImportError, OSError, SystemError):
        from caio.linux_aio import Context

        return Context(1)
    return None


async def _sync_by(context: Any, fd: int) -> None:
    from caio.linux_aio import Operation

    done: list[int] = []
    operation = Operation.fdsync(fd)
    operation.set_callback(done.append)
    try:
        context.submit(operation)
    except ValueError:  # of a file that takes no such order: the plain call says why
        await trio.to_thread.run_sync(os.fdatasync, fd)
        return
    while not done:
        await trio.lowlevel.wait_readable(context.fileno)
        with suppress(BlockingIOError):
            context.poll()
        context.process_events()
    if done[0] & _SIGN:
        number = (1 << 64) - done[0]
        raise OSError(number, os.strerror(number))
