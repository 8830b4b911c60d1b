"""Starting and ending this process without what nobody waits for."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, NoReturn

_USUAL: Final = gc.get_threshold()
_STARTING: Final = (50_000, 20, 100)
_CANT_FLUSH = 120  # the interpreter's own code for output that could not be written


def be_starting() -> None:
    """Look for garbage seldom from here on: what modules make while loaded stays.

    And keep BLAS from starting threads: nobody here needs them, and a process that has
    some can't be forked.
    """
    gc.set_threshold(*_STARTING)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def be_started() -> None:
    """Look for garbage as usual, and never again among what is there by now.

    So a full collection of a daemon stops it for what it made, not for its modules.
    """
    if gc.get_threshold() == _STARTING:
        gc.freeze()
        gc.set_threshold(*_USUAL)


@contextmanager
def light_run() -> Iterator[None]:
    """Start light, run the block, and end this process with the block's exit code.

    130 after a Ctrl-C; other errors come out.
    """
    be_starting()
    try:
        yield
    except KeyboardInterrupt:
        leave(130)
    except SystemExit as end:
        leave(end.code)
    leave(0)


def leave(status: str | int | None) -> NoReturn:
    """End this process; *status* is what :func:`sys.exit` takes.

    Threads that aren't daemons are waited for, what is registered with ``atexit`` is
    called, output is flushed. Left out is the rest of an interpreter's end, which takes
    all modules apart one by one: 0.1 to 0.3 s for memory that is freed anyway.
    """
    with suppress(ValueError):  # not in the main thread
        # another Ctrl-C has nothing left to end, and would cost the exit code
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    code = status if isinstance(status, int) else int(status is not None)
    if isinstance(status, str):
        sys.stderr.write(f"{status}\n")
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001
    atexit._run_exitfuncs()  # noqa: SLF001
    try:
        if sys.stdout is not None and not sys.stdout.closed:
            sys.stdout.flush()
    except (OSError, ValueError):
        code = code or _CANT_FLUSH
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.flush()
    os._exit(code & 0xFF)
