"""The tape: what an emulated venue's markets say, in order, with the venue's stamps.

    Prints and Books to come --a clock, or who listens--> passed: stream, REST

Consecutive trades of one price, taker side and millisecond are one `Print`, which is
Binance's aggregate. Ids of prints and of trades rise by exactly one in each market,
whatever the source numbered. What has not passed does not exist for a client.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from piker.msgs import MktPair

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
    """The best bid and ask, sizes in base units; a price of 0 where there is none."""

    market: Market
    due_ns: int
    time_ms: int
    update_id: int
    bid: float
    bid_size: float
    ask: float
    ask_size: float


Item = Print | Book


class Older(Protocol):
    """A market's bars from before the tape, of any period, in closed form.

    Attributes:
      end_ms: where the tape begins, epoch ms.
    """

    end_ms: int

    def bars(
        self, period_s: int, start_ms: int, end_ms: int
    ) -> Iterator[tuple[int, float, float, float, float, float, int]]:
        """Yield rows of OHLCV that open in start <= time < end, whole ones."""
        ...


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
      older: gives bars from before the tape, None if the venue has none.
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
    older: Older | None = None

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
