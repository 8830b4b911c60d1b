"""A websocket to Deribit as the hub and the line for orders use one: by the bridge.

    Rpc on asyncio --frames by the batch--> receive()      send(), ping() --> Rpc

It looks like `piker.brokers._web._ws.Socket`. What the venue leaves out of its answer
to a subscription is told as a refusal of that market.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
import trio

from piker.brokers._aio import MethodProxy, open_proxy
from piker.errors import Overrun, VenueUnreachable
from piker.service import collapse_eg

if TYPE_CHECKING:
    from piker.brokers._live._secrets import Keys

    from ._rpc import Rpc

#: Frames that came and weren't taken: more, and the connection is given up.
_ROOM: Final = 65_536
#: How an answer begins is no rule; a message of a channel is told by its method.
_MESSAGE: Final = b'{"jsonrpc":"2.0","method"'


class _Request(msgspec.Struct, frozen=True, gc=False):
    method: str = ""
    id: Any = None
    params: dict[str, Any] = {}


class _Answer(msgspec.Struct, frozen=True, gc=False):
    id: int = -1
    result: list[str] | None = None


_REQUEST: Final = msgspec.json.Decoder(_Request)
_ANSWER: Final = msgspec.json.Decoder(_Answer)


class RpcSocket:
    """An open connection.

    Attributes:
      url: where to.
      scope: what its key may do, empty without one.
    """

    def __init__(
        self,
        venue: str,
        url: str,
        proxy: MethodProxy[Rpc],
        frames: AsyncIterator[Sequence[tuple[int, bytes]]],
        pulse: Any,
    ) -> None:
        """Use `open_rpc_socket`."""
        self.venue, self.url = venue, url
        self._proxy, self._frames, self._pulse = proxy, frames, pulse
        self._asked: dict[int, list[str]] = {}

    @property
    def scope(self) -> str:
        """What its key may do, as the venue words it."""
        scope: str = self._pulse.scope
        return scope

    @property
    def last_heard(self) -> float:
        """When the venue last said anything; trio time."""
        ago_s: float = time.monotonic() - self._pulse.heard_at
        return trio.current_time() - ago_s

    async def receive(self) -> tuple[int, list[bytes]]:
        """Return when the first of a batch of frames came, and their payloads.

        When: ns of `boot_ns`.

        Raises VenueUnreachable once the connection is lost and all frames are taken.
        """
        try:
            batch = await anext(self._frames)
        except Overrun as err:
            raise VenueUnreachable(
                f"{self.venue} says more than can be read: {err}"
            ) from None
        except StopAsyncIteration:
            raise VenueUnreachable(f"{self.venue}: the connection ended") from None
        payloads = [payload for _, payload in batch]
        if self._asked:
            payloads = [one for each in payloads for one in self._checked(each)]
        return batch[0][0], payloads

    async def send(self, text: str) -> None:
        """Send a frame; VenueUnreachable if the connection is lost."""
        from ._rpc import Rpc

        self._note(text)
        await self._proxy.call(Rpc.send, text)

    async def ping(self) -> None:
        """Ask for a sign of life; its answer moves `last_heard`."""
        from ._rpc import Rpc

        await self._proxy.call(Rpc.ping)

    async def renew(self) -> None:
        """Say anew who asks; VenueRefused, VenueUnreachable."""
        from ._rpc import Rpc

        await self._proxy.call(Rpc.renew)

    def _note(self, text: str) -> None:
        """Remember which channels a request asks for."""
        told = _REQUEST.decode(text)
        channels = told.params.get("channels")
        if told.method.endswith("/subscribe") and channels and type(told.id) is int:
            self._asked[told.id] = channels

    def _checked(self, payload: bytes) -> list[bytes]:
        """Return a frame, and before it a refusal of each market it leaves out."""
        if payload.startswith(_MESSAGE):
            return [payload]
        try:
            told = _ANSWER.decode(payload)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return [payload]
        asked = self._asked.pop(told.id, None)
        if asked is None or told.result is None:
            return [payload]
        lacking = dict.fromkeys(
            market_of(channel) for channel in asked if channel not in told.result
        )
        return [*(_refusal(told.id, symbol) for symbol in lacking), payload]


def market_of(channel: str) -> str:
    """Return the market of a channel: ``BTC-PERPETUAL`` of ``quote.BTC-PERPETUAL``."""
    return channel.split(".")[1] if "." in channel else ""


def _refusal(number: int, symbol: str) -> bytes:
    """Return an answer that refuses one market, as the venue's own would be."""
    error = {
        "code": 10020,
        "message": "invalid_or_unsupported_instrument",
        "data": {"instrument_name": symbol, "reason": "no such channel"},
    }
    return msgspec.json.encode({"jsonrpc": "2.0", "id": number, "error": error})


@asynccontextmanager
async def open_rpc_socket(
    venue: str,
    url: str,
    *,
    keys: Keys | None = None,
    proxy: str = "",
    deadline_s: float = 10.0,
) -> AsyncIterator[RpcSocket]:
    """Yield a connection to *url*, as `piker.brokers._web._ws.open_socket` does.

    Raises: VenueUnreachable; VenueRefused.
    """
    from ._grants import Pulse
    from ._rpc import Rpc, open_rpc  # asyncio's websockets take a while

    pulse = Pulse()
    opener = partial(
        open_rpc, venue, url, pulse, keys=keys, proxy=proxy, deadline_s=deadline_s
    )
    async with (
        collapse_eg(),
        open_proxy(opener, venue=venue, deadline_s=deadline_s) as bridge,
        bridge.stream(Rpc.frames, room=_ROOM) as frames,
    ):
        yield RpcSocket(venue, url, bridge, aiter(frames), pulse)
