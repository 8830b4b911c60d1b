"""What the emulated Deribit tells an account: its orders, trades, positions, money.

By https://docs.deribit.com/api-reference/trading/{private-buy,
private-get_user_trades_by_instrument,private-get_positions} and
.../account-management/private-get_account_summary.
"""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Any, Final

from ._deribit_log import order_id, trigger_id, user_id
from ._deribit_margin import Margins
from ._deribit_math import greeks, smile
from ._deribit_positions import Position, profit
from ._deribit_rows import contracts, trade_row
from ._deribit_series import Series
from ._deribit_ticket import Fill, Ticket
from ._exchange import ZERO, Order, State

_STATES: Final[dict[State, str]] = {
    "waiting": "untriggered", "open": "open", "filled": "filled",
    "canceled": "cancelled", "expired": "cancelled", "rejected": "rejected",
}  # fmt: skip
_REASONS: Final = {
    "nothing more was to be had": "ioc", "it couldn't be filled at once": "fok",
    "self trade": "self_trading", "the market was delisted": "settlement",
}  # fmt: skip
_SMALLEST: Final = Decimal("1e-18")
_WIDE: Final = Context(prec=100)
#: What an account may ask for, in a second and at once; as `Credits` counts it.
LIMITS: Final = {
    "limits_per_currency": False, "non_matching_engine": {"burst": 100, "rate": 20},
    "matching_engine": {"trading": {"total": {"burst": 20, "rate": 5}},
                        "cancel_all": {"burst": 20, "rate": 5}},
}  # fmt: skip


def order_type(order: Ticket) -> str:
    """Return the venue's word for what kind of order it is now."""
    is_limit = order.price is not None
    if order.stop is None or order.is_triggered:
        return "limit" if is_limit else "market"
    head = "take" if order.takes else "stop"
    return f"{head}_{'limit' if is_limit else 'market'}"


def order_row(series: Series, order: Order) -> dict[str, Any]:
    """Return an order as it is told."""
    assert isinstance(order, Ticket), "it is of an account"
    state = _STATES[order.state]
    price: Any = order.price
    if price is None:
        price = "market_price" if state == "untriggered" else (
            _mean(series, order) or ZERO
        )  # fmt: skip
    told: dict[str, Any] = {
        "order_id": order_id(series, order), "order_state": state,
        "order_type": order_type(order), "instrument_name": order.symbol,
        "direction": order.side, "amount": order.size, "price": price,
        "contracts": contracts(series, float(order.size)),
        "filled_amount": order.filled, "average_price": _mean(series, order),
        "time_in_force": order.lasts, "post_only": order.post_only,
        "reduce_only": order.reduce_only, "label": order.cl_id,
        "creation_timestamp": order.created_ms,
        "last_update_timestamp": order.changed_ms, "replaced": order.is_replaced,
        "user_id": user_id(order.account), "api": True, "web": False, "mmp": False,
        "is_liquidation": False, "risk_reducing": False,
        "reject_post_only": order.rejects,
    }  # fmt: skip
    if state == "cancelled":
        told["cancel_reason"] = _REASONS.get(order.why, order.why or "user_request")
    if order.stop is not None:
        told |= _of_trigger(series, order)
    return told


def _of_trigger(series: Series, order: Ticket) -> dict[str, Any]:
    told = {"trigger": order.trigger, "trigger_price": order.stop,
            "triggered": order.is_triggered}  # fmt: skip
    if not order.is_triggered:
        return told
    currency = series.inst.currency
    head = "" if currency == "BTC" else f"{currency}-"
    kind = "limit" if order.price is not None else "market"
    return told | {
        "trigger_order_id": head + trigger_id(order),
        "original_order_type": f"{'take' if order.takes else 'stop'}_{kind}",
    }


def triggered_row(series: Series, order: Ticket) -> dict[str, Any]:
    """Return an order that waited, as it is told once its price came."""
    row = order_row(series, order)
    kind = row.pop("original_order_type")
    return row | {"order_id": row.pop("trigger_order_id"), "order_state": "triggered",
                  "order_type": kind}  # fmt: skip


def _mean(series: Series, order: Order) -> Decimal:
    """Return the mean price of what is filled."""
    del series
    return (order.paid / order.filled).quantize(Decimal("1e-8")) if order.filled else (
        ZERO
    )  # fmt: skip


