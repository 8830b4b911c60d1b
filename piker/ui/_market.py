"""A market as a client looks at it: its bars of any period, its touch, how its feed is.

    feed --quotes, events--> Market --told()--> whoever draws
    buffers of bars --------^ read when something is drawn

One feed a market, opened when it is first looked at and kept for as long as the client
lives: to switch back costs nothing. It outlives the daemons behind it, as feeds do.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import trio

from piker.data import Feed, Flume, open_feed, open_sample_stream
from piker.errors import PikerError, ShmError
from piker.log import get_logger
from piker.msgs import (
    NS,
    Disconnected,
    Ended,
    FeedMsg,
    HistoryProgress,
    Quote,
    Reconnected,
    Warned,
)
from piker.service import collapse_eg
from piker.storage import read_bars

from ._series import Bars, Change, Series

log = get_logger(__name__)

#: Quotes a second that are asked for: no screen shows more.
QUOTES_HZ: Final = 60.0
#: How long something odd is shown.
_NEWS_S: Final = 60.0
#: Of older bars that are loaded at once.
OLDER_BARS: Final = 5000
#: Bars of a series at most; the oldest beyond are forgotten.
MOST_BARS: Final = 2_000_000
#: Stored bars that are read at once at most.
_MOST_READ: Final = 500_000
_NAN: Final = math.nan


@dataclass
class Touch:
    """The best prices, and the newest trade; ``nan`` of what isn't known."""

    bid: float = _NAN
    bid_size: float = 0.0
    ask: float = _NAN
    ask_size: float = 0.0
    last: float = _NAN
    before: float = _NAN

    def take(self, quote: Quote) -> None:
        """Take what a quote says."""
        for tick in quote.ticks:
            if tick.type == "bid":
                self.bid, self.bid_size = tick.price, tick.size
            elif tick.type == "ask":
                self.ask, self.ask_size = tick.price, tick.size
        if not math.isnan(quote.last) and quote.last != self.last:
            self.before, self.last = self.last, quote.last


