"""What IB takes of a trade, for paper orders: its fixed prices of an account in the US.

https://www.interactivebrokers.com/en/pricing/commissions-home.php: a share 0.005, at
least 1 and at most a hundredth of what is paid; an option 0.65, at least 1 an order; a
future 0.85; money 0.2 of a hundredth of a percent, at least 2.

Venues' and clearing fees that come on top, and prices in other currencies, differ from
one exchange to the next: `paper.fees.ib` of the config sets a rate in their place.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from piker.brokers import cost_at_rate
from piker.msgs import MktPair

_SHARE: Final = Decimal("0.005")
_SHARE_MOST: Final = Decimal("0.01")
_OPTION: Final = Decimal("0.65")
_FUTURE: Final = Decimal("0.85")
_MONEY: Final = Decimal("0.00002")
_LEAST: Final = Decimal(1)
_LEAST_MONEY: Final = Decimal(2)


def get_cost(mkt: MktPair, price: Decimal, size: Decimal, is_taker: bool) -> Decimal:
    """Return the fees of one trade, quote units, see `piker.brokers.GetCost`.

    Maker or taker is all one to IB. The least is of an order, and counted of each trade
    here: paper orders mostly are one.
    """
    count = size.copy_abs()
    match mkt.atype:
        case "option" | "futures_option":
            return max(_LEAST, count * _OPTION)
        case "future" | "continuous_future":
            return count * _FUTURE
        case "fiat" | "commodity":
            return max(_LEAST_MONEY, cost_at_rate(mkt, price, count, _MONEY))
    most = cost_at_rate(mkt, price, count, _SHARE_MOST)
    return min(max(_LEAST, count * _SHARE), most)
