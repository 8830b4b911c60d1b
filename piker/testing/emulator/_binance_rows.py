"""Orders and trades as Binance spot tells them: rows of answers, events of streams.

By https://developers.binance.com/docs/binance-spot-api-docs/rest-api/trading-endpoints
and .../user-data-stream.
"""

from __future__ import annotations

from typing import Any, Final

from ._exchange import Balance, Event, Order, State, Trade

_STATES: Final[dict[State, str]] = {
    "waiting": "NEW", "open": "NEW", "filled": "FILLED", "canceled": "CANCELED",
    "expired": "EXPIRED", "rejected": "REJECTED",
}  # fmt: skip


def _kind_of(order: Order) -> str:
    if order.post_only:
        return "LIMIT_MAKER"
    return {"limit": "LIMIT", "market": "MARKET", "stop": "STOP_LOSS",
            "stop_limit": "STOP_LOSS_LIMIT"}[order.kind]  # fmt: skip


def _state_of(order: Order) -> str:
    if order.state == "open" and order.filled:
        return "PARTIALLY_FILLED"
    if order.state == "expired" and order.why == "self trade":
        return "EXPIRED_IN_MATCH"
    return _STATES[order.state]


def row_of(order: Order, *, full: bool = True) -> dict[str, Any]:
    """Return an order as lists of orders tell it; less where it was placed just now."""
    told: dict[str, Any] = {
        "symbol": order.symbol, "orderId": order.serial, "orderListId": -1,
        "clientOrderId": order.cl_id, "price": f"{order.price or 0:.8f}",
        "origQty": f"{order.size:.8f}", "executedQty": f"{order.filled:.8f}",
        "origQuoteOrderQty": "0.000000", "cummulativeQuoteQty": f"{order.paid:.8f}",
        "status": _state_of(order), "timeInForce": order.tif.upper(),
        "type": _kind_of(order), "side": order.side.upper(),
        "workingTime": -1 if order.state == "waiting" else order.created_ms,
        "selfTradePreventionMode": "EXPIRE_MAKER",
    }  # fmt: skip
    if full:
        told |= {
            "stopPrice": f"{order.stop or 0:.8f}", "icebergQty": "0.00000000",
            "time": order.created_ms, "updateTime": order.changed_ms,
            "isWorking": order.state == "open",
        }  # fmt: skip
    return told


def reports_of(
    event: Event, money: dict[str, Balance], now_ms: int, cancel_id: str
) -> list[dict[str, Any]]:
    """Return an event as an account's stream tells it: the order, then its money."""
    order, trade = event.order, event.trade
    what = {"accepted": "NEW", "triggered": "NEW", "amended": "REPLACED",
            "traded": "TRADE", "ended": _STATES[order.state]}[event.what]  # fmt: skip
    is_cancel = event.what == "ended" and order.state == "canceled"
    report = {
        "e": "executionReport", "E": now_ms, "s": order.symbol,
        "c": cancel_id if is_cancel else order.cl_id,
        "S": order.side.upper(), "o": _kind_of(order),
        "f": order.tif.upper(), "q": f"{order.size:.8f}",
        "p": f"{order.price or 0:.8f}", "P": f"{order.stop or 0:.8f}",
        "F": "0.00000000", "g": -1, "C": order.cl_id if is_cancel else "",
        "x": what, "X": _state_of(order), "r": "NONE", "i": order.serial,
        "l": f"{trade.size if trade else 0:.8f}", "z": f"{order.filled:.8f}",
        "L": f"{trade.price if trade else 0:.8f}",
        "n": f"{trade.fee if trade else 0:.8f}",
        "N": trade.fee_asset if trade else None,
        "T": order.changed_ms, "t": trade.tid if trade else -1, "I": now_ms,
        "w": order.state == "open", "m": bool(trade and trade.is_maker), "M": False,
        "O": order.created_ms, "Z": f"{order.paid:.8f}",
        "Y": f"{trade.price * trade.size if trade else 0:.8f}", "Q": "0.00000000",
        "V": "EXPIRE_MAKER",
    }  # fmt: skip
    if order.state != "waiting":
        report["W"] = order.created_ms
    position = {
        "e": "outboundAccountPosition", "E": now_ms, "u": order.changed_ms,
        "B": [
            {"a": asset, "f": f"{one.free:.8f}", "l": f"{one.held:.8f}"}
            for asset, one in money.items()
        ],
    }  # fmt: skip
    return [report, position]


def placed_row(order: Order, kind: str, trades: list[Trade]) -> dict[str, Any]:
    """Return the answer to an order that was placed."""
    told: dict[str, Any] = {
        "symbol": order.symbol, "orderId": order.serial, "orderListId": -1,
        "clientOrderId": order.cl_id, "transactTime": order.created_ms,
    }  # fmt: skip
    if kind == "ACK":
        return told
    told |= row_of(order, full=False)
    if kind == "FULL":
        told["fills"] = [
            {
                "price": f"{one.price:.8f}", "qty": f"{one.size:.8f}",
                "commission": f"{one.fee:.8f}", "commissionAsset": one.fee_asset,
                "tradeId": one.tid,
            }
            for one in trades
            if one.order.serial == order.serial
        ]  # fmt: skip
    return told


def trade_row(trade: Trade) -> dict[str, Any]:
    """Return a trade as a list of trades tells it."""
    return {
        "symbol": trade.order.symbol, "id": trade.tid, "orderId": trade.order.serial,
        "orderListId": -1, "price": f"{trade.price:.8f}", "qty": f"{trade.size:.8f}",
        "quoteQty": f"{trade.price * trade.size:.8f}",
        "commission": f"{trade.fee:.8f}", "commissionAsset": trade.fee_asset,
        "time": trade.time_ms, "isBuyer": trade.order.side == "buy",
        "isMaker": trade.is_maker, "isBestMatch": True,
    }  # fmt: skip


def odd_of(result: Any) -> Any:
    """Return an answer with numbers where texts belong, and the other way round."""
    if isinstance(result, list):
        return [odd_of(each) for each in result]
    if isinstance(result, dict):
        return {
            key: 7 if isinstance(value, str) else str(value)
            for key, value in result.items()
        }
    return result
