"""The bars of one market, of both periods, and the last of the ticks they came from.

ticks --plausible?--> 60 s bars, 1 s bars
steps of the clock, how far the data has come --the lesser--> flat bars up to there
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import isnan
from typing import Any

import trio

from piker.brokers import ResumePoint
from piker.config import DataConf
from piker.msgs import (
    CLEARS,
    NS,
    Clock,
    FeedInit,
    MktPair,
    Quote,
    SessionClock,
    ShmToken,
    Tick,
    WallClock,
)

from ._bars import BarBuilder, is_odd
from ._buffers import RT_S, Builders, close_buffers, open_buffers
from ._stamps import Stamps


@dataclass(eq=False)
class MarketBars:
    """The bars of one market.

    Attributes:
      warn: takes a sentence about an oddity.
      doubt: takes the period of bars that lack a trade, where the first opens, and
        before which the last does; seconds.
      builders: by period in seconds, empty while there are no buffers.
      newest: the newest tick of each type; of a side of the book that is gone, too.
      last: price of the newest trade.
      clock: the market's.
      stamps: which of its trades' stamps are believed.
    """

    warn: Callable[[str], None]
    doubt: Callable[[int, int, int], None]
    builders: Builders = field(default_factory=dict)
    newest: dict[str, Tick] = field(default_factory=dict)
    last: float = float("nan")
    clock: Clock = field(default_factory=WallClock)
    stamps: Stamps = field(default_factory=Stamps)
    _step_s: int = 0
    _reached_s: int | None = None

    def open(self, mkt: MktPair, conf: DataConf) -> None:
        """Adopt or make the buffers; raises ShmError."""
        self.builders = open_buffers(mkt, conf)

    def close(self) -> None:
        """Give the buffers up."""
        close_buffers(self.builders)
        self.builders = {}

    @property
    def is_empty(self) -> bool:
        """Whether no buffer has a bar."""
        return all(builder.newest_s is None for builder in self.builders.values())

    def token(self, period_s: int) -> ShmToken:
        """Return where the bars of a period lie."""
        return self.builders[period_s].writer.token

    def describe(self, init: FeedInit) -> None:
        """Take what the backend says of the market.

        A trade that is held back is dropped: it comes again, with all since the last
        that is known.
        """
        self._go_by(init.clock)
        for builder in self.builders.values():
            builder.calendar = init.calendar

    def change_clock(self, clock: Clock) -> list[Tick]:
        """Go by *clock* from now on; return the trades that were held back till now.

        They don't come again: they are to be taken by the new clock.
        """
        held = self.stamps.held()
        self._go_by(clock)
        return held

    def _go_by(self, clock: Clock) -> None:
        self.clock = clock
        # where its bars are ahead of the clock already, its trades may be too
        newest_s = self.builders[RT_S].newest_s or 0
        self.stamps.begin(newest_s * NS - clock.now_ns())

    def begin(self, quote: Quote) -> None:
        """Take what a stream starts with for the newest there is, where it is.

        What was bid and asked before isn't any more; a trade is the last until one
        with a later stamp comes.
        """
        known_ns = max((t.time_ns for t in self.newest.values()), default=0)
        told_ns = max((t.time_ns for t in quote.ticks), default=0)
        if isnan(self.last) or (told_ns > known_ns and not isnan(quote.last)):
            self.last, self.newest = quote.last, {}
        trades = [t for t in self.newest.values() if t.type in CLEARS]
        quotes = [t for t in quote.ticks if t.type not in CLEARS]
        self.newest = {t.type: t for t in (*trades, *quotes)}

    def resume_point(self) -> ResumePoint | None:
        """Say from where on trades are needed; None while there are no bars.

        How far the data has come is to be told anew.
        """
        self._reached_s = None
        points = []
        for builder in self.builders.values():
            builder.reload()
            point = builder.resume_point()
            if point is not None:
                points.append(point)
        if not points:
            return None
        return ResumePoint(min(p[0] for p in points), min(p[1] for p in points))

    def stats(self) -> dict[str, Any]:
        """Return what the 1 s bars have met."""
        if not self.builders:
            return {}
        writer = self.builders[RT_S].writer
        told = {
            "adoptions": writer.adoptions,
            "repairs": writer.repairs,
            "left_out": self.stamps.left_out,
        }
        return told | vars(self.builders[RT_S].stats)

    # -- what comes in ----------------------------------------------------------

    def take(self, ticks: list[Tick], *, live: bool) -> tuple[int, list[Tick]]:
        """Put ticks into the bars.

        Args:
          ticks: of this market, in order.
          live: whether a trade that comes too late is an oddity.

        Returns: how many trades were new, and the ticks that make sense.
        """
        ticks = self._plausible(ticks)
        new = odd = 0
        for builder in self.builders.values():
            stats = builder.stats
            late, odd = stats.too_late, stats.odd
            new = max(new, builder.apply(ticks))
            odd = stats.odd - odd
            if stats.too_late > late:
                self._doubt(builder)
            if stats.too_late > late and live:
                self.warn(f"a trade came too late for its {builder.period_s} s bar")
        if odd:
            self.warn("a trade has no time or count, or its price or size is no number")
            ticks = [t for t in ticks if t.type != "trade" or not is_odd(t)]
        for tick in ticks:
            if tick.type == "trade":
                self.last = tick.price
            self.newest[tick.type] = tick
        return new, ticks

    def _doubt(self, builder: BarBuilder) -> None:
        """Have the bars asked for again for which trades came too late."""
        for time_s in builder.late:
            self._note_doubt(builder, time_s, time_s + builder.period_s)
        builder.late.clear()

    def _note_doubt(self, builder: BarBuilder, start_s: int, end_s: int) -> None:
        """Have bars asked for again, by who comes next if this process is killed now.

        By then later trades may be in: from there on it would be gone on with.
        """
        builder.writer.doubt = start_s, end_s
        self.doubt(builder.period_s, start_s, end_s)

    def lose(self, start_ns: int, end_ns: int) -> None:
        """Have the bars asked for again that lack trades stamped in between."""
        for period_s, builder in self.builders.items():
            period_ns = period_s * NS
            first, last = start_ns // period_ns, end_ns // period_ns
            self._note_doubt(builder, first * period_s, (last + 1) * period_s)

    def _plausible(self, ticks: list[Tick]) -> list[Tick]:
        """Hold back, or leave out, trades stamped far ahead of the market's clock."""
        if isinstance(self.clock, SessionClock) and not self.clock.speed:
            return ticks
        stamps = self.stamps
        left_out, agreed = stamps.left_out, stamps.agreed
        ticks = stamps.sort(ticks, self.clock.now_ns(), trio.current_time())
        if stamps.agreed > agreed:
            self.warn(
                f"its venue's stamps lead the clock by {stamps.lead_ns / NS:.0f} s"
            )
        if stamps.left_out > left_out:
            self.warn("a stamp far ahead of all others was left out of the bars")
        return ticks

    # -- time -------------------------------------------------------------------

    def step(self, step_s: int) -> None:
        """Open bars up to a step of the clock, or as far as the data has come.

        Only while the market is live: else flat bars would take the place of trades
        that are still to be fetched.
        """
        self._step_s = step_s
        self._advance()

    def reach(self, time_ns: int) -> None:
        """Note that all trades before *time_ns* have come."""
        self._reached_s = (time_ns - 1) // NS
        self._advance()

    def _advance(self) -> None:
        upto_s = self._reached_s
        if not isinstance(self.clock, SessionClock):
            upto_s = self._step_s if upto_s is None else min(self._step_s, upto_s)
        if upto_s is not None:
            for builder in self.builders.values():
                builder.advance_to(upto_s)
