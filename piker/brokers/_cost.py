"""Fees that are a part of what is paid."""

from __future__ import annotations

from collections.abc import Callable
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal

from piker.msgs import MktPair

#: Products of decimals that are wanted whole; the default context keeps 28 digits.
_WHOLE = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
#: Quotients of them, which few decimals are exactly, and what is kept of one.
_RATIO = Context(prec=80, Emax=MAX_EMAX, Emin=MIN_EMIN)
_STEP = Decimal("1e-20")

#: Fees of one trade, quote units: of a market, price, size, and whether it took what
#: rested.
GetCost = Callable[[MktPair, Decimal, Decimal, bool], Decimal]


def cost_at_rate(mkt: MktPair, price: Decimal, size: Decimal, rate: Decimal) -> Decimal:
    """Return *rate* of what a trade is worth, quote units, exactly.

    Of an inverse market base units, to 20 decimals.

    Args:
      mkt: the market; its multiplier counts.
      price: quote units.
      size: base units, or contracts.
      rate: 0.001 is a tenth of a percent; below 0 it is a rebate.
    """
    if mkt.is_inverse:
        worth = _WHOLE.multiply(_WHOLE.multiply(size, mkt.multiplier), rate)
        return _RATIO.quantize(_RATIO.divide(worth, price.copy_abs()), _STEP)
    worth = _WHOLE.multiply(_WHOLE.multiply(price.copy_abs(), size), mkt.multiplier)
    return _WHOLE.multiply(worth, rate)


def cost_by_rates(maker: Decimal, taker: Decimal) -> GetCost:
    """Return fees that are a part of what is paid: 0.001 is a tenth of a percent."""

    def get_cost(
        mkt: MktPair, price: Decimal, size: Decimal, is_taker: bool
    ) -> Decimal:
        return cost_at_rate(mkt, price, size, taker if is_taker else maker)

    return get_cost
