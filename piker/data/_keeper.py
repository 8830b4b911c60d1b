"""The stored bars of one market and period, as its datad keeps them.

    a venue's frames, bars that closed --append--> [a thread: StoreWriter] --> disk

A store that can't be written costs no quote and no bar on the screen: it is told, and
tried again. What is in the shared buffer meanwhile is stored then.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

import numpy as np
import trio

from piker.errors import StoreError, StoreFull
from piker.log import get_logger
from piker.storage import StoreWriter, read_bars
from piker.tsp import OHLCV, Span

from ._bars import BarBuilder
from ._shm import MUTABLE
from ._venue_bars import Bars

log = get_logger(__name__)

T = TypeVar("T")

#: A store that couldn't be written is opened again after so long.
RETRY_S: Final = 30.0
_EVER_S: Final = 1 << 40
_THREADS: Final = 8


_limiter: Final[trio.lowlevel.RunVar[trio.CapacityLimiter]] = trio.lowlevel.RunVar(
    "limiter of stores"
)


async def in_thread(sync: Callable[..., T], *args: Any) -> T:
    """Run in one of the store's few threads: a stuck disk takes no others.

    Those are for names of hosts, e.g.
    """
    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = trio.CapacityLimiter(_THREADS)
        _limiter.set(limiter)
    return await trio.to_thread.run_sync(sync, *args, limiter=limiter)


@dataclass(eq=False)
class Keeper:
    """Stores the bars of one market and period.

    Attributes:
      fqme: the market.
      period_s: bar length.
      warn: takes a sentence about what can't be stored.
      edition: of the market, see `HistoryConf`.
      is_readable: whether the newest `read` could read it.
      fault: why the store can't be written, None while it can.
    """

    fqme: str
    period_s: int
    warn: Callable[[str], None]
    edition: str = ""
    is_readable: bool = True
    fault: StoreError | None = None
    _writer: StoreWriter | None = None
    _fold_at: float = -float("inf")
    _retry_at: float = -float("inf")
    _lock: trio.Lock = field(default_factory=trio.Lock)

    async def ready(self) -> bool:
        """Have the store open; tell whether it is, else `fault` says why not."""
        async with self._lock:
            return await self._open()

    async def read(self, span: Span, newest: int | None = None) -> Bars:
        """Return the stored bars of a span; none where they can't be read."""
        async with self._lock:
            is_open = await self._open()  # what is damaged is set aside by that
            self.is_readable = is_open or not self.edition  # whose bars are they?
            if not self.is_readable:
                return np.empty(0, OHLCV)
            try:
                read = partial(read_bars, self.fqme, self.period_s, newest=newest)
                found = await in_thread(read, *span)
            except (StoreError, OSError) as err:
                self.is_readable = False
                self.warn(f"stored bars can't be read by piker: {err}")
                return np.empty(0, OHLCV)
        for fault in found.damaged:
            self.warn(f"stored bars are lost by damage: {fault}")
        return found.bars()

    async def newest_s(self) -> int:
        """Return the time of the newest stored bar, 0 if there is none."""
        bars = await self.read((0, _EVER_S), newest=1)
        return int(bars["time"][-1]) if len(bars) else 0

    async def append(self, bars: Bars) -> bool:
        """Store bars durably; tell whether they are."""
        if not len(bars):
            return True
        done = await self._write(lambda writer: writer.append(bars))
        is_due = self._wants_fold and trio.current_time() >= self._fold_at
        # what is appended is durable whatever becomes of the fold
        if done and is_due and not await self._write(StoreWriter.fold):
            self._fold_at = trio.current_time() + RETRY_S
        return done

    @property
    def _wants_fold(self) -> bool:
        return self._writer is not None and self._writer.wants_fold

    async def note_empty(self, spans: Iterable[Span]) -> None:
        """Note durably that the venue has no bar in these spans."""
        spans = list(spans)
        if spans:
            await self._write(lambda writer: writer.note_empty(spans))

    @property
    def empty(self) -> tuple[Span, ...]:
        """Spans in which the venue is known to have no bar, as far as that is read."""
        return self._writer.empty if self._writer is not None else ()

    async def close(self) -> None:
        """Let go of the store; who uses it again opens it anew."""
        async with self._lock:
            writer, self._writer = self._writer, None
            self.fault, self._retry_at = None, -float("inf")
            if writer is not None:
                await in_thread(writer.close)

    async def _write(self, change: Callable[[StoreWriter], None]) -> bool:
        """Change the store in a thread; tell whether that was done."""
        async with self._lock:
            if not await self._open():
                return False
            assert self._writer is not None
            try:
                await in_thread(change, self._writer)
            except StoreError as err:
                self._fail(err)
                return False
            self.fault = None
            return True

    async def _open(self) -> bool:
        """Have the store open; tell whether it is."""
        if self._writer is not None:
            return True
        if trio.current_time() < self._retry_at:
            return False
        try:
            self._writer = await in_thread(
                StoreWriter, self.fqme, self.period_s, self.edition
            )
        except StoreError as err:
            self._fail(err)
            return False
        self.fault = None
        for fault in self._writer.damaged:
            self.warn(f"stored bars are lost by damage: {fault}")
        return True

    def _fail(self, err: StoreError) -> None:
        self.warn(f"bars aren't stored by piker: {err}")
        self.fault = err
        self._retry_at = trio.current_time() + RETRY_S
        if not isinstance(err, StoreFull) and self._writer is not None:
            self._writer.close()  # its file may be unusable: one is opened anew
            self._writer = None


