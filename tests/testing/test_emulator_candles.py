"""Bars of an emulated venue where its tape begins, after a past in closed form."""

from __future__ import annotations

from decimal import Decimal

import pytest

from piker.msgs import Asset, MktPair
from piker.testing.emulator._candles import candles
from piker.testing.emulator._tape import Market, Print

BEGIN_MS = 1_796_056_784_400  # 0.6 s before a second begins
CLOSE = 99.0
MKT = MktPair(
    dst=Asset(name="btc", atype="crypto"),
    src=Asset(name="usdt", atype="crypto"),
    price_tick=Decimal("0.01"),
    size_tick=Decimal("0.00001"),
    bs_mktid="btcusdt.spot",
    broker="sim",
    venue="spot",
    atype="crypto",
)


class Past:
    """Flat bars up to the tape."""

    end_ms = BEGIN_MS

    def bars(self, period_s, start_ms, end_ms):
        first_s = -(-start_ms // (period_s * 1000)) * period_s
        for time_s in range(first_s, -(-end_ms // 1000), period_s):
            yield time_s, CLOSE, CLOSE, CLOSE, CLOSE, 0.0, 0


def market_of(*after_s: float) -> Market:
    """Return a market that traded so long after its tape began."""
    market = Market(MKT, 1, 1, older=Past())
    for nth, seconds in enumerate(after_s, 1):
        at_ms = BEGIN_MS + round(seconds * 1000)
        price = 100.0 + nth
        market.pass_print(
            Print(market, at_ms * 10**6, at_ms, 0, price, 1, nth, nth, (5,), 5)
        )
    return market


@pytest.mark.parametrize("after_s", [(), (0.1,), (0.7,), (1.7,), (4.0, 4.1)])
@pytest.mark.parametrize("from_s", [-5, 0, 1, 2])
def test_no_second_lacks_where_the_tape_begins(after_s, from_s):
    market = market_of(*after_s)
    start_ms, end_ms = BEGIN_MS + from_s * 1000, BEGIN_MS + 6000
    found = list(candles(market, 1000, start_ms, end_ms))
    assert [candle.open_ms for candle in found] == list(
        range(-(-start_ms // 1000) * 1000, end_ms + 1, 1000)
    )
    for candle in found:
        traded = [
            one.price
            for one in market.prints
            if candle.open_ms <= one.time_ms < candle.open_ms + 1000
        ]
        known = [one.price for one in market.prints if one.time_ms < candle.open_ms]
        before = [CLOSE, *known][-1]
        # what traded in the rest of the second in which it began is of the past's bar
        if candle.open_ms > BEGIN_MS:
            assert candle.trades == len(traded)
            assert candle.open == (traded or [before])[0]
            assert candle.close == (traded or [before])[-1]
