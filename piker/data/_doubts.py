"""Bars that may lack a trade: kept over restarts, asked for once they stand still.

    too late, or lost --add()--> told --keep()--> the store's manifest
                                        due --> Backfill.mend() --> forgotten

A bar that trades may still change isn't asked for: what it gets then would count twice.
Until the manifest has them they are noted in the buffer, which outlives a kill at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from piker.tsp import Span, join_spans, without

from ._backfill import Backfill

#: So long after a trade that came too late its bar is asked for: the venue's bars may
#: be behind its trades.
SETTLE_S: Final = 3.0
#: Bars that may still change are looked at again after so long, or a period.
_AGAIN_S: Final = 5.0
#: So many spans are kept at most: those that lie nearest are joined.
_SPANS_MAX: Final = 500
#: Further ahead of now than this no trade was lost: a stamp is damaged.
_AHEAD_S: Final = 3600
_NEVER: Final = float("inf")


@dataclass(eq=False)
class Doubts:
    """What of one market and period is to be asked for again.

    Attributes:
      spans: from bar to bar, epoch s; disjoint, ascending.
      event: set when one is added.
      due_at: when some are to be asked for, trio's time.
    """

    spans: tuple[Span, ...] = ()
    event: trio.Event = field(default_factory=trio.Event)
    due_at: float = _NEVER
    _told: tuple[Span, ...] = ()
    _unkept: tuple[Span, ...] = ()
    _fresh: tuple[Span, ...] = ()
    _news: trio.Event = field(default_factory=trio.Event)
    _turn: trio.Lock = field(default_factory=trio.Lock)

    def add(self, span: Span) -> None:
        """Note that bars may lack a trade."""
        self._told = _fewer(join_spans(self._told, [span]))
        self.due_at = min(self.due_at, trio.current_time() + SETTLE_S)
        self.event.set()
        self._news.set()

    async def load(self, fill: Backfill) -> None:
        """Take up what the store, or the buffer, kept of those before."""
        left = fill.builder.writer.doubt
        if left is not None:
            self.add(left)
        if fill.keeper is not None and await fill.keeper.ready():
            self.spans = _fewer(join_spans(self.spans, fill.keeper.doubts))
        if self.spans or self._told:
            self.due_at = min(self.due_at, trio.current_time() + SETTLE_S)

    async def keep_on(self, fill: Backfill) -> None:
        """Keep those that are told as they come, whatever else is waited for."""
        while True:
            await self._news.wait()
            self._news = trio.Event()
            await self._keep(fill)

    async def settle(self, fill: Backfill) -> None:
        """Keep those that are new; ask for what is due and changes no more.

        One is forgotten once it was asked for: not by who is cancelled before.
        """
        self.event = trio.Event()
        await self._keep(fill)
        if trio.current_time() < self.due_at:
            return
        self.due_at = _NEVER
        until_s = fill.builder.settled_s
        ripe = [(at_s, min(end_s, until_s)) for at_s, end_s in self.spans]
        while ripe := [span for span in ripe if span[1] > span[0]]:
            self._fresh = ()
            asked = await fill.mend(ripe)
            ripe = list(_left(ripe, asked))
            await self._forget(fill, asked)
        if self.spans:
            again_at = trio.current_time() + max(_AGAIN_S, fill.period_s)
            self.due_at = min(self.due_at, again_at)

    async def _forget(self, fill: Backfill, asked: Iterable[Span]) -> None:
        """Forget what was asked for, but not what was told again meanwhile."""
        async with self._turn:
            done = list(_left(asked, self._fresh))
            self.spans = tuple(_left(self.spans, done))
            self._unkept = tuple(_left(self._unkept, done))
            if fill.keeper is not None:
                for span in done:
                    await fill.keeper.dispel(span)
            self._release(fill)

    async def _keep(self, fill: Backfill) -> None:
        """Note durably what was told, as far as there are bars of it."""
        async with self._turn:
            told, self._told = self._told, ()
            newest_s = max(fill.builder.newest_s or 0, int(time.time()))
            beyond = [(-1 << 62, fill.builder.oldest_s), (newest_s + _AHEAD_S, 1 << 62)]
            news = [part for span in told for part in without(span, beyond)]
            if fill.can_mend:
                self.spans = _fewer(join_spans(self.spans, news))
                self._unkept = join_spans(self._unkept, news)
                self._fresh = join_spans(self._fresh, news)
            keeper = fill.keeper
            if keeper is not None and self._unkept and await keeper.doubt(self._unkept):
                self._unkept = ()
            self._release(fill)

    def _release(self, fill: Backfill) -> None:
        """Have the buffer note no doubt any more, if none is noted there alone."""
        if not self._told and not self._unkept:
            fill.builder.writer.doubt = None


def _left(spans: Iterable[Span], known: Sequence[Span]) -> Iterator[Span]:
    """Yield what of *spans* lies in none of *known*."""
    for span in spans:
        yield from without(span, known)


def _fewer(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    """Return *spans* or, of too many, those that lie near each other as one."""
    near_s = 1
    while len(spans) > _SPANS_MAX:
        near_s *= 2
        spans = join_spans((), spans, near_s)
    return spans