@dataclass(eq=False)
class _Held:
    """A keeper, and whom of its users to tell what can't be stored."""

    keeper: Keeper
    warns: list[Callable[[str], None]] = field(default_factory=list)


@dataclass(eq=False)
class Keepers:
    """The keepers of a process: one of a store, however many write to it.

    A second writer would be told that this very process writes the bars.
    """

    _held: dict[tuple[str, int], _Held] = field(default_factory=dict)

    @asynccontextmanager
    async def held(
        self, fqme: str, period_s: int, warn: Callable[[str], None], edition: str
    ) -> AsyncIterator[Keeper]:
        """Yield the keeper of a store; it is let go of when nobody has it any more."""
        held = self._held.get((fqme, period_s))
        if held is None:
            warns: list[Callable[[str], None]] = []
            tell = partial(_tell_all, warns)
            held = _Held(Keeper(fqme, period_s, tell, edition), warns)
            self._held[fqme, period_s] = held
        if not held.warns:
            held.keeper.edition = edition
        held.warns.append(warn)
        try:
            yield held.keeper
        finally:
            held.warns.remove(warn)
            if not held.warns:
                with trio.CancelScope(shield=True):
                    await held.keeper.close()


def _tell_all(warns: list[Callable[[str], None]], text: str) -> None:
    for warn in warns:
        warn(text)


@dataclass(eq=False)
class LiveSaver:
    """Stores a buffer's bars as they close, and again if a late trade changes one.

    Attributes:
      builder: of the buffer.
      keeper: of the store.
    """

    builder: BarBuilder
    keeper: Keeper
    _next: int = 0
    _floor: int = 0
    _recent: dict[int, bytes] = field(default_factory=dict)

    def begin(self, stored_s: int) -> None:
        """Go on after the newest stored bar, which opens at *stored_s*.

        What comes before the bars that were made of trades is no news: it is the
        venue's, or a stand-in.
        """
        writer = self.builder.writer
        first, last = writer.bounds
        since_s = writer.since_s
        if not since_s and last > first:
            since_s = writer.row(first).time + 1  # it may have begun before us
        redone_s = stored_s - MUTABLE * self.builder.period_s
        self._next = self._floor = writer.find(max(since_s, redone_s))

    async def save(self) -> bool:
        """Store what closed or changed since the last time; tell whether it is."""
        writer = self.builder.writer
        oldest, last = writer.bounds
        stop = max(last - 1, self._next)
        first = max(self._next - MUTABLE, self._floor, oldest)
        rows = writer.rows(first, stop)
        is_due = np.ones(len(rows), np.bool_)
        for at in range(min(self._next - first, len(rows))):  # saved once, at least
            known = self._recent.get(first + at)
            is_due[at] = known is not None and known != rows[at].tobytes()
        recent = {
            first + at: rows[at].tobytes()
            for at in range(max(0, len(rows) - MUTABLE), len(rows))
        }
        if not await self.keeper.append(rows[is_due]):
            return False
        self._next, self._recent = stop, recent
        return True
