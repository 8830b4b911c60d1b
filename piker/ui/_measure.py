"""A measuring box over a chart: what happened between two places."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from ._series import Series
from ._ticks import written

_Place = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """Two corners of a box.

    Attributes:
      one: index and price where it was begun.
      other: index and price where it ends.
    """

    one: _Place
    other: _Place


def measured(series: Series, box: Box) -> list[str]:
    """Return what a box says, a line each: change, range, bars, extremes, sigma.

    Sigma is the standard deviation of the closes' returns from bar to bar.
    """
    begun, ended = box.one[1], box.other[1]
    digits = series.mkt.price_digits
    change = _signed(ended - begun, digits)
    if begun > 0:
        change += f"  ({_signed((ended / begun - 1) * 100, 2)} %)"
    lo, hi = sorted(round(index) - series.start for index, _ in (box.one, box.other))
    lo, hi = max(lo, 0), min(hi + 1, len(series))
    if hi <= lo:
        return [change]
    lasted = timedelta(seconds=(hi - lo) * series.period_s)
    high, low = float(series.high[lo:hi].max()), float(series.low[lo:hi].min())
    return [
        change,
        f"{hi - lo:,} bars, {lasted}",
        f"max {written(high, digits)}  min {written(low, digits)}",
        f"range {written(high - low, digits)}  sigma {_sigma(series, lo, hi)}",
        f"volume {series.volume[lo:hi].sum():,.6g}",
    ]


def _signed(value: float, digits: int) -> str:
    text = written(value, digits)
    return text if text.startswith("-") else f"+{text}"


def _sigma(series: Series, lo: int, hi: int) -> str:
    closes = series.close[lo:hi]
    if len(closes) < 3 or not np.all(closes > 0):
        return "-"
    return f"{float(np.diff(np.log(closes)).std()) * 100:.3f} %"
