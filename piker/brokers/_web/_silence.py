"""When a market that tells no trade is to be checked: ever more seldom.

hear() --5 s--> is_long: note_check() --10 s--> is_long: ... --60 s--> is_long: ...
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

import trio

_FIRST_S: Final = 5.0
_MOST_S: Final = 60.0


@dataclass(eq=False)
class Silence:
    """How long a market has told no trade.

    Attributes:
      heard: how often it has told some.
    """

    heard: int = 0
    _check_at: float = inf
    _wait_s: float = _FIRST_S

    @property
    def is_long(self) -> bool:
        """Whether it is to be checked."""
        return trio.current_time() >= self._check_at

    def begin(self) -> None:
        """Count from now on."""
        self._wait_s = _FIRST_S
        self._check_at = trio.current_time() + _FIRST_S

    def hear(self) -> None:
        """Note that it told trades."""
        self.heard += 1
        self.begin()

    def note_check(self) -> None:
        """Note that it is checked now."""
        self._wait_s = min(_MOST_S, 2.0 * self._wait_s)
        self._check_at = trio.current_time() + self._wait_s
