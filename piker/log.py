"""Logs: one line format, one file an actor, and never a secret.

    get_logger(__name__) --> [drop noise] --> [redact, indent] --> stderr
                                                             `---> log/<actor>.log

``2026-11-23T22:14:59.123Z LEVEL actor module: message``; further lines of a record,
e.g. of a traceback, are indented, so that no text can pass for a record of its own.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final, TextIO

from piker.errors import ConfigError, UsageError

LEVELS: Final = ("debug", "info", "warning", "error", "critical")
MAX_FILE_BYTES = 5_000_000
OLD_FILES = 3

_RUNTIME = "tractor"
_INDENT = "\n    "
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_ACTOR = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_CANCELLED = re.compile(r"[\w.]*\bContextCancelled\b")
_BACKSLASH = r"(?:\\|%(?:25)*5[Cc])"  # plain, or in a URL, or in a URL's URL
_QUOTED = 16  # backslashes that four quotings of a quoting make of one
_RUNS = re.compile(r"\\+|.", re.DOTALL)
_LETTERS = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}
_MIN_LINE_CHARS = 16  # a shorter line of a key says little, and may be common text

_secrets: set[str] = set()
_actor = ""


def own_name() -> str:
    """Return what this process is called in its logs, empty before that is set up."""
    return _actor


def get_logger(name: str) -> logging.Logger:
    """Return the logger of the module *name*, which is to be ``__name__``."""
    return logging.getLogger(name)


def log_path(state_dir: Path, actor_name: str) -> Path:
    """Return where *actor_name* logs below *state_dir*; raises UsageError."""
    if not _ACTOR.fullmatch(actor_name):
        raise UsageError(
            f"an actor's name is letters, digits, '.', '_' and '-', got {actor_name!r}"
        )
    return state_dir / "log" / f"{actor_name}.log"


def setup_logging(
    actor_name: str,
    level: str = "info",
    *,
    console: bool,
    file: Path | None,
    runtime_level: str = "error",
) -> None:
    """Send this process's logs to stderr, a file, both or nowhere.

    A second call replaces what the first one set up.

    Args:
      actor_name: stands in each line.
      level: of piker's own loggers; other libraries' warnings are always logged.
      console: log to stderr.
      file: log there; it rotates at 5 MB and three old ones are kept. One process a
        file: two would rotate it under each other.
      runtime_level: of the actor runtime's loggers.

    Raises:
      UsageError: no such level.
      ConfigError: the file can't be opened; logs go where they went before.
    """
    global _actor  # noqa: PLW0603 - one a process, as loggers are
    piker_level, tractor_level = _level(level), _level(runtime_level)
    handlers: list[logging.Handler] = [_Nowhere()]  # so that there is no last resort
    if console:
        handlers.append(_Console(sys.stderr))
    if file is not None:
        handlers.append(_open_file(file))
    root = logging.getLogger()
    _remove_ours(root)
    for handler in handlers:
        handler.setFormatter(_Formatter(actor_name))
        handler.addFilter(_RuntimeNoise(tractor_level))
        root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("piker").setLevel(piker_level)
    _take_over_runtime(tractor_level)
    _actor = actor_name


def add_secret(value: str) -> None:
    """Show ``***`` for *value* in all logs of this process from now on."""
    _secrets.add(value)


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return *text* with ``***`` for each of *secrets*, the longest first.

    A secret is also found inside a URL, a ``repr()``, JSON, or one in the other, and
    each long line of a secret of several lines by itself.
    """
    known = frozenset(secrets)
    return _pattern(known).sub("***", text) if known else text


class _Formatter(logging.Formatter):
    """Makes a record one line, with whatever follows indented, free of secrets."""

    def __init__(self, actor_name: str) -> None:
        super().__init__()
        self._actor = actor_name

    def format(self, record: logging.LogRecord) -> str:
        parts = [_message(record).rstrip()]
        if record.exc_info:
            parts.append(self.formatException(record.exc_info))
        if record.stack_info:
            parts.append(record.stack_info)
        body = redact("\n".join(parts), _secrets).rstrip()
        # splitlines() knows every character that some terminal takes for a line end.
        lines = [_CONTROL.sub(_escape, line) for line in body.splitlines()]
        at = datetime.fromtimestamp(record.created, UTC)
        stamp = f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"
        head = f"{stamp} {record.levelname} {self._actor} {record.name}: "
        return head + _INDENT.join(lines)


class _RuntimeNoise(logging.Filter):
    """Drops what the actor runtime calls an error and is an ordinary close."""

    def __init__(self, level: int) -> None:
        super().__init__()
        self._level = level

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] != _RUNTIME:
            return True
        return record.levelno >= self._level and not _is_noise(_message(record))


