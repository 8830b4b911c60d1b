"""What part of a series a chart shows, and how prices become pixels.

    wheel, drag, keys --> View --> index <-> x, price <-> y

Plain values and arithmetic: no toolkit. Sizes are in logical pixels, positions count
from the left and from the top.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ._series import Floats

#: Fewest and most bars that zooming shows.
LEAST_BARS: Final = 5.0
MOST_BARS: Final = 4_000_000.0
#: Room between the newest bar and the right edge, of the width.
_RIGHT_ROOM: Final = 0.06
#: Room above and below what is fitted, of the height.
_Y_ROOM: Final = 0.08
_LEAST_PX: Final = 1.0
#: Prices are shown up to here, and differences down to this part of them: beyond, a
#: double no longer tells neighbours apart.
_MOST_PRICE: Final = 1e18
_LEAST_PART: Final = 1e-9
#: Lowest price of a log scale.
_LEAST_LOG: Final = 1e-18
#: What lies farther off the picture is said to lie there: painters count in ints.
_FAR_PX: Final = 1e6


@dataclass
class Span:
    """Prices that a pane shows, from its bottom to its top.

    Attributes:
      lowest: price at the bottom, quote units.
      highest: at the top; above *lowest*.
      log: prices that differ by the same factor are equally far apart; counts only
        while all that are shown are above zero.
    """

    lowest: float = 0.0
    highest: float = 1.0
    log: bool = False

    @property
    def is_log(self) -> bool:
        """Whether prices that differ by the same factor are equally far apart now."""
        return self.log and self.lowest > 0

    def fractions(self, prices: Floats) -> Floats:
        """Return how far up prices lie, 0 at the bottom, 1 at the top."""
        if self.is_log:
            with np.errstate(divide="ignore"):
                prices = np.log(np.maximum(prices, 0.0))
        low, high = self._ends()
        return (prices - low) / (high - low)

    def fraction(self, price: float) -> float:
        """Return how far up a price lies; ``-inf`` of one a log scale can't show."""
        if self.is_log:
            if price <= 0:
                return -math.inf
            price = math.log(price)
        low, high = self._ends()
        return (price - low) / (high - low)

    def price(self, fraction: float) -> float:
        """Return the price so far up."""
        low, high = self._ends()
        value = low + fraction * (high - low)
        return math.exp(min(value, 700.0)) if self.is_log else value

    def _ends(self) -> tuple[float, float]:
        if self.is_log:
            return math.log(self.lowest), math.log(self.highest)
        return self.lowest, self.highest

    def fit(self, lowest: float, highest: float, least: float = 0.0) -> None:
        """Show all of a range of prices, with some room.

        Args:
          lowest: of them.
          highest: of them.
          least: price difference that is shown at least, e.g. some ticks.
        """
        if not (math.isfinite(lowest) and math.isfinite(highest)):
            return
        if self.log and lowest >= _LEAST_LOG:
            middle = math.sqrt(lowest) * math.sqrt(highest)
            thin = math.exp(min(2 * math.asinh(least / 2 / middle), 700.0))
            room = max(highest / lowest, thin, 1 + _LEAST_PART) ** (0.5 + _Y_ROOM)
            if middle / room >= _LEAST_LOG:
                self._show(middle / room, middle * room)
                return
        least = max(least, max(abs(lowest), abs(highest)) * _LEAST_PART, 1e-12)
        surplus = max(least - (highest - lowest), 0.0) / 2
        room = (highest - lowest + 2 * surplus) * _Y_ROOM + surplus
        self._show(lowest - room, highest + room)

    def zoom(self, factor: float) -> None:
        """Show *factor* times as much, around the middle."""
        self._move((1 - factor) / 2, (1 + factor) / 2)

    def pan(self, fraction: float) -> None:
        """Move what is shown down by a part of the height."""
        self._move(fraction, 1 + fraction)

    def _move(self, bottom: float, top: float) -> None:
        lowest = self.price(bottom)
        # what is shown by factors stays so, however far one zooms out
        if lowest >= _LEAST_LOG or not self.is_log:
            self._show(lowest, self.price(top))

    def _show(self, lowest: float, highest: float) -> None:
        """Show a range if it can be: of numbers, upright, and not too thin."""
        biggest = max(abs(lowest), abs(highest))
        is_sane = lowest < highest and biggest <= _MOST_PRICE
        if is_sane and highest - lowest >= biggest * _LEAST_PART / 2:
            self.lowest, self.highest = lowest, highest


