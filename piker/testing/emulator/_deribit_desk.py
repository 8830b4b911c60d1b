"""What an account may have done at the emulated Deribit: orders.

    private/buy {"instrument_name": ..., "amount": ...} --> Margins --> a result, Said

By https://docs.deribit.com/api-reference/trading/.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from ._accounts import Account
from ._deribit_asked import Wanted, priced, read_order
from ._deribit_holdings import Holdings
from ._deribit_margin import Margins
from ._deribit_said import Said, decimal, one_of, text
from ._deribit_series import Series
from ._deribit_ticket import Ticket
from ._deribit_told import fill_row, order_row
from ._deribit_world import World
from ._exchange import Order, Refused, Side, Why

_WHYS: Final[dict[Why, tuple[int, str]]] = {
    "symbol": (10020, "invalid_or_unsupported_instrument"),
    "halted": (10012, "book_closed"), "tick": (10043, "price_wrong_tick"),
    "price_range": (10007, "price_too_high"), "lot": (10021, "invalid_amount"),
    "size_range": (10002, "qty_too_low"), "notional": (10032, "whole_cost_too_low"),
    "many": (10013, "pme_max_total_open_orders"), "funds": (10009, "not_enough_funds"),
    "post_only": (11054, "post_only_reject"),
    "would_trigger": (11036, "invalid_trigger_price"),
    "duplicate": (13032, "non_unique_order_label"),
    "unknown": (10004, "order_not_found"), "over": (11044, "not_open_order"),
}  # fmt: skip

Params = dict[str, Any]


class Desk:
    """Does what is asked for, see the module.

    Args:
      margins: whose orders these are.
      world: instruments.
      holdings: of accounts.
      refresh: has the tape's quotes of an instrument be in its book.
    """

    def __init__(
        self, margins: Margins, world: World, holdings: Holdings,
        refresh: Callable[[Series], None],
    ) -> None:  # fmt: skip
        self._margins, self._world, self._refresh = margins, world, refresh
        self._holdings = holdings

    def act(self, method: str, account: Account, params: Params) -> Any:
        """Do what a method asks for; KeyError if it isn't one of these."""
        acts: dict[str, Callable[[], Any]] = {
            "buy": partial(self.place, "buy", account, params),
            "sell": partial(self.place, "sell", account, params),
            "edit": partial(self.edit, account, params),
            "edit_by_label": partial(self.edit_by_label, account, params),
            "cancel": partial(self.cancel, account, params),
            "cancel_all": partial(self._cancel_some, account, {}),
            "cancel_all_by_instrument": partial(self._cancel_some, account, params,
                                                needs="instrument_name"),
            "cancel_all_by_currency": partial(self._cancel_some, account, params,
                                              needs="currency"),
            "cancel_by_label": partial(self._cancel_some, account, params,
                                       needs="label"),
            "close_position": partial(self.close, account, params),
        }  # fmt: skip
        return acts[method]()

    # -- orders -------------------------------------------------------------------

    def place(self, side: Side, account: Account, params: Params) -> Any:
        """Place an order; raises Said."""
        series = self._world.find(params)
        if not series.is_active:
            raise Said(10012, "book_closed")
        self._refuse_late(params)
        wanted = read_order(series.inst, params)
        self._refresh(series)
        order = Ticket(
            0, account.name, series.inst.name, side, wanted.kind, wanted.amount,
            wanted.price, tif=wanted.tif, post_only=wanted.post_only, stop=wanted.stop,
            cl_id=wanted.label, heard_ns=time.time_ns(), trigger=wanted.trigger,
            takes=wanted.takes, lasts=wanted.lasts, reduce_only=wanted.reduce_only,
            rejects=wanted.rejects,
        )  # fmt: skip
        self._fit(series, order, wanted)
        placed = self._do(self._margins.place, order)
        return self._told(series, placed)

    def _fit(self, series: Series, order: Ticket, wanted: Wanted) -> None:
        """Change what the venue changes of an order; raises Said."""
        if wanted.reduce_only:
            held = self._margins.position(order.account, order.symbol).size
            if held * (1 if order.side == "buy" else -1) >= 0:
                raise Said(11030, "other_reject reduce_only_order_not_allowed")
            order.size = min(order.size, abs(held))
        if wanted.post_only and not wanted.rejects:
            book = self._margins.books[order.symbol]
            order.price = priced(series.inst, book, order.side, wanted.price)

    def edit(self, account: Account, params: Params) -> Any:
        """Change an order in its place; raises Said."""
        return self._edit(account, self._find(account, params), params)

    def edit_by_label(self, account: Account, params: Params) -> Any:
        """Change the one open order of a label; raises Said."""
        label = text(params, "label")
        text(params, "instrument_name")
        found = [
            one for one in self._holdings.live(account, params) if one.cl_id == label
        ]
        if not found:
            raise Said(10004, "order_not_found")
        if len(found) > 1:
            raise Said(13032, "non_unique_order_label")
        return self._edit(account, found[0], params)

    def _edit(self, account: Account, order: Ticket, params: Params) -> Any:
        del account
        if order.is_over:
            raise Said(11044, "not_open_order")
        series = self._world.series[order.symbol]
        given = {
            "amount": order.size, "price": order.price, "trigger_price": order.stop,
            "type": "limit" if order.price is not None else "market",
            "post_only": order.post_only, "reject_post_only": order.rejects,
        }  # fmt: skip
        if order.stop is not None and not order.is_triggered:
            given |= {"trigger": order.trigger, "type": f"stop_{given['type']}"}
        else:
            given.pop("trigger_price")
        told = {k: v for k, v in params.items() if v is not None and k != "label"}
        if "contracts" in told:
            given.pop("amount")
        wanted = read_order(series.inst, given | told)
        self._refresh(series)
        price = wanted.price
        if wanted.post_only and not wanted.rejects:
            book = self._margins.books[order.symbol]
            price = priced(series.inst, book, order.side, price)
        order.reduce_only, order.rejects = wanted.reduce_only, wanted.rejects
        if wanted.amount <= order.filled:  # what is left of it is nothing
            self._do(self._margins.cancel, order)
        else:
            self._do(
                self._margins.amend, order, size=wanted.amount, price=price,
                stop=wanted.stop, post_only=wanted.post_only,
            )  # fmt: skip
        return self._told(series, order)

    def cancel(self, account: Account, params: Params) -> Any:
        """End one order; raises Said."""
        order = self._do(self._margins.cancel, self._find(account, params))
        return order_row(self._world.series[order.symbol], order)

    def _cancel_some(self, account: Account, params: Params, *, needs: str = "") -> int:
        """End all open orders that fit; return how many."""
        if needs:
            text(params, needs)
        some = self._holdings.live(account, params)
        for order in some:
            self._margins.cancel(order)
        return len(some)

    def close(self, account: Account, params: Params) -> Any:
        """Have a position be closed by an order; raises Said."""
        series = self._world.find(params)
        held = self._margins.position(account.name, series.inst.name).size
        if not held:
            raise Said(10009, "not_enough_funds")
        kind = one_of(params, "type", ("limit", "market"))
        more = {"amount": abs(held), "type": kind, "reduce_only": True}
        if kind == "limit":
            more["price"] = decimal(params, "price")
        side: Side = "sell" if held > 0 else "buy"
        return self.place(side, account, {"instrument_name": series.inst.name, **more})

    def _find(self, account: Account, params: Params) -> Ticket:
        """Return the order of an id; raises Said."""
        return self._holdings.find(account, text(params, "order_id"))

    def _refuse_late(self, params: Params) -> None:
        until = decimal(params, "valid_until", None)
        if until is not None and until < self._margins.now_ms():
            raise Said(13888, "timed_out")

    def _do(self, act: Callable[..., Order], *args: Any, **more: Any) -> Any:
        try:
            return act(*args, **more)
        except Refused as err:
            raise Said(*_WHYS[err.why]) from None

    def _told(self, series: Series, order: Order) -> dict[str, Any]:
        trades = [
            fill_row(series, one)
            for one in self._margins.fills
            if one.trade.order.serial == order.serial
        ]
        return {"order": order_row(series, order), "trades": trades}
