"""What the simulated venue takes of a trade.

Its coins cost what they do at the largest venue for one without volume, 0.1 % of either
side; derivatives 0.02 % of a maker and 0.05 % of a taker.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from piker.brokers import GetCost, cost_by_rates
from piker.msgs import MktPair

_CASH: Final[GetCost] = cost_by_rates(maker=Decimal("0.001"), taker=Decimal("0.001"))
_DERIVATIVES: Final[GetCost] = cost_by_rates(
    maker=Decimal("0.0002"), taker=Decimal("0.0005")
)


def get_cost(mkt: MktPair, price: Decimal, size: Decimal, taker: bool) -> Decimal:
    """Return the fees of one trade, quote units; *taker* if it took what rested."""
    fees = _DERIVATIVES if mkt.expiry else _CASH
    return fees(mkt, price, size, taker)
