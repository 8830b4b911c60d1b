"""How fast a venue is read: one that floods us gets no more of the processor."""

from __future__ import annotations

import trio


class Pace:
    """Reads at most so many messages a second, over a window; what is less is free."""

    def __init__(self, most: int, window_s: float) -> None:
        """Let *most* messages through in each window of so many seconds."""
        self._most, self._window_s = most, window_s
        self._began, self._taken = trio.current_time(), 0

    async def took(self, count: int) -> None:
        """Note that so many were read; wait if that was too fast.

        What isn't read meanwhile waits in the socket, and then at the venue.
        """
        self._taken += count
        if self._taken < self._most:
            return
        # long over, where they came in their time
        await trio.sleep_until(self._began + self._window_s * self._taken / self._most)
        self._began, self._taken = trio.current_time(), 0
