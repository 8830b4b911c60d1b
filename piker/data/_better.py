"""Which of two bars of one time counts: a venue's, or the one that is stored.

A stored one with trades does: it may be an import, and better. But for the newest
before a hole, or before nothing more: who stored those may have been stopped too soon.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ._shm import MUTABLE
from ._venue_bars import Bars


def replaces(
    bars: Bars, known: Bars, period_s: int, end_s: int | None = None
) -> npt.NDArray[np.bool_]:
    """Tell which of a venue's bars count where *known* ones are stored.

    Args:
      bars: dtype OHLCV, shape (n,).
      known: likewise, ascending.
      period_s: of both.
      end_s: up to where *known* is all that is stored; None: no newer one is.

    Returns:
      Shape (n,): whether it isn't stored, or what is has no trade or may lack some.
    """
    if not len(known):
        return np.ones(len(bars), np.bool_)
    at = np.minimum(np.searchsorted(known["time"], bars["time"]), len(known) - 1)
    is_open = (known["count"] == 0) | _may_lack_trades(known["time"], period_s, end_s)
    counts: npt.NDArray[np.bool_] = known["time"][at] != bars["time"]
    return counts | (is_open[at] & ~is_worse(bars, known))


def _may_lack_trades(
    time_s: npt.NDArray[np.int64], period_s: int, end_s: int | None
) -> npt.NDArray[np.bool_]:
    """Tell which stored bars are the newest before a hole, or before nothing more."""
    after = np.append(time_s[1:], end_s if end_s is not None else 1 << 62)
    lasts = np.flatnonzero(after - time_s > MUTABLE * period_s)
    coming = np.searchsorted(lasts, np.arange(len(time_s)))
    lasts = np.append(lasts, 1 << 62)
    is_near: npt.NDArray[np.bool_] = lasts[coming] - np.arange(len(time_s)) < MUTABLE
    return is_near


def is_worse(bars: Bars, known: Bars) -> npt.NDArray[np.bool_]:
    """Tell which of *bars* say that nothing traded where *known* knows better.

    Both are OHLCV, *known* ascending; of shape (n,) as *bars*.
    """
    if not len(known):
        return np.zeros(len(bars), np.bool_)
    at = np.minimum(np.searchsorted(known["time"], bars["time"]), len(known) - 1)
    same = known["time"][at] == bars["time"]
    worse: npt.NDArray[np.bool_] = (
        same & (bars["count"] == 0) & (known["count"][at] > 0)
    )
    return worse
