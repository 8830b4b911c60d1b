"""Subscribers: how quotes reach one client without anybody waiting for it.

    market --push--> mailbox --> [sender task] --window of credit--> client
                     (full: merged)

A client acknowledges what it consumed; no more than a window is ever under way, so a
stuck client fills neither a socket nor anybody's memory. What it was too slow for is
merged: trades are kept up to a bound, of bids and asks the newest. Who wants every tick
gets it, many in a quote.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from piker.errors import UsageError
from piker.msgs import Credit, FeedCommand, FeedEvent, Pause, Quote, Resume
from piker.service import MsgStream, encode

from ._mailbox import Mailbox
from ._tick_box import TickBox

#: Messages under way to a client that it hasn't acknowledged.
WINDOW: Final = 128
#: How often a client acknowledges, messages.
ACK_EVERY: Final = 32
#: Quotes waiting for a client before they are merged.
QUEUE_MAX: Final = 64
#: Ticks up to which quotes are joined for a client that wants every tick: a window of
#: them is about a megabyte, which a socket takes without making the sender wait.
JOINED_TICKS: Final = 256


def check_wish(throttle_hz: float | None, *, every_tick: bool) -> None:
    """Raise UsageError if nobody can be served so."""
    if throttle_hz is None:
        return
    if every_tick:
        raise UsageError(
            "a feed has every tick or a throttle, got both: leave one of them out"
        )
    if not 0 < throttle_hz <= 1000:
        raise UsageError(f"a throttle is 0 < Hz <= 1000, got {throttle_hz!r}")


@dataclass(eq=False)
class Usher:
    """Has clients served in turn, for that two cores can't serve all at once.

    Who wants every tick may have an order waiting for this one: those go first, one by
    one, then all others.
    """

    _waiting: deque[Sub] = field(default_factory=deque)
    _wake: trio.Event = field(default_factory=trio.Event)
    _is_running: bool = False

    def push(self, subs: Iterable[Sub], quote: Quote, raw: bytes | None) -> None:
        """Give *quote* to *subs*, who wants every tick first."""
        is_first = True
        for sub in subs:
            is_now = is_first or not self._is_running
            sub.push(quote, raw, wake=is_now)
            if not is_now:
                self._waiting.append(sub)
            is_first = is_first and not sub.every_tick
        if self._waiting:
            self._wake.set()

    async def run(self) -> None:
        """Have them served, for ever."""
        self._is_running = True
        try:
            while True:
                await self._wake.wait()
                self._wake = trio.Event()
                while self._waiting:
                    sub = self._waiting.popleft()
                    sub.wake()
                    if sub.every_tick:
                        await trio.lowlevel.checkpoint()
        finally:
            self._is_running = False
            while self._waiting:
                self._waiting.popleft().wake()


@dataclass(eq=False)
class Sub:
    """One client's subscription to some markets of this daemon.

    Attributes:
      fqmes: the markets.
      throttle_hz: quotes a second and market at most, None for all.
      paused: it wants no quotes for now.
      told_down: markets of which it was last told that their source is lost.
      every_tick: none is to be merged away; then there is no throttle.
    """

    fqmes: tuple[str, ...]
    throttle_hz: float | None = None
    paused: bool = False
    told_down: set[str] = field(default_factory=set)
    every_tick: bool = False
    _box: Mailbox | TickBox = field(init=False)
    _under_way: int = 0
    _wake: trio.Event = field(default_factory=trio.Event)

    def __post_init__(self) -> None:
        if self.every_tick:
            self._box = TickBox(QUEUE_MAX, JOINED_TICKS)
        else:
            self._box = Mailbox(0 if self.throttle_hz else QUEUE_MAX)

    @property
    def backlog(self) -> int:
        """Messages that wait for this client."""
        return len(self._box)

    def push(
        self, quote: Quote, raw: bytes | None = None, *, wake: bool = True
    ) -> None:
        """Take a quote for this client; never blocks.

        Args:
          quote: the news.
          raw: it, encoded, if somebody did that already.
          wake: send it as soon as can be; else :meth:`wake` is called later.
        """
        if not self.paused:
            self._box.put(quote, raw)
            if wake:
                self._wake.set()

    def wake(self) -> None:
        """Have what was pushed sent."""
        self._wake.set()

    def push_event(self, event: FeedEvent) -> None:
        """Take an event; it is never merged and keeps its place among the quotes."""
        self._box.put(event)
        self._wake.set()

    async def send_to(self, stream: MsgStream[Any]) -> None:
        """Send what is pushed, for ever; events at once, quotes at most so often."""
        next_at = -float("inf")
        while True:
            if self._under_way >= WINDOW or not len(self._box):
                await self._woken()
                continue
            if not self._box.has_letters and self.throttle_hz:
                if trio.current_time() < next_at:
                    with trio.move_on_at(next_at):
                        await self._woken()
                    continue
                next_at = trio.current_time() + 1 / self.throttle_hz
            letter = self._box.take()
            if letter is not None:
                self._under_way += 1
                message, raw = letter
                await stream.send_encoded(raw or encode(message))

    async def _woken(self) -> None:
        await self._wake.wait()
        self._wake = trio.Event()

    async def obey(self, stream: MsgStream[FeedCommand]) -> None:
        """Do what the client says, until it leaves."""
        async for command in stream:
            match command:
                case Credit(n=n):
                    self._under_way = max(0, self._under_way - n)
                case Pause():
                    self.paused = True
                    self._box.drop_quotes()
                case Resume():
                    self.paused = False
            self._wake.set()
