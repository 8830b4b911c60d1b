"""What Binance takes of a trade: the fees of a regular user, who pays no BNB.

Venue pages, read for the tier without volume:
https://www.binance.com/en/fee/schedule (spot: 0.1 % of either side),
https://www.binance.com/en/fee/futureFee (USD-M: 0.02 % maker, 0.05 % taker).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from piker.brokers import cost_at_rate
from piker.msgs import MktPair

#: Of a maker, of a taker.
_SPOT: Final = (Decimal("0.001"), Decimal("0.001"))
_USDTM: Final = (Decimal("0.0002"), Decimal("0.0005"))


def get_cost(mkt: MktPair, price: Decimal, size: Decimal, taker: bool) -> Decimal:
    """Return the fees of one trade, quote units.

    Args:
      mkt: the market.
      price: quote units.
      size: base units, or contracts.
      taker: whether it took what rested.
    """
    maker_rate, taker_rate = _SPOT if mkt.venue == "spot" else _USDTM
    return cost_at_rate(mkt, price, size, taker_rate if taker else maker_rate)
