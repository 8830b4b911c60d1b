"""What a paper market is like: how late, how generous, how dear.

[paper] of conf.toml --paper_rules--> PaperRules --> the matching core
a backend's get_cost ----------------/
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from piker.brokers import GetCost, cost_by_rates
from piker.config import PaperConf
from piker.msgs import MktPair

#: Market, price, size, whether it took what rested -> fees, quote units.

_NS_PER_MS = 1_000_000


def no_cost(mkt: MktPair, price: Decimal, size: Decimal, taker: bool) -> Decimal:
    """Return 0: a backend that names no fees has none."""
    del mkt, price, size, taker
    return Decimal(0)


@dataclass(frozen=True, kw_only=True)
class PaperRules:
    """How orders fare in a paper market; by the market's clock.

    Attributes:
      latency_ns: from an order's or an edit's coming until it counts.
      cancel_latency_ns: likewise of a cancel.
      max_quote_age_ns: a market silent for longer, or a trade older than that, fills
        nothing.
      trade_lag_ns: so long after a quote trades that it already shows may be told.
      slippage_ticks: an order larger than what is displayed pays so many price ticks
        more for each further such size; 0: it gets no more than is displayed.
      get_cost: fees.
    """

    latency_ns: int = 50 * _NS_PER_MS
    cancel_latency_ns: int = 50 * _NS_PER_MS
    max_quote_age_ns: int = 30_000 * _NS_PER_MS
    trade_lag_ns: int = 250 * _NS_PER_MS
    slippage_ticks: int = 0
    get_cost: GetCost = no_cost


def paper_rules(
    conf: PaperConf, broker: str, get_cost: GetCost | None = None
) -> PaperRules:
    """Return the rules for the paper markets of *broker*.

    Args:
      conf: what the user set.
      broker: whose markets.
      get_cost: the backend's, if it has one; the user's own fees come first.
    """
    fees = conf.fees.get(broker)
    if fees is not None:
        get_cost = cost_by_rates(Decimal(str(fees.maker)), Decimal(str(fees.taker)))
    return PaperRules(
        latency_ns=round(conf.latency_ms * _NS_PER_MS),
        cancel_latency_ns=round(conf.cancel_latency_ms * _NS_PER_MS),
        max_quote_age_ns=round(conf.max_quote_age_s * 1000) * _NS_PER_MS,
        trade_lag_ns=round(conf.trade_lag_ms * _NS_PER_MS),
        slippage_ticks=conf.slippage_ticks,
        get_cost=get_cost or no_cost,
    )
