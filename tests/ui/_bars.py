"""Bars, and series of them, for tests of the chart."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from piker.msgs import Asset, MktPair
from piker.tsp import OHLCV
from piker.ui._series import Series

#: Midnight of a Monday, UTC.
MONDAY_S = 1_717_372_800


def market(tick: str = "0.01") -> MktPair:
    return MktPair(
        dst=Asset(name="btc"),
        src=Asset(name="usdt"),
        price_tick=Decimal(tick),
        size_tick=Decimal("0.001"),
        bs_mktid="BTCUSDT",
        broker="sim",
        venue="spot",
    )


def walk(
    times: Sequence[int] | np.ndarray, seed: int = 0, price: float = 100.0
) -> np.ndarray:
    """Return bars that open at *times*: a walk of whole cents, above zero."""
    rng = np.random.default_rng(seed)
    bars = np.zeros(len(times), OHLCV)
    bars["time"] = times
    moves = rng.integers(-20, 21, len(bars)) / 100
    close = np.maximum(np.round(price + np.cumsum(moves), 2), 0.5)
    bars["close"] = close
    bars["open"] = np.concatenate(([price], close[:-1]))[: len(bars)]
    wicks = rng.integers(0, 10, (2, len(bars))) / 100
    bars["high"] = np.maximum(bars["open"], close) + wicks[0]
    bars["low"] = np.minimum(bars["open"], close) - wicks[1]
    bars["volume"] = rng.integers(0, 5000, len(bars)) / 1000
    bars["count"] = rng.integers(0, 50, len(bars))
    return bars


def series_of(
    bars: np.ndarray, period_s: int = 60, start: int = 0, tick: str = "0.01"
) -> Series:
    """Return a series of *bars*, the first of which has index *start*."""
    series = Series(market(tick), period_s)
    series.start = start
    series.splice(bars)
    return series


def series_walk(
    n: int,
    *,
    period_s: int = 60,
    start: int = 0,
    seed: int = 0,
    first_s: int = MONDAY_S,
) -> Series:
    """Return a series of *n* bars one after the other."""
    times = first_s + period_s * np.arange(n)
    return series_of(walk(times, seed), period_s, start)


def rows_of(series: Series) -> list[tuple]:
    """Return a series' bars, one by one."""
    columns = (series.time, series.open, series.high, series.low, series.close,
               series.volume, series.count)  # fmt: skip
    return list(zip(*(column.tolist() for column in columns), strict=True))
