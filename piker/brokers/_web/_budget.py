"""A venue's rate limit, kept on our side.

spend(weight) --waits until it fits into the window--> a request may leave
give_back(weight) <-- it never reached the venue
pause(s) <-- the venue said Retry-After
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import trio


@dataclass
class RateBudget:
    """At most so much weight within any window of so many seconds.

    Stricter than a venue's fixed windows: what fits here fits there wherever its
    windows begin. First come, first served.

    Attributes:
      weight: what may be spent.
      window_s: within so long.
    """

    weight: float
    window_s: float
    _spent: deque[tuple[float, float]] = field(default_factory=deque)
    _in_window: float = 0.0
    _closed_until: float = 0.0
    _turn: trio.Lock = field(default_factory=trio.Lock)

    async def spend(self, weight: float = 1.0) -> None:
        """Wait until *weight* fits, and count it as spent.

        Who is cancelled while waiting has spent nothing; who is cancelled later has:
        the request may be on its way. A weight of 0 waits for the end of a pause, and
        behind nobody. Raises ValueError for more than ever fits.
        """
        if not weight:
            await trio.lowlevel.checkpoint()
            while self.paused_s:  # noqa: ASYNC110 - until a time
                await trio.sleep(self.paused_s)
            return
        if weight > self.weight:
            raise ValueError(
                f"a weight of {weight:g} is over the budget {self.weight:g}"
            )
        async with self._turn:
            while (wait_s := self._wait_s(weight)) > 0:  # noqa: ASYNC110 - until a time
                await trio.sleep(wait_s)
            self._spent.append((trio.current_time(), weight))
            self._in_window += weight

    def give_back(self, weight: float = 1.0) -> None:
        """Take back the newest spending of *weight*: the venue never heard of it."""
        for at in range(len(self._spent) - 1, -1, -1):
            if self._spent[at][1] == weight:
                del self._spent[at]
                self._in_window -= weight
                return

    def pause(self, seconds: float) -> None:
        """Let nothing through for so long."""
        until = trio.current_time() + seconds
        self._closed_until = max(self._closed_until, until)

    @property
    def paused_s(self) -> float:
        """Seconds for which nothing gets through, 0 if it does."""
        return max(0.0, self._closed_until - trio.current_time())

    def _wait_s(self, weight: float) -> float:
        now = trio.current_time()
        if now < self._closed_until:
            return self._closed_until - now
        while self._spent and self._spent[0][0] <= now - self.window_s:
            self._in_window -= self._spent.popleft()[1]
        if not self._spent:
            self._in_window = 0.0  # no sum of errors of rounding
        over = self._in_window + weight - self.weight
        if over <= 1e-9:
            return 0.0
        for spent_at, spent in self._spent:
            over -= spent
            if over <= 1e-9:
                return spent_at + self.window_s - now
        return self.window_s
