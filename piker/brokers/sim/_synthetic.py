"""A synthetic market as one pure function of (seed, market, time).

    levels --> blocks (a bar a minute) --> trades inside each --> ticks
                 '--> bars                    '--> bars

``trades`` and ``bars`` give the same answer whatever was asked before and however the
window is cut, and bars are exactly the aggregation of the trades: a block's bar is
drawn first, and its trades are drawn so that they make that bar.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piker.msgs import NS, Tick
from piker.tsp import (
    OHLCV,
    Columns,
    concat_columns,
    reduce_columns,
    to_bars,
    to_steps,
)

from ._blocks import BlockMaker, Blocks
from ._draws import Draws
from ._shape import BLOCK_S, FOREVER_S, SimMarket
from ._trades import TRADES, fill_blocks, to_ticks

_BLOCK_NS = BLOCK_S * NS
_CHUNK = 1 << 16  # blocks worked on at a time: stays in the CPU's cache
_TRADES_CHUNK = 1_440  # the same, where trades are made
_PAGE = 64  # blocks drawn together for a live reader
_KEPT_PAGES = 4
_KEPT_BLOCKS = 16


class Synthetic:
    """One synthetic market; holds no state but a small cache.

    Args:
      market: which one.
      seed: of the world it lives in; markets of one path share it.
    """

    def __init__(self, market: SimMarket, seed: int = 0) -> None:
        self.market = market
        self._maker = BlockMaker(market, seed)
        self._draws = Draws(seed, f"{market.fqme}/trades")
        self._pages: dict[int, Blocks] = {}
        self._recent: dict[int, NDArray[np.void]] = {}

    def trades(self, start_ns: int, end_ns: int) -> NDArray[np.void]:
        """Return the trades with start <= time < end.

        Args:
          start_ns: epoch ns; the market has no trades before 1970 or after 2242.
          end_ns: epoch ns, exclusive.

        Returns:
          dtype TRADES, shape (n,), ascending in time and strictly in id.
        """
        parts = list(self._iter_trades(start_ns, end_ns))
        return np.concatenate(parts) if parts else np.empty(0, TRADES)

    def ticks(self, start_ns: int, end_ns: int) -> list[Tick]:
        """Return what :meth:`trades` does, as bid, ask and trade ticks."""
        return to_ticks(self.trades(start_ns, end_ns))

    def bars(self, start_ns: int, end_ns: int, period_s: int) -> NDArray[np.void]:
        """Return the aggregation of the trades with start <= time < end.

        The first and the last bar are partial where the window cuts them; a period
        without trades has no bar.

        Args:
          start_ns: epoch ns.
          end_ns: epoch ns, exclusive.
          period_s: bar length, seconds, at least 1.

        Returns:
          dtype OHLCV, shape (n,).

        Raises:
          ValueError: if *period_s* is not positive.
        """
        parts = [
            reduce_columns(part, period_s)
            for part in self._iter_columns(start_ns, end_ns, period_s)
        ]
        if not parts:
            return np.empty(0, OHLCV)
        bars = reduce_columns(concat_columns(parts), period_s)
        return to_bars(bars, self.market.size_tick, self.market.price_tick)

    def _iter_columns(
        self, start_ns: int, end_ns: int, period_s: int
    ) -> Iterator[Columns]:
        """Yield runs of bars to merge, by the minute where minutes suffice."""
        start_ns, end_ns = _clip(start_ns, end_ns)
        first, end = -(-start_ns // _BLOCK_NS), end_ns // _BLOCK_NS
        if period_s % BLOCK_S or end <= first:
            yield from self._iter_trade_columns(start_ns, end_ns)
            return
        yield from self._iter_trade_columns(start_ns, first * _BLOCK_NS)
        for at in range(first, end, _CHUNK):
            yield self._maker.make(at, min(at + _CHUNK, end)).columns()
        yield from self._iter_trade_columns(end * _BLOCK_NS, end_ns)

    def _iter_trade_columns(self, start_ns: int, end_ns: int) -> Iterator[Columns]:
        """Yield each trade as a bar of its own."""
        for trades in self._iter_trades(start_ns, end_ns):
            price = to_steps(trades["price"], self.market.price_tick)
            ones = np.ones(len(trades), np.int64)
            time_s = trades["time_ns"] // NS
            yield Columns(time_s, price, price, price, price, trades["lots"], ones)

    def _iter_trades(self, start_ns: int, end_ns: int) -> Iterator[NDArray[np.void]]:
        start_ns, end_ns = _clip(start_ns, end_ns)
        first, end = start_ns // _BLOCK_NS, -(-end_ns // _BLOCK_NS)
        if end - first <= _KEPT_BLOCKS // 2:
            runs = (self._block_trades(block) for block in range(first, end))
        else:
            runs = (
                self._fill(self._maker.make(at, min(at + _TRADES_CHUNK, end)))
                for at in range(first, end, _TRADES_CHUNK)
            )
        for trades in runs:
            window = slice(*np.searchsorted(trades["time_ns"], (start_ns, end_ns)))
            yield trades[window]

    def _block_trades(self, block: int) -> NDArray[np.void]:
        """Return the trades of one minute, kept: a live reader asks again."""
        if block not in self._recent:
            page = block // _PAGE
            if page not in self._pages:
                _make_room(self._pages, _KEPT_PAGES)
                self._pages[page] = self._maker.make(page * _PAGE, (page + 1) * _PAGE)
            _make_room(self._recent, _KEPT_BLOCKS)
            rows = self._pages[page].between(block, block + 1)
            self._recent[block] = self._fill(rows)
        return self._recent[block]

    def _fill(self, blocks: Blocks) -> NDArray[np.void]:
        market = self.market
        return fill_blocks(
            blocks,
            self._draws,
            market.price_tick,
            market.size_tick,
            market.activity.mean_lots,
        )


def _clip(start_ns: int, end_ns: int) -> tuple[int, int]:
    start_ns = min(max(start_ns, 0), FOREVER_S * NS)
    return start_ns, max(start_ns, min(end_ns, FOREVER_S * NS))


def _make_room(cache: dict[int, Any], size: int) -> None:
    """Drop the oldest entry of *cache* if it has *size*."""
    if len(cache) >= size:
        del cache[next(iter(cache))]
