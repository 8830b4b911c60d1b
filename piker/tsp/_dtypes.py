"""The one dtype of bars, and what a bar can't be."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

#: A bar: ``time`` is the epoch second (UTC) of its open, prices are in quote units,
#: ``volume`` in base units, ``count`` is the number of trades (0 in an empty bar).
OHLCV: Final = np.dtype(
    [
        ("time", "i8"),
        ("open", "f8"),
        ("high", "f8"),
        ("low", "f8"),
        ("close", "f8"),
        ("volume", "f8"),
        ("count", "i8"),
    ]
)


def find_fault(bars: NDArray[np.void], period_s: int) -> str:
    """Return what is wrong with *bars*, of any order, in words; "" if nothing is.

    Args:
      bars: shape (n,).
      period_s: bar length, seconds.
    """
    if bars.dtype != OHLCV:
        return f"they are no OHLCV but {bars.dtype}"
    time_s = bars["time"]
    if np.any(time_s % period_s):
        at = int(np.flatnonzero(time_s % period_s)[0])
        return f"a bar opens at {time_s[at]} s, not at a whole {period_s} s"
    for name in ("open", "high", "low", "close", "volume"):
        if not np.all(np.isfinite(bars[name])):
            at = int(np.flatnonzero(~np.isfinite(bars[name]))[0])
            return f"{name} of the bar at {time_s[at]} s is no number"
    for name in ("volume", "count"):
        if np.any(bars[name] < 0):
            at = int(np.flatnonzero(bars[name] < 0)[0])
            return f"{name} of the bar at {time_s[at]} s is negative"
    highest = np.maximum(bars["open"], bars["close"])
    lowest = np.minimum(bars["open"], bars["close"])
    is_off = (bars["high"] < highest) | (bars["low"] > lowest)
    if np.any(is_off):
        at = int(np.flatnonzero(is_off)[0])
        return f"open or close of the bar at {time_s[at]} s lie beyond its high or low"
    return ""
