"""The matching engine of an emulated TWS: accounts on margin, positions of contracts.

a trade --> position, cash, realized profit;  an order --> the margin it takes
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final, Literal

from ._exchange import ZERO, Exchange, Order, Refused, Trade, _Book, faults_of
from ._fees import Fees
from ._tws_kinds import Listed

#: Of a contract's worth, what must be there to open it.
_INITIAL: Final = {
    "STK": Decimal("0.25"), "OPT": Decimal(1), "FUT": Decimal("0.1"),
    "CASH": Decimal("0.05"), "CRYPTO": Decimal(1),
}  # fmt: skip
#: Of that, what must be there to keep it.
_MAINTENANCE: Final = Decimal("0.8")
#: Commission for each unit, and at least.
_COMMISSIONS: Final = {
    "STK": (Decimal("0.005"), Decimal(1)), "OPT": (Decimal("0.65"), Decimal(1)),
    "FUT": (Decimal("2.25"), Decimal("2.25")),
}  # fmt: skip
#: Commission of what is traded, and at least.
_SHARES: Final = {
    "CASH": (Decimal("0.00002"), Decimal(2)),
    "CRYPTO": (Decimal("0.0018"), Decimal("1.75")),
}  # fmt: skip


@dataclass
class Position:
    """What an account has of a contract.

    Attributes:
      size: below 0 if it is short.
      paid: mean price of it, of one unit without its multiplier.
      realized: profit of what was closed, without commissions.
    """

    size: Decimal = ZERO
    paid: Decimal = ZERO
    realized: Decimal = ZERO

    def trade(self, size: Decimal, price: Decimal) -> Decimal:
        """Take a trade, below 0 if sold; return the profit in price times size."""
        if self.size * size >= 0:
            total = self.size + size
            self.paid = (self.size * self.paid + size * price) / total
            self.size = total
            return ZERO
        closed = min(abs(size), abs(self.size))
        sign = 1 if self.size > 0 else -1
        profit = sign * closed * (price - self.paid)
        self.size += size
        if self.size * sign < 0:
            self.paid = price  # it turned around
        elif not self.size:
            self.paid = ZERO
        return profit


@dataclass
class Commissions(Fees):
    """What trades cost; see `Fees`.

    Attributes:
      listed: contracts, by what the exchange calls their units.
    """

    listed: dict[str, Listed] = field(default_factory=dict)

    def of(
        self, assets: tuple[str, str], side: Literal["buy", "sell"], price: Decimal,
        size: Decimal, *, is_maker: bool,
    ) -> tuple[Decimal, str]:  # fmt: skip
        """See `Fees`."""
        one = self.listed[assets[0]]
        if one.sec_type in _SHARES:
            share, least = _SHARES[one.sec_type]
            fee = share * size * price * one.multiplier
        else:
            each, least = _COMMISSIONS[one.sec_type]
            fee = each * size
        return max(fee, least), assets[1]


@dataclass
class MarginExchange(Exchange):
    """Books, and accounts that may be short; see `Exchange`.

    Attributes:
      listed: contracts, by the exchange's names of them.
      positions: by account and that name.
      profits: of trades, by account, number of the order and of the trade.
    """

    listed: dict[str, Listed] = field(default_factory=dict)
    positions: dict[str, dict[str, Position]] = field(default_factory=dict)
    profits: dict[tuple[str, int, int], Decimal] = field(default_factory=dict)
    _profit: Decimal = ZERO

    # -- money --------------------------------------------------------------------

    def _need(self, book: _Book, order: Order) -> tuple[str, Decimal]:
        return book.rules.quote, ZERO  # nothing is set aside

    def _lacks(self, book: _Book, order: Order) -> bool:
        one = self.listed[order.symbol]
        held = self.position(order.account, order.symbol).size
        size = order.left if order.side == "buy" else -order.left
        if one.sec_type == "CRYPTO" and held + size < 0:
            return True  # nobody lends coins
        before, after = abs(held), abs(held + size)
        if after <= before:
            return False
        price = order.price or order.stop or self.mark(order.symbol)
        needed = margin(one, price, after - before) * self.rate(one.currency)
        return needed > self.available(order.account)

    def _pay(self, book: _Book, order: Order, price: Decimal, size: Decimal) -> None:
        one = self.listed[order.symbol]
        signed = size if order.side == "buy" else -size
        position = self.position(order.account, order.symbol)
        profit = position.trade(signed, price) * one.multiplier
        position.realized += profit
        self._profit = profit
        cash = self._balance(order.account, book.rules.quote)
        if one.sec_type == "FUT":
            cash.free += profit
        else:
            cash.free -= signed * price * one.multiplier
        self._balance(order.account, book.rules.base).free += signed

    def _book_trade(
        self, book: _Book, order: Order, tid: int, price: Decimal, size: Decimal,
        *, is_maker: bool,
    ) -> None:  # fmt: skip
        self.profits[order.account, order.serial, tid] = self._profit
        super()._book_trade(book, order, tid, price, size, is_maker=is_maker)

    # -- what an account is worth -------------------------------------------------

    def position(self, account: str, symbol: str) -> Position:
        """Return what an account has of a contract."""
        found = self.positions.setdefault(account, {})
        return found.setdefault(symbol, Position())

    def mark(self, symbol: str) -> Decimal:
        """Return what a contract is worth now."""
        book = self.books[symbol]
        if book.last:
            return book.last
        prices = [side[0].price for side in (book.bids, book.asks) if side]
        told = [price for price in prices if price is not None]
        return sum(told, ZERO) / len(told) if told else ZERO

    def open_profit(self, account: str, symbol: str) -> Decimal:
        """Return the profit of what is open."""
        held = self.position(account, symbol)
        gain = self.mark(symbol) - held.paid if held.size else ZERO
        return held.size * gain * self.listed[symbol].multiplier

    def cash(self, account: str, currency: str) -> Decimal:
        """Return an account's cash of a currency."""
        return self._balance(account, currency).free

    def currencies(self, account: str) -> list[str]:
        """Return what money an account has, or owes."""
        money = {one.currency for one in self.listed.values()}
        money |= {one.symbol for one in self.listed.values() if one.sec_type == "CASH"}
        return [name for name in self.balances.get(account, {}) if name in money]

    def rate(self, currency: str) -> Decimal:
        """Return what a currency is worth in dollars, 1 where nobody knows."""
        for key, turned in ((f"{currency}.USD", False), (f"USD.{currency}", True)):
            mark = self.mark(key) if key in self.books else ZERO
            if mark:
                return 1 / mark if turned else mark
        return Decimal(1)

    def worth_in(self, account: str, currency: str) -> Decimal:
        """Return cash and positions of one currency."""
        return self.cash(account, currency) + sum(
            (
                self.open_profit(account, symbol)
                if one.sec_type == "FUT"
                else held.size * self.mark(symbol) * one.multiplier
                for symbol, held, one in self._held_by(account)
                if one.currency == currency and one.sec_type != "CASH"
            ),
            ZERO,
        )

    def worth(self, account: str) -> Decimal:
        """Return cash and positions in dollars."""
        return sum(
            (self.worth_in(account, one) * self.rate(one)
             for one in self.currencies(account)),
            ZERO,
        )  # fmt: skip

    def used(self, account: str) -> Decimal:
        """Return the initial margin of all positions in dollars."""
        return sum(
            (
                margin(one, self.mark(symbol), abs(held.size)) * self.rate(one.currency)
                for symbol, held, one in self._held_by(account)
            ),
            ZERO,
        )

    def available(self, account: str) -> Decimal:
        """Return what may be used as margin, in dollars."""
        return self.worth(account) - self.used(account)

    def _held_by(self, account: str) -> Iterator[tuple[str, Position, Listed]]:
        for symbol, held in self.positions.get(account, {}).items():
            yield symbol, held, self.listed[symbol]

    def fee_of(self, order: Order, price: Decimal) -> tuple[Decimal, str]:
        """Return what an order would cost at a price, and in which money."""
        rules = self._book(order.symbol).rules
        return self.fees.of(
            (rules.base, rules.quote), order.side, price, order.size, is_maker=False
        )

    def profit_of(self, trade: Trade) -> Decimal:
        """Return what a trade realized."""
        order = trade.order
        return self.profits.get((order.account, order.serial, trade.tid), ZERO)

    # -- requests -----------------------------------------------------------------

    def check(self, order: Order) -> None:
        """Look at an order that isn't placed; raises Refused."""
        self._check(self._book(order.symbol), order)

    def place(self, order: Order) -> Order:
        """See `Exchange`; a stop that is reached begins to count at once."""
        placed = super().place(order)
        self._trigger(self._book(order.symbol))
        return placed

    def amend(self, order: Order, **changes: Any) -> Order:
        """See `Exchange`, and `place`."""
        amended = super().amend(order, **changes)
        self._trigger(self._book(order.symbol))
        return amended

    def _check(self, book: _Book, order: Order, *, is_new: bool = True) -> None:
        why = next(faults_of(book, order), None)
        if why is not None:
            raise Refused(why)
        super()._check(book, replace(order, stop=None), is_new=is_new)


def margin(one: Listed, price: Decimal, size: Decimal) -> Decimal:
    """Return the initial margin of so much of a contract."""
    return size * price * one.multiplier * _INITIAL[one.sec_type]


def kept(initial: Decimal) -> Decimal:
    """Return the maintenance margin of an initial one."""
    return initial * _MAINTENANCE
