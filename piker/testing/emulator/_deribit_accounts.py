"""Accounts of the emulated Deribit, and what tests have happen to them.

Control paths besides those of `Accounts`::

    settle?currency=BTC&price=P&funding=R
                                      a session ends, of perpetuals and futures; longs
                                      in perpetuals pay a rate of what these are worth
    deliver?instrument=NAME&price=P   an instrument expires, at a price of its index
    expire_tokens?name=main           access tokens end; they can be refreshed
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from ._accounts import Accounts, ByHand
from ._deribit_channels import Channels
from ._deribit_log import Change
from ._deribit_margin import Margins
from ._deribit_positions import STEP, Position, payoff, profit
from ._deribit_series import Deal, Series
from ._deribit_ticket import Ticket
from ._deribit_world import World
from ._exchange import ZERO, Refused, Rules, Side
from ._tape import Item

_MOST: Final = Decimal(1_000_000_000)
_MAX_PRICE: Final = Decimal(100_000_000)
#: Of what is delivered; of an option an eighth of its value at most, daily ones free.
_DELIVERY: Final = {"option": Decimal("0.00015"), "future": Decimal("0.00025")}


@dataclass(frozen=True)
class Ending:
    """A session or a contract that ended for an account.

    Attributes:
      kind: ``settlement`` or ``delivery``.
      at: price.
      size: of the position until then.
      made: settlement coins that become money.
      session, open: of it, what trades made and what they didn't.
      cost: fee.
      interest: of *made*, what the funding of a perpetual is.
    """

    kind: str
    at: Decimal
    size: Decimal
    made: Decimal
    session: Decimal
    open: Decimal
    cost: Decimal = ZERO
    interest: Decimal = ZERO


@dataclass(eq=False)
class DeribitAccounts(Accounts):
    """See the module.

    Attributes:
      margins: the engine.
      expire: has an account's tokens end.
      told: of a settlement, by account.
      fresh_states: instruments that ended, to be told of.
    """

    world: World = field(kw_only=True)
    channels: Channels = field(kw_only=True)
    margins: Margins = field(init=False)
    expire: Callable[[str], None] = field(init=False, default=lambda _: None)
    settled: Callable[[str, dict[str, Any]], None] = field(
        init=False, default=lambda *_: None
    )
    ended: list[Series] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.margins = Margins(
            self._told, self.now_ms, self_trade="cancel_oldest", unique_ids=False,
            most_open=10_000, series=self.world.series,
        )  # fmt: skip
        self.exchange = self.margins
        for series in self.world.series.values():
            self._list(series)

    def _list(self, series: Series) -> None:
        inst = series.inst
        self.margins.list_market(
            Rules(
                symbol=inst.name, base=inst.base, quote=inst.quote, tick=inst.tick,
                step=inst.least, least=inst.least, most=_MOST, notional=ZERO,
                max_price=_MAX_PRICE,
            )
        )  # fmt: skip
        self.margins.books[inst.name].tids = series.ids
        if series.deals:
            self.margins.books[inst.name].last = Decimal(repr(series.deals[-1].price))

    # -- the tape -----------------------------------------------------------------

    def refresh(self, series: Series) -> None:
        """Have the tape's quotes of an instrument be in its book."""
        if not self.is_still and series.source is not None:
            self.margins.set_levels(series.inst.name, *series.levels())

    def pass_on(self, item: Item, touched: list[tuple[Series, list[Deal]]]) -> None:
        """Have what the tape says happen in the books of open orders."""
        if self.is_still or not self.keys:
            return
        live = {one.symbol for one in self.margins.open_orders()}
        for series, deals in touched:
            name = series.inst.name
            for deal in deals:
                exact = Decimal(repr(deal.price)), Decimal(repr(deal.amount))
                if name in live:
                    side: Side = "buy" if deal.side > 0 else "sell"
                    self.margins.outside(name, side, *exact)
                self.margins.books[name].last = exact[0]
        for name in live:
            series = self.world.series[name]
            if series.source is item.market:
                self.refresh(series)
                self.margins.check_triggers(name)

    # -- control ------------------------------------------------------------------

    def control(self, what: str, query: dict[str, str], body: bytes) -> Any:
        """Do what a control path asks for, see the module and `Accounts`."""
        match what:
            case "settle":
                funding = _number(query, "funding") or ZERO
                return self._settle(query["currency"], _price(query), funding)
            case "deliver":
                series = self.world.series[query["instrument"]]
                return self._deliver(series, _price(query))
            case "delist":
                return self._close(self.world.series[query["symbol"]])
            case "expire_tokens":
                self.expire(query["name"])
                return {}
        return super().control(what, query, body)

    def _settle(
        self, currency: str, price: Decimal | None, funding: Decimal
    ) -> dict[str, Any]:
        """Have a session end: what futures made becomes money."""
        count = 0
        for account in tuple(self.margins.positions):
            for series, one in self.margins.of_currency(account, currency):
                if series.inst.kind == "future" and (one.size or one.session):
                    at = price or self.margins.mark(series)
                    rate = funding if series.inst.is_perpetual else ZERO
                    self._book(account, series, one, at, rate)
                    count += 1
        for series in self.world.series.values():
            if series.inst.settlement == currency and series.source is not None:
                series.settled = float(price or self.margins.mark(series))
        self._end_day_orders(currency)
        return {"settled": count}

    def _end_day_orders(self, currency: str) -> None:
        for order in self.margins.open_orders():
            of = self.world.series[order.symbol].inst.currency
            if isinstance(order, Ticket) and order.lasts == "good_til_day" and (
                of == currency
            ):  # fmt: skip
                self.margins.cancel(order)

    def _book(
        self, account: str, series: Series, one: Position, at: Decimal, rate: Decimal
    ) -> None:
        """Make money of what a position made until a price, less what it costs."""
        size, session = one.size, one.session
        open_ = one.unrealized(series.inst, at)
        value = size / at if series.inst.counts_dollars else size * at
        interest = (-rate * value).quantize(STEP)
        made = one.settle(series.inst, at) + interest
        end = Ending("settlement", at, size, made, session, open_, interest=interest)
        self._pay(account, series, end)

    def _pay(self, account: str, series: Series, end: Ending) -> None:
        asset, index = series.inst.settlement, series.index_now()
        self.margins.settle(account, asset, end.made - end.cost)
        at, size = float(end.at), float(end.size)
        side = "long" if size > 0 else "short"
        if end.kind == "delivery":
            side = "close sell" if size > 0 else "close buy"
        told = {
            "side": side, "amount": abs(size), "price": at, "settlement_price": at,
            "commission": float(end.cost), "session_rpl": float(end.session),
            "session_upl": float(end.open), "index_price": index, "mark_price": at,
            "interest_pl": float(end.interest),
            "total_interest_pl": float(end.interest),
            "info": {"settlement_price": at, "floating_pl": float(end.open)},
        }  # fmt: skip
        what = Change(end.kind, end.made - end.cost, end.made, series, told=told)
        self.margins.note(account, asset, what)
        row = {
            "type": end.kind, "timestamp": self.now_ms(), "position": size,
            "instrument_name": series.inst.name, "index_price": index,
            "mark_price": at, "profit_loss": float(end.made),
            "session_profit_loss": float(end.made),
        }  # fmt: skip
        if end.kind == "settlement" and series.inst.is_perpetual:
            row["funding"] = float(end.interest)
        self.settled(account, row)

    def _deliver(self, series: Series, price: Decimal | None) -> dict[str, Any]:
        """Have an instrument expire: nothing is left of it but money."""
        inst = series.inst
        at = price or Decimal(repr(series.index_now()))
        self._end_orders(inst.name)
        count = 0
        for account in tuple(self.margins.positions):
            one = self.margins.position(account, inst.name)
            if one.size or one.session:
                self._deliver_one(account, series, one, at)
                count += 1
        series.closed_at = float(at)
        self.margins.halt(inst.name, is_halted=True)
        self.ended.append(series)
        day = f"{self.now_ms()}"
        told = {"date": day, "delivery_price": float(at)}
        self.world.deliveries.setdefault(inst.index, []).insert(0, told)
        return {"delivered": count}

    def _end_orders(self, symbol: str) -> None:
        for order in self.margins.open_orders(symbol=symbol):
            self.margins.end(order, "settlement")

    def _close(self, series: Series) -> dict[str, Any]:
        """Have an instrument be no more, whatever is held of it."""
        self._end_orders(series.inst.name)
        series.closed_at = float(self.margins.mark(series))
        self.margins.halt(series.inst.name, is_halted=True)
        self.ended.append(series)
        return {}

    def _deliver_one(
        self, account: str, series: Series, one: Position, at: Decimal
    ) -> None:
        inst, size, session = series.inst, one.size, one.session
        if inst.kind == "option":
            worth = payoff(inst, at)
            made, open_ = (worth * size).quantize(STEP), ZERO
            most = worth / 8
            each = min(_DELIVERY["option"] * (1 if inst.is_inverse else at), most)
            profits = profit(inst, one.average, worth, size)
        else:
            open_ = one.unrealized(inst, at)
            made = session + open_
            each = _DELIVERY["future"] * (1 / at if inst.counts_dollars else at)
            profits = made
        cost = ZERO if inst.period in ("day", "week") else (
            (each * abs(size)).quantize(STEP)
        )  # fmt: skip
        one.realized += profits
        one.size = one.session = one.average = one.basis = ZERO
        end = Ending("delivery", at, size, made, session, open_, cost)
        self._pay(account, series, end)

    def _place(self, asked: ByHand) -> dict[str, Any]:
        """Place an order as at the venue's own screen."""
        order = self.margins.place(
            Ticket(
                0, asked.account, asked.symbol, asked.side, "limit", asked.size,
                asked.price,
            )
        )  # fmt: skip
        return {"serial": order.serial}

    def _make_history(self, name: str, symbol: str, count: int) -> None:
        """Have an account have traded so often, a second each."""
        series, begin_ms = self.world.series[symbol], self.now_ms() - count * 1000
        for nth in range(count):
            side: Side = "sell" if nth % 3 == 2 else "buy"
            size = series.inst.least * (10 + nth % 7)
            order = Ticket(
                10 + nth, name, symbol, side, "limit", size,
                self.margins.mark(series).quantize(series.inst.tick),
                state="filled", cl_id=f"old{nth}",
            )  # fmt: skip
            self.margins.make_fill(order, begin_ms + nth * 1000)


def _number(query: dict[str, str], name: str) -> Decimal | None:
    """Return a number, None if none is told; raises Refused."""
    if name not in query:
        return None
    try:
        return Decimal(query[name])
    except InvalidOperation:
        raise Refused("price_range", f"{name} must be a number") from None


def _price(query: dict[str, str]) -> Decimal | None:
    price = _number(query, "price")
    if price is not None and not 0 < price < _MAX_PRICE:
        raise Refused("price_range", "price must be above 0")
    return price
