"""On which of a venue's connections a market is, where each takes only so many.

taken(symbol) --> number: that of who has the symbol already, else the first with room
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count


@dataclass(eq=False)
class _Seat:
    number: int
    users: int = 0


@dataclass(eq=False)
class Seats:
    """The markets that are on a venue's connections.

    Attributes:
      most: markets that a connection takes.
    """

    most: int
    _seats: dict[str, _Seat] = field(default_factory=dict)

    @contextmanager
    def taken(self, symbol: str) -> Iterator[int]:
        """Yield the number of the connection that *symbol* is on, from 0."""
        if symbol not in self._seats:
            self._seats[symbol] = _Seat(self._first_free())
        seat = self._seats[symbol]
        seat.users += 1
        try:
            yield seat.number
        finally:
            seat.users -= 1
            if not seat.users:
                del self._seats[symbol]

    def _first_free(self) -> int:
        used = Counter(seat.number for seat in self._seats.values())
        return next(number for number in count() if used[number] < self.most)
