"""Files that are replaced as a whole: who reads one finds all of it, old or new."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import get_native_id


def put_whole(
    path: Path, raw: bytes | memoryview, *, durable: bool, mode: int = 0o666
) -> None:
    """Make *raw* the content of *path*, all of it or nothing; others may do so at once.

    Args:
      path: in a folder that exists.
      raw: the content.
      durable: whether it is on the disk on return; what a process says of itself, or
        can ask for anew, isn't worth that wait.
      mode: who may read and write it, less what the umask forbids.

    Raises: OSError; where it came of syncing the folder, *path* may be the new one.
    """
    fresh = path.with_name(f".{path.name}.{get_native_id()}.new")
    try:
        with open(fresh, "wb", opener=partial(os.open, mode=mode)) as out:
            out.write(raw)
            if durable:
                out.flush()
                os.fsync(out.fileno())
        fresh.replace(path)
    except BaseException:
        with suppress(OSError):
            fresh.unlink()
        raise
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in *folder* durable; raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
