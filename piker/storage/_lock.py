"""The lock of a folder of bars: who holds it is its one writer."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from piker.errors import StoreBusy, StoreError

from ._layout import LOCK, make_folder

_TRIES: Final = 100  # a store is deleted seldom: so many in a row don't happen


def take_lock(folder: Path) -> int:
    """Return a descriptor that holds the folder's lock.

    The folder is made if it isn't there. A lock counts only if its file is still the
    one in the folder: that may be on its way out.

    Raises: StoreBusy; StoreError; OSError if it can't be made.
    """
    for _ in range(_TRIES):
        with suppress(FileNotFoundError):  # it, or one above it, was deleted just now
            make_folder(folder)
            fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if _hold(fd, folder):
                    return fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)
    raise StoreError(f"{folder} is removed again and again")


def _hold(fd: int, folder: Path) -> bool:
    """Lock the file and write our pid into it; tell whether it is the folder's."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(fd, 32, 0).decode(errors="replace").strip()
        raise StoreBusy(
            f"process {holder or '?'} writes the bars in {folder}: stop it first, "
            "e.g. `piker services stop datad.BROKER`"
        ) from None
    if not os.path.samestat(os.fstat(fd), (folder / LOCK).stat()):
        return False
    os.ftruncate(fd, 0)
    os.pwrite(fd, str(os.getpid()).encode(), 0)
    return True
