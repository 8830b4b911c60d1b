"""A recorder's line to one broker's datad, for the markets of one venue.

    find datad | frames to the file | (lost: note it, wait, find it again)

It asks for what it lacks from where the file ends, so a loss leaves no hole in trades.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from piker.brokers.sessions import Down, Gone, SessionWriter
from piker.errors import (
    DeadlineExceeded,
    Overrun,
    PikerError,
    ServiceQuarantined,
    ServiceStopped,
    SymbolNotFound,
    TransportClosed,
    VenueRefused,
)
from piker.log import get_logger
from piker.msgs import (
    Credit,
    Disconnected,
    Ended,
    FeedEvent,
    FrameBatch,
    FramePoint,
    MktPair,
    Reconnected,
    boot_ns,
)
from piker.service import MsgStream, open_context

from ._daemon import maybe_spawn_datad
from ._rpc import open_frame_stream

log = get_logger(__name__)

#: Before anything was recorded, a datad that dies or hangs is tried again for so long.
OPEN_DEADLINE_S: Final = 30.0
_RETRY_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
#: What may be otherwise a moment later.
_PASSING: Final = (TransportClosed, DeadlineExceeded, Overrun)
#: What lasts until somebody does something about it.
_LASTING: Final = (ServiceQuarantined, ServiceStopped)


@dataclass(eq=False)
class FrameLine:
    """What is recorded of one venue.

    Attributes:
      broker: whose datad.
      mkts: the markets, all of one venue.
      open_file: makes the file, once there is something to write.
      on_event: told what happens to the markets.
      on_frames: told how many frames a batch has; returns how many of them to keep.
      writer: of the file, None until there is one.
    """

    broker: str
    mkts: list[MktPair]
    open_file: Callable[[], SessionWriter]
    on_event: Callable[[FeedEvent], None]
    on_frames: Callable[[int], int]
    writer: SessionWriter | None = None
    _ahead_ns: int = field(default_factory=lambda: time.time_ns() - boot_ns())
    _points: dict[str, FramePoint] = field(default_factory=dict)
    _gone: set[str] = field(default_factory=set)
    _down: str = ""

    @property
    def fqmes(self) -> tuple[str, ...]:
        """The full names of its markets."""
        return tuple(mkt.fqme for mkt in self.mkts)

    @property
    def _left(self) -> tuple[str, ...]:
        """Those that the venue hasn't refused."""
        return tuple(fqme for fqme in self.fqmes if fqme not in self._gone)

    async def run(self, task_status: Any = trio.TASK_STATUS_IGNORED) -> PikerError:
        """Hold the line until the venue refuses all its markets; return that.

        Before anything was recorded, errors come out; those of the file always do.
        """
        give_up_at = trio.current_time() + OPEN_DEADLINE_S
        tries = 0
        while True:
            self._was_heard = False
            try:
                await self._hold(task_status)
            except PikerError as err:
                if self.writer is None:
                    late = trio.current_time() > give_up_at
                    if late or not isinstance(err, _PASSING):
                        raise
                elif isinstance(err, VenueRefused | SymbolNotFound):
                    self._note_gone(self._left, str(err))
                    return VenueRefused(str(err))
                else:
                    self._note_down(err)
            tries = 0 if self._was_heard else tries + 1
            await trio.sleep(_RETRY_S[min(tries, len(_RETRY_S) - 1)])

    async def _hold(self, task_status: Any) -> None:
        """Hold the line once, until it is lost; raises what it is lost by."""
        async with (
            maybe_spawn_datad(self.broker) as portal,
            open_context(
                portal,
                open_frame_stream,
                fqmes=list(self._left),
                points=self._points,
                ahead_ns=self._ahead_ns,
            ) as (ctx, _),
            ctx.open_stream() as stream,
        ):
            await self._relay(stream, task_status)
        raise TransportClosed(f"'datad.{self.broker}' ended the recording")

    async def _relay(self, stream: MsgStream[FrameBatch], task_status: Any) -> None:
        """Write what comes; acknowledge it."""
        async for batch in stream:
            self._was_heard = True
            if self._down:
                self._note_back()
            if self.writer is None:
                self.writer = self.open_file()
                self._write(self.writer, batch)
                self.writer.flush()  # whoever waits for the file can look into it
                task_status.started()
            else:
                self._write(self.writer, batch)
            await stream.send(Credit(n=1))

    def _write(self, writer: SessionWriter, batch: FrameBatch) -> None:
        kept = self.on_frames(batch.frames)
        lines = batch.lines
        if kept < batch.frames:
            lines = _first_frames(lines, kept)
        writer.add(lines, kept, batch.first_ns, batch.last_ns)
        self._points |= batch.points
        for event in batch.events:
            if isinstance(event, Ended):
                self._note_gone(event.fqmes, event.reason)
            else:
                self.on_event(event)

    def _note_gone(self, fqmes: tuple[str, ...], reason: str) -> None:
        """Note in the file that nothing more comes of markets, and say so."""
        assert self.writer is not None
        log.warning("nothing more comes of %s: %s", ", ".join(fqmes), reason)
        now_ns = time.time_ns()
        symbols = self._symbols_of(fqmes)
        self.writer.note(Gone(symbols=symbols, reason=reason, time_ns=now_ns))
        self._gone |= set(fqmes)
        self.on_event(Ended(fqmes=fqmes, reason=reason, time_ns=now_ns))

    def _symbols_of(self, fqmes: tuple[str, ...]) -> tuple[str, ...]:
        """Return markets as the venue spells them."""
        return tuple(mkt.bs_mktid for mkt in self.mkts if mkt.fqme in fqmes)

    def _note_down(self, err: PikerError) -> None:
        """Note in the file that frames are missing here, and say so, once."""
        reason, lasts = str(err), isinstance(err, _LASTING)
        if self._down and not (lasts and reason != self._down):
            return
        assert self.writer is not None
        log.warning("lost the frames of %s: %s", self.broker, reason)
        now_ns = time.time_ns()
        if not self._down:
            symbols = self._symbols_of(self._left)
            self.writer.note(Down(symbols=symbols, reason=reason, time_ns=now_ns))
        self._down = reason
        self.on_event(Disconnected(fqmes=self._left, reason=reason, time_ns=now_ns))

    def _note_back(self) -> None:
        """Say that it goes on; datad notes in the file when all was fetched."""
        self._down = ""
        self.on_event(Reconnected(fqmes=self._left, missed=-1, time_ns=time.time_ns()))


def _first_frames(lines: bytes, n: int) -> bytes:
    """Return the lines up to the *n*-th frame, notes between them included."""
    kept = []
    for line in lines.split(b"\n")[:-1]:
        if not line.startswith(b"#"):
            if not n:
                break
            n -= 1
        kept.append(line + b"\n")
    return b"".join(kept)
