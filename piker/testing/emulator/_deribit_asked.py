"""What the emulated Deribit reads of a request for an order.

By https://docs.deribit.com/api-reference/trading/private-buy; linked, advanced, iceberg
and trailing orders aren't emulated, and refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from ._deribit_names import Instrument
from ._deribit_said import Said, decimal, flag, one_of, text, wrong
from ._exchange import Kind, Side, Tif, _Book

_TYPES: Final = ("limit", "market", "stop_limit", "stop_market", "take_limit",
                 "take_market")  # fmt: skip
_TIFS: Final[dict[str, Tif]] = {
    "good_til_cancelled": "gtc", "good_til_day": "gtc", "fill_or_kill": "fok",
    "immediate_or_cancel": "ioc",
}  # fmt: skip
_TRIGGERS: Final = ("index_price", "mark_price", "last_price")
_NOT_HERE: Final = ("advanced", "display_amount", "trigger_offset", "linked_order_type",
                    "otoco_config", "trigger_fill_condition")  # fmt: skip
_LABEL: Final = 64


@dataclass(frozen=True)
class Wanted:
    """An order as it is asked for; see `Ticket`.

    Attributes:
      kind: as the engine knows it.
      tif: likewise.
    """

    kind: Kind
    amount: Decimal
    price: Decimal | None
    tif: Tif
    lasts: str
    stop: Decimal | None
    trigger: str
    takes: bool
    label: str
    post_only: bool
    rejects: bool
    reduce_only: bool


def read_order(inst: Instrument, params: dict[str, Any]) -> Wanted:
    """Return what a request asks for; raises Said."""
    for name in _NOT_HERE:
        if params.get(name) is not None:
            raise Said(10033, "not_implemented")
    asked = one_of(params, "type", _TYPES, "limit")
    has_price, waits = "limit" in asked, "_" in asked
    if waits and inst.kind != "future":
        raise Said(10031, "invalid_args_for_instrument")
    lasts = one_of(params, "time_in_force", tuple(_TIFS), "good_til_cancelled")
    post_only = flag(params, "post_only")
    if post_only and (not has_price or lasts not in ("good_til_cancelled",
                                                     "good_til_day")):  # fmt: skip
        raise Said(11055, "post_only_not_allowed")
    label = text(params, "label", "")
    if len(label) > _LABEL:
        raise wrong("label", f"too long, maximum {_LABEL} characters")
    stop, trigger = _trigger(inst, params) if waits else (None, "")
    kind: Kind = "stop_limit" if has_price else "stop"
    if not waits:
        kind = "limit" if has_price else "market"
    return Wanted(
        kind, _amount(inst, params),
        _on_tick(inst, params, "price") if has_price else None,
        _TIFS[lasts] if has_price else "ioc", lasts, stop, trigger,
        asked.startswith("take"), label, post_only,
        post_only and flag(params, "reject_post_only"), flag(params, "reduce_only"),
    )  # fmt: skip


def _trigger(inst: Instrument, params: dict[str, Any]) -> tuple[Decimal, str]:
    return (_on_tick(inst, params, "trigger_price"),
            one_of(params, "trigger", _TRIGGERS))  # fmt: skip


def _amount(inst: Instrument, params: dict[str, Any]) -> Decimal:
    amount = decimal(params, "amount", None)
    contracts = decimal(params, "contracts", None)
    if amount is None and contracts is None:
        raise wrong("amount", "value required")
    if contracts is not None:
        meant = contracts * inst.contract
        if amount is not None and amount != meant:
            raise wrong("contracts", "must match amount")
        amount = meant
    assert amount is not None, "one of both is told"
    if amount <= 0:
        raise wrong("amount", "must be positive")
    if amount < inst.least:
        raise Said(10002, "qty_too_low")
    if amount % inst.least:
        raise wrong("amount", "must be a multiple of the minimum order size")
    return amount


def _on_tick(inst: Instrument, params: dict[str, Any], name: str) -> Decimal:
    price = decimal(params, name)
    if price is None:
        raise wrong(name, "value required")
    if price <= 0:
        raise wrong(name, "must be positive")
    if price % inst.tick_at(price):
        raise wrong(name, "must conform to tick size")
    return price


def priced(
    inst: Instrument, book: _Book, side: Side, price: Decimal | None
) -> Decimal | None:
    """Return the price of a post-only order: just below what it would trade with."""
    others = book.asks if side == "buy" else book.bids
    best = others[0].price if others else None
    if best is None or price is None:
        return price
    if side == "buy" and price >= best:
        below = best - inst.tick_at(best)
        return below if below > 0 else price
    if side == "sell" and price <= best:
        return best + inst.tick_at(best)
    return price
