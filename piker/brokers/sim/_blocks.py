"""The bar of each minute of a market, drawn before any trade of it.

Open and close come from the path at the minute's two ends, high and low from the law
of a Brownian bridge's extremes between them, volume and count from the hour and the
volatility. Deep history is made of these alone. Prices are whole price ticks and sizes
whole lots throughout.

A minute in which the market is closed, not listed, expired or silent has no row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from piker.tsp import Columns, Floats, Ints, open_mask

from ._draws import EXTREME, NORMAL, PICKS, Draws, Hashes, exp, pick
from ._levels import Levels
from ._shape import (
    BLOCK_S,
    DAY_BLOCKS,
    MAX_TRADES,
    OptionTerms,
    SimMarket,
    day_profile,
)

_STREAM_BARS, _STREAM_SIZES = 2_000, 2_001
_MIN_PRICE = 5  # price ticks at a boundary, so that a bid below a low stays positive
_MIN_TRADES = 4  # open, high, low and close are four prints
_DAY_S = 86_400


@dataclass(frozen=True)
class Blocks:
    """Minutes with trades in them, each field of shape (n,).

    Attributes:
      block: minute since the epoch, ascending.
      open: first price, in price ticks; so are high, low and close.
      high: highest price.
      low: lowest price.
      close: last price.
      lots: volume.
      count: trades, 4..1500.
      deviation: of the price over the minute, in price ticks.
    """

    block: Ints
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    lots: Ints
    count: Ints
    deviation: Floats

    def __len__(self) -> int:
        return len(self.block)

    def between(self, first: int, end: int) -> Blocks:
        """Return the rows of the minutes first..end-1."""
        return self.rows(slice(*np.searchsorted(self.block, (first, end))))

    def rows(self, which: slice | NDArray[np.bool_]) -> Blocks:
        """Return some of the rows."""
        return Blocks(**{f.name: getattr(self, f.name)[which] for f in fields(self)})

    def columns(self) -> Columns:
        """Return the same as one-minute bars."""
        return Columns(
            time_s=self.block * BLOCK_S,
            open=self.open,
            high=self.high,
            low=self.low,
            close=self.close,
            lots=self.lots,
            count=self.count,
        )


@dataclass(frozen=True)
class _Prices:
    """The fair price at the minute boundaries, and how it moves between them.

    Attributes:
      at: in price ticks, shape (n + 1,).
      sensitivity: of the price to its path's, in price ticks per quote unit, (n,).
      moved_quote: what the path's own price is at the start of a minute, (n,).
      interest: factor of the activity, (n,); 1 but for options far from the money.
    """

    at: Floats
    sensitivity: Floats | float
    moved_quote: Floats
    interest: Floats | float


class BlockMaker:
    """Makes the blocks of one market: any window, in any order, always the same."""

    def __init__(self, market: SimMarket, seed: int) -> None:
        self._market = market
        self._draws = Draws(seed, market.fqme)
        self._levels = Levels(seed, market.path)
        self._block_vol = market.path.day_vol / math.sqrt(DAY_BLOCKS)
        self._path_profile = day_profile(market.path.calendar)
        self._own_profile = day_profile(market.calendar)
        numerator, denominator = market.price_tick.as_integer_ratio()
        self._ticks_per_quote = denominator / numerator

    def make(self, first: int, end: int) -> Blocks:
        """Return the blocks of the minutes first..end-1 that have trades."""
        first = max(first, self._market.listed_s // BLOCK_S)
        end = min(end, self._market.expires_s // BLOCK_S)
        end = max(first, end)
        log_price, log_vol = self._levels.between(first, end)
        prices = self._prices(np.arange(first, end + 1), log_price)
        block = np.arange(first, end)
        bars = self._draws.hashes(_STREAM_BARS, block)
        sizes = self._draws.hashes(_STREAM_SIZES, block)
        log_vol = log_vol[:-1]
        minute = block % DAY_BLOCKS
        vol = exp(log_vol) * self._path_profile.vol[minute] * self._block_vol
        deviation = prices.moved_quote * vol * prices.sensitivity

        fair = np.rint(prices.at).astype(np.int64)
        count, lots = self._volume(minute, log_vol, prices.interest, bars, sizes)
        open_, high, low, close = _bar(fair, deviation, bars, sizes)
        made = Blocks(block, open_, high, low, close, lots, count, deviation)
        trades = open_mask(self._market.calendar, block * BLOCK_S)
        trades &= pick(sizes, 24) >= self._market.activity.silent * PICKS
        return made if trades.all() else made.rows(trades)

    def _volume(
        self,
        minute: Ints,
        log_vol: Floats,
        interest: Floats | float,
        bars: Hashes,
        sizes: Hashes,
    ) -> tuple[Ints, Ints]:
        """Return the trades of each block, and their volume in lots."""
        activity = self._market.activity
        rush = exp(log_vol * 0.8 + NORMAL[pick(bars, 24)] * 0.3 - 0.08)
        rush *= self._own_profile.trades[minute] * interest
        count = np.rint(rush * (activity.rate * BLOCK_S)).astype(np.int64)
        count = np.clip(count, _MIN_TRADES, MAX_TRADES)
        surplus = count * (activity.mean_lots - 1) * exp(NORMAL[pick(sizes, 0)] * 0.25)
        return count, count + np.rint(surplus).astype(np.int64)

    def _prices(self, boundary: Ints, log_price: Floats) -> _Prices:
        quote = exp(log_price) * self._market.path.price_quote
        scale = self._ticks_per_quote
        terms = self._market.option
        if terms is None:
            return _Prices(quote * scale, scale, quote[:-1], 1.0)
        left_s = np.maximum(self._market.expires_s - boundary * BLOCK_S, 0)
        left_days = left_s / float(_DAY_S)
        spread = quote * np.sqrt(left_days) * (0.8 * self._market.path.day_vol)
        value, slope, interest = option_value(quote, terms, spread)
        return _Prices(value * scale, slope[:-1] * scale, quote[:-1], interest[:-1])


def _bar(
    fair: Ints, deviation: Floats, bars: Hashes, sizes: Hashes
) -> tuple[Ints, Ints, Ints, Ints]:
    """Return open, high, low and close of each block, in price ticks.

    Args:
      fair: price at the boundaries, shape (n + 1,).
      deviation: of the price over each block, shape (n,).
      bars: draws for the open and both extremes.
      sizes: draws for the close.
    """
    # a print at a boundary may be a tick off it, like any other print
    opens = np.maximum(fair[:-1] + pick(bars, 52) % 3 - 1, _MIN_PRICE)
    closes = np.maximum(fair[1:] + pick(sizes, 52) % 3 - 1, _MIN_PRICE)
    middle = (opens + closes) * 0.5
    way = ((opens - closes) * (opens - closes)).astype(np.float64)
    reach = deviation * deviation
    up = np.sqrt(way + reach * EXTREME[pick(bars, 0)]) * 0.5
    down = np.sqrt(way + reach * EXTREME[pick(bars, 12)]) * 0.5
    highs = np.maximum(np.rint(middle + up).astype(np.int64), np.maximum(opens, closes))
    lows = np.minimum(
        np.rint(middle - down).astype(np.int64), np.minimum(opens, closes)
    )
    return opens, highs, np.maximum(lows, _MIN_PRICE - 1), closes


def option_value(
    price_quote: Floats, terms: OptionTerms, spread_quote: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return what an option is worth; simple, smooth, the same bits anywhere.

    A hyperbola stands for the textbook curve: always above what exercise would pay,
    equal to it at expiry, call minus put is price minus strike.

    Args:
      price_quote: of what the option is written on, shape (n,).
      terms: strike and side.
      spread_quote: twice the value at the money, shape (n,); 0 at expiry.

    Returns:
      Value in quote units; the size of its slope, 0..1; its interest, 1 at the money
      and towards 0 far from it; each of shape (n,).
    """
    inside = price_quote - terms.strike_quote
    if not terms.is_call:
        inside = -inside
    spread = np.maximum(spread_quote, 1e-6)
    root = np.sqrt(inside * inside + spread * spread)
    return (inside + root) * 0.5, (inside / root + 1) * 0.5, spread / root
