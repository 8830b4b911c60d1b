"""What Kraken takes of a trade: the fees of its first tier, by maker and taker.

Venue page: https://www.kraken.com/features/fee-schedule (spot, 30 days' volume from
$0 on: 0.25 % maker, 0.40 % taker).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from piker.brokers import cost_at_rate
from piker.msgs import MktPair

#: Of a maker, of a taker.
_SPOT: Final = (Decimal("0.0025"), Decimal("0.0040"))


def get_cost(mkt: MktPair, price: Decimal, size: Decimal, taker: bool) -> Decimal:
    """Return the fees of one trade, quote units.

    Args:
      mkt: the market.
      price: quote units.
      size: base units, or contracts.
      taker: whether it took what rested.
    """
    maker_rate, taker_rate = _SPOT
    return cost_at_rate(mkt, price, size, taker_rate if taker else maker_rate)
