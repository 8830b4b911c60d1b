r"""The text of a ledger: one TOML table a trade, as it is written, and read fast.

    ["t1"]
    fqme = "btcusdt.spot.sim"
    size = -0.001
    price = 101.5
    cost = 0.01
    oid = "o1"                              and others, where they aren't the default
    dt = "2026-11-28T19:03:17.000000000Z"   always last
    <blank line>

`read_lines` knows this form and comments between tables, nothing else: whatever a human
wrote otherwise is for `piker.accounting._by_hand`, which must read this form alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from sys import intern
from typing import Any, Final

from piker.msgs import NS

from ._exact import MAX_DIGITS, ONE, ZERO, plain
from ._transaction import MAX_CHARS, Transaction, fault_of, show_ns

#: Keys of a table, in the order in which they are written; those of the second row only
#: where they aren't the default.
KEYS: Final = (
    "fqme", "size", "price", "cost",
    "bs_mktid", "etype", "expiry", "multiplier", "inverse", "ratio", "oid", "reqid",
    "fee", "fee_asset", "taker",
    "dt",
)  # fmt: skip
_ALWAYS: Final = frozenset(("fqme", "size", "price", "cost", "dt"))

_TEXT: Final = rf'"([^"\\\x00-\x1f\x7f]{{0,{MAX_CHARS}}})"'
_NUMBER: Final = (
    rf"(-?(?:0|[1-9][0-9]{{0,{MAX_DIGITS - 1}}})(?:\.[0-9]{{1,{MAX_DIGITS}}})?)"
)
_DT: Final = (
    r'"((?:19[7-9]|2[01][0-9])[0-9]-[0-9]{2}-[0-9]{2})T([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])'
    r'\.([0-9]{9})Z"'
)
_FORMS: Final = {
    "size": _NUMBER, "price": _NUMBER, "cost": _NUMBER, "multiplier": _NUMBER,
    "fee": _NUMBER, "taker": "(true)", "inverse": "(true)", "dt": _DT,
}  # fmt: skip
#: Blank lines and comments.
_BETWEEN: Final = r"(?:[ \t]*+(?:#[^\x00-\x08\x0a-\x1f\x7f]*+)?\n)*+"


def _line(key: str) -> str:
    form = rf"{key} = {_FORMS.get(key, _TEXT)}\n"
    return form if key in _ALWAYS else f"(?:{form})?"


_TABLE: Final = re.compile(rf"{_BETWEEN}\[{_TEXT}\]\n" + "".join(map(_line, KEYS)))
_BLANKS: Final = re.compile(_BETWEEN)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC).date()


def table_text(txn: Transaction) -> str:
    """Return *txn*, which has no fault, as a table and the blank line after it."""
    lines = [
        f"[{quoted(txn.tid)}]",
        f"fqme = {quoted(txn.fqme)}",
        f"size = {plain(txn.size)}",
        f"price = {plain(txn.price)}",
        f"cost = {plain(txn.cost)}",
    ]
    if txn.bs_mktid:
        lines.append(f"bs_mktid = {quoted(txn.bs_mktid)}")
    if txn.etype != "clear":
        lines.append(f'etype = "{txn.etype}"')
    if txn.expiry:
        lines.append(f'expiry = "{txn.expiry}"')
    if txn.multiplier != ONE:
        lines.append(f"multiplier = {plain(txn.multiplier)}")
    if txn.inverse:
        lines.append("inverse = true")
    lines += [
        f"{key} = {quoted(text)}"
        for key in ("ratio", "oid", "reqid")
        if (text := getattr(txn, key))
    ]
    if txn.fee:
        lines.append(f"fee = {plain(txn.fee)}")
    if txn.fee_asset:
        lines.append(f"fee_asset = {quoted(txn.fee_asset)}")
    if txn.taker:
        lines.append("taker = true")
    lines.append(f'dt = "{show_ns(txn.time_ns)}"\n\n')
    return "\n".join(lines)


def quoted(text: str) -> str:
    """Return *text*, which has no control characters, as a TOML string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def read_lines(text: str, is_fqme: Callable[[str], bool]) -> list[Transaction] | None:
    """Return the transactions in *text*; None if it is of another form, or unsound.

    Args:
      text: whole lines.
      is_fqme: whether a market may be in this ledger.
    """
    return read_around(text, is_fqme, lambda _: None)


