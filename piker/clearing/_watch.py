"""emsd's eyes on one market: every tick to the dark book, and what was missed scanned.

    open_feed(every_tick) --batches--> router.ticks --> fired
                          --lost, back--> bars of the meantime --> fired or reported

A dark order fires on what was seen, or on what still holds when the market is seen
again. What crossed its trigger in between and came back is reported, or fired if that
is wished.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import trio

from piker.data import Disconnected, Ended, Feed, Flume, Reconnected, open_feed
from piker.errors import PikerError
from piker.log import get_logger
from piker.msgs import NS, HistoryProgress, MktPair, Quote, Tick
from piker.service import collapse_eg

from ._dialog import Dialog
from ._exact import shortest
from ._market_state import MarketState
from ._router import Router
from ._triggers import Fired, crossed_in, still_holds

log = get_logger(__name__)

#: How often the time up to which a market was looked at is journaled, at most.
NOTE_S: Final = 5.0
#: How often the clock is looked at for what ends by it.
CLOCK_S: Final = 0.25
_RETRY_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
#: Bars of one second that are looked at after an outage, at most; of minutes beyond.
_FINE_S: Final = 6 * 3600
_REPORTS_KEPT: Final = 1000

#: Bars, dtype ``piker.tsp.OHLCV``, shape (n,).
Bars = npt.NDArray[np.void]


@dataclass(eq=False)
class Watch:
    """One market being watched.

    Attributes:
      fqme: its name, as it was asked for; the full one once it is known.
      router: whose darks these are.
      changed: called when the market is lost or seen again.
      max_age_s: of a tick that may fire something.
      state: what is known of it, None before it was seen at all.
      why: it can't be seen, while it was never seen; empty else.
      wanted_at: when somebody wanted it last, by trio's clock.
    """

    fqme: str
    router: Router
    changed: Callable[[], None]
    max_age_s: float
    state: MarketState | None = None
    why: str = ""
    wanted_at: float = -math.inf
    _scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    _settled: trio.Event = field(default_factory=trio.Event)
    _refusal: PikerError | None = None
    _noted_at: float = -math.inf
    _loading: set[int] = field(default_factory=lambda: {1, 60})
    _reported: set[tuple[str, int]] = field(default_factory=set)

    @property
    def mkt(self) -> MktPair:
        """The market; only once :meth:`ready` has returned."""
        assert self.state is not None
        return self.state.mkt

    async def ready(self) -> None:
        """Wait until it was seen once; raises what its feed is refused with."""
        while self.state is None:
            if self._refusal is not None:
                raise self._refusal
            await self._settled.wait()

    def stop(self) -> None:
        """End it: another one watches the same market, or nobody wants it."""
        self._scope.cancel()

    def let_go(self) -> None:
        """End it for that nobody wants it; what is known of the market is old then."""
        self.stop()
        if self.state is not None:
            self.state.down = self.state.down or "it isn't watched"

    async def run(self) -> None:
        """Watch, for ever, or until the market can't be had when it is first wanted."""
        with self._scope:
            async with collapse_eg(), trio.open_nursery() as tasks:
                tasks.start_soon(self._keep_time)
                await self._watch()
                tasks.cancel_scope.cancel()

    async def _watch(self) -> None:
        tries = 0
        while True:
            try:
                async with open_feed(
                    [self.fqme], every_tick=True, on_wait=self._lost
                ) as feed:
                    tries = 0
                    await self._look(feed)
            except PikerError as err:
                self._lost(str(err))
                if self.state is None and not self._has_orders:
                    self._refusal = err
                    self._settle()
                    return
            await trio.sleep(_RETRY_S[min(tries, len(_RETRY_S) - 1)])
            tries += 1

    @property
    def _has_orders(self) -> bool:
        """Whether an order waits there, which no refusal of the feed may end."""
        return self.fqme in self.router.unjudged or any(
            one.order.symbol == self.fqme for one in self.router.dialogs.values()
        )

    async def _look(self, feed: Feed) -> None:
        """Hear a feed, to its end; what was missed is looked at with a fresh quote."""
        flume = next(iter(feed.flumes.values()))
        messages = feed.messages  # from here on: what comes while bars are read waits
        state = self._seen(flume)
        async for msg in messages:
            await trio.lowlevel.checkpoint()  # a cancel waits for one batch at most
            match msg:
                case Quote():
                    await self._hear(flume, state, msg)
                case Disconnected() | Ended():
                    self._lost(msg.reason)
                case Reconnected():
                    state.down, state.skipped = "", True
                    self.changed()
                case HistoryProgress():
                    self._note_loading(msg)
                    if not self._loading and state.gap_s < math.inf:
                        await self._scan(flume, state, state.data_ns)
                case _:
                    pass

    async def _hear(self, flume: Flume, state: MarketState, quote: Quote) -> None:
        self.router.ticks(self.fqme, quote.ticks, quote.last)
        self._note_seen(state)
        newest_ns = quote.ticks[-1].time_ns if quote.ticks else 0
        if state.skipped and quote.ticks:
            await self._scan(flume, state, newest_ns)

    def _note_loading(self, told: HistoryProgress) -> None:
        if told.done < 1:
            self._loading.add(told.period_s)
        else:
            self._loading.discard(told.period_s)

    def _seen(self, flume: Flume) -> MarketState:
        """Take what the feed says of the market; what waits there is in its book."""
        first = flume.first_quote
        self.fqme = flume.fqme
        if self.state is None:  # one that was asked for by another name has it, maybe
            self.state = self.router.markets.get(self.fqme) or MarketState(
                mkt=flume.mkt, max_age_s=self.max_age_s or math.inf
            )
        state = self.state
        state.mkt, state.clock, state.calendar = flume.mkt, flume.clock, flume.calendar
        state.down, state.skipped = "", True
        state.take(first.ticks, first.last)
        self.router.watch(self.fqme, state)
        self.changed()
        self._settle()
        return state

    def _settle(self) -> None:
        self._settled.set()
        self._settled = trio.Event()

    def _lost(self, why: str) -> None:
        if self.state is None:
            is_news, self.why = why != self.why, why
        else:
            is_news = not self.state.down
            self.state.down = self.state.down or why
            if is_news:
                self._note_seen(self.state, at_once=True)
        if is_news:
            log.warning("%s isn't seen: %s", self.fqme, why)
            self.changed()

    def _note_seen(self, state: MarketState, *, at_once: bool = False) -> None:
        """Have it journaled how far the market was looked at, if anything waits."""
        now = trio.current_time()
        if state.book and (at_once or now - self._noted_at >= NOTE_S):
            self._noted_at = now
            seen_ns = state.seen_ns
            if state.gap_s < math.inf:  # the bars of a gap aren't all there
                seen_ns = min(seen_ns, int(state.gap_s) * NS)
            self.router.note(f"seen/{self.fqme}", seen_ns)
            self.router.flush()

    async def _keep_time(self) -> None:
        """End what the market's clock runs out for, whether it quotes or not."""
        while True:
            if self.fqme in self.router.markets:
                self.router.expire(self.fqme)
            await trio.sleep(CLOCK_S)

    # -- what was missed ------------------------------------------------------

    async def _scan(self, flume: Flume, state: MarketState, newest_ns: int) -> None:
        """Look at the bars of the time in which nobody looked.

        Args:
          flume: has the bars.
          state: of the market.
          newest_ns: stamp of the newest tick, which says whether anything may fire now.
        """
        unjudged = self.router.unjudged.get(self.fqme, [])
        if not (state.book or unjudged):
            state.note_seen()
            state.gap_s = math.inf
            return
        if self.router.halted or not state.may_fire(newest_ns):
            state.skipped = True
            return
        since_s = state.gap_s = min(self._since_s(state), state.gap_s)
        period_s = 1 if state.now_ns() / NS - since_s <= _FINE_S else 60
        bars = await flume.read(since_s // period_s * period_s, None, period_s)
        for dialog in [self.router.dialogs[oid] for oid in state.book]:
            self._judge(dialog, state, *_bars_of(bars, dialog, period_s))
        with self.router.together():  # what is reported is forgotten in one
            for dialog, until_ns in self.router.unjudged.get(self.fqme, []):
                before = bars[bars["time"] * NS <= until_ns]
                self._judge_late(dialog, *_bars_of(before, dialog, period_s))
            if not self._loading:
                self.router.judged(self.fqme)
        state.skipped = False
        if not state.is_aside:
            state.note_seen()
        if not self._loading:
            state.gap_s = math.inf

    def _since_s(self, state: MarketState) -> float:
        """Return from when on nobody looked, epoch seconds by the market's clock."""
        waiting = [self.router.dialogs[oid] for oid in state.book]
        waiting += [dialog for dialog, _ in self.router.unjudged.get(self.fqme, [])]
        return max(min(one.born_ns for one in waiting), state.seen_ns) // NS

    def _judge_late(self, dialog: Dialog, after: Bars, whole: Bars) -> None:
        """Report one that was crossed before it was cancelled, or edited.

        What has fired since, by another trigger, is told as that.
        """
        trigger = dialog.trigger
        assert trigger is not None
        now = self.router.find(dialog.oid)
        if now is None or now.state not in ("dark", "canceled"):
            return
        if crossed_in(trigger, after["high"], after["low"]):
            sure = crossed_in(trigger, whole["high"], whole["low"])
            was = "was" if sure else "may have been"
            self._report(
                now, f"its price {was} reached while nobody looked, before that"
            )

    def _judge(
        self, dialog: Dialog, state: MarketState, after: Bars, whole: Bars
    ) -> None:
        """Fire one that holds, report one that was crossed and holds no more.

        Args:
          dialog: a dark one.
          state: of its market.
          after: bars of the time in question, dtype ``OHLCV``.
          whole: those of them that began when the order was there already.
        """
        trigger, price = dialog.trigger, state.last
        assert trigger is not None
        holds = not math.isnan(price) and still_holds(trigger, price)
        crossed = crossed_in(trigger, whole["high"], whole["low"])
        fires = holds or (
            crossed
            and (dialog.is_alert or self.router.clearing.on_missed_cross == "fire")
        )
        if fires:
            at = price if holds else float(trigger.level)
            if state.book.remove(dialog.oid):
                tick = Tick("last", at, 0.0, state.now_ns())
                fired = Fired(dialog.oid, shortest(at), tick)
                self.router.fire(fired, "it was reached while nobody looked")
        elif crossed or crossed_in(trigger, after["high"], after["low"]):
            was = "was" if crossed else "may have been"
            self._report(
                dialog,
                f"its price {was} reached while nobody looked, and has come back since:"
                " it waits on",
            )

    def _report(self, dialog: Dialog, reason: str) -> None:
        """Tell of a cross that was missed, once an outage."""
        assert self.state is not None
        key = (dialog.oid, int(self.state.gap_s))
        if key not in self._reported:
            self._reported = {key, *list(self._reported)[:_REPORTS_KEPT]}
            self.router.report(dialog, reason)


def _bars_of(bars: Bars, dialog: Dialog, period_s: int) -> tuple[Bars, Bars]:
    """Return the bars in which an order waited, and those that began after it came."""
    after = bars[(bars["time"] + period_s) * NS > dialog.born_ns]
    return after, after[after["time"] * NS >= dialog.born_ns]
