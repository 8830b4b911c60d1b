"""Many bars on few pixels, and none of their extremes lost.

    k bars of a column --> open of the first, highest, lowest, close of the last

Columns are counted from index 0 of the series, not from the left edge of the picture:
so they stay as they are while one pans and while new bars come, and nothing shimmers.
The idea, and why first, last, minimum and maximum suffice for any line that is drawn
with a pixel a column: Jugel et al., "M4: A Visualization-Oriented Time Series Data
Aggregation", VLDB 2014.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ._series import Floats, Ints, Series


@dataclass(frozen=True)
class Columns:
    """What is to be drawn, an array for each part, all of shape (n,).

    Attributes:
      bars: of the series in each column, the last one maybe fewer.
      index: of the first bar of each.
      open: its open; quote units, as the others.
      high: highest price of the column.
      low: lowest.
      close: of its last bar.
      volume: sum of what was traded, base units.
    """

    bars: int
    index: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    def __len__(self) -> int:
        return len(self.index)

    @property
    def middle(self) -> Floats:
        """Where each column's middle lies, in indexes; a bar lies around its own."""
        return np.asarray(self.index + (self.bars - 1) / 2, np.float64)

    @property
    def last(self) -> Ints:
        """Index of the last bar of each; of the newest maybe one that will come."""
        return (self.index // self.bars + 1) * self.bars - 1

    def newest(self) -> Columns:
        """Return the newest column, alone; none of none."""
        names = ("index", "open", "high", "low", "close", "volume")
        return Columns(self.bars, *(getattr(self, name)[-1:] for name in names))

    def within(self) -> tuple[float, float] | None:
        """Return the lowest and the highest price, None if there is no column."""
        if not len(self):
            return None
        return float(self.low.min()), float(self.high.max())


def bars_a_column(bars: float, width: float) -> int:
    """Return how many bars share a column, so that there is one a pixel at most."""
    # a hair more is no other zoom: what is panned is as wide up to rounding
    return max(1, math.ceil(bars / max(width, 1.0) * (1 - 1e-9)))


def joined(one: Columns, other: Columns) -> Columns:
    """Return columns of as many bars, one after the other."""
    return Columns(
        one.bars,
        *(
            np.concatenate((getattr(one, name), getattr(other, name)))
            for name in ("index", "open", "high", "low", "close", "volume")
        ),
    )


def group(series: Series, first: int, end: int, k: int) -> Columns:
    """Return the bars [*first*, *end*) in columns of *k*.

    The first column may begin before *first*, the last may end behind *end*.
    """
    # whole columns, but for what the series hasn't got
    lo = max(first // k * k, series.start)
    hi = min(-(-end // k) * k, series.end)
    if hi <= lo:
        nothing = np.empty(0)
        return Columns(k, np.empty(0, np.int64), *[nothing] * 5)
    rows = slice(lo - series.start, hi - series.start)
    if k == 1:
        return Columns(
            1,
            np.arange(lo, hi),
            *(
                column[rows].copy()
                for column in (
                    series.open, series.high, series.low, series.close, series.volume
                )
            ),
        )  # fmt: skip
    return _grouped(series, rows, lo, k)


def _grouped(series: Series, rows: slice, lo: int, k: int) -> Columns:
    """Return columns of *k* bars of some rows, the first of which has index *lo*."""
    n = rows.stop - rows.start
    head = min(-lo % k, n)  # of a column whose beginning the series hasn't got
    cuts = np.arange(head, n, k)
    first = np.concatenate(([0], cuts)) if head else cuts
    last = np.append(first[1:], n) - 1
    return Columns(
        k,
        lo + first,
        series.open[rows][first],
        _reduced(np.maximum, series.high[rows], head, k, first),
        _reduced(np.minimum, series.low[rows], head, k, first),
        series.close[rows][last],
        _reduced(np.add, series.volume[rows], head, k, first),
    )


def _reduced(how: np.ufunc, values: Floats, head: int, k: int, first: Ints) -> Floats:
    """Return one value a column; whole ones by rows of a matrix, which is quicker."""
    whole = (len(values) - head) // k
    upto = head + whole * k
    out = np.empty(len(first))
    at = 0
    if head:
        out[0], at = how.reduce(values[:head]), 1
    out[at : at + whole] = how.reduce(values[head:upto].reshape(whole, k), axis=1)
    if upto < len(values):
        out[-1] = how.reduce(values[upto:])
    return out
