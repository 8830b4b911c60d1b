"""A websocket to a venue: frames by the batch, and when it was last heard of.

    TCP, TLS, proxy, handshake, frames: ``websockets``
        --all frames of one read--> receive() -> [payload, ...]

One batch a read instead of one message a wake-up makes it about twice as fast as the
library's own ``recv()``; a reader that stops reading stops the venue, as with any
TCP connection.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, cast

import trio
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidProxy,
    InvalidStatus,
    InvalidURI,
)
from websockets.frames import Frame, Opcode
from websockets.trio.client import ClientConnection, connect

from piker.errors import VenueError, VenueRefused, VenueUnreachable
from piker.msgs import boot_ns
from piker.service import collapse_eg

from ._errors import FORBIDDEN, place_of, refused_status, unreachable

#: A frame larger than this is not what was subscribed to.
MAX_FRAME: Final = 8 * 2**20
_HELD_FRAMES: Final = 4096  # received and not yet taken: then reading pauses
_CLOSE_S: Final = 0.3  # for the venue to answer our goodbye

#: What trio raises for a stream that broke.
_BROKEN: Final = (trio.BrokenResourceError, trio.ClosedResourceError)

quiet = logging.getLogger("piker.websockets")
quiet.setLevel(logging.CRITICAL)  # what happens is told by the errors raised


class _Connection(ClientConnection):
    """The library's connection, its frames handed over by the batch."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # before the base class: it starts to read at once
        self.payloads: list[bytes] = []
        self.pieces: list[bytes] = []
        self.arrived = trio.Event()
        self.last_heard = trio.current_time()
        self.received_ns = 0
        super().__init__(*args, **kwargs)

    def process_event(self, event: Any) -> None:
        """Take one frame; the library calls it for each that comes."""
        self.last_heard = trio.current_time()
        if not isinstance(event, Frame) or self.response is None:
            super().process_event(event)
            return
        opcode = event.opcode
        if opcode is Opcode.TEXT or opcode is Opcode.BINARY or opcode is Opcode.CONT:
            self._take(event)
        else:
            super().process_event(event)

    def _take(self, frame: Frame) -> None:
        if not frame.fin or self.pieces:
            self.pieces.append(bytes(frame.data))
            if not frame.fin:
                return
            payload = b"".join(self.pieces)
            self.pieces = []
        else:
            payload = bytes(frame.data)
        if not self.payloads:
            self.received_ns = boot_ns()
            self.arrived.set()
        self.payloads.append(payload)
        if len(self.payloads) == _HELD_FRAMES:
            self.pause_reading()

    def take_batch(self) -> list[bytes]:
        """Return all payloads there are, and let more come."""
        batch, self.payloads = self.payloads, []
        self.arrived = trio.Event()
        if len(batch) >= _HELD_FRAMES:
            self.resume_reading()
        return batch


class Socket:
    """An open websocket.

    Attributes:
      url: where to.
    """

    def __init__(self, venue: str, url: str, conn: _Connection) -> None:
        """Use `open_socket`."""
        self.venue = venue
        self.url = url
        self._conn = conn

    @property
    def last_heard(self) -> float:
        """When the venue last said anything, answers to pings included; trio time."""
        return self._conn.last_heard

    async def receive(self) -> tuple[int, list[bytes]]:
        """Return when the first of a batch of frames came, and their payloads.

        When: ns of `boot_ns`, which nobody can set.

        Raises VenueUnreachable once the connection is lost and all frames are taken.
        """
        conn = self._conn
        if not conn.payloads:
            async with trio.open_nursery() as tasks:
                tasks.start_soon(self._wake_at_end, tasks.cancel_scope)
                await conn.arrived.wait()
                tasks.cancel_scope.cancel()
        if not conn.payloads:
            raise self._lost()
        received_ns = conn.received_ns
        return received_ns, conn.take_batch()

    async def _wake_at_end(self, scope: trio.CancelScope) -> None:
        await self._conn.stream_closed.wait()
        scope.cancel()

    async def send(self, text: str) -> None:
        """Send a text frame; VenueUnreachable if the connection is lost."""
        try:
            await self._conn.send(text)
        except ConnectionClosed:
            raise self._lost() from None

    async def ping(self) -> None:
        """Ask for a sign of life; its answer moves `last_heard`."""
        try:
            await self._conn.ping()
        except ConnectionClosed:
            raise self._lost() from None

    def _lost(self) -> VenueUnreachable:
        closed = self._conn.protocol.close_rcvd
        if closed is not None:
            said = f" {closed.reason!r}" if closed.reason else ""
            why = f"it closed the connection ({closed.code}{said})"
        else:
            why = "the connection broke"
        return VenueUnreachable(f"{self.venue} at {place_of(self.url)}: {why}")


