"""``conf.toml``: read at each call, so an edit counts for the next daemon started."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from piker.errors import ConfigError, UsageError

from ._addr import parse_addr
from ._check import Wrong, build, build_table
from ._dirs import config_dir
from ._schema import Config

CONF_NAME = "conf.toml"
ENV_REGISTRY = "PIKER_REGISTRY"

T = TypeVar("T", bound=msgspec.Struct)

_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$| \(at end of document\)$")


def load_config() -> Config:
    """Return what the user set in ``conf.toml``; all defaults without that file.

    Paths of sessions come back absolute; relative ones are taken from the file's
    folder.

    Raises:
      ConfigError: it can't be read, is no TOML, or a key or value in it is wrong.
    """
    path = config_dir() / CONF_NAME
    try:
        if path.is_fifo():  # its reader would wait for ever
            raise ConfigError(f"{path}: expected a file, it is a pipe")
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return Config()
    except OSError as e:
        raise ConfigError(f"{path}: can't be read: {e.strerror}") from e
    except UnicodeDecodeError as e:
        line = e.object.count(b"\n", 0, e.start) + 1
        raise ConfigError(f"{path}: line {line}: expected UTF-8 text") from e
    document = _parse(text, path)
    try:
        config = build(document)
    except Wrong as e:
        raise ConfigError(f"{path}: {e}") from e
    return _with_absolute_sessions(config, path.parent)


def load_broker_config(name: str, kind: type[T]) -> T:
    """Return what ``conf.toml`` says of a backend, in its table ``[brokers.NAME]``.

    Args:
      name: of the backend.
      kind: what may stand there, with defaults.

    Raises:
      ConfigError: as `load_config`, or a key or value of that table is wrong.
    """
    table = load_config().brokers.get(name, {})
    try:
        return build_table(kind, table, f"brokers.{name}")
    except Wrong as e:
        raise ConfigError(f"{config_dir() / CONF_NAME}: {e}") from e


def registry_addr(option: str | None = None) -> tuple[str, int]:
    """Return (host, port) of the tree's registry.

    The first that is set counts: *option*, as typed on a command line; the
    environment's ``PIKER_REGISTRY``; ``pikerd.registry`` of ``conf.toml``, which is
    read only then; 127.0.0.1:6116.

    Raises:
      UsageError: *option* is no ``HOST:PORT``.
      ConfigError: another source is wrong; the text names it.
    """
    if option is not None:
        return parse_addr(option)
    told = os.environ.get(ENV_REGISTRY)
    if not told:
        return parse_addr(load_config().pikerd.registry)
    try:
        return parse_addr(told)
    except UsageError as e:
        raise ConfigError(f"{ENV_REGISTRY}: {e}") from e


def _parse(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as e:  # a TOMLDecodeError, or int() of thousands of digits
        problem = " ".join(str(e).split())
        place = _AT_LINE.search(problem)
        where = ""
        if place:
            problem = problem[: place.start()]
            where = f"line {place[1] or len(text.splitlines())}: "
        problem = problem[:1].lower() + problem[1:]
        raise ConfigError(f"{path}: {where}no valid TOML: {problem}") from e


def _with_absolute_sessions(config: Config, folder: Path) -> Config:
    sessions = tuple(
        msgspec.structs.replace(
            each, file=str((folder / os.path.expanduser(each.file)).absolute())
        )
        for each in config.sim.sessions
    )
    sim = msgspec.structs.replace(config.sim, sessions=sessions)
    return msgspec.structs.replace(config, sim=sim)
