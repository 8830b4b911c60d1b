"""Recording markets: their venues' frames, as they came, into session files.

    open_recording --> one line a venue --frames--> one file a venue

A recorder is a client like any other: datad taps the connection it has, or opens the
one it would have. Whatever is lost on the way is fetched again and noted in the file.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from piker.brokers import get_brokermod
from piker.brokers.sessions import SessionWriter, check_out, venue_of
from piker.errors import PikerError, UsageError
from piker.msgs import FeedEvent, Fqme, MktPair
from piker.service import collapse_eg, open_context

from ._daemon import maybe_spawn_datad
from ._frame_line import FrameLine
from ._frames import check_frames
from ._rpc import describe_markets

#: What was recorded is in the file after so long, whatever becomes of the recorder.
FLUSH_S: Final = 1.0


@dataclass(eq=False)
class Recording:
    """A recording under way.

    Attributes:
      limit: frames at most, None for no end.
      frames: recorded so far.
      full: set once there are as many as wanted.
    """

    limit: int | None = None
    frames: int = 0
    full: trio.Event = field(default_factory=trio.Event)
    _lines: list[FrameLine] = field(default_factory=list)
    _going: int = 0

    @property
    def files(self) -> list[SessionWriter]:
        """What is being written, one file a venue."""
        return [line.writer for line in self._lines if line.writer is not None]

    @property
    def fqmes(self) -> list[str]:
        """The markets, by their full names."""
        return [fqme for line in self._lines for fqme in line.fqmes]

    def take(self, frames: int) -> int:
        """Count *frames* more; return how many of them are still wanted."""
        if self.limit is not None:
            frames = min(frames, self.limit - self.frames)
        self.frames += frames
        if self.frames == self.limit:
            self.full.set()
        return frames

    async def _begin(self, tasks: trio.Nursery) -> None:
        """Start all lines in *tasks*; return once each has something to write."""
        self._going = len(self._lines)
        try:
            async with collapse_eg(), trio.open_nursery() as opening:
                for line in self._lines:
                    opening.start_soon(tasks.start, self._run, line)
        except PikerError:  # one venue can't be had: no other's file is left
            for writer in self.files:
                writer.path.unlink(missing_ok=True)
            raise

    async def _run(self, line: FrameLine, task_status: Any) -> None:
        refusal = await line.run(task_status)
        self._going -= 1
        if not self._going:
            raise refusal

    async def _flush(self) -> None:
        while True:
            await trio.sleep(FLUSH_S)
            for writer in self.files:
                writer.flush()

    def _close(self) -> None:
        """Close all files, those after one that can't be written too."""
        failed = []
        for writer in self.files:
            try:
                writer.close()
            except OSError as err:
                failed.append(err)
        if failed:
            raise failed[0]


def check_recording(fqmes: list[str], out: Path) -> None:
    """Raise what shows to be wrong with a recording before anything is started.

    Raises:
      BadFqme, BrokerNotFound: names that lead nowhere.
      UsageError: nothing to record at a broker; the file is there already.
      PikerError: it can't be written.
    """
    if not fqmes:
        raise UsageError("a recording wants at least one market, got none")
    for fqme in fqmes:
        check_frames(get_brokermod(Fqme.parse(fqme).broker))
    check_out(out)


def out_paths(out: Path, venues: list[str]) -> dict[str, Path]:
    """Return the file of each venue: *out*, or one beside it where there are several.

    ``day.zst`` becomes ``day.binance.spot.zst`` and ``day.kraken.spot.zst``.
    """
    if len(venues) == 1:
        return {venues[0]: out}
    return {venue: out.with_name(f"{out.stem}.{venue}{out.suffix}") for venue in venues}


@asynccontextmanager
async def open_recording(
    fqmes: list[str],
    out: Path,
    *,
    limit: int | None = None,
    on_event: Callable[[FeedEvent], None] = lambda _event: None,
) -> AsyncIterator[Recording]:
    """Record markets for the length of the block.

    Args:
      fqmes: full or short names, of brokers whose venues send frames.
      out: the file; of several venues each has one beside it, see :func:`out_paths`.
      limit: frames at most.
      on_event: told when frames are lost, and when they come again.

    Raises:
      UsageError, PikerError: see :func:`check_recording`.
      SymbolNotFound, VenueUnreachable, ...: as :func:`piker.data.open_feed`, until
        there is something to record; from then on only what a venue refuses with.
      OSError: a file takes no more; what it has stays readable.
    """
    check_recording(fqmes, out)
    by_venue = await _by_venue(fqmes)
    paths = out_paths(out, list(by_venue))
    for path in paths.values():
        check_out(path)
    recording = Recording(limit)
    for venue, mkts in by_venue.items():
        make = partial(SessionWriter, paths[venue], mkts)
        line = FrameLine(mkts[0].broker, mkts, make, on_event, recording.take)
        recording._lines.append(line)  # noqa: SLF001
    async with _held(recording):
        yield recording


async def _by_venue(fqmes: list[str]) -> dict[str, list[MktPair]]:
    """Return the markets that names lead to, each once, by ``broker.venue``."""
    found: dict[str, dict[str, MktPair]] = {}
    by_broker: dict[str, list[str]] = {}
    for fqme in fqmes:
        by_broker.setdefault(Fqme.parse(fqme).broker, []).append(fqme)
    for broker, names in by_broker.items():
        async with (
            maybe_spawn_datad(broker) as portal,
            open_context(
                portal, describe_markets, fqmes=names, start_deadline_s=60.0
            ) as (_, mkts),
        ):
            for mkt in mkts:
                found.setdefault(venue_of(mkt), {})[mkt.fqme] = mkt
    return {venue: list(mkts.values()) for venue, mkts in found.items()}


@asynccontextmanager
async def _held(recording: Recording) -> AsyncIterator[None]:
    """Hold all lines for the block; then the files are whole."""
    try:
        async with collapse_eg(), trio.open_nursery() as tasks:
            await recording._begin(tasks)  # noqa: SLF001
            tasks.start_soon(recording._flush)  # noqa: SLF001
            yield
            tasks.cancel_scope.cancel()
    finally:
        recording._close()  # noqa: SLF001
