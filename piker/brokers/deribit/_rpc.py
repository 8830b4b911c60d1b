r"""A JSON-RPC connection to Deribit: lives on the asyncio loop of its actor.

    request(method) --its id--> websocket --answer--> who asked
    send(text), frames(emit)  <---all else: messages of channels, answers to others---
    test_request --> public/test, at once      keys --> Grants: known all along

Requests are told apart by their ids, so many may be under way. Nothing is sent twice,
and nothing connects again: who holds it opens another.

https://docs.deribit.com/articles/json-rpc-overview
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from piker.brokers._web._errors import place_of
from piker.brokers._web._ws import MAX_FRAME, as_venue_errors, quiet
from piker.errors import VenueRefused, VenueUnreachable
from piker.log import get_logger
from piker.msgs import boot_ns

from ._answers import parse_error
from ._grants import Grants, Pulse

if TYPE_CHECKING:
    from piker.brokers._live._secrets import Keys

log = get_logger(__name__)

#: When it came, ns of `boot_ns`, and its bytes.
Frame = tuple[int, bytes]
Emit = Callable[[Frame], None]

#: Ids of requests that are asked for here; who sends texts takes lower ones.
OWN_IDS: Final = 1 << 40
#: The venue speaks at least so often, and asks whether we are there; it takes no less.
HEARTBEAT_S: Final = 10
_CLOSE_S: Final = 0.3
#: How a message of a channel begins: it is no answer to anything.
_MESSAGE: Final = b'{"jsonrpc":"2.0","method":"subscription"'


class _Head(msgspec.Struct, frozen=True, gc=False):
    method: str = ""
    params: dict[str, Any] | None = None
    id: Any = None


_JSON: Final = msgspec.json.Encoder(decimal_format="number")
_HEAD: Final = msgspec.json.Decoder(_Head)


class Rpc:
    """A connection; use `open_rpc`."""

    def __init__(
        self, venue: str, url: str, conn: ClientConnection, pulse: Pulse
    ) -> None:
        """Hold what is open."""
        self._venue, self._url, self._conn, self._pulse = venue, url, conn, pulse
        self._ids = count(OWN_IDS)
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._emit: Emit | None = None
        self._is_lost = asyncio.Event()
        self._tasks = set[asyncio.Task[None]]()
        self._grants: Grants | None = None

    # -- asking -------------------------------------------------------------------

    async def request(self, method: str, params: dict[str, Any]) -> bytes:
        """Return the frame that answers a request, an error or not.

        Raises: VenueUnreachable: the connection is lost; it may have been done.
        """
        number = next(self._ids)
        text = _text(method, params, number)
        waits = asyncio.get_running_loop().create_future()
        self._waiting[number] = waits
        try:
            await self.send(text)
            return await waits
        finally:
            self._waiting.pop(number, None)

    async def send(self, text: str) -> None:
        """Send a frame; its answer, if it has an id, is among the `frames`.

        Raises: VenueUnreachable: the connection is lost.
        """
        try:
            await self._conn.send(text)
        except ConnectionClosed:
            raise self._why() from None

    async def ping(self) -> None:
        """Ask for a sign of life, which moves the pulse; not waited for."""
        try:
            pong = await self._conn.ping()
        except ConnectionClosed:
            raise self._why() from None
        asyncio.ensure_future(pong).add_done_callback(self._on_pong)

    def _on_pong(self, pong: asyncio.Future[float]) -> None:
        if not pong.cancelled() and pong.exception() is None:
            self._pulse.heard_at = time.monotonic()

    # -- hearing ------------------------------------------------------------------

    async def frames(self, emit: Emit) -> None:
        """Give each frame that answers no request of here to *emit*, for ever.

        What comes while nobody takes them is dropped: nothing was subscribed to yet.

        Raises: VenueUnreachable: the connection is lost.
        """
        self._emit = emit
        try:
            await self._is_lost.wait()
        finally:
            self._emit = None
        raise self._why()

    async def until_lost(self, emit: Emit) -> None:
        """Wait until the connection is lost, which is raised: VenueUnreachable."""
        del emit  # there is nothing to tell before
        await self._is_lost.wait()
        raise self._why()

    async def read(self) -> None:
        """Read until the connection is lost, then tell all who wait."""
        try:
            while True:
                payload = await self._conn.recv(decode=False)
                self._pulse.heard_at = time.monotonic()
                self._take(payload)
        except ConnectionClosed:
            pass
        finally:
            self._is_lost.set()
            for waits in self._waiting.values():
                if not waits.done():
                    waits.set_exception(self._why())
            self._waiting.clear()

    def _take(self, payload: bytes) -> None:
        if not payload.startswith(_MESSAGE):
            try:
                head = _HEAD.decode(payload)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                head = _Head()  # whoever reads it says what is wrong with it
            if head.method == "heartbeat":
                self._beat(head.params or {})
            elif not head.method and self._is_own(head.id, payload):
                return
        if self._emit is not None:
            self._emit((boot_ns(), payload))

    def _is_own(self, number: Any, payload: bytes) -> bool:
        """Give an answer to who asked here, if it is one; too late ones are dropped."""
        if type(number) is not int or number < OWN_IDS:
            return False
        waits = self._waiting.pop(number, None)
        if waits is not None and not waits.done():
            waits.set_result(payload)
        return True

    def _beat(self, params: dict[str, Any]) -> None:
        """Say that we are here, if the venue asks."""
        if params.get("type") != "test_request":
            return
        self._spawn(self._say_here())

    async def _say_here(self) -> None:
        with suppress(VenueUnreachable):
            await self.send(_text("public/test", {}, next(self._ids)))

    def _why(self) -> VenueUnreachable:
        """Return that the connection is lost, a new error each time."""
        closed = self._conn.protocol.close_rcvd
        why = "the connection broke"
        if closed is not None:
            said = f" {closed.reason!r}" if closed.reason else ""
            why = f"it closed the connection ({closed.code}{said})"
        return VenueUnreachable(f"{self._venue} at {place_of(self._url)}: {why}")

    # -- its life -----------------------------------------------------------------

    async def begin(self, keys: Keys | None) -> None:
        """Have the venue beat, and say who asks, if that matters.

        Raises: VenueRefused: it doesn't take the keys. VenueUnreachable.
        """
        await self.need("public/set_heartbeat", {"interval": HEARTBEAT_S})
        if keys is not None:
            self._grants = Grants(self.need, keys, self._pulse)
            await self._grants.ask()
            self._spawn(self._keep_granted(self._grants))

    async def renew(self) -> None:
        """Say anew who asks: what was granted has ended before its time.

        Raises: VenueRefused; VenueUnreachable.
        """
        assert self._grants is not None, "who asks is known"
        await self._grants.ask()

    async def _keep_granted(self, grants: Grants) -> None:
        """Keep what was granted; without it there is no use in the line."""
        await grants.keep()
        await self._conn.close()

    async def need(self, method: str, params: dict[str, Any]) -> bytes:
        """Return the frame that answers a request without which there is no line.

        Raises: VenueRefused; VenueUnreachable: it may be had later.
        """
        body = await self.request(method, params)
        failure = parse_error(body)
        if failure is None:
            return body
        if failure.reason in ("limit", "unavailable"):
            raise VenueUnreachable(f"{self._venue} isn't ready: {failure.text}")
        raise VenueRefused(f"{self._venue} refused {method}: {failure.text}")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End all that is under way, and the connection."""
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._conn.close()


