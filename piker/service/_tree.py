"""A tree's places on this machine: its lock, cookie, shared-memory folder.

``<runtime>/<host>-<port>.lock|cookie|json`` belong to a registry address; one pikerd
holds the lock. ``/dev/shm/piker.<uid>.<tree id>/`` holds the tree's buffers; pikerd
holds a lock file in it, so a folder whose lock can be taken belongs to the dead.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from piker import config
from piker.errors import AddressInUse, ShmFull
from piker.log import get_logger

from . import _tractor as tr

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


def address_file(addr: tr.Addr, suffix: str) -> Path:
    """Return the runtime file of a registry address."""
    host = addr[0].replace(":", "_")
    return Path(config.runtime_dir()) / f"{host}-{addr[1]}.{suffix}"


def running_info(addr: tr.Addr) -> dict[str, Any]:
    """Return what the pikerd at *addr* wrote of itself, empty if nothing."""
    try:
        return msgspec.json.decode(address_file(addr, "json").read_bytes(), type=dict)
    except (OSError, msgspec.DecodeError):
        return {}


def _flock(path: Path) -> int | None:
    """Return a descriptor that holds *path*'s lock, None if somebody else does."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return fd


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
        return _flock(folder / _LOCK)
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


def _make_shm_folder() -> tuple[Path, int]:
    while True:
        folder = SHM_ROOT / f"piker.{os.getuid()}.{secrets.token_hex(4)}"
        try:
            folder.mkdir(mode=0o700)
            fd = _flock(folder / _LOCK)
        except FileExistsError:
            continue
        except OSError as err:
            raise ShmFull(
                f"can't make a folder for bars in {SHM_ROOT}: {err.strerror}; free "
                "some space there (piker doctor lists what is stale)"
            ) from None
        if fd is not None:
            return folder, fd


def _refusal(addr: tr.Addr) -> AddressInUse:
    info = running_info(addr)
    who = f"pid {info['pid']}" if "pid" in info else "its pid is unknown"
    return AddressInUse(
        f"a pikerd runs at {addr[0]}:{addr[1]} already ({who}); attach to it, or give "
        "this one another address with --registry HOST:PORT"
    )


async def check_free(addr: tr.Addr) -> None:
    """Raise AddressInUse if somebody listens at *addr*, and say who."""
    found = await tr.probe(addr)
    if found is None:
        return
    if found == "foreign" or found[0] != "pikerd":
        raise AddressInUse(
            f"{addr[0]}:{addr[1]} is held by something that is not pikerd; give "
            "another address with --registry HOST:PORT, or end what holds it"
        )
    raise _refusal(addr)


@contextmanager
def open_tree(addr: tr.Addr) -> Iterator[Tree]:
    """Claim *addr* on this machine, sweep the dead, make the tree's places.

    Raises AddressInUse if another pikerd of this user has it; ShmFull.
    """
    lock_path = address_file(addr, "lock")
    lock_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    claim = _flock(lock_path)
    if claim is None:
        raise _refusal(addr)
    try:
        sweep()
        shm, held = _make_shm_folder()
        tree = Tree(
            addr, shm, address_file(addr, "cookie"), address_file(addr, "json")
        )
        try:
            tr.write_cookie(tree.cookie)
            told = {"pid": os.getpid(), "since": time.time(), "shm": str(shm)}
            tree.info.write_bytes(msgspec.json.encode(told))
            yield tree
        finally:
            for path in (tree.cookie, tree.info):
                path.unlink(missing_ok=True)
            shutil.rmtree(shm, ignore_errors=True)
            os.close(held)
    finally:
        os.close(claim)


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
