"""A ledger that a human edited: any TOML, and where in it a value is wrong."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from piker.errors import LedgerDamaged
from piker.msgs import NS

from ._lines import KEYS
from ._transaction import Transaction, fault_of

_NUMBERS: Final = frozenset(("size", "price", "cost", "fee", "multiplier"))
_REQUIRED: Final = ("fqme", "size", "price", "dt")
_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)",
    re.ASCII,
)
_TIME_FORM: Final = "wanted a time with its offset, e.g. '2026-11-28T19:03:17Z'"
_LINE: Final = re.compile(r"line (\d+)")
_KEY: Final = re.compile(r"""\s*["']?([A-Za-z0-9_-]+)["']?\s*=""")
_HEADER: Final = re.compile(r"\s*\[[^\[]")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def read_any(
    text: str, path: Path, fqme_fault: Callable[[str], str]
) -> list[Transaction]:
    """Return the transactions in *text*, in its order.

    Args:
      text: TOML, one table a trade.
      path: of the file, for what is said about it.
      fqme_fault: says why a market can't be in this ledger, empty if it can.

    Raises: LedgerDamaged, with file, line and key of the first thing that is wrong.
    """
    try:
        tables = tomllib.loads(text, parse_float=_decimal)
    except (ValueError, RecursionError) as err:
        raise _no_toml(text, path, err) from None
    return [
        _checked(tid, table, text, path, fqme_fault) for tid, table in tables.items()
    ]


def read_piece(text: str, fqme_fault: Callable[[str], str]) -> list[Transaction] | None:
    """Return the transactions in a piece of a ledger; None if anything is wrong."""
    try:
        tables = tomllib.loads(text, parse_float=_decimal)
    except (ValueError, RecursionError):
        return None
    found: list[Transaction] = []
    for tid, table in tables.items():
        made = _transaction(tid, table)
        if not isinstance(made, Transaction) or fqme_fault(made.fqme):
            return None
        found.append(made)
    return found


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond all bounds; told with its key
        return Decimal("nan")


def _no_toml(text: str, path: Path, err: Exception) -> LedgerDamaged:
    lines = text.split("\n")
    why = " ".join(str(err).split()) or "it is nested too deep"
    told = _LINE.search(why)
    line = int(told[1]) if told else max(1, len(text.rstrip("\n").split("\n")))
    key = _KEY.match(lines[line - 1]) if line <= len(lines) else None
    named = f", key {key[1]!r}" if key else ""
    return LedgerDamaged(
        f"{path}, line {line}{named}: it is no TOML: {why}; mend that line, nothing "
        "was changed"
    )


def _checked(
    tid: str, table: Any, text: str, path: Path, fqme_fault: Callable[[str], str]
) -> Transaction:
    """Return the transaction of a table; raises LedgerDamaged."""
    made = _transaction(tid, table)
    if isinstance(made, Transaction):
        wrong = fqme_fault(made.fqme)
        if not wrong:
            return made
        made = ("fqme", wrong)
    key, fault = made
    line = line_of(text, tid, key)
    raise LedgerDamaged(
        f"{path}, line {line}, key {key!r} of trade {tid!r}: {fault}; mend it by hand, "
        "nothing was changed"
    )


def _transaction(tid: str, table: Any) -> Transaction | tuple[str, str]:
    """Return the transaction of a table, or (key, what is wrong with it)."""
    if not isinstance(table, dict):
        return tid, f"wanted a table [{tid!r}] with the keys of a trade, got {table!r}"
    for key in table:
        if key not in KEYS:
            return key, f"no key of a trade; those are {', '.join(KEYS)}"
    for key in _REQUIRED:
        if key not in table:
            return key, "it lacks"
    taken: dict[str, Any] = {}
    for key, value in table.items():
        try:
            taken["time_ns" if key == "dt" else key] = _value(key, value)
        except ValueError as err:
            return key, str(err)
    txn = Transaction(tid=tid, **taken)
    return fault_of(txn) or txn


def _value(key: str, value: Any) -> Any:
    """Return what is meant by the value of *key*; raises ValueError."""
    if key == "dt":
        return time_ns_of(value)
    if key in {"taker", "inverse"}:
        if not isinstance(value, bool):
            raise ValueError(f"wanted true or false, got {value!r}")
        return value
    if key in _NUMBERS:
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise ValueError(f"wanted a number without quotes, got {value!r}")
        return Decimal(value)
    if not isinstance(value, str):
        raise ValueError(f"wanted a text in quotes, got {value!r}")  # noqa: TRY004
    return value


def time_ns_of(value: Any) -> int:
    """Return ns since the epoch of a time in TOML or in words; raises ValueError."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{_TIME_FORM}; {value} names none")
        since = value - _EPOCH
        return (since.days * 86_400 + since.seconds) * NS + since.microseconds * 1000
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise ValueError(f"{_TIME_FORM}, got {value!r}")
    day, time, rest, offset = found.groups()
    try:
        at = datetime.fromisoformat(f"{day}T{time}{offset.upper()}")
    except ValueError as err:
        raise ValueError(f"{_TIME_FORM}, got {value!r}: {err}") from None
    since = at - _EPOCH
    seconds = since.days * 86_400 + since.seconds
    return seconds * NS + int((rest or "").ljust(9, "0"))


def line_of(text: str, tid: str, key: str) -> int:
    """Return the line, from 1, of a trade's key, of its table's head if it has none."""
    head = 0
    within: tuple[str, ...] = ()
    for number, line in enumerate(text.split("\n"), 1):
        if _HEADER.match(line):
            within = _names(line)
            if within[:2] == (tid, key):
                return number
            if within == (tid,):
                head = number
        elif (found := _KEY.match(line)) and (*within, found[1]) in {
            (tid, key),
            (tid,),
        }:
            return number
    return head or 1


def _names(header: str) -> tuple[str, ...]:
    """Return the keys of a table's head, none if it is none."""
    try:
        table: Any = tomllib.loads(header)
    except ValueError:
        return ()
    names: list[str] = []
    while isinstance(table, dict) and table:
        name, table = next(iter(table.items()))
        names.append(name)
    return tuple(names)
