"""Which trades' stamps can be believed: one that leads all others opens no bars.

trades --5 s ahead of the clock at most--> bars
       --further ahead--> held back: until the clock has come close --> bars
                          until others agree for a while --> bars; the clock is behind
                          until a trade after it says otherwise --> left out
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from piker.msgs import NS, Tick

#: A stamp further ahead of the market's clock isn't believed at once. Bars take trades
#: that are 8 s late: a stamp that is within it does no harm.
LEAD_NS: Final = 5 * NS
#: So many trades that agree for so long are right, and the clock is not.
AGREE_N: Final = 3
AGREE_S: Final = 3.0
#: Quotes open no bars; one stamped further ahead is damaged.
QUOTE_LEAD_NS: Final = 3600 * NS
_HELD_MAX: Final = 10_000


class _Held(NamedTuple):
    """A trade that is held back, and how far it led when it came."""

    tick: Tick
    lead_ns: int


@dataclass
class Stamps:
    """Sorts a market's ticks by whether their stamps make sense.

    Attributes:
      lead_ns: how far the venue's stamps are known to lead the market's clock.
      left_out: ticks with stamps that nothing agreed with, so far.
      agreed: how often the clock was found to be behind.
    """

    lead_ns: int = 0
    left_out: int = 0
    agreed: int = 0
    _held: list[_Held] = field(default_factory=list)
    #: Leads of all trades that led, since the last that did not, and when they came.
    _run: deque[tuple[int, float]] = field(
        default_factory=lambda: deque(maxlen=_HELD_MAX)
    )

    def begin(self, lead_ns: int) -> None:
        """Start anew: what is held back is dropped."""
        self.lead_ns = max(0, lead_ns)
        self._held.clear()
        self._run.clear()

    def held(self) -> list[Tick]:
        """Return the trades that are held back, in order."""
        return [held.tick for held in self._held]

    def sort(self, ticks: list[Tick], now_ns: int, at_s: float) -> list[Tick]:
        """Return what of *ticks*, and of those held back, may go on, in order.

        Args:
          ticks: as they came.
          now_ns: of the market's clock.
          at_s: now, of a clock that never jumps.
        """
        limit_ns = now_ns + self.lead_ns + LEAD_NS
        if not self._run and all(tick.time_ns <= limit_ns for tick in ticks):
            return ticks
        kept = self._take_due(limit_ns)
        quote_limit_ns = now_ns + self.lead_ns + QUOTE_LEAD_NS
        for tick in ticks:
            if tick.type != "trade":
                if tick.time_ns <= quote_limit_ns:
                    kept.append(tick)
                else:
                    self.left_out += 1
            elif tick.time_ns > limit_ns:
                self._held.append(_Held(tick, tick.time_ns - now_ns))
                self._run.append((tick.time_ns - now_ns, at_s))
            else:
                kept += self._take_close(tick.time_ns)
                kept.append(tick)
        return kept + self._take_agreed()

    def _take_due(self, limit_ns: int) -> list[Tick]:
        """Return those that the clock has come close to, up to one it hasn't."""
        held, due = self._held, 0
        while due < len(held) and held[due].tick.time_ns <= limit_ns:
            due += 1
        self._held = held[due:]
        return [one.tick for one in held[:due]]

    def _take_close(self, time_ns: int) -> list[Tick]:
        """Judge what is held back by the stamp of the trade after it."""
        self._run.clear()
        close = [h.tick for h in self._held if h.tick.time_ns <= time_ns + LEAD_NS]
        self.left_out += len(self._held) - len(close)
        self._held.clear()
        return close

    def _take_agreed(self) -> list[Tick]:
        """Return what is held back if the last that led did so alike, for long."""
        if not self._run:
            return []
        newest_ns, now_s = self._run[-1]
        alike = [one for one in self._run if abs(one[0] - newest_ns) <= LEAD_NS]
        is_long = now_s - alike[0][1] >= AGREE_S
        if len(alike) < AGREE_N or not (is_long or len(self._held) >= _HELD_MAX):
            return []
        self.agreed += 1
        self.lead_ns = max(lead_ns for lead_ns, _ in alike)
        limit_ns = self.lead_ns + LEAD_NS
        right = [held.tick for held in self._held if held.lead_ns <= limit_ns]
        self.left_out += len(self._held) - len(right)
        self._held.clear()
        self._run.clear()
        return right
