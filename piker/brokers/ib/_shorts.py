"""When the bars are asked for that IB's ticks left trades out of; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from piker.msgs import NS

from ._decode import Tape

#: At once, then ever more seldom: a busy market is never told whole.
EVERY_S: Final = (0.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0)


@dataclass
class Shorts:
    """What is to be asked for of one market."""

    _from_ns: int = 0
    _asked_at: float = float("-inf")
    _times: int = 0

    def take(self, tape: Tape, now: float) -> tuple[int, int] | None:
        """Return a span of time, ns, whose bars are to be asked for now, if any is.

        Args:
          tape: of the market; its count is taken.
          now: seconds of a clock that never jumps.
        """
        if tape.short and not self._from_ns:
            self._from_ns = max(tape.ids.second * NS, 1)
        tape.short = 0
        if not self._from_ns or now < self._asked_at + EVERY_S[self._times]:
            return None
        is_rare = now - self._asked_at > EVERY_S[-1]
        self._times = 1 if is_rare else min(self._times + 1, len(EVERY_S) - 1)
        span = self._from_ns, max(self._from_ns, tape.ids.second * NS)
        self._from_ns, self._asked_at = 0, now
        return span
