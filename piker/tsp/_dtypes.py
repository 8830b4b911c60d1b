"""The one dtype of bars, and what a bar can't be."""

from __future__ import annotations

from collections.abc import Iterator
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

_FIRST_S: Final = -62_135_596_800  # the years that dates have, 1 to 9999
_LAST_S: Final = 253_402_300_799


def find_fault(bars: NDArray[np.void], period_s: int) -> str:
    """Return what is wrong with *bars*, of any order, in words; "" if nothing is.

    Args:
      bars: shape (n,).
      period_s: bar length, seconds.
    """
    if bars.dtype != OHLCV:
        return f"they are no OHLCV but {bars.dtype}"
    found = find_faults(bars, period_s)
    return found[0][0] if found else ""


def find_faults(
    bars: NDArray[np.void], period_s: int
) -> list[tuple[str, NDArray[np.bool_]]]:
    """Return all that is wrong with bars: in words of its first bar, and where.

    Args:
      bars: dtype OHLCV, shape (n,), of any order.
      period_s: bar length, seconds.

    Returns:
      A sentence and a mask of shape (n,) for each kind of fault that there is.
    """
    return [
        (what.format(f"of the bar at {bars['time'][is_off.argmax()]} s"), is_off)
        for what, is_off in _checks(bars, period_s)
        if is_off.any()
    ]


def _checks(
    bars: NDArray[np.void], period_s: int
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield what may be wrong, and where it is."""
    time_s = bars["time"]
    yield (
        "the time {} is beyond the years 1 to 9999",
        (time_s < _FIRST_S) | (time_s > _LAST_S),
    )
    yield f"the time {{}} is no whole {period_s} s", time_s % period_s != 0
    for name in ("open", "high", "low", "close", "volume"):
        yield f"{name} {{}} is no number", ~np.isfinite(bars[name])
    for name in ("volume", "count"):
        yield f"{name} {{}} is negative", bars[name] < 0
    highest = np.maximum(bars["open"], bars["close"])
    lowest = np.minimum(bars["open"], bars["close"])
    yield (
        "open or close {} lie beyond its high or low",
        (bars["high"] < highest) | (bars["low"] > lowest),
    )
