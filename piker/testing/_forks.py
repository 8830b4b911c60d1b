"""Programs of a test suite, forked off a server that has their code.

[a test's process] --argv--> [fork server] --fork--> [a program, child of the test's]

A suite starts programs by the hundred, and imports are most of a start.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from piker.service._tractor._fork import ForkServer

_SERVER_S: Final = 15.0  # to import its modules, to prepare for an order, and to fork
#: What an interpreter reads once, when it starts; a fork has the server's.
_READ_ONCE: Final = ("PYTHON", "LC_", "LANG", "LD_")

#: What daemons of venues import once they run, on top of what all trees preload. To a
#: tree it is a wait of 0.3 s; to a suite of many it was a seventh of all its trees did.
VENUE_CODE: Final = (
    *("httpx", "httpcore", "encodings.idna"),
    *("piker.brokers._web._ws", "piker.brokers._live._rpc"),
    *("piker.brokers.binance._trade", "piker.brokers.binance._orders"),
    *("piker.brokers.kraken._trade", "piker.brokers.kraken._orders"),
    *("piker.brokers.deribit._trade", "piker.brokers.deribit._orders"),
    *("piker.brokers.deribit._rpc", "piker.brokers.deribit._grants"),
    *("piker.brokers.ib", "piker.brokers.ib._trade"),
)


@dataclass(eq=False)
class Forks:
    """Programs forked off one server, which the first of them starts.

    Attributes:
      runs: a module whose ``run_child()`` is the program; ``sys.argv`` is its own.
      first: modules that the server imports.
    """

    runs: str
    first: tuple[str, ...]
    _is_wanted: bool = field(default=False, init=False)
    _server: ForkServer | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        _all.append(self)

    @property
    def pid(self) -> int | None:
        """Of the server, None if there is none."""
        return self._server.pid if self._server else None

    @contextmanager
    def wanted(self) -> Iterator[None]:
        """Have a server in the block, once it is needed; elsewhere nothing is forked.

        Within another such block that block's serves.
        """
        if self._is_wanted or sys.platform != "linux":
            yield
            return
        self._is_wanted = True
        try:
            yield
        finally:
            self._is_wanted = False
            if self._server is not None:
                self._server.close()
                self._server = None

    async def open_process(
        self,
        name: str,
        argv: Sequence[str],
        *,
        anew: Sequence[str],
        files: Sequence[int],
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
    ) -> trio.Process:
        """Fork a program; start it anew where it can't be forked.

        Args:
          name: for its title, before *argv*.
          argv: its arguments.
          anew: the command that starts it as a fresh interpreter.
          files: its stdin, stdout and stderr: numbers of open files, or what
            `subprocess` has for a pipe or none.
          env: its whole environment, this process's if None.
          cwd: its working directory, this process's if None.

        Raises:
          OSError: the system has no room for a process.
        """
        env = os.environ if env is None else env
        cwd = os.getcwd() if cwd is None else cwd
        if self._is_wanted and _is_as_here(env) and _is_text([*argv, *env.values()]):
            process = await self._fork(name, argv, files, env, cwd)
            if process is not None:
                return process
        stdin, stdout, stderr = files
        return await trio.lowlevel.open_process(
            anew, stdin=stdin, stdout=stdout, stderr=stderr, env=env, cwd=cwd
        )

    async def _fork(
        self,
        name: str,
        argv: Sequence[str],
        wishes: Sequence[int],
        env: Mapping[str, str],
        cwd: str | os.PathLike[str],
    ) -> trio.Process | None:
        """Fork a program; return None if the server can't."""
        if self._server is None:
            self._server = self._start()
        pipes, files = {}, dict(enumerate(wishes))
        for nth in (nth for nth, wish in files.items() if wish == subprocess.PIPE):
            reads, writes = os.pipe()
            files[nth], pipes[nth] = (writes, reads) if nth else (reads, writes)
        process = None
        try:
            process = await self._server.open_process(
                name,
                [sys.executable, "-m", self.runs, *argv],
                env=env,
                cwd=os.fspath(cwd),
                files=files,
            )
        finally:
            for nth, ours in pipes.items():
                os.close(files[nth])
                if process is None:
                    os.close(ours)
        if process is not None:
            stdio = {nth: trio.lowlevel.FdStream(fd) for nth, fd in pipes.items()}
            process.stdin, process.stdout = stdio.get(0), stdio.get(1)
            process.stderr = stdio.get(2)
        return process

    def _start(self) -> ForkServer:
        from piker._forkserver import Preload
        from piker.service._tractor._fork import ForkServer

        preload = Preload(first=self.first, runs=self.runs)
        return ForkServer(preload, deadline_s=_SERVER_S)


_all: Final[list[Forks]] = []


def server_pids() -> set[int]:
    """Return the pids of all servers of this process."""
    return {forks.pid for forks in _all if forks.pid is not None}


def _is_as_here(env: Mapping[str, str]) -> bool:
    """Tell whether an interpreter started with *env* is one like this."""

    def read_once(of: Mapping[str, str]) -> dict[str, str]:
        return {k: v for k, v in of.items() if k.startswith(_READ_ONCE)}

    return read_once(env) == read_once(os.environ)


def _is_text(words: Sequence[str]) -> bool:
    """Tell whether an order can say *words*: bytes that aren't text it can't."""
    try:
        "".join(words).encode()
    except UnicodeEncodeError:
        return False
    return True
