"""The past of one market: its newest bars at once, then the rest behind the scenes.

    venue --newest frame--> buffer --> a client sees bars
    store, venue --Backfill--> buffer, store        newest first, to the depth
    bars that close --LiveSaver--> store

All of it happens beside the quotes, and may fail or wait without them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType
from typing import Any, Final

import numpy as np
import trio

from piker.brokers import HistoryConf
from piker.config import DataConf
from piker.errors import VenueError
from piker.log import get_logger
from piker.msgs import NS, FeedInit, HistoryProgress, MktPair, SessionClock
from piker.service import collapse_eg, leaves
from piker.storage import read_tail
from piker.tsp import OHLCV, Span, between, is_news, newest_run

from ._backfill import Backfill
from ._bars import BarBuilder
from ._better import replaces
from ._buffers import HIST_S, RT_S, Builders
from ._doubts import Doubts
from ._keeper import CLOSE_DEADLINE_S, Keeper, Keepers, LiveSaver, in_thread
from ._shm import MUTABLE
from ._venue_bars import Frame, Pace, VenueBars
from .validate import broker_name, get_eps

log = get_logger(__name__)

#: A backend has so long for the newest bars.
NEWEST_DEADLINE_S: Final = 20.0
#: Bars that closed are stored so often, by period.
SAVE_EVERY_S: Final = {RT_S: 5.0, HIST_S: 1.0}
#: Who waits for a market waits so long for the newest of its stored bars.
TAIL_DEADLINE_S: Final = 2.0
#: The store is looked through for what lacks so often: a venue that had no bars before
#: some time, or couldn't be asked, may have them later.
LOOK_EVERY_S: Final = 3600.0
#: A bar is whole so long after its end, by the venue's time.
_CLOSED_NS: Final = 2 * NS
#: So many stored bars are enough to begin with.
_ENOUGH: Final = 500
#: Who waits for the market gets it first, then the rest of the past is looked for.
_AFTER_S: Final = 0.1
#: Progress is told so often at most.
_TELL_EVERY_S: Final = 0.25


def _set_event() -> trio.Event:
    event = trio.Event()
    event.set()
    return event


@dataclass(eq=False)
class History:
    """The past of one market.

    Attributes:
      fqme: its name.
      mod: its backend.
      conf: how far back.
      pace: of requests, shared by the venue's markets.
      tell: takes progress for whoever looks on.
      warn: takes a sentence about an oddity.
      keepers: of stores, shared by all in this process who write bars.
      progress: the newest, by period; none of a market that has no past.
    """

    fqme: str
    mod: ModuleType
    conf: DataConf
    pace: Pace
    tell: Callable[[HistoryProgress], None]
    warn: Callable[[str], None]
    keepers: Keepers = field(default_factory=Keepers)
    progress: dict[int, HistoryProgress] = field(default_factory=dict)
    _doubts: dict[int, Doubts] = field(
        default_factory=lambda: {RT_S: Doubts(), HIST_S: Doubts()}
    )
    _is_running: bool = False
    _ahead: dict[int, tuple[int, int, Frame]] = field(default_factory=dict)
    _is_asked: trio.Event = field(default_factory=_set_event)
    _newest: dict[int, Frame] = field(default_factory=dict)
    _told_at: dict[int, float] = field(default_factory=dict)
    _reached: dict[int, tuple[int, int]] = field(default_factory=dict)

    # -- at once ------------------------------------------------------------------

    async def ask_ahead(
        self, mkt: MktPair, task_status: Any = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Ask for the newest bars while the market is still being described.

        The time of day here is a guess at what its first trades will be; where it
        is a bad one `load_newest` asks again. Raises nothing.
        """
        self._ahead.clear()
        self._is_asked = trio.Event()
        task_status.started()
        try:
            with trio.move_on_after(NEWEST_DEADLINE_S):
                await self._ask_all_ahead(mkt)
        except Exception as err:  # noqa: BLE001 - said when it is asked again
            log.debug("history of %s, asked ahead: %r", self.fqme, err)
        finally:
            self._is_asked.set()

    async def _ask_all_ahead(self, mkt: MktPair) -> None:
        open_history = get_eps(self.mod, "datad").get("open_history_client")
        if open_history is None:
            return
        end_s = int(time.time()) // HIST_S * HIST_S

        async def ask(venue: VenueBars, period_s: int) -> None:
            asked_ns = time.time_ns()
            frame = await self._newest_frame(venue, period_s, end_s)
            self._ahead[period_s] = (asked_ns, end_s, frame)

        async with open_history(mkt) as (get_bars, conf), trio.open_nursery() as tasks:
            venue = VenueBars(get_bars, conf, self.pace, self.warn)
            for period_s in (HIST_S, RT_S) if conf.ahead else ():
                if period_s in conf.periods_s and self._depth_s(period_s):
                    tasks.start_soon(ask, venue, period_s)

    async def _newest_frame(self, venue: VenueBars, period_s: int, end_s: int) -> Frame:
        """Return the newest bars: stored ones, if they are many, and what lacks since.

        Raises VenueError.
        """
        if self.conf.store and not venue.conf.edition:
            stored = np.empty(0, OHLCV)
            with trio.move_on_after(TAIL_DEADLINE_S):  # a disk that hangs
                stored = await in_thread(read_tail, self.fqme, period_s)
            stored = newest_run(between(stored, None, end_s), period_s)
            # the newest were stored while trades could still come: asked for again
            stored = stored[:-MUTABLE]
            least = min(_ENOUGH, venue.conf.max_bars)
            if len(stored) >= least:
                since_s = int(stored["time"][-1]) + period_s
                if since_s > end_s - venue.conf.max_bars * period_s:
                    return await venue.newest_since(period_s, end_s, stored)
        return await venue.newest(period_s, end_s)

    def _asked_ahead(self, period_s: int, init: FeedInit) -> Frame | None:
        """Return what is of use of what was asked for ahead: bars that were closed."""
        asked_ns, end_s, frame = self._ahead.pop(period_s, (0, 0, None))
        if frame is None or isinstance(init.clock, SessionClock):
            return None
        venue_ns = asked_ns + init.clock.now_ns() - time.time_ns()
        is_closed = venue_ns >= init.start_ns + _CLOSED_NS
        start_s = init.start_ns // NS
        if not is_closed or not frame.start_s < start_s <= end_s:
            return None
        return frame.before(start_s)

    async def load_newest(self, init: FeedInit, builders: Builders) -> str:
        """Fill new buffers with the newest bars the venue has.

        Trades from before ``init.start_ns`` are left out from now on, whether there
        is history or not.

        Returns: what went wrong, in a sentence, empty if nothing: quotes go on.
        """
        for builder in builders.values():
            builder.since_ns = init.start_ns
            builder.writer.since_s = init.start_ns // NS
        if not init.start_ns:
            return ""
        fault = f"no history within {NEWEST_DEADLINE_S:g} s"
        with trio.move_on_after(NEWEST_DEADLINE_S):
            try:
                fault = await self._ask_newest(init, builders)
            except VenueError as err:
                fault = f"no history: {err}"
            except Exception as err:  # a bug there is no reason for no quotes
                log.exception("history of %s failed", self.fqme)
                name = broker_name(self.mod)
                fault = f"no history: {name!r} failed: {leaves(err)[0]!r}"
        return fault

    async def _ask_newest(self, init: FeedInit, builders: Builders) -> str:
        """Ask for the newest bars of all periods at once; return what went wrong."""
        open_history = get_eps(self.mod, "datad").get("open_history_client")
        if open_history is None:
            return ""
        await self._is_asked.wait()
        faults: list[str] = []

        async def ask(venue: VenueBars, period_s: int) -> None:
            try:
                start_s = init.start_ns // NS
                frame = self._asked_ahead(period_s, init)
                if frame is None:
                    frame = await self._newest_frame(venue, period_s, start_s)
            except VenueError as err:
                faults.append(f"no history: {err}")
            else:
                builders[period_s].prepend(frame.bars)
                self._newest[period_s] = frame

        async with open_history(init.mkt) as (get_bars, conf):
            venue = VenueBars(get_bars, conf, self.pace, self.warn)
            async with collapse_eg(), trio.open_nursery() as tasks:
                for period_s in builders.keys() & set(conf.periods_s):
                    if self._depth_s(period_s):
                        tasks.start_soon(ask, venue, period_s)
        return faults[0] if faults else ""

    def _depth_s(self, period_s: int) -> int:
        if period_s == HIST_S:
            return int(self.conf.hist_days * 86_400)
        return int(self.conf.rt_hours * 3600)

    # -- behind the scenes ----------------------------------------------------------

    async def run(self, init: FeedInit, builders: Builders) -> None:
        """Load what lacks and store what closes, until cancelled; raises nothing.

        A replay, a market on a session clock, has no past but its own, and isn't
        stored: what it plays lies on disk already.
        """
        if self._is_running or isinstance(init.clock, SessionClock):
            return
        self._is_running = True
        try:
            await trio.sleep(_AFTER_S)
            open_history = get_eps(self.mod, "datad").get("open_history_client")
            if open_history is None:
                await self._keep_all(builders, None)
            else:
                async with open_history(init.mkt) as (get_bars, conf):
                    venue = VenueBars(get_bars, conf, self.pace, self.warn)
                    await self._keep_all(builders, venue)
        except Exception as err:
            log.exception("history of %s failed", self.fqme)
            self.warn(f"its history stands still by a fault: {leaves(err)[0]!r}")
        finally:
            self._is_running = False
            self.progress = {p: t for p, t in self.progress.items() if t.done >= 1}

    async def _keep_all(self, builders: Builders, venue: VenueBars | None) -> None:
        async with AsyncExitStack() as stack:
            fills = {}
            for period_s, builder in builders.items():
                fills[period_s] = await self._backfill(builder, venue, stack)
            async with collapse_eg(), trio.open_nursery() as tasks:
                for fill in fills.values():
                    tasks.start_soon(self._keep, fill, fills[HIST_S])

    async def _backfill(
        self, builder: BarBuilder, venue: VenueBars | None, stack: AsyncExitStack
    ) -> Backfill:
        keeper = None
        if self.conf.store:
            edition = (venue.conf if venue else HistoryConf()).edition
            keeper = await stack.enter_async_context(
                self.keepers.held(self.fqme, builder.period_s, self.warn, edition)
            )
        note = self._note if venue is not None else _say_nothing
        span = _span(builder, self._depth_s(builder.period_s))
        fill = Backfill(builder, span, keeper, venue, self.warn, note)
        fill.urgent = partial(self._doubts[builder.period_s].settle, fill)
        end_s, at_s = self._reached.get(builder.period_s, (0, 0))
        if keeper is None and end_s == span[1] and builder.oldest_s:
            fill.at_s = at_s  # it is in the buffer since the market was open last
        return fill

    async def _keep(self, fill: Backfill, minutes: Backfill) -> None:
        """Load one period's past while its present is stored."""
        async with collapse_eg(), trio.open_nursery() as tasks:
            if fill.keeper is not None:
                await self._store_newest(fill.keeper, fill.builder)
                tasks.start_soon(_save_live, fill.builder, fill.keeper)
            tasks.start_soon(self._doubts[fill.period_s].keep_on, fill)
            try:
                await self._doubts[fill.period_s].load(fill)
                await fill.run(minutes)
                await self._mend(fill)
            except Exception as err:  # what closes is stored all the same
                log.exception("history of %s failed", self.fqme)
                fill.reason = f"it stands still by a fault: {leaves(err)[0]!r}"
                self.warn(f"its history stands still by a fault: {leaves(err)[0]!r}")
                fill.note(fill)
            finally:
                self._reached[fill.period_s] = fill.span[1], fill.at_s
            await trio.sleep_forever()

    async def _mend(self, fill: Backfill) -> None:
        """Ask again, for ever: soon for a bar in doubt, now and then for what lacks."""
        doubts = self._doubts[fill.period_s]
        look_at = trio.current_time() + LOOK_EVERY_S
        while True:
            with trio.move_on_at(min(look_at, doubts.due_at)):
                await doubts.event.wait()
            await doubts.settle(fill)
            if trio.current_time() >= look_at:
                look_at = trio.current_time() + LOOK_EVERY_S
                await fill.look_again()

    def doubt(self, period_s: int, start_s: int, end_s: int | None = None) -> None:
        """Note that bars may lack a trade: the venue is asked for them again.

        Args:
          period_s: their length.
          start_s: where the first opens.
          end_s: the last opens before it; one bar if None.
        """
        end_s = start_s + period_s if end_s is None else end_s
        self._doubts[period_s].add((start_s, end_s))

    async def _store_newest(self, keeper: Keeper, builder: BarBuilder) -> None:
        """Store the first frame, as far as it is news; show what is known better."""
        frame = self._newest.pop(keeper.period_s, None)
        if frame is not None and len(frame.bars):
            end_s = int(frame.bars["time"][-1]) + keeper.period_s
            known = await keeper.read((frame.start_s, end_s))
            fresh = frame.bars[replaces(frame.bars, known, keeper.period_s)]
            await keeper.append(fresh[is_news(fresh, known)])
            await keeper.note_empty(frame.empty)
            better = known[is_news(known, frame.bars) & (known["count"] > 0)]
            better = better[~np.isin(better["time"], fresh["time"])]
            await keeper.renew(builder.correct(better))

    def _note(self, fill: Backfill) -> None:
        """Tell how far it is, now and then, and at its end."""
        before = self.progress.get(fill.period_s)
        if before is not None and fill.done >= 1 and before.oldest_s == fill.at_s:
            return  # told already
        self.progress[fill.period_s] = told = HistoryProgress(
            fqmes=(self.fqme,),
            period_s=fill.period_s,
            done=fill.done,
            oldest_s=fill.at_s,
            bars=fill.bars,
            reason=fill.reason,
            time_ns=time.time_ns(),
        )
        now = trio.current_time()
        due_at = self._told_at.get(fill.period_s, -_TELL_EVERY_S) + _TELL_EVERY_S
        is_turn = before is None or before.reason != told.reason
        is_end = fill.done >= 1 and (before is None or before.done < 1)
        if is_turn or is_end or (now >= due_at and fill.done < 1):
            self._told_at[fill.period_s] = now
            self.tell(told)


def _say_nothing(_: Backfill) -> None:
    """Take the progress of a market that has no past."""


def _span(builder: BarBuilder, depth_s: int) -> Span:
    """Return what is to be loaded: up to where bars of trades begin."""
    end_s = builder.writer.since_s
    start_s = max(0, end_s - depth_s)
    return start_s - start_s % builder.period_s, end_s - end_s % builder.period_s


async def _save_live(builder: BarBuilder, keeper: Keeper) -> None:
    """Store bars as they close, until cancelled; then those that did last."""
    saver = LiveSaver(builder, keeper)
    try:
        while True:
            await saver.save()
            await trio.sleep(SAVE_EVERY_S[builder.period_s])
    finally:
        with trio.move_on_after(CLOSE_DEADLINE_S) as scope:
            scope.shield = True
            await saver.save()
