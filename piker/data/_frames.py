"""What waits for one recorder: frames by the batch, bounded, delaying nobody.

stream_frames --frame, note--> FrameQueue --batches, a window of them--> recorder
                                 (full: the recorder is let go, and asks again from
                                  what it has: what it missed is fetched for it)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Final

import trio

from piker.brokers.sessions import Note, note_line
from piker.errors import Overrun, UsageError
from piker.msgs import Credit, FeedEvent, FrameBatch, FramePoint
from piker.service import Context, MsgStream, collapse_eg

from .validate import broker_name, get_eps

#: Batches under way to a recorder that it hasn't acknowledged.
WINDOW: Final = 8
#: Bytes of lines that wait for a recorder before it is let go.
WAITING_MAX: Final = 32 << 20
_BATCH_BYTES: Final = 1 << 18
_LINGER_S: Final = 0.05  # for more frames to share a message with


@dataclass(eq=False)
class _Forming:
    """A batch that still takes lines."""

    lines: list[bytes] = field(default_factory=list)
    size: int = 0
    frames: int = 0
    first_ns: int = 0
    last_ns: int = 0
    events: list[FeedEvent] = field(default_factory=list)


class FrameQueue:
    """Takes what is recorded of some markets; see :class:`piker.brokers.FrameSink`.

    Attributes:
      waiting: bytes of lines that are still to be sent.
    """

    def __init__(self, ahead_ns: int) -> None:
        """Stamp frames by the clock that is *ahead_ns* ahead of `boot_ns`."""
        self._ahead_ns = ahead_ns
        self._forming = _Forming()
        self._batches: deque[FrameBatch] = deque()
        self.waiting = 0
        self._under_way = 0
        self._last_ns = 0
        self._reached: dict[str, Callable[[], FramePoint]] = {}
        self._wake = trio.Event()
        self._overrun = trio.Event()

    # -- what comes in ----------------------------------------------------------

    def frame(self, received_ns: int, payload: bytes) -> None:
        """Take a frame; never blocks."""
        # answers of REST and frames of several connections: stamps mustn't run back
        self._last_ns = max(self._last_ns, received_ns + self._ahead_ns)
        if b"\n" in payload:  # in JSON a blank as good as any
            payload = payload.replace(b"\n", b" ")
        forming = self._forming
        forming.frames += 1
        forming.first_ns = forming.first_ns or self._last_ns
        forming.last_ns = self._last_ns
        self._put(b"%d %s\n" % (self._last_ns, payload))

    def note(self, note: Note) -> None:
        """Take a note."""
        self._put(note_line(note))

    def event(self, event: FeedEvent) -> None:
        """Take an event."""
        self._forming.events.append(event)
        self._wake.set()

    def watch(self, fqme: str, reached: Callable[[], FramePoint]) -> None:
        """Ask *reached* whenever a batch is whole."""
        self._reached[fqme] = reached

    def _put(self, line: bytes) -> None:
        if self._overrun.is_set():
            return
        forming = self._forming
        forming.lines.append(line)
        forming.size += len(line)
        self.waiting += len(line)
        if self.waiting > WAITING_MAX:
            self._overrun.set()
        if forming.size >= _BATCH_BYTES:
            self._end_batch()
        self._wake.set()

    def _end_batch(self) -> None:
        """Close the batch; what the points say is in it, or in one before."""
        done, self._forming = self._forming, _Forming()
        batch = FrameBatch(
            lines=b"".join(done.lines),
            frames=done.frames,
            first_ns=done.first_ns,
            last_ns=done.last_ns,
            points={fqme: reached() for fqme, reached in self._reached.items()},
            events=tuple(done.events),
        )
        self._batches.append(batch)

    # -- what goes out ----------------------------------------------------------

    async def send_to(self, stream: MsgStream[Credit]) -> None:
        """Send batches, for ever."""
        while True:
            if self._under_way >= WINDOW or not self._has_any:
                await self._wake.wait()
                self._wake = trio.Event()
                continue
            if not self._batches:
                await trio.sleep(_LINGER_S)
            if not self._batches:
                self._end_batch()
            batch = self._batches.popleft()
            self.waiting -= len(batch.lines)
            self._under_way += 1
            await stream.send(batch)

    @property
    def _has_any(self) -> bool:
        return bool(self._batches or self._forming.lines or self._forming.events)

    async def obey(self, stream: MsgStream[Credit]) -> None:
        """Take the recorder's acknowledgements until it leaves."""
        async for credit in stream:
            self._under_way = max(0, self._under_way - credit.n)
            self._wake.set()

    async def guard(self) -> None:
        """Raise Overrun once too much waits."""
        await self._overrun.wait()
        raise Overrun(
            f"the recorder is too slow: more than {WAITING_MAX >> 20} MiB waited for it"
        )


def check_frames(mod: ModuleType) -> None:
    """Raise UsageError if a backend sends no frames that could be recorded."""
    if "stream_frames" not in get_eps(mod, "datad"):
        raise UsageError(
            f"nothing to record at {broker_name(mod)!r}: its markets come of no venue's"
            " stream"
        )


async def serve_frames(
    ctx: Context,
    mod: ModuleType,
    fqmes: list[str],
    points: dict[str, FramePoint],
    ahead_ns: int,
) -> None:
    """Stream the frames of markets of one venue to a recorder, until it leaves."""
    check_frames(mod)
    queue = FrameQueue(ahead_ns)
    stream_frames = get_eps(mod, "datad")["stream_frames"]
    await ctx.started()
    async with (
        ctx.open_stream() as stream,
        collapse_eg(),
        trio.open_nursery() as tasks,
    ):
        tasks.start_soon(queue.guard)
        tasks.start_soon(queue.send_to, stream)

        async def record() -> None:
            await stream_frames(queue, fqmes, points=points)

        tasks.start_soon(record)
        await queue.obey(stream)
        tasks.cancel_scope.cancel()
