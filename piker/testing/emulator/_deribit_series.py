"""What the emulated Deribit's instruments trade at: made of the tape's markets.

a Print of the tape --> a deal of each direct instrument, and of one that follows it
a Book of the tape  --> the best bid and ask of all of them

Each is a pure function of the tape, so stream and requests agree, and what passed
while nobody listened is there too. Deals of accounts are put in between.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from ._deribit_grid import Grid
from ._deribit_math import Terms, smile, value, volatility
from ._deribit_names import Instrument
from ._deribit_past import Past
from ._tape import LOTS, Book, Market, Print

_YEAR_MS: Final = 365 * 86_400_000
_CARRY: Final = 0.05  # a year's interest on the index
_LEVELS: Final = 10


class Deal(NamedTuple):
    """One trade, as anybody is told of it.

    Attributes:
      seq: of its instrument, rises by one.
      tid: unique in its currency, rises.
      time_ms: the venue's stamp.
      price: in the instrument's quote.
      amount: in units of amounts.
      side: of the taker, 1 bought, -1 sold.
      index_price: right then; what the deal was worth follows of it.
      turn: 0 up, 1 as before which was up, 2 down, 3 as before which was down.
    """

    seq: int
    tid: int
    time_ms: int
    price: float
    amount: float
    side: int
    index_price: float
    turn: int


class Quotes(NamedTuple):
    """The best bid and ask with their amounts; a price of 0 where there is none."""

    bid: float
    bid_amount: float
    ask: float
    ask_amount: float
    time_ms: int
    update_id: int


class Series:
    """One instrument, and what has passed of it.

    Args:
      inst: which.
      source: the tape's market that it follows; None: it doesn't trade.
      first: number of its first deal.
      ids: of its currency.

    Attributes:
      deals: that passed.
      market: its deals as the tape has them, in base units.
      closed_at: price of its delivery, once it expired.
      settled: price of its last settlement, 0 if there was none.
      interest: amounts of all positions, made up.
      ids: of trades of its currency, from which each is drawn.
      told: its ticker where it was recorded, else None.
      rows: trades that were recorded, by their ids' numbers.
    """

    def __init__(
        self, inst: Instrument, source: Market | None, first: int, ids: Iterator[int]
    ) -> None:
        self.inst, self.source = inst, source
        self._least = float(inst.least)
        self._grid = Grid(inst)
        self.deals: list[Deal] = []
        self.market = Market(inst.mkt(), first, first)
        self.told: dict[str, Any] | None = None
        self.rows: dict[int, dict[str, Any]] = {}
        self.closed_at: float | None = None
        self.settled = 0.0
        self.interest = float(inst.least * (1000 + inst.number * 7919 % 90_000))
        self.ids = ids
        if source is not None and source.older is not None:
            self.market.older = Past(self.price_of, source.older)

    @property
    def has_book(self) -> bool:
        """Whether its book is known."""
        return True

    @property
    def is_active(self) -> bool:
        """Whether it can be traded."""
        return self.closed_at is None

    # -- worth --------------------------------------------------------------------

    def index_at(self, price: float, number: int) -> float:
        """Return the index where the tape's market is at *price*."""
        return round(price * (1 + (number % 9 - 4) * 2e-6), 2)

    def years(self, time_ms: int) -> float:
        """Return how long it lives on."""
        return max(0.0, self.inst.expires_ms - time_ms) / _YEAR_MS

    def forward(self, index: float, time_ms: int) -> float:
        """Return what a future of the same expiry costs."""
        return index * math.exp(_CARRY * min(self.years(time_ms), 2.0))

    def terms(self, index: float, time_ms: int) -> Terms:
        """Return what decides about its value, of an option."""
        assert self.inst.strike is not None, "it is an option"
        forward, is_call = self.forward(index, time_ms), self.inst.right == "C"
        return Terms(forward, float(self.inst.strike), self.years(time_ms), is_call)

    def mark(self, index: float, time_ms: int) -> float:
        """Return its fair price."""
        inst = self.inst
        if inst.kind == "option":
            terms = self.terms(index, time_ms)
            worth = value(terms, smile(terms.forward, terms.strike))
            return round(worth / terms.forward, 6) if inst.is_inverse else (
                round(worth, 4)
            )  # fmt: skip
        if inst.is_perpetual or inst.kind == "spot":
            return index
        return round(self.forward(index, time_ms), 2)

    def price_of(self, price: float, time_ms: int) -> float:
        """Return what it trades at where the tape's market is at *price*."""
        if self._is_direct:
            return self._grid.round(price, round)
        mark = self._grid.round(self.mark(price, time_ms), round)
        return max(mark, float(self.inst.tick))

    @property
    def _is_direct(self) -> bool:
        return self.inst.is_perpetual or self.inst.kind == "spot"

    def amount_of(self, size: float, price: float) -> float:
        """Return an amount that is about *size* base units, a whole one."""
        asked = size * price if self.inst.counts_dollars else size
        return round(max(1, round(asked / self._least)) * self._least, 8)

    def lots_of(self, amount: float, price: float) -> int:
        """Return an amount in 1e-8 base units."""
        base = amount / price if self.inst.counts_dollars else amount
        return round(base * LOTS)

    # -- quotes -------------------------------------------------------------------

    def quotes(self) -> Quotes | None:
        """Return the best bid and ask, None before the first of the tape."""
        book = self.source.book if self.source is not None else None
        if book is None or not self.is_active or not book.bid or not book.ask:
            return None
        if self._is_direct:
            bid, ask = self._direct(book)
        else:
            bid, ask = self._derived(book)
        sizes = self._sizes(book, bid or ask, ask)
        return Quotes(bid, sizes[0] * (bid > 0), ask, sizes[1], book.time_ms,
                      book.update_id)  # fmt: skip

    def _direct(self, book: Book) -> tuple[float, float]:
        bid = self._grid.round(book.bid, math.floor)
        ask = self._grid.round(book.ask, math.ceil)
        return bid, max(ask, self._grid.up(bid))

    def _derived(self, book: Book) -> tuple[float, float]:
        mark = self.mark((book.bid + book.ask) / 2, book.time_ms)
        tick = self._grid.tick_at(mark)
        spread = max(tick, mark * 0.015) if self.inst.kind == "option" else 2 * tick
        bid = self._grid.round(max(0.0, mark - spread), math.floor)
        return bid, max(self._grid.round(mark + spread, math.ceil), self._grid.up(bid))

    def _sizes(self, book: Book, bid: float, ask: float) -> tuple[float, float]:
        if self._is_direct:
            return (self.amount_of(book.bid_size, bid),
                    self.amount_of(book.ask_size, ask))  # fmt: skip
        return self._made_size(bid), self._made_size(ask)

    def _made_size(self, price: float) -> float:
        """Return an amount that is always the same at a price."""
        ticks = round(price / self._grid.tick)
        return round(self._least * (1 + ticks * 2_654_435_761 % 4093 % 200), 8)

    def levels(self, depth: int = _LEVELS) -> tuple[dict[float, float], ...]:
        """Return amounts by price of bids and of asks, each from the best on."""
        best = self.quotes()
        if best is None:
            return {}, {}
        bids, asks = {}, {best.ask: best.ask_amount}
        if best.bid:
            bids[best.bid] = best.bid_amount
            for price in self._grid.steps(best.bid, -1, depth):
                bids[price] = self._made_size(price)
        for price in self._grid.steps(best.ask, 1, depth):
            asks[price] = self._made_size(price)
        return bids, asks

    # -- deals --------------------------------------------------------------------

    def follow(self, item: Print) -> list[Deal]:
        """Make deals of a print of the tape."""
        index = self.index_at(item.price, item.agg_id)
        price = self.price_of(item.price, item.time_ms)
        lots = item.lots if self._is_direct else item.lots[:1]
        return [
            self._add(
                item.time_ms, price, self._amount(item, nth, price), item.side or 1,
                index,
            )
            for nth in range(len(lots))
        ]  # fmt: skip

    def _amount(self, item: Print, nth: int, price: float) -> float:
        if self.inst.kind == "option":
            return round(self._least * (1 + item.agg_id % 23), 8)
        return self.amount_of(item.lots[nth] / LOTS, price)

    def add(
        self, time_ms: int, price: float, amount: float, side: int, tid: int
    ) -> Deal:
        """Have an account trade, by a number that was drawn of `ids`."""
        return self._add(time_ms, price, amount, side, self.index_now(), tid)

    def _add(
        self, time_ms: int, price: float, amount: float, side: int, index: float,
        tid: int | None = None,
    ) -> Deal:  # fmt: skip
        last = self.deals[-1] if self.deals else None
        if last is not None:
            time_ms = max(time_ms, last.time_ms)
        seq = self.market.first_tid + len(self.deals)
        number = tid or next(self.ids)
        turn = _turn(last, price)
        deal = Deal(seq, number, time_ms, price, amount, side, index, turn)
        self.note(deal)
        return deal

    def note(self, deal: Deal) -> None:
        """Let a deal have happened."""
        self.deals.append(deal)
        lots = self.lots_of(deal.amount, deal.price)
        self.market.pass_print(
            Print(
                self.market, deal.time_ms * 1_000_000, deal.time_ms, 0, deal.price,
                deal.side, deal.seq, deal.seq, (lots,), lots,
            )
        )  # fmt: skip

    def iv_of(self, price: float, index: float, time_ms: int) -> float:
        """Return of which volatility a price of an option tells."""
        terms = self.terms(index, time_ms)
        worth = price * terms.forward if self.inst.is_inverse else price
        return volatility(terms, worth, smile(terms.forward, terms.strike))

    def index_now(self) -> float:
        """Return the index as it is, 0 before the first print or book."""
        source = self.source
        if source is None:
            return 0.0
        if source.book is not None and source.book.bid:
            middle = (source.book.bid + source.book.ask) / 2
            return self.index_at(middle, source.book.update_id)
        last = source.prints[-1] if source.prints else None
        return self.index_at(last.price, last.agg_id) if last else 0.0

    def since(self, time_ms: int) -> int:
        """Return the place of the first deal with at least that stamp."""
        return bisect_left(self.deals, time_ms, key=lambda deal: deal.time_ms)


def _turn(last: Deal | None, price: float) -> int:
    if last is None or price > last.price:
        return 0
    if price < last.price:
        return 2
    return 1 if last.turn in (0, 1) else 3