@asynccontextmanager
async def open_socket(
    venue: str, url: str, *, proxy: str = "", deadline_s: float = 10.0
) -> AsyncIterator[Socket]:
    """Yield a websocket to *url*; the block's end closes it within half a second.

    Args:
      venue: its name, for errors.
      url: ``ws://`` or ``wss://``.
      proxy: URL of a proxy, empty for what the environment says.
      deadline_s: to be connected in.

    Raises:
      VenueUnreachable: no connection, a server out of order, or a page for people.
      VenueRefused: the venue doesn't want us: another status than 101, a bad URL.
    """
    connecting = connect(
        url,
        proxy=proxy or True,
        compression=None,  # the venues send none, and it would cost more than it saves
        user_agent_header="piker",
        open_timeout=deadline_s,
        ping_interval=None,  # who uses it watches for silence
        close_timeout=_CLOSE_S,
        max_size=MAX_FRAME,
        max_queue=None,
        logger=quiet,
        create_connection=_Connection,
    )
    # not its own `async with`: that one wants exception groups, which trio 0.22's
    # nurseries don't raise for a single error
    async with collapse_eg(), trio.open_nursery() as tasks:
        with as_venue_errors(venue, url):
            conn = await connecting.connect(tasks)
        try:
            yield Socket(venue, url, cast("_Connection", conn))
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(2 * _CLOSE_S):
                await conn.aclose()
            tasks.cancel_scope.cancel()


@contextmanager
def as_venue_errors(venue: str, url: str) -> Generator[None, None, None]:
    """Let out errors of ours only, with no word of a proxy's URL: of its password."""
    try:
        yield
    except InvalidStatus as err:
        raise _refusal(venue, url, err) from err
    except InvalidURI as err:
        raise VenueRefused(f"{venue}: {place_of(url)} is no URL: {err.msg}") from None
    except InvalidProxy as err:
        raise VenueRefused(f"{venue}: its proxy's URL is none: {err.msg}") from None
    except ImportError as err:
        raise VenueRefused(f"{venue}: {err}") from err
    except ValueError:  # of urlsplit, which quotes what it can't read
        raise VenueUnreachable(
            f"{venue} can't be reached at {place_of(url)}: that URL, or its proxy's,"
            " can't be used"
        ) from None
    except (OSError, InvalidHandshake, EOFError, *_BROKEN) as err:
        raise unreachable(venue, url, err) from err


def _refusal(venue: str, url: str, err: InvalidStatus) -> VenueError:
    status = err.response.status_code
    if status < 300:  # of who stands between us and the venue
        return VenueUnreachable(
            f"{venue} serves no websocket at {place_of(url)} (HTTP {status})"
        )
    said = (err.response.body or b"")[:200].decode(errors="replace")
    if not said.lstrip().startswith("<"):
        return refused_status(venue, url, status, said)
    refusal = refused_status(venue, url, status, "")
    if isinstance(refusal, VenueRefused) or status == FORBIDDEN:  # pages come and go
        return VenueUnreachable(
            f"{venue} sent a web page instead of a websocket at {place_of(url)}"
            f" (HTTP {status})"
        )
    return refusal
