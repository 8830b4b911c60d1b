"""A matching engine with accounts: pure, in exact decimals, by price and then time.

    place, amend, cancel --> books --> events: accepted, traded, ended
    tape --quote, outside--> orders of nobody, which those of accounts trade with

What a venue calls things, and how it says them, is its own module's.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import count
from typing import Final, Literal

from ._fees import Fees

ZERO: Final = Decimal(0)

Side = Literal["buy", "sell"]
Kind = Literal["limit", "market", "stop", "stop_limit"]
Tif = Literal["gtc", "ioc", "fok"]
#: A price, and how much is there.
Level = tuple[Decimal, Decimal]
State = Literal["waiting", "open", "filled", "canceled", "expired", "rejected"]
#: What ends one of two orders of one account that would trade with each other.
SelfTrade = Literal["cancel_newest", "cancel_oldest"]
#: Why an order is refused; a venue has a code and words of its own for each.
Why = Literal[
    "symbol", "halted", "tick", "lot", "price_range", "size_range", "notional",
    "funds", "post_only", "duplicate", "unknown", "over", "would_trigger", "many",
]  # fmt: skip


class Refused(Exception):
    """A request that the venue refuses.

    Attributes:
      why: which rule it breaks.
    """

    def __init__(self, why: Why, text: str = "") -> None:
        super().__init__(text or why)
        self.why: Why = why


@dataclass(frozen=True)
class Rules:
    """A market, and what orders in it must be.

    Attributes:
      symbol: the venue's name of it.
      base, quote: its assets.
      tick, step: of prices and sizes.
      least, most: sizes.
      notional: size times price at least.
    """

    symbol: str
    base: str
    quote: str
    tick: Decimal
    step: Decimal
    least: Decimal
    most: Decimal
    notional: Decimal
    max_price: Decimal = Decimal(1_000_000)


@dataclass(eq=False)
class Order:
    """An order; of nobody where *account* is empty.

    Attributes:
      serial: the venue's number of it.
      turn: decides among orders of one price, the lowest first.
      stop: price at which it begins to count.
      paid: quote units of what is filled.
      why: what ended it, if it wasn't asked for.
      was: until when, ms, it had which price and size before.
      heard_ns: when it was heard of, by this machine's clock; 0 if nobody noted it.
    """

    serial: int
    account: str
    symbol: str
    side: Side
    kind: Kind
    size: Decimal
    price: Decimal | None
    tif: Tif = "gtc"
    post_only: bool = False
    stop: Decimal | None = None
    cl_id: str = ""
    filled: Decimal = ZERO
    paid: Decimal = ZERO
    state: State = "open"
    why: str = ""
    created_ms: int = 0
    changed_ms: int = 0
    turn: int = 0
    heard_ns: int = 0
    was: list[tuple[int, Decimal | None, Decimal]] = field(default_factory=list)

    @property
    def left(self) -> Decimal:
        """What is still open."""
        return self.size - self.filled

    @property
    def is_over(self) -> bool:
        """Whether nothing comes of it any more."""
        return self.state not in ("waiting", "open")

    @property
    def rank(self) -> tuple[Decimal, int]:
        """Where it stands in its side of the book, the best first."""
        assert self.price is not None, "it rests"
        return (-self.price if self.side == "buy" else self.price), self.turn


@dataclass(frozen=True)
class Trade:
    """One order took another.

    Attributes:
      tid: rises by one in each market.
      order: of an account, as it was right after.
      fee: in *fee_asset*.
      is_maker: whether *order* rested.
    """

    tid: int
    order: Order
    price: Decimal
    size: Decimal
    fee: Decimal
    fee_asset: str
    is_maker: bool
    time_ms: int


@dataclass(frozen=True)
class Event:
    """Something happened to an account's order, which is as it was right after."""

    what: Literal["accepted", "triggered", "amended", "traded", "ended"]
    order: Order
    trade: Trade | None = None


