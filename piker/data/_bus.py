"""The feed bus of a datad: one upstream subscription a market, however many clients.

    backend.stream_quotes --ticks--> _Market: bars (1 s, 60 s) in shared memory
                                              quotes to its subscribers
    samplerd --steps--> bars stay current while nothing trades

It must never wait for a client, and never hold a market up for another.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import trio

from piker import config
from piker.brokers import FeedItem, ResumePoint
from piker.errors import (
    BadPayload,
    NoData,
    PikerError,
    ServiceError,
    SessionFileError,
    ShmBusy,
    ShmError,
    ShmMismatch,
    UsageError,
    VenueRefused,
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
    MktPair,
    Quote,
    Reconnected,
    SessionClock,
    Tick,
    Warned,
)
from piker.service import encode, shm_dir

from ._bars import BarBuilder
from ._sampling import open_sample_stream
from ._shm import ShmWriter
from ._subs import Sub
from .validate import broker_name, get_eps, validate_backend

log = get_logger(__name__)

RT_S: Final = 1
HIST_S: Final = 60
#: A new client waits so long at most for what was missed to be caught up with.
SETTLE_S: Final = 5.0
#: A backend has so long to describe a market and give its first quote.
START_DEADLINE_S: Final = 30.0
#: Waits before a lost upstream is opened again.
_RETRY_S: Final = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
#: Venue stamps further ahead of the market's clock are warned about, then refused.
SKEW_WARN_S: Final = 5
SKEW_REFUSE_S: Final = 3600
_WARN_EVERY_S: Final = 60.0
_TICK_BATCHES: Final = 64  # a backend may be so far ahead of the bars
#: What opening a market again can't mend.
_FATAL: Final = (UsageError, VenueRefused, BadPayload, ShmError, SessionFileError)


@dataclass(eq=False)
class Market:
    """One market of the bus.

    Attributes:
      fqme: full name.
      init: what the backend said of it.
      builders: of its bars, by period in seconds.
      last: price of the newest trade.
      live: what was missed has been caught up with; quotes and steps flow.
      ended: the source has no more data.
      settled: it is live, or won't be soon.
      down: why it isn't live, empty before the first try.
      missed: trades refetched since the source was lost.
      subs: who wants its quotes.
    """

    fqme: str
    init: FeedInit | None = None
    builders: dict[int, BarBuilder] = field(default_factory=dict)
    first_quote: Quote | None = None
    newest: dict[str, Tick] = field(default_factory=dict)
    last: float = float("nan")
    live: bool = False
    ended: bool = False
    down: str = ""
    missed: int = 0
    was_live: bool = False
    subs: set[Sub] = field(default_factory=set)
    ready: trio.Event = field(default_factory=trio.Event)
    settled: trio.Event = field(default_factory=trio.Event)
    failure: PikerError | None = None
    scope: trio.CancelScope | None = None
    warned_at: dict[str, float] = field(default_factory=dict)

    @property
    def clock(self) -> Clock:
        """The clock it runs on."""
        assert self.init is not None
        return self.init.clock

    def flume(self) -> FlumeMsg:
        """Describe it to a client."""
        assert self.init is not None
        assert self.first_quote is not None
        ticks = list(self.newest.values()) or self.first_quote.ticks
        quote = Quote(
            fqme=self.fqme, last=self.last, ticks=ticks, time_ns=self.clock.now_ns()
        )
        return FlumeMsg(
            init=self.init,
            first_quote=quote,
            rt_shm=self.builders[RT_S].writer.token,
            hist_shm=self.builders[HIST_S].writer.token,
            missed=self.missed,
            down=self.down,
        )


def _wall_ns() -> int:
    return time.time_ns()


class FeedsBus:
    """All markets of one broker in this actor."""

    def __init__(self, mod: ModuleType, nursery: trio.Nursery) -> None:
        self.mod = mod
        self.broker = broker_name(mod)
        self.nursery = nursery
        self.markets: dict[str, Market] = {}
        self.conf = config.load_config().data
        self._clocks: set[str] = set()
        self.idle_since: float | None = trio.current_time()

    # -- clients ----------------------------------------------------------------

    async def resolve(self, name: str) -> str:
        """Return the full name of the market a user means; raises SymbolNotFound."""
        mkt, _ = await get_eps(self.mod, "datad")["get_mkt_info"](name)
        return mkt.fqme

    @asynccontextmanager
    async def subscribe(
        self, fqmes: list[str], throttle_hz: float | None
    ) -> AsyncIterator[tuple[Sub, list[FlumeMsg]]]:
        """Yield a subscription to markets, each opened upstream if it isn't yet."""
        names = [await self.resolve(fqme) for fqme in fqmes]
        sub = Sub(tuple(names), throttle_hz)
        self.idle_since = None
        try:
            for name in dict.fromkeys(names):
                market = self._open(name)
                market.subs.add(sub)
            flumes = []
            for name in names:
                market = self.markets[name]
                await market.ready.wait()
                if market.failure is not None:
                    raise market.failure
                with trio.move_on_after(SETTLE_S):
                    await market.settled.wait()
                flumes.append(market.flume())
            yield sub, flumes
        finally:
            for name in names:
                if (left := self.markets.get(name)) is not None:
                    left.subs.discard(sub)
                    if not left.subs:
                        self.nursery.start_soon(self._linger, left)

    def _open(self, fqme: str) -> Market:
        market = self.markets.get(fqme)
        if market is None or market.failure is not None:
            market = self.markets[fqme] = Market(fqme)
        if market.scope is None and not market.ended:
            market.scope = trio.CancelScope()
            self.nursery.start_soon(self._run, market, market.scope)
        return market

    async def _linger(self, market: Market) -> None:
        """Close the upstream of a market that nobody wants any more; keep its bars."""
        await trio.sleep(self.conf.linger_s)
        if market.subs or self.markets.get(market.fqme) is not market:
            return
        if market.scope is not None:
            log.info("nobody wants %s any more", market.fqme)
            market.scope.cancel()
        if not any(m.subs for m in self.markets.values()):
            self.idle_since = trio.current_time()

    async def end_when_idle(self) -> None:
        """Return once nobody has wanted anything for the configured time."""
        while True:
            await trio.sleep(min(5.0, self.conf.idle_s / 4 + 0.01))
            wanted = any(m.subs for m in self.markets.values())
            if wanted:
                self.idle_since = None
            elif self.idle_since is None:
                self.idle_since = trio.current_time()
            elif trio.current_time() - self.idle_since >= self.conf.idle_s:
                return

    def stats(self) -> dict[str, Any]:
        """Return by market what its bars and its subscribers are up to."""
        return {
            fqme: {
                "subs": len(market.subs),
                "backlog": max((sub.backlog for sub in market.subs), default=0),
                "live": market.live,
                "down": market.down,
                "upstreams": int(market.scope is not None),
                **vars(market.builders[RT_S].stats),
            }
            for fqme, market in self.markets.items()
            if market.builders
        }

    def close(self) -> None:
        """Give up all buffers for the next datad to adopt."""
        for market in self.markets.values():
            for builder in market.builders.values():
                builder.writer.close()

    # -- one market -------------------------------------------------------------

    async def _run(self, market: Market, scope: trio.CancelScope) -> None:
        """Keep a market's upstream open until nobody wants it or it ends."""
        tries = 0
        try:
            with scope:
                while not market.ended:
                    try:
                        await self._stream(market)
                        self._end(market, "the source has no more data")
                    except PikerError as err:
                        if isinstance(err, _FATAL) and not isinstance(err, ShmBusy):
                            self._fail(market, err)
                            return
                        tries = 0 if market.live else tries + 1
                        self._lost(market, err)
                    if not market.ended:
                        await trio.sleep(_RETRY_S[min(tries, len(_RETRY_S) - 1)])
        finally:
            market.live = False
            market.scope = None

    async def _stream(self, market: Market) -> None:
        """Open the upstream once and handle what it sends until it ends."""
        stream_quotes = get_eps(self.mod, "datad")["stream_quotes"]
        send, receive = trio.open_memory_channel[FeedItem](_TICK_BATCHES)
        is_live = trio.Event()
        if not market.builders:
            await self._adopt(market)
        resume = self._resume_point(market)
        async with trio.open_nursery() as tasks, receive:
            with trio.fail_after(START_DEADLINE_S):
                inits, quotes = await tasks.start(
                    _closing(stream_quotes, send, [market.fqme], is_live, resume)
                )
            validate_backend(self.mod, [market.fqme], inits, quotes)
            await self._prepare(market, inits[0], quotes[market.fqme])
            tasks.start_soon(self._go_live, market, is_live)
            async for item in receive:
                self._handle(market, item)
            tasks.cancel_scope.cancel()

    async def _adopt(self, market: Market) -> None:
        """Take over the buffers that a datad before this one left."""
        mkt, _ = await get_eps(self.mod, "datad")["get_mkt_info"](market.fqme)
        if not all(Path(path).exists() for path in self._paths(market.fqme).values()):
            return
        try:
            self._open_buffers(market, mkt)
        except ShmMismatch as err:
            log.warning("making the buffers of %s anew: %s", market.fqme, err)
            for path in self._paths(market.fqme).values():
                Path(path).unlink(missing_ok=True)

    def _open_buffers(self, market: Market, mkt: MktPair) -> None:
        rows = {RT_S: self.conf.rt_bars, HIST_S: self.conf.hist_bars}
        opened: dict[int, BarBuilder] = {}
        try:
            for period, path in self._paths(market.fqme).items():
                writer = ShmWriter.open(
                    path, fqme=market.fqme, period_s=period, capacity=rows[period]
                )
                opened[period] = BarBuilder(writer, mkt, period)
        except ShmError:
            for builder in opened.values():
                builder.writer.close()
            raise
        market.builders = opened

    def _paths(self, fqme: str) -> dict[int, str]:
        return {p: str(shm_dir() / f"{fqme}.{p}s") for p in (RT_S, HIST_S)}

    def _resume_point(self, market: Market) -> dict[str, ResumePoint]:
        """Say from where on trades are needed; nothing for a market seen first."""
        points = []
        for builder in market.builders.values():
            builder.reload()
            points.append(builder.resume_point())
        if not points or None in points:
            return {}
        known = [point for point in points if point is not None]
        time_ns, tid = (min(p[i] for p in known) for i in (0, 1))
        return {market.fqme: ResumePoint(time_ns, tid)}

    async def _prepare(self, market: Market, init: FeedInit, quote: Quote) -> None:
        """Open or adopt the buffers; fill new ones with history."""
        market.init, market.first_quote = init, quote
        if not market.builders:
            self._open_buffers(market, init.mkt)
        for builder in market.builders.values():
            builder.calendar = init.calendar
            if builder.newest_s is None and init.start_ns:
                builder.since_ns = init.start_ns
                await self._load_history(market, builder)
        if quote.last == quote.last:
            market.last = quote.last
        market.ready.set()

    async def _load_history(self, market: Market, builder: BarBuilder) -> None:
        """Fill a new buffer with the newest bars the venue has."""
        assert market.init is not None
        open_history = get_eps(self.mod, "datad").get("open_history_client")
        if open_history is None:
            return
        end_s = market.init.start_ns // NS
        try:
            with trio.fail_after(START_DEADLINE_S):
                async with open_history(market.init.mkt) as (get_bars, conf):
                    if builder.period_s not in conf.periods_s:
                        return
                    bars = await get_bars(builder.period_s, end_s)
        except NoData:
            return
        except trio.TooSlowError:
            self._warn(market, f"no {builder.period_s} s history in time")
            return
        builder.writer.extend(bars)
        builder.reload()

    async def _go_live(self, market: Market, is_live: trio.Event) -> None:
        await is_live.wait()
        if market.was_live:
            self._tell(
                market,
                Reconnected(
                    fqmes=(market.fqme,), missed=market.missed, time_ns=_wall_ns()
                ),
            )
        market.live = market.was_live = True
        market.down = ""
        market.settled.set()
        self._follow_clock(market.clock)
        if not self._is_full_speed(market):
            self._advance(market, market.clock.now_ns() // NS)

    def _handle(self, market: Market, item: FeedItem) -> None:
        """Put what the backend sent into bars and quotes."""
        if not isinstance(item, tuple):
            self._on_event(market, item)
            return
        _, ticks = item
        ticks = self._plausible(market, ticks)
        new = 0
        for builder in market.builders.values():
            late = builder.stats.too_late
            new = max(new, builder.apply(ticks))
            if builder.stats.too_late > late:
                self._warn(
                    market, f"a trade came too late for its {builder.period_s} s bar"
                )
        for tick in ticks:
            if tick.type == "trade":
                market.last = tick.price
            market.newest[tick.type] = tick
        if not market.live:
            market.missed += new
            return
        self._publish(market, ticks)

    def _plausible(self, market: Market, ticks: list[Tick]) -> list[Tick]:
        """Leave out trades stamped absurdly far ahead of the market's clock."""
        if not ticks or self._is_full_speed(market):
            return ticks
        now_ns = market.clock.now_ns()
        newest_ns = max(tick.time_ns for tick in ticks)
        if newest_ns <= now_ns + SKEW_WARN_S * NS:
            return ticks
        ahead_s = (newest_ns - now_ns) / NS
        self._warn(market, f"its venue's stamps lead the clock by {ahead_s:.0f} s")
        limit_ns = now_ns + SKEW_REFUSE_S * NS
        return [tick for tick in ticks if tick.time_ns <= limit_ns]

    def _publish(self, market: Market, ticks: list[Tick]) -> None:
        if not market.subs or not ticks:
            return
        quote = Quote(
            fqme=market.fqme,
            last=market.last,
            ticks=ticks,
            time_ns=market.clock.now_ns(),
        )
        raw = encode(quote) if len(market.subs) > 1 else None
        for sub in market.subs:
            sub.push(quote, raw)

    # -- what goes wrong --------------------------------------------------------

    def _on_event(self, market: Market, event: FeedEvent) -> None:
        if isinstance(event, Disconnected):
            market.live, market.missed, market.down = False, 0, event.reason
        elif isinstance(event, Reconnected):
            market.live, market.down = True, ""
        elif isinstance(event, Ended):
            self._end(market, event.reason)
            return
        self._tell(market, event)

    def _tell(self, market: Market, event: FeedEvent) -> None:
        for sub in market.subs:
            sub.push_event(event)

    def _warn(self, market: Market, reason: str) -> None:
        """Tell clients of an oddity, at most once a minute each kind."""
        kind = reason.split(" by ")[0]
        now = trio.current_time()
        if now - market.warned_at.get(kind, -_WARN_EVERY_S) < _WARN_EVERY_S:
            return
        market.warned_at[kind] = now
        log.warning("%s: %s", market.fqme, reason)
        self._tell(
            market, Warned(fqmes=(market.fqme,), reason=reason, time_ns=_wall_ns())
        )

    def _lost(self, market: Market, err: PikerError) -> None:
        log.warning("lost the source of %s: %s", market.fqme, err)
        told = market.down
        market.live, market.missed, market.down = False, 0, str(err)
        market.settled.set()
        if market.was_live and not told:
            self._tell(
                market,
                Disconnected(fqmes=(market.fqme,), reason=str(err), time_ns=_wall_ns()),
            )

    def _fail(self, market: Market, err: PikerError) -> None:
        """Give a market up: its subscribers are told, the next one tries anew."""
        log.error("can't feed %s: %s", market.fqme, err)
        if market.ready.is_set():
            self._end(market, str(err))
            return
        market.failure = err
        market.ready.set()

    def _end(self, market: Market, reason: str) -> None:
        if market.ended:
            return
        market.ended, market.live, market.down = True, False, reason
        market.settled.set()
        log.info("%s ended: %s", market.fqme, reason)
        self._tell(
            market, Ended(fqmes=(market.fqme,), reason=reason, time_ns=_wall_ns())
        )

    # -- time -------------------------------------------------------------------

    def _is_full_speed(self, market: Market) -> bool:
        clock = market.clock
        return isinstance(clock, SessionClock) and not clock.speed

    def _follow_clock(self, clock: Clock) -> None:
        full_speed = isinstance(clock, SessionClock) and not clock.speed
        if clock.key in self._clocks or full_speed:
            return
        self._clocks.add(clock.key)
        self.nursery.start_soon(self._step, clock)

    async def _step(self, clock: Clock) -> None:
        """Open the bars of all markets on a clock as its time passes."""
        async with open_sample_stream(clock) as steps:
            async for step_s in steps:
                for market in self.markets.values():
                    if market.live and market.clock.key == clock.key:
                        self._advance(market, step_s)

    def _advance(self, market: Market, time_s: int) -> None:
        for builder in market.builders.values():
            builder.advance_to(time_s)


def _closing(
    stream_quotes: Any,
    send: trio.MemorySendChannel[FeedItem],
    symbols: list[str],
    is_live: trio.Event,
    resume: dict[str, ResumePoint],
) -> Any:
    """Return the backend's stream as a task that closes the channel at its end."""

    async def run(task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        async with send:
            await stream_quotes(
                send, symbols, is_live, resume=resume, task_status=task_status
            )

    return run


_bus: FeedsBus | None = None


def current_bus() -> FeedsBus:
    """Return this actor's bus; ServiceError outside datad."""
    if _bus is None:
        raise ServiceError("this process is not datad: it has no feed bus")
    return _bus


def set_bus(bus: FeedsBus | None) -> None:
    """Make *bus* this actor's."""
    global _bus  # noqa: PLW0603 - one bus per actor
    _bus = bus
