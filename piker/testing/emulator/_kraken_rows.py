"""Orders and trades as Kraken tells them: rows of REST and of the executions channel.

By https://docs.kraken.com/api/docs/websocket-v2/executions and
https://docs.kraken.com/api/docs/rest-api/{get-open-orders,get-trade-history}. REST says
decimals as texts, the websocket as numbers.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from ._exchange import Event, Order, State, Trade
from ._kraken_names import Pair

_REST_STATES: Final[dict[State, str]] = {
    "waiting": "open", "open": "open", "filled": "closed", "canceled": "canceled",
    "expired": "canceled", "rejected": "canceled",
}  # fmt: skip
_KINDS: Final = {
    "limit": "limit", "market": "market", "stop": "stop-loss",
    "stop_limit": "stop-loss-limit",
}  # fmt: skip
_REASONS: Final = {
    "nothing more was to be had": "Immediate or cancel order could not be filled",
    "self trade": "Self trade prevention",
}


def order_id(serial: int) -> str:
    """Return the venue's id of an order."""
    return f"O{serial:05d}-SPOTS-KRAKEN"


def trade_id(trade: Trade, ordinal: int) -> str:
    """Return the venue's id of a trade, in the market of a number."""
    return f"T{trade.tid:05d}-P{ordinal:04d}-KRAKEN"


def rfc3339(time_us: int) -> str:
    """Return a time as the websocket says it."""
    seconds, part = divmod(time_us, 1_000_000)
    return f"{_to_second(seconds)}.{part:06d}Z"


@lru_cache(maxsize=64)
def _to_second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def _status(order: Order) -> str:
    match order.state:
        case "open" | "waiting":
            return "partially_filled" if order.filled else "new"
        case "filled":
            return "filled"
        case _:
            return "canceled"


def _head(order: Order) -> dict[str, Any]:
    told: dict[str, Any] = {"order_id": order_id(order.serial), "order_userref": 0}
    if order.cl_id:
        told["cl_ord_id"] = order.cl_id
    return told | {"timestamp": rfc3339(order.changed_ms * 1000)}


def full_row(order: Order, exec_type: str, status: str = "") -> dict[str, Any]:
    """Return all there is to say of an order, as a snapshot does."""
    told = _head(order) | {
        "symbol": order.symbol, "side": order.side, "order_type": _KINDS[order.kind],
        "order_qty": order.size, "cum_qty": order.filled, "cum_cost": order.paid,
        "time_in_force": order.tif.upper(), "exec_type": exec_type,
        "order_status": status or _status(order), "limit_price_type": "static",
        "stop_price": order.stop or Decimal(0), "fee_usd_equiv": Decimal(0),
    }  # fmt: skip
    if order.price is not None:
        told["limit_price"] = order.price
    if order.stop is not None:
        status = "untriggered" if order.state == "waiting" else "triggered"
        told["triggers"] = {
            "reference": "last", "price": order.stop, "price_type": "static",
            "status": status,
        }  # fmt: skip
    return told


def rows_of(event: Event, ordinal: int) -> list[dict[str, Any]]:
    """Return what the executions channel tells of an event, a message each.

    Args:
      event: which.
      ordinal: number of the market.
    """
    order, trade = event.order, event.trade
    match event.what:
        case "accepted":
            # the second one tells next to nothing
            new = {"exec_type": "new", "order_status": "new"}
            return [
                full_row(order, "pending_new", "pending_new"), _head(order) | new
            ]  # fmt: skip
        case "amended":
            return [full_row(order, "amended") | {"amended": True}]
        case "triggered":
            return [full_row(order, "status", "triggered")]
        case "traded":
            assert trade is not None, "it was traded"
            return _traded(order, trade, ordinal)
        case "ended":
            words = _REASONS.get(order.why, order.why or "User requested")
            end = {"exec_type": "canceled", "order_status": "canceled",
                   "cum_qty": order.filled, "cum_cost": order.paid,
                   "reason": words, "cancel_reason": words}  # fmt: skip
            return [_head(order) | end]


