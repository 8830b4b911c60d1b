"""What Deribit takes of a trade: the fees that it lists of its instruments.

``maker_commission`` and ``taker_commission`` of get_instruments, see
https://support.deribit.com/hc/en-us/articles/25944746248989-Fees: of futures and
perpetuals a part of what is traded (0 % of a maker, 0.05 % of a taker), of options 0.03
% of the coins that they are on, but 12.5 % of their price at most. Spot costs nothing.

Fees are paid in what a market settles in: coins, of inverse ones.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from piker.brokers import cost_at_rate
from piker.msgs import MktPair

_FUTURE_TAKER: Final = Decimal("0.0005")
_OPTION: Final = Decimal("0.0003")
_OPTION_CAP: Final = Decimal("0.125")
_ZERO: Final = Decimal(0)
_ONE: Final = Decimal(1)


def get_cost(mkt: MktPair, price: Decimal, size: Decimal, taker: bool) -> Decimal:
    """Return the fees of one trade, in what *mkt* settles in.

    Of an option that is paid for in a currency (USDC) the cap is taken, for what the
    coin costs isn't known here: no less than the venue takes.
    """
    if mkt.atype == "option":
        cap = cost_at_rate(mkt, price, size, _OPTION_CAP)
        if mkt.src is not None:
            return cap
        return min(cap, cost_at_rate(mkt, _ONE, size, _OPTION))
    if mkt.expiry and taker:
        return cost_at_rate(mkt, price, size, _FUTURE_TAKER)
    return _ZERO
