"""What ``piker doctor`` looks at: one function a check, each looks and changes nothing.

A check that is not ``ok`` keeps piker from working. One that is ``ok`` and has advice
is a warning: something else than markets and orders would work better.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from piker import config
from piker.errors import PikerError
from piker.types import Struct

if TYPE_CHECKING:
    from piker.service import Addr

SHM_ROOT = Path("/dev/shm")  # noqa: S108 - the kernel's
LOW_DISK_MB = 1_000
NO_DISK_MB = 50
LOW_SHM_MB = 256
NO_SHM_MB = 16
MAX_CLOCK_ERROR_S = 1.0

#: Shared library -> the Debian package that has it.
QT_LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libfontconfig.so.1": "libfontconfig1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
}
_OF_X11 = frozenset(name for name in QT_LIBRARIES if "xcb" in name or "x11" in name)


class Check(Struct, frozen=True, kw_only=True):
    """One finding.

    Attributes:
      name: of what was looked at.
      ok: False where piker can't work with it.
      detail: what was found.
      advice: what to do about it; empty if nothing is to be done.
    """

    name: str
    ok: bool = True
    detail: str
    advice: str = ""


def check_python() -> Check:
    """Look at the interpreter."""
    found = platform.python_version()
    return Check(name="python", detail=f"{platform.python_implementation()} {found}")


def check_engine() -> Check:
    """Look at the actor runtime and what it runs on."""
    found, lacking = [], []
    for name in ("tractor", "trio"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            lacking.append(name)
    if lacking:
        names = " and ".join(lacking)
        advice = "install piker again, with its dependencies"
        detail = f"{names} not installed"
        return Check(name="engine", ok=False, detail=detail, advice=advice)
    return Check(name="engine", detail=", ".join(found))


def check_config() -> Check:
    """Parse ``conf.toml``."""
    path = config.config_dir() / config.CONF_NAME
    try:
        config.load_config()
    except PikerError as err:
        advice = f"correct {path}, or move it away: all keys have defaults"
        return Check(name="config", ok=False, detail=str(err), advice=advice)
    if path.exists():
        return Check(name="config", detail=str(path))
    return Check(name="config", detail=f"no {path}: defaults are used")


def check_secrets() -> Check:
    """Look at who may read ``brokers.toml``; it isn't opened."""
    try:
        path = config.check_secrets_file()
    except PikerError as err:
        advice = "secrets are to be readable by you alone"
        return Check(name="secrets", ok=False, detail=str(err), advice=advice)
    if path is None:
        return Check(name="secrets", detail="no brokers.toml: no live orders, no keys")
    return Check(name="secrets", detail=f"{path}, closed to others")


def check_orders() -> Check:
    """Read the whole order journal, whether emsd runs or not."""
    from piker.clearing import is_in_memory, journal_path, verify_journal

    path = journal_path()
    try:
        found = verify_journal(path)
    except PikerError as err:
        advice = "orders in it can't be looked after until it is moved away or mended"
        return Check(name="orders", ok=False, detail=str(err), advice=advice)
    detail = f"{found['live']} live, {found['ended']} ended lately"
    if not path.exists():
        return Check(name="orders", detail="none yet")
    if is_in_memory(path):
        advice = f"a power cut empties {path.parent}: name another state folder"
        return Check(name="orders", detail=detail, advice=advice)
    return Check(name="orders", detail=detail)


def check_folders() -> list[Check]:
    """Look at room and rights in the folders of state and cache."""
    return [
        _check_room("state", config.state_dir()),
        _check_room("cache", config.cache_dir()),
    ]


def _check_room(name: str, folder: Path) -> Check:
    there = folder
    while not there.exists():
        there = there.parent
    try:
        free_mb = shutil.disk_usage(there).free // 1_000_000
    except OSError as err:
        detail = f"{folder}: {err.strerror}"
        return Check(name=name, ok=False, detail=detail, advice=f"look at {there}")
    detail = f"{folder}, {free_mb:,} MB free"
    if not os.access(there, os.W_OK | os.X_OK):
        env = f"PIKER_{name.upper()}_DIR"
        advice = f"chown {there}, or name another folder by {env}"
        return Check(name=name, ok=False, detail=f"can't write {folder}", advice=advice)
    advice = f"free some space on the disk of {there}" if free_mb < LOW_DISK_MB else ""
    return Check(name=name, ok=free_mb >= NO_DISK_MB, detail=detail, advice=advice)


def check_shm() -> Check:
    """Look at the room for buffers of bars."""
    try:
        free_mb = shutil.disk_usage(SHM_ROOT).free // 1_000_000
    except OSError as err:
        advice = f"mount a tmpfs at {SHM_ROOT}"
        return Check(name="shm", ok=False, detail=str(err), advice=advice)
    detail = f"{SHM_ROOT}, {free_mb:,} MB free; a market takes about 12 MB"
    advice = f"free some space in {SHM_ROOT}, or remount it larger"
    return Check(
        name="shm",
        ok=free_mb >= NO_SHM_MB,
        detail=detail,
        advice=advice if free_mb < LOW_SHM_MB else "",
    )


