"""The matching engine of derivatives: orders need margin, trades make positions.

an order --need: margin or premium--> held;  a trade --> a position, a fee, a log entry
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

from ._deribit_log import After, Change, Log
from ._deribit_positions import Position, fee
from ._deribit_series import Deal, Series
from ._deribit_ticket import Fill, Ticket
from ._exchange import ZERO, Event, Exchange, Order, Trade, _Book

_FUTURE_MARGIN: Final = Decimal("0.02")  # fifty times
_SHORT_MARGIN: Final = Decimal("0.15")  # of an option, coins each


@dataclass
class Margins(Exchange):
    """See the module.

    Attributes:
      series: instruments by name.
      fills: of accounts, the oldest first.
      positions: by account and instrument.
      log: what changed money.
      fresh: deals that all are to be told of.
    """

    series: Mapping[str, Series] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    positions: dict[str, dict[str, Position]] = field(default_factory=dict)
    log: Log = field(default_factory=Log)
    fresh: list[tuple[Series, Deal]] = field(default_factory=list)
    _deals: dict[tuple[str, int], Deal] = field(default_factory=dict)

    # -- accounts -----------------------------------------------------------------

    def deposit(self, account: str, asset: str, amount: Decimal) -> None:
        """Give an account something, or take it where *amount* is negative."""
        super().deposit(account, asset, amount)
        kind = "deposit" if amount >= 0 else "withdrawal"
        self.note(account, asset, Change(kind, amount, amount))

    def position(self, account: str, symbol: str) -> Position:
        """Return what an account holds of an instrument, nothing perhaps."""
        return self.positions.setdefault(account, {}).setdefault(symbol, Position())

    def cash(self, account: str, asset: str) -> Decimal:
        """Return an account's money, what orders hold included."""
        one = self._balance(account, asset)
        return one.free + one.held

    def held(self, account: str, asset: str) -> Decimal:
        """Return what open orders of an account hold."""
        return self._balance(account, asset).held

    def of_currency(self, account: str, asset: str) -> list[tuple[Series, Position]]:
        """Return positions that are settled in an asset."""
        return [
            (self.series[symbol], one)
            for symbol, one in self.positions.get(account, {}).items()
            if self.series[symbol].inst.settlement == asset
        ]

    def mark(self, series: Series) -> Decimal:
        """Return an instrument's fair price."""
        index = series.index_now()
        return Decimal(repr(series.mark(index, self.now_ms()) if index else 0.0))

    def futures_profit(self, account: str, asset: str) -> tuple[Decimal, Decimal]:
        """Return the session's profit of futures: made, and not made yet."""
        made = open_ = ZERO
        for series, one in self.of_currency(account, asset):
            if series.inst.kind == "future":
                made += one.session
                open_ += one.unrealized(series.inst, self.mark(series))
        return made, open_

    def options_value(self, account: str, asset: str) -> Decimal:
        """Return what options of an account are worth."""
        return sum(
            (
                one.size * self.mark(series)
                for series, one in self.of_currency(account, asset)
                if series.inst.kind == "option"
            ),
            ZERO,
        )

    def equity(self, account: str, asset: str) -> Decimal:
        """Return all that an account is worth in an asset."""
        made, open_ = self.futures_profit(account, asset)
        money = self.cash(account, asset) + made + open_
        return money + self.options_value(account, asset)

    def margin(self, account: str, asset: str) -> Decimal:
        """Return what positions need."""
        needed = ZERO
        for series, one in self.of_currency(account, asset):
            if one.size and (series.inst.kind == "future" or one.size < 0):
                needed += self._margin(series, abs(one.size), self.mark(series))
        return needed

    def available(self, account: str, asset: str) -> Decimal:
        """Return what orders may still take."""
        made, open_ = self.futures_profit(account, asset)
        money = self.cash(account, asset) + made + open_
        return money - self.margin(account, asset) - self.held(account, asset)

    def _margin(self, series: Series, size: Decimal, price: Decimal) -> Decimal:
        inst = series.inst
        if inst.kind == "option":
            each = _SHORT_MARGIN
            if not inst.is_inverse:
                each *= Decimal(repr(series.index_now()))
            return size * each
        if not price:
            return ZERO
        value = size / price if inst.counts_dollars else size * price
        return value * _FUTURE_MARGIN

    # -- orders -------------------------------------------------------------------

    def _need(self, book: _Book, order: Order) -> tuple[str, Decimal]:
        series = self.series[order.symbol]
        inst = series.inst
        if inst.kind == "spot":
            return super()._need(book, order)
        held = self.position(order.account, order.symbol).size
        closes = abs(held) if held * (1 if order.side == "buy" else -1) < 0 else ZERO
        size = max(ZERO, order.left - closes)
        price = order.price or order.stop or self._best(book, order)
        if inst.kind == "option" and order.side == "buy":
            return inst.settlement, size * price
        return inst.settlement, self._margin(series, size, price)

    def _best(self, book: _Book, order: Order) -> Decimal:
        others = book.asks if order.side == "buy" else book.bids
        best = others[0].price if others else None
        return best or self.mark(self.series[order.symbol])

    def _lacks(self, book: _Book, order: Order) -> bool:
        if self.series[order.symbol].inst.kind == "spot":
            return super()._lacks(book, order)
        asset, amount = self._need(book, order)
        return self.available(order.account, asset) < amount

    # -- triggers -----------------------------------------------------------------

    def _is_reached(self, book: _Book, order: Order) -> bool:
        if not isinstance(order, Ticket) or order.stop is None:
            return super()._is_reached(book, order)
        price = self.reference(book.last, order)
        if not price:
            return False
        is_above = (order.side == "buy") != order.takes
        return price >= order.stop if is_above else price <= order.stop

    def reference(self, last: Decimal, order: Ticket) -> Decimal:
        """Return the price that a trigger order waits for, as it is now."""
        series = self.series[order.symbol]
        if order.trigger == "mark_price":
            return self.mark(series)
        if order.trigger == "index_price":
            return Decimal(repr(series.index_now()))
        return last

    def check_triggers(self, symbol: str) -> None:
        """Have orders begin to count whose price came."""
        self._trigger(self.books[symbol])

    def _say(self, what: Any, order: Order) -> None:
        if what == "triggered" and isinstance(order, Ticket):
            order.is_triggered = True
        if what == "amended" and isinstance(order, Ticket):
            order.is_replaced = True
        super()._say(what, order)

    # -- trades -------------------------------------------------------------------

    def _pay(self, book: _Book, order: Order, price: Decimal, size: Decimal) -> None:
        if self.series[order.symbol].inst.kind == "spot":
            return super()._pay(book, order, price, size)
        self._release(order)  # what it moves, `_book_trade` says
        return None

    def _book_trade(
        self, book: _Book, order: Order, tid: int, price: Decimal, size: Decimal,
        *, is_maker: bool,
    ) -> None:  # fmt: skip
        series = self.series[order.symbol]
        inst = series.inst
        deal = self._deal(series, order, tid, price, size, is_maker=is_maker)
        index = Decimal(repr(deal.index_price))
        asset = inst.settlement or inst.quote
        cost = fee(inst, price, size, index, is_maker=is_maker)
        made, change = ZERO, -cost
        if inst.kind != "spot":
            signed = size if order.side == "buy" else -size
            made = self.position(order.account, inst.name).trade(inst, price, signed)
            if inst.kind == "option":
                change -= signed * price
        self._balance(order.account, asset).free += change
        if inst.kind != "spot" and not order.is_over:
            self._hold(book, order)
        now = replace(order)
        trade = Trade(tid, now, price, size, cost, asset, is_maker, deal.time_ms)
        self.trades.append(trade)
        fill = Fill(trade, deal, made)
        self.fills.append(fill)
        what = Change("trade", change, change + cost, series, fill)
        self.note(order.account, asset, what)
        self.tell(Event("traded", now, trade))

    def _deal(
        self, series: Series, order: Order, tid: int, price: Decimal, size: Decimal,
        *, is_maker: bool,
    ) -> Deal:  # fmt: skip
        """Return what all are told of a trade: the same for both sides of it."""
        key = (order.symbol, tid)
        if key not in self._deals:
            side = 1 if (order.side == "buy") != is_maker else -1
            deal = series.add(self.now_ms(), float(price), float(size), side, tid)
            self._deals[key] = deal
            if series.deals and series.deals[-1] is deal:  # not so in a recording
                self.fresh.append((series, deal))
        return self._deals[key]

    def note(self, account: str, asset: str, what: Change) -> None:
        """Write what changed an account's money into its log."""
        size: Decimal | None = None
        if what.series is not None and what.series.inst.kind != "spot":
            size = self.position(account, what.series.inst.name).size
        after = After(
            self.now_ms(), self.cash(account, asset), self.equity(account, asset), size
        )
        self.log.add(account, asset, what, after)

    # -- all others ---------------------------------------------------------------

    def set_levels(
        self, symbol: str, bids: Mapping[float, float], asks: Mapping[float, float]
    ) -> None:
        """Have nobody's orders be these, prices and amounts, in place of all before."""
        book = self.books[symbol]
        for place in (book.bids, book.asks):
            place[:] = [each for each in place if each.account]
        for side, levels in (("buy", bids), ("sell", asks)):
            for price, amount in levels.items():
                exact = Decimal(repr(price)), Decimal(repr(amount))
                self._work(book, self._nobodys(symbol, side, *exact, "gtc"))  # type: ignore[arg-type]

    def settle(self, account: str, asset: str, change: Decimal) -> None:
        """Change an account's money."""
        self._balance(account, asset).free += change

    def end(self, order: Order, why: str) -> None:
        """End an order for a reason."""
        self._end(order, "canceled", why)

    def make_fill(self, order: Ticket, time_ms: int) -> None:
        """Have an order have been filled at some time before; nobody is told."""
        series = self.series[order.symbol]
        price = order.price or self.mark(series)
        order.filled, order.paid = order.size, order.size * price
        order.created_ms = order.changed_ms = time_ms
        sign = 1 if order.side == "buy" else -1
        tid = next(series.ids)
        index = series.index_now()
        seq = series.market.first_tid - 100_000 + order.serial
        deal = Deal(
            seq, tid, time_ms, float(price), float(order.size), sign, index, 0
        )  # fmt: skip
        asset = series.inst.settlement or series.inst.quote
        cost = fee(series.inst, price, order.size, Decimal(repr(index)), is_maker=True)
        self.position(order.account, order.symbol).trade(
            series.inst, price, sign * order.size
        )
        trade = Trade(tid, order, price, order.size, cost, asset, True, time_ms)
        self.trades.append(trade)
        self.fills.append(Fill(trade, deal, ZERO))
