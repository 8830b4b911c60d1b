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
from decimal import Decimal
from typing import Any, Final

from ._accounts import Accounts, ByHand
from ._deribit_ends import Ends
from ._deribit_margin import Margins
from ._deribit_series import Deal, Series
from ._deribit_ticket import Ticket, Trades
from ._deribit_world import World
from ._exchange import ZERO, Event, Rules, Side
from ._tape import Item

_MOST: Final = Decimal(1_000_000_000)
_MAX_PRICE: Final = Decimal(100_000_000)


@dataclass(eq=False)
class DeribitAccounts(Accounts):
    """See the module.

    Attributes:
      world: instruments.
      margins: the engine.
      ends: of sessions and contracts.
      expire: has an account's tokens end.
    """

    world: World = field(kw_only=True)
    margins: Margins = field(init=False)
    ends: Ends = field(init=False)
    expire: Callable[[str], None] = field(init=False, default=lambda _: None)

    def __post_init__(self) -> None:
        self.margins = Margins(
            self._told, self.now_ms, self_trade="cancel_oldest", unique_ids=False,
            most_open=10_000, series=self.world.series,
        )  # fmt: skip
        self.exchange = self.margins
        self.ends = Ends(self.margins, self.world)
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

    def _next(self) -> Event:
        """Return what is to be told next: trades of one order at once."""
        event = super()._next()
        if event.what != "traded" or event.trade is None:
            return event
        trades, between = [event.trade], list[Event]()
        while self._due:
            following = self._due[0]
            if _goes_on(event, following):
                event = super()._next()
                trades += [event.trade] if event.trade else []
            elif _is_met(event, following):
                between.append(super()._next())
            else:
                break
        self._due.extendleft(reversed(between))
        return Trades(event.what, event.order, event.trade, tuple(trades))

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
                return self.ends.settle(query)
            case "deliver":
                return self.ends.deliver(query)
            case "delist":
                return self.ends.close(self.world.series[query["symbol"]])
            case "expire_tokens":
                self.expire(query["name"])
                return {}
        return super().control(what, query, body)

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


def _goes_on(event: Event, following: Event) -> bool:
    """Tell whether an event is one more trade of the same order."""
    return (
        following.what == "traded"
        and following.order.serial == event.order.serial
        and following.trade is not event.trade
    )


def _is_met(event: Event, following: Event) -> bool:
    """Tell whether an event is a taker's, and the following of the order it met."""
    return (
        event.trade is not None
        and following.trade is not None
        and not event.trade.is_maker
        and following.trade.is_maker
    )