# -- what dead trees left -----------------------------------------------------


def check_stale_shm() -> Check:
    """Look for shared memory of dead trees."""
    from piker.service import stale_folders

    stale = stale_folders()
    if not stale:
        return Check(name="stale shm", detail="none")
    detail = ", ".join(map(str, stale))
    advice = "the next pikerd removes it, `piker doctor --fix` does so now"
    return Check(name="stale shm", detail=detail, advice=advice)


def check_stale_runtime() -> Check:
    """Look for files that a dead pikerd left in the runtime folder."""
    try:
        stale = stale_runtime_files()
        folder = config.runtime_dir()
    except PikerError as err:
        advice = "or name another folder by PIKER_RUNTIME_DIR"
        return Check(name="runtime", ok=False, detail=str(err), advice=advice)
    if not stale:
        return Check(name="runtime", detail=f"{folder}, nothing stale")
    names = ", ".join(path.name for path in stale)
    detail = f"a dead pikerd left {names} in {folder}"
    advice = "the next pikerd replaces them, `piker doctor --fix` removes them"
    return Check(name="runtime", detail=detail, advice=advice)


def stale_runtime_files() -> list[Path]:
    """Return the cookies and notes of registry addresses whose pikerd is dead."""
    return [
        path
        for suffix in ("cookie", "json")
        for path in sorted(config.runtime_dir().glob(f"*.{suffix}"))
        if not _is_locked(path.with_suffix(".lock"))
    ]


def _is_locked(path: Path) -> bool:
    """Tell whether a process holds the lock file, which a live pikerd does."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def fix_stale() -> list[str]:
    """Remove what dead trees left; return a sentence for each thing."""
    from piker.service import sweep

    done = [f"removed {path}" for path in sweep()]
    for path in stale_runtime_files():
        path.unlink(missing_ok=True)
        done.append(f"removed {path}")
    return done


# -- what runs, and on what ---------------------------------------------------


async def check_pikerd(addr: Addr) -> Check:
    """Look who listens at the registry's address."""
    from piker.service import probe, running_info

    where = config.show_addr(addr)
    found = await probe(addr)
    if found is None:
        detail = f"none runs at {where}; commands that need one start it"
        return Check(name="pikerd", detail=detail)
    if found == "foreign" or found[0] != "pikerd":
        detail = f"what listens at {where} is not a pikerd, or it hangs"
        advice = "end what holds the address, or name another with --registry HOST:PORT"
        return Check(name="pikerd", ok=False, detail=detail, advice=advice)
    info = running_info(addr)
    if "pid" not in info:
        detail = f"the one at {where} is another user's, or of another runtime folder"
        advice = "name another address with --registry HOST:PORT"
        return Check(name="pikerd", ok=False, detail=detail, advice=advice)
    return Check(name="pikerd", detail=f"runs at {where}, pid {info['pid']}")


class _Timex(ctypes.Structure):
    """``struct timex`` of adjtimex(2), up to what is read, and room for the rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


_STA_UNSYNC = 0x0040
_STA_NANO = 0x2000


def check_clock() -> Check:
    """Ask the kernel whether something keeps its clock right, and how well."""
    timex = _Timex(modes=0)
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        state = -1
    if state < 0:
        return Check(name="clock", detail="its offset is not readable here")
    return judge_clock(timex.status, timex.offset, timex.maxerror)


def judge_clock(status: int, offset: int, max_error_us: int) -> Check:
    """Return what adjtimex(2) says; *offset* is in ns or us, as *status* tells."""
    offset_ms = offset / (1e6 if status & _STA_NANO else 1e3)
    error_ms = max_error_us / 1e3
    advice = "let chrony or systemd-timesyncd keep it right: bars go by it"
    if status & _STA_UNSYNC:
        detail = "the kernel knows of nothing that keeps it right"
        return Check(name="clock", detail=detail, advice=advice)
    detail = f"off by {offset_ms:+.3f} ms, at most {error_ms:.0f} ms"
    late = abs(offset_ms) > 1e3 * MAX_CLOCK_ERROR_S
    return Check(name="clock", detail=detail, advice=advice if late else "")


def lacking_qt_libraries(*, has_x11: bool = True) -> list[str]:
    """Return the shared libraries that Qt wants and that lack.

    Args:
      has_x11: windows are shown by X11, not by Wayland, or not at all.
    """
    wanted = [name for name in QT_LIBRARIES if has_x11 or name not in _OF_X11]
    return [name for name in wanted if not _loads(name)]


def check_qt() -> Check:
    """Look for the shared libraries that a chart needs."""
    lacking = lacking_qt_libraries()
    if not lacking:
        return Check(name="qt", detail="all libraries of charts are there")
    packages = " ".join(QT_LIBRARIES[name] for name in lacking)
    advice = f"for charts: apt-get install --no-install-recommends {packages}"
    detail = f"{', '.join(lacking)} not found"
    return Check(name="qt", detail=detail, advice=advice)


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
