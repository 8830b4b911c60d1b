"""From a parsed TOML document to structs, with refusals a user can act on.

Pure: it opens nothing. Each refusal names the key's full path, what was wanted and
what stood there; the caller puts the file before it. Values below ``brokers`` are
never repeated: a secret may stand there by mistake.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, cast

import msgspec
from msgspec import Struct, inspect

from piker.errors import UsageError

from ._addr import parse_addr
from ._schema import BROKERS, Config, FeeConf, SessionFile

T = TypeVar("T", bound=Struct)

#: Keys that hold secrets at one venue or another.
_SECRET_KEYS = frozenset({
    "api_key", "api_secret", "passphrase", "password", "private_key", "secret",
    "secret_key", "token",
})  # fmt: skip
_BACKEND = re.compile(r"[a-z][a-z0-9_]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_MAX_SHOWN = 60


class Wrong(Exception):
    """What is wrong with the document: a key's path and a sentence about it."""


def build(document: Mapping[str, Any]) -> Config:
    """Return the config that *document* says; raises Wrong."""
    config: Config = _table(Config, document, "")
    try:
        parse_addr(config.pikerd.registry)
    except UsageError as e:
        raise Wrong(f"pikerd.registry: {e}") from e
    return config


def build_table(kind: type[T], table: Mapping[str, Any], path: str) -> T:
    """Return the *table* that stands at *path* as a *kind*; raises Wrong."""
    return cast("T", _table(kind, table, path))


def _table(kind: type[Struct], table: object, path: str) -> Any:
    """Return *table*, which stands at *path*, as a *kind*."""
    if not isinstance(table, Mapping):
        raise Wrong(f"{path}: expected a table{_got(table, path)}")
    fields = {each.name: each for each in msgspec.structs.fields(kind)}
    values = {}
    for key, value in table.items():
        where = _join(path, key)
        if key not in fields:
            raise Wrong(f"{where}: no such key{_advice(key, path, list(fields))}")
        values[key] = _value(fields[key].type, value, where)
    for name, each in fields.items():
        if each.required and name not in values:
            raise Wrong(f"{path}: lacks the key {name!r}")
    return kind(**values)


def _value(kind: Any, value: Any, where: str) -> Any:
    """Return *value*, which stands at *where*, as a *kind*."""
    if where == "brokers":
        return _brokers(value)
    if where == "paper.fees":
        return _fees(value)
    if isinstance(kind, type) and issubclass(kind, Struct):
        return _table(kind, value, where)
    if where == "sim.sessions" and isinstance(value, list):
        return tuple(_session(each, f"{where}[{i}]") for i, each in enumerate(value))
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        wanted = _wanted(inspect.type_info(kind), value)
        raise Wrong(f"{where}: expected {wanted}{_got(value, where)}") from None


def _session(value: Any, where: str) -> Any:
    return _table(
        SessionFile, {"file": value} if isinstance(value, str) else value, where
    )


def _brokers(tables: object) -> dict[str, dict[str, Any]]:
    """Check that each backend has a table and that no secret stands in it."""
    if not isinstance(tables, dict):
        raise Wrong(
            "brokers: expected a table for each backend, as in [brokers.kraken]"
        )
    known = [name for name in BROKERS if name != "sim"]
    for where in _secret_keys(tables, "brokers"):
        raise Wrong(f"{where}: a secret belongs in brokers.toml: move it there")
    for name, table in tables.items():
        where = _join("brokers", name)
        if not isinstance(table, dict):
            raise Wrong(f"{where}: expected a table: keys go below [brokers.NAME]")
        if not _BACKEND.fullmatch(name):
            raise Wrong(f"{where}: a backend's name is a lower-case word, e.g. kraken")
        if name == "sim":
            raise Wrong(f"{where}: its settings go into the table [sim]")
        if name not in BROKERS:
            raise Wrong(f"{where}: no such broker{_advice(name, 'brokers', known)}")
    return tables


def _fees(tables: object) -> dict[str, Any]:
    if not isinstance(tables, dict):
        raise Wrong(
            "paper.fees: expected a table for each backend, as in [paper.fees.kraken]"
        )
    for name in tables:
        if name not in BROKERS:
            raise Wrong(
                f"{_join('paper.fees', name)}: no such broker"
                f"{_advice(name, 'paper.fees', list(BROKERS))}"
            )
    return {
        name: _table(FeeConf, table, f"paper.fees.{name}")
        for name, table in tables.items()
    }


def _secret_keys(table: Mapping[str, Any], path: str) -> Iterator[str]:
    for key, value in table.items():
        where = _join(path, key)
        if key in _SECRET_KEYS and not isinstance(value, Mapping):
            yield where
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, Mapping):
                yield from _secret_keys(each, where)


def _wanted(info: inspect.Type, value: object) -> str:
    """Say what a value of the type *info* is, with the bound *value* breaks."""
    if isinstance(info, inspect.Metadata):
        described = (info.extra_json_schema or {}).get("description")
        return described or _wanted(info.type, value)
    if isinstance(info, inspect.LiteralType):
        return "one of " + ", ".join(json.dumps(each) for each in info.values)
    if isinstance(info, inspect.IntType | inspect.FloatType):
        noun = "an integer" if isinstance(info, inspect.IntType) else "a number"
        return noun + _bound(info, value)
    return "a text"


def _bound(info: inspect.IntType | inspect.FloatType, value: object) -> str:
    number = value if isinstance(value, int | float) else 0
    if info.le is not None and number > info.le:
        return f" <= {_plain(info.le)}"
    return f" >= {_plain(info.ge)}" if info.ge is not None else ""


def _plain(bound: float) -> str:
    return str(bound).removesuffix(".0")


def _advice(key: str, path: str, known: list[str]) -> str:
    """Say which key was meant by an unknown *key* at *path*."""
    near = difflib.get_close_matches(key, known, n=1)
    if near:
        return f"; did you mean {_join(path, near[0])}?"
    elsewhere = [place for place in _places() if place.rpartition(".")[2] == key]
    if elsewhere:
        return f"; did you mean {elsewhere[0]}?"
    return f"; known here: {', '.join(known)}"


def _places() -> Iterator[str]:
    """Yield the path of every key of the schema's tables."""
    for table in msgspec.structs.fields(Config):
        if isinstance(table.type, type) and issubclass(table.type, Struct):
            for each in msgspec.structs.fields(table.type):
                yield f"{table.name}.{each.name}"


def _join(path: str, key: str) -> str:
    name = key if _BARE_KEY.fullmatch(key) else json.dumps(key)
    return f"{path}.{name}" if path else name


def _got(value: object, where: str) -> str:
    """Return the end of a sentence that says what stood there, if that may be shown."""
    return "" if where.startswith("brokers.") else f", got {_show(value)}"


def _show(value: object) -> str:
    """Return *value* about as TOML spells it, cut if long, in one line."""
    if isinstance(value, float):
        return repr(value)
    text = json.dumps(value, default=str)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."
