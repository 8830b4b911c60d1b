"""What waits for one consumer: bounded, whatever it is too slow for is merged.

    put --> queue --> take
            (full: one merged quote a market, trades kept up to a bound)

Events are never merged and keep their place among the quotes; but of how far the past
is loaded, only the newest waits, and goes first: it is no news about a quote. Both ends
of a feed use it: datad for each subscriber, a client for each of its consumers. It
never blocks.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from piker.msgs import FeedEvent, FeedMsg, HistoryProgress, Quote, Tick

#: Trades a merged quote keeps, the newest.
TRADES_KEPT: Final = 2000
#: Events kept for a consumer that doesn't look at all, the newest.
EVENTS_KEPT: Final = 1000
_PRINTS: Final = frozenset({"trade", "utrade", "dark_trade"})

#: A message, and it encoded if somebody did that already.
Letter = tuple[FeedMsg, bytes | None]


@dataclass(eq=False)
class _Merged:
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
            if tick.type in _PRINTS:
                if len(trades) == TRADES_KEPT:
                    self.missed += trades[0].count
                trades.append(tick)
            else:
                self.newest[tick.type] = tick

    def quote(self, fqme: str) -> Quote:
        return Quote(
            fqme=fqme,
            last=self.last,
            ticks=[*self.trades, *self.newest.values()],
            time_ns=self.time_ns,
            missed=self.missed,
        )


@dataclass(eq=False)
class Mailbox:
    """Messages for one consumer.

    Attributes:
      size: quotes that wait before the next ones are merged; 0 merges all.
    """

    size: int
    _queue: deque[Letter] = field(default_factory=deque)
    _merged: dict[str, _Merged] = field(default_factory=dict)
    _progress: dict[tuple[tuple[str, ...], int], Letter] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._most = self._merge_at = max(2 * self.size, 64)

    def __len__(self) -> int:
        return len(self._queue) + len(self._merged) + len(self._progress)

    @property
    def has_letters(self) -> bool:
        """Whether something waits that is complete: no merged quote in the making."""
        return bool(self._queue or self._progress)

    def put(self, message: FeedMsg, raw: bytes | None = None) -> None:
        """Take a message.

        Args:
          message: a quote or an event.
          raw: it, encoded, if somebody did that already.
        """
        if not isinstance(message, Quote):
            self._put_event(message, raw)
        elif self._merged or len(self._queue) >= self.size:
            self._merged.setdefault(message.fqme, _Merged()).add(message)
        else:
            self._queue.append((message, raw))

    def _put_event(self, event: FeedEvent, raw: bytes | None) -> None:
        if isinstance(event, HistoryProgress):
            self._progress[event.fqmes, event.period_s] = (event, raw)
            return
        self.finish()
        self._queue.append((event, raw))
        # each event may have pushed a merged quote before it: bound those too
        if len(self._queue) > self._merge_at:
            self._merge_all()
            self._merge_at = len(self._queue) + self._most

    def _merge_all(self) -> None:
        """Merge all quotes into one a market, before the newest events."""
        letters, self._queue = self._queue, deque()
        for message, _ in letters:
            if isinstance(message, Quote):
                self._merged.setdefault(message.fqme, _Merged()).add(message)
        self.finish()
        events = [one for one in letters if not isinstance(one[0], Quote)]
        self._queue.extend(events[-EVENTS_KEPT:])

    def finish(self) -> None:
        """Make the merged quotes ordinary ones."""
        for fqme, merged in self._merged.items():
            self._queue.append((merged.quote(fqme), None))
        self._merged.clear()

    def take(self) -> Letter | None:
        """Return the next message, None if there is none."""
        if self._progress:
            return self._progress.pop(next(iter(self._progress)))
        if not self._queue:
            self._merge_at = self._most
            self.finish()
        return self._queue.popleft() if self._queue else None

    def drop_quotes(self) -> None:
        """Forget all quotes that wait."""
        self._merged.clear()
        self._queue = deque(one for one in self._queue if not isinstance(one[0], Quote))
