"""Holes of stored bars, filled by asking the venue again: newest first, once.

    store --what lacks--> holes --a frame may answer for several--> store, buffer

Stored bars stay as they are, whatever the venue says of them, but for flat ones that go
on from what was filled. Each frame is stored as it comes: who breaks off has lost none
of them.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import numpy as np
import trio

from piker.errors import StoreError, VenueError, VenueRefused
from piker.msgs import MendProgress, MktPair
from piker.service import collapse_eg
from piker.storage import bars_folder, nothing_stored, read_bars, stored_span
from piker.tsp import Span, fill_gaps, missing_spans

from ._bars import BarBuilder
from ._bus import FeedsBus
from ._keeper import Keeper, in_thread
from ._venue_bars import Bars, Frame, VenueBars
from .validate import get_eps

Tell = Callable[[MendProgress], Awaitable[None]]

#: Periods looked at together: what they need of memory is bounded.
_WINDOW: Final = 1 << 17
#: Waits before a venue that doesn't answer is asked again; then it is given up:
#: somebody waits for it.
_RETRY_S: Final = (1.0, 2.0, 5.0)
#: Progress is told so often at most.
_TELL_EVERY_S: Final = 0.1


async def mend_market(
    bus: FeedsBus, fqme: str, period_s: int, span: Span | None, tell: Tell
) -> None:
    """Fill the holes of a market's stored bars, see `piker.data._rpc.mend_store`.

    Args:
      bus: its broker's.
      fqme: full or short name.
      period_s: bar length.
      span: bars lack there too, where stored ones don't reach so far.
      tell: told how far it is, and the end.
    """
    mkt = await bus.describe(fqme)
    if not await in_thread(bars_folder(mkt.fqme, period_s).is_dir):
        raise nothing_stored(mkt.fqme, period_s)
    open_history = get_eps(bus.mod, "datad").get("open_history_client")
    if open_history is None:
        raise _no_bars(bus.broker, period_s, ())
    notes: list[str] = []
    async with collapse_eg(), open_history(mkt) as (get_bars, conf):
        if period_s not in conf.periods_s:
            raise _no_bars(bus.broker, period_s, conf.periods_s)
        venue = VenueBars(get_bars, conf, bus.pace, notes.append)
        async with bus.keepers.held(
            mkt.fqme, period_s, notes.append, conf.edition
        ) as keeper:
            builder = partial(_builder, bus, mkt, period_s)
            name = f"{mkt.fqme}, {period_s} s"

            async def tell_all(told: MendProgress) -> None:
                bus.mending[name] = told.done
                await tell(told)

            try:
                await Mend(keeper, venue, tell_all, builder, notes).run(span)
            finally:
                bus.mending.pop(name, None)


def _no_bars(broker: str, period_s: int, known: tuple[int, ...]) -> VenueRefused:
    has = f"only of {', '.join(f'{p} s' for p in known)}" if known else "nor any other"
    return VenueRefused(
        f"{broker!r} gives no past bars of {period_s} s, {has}: what lacks can't be "
        "asked for; `piker store repair --offline` asks for none"
    )


def _builder(bus: FeedsBus, mkt: MktPair, period_s: int) -> BarBuilder | None:
    """Return what makes the bars of a market that is, or was, open here."""
    market = bus.markets.get(mkt.fqme)
    return market.bars.builders.get(period_s) if market is not None else None


@dataclass(eq=False)
class Mend:
    """Fills what lacks in one store.

    Attributes:
      keeper: of the store.
      venue: whom to ask; it has bars of the store's period.
      tell: told how far it is.
      builder: returns that of the market's buffer, if there is one: it is corrected
        there, too.
      notes: sentences to be told with the next progress.
      filled: bars that lacked and are stored by now.
      left: periods of which the venue has no bar.
    """

    keeper: Keeper
    venue: VenueBars
    tell: Tell
    builder: Callable[[], BarBuilder | None] = lambda: None
    notes: list[str] = field(default_factory=list)
    filled: int = 0
    left: int = 0
    _span: Span = (0, 0)
    _floor_s: int = 0
    _asked_s: int = 0
    _told_at: float = -_TELL_EVERY_S

    def __post_init__(self) -> None:
        self.period_s = self.keeper.period_s
        builder = self.builder()
        self._calendar = builder.calendar if builder is not None else None

    async def run(self, more: Span | None = None) -> None:
        """Ask for all that lacks from the first stored bar to the last.

        Args:
          more: bars lack there too, where stored ones don't reach so far.

        Raises: VenueError; StoreError.
        """
        if not await self.keeper.ready():
            raise self._store_fault()
        self._span = start_s, end_s = await self._whole_span(more)
        self._asked_s, self._floor_s = end_s, start_s
        if self.venue.conf.reach_bars:
            reach_s = self.venue.conf.reach_bars * self.period_s
            self._floor_s = max(start_s, int(time.time()) - reach_s)
        at_s = end_s
        while at_s > start_s:
            window = (max(start_s, at_s - _WINDOW * self.period_s), at_s)
            holes = await self._holes(window)
            before = self.filled
            for hole in reversed(holes):
                await self._fill(hole)
            if self.filled > before:
                holes = await self._holes(window)
            self.left += sum(map(self._periods, holes))
            at_s = window[0]
            await self._note(at_s)
        await self._note(start_s, is_end=True)

    async def _whole_span(self, more: Span | None) -> Span:
        """Return where bars are to be, in whole periods."""
        spans = [await in_thread(stored_span, self.keeper.fqme, self.period_s)]
        if more is not None:
            spans.append((more[0] - more[0] % self.period_s, more[1]))
        spans = [span for span in spans if span[1] > span[0]]
        if not spans:
            return 0, 0
        end_s = max(end for _, end in spans)
        return min(start for start, _ in spans), end_s - end_s % self.period_s

    async def _holes(self, window: Span) -> list[Span]:
        """Return what lacks of a window, that noted as empty too."""
        stored = await self._read(window)
        return missing_spans(stored["time"], window, self.period_s, self._calendar)

    def _periods(self, hole: Span) -> int:
        open_s = hole[1] - hole[0]
        if self._calendar is not None:
            open_s = self._calendar.open_seconds(*hole)
        return -(-open_s // self.period_s)

    async def _fill(self, hole: Span) -> None:
        """Ask for what lacks; one frame may answer for holes before, too."""
        self._asked_s = min(self._asked_s, hole[1])
        while self._asked_s > max(hole[0], self._floor_s):
            frame = await self._frame((self._floor_s, self._asked_s))
            await self._take(frame, self._asked_s)
            self._asked_s = self._floor_s if frame.is_last else frame.start_s
            await self._note(self._asked_s)

    async def _frame(self, span: Span) -> Frame:
        """Return the newest part of a span; raises VenueError."""
        tries = 0
        while True:
            try:
                return await self.venue.frame(self.period_s, span)
            except VenueError as err:
                if isinstance(err, VenueRefused) or tries == len(_RETRY_S):
                    text = f"{err}; {self.filled:,} bars that lacked are stored by now"
                    raise type(err)(text if self.filled else str(err)) from None
            await trio.sleep(_RETRY_S[tries])
            tries += 1

    async def _take(self, frame: Frame, end_s: int) -> None:
        """Store what lacks of a frame, and what it says isn't to be had."""
        if not len(frame.bars):
            return
        known = await self._read((frame.start_s, end_s))
        lacked = frame.bars[~np.isin(frame.bars["time"], known["time"])]
        if not await self.keeper.append(lacked):
            raise self._store_fault()
        self.filled += len(lacked)
        await self.keeper.note_empty(frame.empty)
        if len(lacked):
            await self._correct(known, lacked, end_s)

    async def _correct(self, known: Bars, lacked: Bars, end_s: int) -> None:
        """Put what lacked into the buffer, as far as that reaches back."""
        builder = self.builder()
        if builder is None or builder.newest_s is None:
            return
        oldest_s = builder.writer.row(builder.writer.bounds[0]).time
        if end_s <= oldest_s:
            return
        both = np.concatenate((known, lacked))
        both = both[np.argsort(both["time"])]
        at = np.searchsorted(both["time"], oldest_s, "right") - 1
        both = both[max(at, 0) :]
        # filled on from 1970, say, it would take gigabytes
        both["time"][0] = max(both["time"][0], oldest_s - self.period_s)
        # what was flat at a wrong close is to be flat at the right one
        whole = fill_gaps(both, self.period_s, self._calendar, end_s)
        changed = builder.correct(whole[~np.isin(whole["time"], known["time"])])
        await self.keeper.renew(changed)

    async def _read(self, span: Span) -> Bars:
        """Return what is stored of a span; raises StoreError."""
        read = partial(read_bars, self.keeper.fqme, self.period_s, *span)
        found = await in_thread(read)
        for fault in found.damaged:
            if fault not in self.notes:
                self.notes.append(fault)
        return found.bars()

    def _store_fault(self) -> StoreError:
        fault = self.keeper.fault
        assert fault is not None
        return type(fault)(str(fault))

    async def _note(self, at_s: int, *, is_end: bool = False) -> None:
        """Tell how far it is, now and then, and at its end."""
        now = trio.current_time()
        if not is_end and now < self._told_at + _TELL_EVERY_S:
            return
        self._told_at = now
        notes, self.notes[:] = tuple(dict.fromkeys(self.notes)), []
        start_s, end_s = self._span
        done = (end_s - at_s) / max(end_s - start_s, 1)
        await self.tell(
            MendProgress(
                done=1.0 if is_end else min(done, 0.999),
                filled=self.filled,
                left=self.left,
                notes=notes,
            )
        )
