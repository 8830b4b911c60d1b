r"""Trades to bars, and bars to longer bars, exactly.

    trades --aggregate--> OHLCV --resample--> longer OHLCV
                 \                /
                  Columns --reduce_columns--> Columns --to_bars--> OHLCV

A bar's ``time`` is a multiple of its period, counted from the epoch: an hour starts
at the hour, a day at 00:00 UTC, a week on a Thursday. A period in which nothing
traded has no bar here; :func:`piker.tsp.fill_gaps` makes flat ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._dtypes import OHLCV
from ._steps import Ints, to_float, to_steps

NS = 1_000_000_000


@dataclass(frozen=True)
class Columns:
    """Bars as one array a field, all of shape (n,), volume in whole size ticks.

    Attributes:
      time_s: epoch second of the open, ascending; int64.
      open: price, floats or whole price ticks; so are high, low and close.
      high: highest price.
      low: lowest price.
      close: last price.
      lots: volume in size ticks; int64.
      count: trades; int64.
    """

    time_s: Ints
    open: NDArray[Any]
    high: NDArray[Any]
    low: NDArray[Any]
    close: NDArray[Any]
    lots: Ints
    count: Ints

    def __len__(self) -> int:
        return len(self.time_s)


def reduce_columns(bars: Columns, period_s: int) -> Columns:
    """Merge *bars* that fall into the same period.

    Args:
      bars: of any, even mixed, shorter periods, in order of time; several may carry
        the same time.
      period_s: of the result, seconds.
    """
    _check_period(period_s)
    if not len(bars):
        return bars
    opens_s = bars.time_s // period_s * period_s
    first = np.flatnonzero(np.concatenate(([True], opens_s[1:] != opens_s[:-1])))
    if len(first) == len(bars):
        return replace(bars, time_s=opens_s)
    last = np.concatenate((first[1:], [len(bars)])) - 1
    return Columns(
        time_s=opens_s[first],
        open=bars.open[first],
        high=np.maximum.reduceat(bars.high, first),
        low=np.minimum.reduceat(bars.low, first),
        close=bars.close[last],
        lots=np.add.reduceat(bars.lots, first),
        count=np.add.reduceat(bars.count, first),
    )


def concat_columns(parts: Sequence[Columns]) -> Columns:
    """Return *parts*, at least one, one after the other."""
    return Columns(
        **{
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in Columns.__dataclass_fields__
        }
    )


def to_bars(
    columns: Columns, size_tick: Decimal, price_tick: Decimal | None = None
) -> NDArray[np.void]:
    """Return *columns* as an OHLCV array of shape (n,).

    Args:
      columns: what to convert.
      size_tick: base units a lot stands for.
      price_tick: quote units a price step stands for; None if prices are floats.
    """
    bars = np.empty(len(columns), OHLCV)
    bars["time"] = columns.time_s
    for name in ("open", "high", "low", "close"):
        prices = getattr(columns, name)
        bars[name] = to_float(prices, price_tick) if price_tick else prices
    bars["volume"] = to_float(columns.lots, size_tick)
    bars["count"] = columns.count
    return bars


def from_bars(bars: NDArray[np.void], size_tick: Decimal) -> Columns:
    """Return an OHLCV array as columns, prices as floats."""
    return Columns(
        time_s=bars["time"],
        open=bars["open"],
        high=bars["high"],
        low=bars["low"],
        close=bars["close"],
        lots=to_steps(bars["volume"], size_tick),
        count=bars["count"],
    )


def aggregate(
    time_ns: Ints,
    price: NDArray[np.float64],
    lots: Ints,
    period_s: int,
    size_tick: Decimal,
    count: Ints | None = None,
) -> NDArray[np.void]:
    """Return the bars of a run of trades, as an OHLCV array.

    Args:
      time_ns: epoch stamps, shape (n,), ascending; int64.
      price: quote units, shape (n,).
      lots: sizes in whole *size_tick*, shape (n,); int64.
      period_s: bar length, seconds.
      size_tick: base units a lot stands for.
      count: trades each row stands for, shape (n,); 1 each by default.

    Raises:
      ValueError: if *period_s* is not positive or *time_ns* runs backwards.
    """
    _check_period(period_s)
    if np.any(time_ns[1:] < time_ns[:-1]):
        raise ValueError("trades must come in order of time")
    ones = np.ones(len(time_ns), np.int64) if count is None else count
    trades = Columns(time_ns // NS, price, price, price, price, lots, ones)
    return to_bars(reduce_columns(trades, period_s), size_tick)


def resample(
    bars: NDArray[np.void], period_s: int, size_tick: Decimal
) -> NDArray[np.void]:
    """Return *bars* merged into bars of a longer period, as an OHLCV array.

    Empty bars count: a flat one has an open, a close and no volume.

    Args:
      bars: OHLCV, ascending, of a period that divides *period_s*.
      period_s: of the result, seconds.
      size_tick: base units a lot stands for; volumes are summed in whole lots.

    Raises:
      ValueError: if *period_s* is not positive or ``time`` runs backwards.
    """
    _check_period(period_s)
    if np.any(bars["time"][1:] < bars["time"][:-1]):
        raise ValueError("bars must come in order of time")
    return to_bars(reduce_columns(from_bars(bars, size_tick), period_s), size_tick)


def _check_period(period_s: int) -> None:
    if period_s < 1:
        raise ValueError(f"a period must be at least 1 s, not {period_s!r}")
