"""Emulators forked off a server that has their code, and the sessions of before.

What the server has read is shared until it is played: see `piker.testing._forks`.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import trio

from piker.process import light_run
from piker.testing._forks import BASE, Forks

if TYPE_CHECKING:
    from piker._forkserver import Order

_MODULES: Final = ("_run", "_binance", "_kraken", "_deribit", "_tws")


# -- the test's side ----------------------------------------------------------------


_FORKS: Final = Forks(
    runs=__name__,
    first=tuple(f"{__package__}.{name}" for name in _MODULES),
    base=BASE,
)


def forked_emulators() -> AbstractContextManager[None]:
    """Fork the emulators opened in the block off a server, which the first starts.

    Elsewhere each is a fresh interpreter.
    """
    return _FORKS.wanted()


def server_pid() -> int | None:
    """Return the pid of this process's server of emulators, None if it has none."""
    return _FORKS.pid


async def open_process(argv: list[str], stderr: BinaryIO) -> trio.Process:
    """Start ``python -m piker.testing.emulator ARGV``, its stdin and stdout pipes."""
    return await _FORKS.open_process(
        "emulator",
        argv,
        anew=[sys.executable, "-m", __package__, *argv],
        files=(subprocess.PIPE, subprocess.PIPE, stderr.fileno()),
    )


# -- the server's side ---------------------------------------------------------------


def prepare(order: Order) -> None:
    """Read the sessions that *order* plays, unless an order before it did."""
    from ._sources import read_ahead

    told = [word.partition("=") for word in order.args]
    if paths := [Path(value) for name, _, value in told if name == "--session"]:
        past_s = [float(value) for name, _, value in told if name == "--past-s"]
        read_ahead(paths, past_s=past_s[-1] if past_s else 0.0)


def run_child() -> None:
    """Be the emulator of the command line in ``sys.argv``; ends this process."""
    from .__main__ import main

    with light_run():
        sys.exit(main())
