"""Messages get onto a connection whole, or nothing follows them.

tractor sends under a lock, but a send that is cancelled while the socket is full leaves
half a message there. What is sent next would be read as its other half, and the peer
would wait for ever for the rest of that.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any, Final

import trio

#: To a peer that reads, the rest of a message gets out within so long.
REST_S: Final = 0.5


def sends_whole(init: Callable[..., None]) -> Callable[..., None]:
    """Return *init*, of tractor's connections, so that they send whole messages."""

    @wraps(init)
    def init_whole(self: Any, stream: Any, *args: Any, **kwargs: Any) -> None:
        init(self, stream, *args, **kwargs)

        async def send_all(data: bytes) -> None:
            await send_whole(stream, data)

        stream.send_all = send_all

    return init_whole


async def send_whole(stream: trio.SocketStream, data: bytes) -> None:
    """Send *data*, as ``stream.send_all()`` does; for one sender at a time.

    Cancelled in the middle it sends the rest, if that gets out soon; else it breaks the
    connection.
    """
    left = memoryview(data)
    try:
        while left:
            left = left[await stream.socket.send(left) :]
    except trio.Cancelled:
        if len(left) < len(data):
            await _end_message(stream, left)
        raise
    except OSError as err:
        # in trio's words: tractor's main goes by them
        if err.errno == errno.EBADF:
            raise trio.ClosedResourceError("this socket was already closed") from None
        raise trio.BrokenResourceError(f"socket connection broken: {err}") from err


async def _end_message(stream: trio.SocketStream, left: memoryview) -> None:
    with suppress(OSError), trio.move_on_after(REST_S) as scope:
        scope.shield = True
        while left:
            left = left[await stream.socket.send(left) :]
        return
    with suppress(OSError):
        stream.socket.shutdown(socket.SHUT_RDWR)