def _text(method: str, params: dict[str, Any], number: int) -> str:
    asked = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    return _JSON.encode(asked).decode()


@asynccontextmanager
async def open_rpc(
    venue: str,
    url: str,
    pulse: Pulse,
    *,
    keys: Keys | None = None,
    proxy: str = "",
    deadline_s: float = 10.0,
) -> AsyncIterator[Rpc]:
    """Yield a connection; the block's end closes it within half a second.

    Args:
      venue: its name, for errors.
      url: ``ws://`` or ``wss://``.
      pulse: moved whenever the venue is heard.
      keys: of an account, None where none is needed.
      proxy: URL of one, empty for what the environment says.
      deadline_s: to be connected in, and known.

    Raises: VenueUnreachable; VenueRefused: the venue doesn't want us, or our keys.
    """
    with as_venue_errors(venue, url):
        conn = await connect(
            url,
            proxy=proxy or True,
            compression=None,
            user_agent_header="piker",
            open_timeout=deadline_s,
            ping_interval=None,
            close_timeout=_CLOSE_S,
            max_size=MAX_FRAME,
            logger=quiet,
        )
    rpc = Rpc(venue, url, conn, pulse)
    reading = asyncio.ensure_future(rpc.read())
    try:
        try:
            async with asyncio.timeout(deadline_s):
                await rpc.begin(keys)
        except TimeoutError:
            raise VenueUnreachable(
                f"{venue} at {place_of(url)} said nothing for {deadline_s:g} s"
            ) from None
        yield rpc
    finally:
        await rpc.close()
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
