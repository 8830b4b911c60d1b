"""A folder of bars in its writer's hands: what counts there, and what is set aside.

    damaged file --a second name in damaged/--> a manifest without it in force
                                            --> its first name removed

Killed at any moment it leaves what the manifest in force says; whoever opens next
removes what no manifest names. What a damaged file held counts as not there, unless an
older file has it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from piker.errors import StoreDamaged, StoreError
from piker.files import sync_folder
from piker.log import get_logger
from piker.tsp import Span, join_spans

from ._layout import (
    MANIFEST,
    PART,
    TAIL,
    bars_folder,
    files_in,
    number_of,
    remove_gone,
    set_aside,
    tail_name,
)
from ._lock import take_lock
from ._manifest import Manifest, Part, read_manifest, write_manifest
from ._parts import read_whole, to_bars
from ._tail import TailWriter, rescue_tail

log = get_logger(__name__)


class Folder:
    """A folder of bars, and the lock of it.

    Attributes:
      path: of the folder.
      manifest: the one in force.
      damaged: a sentence for each file that was set aside, or lost.
    """

    def __init__(self, fqme: str, period_s: int, edition: str | None) -> None:
        """Take the folder up, or make it; arguments and errors as of `StoreWriter`.

        Raises: OSError, too.
        """
        self.path = bars_folder(fqme, period_s)
        self.damaged: list[str] = []
        self._lock = take_lock(self.path)
        try:
            with suppress(OSError):  # it is tried again
                remove_gone(self.path.parent)
            self.manifest = self._find_manifest(fqme, period_s, edition)
            self._take_up(edition)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the folder."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    @property
    def is_open(self) -> bool:
        """Whether it is ours to write."""
        return self._lock >= 0

    # -- what counts --------------------------------------------------------------

    def put(self, manifest: Manifest) -> None:
        """Put *manifest* in force; remove what only the one before named.

        Raises: OSError: the one before counts; or which one does can't be told, then
          the folder is closed and nothing in it is touched.
        """
        before = self.manifest
        try:
            write_manifest(self.path, manifest)
        except BaseException as err:
            counts = self._read_manifest()
            if counts == manifest and isinstance(err, OSError):
                self.manifest = manifest  # only that it is durable is uncertain
                return
            if counts != before:
                self.close()
            raise
        self.manifest = manifest
        for name in _named_by(before) - _named_by(manifest):
            with suppress(OSError):  # else who opens next removes it
                (self.path / name).unlink()

    def _read_manifest(self) -> Manifest | None:
        """Return the manifest that is there, None if that can't be told."""
        try:
            return read_manifest(self.path)
        except (OSError, StoreError):
            return None

    def put_parts(self, parts: dict[str, Part], edition: str | None = None) -> None:
        """Put a manifest of these months in force, unless it is already."""
        number = max(self.manifest.number, *map(_number_of, parts.values()), 0)
        gone = [p for m, p in self.manifest.parts.items() if m not in parts]
        changed = msgspec.structs.replace(
            self.manifest,
            number=number,
            parts=parts,
            lost=join_spans(self.manifest.lost, map(self.span_of, gone)),
            edition=self.manifest.edition if edition is None else edition,
        )
        if changed != self.manifest:
            self.put(changed)

    def span_of(self, part: Part) -> Span:
        """Return from where to where a file has bars, epoch s."""
        return part.first_s, part.last_s + self.manifest.period_s

    def next_number(self) -> int:
        """Return a number that no file has, a killed writer's included."""
        found = files_in(self.path)
        return max([self.manifest.number, *(number_of(p.name) for p in found)]) + 1

    def lose(self, path: Path, why: str) -> None:
        """Note that a file is damaged, and set it aside if it is there.

        Its first name stays: it goes with the manifest that names it.
        """
        said = why
        with suppress(FileNotFoundError):
            said = f"{why}; it lies in {set_aside(path)} now"
        if said not in self.damaged:  # a change that failed is tried again
            self.damaged.append(said)
            log.warning("%s", said)

    def sweep(self) -> None:
        """Remove what a killed writer left and the manifest doesn't name.

        Nothing if anything was amiss: what isn't named may be all there is then.
        """
        if self.damaged:
            return
        named = _named_by(self.manifest)
        for path in self.path.iterdir():
            is_ours = PART.match(path.name) or TAIL.match(path.name)
            is_fresh = path.name.startswith(".") and path.name.endswith(".new")
            if is_fresh or (is_ours and path.name not in named):
                path.unlink(missing_ok=True)

    # -- months -------------------------------------------------------------------

    def read_month(
        self, month: str, part: Part, *, is_doubted: bool = False
    ) -> tuple[NDArray[np.void], Part] | None:
        """Return a month's bars and the entry of their file, None if all are lost.

        Args:
          month: its name.
          part: its entry.
          is_doubted: whether what a sound file holds is looked at, too: it may be of
            somebody else, taken up where there was no manifest.

        Raises: OSError if it can't be read now.
        """
        return self._first_sound([part, *self._copies(month, part)], is_doubted)

    def _first_sound(
        self, files: Iterable[Part | str], is_doubted: bool = False
    ) -> tuple[NDArray[np.void], Part] | None:
        """Return what is in the first file that can be read; lose those before."""
        period_s = self.manifest.period_s
        for told in files:
            is_new = is_doubted or isinstance(told, str)
            try:
                frame, found = read_whole(self.path, told, period_s if is_new else None)
            except (FileNotFoundError, StoreDamaged) as err:
                name = told if isinstance(told, str) else told.file
                self.lose(self.path / name, str(err))
            else:
                return to_bars(frame), found
        return None

    def _copies(self, month: str, part: Part) -> list[str]:
        """Return the month's other files, newest first: a killed fold may leave one."""
        others = [
            path.name
            for path in files_in(self.path)
            if (named := PART.match(path.name)) and named[1] == month
        ]
        return sorted({*others} - {part.file}, key=number_of, reverse=True)

    def _stand_in(self, month: str, part: Part) -> Part | None:
        """Return the entry of the file that counts for *part*, mostly that itself."""
        if self._is_there(part):
            return part
        found = self._first_sound(self._copies(month, part))
        return found[1] if found else None

    def _is_there(self, part: Part) -> bool:
        path = self.path / part.file
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            self.lose(path, f"{path} is missing")
            return False
        if size != part.size:
            self.lose(path, f"{path} has {size} bytes, written were {part.size}")
            return False
        return True

    # -- opening ------------------------------------------------------------------

    def _find_manifest(self, fqme: str, period_s: int, edition: str | None) -> Manifest:
        """Return the manifest in force; one is made if there is none."""
        try:
            found = read_manifest(self.path)
        except StoreDamaged as err:
            self.lose(self.path / MANIFEST, str(err))
            found = None
        if found is None:
            found = self._rebuild(fqme, period_s, edition or "")
            write_manifest(self.path, found)
        return found

    def _take_up(self, edition: str | None) -> None:
        """Leave out what isn't there, or is of another edition."""
        known = self.manifest.edition
        if edition is not None and known and edition != known:
            self._begin_edition(edition)
            return
        found = {m: self._stand_in(m, p) for m, p in self.manifest.parts.items()}
        parts = {month: part for month, part in found.items() if part is not None}
        self.put_parts(parts, edition)

    def _begin_edition(self, edition: str) -> None:
        """Put a manifest of no bars in force; set aside all that are there."""
        old = self.manifest
        aside = []
        for path in sorted(files_in(self.path)):
            if PART.match(path.name) or (TAIL.match(path.name) and _holds_bars(path)):
                self.lose(path, f"{path} is of another edition, {old.edition!r}")
                aside.append(path)
        number = self.next_number()
        TailWriter(self.path / tail_name(number)).close()
        fresh = Manifest(
            fqme=old.fqme,
            period_s=old.period_s,
            number=number,
            tail=tail_name(number),
            edition=edition,
        )
        self.put(fresh)
        for path in aside:  # those too that no manifest named
            path.unlink(missing_ok=True)

    def _rebuild(self, fqme: str, period_s: int, edition: str) -> Manifest:
        """Return a manifest of what lies there: none, or all that can be read."""
        parts: dict[str, Part] = {}
        found = sorted(self.path.iterdir(), key=lambda path: number_of(path.name))
        for path in found:
            if named := PART.match(path.name):
                try:
                    found_part = read_whole(self.path, path.name, period_s)[1]
                    parts[named[1]] = found_part
                except StoreDamaged as err:
                    self.lose(path, str(err))
        number = max((number_of(path.name) for path in found), default=0) + 1
        with closing(TailWriter(self.path / tail_name(number))) as tail:
            for path in found:
                if TAIL.match(path.name):
                    content, wrong = rescue_tail(path)
                    if len(content.bars):
                        tail.append(content.bars)
                    if wrong:
                        self.lose(path, wrong)
        sync_folder(self.path)
        return Manifest(
            fqme=fqme,
            period_s=period_s,
            number=number,
            tail=tail_name(number),
            parts=parts,
            edition=edition,
        )


def _named_by(manifest: Manifest) -> set[str]:
    """Return the names of the files that count by *manifest*."""
    return {manifest.tail, *(part.file for part in manifest.parts.values())}


def _number_of(part: Part) -> int:
    return number_of(part.file)


def _holds_bars(tail: Path) -> bool:
    content, wrong = rescue_tail(tail)
    return bool(content.records or wrong)
