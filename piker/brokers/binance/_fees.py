"""What Binance takes of a trade: the fees of a regular user, who pays no BNB.

The tier without volume, https://www.binance.com/en/fee/schedule (spot: 0.1 % of either
side) and https://www.binance.com/en/fee/futureFee (USD-M: 0.02 % maker, 0.05 % taker);
checked against other sites that quote them, as those pages want a browser.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from piker.brokers import GetCost, cost_by_rates
from piker.msgs import MktPair

_SPOT: Final[GetCost] = cost_by_rates(maker=Decimal("0.001"), taker=Decimal("0.001"))
_USDTM: Final[GetCost] = cost_by_rates(maker=Decimal("0.0002"), taker=Decimal("0.0005"))


def get_cost(mkt: MktPair, price: Decimal, size: Decimal, taker: bool) -> Decimal:
    """Return the fees of one trade, quote units; *taker* if it took what rested."""
    fees = _SPOT if mkt.venue == "spot" else _USDTM
    return fees(mkt, price, size, taker)
