"""The stored bars of one market and period, as its datad keeps them.

    a venue's frames, bars that closed --append--> [a thread: StoreWriter] --> disk

A store that can't be written costs no quote and no bar on the screen: it is told, and
tried again. What is in the shared buffer meanwhile is stored then. Nor does a disk that
hangs: who is cancelled while it writes leaves that to a task of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from inspect import signature
from typing import Any, Final, TypeVar

import numpy as np
import trio

from piker.errors import StoreError, StoreFull
from piker.log import get_logger
from piker.storage import StoreWriter, read_bars
from piker.tsp import OHLCV, Span, is_news

from ._bars import BarBuilder
from ._better import is_worse
from ._shm import MUTABLE
from ._venue_bars import Bars

log = get_logger(__name__)

T = TypeVar("T")

#: A store that couldn't be written is opened again after so long.
RETRY_S: Final = 30.0
#: So long a store may take for the last bars when a market is closed.
CLOSE_DEADLINE_S: Final = 5.0
_THREADS: Final = 8

#: As trio is told, by its version, that a thread isn't waited for by who is cancelled.
_WORDS: Final = signature(trio.to_thread.run_sync).parameters
_ABANDON: Final[dict[str, Any]] = {
    "abandon_on_cancel" if "abandon_on_cancel" in _WORDS else "cancellable": True
}

_limiter: Final[trio.lowlevel.RunVar[trio.CapacityLimiter]] = trio.lowlevel.RunVar(
    "limiter of stores"
)


async def in_thread(sync: Callable[..., T], *args: Any) -> T:
    """Run in one of the store's few threads: a stuck disk takes no others.

    Those are for names of hosts, e.g. Who is cancelled waits for it no longer; it goes
    on, so it is to read only.
    """
    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = trio.CapacityLimiter(_THREADS)
        _limiter.set(limiter)
    return await trio.to_thread.run_sync(sync, *args, limiter=limiter, **_ABANDON)


async def to_its_end(work: Callable[[], Awaitable[T]]) -> T:
    """Return what *work* does; who is cancelled leaves it to go on by itself."""
    found: list[T] = []
    faults: list[Exception] = []
    done = trio.Event()

    async def do() -> None:
        try:
            found.append(await work())
        except Exception as err:  # noqa: BLE001 - raised to who waits for it
            log.debug("work on a store ended: %r", err)
            faults.append(err)
        finally:
            done.set()

    trio.lowlevel.spawn_system_task(do)
    await done.wait()
    if faults:
        raise faults[0]
    return found[0]


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
        return await to_its_end(self._ready)

    async def _ready(self) -> bool:
        async with self._lock:
            return await self._open()

    async def read(self, span: Span, newest: int | None = None) -> Bars:
        """Return the stored bars of a span; none where they can't be read."""
        is_open = await self.ready()  # what is damaged is set aside by that
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

    async def renew(self, bars: Bars) -> None:
        """Store those of *bars* that are stored already, but otherwise.

        What was made up for the buffer lacks in the store still.
        """
        if len(bars):
            time_s = bars["time"]
            span = int(time_s.min()), int(time_s.max()) + self.period_s
            known = await self.read(span)
            is_stored = np.isin(bars["time"], known["time"])
            await self.append(bars[is_stored & is_news(bars, known)])

    @property
    def _wants_fold(self) -> bool:
        return self._writer is not None and self._writer.wants_fold

    async def note_empty(self, spans: Iterable[Span]) -> None:
        """Note durably that the venue has no bar in these spans."""
        spans = list(spans)
        if spans:
            await self._write(lambda writer: writer.note_empty(spans))

    async def doubt(self, spans: Iterable[Span]) -> bool:
        """Note durably that bars may lack a trade; tell whether that is done."""
        spans = list(spans)
        return await self._write(lambda writer: writer.note_doubts(spans))

    async def dispel(self, span: Span) -> None:
        """Note durably that the venue was asked again for the bars of a span."""
        if self._writer is not None and self._writer.doubts:
            await self._write(lambda writer: writer.dispel(span))

    @property
    def doubts(self) -> tuple[Span, ...]:
        """Spans of bars that may lack a trade, as far as that is read."""
        return self._writer.doubts if self._writer is not None else ()

    @property
    def empty(self) -> tuple[Span, ...]:
        """Spans in which the venue is known to have no bar, as far as that is read."""
        return self._writer.empty if self._writer is not None else ()

    async def close(self, is_needed: Callable[[], bool] = lambda: False) -> None:
        """Let go of the store, unless it is needed again by the time that is done.

        Who uses it again opens it anew. A disk that hangs is waited for a while only.
        """

        async def close() -> None:
            async with self._lock:
                if is_needed():
                    return
                writer, self._writer = self._writer, None
                self.fault, self._retry_at = None, -float("inf")
                if writer is not None:
                    await in_thread(writer.close)

        with trio.move_on_after(CLOSE_DEADLINE_S) as patience:
            patience.shield = True
            await to_its_end(close)

    async def _write(self, change: Callable[[StoreWriter], None]) -> bool:
        """Change the store in a thread; tell whether that was done."""
        return await to_its_end(partial(self._change, change))

    async def _change(self, change: Callable[[StoreWriter], None]) -> bool:
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
                await held.keeper.close(lambda: bool(held.warns))


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
    _known: Bars = field(default_factory=lambda: np.empty(0, OHLCV))
    _has_begun: bool = False

    async def begin(self) -> None:
        """Go on after the newest stored bar that the buffer reaches to.

        What comes before the bars that were made of trades is no news: it is the
        venue's, or a stand-in.
        """
        writer = self.builder.writer
        first, last = writer.bounds
        since_s = writer.since_s
        if not since_s and last > first:
            since_s = writer.row(first).time + 1  # it may have begun before us
        # one from beyond now, of an import say, tells of no bar before it
        end_s = writer.row(last - 1).time + 1 if last > first else 0
        known = await self.keeper.read((0, end_s), newest=MUTABLE + 1)
        redone_s = 0
        if len(known):
            redone_s = int(known["time"][-1]) - MUTABLE * self.builder.period_s
        self._known = known
        self._next = self._floor = writer.find(max(since_s, redone_s))
        self._has_begun = True

    async def save(self) -> bool:
        """Store what closed or changed since the last time; tell whether it is."""
        if not self._has_begun:  # who is cancelled while it begins saves all the same
            await self.begin()
        writer = self.builder.writer
        oldest, last = writer.bounds
        stop = max(last - 1, self._next)
        first = max(self._next - MUTABLE, self._floor, oldest)
        rows = writer.rows(first, stop)
        is_due = np.ones(len(rows), np.bool_)
        for at in range(min(self._next - first, len(rows))):  # saved once, at least
            known = self._recent.get(first + at)
            is_due[at] = known is not None and known != rows[at].tobytes()
        is_due &= ~is_worse(rows, self._known)  # imported while nobody listened
        recent = {
            first + at: rows[at].tobytes()
            for at in range(max(0, len(rows) - MUTABLE), len(rows))
        }
        if not await self.keeper.append(rows[is_due]):
            return False
        self._next, self._recent = stop, recent
        return True
