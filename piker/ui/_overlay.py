"""Further markets over the first one, by what each returned since the left edge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._m4 import Columns
from ._series import Floats, Series


@dataclass(frozen=True)
class Overlay:
    """Another market's closes.

    Attributes:
      series: its bars, of the same period as the chart's.
      color: number of its colour among those of the theme.
    """

    series: Series
    color: int = 0

    def line(self, main: Series, columns: Columns) -> Floats:
        """Return its closes as prices of the chart's market, shape (n,).

        At the first column that both have they are equal, from there on they differ by
        what one returned more than the other: so *columns* are all that are shown.

        Args:
          main: the chart's bars.
          columns: what of them is shown.

        Returns: ``nan`` where it has no bar yet.
        """
        out = np.full(len(columns), np.nan)
        if not len(columns) or not len(self.series):
            return out
        rows = np.clip(columns.last - main.start, 0, len(main) - 1)
        at = np.searchsorted(self.series.time, main.time[rows], "right") - 1
        have = at >= 0
        if not have.any():
            return out
        closes = self.series.close[at[have]]
        first = int(have.argmax())
        # without a price above zero a return means nothing
        if closes[0] > 0:
            out[have] = closes / closes[0] * columns.close[first]
        return out
