"""Bars of what has passed on the tape, as both venues make them of their trades."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from ._tape import LOTS, Market, Print


@dataclass
class Candle:
    """One bar; a period without trades repeats the close before it.

    Attributes:
      open_ms: its start.
      open: quote units, as are *high*, *low* and *close*.
      lots: volume, 1e-8 base units.
      notional: volume in quote units.
      trades: their number.
      taker_lots: of *lots*, what takers bought.
      taker_notional: of *notional*, the same.
    """

    open_ms: int
    open: float
    high: float
    low: float
    close: float
    lots: int = 0
    notional: float = 0.0
    trades: int = 0
    taker_lots: int = 0
    taker_notional: float = 0.0

    def add(self, item: Print) -> None:
        """Count *item* in."""
        self.high, self.low = max(self.high, item.price), min(self.low, item.price)
        self.close = item.price
        notional = item.price * item.size / LOTS
        self.lots += item.size
        self.notional += notional
        self.trades += len(item.lots)
        if item.side > 0:
            self.taker_lots += item.size
            self.taker_notional += notional


def candles(
    market: Market, period_ms: int, start_ms: int, end_ms: int
) -> Iterator[Candle]:
    """Yield the bars that open in start <= time <= end, none before the first trade.

    Args:
      market: whose; only what has passed of it counts.
      period_ms: length of a bar.
      start_ms: epoch ms.
      end_ms: epoch ms, the venue's clock at most.
    """
    prints = market.prints
    if not prints:
        return
    first_ms = prints[0].time_ms // period_ms * period_ms
    open_ms = max(-(-start_ms // period_ms) * period_ms, first_ms)
    at = bisect_left(prints, open_ms, key=_time_ms)
    close = prints[max(0, at - 1)].price
    while open_ms <= end_ms:
        upto_ms = open_ms + period_ms
        if at < len(prints) and prints[at].time_ms < upto_ms:
            close = prints[at].price
        candle = Candle(open_ms, close, close, close, close)
        while at < len(prints) and prints[at].time_ms < upto_ms:
            candle.add(prints[at])
            at += 1
        close = candle.close
        yield candle
        open_ms = upto_ms


def since(market: Market, time_ms: int) -> int:
    """Return the index of the first passed print with at least that stamp."""
    return bisect_left(market.prints, time_ms, key=_time_ms)


def _time_ms(item: Print) -> int:
    return item.time_ms
