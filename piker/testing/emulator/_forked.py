"""Emulators forked off a server that has their code, and the sessions of before.

[a test's process] --argv--> [fork server] --fork--> [an emulator, child of the test's]

A test suite starts them by the hundred: the imports are most of a start, and the rest
is a session read again. What the server has read is shared until it is played.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import trio

from piker.process import light_run

if TYPE_CHECKING:
    from piker._forkserver import Order
    from piker.service._tractor._fork import ForkServer

_SERVER_S: Final = 15.0  # to read the sessions of an order, and to fork
_MODULES: Final = ("_run", "_binance", "_kraken", "_deribit", "_tws")


# -- the test's side ----------------------------------------------------------------


class _Here:
    """This process's server, and whether it is to have one."""

    is_wanted = False
    server: ForkServer | None = None


@contextmanager
def forked_emulators() -> Iterator[None]:
    """Fork the emulators opened in the block off a server, which the first starts.

    Elsewhere each is a fresh interpreter.
    """
    if _Here.is_wanted or sys.platform != "linux":
        yield
        return
    _Here.is_wanted = True
    try:
        yield
    finally:
        _Here.is_wanted = False
        if _Here.server is not None:
            _Here.server.close()
            _Here.server = None


def server_pid() -> int | None:
    """Return the pid of this process's server of emulators, None if it has none."""
    return _Here.server.pid if _Here.server else None


def _server() -> ForkServer | None:
    if _Here.is_wanted and _Here.server is None:
        from piker._forkserver import Preload
        from piker.service._tractor._fork import ForkServer

        modules = tuple(f"{__package__}.{name}" for name in _MODULES)
        preload = Preload(first=modules, runs=__name__)
        _Here.server = ForkServer(preload, deadline_s=_SERVER_S)
    return _Here.server


async def open_process(argv: list[str], stderr: BinaryIO) -> trio.Process:
    """Start ``python -m piker.testing.emulator ARGV``, its stdin and stdout pipes."""
    if server := _server():
        process = await _fork(server, argv, stderr)
        if process is not None:
            return process
    return await trio.lowlevel.open_process(
        [sys.executable, "-m", __package__, *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
    )


async def _fork(
    server: ForkServer, argv: list[str], stderr: BinaryIO
) -> trio.Process | None:
    its_in, our_out = os.pipe()
    our_in, its_out = os.pipe()
    process = None
    try:
        process = await server.open_process(
            "emulator",
            [sys.executable, "-m", __name__, *argv],
            env=os.environ,
            cwd=os.getcwd(),
            files={0: its_in, 1: its_out, 2: stderr.fileno()},
        )
    finally:
        ours = () if process else (our_out, our_in)
        for fd in (its_in, its_out, *ours):
            os.close(fd)
    if process is not None:
        process.stdin = trio.lowlevel.FdStream(our_out)
        process.stdout = trio.lowlevel.FdStream(our_in)
    return process


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
