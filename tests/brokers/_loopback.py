"""Servers on the loopback that answer as a test says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

JSON = b'{"ok": true}'


def answer(
    body: bytes = JSON, status: str = "200 OK", *headers: str, length: int | None = None
) -> bytes:
    """Return an HTTP answer; *length* is what it says its body has."""
    length = len(body) if length is None else length
    head = [f"HTTP/1.1 {status}", f"Content-Length: {length}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


class Server:
    """What is answered to each request in turn; the last answer serves for ever.

    An answer is bytes, or an async function that is given the stream.
    """

    def __init__(self, port: int, *answers) -> None:
        self.port = port
        self.answers = list(answers)
        self.asked: list[tuple[float, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def serve(self, stream: trio.SocketStream) -> None:
        with trio.CancelScope():
            try:
                while head := await _head_of(stream):
                    self.asked.append((trio.current_time(), head.split(" ")[1]))
                    told = self.answers[0]
                    if len(self.answers) > 1:
                        self.answers.pop(0)
                    if callable(told):
                        await told(stream)
                        break
                    await stream.send_all(told)
                    if b"Connection: close" in told:
                        break
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            finally:
                with trio.CancelScope(shield=True), trio.move_on_after(1):
                    await stream.aclose()


async def _head_of(stream: trio.SocketStream) -> str:
    head = b""
    while b"\r\n\r\n" not in head:
        more = await stream.receive_some(65536)
        if not more:
            return ""
        head += more
        if head.startswith(b"\x16\x03"):  # a TLS handshake
            await stream.send_all(answer(b"", "400 Plain HTTP"))
            return ""
    return head.decode("latin-1")


@asynccontextmanager
async def open_server(*answers: bytes | Callable) -> AsyncIterator[Server]:
    async with trio.open_nursery() as tasks:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        server = Server(listeners[0].socket.getsockname()[1], *answers)
        tasks.start_soon(trio.serve_listeners, server.serve, listeners)
        yield server
        tasks.cancel_scope.cancel()
