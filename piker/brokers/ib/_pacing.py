"""How often IB may be asked for the past: its own rules, kept on our side; pure.

https://interactivebrokers.github.io/tws-api/historical_limitations.html, for bars of
30 seconds or less and for past trades:

* no request like another within 15 seconds;
* less than six for one contract, exchange and kind of data within two seconds;
* no more than 60 within ten minutes; one for bids and asks counts twice.

Bars of a minute and more aren't limited so, but for what is asked at one time. Nothing
here waits or looks at a clock: who asks is told how long to wait.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

#: Each a bit more than IB's: one request may be longer on its way than the next.
WINDOW_S: Final = 601.0
IDENTICAL_S: Final = 15.5
BURST_S: Final = 2.5
BURST_MAX: Final = 5


class Ask(NamedTuple):
    """A request for the past.

    Attributes:
      con_id, exchange, what: of which contract, where, and what to show.
      detail: what else tells it from others: end, duration, bar size.
      is_small: for bars of 30 s or less, or for trades.
    """

    con_id: int
    exchange: str
    what: str
    detail: tuple[str, ...]
    is_small: bool = True

    @property
    def weight(self) -> int:
        """How often it counts."""
        return 2 if self.what == "BID_ASK" else 1

    @property
    def place(self) -> tuple[int, str, str]:
        """Contract, exchange and kind of data."""
        return self.con_id, self.exchange, self.what


@dataclass
class HistoryPace:
    """What was asked lately, and what may be asked now.

    Times are seconds of one clock that never jumps.

    Attributes:
      small_max: requests within ten minutes.
    """

    small_max: int = 55
    _asked: deque[tuple[float, Ask]] = field(default_factory=deque)
    _paused_until: float = float("-inf")

    def wait_s(self, ask: Ask, now: float) -> float:
        """Return for how long *ask* is to wait, 0 if it may go now."""
        wait_s = self._paused_until - now
        if ask.is_small:
            self._forget(now)
            waits = (self._identical_s(ask), self._burst_s(ask), self._window_s(ask))
            wait_s = max(wait_s, max(waits) - now)
        return max(0.0, wait_s)

    def note(self, ask: Ask, now: float) -> None:
        """Count *ask* as sent."""
        if ask.is_small:
            self._asked.append((now, ask))

    def renote(self, ask: Ask, noted_at: float, now: float) -> bool:
        """Count *ask* as sent now, not when it was noted; tell whether it may be.

        If not it isn't counted at all.
        """
        self.unnote(ask, noted_at)
        if self.wait_s(ask, now) > 0:
            return False
        self.note(ask, now)
        return True

    def unnote(self, ask: Ask, noted_at: float) -> None:
        """Count *ask* no more: it isn't sent."""
        if (noted_at, ask) in self._asked:
            self._asked.remove((noted_at, ask))

    def pause(self, seconds: float, now: float) -> None:
        """Let nothing through for so long: IB says that it was too much."""
        self._paused_until = max(self._paused_until, now + seconds)

    def _forget(self, now: float) -> None:
        while self._asked and self._asked[0][0] <= now - WINDOW_S:
            self._asked.popleft()

    def _identical_s(self, ask: Ask) -> float:
        """Return when no request like it is too new."""
        at = (when for when, other in reversed(self._asked) if other == ask)
        return next(at, float("-inf")) + IDENTICAL_S

    def _burst_s(self, ask: Ask) -> float:
        """Return when its contract has room for it."""
        alike = [when for when, other in self._asked if other.place == ask.place]
        return alike[-BURST_MAX] + BURST_S if len(alike) >= BURST_MAX else float("-inf")

    def _window_s(self, ask: Ask) -> float:
        """Return when the ten minutes have room for it."""
        over = sum(other.weight for _, other in self._asked) + ask.weight
        over -= max(self.small_max, ask.weight)
        for when, other in self._asked:
            if over <= 0:
                break
            over -= other.weight
            if over <= 0:
                return when + WINDOW_S
        return float("-inf")
