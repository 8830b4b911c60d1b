"""What an indicator is, which there are, and how one is asked for in a word."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from piker.errors import UsageError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Bars:
    """Consecutive bars, an array a column, all of shape (n,).

    Attributes:
      period_s: bar length, seconds.
      time: epoch second of each bar's open, strictly ascending.
      open: first price, quote units; ``high``, ``low``, ``close`` likewise.
      volume: what was traded, base units.
      count: number of trades.
      first: row from which on values are wanted, of those before it any will do: for
        what would be slow to compute for all.
    """

    period_s: int
    time: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    count: Ints
    first: int = 0

    def __len__(self) -> int:
        return len(self.time)

    def cut(self, row: int, first: int) -> Bars:
        """Return the bars from *row* on, of which values are wanted from *first* on."""
        return Bars(
            self.period_s, self.time[row:], self.open[row:], self.high[row:],
            self.low[row:], self.close[row:], self.volume[row:], self.count[row:],
            first - row,
        )  # fmt: skip


Lines = dict[str, Floats]


def _from_the_first(_bars: Bars, _row: int, **_params: float) -> int:
    return 0


@dataclass(frozen=True)
class Indicator:
    """A way to compute lines from bars.

    Attributes:
      name: lower case, as it is asked for.
      compute: bars and parameters to named arrays, each of shape (n,), ``nan`` where
        nothing can be told yet. Pure, and quick: the newest bars are computed anew
        with each tick.
      place: drawn over the prices, or in a strip of its own.
      defaults: its parameters, in the order in which they are written.
      since: bars, a row and parameters to the row from which on *compute* must see
        bars to be right from that row on; from the first one by default.
      bounds: lowest and highest value of its strip, None: as it comes.
      says: a few words for menus.
    """

    name: str
    compute: Callable[..., Lines]
    place: Literal["prices", "own"] = "prices"
    defaults: Mapping[str, float] = field(default_factory=dict)
    since: Callable[..., int] = _from_the_first
    bounds: tuple[float, float] | None = None
    says: str = ""


@dataclass(frozen=True)
class Wanted:
    """An indicator with its parameters.

    Attributes:
      indicator: which.
      params: all of them, by name.
    """

    indicator: Indicator
    params: dict[str, float]

    @property
    def title(self) -> str:
        """What it is called, e.g. ``ema 20``."""
        return " ".join(
            [self.indicator.name, *(f"{value:g}" for value in self.params.values())]
        )

    def lines(self, bars: Bars) -> Lines:
        """Compute its lines; raises UsageError if it fails, or gives something else."""
        with self._mapped():
            found = self.indicator.compute(bars, **self.params)
            lines = {name: np.asarray(found[name], np.float64) for name in found}
        for name, values in lines.items():
            if values.shape != (len(bars),):
                raise UsageError(
                    f"the indicator {self.title!r} gave an array of shape"
                    f" {values.shape} as {name!r} of {len(bars)} bars: one value a bar"
                    " is wanted"
                )
        return lines

    def since(self, bars: Bars, row: int) -> int:
        """Return the row from which on bars are needed to be right from *row* on.

        Raises UsageError if it can't tell.
        """
        with self._mapped():
            return max(min(int(self.indicator.since(bars, row, **self.params)), row), 0)

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        """Make of whatever is wrong in an indicator something one can be told."""
        try:
            yield
        except Exception as err:
            raise UsageError(f"the indicator {self.title!r} failed: {err!r}") from err


_known: Final[dict[str, Indicator]] = {}


def register(indicator: Indicator) -> None:
    """Make an indicator known by its name; one of that name is replaced."""
    name = indicator.name
    if not name.isidentifier() or name != name.lower():
        raise UsageError(
            f"an indicator's name is a word in lower case like vwap, got {name!r}"
        )
    _known[name] = indicator


def known() -> dict[str, Indicator]:
    """Return the indicators there are, by name."""
    return dict(sorted(_known.items()))


def parse(text: str) -> Wanted:
    """Return what is asked for by a word like ``ema:20``.

    Raises UsageError for a name nobody knows, or parameters it hasn't got.
    """
    name, *values = text.strip().lower().split(":")
    if name not in _known:
        raise UsageError(
            f"there is no indicator {name!r}; there are {', '.join(sorted(_known))}"
        )
    indicator = _known[name]
    names = list(indicator.defaults)
    form = ":".join([name, *names])
    if len(values) > len(names):
        raise UsageError(f"an indicator {name} is written {form}, got {text!r}")
    params = dict(indicator.defaults)
    for key, value in zip(names, values, strict=False):
        try:
            params[key] = float(value)
        except ValueError:
            raise UsageError(
                f"{key} of {form} is a number, got {value!r}: e.g."
                f" {name}:{params[key]:g}"
            ) from None
        if not 0 < params[key] <= 100_000:
            raise UsageError(
                f"{key} of {form} is above 0 and at most 100000, got {value!r}"
            )
    return Wanted(indicator, params)
