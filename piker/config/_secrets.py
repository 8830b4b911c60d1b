"""``brokers.toml`` from outside: who may read it. Nothing here ever opens it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from piker.errors import ConfigError

from ._dirs import config_dir

SECRETS_NAME = "brokers.toml"


def check_secrets_file() -> Path | None:
    """Return the path of the secrets' file if it is safe, None if there is none.

    It is only looked at from outside; a link is followed.

    Raises:
      ConfigError: it is no file, another user's, or not closed to all others.
    """
    path = config_dir() / SECRETS_NAME
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    except OSError as e:
        raise ConfigError(f"{path}: can't be looked at: {e.strerror}") from e
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"{path} holds secrets and must be a regular file")
    if found.st_uid != os.geteuid():
        raise ConfigError(
            f"{path} holds secrets and belongs to user {found.st_uid}, not to you:"
            f" chown {os.geteuid()} {path}"
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode not in {0o600, 0o400}:
        raise ConfigError(
            f"{path} holds secrets and has mode {mode:04o}: chmod 600 {path}"
        )
    return path


def secrets_stamp() -> int:
    """Return when the secrets' file was last written, or closed to others; 0 if never.

    ns of the system's clock: good for telling whether it is another by now.
    """
    try:
        return (config_dir() / SECRETS_NAME).stat().st_ctime_ns
    except OSError:
        return 0
