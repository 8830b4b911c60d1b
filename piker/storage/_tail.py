"""The tail: bars that are in no month's file yet, appended one after the other.

    record, 64 bytes: the 7 fields of a bar, 8 bytes each | check

A bar may stand in it more than once; the later one counts. The file is laid out ahead
of what is written, so a disk that is full says so before a bar is half there, and its
free part is zeros. A record that a lost write left behind doesn't pass its check.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from piker.errors import StoreDamaged
from piker.tsp import OHLCV

from ._layout import read_file

RECORD: Final = 64
_WORDS: Final = RECORD // 8
_AHEAD: Final = 1024 * RECORD
_PAGE: Final = 4096  # the least that is read at once
#: Odd, so that no bit of a word is lost; all different, so that their order counts.
_FACTORS: Final = np.array(
    [0x9E3779B97F4A7C15 * (2 * i + 1) % 2**64 for i in range(1, _WORDS)], np.uint64
)
_SALT: Final = np.uint64(0x7069_6B65_7221_4241)  # zeros don't pass


def _checks(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the check of each row of words, shape (n, 7)."""
    mixed = (words ^ (words >> np.uint64(29))) * _FACTORS
    total: NDArray[np.uint64] = mixed.sum(axis=1, dtype=np.uint64)
    return total ^ (total >> np.uint64(31)) ^ _SALT


def encode(bars: NDArray[np.void]) -> bytes:
    """Return the records of *bars*, dtype OHLCV, shape (n,)."""
    fields = np.ascontiguousarray(bars, OHLCV).view(np.uint64).reshape(-1, _WORDS - 1)
    records = np.empty((len(bars), _WORDS), np.uint64)
    records[:, :-1], records[:, -1] = fields, _checks(fields)
    return records.tobytes()


@dataclass(frozen=True)
class TailContent:
    """What a tail holds.

    Attributes:
      bars: dtype OHLCV, in the order in which they came.
      records: how many are in use, bad ones too.
      bad: how many of them don't pass their check.
    """

    bars: NDArray[np.void]
    records: int
    bad: int


def decode(raw: bytes) -> TailContent:
    """Return what is in the bytes of a tail."""
    whole = np.frombuffer(raw, np.uint64, len(raw) // RECORD * _WORDS)
    records = whole.reshape(-1, _WORDS)
    fields = records[:, :-1]
    is_used = records.any(axis=1)
    is_good = is_used & (records[:, -1] == _checks(fields))
    used = int(np.flatnonzero(is_used)[-1]) + 1 if is_used.any() else 0
    good = np.ascontiguousarray(fields[is_good]).view(OHLCV).reshape(-1)
    return TailContent(good, used, used - len(good))


def rescue_tail(path: Path) -> tuple[TailContent, str]:
    """Return all that can be had of a tail, and what is wrong with it, "" if nothing.

    Raises: FileNotFoundError; OSError if it can't be read now.
    """
    try:
        content = decode(read_file(path))
    except StoreDamaged as err:
        content = decode(_read_around(path))
        return content, f"{err}; {len(content.bars)} bars of it were saved"
    wrong = f"{content.bad} bars of {path} are damaged" if content.bad else ""
    return content, wrong


def _read_around(path: Path) -> bytes:
    """Return what is in a file, zeros where the disk can't read it."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        raw = bytearray(os.fstat(fd).st_size)
        for at in range(0, len(raw), _PAGE):
            try:
                page = os.pread(fd, _PAGE, at)
            except OSError as err:
                if err.errno != errno.EIO:
                    raise
            else:
                raw[at : at + len(page)] = page
    finally:
        os.close(fd)
    return bytes(raw)


class TailWriter:
    """Appends to a tail; what it has appended is durable."""

    def __init__(self, path: Path, records: int = 0) -> None:
        """Open *path*, made if absent, to append after *records* records."""
        self.path = path
        self.records = records
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._laid_out = os.fstat(self._fd).st_size

    def append(self, bars: NDArray[np.void]) -> None:
        """Append *bars*; on return they are on the disk, after an error none counts.

        Raises: OSError, e.g. a full disk.
        """
        raw = encode(bars)
        at = self.records * RECORD
        if at + len(raw) > self._laid_out:
            size = (at + len(raw) + _AHEAD) // _AHEAD * _AHEAD
            os.posix_fallocate(self._fd, self._laid_out, size - self._laid_out)
            self._laid_out = size
        try:
            self._write(raw, at)
        except BaseException:
            self._take_back(at)
            raise
        self.records += len(bars)

    def _write(self, raw: bytes, at: int) -> None:
        if os.pwrite(self._fd, raw, at) != len(raw):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fdatasync(self._fd)

    def _take_back(self, at: int) -> None:
        """Cut off what may be there from *at* on; if that fails take nothing more."""
        try:
            os.ftruncate(self._fd, at)
            self._laid_out = at
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
