"""What an account has at the emulated Deribit: open orders, positions, money.

By https://docs.deribit.com/api-reference/trading/ and .../account-management/.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from ._accounts import Account
from ._deribit_log import trigger_id, user_id
from ._deribit_margin import Margins
from ._deribit_said import Said, flag, one_of, text, wrong
from ._deribit_ticket import Ticket
from ._deribit_told import order_row, position_row, summary, triggered_row
from ._deribit_world import World

_KINDS: Final = ("future", "option", "spot", "future_combo", "option_combo", "combo",
                 "any")  # fmt: skip
_TYPES: Final = ("all", "limit", "trigger_all", "stop", "take", "trailing_stop",
                 "stop_all", "stop_limit", "stop_market", "take_all", "take_limit",
                 "take_market", "trailing_all")  # fmt: skip

Params = dict[str, Any]


class Holdings:
    """See the module."""

    def __init__(self, margins: Margins, world: World) -> None:
        self._margins, self._world = margins, world

    def act(self, method: str, account: Account, params: Params) -> Any:
        """Do what a method asks for; KeyError if it isn't one of these."""
        acts: dict[str, Callable[[], Any]] = {
            "get_open_orders": partial(self.open, account, params),
            "get_open_orders_by_instrument": partial(self.open, account, params,
                                                     needs="instrument_name"),
            "get_open_orders_by_currency": partial(self.open, account, params,
                                                   needs="currency"),
            "get_open_orders_by_label": partial(self.open, account, params,
                                                needs="currency"),
            "get_order_state": partial(self.state, account, params),
            "get_order_state_by_label": partial(self.states, account, params),
            "get_position": partial(self.position, account, params),
            "get_positions": partial(self.positions, account, params),
            "get_account_summary": partial(self.account, account, params),
            "get_account_summaries": partial(self.accounts, account, params),
        }  # fmt: skip
        return acts[method]()

    # -- which orders -------------------------------------------------------------

    def find(self, account: Account, named: str) -> Ticket:
        """Return an account's order; raises Said."""
        number = named.rpartition("-")[2]
        order = self._margins.orders.get(int(number)) if number.isdigit() else None
        if not isinstance(order, Ticket) or order.account != account.name:
            raise Said(10004, "order_not_found")
        return order

    def live(self, account: Account, params: Params) -> list[Ticket]:
        """Return open orders of an account that fit what is asked for."""
        currency = params.get("currency")
        kind = one_of(params, "kind", _KINDS, "any")
        wanted = one_of(params, "type", _TYPES, "all")
        if "instrument_name" in params:
            self._world.find(params)
        found = []
        for order in self._margins.open_orders(account.name):
            inst = self._world.series[order.symbol].inst
            if (
                isinstance(order, Ticket)
                and currency in (None, inst.currency)
                and kind in ("any", inst.kind)
                and params.get("instrument_name") in (None, inst.name)
                and params.get("label") in (None, order.cl_id)
                and _is_of_type(order, wanted)
            ):
                found.append(order)
        return found

    # -- what it has --------------------------------------------------------------

    def open(self, account: Account, params: Params, *, needs: str = "") -> Any:
        """Return open orders, the newest first."""
        if needs:
            text(params, needs)
        return self.rows(self.live(account, params))

    def rows(self, orders: list[Any]) -> list[dict[str, Any]]:
        """Return the answer to a question for orders."""
        return [order_row(self._world.series[one.symbol], one) for one in orders[::-1]]

    def state(self, account: Account, params: Params) -> Any:
        """Return an order of an id; of one that waited by the id that it had then."""
        order = self.find(account, text(params, "order_id"))
        series = self._world.series[order.symbol]
        if order.is_triggered and text(params, "order_id").endswith(trigger_id(order)):
            return triggered_row(series, order)
        return order_row(series, order)

    def states(self, account: Account, params: Params) -> Any:
        """Return all orders of a label."""
        currency, label = text(params, "currency"), text(params, "label", "")
        return self.rows(
            [
                one
                for one in self._margins.orders.values()
                if one.account == account.name
                and one.cl_id == label
                and self._world.series[one.symbol].inst.currency == currency
            ]
        )

    def position(self, account: Account, params: Params) -> Any:
        """Return a position, one of nothing too."""
        series = self._world.find(params)
        one = self._margins.position(account.name, series.inst.name)
        return position_row(self._margins, series, one)

    def positions(self, account: Account, params: Params) -> list[dict[str, Any]]:
        """Return positions of a currency, those that ended this session too."""
        currency = text(params, "currency", "any")
        kind = one_of(params, "kind", _KINDS, "any")
        return [
            position_row(self._margins, self._world.series[symbol], one)
            for symbol, one in self._margins.positions.get(account.name, {}).items()
            if currency in ("any", self._world.series[symbol].inst.currency)
            and kind in ("any", self._world.series[symbol].inst.kind)
            and (one.size or one.session)
        ]

    def account(self, account: Account, params: Params) -> dict[str, Any]:
        """Return what an account has in a currency."""
        currency = text(params, "currency")
        if currency not in self._world.currencies:
            raise wrong("currency")
        told = summary(self._margins, account.name, currency)
        if flag(params, "extended"):
            told |= _identity(account)
        return told

    def accounts(self, account: Account, params: Params) -> dict[str, Any]:
        """Return what an account has in all currencies."""
        rows = [summary(self._margins, account.name, one)
                for one in self._world.currencies]  # fmt: skip
        more = _identity(account) if flag(params, "extended") else {}
        return {"summaries": rows, **more}


def _identity(account: Account) -> dict[str, Any]:
    return {
        "id": user_id(account.name), "username": account.name,
        "system_name": account.name, "email": f"{account.name}@example.com",
        "type": "main", "creation_timestamp": 1_687_352_432_143,
        "self_trading_reject_mode": "cancel_maker", "mmp_enabled": False,
        "self_trading_extended_to_subaccounts": False, "login_enabled": True,
        "security_keys_enabled": False, "interuser_transfers_enabled": False,
        "referrer_id": None,
    }  # fmt: skip


def _is_of_type(order: Ticket, wanted: str) -> bool:
    waits = order.stop is not None and not order.is_triggered
    if wanted == "all":
        return True
    if wanted == "limit":
        return not waits
    if not waits or wanted.startswith("trailing"):
        return False
    if wanted == "trigger_all":
        return True
    head, _, rest = wanted.partition("_")
    kind = "limit" if order.price is not None else "market"
    return head == ("take" if order.takes else "stop") and rest in ("", "all", kind)
