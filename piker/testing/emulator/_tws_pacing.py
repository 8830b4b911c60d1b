"""How often TWS may be asked.

By https://interactivebrokers.github.io/tws-api/historical_limitations.html: requests
for bars of 30 seconds or less, and for ticks, are a violation if the same one came
within 15 seconds; if it is the sixth for one contract, exchange and kind of tick within
two; if it is one of more than 60 within ten minutes, of which those for BID_ASK count
twice. No more than 50 may be open.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import msgspec

from ._fault_base import Count, Seconds
from ._tws_fields import Wrong

_TEN_MINUTES_S: Final = 600.0
_BURST_S: Final = 2.0
_SMALL_S: Final = 30


class Limits(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What TWS puts up with; tests make it less, or more.

    Attributes:
      history: requests for history in ten minutes.
      burst: of one contract and kind in two seconds, the first that is too many.
      identical_s: between two that are the same.
      open_history: requests for history that wait for their answer at once.
      lines: contracts whose market data is told to one client.
      tick_by_tick: subscriptions of single ticks.
      messages: a second, of one client.
      symbols_s: between two requests for matching symbols.
    """

    history: Count = 60
    burst: Count = 6
    identical_s: Seconds = 15.0
    open_history: Count = 50
    lines: Count = 100
    tick_by_tick: Count = 5
    messages: Count = 50
    symbols_s: Seconds = 1.0


@dataclass
class Pacing:
    """Counts requests for history, of all clients: they are one user's.

    Attributes:
      limits: in force.
    """

    limits: Limits
    _all: deque[float] = field(default_factory=deque)
    _kinds: dict[tuple[int, str, str], deque[float]] = field(default_factory=dict)
    _same: dict[tuple[str, ...], float] = field(default_factory=dict)

    def count(
        self, now: float, period_s: int, kind: tuple[int, str, str],
        request: tuple[str, ...],
    ) -> None:  # fmt: skip
        """Count a request for history.

        Args:
          now: seconds of a monotonic clock.
          period_s: length of its bars, 0 of ticks.
          kind: contract, exchange and what is to be shown.
          request: all of it but its id.

        Raises: Wrong if it is one too many.
        """
        if period_s > _SMALL_S:
            return
        limits = self.limits
        times = 2 if kind[2] == "BID_ASK" else 1
        recent = self._kinds.setdefault(kind, deque())
        _forget(self._all, now - _TEN_MINUTES_S)
        _forget(recent, now - _BURST_S)
        since = now - self._same.get(request, now - limits.identical_s)
        self._all.extend([now] * times)
        recent.append(now)
        self._same[request] = now
        if (
            len(self._all) > limits.history
            or len(recent) >= limits.burst
            or since < limits.identical_s
        ):
            raise Wrong(
                162,
                "Historical Market Data Service error message:Historical data request"
                " pacing violation",
            )


#: What counts as a second: what a client sends in one may arrive closer together.
_SECOND_S: Final = 0.8


@dataclass
class Rate:
    """Counts messages of one client.

    Attributes:
      strikes: how often they were too many in a second.
    """

    strikes: int = 0
    _recent: deque[float] = field(default_factory=deque)

    def is_over(self, now: float, most: int) -> bool:
        """Count a message; tell whether it is one too many."""
        _forget(self._recent, now - _SECOND_S)
        self._recent.append(now)
        if len(self._recent) <= most:
            return False
        self._recent.clear()
        self.strikes += 1
        return True


def _forget(times: deque[float], until: float) -> None:
    while times and times[0] <= until:
        times.popleft()
