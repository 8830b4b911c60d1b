"""What Binance spot reads of a request about an account, and what that weighs.

By https://developers.binance.com/docs/binance-spot-api-docs/rest-api/trading-endpoints,
.../account-endpoints and .../websocket-api; what isn't emulated isn't read here.
"""

from __future__ import annotations

from typing import Final

from ._binance_desk import Said

_SIGNED: Final = frozenset({"apiKey", "recvWindow", "signature", "timestamp"})
_ORDER: Final = frozenset(
    {
        "symbol", "side", "type", "timeInForce", "quantity", "price", "stopPrice",
        "newClientOrderId", "newOrderRespType",
    }
)  # fmt: skip
_NAMED: Final = frozenset({"symbol", "orderId", "origClientOrderId"})
_READ: Final[dict[str, frozenset[str]]] = {
    "place": _ORDER,
    "cancel": _NAMED | {"newClientOrderId", "cancelRestrictions"},
    "status": _NAMED,
    "amend": _ORDER
    | {
        "cancelReplaceMode", "cancelOrderId", "cancelOrigClientOrderId",
        "cancelNewClientOrderId", "cancelRestrictions",
    },
    "open": frozenset({"symbol"}),
    "cancel_all": frozenset({"symbol"}),
    "trades": frozenset({"symbol", "orderId", "startTime", "fromId", "limit"}),
    "account": frozenset(),
    "permissions": frozenset(),
    "subscribe": frozenset(),
}  # fmt: skip
#: Those of ``/sapi`` have a budget of their own.
_WEIGHTS: Final = {
    "place": 1, "cancel": 1, "amend": 1, "cancel_all": 1, "status": 4, "open": 80,
    "trades": 20, "account": 20, "subscribe": 2, "permissions": 0,
}  # fmt: skip
#: Of a request that names a market, or an order.
_LESS: Final = {"open": ("symbol", 6), "trades": ("orderId", 5)}


def weight_of(kind: str, params: dict[str, str]) -> int:
    """Return what a request of a kind weighs."""
    name, less = _LESS.get(kind, ("", 0))
    return less if name in params else _WEIGHTS[kind]


def refuse_unread(kind: str, params: dict[str, str]) -> None:
    """Raise Said if a request has a parameter that isn't read."""
    read = len(params.keys() & (_READ[kind] | _SIGNED))
    if read < len(params):
        raise Said(
            -1104,
            f"Not all sent parameters were read; read '{read}' parameter(s) but was"
            f" sent '{len(params)}'.",
        )
