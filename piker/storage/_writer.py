"""The one writer of a market's stored bars of one period.

    append: tail, durable on return
    fold, now and then: tail --> the months it touches, each file written anew
                        --> a manifest that names them and an empty tail

Killed at any moment it leaves what the manifest in force says, see `Folder`. Not for
use by two threads at once.
"""

from __future__ import annotations

import errno
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from piker.errors import StoreError, StoreFull
from piker.files import sync_folder
from piker.tsp import Span, find_fault, join_spans, merge, settled, without

from ._folder import Folder
from ._layout import bars_folder, months_of, part_name, tail_name
from ._parts import write_part
from ._tail import TailWriter, rescue_tail

#: Bars in a tail from which on it is to be folded: 4 MB, read in a few ms.
FOLD_BARS: Final = 1 << 16
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class StoreWriter:
    """Writes one market's bars of one period.

    Attributes:
      folder: of the bars.
      damaged: a sentence for each file that was set aside, or lost, at opening or
        since.
    """

    def __init__(self, fqme: str, period_s: int, edition: str | None = None) -> None:
        """Take the store of *fqme* up, or begin it.

        Args:
          fqme: full name.
          period_s: bar length.
          edition: of the market; bars of another one are set aside, those of none,
            e.g. imported ones, are taken for it. None: whatever is there.

        Raises:
          BadFqme: no full name.
          StoreBusy: another process writes it.
          StoreTooNew: a later piker wrote it; it is left alone.
          StoreFull: the disk has no room.
          StoreError: the folder can't be written.
        """
        self.folder = bars_folder(fqme, period_s)
        with _told(self.folder):
            self._files = Folder(fqme, period_s, edition)
            try:
                self._tail = self._open_tail()
            except BaseException:
                self._files.close()
                raise
        self.damaged = self._files.damaged
        with suppress(OSError):
            self._files.sweep()

    def close(self) -> None:
        """Let go of the store; what was appended is durable anyhow."""
        self._tail.close()
        self._files.close()

    # -- what is there ------------------------------------------------------------

    @property
    def empty(self) -> tuple[tuple[int, int], ...]:
        """Spans, (first, end) in epoch s, in which the venue has nothing."""
        return self._files.manifest.empty

    @property
    def doubts(self) -> tuple[Span, ...]:
        """Spans of bars that may lack a trade, as of `note_doubts`."""
        return self._files.manifest.doubts

    @property
    def wants_fold(self) -> bool:
        """Whether the tail has grown enough for `fold`."""
        return self._tail.records >= FOLD_BARS

    # -- changes ------------------------------------------------------------------

    def append(self, bars: NDArray[np.void]) -> None:
        """Store bars; on return they are durable.

        Args:
          bars: dtype OHLCV, of any times, in any order; one of a time that is stored
            already replaces that one.

        Raises:
          StoreFull: the disk has no room; nothing is stored.
          StoreError: bars that aren't of whole periods or not numbers, or a writer
            that is closed; nothing is stored.
        """
        if not len(bars):
            return
        wrong = find_fault(bars, self._files.manifest.period_s)
        if wrong:
            raise StoreError(f"can't store bars in {self.folder}: {wrong}")
        with self._writing():
            self._tail.append(bars)

    def note_empty(self, spans: Iterable[tuple[int, int]]) -> None:
        """Note durably that the venue has nothing in *spans*: (first, end), epoch s.

        Raises: as `fold`.
        """
        empty = join_spans(self._files.manifest.empty, spans)
        self._note(empty=empty)

    def note_doubts(self, spans: Iterable[Span]) -> None:
        """Note durably that bars in *spans* may lack a trade.

        Raises: as `fold`.
        """
        self._note(doubts=join_spans(self.doubts, spans))

    def dispel(self, span: Span) -> None:
        """Note durably that no bar in *span* is in doubt any more.

        Raises: as `fold`.
        """
        left = [part for each in self.doubts for part in without(each, [span])]
        self._note(doubts=tuple(left))

    def _note(self, **changes: tuple[Span, ...]) -> None:
        manifest = msgspec.structs.replace(self._files.manifest, **changes)
        if manifest != self._files.manifest:
            with self._writing():
                self._files.put(manifest)

    def fold(self) -> None:
        """Move the tail's bars into the files of their months.

        Raises: StoreFull, StoreError; what is stored is as it was. Where the disk
          doesn't even tell whether it is, the writer is closed: open it anew.
        """
        if not self._tail.records:
            return
        with self._writing():
            content, wrong = rescue_tail(self._tail.path)
            if wrong:
                self._files.lose(self._tail.path, wrong)
            self._fold(settled(content.bars))

    def _fold(self, bars: NDArray[np.void]) -> None:
        number = self._files.next_number()
        parts = dict(self._files.manifest.parts)
        lost: list[Span] = []
        made = [self.folder / tail_name(number)]
        tail = TailWriter(made[0])
        try:
            for month, rows in months_of(bars["time"]):
                path = self.folder / part_name(month, number)
                made.append(path)
                newer = bars[rows]
                if month in parts:
                    if older := self._files.read_month(month, parts[month]):
                        newer = merge(older[0], newer)
                    else:
                        lost.append(self._files.span_of(parts[month]))
                parts[month] = write_part(path, newer)
            sync_folder(self.folder)
            self._files.put(
                msgspec.structs.replace(
                    self._files.manifest,
                    number=number,
                    tail=tail.path.name,
                    parts=parts,
                    lost=join_spans(self._files.manifest.lost, lost),
                )
            )
        except BaseException:
            tail.close()
            if self._files.is_open:  # else they may be what counts
                for path in made:
                    path.unlink(missing_ok=True)
            raise
        self._tail.close()
        self._tail = tail

    def set_damaged_aside(self) -> None:
        """Set aside each month's file that isn't as it was written.

        Reads all files. Raises: as `fold`.
        """
        with self._writing():
            parts = {}
            for month, part in self._files.manifest.parts.items():
                if found := self._files.read_month(month, part, is_doubted=True):
                    parts[month] = found[1]
            self._files.put_parts(parts)

    def _open_tail(self) -> TailWriter:
        """Open the tail to go on with it; a damaged one is set aside, its bars kept."""
        manifest = self._files.manifest
        path = self.folder / manifest.tail
        if not path.exists():
            self._files.lose(path, f"{path} is missing")
            TailWriter(path).close()
            sync_folder(self.folder)
        content, wrong = rescue_tail(path)
        if not wrong:
            return TailWriter(path, content.records)
        self._files.lose(path, wrong)
        number = self._files.next_number()
        fresh = TailWriter(self.folder / tail_name(number))
        try:
            if len(content.bars):
                fresh.append(content.bars)
            sync_folder(self.folder)
            self._files.put(
                msgspec.structs.replace(manifest, number=number, tail=fresh.path.name)
            )
        except BaseException:
            fresh.close()
            raise
        return fresh

    @contextmanager
    def _writing(self) -> Generator[None, None, None]:
        """Let out errors of ours only; raises StoreError if it is closed."""
        if not self._files.is_open:
            raise StoreError(f"the bars in {self.folder} aren't open: open them anew")
        with _told(self.folder):
            yield


@contextmanager
def _told(folder: Path) -> Generator[None, None, None]:
    """Let out errors of ours only."""
    try:
        yield
    except OSError as err:
        what = f"can't store bars in {folder}: {err.strerror or err}"
        if err.errno in _NO_ROOM:
            raise StoreFull(f"{what}; free some space there") from None
        raise StoreError(what) from None
