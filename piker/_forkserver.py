"""A fork server: the process that daemons are forked from.

It has imported what every daemon needs and begun nothing: one thread, no event loop,
no file, no secret. A daemon forked from it is up in a tenth of the time a fresh
interpreter takes, and shares its modules' memory with the others.

Orders come as datagrams over a socket pair, the three standard files with them. Each
is answered by the daemon's pid, or the errno that kept it from being. The daemon is
*not* the server's child: it is forked twice, and whoever ordered it is its parent,
being its nearest subreaper just then (``prctl(2)``, PR_SET_CHILD_SUBREAPER).
"""

from __future__ import annotations

import errno
import gc
import importlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final, NoReturn

import msgspec
import setproctitle

from piker.process import be_starting

ORDER_MAX = 2**20  # bytes; the environment is most of it
UP: Final = b"up"
#: What `ps` calls a fork server.
TITLE: Final = "piker fork server"
_STANDARD_FILES = 3


class Preload(msgspec.Struct, frozen=True):
    """What a server imports, and what its forks are.

    Attributes:
      first: modules to import.
      idle: those to import after them, while nobody orders.
      runs: a module of which each fork runs ``run_child()``. What it has by the name
        of ``prepare(order)`` the server calls before it forks.
    """

    first: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    runs: str = "piker._child"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to fork.

    Attributes:
      serial: of the order, told back with its answer.
      name: of the actor, for the process's title.
      args: its command line, e.g. for tractor's own start.
      env: the whole environment.
      cwd: working directory, and where modules are looked for first.
      spawns: give it a fork server of its own, for children of its own.
    """

    serial: int
    name: str
    args: list[str]
    env: dict[str, str]
    cwd: str
    spawns: bool = False


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """How an order went: the pid, or why there is none."""

    serial: int
    pid: int = 0
    errno: int = 0


class Own:
    """This process's own fork server, if it was given one before it had threads."""

    sock: socket.socket | None = None
    pid = 0
    preload: Preload = Preload()


def fork_own(preload: Preload) -> None:
    """Fork this process's own server off it, if it can: it must have one thread.

    Call it before anything is begun: what is open by now is open in every daemon.
    """
    if Own.sock is not None or not can_fork():
        return
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if not pid:
        ours.close()
        serve(its, preload)
    its.close()
    Own.sock, Own.pid, Own.preload = ours, pid, preload


def is_fork_server(command_line: Sequence[str]) -> bool:
    """Tell whether a process of this command line is a fork server."""
    words = " ".join(command_line)
    return words.startswith(TITLE) or "-m piker._forkserver" in words


def can_fork() -> bool:
    """Tell whether this process has one thread only, on a system that can serve us."""
    if sys.platform != "linux":
        return False
    with suppress(OSError), open("/proc/self/stat", "rb") as stat:
        # after the name, which may hold anything: the 20th field of all is the count
        return stat.read().rpartition(b")")[2].split()[17] == b"1"
    return False


def serve(sock: socket.socket, preload: Preload) -> NoReturn:
    """Import *preload*, then fork what *sock* asks for until its other end closes."""
    # both go to the whole group of the root, which ends its daemons in order
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    setproctitle.setproctitle(TITLE)
    Own.preload = preload
    _import(preload.first)
    with suppress(OSError):
        sock.send(UP)
        for module in preload.idle:
            while select.select([sock], [], [], 0)[0]:
                _serve_one(sock)
            _import([module])
        while True:
            _serve_one(sock)
    os._exit(0)


def _import(modules: Iterable[str]) -> None:
    for module in modules:
        # a daemon that needs it fails with it, and says so; others are not to
        with suppress(Exception):
            importlib.import_module(module)
    gc.collect()
    gc.freeze()  # so that no daemon's collector looks at it, which would unshare it


def _serve_one(sock: socket.socket) -> None:
    data, files, _, _ = socket.recv_fds(sock, ORDER_MAX, _STANDARD_FILES)
    if not data:
        os._exit(0)  # whom we served has gone
    order = msgspec.msgpack.decode(data, type=Order)
    _prepare(order)
    answer = _fork_twice(order, files, sock)
    for fd in files:
        os.close(fd)
    sock.send(msgspec.msgpack.encode(answer))


def _prepare(order: Order) -> None:
    # what fails here fails in the fork too, which says so
    with suppress(Exception):
        module = importlib.import_module(Own.preload.runs)
        if prepare := getattr(module, "prepare", None):
            prepare(order)


def _fork_twice(order: Order, files: list[int], sock: socket.socket) -> Answer:
    """Fork a process that forks the daemon and ends, which orphans it on purpose."""
    told, telling = os.pipe()
    try:
        between = os.fork()
    except OSError as err:
        os.close(told)
        os.close(telling)
        return Answer(serial=order.serial, errno=err.errno or errno.EAGAIN)
    if not between:
        orphaned = os.getpid()
        try:
            daemon = os.fork()
        except OSError as err:
            daemon = -(err.errno or errno.EAGAIN)
        if not daemon:
            sock.close()
            os.close(told)
            os.close(telling)
            while os.getppid() == orphaned:  # who ordered it isn't its parent yet
                time.sleep(0.0005)
            _be_daemon(order, files)
        os.write(telling, str(daemon).encode())
        os._exit(0)
    os.close(telling)
    os.waitpid(between, 0)
    pid = int(os.read(told, 20) or -errno.EAGAIN)
    os.close(told)
    return Answer(serial=order.serial, pid=max(pid, 0), errno=max(-pid, 0))


def _be_daemon(order: Order, files: list[int]) -> NoReturn:
    """Become what a fresh interpreter would be with *order*'s command line."""
    for place, fd in enumerate(files):
        os.dup2(fd, place)
        os.close(fd)
    _look_in(order)
    os.environ.clear()
    os.environ.update(order.env)
    os.chdir(order.cwd)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    sys.argv = [sys.argv[0], *order.args]
    Own.sock = None
    if order.spawns:
        fork_own(Own.preload)
    setproctitle.setproctitle(" ".join(["piker", order.name, *order.args]))
    importlib.import_module(Own.preload.runs).run_child()
    os._exit(0)


def _look_in(order: Order) -> None:
    """Look for modules where a fresh interpreter would: its folder, its PYTHONPATH."""
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    now = order.env.get("PYTHONPATH", "").split(os.pathsep)
    rest = [each for each in sys.path[1:] if each not in before]
    sys.path[:] = [order.cwd, *(each for each in now if each), *rest]
    importlib.invalidate_caches()


def main() -> NoReturn:
    """Be the server of the process that has our socket's other end."""
    be_starting()
    _, fd, preload = sys.argv
    serve(socket.socket(fileno=int(fd)), msgspec.json.decode(preload, type=Preload))


if __name__ == "__main__":
    from piker._forkserver import main as run  # what daemons import, not its double

    run()
