"""Programs of a test suite, forked off a server that has their code.

[a test's process] --argv--> [fork server] --fork--> [a program, child of the test's]

A suite starts programs by the hundred, and imports are most of a start. Its servers
have most of them in common, so they are forked off one more, `BASE`.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec
import trio

from piker._forkserver import Own, Preload, serve
from piker.service import open_fork_server
from piker.service._spec import PRELOAD

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
      base: off whose server this one is forked, where that is wanted too.
    """

    runs: str
    first: tuple[str, ...]
    base: Forks | None = None
    _is_wanted: bool = field(default=False, init=False)
    _server: ForkServer | None = field(default=None, init=False)
    _lock: trio.Lock = field(default_factory=trio.Lock, init=False)

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
        server = await self._started()
        pipes, files = {}, dict(enumerate(wishes))
        for nth in (nth for nth, wish in files.items() if wish == subprocess.PIPE):
            reads, writes = os.pipe()
            files[nth], pipes[nth] = (writes, reads) if nth else (reads, writes)
        process = None
        try:
            process = await server.open_process(
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

    async def _started(self) -> ForkServer:
        """Return the server, started if there is none."""
        from piker.service._tractor._fork import ForkServer

        async with self._lock:
            if self._server is None:
                preload = Preload(first=self.first, runs=self.runs)
                if self.base is not None:
                    await self.base.lend(preload)
                self._server = ForkServer(preload, deadline_s=_SERVER_S)
            return self._server

    async def lend(self, preload: Preload) -> None:
        """Fork a server off this one; the process's next `ForkServer` is its end.

        Where none can be forked, that one starts its own.
        """
        if not self._is_wanted:
            return
        server = await self._started()
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        child = None
        try:
            with its:
                child = await server.fork(
                    "server",
                    [sys.executable, self.runs, msgspec.json.encode(preload).decode()],
                    env=os.environ,
                    cwd=os.getcwd(),
                    files={0: its.fileno(), 1: subprocess.DEVNULL},
                )
        finally:
            if child is None:
                ours.close()
        if child is not None:
            Own.sock, Own.pid, Own.preload = ours, child.pid, preload


_all: Final[list[Forks]] = []

#: Off which the servers of a suite are forked: it has what each of them has.
BASE: Final = Forks(runs=__name__, first=(*PRELOAD.first, *PRELOAD.idle, *VENUE_CODE))


@contextmanager
def one_tree_server() -> Iterator[None]:
    """Fork the daemons of all trees in the block off one server, with venues' code."""
    trio.run(BASE.lend, msgspec.structs.replace(PRELOAD, first=BASE.first, idle=()))
    with open_fork_server(VENUE_CODE):
        yield


def run_child() -> NoReturn:
    """Be a fork server of what ``sys.argv`` says, for who has stdin's other end."""
    sock = socket.socket(fileno=os.dup(0))
    with open(os.devnull, "r+b") as null:
        os.dup2(null.fileno(), 0)
    serve(sock, msgspec.json.decode(sys.argv[1], type=Preload))


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
