"""The prices that an instrument may have: multiples of a tick that grows with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

from ._deribit_names import Instrument


class Grid:
    """See the module.

    Attributes:
      tick: the smallest.
    """

    def __init__(self, inst: Instrument) -> None:
        self._inst = inst
        self.tick = float(inst.tick)
        self._larger = [(float(above), float(tick)) for above, tick in inst.steps]

    def tick_at(self, price: float) -> float:
        """Return the step of prices there."""
        found = self.tick
        for above, tick in self._larger:
            if price >= above:
                found = tick
        return found

    def round(self, price: float, how: Callable[[float], int]) -> float:
        """Return a price on the grid; one that is there stays."""
        tick = self.tick_at(price)
        # whatever its binary form is
        return round(how(round(price / tick, 6)) * tick, 8)

    def up(self, price: float) -> float:
        """Return the next price above one on the grid."""
        exact = Decimal(repr(price))
        return float(exact + self._inst.tick_at(exact))

    def steps(self, price: float, sign: int, depth: int) -> Iterator[float]:
        """Yield prices behind one, so many less one; they are above 0."""
        exact = Decimal(repr(price))
        for _ in range(depth - 1):
            exact += sign * self._inst.tick_at(exact)
            if exact <= 0:
                return
            yield float(exact)
