"""Market clocks: what time it is in a market.

A live market runs on the wall clock, or on its venue's, as that was measured. A replay
runs on a session clock, shared by all markets of that replay, so that bars, order
expiry and paper latency see the recorded time at the recorded (or a faster) pace. At
full speed there is no clock to ask: the data itself says how late it is.
"""

from __future__ import annotations

import time

from piker.types import Struct

NS = 1_000_000_000


def boot_ns() -> int:
    """Return ns since the machine started, sleep included: one for all processes."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class WallClock(Struct, frozen=True, kw_only=True, tag="wall"):
    """The time of day, UTC."""

    @property
    def key(self) -> str:
        """Name of the clock, unique in a tree."""
        return "wall"

    def now_ns(self) -> int:
        """Return ns since the epoch."""
        return time.time_ns()


class VenueClock(Struct, frozen=True, kw_only=True, tag="venue"):
    """A venue's time, measured once and told from then on by a clock nobody can set.

    Attributes:
      name: of the venue.
      ahead_ns: how far its time, ns since the epoch, is ahead of `boot_ns`.
    """

    name: str
    ahead_ns: int

    @property
    def key(self) -> str:
        """Name of the clock, unique in a tree."""
        return f"venue:{self.name}:{self.ahead_ns}"

    def now_ns(self) -> int:
        """Return the venue's time, ns since the epoch."""
        return boot_ns() + self.ahead_ns


class SessionClock(Struct, frozen=True, kw_only=True, tag="session"):
    """Recorded time, replayed.

    Attributes:
      name: of the session, unique in a tree.
      origin_ns: market time at its start, ns since the epoch.
      started_ns: ``CLOCK_MONOTONIC`` at its start (one for all processes).
      speed: market seconds a second; 0 is full speed, where only data moves it.
    """

    name: str
    origin_ns: int
    started_ns: int
    speed: float = 1.0

    @property
    def key(self) -> str:
        """Name of the clock, unique in a tree."""
        return f"session:{self.name}"

    def now_ns(self) -> int:
        """Return the market's time, ns since the epoch; *origin_ns* at full speed."""
        return self.origin_ns + int(
            (time.monotonic_ns() - self.started_ns) * self.speed
        )

    def delay_s(self, market_ns: int) -> float:
        """Return seconds until *market_ns* is reached; <= 0 if it is past."""
        if not self.speed:
            return 0.0
        return (market_ns - self.now_ns()) / self.speed / NS


Clock = WallClock | VenueClock | SessionClock
