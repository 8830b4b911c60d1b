"""An indicator on a series: its lines, computed anew only where bars changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from piker.errors import UsageError

from ._m4 import Columns
from ._series import Change, Floats, Series
from ._view import Span
from .indicators import Bars, Wanted

_LEAST_ROOM: Final = 1024


@dataclass
class Study:
    """Lines beside a series, one value a bar.

    Attributes:
      wanted: what is computed.
      lines: by name, shape (n,) as the series; ``nan`` where nothing can be told.
      span: of its own strip.
      trouble: why there are no lines; empty if there are.
    """

    wanted: Wanted
    lines: dict[str, Floats] = field(default_factory=dict)
    span: Span = field(default_factory=Span)
    trouble: str = ""
    _start: int = 0
    _room: dict[str, Floats] = field(default_factory=dict)

    @property
    def has_strip(self) -> bool:
        """Whether it is drawn in a strip of its own."""
        return self.wanted.indicator.place == "own"

    def update(self, series: Series, change: Change | None = None) -> None:
        """Compute what changed; all of it without a change, or if older bars came.

        Raises: UsageError if the indicator fails.
        """
        row = self._first_to_compute(series, change)
        if not len(series):
            self.lines = {}
            return
        bars = bars_of(series)
        since = self.wanted.since(bars, row)
        fresh = self.wanted.lines(bars.cut(since, row))
        if row and fresh.keys() != self.lines.keys():
            self.update(series)  # a line of another name than before
            return
        for name, values in fresh.items():
            self._put(name, row, values[row - since :])
        self.lines = {name: self._room[name][: len(bars)] for name in fresh}
        self._start = series.start

    def keep_up(self, series: Series, change: Change | None = None) -> None:
        """Update, but for an indicator that fails: that draws nothing, and says why."""
        try:
            self.update(series, change)
            self.trouble = ""
        except UsageError as err:
            self.trouble, self.lines = str(err), {}

    def _first_to_compute(self, series: Series, change: Change | None) -> int:
        """Return the first row whose values aren't known, or others now."""
        if change is None or self._start != series.start:
            return 0
        row = min(change.first, change.end, change.now - 1) - series.start
        known = min((len(line) for line in self.lines.values()), default=0)
        return row if row <= known else 0

    def _put(self, name: str, row: int, values: Floats) -> None:
        """Put values in place of a line's from *row* on."""
        end = row + len(values)
        room = self._room.get(name, np.empty(0))
        if len(room) < end:
            grown = np.empty(end + max(end // 4, _LEAST_ROOM))
            grown[:row] = room[:row]
            room = self._room[name] = grown
        room[row:end] = values

    def at(self, columns: Columns, name: str) -> Floats:
        """Return a line's value at the last bar of each column; ``nan`` before it."""
        values = self.lines.get(name)
        if values is None or not len(values):
            return np.full(len(columns), np.nan)
        rows = columns.last - self._start
        found = values[np.clip(rows, 0, len(values) - 1)]
        found[rows < 0] = np.nan
        return found

    def fit(self, shown: tuple[Columns, ...]) -> None:
        """Fit its strip to what is shown."""
        if self.wanted.indicator.bounds is not None:
            self.span.lowest, self.span.highest = self.wanted.indicator.bounds
            return
        parts = [self.at(part, name) for part in shown for name in self.lines]
        values = np.concatenate([*parts, np.empty(0)])
        values = values[np.isfinite(values)]
        if len(values):
            self.span.fit(float(values.min()), float(values.max()))


def bars_of(series: Series) -> Bars:
    """Return a series' columns as indicators want them; no copy."""
    return Bars(
        series.period_s, series.time, series.open, series.high, series.low,
        series.close, series.volume, series.count,
    )  # fmt: skip