@dataclass
class View:
    """The bars that are shown, and the pixels they lie on.

    Attributes:
      left: index at the left edge; bars lie around their index, from -0.5 to +0.5.
      right: index at the right edge.
      width: of the picture, pixels.
      height: of the pane of prices, pixels.
      span: prices shown there.
      fits: prices are fitted to what is shown; else they stay as they were set by hand.
    """

    left: float = 0.0
    right: float = 150.0
    width: float = 800.0
    height: float = 400.0
    span: Span = field(default_factory=Span)
    fits: bool = True

    # -- pixels -------------------------------------------------------------------

    @property
    def bar_px(self) -> float:
        """Pixels a bar is wide."""
        return self.width / (self.right - self.left)

    def x(self, index: float) -> float:
        """Return the pixel of an index."""
        return (index - self.left) * self.bar_px

    def xs(self, indexes: Floats) -> Floats:
        """Return the pixels of indexes."""
        return (indexes - self.left) * self.bar_px

    def index(self, x: float) -> float:
        """Return the index at a pixel."""
        return self.left + x / self.bar_px

    def y(self, price: float) -> float:
        """Return the pixel of a price, from the top; of one that is far off about."""
        y = (1 - self.span.fraction(price)) * self.height
        return min(max(y, -_FAR_PX), _FAR_PX)

    def ys(self, prices: Floats) -> Floats:
        """Return the pixels of prices; of what is far off about, of ``nan`` such."""
        ys = (1 - self.span.fractions(prices)) * self.height
        return np.clip(ys, -_FAR_PX, _FAR_PX)

    def price(self, y: float) -> float:
        """Return the price at a pixel."""
        return self.span.price(1 - y / max(self.height, 1.0))

    def bars(self) -> tuple[int, int]:
        """Return the first index that is shown, in part at least, and the one after."""
        return math.floor(self.left + 0.5), math.ceil(self.right + 0.5)

    # -- changes ------------------------------------------------------------------

    def resize(self, width: float, height: float) -> None:
        """Take another size; a bar stays as wide, the right edge where it is."""
        if self.width > _LEAST_PX and width > _LEAST_PX:
            self.left = self.right - _bounded(width / self.bar_px)
        self.width, self.height = max(width, _LEAST_PX), max(height, _LEAST_PX)

    def show(self, bars: float, end: int) -> None:
        """Show so many bars, the newest at the right, with room beyond it."""
        shown = _bounded(bars * (1 + _RIGHT_ROOM))
        self.right = end - 0.5 + shown * _RIGHT_ROOM / (1 + _RIGHT_ROOM)
        self.left = self.right - shown

    def reset(self, end: int, bar_px: float = 6.0) -> None:
        """Show the newest bars, as wide as they are read best, prices fitted."""
        self.fits = True
        self.show(self.width / bar_px / (1 + _RIGHT_ROOM), end)

    def zoom(self, factor: float, x: float | None = None) -> None:
        """Show *factor* times as many bars, the one at a pixel where it is.

        Args:
          factor: below 1 to see more closely.
          x: by default the right edge.
        """
        shown = self.right - self.left
        wanted = _bounded(shown * factor)
        at = 1.0 if x is None else x / self.width
        pivot = self.left + at * shown
        self.left, self.right = pivot - at * wanted, pivot + (1 - at) * wanted

    def zoom_at_end(self, factor: float, end: int) -> None:
        """Zoom around the newest bar if that is shown, else around the right edge."""
        x = self.x(end - 1)
        self.zoom(factor, x if 0 <= x <= self.width else None)

    def pan(self, dx: float, dy: float, start: int, end: int) -> None:
        """Move what is shown by pixels, as a drag does.

        Args:
          dx: to the right.
          dy: downwards; counts only where prices aren't fitted.
          start: index of the oldest bar there is; some bars stay in sight.
          end: index after the newest.
        """
        shown = self.right - self.left
        shift = -dx / self.bar_px
        keep = min(shown / 2, LEAST_BARS)
        # who looks at nothing sees no way back
        left = min(max(self.left + shift, start + keep - shown), end - keep)
        self.left, self.right = left, left + shown
        if not self.fits:
            self.span.pan(dy / max(self.height, 1.0))

    def follow(self, old_end: int, new_end: int) -> bool:
        """Go with newer bars if the newest was in sight; return whether it was."""
        in_sight = self.left < old_end - 0.5 < self.right
        if in_sight:
            self.left += new_end - old_end
            self.right += new_end - old_end
        return in_sight


def _bounded(bars: float) -> float:
    """Return as many bars as can be shown."""
    return min(max(bars, LEAST_BARS), MOST_BARS)
