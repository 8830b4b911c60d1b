"""What is odd about a market, told without flooding anybody.

sentence --once a minute a kind--> log, subscribers
what was odd at the opening --------> each who joins later, too
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from piker.log import get_logger
from piker.msgs import Warned

log = get_logger(__name__)

_WARN_EVERY_S: Final = 60.0


@dataclass(eq=False)
class Oddities:
    """The warnings of one market.

    Attributes:
      fqme: its name.
      tell: takes a warning for all who are there.
      no_history: why it has none, empty if it has.
    """

    fqme: str
    tell: Callable[[Warned], None]
    no_history: str = ""
    _is_opening: bool = True
    _at_opening: deque[Warned] = field(default_factory=lambda: deque(maxlen=8))
    _warned_at: dict[str, float] = field(default_factory=dict)

    def begin(self) -> None:
        """Note that the market is being opened."""
        self._is_opening = True
        self._at_opening.clear()

    def end_opening(self) -> None:
        """Note that it is live: what comes now passes."""
        self._is_opening = False

    def standing(self) -> list[Warned]:
        """Return what each who joins is to know."""
        history = [self._warned(self.no_history)] if self.no_history else []
        return [*history, *self._at_opening]

    def note(self, event: Warned) -> None:
        """Pass on what the backend warns of."""
        if self._is_opening:
            self._at_opening.append(event)
        self.tell(event)

    def warn(self, reason: str) -> None:
        """Tell of an oddity, at most once a minute each kind."""
        kind = reason.partition(" by ")[0]
        now = trio.current_time()
        if now - self._warned_at.get(kind, -_WARN_EVERY_S) < _WARN_EVERY_S:
            return
        self._warned_at[kind] = now
        log.warning("%s: %s", self.fqme, reason)
        event = self._warned(reason)
        if self._is_opening and reason != self.no_history:
            self._at_opening.append(event)
        self.tell(event)

    def _warned(self, reason: str) -> Warned:
        return Warned(fqmes=(self.fqme,), reason=reason, time_ns=time.time_ns())
