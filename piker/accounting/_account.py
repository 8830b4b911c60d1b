"""The account file: what is open, derived from the ledger, for people and other tools.

    ledger --positions--> one table an open market, with its clears since it was flat

It is written whole or not at all, and says up to which serial of the ledger it holds.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from msgspec.structs import replace

from piker.errors import LedgerDamaged, LedgerError
from piker.files import put_whole

from ._exact import plain
from ._ledger import LedgerView
from ._lines import quoted
from ._places import AccountName
from ._position import Position
from ._transaction import Transaction, show_ns

_HEAD: Final = """\
# What {name} holds, derived from ledgers/{ledger}; edits are lost.
# Prices are in quote units; ppu is the mean entry price without fees, bep the price at
# which closing it breaks even, all since it was last flat; realised is less all fees.

broker = {broker}
account = {account}
seq = {seq}
"""

_NUMBERS: Final = ("size", "ppu", "bep", "realised", "fees", "multiplier")


def write_account(
    ledger: LedgerView, positions: Mapping[str, Position] | None = None
) -> None:
    """Write the account file of *ledger*, atomically.

    Args:
      ledger: of the account.
      positions: all that it comes to, where the caller has them.

    Raises: LedgerError.
    """
    held = ledger.positions() if positions is None else positions
    name = ledger.name
    try:
        put_whole(
            name.account_file,
            account_text(ledger, held).encode(),
            durable=True,
            mode=0o600,
        )
    except OSError as err:
        raise LedgerError(
            f"can't write {name.account_file}: {err.strerror or err}; it is as it was"
        ) from None


def account_text(ledger: LedgerView, positions: Mapping[str, Position]) -> str:
    """Return what the account file says."""
    name = ledger.name
    head = _HEAD.format(
        name=name,
        ledger=name.ledger.name,
        broker=quoted(name.broker),
        account=quoted(name.label),
        seq=ledger.seq,
    )
    held = sorted(fqme for fqme, found in positions.items() if not found.is_flat)
    first = min((positions[fqme].opened_seq for fqme in held), default=ledger.seq + 1)
    clears: dict[str, list[tuple[int, Transaction]]] = {fqme: [] for fqme in held}
    for seq, txn in ledger.since(first - 1):
        if txn.fqme in clears and seq >= positions[txn.fqme].opened_seq:
            clears[txn.fqme].append((seq, txn))
    return "\n".join([head, *(_table(positions[fqme], clears[fqme]) for fqme in held)])


def _table(position: Position, clears: list[tuple[int, Transaction]]) -> str:
    lines = [f"[{quoted(position.fqme)}]"]
    if position.bs_mktid:
        lines.append(f"bs_mktid = {quoted(position.bs_mktid)}")
    if position.expiry:
        lines.append(f'expiry = "{position.expiry:%Y%m%d}"')
    if position.is_inverse:
        lines.append("inverse = true")
    lines += [f"{key} = {plain(getattr(position, key))}" for key in _NUMBERS]
    lines += [f"seq = {position.seq}", "clears = ["]
    again = type(position)(position.fqme)
    for i, (seq, txn) in enumerate(clears):
        opening = replace(txn, etype="clear", size=position.opened_size, ratio="")
        again.add(txn if i else opening, seq)
        lines.append(f"  {_clear(txn, again)},")
    lines.append("]\n")
    return "\n".join(lines)


def _clear(txn: Transaction, after: Position) -> str:
    parts = {
        "tid": quoted(txn.tid),
        "dt": quoted(show_ns(txn.time_ns)),
        "etype": quoted(txn.etype),
        "size": plain(txn.size),
        "price": plain(txn.price),
        "cost": plain(txn.cost),
        "cumsize": plain(after.size),
        "ppu": plain(after.ppu),
    }
    if txn.etype == "clear":
        del parts["etype"]
    return "{ " + ", ".join(f"{key} = {text}" for key, text in parts.items()) + " }"


def read_account(name: AccountName) -> dict[str, Any] | None:
    """Return the account file's TOML, its numbers as decimals; None if there is none.

    Raises: LedgerDamaged; LedgerError.
    """
    try:
        text = name.account_file.read_bytes().decode()
        return tomllib.loads(text, parse_float=_decimal)
    except FileNotFoundError:
        return None
    except OSError as err:
        raise LedgerError(
            f"can't read {name.account_file}: {err.strerror or err}"
        ) from None
    except (ValueError, RecursionError) as err:
        why = " ".join(str(err).split())
        raise LedgerDamaged(f"{name.account_file} is no TOML: {why}") from None


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("nan")
