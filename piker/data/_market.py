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

import trio

from piker.brokers import FeedItem, Reached, ResumePoint
from piker.config import DataConf
from piker.errors import (
    BadPayload,
    PikerError,
    SessionFileError,
    ShmBusy,
    ShmError,
    UsageError,
    VenueRefused,
    VenueUnreachable,
)
from piker.log import get_logger
from piker.msgs import (
    NS,
    Clock,
    Disconnected,
    Ended,
    FeedEvent,
    FeedInit,
    FlumeMsg,
    Quote,
    Reconnected,
    SessionClock,
    Tick,
    Warned,
)
from piker.service import collapse_eg, encode, leaves

from ._bars import is_odd
from ._buffers import (
    HIST_S,
    RT_S,
    Builders,
    close_buffers,
    load_history,
    open_buffers,
)
from ._subs import Sub
from ._upstream import Upstream, open_upstream
from .validate import broker_name, get_eps

log = get_logger(__name__)

#: A new client waits so long at most for what was missed to be caught up with.
SETTLE_S: Final = 5.0
#: A new client waits so long for a market's first quote.
READY_DEADLINE_S: Final = 40.0
#: Waits before a lost upstream is opened again.
_RETRY_S: Final = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
#: Venue stamps further ahead of the market's clock are warned about, then refused.
SKEW_WARN_S: Final = 5
SKEW_REFUSE_S: Final = 3600
_WARN_EVERY_S: Final = 60.0
#: What opening a market again can't mend.
_FATAL: Final = (UsageError, VenueRefused, BadPayload, ShmError, SessionFileError)


