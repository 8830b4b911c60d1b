"""Market data as messages: what an item of the tape is to a subscription.

Each is text, its fields ended by a NUL: most of what is sent at all is made here.

By https://interactivebrokers.github.io/tws-api/{tick_types,delayed_data,
tick_by_tick}.html.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ._tape import LOTS, Book, Print
from ._tws_kinds import Listed
from ._tws_past import middle
from ._tws_recorded import Told
from ._tws_wire import number

if TYPE_CHECKING:
    from ._tws_session import Session

_PRICES: Final = (1, 2, 4, 6, 7, 9, 14)  # kinds of ticks that are prices
#: A size that nobody knows; 0 would take the price away.
UNKNOWN: Final = 1.0
_RT_VOLUME: Final = 48
_RT_TRADES: Final = 77
_STAMP: Final = 45
#: Kinds of single ticks.
SINGLE: Final = {"Last": 1, "AllLast": 2, "BidAsk": 3, "MidPoint": 4}
#: Delayed ticks by those that aren't.
_DELAYED: Final = {
    1: 66, 2: 67, 4: 68, 0: 69, 3: 70, 5: 71, 6: 72, 7: 73, 8: 74, 9: 75, 14: 76,
    45: 88,
}  # fmt: skip


@dataclass(eq=False)
class Sub:
    """A subscription.

    Attributes:
      session: whose.
      req_id: its request.
      listed: of which contract.
      kind: ``""`` for the line, else a kind of single ticks.
      generics: asked for.
      is_delayed: its ticks are told as delayed ones.
    """

    session: Session
    req_id: int
    listed: Listed
    kind: str = ""
    generics: frozenset[int] = frozenset()
    is_delayed: bool = False

    def tick(self, kind: int) -> int:
        """Return the number of a tick as it is told here."""
        return _DELAYED.get(kind, kind) if self.is_delayed else kind


@dataclass
class State:
    """What was told of a market so far.

    Attributes:
      bid, ask: price and size.
      last: price.
      newest: trade, None before the first.
      low, high: of the prices of all trades.
      lots, notional: traded, in the tape's units.
    """

    bid: tuple[float, float] = (0.0, 0.0)
    ask: tuple[float, float] = (0.0, 0.0)
    last: float = 0.0
    newest: Print | None = None
    low: float = math.inf
    high: float = -math.inf
    lots: int = 0
    notional: float = 0.0

    def take(self, item: Print) -> list[int]:
        """Take a trade; return the kinds of prices that are other ones by it.

        High and low are before the last price: nobody ever sees that outside of them.
        """
        price = item.price
        was = {6: self.high, 7: self.low, 4: self.last}
        self.high, self.low = max(self.high, price), min(self.low, price)
        self.last, self.newest = price, item
        self.lots += item.size
        self.notional += price * item.size / LOTS
        now = {6: self.high, 7: self.low, 4: self.last}
        return [kind for kind in now if now[kind] != was[kind]]

    def quote(self, item: Book) -> list[tuple[int, bool]]:
        """Take a quote; return sides that changed (1 bid, 2 ask), if in price."""
        bid, ask = (item.bid, item.bid_size), (item.ask, item.ask_size)
        found = [
            (kind, old[0] != new[0])
            for kind, old, new in ((1, self.bid, bid), (2, self.ask, ask))
            if old != new
        ]
        self.bid, self.ask = bid, ask
        return found


def first_rows(sub: Sub, state: State) -> Iterator[str]:
    """Yield what a new line is told first: its steps, its kind, how things are."""
    listed, req_id = sub.listed, sub.req_id
    bbo = "9c0001" if listed.sec_type == "STK" else ""
    yield f"81\0{req_id}\0{listed.tick}\0{bbo}\x003\0"
    yield f"58\x001\0{req_id}\0{3 if sub.is_delayed else 1}\0"
    for kind, sized, (price, size) in ((1, 0, state.bid), (2, 3, state.ask)):
        if price:
            yield _price(sub, kind, price, size)
            yield _size(sub, sized, size)
    market, newest = listed.market, state.newest
    if not state.last or market is None or not listed.has_trades:
        return
    if newest is None:
        yield _price(sub, 4, state.last, UNKNOWN)
        return
    yield _price(sub, 4, newest.price, newest.size / LOTS)
    yield _size(sub, 5, newest.size / LOTS)
    yield _string(sub, _STAMP, str(newest.time_ms // 1000))
    yield _size(sub, 8, state.lots / LOTS)
    yield _price(sub, 6, state.high, 0.0)
    yield _price(sub, 7, state.low, 0.0)
    yield _price(sub, 14, market.prints[0].price, 0.0)


def of_book(sub: Sub, item: Book, news: list[tuple[int, bool]]) -> Iterator[str]:
    """Yield what a quote is to a subscription.

    Args:
      news: see `State.quote`; none of a recording, which tells its own ticks of it.
    """
    if sub.kind in ("BidAsk", "MidPoint"):
        yield _single_quote(sub, item)
    if sub.kind:
        return
    for kind, is_price in news:
        price, size = (
            (item.bid, item.bid_size) if kind == 1 else (item.ask, item.ask_size)
        )
        if not price:  # there is none on that side any more
            price, size = -1.0, 0.0
        if is_price:
            yield _price(sub, kind, price, size)
        yield _size(sub, 0 if kind == 1 else 3, size)


def _single_quote(sub: Sub, item: Book) -> str:
    head = f"99\0{sub.req_id}\0{SINGLE[sub.kind]}\0{item.time_ms // 1000}\0"
    if sub.kind == "MidPoint":
        return f"{head}{number(middle(item))}\0"
    told = map(number, (item.bid, item.ask, item.bid_size, item.ask_size))
    return head + "\0".join(told) + "\x000\0"


def of_told(sub: Sub, item: Told) -> Iterator[str]:
    """Yield a tick as it was recorded."""
    if sub.kind:
        return
    if item.kind in _PRICES:
        yield _price(sub, item.kind, item.price, item.size)
    else:
        yield _size(sub, item.kind, item.size)


def of_print(
    sub: Sub, item: Print, state: State, *, news: list[int], is_recorded: bool
) -> Iterator[str]:
    """Yield what a trade is to a subscription.

    Args:
      state: of the market right after it.
      news: see `State.take`.
      is_recorded: a recording tells its own ticks of it.
    """
    listed = sub.listed
    if not listed.has_trades or sub.kind in ("BidAsk", "MidPoint"):
        return
    if sub.kind:
        yield from _single_trades(sub, item)
        return
    size = item.size / LOTS
    if not is_recorded:
        for kind in news:
            yield _price(sub, kind, item.price, size if kind == 4 else 0.0)
        yield _size(sub, 5, size)
        yield _string(sub, _STAMP, str(item.time_ms // 1000))
        yield _size(sub, 8, state.lots / LOTS)
    kinds = [
        kind
        for generic, kind in ((233, _RT_VOLUME), (375, _RT_TRADES))
        if generic in sub.generics
    ]
    for text in _volumes(item, state) if kinds else ():
        for kind in kinds:
            yield _string(sub, kind, text)


def _single_trades(sub: Sub, item: Print) -> Iterator[str]:
    exchange = sub.listed.primary or sub.listed.exchanges[0]
    head = f"99\0{sub.req_id}\0{SINGLE[sub.kind]}\0{item.time_ms // 1000}\0"
    for lots in item.lots:
        size = number(lots / LOTS)
        yield f"{head}{number(item.price)}\0{size}\x000\0{exchange}\0\0"


def _volumes(item: Print, state: State) -> Iterator[str]:
    """Yield each trade as RTVolume tells it; *state* is that after all of them."""
    vwap = state.notional / state.lots * LOTS
    total = state.lots - item.size
    for lots in item.lots:
        total += lots
        yield (
            f"{number(item.price)};{number(lots / LOTS)};{item.time_ms}"
            f";{number(total / LOTS)};{vwap:.8f};true"
        )


def _price(sub: Sub, kind: int, price: float, size: float) -> str:
    can_take = 1 if kind in (1, 2) else 0
    return (
        f"1\x006\0{sub.req_id}\0{sub.tick(kind)}\0{number(price)}\0{number(size)}"
        f"\0{can_take}\0"
    )


def _size(sub: Sub, kind: int, size: float) -> str:
    return f"2\x006\0{sub.req_id}\0{sub.tick(kind)}\0{number(size)}\0"


def _string(sub: Sub, kind: int, text: str) -> str:
    return f"46\x006\0{sub.req_id}\0{sub.tick(kind)}\0{text}\0"
