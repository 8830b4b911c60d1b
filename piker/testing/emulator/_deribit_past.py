"""Bars of an instrument from before the tape, made of those of what it follows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ._tape import Older


class Past:
    """See the module.

    Args:
      price_of: gives its price, of one of the source's and a time, epoch ms.
      source: what it follows.
    """

    def __init__(self, price_of: Callable[[float, int], float], source: Older) -> None:
        self._price_of, self._source = price_of, source
        self.end_ms = source.end_ms

    def bars(
        self, period_s: int, start_ms: int, end_ms: int
    ) -> Iterator[tuple[int, float, float, float, float, float, int]]:
        """Yield rows of OHLCV, see `Older`."""
        for time_s, *prices, volume, trades in self._source.bars(
            period_s, start_ms, end_ms
        ):
            # a put falls where its market rises, so high and low may change places
            first, one, other, last = (
                self._price_of(price, time_s * 1000) for price in prices
            )
            high, low = max(one, other, first, last), min(one, other, first, last)
            yield time_s, first, high, low, last, volume, trades
