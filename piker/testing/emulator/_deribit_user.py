"""Deribit's channels of accounts: what an event is told as, and to whom.

    user.orders.{instrument}.raw      user.orders.{kind}.{currency}.raw, any.any
    user.trades...   user.changes...  the same
    user.portfolio.{currency}         money, after each trade

By https://docs.deribit.com/subscriptions/user/.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ._deribit_margin import Margins
from ._deribit_series import Series
from ._deribit_ticket import Ticket, Trades
from ._deribit_told import fill_row, order_row, position_row, summary, triggered_row
from ._deribit_world import World
from ._exchange import Event

_WHATS: Final = ("orders", "trades", "changes")
_INTERVALS: Final = ("raw", "100ms", "agg2")
_KINDS: Final = ("future", "option", "spot", "any")


class Heard(msgspec.Struct, frozen=True):
    """A channel of an account.

    Attributes:
      name: whole.
      what: ``orders``, ``trades``, ``changes`` or ``portfolio``.
      inst: of this instrument, or
      kind, currency: of these, ``any`` being all.
      is_raw: an order is told alone, else in a list.
    """

    name: str
    what: str
    inst: str = ""
    kind: str = "any"
    currency: str = "any"
    is_raw: bool = True

    def is_of(self, series: Series) -> bool:
        """Tell whether it tells of an instrument."""
        inst = series.inst
        if self.inst:
            return self.inst == inst.name
        return self.kind in ("any", inst.kind) and (
            self.currency in ("any", inst.currency)
        )  # fmt: skip


def parse_user(world: World, name: str) -> Heard | None:
    """Return the channel of that name, None if there is none."""
    match name.split("."):
        case ["user", "portfolio", currency] if (
            currency.upper() in world.currencies or currency == "any"
        ):
            found = currency if currency == "any" else currency.upper()
            return Heard(name, "portfolio", currency=found)
        case ["user", what, inst, every] if (
            what in _WHATS and inst in world.series and every in _INTERVALS
        ):
            return Heard(name, what, inst=inst, is_raw=every == "raw")
        case ["user", what, kind, currency, every] if (
            what in _WHATS and every in _INTERVALS and kind in _KINDS
            and (currency in world.currencies or currency == "any")
        ):  # fmt: skip
            return Heard(name, what, kind=kind, currency=currency,
                         is_raw=every == "raw")  # fmt: skip
    return None


class Teller:
    """Makes what channels tell of events.

    Args:
      margins: whose events they are.
      world: instruments.
    """

    def __init__(self, margins: Margins, world: World) -> None:
        self._margins, self._world = margins, world

    def tell(self, channel: Heard, event: Event) -> Iterator[Any]:
        """Yield what a channel tells of an event."""
        order = event.order
        series = self._world.series[order.symbol]
        assert isinstance(order, Ticket), "it is of an account"
        if channel.what == "portfolio":
            yield from self._money(channel, event, series)
            return
        if not channel.is_of(series):
            return
        orders = [order_row(series, order)]
        if event.what == "triggered":
            orders.insert(0, triggered_row(series, order))
        told = event.trades if isinstance(event, Trades) else ()
        ids = {id(one) for one in told}  # none is twice in the engine
        fills = [one for one in self._margins.fills[-1000:] if id(one.trade) in ids]
        trades = [fill_row(series, one) for one in fills]
        if channel.what == "changes":
            held = self._margins.position(order.account, order.symbol)
            held_row = position_row(self._margins, series, held)
            yield {
                "instrument_name": order.symbol, "trades": trades, "orders": orders,
                "positions": [held_row] if trades else [],
            }  # fmt: skip
        elif channel.what == "trades":
            if trades:
                yield trades
        elif channel.is_raw:
            yield from orders
        else:
            yield orders

    def _money(self, channel: Heard, event: Event, series: Series) -> Iterator[Any]:
        inst = series.inst
        of = {inst.settlement} if inst.settlement else {inst.base, inst.quote}
        for asset in sorted(of):
            if channel.currency in ("any", asset):
                yield summary(self._margins, event.order.account, asset)
