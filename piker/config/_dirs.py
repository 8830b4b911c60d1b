"""The four folders, looked up at each call.

    use_dirs(...)  >  PIKER_<KIND>_DIR  >  the platform's folder

Config is the user's; state must not be lost; the cache may be; the runtime folder
dies with the log-in and holds what only this user may read.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final

import platformdirs

from piker.errors import ConfigError
from piker.types import Struct

_APP = "piker"
_override: list[Dirs] = []  # the last one counts


class Dirs(Struct, frozen=True, kw_only=True):
    """The folders of a tree, as they cross to its children.

    Attributes:
      config: of ``conf.toml`` and ``brokers.toml``.
      state: ledgers, journals, logs, stored history.
      cache: what can be made anew.
      runtime: the tree's cookie and locks.

    Each is an absolute path; an empty one is looked up as if it were not set here.
    """

    config: str = ""
    state: str = ""
    cache: str = ""
    runtime: str = ""

    @classmethod
    def under(cls, root: Path | str) -> Dirs:
        """Return four folders below *root*, e.g. of a test."""
        top = _absolute(root)
        return cls(
            config=str(top / "config"),
            state=str(top / "state"),
            cache=str(top / "cache"),
            runtime=str(top / "runtime"),
        )


class _InUse:
    """What `use_dirs` returns; leaving it takes the folders back."""

    def __init__(self, before: list[Dirs]) -> None:
        self._before = before

    def __enter__(self) -> None:
        return

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _override[:] = self._before


def use_dirs(dirs: Dirs | None) -> _InUse:
    """Let this process use *dirs* from now on; None takes an earlier call back.

    As ``with use_dirs(...):`` it holds for the block only. It is not for code that
    runs concurrently with other users of folders: there is one setting a process.
    """
    in_use = _InUse(list(_override))
    _override[:] = [] if dirs is None else [dirs]
    return in_use


def current_dirs() -> Dirs:
    """Return the folders in use, all four, to hand on; makes the runtime folder."""
    return Dirs(
        config=str(config_dir()),
        state=str(state_dir()),
        cache=str(cache_dir()),
        runtime=str(runtime_dir()),
    )


#: In the runtime folder of a tree that looks at accounts and sends no order.
_LOOKS: Final = "looks-only"


def mark_for_looks() -> None:
    """Have the tree of the runtime folder be one that only looks at accounts."""
    (runtime_dir() / _LOOKS).touch()


def is_for_looks() -> bool:
    """Tell whether this process is of a tree that only looks at accounts."""
    return (runtime_dir() / _LOOKS).exists()


def config_dir() -> Path:
    """Return the folder of the config files; it need not exist."""
    told = _told("config")
    return told or platformdirs.user_config_path(_APP, appauthor=False).absolute()


def state_dir() -> Path:
    """Return the folder of what must not be lost; it need not exist."""
    told = _told("state")
    return told or platformdirs.user_state_path(_APP, appauthor=False).absolute()


def cache_dir() -> Path:
    """Return the folder of what can be made anew; it need not exist."""
    told = _told("cache")
    return told or platformdirs.user_cache_path(_APP, appauthor=False).absolute()


def runtime_dir() -> Path:
    """Return the folder of cookies and locks; made if absent, private in any case.

    Raises:
      ConfigError: it is not a real folder, is another user's, or others may write it.
    """
    return make_private(_told("runtime") or _platform_runtime())


def make_private(folder: Path) -> Path:
    """Make *folder* with mode 0700 unless it exists, and return it.

    Raises:
      ConfigError: it can't be made, is not a real folder, is another user's, or
        others may write in it.
    """
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
    except OSError as e:
        raise ConfigError(f"can't make the folder {folder}: {e.strerror}") from e
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigError(f"{folder} must be a real folder, not a link or a file")
    if found.st_uid != os.geteuid():
        raise ConfigError(
            f"{folder} belongs to user {found.st_uid}: name another folder"
        )
    if found.st_mode & 0o022:
        raise ConfigError(f"others may write in {folder}: chmod 700 {folder}")
    return folder


def _told(kind: str) -> Path | None:
    """Return the folder named by `use_dirs` or the environment, None if neither."""
    if _override:
        chosen: str = getattr(_override[-1], kind)
        if chosen:
            return _absolute(chosen)
    told = os.environ.get(f"PIKER_{kind.upper()}_DIR")
    return _absolute(told) if told else None


def _platform_runtime() -> Path:
    """Return ours below the log-in's folder, or, without one, below ``/tmp``.

    Not TMPDIR: a client and the daemon it looks for must come to the same place.
    """
    login = os.environ.get("XDG_RUNTIME_DIR", "")
    if login.startswith("/"):
        try:
            found = os.stat(login)  # after su or sudo it is another user's, or gone
        except OSError:
            pass
        else:
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
                return Path(login) / _APP
    return Path(f"/tmp/{_APP}-{os.geteuid()}")  # noqa: S108 - make_private() checks it


def _absolute(path: Path | str) -> Path:
    # Unlike Path.expanduser() it leaves an unknown ~user alone.
    return Path(os.path.expanduser(path)).absolute()
