"""A child's own guards: it neither outlives its parent nor takes it down."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import trio

from piker._child import TRACTORS_OWN

from ._engine import engine
from ._guest import wait_in_loop

ORPHAN_GRACE_S = 1.5
#: Names the process that a child is to live with; who asks later may get another's.
PARENT_ENV = "PIKER_PARENT_PID"


def exit_by(seconds: float, code: int) -> threading.Timer:
    """End this process in *seconds* whatever hangs; ``cancel()`` if all went well."""
    timer = threading.Timer(seconds, os._exit, (code,))
    timer.daemon = True
    timer.start()
    return timer


def in_child() -> bool:
    """Tell whether this process was started by an actor of ours."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return bool(spec and spec.name == TRACTORS_OWN)


def arm_child() -> None:
    """Tie this child's life to its parent's; leave the terminal's signals to the root.

    The parent is watched through a pidfd: trio spawns from a worker thread, and
    PDEATHSIG would fire when that thread retires. SIGTERM ends this actor in order.
    """
    parent = int(os.environ.get(PARENT_ENV) or os.getppid())
    if os.getppid() != parent:  # it died while we were imported; there is nothing yet
        os._exit(70)
    token = trio.lowlevel.current_trio_token()

    def leave() -> None:
        timer = exit_by(ORPHAN_GRACE_S, 70)
        try:
            token.run_sync_soon(engine.end_self)
        except trio.RunFinishedError:
            timer.cancel()

    def on_term(*_: Any) -> None:
        threading.Thread(target=leave, daemon=True).start()

    signal.signal(signal.SIGTERM, on_term)
    # both go to the whole group; the root ends its daemons in their order
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    threading.Thread(
        target=_watch_parent, args=(parent, leave), daemon=True, name="orphan-guard"
    ).start()


def _watch_parent(parent: int, leave: Callable[[], None]) -> None:
    try:
        fd = os.pidfd_open(parent)
    except OSError:
        fd = -1  # dead already
    if fd >= 0 and os.getppid() == parent:
        select.select([fd], [], [])
    leave()
    time.sleep(ORPHAN_GRACE_S + 1)
    os._exit(70)


def arm_when_child() -> None:
    """Arm the guards if this is a child; runs at import, inside its trio run."""
    if not in_child():
        return
    try:
        trio.lowlevel.current_trio_token()
    except RuntimeError:
        return  # imported outside the run: nothing to tie it to
    arm_child()
    wait_in_loop()
