"""How a venue's stream is spoken to, and what its hub hands to each market."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from math import inf
from typing import Final, Protocol

import trio

from piker.brokers._parts import Notice, Part
from piker.errors import VenueError

from ._budget import RateBudget

_ANY_ID: Final = 999_999_999
AHEAD: Final = 256  # items for a member that are not taken yet: more is left out


@dataclass(frozen=True)
class Up:
    """The market is subscribed to, on a new connection or a first time."""


@dataclass(frozen=True)
class Down:
    """The connection is lost; Up follows once there is another."""

    reason: str


@dataclass(frozen=True)
class Doubt:
    """A frame was lost that may have been this market's."""


@dataclass(frozen=True)
class Failed:
    """The venue refused the market, or us; nothing follows."""

    error: VenueError


Item = list[Part] | Up | Down | Doubt | Failed
#: Takes when a frame came, ns of `boot_ns`, the frame, and what it says.
Tap = Callable[[int, bytes, list[Part]], None]


class AnySocket(Protocol):
    """An open connection to a venue's stream, whatever carries it.

    Attributes:
      last_heard: when the venue last said anything, answers to pings too; trio time.
    """

    @property
    def last_heard(self) -> float: ...

    async def receive(self) -> tuple[int, list[bytes]]:
        """Return when the first of a batch of frames came, and their payloads.

        When: ns of `boot_ns`. Raises VenueUnreachable once it is lost.
        """

    async def send(self, text: str) -> None:
        """Send a text frame; VenueUnreachable if the connection is lost."""

    async def ping(self) -> None:
        """Ask for a sign of life."""


class OpenSocket(Protocol):
    """Opens a connection, see `piker.brokers._web._ws.open_socket`."""

    def __call__(
        self, venue: str, url: str, *, proxy: str = ""
    ) -> AbstractAsyncContextManager[AnySocket]: ...


def _open_websocket(
    venue: str, url: str, *, proxy: str = ""
) -> AbstractAsyncContextManager[AnySocket]:
    from ._ws import open_socket  # websockets takes a while to import

    return open_socket(venue, url, proxy=proxy)


@dataclass(frozen=True)
class Dialect:
    """How a venue's stream is spoken to.

    Attributes:
      venue: its name, for errors.
      url: makes the URL of a connection for symbols.
      in_url: whether that URL subscribes to them already.
      url_max: characters of a URL, at most; the first of the symbols, as many as fit,
        are in it.
      frame_max: bytes of a frame that the venue answers, at most.
      markets_max: markets of a request, at most.
      subscribe: makes the frames that subscribe to symbols, given a request id.
      unsubscribe: makes the frames that end that.
      decode: takes a frame apart, or raises BadPayload.
      acks: answers a subscription gets: that many for each symbol, or, if 0, one for
        the request.
      heartbeat_s: the venue says something at least so often; 0 if it doesn't promise.
      frames_a_s: it takes so many frames a second from us, on one connection.
      connects: it lets us connect so often.
      checks: its REST service is asked so often whether markets that tell no trade are
        quiet, all of them together: it takes from what else is asked there.
      urgent_checks: so often for those that are busy as a rule, in turns of their own:
        their bars can't wait for the quiet ones.
      open_socket: opens a connection: a websocket on trio, unless another is told.
    """

    venue: str
    url: Callable[[Sequence[str]], str]
    in_url: bool
    subscribe: Callable[[Sequence[str], int], list[str]]
    unsubscribe: Callable[[Sequence[str], int], list[str]]
    decode: Callable[[bytes], list[Part] | Notice]
    url_max: float = inf
    frame_max: float = inf
    markets_max: int | None = None
    acks: int = 0
    heartbeat_s: float = 0.0
    frames_a_s: float = 4.0
    connects: RateBudget = field(default_factory=lambda: RateBudget(60, 60))
    checks: RateBudget = field(default_factory=lambda: RateBudget(1, 3.0))
    urgent_checks: RateBudget = field(default_factory=lambda: RateBudget(2, 6.0))
    open_socket: OpenSocket = _open_websocket

    def by_url(self, symbols: Sequence[str]) -> Sequence[str]:
        """Return those of *symbols*, the first ones, that a connection's URL holds."""
        return _fitting(symbols, self.url_max, lambda some: len(self.url(some)))

    def by_frame(self, symbols: Sequence[str]) -> Iterator[Sequence[str]]:
        """Yield *symbols*, as many at once as one request may hold."""

        def size(some: Sequence[str]) -> int:
            frames = (*self.subscribe(some, _ANY_ID), *self.unsubscribe(some, _ANY_ID))
            return max(len(frame.encode()) for frame in frames)

        while symbols:
            some = _fitting(symbols[: self.markets_max], self.frame_max, size)
            yield some
            symbols = symbols[len(some) :]


def _fitting(
    symbols: Sequence[str], most: float, size: Callable[[Sequence[str]], int]
) -> Sequence[str]:
    """Return the first of *symbols*, as many as *size* of them allows, one at least."""
    counts = range(1, len(symbols) + 1)
    fits = bisect_right(counts, most, key=lambda count: size(symbols[:count]))
    return symbols[: max(1, fits)]


@dataclass(eq=False)
class Member:
    """One user of a symbol's frames; who is behind is never waited for.

    Attributes:
      symbol: as the venue spells it.
      items: what comes, in order. A Doubt stands where there was no room for some.
      was_full: whether there was none, since whoever reads them last asked.
    """

    symbol: str
    items: trio.MemoryReceiveChannel[Item]
    _send: trio.MemorySendChannel[Item]
    was_full: bool = False
    _is_full: bool = False

    def tell(self, item: Item) -> None:
        """Hand over *item*; frames and doubts only while there is room.

        In place of those that are left out stands one Doubt: they are fetched then. The
        channel itself has no bound, for what the connection is up to is never left out.
        """
        has_room = self._send.statistics().current_buffer_used < AHEAD
        if has_room or not isinstance(item, list | Doubt):
            self._is_full = False
        elif self._is_full:
            return
        else:
            self.was_full = self._is_full = True
            item = Doubt()
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            self._send.send_nowait(item)
