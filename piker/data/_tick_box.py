"""What waits for a consumer that wants every tick: joined where it is slow, not merged.

    put --> queue --> take: a quote of some thousand ticks at most
            (full: quotes of a market join the one that waits, all of their ticks kept)

In place of a `Mailbox`, for who sends orders. Events keep their place among the quotes.
It never blocks; beyond a bound, the oldest ticks of a market go, and are counted.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

import msgspec

from piker.msgs import FeedEvent, FeedMsg, HistoryProgress, Quote, Tick

from ._mailbox import EVENTS_KEPT, Letter

#: Ticks of a market that wait at most, the newest: some minutes of a very busy one, and
#: about 50 MB.
TICKS_KEPT: Final = 250_000
#: Ticks that one quote holds at most.
BATCH_TICKS: Final = 4096


@dataclass(eq=False)
class _Batch:
    """Quotes of one market that wait together.

    Attributes:
      fqme: the market.
      quotes: oldest first; none any more where all were too old to be kept.
      raw: the only one, encoded, if somebody did that already.
    """

    fqme: str
    quotes: deque[Quote]
    raw: bytes | None = None


@dataclass(eq=False)
class TickBox:
    """Messages for one consumer, with every tick.

    Attributes:
      size: messages that wait before quotes of a market are joined.
      join_ticks: quotes are joined up to so many ticks.
      batch_ticks: ticks of a quote that is taken, at most; a longer one is cut.
      ticks_kept: ticks of a market that wait, at most.
    """

    size: int
    join_ticks: int = BATCH_TICKS
    batch_ticks: int = BATCH_TICKS
    ticks_kept: int = TICKS_KEPT
    _queue: deque[_Batch | Letter] = field(default_factory=deque)
    #: Batches by market, in the order of the queue; those with quotes.
    _waiting: dict[str, deque[_Batch]] = field(default_factory=dict)
    #: What quotes of a market join: behind the newest event.
    _open: dict[str, _Batch] = field(default_factory=dict)
    _ticks: dict[str, int] = field(default_factory=dict)
    _lost: dict[str, int] = field(default_factory=dict)
    _last: dict[str, float] = field(default_factory=dict)
    _progress: dict[tuple[tuple[str, ...], int], Letter] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._most = self._tidy_at = 2 * (self.size + EVENTS_KEPT)

    def __len__(self) -> int:
        return len(self._queue) + len(self._progress)

    @property
    def has_letters(self) -> bool:
        """Whether something waits."""
        return bool(self._queue or self._progress)

    # -- in ---------------------------------------------------------------------

    def put(self, message: FeedMsg, raw: bytes | None = None) -> None:
        """Take a message.

        Args:
          message: a quote or an event.
          raw: it, encoded, if somebody did that already.
        """
        if not isinstance(message, Quote):
            self._put_event(message, raw)
            return
        fqme = message.fqme
        batch = self._open.get(fqme)
        if batch is not None:
            batch.quotes.append(message)
            batch.raw = None
        else:
            if len(self._queue) >= self.size:
                batch = self._open[fqme] = _Batch(fqme, deque((message,)), raw)
            else:
                batch = _Batch(fqme, deque((message,)), raw)
            self._append(batch)
        self._ticks[fqme] = self._ticks.get(fqme, 0) + len(message.ticks)
        if self._ticks[fqme] > self.ticks_kept:
            self._drop_oldest(fqme)

    def _append(self, batch: _Batch) -> None:
        self._queue.append(batch)
        self._waiting.setdefault(batch.fqme, deque()).append(batch)

    def _put_event(self, event: FeedEvent, raw: bytes | None) -> None:
        if isinstance(event, HistoryProgress):
            self._progress[event.fqmes, event.period_s] = (event, raw)
            return
        self._open.clear()
        self._queue.append((event, raw))
        if len(self._queue) > self._tidy_at:
            self._tidy()
            self._tidy_at = len(self._queue) + self._most

    def _drop_oldest(self, fqme: str) -> None:
        """Let go of a market's oldest ticks until there are no more than are kept."""
        batches, over = self._waiting[fqme], self._ticks[fqme] - self.ticks_kept
        self._ticks[fqme] = self.ticks_kept
        while over:
            batch = batches[0]
            quote = batch.quotes.popleft()
            gone = min(over, len(quote.ticks))
            over -= gone
            self._lose(fqme, gone + quote.missed)
            batch.raw = None
            if gone < len(quote.ticks):
                left = quote.ticks[gone:]
                quote = msgspec.structs.replace(quote, ticks=left, missed=0)
                batch.quotes.appendleft(quote)
            elif not batch.quotes:
                batches.popleft()  # in the queue it is passed over

    def _lose(self, fqme: str, count: int) -> None:
        self._lost[fqme] = self._lost.get(fqme, 0) + count

    def _tidy(self) -> None:
        """Keep the newest events, and join what no event stands between any more."""
        entries, self._queue = self._queue, deque()
        events = sum(1 for entry in entries if not isinstance(entry, _Batch))
        self._waiting.clear()
        for entry in entries:
            if not isinstance(entry, _Batch):
                events -= 1
                if events < EVENTS_KEPT:
                    self._open.clear()
                    self._queue.append(entry)
            elif entry.fqme in self._open:
                self._open[entry.fqme].quotes += entry.quotes
                self._open[entry.fqme].raw = None
            elif entry.quotes:
                self._open[entry.fqme] = entry
                self._append(entry)

    # -- out --------------------------------------------------------------------

    def take(self) -> Letter | None:
        """Return the next message, None if there is none."""
        if self._progress:
            return self._progress.pop(next(iter(self._progress)))
        while self._queue:
            entry = self._queue[0]
            if isinstance(entry, _Batch) and entry.quotes:
                return self._take_from(entry)
            self._queue.popleft()
            if not isinstance(entry, _Batch):
                return entry
        return None

    def _take_from(self, batch: _Batch) -> Letter:
        """Return as much of the oldest batch as one quote may hold."""
        fqme, raw = batch.fqme, batch.raw
        quote = self._joined(batch)
        if not batch.quotes:
            self._queue.popleft()
            self._waiting[fqme].popleft()
            if self._open.get(fqme) is batch:
                del self._open[fqme]
        else:
            raw = None
        self._ticks[fqme] -= len(quote.ticks)
        self._last[fqme] = quote.last
        lost = self._lost.pop(fqme, 0)
        if lost:
            raw = None
            quote = msgspec.structs.replace(quote, missed=quote.missed + lost)
        return quote, raw

    def _joined(self, batch: _Batch) -> Quote:
        quotes = batch.quotes
        quote = quotes.popleft()
        if len(quote.ticks) > self.batch_ticks:
            return self._cut(batch, quote)
        if not quotes or len(quote.ticks) + len(quotes[0].ticks) > self.join_ticks:
            return quote
        ticks, missed = list(quote.ticks), quote.missed
        while quotes and len(ticks) + len(quotes[0].ticks) <= self.join_ticks:
            quote = quotes.popleft()
            ticks += quote.ticks
            missed += quote.missed
        return msgspec.structs.replace(quote, ticks=ticks, missed=missed)

    def _cut(self, batch: _Batch, quote: Quote) -> Quote:
        """Return the beginning of a long quote; the rest of it stays in the batch."""
        ticks, rest = quote.ticks[: self.batch_ticks], quote.ticks[self.batch_ticks :]
        batch.raw = None
        batch.quotes.appendleft(msgspec.structs.replace(quote, ticks=rest, missed=0))
        last = _last_trade(ticks, self._last.get(quote.fqme, math.nan))
        return msgspec.structs.replace(quote, ticks=ticks, last=last)

    def drop_quotes(self) -> None:
        """Forget all quotes that wait."""
        for kept in (self._waiting, self._open, self._ticks, self._lost):
            kept.clear()
        self._queue = deque(one for one in self._queue if not isinstance(one, _Batch))


def _last_trade(ticks: list[Tick], before: float) -> float:
    """Return the price of the newest trade in *ticks*, *before* if there is none."""
    return next((t.price for t in reversed(ticks) if t.type == "trade"), before)