@dataclass
class Balance:
    """What an account has of an asset; *held* is what open orders may need of it."""

    free: Decimal = ZERO
    held: Decimal = ZERO


@dataclass
class _Book:
    rules: Rules
    bids: list[Order] = field(default_factory=list)
    asks: list[Order] = field(default_factory=list)
    stops: list[Order] = field(default_factory=list)
    tids: Iterator[int] = field(default_factory=lambda: count(1))
    last: Decimal = ZERO
    is_halted: bool = False

    def side(self, side: Side) -> list[Order]:
        return self.bids if side == "buy" else self.asks


@dataclass
class Exchange:
    """Books and accounts of one venue.

    Attributes:
      tell: told of each event, in order.
      now_ms: the venue's time.
      self_trade: see `SelfTrade`.
      most_open: orders that an account may have open in a market.
      unique_ids: a client's id is of one open order at most.
      orders: of accounts, all there ever were, by serial.
      trades: of accounts, likewise, the oldest first.
    """

    tell: Callable[[Event], None]
    now_ms: Callable[[], int]
    fees: Fees = field(default_factory=Fees)
    self_trade: SelfTrade = "cancel_newest"
    most_open: int = 200
    unique_ids: bool = True
    orders: dict[int, Order] = field(default_factory=dict)
    trades: list[Trade] = field(default_factory=list)
    books: dict[str, _Book] = field(default_factory=dict)
    balances: dict[str, dict[str, Balance]] = field(default_factory=dict)
    _serials: Iterator[int] = field(default_factory=lambda: count(1001))
    _by_cl_id: dict[tuple[str, str], Order] = field(default_factory=dict)
    _live: dict[Order, None] = field(default_factory=dict)
    _held: dict[Order, tuple[str, Decimal]] = field(default_factory=dict)

    # -- what there is ------------------------------------------------------------

    def list_market(self, rules: Rules) -> None:
        """List a market, or change its rules."""
        if rules.symbol in self.books:
            self.books[rules.symbol].rules = rules
        else:
            self.books[rules.symbol] = _Book(rules)

    def halt(self, symbol: str, *, is_halted: bool) -> None:
        """Take no orders in a market, or take them again; what rests stays."""
        self._book(symbol).is_halted = is_halted

    def delist(self, symbol: str) -> None:
        """End a market, and what rests there."""
        for order in self.open_orders(symbol=symbol):
            self._end(order, "expired", "the market was delisted")
        del self.books[symbol]

    def deposit(self, account: str, asset: str, amount: Decimal) -> None:
        """Give an account something, or take it where *amount* is negative."""
        self._balance(account, asset).free += amount

    def open_orders(self, account: str = "", symbol: str = "") -> list[Order]:
        """Return open orders of an account, or of all, in a market, or in all."""
        return [
            order
            for order in self._live
            if account in ("", order.account) and symbol in ("", order.symbol)
        ]

    def open_at(self, account: str, time_ms: int) -> list[Order]:
        """Return an account's orders that were open at a time, as they were then.

        But for what was filled since, which is left out.
        """
        return [
            _as_of(order, time_ms)
            for order in self.orders.values()
            if order.account == account
            and order.created_ms <= time_ms
            and (not order.is_over or order.changed_ms > time_ms)
        ]

    def by_cl_id(self, account: str, cl_id: str) -> Order | None:
        """Return the newest order that an account gave an id."""
        return self._by_cl_id.get((account, cl_id))

    def _book(self, symbol: str) -> _Book:
        if symbol not in self.books:
            raise Refused("symbol", f"no market {symbol}")
        return self.books[symbol]

    def _balance(self, account: str, asset: str) -> Balance:
        return self.balances.setdefault(account, {}).setdefault(asset, Balance())

    # -- requests -----------------------------------------------------------------

    def place(self, order: Order) -> Order:
        """Take an order, whose serial and times are given here; Refused."""
        book = self._book(order.symbol)
        known = self._by_cl_id.get((order.account, order.cl_id))
        if self.unique_ids and known is not None and not known.is_over:
            raise Refused("duplicate")
        self._check(book, order)
        serial = next(self._serials)
        order = replace(
            order,
            serial=serial,
            turn=serial,
            created_ms=self.now_ms(),
            changed_ms=self.now_ms(),
            state="waiting" if order.stop is not None else "open",
        )
        self._hold(book, order)
        self.orders[order.serial] = order
        self._live[order] = None
        if order.cl_id:
            self._by_cl_id[order.account, order.cl_id] = order
        self._say("accepted", order)
        if order.state == "waiting":
            book.stops.append(order)
        else:
            self._work(book, order)
        return order

    def cancel(self, order: Order) -> Order:
        """End an order; Refused if it is over."""
        if order.is_over:
            raise Refused("over", f"the order is {order.state}")
        self._end(order, "canceled")
        return order

    def amend(
        self, order: Order, *, size: Decimal | None = None,
        price: Decimal | None = None, stop: Decimal | None = None,
        post_only: bool | None = None,
    ) -> Order:  # fmt: skip
        """Change an order in its place; a smaller one keeps its turn. Refused."""
        if order.is_over:
            raise Refused("over", f"the order is {order.state}")
        book = self._book(order.symbol)
        wanted = replace(
            order,
            size=size or order.size,
            price=price or order.price,
            stop=stop or order.stop,
            post_only=order.post_only if post_only is None else post_only,
        )
        if wanted.size <= order.filled:
            raise Refused("size_range", "no more than what is filled")
        self._release(order)
        try:
            self._check(book, wanted, is_new=False)
        except Refused:
            self._hold(book, order)
            raise
        keeps_turn = wanted.price == order.price and wanted.size <= order.size
        self._take_off(book, order)
        order.was.append((self.now_ms(), order.price, order.size))
        order.size, order.price, order.stop = wanted.size, wanted.price, wanted.stop
        order.post_only, order.changed_ms = wanted.post_only, self.now_ms()
        if not keeps_turn:
            order.turn = next(self._serials)
        self._hold(book, order)
        self._say("amended", order)
        if order.state == "waiting":
            book.stops.append(order)
        else:
            self._work(book, order)
        return order

    def _check(self, book: _Book, order: Order, *, is_new: bool = True) -> None:
        why = next(faults_of(book, order), None)
        waits = order.stop is not None and (is_new or order.state == "waiting")
        if why is None and waits and self._is_reached(book, order):
            why = "would_trigger"
        if why is None and order.post_only and self._crosses(book, order):
            why = "post_only"
        if why is None and self._lacks(book, order):
            why = "funds"
        if why is None and is_new and self._has_many(order):
            why = "many"
        if why is not None:
            raise Refused(why)

    def _lacks(self, book: _Book, order: Order) -> bool:
        asset, amount = self._need(book, order)
        return self._balance(order.account, asset).free < amount

    def _has_many(self, order: Order) -> bool:
        """Tell whether no order more may be open in a market."""
        return len(self._live) >= self.most_open and (
            len(self.open_orders(order.account, order.symbol)) >= self.most_open
        )

    @staticmethod
    def _crosses(book: _Book, order: Order) -> bool:
        others = book.asks if order.side == "buy" else book.bids
        return bool(others) and _reaches(order, others[0])

    # -- money --------------------------------------------------------------------

    def _need(self, book: _Book, order: Order) -> tuple[str, Decimal]:
        """Return what an order may still take of its account."""
        if order.side == "sell":
            return book.rules.base, order.left
        price = order.price
        if price is None:  # a market order is bounded by what the book asks for
            price = max([each.price or ZERO for each in book.asks[:50]], default=ZERO)
        return book.rules.quote, order.left * price

    def _hold(self, book: _Book, order: Order) -> None:
        asset, amount = self._need(book, order)
        balance = self._balance(order.account, asset)
        balance.free -= amount
        balance.held += amount
        self._held[order] = (asset, amount)

    def _release(self, order: Order) -> None:
        asset, amount = self._held.pop(order, ("", ZERO))
        if amount:
            balance = self._balance(order.account, asset)
            balance.held -= amount
            balance.free += amount

    def _pay(self, book: _Book, order: Order, price: Decimal, size: Decimal) -> None:
        """Move what a trade moves, and hold what is still needed."""
        rules = book.rules
        self._release(order)
        base = self._balance(order.account, rules.base)
        quote = self._balance(order.account, rules.quote)
        sign = 1 if order.side == "buy" else -1
        base.free += sign * size
        quote.free -= sign * size * price
        if not order.is_over:
            self._hold(book, order)

    # -- matching -----------------------------------------------------------------

    def _work(self, book: _Book, order: Order) -> None:
        """Match an order, and rest what is left of it, if it may rest."""
        others = book.asks if order.side == "buy" else book.bids
        if order.tif == "fok" and self._there_is(others, order) < order.left:
            self._end(order, "expired", "it couldn't be filled at once")
            return
        while not order.is_over and order.left and others:
            best = others[0]
            if not _reaches(order, best):
                break
            if best.account and best.account == order.account:
                if self.self_trade == "cancel_newest":
                    self._end(order, "expired", "self trade")
                    return
                self._end(best, "expired", "self trade")
                continue
            self._trade(book, best, order)
        if order.is_over or not order.left:
            return
        if order.tif == "gtc" and order.price is not None:
            insort(book.side(order.side), order, key=lambda each: each.rank)
        else:
            self._end(order, "expired", "nothing more was to be had")

    def _there_is(self, others: list[Order], order: Order) -> Decimal:
        return sum((each.left for each in others if _reaches(order, each)), ZERO)

    def _trade(self, book: _Book, maker: Order, taker: Order) -> None:
        assert maker.price is not None, "it rests"
        size, price = min(maker.left, taker.left), maker.price
        tid, book.last = next(book.tids), price
        for order in (maker, taker):
            order.filled += size
            order.paid += size * price
            order.changed_ms = self.now_ms()
            if not order.left:
                order.state = "filled"
                self._live.pop(order, None)
        if maker.is_over:
            book.side(maker.side).remove(maker)
        for order in (maker, taker):
            if order.account:
                self._pay(book, order, price, size)
                self._book_trade(book, order, tid, price, size, is_maker=order is maker)
        self._trigger(book)

    def _book_trade(
        self, book: _Book, order: Order, tid: int, price: Decimal, size: Decimal,
        *, is_maker: bool,
    ) -> None:  # fmt: skip
        assets = book.rules.base, book.rules.quote
        fee, asset = self.fees.of(assets, order.side, price, size, is_maker=is_maker)
        self._balance(order.account, asset).free -= fee
        now = replace(order)
        trade = Trade(tid, now, price, size, fee, asset, is_maker, self.now_ms())
        self.trades.append(trade)
        self.tell(Event("traded", now, trade))

    def _is_reached(self, book: _Book, order: Order) -> bool:
        if not book.last or order.stop is None:
            return False
        return book.last >= order.stop if order.side == "buy" else (
            book.last <= order.stop
        )  # fmt: skip

    def _trigger(self, book: _Book) -> None:
        for order in [each for each in book.stops if self._is_reached(book, each)]:
            if order in book.stops:
                book.stops.remove(order)
                order.state, order.changed_ms = "open", self.now_ms()
                self._say("triggered", order)
                self._work(book, order)

    # -- ends ---------------------------------------------------------------------

    def _take_off(self, book: _Book, order: Order) -> None:
        for place in (book.side(order.side), book.stops):
            if order in place:
                place.remove(order)

    def _end(self, order: Order, state: State, why: str = "") -> None:
        book = self.books[order.symbol]
        self._take_off(book, order)
        self._live.pop(order, None)
        order.state, order.why, order.changed_ms = state, why, self.now_ms()
        if order.account:
            self._release(order)
            self._say("ended", order)

    def _say(self, what: Literal["accepted", "triggered", "amended", "ended"],
             order: Order) -> None:  # fmt: skip
        self.tell(Event(what, replace(order)))

    def make_trade(self, order: Order, time_ms: int) -> None:
        """Have an order have been filled at some time before; nobody is told."""
        book = self._book(order.symbol)
        assert order.price is not None, "it was limited"
        fee = order.size * order.price * self.fees.maker
        self.trades.append(
            Trade(
                next(book.tids), order, order.price, order.size, fee,
                book.rules.quote, is_maker=True, time_ms=time_ms,
            )
        )  # fmt: skip

    # -- all others ---------------------------------------------------------------

    def quote(self, symbol: str, side: Side, price: Decimal, size: Decimal) -> None:
        """Have nobody's orders of a side be one of so much at a price.

        It takes what of accounts stands in its way.
        """
        book = self._book(symbol)
        place = book.side(side)
        place[:] = [each for each in place if each.account]
        if size > 0:
            self._work(book, self._nobodys(symbol, side, price, size, "gtc"))

    def quotes(self, symbol: str, bid: Level | None, ask: Level | None) -> None:
        """Have nobody's orders be these, in place of all before.

        Both sides are empty of them first: nobody trades with nobody.
        """
        book = self._book(symbol)
        for place in (book.bids, book.asks):
            place[:] = [each for each in place if each.account]
        sides: tuple[tuple[Side, Level | None], ...] = (("buy", bid), ("sell", ask))
        for side, level in sides:
            if level is not None and level[1] > 0:
                self._work(book, self._nobodys(symbol, side, *level, "gtc"))

    def clear_quotes(self) -> None:
        """Take nobody's orders off all books."""
        for book in self.books.values():
            for place in (book.bids, book.asks):
                place[:] = [each for each in place if each.account]

    def outside(self, symbol: str, side: Side, price: Decimal, size: Decimal) -> None:
        """Have somebody take what there is, to a price and a size."""
        book = self._book(symbol)
        self._work(book, self._nobodys(symbol, side, price, size, "ioc"))
        if not book.last:
            book.last = price

    def _nobodys(
        self, symbol: str, side: Side, price: Decimal, size: Decimal, tif: Tif
    ) -> Order:
        turn = next(self._serials)
        return Order(0, "", symbol, side, "limit", size, price, tif, turn=turn)


