"""Where a path stands at the minute boundaries of any window, without its past.

    anchors, 2 years apart, independent
      '-> midpoints, 20 times halved: mean of both neighbours plus a normal draw
            '-> log price and log volatility at each minute

A point depends on its own chain of ancestors only, so a window costs what it shows
plus 20 small steps, and two windows agree where they overlap. The volatility that
scales a displacement is itself refined on the way down: it clusters on every scale
from half an hour to three months.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from piker.tsp import Floats

from ._draws import NORMAL, Draws, exp, pick
from ._shape import DAY_BLOCKS, Path, day_profile

_TOP = 20  # anchors lie 2**20 minutes apart
_STREAM_ANCHORS = 1_000  # the streams below it are the levels'
_VOL_LEVELS = range(4, 18)  # half an hour to three months
_VOL_STEP = 0.13
_DAY_LEVEL = 9  # steps shorter than this feel the time of day


@dataclass
class _Nodes:
    """Points of one level: *first* is the index of the first one."""

    first: int
    log_price: Floats
    log_vol: Floats


class Levels:
    """Log price and log volatility of one path at minute boundaries."""

    def __init__(self, seed: int, path: Path) -> None:
        self._draws = Draws(seed, path.name)
        self._level_vol = path.level_vol
        self._block_vol = path.day_vol / math.sqrt(DAY_BLOCKS)
        self._day_vol = day_profile(path.calendar).vol

    def between(self, first_block: int, last_block: int) -> tuple[Floats, Floats]:
        """Return log price and log volatility at *first_block* to *last_block*.

        Args:
          first_block: minutes since the epoch, not negative.
          last_block: inclusive, >= *first_block*.

        Returns:
          Two arrays of shape (last_block - first_block + 1,); both hover around 0.
        """
        nodes = self._anchors(first_block, last_block)
        for level in range(_TOP - 1, -1, -1):
            nodes = self._halve(nodes, level, first_block, last_block)
        window = slice(first_block - nodes.first, last_block - nodes.first + 1)
        return nodes.log_price[window], nodes.log_vol[window]

    def _anchors(self, first_block: int, last_block: int) -> _Nodes:
        first = first_block >> _TOP
        last = max(-(-last_block >> _TOP), first + 1)
        hashes = self._draws.hashes(_STREAM_ANCHORS, np.arange(first, last + 1))
        log_price = NORMAL[pick(hashes, 0)] * self._level_vol
        return _Nodes(first, log_price, np.zeros(len(log_price)))

    def _halve(
        self, coarse: _Nodes, level: int, first_block: int, last_block: int
    ) -> _Nodes:
        """Put a point between each two of *coarse*, as far as the window needs it."""
        size = 2 * len(coarse.log_price) - 1
        start = coarse.first * 2
        low = max(0, (first_block >> level) - start - 1) & ~1
        high = min(size, ((-(-last_block >> level)) - start + 2) | 1)
        keep = slice(low // 2, high // 2 + 1)
        old_price, old_vol = coarse.log_price[keep], coarse.log_vol[keep]
        log_price, log_vol = np.empty(high - low), np.empty(high - low)
        first = start + low
        index = np.arange(first, first + len(log_vol))
        hashes = self._draws.hashes(level, index)

        log_vol[::2] = old_vol
        log_vol[1::2] = (old_vol[:-1] + old_vol[1:]) * 0.5
        if level in _VOL_LEVELS:
            log_vol += NORMAL[pick(hashes, 24)] * _VOL_STEP
        vol = exp(log_vol[1::2])
        if level < _DAY_LEVEL:
            vol *= self._day_vol[(index[1::2] << level) % DAY_BLOCKS]
        deviation = self._block_vol * math.sqrt(2.0**level / 2)
        log_price[::2] = old_price
        log_price[1::2] = (old_price[:-1] + old_price[1:]) * 0.5 + NORMAL[
            pick(hashes[1::2], 0)
        ] * (deviation * vol)
        return _Nodes(first, log_price, log_vol)
