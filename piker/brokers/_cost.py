"""Fees that are a part of what is paid."""

from __future__ import annotations

from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal

from piker.msgs import MktPair

#: Products of decimals that are wanted whole; the default context keeps 28 digits.
_WHOLE = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)


def cost_at_rate(mkt: MktPair, price: Decimal, size: Decimal, rate: Decimal) -> Decimal:
    """Return *rate* of what a trade is worth, quote units, exactly.

    Args:
      mkt: the market; its multiplier counts.
      price: quote units.
      size: base units, or contracts.
      rate: 0.001 is a tenth of a percent; below 0 it is a rebate.
    """
    worth = _WHOLE.multiply(_WHOLE.multiply(price.copy_abs(), size), mkt.multiplier)
    return _WHOLE.multiply(worth, rate)
