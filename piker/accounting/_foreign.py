"""Trades in CSV files of others: columns found by their names, and said.

    file --columns by name--> rows --one transaction each--> and what was made of it

Whatever a trade can't be is refused, with the row it stands in.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import re
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from piker.errors import UsageError
from piker.msgs import NS

from ._by_hand import time_ns_of
from ._content import market_fault
from ._places import AccountName
from ._transaction import EVENT_TYPES, Transaction, fault_of

#: What each field is called elsewhere; compared without case, blanks, '_' and '-'.
NAMES: Final = {
    "tid": ("tid", "tradeid", "txid", "id", "execid", "transactionid", "fillid"),
    "fqme": ("fqme", "fqsn", "symbol", "market", "pair", "instrument"),
    "side": ("side", "action", "type", "direction", "buysell"),
    "size": (
        "size",
        "qty",
        "quantity",
        "amount",
        "vol",
        "volume",
        "executed",
        "shares",
    ),
    "price": ("price", "avgprice", "fillprice", "executionprice", "rate"),
    # Elsewhere ``cost`` is what was paid in all, beside a column of fees.
    "cost": ("fee", "fees", "commission", "cost"),
    "dt": ("dt", "time", "datetime", "timestamp", "date", "dateutc", "timens", "ts"),
    "bs_mktid": ("bsmktid",),
    "etype": ("etype",),
    "expiry": ("expiry",),
    "multiplier": ("multiplier",),
    "inverse": ("inverse",),
    "ratio": ("ratio", "splitratio"),
    "oid": ("oid", "orderid", "ordertxid", "clientorderid"),
    "reqid": ("reqid", "venueorderid"),
    "taker": ("taker",),
}
_SIDES: Final = {
    "buy": 1, "b": 1, "bot": 1, "bought": 1, "long": 1,
    "sell": -1, "s": -1, "sld": -1, "sold": -1, "short": -1,
}  # fmt: skip
_TEXTS: Final = ("bs_mktid", "etype", "expiry", "ratio", "oid", "reqid")
_TRUE: Final = ("true", "1", "yes", "taker")
_PLAIN: Final = re.compile(r"[\s_-]+")
#: Units of times since the epoch, up to which size; years to 5138 in each.
_UNITS: Final = (
    (Decimal("1e11"), "s", NS),
    (Decimal("1e14"), "ms", 10**6),
    (Decimal("1e17"), "us", 10**3),
    (Decimal("1e20"), "ns", 1),
)


@dataclass(frozen=True)
class ImportedTrades:
    """What was read from a file.

    Attributes:
      txns: in order of their time; those of one time as they stand in the file.
      notes: what was made of the file, a sentence each.
    """

    txns: tuple[Transaction, ...]
    notes: tuple[str, ...]


def read_trades(path: Path, name: AccountName, fqme: str = "") -> ImportedTrades:
    """Read the trades of a CSV file, which may be gzipped.

    Args:
      path: of the file; its first row names the columns.
      name: whose trades they are.
      fqme: full name of the market of all of them, where no column tells it.

    Raises: UsageError, with the row and column of the first thing that is wrong.
    """
    try:
        rows = _rows(path)
        columns, notes = _find_columns(rows[0] if rows else [], fqme)
        reader = _Reader(name, columns, fqme)
        txns = [reader.read(at, row) for at, row in enumerate(rows[1:], 2) if any(row)]
    except ValueError as err:
        raise UsageError(f"can't import {path}: {err}") from None
    notes += reader.notes()
    if not txns:
        notes.append("it has columns and no row")
    return ImportedTrades(tuple(_in_order(txns, notes)), tuple(notes))


def _in_order(txns: list[Transaction], notes: list[str]) -> list[Transaction]:
    steps = [b.time_ns - a.time_ns for a, b in pairwise(txns)]
    if all(step >= 0 for step in steps):
        return txns
    if all(step <= 0 for step in steps):
        notes.append("rows were newest first: turned round")
        return txns[::-1]
    notes.append("rows were not in order of time: sorted")
    return sorted(txns, key=lambda txn: txn.time_ns)


def _rows(path: Path) -> list[list[str]]:
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        text = raw.decode("utf-8-sig")
    except OSError as err:
        raise ValueError(err.strerror or str(err)) from None
    except (UnicodeDecodeError, EOFError, zlib.error) as err:
        raise ValueError(f"wanted CSV in UTF-8: {err}") from None
    head = text.split("\n", 1)[0]
    separator = max(",;\t", key=head.count)
    try:
        return list(csv.reader(text.splitlines(), delimiter=separator, strict=True))
    except csv.Error as err:
        raise ValueError(f"wanted CSV: {err}") from None


def _find_columns(head: list[str], fqme: str) -> tuple[dict[str, int], list[str]]:
    """Return where each field is, and what to say of it."""
    plain = {_PLAIN.sub("", c).lower(): at for at, c in reversed(list(enumerate(head)))}
    found: dict[str, int] = {}
    for field, others in NAMES.items():
        at = next((plain[o] for o in others if o in plain), None)
        if at is not None and not (field == "fqme" and fqme):
            found[field] = at
    wanted = ["size", "price", "dt"] + ([] if fqme else ["fqme"])
    if missing := [field for field in wanted if field not in found]:
        raise ValueError(
            f"wanted columns for {', '.join(wanted)}; none is for {', '.join(missing)} "
            f"among {', '.join(map(repr, head[:20]))}; rename them, e.g. to those"
            + ("" if fqme else ", or say --fqme")
        )
    notes = [f"{field} is column {head[at]!r}" for field, at in found.items()]
    used = set(found.values())
    if left := [column for at, column in enumerate(head) if at not in used]:
        notes.append(f"not read: {', '.join(map(repr, left))}")
    if "tid" not in found:
        notes.append("no column is a trade's id: made of what stands in its row")
    if "cost" in found:
        notes.append("fees are taken for quote units")
    else:
        notes.append("no column tells fees: 0")
    return found, notes


class _Reader:
    """Makes transactions of rows."""

    def __init__(
        self, name: AccountName, columns: Mapping[str, int], fqme: str
    ) -> None:
        self._name = name
        self._columns = columns
        self._fqme = fqme
        self._alike: Counter[str] = Counter()
        self._units: set[str] = set()

    def notes(self) -> list[str]:
        """Say how times were read."""
        return [f"times are {' and '.join(sorted(self._units))}"] if self._units else []

    def read(self, at: int, row: list[str]) -> Transaction:
        """Return the trade in row *at*, from 1; raises ValueError."""
        told = {
            field: row[column].strip() if column < len(row) else ""
            for field, column in self._columns.items()
        }
        for field in ("size", "price", "dt"):
            if not told[field]:
                raise ValueError(f"row {at} has nothing for {field}")
        taken: dict[str, Any] = {
            field: text for field, text in told.items() if text and field in _TEXTS
        }
        taken |= self._values(at, told)
        taken["fqme"] = self._fqme or told["fqme"].lower()
        taken["tid"] = told.get("tid") or self._made_id(row)
        txn = Transaction(**taken)
        fault = fault_of(txn)
        if not fault and (wrong := market_fault(self._name.broker, txn.fqme)):
            fault = ("fqme", wrong)
        if fault:
            raise ValueError(f"row {at}, {fault[0]}: {fault[1]}")
        return txn

    def _values(self, at: int, told: Mapping[str, str]) -> dict[str, Any]:
        """Return what isn't text in a row; raises ValueError."""
        taken: dict[str, Any] = {
            key: told.get(key, "").lower() in _TRUE for key in ("taker", "inverse")
        }
        field = ""
        try:
            for field in ("size", "price", "cost", "multiplier"):
                if told.get(field):
                    taken[field] = _number(told[field])
            field = "side"
            if told.get(field):
                taken["size"] = _signed(taken["size"], told[field])
            field = "dt"
            taken["time_ns"] = self._time_ns(told[field])
        except ValueError as err:
            raise ValueError(f"row {at}, {field}: {err}") from None
        return taken

    def _made_id(self, row: list[str]) -> str:
        """Return an id that the same row of the same file always gets."""
        text = "\x1f".join(row)
        self._alike[text] += 1
        told = f"{text}\x1e{self._alike[text]}".encode()
        return f"csv-{hashlib.blake2b(told, digest_size=12).hexdigest()}"

    def _time_ns(self, text: str) -> int:
        try:
            number = Decimal(text)
        except InvalidOperation:
            if re.fullmatch(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?", text):
                self._units.add("UTC where they name no offset")
                text += "Z"
            return time_ns_of(text)
        for limit, unit, per in _UNITS:
            if number.is_finite() and abs(number) < limit:
                self._units.add(f"{unit} since the epoch")
                return int(number * per)
        raise ValueError(f"wanted a time, got {text!r}")


def _number(text: str) -> Decimal:
    try:
        return Decimal(text.replace(",", "") if re.search(r",\d{3}", text) else text)
    except InvalidOperation:
        raise ValueError(f"wanted a number, got {text!r}") from None


def _signed(size: Decimal, side: str) -> Decimal:
    sign = _SIDES.get(side.lower())
    if sign is None:
        if side.lower() in EVENT_TYPES:
            return size
        raise ValueError(f"wanted buy or sell, got {side!r}")
    return size.copy_abs() if sign > 0 else size.copy_abs().copy_negate()
