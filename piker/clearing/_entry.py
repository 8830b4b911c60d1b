"""How an order begins, and how one leaves the dark."""

from __future__ import annotations

from decimal import Decimal

from piker.config import ClearingConf, RiskConf
from piker.msgs import Order

from ._dialog import Dialog, Happening
from ._expiry import expires_at
from ._market_state import MarketState
from ._prices import market_limit
from ._refusal import Refusal
from ._risk import Known, as_sent, check_order
from ._triggers import Trigger, cross_trigger, submit_price


def trigger_of(order: Order, state: MarketState) -> Trigger | Refusal:
    """Return what a dark order or an alert waits for, seen from the price now."""
    level = order.trigger if order.trigger is not None else order.price
    assert level is not None, "the shape was checked"
    prices = state.prices
    now = prices.last if prices.last == prices.last else prices.now("buy")
    return cross_trigger(order.action, level, now)


def begin(
    order: Order, known: Known, state: MarketState, clearing: ClearingConf
) -> Dialog | Refusal:
    """Return the dialog that an order which passed the gates begins with.

    Args:
      order: as it came.
      known: what the gates looked at.
      state: of its market.
      clearing: settings.
    """
    expires_ns = expires_at(order, state.calendar, state.mkt, known.now_ns) or 0
    if order.action == "alert" or order.exec_mode == "dark":
        trigger = trigger_of(order, state)
        if isinstance(trigger, Refusal):
            return trigger
        return Dialog(
            order=order,
            state="dark",
            born_ns=known.now_ns,
            trigger=trigger,
            expires_ns=expires_ns,
        )
    limit = order.price
    if limit is None and not order.is_stop:
        found = market_limit(
            order.action, known.prices, clearing.market_band_pct, state.mkt
        )
        if isinstance(found, Refusal):
            return found
        limit = found
    return Dialog(
        order=order,
        state="submitting",
        born_ns=known.now_ns,
        limit=limit,
        sent=order,
        expires_ns=expires_ns,
    )


def leave(
    dialog: Dialog,
    price: Decimal,
    state: MarketState,
    known: Known,
    conf: tuple[ClearingConf, RiskConf],
    reason: str = "",
) -> Happening:
    """Return what comes of a trigger that was reached: it fires, or a gate refuses it.

    Args:
      dialog: a dark one.
      price: that reached it.
      state: of its market.
      known: for the gates.
      conf: settings.
      reason: to be told, e.g. that it was reached while nobody looked.
    """
    order, (clearing, risk) = dialog.order, conf
    if order.action == "alert":
        return Happening(kind="fire", price=price, reason=reason)
    limit = _limit(dialog, price, state, clearing)
    if isinstance(limit, Refusal):
        refusal: Refusal | None = limit
    else:
        refusal = check_order(as_sent(order, limit), known, risk)
        if refusal is None:
            return Happening(kind="fire", price=price, limit=limit, reason=reason)
    assert refusal is not None
    return Happening(
        kind="refused_order",
        price=price,
        reason=f"its price came, {price}, and it was refused: {refusal.reason}",
    )


def _limit(
    dialog: Dialog, price: Decimal, state: MarketState, clearing: ClearingConf
) -> Decimal | Refusal:
    order, trigger = dialog.order, dialog.trigger
    assert order.action != "alert"
    assert trigger is not None
    if order.otype == "market":
        return market_limit(
            order.action, state.prices, clearing.market_band_pct, state.mkt
        )
    return submit_price(order, trigger, price, state.mkt, clearing.dark_slip_ticks)
