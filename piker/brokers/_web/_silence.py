"""When a market that tells no trade is to be checked: ever more seldom.

hear() --5 s--> is_long: note_check() --10 s--> is_long: ... --60 s--> is_long: ...

A market that is busy as a rule has turns of its own the first time.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

import trio

from ._budget import RateBudget
from ._dialect import Dialect

_FIRST_S: Final = 5.0
_MOST_S: Final = 60.0
#: A market that tells trades more often is a busy one...
_BUSY_S: Final = 1.0
#: ...which none is until it has shown so for a while: some forty times.
_UNKNOWN_S: Final = 10.0
_MEAN_OF: Final = 16


@dataclass(eq=False)
class Silence:
    """How long a market has told no trade.

    Attributes:
      heard: how often it has told some.
    """

    heard: int = 0
    _check_at: float = inf
    _wait_s: float = _FIRST_S
    _heard_at: float = -inf
    _mean_s: float = _UNKNOWN_S

    @property
    def is_long(self) -> bool:
        """Whether it is to be checked."""
        return trio.current_time() >= self._check_at

    def turns(self, dialect: Dialect) -> RateBudget:
        """Return the turns it is checked in: a busy one that wasn't yet goes first."""
        is_sudden = self._mean_s < _BUSY_S and self._wait_s == _FIRST_S
        return dialect.urgent_checks if is_sudden else dialect.checks

    def begin(self) -> None:
        """Count from now on."""
        self._wait_s = _FIRST_S
        self._check_at = trio.current_time() + _FIRST_S

    def hear(self) -> None:
        """Note that it told trades."""
        self.heard += 1
        now = trio.current_time()
        self._mean_s += (min(now - self._heard_at, _MOST_S) - self._mean_s) / _MEAN_OF
        self._heard_at = now
        self.begin()

    def note_check(self) -> None:
        """Note that it is checked now."""
        self._wait_s = min(_MOST_S, 2.0 * self._wait_s)
        self._check_at = trio.current_time() + self._wait_s