@dataclass(eq=False)
class Market:
    """One market that is looked at.

    Attributes:
      wanted: name as it was asked for.
      quotes_hz: quotes a second that are asked for, at most.
      touch: best prices, newest trade.
      trouble: why there are no quotes now; empty if there are.
      note: the newest odd thing that was told, empty if there was none; see *news*.
      progress: how far the past is loaded, by period.
      delay_s: age of the newest quote when it came, by the market's clock.
      losses: how often its source went away.
      listeners: told after each message and each step of the clock.
    """

    wanted: str
    quotes_hz: float = QUOTES_HZ
    touch: Touch = field(default_factory=Touch)
    trouble: str = ""
    note: str = ""
    progress: dict[int, HistoryProgress] = field(default_factory=dict)
    delay_s: float = _NAN
    losses: int = 0
    listeners: set[Callable[[], None]] = field(default_factory=set)
    _noted_s: float = -math.inf
    _feed: Feed | None = None
    _series: dict[int, Series] = field(default_factory=dict)
    _followers: dict[int, list[Callable[[Change], None]]] = field(default_factory=dict)
    _exhausted: set[int] = field(default_factory=set)
    _lookers: set[object] = field(default_factory=set)
    _looks: trio.Event = field(default_factory=trio.Event)
    _scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    @property
    def _held(self) -> Feed:
        assert self._feed is not None, "it is run first"
        return self._feed

    @property
    def flume(self) -> Flume:
        """Its end of the feed."""
        return next(iter(self._held.flumes.values()))

    @property
    def fqme(self) -> str:
        """Its full name."""
        return self.flume.fqme

    async def run(self, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Watch it until cancelled; raises what :func:`piker.data.open_feed` does."""
        with self._scope:
            async with (
                open_feed(self.wanted, tick_throttle=self.quotes_hz) as feed,
                collapse_eg(),
                trio.open_nursery() as tasks,
            ):
                self._feed = feed
                self.touch.take(self.flume.first_quote)
                task_status.started()
                tasks.start_soon(self._step)
                tasks.start_soon(self._ask_for_quotes)
                async for msg in feed.messages:
                    self._take(msg)
                    self._tell()

    def close(self) -> None:
        """Watch it no more."""
        self._scope.cancel()

    async def _step(self) -> None:
        """Tell of bars that begin with no trade in them."""
        async with open_sample_stream(self.flume.clock) as steps:
            async for _ in steps:
                self._tell()

    def _tell(self) -> None:
        for listener in tuple(self.listeners):
            tell_one(listener)

    def _take(self, msg: FeedMsg) -> None:
        match msg:
            case Quote():
                self.touch.take(msg)
                self.delay_s = (self.flume.clock.now_ns() - msg.time_ns) / NS
            case HistoryProgress():
                self.progress[msg.period_s] = msg
                # there may be more now of all bars that are made of those
                base_s = msg.period_s
                self._exhausted -= {p for p in self._exhausted if base_of(p) == base_s}
            case Disconnected():
                self.trouble, self.losses = msg.reason, self.losses + 1
            case Reconnected():
                self.trouble = ""
            case Ended():
                self.trouble = f"ended: {msg.reason}"
            case Warned():
                self.note, self._noted_s = msg.reason, time.monotonic()

    @property
    def news(self) -> str:
        """The newest odd thing if it was told in the last minute, else empty."""
        return self.note if time.monotonic() - self._noted_s < _NEWS_S else ""

    # -- bars -----------------------------------------------------------------------

    def series(self, period_s: int) -> Series:
        """Return its bars of a period, kept up by :meth:`refresh`."""
        if period_s not in self._series:
            self._series[period_s] = Series(self.flume.mkt, period_s)
        return self._series[period_s]

    def reread(self, period_s: int = 0) -> None:
        """Read the bars of a length anew, of all if 0.

        Those of the buffer now, older ones as one pans there.
        """
        for each in list(self._series):
            if period_s in (0, each):
                self._series[each].forget()
                self._exhausted.discard(each)
                self.refresh(each)

    def follow(
        self, period_s: int, follower: Callable[[Change], None]
    ) -> Callable[[], None]:
        """Have *follower* told of each change of a period's bars.

        Whoever refreshes first finds it: all who show the bars are to hear of it.

        Returns: what ends that.
        """
        followers = self._followers.setdefault(period_s, [])
        followers.append(follower)
        return partial(followers.remove, follower)

    def refresh(self, period_s: int) -> Change | None:
        """Take what is new of a period's bars, and tell it; None if nothing is."""
        series = self.series(period_s)
        try:
            buffer = self.flume.hist_shm if period_s % 60 == 0 else self.flume.rt_shm
            change = series.update(buffer)
        except ShmError as err:
            log.debug("bars of %s: %s", self.wanted, err)
            return None
        if len(series) > MOST_BARS * 1.1:
            series.trim(MOST_BARS)
        if change is not None:
            for follower in tuple(self._followers.get(period_s, ())):
                tell_one(partial(follower, change))
        return change

    async def load_older(self, period_s: int, bars: int = OLDER_BARS) -> int:
        """Put older bars of the store before those of a period; return how many.

        0 where the store has none; it is asked again once more history came.
        """
        series = self.series(period_s)
        if period_s in self._exhausted or not len(series) or len(series) >= MOST_BARS:
            return 0
        first_s = int(series.time[0])
        start_s = first_s - bars * period_s
        try:
            older = await self.flume.read(start_s, first_s, period_s)
            if not len(older):  # a hole, or the market was closed: beyond it
                older = await self._newest_before(first_s, period_s, bars)
        except PikerError as err:  # it may pass
            log.warning("older bars of %s: %s", self.wanted, err)
            return 0
        if not len(series) or int(series.time[0]) > first_s:
            # they were read anew meanwhile: between these and those is a hole
            return await self.load_older(period_s, bars)
        if not len(older):
            self._exhausted.add(period_s)
        # while it was read the buffer may have given some: what is known is left out
        return series.prepend(older)

    async def _newest_before(self, end_s: int, period_s: int, bars: int) -> Bars:
        """Return the newest stored bars before a time, however old they are."""
        base_s = base_of(period_s)
        newest = min(bars * period_s // base_s, _MOST_READ)
        read = partial(read_bars, self.fqme, base_s, None, end_s, newest=newest)
        found = await trio.to_thread.run_sync(read)
        stored = found.bars()
        if not len(stored):
            return stored
        # whole ones of the period wanted
        return await self.flume.read(float(stored["time"][0]), end_s, period_s)

    # -- quotes only while they are looked at -----------------------------------------

    def look(self, who: object, *, is_looking: bool) -> None:
        """Note who looks: with nobody looking no quotes are asked for."""
        (self._lookers.add if is_looking else self._lookers.discard)(who)
        self._looks.set()

    async def _ask_for_quotes(self) -> None:
        """Have quotes sent while somebody looks, as it is by then."""
        asked = True  # a feed begins with them
        while True:
            wanted = bool(self._lookers)
            if wanted != asked:
                await (self._held.resume() if wanted else self._held.pause())
                asked = wanted
                continue  # it may have changed meanwhile
            await self._looks.wait()
            self._looks = trio.Event()


def base_of(period_s: int) -> int:
    """Return the period of the bars that those of a period are made of."""
    return 60 if period_s % 60 == 0 else 1


def tell_one(listener: Callable[[], None]) -> None:
    """Call a listener; one that fails costs the others nothing, nor the feed."""
    try:
        listener()
    except Exception:  # of a window, say, that is being closed
        log.exception("a fault in what listens to a market")


def age_of(seconds: float) -> str:
    """Return a time that passed in few letters."""
    if not math.isfinite(seconds):
        return "-"
    if abs(seconds) < 1:
        return f"{seconds * 1e3:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.0f} min"


def now_text(clock_ns: int | None = None) -> str:
    """Return the time of day, UTC."""
    at_s = (clock_ns if clock_ns is not None else time.time_ns()) / NS
    return time.strftime("%H:%M:%S", time.gmtime(at_s))
