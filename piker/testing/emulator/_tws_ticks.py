"""Market data as messages: what an item of the tape is to a subscription.

By https://interactivebrokers.github.io/tws-api/{tick_types,delayed_data,
tick_by_tick}.html.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

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
    """What was told of a market last.

    Attributes:
      bid, ask: price and size.
      last: price.
    """

    bid: tuple[float, float] = (0.0, 0.0)
    ask: tuple[float, float] = (0.0, 0.0)
    last: float = 0.0


def first_rows(sub: Sub, state: State) -> Iterator[list[Any]]:
    """Yield what a new line is told first: its steps, its kind, how things are."""
    listed, req_id = sub.listed, sub.req_id
    yield [81, req_id, listed.tick, "9c0001" if listed.sec_type == "STK" else "", 3]
    yield [58, 1, req_id, 3 if sub.is_delayed else 1]
    for kind, sized, (price, size) in ((1, 0, state.bid), (2, 3, state.ask)):
        if price:
            yield _price(sub, kind, price, size)
            yield _size(sub, sized, size)
    market = listed.market
    if not state.last or market is None or not listed.has_trades:
        return
    if not market.prints:
        yield _price(sub, 4, state.last, UNKNOWN)
        return
    newest = market.prints[-1]
    yield _price(sub, 4, newest.price, newest.size / LOTS)
    yield _size(sub, 5, newest.size / LOTS)
    yield _string(sub, _STAMP, str(newest.time_ms // 1000))
    yield _size(sub, 8, market.lots / LOTS)
    yield _price(sub, 6, market.high, 0.0)
    yield _price(sub, 7, market.low, 0.0)
    yield _price(sub, 14, market.prints[0].price, 0.0)


def news_of_book(state: State, item: Book) -> list[tuple[int, bool]]:
    """Return which sides changed (1 bid, 2 ask), and whether in price."""
    found = []
    for kind, old, new in (
        (1, state.bid, (item.bid, item.bid_size)),
        (2, state.ask, (item.ask, item.ask_size)),
    ):
        if old != new:
            found.append((kind, old[0] != new[0]))
    state.bid, state.ask = (item.bid, item.bid_size), (item.ask, item.ask_size)
    return found


def of_book(sub: Sub, item: Book, news: list[tuple[int, bool]]) -> Iterator[list[Any]]:
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


def _single_quote(sub: Sub, item: Book) -> list[Any]:
    head = [99, sub.req_id, SINGLE[sub.kind], item.time_ms // 1000]
    if sub.kind == "MidPoint":
        return [*head, number(middle(item))]
    return [
        *head, number(item.bid), number(item.ask), number(item.bid_size),
        number(item.ask_size), 0,
    ]  # fmt: skip


def of_told(sub: Sub, item: Told) -> Iterator[list[Any]]:
    """Yield a tick as it was recorded."""
    if sub.kind:
        return
    if item.kind in _PRICES:
        yield _price(sub, item.kind, item.price, item.size)
    else:
        yield _size(sub, item.kind, item.size)


def of_print(
    sub: Sub, item: Print, *, is_new: bool, is_recorded: bool
) -> Iterator[list[Any]]:
    listed = sub.listed
    if not listed.has_trades or sub.kind in ("BidAsk", "MidPoint"):
        return
    if sub.kind:
        exchange = listed.primary or listed.exchanges[0]
        for lots in item.lots:
            yield [
                99, sub.req_id, SINGLE[sub.kind], item.time_ms // 1000,
                number(item.price), number(lots / LOTS), 0, exchange, "",
            ]  # fmt: skip
        return
    size = item.size / LOTS
    if not is_recorded:  # else its own ticks tell it
        if is_new:
            yield _price(sub, 4, item.price, size)
        yield _size(sub, 5, size)
        yield _string(sub, _STAMP, str(item.time_ms // 1000))
        yield _size(sub, 8, item.market.lots / LOTS)
    for generic, kind in ((233, _RT_VOLUME), (375, _RT_TRADES)):
        if generic in sub.generics:
            yield _string(sub, kind, _volume(item, size))


def _volume(item: Print, size: float) -> str:
    """Return a trade as RTVolume tells it."""
    market = item.market
    vwap = market.notional / market.lots * LOTS
    is_single = "true" if len(item.lots) == 1 else "false"
    return (
        f"{number(item.price)};{number(size)};{item.time_ms}"
        f";{number(market.lots / LOTS)};{vwap:.8f};{is_single}"
    )


def _price(sub: Sub, kind: int, price: float, size: float) -> list[Any]:
    can_take = 1 if kind in (1, 2) else 0
    return [1, 6, sub.req_id, sub.tick(kind), number(price), number(size), can_take]


def _size(sub: Sub, kind: int, size: float) -> list[Any]:
    return [2, 6, sub.req_id, sub.tick(kind), number(size)]


def _string(sub: Sub, kind: int, text: str) -> list[Any]:
    return [46, 6, sub.req_id, sub.tick(kind), text]
