"""Bars of what has passed on the tape, as both venues make them of their trades."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from ._faults import Bars
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

    Those that open before the tape does come from `Market.older`, if that is there;
    then none lacks before the tape's first trade either.

    Args:
      market: whose; only what has passed of it counts.
      period_ms: length of a bar.
      start_ms: epoch ms.
      end_ms: epoch ms, the venue's clock at most.
    """
    if market.older is not None:
        tape_ms = -(-market.older.end_ms // period_ms) * period_ms
        upto_ms = min(tape_ms, end_ms + 1)
        for row in market.older.bars(period_ms // 1000, start_ms, upto_ms):
            yield _whole(row)
        start_ms = max(start_ms, tape_ms)
        yield from _until_first_trade(market, period_ms, start_ms, end_ms, tape_ms)
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


def _until_first_trade(
    market: Market, period_ms: int, start_ms: int, end_ms: int, tape_ms: int
) -> Iterator[Candle]:
    """Yield flat bars from where the older ones end to that of the first trade."""
    assert market.older is not None
    open_ms = -(-start_ms // period_ms) * period_ms
    if market.prints:
        first_ms = market.prints[0].time_ms // period_ms * period_ms
        end_ms = min(end_ms, first_ms - 1)
    if open_ms > end_ms:
        return
    for *_, close, _, _ in market.older.bars(
        period_ms // 1000, tape_ms - period_ms, tape_ms
    ):
        for at_ms in range(open_ms, end_ms + 1, period_ms):
            yield Candle(at_ms, close, close, close, close)


def _whole(row: tuple[int, float, float, float, float, float, int]) -> Candle:
    time_s, first, high, low, last, volume, trades = row
    lots, notional = round(volume * LOTS), volume * last
    return Candle(
        time_s * 1000, first, high, low, last, lots, notional, trades,
        lots // 2, notional / 2,
    )  # fmt: skip


def since(market: Market, time_ms: int) -> int:
    """Return the index of the first passed print with at least that stamp."""
    return bisect_left(market.prints, time_ms, key=_time_ms)


def _time_ms(item: Print) -> int:
    return item.time_ms


@dataclass(frozen=True)
class Asked:
    """A request for bars.

    Attributes:
      bars_from: gives those from a time to a time, epoch ms, both inclusive.
      span: that was asked for.
      newest: the span of the newest bars.
      period_ms: length of a bar.
    """

    bars_from: Callable[[int, int], list[Candle]]
    span: tuple[int, int]
    newest: tuple[int, int]
    period_ms: int

    def answer(self, fault: Bars | None) -> list[Candle]:
        """Return the bars, as wrong as *fault* wants them."""
        how = fault.how if fault is not None else ""
        start_ms, end_ms = self.newest if how == "repeated" else self.span
        if how == "overlap":
            start_ms -= 10 * self.period_ms
        bars = self.bars_from(start_ms, end_ms)
        if how == "reversed":
            return [*bars[::-1], *bars[:3]]
        if how == "cut":
            return bars[: -(-len(bars) // 2)]
        if how == "odd":
            return [_odd(bar) if at % 3 == 1 else bar for at, bar in enumerate(bars)]
        return [] if how == "empty" else bars


def _odd(bar: Candle) -> Candle:
    """Return *bar* as no bar can be."""
    if bar.open_ms // 1000 % 2:
        return replace(bar, high=bar.low, low=bar.high + 1)
    return replace(bar, close=math.nan)
