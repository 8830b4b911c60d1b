"""What the simulated venue takes of a trade.

Its coins cost what they do at the largest venue for one without volume, 0.1 % of either
side; derivatives 0.02 % of a maker and 0.05 % of a taker.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from piker.brokers import cost_at_rate
from piker.msgs import MktPair

#: Of a maker, of a taker.
_SPOT: Final = (Decimal("0.001"), Decimal("0.001"))
_DERIVATIVES: Final = (Decimal("0.0002"), Decimal("0.0005"))


def get_cost(mkt: MktPair, price: Decimal, size: Decimal, taker: bool) -> Decimal:
    """Return the fees of one trade, quote units.

    Args:
      mkt: the market.
      price: quote units.
      size: base units, or contracts.
      taker: whether it took what rested.
    """
    maker_rate, taker_rate = _DERIVATIVES if mkt.expiry else _SPOT
    return cost_at_rate(mkt, price, size, taker_rate if taker else maker_rate)
