"""What a market order may pay, and from which price a percent is meant."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from piker.msgs import MktPair, Side

from ._exact import multiply, shortest
from ._refusal import Refusal


@dataclass(frozen=True, kw_only=True)
class Prices:
    """The newest prices of a market, quote units; ``nan`` of what isn't known.

    Attributes:
      last: of the newest trade.
      bid: best.
      ask: best.
    """

    last: float = math.nan
    bid: float = math.nan
    ask: float = math.nan

    def now(self, side: Side) -> Decimal | None:
        """Return the price now for who wants to buy or to sell, None if none is known.

        It is the last one, or where bid or ask have left that behind, the nearer of
        them: an old trade misleads nobody, nor does a side that is far away. Without a
        trade it is the side that is better for the other one, so that a lonely ask far
        up moves no buyer.
        """
        known = [each for each in (self.bid, self.ask) if _is_price(each)]
        if _is_price(self.last):
            at = self.last
            if _is_price(self.bid):
                at = max(at, self.bid)
            if _is_price(self.ask):
                at = min(at, self.ask)
        elif known:
            at = min(known) if side == "buy" else max(known)
        else:
            return None
        return shortest(at)


def market_limit(
    side: Side, prices: Prices, band_pct: float, mkt: MktPair
) -> Decimal | Refusal:
    """Return the limit that a market order is sent with.

    Args:
      side: which way.
      prices: of the market now.
      band_pct: percent from the price now that it may pay at most.
      mkt: the market.
    """
    now = prices.now(side)
    if now is None:
        return Refusal(
            "price_band",
            f"no price of {mkt.fqme} is known yet, so a market order has no bound; try"
            " again once it has quoted, or give a limit",
        )
    return edge_price(side, now, band_pct, mkt)


def edge_price(side: Side, now: Decimal, band_pct: float, mkt: MktPair) -> Decimal:
    """Return the worst price, to the tick, that is within a band around *now*.

    It is at *now*, or the tick beyond it, where the band is narrower than a tick; to
    sell it is one tick at least.

    Args:
      side: to buy it is above, to sell below.
      now: price, quote units, > 0.
      band_pct: percent of it.
      mkt: the market.
    """
    share = Fraction(shortest(band_pct)) / 100
    edge = max(Fraction(now) * (1 + share if side == "buy" else 1 - share), Fraction(0))
    step = mkt.step_at(Decimal(float(edge)))
    tick = Fraction(step)
    if side == "buy":
        ticks = max(math.floor(edge / tick), math.ceil(Fraction(now) / tick))
    else:
        ticks = max(min(math.ceil(edge / tick), math.floor(Fraction(now) / tick)), 1)
    return mkt.order_price(multiply(Decimal(ticks), step))


def _is_price(value: float) -> bool:
    return math.isfinite(value) and value > 0