def read_around(
    text: str,
    is_fqme: Callable[[str], bool],
    read_other: Callable[[str], list[Transaction] | None],
) -> list[Transaction] | None:
    """Like `read_lines`, where *read_other* reads the tables that have another form.

    Each piece that it is given is whole lines that begin with a table's head, up to the
    next head of ours. A piece that is TOML by itself ends outside of all strings and
    lists, so what follows it is what it looks like; what isn't, and each other doubt,
    makes the answer None.
    """
    found: list[Transaction] = []
    read, end = _reader(is_fqme), 0
    while True:
        table = _TABLE.match(text, end)
        txn = read(table.groups()) if table else None
        if table and txn:
            found.append(txn)
            end = table.end()
            continue
        end = _skip(text, end)
        if end == len(text):
            break
        after = text.find('\n["', end) + 1 or len(text)
        others = read_other(text[end:after]) if text[end] == "[" else None
        if others is None:
            return None
        found += others
        end = after
    return found if len({txn.tid for txn in found}) == len(found) else None


def _skip(text: str, at: int) -> int:
    """Return where the next line that isn't blank or a comment begins."""
    between = _BLANKS.match(text, at)
    assert between, "it matches nothing too"
    return between.end()


def _reader(
    is_fqme: Callable[[str], bool],
) -> Callable[[tuple[Any, ...]], Transaction | None]:
    """Return what makes a transaction of the parts of a table, None of a bad one."""
    names: dict[str, str] = {}  # one text each, however many trades
    days: dict[str, int] = {}

    def read(parts: tuple[Any, ...]) -> Transaction | None:
        tid, fqme, size, price, cost, bs_mktid, etype, expiry = parts[:8]
        multiplier, inverse, ratio, oid, reqid, fee, fee_asset, taker = parts[8:16]
        day, hours, minutes, secs, rest = parts[16:]
        if fqme not in names:
            if not is_fqme(fqme):
                return None
            names[fqme] = fqme
        if day not in days:
            try:
                days[day] = (date.fromisoformat(day) - _EPOCH).days * 86_400
            except ValueError:
                return None
        time_s = days[day] + int(hours) * 3600 + int(minutes) * 60 + int(secs)
        txn = Transaction(
            tid=tid,
            fqme=names[fqme],
            size=Decimal(size),
            price=Decimal(price),
            time_ns=time_s * NS + int(rest),
            cost=Decimal(cost) if cost != "0" else ZERO,
            etype=etype or "clear",
            bs_mktid=names.setdefault(bs_mktid, bs_mktid) if bs_mktid else "",
            expiry=expiry or "",
            multiplier=Decimal(multiplier) if multiplier else ONE,
            inverse=bool(inverse),
            ratio=ratio or "",
            oid=oid or "",
            reqid=reqid or "",
            fee=Decimal(fee) if fee else ZERO,
            fee_asset=intern(fee_asset) if fee_asset else "",
            taker=bool(taker),
        )
        # Of the usual kind the pattern has seen all but this.
        is_usual = txn.size and not (etype or expiry or multiplier or inverse)
        if is_usual and tid and not (ratio or fee):
            return txn
        return None if fault_of(txn) else txn

    return read


# -- an append that a crash cut off ------------------------------------------------

_KEY_LINES: Final = tuple((key, re.compile(rf"{key} = .*")) for key in KEYS)
_DT_LINE: Final = re.compile(r'dt = "[^"]*".*')


def torn_from(raw: bytes) -> int | None:
    """Return where in *raw* an append begins that a crash cut off, None if none is.

    Only what can be the beginning of a table as `table_text` writes it is taken for
    that, or zeros, which a file system leaves of what it hadn't written yet. What ends
    with the blank line that ends a table is whole, and what is wrong in it was done by
    hand.
    """
    zeros = raw.find(b"\0")
    if zeros >= 0:
        return _before_zeros(raw, zeros)
    if raw.endswith(b"\n\n") or not raw:
        return None
    at = raw.rfind(b"\n[") + 1
    tail = raw[at:].decode("latin-1")
    return at if tail.startswith("[") and _is_cut_off(tail) else None


def _before_zeros(raw: bytes, zeros: int) -> int | None:
    last = raw.rfind(b"\0") + 1
    if b'\n["' in raw[last:]:  # whole trades after it: no crash does that
        return None
    at = raw.rfind(b"\n[", 0, zeros) + 1
    tail = raw[at:zeros].decode("latin-1")
    return at if tail.startswith("[") and _is_cut_off(tail) else zeros


def _is_cut_off(tail: str) -> bool:
    """Tell whether *tail* is a table's beginning, and not all of it."""
    head, newline, body = tail.partition("\n")
    if not newline:
        return True
    if not (head.startswith('["') and head.endswith('"]')):
        return False
    *lines, partial = body.split("\n")
    keys = iter(_KEY_LINES)
    for line in lines:
        # any() stops at the key of the line: those after it must come later.
        if not any(form.fullmatch(line) for _, form in keys):
            return False
    left = [f"{key} = " for key, _ in keys]
    if not left or _DT_LINE.fullmatch(partial):  # dt is there
        return False
    return any(start.startswith(partial) or partial.startswith(start) for start in left)
