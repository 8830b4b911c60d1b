"""One market of a web venue: every trade once and in order, whatever the line does.

    parts --Sequence--> ticks --> datad          a hole, a lost connection, a doubt:
      ^                                          fetch what is missing by REST, then on
    fetched pages

While it isn't sure to know all, it says so (Disconnected), and when it does again
(Reconnected); a hole that is mended within two seconds goes unsaid.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from piker.brokers._backend import FeedItem, Lost, ResumePoint
from piker.brokers._parts import Part
from piker.brokers._sequence import Sequence
from piker.errors import VenueError
from piker.log import get_logger
from piker.msgs import Disconnected, Reconnected, Tick, Warned

from ._backoff import Backoff
from ._dialect import Doubt, Down, Failed, Item, Member, Up
from ._doubts import Doubts
from ._faults import FaultLog
from ._hub import Hub
from ._mends import CHECK, GAP, HOLE, Mend, Mends
from ._pages import FetchPage, Page, Since, newest_ns, page_from, will_pass
from ._silence import Silence

log = get_logger(__name__)

#: Trades that come out of order are waited for so long before they are asked for.
_REORDER_S: Final = 0.05
#: After a frame that could not be read, the next trade may show that nothing is lost.
_DOUBT_S: Final = 0.5
#: A hole is mended in silence within so long.
_MEND_S: Final = 2.0
#: So long the venue's REST service may know less than its stream.
_BEHIND_S: Final = 10.0
#: Whether the stream is too quiet is looked at so often.
_LOOK_S: Final = 1.0
_HELD_MAX: Final = 200_000
#: So many trades are never lost at once: one that comes after them has a damaged id.
_LOST_MAX: Final = 100_000


@dataclass(eq=False)
class MarketStream:
    """One market's stream.

    Attributes:
      fqme: full name.
      hub: where its frames come from.
      member: of the hub, for its symbol.
      fetch: gives past trades.
      send: takes items for datad.
      note_live: called when what was missed has been sent, the first time.
      start_ns: trades from there on are wanted.
      point: from where it is resumed, None for a new one.
      has_snapshot: whether a subscription begins with the newest trades.
      now_ns: the venue's time, ns since the epoch; None if it replays another.
      seq: the order of its trades; one that expects a serial goes on there.
      last_ns: stamp of the newest trade known.
      lost: trades that the venue didn't give.
      came_up: set, and replaced, whenever the market is subscribed to.
    """

    fqme: str
    hub: Hub
    member: Member
    fetch: FetchPage
    send: trio.MemorySendChannel[FeedItem]
    note_live: Callable[[], None]
    start_ns: int
    point: ResumePoint | None = None
    has_snapshot: bool = False
    now_ns: Callable[[], int] | None = None
    seq: Sequence = field(default_factory=Sequence)
    last_ns: int = 0
    lost: int = 0
    came_up: trio.Event = field(default_factory=trio.Event)
    _live: bool = False
    _was_live: bool = False
    _down: str = ""
    _at_loss: tuple[int, int] = field(init=False)
    _unsent: list[Tick] = field(default_factory=list)
    _silence: Silence = field(default_factory=Silence)
    _turn: trio.Lock = field(default_factory=trio.Lock)
    _mends: Mends = field(default_factory=Mends)
    _doubts: Doubts = field(default_factory=Doubts)
    _tasks: trio.Nursery = field(init=False)
    _faults: FaultLog = field(init=False)

    def __post_init__(self) -> None:
        self._faults = FaultLog(log, self.fqme)
        self._at_loss = self.seq.expect, 0

    async def run(self) -> None:
        """Stream until cancelled; raises what the venue refuses with."""
        async with trio.open_nursery() as self._tasks:
            self._tasks.start_soon(self._watch_quiet)
            self._tasks.start_soon(self._watch_doubts)
            async for item in self.member.items:
                await self._on_item(item)

    async def _on_item(self, item: Item) -> None:
        if isinstance(item, list):
            if any(part.first >= 0 for part in item):  # quotes have another channel
                self._silence.hear()
            await self._put(item)
            if self.seq.held > _HELD_MAX:
                self._drop(item)
            if self._live and self.seq.held:
                self._mend(self._close_hole, HOLE)
        elif isinstance(item, Up):
            self.came_up.set()
            self.came_up = trio.Event()
            self._mend(self._catch_up, GAP)
        elif isinstance(item, Doubt):
            self._doubts.at = self._silence.heard
        elif isinstance(item, Down):
            self._mends.cancel()
            self._doubts.take()  # all since then is asked for anyhow
            self._at_loss = self.seq.expect, self.seq.known
            await self._set_down(item.reason)
        elif isinstance(item, Failed):
            raise item.error

    def _drop(self, parts: list[Part]) -> None:
        """Leave out what there is no room to hold: it will be fetched with the rest."""
        if self.seq.drop_held(part.first for part in parts):
            self._faults.note("trades are left out until what came before is fetched")
            self._doubts.at = self._silence.heard

    async def _put(self, parts: list[Part], start: int | None = None) -> int:
        """Send what of *parts* is new and in order; return how many trades were.

        Args:
          parts: as they came.
          start: serial to begin at if none was begun at yet; -1 for the lowest that
            is held back, begun or not.
        """
        ticks: list[Tick] = []
        ready: list[Part] = []
        seq, trades = self.seq, 0
        async with self._turn:  # what is in order here is to be so there
            if start is not None and (start < 0 or seq.expect < 0):
                ready += seq.start_at(None if start < 0 else start)
            for part in parts:
                if part.first < 0:
                    ticks += part.ticks
                else:
                    seq.push(part, ready)
                if ready:
                    trades += self._count(ready, ticks)
            if ready:
                trades += self._count(ready, ticks)
            await self._flush(ticks)
        return trades

    def _count(self, ready: list[Part], ticks: list[Tick]) -> int:
        """Move the ticks of *ready* to *ticks*; return how many parts there were."""
        for part in ready:
            ticks += part.ticks
        if ticks:
            now_ns = None if self.now_ns is None else self.now_ns()
            self.last_ns = newest_ns(self.last_ns, ticks[-1].time_ns, now_ns)
        n = len(ready)
        ready.clear()
        return n

    async def _flush(self, ticks: list[Tick]) -> None:
        """Send ticks; a cancel leaves them for the next to send, none is lost."""
        if not self._was_live and self.point is None:
            start_ns = self.start_ns
            ticks = [t for t in ticks if t.type != "trade" or t.time_ns >= start_ns]
        self._unsent += ticks
        if self._unsent:
            await self.send.send((self.fqme, self._unsent))
            self._unsent = []

    # -- what is missing --------------------------------------------------------

    def _mend(self, how: Callable[[], Awaitable[None]], urgency: int) -> Mend:
        """Have one task at a time look for what is missing; return what does now."""
        return self._mends.start(self._tasks, how, urgency)

    async def _catch_up(self) -> None:
        """Fetch all since the last trade known, then be live."""
        if self.has_snapshot and self.seq.expect >= 0:
            await self._await_snapshot()
        else:
            await self._fetch_all()
        await self._go_live()

    async def _await_snapshot(self) -> None:
        """Be content with a subscription's first trades if they leave no hole.

        They may have come before we were told that we are subscribed.
        """
        before, known = self._at_loss
        with trio.move_on_after(1.0):
            while self.seq.known == known and not self.seq.held:
                if self.seq.expect > before:
                    return
                await trio.sleep(0.005)
        if self.seq.held or self.seq.known == known:
            await self._fetch_all()

    async def _close_hole(self) -> None:
        """Mend a hole in a live stream, or find out where it begins."""
        await trio.sleep(_REORDER_S)
        await self._begin_before()
        if not self.seq.held:
            return
        missing = f"the venue doesn't list trade {self.seq.lowest} yet: asking again"
        if hole := self.seq.hole:
            missing = f"trades {hole[0]} to {hole[1]} are missing: fetching them"
        with trio.move_on_after(_MEND_S) as patience:
            await self._fetch_all()
        if patience.cancelled_caught:
            await self._set_down(missing)
            await self._fetch_all()
            await self._go_live()

    async def _begin_before(self) -> None:
        """Begin with what is held back if it is from before all that is asked for.

        Else only the venue knows where to begin: trades may have been lost before the
        first one heard, and that one's id may be damaged.
        """
        since_ns = self.start_ns if self.point is None else self.point.time_ns
        if self.seq.expect < 0 and self.seq.begins_before(since_ns):
            await self._put([], -1)

    async def _watch_doubts(self) -> None:
        """Look into doubts, once there is no other work."""
        while True:
            await trio.sleep(_DOUBT_S)
            if self._doubts.is_due and not self._is_busy():
                self._mend(self._dispel, CHECK)

    async def _dispel(self) -> None:
        """Find out whether an unreadable frame was a trade."""
        await trio.sleep(_DOUBT_S)
        at, before = self._doubts.take(), self.seq.expect
        if self._silence.heard != at and not self.seq.held:
            return  # the next trade came: none is missing before it
        await self._fetch_all()
        self._doubts.done(found=self.seq.expect > before)

    async def _fetch_all(self) -> None:
        """Fetch pages until there are no more and there is no hole.

        What the venue doesn't give within a while is given up, and warned about.
        """
        backoff = Backoff(first_s=0.1, cap_s=2.0)
        behind_since: float | None = None
        expected = lowest = -1
        while True:
            page = await self._next_page()
            first = page.parts[0].first if page.parts else None
            found = await self._put(page.parts, first)
            if not page.is_last and found:
                continue
            await self._begin_before()
            if not self.seq.held:
                return
            hole = self.seq.hole
            if hole and page.parts and page.parts[-1].last > hole[1]:
                await self._lose(*hole)  # what it lists goes on beyond them
                continue
            now = trio.current_time()
            # a trade told just now, below what is held, is to be waited for as long
            if behind_since is None or found or self.seq.lowest != lowest:
                behind_since, expected = now, self.seq.expect
                lowest = self.seq.lowest
            if now - behind_since > _BEHIND_S:
                await self._give_up(is_moving=self.seq.expect > expected)
                return
            await trio.sleep(backoff.next_s())

    async def _next_page(self) -> Page:
        """Return the next page, however long it takes; say why if it does."""
        backoff = Backoff(first_s=0.25, cap_s=10.0)
        began, is_told = trio.current_time(), False
        given = self._was_live or self.point is not None or self.seq.expect >= 0
        while True:
            try:
                if self.seq.expect >= 0:
                    return await self.fetch(Since(self.seq.expect, self.last_ns))
                if self.point is not None:
                    return await page_from(self.fetch, self.point)
                return await self.fetch(Since(-1, self.start_ns))
            except VenueError as err:
                if not will_pass(err, was_given=given):
                    raise
                reason = f"what was missed can't be fetched yet: {err}"
                self._faults.note(reason)
                patience_s = _MEND_S if self._live else 0.0
                if not is_told and trio.current_time() - began >= patience_s:
                    is_told = True
                    # a live stream goes on all the same
                    await (self._warn if self._live else self._set_down)(reason)
                await trio.sleep(backoff.next_s())

    async def _warn(self, reason: str) -> None:
        await self.send.send(
            Warned(fqmes=(self.fqme,), reason=reason, time_ns=time.time_ns())
        )

    async def _give_up(self, *, is_moving: bool) -> None:
        """Go on without trades that the venue doesn't give.

        Args:
          is_moving: whether others came below them meanwhile: then what is held back
            is damaged, as it is where it lies far beyond what the venue knows.
        """
        hole = self.seq.hole
        if hole is None:
            await self._leave_held("the venue doesn't list it")
            self._doubts.at = self._silence.heard  # perhaps it will
        elif is_moving or hole[1] - hole[0] >= _LOST_MAX:
            await self._leave_held("its id is damaged")
        else:
            await self._lose(*hole)

    async def _lose(self, first: int, last: int) -> None:
        """Go on after trades that the venue doesn't list; ids leave no number out."""
        self.lost += last - first + 1
        reason = f"trades {first} to {last} are lost: the venue doesn't give them"
        log.error("%s: %s", self.fqme, reason)
        await self._warn(reason)
        await self.send.send(Lost(self.fqme, *self.seq.around_hole(self.last_ns)))
        await self._put([], -1)

    async def _leave_held(self, why: str) -> None:
        reason = f"trade {self.seq.lowest} is left out: {why}"
        self.seq.drop_held()
        self._faults.note(reason)
        await self._warn(reason)

    # -- what datad is told -----------------------------------------------------

    async def _go_live(self) -> None:
        if self._live:
            return
        self._live = True
        self._silence.begin()
        was_down, self._down = self._down, ""
        if not self._was_live:
            self._was_live = True
            self.note_live()
        elif was_down:
            event = Reconnected(fqmes=(self.fqme,), missed=-1, time_ns=time.time_ns())
            await self.send.send(event)

    async def _set_down(self, reason: str) -> None:
        self._live = False
        if self._down == reason:
            return
        self._down = reason  # another one is told too, for who comes later
        event = Disconnected(fqmes=(self.fqme,), reason=reason, time_ns=time.time_ns())
        await self.send.send(event)

    async def _watch_quiet(self) -> None:
        """Check a quiet market; take turns with the venue's others."""
        while True:
            await trio.sleep(_LOOK_S)
            heard = self._silence.heard
            if not self._silence.is_long or self._is_busy():
                continue
            turns = self._silence.turns(self.hub.dialect)
            await turns.spend()
            if heard == self._silence.heard and not self._is_busy():
                await self._check_quiet()
            else:
                turns.give_back()

    def _is_busy(self) -> bool:
        """Whether it is known that something is missing, or already looked for."""
        return not self._live or self._mends.current is not None

    async def _check_quiet(self) -> None:
        """Ask the venue whether a quiet market is one; if not, its stream is stale."""
        line, before, heard = self.came_up, self.seq.expect, self._silence.heard
        self._silence.note_check()
        await self._mend(self._fetch_all, CHECK).done.wait()
        await trio.sleep(_LOOK_S)
        if not self._live or self.came_up is not line:
            return  # that connection is gone
        was_full, self.member.was_full = self.member.was_full, False
        # a first trade may have been told, and left out while it wasn't listed
        is_late = self.seq.expect > before >= 0 and self._silence.heard == heard
        if is_late and not was_full:  # else it may be our side that left them out
            reason = f"the stream of {self.fqme} lags behind its venue"
            self.hub.distrust(self.member.symbol, reason)
