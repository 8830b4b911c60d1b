"""Markets that a connection serves badly: they are asked for again, or it is given up.

judge(symbols, up) --> how long each rests before it is asked for again
                       None: another connection is worth what it costs the others
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from math import inf
from typing import Final

import trio

from ._backoff import Backoff

#: Markets that fail within so long of each other fail together.
_TOGETHER_S: Final = 15.0
#: For such, or for one that failed before, the connection is given up so often...
_PAUSE_S: Final = 60.0
#: ...and for one and the same market so often: what that doesn't cure, it never will.
_ONCE_IN_S: Final = 600.0
#: What held so long after a rest was cured by it.
_HELD_S: Final = 120.0


@dataclass(eq=False)
class Trust:
    """What was seen of a venue's markets, on all its connections.

    Attributes:
      rest_max_s: the longest rest.
    """

    rest_max_s: float
    _failed_at: dict[str, float] = field(default_factory=dict)
    _blamed_at: dict[str, float] = field(default_factory=dict)
    _rests: dict[str, Backoff] = field(default_factory=dict)
    _lost_at: float = -inf

    def judge(self, symbols: Collection[str], up: set[str]) -> dict[str, float] | None:
        """Return seconds by symbol, or None if the connection is to be given up.

        That costs nothing where no other market is up.

        Args:
          symbols: that are served badly; at least one.
          up: that are subscribed to.
        """
        now = trio.current_time()
        ago_s = {one: now - self._failed_at.get(one, -inf) for one in symbols}
        self._failed_at.update(dict.fromkeys(symbols, now))
        bad = self._failed_since(now - _TOGETHER_S)
        if up <= bad:
            return None
        is_worth_it = len(bad) > 1 or min(ago_s.values()) < _ONCE_IN_S
        if is_worth_it and self._may_lose(symbols, now):
            self._lost_at = now
            blamed = self._failed_since(now - _PAUSE_S)
            self._blamed_at.update(dict.fromkeys(blamed, now))
            return None
        return {one: self._rest_s(one, ago_s[one]) for one in symbols}

    def _failed_since(self, since: float) -> set[str]:
        return {one for one, at in self._failed_at.items() if at > since}

    def _may_lose(self, symbols: Collection[str], now: float) -> bool:
        """Whether the others may be cut off for these."""
        blamed = [self._blamed_at.get(one, -inf) for one in symbols]
        return now - self._lost_at >= _PAUSE_S and now - min(blamed) >= _ONCE_IN_S

    def _rest_s(self, symbol: str, held_s: float) -> float:
        if symbol not in self._rests:
            self._rests[symbol] = Backoff(cap_s=self.rest_max_s, reset_after_s=_HELD_S)
        return self._rests[symbol].next_s(held_s)