def _as_of(order: Order, time_ms: int) -> Order:
    """Return an open order as it was at a time."""
    before = next((each for each in order.was if each[0] > time_ms), None)
    price, size = before[1:] if before else (order.price, order.size)
    filled = ZERO if order.changed_ms > time_ms else order.filled
    return replace(order, state="open", price=price, size=size, filled=filled)


def faults_of(book: _Book, order: Order) -> Iterator[Why]:
    """Yield which rules of its market an order breaks."""
    rules, price = book.rules, order.price
    prices = [each for each in (price, order.stop) if each is not None]
    if book.is_halted:
        yield "halted"
    if not all(0 < each <= rules.max_price for each in prices):
        yield "price_range"
    if any(each % rules.tick for each in prices):
        yield "tick"
    if order.size % rules.step:
        yield "lot"
    if not rules.least <= order.size <= rules.most:
        yield "size_range"
    others = book.asks if order.side == "buy" else book.bids
    best = others[0].price if others else book.last
    if order.size * (price or order.stop or best or ZERO) < rules.notional:
        yield "notional"


def _reaches(order: Order, best: Order) -> bool:
    """Tell whether an order pays what the best of the other side asks for."""
    assert best.price is not None, "it rests"
    if order.price is None:
        return True
    if order.side == "buy":
        return order.price >= best.price
    return order.price <= best.price
