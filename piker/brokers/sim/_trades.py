"""The trades inside given blocks: whatever is drawn, they add up to the block's bar.

    times    exponential waits, scaled into the minute
    prices   a random walk pinned to open and close, mapped onto low..high
    sizes    at least a lot each, the rest shared out by weight, to the last lot

All running sums are of integers, for a float sum depends on where it starts. A trade's
id is ``block * 2048 + number in block``, so ids rise and tell the trade's place.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from itertools import repeat
from typing import Final

import numpy as np
from numpy.typing import NDArray

from piker.msgs import NS, Tick, TickType
from piker.tsp import Ints, to_float

from ._blocks import Blocks
from ._draws import (
    FIXED_ONE,
    NORMAL_FIXED,
    PICKS,
    WAIT_FIXED,
    WEIGHT_FIXED,
    Draws,
    Hashes,
    pick,
    rehash,
)
from ._shape import BLOCK_S

#: Ids of a block; more than the trades it can have.
IDS_PER_BLOCK: Final = 2_048

#: A trade, with the best bid and ask it met. ``lots`` is the size in whole size ticks,
#: ``side`` is 1 where the taker bought, else -1; prices in quote, sizes in base units.
TRADES: Final = np.dtype(
    [
        ("time_ns", "i8"),
        ("tid", "i8"),
        ("price", "f8"),
        ("lots", "i8"),
        ("size", "f8"),
        ("side", "i8"),
        ("bid", "f8"),
        ("ask", "f8"),
        ("bid_size", "f8"),
        ("ask_size", "f8"),
    ]
)

_STREAM_TRADES = 3_000
_BLOCK_US = BLOCK_S * 1_000_000
_SPREADS = np.array([1, 1, 1, 1, 1, 2, 2, 3])  # price ticks


def fill_blocks(
    blocks: Blocks,
    draws: Draws,
    price_tick: Decimal,
    size_tick: Decimal,
    mean_lots: float,
) -> NDArray[np.void]:
    """Return every trade of *blocks*, dtype TRADES, in order of time and id.

    Args:
      blocks: minutes to fill.
      draws: the market's own source of randomness.
      price_tick: quote units of a price tick.
      size_tick: base units of a lot.
      mean_lots: scale of the sizes displayed at bid and ask.
    """
    if not len(blocks):
        return np.empty(0, TRADES)
    place = _Places.of(blocks.count)
    tid = blocks.block[place.owner] * IDS_PER_BLOCK + place.number
    hashes = draws.hashes(_STREAM_TRADES, tid)
    more = rehash(hashes)
    side = np.where(pick(hashes, 24) < PICKS // 2, 1, -1)
    spread = _SPREADS[pick(hashes, 36) >> 9]
    price = _prices(blocks, place, hashes, side * (spread * 0.5))
    bid = np.where(side > 0, price - spread, price)
    lots = _lots(blocks, place, more)
    shown = max(1, round(mean_lots)) * WEIGHT_FIXED

    trades = np.empty(len(tid), TRADES)
    trades["time_ns"] = _times(blocks, place, hashes)
    trades["tid"], trades["side"], trades["lots"] = tid, side, lots
    trades["price"] = to_float(price, price_tick)
    trades["size"] = to_float(lots, size_tick)
    trades["bid"] = to_float(bid, price_tick)
    trades["ask"] = to_float(bid + spread, price_tick)
    trades["bid_size"] = to_float(shown[pick(more, 12)] >> 8, size_tick)
    trades["ask_size"] = to_float(shown[pick(more, 24)] >> 8, size_tick)
    return trades


def to_ticks(trades: NDArray[np.void]) -> list[Tick]:
    """Return bid, ask and trade for each of *trades*, in this order.

    The quote comes first: it is the one that the trade met.
    """
    times = trades["time_ns"].tolist()
    ticks: list[Tick] = [_NO_TICK] * (3 * len(times))
    for at, kind in enumerate(_QUOTES):
        prices, sizes = trades[kind].tolist(), trades[f"{kind}_size"].tolist()
        ticks[at::3] = map(Tick, repeat(kind), prices, sizes, times)
    ticks[2::3] = map(
        Tick,
        repeat(_TRADE),
        trades["price"].tolist(),
        trades["size"].tolist(),
        times,
        trades["tid"].tolist(),
        trades["side"].tolist(),
    )
    return ticks


_QUOTES: Final[tuple[TickType, ...]] = ("bid", "ask")
_TRADE: Final[TickType] = "trade"
_NO_TICK: Final = Tick("trade", 0.0, 0.0)


@dataclass(frozen=True)
class _Places:
    """Where each trade stands in its block.

    Attributes:
      owner: row of its block, one entry a trade.
      number: 0 for the first trade of a block, one entry a trade.
      start: index of each block's first trade, one entry a block.
      last: index of each block's last trade, one entry a block.
    """

    owner: NDArray[np.intp]
    number: Ints
    start: Ints
    last: Ints

    @classmethod
    def of(cls, count: Ints) -> _Places:
        end = np.cumsum(count)
        start = end - count
        owner = np.repeat(np.arange(len(count)), count)
        return cls(owner, np.arange(end[-1]) - start[owner], start, end - 1)

    def running(self, values: Ints) -> Ints:
        """Return running sums of *values* that start anew in each block."""
        sums = np.cumsum(values)
        return sums - (sums[self.start] - values[self.start])[self.owner]


def _times(blocks: Blocks, place: _Places, hashes: Hashes) -> Ints:
    waited = place.running(WAIT_FIXED[pick(hashes, 0)])
    span = (waited[place.last] + FIXED_ONE)[place.owner]  # the last wait ends in time
    into_us = waited * _BLOCK_US // span
    return blocks.block[place.owner] * (BLOCK_S * NS) + into_us * 1_000


def _prices(
    blocks: Blocks, place: _Places, hashes: Hashes, half_spread: NDArray[np.float64]
) -> Ints:
    """Return prices in price ticks; each block's own open, high, low and close."""
    owner, number = place.owner, place.number
    last = (blocks.count - 1)[owner]
    walk = place.running(NORMAL_FIXED[pick(hashes, 12)])
    came, went = walk[place.start], walk[place.last]
    pinned = (walk - came[owner]) * last - number * (went - came)[owner]
    opens, closes = blocks.open[owner], blocks.close[owner]
    scale = (blocks.deviation / np.sqrt(blocks.count.astype(np.float64)))[owner]
    path = opens + (closes - opens) * (number / last)
    path = path + pinned / last * (scale / FIXED_ONE) + half_spread

    inner = (number > 0) & (number < last)
    top = np.maximum.reduceat(np.where(inner, path, -np.inf), place.start)[owner]
    bottom = np.minimum.reduceat(np.where(inner, path, np.inf), place.start)[owner]
    height = np.where(top > bottom, top - bottom, 1.0)
    share = np.clip((path - bottom) / height, 0.0, 1.0)
    lows = blocks.low[owner]
    price = lows + np.rint(share * (blocks.high[owner] - lows)).astype(np.int64)
    return np.where(number == 0, opens, np.where(number == last, closes, price))


def _lots(blocks: Blocks, place: _Places, hashes: Hashes) -> Ints:
    """Return sizes in lots, each at least 1, that sum up to each block's volume."""
    weight = place.running(WEIGHT_FIXED[pick(hashes, 0)])
    spare = (blocks.lots - blocks.count)[place.owner]
    share = spare * weight // weight[place.last][place.owner]
    before = np.concatenate(([0], share[:-1]))
    return share - np.where(place.number > 0, before, 0) + 1
