"""What time it is at a venue, whatever the clock of this machine says.

    its time, asked for by REST --> VenueClock: that time, and what passed since
    this machine's clock, where the two agree --^
    an answer far off the clock so far: only if a second one agrees with it

Bars follow it: a machine whose clock is minutes off, or is set while piker runs, has
the same bars as any other.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import inf
from typing import Final, NamedTuple

import trio

from piker.log import get_logger
from piker.msgs import NS, VenueClock, boot_ns

log = get_logger(__name__)

#: A clock that is off by more is warned about, and isn't gone by.
SKEW_NS: Final = NS
#: A measured clock is kept while new measures are so close, and what they may err by.
_SAME_NS: Final = NS // 2
#: An answer far off a clock in use is asked for again after so long: one out of a cache
#: then differs from the first by more than two that are right, rounded to seconds.
_AGAIN_S: Final = 3.0
#: A measure counts for so long, for markets opened and connections lost since then.
_FRESH_S: Final = 60.0


class Told(NamedTuple):
    """An answer to the question what time it is.

    Attributes:
      venue_ns: the venue's time, ns since the epoch.
      boot_ns: when it was that, ns of `piker.msgs.boot_ns`.
      error_ns: how far off that may be.
    """

    venue_ns: int
    boot_ns: int
    error_ns: int

    @classmethod
    def between(
        cls, venue_ns: int, sent_ns: int, came_ns: int, error_ns: int = 0
    ) -> Told:
        """Return what an answer means that was asked for and came at these times."""
        half_ns = (came_ns - sent_ns) // 2
        return cls(venue_ns, sent_ns + half_ns, error_ns + half_ns)


AskTime = Callable[[], Awaitable[Told]]


@dataclass(eq=False)
class VenueTime:
    """The clock of a venue's markets in this process.

    Attributes:
      venue: its name.
    """

    venue: str
    _clock: VenueClock | None = None
    _asked_at: float = -inf
    _is_doubted: bool = False
    _turn: trio.Lock = field(default_factory=trio.Lock)

    async def clock(self, ask: AskTime, fresh_s: float = _FRESH_S) -> VenueClock:
        """Return the clock, measured within the last *fresh_s*.

        Args:
          ask: the venue; raises VenueError.
          fresh_s: seconds.
        """
        async with self._turn:
            if self._clock is None or trio.current_time() - self._asked_at >= fresh_s:
                told = await self._ask(ask)
                self._asked_at = trio.current_time()
                self._clock = self._kept() if told is None else self._measured(told)
            return self._clock

    @property
    def is_unknown(self) -> bool:
        """Whether it was never measured."""
        return self._clock is None

    def now_ns(self) -> int:
        """Return the venue's time by the newest measure, ns since the epoch."""
        assert self._clock is not None
        return self._clock.now_ns()

    def _kept(self) -> VenueClock:
        """Return the clock there is; before the first measure, this machine's."""
        if self._clock is not None:
            return self._clock
        return VenueClock(name=self.venue, ahead_ns=time.time_ns() - boot_ns())

    async def _ask(self, ask: AskTime) -> Told | None:
        """Return what the venue says, None if it says this and that."""
        told, kept = await ask(), self._kept()
        if _apart_ns(told, kept) <= SKEW_NS:
            return told
        if self._clock is not None:
            await trio.sleep(_AGAIN_S)
        again = await ask()
        off_ns = abs(_ahead_ns(again) - _ahead_ns(told))
        if off_ns <= _SAME_NS + told.error_ns + again.error_ns:
            return again
        if not self._is_doubted:
            self._is_doubted = True
            log.warning(
                "%s told two times that are %.1f s apart: its clock is left as it was",
                self.venue, off_ns / NS,
            )  # fmt: skip
        return None

    def _measured(self, told: Told) -> VenueClock:
        """Return the clock that *told* means: the one there is, if it agrees."""
        ahead_ns = _ahead_ns(told)
        if self._clock is not None:
            off_ns = abs(ahead_ns - self._clock.ahead_ns)
            if off_ns <= _SAME_NS + told.error_ns:
                return self._clock
        ours_ns = time.time_ns() - boot_ns()
        if abs(ahead_ns - ours_ns) <= SKEW_NS + told.error_ns:
            ahead_ns = ours_ns  # as good as the measure, and its seconds are exact
        log.info(
            "the clock of %s is %+.3f s off ours", self.venue, (ahead_ns - ours_ns) / NS
        )
        return VenueClock(name=self.venue, ahead_ns=ahead_ns)


def _ahead_ns(told: Told) -> int:
    return told.venue_ns - told.boot_ns


def _apart_ns(told: Told, clock: VenueClock) -> int:
    """Return by how much *told* is off *clock* at least."""
    return abs(_ahead_ns(told) - clock.ahead_ns) - told.error_ns


def skew_s(clock: VenueClock) -> float:
    """Return by how many seconds *clock* is ahead of this machine's, now."""
    return (clock.now_ns() - time.time_ns()) / NS
