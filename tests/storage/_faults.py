"""Disks with bad sectors, and writers that are killed between two changes."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

#: What changes a disk, or says when it is changed; open with O_CREAT alone.
CHANGES = (
    "fdatasync",
    "fsync",
    "ftruncate",
    "link",
    "mkdir",
    "open",
    "posix_fallocate",
    "pwrite",
    "rename",
    "replace",
    "unlink",
)


class Killed(BaseException):
    """Stands for SIGKILL."""


def runs_through(patch, steps: int, change: Callable[[], object]) -> bool:
    """Run *change*, killed after so many *steps*; tell whether it needed no more.

    A killed process changes nothing any more: so nothing that tidies up does here.
    """
    left = iter(range(steps))

    def mortal(name: str) -> Callable[..., object]:
        real = getattr(os, name)

        def step(*args, **kwargs):
            if name == "open" and not args[1] & os.O_CREAT:
                return real(*args, **kwargs)
            if next(left, None) is None:
                raise Killed
            return real(*args, **kwargs)

        return step

    with patch.context() as within:
        for name in CHANGES:
            within.setattr(os, name, mortal(name))
        try:
            change()
        except Killed:
            return False
        return True


def spoil(patch, path: Path, first: int, end: int) -> None:
    """Make the disk unable to read these bytes of a file, by whatever name."""
    inode = path.stat().st_ino
    read, pread = Path.read_bytes, os.pread

    def read_bytes(self):
        raw = read(self)
        if self.stat().st_ino == inode:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return raw

    def pread_some(fd, size, at):
        if os.fstat(fd).st_ino == inode and at < end and first < at + size:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pread(fd, size, at)

    patch.setattr(Path, "read_bytes", read_bytes)
    patch.setattr(os, "pread", pread_some)
