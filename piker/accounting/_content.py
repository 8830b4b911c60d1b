"""What the bytes of a ledger say: from its cache, fast, or by tomllib, all the same."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from piker.errors import LedgerDamaged
from piker.msgs import Fqme

from . import _cache
from ._by_hand import read_any, read_piece
from ._lines import read_around, read_lines, torn_from
from ._places import AccountName
from ._transaction import Transaction, fqme_fault


@dataclass(frozen=True)
class Content:
    """What a ledger says.

    Attributes:
      txns: in the file's order.
      size: bytes of the file that say it.
      torn: bytes after them, of an append that a crash cut off.
    """

    txns: list[Transaction]
    size: int
    torn: bytes


def read_content(name: AccountName, raw: bytes) -> Content:
    """Return what *raw*, the bytes of *name*'s ledger, says; keeps it in the cache.

    Raises: LedgerDamaged.
    """
    torn_at = torn_from(raw)
    sound = raw if torn_at is None else raw[:torn_at]
    with _collector_off():
        txns, known = _cache.load(name.cache, sound)
        if known < len(sound) or not known:
            txns = _read(name, sound, txns, known)
            _cache.store(name.cache, sound, txns)
    return Content(txns, len(sound), raw[len(sound) :])


def _read(
    name: AccountName, raw: bytes, before: list[Transaction], known: int
) -> list[Transaction]:
    """Return what *raw* says, of which the first *known* bytes say *before*."""
    path = name.ledger
    fault = partial(market_fault, name.broker)
    if known and (after := _appended(raw, before, known, fault)) is not None:
        return before + after
    text = _decoded(raw, path)
    found = read_around(
        text, lambda fqme: not fault(fqme), lambda piece: read_piece(piece, fault)
    )
    return read_any(text, path, fault) if found is None else found


def _appended(
    raw: bytes,
    before: list[Transaction],
    known: int,
    fault: Callable[[str], str],
) -> list[Transaction] | None:
    """Return what was appended to what is known; None if the whole is to be read.

    What is there before is TOML that ends with its line; so tables after it are the
    same as if they stood alone, unless one is there twice.
    """
    if not raw[:known].endswith(b"\n"):
        return None
    try:
        text = raw[known:].decode()
    except UnicodeDecodeError:
        return None
    after = read_lines(text, lambda fqme: not fault(fqme))
    if after is None:
        return None
    tids = {txn.tid for txn in before}
    return None if any(txn.tid in tids for txn in after) else after


def _decoded(raw: bytes, path: Path) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as err:
        line = raw.count(b"\n", 0, err.start) + 1
        raise LedgerDamaged(
            f"{path}, line {line}: it is no UTF-8: {err.reason}; mend that line, "
            "nothing was changed"
        ) from None


@lru_cache(4096)
@lru_cache(4096)
def market_fault(broker: str, fqme: str) -> str:
    """Say why *fqme* can't be in a ledger of *broker*, empty if it can."""
    if fault := fqme_fault(fqme):
        return fault
    found = Fqme.parse(fqme).broker
    return "" if found == broker else f"{fqme} is not a market of {broker}"


@contextmanager
def _collector_off() -> Iterator[None]:
    """Keep the collector from walking all that is made here, again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
