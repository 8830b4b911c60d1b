"""A tree's places on this machine: its address's files, its shared-memory folder.

``/dev/shm/piker.<uid>.<tree id>/`` holds the tree's buffers; pikerd holds a lock file
in it, so a folder whose lock can be taken belongs to the dead.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from piker.errors import ShmFull
from piker.files import put_whole
from piker.log import get_logger

from . import _tractor as tr
from ._address import address_file, check_free, claim, take_lock, writing

log = get_logger(__name__)

SHM_ROOT = Path("/dev/shm")  # noqa: S108 - the kernel's, not a temp dir of ours
_NAME = re.compile(r"^piker\.(\d+)\.([0-9a-f]{8})$")
_LOCK = "lock"


@dataclass(frozen=True)
class Tree:
    """A running tree's places."""

    addr: tr.Addr
    shm: Path
    cookie: Path
    info: Path


def stale_folders() -> list[Path]:
    """Return this user's shared-memory folders that no living tree holds."""
    return [p for p in _own_folders() if (fd := _try_lock(p)) is not None and _drop(fd)]


def _own_folders() -> list[Path]:
    try:
        found = [p for p in SHM_ROOT.iterdir() if p.is_dir() and not p.is_symlink()]
    except OSError:
        return []
    uid = str(os.getuid())
    return [p for p in found if (m := _NAME.match(p.name)) and m[1] == uid]


def _try_lock(folder: Path) -> int | None:
    try:
        return take_lock(folder / _LOCK)
    except OSError:
        return None


def _drop(fd: int) -> bool:
    os.close(fd)
    return True


def sweep() -> list[Path]:
    """Remove the shared-memory folders of dead trees; return them."""
    gone = []
    for folder in _own_folders():
        fd = _try_lock(folder)
        if fd is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(fd)
            gone.append(folder)
            log.info("swept shared memory of a dead tree path=%s", folder)
    return gone


@contextmanager
def _shm_folder() -> Iterator[Path]:
    """Make and hold the tree's shared-memory folder; removed at the end."""
    folder, fd = _make_shm_folder()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(fd)


def _make_shm_folder() -> tuple[Path, int]:
    while True:
        folder = SHM_ROOT / f"piker.{os.getuid()}.{secrets.token_hex(4)}"
        try:
            folder.mkdir(mode=0o700)
            fd = _own(folder)
        except FileExistsError:
            continue
        except OSError as err:
            shutil.rmtree(folder, ignore_errors=True)
            raise _no_room(err) from None
        if fd is not None:
            return folder, fd


def _own(folder: Path) -> int | None:
    """Return a descriptor that holds the new *folder*; None if it was swept away.

    Before it has its lock, another tree that starts just now takes it for a dead one.
    """
    lock = folder / _LOCK
    try:
        fd = take_lock(lock)
    except FileNotFoundError:
        return None
    if fd is None:
        return None
    try:
        if os.path.samestat(os.fstat(fd), lock.stat()):
            return fd
    except FileNotFoundError:
        pass
    os.close(fd)
    return None


def _no_room(err: OSError) -> ShmFull:
    return ShmFull(
        f"can't make a folder for bars in {SHM_ROOT}: {err.strerror}; free some space "
        "there (`piker doctor` lists what is stale)"
    )


@asynccontextmanager
async def open_tree(addr: tr.Addr) -> AsyncIterator[Tree]:
    """Claim *addr* on this machine, sweep the dead, make the tree's places.

    Raises:
      AddressInUse: another pikerd, or something else, has it.
      ConfigError: the runtime folder can't be written.
      ShmFull: no room for the tree's folder.
    """
    with claim(addr):
        await check_free(addr)
        sweep()
        with _shm_folder() as shm:
            cookie, info = (address_file(addr, kind) for kind in ("cookie", "json"))
            told = {"pid": os.getpid(), "since": time.time(), "shm": str(shm)}
            try:
                with writing(info):
                    tr.write_cookie(cookie)
                    put_whole(info, msgspec.json.encode(told), durable=False)
                yield Tree(addr, shm, cookie, info)
            finally:
                for path in (cookie, info):
                    path.unlink(missing_ok=True)


def shm_dir() -> Path:
    """Return the shared-memory folder of the tree this actor belongs to."""
    return Path(tr.piker_vars()["shm"])


def publish_once(name: str, content: bytes) -> bytes:
    """Write *content* as the tree's file *name* unless it exists; return what it has.

    For what must stay the same while actors come and go, e.g. a replay's clock.
    """
    path = shm_dir() / name
    temp = path.with_name(f".{path.name}.{os.getpid()}.new")
    temp.write_bytes(content)
    try:
        os.link(temp, path)
    except FileExistsError:
        return path.read_bytes()
    finally:
        temp.unlink()
    return content
