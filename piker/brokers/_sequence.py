"""Trades in order, each once: pure bookkeeping over a market's serials.

parts as they come --push--> parts in order, ready to go
                             held back: those after a hole
parts fetched to fill it --push--> the hole's, then what was held
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Final

from piker.brokers._parts import Part

#: A serial further ahead than this is damaged, or so far ahead that the trades are
#: fetched anyhow: it isn't waited for.
FAR: Final = 10_000_000
#: So many serials that aren't held any more may stay in the heap of a short list.
_STALE_MAX: Final = 1000


@dataclass
class Sequence:
    """The trades of one market by their serials, which rise by one.

    Attributes:
      expect: serial that comes next; -1 while it isn't known: then all is held back
        until `start_at` says it.
      known: parts left out since they, or others with their trades, came before.
      far: parts left out: their serials are far ahead of all others, or dropped.
    """

    expect: int = -1
    known: int = 0
    far: int = 0
    _held: dict[int, Part] = field(default_factory=dict)
    #: A heap of the serials in _held, and of some that aren't any more.
    _firsts: list[int] = field(default_factory=list)

    @property
    def held(self) -> int:
        """Parts held back."""
        return len(self._held)

    @property
    def lowest(self) -> int:
        """The lowest serial held back, -1 if none is."""
        firsts, held = self._firsts, self._held
        while firsts and firsts[0] not in held:
            heappop(firsts)
        return firsts[0] if firsts else -1

    @property
    def hole(self) -> tuple[int, int] | None:
        """First and last serial that are missing before what is held back."""
        if not self._held or self.expect < 0:
            return None
        return self.expect, self.lowest - 1

    def around_hole(self, before_ns: int) -> tuple[int, int]:
        """Return between which stamps the trades of the hole lie.

        Args:
          before_ns: stamp of the newest trade before it, 0 if there is none.
        """
        part = self._held.get(self.lowest)
        after_ns = part.ticks[0].time_ns if part is not None else before_ns
        before_ns = before_ns or after_ns
        return min(before_ns, after_ns), max(before_ns, after_ns)

    def push(self, part: Part, ready: list[Part]) -> None:
        """Take a part that holds trades; append to *ready* what may go, in order."""
        if part.first == self.expect:
            ready.append(part)
            self.expect = part.last + 1
            if self._held:
                self._release(ready)
        elif 0 <= self.expect < part.first - FAR:
            self.far += 1
        elif self.expect < 0 or part.first > self.expect:
            known = self._held.get(part.first)
            if known is None:
                heappush(self._firsts, part.first)
            else:
                self.known += 1
            if known is None or part.last > known.last:
                self._held[part.first] = part
        elif part.last >= self.expect:
            self.push(_tail(part, self.expect), ready)
        else:
            self.known += 1

    def begins_before(self, time_ns: int) -> bool:
        """Whether the lowest trade held back is stamped before *time_ns*."""
        part = self._held.get(self.lowest)
        return part is not None and any(t.time_ns < time_ns for t in part.ticks[:1])

    def start_at(self, serial: int | None = None) -> list[Part]:
        """Go on at *serial*, or at the lowest that is held back.

        What lies between is given up. Returns what may go now, in order.
        """
        if serial is None:
            serial = self.lowest
        ready: list[Part] = []
        if serial > self.expect:
            self.expect = serial
            self._leave_far()
            self._release(ready)
        return ready

    def drop_held(self, firsts: Iterable[int] | None = None) -> list[int]:
        """Leave out what is held back: its serials are damaged, or it's too much.

        Args:
          firsts: of the parts to leave out, by their first serials; of all if None.

        Returns: the first serials of those left out.
        """
        wanted = self._held if firsts is None else firsts
        dropped = [first for first in wanted if first in self._held]
        self._leave_out(dropped)
        return dropped

    def _leave_far(self) -> None:
        """Leave out what was taken before it was known how far ahead it is."""
        self._leave_out([first for first in self._held if first - FAR > self.expect])

    def _leave_out(self, firsts: list[int]) -> None:
        for first in firsts:
            del self._held[first]
        self.far += len(firsts)
        if len(self._firsts) > 2 * len(self._held) + _STALE_MAX:
            self._firsts = list(self._held)
            heapify(self._firsts)

    def _release(self, ready: list[Part]) -> None:
        """Append what is held back and may go."""
        while self._held:
            part = self._held.pop(self.expect, None)
            if part is None:
                if self.lowest > self.expect:
                    return
                # one that begins before what is expected: known, or known in part
                part = self._held.pop(self.lowest)
                if part.last < self.expect:
                    self.known += 1
                    continue
                part = _tail(part, self.expect)
            ready.append(part)
            self.expect = part.last + 1


def _tail(part: Part, first: int) -> Part:
    """Return *part* from the serial *first* on; it has a tick for each serial."""
    n = part.last - first + 1
    return Part(part.symbol, part.ticks[-n:], first, part.last)
