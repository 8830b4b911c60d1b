"""Children forked off a fork server, as `trio.Process`es like any other."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import msgspec
import trio

from piker._forkserver import ORDER_MAX, UP, Answer, Order, Own, Preload
from piker.log import get_logger

log = get_logger(__name__)

FORK_DEADLINE_S = 5.0
_SUBREAPER: Final = 36  # PR_SET_CHILD_SUBREAPER, linux/prctl.h
_SEND_BUFFER = 2 * ORDER_MAX


@dataclass(eq=False)
class _Forked:
    """What `trio.Process` needs of a `subprocess.Popen`, for a child made otherwise."""

    pid: int
    args: list[str]
    returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self._reap(os.WNOHANG)
        return self.returncode

    def wait(self) -> int:
        if self.returncode is None:
            self._reap(0)
        assert self.returncode is not None
        return self.returncode

    def _reap(self, flags: int) -> None:
        try:
            pid, status = os.waitpid(self.pid, flags)
        except ChildProcessError:  # reaped by others: as subprocess has it
            self.returncode = 0
            return
        if pid:
            self.returncode = os.waitstatus_to_exitcode(status)

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """Our end of a fork server: a process of its own, or one forked off this one."""

    def __init__(
        self, preload: Preload, *, deadline_s: float = FORK_DEADLINE_S
    ) -> None:
        self._preload = preload
        self._deadline_s = deadline_s
        self._serial = 0
        self._is_up = False
        self._lock = trio.Lock()
        self._proc: subprocess.Popen[bytes] | _Forked
        if Own.sock is None:
            self._start()
            return
        self._proc = _Forked(Own.pid, [])
        self._use(Own.sock)
        Own.sock = None

    @property
    def pid(self) -> int:
        """Of the server."""
        return self._proc.pid

    def _use(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._sock = sock
        self._is_up = False

    def _start(self) -> None:
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            command = [sys.executable, "-m", "piker._forkserver", str(its.fileno())]
            self._proc = subprocess.Popen(  # noqa: S603 - our own module
                [*command, msgspec.json.encode(self._preload)],
                pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        self._use(ours)

    def close(self) -> None:
        """End the server; it has nothing to lose."""
        self._sock.close()
        self._proc.kill()
        self._proc.wait()

    async def open_process(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str,
        files: Mapping[int, int] = MappingProxyType({}),
        spawns: bool = False,
    ) -> trio.Process | None:
        """Fork a daemon, see `fork`."""
        child = await self.fork(
            name, command, env=env, cwd=cwd, files=files, spawns=spawns
        )
        return None if child is None else _as_process(child)

    async def fork(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str,
        files: Mapping[int, int] = MappingProxyType({}),
        spawns: bool = False,
    ) -> _Forked | None:
        """Fork a daemon; None if the server can't, then it is to be started anew.

        Args:
          name: of the process, for its title.
          command: what would start it anew.
          env: the whole environment.
          cwd: working directory.
          files: what becomes its 0, 1 and 2, by these; else they are this process's.
          spawns: give it a fork server of its own.

        Raises:
          OSError: the system has no room for a process.
        """
        async with self._lock:
            if not await self._wait_up():
                return None
            self._serial += 1
            order = Order(
                serial=self._serial,
                name=name,
                args=list(command[command.index(self._preload.runs) + 1 :]),
                env=dict(env),
                cwd=cwd,
                spawns=spawns,
            )
            answer = None
            # An order half done would be a process that nobody knows of.
            with trio.CancelScope(shield=True), trio.move_on_after(self._deadline_s):
                answer = await self._order(order, files)
            if answer is None:
                self._give_up("it gave no answer")
                return None
        if answer.errno:
            raise OSError(answer.errno, os.strerror(answer.errno))
        return _Forked(answer.pid, list(command))

    async def _wait_up(self) -> bool:
        if not self._is_up:
            self._is_up = await self._receive() == UP
            if not self._is_up:
                self._give_up("it died before it was up")
        return self._is_up

    async def _order(self, order: Order, files: Mapping[int, int]) -> Answer | None:
        data = msgspec.msgpack.encode(order)
        with _adopting(), _standard_files(files) as sent:
            try:
                socket.send_fds(self._sock, [data], sent)
            except OSError:
                return None
            while told := await self._receive():
                answer = msgspec.msgpack.decode(told, type=Answer)
                if answer.serial == order.serial:
                    return answer
        return None

    async def _receive(self) -> bytes:
        """Return the next datagram; empty when the server is gone."""
        while True:
            try:
                return self._sock.recv(ORDER_MAX)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._sock.fileno())
            except OSError:
                return b""

    def _give_up(self, why: str) -> None:
        log.warning("the fork server can't be used (%s), another is started", why)
        self.close()
        self._start()


def _as_process(child: _Forked) -> trio.Process:
    create: Any = trio.Process._create  # type: ignore[attr-defined]  # noqa: SLF001
    process: trio.Process = create(child, None, None, None)
    return process


_adoptions = 0


@contextmanager
def _adopting() -> Iterator[None]:
    """Be the parent of processes below us that lose theirs, while the block runs."""
    global _adoptions  # noqa: PLW0603 - it is the process's own attribute
    _adoptions += 1
    if _adoptions == 1:
        _set_subreaper(True)
    try:
        yield
    finally:
        _adoptions -= 1
        if not _adoptions:
            _set_subreaper(False)


def _set_subreaper(wanted: bool) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, int(wanted), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


@contextmanager
def _standard_files(given: Mapping[int, int]) -> Iterator[list[int]]:
    """Give files for 0, 1 and 2: else this process's own, /dev/null for closed ones."""
    with ExitStack() as opened:
        wanted = [given.get(place, place) for place in (0, 1, 2)]
        for place, fd in enumerate(wanted):
            try:
                os.fstat(fd)
            except OSError:
                null = opened.enter_context(open(os.devnull, "r+b"))
                wanted[place] = null.fileno()
        yield wanted


_current: ForkServer | None = None


def fork_server() -> ForkServer | None:
    """Return this process's fork server, None if it has none."""
    global _current  # noqa: PLW0603 - a process has one
    if _current is None and Own.sock is not None:
        _current = ForkServer(Own.preload)
    return _current


@contextmanager
def open_fork_server(preload: Preload) -> Iterator[None]:
    """Fork children of this process, in the block, off a server that has *preload*.

    Within another such block that block's serves.
    """
    global _current  # noqa: PLW0603 - a process has one
    if _current is not None or sys.platform != "linux":
        yield
        return
    _current = server = ForkServer(preload)
    try:
        yield
    finally:
        _current = None
        with suppress(OSError):
            server.close()
