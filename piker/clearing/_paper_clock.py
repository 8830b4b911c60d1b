"""What time it is in a paper market, before its feed was ever up too."""

from __future__ import annotations

import time

from piker.msgs import Clock, Quote, SessionClock


class PaperClock:
    """The market's clock; until it is known, time goes on from where it was.

    A replay at full speed has no clock to ask: there the data moves it, and between two
    of its stamps it goes on as ours does.
    """

    def __init__(self, since_ns: int) -> None:
        """Go on from *since_ns*."""
        self._clock: Clock | None = None
        self._set(since_ns)

    def _set(self, time_ns: int) -> None:
        self._base_ns, self._at_ns = time_ns, time.monotonic_ns()

    @property
    def is_asked(self) -> bool:
        """Whether there is a clock that tells the time."""
        clock = self._clock
        return clock is not None and not (
            isinstance(clock, SessionClock) and not clock.speed
        )

    def meet(self, clock: Clock) -> None:
        """Go by *clock* from now on."""
        self._clock = clock
        if not self.is_asked:
            self._set(clock.now_ns())

    def now_ns(self) -> int:
        """Return the market's time, ns since the epoch."""
        if self._clock is not None and self.is_asked:
            return self._clock.now_ns()
        return self._base_ns + time.monotonic_ns() - self._at_ns

    def of_quote(self, quote: Quote) -> int:
        """Return when a quote was sent."""
        if self.is_asked:
            return quote.time_ns
        told_ns = max((tick.time_ns for tick in quote.ticks), default=0)
        if told_ns > self.now_ns():
            self._set(told_ns)
        return self.now_ns()

    def delay_s(self, market_ns: int) -> float:
        """Return seconds until *market_ns* is reached; <= 0 if it is past."""
        speed = 1.0
        if isinstance(self._clock, SessionClock) and self._clock.speed:
            speed = self._clock.speed
        return (market_ns - self.now_ns()) / speed / 1e9
