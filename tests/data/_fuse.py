"""A writer of shared bars that dies at a chosen store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from piker.data import _shm_layout, _shm_writer
from piker.data._shm import ShmWriter
from piker.data._shm_file import lock, unlock
from piker.data._shm_layout import Mapping
from tests.data._ring import FQME


class Dead(BaseException):
    """The writer was killed here."""


class Fuse:
    """Counts stores and dies instead of one of them, and of all after it."""

    def __init__(self) -> None:
        self.left: float = float("inf")
        self.stores = 0

    def burn(self) -> bool:
        """Count one store; returns whether it is never to happen."""
        if self.left <= 0:
            return True
        self.left -= 1
        self.stores += 1
        return False


class FusedCells:
    """A memoryview or an array on a fuse; what has many bytes dies half stored."""

    def __init__(self, inner, fuse: Fuse) -> None:
        self.inner, self.fuse = inner, fuse

    def __getitem__(self, at):
        return self.inner[at]

    def __setitem__(self, at, value) -> None:
        if self.fuse.burn():
            if isinstance(at, tuple):
                target = self.inner[at]
                target[: len(target) // 2] = value[: len(target) // 2]
            raise Dead
        self.inner[at] = value

    def release(self) -> None:
        self.inner.release()


class FusedStruct:
    """A struct.Struct on a fuse, which dies with half of its bytes stored."""

    def __init__(self, inner, fuse: Fuse) -> None:
        self.inner, self.fuse, self.unpack_from = inner, fuse, inner.unpack_from

    def pack_into(self, memory, at: int, *values) -> None:
        if self.fuse.burn():
            half = self.inner.size // 2
            memory[at : at + half] = self.inner.pack(*values)[:half]
            raise Dead
        self.inner.pack_into(memory, at, *values)


@contextmanager
def mortal_writer(path: Path, fuse: Fuse) -> Iterator[Callable[[], ShmWriter]]:
    """Yield what opens a writer on *fuse*; in the end the writer is gone."""
    with pytest.MonkeyPatch.context() as patch:
        record = FusedStruct(_shm_layout.RECORD, fuse)
        patch.setattr(_shm_writer, "RECORD", record)
        patch.setattr(_shm_layout, "KEYS", FusedStruct(_shm_layout.KEYS, fuse))
        fd = lock(str(path), FQME)
        mapping = Mapping(fd, str(path), writable=True)
        mapping.words = FusedCells(mapping.words, fuse)
        mapping.columns = tuple(FusedCells(c, fuse) for c in mapping.columns)
        mapping.block = FusedCells(mapping.block, fuse)
        try:
            yield lambda: ShmWriter(mapping, fd)
        finally:
            unlock(fd)
