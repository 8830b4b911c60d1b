"""The tape: what an emulated venue's markets say, in order, with the venue's stamps.

    sessions | sim's generator --> deque of Print, Book --> passed: REST, stream

Consecutive trades of one price, taker side and millisecond are one `Print`, which is
Binance's aggregate. Ids of prints and of trades rise by exactly one in each market,
whatever the source numbered. What has not passed does not exist for a client.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

from piker.brokers.sim._sessions import Batch, Session, open_session
from piker.brokers.sim._synthetic import Synthetic
from piker.brokers.sim._universe import find_market
from piker.errors import UsageError
from piker.msgs import MktPair, Tick

#: Sizes are counted in these: no venue here has a finer one.
LOTS: Final = 100_000_000
_MS: Final = 1_000_000


class Trade(NamedTuple):
    """One trade, as `piker.testing.emulator` tells it to tests.

    Attributes:
      time_ns: the venue's stamp.
      tid: trade id, contiguous in its market.
      price: quote units.
      size: base units.
      side: of the taker, 1 bought, -1 sold.
      agg_id: of the aggregate it is in, contiguous in its market.
    """

    time_ns: int
    tid: int
    price: float
    size: float
    side: int
    agg_id: int


class Print(NamedTuple):
    """Trades of one price, side and millisecond.

    Attributes:
      market: whose.
      due_ns: when it passes, by the venue's clock.
      time_ms: the venue's stamp.
      nth: of the prints with this stamp, from 0.
      price: quote units.
      side: of the taker.
      agg_id: number of this print.
      first_id: of its first trade; the others follow.
      lots: size of each trade in 1e-8 base units.
      size: of all, in the same.
    """

    market: Market
    due_ns: int
    time_ms: int
    nth: int
    price: float
    side: int
    agg_id: int
    first_id: int
    lots: tuple[int, ...]
    size: int


class Book(NamedTuple):
    """The best bid and ask; sizes in base units."""

    market: Market
    due_ns: int
    time_ms: int
    update_id: int
    bid: float
    bid_size: float
    ask: float
    ask_size: float


Item = Print | Book


@dataclass(eq=False)
class Market:
    """One market of the tape, and what has passed of it.

    Attributes:
      mkt: names and steps; its broker is the source's.
      first_agg_id: number of its first print.
      first_tid: number of its first trade.
      prints: those that passed, oldest first.
      book: the newest that passed.
      trades: that passed.
      lots: traded, 1e-8 base units.
      notional: traded, quote units.
      low: of all passed prices, as is *high*.
      high: see *low*.
    """

    mkt: MktPair
    first_agg_id: int
    first_tid: int
    prints: list[Print] = field(default_factory=list)
    book: Book | None = None
    trades: int = 0
    lots: int = 0
    notional: float = 0.0
    low: float = 0.0
    high: float = 0.0

    def pass_print(self, item: Print) -> None:
        """Let *item* have happened."""
        if not self.prints:
            self.low = self.high = item.price
        self.prints.append(item)
        self.trades += len(item.lots)
        self.lots += item.size
        self.notional += item.price * item.size / LOTS
        self.low = min(self.low, item.price)
        self.high = max(self.high, item.price)


def to_trades(items: Iterable[Item]) -> Iterator[Trade]:
    """Yield each trade of the prints among *items*."""
    for item in items:
        if isinstance(item, Print):
            for at, lots in enumerate(item.lots):
                yield Trade(
                    item.time_ms * _MS,
                    item.first_id + at,
                    item.price,
                    lots / LOTS,
                    item.side,
                    item.agg_id,
                )


class Collector:
    """Turns one market's ticks into items, in their order.

    A print is out once the trade after it, or `close`, shows that it is whole.
    """

    def __init__(self, market: Market) -> None:
        self.market = market
        self._agg_id = market.first_agg_id
        self._tid = market.first_tid
        self._update_id = market.first_tid * 8
        self._time_ms = self._nth = 0
        self._open: tuple[float, int, int] | None = None  # price, side, ms
        self._lots: list[int] = []
        self._due_ns = 0
        self._bid: Tick | None = None

    def add(self, due_ns: int, ticks: list[Tick]) -> Iterator[Item]:
        """Take *ticks*, yield what is whole by them."""
        for tick in ticks:
            if tick.type == "trade":
                yield from self._add_trade(due_ns, tick)
            elif tick.type == "bid":
                self._bid = tick
            elif tick.type == "ask" and self._bid is not None:
                yield self._book(due_ns, self._bid, tick)

    def close(self) -> Iterator[Print]:
        """Yield the open print, if there is one."""
        if self._open is None:
            return
        price, side, time_ms = self._open
        self._nth = self._nth + 1 if time_ms == self._time_ms else 0
        self._time_ms = time_ms
        yield Print(
            self.market,
            self._due_ns,
            time_ms,
            self._nth,
            price,
            side,
            self._agg_id,
            self._tid,
            tuple(self._lots),
            sum(self._lots),
        )
        self._agg_id += 1
        self._tid += len(self._lots)
        self._open, self._lots = None, []

    def _add_trade(self, due_ns: int, tick: Tick) -> Iterator[Print]:
        time_ms = max(tick.time_ns // _MS, self._open[2] if self._open else 0)
        key = (tick.price, tick.side, max(time_ms, self._time_ms))
        if self._open != key:
            yield from self.close()
            self._open = key
        self._due_ns = due_ns
        self._lots.append(round(tick.size * LOTS))

    def _book(self, due_ns: int, bid: Tick, ask: Tick) -> Book:
        self._update_id += 1
        time_ms = ask.time_ns // _MS or due_ns // _MS
        return Book(
            self.market,
            due_ns,
            time_ms,
            self._update_id,
            bid.price,
            bid.size,
            ask.price,
            ask.size,
        )


class Tape:
    """Items to come, and the markets in which they pass.

    Attributes:
      markets: of the tape, by full name of their source.
      origin_ns: where the venue's clock starts.
      items: to come, in order of their due time.
      passed: how many items did.
      is_live: they are made as the wall clock goes, there is no end.
    """

    is_live = False

    def __init__(
        self, markets: dict[str, Market], items: deque[Item], origin_ns: int
    ) -> None:
        self.markets = markets
        self.items = items
        self.origin_ns = origin_ns
        self.last_ns = origin_ns
        self.passed = 0

    @property
    def is_done(self) -> bool:
        """Whether nothing is to come."""
        return not self.items

    def refill(self, now_ns: int) -> None:
        """Make what is due up to *now_ns*, if that is not all here yet."""

    def take_due(self, now_ns: int) -> list[Item]:
        """Let all pass that is due by *now_ns*; return it."""
        self.refill(now_ns)
        items = self.items
        taken = []
        while items and items[0].due_ns <= now_ns:
            taken.append(self.step())
        return taken

    def take(self, count: int) -> list[Item]:
        """Let up to *count* items pass; return them."""
        return [self.step() for _ in range(min(count, len(self.items)))]

    def step(self) -> Item:
        """Let one item pass; return it. IndexError if there is none."""
        item = self.items.popleft()
        self.passed += 1
        if isinstance(item, Print):
            item.market.pass_print(item)
            self.last_ns = max(self.last_ns, item.time_ms * _MS)
        else:
            item.market.book = item
        return item


# -- recorded sessions ------------------------------------------------------------


def tape_of_sessions(paths: Iterable[Path], *, past_s: float = 0) -> Tape:
    """Return the tape of recorded sessions, played together by their stamps.

    The venue's clock is the recorder's less the least delay seen, so that no trade is
    stamped later than the clock at which it passes.

    Args:
      paths: files of sessions; each market may be in one of them only.
      past_s: how much of it has passed before the start, seconds.

    Raises:
      SessionFileError: if one can't be read.
      UsageError: if two hold the same market.
    """
    sessions = [open_session(path) for path in paths]
    mkts = [mkt for session in sessions for mkt in session.mkts.values()]
    names = [mkt.bs_mktid for mkt in mkts]
    if len(set(names)) < len(names):
        raise UsageError(f"two of the sessions hold the same market: {sorted(names)}")
    batches = list(heapq.merge(*map(Session.batches, sessions)))
    late_ns = min(
        (batch.receive_ns - tick.time_ns for batch in batches for tick in batch.ticks
         if tick.type == "trade"),
        default=0,
    )  # fmt: skip
    firsts = _first_tids(batches)
    markets = {
        mkt.fqme: Market(mkt, firsts.get(mkt.fqme, 0) // 2 + 1, firsts.get(mkt.fqme, 1))
        for mkt in mkts
    }
    items = sorted(_collect(markets, batches, late_ns), key=lambda item: item.due_ns)
    origin_ns = min(session.origin_ns for session in sessions) - late_ns
    tape = Tape(markets, deque(items), origin_ns + int(past_s * 1e9))
    tape.take_due(tape.origin_ns - 1)
    return tape


def _first_tids(batches: list[Batch]) -> dict[str, int]:
    first: dict[str, int] = {}
    for batch in batches:
        for tick in batch.ticks:
            if tick.type == "trade":
                first.setdefault(batch.fqme, tick.tid)
    return first


def _collect(
    markets: dict[str, Market], batches: list[Batch], late_ns: int
) -> Iterator[Item]:
    collectors = {fqme: Collector(market) for fqme, market in markets.items()}
    for batch in batches:
        yield from collectors[batch.fqme].add(batch.receive_ns - late_ns, batch.ticks)
    yield from chain.from_iterable(one.close() for one in collectors.values())


# -- sim's generator --------------------------------------------------------------


class LiveTape(Tape):
    """Markets of ``sim`` as the wall clock goes, stamped now."""

    is_live = True

    def __init__(self, fqmes: Iterable[str], past_s: float) -> None:
        now_ns = time.time_ns() // _MS * _MS
        start_ns = now_ns - int(past_s * 1e9)
        found = [find_market(name) for name in fqmes]
        # ids rise from one run to the next: a market has less than 16 trades a second
        first = start_ns // 1_000_000_000 * 16
        markets = {one.fqme: Market(one.mkt, first, first) for one in found}
        super().__init__(markets, deque(), start_ns)
        self._sources = [
            (Synthetic(one), Collector(markets[one.fqme])) for one in found
        ]
        self._made_ns = start_ns
        self.take_due(now_ns)

    @property
    def is_done(self) -> bool:
        """Never."""
        return False

    def refill(self, now_ns: int) -> None:
        """Make all that is due up to *now_ns*, to whole milliseconds."""
        to_ns = now_ns // _MS * _MS
        if to_ns <= self._made_ns:
            return
        made: list[Item] = []
        for source, collector in self._sources:
            for tick in source.ticks(self._made_ns, to_ns):
                made += collector.add(tick.time_ns, [tick])
            made += collector.close()
        self.items += sorted(made, key=lambda item: item.due_ns)
        self._made_ns = to_ns
