"""Bytes of the TWS socket protocol: fields that end in a NUL, messages by length.

    4 bytes of length, big end first | "71" NUL "2" NUL "17" NUL NUL

By https://interactivebrokers.github.io/tws-api/connection.html and by what the
published clients send and read; a number that isn't told is an empty field.
"""

from __future__ import annotations

import math
from contextlib import suppress
from decimal import Decimal
from typing import Any, Final

import trio

from ._faults import Faults
from ._stats import Stats
from ._ws import Connection

#: How every client begins; its range of versions follows, with a length.
GREETING: Final = b"API\0"

_LONGEST: Final = 0xFFFFFF  # a message of more is none
_RECEIVE: Final = 65536
_FLUSH_S: Final = 3.0
_BROKEN: Final = (trio.BrokenResourceError, trio.ClosedResourceError)


class NotSpoken(Exception):
    """What came isn't this protocol."""


def text_of(value: Any) -> str:
    """Return a field as it is sent."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, Decimal):
        return f"{value.normalize():f}" if value else "0"
    if isinstance(value, float):
        return number(value)
    return str(value)


def number(value: float) -> str:
    """Return a float as it is sent: as short as it can be, whole ones without a point.

    NaN, which no message has, is as good as not told.
    """
    if math.isnan(value):
        return ""
    return str(int(value)) if value == int(value) else repr(value)


def message(*fields: Any) -> bytes:
    """Return a message with its length before it."""
    return packed("".join([f"{text_of(field)}\0" for field in fields]))


def packed(text: str) -> bytes:
    """Return a message, of fields that are ended already, with its length before it."""
    body = text.encode()
    return len(body).to_bytes(4) + body


class TwsConnection(Connection):
    """A client of the socket protocol.

    What comes of it is read by one task.
    """

    def __init__(
        self, stream: trio.SocketStream, faults: Faults, stats: Stats, head: bytes
    ) -> None:
        super().__init__(stream, faults, stats, "tws")
        self._came = bytearray(head)
        self._left = trio.Event()

    def framed(self, payload: bytes, opcode: int = 1) -> bytes:
        """Return a message with its length before it; there is but one kind."""
        return len(payload).to_bytes(4) + payload

    def payload_of(self, frame: bytes) -> bytes:
        """Return a message without its length."""
        return frame[4:]

    def tell(self, *fields: Any) -> None:
        """Send a message that isn't market data."""
        if not self.is_closing:
            self._stats.sent += 1
            self.put(message(*fields))

    def tell_error(self, req_id: int, code: int, text: str) -> None:
        """Send an error or a notice; *req_id* is -1 where it is of no request."""
        self.tell(4, 2, req_id, code, text, "")

    # -- what comes ---------------------------------------------------------------

    async def greeting(self) -> tuple[int, int]:
        """Return the lowest and the highest version that the client speaks.

        Raises: NotSpoken.
        """
        while len(self._came) < 4:
            await self._more()
        del self._came[:4]
        told = (await self._next()).decode(errors="replace")
        low, _, high = told.partition(" ")[0].removeprefix("v").partition("..")
        high = high or low
        if not all(one.isdecimal() and len(one) < 9 for one in (low, high)):
            raise NotSpoken(f"no range of versions: {told[:40]!r}")
        return int(low), int(high)

    async def request(self) -> list[str]:
        """Return the fields of the next message; raises NotSpoken at the end too."""
        told = await self._next()
        if not told.endswith(b"\0"):
            raise NotSpoken(f"a message that has no end: {told[:40]!r}")
        return told[:-1].decode(errors="replace").split("\0")

    async def _next(self) -> bytes:
        while True:
            came = self._came
            if len(came) >= 4:
                size = int.from_bytes(came[:4])
                if size > _LONGEST:
                    raise NotSpoken(f"a message of {size} bytes")
                if len(came) >= 4 + size:
                    told = bytes(came[4 : 4 + size])
                    del came[: 4 + size]
                    return told
            await self._more()

    async def _more(self) -> None:
        try:
            data = await self.stream.receive_some(_RECEIVE)
        except _BROKEN:
            data = b""
        if self._faults.latency_s:
            await trio.sleep(self._faults.latency_s)
        if self.mute:
            await trio.sleep_until(self.silent_until)
            self.mute = False
        if not data:
            self._left.set()
            raise NotSpoken("the client is gone")
        self.last_heard = trio.current_time()
        self._came += data

    # -- the end ------------------------------------------------------------------

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Hang up, once all is sent; break off if the client doesn't."""
        self.is_closing = True
        with trio.move_on_after(_FLUSH_S):
            await self.wait_below(0)
            with suppress(*_BROKEN):
                await self.stream.send_eof()
            await self._left.wait()
        self.break_off()

    def ping(self) -> None:
        """Do nothing: the protocol has no pings."""
