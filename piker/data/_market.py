"""One market of a datad: its upstream, its bars, its subscribers.

    stream_quotes --ticks, in order--> bars (60 s, 1 s) in shared memory
                                       quotes and events to each subscriber
    wanted: opened, and again when it is lost | unwanted: closed, the bars stay

It never waits for a subscriber. Only one upstream is open at any time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final

import msgspec
import trio

from piker.brokers import FeedItem, Lost, OnClock, Reached
from piker.config import DataConf
from piker.errors import (
    MarketGone,
    PikerError,
    SessionFileError,
    ShmBusy,
    ShmError,
    UsageError,
    VenueError,
    VenueRefused,
    VenueUnreachable,
)
from piker.log import get_logger
from piker.msgs import (
    NO_MORE_DATA,
    NS,
    Clock,
    Disconnected,
    Ended,
    FeedEvent,
    FeedInit,
    FlumeMsg,
    HistoryProgress,
    Quote,
    Reconnected,
    SessionClock,
    Tick,
    Warned,
)
from piker.service import collapse_eg, encode

from ._buffers import HIST_S, RT_S
from ._history import History
from ._keeper import Keepers
from ._market_bars import MarketBars
from ._oddities import Oddities
from ._subs import Sub, Usher
from ._upstream import Upstream, fault_of, open_upstream
from ._venue_bars import Pace
from .validate import get_eps

log = get_logger(__name__)

#: A new client waits so long at most for what was missed to be caught up with.
SETTLE_S: Final = 5.0
#: A new client waits so long for a market's first quote.
READY_DEADLINE_S: Final = 40.0
#: Waits before a lost upstream is opened again.
_RETRY_S: Final = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
#: One that was open so long, and live, was no failure: the waits begin anew.
_STEADY_S: Final = 10.0
#: What opening a market again can't mend.
_FATAL: Final = (UsageError, VenueRefused, ShmError, SessionFileError)


@dataclass(eq=False)
class Market:
    """One market of the bus.

    Attributes:
      fqme: full name.
      mod: its backend.
      conf: sizes and times.
      on_clock: told the clock it runs on once it is known.
      pace: of requests for old bars, shared by the venue's markets.
      keepers: of stores, shared likewise.
      claims: clients that want it, those who still wait for it too.
      subs: who gets its quotes, who wants every tick first.
      init: what the backend said of it.
      bars: of it, and the newest ticks.
      history: what came before.
      live: what was missed has been caught up with; quotes and steps flow.
      ended: the source has no more data, or was given up.
      down: why it isn't live, empty if it isn't known yet.
      missed: trades refetched into the bars since the source was lost.
      failure: what it was given up for; the next claim tries anew.
      opened: how many times its upstream was opened.
      upstreams: how many are open now.
    """

    fqme: str
    mod: ModuleType
    conf: DataConf
    on_clock: Callable[[Clock], None]
    pace: Pace = field(default_factory=Pace)
    keepers: Keepers = field(default_factory=Keepers)
    claims: int = 0
    unclaimed_at: float = 0.0
    usher: Usher = field(default_factory=Usher)
    subs: list[Sub] = field(default_factory=list)
    init: FeedInit | None = None
    bars: MarketBars = field(init=False)
    history: History = field(init=False)
    first_quote: Quote | None = None
    live: bool = False
    ended: bool = False
    down: str = ""
    missed: int = 0
    failure: PikerError | None = None
    opened: int = 0
    upstreams: int = 0
    _is_ready: bool = False
    _absent: VenueError | None = None
    _told: trio.Event = field(default_factory=trio.Event)
    _settled: trio.Event = field(default_factory=trio.Event)
    _lock: trio.Lock = field(default_factory=trio.Lock)
    _scope: trio.CancelScope | None = None
    _current: trio.CancelScope | None = None
    _odd: Oddities = field(init=False)
    _tasks: trio.Nursery = field(init=False)

    def __post_init__(self) -> None:
        self._odd = Oddities(self.fqme, self._tell)
        self.history = History(
            self.fqme,
            self.mod,
            self.conf,
            self.pace,
            self._progress,
            self._odd.warn,
            self.keepers,
        )
        self.bars = MarketBars(self._odd.warn, self.history.doubt)

    # -- clients ----------------------------------------------------------------

    @property
    def is_wanted(self) -> bool:
        """Whether its upstream is open, or is being opened."""
        return self._scope is not None

    @property
    def is_ready(self) -> bool:
        """Whether there is something to show."""
        return self._is_ready

    def start(self, nursery: trio.Nursery) -> None:
        """Have the upstream open from now on; does nothing if it is, or has ended."""
        if self.failure is not None:
            self.failure, self.ended = None, False
        if self.is_wanted or self.ended:
            return
        self._told, self._settled, self._absent = trio.Event(), trio.Event(), None
        self._scope = trio.CancelScope()
        nursery.start_soon(self._run, self._scope)

    def stop(self) -> None:
        """Close the upstream; the bars stay for whoever comes next."""
        if self._scope is not None:
            self._scope.cancel()
            self._scope = None
        self.live, self.down, self.missed = False, "", 0

    async def wait_ready(self) -> None:
        """Wait until there is something to show; raises what keeps it from it.

        A venue that can't be reached is tried again, but not waited for.
        """
        with trio.move_on_after(READY_DEADLINE_S):
            while not self._is_ready:
                if self.failure is not None:
                    raise self.failure
                if self._absent is not None:
                    raise self._absent
                await self._told.wait()
        if not self._is_ready:
            why = self.down or "it doesn't answer"
            raise VenueUnreachable(f"no first quote of {self.fqme!r} yet: {why}")

    async def wait_settled(self) -> None:
        """Wait until it is live, or won't be soon."""
        await self._settled.wait()

    def join(self, sub: Sub) -> FlumeMsg:
        """Make *sub* a subscriber; return what it is to know of the market.

        From here on it is told of each change. One that finds the source lost is told
        when it is back; one that finds it at its end, without its history, or opened
        with another oddity is told that again.
        """
        assert self.init is not None
        assert self.first_quote is not None
        first_quote = Quote(
            fqme=self.fqme,
            last=self.bars.last,
            ticks=list(self.bars.newest.values()) or self.first_quote.ticks,
            time_ns=self.bars.clock.now_ns(),
        )
        down = ""
        if self.ended:
            sub.push_event(self._ended())
        elif not self.live:
            down = self.down or "what was missed is still being fetched"
            sub.told_down.add(self.fqme)
        for event in self._odd.standing():
            sub.push_event(event)
        for progress in self.history.progress.values():
            sub.push_event(progress)
        self.subs = sorted([*self.subs, sub], key=lambda one: not one.every_tick)
        return FlumeMsg(
            init=self.init,
            first_quote=first_quote,
            rt_shm=self.bars.token(RT_S),
            hist_shm=self.bars.token(HIST_S),
            missed=self.missed,
            down=down,
        )

    def stats(self) -> dict[str, Any]:
        """Return what its bars and its subscribers are up to."""
        return {
            "subs": len(self.subs),
            "backlog": max((sub.backlog for sub in self.subs), default=0),
            "live": self.live,
            "ended": self.ended,
            "down": self.down,
            "upstreams": self.upstreams,
            "opened": self.opened,
            **self.bars.stats(),
        }

    def close(self) -> None:
        """Give the buffers up."""
        self.bars.close()

    # -- the upstream -----------------------------------------------------------

    async def _run(self, scope: trio.CancelScope) -> None:
        """Keep the upstream open until nobody wants it or it ends."""
        async with self._lock:  # the one before may still be closing
            self._current = scope
            try:
                with scope:
                    async with collapse_eg(), trio.open_nursery() as self._tasks:
                        await self._keep_open()
                        self._tasks.cancel_scope.cancel()
            except Exception as err:  # noqa: BLE001 - a fault while it was closed
                log.warning(
                    "closing %s: %s", self.fqme, fault_of(err, self.mod, self.fqme)
                )
            finally:
                if self._scope is scope:
                    self._scope, self.live = None, False

    async def _keep_open(self) -> None:
        tries = 0
        while not self.ended:
            opened_at = trio.current_time()
            try:
                await self._stream()
            except Exception as err:  # noqa: BLE001 - one market's fault is its own
                fault = fault_of(err, self.mod, self.fqme)
            else:
                if not (self.live or self.ended):
                    self._go_live()  # who was told of its loss hears of its return
                self._end(NO_MORE_DATA)
                return
            if self.ended:  # as its backend told; how it ends is no matter
                log.warning("%s had ended: %s", self.fqme, fault)
                return
            if self._is_fatal(fault):
                self._fail(fault)
                return
            if self.live and trio.current_time() - opened_at >= _STEADY_S:
                tries = 0
            self._lost(fault)
            await trio.sleep(_RETRY_S[min(tries, len(_RETRY_S) - 1)])
            tries += 1

    def _is_fatal(self, fault: PikerError) -> bool:
        """Whether to open it again is in vain; of what was there once it isn't."""
        if isinstance(fault, VenueRefused) and not isinstance(fault, MarketGone):
            return not self._is_ready
        return isinstance(fault, _FATAL) and not isinstance(fault, ShmBusy)

    async def _stream(self) -> None:
        """Open the upstream once and handle what it sends until it ends."""
        if not self.bars.builders:
            mkt, _ = await get_eps(self.mod, "datad")["get_mkt_info"](self.fqme)
            self.bars.open(mkt, self.conf)
            if self.bars.is_empty:
                await self._tasks.start(self.history.ask_ahead, mkt)
        resume = self.bars.resume_point()
        self._odd.begin()
        self.opened += 1
        self.upstreams += 1
        try:
            async with (
                collapse_eg(),
                open_upstream(self.mod, self.fqme, resume) as upstream,
            ):
                await self._prepare(upstream)
                await upstream.play(self._handle, self._go_live)
        finally:
            self.upstreams -= 1

    async def _prepare(self, upstream: Upstream) -> None:
        """Fill new buffers with history; say what there is to show."""
        self.init, self.first_quote = upstream.init, upstream.first_quote
        self.bars.describe(self.init)
        if self.bars.is_empty:
            fault = await self.history.load_newest(self.init, self.bars.builders)
            self._odd.no_history = fault
            if fault:
                self._odd.warn(fault)
        self.bars.begin(self.first_quote)
        self._is_ready = True
        self._told.set()
        self._tasks.start_soon(self.history.run, self.init, self.bars.builders)

    def _go_live(self) -> None:
        """Take what comes from now on as news."""
        if self._scope is not self._current:
            return  # closed just now: without data its bars are to stand still
        self.live, self.down = True, ""
        self._odd.end_opening()
        for sub in self.subs:
            if self.fqme in sub.told_down:
                sub.told_down.discard(self.fqme)
                sub.push_event(
                    Reconnected(
                        fqmes=(self.fqme,), missed=self.missed, time_ns=_wall_ns()
                    )
                )
        self._settled.set()
        self._follow_clock()

    def _follow_clock(self) -> None:
        clock = self.bars.clock
        self.on_clock(clock)
        if not isinstance(clock, SessionClock):
            self.bars.step(clock.now_ns() // NS)

    # -- what it sends ----------------------------------------------------------

    def _handle(self, item: FeedItem) -> None:
        """Put what the backend sent into bars and quotes."""
        if isinstance(item, tuple):
            self._on_ticks(item[1])
        elif isinstance(item, Reached):
            self.bars.reach(item.time_ns)
        elif isinstance(item, OnClock):
            self._set_clock(item.clock)
        elif isinstance(item, Lost):
            self.bars.lose(item.start_ns, item.end_ns)
        else:
            self._on_event(item)

    def _set_clock(self, clock: Clock) -> None:
        assert self.init is not None
        self.init = msgspec.structs.replace(self.init, clock=clock)
        self._on_ticks(self.bars.change_clock(clock))
        if self.live:
            self._follow_clock()

    def _on_ticks(self, ticks: list[Tick]) -> None:
        new, ticks = self.bars.take(ticks, live=self.live)
        if self.live:
            self._publish(ticks)
        else:
            self.missed += new

    def _publish(self, ticks: list[Tick]) -> None:
        if not self.subs or not ticks:
            return
        quote = Quote(
            fqme=self.fqme,
            last=self.bars.last,
            ticks=ticks,
            time_ns=self.bars.clock.now_ns(),
        )
        raw = encode(quote) if len(self.subs) > 1 else None
        self.usher.push(self.subs, quote, raw)

    def _on_event(self, event: FeedEvent) -> None:
        if isinstance(event, Ended):
            self._end(event.reason)
        elif isinstance(event, Disconnected):
            self._set_down(event.reason)
        elif isinstance(event, Reconnected):
            self._go_live()
        elif isinstance(event, Warned):
            self._odd.note(event)

    # -- what goes wrong --------------------------------------------------------

    def _tell(self, event: FeedEvent) -> None:
        for sub in self.subs:
            sub.push_event(event)

    def _progress(self, told: HistoryProgress) -> None:
        """Pass on how far its past is loaded; what lacked at first may be there now."""
        if told.done >= 1:
            self._odd.no_history = ""
        self._tell(told)

    def _lost(self, err: PikerError) -> None:
        log.warning("lost the source of %s: %s", self.fqme, err)
        if not self._is_ready and isinstance(err, VenueError):
            self._absent = err
            self._told.set()
        self._set_down(str(err))

    def _set_down(self, reason: str) -> None:
        """Note, and tell who doesn't know, that the source is lost."""
        if self.live:
            self.missed = 0
        self.live, self.down = False, reason
        self._settled.set()
        for sub in self.subs:
            if self.fqme not in sub.told_down:
                sub.told_down.add(self.fqme)
                sub.push_event(
                    Disconnected(fqmes=(self.fqme,), reason=reason, time_ns=_wall_ns())
                )

    def _fail(self, err: PikerError) -> None:
        """Give the market up: whoever has it is told, the next claim tries anew."""
        log.error("can't feed %s: %s", self.fqme, err)
        if not self._is_ready:
            self.bars.close()
        self._end(str(err))
        for sub in self.subs:
            sub.told_down.add(self.fqme)  # to hear of it if it comes back
        self.failure = err
        self._told.set()

    def _end(self, reason: str) -> None:
        if self.ended:
            return
        self.ended, self.live, self.down = True, False, reason
        self._settled.set()
        log.info("%s ended: %s", self.fqme, reason)
        self._tell(self._ended())

    def _ended(self) -> Ended:
        return Ended(fqmes=(self.fqme,), reason=self.down, time_ns=_wall_ns())


def _wall_ns() -> int:
    return time.time_ns()
