"""What ``piker init`` does, apart from the command line: config files and folders."""

from __future__ import annotations

from pathlib import Path

from piker.config import (
    CONF_NAME,
    SECRETS_NAME,
    check_secrets_file,
    config_dir,
    load_config,
    state_dir,
    write_templates,
)
from piker.types import Struct


class InitResult(Struct, frozen=True, kw_only=True):
    """What ``piker init`` found and did.

    Attributes:
      folder: of the config files.
      written: files made now.
      kept: files that were there and are as they were.
      state: folder of ledgers, logs and stored history.
    """

    folder: str
    written: tuple[str, ...]
    kept: tuple[str, ...]
    state: str


def init_config(force: bool = False) -> InitResult:
    """Write what is missing of the config files, and check what is there.

    Args:
      force: replace existing files, which are kept as ``.bak``.

    Raises:
      ConfigError: a file can't be written, or one that was there is wrong.
    """
    folder = config_dir()
    written = write_templates(folder, force=force)
    load_config()
    check_secrets_file()
    there = [folder / name for name in (CONF_NAME, SECRETS_NAME)]
    return InitResult(
        folder=str(folder),
        written=tuple(map(str, written)),
        kept=tuple(str(path) for path in there if path not in written),
        state=str(state_dir()),
    )


def result_lines(result: InitResult) -> list[str]:
    """Return *result* as lines for a terminal."""
    lines = [f"wrote {path}" for path in result.written]
    lines += [f"kept  {path}" for path in result.kept]
    if Path(result.folder, SECRETS_NAME).as_posix() in result.written:
        lines.append("secrets go into brokers.toml only; watching markets needs none")
    lines.append(f"logs, ledgers and history go to {result.state}")
    return lines
