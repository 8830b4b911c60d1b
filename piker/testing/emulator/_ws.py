"""One websocket connection of an emulated venue.

    socket --> ServerProtocol --> the venue's requests
    frames (ready bytes) --> segments, each with its time --> socket

The handshake, control frames and what clients send go through `websockets`; frames of
market data are built here, once for all clients, and only appended.
"""

from __future__ import annotations

import fcntl
import math
import socket
import struct
import termios
from collections import deque
from contextlib import suppress
from typing import Final

import trio
from websockets.exceptions import ConnectionClosed, InvalidState
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from ._faults import Faults
from ._stats import Stats

#: At full speed the tape waits while more than this is unsent to a client.
HIGH_BYTES: Final = 256 * 1024
#: What is late by a fault goes with what is put so much sooner, or a tenth of how late
#: it is: a write of its own for each frame costs more than the frames do.
_TOGETHER_S: Final = 0.002
_RECEIVE: Final = 65536
_READ: Final = b"all of it"
_FLUSH_S: Final = 3.0  # for a client to take what precedes a disconnect
_LINGER_NOW: Final = struct.pack("ii", 1, 0)
_BROKEN: Final = (trio.BrokenResourceError, trio.ClosedResourceError)


def text_frame(payload: bytes, opcode: int = 1) -> bytes:
    """Return *payload* as one unmasked, final frame."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 65536:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big") + payload


def payload_of(frame: bytes) -> bytes:
    """Return what `text_frame` made a frame of."""
    return frame[{126: 4, 127: 10}.get(frame[1], 2) :]


class Connection:
    """A client's websocket.

    Attributes:
      path: with its query, as it was asked for.
      streams: it listens to, in order of subscription.
      mute_streams: binance: it asked for them where they aren't told.
      route: binance: what the path began with, empty for none.
      combined: binance: messages are wrapped with their stream's name.
      size: bytes not yet taken by the kernel.
      lose: market-data frames to leave out, a fault.
      silent_until: on trio's clock; nothing is sent before, a fault.
      mute: requests and pings aren't answered meanwhile either.
      last_sent: when, on trio's clock.
      last_heard: when, on trio's clock.
      is_closing: nothing more is said.
      is_done: both sides said goodbye.
    """

    def __init__(
        self, stream: trio.SocketStream, faults: Faults, stats: Stats, path: str
    ) -> None:
        self.stream = stream
        self.path = path
        self.streams: dict[str, None] = {}
        self.mute_streams: dict[str, None] = {}
        self.route = ""
        self.combined = True
        self.proto = ServerProtocol()
        self.size = 0
        self.lose = 0
        self.silent_until = -math.inf
        self.mute = False
        self.last_sent = self.last_heard = trio.current_time()
        self.is_closing = False
        self.is_done = False
        self._faults = faults
        self._stats = stats
        self._segments: deque[tuple[float, bytearray]] = deque()
        self._wake = trio.Event()
        self._waiting = trio.lowlevel.ParkingLot()
        self._pinging = trio.lowlevel.ParkingLot()

    # -- sending -------------------------------------------------------------------

    @property
    def is_silent(self) -> bool:
        """Whether a fault keeps it silent now."""
        return self.lose > 0 or trio.current_time() < self.silent_until

    def push(self, frame: bytes) -> None:
        """Send market data, unless a fault says otherwise."""
        if self.lose:
            self.lose -= 1
        elif not self.is_closing:
            if self.silent_until > 0 and self.is_silent:
                return
            self._stats.sent += 1
            self.put(frame)

    def say(self, payload: bytes) -> None:
        """Send an answer or a heartbeat."""
        if not self.is_closing:
            self._stats.sent += 1
            self.put(self.framed(payload))

    def framed(self, payload: bytes, opcode: int = 1) -> bytes:
        """Return a message as it goes over this connection."""
        return text_frame(payload, opcode)

    def payload_of(self, frame: bytes) -> bytes:
        """Return what `framed` made a frame of."""
        return payload_of(frame)

    def put(self, data: bytes) -> None:
        """Send bytes as they are."""
        release = together_s = 0.0
        if latency_s := self._faults.latency_s:
            release = trio.current_time() + latency_s
            together_s = min(latency_s / 10, _TOGETHER_S)
        segments = self._segments
        if segments and segments[-1][0] >= release - together_s:
            segments[-1][1].extend(data)
        else:
            segments.append((release, bytearray(data)))
        self.size += len(data)
        if not self._wake.is_set():
            self._wake.set()

    async def run_sender(self) -> None:
        """Write what is put; ends with the socket."""
        try:
            while True:
                if not self._segments:
                    self._wake = trio.Event()
                    await self._wake.wait()
                release, data = self._segments.popleft()
                if release:
                    await trio.sleep_until(release)
                self.last_sent = trio.current_time()
                await self.stream.send_all(memoryview(data))
                self.size -= len(data)
                self._waiting.unpark_all()
        except _BROKEN:
            pass
        finally:
            self.size = 0
            self.is_closing = True
            self._waiting.unpark_all()
            self._pinging.unpark_all()

    async def wait_below(self, size: int) -> None:
        """Wait until no more than *size* bytes are unsent, or it is closed."""
        while self.size > size:
            await self._waiting.park()

    async def wait_read(self) -> None:
        """Wait until the client has read all that was sent, or it is closed.

        It answers pings in their turn.
        """
        if self.is_closing:
            return
        with suppress(ConnectionClosed, InvalidState):
            self.proto.send_ping(_READ)
            self.flush_protocol()
            await self._pinging.park()

    # -- receiving -----------------------------------------------------------------

    async def receive(self) -> list[Frame]:
        """Return frames of the client, control frames too; [] at the end.

        Pings are answered here, and a close is.
        """
        while not self.is_done:
            try:
                data = await self.stream.receive_some(_RECEIVE)
            except _BROKEN:
                return []
            if self._faults.latency_s:
                await trio.sleep(self._faults.latency_s)
            if self.mute:
                await trio.sleep_until(self.silent_until)
                self.mute = False
            if not data:
                return []
            self.last_heard = trio.current_time()
            self.proto.receive_data(data)
            frames = [e for e in self.proto.events_received() if isinstance(e, Frame)]
            self.flush_protocol()
            pongs = [bytes(f.data) for f in frames if f.opcode is Opcode.PONG]
            self._pinging.unpark(count=pongs.count(_READ))
            if frames:
                return frames
        return []

    def flush_protocol(self) -> None:
        """Put what the protocol wants sent; note whether that was its end."""
        for data in self.proto.data_to_send():
            if data:
                self.put(data)
            else:  # the closing handshake is done: it is the server's to hang up
                self.is_closing = self.is_done = True

    def ping(self) -> None:
        """Send a ping."""
        if not self.is_silent and not self.is_closing:
            self.proto.send_ping(b"emulator")
            self.flush_protocol()

    # -- the end -------------------------------------------------------------------

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye; `receive` sees the client's answer."""
        with suppress(ConnectionClosed, InvalidState):
            self.proto.send_close(code, reason)
        self.flush_protocol()
        self.is_closing = True
        with trio.move_on_after(_FLUSH_S):
            await self.wait_below(0)
            with suppress(*_BROKEN):
                await self.stream.send_eof()

    async def reset(self) -> None:
        """Break the connection; what was sent arrives before."""
        self.is_closing = True
        with trio.move_on_after(_FLUSH_S):
            await self.wait_below(0)
            while _unacknowledged(self.stream.socket):  # noqa: ASYNC110
                await trio.sleep(0.0005)
        self.break_off()

    def break_off(self) -> None:
        """Break the connection now, whatever is unsent."""
        self.is_closing = True
        with suppress(OSError):
            sock = self.stream.socket
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOW)
        self.stream.socket.close()


def is_message(frame: Frame) -> bool:
    """Tell whether *frame* is data, not control."""
    return frame.opcode in {Opcode.TEXT, Opcode.BINARY}


def _unacknowledged(sock: trio.socket.SocketType) -> int:
    """Return the bytes that the peer's kernel hasn't got yet."""
    try:
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    except (OSError, ValueError):  # closed meanwhile: it has no number any more
        return 0
    return int(struct.unpack("i", answer)[0])
