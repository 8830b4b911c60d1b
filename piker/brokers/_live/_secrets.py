"""Secrets of accounts: read by ``brokerd.<broker>`` alone, and never shown.

brokers.toml --[kraken.accounts.main]--> {"main": Keys(key, secret)}
what there is to tell, a backend says: its kind of `Sealed`
a text, {cmd = [...]}: what a command prints, {file = ...}: what a file holds
"""

from __future__ import annotations

import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

from piker.config import check_secrets_file
from piker.errors import AccountNotFound, ConfigError, ServiceError, VenueRefused
from piker.log import add_secret
from piker.service import current_actor

_CMD_S: Final = 30.0
_MAX_CHARS: Final = 8192
_SHOWN: Final = "<secret>"


class Secret:
    """A text that nothing shows: no print, no log, no traceback, no message.

    It can be revealed, for a signature; it can't be pickled, copied or encoded.
    """

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        """Hold *text*, and keep it out of all logs."""
        self.__text = text
        add_secret(text)

    def reveal(self) -> str:
        """Return the text; don't keep it."""
        return self.__text

    def __repr__(self) -> str:
        return _SHOWN

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return _SHOWN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.__text == other.reveal()

    def __hash__(self) -> int:
        return hash(type(self))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is neither pickled nor copied")


class Sealed:
    """What brokers.toml tells of an account: secrets, each in a slot of its kind."""

    __slots__: tuple[str, ...] = ()

    def __init__(self, *held: Secret) -> None:
        """Hold the secrets, in the order of the slots."""
        for name, secret in zip(self.__slots__, held, strict=True):
            setattr(self, name, secret)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({_SHOWN})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and all(
            getattr(self, name) == getattr(other, name) for name in self.__slots__
        )

    def __hash__(self) -> int:
        return hash(type(self))

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys are neither pickled nor copied")


class Keys(Sealed):
    """What an account signs with.

    Attributes:
      key: the API's; no secret to the venue, but it is treated as one.
      secret: what signs.
    """

    __slots__ = ("key", "secret")
    key: Secret
    secret: Secret


K = TypeVar("K", bound=Sealed)


def read_keys(broker: str, kind: type[K]) -> dict[str, K]:
    """Return what a broker's accounts are opened with, by label.

    Args:
      broker: whose.
      kind: what there is of each account.

    Raises:
      ServiceError: this process is not the broker's order daemon.
      ConfigError: the file isn't private, or says something wrong; no text of it is
        in the error. Without the file, or a table for the broker, there are none.
    """
    _check_actor(broker)
    path = check_secrets_file()
    if path is None:
        return {}
    try:
        with open(path, "rb", buffering=0) as file:
            held = bytearray(os.fstat(file.fileno()).st_size)
            file.readinto(held)
    except OSError as err:
        raise ConfigError(f"{path}: can't be read: {err.strerror}") from None
    try:
        text = own_part(held, broker).decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: can't be read as text") from None
    finally:
        held[:] = bytes(len(held))  # what is another broker's isn't to stay here
    return parse_keys(text, broker, path, kind)


def own_part(held: bytearray, broker: str) -> bytes:
    """Return a broker's tables of a file; nothing else of it is copied anywhere.

    Tables of others become empty lines, so that a parser counts lines as they are.
    """
    ours, begun = [], 0
    is_ours, quote = False, b""
    while begun < len(held):
        end = held.find(b"\n", begun) + 1 or len(held)
        if not quote and (head := _head_at(held, begun)):
            is_ours = _is_of(held, head, broker)
        quote = _open_quote(held, begun, end, quote)
        blank = b"\n" if held[end - 1 : end] == b"\n" else b""
        ours.append(bytes(held[begun:end]) if is_ours else blank)
        begun = end
    return b"".join(ours)


def _head_at(held: bytearray, at: int) -> int:
    """Return where a table's name begins, if its head begins a line; else 0."""
    while held[at : at + 1].isspace() and held[at : at + 1] != b"\n":
        at += 1
    return at + 1 if held[at : at + 1] == b"[" else 0


def _is_of(held: bytearray, at: int, broker: str) -> bool:
    """Tell whether a table's name is a broker, or begins with one."""
    name = broker.encode()
    while held[at : at + 1].strip(b" \t[\"'") == b"" and at < len(held):
        at += 1
    end = at + len(name)
    return held.startswith(name, at) and held[end : end + 1].strip(b".] \t\"'") == b""


