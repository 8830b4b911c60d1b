"""The file of a buffer of bars: made, owned, given up.

A file appears under its name complete or not at all, with every page reserved. Its one
writer holds its ``flock``, which the kernel drops when that process dies; a ``fork``
without exec would share it, so a writer must not fork.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from piker.errors import ShmBusy, ShmError, ShmFull

from ._shm_layout import (
    FQME_BYTES,
    MAX_CAPACITY,
    W_PID,
    empty_header,
    file_bytes,
    slots_for,
)

_TRIES: Final = 10


def create(path: str, fqme: str, period_s: int, capacity: int) -> None:
    """Make an empty buffer; it appears under *path* complete or not at all.

    Raises: FileExistsError if the name is taken, ShmFull, ShmError.
    """
    name = fqme.encode()
    _check_request(name, period_s, capacity)
    slots = slots_for(capacity)
    size = file_bytes(slots)
    header = empty_header(name, period_s, capacity, slots)
    try:
        # without a name until it is whole: a kill leaves nothing that reserves memory
        fd = os.open(Path(path).parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as e:
        raise ShmError(f"can't make a buffer at {path!r}: {e.strerror}") from e
    try:
        # every page is reserved now: a full file system is an error here, where it
        # would be a SIGBUS at some later store
        os.posix_fallocate(fd, 0, size)
        os.pwrite(fd, header, 0)
        # src_dir_fd goes unused, but without it the symlink itself would be linked
        os.link(f"/proc/self/fd/{fd}", path, src_dir_fd=fd)
    except FileExistsError:
        raise
    except OSError as e:
        raise _creation_error(e, path, fqme, size) from e
    finally:
        os.close(fd)


def own(path: str, fqme: str, period_s: int, capacity: int) -> int:
    """Return a descriptor of the file at *path*, made if need be, that holds its lock.

    Raises: ShmBusy if another process holds it; ShmFull; ShmError.
    """
    for _ in range(_TRIES):
        if not Path(path).exists():
            with suppress(FileExistsError):  # another was faster: flock decides
                create(path, fqme, period_s, capacity)
        with suppress(FileNotFoundError):
            fd = lock(path, fqme)
            if _lies_at(fd, path):
                return fd
            unlock(fd)
    raise ShmError(f"can't keep a buffer at {path!r}: it is removed again and again")


def lock(path: str, fqme: str) -> int:
    """Return a descriptor of the file at *path* that holds its lock.

    Raises: FileNotFoundError; ShmBusy if another process holds it; ShmError.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as e:
        raise ShmError(f"can't open the buffer at {path!r}: {e.strerror}") from e
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:
        pid = _owner_of(fd)
        os.close(fd)
        if e.errno not in {errno.EAGAIN, errno.EACCES}:
            raise ShmError(f"can't lock the buffer at {path!r}: {e.strerror}") from e
        raise ShmBusy(
            f"the bars of {fqme!r} in {path!r} are written by process {pid}; stop it "
            "first or attach as a reader"
        ) from None
    return fd


def unlock(fd: int) -> None:
    """Drop the lock of a buffer's file, and close *fd*."""
    # by name: a mapping holds a duplicate of fd, which would keep the lock
    fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)


def pid_start(pid: int) -> int:
    """Return when a process started, clock ticks since boot; 0 if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    # the name before the last bracket may itself hold brackets and blanks
    state, *rest = stat.rpartition(b")")[2].split()
    return 0 if state in {b"Z", b"X"} else int(rest[18])


def _lies_at(fd: int, path: str) -> bool:
    """Whether *path* still names the file; its last owner may have removed it."""
    try:
        return os.path.samestat(os.fstat(fd), Path(path).stat())
    except FileNotFoundError:
        return False


def _owner_of(fd: int) -> int:
    """Return the pid in the header of a buffer's file, 0 if there is none."""
    word = os.pread(fd, 8, 8 * W_PID)
    return int.from_bytes(word, sys.byteorder) if len(word) == 8 else 0


def _check_request(name: bytes, period_s: int, capacity: int) -> None:
    if not 1 <= len(name) <= FQME_BYTES:
        raise ShmError(
            f"wanted a market name of 1..{FQME_BYTES} bytes, got {len(name)}: {name!r}"
        )
    if not 1 <= capacity <= MAX_CAPACITY:
        raise ShmError(f"wanted a capacity of 1..{MAX_CAPACITY} bars, got {capacity}")
    if period_s < 1:
        raise ShmError(f"wanted a period of at least 1 s, got {period_s}")


def _creation_error(e: OSError, path: str, fqme: str, size: int) -> ShmError:
    if e.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM}:
        return ShmError(f"can't make a buffer at {path!r}: {e.strerror}")
    folder = Path(path).parent
    fs = os.statvfs(folder)
    return ShmFull(
        f"no room for the bars of {fqme!r}: they need {size / 2**20:.1f} MiB in "
        f"'{folder}', {fs.f_bavail * fs.f_frsize / 2**20:.1f} MiB are free; free some, "
        "enlarge it, or ask for fewer bars"
    )