@dataclass(eq=False)
class Market:
    """One market of the bus.

    Attributes:
      fqme: full name.
      mod: its backend.
      conf: sizes and times.
      on_clock: told the clock it runs on once it is known.
      claims: clients that want it, those who still wait for it too.
      subs: who gets its quotes.
      init: what the backend said of it.
      builders: of its bars, by period in seconds.
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
    claims: int = 0
    unclaimed_at: float = 0.0
    subs: set[Sub] = field(default_factory=set)
    init: FeedInit | None = None
    builders: Builders = field(default_factory=dict)
    first_quote: Quote | None = None
    last: float = float("nan")
    live: bool = False
    ended: bool = False
    down: str = ""
    missed: int = 0
    failure: PikerError | None = None
    opened: int = 0
    upstreams: int = 0
    _newest: dict[str, Tick] = field(default_factory=dict)
    _step_s: int = 0
    _reached_s: int | None = None
    _is_ready: bool = False
    _told: trio.Event = field(default_factory=trio.Event)
    _settled: trio.Event = field(default_factory=trio.Event)
    _lock: trio.Lock = field(default_factory=trio.Lock)
    _scope: trio.CancelScope | None = None
    _current: trio.CancelScope | None = None
    _warned_at: dict[str, float] = field(default_factory=dict)

    # -- clients ----------------------------------------------------------------

    @property
    def clock(self) -> Clock:
        """The clock it runs on."""
        assert self.init is not None, "its backend hasn't described it yet"
        return self.init.clock

    @property
    def is_wanted(self) -> bool:
        """Whether its upstream is open, or is being opened."""
        return self._scope is not None

    def start(self, nursery: trio.Nursery) -> None:
        """Have the upstream open from now on; does nothing if it is, or has ended."""
        if self.failure is not None:
            self.failure, self.ended = None, False
        if self.is_wanted or self.ended:
            return
        self._told, self._settled = trio.Event(), trio.Event()
        self._scope = trio.CancelScope()
        nursery.start_soon(self._run, self._scope)

    def stop(self) -> None:
        """Close the upstream; the bars stay for whoever comes next."""
        if self._scope is not None:
            self._scope.cancel()
            self._scope = None
        self.live, self.down, self.missed = False, "", 0

    async def wait_ready(self) -> None:
        """Wait until there is something to show; raises what keeps it from it."""
        with trio.move_on_after(READY_DEADLINE_S):
            while not self._is_ready:
                if self.failure is not None:
                    raise self.failure
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
        when it is back; one that finds it at its end is told that again.
        """
        assert self.init is not None
        assert self.first_quote is not None
        ticks = list(self._newest.values()) or self.first_quote.ticks
        now_ns = self.clock.now_ns()
        down = ""
        if self.ended:
            sub.push_event(self._ended())
        elif not self.live:
            down = self.down or "what was missed is still being fetched"
            sub.told_down.add(self.fqme)
        self.subs.add(sub)
        return FlumeMsg(
            init=self.init,
            first_quote=Quote(
                fqme=self.fqme, last=self.last, ticks=ticks, time_ns=now_ns
            ),
            rt_shm=self.builders[RT_S].writer.token,
            hist_shm=self.builders[HIST_S].writer.token,
            missed=self.missed,
            down=down,
        )

    def stats(self) -> dict[str, Any]:
        """Return what its bars and its subscribers are up to."""
        told = {
            "subs": len(self.subs),
            "backlog": max((sub.backlog for sub in self.subs), default=0),
            "live": self.live,
            "ended": self.ended,
            "down": self.down,
            "upstreams": self.upstreams,
            "opened": self.opened,
        }
        if self.builders:
            writer = self.builders[RT_S].writer
            told |= vars(self.builders[RT_S].stats)
            told |= {"adoptions": writer.adoptions, "repairs": writer.repairs}
        return told

    def close(self) -> None:
        """Give the buffers up."""
        close_buffers(self.builders)

    # -- the upstream -----------------------------------------------------------

    async def _run(self, scope: trio.CancelScope) -> None:
        """Keep the upstream open until nobody wants it or it ends."""
        async with self._lock:  # the one before may still be closing
            self._current = scope
            try:
                with scope:
                    await self._keep_open()
            except Exception as err:  # noqa: BLE001 - a fault while it was closed
                log.warning("closing %s: %s", self.fqme, self._as_fault(err))
            finally:
                if self._scope is scope:
                    self._scope, self.live = None, False

    async def _keep_open(self) -> None:
        tries = 0
        while not self.ended:
            try:
                await self._stream()
            except Exception as err:  # noqa: BLE001 - one market's fault is its own
                fault = self._as_fault(err)
            else:
                if not self.live:
                    self._go_live()  # who was told of its loss hears of its return
                self._end("the source has no more data")
                return
            if isinstance(fault, _FATAL) and not isinstance(fault, ShmBusy):
                self._fail(fault)
                return
            tries = 0 if self.live else tries + 1
            self._lost(fault)
            await trio.sleep(_RETRY_S[min(tries, len(_RETRY_S) - 1)])

    def _as_fault(self, err: Exception) -> PikerError:
        """Return the error of ours that *err* means; a bug is logged in full."""
        found = leaves(err)
        for leaf in found:
            if isinstance(leaf, PikerError):
                return leaf
        broker = broker_name(self.mod)
        log.error("backend %s failed at %s", broker, self.fqme, exc_info=err)
        what = " ".join(repr(found[0]).split())
        return VenueUnreachable(f"backend {broker!r} failed: {what}")

    async def _stream(self) -> None:
        """Open the upstream once and handle what it sends until it ends."""
        if not self.builders:
            mkt, _ = await get_eps(self.mod, "datad")["get_mkt_info"](self.fqme)
            self.builders = open_buffers(mkt, self.conf)
        self._reached_s = None
        self.opened += 1
        self.upstreams += 1
        try:
            async with (
                collapse_eg(),
                open_upstream(self.mod, self.fqme, self._resume_point()) as upstream,
            ):
                await self._prepare(upstream)
                await upstream.play(self._handle, self._go_live)
        finally:
            self.upstreams -= 1

    def _resume_point(self) -> ResumePoint | None:
        """Say from where on trades are needed; None for a market seen first."""
        points = []
        for builder in self.builders.values():
            builder.reload()
            point = builder.resume_point()
            if point is not None:
                points.append(point)
        if not points:
            return None
        return ResumePoint(min(p[0] for p in points), min(p[1] for p in points))

    async def _prepare(self, upstream: Upstream) -> None:
        """Fill new buffers with history; say what there is to show."""
        self.init, self.first_quote = upstream.init, upstream.first_quote
        for builder in self.builders.values():
            builder.calendar = self.init.calendar
        if all(builder.newest_s is None for builder in self.builders.values()):
            fault = await load_history(self.mod, self.init, self.builders)
            if fault:
                self._warn(fault)
        if self.last != self.last:
            self.last = self.first_quote.last
        self._is_ready = True
        self._told.set()

    def _go_live(self) -> None:
        """Take what comes from now on as news."""
        if self._scope is not self._current:
            return  # closed just now: without data its bars are to stand still
        self.live, self.down = True, ""
        for sub in self.subs:
            if self.fqme in sub.told_down:
                sub.told_down.discard(self.fqme)
                sub.push_event(
                    Reconnected(
                        fqmes=(self.fqme,), missed=self.missed, time_ns=_wall_ns()
                    )
                )
        self._settled.set()
        self.on_clock(self.clock)
        if not isinstance(self.clock, SessionClock):
            self.on_step(self.clock.now_ns() // NS)

    # -- what it sends ----------------------------------------------------------

    def _handle(self, item: FeedItem) -> None:
        """Put what the backend sent into bars and quotes."""
        if isinstance(item, tuple):
            self._on_ticks(item[1])
        elif isinstance(item, Reached):
            self._reached_s = (item.time_ns - 1) // NS
            self._advance()
        else:
            self._on_event(item)

    def _on_ticks(self, ticks: list[Tick]) -> None:
        ticks = self._plausible(ticks)
        new = odd = 0
        for builder in self.builders.values():
            stats = builder.stats
            late, odd = stats.too_late, stats.odd
            new = max(new, builder.apply(ticks))
            odd = stats.odd - odd
            if stats.too_late > late and self.live:
                self._warn(f"a trade came too late for its {builder.period_s} s bar")
        if odd:
            self._warn("a trade has no time, or its price or size is no number")
            ticks = [t for t in ticks if t.type != "trade" or not is_odd(t)]
        for tick in ticks:
            if tick.type == "trade":
                self.last = tick.price
            self._newest[tick.type] = tick
        if self.live:
            self._publish(ticks)
        else:
            self.missed += new

    def _plausible(self, ticks: list[Tick]) -> list[Tick]:
        """Leave out trades stamped absurdly far ahead of the market's clock."""
        if not ticks or _is_full_speed(self.clock):
            return ticks
        now_ns = self.clock.now_ns()
        newest_ns = max(tick.time_ns for tick in ticks)
        if newest_ns <= now_ns + SKEW_WARN_S * NS:
            return ticks
        ahead_s = (newest_ns - now_ns) / NS
        self._warn(f"its venue's stamps lead the clock by {ahead_s:.0f} s")
        limit_ns = now_ns + SKEW_REFUSE_S * NS
        return [tick for tick in ticks if tick.time_ns <= limit_ns]

    def _publish(self, ticks: list[Tick]) -> None:
        if not self.subs or not ticks:
            return
        quote = Quote(
            fqme=self.fqme, last=self.last, ticks=ticks, time_ns=self.clock.now_ns()
        )
        raw = encode(quote) if len(self.subs) > 1 else None
        for sub in self.subs:
            sub.push(quote, raw)

    def _on_event(self, event: FeedEvent) -> None:
        if isinstance(event, Ended):
            self._end(event.reason)
        elif isinstance(event, Disconnected):
            self._set_down(event.reason)
        elif isinstance(event, Reconnected):
            self._go_live()
        else:
            self._tell(event)

    # -- time -------------------------------------------------------------------

    def on_step(self, step_s: int) -> None:
        """Open bars up to a step of its clock, or as far as its data goes.

        Only while it is live: else flat bars would take the place of what was missed.
        """
        self._step_s = step_s
        self._advance()

    def _advance(self) -> None:
        upto_s = self._reached_s
        if not isinstance(self.clock, SessionClock):
            upto_s = self._step_s if upto_s is None else min(self._step_s, upto_s)
        if upto_s is not None:
            for builder in self.builders.values():
                builder.advance_to(upto_s)

    # -- what goes wrong --------------------------------------------------------

    def _tell(self, event: FeedEvent) -> None:
        for sub in self.subs:
            sub.push_event(event)

    def _warn(self, reason: str) -> None:
        """Tell clients of an oddity, at most once a minute each kind."""
        kind = reason.partition(" by ")[0]
        now = trio.current_time()
        if now - self._warned_at.get(kind, -_WARN_EVERY_S) < _WARN_EVERY_S:
            return
        self._warned_at[kind] = now
        log.warning("%s: %s", self.fqme, reason)
        self._tell(Warned(fqmes=(self.fqme,), reason=reason, time_ns=_wall_ns()))

    def _lost(self, err: PikerError) -> None:
        log.warning("lost the source of %s: %s", self.fqme, err)
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
            close_buffers(self.builders)
            self.builders = {}
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


def _is_full_speed(clock: Clock) -> bool:
    return isinstance(clock, SessionClock) and not clock.speed


def _wall_ns() -> int:
    return time.time_ns()