def _open_quote(held: bytearray, begun: int, end: int, quote: bytes) -> bytes:
    """Return which quotes of many lines are open after a line, if any is."""
    at = begun
    while at < end:
        if quote:
            at = held.find(quote, at, end)
            if at < 0:
                return quote
            quote, at = b"", at + 3
            continue
        found = [
            (place, each)
            for each in (b'"""', b"'''")
            if (place := held.find(each, at, end)) >= 0
        ]
        if not found:
            return b""
        at, quote = min(found)
        at += 3
    return quote


def _check_actor(broker: str) -> None:
    """Refuse any process but the one that may know."""
    actor = current_actor()
    name = actor.name if actor is not None else "a process with no actor"
    if name != f"brokerd.{broker}":
        raise ServiceError(f"{name} may not read the secrets of {broker}")


def parse_keys(text: str, broker: str, path: Path, kind: type[K]) -> dict[str, K]:
    """Return what *text*, of *path*, says of a broker's accounts; ConfigError."""
    try:
        tables = tomllib.loads(text)
    except ValueError:
        # the parser's own words quote what it can't read
        raise ConfigError(
            f"{path}: is no TOML; check its quotes and brackets"
        ) from None
    table = tables.get(broker, {})
    for key in table if isinstance(table, dict) else ():
        if key != "accounts":
            raise ConfigError(
                f"{path}: {broker}.{key}: no such key; accounts are tables"
                f" [{broker}.accounts.LABEL]"
            )
    accounts = table.get("accounts", {}) if isinstance(table, dict) else None
    if not isinstance(accounts, dict):
        raise ConfigError(f"{path}: {broker}: wanted tables [{broker}.accounts.LABEL]")
    return {
        label: _keys_of(told, path, f"{broker}.accounts.{label}", kind)
        for label, told in accounts.items()
    }


def fields_of(kind: type[Sealed]) -> str:
    """Return what there is to tell of an account, as words."""
    return " and ".join(kind.__slots__)


def _keys_of(table: Any, path: Path, where: str, kind: type[K]) -> K:
    if not isinstance(table, dict) or set(table) != set(kind.__slots__):
        known = sorted(table) if isinstance(table, dict) else "no table"
        raise ConfigError(f"{path}: {where}: wanted {fields_of(kind)}, got {known}")
    return kind(
        *(_secret_of(table[name], path, f"{where}.{name}") for name in kind.__slots__)
    )


def _secret_of(told: Any, path: Path, where: str) -> Secret:
    match told:
        case str():
            text = told
        case {"cmd": [*argv]} if len(told) == 1 and all(
            isinstance(each, str) for each in argv
        ):
            text = _printed(argv, path, where)
        case {"file": str(name)} if len(told) == 1:
            text = _held(path.parent / Path(name).expanduser(), path, where)
        case _:
            raise ConfigError(
                f"{path}: {where}: wanted a text, {{cmd = [...]}} or {{file = ...}}"
            )
    text = text.strip()
    if not 1 <= len(text) <= _MAX_CHARS or not text.isprintable():
        raise ConfigError(
            f"{path}: {where}: wanted 1 to {_MAX_CHARS} printable characters"
        )
    return Secret(text)


def _printed(argv: list[str], path: Path, where: str) -> str:
    """Return what a command prints; its errors go where ours do."""
    try:
        done = subprocess.run(  # noqa: S603 - the user's own command
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=_CMD_S,
            check=False,
        )  # fmt: skip
        text = done.stdout.decode()
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"{path}: {where}: its command took over {_CMD_S:g} s"
        ) from None
    except (OSError, ValueError, IndexError):
        raise ConfigError(f"{path}: {where}: its command can't be run") from None
    if done.returncode:
        raise ConfigError(
            f"{path}: {where}: its command ended with exit code {done.returncode}"
        )
    return text


def _held(file: Path, path: Path, where: str) -> str:
    try:
        mode = file.stat().st_mode & 0o777
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"{path}: {where}: {file} can't be read as text") from None
    if mode & 0o077:
        raise ConfigError(f"{path}: {where}: {file} has mode {mode:04o}: chmod 600 it")
    return text


def wrong_keys(err: VenueRefused, or_else: str = "") -> AccountNotFound:
    """Return that a venue has no such key, or that another secret goes with it.

    *or_else*: what else it may mean, and would work.
    """
    cure = "mend the account's key and secret in brokers.toml"
    return AccountNotFound(f"{err}; {cure}{f', or {or_else}' * bool(or_else)}")