def fill_row(series: Series, fill: Fill) -> dict[str, Any]:
    """Return an account's trade as it is told."""
    trade, order = fill.trade, fill.trade.order
    assert isinstance(order, Ticket), "it is of an account"
    told = trade_row(series, fill.deal) | {
        "direction": order.side, "order_id": order_id(series, order),
        "order_type": order_type(order), "state": _STATES[order.state],
        "liquidity": "M" if trade.is_maker else "T", "fee": trade.fee,
        "fee_currency": trade.fee_asset, "profit_loss": fill.made,
        "post_only": order.post_only, "reduce_only": order.reduce_only,
        "self_trade": False, "matching_id": None, "api": True, "mmp": False,
        "risk_reducing": False, "user_id": user_id(order.account),
    }  # fmt: skip
    if order.cl_id:
        told["label"] = order.cl_id
    if series.inst.kind == "option":
        underlying = series.forward(fill.deal.index_price, fill.deal.time_ms)
        told["underlying_price"] = round(underlying, 4)
    return told


def position_row(margins: Margins, series: Series, one: Position) -> dict[str, Any]:
    """Return a position as it is told."""
    inst, mark = series.inst, margins.mark(series)
    floating = profit(inst, one.average, mark, one.size)
    index = series.index_now()
    told: dict[str, Any] = {
        "instrument_name": inst.name, "kind": inst.kind, "direction": one.direction,
        "size": one.size, "average_price": one.average, "mark_price": mark,
        "index_price": index, "floating_profit_loss": floating,
        "realized_profit_loss": one.session, "total_profit_loss": floating,
        "settlement_price": series.settled, "initial_margin": ZERO,
        "maintenance_margin": ZERO, "open_orders_margin": ZERO, "delta": 0.0,
    }  # fmt: skip
    if inst.kind == "future":
        coins = one.size / mark if inst.counts_dollars and mark else one.size
        told |= {"leverage": 50, "size_currency": round(coins, 8),
                 "delta": round(coins, 8)}  # fmt: skip
        if inst.is_perpetual:
            told |= {"realized_funding": 0.0, "interest_value": 0.0}
    if inst.kind == "option" and index:
        terms = series.terms(index, margins.now_ms())
        size = float(one.size)
        changes = greeks(terms, smile(terms.forward, terms.strike))
        told |= {name: round(getattr(changes, name) * size, 6)
                 for name in ("delta", "gamma", "vega", "theta")}  # fmt: skip
        told |= {"average_price_usd": float(one.average) * index,
                 "floating_profit_loss_usd": float(floating) * index}  # fmt: skip
    return told


def summary(margins: Margins, account: str, asset: str) -> dict[str, Any]:
    """Return an account's money in an asset, as the portfolio channel tells it."""
    made, open_ = margins.futures_profit(account, asset)
    options = margins.options_value(account, asset)
    cash = margins.cash(account, asset)
    needed = margins.margin(account, asset)
    held = margins.held(account, asset)
    free = margins.available(account, asset)
    told = {
        "currency": asset, "balance": cash, "equity": cash + made + open_ + options,
        "margin_balance": cash + made + open_, "available_funds": free,
        "available_withdrawal_funds": max(ZERO, min(free, cash)),
        "initial_margin": needed + held, "maintenance_margin": needed / 2,
        "projected_initial_margin": needed + held,
        "projected_maintenance_margin": needed / 2, "session_rpl": made,
        "session_upl": open_, "futures_session_rpl": made,
        "futures_session_upl": open_, "futures_pl": made + open_,
        "total_pl": made + open_, "options_value": options, "options_pl": ZERO,
        "options_session_rpl": ZERO, "options_session_upl": ZERO,
        "options_delta": ZERO, "options_gamma": ZERO, "options_vega": ZERO,
        "options_theta": ZERO, "delta_total": ZERO, "projected_delta_total": ZERO,
        "delta_total_map": {}, "options_gamma_map": {}, "options_vega_map": {},
        "options_theta_map": {}, "fee_balance": ZERO, "spot_reserve": ZERO,
        "additional_reserve": ZERO, "locked_balance": ZERO,
        "portfolio_margining_enabled": False, "cross_collateral_enabled": False,
        "margin_model": "segregated_sm", "limits": LIMITS,
    }  # fmt: skip
    return {
        key: _told(value) if isinstance(value, Decimal) else value
        for key, value in told.items()
    }


def _told(money: Decimal) -> Decimal:
    """Return an amount as a venue tells it: no zeros at its end, and 18 decimals."""
    return money.quantize(_SMALLEST, context=_WIDE).normalize(_WIDE)
