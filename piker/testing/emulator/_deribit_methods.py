"""Methods of the emulated Deribit by kind and scope, and how HTTP asks for them."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from ._core import Reply
from ._deribit_rpc import HTTP, Asking
from ._deribit_said import Said

_READ, _WRITE, _ACCOUNT = "trade:read", "trade:read_write", "account:read"
#: Kind of request, as faults know it, and scope, by method.
METHODS: Final = {
    "buy": ("place", _WRITE), "sell": ("place", _WRITE),
    "close_position": ("place", _WRITE), "edit": ("amend", _WRITE),
    "edit_by_label": ("amend", _WRITE), "cancel": ("cancel", _WRITE),
    "cancel_by_label": ("cancel", _WRITE), "cancel_all": ("cancel_all", _WRITE),
    "cancel_all_by_instrument": ("cancel_all", _WRITE),
    "cancel_all_by_currency": ("cancel_all", _WRITE),
    "get_open_orders": ("open", _READ), "get_open_orders_by_label": ("open", _READ),
    "get_open_orders_by_instrument": ("open", _READ),
    "get_open_orders_by_currency": ("open", _READ),
    "get_order_state": ("status", _READ), "get_order_state_by_label": ("status", _READ),
    "get_position": ("positions", _READ), "get_positions": ("positions", _READ),
    "get_account_summary": ("account", _ACCOUNT),
    "get_account_summaries": ("account", _ACCOUNT),
    "get_user_trades_by_instrument": ("trades", _READ),
    "get_user_trades_by_instrument_and_time": ("trades", _READ),
    "get_user_trades_by_currency": ("trades", _READ),
    "get_user_trades_by_currency_and_time": ("trades", _READ),
    "get_user_trades_by_order": ("trades", _READ),
    "get_order_history_by_currency": ("orders", _READ),
    "get_order_history_by_instrument": ("orders", _READ),
    "get_settlement_history_by_currency": ("settlements", _READ),
    "get_settlement_history_by_instrument": ("settlements", _READ),
    "get_transaction_log": ("log", _ACCOUNT),
}  # fmt: skip
#: Kinds of requests for what is to be done, for what was; all others are for what is.
DEEDS: Final = frozenset({"place", "amend", "cancel", "cancel_all"})
PAST: Final = frozenset({"trades", "orders", "settlements", "log"})
#: Methods of orders that end with the connection, with their scopes.
CANCELS: Final = {
    "private/enable_cancel_on_disconnect": "account:read_write",
    "private/disable_cancel_on_disconnect": "account:read_write",
    "private/get_cancel_on_disconnect": _ACCOUNT,
}
OF_CONNECTIONS: Final = frozenset(
    {"public/set_heartbeat", "public/disable_heartbeat"}
    | {
        f"{of}/{name}"
        for of in ("public", "private")
        for name in ("subscribe", "unsubscribe", "unsubscribe_all")
    }
)


def odd_of(result: Any) -> Any:
    """Return a result with numbers where texts belong, whatever is in it."""
    if isinstance(result, list):
        return [odd_of(each) for each in result]
    if isinstance(result, dict):
        return {key: odd_of(value) for key, value in result.items()}
    return 7 if isinstance(result, str) else [str(result)]


def of_http(method: str, path: str, query: str, body: bytes) -> Asking:
    """Return what a request of HTTP asks for: of its body, or of its address."""
    name = path.removeprefix(HTTP).strip("/")
    if method == "POST" and body:
        return Asking.of(body)
    params = dict(parse_qsl(query, keep_blank_values=True))
    return Asking.of(msgspec.json.encode({"method": name, "params": params}))


def to_reply(asking: Asking, told: Any) -> Reply:
    """Return an answer of HTTP."""
    is_wrong = isinstance(told, Said)
    return Reply(400 if is_wrong else 200, asking.reply(told))
