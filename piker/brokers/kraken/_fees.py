"""What Kraken takes of a trade: the fees of its first tier, by maker and taker.

The venue tells them with each market (``fees`` and ``fees_maker`` of AssetPairs, see
https://docs.kraken.com/api/docs/rest-api/get-tradable-asset-pairs): for 30 days' volume
from $0 on 0.25 % of a maker, 0.40 % of a taker.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from piker.brokers import GetCost, cost_by_rates

#: Fees of one trade, quote units.
get_cost: Final[GetCost] = cost_by_rates(
    maker=Decimal("0.0025"), taker=Decimal("0.0040")
)
