"""The feed bus of a datad: one upstream subscription a market, however many clients.

    client --subscribe--> markets by name, opened upstream while anybody claims them
    samplerd --steps--> markets on that clock: bars stay current while nothing trades

It must never wait for a client, and never hold a market up for another.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from types import ModuleType
from typing import Any, Final

import trio

from piker import config
from piker.errors import ServiceError, TransportClosed
from piker.log import get_logger
from piker.msgs import Clock, FlumeMsg, MktPair, SessionClock
from piker.service import collapse_eg

from ._keeper import Keepers
from ._market import SETTLE_S, Market
from ._sampling import open_sample_stream
from ._subs import Sub, Usher
from ._venue_bars import Pace
from .validate import broker_name, get_eps

log = get_logger(__name__)

#: A step that comes so much later than the one before it is handled after a pause, in
#: which the trades of that time come in: this process, or samplerd, was stopped. Or the
#: machine was asleep: then a backend notes that its line is dead, by its silence within
#: five seconds, and the market stands still until what was missed is fetched.
LATE_STEP_S: Final = 3
_LATE_PAUSE_S: Final = 6.0


class FeedsBus:
    """All markets of one broker in this actor."""

    nursery: trio.Nursery

    def __init__(self, mod: ModuleType) -> None:
        """Serve the backend *mod*; use `open_bus`."""
        self.mod = mod
        self.broker = broker_name(mod)
        self.markets: dict[str, Market] = {}
        self.conf = config.load_config().data
        self._clocks: set[str] = set()
        self.pace = Pace()
        self.usher = Usher()
        self.keepers = Keepers()
        self.mending: dict[str, float] = {}  # how much is done, by market
        self._idle_since = trio.current_time()
        self._uses = 0

    # -- clients ----------------------------------------------------------------

    async def resolve(self, name: str) -> str:
        """Return the full name of the market a user means; raises SymbolNotFound."""
        return (await self.describe(name)).fqme

    async def describe(self, name: str) -> MktPair:
        """Return the market that a name leads to; raises SymbolNotFound."""
        mkt: MktPair
        mkt, _ = await get_eps(self.mod, "datad")["get_mkt_info"](name)
        return mkt

    @contextmanager
    def used(self) -> Iterator[None]:
        """Keep this daemon from being idle for the block, whatever its markets do."""
        self._uses += 1
        try:
            yield
        finally:
            self._uses -= 1
            self._idle_since = trio.current_time()

    @asynccontextmanager
    async def subscribe(
        self, fqmes: list[str], throttle_hz: float | None, *, every_tick: bool = False
    ) -> AsyncIterator[tuple[Sub, list[FlumeMsg]]]:
        """Yield a subscription to markets, each opened upstream if it isn't yet.

        Raises what keeps any of them from it; then none of them is subscribed to.
        """
        names = [await self.resolve(fqme) for fqme in fqmes]
        sub = Sub(tuple(names), throttle_hz, every_tick=every_tick)
        claimed: dict[str, Market] = {}
        try:
            for name in names:
                if name not in claimed:
                    claimed[name] = self._claim(name)
            for market in claimed.values():
                await market.wait_ready()
            with trio.move_on_after(SETTLE_S):
                for market in claimed.values():
                    await market.wait_settled()
            # no await from here on: what happens is told once, in the flume or after it
            flumes = {name: market.join(sub) for name, market in claimed.items()}
            yield sub, [flumes[name] for name in names]
        finally:
            for market in claimed.values():
                with suppress(ValueError):  # it didn't come to be one
                    market.subs.remove(sub)
                self._unclaim(market)

    def _claim(self, fqme: str) -> Market:
        market = self.markets.get(fqme)
        if market is None:
            market = Market(
                fqme,
                self.mod,
                self.conf,
                self._follow_clock,
                self.pace,
                self.keepers,
                usher=self.usher,
            )
            self.markets[fqme] = market
        market.claims += 1
        market.start(self.nursery)
        return market

    def _unclaim(self, market: Market) -> None:
        market.claims -= 1
        if market.claims:
            return
        market.unclaimed_at = self._idle_since = trio.current_time()
        if market.failure is not None and not market.bars.builders:
            self.markets.pop(market.fqme, None)  # refused before it had a bar
        elif not market.is_ready:
            market.stop()  # nothing to linger for

    async def end_when_idle(self) -> None:
        """Close what nobody wants; return once that is so of all for long enough."""
        linger_s, idle_s = self.conf.linger_s, self.conf.idle_s
        look_every_s = min(1.0, linger_s / 4, idle_s / 4) + 0.01
        while True:
            await trio.sleep(look_every_s)
            now = trio.current_time()
            if self._uses:
                self._idle_since = now
            for market in self.markets.values():
                if market.claims:
                    self._idle_since = now
                elif market.is_wanted and now - market.unclaimed_at >= linger_s:
                    log.info("nobody wants %s any more", market.fqme)
                    market.stop()
            if now - self._idle_since >= idle_s:
                log.info("nobody wanted anything for %g s", idle_s)
                return

    def stats(self) -> dict[str, Any]:
        """Return by market what its bars and its subscribers are up to."""
        return {fqme: market.stats() for fqme, market in self.markets.items()}

    def doing(self) -> str:
        """Return how far the past of markets is loaded or mended, empty if it is."""
        mending = (f"mends {name}: {done:.0%}" for name, done in self.mending.items())
        return "; ".join(said for said in (self._loading(), *mending) if said)

    def _loading(self) -> str:
        loading = {
            fqme: told
            for fqme, market in self.markets.items()
            if (told := [p for p in market.history.progress.values() if p.done < 1])
        }
        if not loading:
            return ""
        each = [progress for told in loading.values() for progress in told]
        done = sum(p.done for p in each) / len(each)
        reasons = [p.reason for p in each if p.reason]
        what = next(iter(loading)) if len(loading) == 1 else f"{len(loading)} markets"
        why = f"; it waits: {reasons[0]}" if reasons else ""
        return f"loads the past of {what}: {done:.0%}{why}"

    def close(self) -> None:
        """Give up all buffers for the next datad to adopt."""
        for market in self.markets.values():
            market.close()

    # -- time -------------------------------------------------------------------

    def _follow_clock(self, clock: Clock) -> None:
        """Have the markets on a clock step with it; a replay's data steps by itself."""
        if clock.key in self._clocks or isinstance(clock, SessionClock):
            return
        self._clocks.add(clock.key)
        self.nursery.start_soon(self._step, clock)

    async def _step(self, clock: Clock) -> None:
        """Open the bars of all markets on a clock as its time passes."""
        before_s = 0
        async with open_sample_stream(clock) as steps:
            async for step_s in steps:
                mine = [
                    market
                    for market in self.markets.values()
                    if market.bars.clock.key == clock.key
                ]
                if not mine:  # they follow another by now
                    self._clocks.discard(clock.key)
                    break
                if before_s and step_s - before_s > LATE_STEP_S:
                    await trio.sleep(_LATE_PAUSE_S)
                before_s = step_s
                for market in mine:
                    if market.live and market.bars.clock.key == clock.key:
                        market.bars.step(step_s)


_bus: FeedsBus | None = None
_had_bus = False


@asynccontextmanager
async def open_bus(mod: ModuleType) -> AsyncIterator[FeedsBus]:
    """Make a bus this actor's for the length of the block."""
    global _bus, _had_bus  # noqa: PLW0603 - one bus per actor
    bus = FeedsBus(mod)
    try:
        async with collapse_eg(), trio.open_nursery() as bus.nursery:
            bus.nursery.start_soon(bus.usher.run)
            _bus, _had_bus = bus, True
            yield bus
            bus.nursery.cancel_scope.cancel()
    finally:
        _bus = None
        bus.close()  # after its tasks: none of them meets a closed buffer


def current_bus() -> FeedsBus:
    """Return this actor's bus.

    Raises: ServiceError outside datad; TransportClosed in one that is ending.
    """
    if _bus is None and _had_bus:
        raise TransportClosed("this datad is ending; the next one serves")
    if _bus is None:
        raise ServiceError("this process is not datad: it has no feed bus")
    return _bus
