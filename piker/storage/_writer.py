"""The one writer of a market's stored bars of one period.

    append: tail, durable on return
    fold, now and then: tail --> the months it touches, each file written anew
                        --> a manifest that names them and an empty tail

Killed at any moment it leaves what the manifest in force says; whoever opens next
removes what no manifest names. A damaged file is set aside, and what it held counts as
not there. Not for use by two threads at once.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from piker.errors import StoreBusy, StoreDamaged, StoreError, StoreFull
from piker.log import get_logger
from piker.tsp import find_fault

from ._layout import (
    LOCK,
    MANIFEST,
    PART,
    TAIL,
    bars_folder,
    make_folder,
    months_of,
    part_name,
    set_aside,
    sync_folder,
    tail_name,
)
from ._manifest import Manifest, Part, add_span, read_manifest, write_manifest
from ._parts import read_whole, to_bars, write_part
from ._reader import settled
from ._tail import TailWriter, decode

log = get_logger(__name__)

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
          edition: of the market; bars of another one are set aside. None: whatever
            is there.

        Raises:
          BadFqme: no full name.
          StoreBusy: another process writes it.
          StoreTooNew: a later piker wrote it; it is left alone.
          StoreFull: the disk has no room.
          StoreError: the folder can't be written.
        """
        self.folder = bars_folder(fqme, period_s)
        self.damaged: list[str] = []
        with self._writing():
            self._lock = _take_lock(self.folder)
        try:
            with self._writing():
                self._manifest = self._take_up(fqme, period_s, edition)
                self._tail = self._open_tail()
        except BaseException:
            os.close(self._lock)
            raise
        if not self.damaged:  # else what no manifest names may be all there is
            with suppress(OSError):
                self._sweep()

    def close(self) -> None:
        """Let go of the store; what was appended is durable anyhow."""
        self._tail.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    # -- what is there ------------------------------------------------------------

    @property
    def empty(self) -> tuple[tuple[int, int], ...]:
        """Spans, (first, end) in epoch s, in which the venue has nothing."""
        return self._manifest.empty

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
          StoreError: bars that aren't of whole periods or not numbers; nothing is
            stored.
        """
        if not len(bars):
            return
        self._check(bars)
        with self._writing():
            self._tail.append(bars)

    def note_empty(self, first_s: int, end_s: int) -> None:
        """Note durably that the venue has nothing from *first_s* to before *end_s*."""
        spans = add_span(self._manifest.empty, first_s, end_s)
        if spans != self._manifest.empty:
            with self._writing():
                self._put(msgspec.structs.replace(self._manifest, empty=spans))

    def fold(self) -> None:
        """Move the tail's bars into the files of their months.

        Raises: StoreFull, StoreError; what is stored is as it was.
        """
        if not self._tail.records:
            return
        with self._writing():
            old = self._tail.path
            content = decode(old.read_bytes())
            self._fold(settled(content.bars))
            if content.bad:
                self._lose(old, f"{content.bad} bars of {old} are damaged")
            self._sweep()

    def _fold(self, bars: NDArray[np.void]) -> None:
        number = self._manifest.number + 1
        parts = dict(self._manifest.parts)
        made = [self.folder / tail_name(number)]
        tail = TailWriter(made[0])
        folded = self._manifest
        try:
            for month, rows in months_of(bars["time"]):
                path = self.folder / part_name(month, number)
                made.append(path)
                older = self._read_month(parts.get(month))
                parts[month] = write_part(path, settled(_joined(older, bars[rows])))
            folded = msgspec.structs.replace(
                self._manifest, number=number, tail=tail.path.name, parts=parts
            )
            sync_folder(self.folder)
            self._put(folded)
        except BaseException:
            tail.close()
            if not self._is_in_force(folded):
                for path in made:
                    path.unlink(missing_ok=True)
            raise
        self._tail.close()
        self._tail = tail

    def set_damaged_aside(self) -> None:
        """Set aside each month's file that isn't as it was written.

        Reads all files. Raises: StoreFull, StoreError.
        """
        with self._writing():
            parts = {
                month: part
                for month, part in self._manifest.parts.items()
                if self._read_month(part) is not None
            }
            if parts != self._manifest.parts:
                self._put(msgspec.structs.replace(self._manifest, parts=parts))

    def _read_month(self, part: Part | None) -> NDArray[np.void] | None:
        if part is None:
            return None
        try:
            return to_bars(read_whole(self.folder, part)[0])
        except (FileNotFoundError, StoreDamaged) as err:
            self._lose(self.folder / part.file, str(err))
            return None

    def _put(self, manifest: Manifest) -> None:
        try:
            write_manifest(self.folder, manifest)
        except OSError:  # it may be in force all the same: then its files count
            if not self._is_in_force(manifest):
                raise
        self._manifest = manifest

    def _is_in_force(self, manifest: Manifest) -> bool:
        """Tell whether *manifest* counts, or may count, and not the one before."""
        if manifest is self._manifest:
            return False
        try:
            return read_manifest(self.folder) != self._manifest
        except (OSError, StoreError):
            return True

    def _check(self, bars: NDArray[np.void]) -> None:
        """Raise StoreError unless all of *bars* may be stored."""
        wrong = find_fault(bars, self._manifest.period_s)
        if wrong:
            raise StoreError(f"can't store bars in {self.folder}: {wrong}")

    # -- opening ------------------------------------------------------------------

    def _take_up(self, fqme: str, period_s: int, edition: str | None) -> Manifest:
        try:
            found = read_manifest(self.folder)
        except StoreDamaged as err:
            self._lose(self.folder / MANIFEST, str(err))
            found = None
        if found is None:
            found = self._rebuild(fqme, period_s)
            write_manifest(self.folder, found)
        if edition is not None and edition != found.edition:
            return self._begin_edition(found, edition)
        parts = {
            month: part for month, part in found.parts.items() if self._is_there(part)
        }
        if parts != found.parts:
            found = msgspec.structs.replace(found, parts=parts)
            write_manifest(self.folder, found)
        return found

    def _begin_edition(self, found: Manifest, edition: str) -> Manifest:
        """Return a manifest of no bars; set aside those that *found* names."""
        number = found.number + 1
        fresh = Manifest(
            fqme=found.fqme,
            period_s=found.period_s,
            number=number,
            tail=tail_name(number),
            edition=edition,
        )
        TailWriter(self.folder / fresh.tail).close()
        old = [self.folder / part.file for part in found.parts.values()]
        tail = self.folder / found.tail
        if tail.exists() and decode(tail.read_bytes()).records:
            old.append(tail)
        for path in old:
            self._lose(path, f"{path} is of another edition, {found.edition!r}")
        sync_folder(self.folder)
        write_manifest(self.folder, fresh)
        return fresh

    def _is_there(self, part: Part) -> bool:
        path = self.folder / part.file
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            self._lose(path, f"{path} is missing")
            return False
        if size != part.size:
            self._lose(path, f"{path} has {size} bytes, written were {part.size}")
            return False
        return True

    def _rebuild(self, fqme: str, period_s: int) -> Manifest:
        """Return a manifest of what lies there: none, or all that can be read."""
        parts: dict[str, Part] = {}
        found = sorted(self.folder.iterdir(), key=_number_of)
        for path in found:
            if named := PART.match(path.name):
                try:
                    parts[named[1]] = read_whole(self.folder, path.name)[1]
                except StoreDamaged as err:
                    self._lose(path, str(err))
        number = max(map(_number_of, found), default=0) + 1
        with closing(TailWriter(self.folder / tail_name(number))) as tail:
            for path in found:
                if TAIL.match(path.name):
                    content = decode(path.read_bytes())
                    if len(content.bars):
                        tail.append(content.bars)
                    if content.bad:
                        why = f"{content.bad} bars of {path} are damaged"
                        self._lose(path, why)
        sync_folder(self.folder)
        return Manifest(
            fqme=fqme,
            period_s=period_s,
            number=number,
            tail=tail_name(number),
            parts=parts,
        )

    def _open_tail(self) -> TailWriter:
        """Open the tail to go on with it; a damaged one is set aside, its bars kept."""
        path = self.folder / self._manifest.tail
        if not path.exists():
            self._lose(path, f"{path} is missing")
            TailWriter(path).close()
            sync_folder(self.folder)
        content = decode(path.read_bytes())
        if not content.bad:
            return TailWriter(path, content.records)
        number = self._manifest.number + 1
        fresh = TailWriter(self.folder / tail_name(number))
        try:
            if len(content.bars):
                fresh.append(content.bars)
            sync_folder(self.folder)
            self._put(
                msgspec.structs.replace(
                    self._manifest, number=number, tail=fresh.path.name
                )
            )
        except BaseException:
            fresh.close()
            raise
        self._lose(path, f"{content.bad} bars of {path} are damaged")
        return fresh

    def _lose(self, path: Path, why: str) -> None:
        """Note that a file is damaged, and set it aside if it is there."""
        there = ""
        with suppress(FileNotFoundError):
            there = f"; it lies in {set_aside(path)} now"
        self.damaged.append(why + there)
        log.warning("%s%s", why, there)

    def _sweep(self) -> None:
        """Remove what a killed writer left and no manifest names."""
        named = {self._manifest.tail, *(p.file for p in self._manifest.parts.values())}
        for path in self.folder.iterdir():
            is_ours = PART.match(path.name) or TAIL.match(path.name)
            is_fresh = path.name.startswith(".") and path.name.endswith(".new")
            if is_fresh or (is_ours and path.name not in named):
                path.unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Generator[None, None, None]:
        """Let out errors of ours only."""
        try:
            yield
        except OSError as err:
            what = f"can't store bars in {self.folder}: {err.strerror or err}"
            if err.errno in _NO_ROOM:
                raise StoreFull(f"{what}; free some space there") from None
            raise StoreError(what) from None


def _joined(
    older: NDArray[np.void] | None, newer: NDArray[np.void]
) -> NDArray[np.void]:
    return newer if older is None else np.concatenate((older, newer))


def _number_of(path: Path) -> int:
    named = PART.match(path.name) or TAIL.match(path.name)
    return int(named[named.lastindex or 1]) if named else 0


def _take_lock(folder: Path) -> int:
    """Return a descriptor that holds the folder's lock; raises StoreBusy.

    The folder is made if it isn't there. A lock counts only if its file is still the
    one in the folder: that may be on its way out.
    """
    while True:
        make_folder(folder)
        try:
            fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), (folder / LOCK).stat()):
                break
        except FileNotFoundError:
            pass
        except BlockingIOError:
            holder = os.pread(fd, 32, 0).decode(errors="replace").strip()
            os.close(fd)
            raise StoreBusy(
                f"process {holder or '?'} writes the bars in {folder}: stop it first, "
                "e.g. `piker services stop datad.BROKER`"
            ) from None
        os.close(fd)
    os.ftruncate(fd, 0)
    os.pwrite(fd, str(os.getpid()).encode(), 0)
    return fd
