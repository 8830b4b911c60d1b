"""One market of IB: its ticks to datad, and what was missed of it.

line --RawTicks--> Tape --> quotes, at once
                        --> trades: kept until what was before is fetched, then at once
line lost --> Disconnected ... subscribed --trades since the last known--> Reconnected

IB has no ids of trades and lists them by whole seconds. So a second is either heard
live from its beginning or fetched, never both. What can't be fetched, or IB's stream or
its list left out, is told as `Lost`, before the trades that follow: the bars of that
time are asked for.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import trio

from piker.brokers._aio import MethodProxy
from piker.brokers._backend import FeedItem, Lost as LostTrades, ResumePoint
from piker.brokers._parts import side_tick
from piker.log import get_logger
from piker.msgs import NS, Disconnected, Reconnected, Tick, Warned

from ._client import Client
from ._decode import Tape
from ._farms import Farms
from ._line import (
    TRADES_ROOM,
    Begun,
    FarmNote,
    LineItem,
    Lost,
    Note,
    RawTick,
    Subscribed,
    key_of,
)
from ._markets import Known
from ._missed import Missed
from ._schemas import GENERIC_TRADES
from ._shorts import Shorts

log = get_logger(__name__)

#: Items of a line that may wait to be taken: quotes by their kinds, trades all.
_ROOM: Final = TRADES_ROOM + 256
#: A first quote is waited for so long; then a bid may still follow an ask.
_QUOTE_S: Final = 3.0
_SETTLE_S: Final = 0.05
#: A line that tells nothing is taken for subscribed after so long.
_ACK_S: Final = 2.0
#: When the last trade was is told so soon after a line has begun.
_LAST_S: Final = 0.5
#: IB's list of trades is asked for so long after the last second that is wanted.
_LIST_S: Final = 0.3
#: Trades that are kept while what was before is fetched.
_KEPT_MAX: Final = 200_000
_LOOK_S: Final = 0.5


@dataclass(eq=False)
class MarketStream:
    """One market's stream.

    Attributes:
      known: the market.
      proxy: asks IB.
      send: takes items for datad.
      note_live: called when what was missed has been sent, the first time.
      start_ns: trades from there on are wanted.
      point: from where it is resumed, None for a new one.
      now_ns: the venue's time, ns since the epoch.
      tape: makes ticks of what the line tells.
      newest: by type, the newest ticks until `begin`.
    """

    known: Known
    proxy: MethodProxy[Client]
    send: trio.MemorySendChannel[FeedItem]
    note_live: Callable[[], None]
    start_ns: int
    point: ResumePoint | None = None
    now_ns: Callable[[], int] = time.time_ns
    tape: Tape = field(init=False)
    newest: dict[str, Tick] = field(default_factory=dict)
    _quoted: trio.Event = field(default_factory=trio.Event)
    _begun: trio.Event = field(default_factory=trio.Event)
    _kept: list[Tick] = field(default_factory=list)
    _live: bool = False
    _was_live: bool = False
    _down: str = ""
    _mend: trio.CancelScope | None = None
    _heard: int = 0
    _heard_at_ns: int = 0
    _first_heard: trio.Event = field(default_factory=trio.Event)
    _last_told: trio.Event = field(default_factory=trio.Event)
    _unsure_s: int = 0
    _is_kept: bool = False
    _is_doubt: bool = False
    _next_serial: int = 0
    _last_s: int = 0
    _gap_from_ns: int = 0
    _fetched_s: int = 0
    _shorts: Shorts = field(default_factory=Shorts)
    _farms: Farms = field(default_factory=Farms)
    _missed: Missed = field(init=False)
    _unsent: list[Tick] = field(default_factory=list)
    _lost: list[LostTrades] = field(default_factory=list)
    _turn: trio.Lock = field(default_factory=trio.Lock)
    _tasks: trio.Nursery = field(init=False)

    def __post_init__(self) -> None:
        self.tape = Tape(
            by_middle=self.known.is_by_middle,
            is_index=self.known.is_index,
            calendar=self.known.calendar,
        )
        self._missed = Missed(self.known, self.proxy, self._warn)

    @property
    def fqme(self) -> str:
        """The market's full name."""
        return self.known.mkt.fqme

    # -- its life ----------------------------------------------------------------------

    async def run(self) -> None:
        """Stream until cancelled; raises what IB refuses the market with."""
        generic = "" if self.known.is_by_middle else GENERIC_TRADES
        async with (
            self.proxy.stream(
                Client.ticks, self.known.contract, generic, room=_ROOM, key=key_of
            ) as batches,
            trio.open_nursery() as self._tasks,
        ):
            self._tasks.start_soon(self._watch)
            async for batch in batches:
                await self._on_batch(batch)
            self._tasks.cancel_scope.cancel()

    async def wait_quoted(self) -> None:
        """Wait for a first price, if one is told soon."""
        with trio.move_on_after(_QUOTE_S):
            await self._quoted.wait()
            await trio.sleep(_SETTLE_S)

    def begin(self) -> None:
        """Send from now on: datad knows what the market is."""
        self._begun.set()

    async def _on_batch(self, batch: Iterable[LineItem]) -> None:
        now_ns, ticks = self.now_ns(), []
        for item in batch:
            if isinstance(item, RawTick):
                self._note_heard(item, now_ns)
                ticks += self.tape.take(item, now_ns)
                continue
            await self._note_last()
            await self._put(ticks)
            ticks = []
            await self._on_event(item)
        await self._note_last()
        await self._put(ticks)

    async def _note_last(self) -> None:
        """Take note of a last trade that IB told later than it should have.

        It may be one that was heard: then those before it may still be missing.
        """
        if not self.tape.last_trade_s or self._last_told.is_set():
            return
        self._last_told.set()
        since_s, self._unsure_s = self._unsure_s, 0
        last_s = self.tape.last_trade_s
        if since_s and since_s <= last_s:
            await self._lose(since_s * NS, last_s * NS)

    def _note_heard(self, item: RawTick, now_ns: int) -> None:
        self._heard += 1
        self._note_begun(now_ns)
        if item.serial >= 0:
            if item.serial != self._next_serial and not self._gap_from_ns:
                self._gap_from_ns = max(self.tape.ids.second * NS, 1)
            self._next_serial = item.serial + 1

    def _note_begun(self, now_ns: int) -> None:
        if not self._first_heard.is_set():
            self._heard_at_ns = now_ns
            self._first_heard.set()

    async def _on_event(self, item: LineItem) -> None:
        if isinstance(item, Subscribed):
            if item.is_new:
                self.tape.begin()
                await self._put_quotes(
                    [side_tick("bid", None, None, 0), side_tick("ask", None, None, 0)]
                )
            self._farms.begin()
            self._first_heard, self._last_told = trio.Event(), trio.Event()
            self.tape.last_trade_s = 0
            self._is_kept, self._is_doubt = not item.is_new, item.is_doubt
            self._start_mend()
        elif isinstance(item, Begun):
            self._note_begun(self.now_ns())
        elif isinstance(item, Lost):
            await self._set_down(item.reason)
        elif isinstance(item, Note):
            await self._warn(item.text)
        elif isinstance(item, FarmNote):
            if not item.is_up:
                self._farms.note_down(item.name, _now())
            elif self._farms.note_up(item.name):
                self._come_back()

    # -- what is told ------------------------------------------------------------------

    async def _put(self, ticks: list[Tick]) -> None:
        """Send quotes, and trades if what was before them has been sent."""
        if not ticks:
            return
        if not self._begun.is_set():
            self._keep_newest(ticks)
        if self._live:
            await self._tell_gap()
            await self._flush(self._after_list(ticks))
            return
        trades = [tick for tick in ticks if tick.type == "trade"]
        if len(self._kept) + len(trades) > _KEPT_MAX:
            self._gap_from_ns = self._gap_from_ns or max(self._kept[0].time_ns, 1)
            self._kept.clear()
        self._kept += trades
        await self._put_quotes([tick for tick in ticks if tick.type != "trade"])

    def _keep_newest(self, ticks: list[Tick]) -> None:
        for tick in ticks:
            if tick.type == "trade":
                tick = Tick("last", tick.price, tick.size, tick.time_ns)  # noqa: PLW2901
            if tick.type in {"bid", "ask", "last"}:
                self.newest[tick.type] = tick
                self._quoted.set()

    def _after_list(self, ticks: list[Tick]) -> list[Tick]:
        """Return *ticks* without trades of seconds that were fetched.

        They come later than the list was asked for: it may lack them, as is told next.
        """
        end_ns = (self._fetched_s + 1) * NS
        late = [
            tick.time_ns for tick in ticks if tick.tid >= 0 and tick.time_ns < end_ns
        ]
        if late:
            self._note_lost(min(late), max(late))
        return [tick for tick in ticks if tick.tid < 0 or tick.time_ns >= end_ns]

    async def _put_quotes(self, ticks: list[Tick]) -> None:
        if ticks and self._begun.is_set():
            await self._flush(ticks)

    async def _flush(self, ticks: list[Tick]) -> None:
        """Send ticks; a cancel leaves them for the next to send, none is lost."""
        if not self._was_live and self.point is None:
            start_ns = self.start_ns
            ticks = [t for t in ticks if t.type != "trade" or t.time_ns >= start_ns]
        self._unsent += ticks
        async with self._turn:  # what is in order here is to be so there
            await self._tell_lost()
            ticks, self._unsent = self._unsent, []
            if not ticks:
                return
            try:
                await self.send.send((self.fqme, ticks))
            except trio.Cancelled:
                self._unsent = ticks + self._unsent
                raise
        self._last_s = max(
            self._last_s, max((t.tid >= 0) * t.time_ns for t in ticks) // NS
        )

    async def _tell_gap(self) -> None:
        """Tell of trades that were more than there was room for, once others came."""
        if self._gap_from_ns:
            from_ns, self._gap_from_ns = self._gap_from_ns, 0
            log.warning("%s: trades were lost: they weren't taken in time", self.fqme)
            await self._lose(from_ns, self.tape.ids.second * NS)

    async def _lose(self, start_ns: int, end_ns: int) -> None:
        """Tell that trades lack; a cancel leaves it for the next who tells anything."""
        self._note_lost(start_ns, end_ns)
        async with self._turn:
            await self._tell_lost()

    def _note_lost(self, start_ns: int, end_ns: int) -> None:
        span = min(start_ns, end_ns), max(start_ns, end_ns)
        self._lost.append(LostTrades(self.fqme, *span))

    async def _tell_lost(self) -> None:
        while self._lost:
            await self.send.send(self._lost[0])
            del self._lost[0]

    async def _warn(self, reason: str) -> None:
        await self._begun.wait()
        await self.send.send(
            Warned(fqmes=(self.fqme,), reason=reason, time_ns=time.time_ns())
        )

    async def _set_down(self, reason: str) -> None:
        self._live = False
        if self._mend is not None:
            self._mend.cancel()
        if self._down == reason:
            return
        self._down = reason
        await self._begun.wait()
        await self.send.send(
            Disconnected(fqmes=(self.fqme,), reason=reason, time_ns=time.time_ns())
        )

    async def _go_live(self) -> None:
        self._live = True
        was_down, self._down = self._down, ""
        if not self._was_live:
            self._was_live = True
            self.note_live()
        elif was_down:
            await self.send.send(
                Reconnected(fqmes=(self.fqme,), missed=-1, time_ns=time.time_ns())
            )

    # -- what was missed ---------------------------------------------------------------

    def _start_mend(self) -> None:
        self._live = False
        if self._mend is not None:
            self._mend.cancel()
        self._mend = trio.CancelScope()
        self._tasks.start_soon(self._catch_up, self._mend)

    async def _catch_up(self, scope: trio.CancelScope) -> None:
        """Fetch what was missed, then be live."""
        with scope:
            await self._begun.wait()
            since_s = self._since_s()
            if await self._has_missed(since_s):
                await self._fetch(since_s, await self._cut_s())
            while self._kept:
                kept, self._kept = self._kept, []
                await self._flush(self._after_list(kept))
            await self._go_live()

    def _since_s(self) -> int:
        """Return from which second on trades may be missing."""
        if self._last_s:
            return self._last_s
        if self.point is not None:
            return self.point.time_ns // NS
        return self.start_ns // NS

    async def _has_missed(self, since_s: int) -> bool:
        """Whether there was a trade since, as far as IB says when the last one was.

        It says so as a line begins, if there was any.
        """
        if self._is_kept:
            return True  # it goes on, and tells nothing of what was
        with trio.move_on_after(_ACK_S):
            await self._first_heard.wait()
        if self.known.is_by_middle or not self._first_heard.is_set():
            return True
        with trio.move_on_after(_LAST_S):
            await self._last_told.wait()
        last_s = self.tape.last_trade_s
        if not last_s and self._last_s:
            return True  # it traded, so when is only late to be told
        self._unsure_s = 0 if last_s else since_s
        if not self._is_doubt:
            return last_s >= since_s
        if last_s > since_s:
            await self._warn(
                f"ib told nothing of {self.fqme} for a while, though it traded: it was"
                " asked for anew"
            )
        return last_s > since_s  # what it told before is all of it

    async def _cut_s(self) -> int:
        """Return the last second that is to be fetched, once it is over.

        The line told something in that second or before: all later ones are heard live.
        """
        if self._first_heard.is_set():
            cut_s = (self._heard_at_ns + int(0.3 * NS)) // NS
        else:
            cut_s = self.now_ns() // NS + 1
        wait_s = (cut_s + 1) - self.now_ns() / NS + _LIST_S
        await trio.sleep(max(0.0, wait_s))
        return cut_s

    async def _fetch(self, since_s: int, cut_s: int) -> None:
        """Send the trades of a gap; what can't be had is told to be lost."""
        listed: Counter[tuple[int, float, float]] = Counter()

        async def send(ticks: list[Tick]) -> None:
            listed.update((t.time_ns, t.price, t.size) for t in ticks)
            await self._flush(ticks)

        lost_s = await self._missed.fetch(since_s, cut_s, send)
        heard = [t for t in self._kept if t.time_ns // NS <= cut_s]
        self._kept = [t for t in self._kept if t.time_ns // NS > cut_s]
        self._fetched_s = cut_s
        # a list may be behind what is heard: it is asked for soon
        lacks = Counter((t.time_ns, t.price, t.size) for t in heard) - listed
        if lost_s:
            await self._lose(lost_s * NS, cut_s * NS)
            return
        if lacks:
            await self._lose(min(lacks)[0], max(lacks)[0])
        await self._doubt_edge(since_s)

    async def _doubt_edge(self, since_s: int) -> None:
        """Have the bars of a gap's first second asked for again.

        What of it was heard before is known by the places of its trades: those are
        others where IB told less live than it lists.
        """
        if self.point is not None or self.tape.was_short:
            await self._lose(since_s * NS, since_s * NS)

    # -- what is odd -------------------------------------------------------------------

    async def _watch(self) -> None:
        """Look, now and then, after what no tick says."""
        await self._begun.wait()
        while True:
            await trio.sleep(_LOOK_S)
            await self._put(self.tape.flush(self.now_ns() // 10**6))
            if self._live and (span := self._shorts.take(self.tape, _now())):
                await self._lose(*span)
            await self._look_at_farms()

    async def _look_at_farms(self) -> None:
        """Be down while servers are lost that may be this market's."""
        if self._farms.look(self._heard, _now()):
            self._come_back()
        elif self._farms.lost and self._live:
            await self._set_down(
                f"ib has lost its servers {self._farms.lost!r}, maybe those of this"
                " market"
            )

    def _come_back(self) -> None:
        self._heard_at_ns = self.now_ns()
        self._is_kept = True  # when the last trade was is what it said before
        self._start_mend()


def _now() -> float:
    return trio.current_time()
