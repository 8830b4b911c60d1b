"""Binance's limit by address: a weight for each request, a budget for each minute."""

from __future__ import annotations

import time
from typing import Final, NamedTuple

#: Requests that may be refused by 429 in a minute before the address is banned.
PATIENCE: Final = 10
BAN_S: Final = 120


class Verdict(NamedTuple):
    """What the limit says of a request.

    Attributes:
      used: weight of this minute so far.
      status: 200, 429 or 418.
      retry_after_s: 0 if it may pass.
    """

    used: int
    status: int = 200
    retry_after_s: int = 0


class Weights:
    """Counts weight by the minute, from the first request on.

    Args:
      budget: of a minute.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.used = 0
        self._start = 0.0
        self._refused = 0
        self._banned_until = 0.0

    def spend(self, weight: int, now: float | None = None) -> Verdict:
        """Count a request; *now* is in seconds of a monotonic clock."""
        now = time.monotonic() if now is None else now
        if now < self._banned_until:
            return Verdict(self.used, 418, round(self._banned_until - now) + 1)
        if not self._start or now - self._start >= 60:
            self._start, self.used, self._refused = now, 0, 0
        self.used += weight
        if self.used <= self.budget:
            return Verdict(self.used)
        self._refused += 1
        if self._refused > PATIENCE:
            self._banned_until = now + BAN_S
            return Verdict(self.used, 418, BAN_S)
        return Verdict(self.used, 429, int(60 - (now - self._start)) + 1)

    @property
    def words(self) -> str:
        """What is said of a request that is beyond it."""
        return (
            "Too much request weight used; current limit is"
            f" {self.budget} request weight per 1 MINUTE."
        )
