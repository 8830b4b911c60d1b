"""Frames that couldn't be read and may have been a market's trades.

note(n) --> is_due --take()--> n: look, if nothing came since --> done(found)
            after doubts that hid no trade, ever later
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import trio

from ._backoff import Backoff

#: After a doubt that hid no trade the next one waits so long, doubling.
_FIRST_S: Final = 1.0
_MOST_S: Final = 60.0


def _waits() -> Backoff:
    return Backoff(first_s=_FIRST_S, cap_s=_MOST_S)


@dataclass(eq=False)
class Doubts:
    """One doubt, for all that came since the last look.

    Attributes:
      at: how often the stream had told of trades when the newest came; -1 for none.
    """

    at: int = -1
    _from_s: float = 0.0
    _backoff: Backoff = field(default_factory=_waits)

    @property
    def is_due(self) -> bool:
        """Whether there is one, and it may be looked into now."""
        return self.at >= 0 and trio.current_time() >= self._from_s

    def take(self) -> int:
        """Return the doubt, which is one no more."""
        at, self.at = self.at, -1
        return at

    def done(self, *, found: bool) -> None:
        """Note whether a look at what the venue knows found a trade."""
        if found:
            self._backoff, self._from_s = _waits(), 0.0
        else:
            self._from_s = trio.current_time() + self._backoff.next_s()
