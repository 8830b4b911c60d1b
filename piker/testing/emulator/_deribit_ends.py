"""Ends of sessions and of contracts at the emulated Deribit: what becomes of positions.

a settlement: what futures made becomes money;  a delivery: nothing else is left

By https://docs.deribit.com/#contract-specifications and
https://support.deribit.com/hc/en-us/articles/25944746248989-Fees.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from ._deribit_log import Change
from ._deribit_margin import Margins
from ._deribit_positions import STEP, Position, payoff, profit
from ._deribit_series import Series
from ._deribit_ticket import Ticket
from ._deribit_world import World
from ._exchange import ZERO, Refused

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


class Ends:
    """See the module.

    Attributes:
      settled: is told of each, by account.
      ended: instruments that are no more, for who is to be told.
    """

    def __init__(self, margins: Margins, world: World) -> None:
        self._margins, self._world = margins, world
        self.settled: Callable[[str, dict[str, Any]], None] = lambda *_: None
        self.ended: list[Series] = []

    def settle(self, query: dict[str, str]) -> dict[str, Any]:
        """Have a session end: what futures made becomes money; Refused, KeyError."""
        currency, price, count = query["currency"], _price(query), 0
        funding = _number(query, "funding") or ZERO
        for account in tuple(self._margins.positions):
            for series, one in self._margins.of_currency(account, currency):
                if series.inst.kind == "future" and (one.size or one.session):
                    at = price or self._margins.mark(series)
                    rate = funding if series.inst.is_perpetual else ZERO
                    self._book(account, series, one, at, rate)
                    count += 1
        for series in self._world.series.values():
            if series.inst.settlement == currency and series.source is not None:
                series.settled = float(price or self._margins.mark(series))
        self._end_day_orders(currency)
        return {"settled": count}

    def _end_day_orders(self, currency: str) -> None:
        for order in self._margins.open_orders():
            of = self._world.series[order.symbol].inst.currency
            if isinstance(order, Ticket) and order.lasts == "good_til_day" and (
                of == currency
            ):  # fmt: skip
                self._margins.cancel(order)

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
        self._margins.settle(account, asset, end.made - end.cost)
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
        self._margins.note(account, asset, what)
        row = {
            "type": end.kind, "timestamp": self._margins.now_ms(), "position": size,
            "instrument_name": series.inst.name, "index_price": index,
            "mark_price": at, "profit_loss": float(end.made),
            "session_profit_loss": float(end.made),
        }  # fmt: skip
        if end.kind == "settlement" and series.inst.is_perpetual:
            row["funding"] = float(end.interest)
        self.settled(account, row)

    def deliver(self, query: dict[str, str]) -> dict[str, Any]:
        """Have an instrument expire: only money is left of it; Refused, KeyError."""
        series, price = self._world.series[query["instrument"]], _price(query)
        inst = series.inst
        at = price or Decimal(repr(series.index_now()))
        self._end_orders(inst.name)
        count = 0
        for account in tuple(self._margins.positions):
            one = self._margins.position(account, inst.name)
            if one.size or one.session:
                self._deliver_one(account, series, one, at)
                count += 1
        self._end(series, at)
        day = datetime.fromtimestamp(self._margins.now_ms() / 1000, UTC)
        told = {"date": f"{day:%Y-%m-%d}", "delivery_price": float(at)}
        self._world.deliveries.setdefault(inst.index, []).insert(0, told)
        return {"delivered": count}

    def _end_orders(self, symbol: str) -> None:
        for order in self._margins.open_orders(symbol=symbol):
            self._margins.end(order, "settlement")

    def close(self, series: Series) -> dict[str, Any]:
        """Have an instrument be no more, whatever is held of it."""
        self._end_orders(series.inst.name)
        self._end(series, self._margins.mark(series))
        return {}

    def _end(self, series: Series, at: Decimal) -> None:
        series.closed_at = float(at)
        self._margins.halt(series.inst.name, is_halted=True)
        self.ended.append(series)

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
