"""A registry address on this machine: who holds it, and the files that belong to it.

``<runtime>/<host>-<port>.lock|cookie|json``: the lock is held by one pikerd for its
life and names its pid; the others are that pikerd's and go with it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psutil

from piker import config
from piker.errors import AddressInUse, ConfigError

from . import _tractor as tr

#: Of a line of /proc/locks; one of a lock that is waited for has more.
_HELD_WORDS = 8


def address_file(addr: tr.Addr, suffix: str) -> Path:
    """Return the runtime file of a registry address."""
    host = addr[0].replace(":", "_")
    return config.runtime_dir() / f"{host}-{addr[1]}.{suffix}"


def running_info(addr: tr.Addr) -> dict[str, Any]:
    """Return what the pikerd at *addr* wrote of itself, empty if nothing."""
    try:
        return msgspec.json.decode(address_file(addr, "json").read_bytes(), type=dict)
    except (OSError, msgspec.DecodeError):
        return {}


def holder_pid(addr: tr.Addr) -> int | None:
    """Return the other process that holds *addr* here, None if none does.

    The kernel's list of locks is asked: the pid in the file of a pikerd that was
    killed may be an innocent one's by now.
    """
    path = address_file(addr, "lock")
    try:
        pid, inode = int(path.read_text()), path.stat().st_ino
        locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    except (OSError, ValueError):
        return None
    held = any(
        words[1] == "FLOCK" and words[4] == str(pid) and words[5].endswith(f":{inode}")
        for words in locks
        if len(words) == _HELD_WORDS
    )
    return pid if held and pid != os.getpid() else None


def take_lock(path: Path) -> int | None:
    """Return a descriptor that holds *path*'s lock, None if somebody else does."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


@contextmanager
def claim(addr: tr.Addr) -> Iterator[None]:
    """Hold *addr* on this machine, for this user, for the length of the block.

    Raises:
      AddressInUse: another pikerd of this user has it.
      ConfigError: the runtime folder can't be written.
    """
    path = address_file(addr, "lock")
    with writing(path):
        fd = take_lock(path)
    if fd is None:
        raise pikerd_runs(addr)
    try:
        with writing(path):
            os.ftruncate(fd, 0)
            os.write(fd, str(os.getpid()).encode())
        for suffix in ("cookie", "json"):  # of one that was killed
            address_file(addr, suffix).unlink(missing_ok=True)
        yield
    finally:
        os.close(fd)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failure to write *path* in the block into a ConfigError."""
    try:
        yield
    except OSError as err:
        raise ConfigError(
            f"can't write {path}: {err.strerror}; free some space there or name "
            "another folder with PIKER_RUNTIME_DIR"
        ) from None


def pikerd_runs(addr: tr.Addr) -> AddressInUse:
    """Return the error that a pikerd has *addr*, naming it as far as it is known."""
    pid = holder_pid(addr) or (_listener(addr) or (None, ""))[0]
    who = f"pid {pid}" if pid else "its pid is unknown"
    return AddressInUse(
        f"a pikerd runs at {config.show_addr(addr)} already ({who}); attach to it, or "
        "give this one another address with --registry HOST:PORT"
    )


async def check_free(addr: tr.Addr) -> None:
    """Raise AddressInUse if somebody listens at *addr*, and say who."""
    found = await tr.probe(addr)
    if found is None:
        return
    if found != "foreign" and found[0] == "pikerd":
        raise pikerd_runs(addr)
    raise AddressInUse(
        f"{config.show_addr(addr)} is held by {_stranger(addr)}; give another address "
        "with --registry HOST:PORT, or end what holds it"
    )


def unanswered(addr: tr.Addr) -> str:
    """Return a sentence on what listens at *addr* without answering like a pikerd."""
    where = config.show_addr(addr)
    pid = holder_pid(addr)
    if pid is not None:
        return (
            f"the pikerd at {where} (pid {pid}) does not answer: it is stopped or "
            f"hangs; `kill -CONT {pid}` wakes a stopped one, `kill -KILL {pid}` ends it"
        )
    return (
        f"what listens at {where} is {_stranger(addr)}; name another address with "
        "--registry HOST:PORT"
    )


def _stranger(addr: tr.Addr) -> str:
    found = _listener(addr)
    if found is None:
        return "something that is not pikerd"
    return f"something that is not pikerd (pid {found[0]}, {found[1]})"


def _listener(addr: tr.Addr) -> tuple[int, str] | None:
    """Return pid and name of who listens at *addr*'s port, None if it can't be seen."""
    try:
        for conn in psutil.net_connections("tcp"):
            if conn.status != psutil.CONN_LISTEN or not conn.laddr or not conn.pid:
                continue
            if conn.laddr.port == addr[1]:
                return conn.pid, psutil.Process(conn.pid).name()
    except psutil.Error:
        pass
    return None
