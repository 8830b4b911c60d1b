"""Playing markets: ticks as they come due by the market's clock.

    recorded frames | synthetic trades --due--> Player --batches, Reached--> datad

Bars follow the data: a Reached says how far it has come, so a late player makes no bar
wrong. Nothing here blocks for long, however much there is to skip.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from piker.brokers._backend import FeedItem, Reached, ResumePoint
from piker.brokers._session_notes import Down, Up
from piker.errors import SessionFileError
from piker.msgs import NS, Clock, FeedInit, SessionClock, Tick, Warned

from ._sessions import Batch, PlayReport
from ._worlds import BLOCK_NS, Replay, World, world_end_ns

_BATCH_TICKS: Final = 512
_DUE_S: Final = 0.002  # what is due so soon is due now
_POLL_S: Final = 0.05
_LEAP_NS: Final = 600 * NS  # synthetic trades made at once
_FAIR_FRAMES: Final = 256  # of a busy loop, then others run


@dataclass(eq=False)
class Player:
    """Sends one market's ticks in batches, and says when what comes is news.

    Attributes:
      fqme: the market.
      clock: it runs on.
      send: where to.
      note_live: called once, before the first tick that is news.
      news_ns: from there on ticks are news: receive stamps where the clock runs, the
        venue's stamps at full speed.
      is_down: trades are missing here that follow later: the clock opens no bars.
    """

    fqme: str
    clock: Clock
    send: trio.MemorySendChannel[FeedItem]
    note_live: Callable[[], None]
    news_ns: int = 0
    is_down: bool = False
    _delay_ns: int | None = None
    _due: list[Tick] = field(default_factory=list)
    _is_live: bool = False
    _reached_s: int = 0

    @property
    def is_full_speed(self) -> bool:
        """Whether no clock is to be waited for."""
        return isinstance(self.clock, SessionClock) and not self.clock.speed

    def begin(self, point: ResumePoint | None) -> None:
        """Take what comes up to now, or up to *point* at full speed, as missed."""
        if not self.is_full_speed:
            self.news_ns = self.clock.now_ns()
        elif point is not None:
            self.news_ns = point.time_ns + 1

    async def note(self, at_ns: int) -> None:
        """Say that what follows is of *at_ns* or later."""
        if not self._is_live and at_ns >= self.news_ns:
            await self.flush()
            self._is_live = True
            self.note_live()

    async def add(self, ticks: list[Tick]) -> None:
        """Take ticks that are due."""
        self._due += ticks
        if len(self._due) >= _BATCH_TICKS:
            await self.flush()

    async def flush(self) -> None:
        """Send what is due."""
        for at in range(0, len(self._due), _BATCH_TICKS):
            await self.send.send((self.fqme, self._due[at : at + _BATCH_TICKS]))
        self._due = []

    async def reach(self, time_ns: int) -> None:
        """Say that all trades before *time_ns* were sent; once a second of it."""
        if time_ns // NS > self._reached_s:
            await self.flush()
            self._reached_s = time_ns // NS
            await self.send.send(Reached(self.fqme, time_ns))

    def note_delay(self, receive_ns: int, trade: Tick) -> None:
        """Learn how far the recorder's clock is ahead of the venue's, at least."""
        delay_ns = max(0, receive_ns - trade.time_ns)
        if self._delay_ns is None or delay_ns < self._delay_ns:
            self._delay_ns = delay_ns

    async def wait_until(self, time_ns: int) -> None:
        """Wait until the clock shows *time_ns*; seconds without data pass too."""
        clock = self.clock
        assert isinstance(clock, SessionClock), "recordings have a clock of their own"
        while (wait_s := clock.delay_s(time_ns)) > _DUE_S:
            await self.flush()
            if self._delay_ns is not None and not self.is_down:
                await self.reach(min(clock.now_ns(), time_ns) - self._delay_ns)
            await trio.sleep(min(wait_s, max(1 / clock.speed, _POLL_S)))


async def play(
    replay: Replay,
    send: trio.MemorySendChannel[FeedItem],
    init: FeedInit,
    point: ResumePoint | None,
    note_live: Callable[[], None],
) -> None:
    """Send a recorded market's ticks, from *point* on if there is one."""
    report = PlayReport()
    player = Player(replay.mkt.fqme, init.clock, send, note_live)
    player.begin(point)
    try:
        await _play_frames(replay, report, player, point)
    except SessionFileError:
        await player.flush()  # what can be played is played
        raise
    if report.bad:
        text = f"{report.bad} bad frames were left out, the last: {report.last_bad}"
        told = Warned(fqmes=(player.fqme,), reason=text, time_ns=time.time_ns())
        await send.send(told)


async def _play_frames(
    replay: Replay, report: PlayReport, player: Player, point: ResumePoint | None
) -> None:
    skip_to = point.tid if point else -1
    symbol = replay.mkt.bs_mktid
    for at, batch in enumerate(replay.session.records(report)):
        if not at % _FAIR_FRAMES:
            await trio.lowlevel.checkpoint()
        if not isinstance(batch, Batch):
            if isinstance(batch, Down | Up) and symbol in batch.symbols:
                player.is_down = isinstance(batch, Down)
            continue
        if batch.fqme != player.fqme:
            continue
        if batch.ticks[-1].type == "trade":
            player.note_delay(batch.receive_ns, batch.ticks[-1])
        if skip_to >= 0:
            tids = [tick.tid for tick in batch.ticks if tick.type == "trade"]
            if not tids or tids[-1] < skip_to:
                continue
            skip_to = -1
        if player.is_full_speed:
            await player.note(batch.ticks[-1].time_ns)
        else:
            await player.note(batch.receive_ns)
            await player.wait_until(batch.receive_ns)
        await player.add(batch.ticks)
    await player.flush()


async def synthesise(
    world: World,
    send: trio.MemorySendChannel[FeedItem],
    init: FeedInit,
    point: ResumePoint | None,
    note_live: Callable[[], None],
) -> None:
    """Send a synthetic market's ticks as its clock passes them."""
    player = Player(world.mkt.fqme, init.clock, send, note_live)
    player.begin(point)
    at_ns = init.start_ns
    if point is not None:
        # ids rise by the minute: from the minute before on, all that is asked for
        at_ns = point.time_ns // BLOCK_NS * BLOCK_NS - BLOCK_NS
    end_ns = min(world_end_ns(init.clock), world.expires_s * NS)
    while at_ns < end_ns:
        await player.note(at_ns)
        now_ns = end_ns if player.is_full_speed else init.clock.now_ns()
        to_ns = min(now_ns, at_ns + _LEAP_NS, end_ns)
        if not player.is_full_speed and at_ns < player.news_ns:
            to_ns = min(to_ns, player.news_ns)
        if to_ns > at_ns:
            await player.add(world.synthetic.ticks(at_ns, to_ns))
            await player.flush()
            await player.reach(to_ns)
            at_ns = to_ns
        if at_ns >= now_ns:
            await player.note(at_ns)
            await trio.sleep(_POLL_S)
        else:
            await trio.lowlevel.checkpoint()
