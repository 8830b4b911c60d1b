"""Stored bars to arrays, without a lock.

    manifest --> months of a span, or newest first --> each with its part of the tail

A reader never writes and never waits. What a manifest names stays as it is until the
next one is in force; where a file is gone by then, that one is read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from piker.errors import StoreDamaged, StoreError
from piker.tsp import OHLCV, settled

from ._layout import PART, TAIL, bars_folder, files_in, month_key, months_of, read_file
from ._manifest import Manifest, Part, read_manifest
from ._parts import check_digest, read_part
from ._tail import TailContent, decode

_TRIES: Final = 20  # a manifest is replaced seldom: so many in a row don't happen
_WRITE_S: Final = 0.002  # longer than a few bars take to be written
_EVER_S: Final = 1 << 62
_FIELDS: Final = tuple(OHLCV.names or ())

#: Bars as 7 arrays of shape (n,), in the order of OHLCV's fields.
BarColumns = list[NDArray[Any]]
_NO_COLUMNS: Final[BarColumns] = [np.empty(0, OHLCV[name]) for name in _FIELDS]


@dataclass
class StoredBars:
    """What was read.

    Attributes:
      pieces: bars in order of time, each piece 7 columns of one length, none empty.
      damaged: a sentence for each file that could not be read; its bars are missing.
    """

    pieces: list[BarColumns] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(piece[0]) for piece in self.pieces)

    def columns(self) -> BarColumns:
        """Return the bars as 7 arrays."""
        if len(self.pieces) == 1:
            return self.pieces[0]
        pieces = self.pieces or [_NO_COLUMNS]
        return [np.concatenate(each) for each in zip(*pieces, strict=True)]

    def bars(self) -> NDArray[np.void]:
        """Return the bars as one array of dtype OHLCV."""
        bars = np.empty(len(self), OHLCV)
        for name, column in zip(_FIELDS, self.columns(), strict=True):
            bars[name] = column
        return bars


def read_bars(
    fqme: str,
    period_s: int,
    start_s: int | None = None,
    end_s: int | None = None,
    *,
    newest: int | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> StoredBars:
    """Read a market's stored bars, at most those of a span.

    Args:
      fqme: full name.
      period_s: bar length.
      start_s: epoch s of the first, from the oldest on by default.
      end_s: bars open before it, up to the newest by default.
      newest: only so many of the newest of them: quick, since months' files aren't
        compared with what was written.
      progress: told how much is done, 0 to 1.

    Raises: BadFqme; StoreTooNew; StoreDamaged if the manifest can't be read;
      StoreError if it can't be read now.
    """
    lowest = start_s if start_s is not None else -_EVER_S
    end = end_s if end_s is not None else _EVER_S
    folder = bars_folder(fqme, period_s)
    for _ in range(_TRIES):
        try:
            manifest = read_manifest(folder)
            if manifest is None:
                return StoredBars(damaged=without_manifest(folder))
            return _Reader(folder, manifest, progress).read(lowest, end, newest)
        except _Superseded:
            continue
        except OSError as err:  # of us, e.g. too many open files: not of what is stored
            raise StoreError(f"{folder} can't be read now: {err.strerror}") from None
    raise StoreError(f"{folder} changes faster than it can be read")


def read_tail(fqme: str, period_s: int) -> NDArray[np.void]:
    """Read the bars that are in no month's file yet: quick, and often the newest.

    Returns: dtype OHLCV, ascending; none where there are none or they can't be read.
    """
    folder = bars_folder(fqme, period_s)
    try:
        manifest = read_manifest(folder)
        if manifest is not None:
            return settled(_read_tail(folder / manifest.tail).bars)
    except (StoreError, OSError):
        pass  # `read_bars` says what is wrong
    return np.empty(0, OHLCV)


def without_manifest(folder: Path) -> list[str]:
    """Return what is to be said of a folder that has no manifest: mostly nothing."""
    if any(PART.match(p.name) or TAIL.match(p.name) for p in files_in(folder)):
        return [f"{folder} has bars and no manifest: `piker store repair` makes one"]
    return []


class _Superseded(Exception):
    """A file is gone since another manifest is in force by now."""


@dataclass
class _Reader:
    """Reads what one manifest names."""

    folder: Path
    manifest: Manifest
    progress: Callable[[float], None]
    damaged: list[str] = field(default_factory=list)
    is_quick: bool = False

    def read(self, start_s: int, end_s: int, newest: int | None) -> StoredBars:
        """Return the bars of a span; only *newest* of them if that is told."""
        tail = settled(self._tail())
        tail = tail[(tail["time"] >= start_s) & (tail["time"] < end_s)]
        added = {month: tail[rows] for month, rows in months_of(tail["time"])}
        months = [
            month
            for month, part in self.manifest.parts.items()
            if part.last_s >= start_s and part.first_s < end_s
        ]
        pieces: list[BarColumns] = []
        left = newest if newest is not None else _EVER_S
        self.is_quick = newest is not None  # somebody waits: all of a file isn't read
        every = sorted({*months, *added}, key=month_key, reverse=True)
        for done, month in enumerate(every):
            self.progress(done / len(every))
            if left <= 0:
                break
            part = self.manifest.parts.get(month) if month in months else None
            piece = self._month(part, added.get(month), start_s, end_s, left)
            if len(piece[0]):
                pieces.append([column[-left:] for column in piece])
                left -= len(piece[0])
        return StoredBars(pieces[::-1], self.damaged)

    def _tail(self) -> NDArray[np.void]:
        path = self.folder / self.manifest.tail
        try:
            content = _read_tail(path)
        except FileNotFoundError:
            self._note_missing(path)
            return decode(b"").bars
        except StoreDamaged as err:
            self.damaged.append(str(err))
            return decode(b"").bars
        if content.bad:
            self.damaged.append(f"{content.bad} bars of {path} are damaged")
        return content.bars

    def _note_missing(self, path: Path) -> None:
        if read_manifest(self.folder) != self.manifest:
            raise _Superseded
        self.damaged.append(f"{path} is missing")

    def _month(
        self,
        part: Part | None,
        added: NDArray[np.void] | None,
        start_s: int,
        end_s: int,
        newest: int,
    ) -> BarColumns:
        """Return a month's bars of a span, at least the *newest* of them."""
        older = self._part(part, start_s, end_s, newest) if part else _NO_COLUMNS
        if added is None:
            return older
        if len(older[0]) == newest:  # what is older than those needn't be looked at
            added = added[added["time"] >= older[0][0]]
        return merged(older, to_columns(added))

    def _part(self, part: Part, start_s: int, end_s: int, newest: int) -> BarColumns:
        path = self.folder / part.file
        is_whole = part.first_s >= start_s and part.last_s < end_s
        skip = max(part.rows - newest, 0) if is_whole else 0
        try:
            if not self.is_quick:
                check_digest(path, part)
            frame = read_part(path, skip)
        except FileNotFoundError:
            self._note_missing(path)
            return _NO_COLUMNS
        except StoreDamaged as err:
            self.damaged.append(str(err))
            return _NO_COLUMNS
        columns = [frame[name].to_numpy() for name in _FIELDS]
        if is_whole:
            return columns
        first, end = np.searchsorted(columns[0], (start_s, end_s))
        return [column[max(first, end - newest) : end] for column in columns]


def _read_tail(path: Path) -> TailContent:
    """Return what is in a tail; one that is just being appended to is read again.

    A read that meets a write may get the end of what is written and not its beginning.
    """
    for _ in range(_TRIES):
        content = decode(read_file(path))
        if not content.bad:
            break
        time.sleep(_WRITE_S)
    return content


def to_columns(bars: NDArray[np.void]) -> BarColumns:
    """Return an OHLCV array as 7 arrays."""
    return [np.ascontiguousarray(bars[name]) for name in _FIELDS]


def merged(older: BarColumns, newer: BarColumns) -> BarColumns:
    """Return the union of two ascending series; where both have a bar, *newer* wins."""
    if not len(older[0]) or not len(newer[0]) or newer[0][0] > older[0][-1]:
        return [np.concatenate(both) for both in zip(older, newer, strict=True)]
    time_s = np.concatenate((older[0], newer[0]))
    order = np.argsort(time_s, kind="stable")
    time_s = time_s[order]
    order = order[np.append(time_s[1:] != time_s[:-1], True)]
    return [np.concatenate(both)[order] for both in zip(older, newer, strict=True)]
