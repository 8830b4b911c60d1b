"""Whole steps of a tick in place of floats: what makes sums of volumes exact.

A price or a size is an integer number of steps of its market's tick. Integers add up
the same in any order; only the result becomes a float, the double nearest to the
decimal, so that it equals an independent sum of decimals.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

#: Up to here an integer times the tick's numerator is exact in a double.
MAX_EXACT = 2**53
_MAX_SUM = 2.0**62


def to_float(steps: Ints, tick: Decimal) -> Floats:
    """Return *steps* times *tick*, each the double nearest to the exact product.

    Args:
      steps: whole numbers, any shape; times the tick's numerator below 2**53.
      tick: positive, e.g. ``Decimal("0.001")``.
    """
    numerator, denominator = tick.as_integer_ratio()
    product = steps.astype(np.float64)
    if numerator != 1:
        product *= numerator
    return product / denominator


def to_steps(values: NDArray[Any], tick: Decimal) -> Ints:
    """Return the whole number of *tick* nearest to each of *values*.

    It undoes :func:`to_float`; a value that is no multiple is rounded, half to even.

    Args:
      values: floats, any shape, finite.
      tick: positive.

    Returns:
      int64; python's own integers where those, or their sum, would overflow.
    """
    numerator, denominator = tick.as_integer_ratio()
    steps = np.rint(values * float(denominator) / float(numerator))
    if np.abs(steps).sum() >= _MAX_SUM:
        return np.vectorize(int, otypes=[object])(steps)
    return steps.astype(np.int64)
