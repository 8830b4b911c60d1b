"""What emsd knows of one market: its newest prices, and what waits for one there."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, field

from piker.msgs import NS, Calendar, Clock, MktPair, SessionClock, Tick, WallClock

from ._prices import Prices
from ._triggers import DarkBook


@dataclass(eq=False)
class MarketState:
    """One market.

    Attributes:
      mkt: the market.
      clock: it runs on.
      calendar: its hours.
      max_age_s: of a tick by the market's clock, that may still fire something.
      down: why its feed is lost, empty if it isn't.
      book: what waits there.
      data_ns: stamp of its newest tick, by the market's clock.
      seen_ns: up to where its ticks were held against what waits, likewise.
      skipped: ticks have passed since that fired nothing because nothing might fire.
      gap_s: bars from here on, epoch s, are to be looked at again, for that those that
        were missed aren't all there yet; infinity if none are.
      is_aside: something was reached since and set aside, for that trading is halted.
    """

    mkt: MktPair
    clock: Clock = field(default_factory=WallClock)
    calendar: Calendar = field(default_factory=Calendar)
    max_age_s: float = math.inf
    down: str = "not opened yet"
    book: DarkBook = field(default_factory=DarkBook)
    data_ns: int = 0
    seen_ns: int = 0
    skipped: bool = False
    gap_s: float = math.inf
    is_aside: bool = False
    _last: float = math.nan
    _bid: float = math.nan
    _ask: float = math.nan
    _ends: list[tuple[int, str]] = field(default_factory=list)

    @property
    def prices(self) -> Prices:
        """The newest prices."""
        return Prices(last=self._last, bid=self._bid, ask=self._ask)

    @property
    def is_unsure(self) -> bool:
        """Tell whether something may have been missed that wasn't looked for yet."""
        return bool(self.down) or self.skipped or self.gap_s < math.inf

    @property
    def last(self) -> float:
        """Price of the newest trade, ``nan`` before the first."""
        return self._last

    def now_ns(self) -> int:
        """Return the market's time; of a replay at full speed, that of its data."""
        if isinstance(self.clock, SessionClock) and not self.clock.speed:
            return max(self.data_ns, self.clock.origin_ns)
        return self.clock.now_ns()

    def take(self, ticks: list[Tick], last: float) -> None:
        """Note prices; *last* is that of the newest trade, as the quote says."""
        for tick in ticks:
            kind = tick.type
            if kind == "bid":
                self._bid = tick.price
            elif kind == "ask":
                self._ask = tick.price
            self.data_ns = max(self.data_ns, tick.time_ns)
        if not math.isnan(last):
            self._last = last

    def may_fire(self, newest_ns: int) -> bool:
        """Tell whether ticks of *newest_ns* may fire anything now.

        They don't where they are late, the book is crossed or the market is closed.

        Args:
          newest_ns: stamp of the newest of them, 0 if they have none.
        """
        if self.down or self._bid >= self._ask:
            return False
        now_ns = self.now_ns()
        if not self.calendar.is_open(now_ns // NS):
            return False
        if not newest_ns or math.isinf(self.max_age_s):
            return True
        return now_ns - newest_ns <= self.max_age_s * NS

    def fresh(self, ticks: list[Tick]) -> list[Tick]:
        """Return those of *ticks* that may fire something: none, or the newest."""
        if not ticks or not self.may_fire(ticks[-1].time_ns):
            return []
        if math.isinf(self.max_age_s):
            return ticks
        since_ns = self.now_ns() - self.max_age_s * NS
        if not 0 < ticks[0].time_ns < since_ns:
            return ticks
        return [tick for tick in ticks if not 0 < tick.time_ns < since_ns]

    def note_seen(self) -> None:
        """Note that all that came was held against what waits."""
        self.seen_ns, self.skipped = max(self.seen_ns, self.data_ns), False

    # -- ends by the clock ----------------------------------------------------

    def end_at(self, oid: str, expires_ns: int) -> None:
        """Have *oid* named by :meth:`due` from *expires_ns* on."""
        heapq.heappush(self._ends, (expires_ns, oid))

    def due(self, now_ns: int) -> list[tuple[int, str]]:
        """Return (end, oid) of what has ended by *now_ns*, each once."""
        found = []
        while self._ends and self._ends[0][0] <= now_ns:
            found.append(heapq.heappop(self._ends))
        return found
