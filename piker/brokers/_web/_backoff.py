"""How long to wait before the next try."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Backoff:
    """Waits that double up to a cap, each shortened by chance.

    Attributes:
      first_s: the first wait.
      cap_s: no wait is longer.
      reset_after_s: what held so long counts as a success; the waits start anew.
      draw: gives a number in [0, 1).
    """

    first_s: float = 0.25
    cap_s: float = 30.0
    reset_after_s: float = 10.0
    draw: Callable[[], float] = random.random  # noqa: S311 - jitter
    _tries: int = 0

    def next_s(self, held_s: float = 0.0) -> float:
        """Return seconds to wait: half to all of this turn's wait.

        Args:
          held_s: how long the last try held before it failed.
        """
        if held_s >= self.reset_after_s:
            self._tries = 0
        full_s = min(self.cap_s, self.first_s * 2.0 ** min(self._tries, 60))
        self._tries += 1
        return full_s * (0.5 + 0.5 * self.draw())
