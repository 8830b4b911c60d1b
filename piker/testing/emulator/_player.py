"""Playing the tape to whoever listens, with the faults that strike at frames.

timed:       all that is due by the clock, to all; who doesn't read is cut off; faster
             than it was, what is due within 20 ms goes together
full speed:  as fast as the slowest listener reads; with fewer streams listened to than
             it started with, or none, nothing passes
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import trio

from ._core import Core, Frame, Venue
from ._faults import (
    AnyFault,
    Disconnect,
    Duplicate,
    FrameFault,
    Garbage,
    Reorder,
    Silence,
    Truncate,
)
from ._tape import Item, Print
from ._ws import HIGH_BYTES, Connection

#: A client with more than this unsent is too slow, where a clock is kept.
SLOW_BYTES: Final = 8 * 1024 * 1024
_BATCH: Final = 256
_POLL_S: Final = 0.02


class Player:
    """Plays a tape.

    Args:
      core: whose.
      venue: what makes frames of items.
      streams: it starts when so many are subscribed; 0 is at once. At full speed it
        stands still while there are fewer.
    """

    def __init__(self, core: Core, venue: Venue, streams: int) -> None:
        self.core = core
        self.venue = venue
        self.streams = streams
        self._held: list[Frame] = []
        self._to_hold = 0
        self._was_cut = False

    async def run(self) -> None:
        """Play, for ever."""
        core = self.core
        async with trio.open_nursery() as waiting:
            if core.is_full_speed:
                waiting.start_soon(self._prepare)
            while len(core.listeners) < self.streams:
                await core.changed.wait()
            waiting.cancel_scope.cancel()
        core.start_clock()
        if core.is_full_speed:
            await self._run_full_speed()
        else:
            await self._run_timed()

    async def _prepare(self) -> None:
        for at, item in enumerate(tuple(self.core.tape.items)):
            if not at % _BATCH:
                await trio.lowlevel.checkpoint()
            self.venue.prepare(item)

    async def _run_timed(self) -> None:
        core = self.core
        while True:
            for at, item in enumerate(core.tape.take_due(core.clock_ns())):
                await self._emit(item)
                if not at % _BATCH:
                    await trio.lowlevel.checkpoint()
            await self._send(self.venue.due())
            await self._cut_slow()
            wait_s = _POLL_S
            # faster than it was, a turn for each frame costs more than the frames do,
            # here and for who reads them
            if core.tape.items and 0 < core.speed <= 1:
                ahead_ns = core.tape.items[0].due_ns - core.clock_ns()
                wait_s = min(max(ahead_ns / 1e9 / core.speed, 0.0), _POLL_S)
            await trio.sleep(wait_s)

    async def _run_full_speed(self) -> None:
        core = self.core
        while True:
            hearing = core.hearing()
            is_short = len(core.listeners) < self.streams
            if is_short or not (hearing and core.tape.items):
                await self._send(self.venue.due())
                await self._release()
                with trio.move_on_after(_POLL_S):  # a silence ends without an event
                    await core.changed.wait()
                continue
            self._was_cut = False
            # a connection that loses frames falls silent right after the last one
            count = 1 if any(conn.lose for conn in hearing) else _BATCH
            for _ in range(count):
                if core.tape.is_done or self._was_cut:
                    break
                await self._emit(core.tape.step())
            for conn in hearing:
                await conn.wait_below(HIGH_BYTES)
            await trio.lowlevel.checkpoint()

    async def _cut_slow(self) -> None:
        for conn in list(self.core.websockets):
            if conn.size > SLOW_BYTES:
                self.core.stats.slow_clients += 1
                self.core.drop(conn)
                conn.break_off()

    # -- frames --------------------------------------------------------------------

    async def _emit(self, item: Item) -> None:
        await self._send(self.venue.frames(item))

    async def _send(self, frames: Iterator[Frame]) -> None:
        faults, stats = self.core.faults, self.core.stats
        for frame in frames:
            if not frame.conns:
                continue
            number = stats.frames
            stats.frames = number + 1
            if faults.at or faults.next or self._to_hold:
                await self._emit_faulty(number, frame)
            else:
                frame.send()

    async def _emit_faulty(self, number: int, frame: Frame) -> None:
        if self._to_hold:
            self._held.append(frame)
            self._to_hold -= 1
            if not self._to_hold:
                await self._release()
            return
        found = self.core.faults.due(number)
        if not found:
            frame.send()
        for fault in found:
            await self._strike(fault, frame)

    async def _release(self) -> None:
        """Send what was held back, the last one first."""
        held, self._held, self._to_hold = self._held, [], 0
        for frame in reversed(held):
            frame.send()

    async def _strike(self, fault: FrameFault, frame: Frame) -> None:
        match fault:
            case Disconnect():
                await self.disconnect(fault, list(frame.conns), frame)
            case Silence():
                if not fault.frames:
                    frame.send()
                for conn in frame.conns:
                    silence(conn, fault)
                if fault.frames:
                    frame.send()
                self._was_cut = True
            case Garbage():
                self.garble(fault, list(frame.conns))
                if not fault.replace:
                    frame.send()
            case Reorder():
                self._held, self._to_hold = [frame], fault.span - 1
            case Truncate() | Duplicate():
                spoil(fault, frame)

    # -- faults at once ------------------------------------------------------------

    async def apply(self, fault: AnyFault) -> None:
        """Let *fault* strike now, or put it in force for later."""
        core = self.core
        conns = list(core.websockets)
        match fault:
            case Disconnect(at=()):
                core.faults.note(fault)
                await self.disconnect(fault, conns)
            case Silence(at=()):
                core.faults.note(fault)
                for conn in conns:
                    silence(conn, fault)
            case Garbage(at=(), replace=False):
                core.faults.note(fault)
                self.garble(fault, conns)
            case _:
                core.faults.set(fault)

    async def disconnect(
        self, fault: Disconnect, conns: list[Connection], frame: Frame | None = None
    ) -> None:
        """End *conns*, half of *frame* sent, and let trades pass meanwhile."""
        core = self.core
        self._was_cut = True
        for conn in conns:
            core.drop(conn)
            if fault.how == "mid_frame":
                data = conn.framed(frame.of(conn) if frame else b"{" + b" " * 60)
                conn.put(data[: len(data) // 2])
        async with trio.open_nursery() as ends:
            for conn in conns:
                ends.start_soon(conn.close if fault.how == "clean" else conn.reset)
        if core.is_full_speed:
            left = fault.missed
            while left > 0 and not core.tape.is_done:
                item = core.tape.step()
                left -= len(item.lots) if isinstance(item, Print) else 0

    def garble(self, fault: Garbage, conns: list[Connection]) -> None:
        """Send a frame that is none of the venue's messages."""
        what = self.core.faults.garbage(fault)
        is_text = isinstance(what, str)
        data = what.encode() if isinstance(what, str) else what
        for conn in conns:
            conn.push(conn.framed(data, 1 if is_text else 2))


def spoil(fault: Truncate | Duplicate, frame: Frame) -> None:
    """Send *frame* as *fault* says, in place of sending it."""
    if isinstance(fault, Duplicate):
        for _ in range(fault.times):
            frame.send()
        return
    for conn in frame.conns:
        text = frame.of(conn)
        conn.push(conn.framed(text[: len(text) // 2]))


def silence(conn: Connection, fault: Silence) -> None:
    """Make *conn* silent as *fault* says."""
    conn.lose = fault.frames
    conn.silent_until = trio.current_time() + fault.seconds
    conn.mute = not fault.pongs