class _LosesQuietly(logging.Handler):
    """Says that a record was lost without showing it: its arguments aren't redacted."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - stdlib's
        kind = sys.exc_info()[0]
        why = kind.__name__ if kind else "unknown"
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(f"lost a log record of {record.name}: {why}\n")


class _Nowhere(logging.NullHandler):
    """Keeps the standard library from its own, unredacted, last resort."""


class _Console(_LosesQuietly, logging.StreamHandler[TextIO]):
    """Stderr."""


class _File(_LosesQuietly, RotatingFileHandler):
    """A rotating file that only its owner may read."""

    def _open(self) -> TextIOWrapper:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        raw = os.fdopen(os.open(self.baseFilename, flags, 0o600), "ab")
        return TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace")


class _Placeholder(logging.NullHandler):
    """Stands on the runtime's logger so that it adds no console handler of its own.

    The runtime looks for a handler whose ``stream`` is stderr before it adds one.
    """

    @property
    def stream(self) -> TextIO:
        return sys.stderr


def _level(name: str) -> int:
    if name.lower() not in LEVELS:
        raise UsageError(f"no log level {name!r}: one of {', '.join(LEVELS)}")
    return logging.getLevelNamesMapping()[name.upper()]


def _open_file(path: Path) -> logging.Handler:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _File(path, maxBytes=MAX_FILE_BYTES, backupCount=OLD_FILES)
    except OSError as e:
        raise ConfigError(f"can't log to {path}: {e.strerror}") from e


def _remove_ours(logger: logging.Logger) -> None:
    for handler in list(logger.handlers):
        if isinstance(handler, _Nowhere | _Console | _File):
            logger.removeHandler(handler)
            handler.close()


def _take_over_runtime(level: int) -> None:
    """Let tractor's records reach our handlers, once and from *level* up."""
    runtime = logging.getLogger(_RUNTIME)
    runtime.handlers[:] = [_Placeholder()]
    runtime.propagate = True
    runtime.setLevel(level)
    # Each of its loggers copied the level of the day it was made.
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if name.startswith(f"{_RUNTIME}.") and isinstance(logger, logging.Logger):
            logger.setLevel(logging.NOTSET)


def _is_noise(message: str) -> bool:
    if message.startswith("#ZOMBIE_LORD_IS_HERE"):
        return True
    last = message.rstrip().rpartition("\n")[2]
    return message.startswith("Remote context error") and bool(_CANCELLED.match(last))


def _message(record: logging.LogRecord) -> str:
    """Return the record's text; a call with wrong arguments still gives one."""
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        return f"{record.msg!s} {record.args!r}"


@lru_cache(maxsize=4)
def _pattern(secrets: frozenset[str]) -> re.Pattern[str]:
    """Return what finds any of *secrets*; it finds nothing if all are empty."""
    parts = {part for secret in secrets for part in _parts(secret)}
    by_length = sorted(filter(None, parts), key=len, reverse=True)
    return re.compile("|".join(map(_spelled, by_length)) or r"(?!)")


def _parts(secret: str) -> Iterator[str]:
    yield secret
    yield secret.strip()
    yield from (line for line in secret.splitlines() if len(line) >= _MIN_LINE_CHARS)


def _spelled(secret: str) -> str:
    """Return a pattern of *secret* with each character plain, quoted or escaped."""
    return "".join(_spelled_run(run[0]) for run in _RUNS.finditer(secret))


def _spelled_run(run: str) -> str:
    """Return a pattern of one character, or of several backslashes together.

    Each quoting of a quoting puts backslashes before a character, and doubles those
    that are there. How many are followed is bounded: without, a search could take
    for ever.
    """
    if run.isascii() and run.isalnum():
        return run
    if run[0] == "\\":
        return f"{_BACKSLASH}{{{len(run)},{len(run) * _QUOTED}}}"
    utf8 = run.encode("utf-8", "surrogatepass")
    percent = "".join(f"%(?:25)*(?i:{byte:02x})" for byte in utf8)
    forms = [f"{_BACKSLASH}{{0,{_QUOTED}}}(?:{re.escape(run)}|{percent})"]
    if run == " ":
        forms.append(r"\+|%(?:25)*2[Bb]")
    elif not run.isascii() or not run.isprintable():
        forms += _escapes(run)
    return f"(?:{'|'.join(forms)})"


def _escapes(char: str) -> Iterator[str]:
    """Yield patterns of *char*, which can't be shown plain, as a quoted text has it."""
    before = f"{_BACKSLASH}{{1,{_QUOTED}}}"
    utf16 = char.encode("utf-16-be", "surrogatepass").hex()
    units = [utf16[i : i + 4] for i in range(0, len(utf16), 4)]
    yield "".join(f"{before}(?i:u{unit})" for unit in units)
    yield f"{before}(?i:x{ord(char):02x}|u{ord(char):08x})"
    if char in _LETTERS:
        yield f"{before}{_LETTERS[char]}"


def _escape(match: re.Match[str]) -> str:
    return f"\\x{ord(match[0]):02x}"
