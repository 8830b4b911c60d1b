"""Liveness: know at once that the process at the other end of a socket is gone.

tractor's own ``connected()`` says only that our descriptor is open. The kernel knows
better: one ``epoll`` a process watches every peer's socket for ``EPOLLRDHUP``, which
comes when the far end closes or dies; a trio task sleeps on that epoll.
"""

from __future__ import annotations

import select
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import trio

from ._version import A5

_POLL_S = 1.0  # in case our own side closed the descriptor: no event comes of that
_DRAIN_S = 1.0
_SETTLE_S = 0.02


def raw_socket(chan: Any) -> socket.socket | None:
    """Return the OS socket under a tractor channel, None if it has none (any more)."""
    transport = chan.msgstream if A5 else chan._transport  # noqa: SLF001
    if transport is None:
        return None
    return transport.stream.socket._sock  # noqa: SLF001


@dataclass(eq=False)
class _Watched:
    sock: socket.socket
    gone: trio.Event = field(default_factory=trio.Event)
    users: int = 0


class _Watch:
    """The epoll of one trio run, and the task that sleeps on it."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, _Watched] = {}
        trio.lowlevel.spawn_system_task(self._run, name="piker-peer-watch")

    async def _run(self) -> None:
        try:
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                for fd, _ in self._epoll.poll(0):
                    entry = self._watched.pop(fd, None)
                    if entry is not None:
                        entry.gone.set()
                    self._forget(fd)
        finally:
            self._epoll.close()
            _watches.pop(trio.lowlevel.current_root_task(), None)

    def _forget(self, fd: int) -> None:
        with suppress(OSError, ValueError):  # closed: the kernel forgot it by itself
            self._epoll.unregister(fd)

    def _enter(self, sock: socket.socket) -> _Watched:
        fd = sock.fileno()
        entry = self._watched.get(fd)
        if entry is not None and entry.sock is not sock:
            entry.gone.set()  # its number was given to a new socket: it is closed
            entry = None
        if entry is None:
            entry = self._watched[fd] = _Watched(sock)
            self._forget(fd)
            self._epoll.register(fd, select.EPOLLRDHUP | select.EPOLLHUP)
        entry.users += 1
        return entry

    def _leave(self, fd: int, entry: _Watched) -> None:
        entry.users -= 1
        if not entry.users and self._watched.get(fd) is entry:
            del self._watched[fd]
            self._forget(fd)

    async def wait_gone(self, sock: socket.socket) -> None:
        fd = sock.fileno()
        if fd < 0 or _at_eof(sock):
            return
        entry = self._enter(sock)
        try:
            while sock.fileno() == fd and not entry.gone.is_set():
                with trio.move_on_after(_POLL_S):
                    await entry.gone.wait()
        finally:
            self._leave(fd, entry)


# by root task: a process may run trio twice, one tree after the other
_watches: dict[Any, _Watch] = {}


def _at_eof(sock: socket.socket) -> bool:
    """Tell whether all that the peer ever sent has been read, and no more comes."""
    try:
        return sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def is_gone(chan: Any) -> bool:
    """Tell whether the peer of a tractor channel has closed or died."""
    sock = raw_socket(chan)
    return sock is None or sock.fileno() < 0 or _at_eof(sock)


async def wait_gone(chan: Any) -> None:
    """Return once the peer of a tractor channel has closed or died.

    What it sent before that is given a moment to be read and handled, so that a
    result followed by an exit is a result, not a lost connection.
    """
    sock = raw_socket(chan)
    if sock is None:
        return
    root = trio.lowlevel.current_root_task()
    watch = _watches.get(root)
    if watch is None:
        watch = _watches[root] = _Watch()
    await watch.wait_gone(sock)
    with trio.move_on_after(_DRAIN_S):
        while sock.fileno() >= 0 and not _at_eof(sock):  # noqa: ASYNC110 - no event
            await trio.sleep(0.005)
    await trio.sleep(_SETTLE_S)


def abort(chan: Any) -> None:
    """Break a channel's connection now: no wait, no farewell; both ends notice."""
    sock = raw_socket(chan)
    if sock is not None and sock.fileno() >= 0:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
