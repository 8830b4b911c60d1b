"""How many orders may leave in a second."""

from __future__ import annotations

from typing import Final

#: Seconds' worth of orders that may leave at once.
BURST_S: Final = 2


class RateLimit:
    """A bucket of tokens that fills by the second; one order takes one out.

    It asks no clock: times are seconds of one that only goes forward.
    """

    def __init__(self, per_s: float, now_s: float) -> None:
        """Start full; *per_s* of 0 is no limit."""
        self._per_s = per_s
        self._most = max(per_s * BURST_S, 1.0)
        self._tokens, self._at_s = self._most, now_s

    def wait_s(self, now_s: float) -> float:
        """Return seconds until one may leave, 0 if it may now."""
        if not self._per_s:
            return 0.0
        return max(0.0, (1.0 - self._filled(now_s)) / self._per_s)

    def take(self, now_s: float) -> None:
        """Note that one leaves."""
        self._tokens, self._at_s = self._filled(now_s) - 1.0, max(now_s, self._at_s)

    def _filled(self, now_s: float) -> float:
        """Return the tokens there are; below 0 of what left without asking."""
        passed_s = max(0.0, now_s - self._at_s)
        return min(self._most, self._tokens + passed_s * self._per_s)
