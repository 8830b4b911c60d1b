"""One connection to a venue's stream, shared by many markets of this process.

    join(symbol) --> [Hub: connect, subscribe to all, read, decode] --> Member: Up,
                      lost or silent: back-off, connect again           parts, Down
                      one market served badly: it alone is asked for again

A market's frames go to its members in order. A frame that can't be decoded is counted,
logged once a kind, and told to all as a Doubt: something may have been lost.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Hashable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Any, Final

import trio

from piker.brokers._parts import Notice, Part
from piker.errors import (
    BadPayload,
    MarketGone,
    VenueError,
    VenueRefused,
    VenueUnreachable,
)
from piker.log import get_logger
from piker.msgs import NS, boot_ns
from piker.service import collapse_eg, leaves

from ._backoff import Backoff
from ._budget import RateBudget
from ._conf import WebConf
from ._dialect import AnySocket, Dialect, Doubt, Down, Failed, Item, Member, Tap, Up
from ._faults import FaultLog
from ._pace import Pace
from ._requests import Requests, to_ask_again
from ._shared import open_shared
from ._trust import Trust

log = get_logger(__name__)

#: After so much silence the venue is asked for a sign of life...
PING_AFTER_S: Final = 1.5
#: ...and after so much the connection is given up. Bars can take trades that are 8 s
#: late: what is left of it is for connecting again and fetching what was missed.
DEAD_AFTER_S: Final = 4.0
_ACK_S: Final = 10.0
_LOOK_S: Final = 0.25
_DOUBT_EVERY_S: Final = 1.0
#: Frames that are of no market; more of them are read more slowly.
_IDLE_FRAMES, _WINDOW_S = 500, 0.25


@dataclass(eq=False)
class HubStats:
    """What a hub has met.

    Attributes:
      connects: connections opened.
      frames: received.
      bad: of them could not be decoded.
    """

    connects: int = 0
    frames: int = 0
    bad: int = 0


@dataclass(eq=False)
class Hub:
    """The connection; use `open_hub`.

    Attributes:
      dialect: of the venue.
      proxy: URL, may be empty.
      reconnect_max_s: the longest wait before another connection.
      stats: what it has met.
      taps: called with each frame that says something of a market, before its
        members hear of it.
      fetching: requests under way to the venue's REST service that users share.
    """

    dialect: Dialect
    proxy: str = field(default="", repr=False)
    reconnect_max_s: float = 30.0
    stats: HubStats = field(default_factory=HubStats)
    taps: set[Tap] = field(default_factory=set)
    fetching: dict[Hashable, Any] = field(default_factory=dict)
    _members: dict[str, list[Member]] = field(default_factory=dict)
    _changed: trio.Event = field(default_factory=trio.Event)
    _wanted: trio.Event = field(default_factory=trio.Event)
    _asked: set[str] = field(default_factory=set)
    _up: set[str] = field(default_factory=set)
    _were_up: set[str] = field(default_factory=set)
    #: Until when those that are served badly are not asked for.
    _resting: dict[str, float] = field(default_factory=dict)
    _requests: Requests = field(init=False)
    _trust: Trust = field(init=False)
    _faults: FaultLog = field(init=False)
    _frame_at: float = 0.0
    _up_at: float = inf
    _was_up: bool = False
    _doubtful: trio.Event = field(default_factory=trio.Event)
    _distrust: str = ""

    def __post_init__(self) -> None:
        self._faults = FaultLog(log, self.dialect.venue)
        self._requests = Requests(self.dialect.acks)
        self._trust = Trust(self.reconnect_max_s)

    # -- members ----------------------------------------------------------------

    @asynccontextmanager
    async def join(self, symbol: str) -> AsyncIterator[Member]:
        """Yield a member that gets the frames of *symbol*."""
        send, receive = trio.open_memory_channel[Item](inf)
        member = Member(symbol, receive, send)
        self._members.setdefault(symbol, []).append(member)
        if symbol in self._up:
            member.tell(Up())
        self._note_change()
        try:
            yield member
        finally:
            receive.close()
            self._members[symbol].remove(member)
            if not self._members[symbol]:
                del self._members[symbol]
            self._note_change()

    def _note_change(self) -> None:
        self._changed.set()
        if self._members:
            self._wanted.set()
        else:
            self._wanted = trio.Event()

    def _tell(self, item: Item, symbols: Iterable[str] | None = None) -> None:
        """Tell all, or those of *symbols*; nobody is waited for."""
        for symbol in self._members if symbols is None else symbols:
            for member in self._members.get(symbol, ()):
                member.tell(item)

    def distrust(self, symbol: str, reason: str) -> None:
        """Note that less is said of a market than its venue knows.

        It is asked for again; where that doesn't help, or can't, the connection is
        given up.
        """
        if symbol in self._up:
            self._mistrust([symbol], reason)

    def _mistrust(self, symbols: list[str], reason: str) -> None:
        """Have markets that are served badly asked for again, others undisturbed."""
        if self._distrust:
            return  # it is being given up
        rests = self._trust.judge(symbols, self._up)
        if rests is None:
            self._distrust = reason
            return
        self._faults.note(reason)
        self._requests.forget(symbols)
        self._up -= set(symbols)
        self._tell(Down(reason), symbols)
        for symbol, rest_s in rests.items():
            self._resting[symbol] = trio.current_time() + rest_s
        self._changed.set()

    # -- the connection ---------------------------------------------------------

    async def run(self) -> None:
        """Keep a connection for as long as there are members, for ever."""
        backoff = Backoff(cap_s=self.reconnect_max_s)
        while True:
            await self._wanted.wait()
            self._up_at = inf
            fault: BaseException | None = None
            try:
                await self._connect()
            except (Exception, BaseExceptionGroup) as err:  # noqa: BLE001 - markets hear
                # one that comes as the hub ends holds that end, too: it isn't a fault
                await trio.lowlevel.checkpoint_if_cancelled()
                fault = err
            # before anybody hears of it: who joins then isn't to be told that it is up
            self._asked, self._up, self._resting = set(), set(), {}
            self._requests.clear()
            if fault is not None:
                self._tell(self._as_item(fault))
            held_s = max(0.0, trio.current_time() - self._up_at)
            await trio.sleep(backoff.next_s(held_s))

    def _as_item(self, err: BaseException) -> Down | Failed:
        """Return what *err* means to the markets; a bug is logged in full.

        Where a connection was let in before, a refusal will pass.
        """
        found = [each for each in leaves(err) if isinstance(each, VenueError)]
        for each in found:
            if isinstance(each, VenueRefused) and not self._was_up:
                return Failed(each)
        if not found:
            log.error("the stream of %s failed", self.dialect.venue, exc_info=err)
            return Down(f"the stream of {self.dialect.venue} failed: {err!r}")
        log.warning("%s", found[0])
        return Down(str(found[0]))

    async def _connect(self) -> None:
        """Connect once and read until the connection is lost or nobody wants it."""
        dialect = self.dialect
        await dialect.connects.spend()
        symbols = dialect.by_url(tuple(self._members))
        self.stats.connects += 1
        async with dialect.open_socket(
            dialect.venue, dialect.url(symbols), proxy=self.proxy
        ) as sock:
            self._up_at = self._frame_at = trio.current_time()
            self._distrust, self._was_up = "", True
            self._doubtful = trio.Event()  # what another one lost is fetched anyhow
            if dialect.in_url:
                self._asked = set(symbols)
                self._set_up(symbols)
            async with collapse_eg(), trio.open_nursery() as tasks:
                tasks.start_soon(self._subscribe, sock, tasks.cancel_scope)
                tasks.start_soon(self._watch, sock)
                tasks.start_soon(self._doubt)
                tasks.start_soon(self._read, sock)

    async def _subscribe(self, sock: AnySocket, scope: trio.CancelScope) -> None:
        """Keep what is subscribed to in step with who is there."""
        pace = RateBudget(self.dialect.frames_a_s, 1.0)
        while True:
            self._changed = trio.Event()
            if not self._members:
                scope.cancel()
            self._end_rests()
            wanted = set(self._members) - set(self._resting)
            # who leaves goes first: a full connection has room for others only then
            for old in self.dialect.by_frame(sorted(self._asked - wanted)):
                self._asked -= set(old)
                self._up -= set(old)
                self._requests.forget(old)  # whose answer nobody waits for any more
                frames = self.dialect.unsubscribe(old, self._requests.next_id())
                await self._say(sock, pace, frames)
            for new in self.dialect.by_frame(sorted(wanted - self._asked)):
                req_id = self._requests.ask(new)
                self._asked |= set(new)
                await self._say(sock, pace, self.dialect.subscribe(new, req_id))
                self._requests.note_said(req_id)
            with trio.move_on_at(min(self._resting.values(), default=inf)):
                await self._changed.wait()

    def _end_rests(self) -> None:
        """Let go what has rested; not before its old subscription is ended."""
        now, asked = trio.current_time(), self._asked
        self._resting = {
            symbol: until
            for symbol, until in self._resting.items()
            if until > now or symbol in asked
        }

    async def _say(self, sock: AnySocket, pace: RateBudget, frames: list[str]) -> None:
        for frame in frames:
            await pace.spend()
            await sock.send(frame)

    async def _watch(self, sock: AnySocket) -> None:
        """Give the connection up when the venue has been silent for too long."""
        venue, beat_s = self.dialect.venue, self.dialect.heartbeat_s
        pinged_at, slept_ns = 0.0, _slept_ns()
        while True:
            await trio.sleep(_LOOK_S)
            now = trio.current_time()
            asleep_s = (_slept_ns() - slept_ns) / NS
            if asleep_s > DEAD_AFTER_S:  # a silence that trio's clock doesn't count
                raise VenueUnreachable(f"this machine was asleep for {asleep_s:.0f} s")
            if self._distrust:
                raise VenueUnreachable(self._distrust)
            heard_at = sock.last_heard
            if now - heard_at > DEAD_AFTER_S:
                raise VenueUnreachable(f"{venue} said nothing for {DEAD_AFTER_S:g} s")
            if now - heard_at > PING_AFTER_S and pinged_at <= heard_at:
                pinged_at = now
                await sock.ping()
            if beat_s and now - self._frame_at > beat_s:
                raise VenueUnreachable(f"{venue} sent no heartbeat for {beat_s:g} s")
            if late := self._requests.late(_ACK_S):
                self._mistrust(late, f"{venue} didn't answer: {', '.join(late)}")

    async def _read(self, sock: AnySocket) -> None:
        pace = Pace(_IDLE_FRAMES, _WINDOW_S)
        while True:
            received_ns, batch = await sock.receive()
            self._frame_at = trio.current_time()
            if idle := self._take(batch, received_ns):
                await pace.took(idle)

    # -- what it says -----------------------------------------------------------

    def _take(self, batch: list[bytes], received_ns: int) -> int:
        """Hand each market its parts of a batch, all at once.

        Returns: how many of it were of no market.
        """
        parts, notices, bad = self._decode(batch, received_ns)
        self.stats.frames += len(batch)
        self.stats.bad += bad
        for notice in notices:
            if notice.kind == "ack":
                self._on_ack(notice)
            elif notice.kind == "refused":
                self._on_refusal(notice)
        for symbol, found in parts.items():
            for member in self._members.get(symbol, ()):
                member.tell(found)
        if bad:
            self._doubtful.set()
        return bad + len(notices)

    def _decode(
        self, batch: list[bytes], received_ns: int
    ) -> tuple[dict[str, list[Part]], list[Notice], int]:
        """Return the parts of each market, the notices, and how many are bad."""
        decode, taps = self.dialect.decode, self.taps
        parts: dict[str, list[Part]] = {}
        notices: list[Notice] = []
        bad = 0
        for payload in batch:
            try:
                told = decode(payload)
            except BadPayload as err:
                bad += 1
                self._faults.note(str(err))
                continue
            if isinstance(told, Notice):
                notices.append(told)
                continue
            if taps:
                for tap in taps:
                    tap(received_ns, payload, told)
            for part in told:
                if part.symbol in parts:
                    parts[part.symbol].append(part)
                else:
                    parts[part.symbol] = [part]
        return parts, notices, bad

    async def _doubt(self) -> None:
        """Tell all of bad frames: once a second, and of the last ones too."""
        while True:
            await self._doubtful.wait()
            self._doubtful = trio.Event()
            self._tell(Doubt())
            await trio.sleep(_DOUBT_EVERY_S)

    def _on_ack(self, notice: Notice) -> None:
        done = self._requests.answered(notice.req_id, notice.symbol)
        self._set_up([symbol for symbol in done if symbol in self._members])

    def _set_up(self, symbols: Iterable[str]) -> None:
        self._up.update(symbols)
        self._were_up.update(symbols)
        self._tell(Up(), symbols)

    def _on_refusal(self, notice: Notice) -> None:
        """Tell those whose subscription it was; a stranger's is only logged.

        Those for whom it may pass are asked for again.
        """
        venue, reason = self.dialect.venue, notice.reason
        symbols = self._requests.left(notice.req_id, notice.symbol)
        if symbols is None:
            self._faults.note(f"it refuses what nobody asked for: {notice.text!r}")
            return
        if again := to_ask_again(reason, symbols, self._were_up):
            self._mistrust(again, f"{venue} takes no subscription now: {notice.text}")
        error = MarketGone if reason == "market" else VenueRefused
        gone = [symbol for symbol in symbols if symbol not in again]
        self._requests.forget(gone)
        self._asked -= set(gone)
        for symbol in gone:
            text = f"{venue} refused {symbol!r}: {notice.text}"
            self._tell(Failed(error(text)), [symbol])


def _slept_ns() -> int:
    """Return for how long this machine has slept since it started."""
    return boot_ns() - time.monotonic_ns()


@asynccontextmanager
async def open_hub(
    dialect: Dialect, *, proxy: str = "", reconnect_max_s: float = 30.0
) -> AsyncIterator[Hub]:
    """Yield a hub; it connects when the first member joins."""
    hub = Hub(dialect, proxy, reconnect_max_s)
    async with collapse_eg(), trio.open_nursery() as tasks:
        tasks.start_soon(hub.run)
        try:
            yield hub
        finally:
            told = hub.stats
            log.info(
                "the stream of %s ends: %d connections, %d frames, %d of them bad",
                dialect.venue, told.connects, told.frames, told.bad,
            )  # fmt: skip
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def open_shared_hub(
    dialect: Dialect, conf: WebConf, *key: Hashable
) -> AsyncIterator[Hub]:
    """Yield a hub that all users of *key* in this process share."""
    opener = partial(
        open_hub, dialect, proxy=conf.proxy, reconnect_max_s=conf.reconnect_max_s
    )
    async with open_shared(opener, ("hub", *key, conf.proxy)) as hub:
        yield hub