def _traded(order: Order, trade: Trade, ordinal: int) -> list[dict[str, Any]]:
    told = _head(order) | {
        "exec_id": trade_id(trade, ordinal), "exec_type": "trade",
        "trade_id": trade.tid, "symbol": order.symbol, "side": order.side,
        "last_qty": trade.size, "last_price": trade.price,
        "liquidity_ind": "m" if trade.is_maker else "t",
        "cost": trade.size * trade.price, "order_type": _KINDS[order.kind],
        # also where it fills the order whole, which a message of its own says
        "order_status": "partially_filled",
        "cum_qty": order.filled, "cum_cost": order.paid,
        "fees": [{"asset": trade.fee_asset, "qty": trade.fee}],
        "timestamp": rfc3339(trade.time_ms * 1000),
    }  # fmt: skip
    rows = [told]
    if order.state == "filled":
        rows.append(
            _head(order)
            | {"exec_type": "filled", "order_status": "filled",
               "order_qty": order.size, "cum_qty": order.filled,
               "cum_cost": order.paid}
        )  # fmt: skip
    return rows


def rest_row(order: Order, pair: Pair, trades: list[str] | None) -> dict[str, Any]:
    """Return an order as REST lists it, with ids of its trades if asked for."""
    digits = pair.price_digits
    # of a stop the first is where it begins to count
    first, second = (order.price, None) if order.stop is None else (
        order.stop, order.price
    )  # fmt: skip
    price = f"{first or 0:.{digits}f}"
    descr = {
        "pair": pair.altname, "type": order.side, "ordertype": _KINDS[order.kind],
        "price": price, "price2": f"{second or 0:.{digits}f}", "leverage": "none",
        "order": f"{order.side} {order.size:.8f} {pair.altname}"
        f" @ {_KINDS[order.kind]} {price}",
        "close": "",
    }  # fmt: skip
    mean = order.paid / order.filled if order.filled else Decimal(0)
    told: dict[str, Any] = {
        "refid": None, "userref": 0, "status": _REST_STATES[order.state],
        "opentm": order.created_ms / 1000, "starttm": 0, "expiretm": 0, "descr": descr,
        "vol": f"{order.size:.8f}", "vol_exec": f"{order.filled:.8f}",
        "cost": f"{order.paid:.5f}", "fee": "0.00000", "price": f"{mean:.{digits}f}",
        "stopprice": f"{order.stop or 0:.5f}", "limitprice": "0.00000", "misc": "",
        "oflags": "fciq,post" if order.post_only else "fciq",
    }  # fmt: skip
    if order.cl_id:
        told["cl_ord_id"] = order.cl_id
    if order.is_over:
        words = _REASONS.get(order.why, order.why or "User requested")
        told["closetm"] = order.changed_ms / 1000
        told["reason"] = None if order.state == "filled" else words
    if trades is not None:
        told["trades"] = trades
    return told


def trade_row(trade: Trade, pair: Pair) -> dict[str, Any]:
    """Return a trade as REST lists it."""
    digits = pair.price_digits
    return {
        "ordertxid": order_id(trade.order.serial), "postxid": "TKH2SE-M7IF5-CFI7LT",
        "pair": pair.key, "time": trade.time_ms / 1000, "type": trade.order.side,
        "ordertype": _KINDS[trade.order.kind], "price": f"{trade.price:.{digits}f}",
        "cost": f"{trade.price * trade.size:.5f}", "fee": f"{trade.fee:.8f}",
        "vol": f"{trade.size:.8f}", "margin": "0.00000", "misc": "",
        "trade_id": trade.tid, "maker": trade.is_maker,
        "leverage": "0", "ledgers": [],
    }  # fmt: skip


def odd_of(result: Any) -> Any:
    """Return a result with numbers where texts belong, whatever is in it."""
    if isinstance(result, list):
        return [odd_of(each) for each in result]
    if isinstance(result, dict):
        return {key: odd_of(value) for key, value in result.items()}
    return 7 if isinstance(result, str) else [str(result)]
