"""Subscribers: how quotes reach one client without anybody waiting for it.

    market --push--> queue --> [sender task] --window of credit--> client
                     (full: conflated)

A client acknowledges what it consumed; no more than a window is ever under way, so a
stuck client fills neither a socket nor anybody's memory. What it was too slow for is
merged: trades are kept up to a bound, of bids and asks the newest.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from piker.msgs import Credit, FeedCommand, FeedEvent, Pause, Quote, Resume, Tick
from piker.service import MsgStream, encode

#: Messages under way to a client that it hasn't acknowledged.
WINDOW: Final = 128
#: How often a client acknowledges, messages.
ACK_EVERY: Final = 32
#: Quotes waiting for a client before they are conflated.
QUEUE_MAX: Final = 64
#: Trades a conflated quote keeps, the newest.
TRADES_KEPT: Final = 2000


@dataclass(eq=False)
class _Pending:
    """Quotes of one market merged into one to be."""

    trades: deque[Tick] = field(default_factory=lambda: deque(maxlen=TRADES_KEPT))
    newest: dict[str, Tick] = field(default_factory=dict)
    last: float = float("nan")
    time_ns: int = 0
    missed: int = 0

    def add(self, quote: Quote) -> None:
        self.last, self.time_ns = quote.last, quote.time_ns
        self.missed += quote.missed
        trades = self.trades
        for tick in quote.ticks:
            if tick.type in ("trade", "utrade", "dark_trade"):
                if len(trades) == TRADES_KEPT:
                    self.missed += trades[0].count
                trades.append(tick)
            else:
                self.newest[tick.type] = tick

    def quote(self, fqme: str) -> Quote:
        ticks = [*self.trades, *self.newest.values()]
        return Quote(
            fqme=fqme,
            last=self.last,
            ticks=ticks,
            time_ns=self.time_ns,
            missed=self.missed,
        )


@dataclass(eq=False)
class Sub:
    """One client's subscription to some markets of this daemon.

    Attributes:
      fqmes: the markets.
      throttle_hz: quotes a second and market at most, None for all.
    """

    fqmes: tuple[str, ...]
    throttle_hz: float | None = None
    paused: bool = False
    _queue: deque[tuple[Quote | FeedEvent, bytes]] = field(default_factory=deque)
    _pending: dict[str, _Pending] = field(default_factory=dict)
    _under_way: int = 0
    _wake: trio.Event = field(default_factory=trio.Event)

    @property
    def backlog(self) -> int:
        """Messages that wait for this client."""
        return len(self._queue) + len(self._pending)

    def push(self, quote: Quote, raw: bytes | None) -> None:
        """Take a quote for this client; never blocks.

        Args:
          quote: the news.
          raw: it, encoded, if somebody did that already.
        """
        if self.paused:
            return
        if self.throttle_hz or self._pending or len(self._queue) >= QUEUE_MAX:
            self._pending.setdefault(quote.fqme, _Pending()).add(quote)
        else:
            self._queue.append((quote, raw or encode(quote)))
        self._wake.set()

    def push_event(self, event: FeedEvent) -> None:
        """Take an event; it is never conflated and keeps its place among the quotes."""
        self._release()
        self._queue.append((event, encode(event)))
        self._wake.set()

    def _release(self) -> None:
        """Make the merged quotes ordinary ones."""
        for fqme, pending in self._pending.items():
            quote = pending.quote(fqme)
            self._queue.append((quote, encode(quote)))
        self._pending.clear()

    async def send_to(self, stream: MsgStream[Any]) -> None:
        """Send what is pushed, for ever."""
        next_at = 0.0
        while True:
            while self._under_way >= WINDOW or not (self._queue or self._pending):
                await self._wake.wait()
                self._wake = trio.Event()
            if not self._queue:
                if self.throttle_hz:
                    await trio.sleep_until(next_at)
                    next_at = trio.current_time() + 1 / self.throttle_hz
                self._release()
            while self._queue and self._under_way < WINDOW:
                _, raw = self._queue.popleft()
                self._under_way += 1
                await stream.send_encoded(raw)

    async def obey(self, stream: MsgStream[FeedCommand]) -> None:
        """Do what the client says, until it leaves."""
        async for command in stream:
            match command:
                case Credit(n=n):
                    self._under_way -= n
                case Pause():
                    self.paused = True
                    self._pending.clear()
                case Resume():
                    self.paused = False
            self._wake.set()
