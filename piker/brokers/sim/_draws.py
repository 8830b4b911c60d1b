"""Randomness without state: draws that are a pure function of (key, stream, index).

Each draw is a hash of its index, so any set of indexes can be drawn in any order, all
at once, and gives the same values on every machine: hashing is integer arithmetic,
tables are rounded far above the last bit that libraries of mathematics differ in, and
:func:`exp` is made of multiplications and additions, which IEEE 754 fixes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from hashlib import blake2b
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from piker.tsp import Floats, Ints

Hashes = NDArray[np.uint64]

_TABLE_BITS = 12
#: How many values :func:`pick` has.
PICKS: Final = 1 << _TABLE_BITS
_ROUND = 2.0**20
#: Fixed-point one of integer tables, which may be summed over any window.
FIXED_ONE: Final = 4096


def _table(quantile: Callable[[float], float]) -> Floats:
    """Return *quantile* at the middles of equal steps of (0, 1), rounded."""
    return np.array(
        [round(quantile((i + 0.5) / PICKS) * _ROUND) / _ROUND for i in range(PICKS)]
    )


#: Standard normal.
NORMAL: Final = _table(NormalDist().inv_cdf)
#: The same in fixed point.
NORMAL_FIXED: Final = (NORMAL * FIXED_ONE).astype(np.int64)
#: Square of twice the maximum of a standard Brownian bridge.
EXTREME: Final = _table(lambda u: -2 * math.log(u))
#: Exponential waits in fixed point, never 0.
WAIT_FIXED: Final = (_table(lambda u: -math.log(u)) * FIXED_ONE).astype(np.int64) + 1
#: Heavy-tailed weights for sizes; a mean of about 3 times 256.
WEIGHT_FIXED: Final = (_table(lambda u: min(u**-0.7, 60.0)) * 256).astype(np.int64)


class Draws:
    """The hashes of one named source of randomness."""

    def __init__(self, seed: int, name: str) -> None:
        digest = blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
        self._key = int.from_bytes(digest, "little")
        self._stream_keys: dict[int, Hashes] = {}

    def hashes(self, stream: int, index: Ints) -> Hashes:
        """Return 64 random bits for each of *index*, independent for each *stream*."""
        key = self._stream_keys.get(stream)
        if key is None:
            word = (self._key + stream * 0x9E3779B97F4A7C15) % 2**64
            key = self._stream_keys[stream] = _mix(np.array([word], np.uint64))
        spread = index.view(np.uint64) * np.uint64(0xD1342543DE82EF95)
        return _mix(_mix(spread + key))


def rehash(hashes: Hashes) -> Hashes:
    """Return further random bits, where one hash an index is too few."""
    return _mix(hashes)


def pick(hashes: Hashes, shift: int) -> NDArray[np.intp]:
    """Return a table index, 0..PICKS - 1, made of the 12 bits from *shift* on."""
    return ((hashes >> np.uint64(shift)) & np.uint64(PICKS - 1)).astype(np.intp)


def exp(values: Floats) -> Floats:
    """Return e to the power of *values*, each within -8..8; the same bits anywhere."""
    small = values * (1 / 64)
    power = np.ones_like(small)
    for term in (6, 5, 4, 3, 2, 1):
        power = 1 + small * (1 / term) * power
    for _ in range(6):
        power *= power
    return power


def _mix(words: Hashes) -> Hashes:
    """Scramble each word (the finaliser of splitmix64)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
