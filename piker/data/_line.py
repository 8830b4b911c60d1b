"""A feed's line to one broker's datad: up, lost, told, up again.

    find datad | subscribe | relay | (lost: say so, wait, find it again)
    (up once, now a market is refused: a line for each market, so the others come back)

Disconnected, then Reconnected, stand among the messages where they happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from piker.errors import (
    BadPayload,
    DeadlineExceeded,
    PikerError,
    RateLimited,
    ServiceError,
    ServiceQuarantined,
    ServiceStopped,
    TransportClosed,
    VenueUnreachable,
)
from piker.log import get_logger
from piker.msgs import (
    Credit,
    Disconnected,
    FeedMsg,
    FlumeMsg,
    Pause,
    Reconnected,
    Resume,
)
from piker.service import MsgStream, collapse_eg, open_context

from ._daemon import maybe_spawn_datad
from ._rpc import open_feed_bus
from ._subs import ACK_EVERY

log = get_logger(__name__)

#: Before a feed is open, a datad that dies or hangs is tried again for so long.
OPEN_DEADLINE_S: Final = 30.0
#: datad answers, or gives up and says why, before that.
_SUBSCRIBE_DEADLINE_S: Final = 60.0
_RETRY_S: Final = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
#: While a venue is waited for that can't be reached.
_WAIT_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
#: What may be otherwise a moment later.
_PASSING: Final = (TransportClosed, DeadlineExceeded)
#: A venue that can't be reached now.
_ABSENT: Final = (VenueUnreachable, RateLimited, BadPayload)
#: What lasts until somebody does something about it.
_LASTING: Final = (ServiceQuarantined, ServiceStopped)


@dataclass(eq=False)
class Line:
    """A feed's connection to one broker's datad.

    Attributes:
      broker: its name.
      throttle: quotes a second and market at most, None for all.
      put: takes each message, in order.
      learn: takes what datad says of each market, whenever the line is up.
      fqmes: the names asked for.
      paused: whether quotes are not wanted for now.
      on_wait: told why, while a venue can't be reached yet; None: that is an error.
      every_tick: none is to be merged away.
    """

    broker: str
    throttle: float | None
    put: Callable[[str, FeedMsg], None]
    learn: Callable[[FlumeMsg], None]
    fqmes: list[str] = field(default_factory=list)
    paused: bool = False
    on_wait: Callable[[str], None] | None = None
    every_tick: bool = False
    _stream: MsgStream[FeedMsg] | None = None
    _names: tuple[str, ...] = ()
    _down: set[str] = field(default_factory=set)
    _reason: str = ""
    _peer: tuple[str, str] = ("", "")
    _parts: list[Line] = field(default_factory=list)

    async def command(self, *, paused: bool) -> None:
        """Ask for no quotes, or for quotes again."""
        self.paused = paused
        for part in self._parts:
            await part.command(paused=paused)
        if self._stream is not None:
            with suppress(TransportClosed):  # it is told when the line is up again
                await self._stream.send(Pause() if paused else Resume())

    async def run(self, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Hold the line, for ever; before it was up once, errors come out."""
        give_up_at = trio.current_time() + OPEN_DEADLINE_S
        tries = 0
        while True:
            try:
                await self._hold(task_status)
            except PikerError as err:
                if (
                    not self._names
                    and not self._may_wait(err)
                    and (
                        not isinstance(err, _PASSING)
                        or trio.current_time() > give_up_at
                    )
                ):
                    raise
                was_up = self._stream is not None
                tries = 0 if was_up else tries + 1
                if not was_up and _is_refusal(err) and len(self._names) > 1:
                    await self._part(err)
                self._note_down(err)
            finally:
                self._stream = None
            waits_s = _RETRY_S if self._names or not self._reason else _WAIT_S
            await trio.sleep(waits_s[min(tries, len(waits_s) - 1)])

    def _may_wait(self, err: PikerError) -> bool:
        """Tell who waits, once a reason, why there is nothing yet."""
        if self.on_wait is None or not isinstance(err, _ABSENT):
            return False
        if str(err) != self._reason:
            self._reason = str(err)
            self.on_wait(self._reason)
        return True

    async def _part(self, err: PikerError) -> None:
        """Hold a line for each market from now on: one was refused, not all."""
        log.warning("a line for each of %s: %s", ", ".join(self._names), err)
        async with collapse_eg(), trio.open_nursery() as tasks:
            for fqme in self._names:
                part = Line(self.broker, self.throttle, self.put, self.learn, [fqme])
                part.paused, part._names = self.paused, (fqme,)
                part.every_tick = self.every_tick
                part._down = {fqme} & self._down
                self._parts.append(part)
                tasks.start_soon(part.run)

    async def _hold(self, task_status: Any) -> None:
        """Hold the line once, until it is lost; raises what it is lost by."""
        async with (
            maybe_spawn_datad(self.broker) as portal,
            open_context(
                portal,
                open_feed_bus,
                fqmes=self.fqmes,
                tick_throttle=self.throttle,
                every_tick=self.every_tick,
                start_deadline_s=_SUBSCRIBE_DEADLINE_S,
            ) as (ctx, flumes),
            ctx.open_stream() as stream,
        ):
            is_first = not self._names
            await self._note_up(ctx.peer, flumes, stream)
            if is_first:
                task_status.started()
            await self._relay(stream)
        raise TransportClosed(f"'datad.{self.broker}' ended the feed")

    async def _note_up(
        self,
        peer: tuple[str, str],
        flumes: list[FlumeMsg],
        stream: MsgStream[FeedMsg],
    ) -> None:
        self._stream = stream
        if self.paused:
            await stream.send(Pause())
        # the same daemon knows what it refetched, not what was lost on the way here
        same, self._peer = peer == self._peer, peer
        told = {flume.init.mkt.fqme: flume for flume in flumes}
        self._names = tuple(told)
        for flume in told.values():
            self.learn(flume)
        lost = {fqme: flume.down for fqme, flume in told.items() if flume.down}
        back = [fqme for fqme in told if fqme in self._down and fqme not in lost]
        if back:
            missed = -1 if same else sum(told[fqme].missed for fqme in back)
            event = Reconnected(
                fqmes=tuple(back), missed=missed, time_ns=time.time_ns()
            )
            self.put(self.broker, event)
            for fqme in back:
                self.put(self.broker, told[fqme].first_quote)
        for fqme in lost.keys() - self._down:
            self._say_down((fqme,), lost[fqme])
        self._down, self._reason = set(), ""

    def _note_down(self, err: PikerError) -> None:
        """Tell the consumers that the line is lost, once; what lasts by its name."""
        reason = str(err)
        lasts = isinstance(err, _LASTING) or _is_refusal(err)
        lasts = lasts and reason != self._reason
        if self._down and not lasts:
            return
        log.warning("lost the feed of %s: %s", self.broker, reason)
        self._down, self._reason = set(self._names), reason
        if self._names:
            self._say_down(self._names, reason)

    def _say_down(self, fqmes: tuple[str, ...], reason: str) -> None:
        event = Disconnected(fqmes=fqmes, reason=reason, time_ns=time.time_ns())
        self.put(self.broker, event)

    async def _relay(self, stream: MsgStream[FeedMsg]) -> None:
        """Hand messages to the consumers; acknowledge them by the dozen."""
        taken = 0
        async for item in stream:
            self.put(self.broker, item)
            taken += 1
            if taken == ACK_EVERY:
                await stream.send(Credit(n=taken))
                taken = 0


def _is_refusal(err: PikerError) -> bool:
    """Tell whether datad is there and won't serve a market."""
    return not isinstance(err, (*_PASSING, ServiceError))
