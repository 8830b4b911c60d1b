"""An audit: the ledger added up a second way, against positions and account file.

Sizes and fees are added up as fractions, and the rest by the textbook in decimals of
150 digits: each exit's profit is added up, where `Position` has the cash and what is
held. So a fault of one isn't one of the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from typing import Any, Final

from piker.errors import LedgerError

from ._account import read_account
from ._exact import ONE, ZERO
from ._ledger import LedgerView
from ._position import Position, positions_of
from ._transaction import Transaction, split_ratio

_WIDE: Final = Context(prec=150)
#: Of a number's size, or of a quote unit: more than all roundings together.
_TOLERANCE: Final = Decimal("1e-30")


@dataclass
class Recount:
    """A market added up; prices and money to 150 digits, *size* and *fees* exactly.

    Attributes:
      size: base units.
      fees: quote units.
      ppu: mean entry price, quote units.
      realised: of all exits, less fees.
      since_flat: the same, of what came since it was last flat.
      tids: of the trades since it was last flat.
    """

    size: Fraction = Fraction(0)
    fees: Fraction = Fraction(0)
    ppu: Decimal = ZERO
    realised: Decimal = ZERO
    since_flat: Decimal = ZERO
    multiplier: Decimal = ONE
    is_inverse: bool = False
    tids: list[str] = field(default_factory=list)

    @property
    def bep(self) -> Decimal:
        """Price at which closing it makes it break even since it was last flat."""
        if not self.size:
            return ZERO
        with localcontext(_WIDE):
            if self.is_inverse:
                lost = self.since_flat / (self.multiplier * _wide(self.size))
                even = 1 / self.ppu + lost
                return 1 / even if even > 0 else ZERO
            return self.ppu - self.since_flat / (self.multiplier * _wide(self.size))

    def add(self, txn: Transaction) -> None:
        """Book *txn*; the context is wide."""
        self.multiplier, self.is_inverse = txn.multiplier, txn.inverse
        self.fees += Fraction(txn.cost)
        before = self.size
        size = Fraction(txn.size)
        if txn.etype == "split":
            self._split(txn)
            self._earn(-txn.cost)
        elif txn.etype == "settlement":
            self._settle(txn)
        elif txn.etype == "expiry" and not size:
            self._trade(txn, -before)
        else:
            self._trade(txn, size)
        self.tids = [] if not self.size else self.tids
        if self.size and (not before or (before > 0) != (self.size > 0)):
            self.tids = [txn.tid]
        elif self.size:
            self.tids.append(txn.tid)

    def _settle(self, txn: Transaction) -> None:
        if self.size:
            self._earn(self._earned(txn.price) * _wide(self.size) * txn.multiplier)
            self.ppu = txn.price
        self._earn(-txn.cost)

    def _split(self, txn: Transaction) -> None:
        new, old = split_ratio(txn)
        before = self.size
        by_ratio = before * new / old
        self.size = before + Fraction(txn.size) if txn.size else by_ratio
        if self.size:
            units = _wide(before) / _wide(self.size)
            self.ppu = self.ppu / units if self.is_inverse else self.ppu * units

    def _trade(self, txn: Transaction, size: Fraction) -> None:
        closing = Fraction(0)
        if self.size * size < 0:
            closing = max(-abs(self.size), -abs(size)) * (1 if self.size > 0 else -1)
        opening = size - closing
        share = Decimal(1)
        if size:
            share = _wide(closing / size)
        if closing:
            per_unit = ZERO if txn.etype == "transfer" else self._earned(txn.price)
            self._earn(-_wide(closing) * per_unit * txn.multiplier)
        self._earn(-txn.cost * share)
        self.size += closing
        if not self.size:
            self.ppu, self.since_flat = ZERO, ZERO
        if opening:
            held, more = _wide(self.size), _wide(opening)
            if not self.is_inverse:
                self.ppu = (self.ppu * held + txn.price * more) / (held + more)
            else:
                coins = held / self.ppu if held else ZERO
                self.ppu = (held + more) / (coins + more / txn.price)
            self.size += opening
        self._earn(-txn.cost * (1 - share))

    def _earned(self, price: Decimal) -> Decimal:
        """Return what a unit earned that is sold at *price*."""
        return 1 / self.ppu - 1 / price if self.is_inverse else price - self.ppu

    def _earn(self, money: Decimal) -> None:
        self.realised += money
        self.since_flat += money


def recount(txns: Iterable[Transaction]) -> dict[str, Recount]:
    """Return what *txns* come to, by full name, flat ones too."""
    found: dict[str, Recount] = {}
    with localcontext(_WIDE):
        for txn in txns:
            found.setdefault(txn.fqme, Recount()).add(txn)
    return found


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
      markets: how many there are, flat ones too.
      trades: in the ledger.
      differences: a sentence each, none if all is well.
      notes: what isn't one, but is to be known.
    """

    markets: int
    trades: int
    differences: tuple[str, ...]
    notes: tuple[str, ...]


def audit(ledger: LedgerView) -> Audit:
    """Add *ledger* up again; compare its positions and its account file with that.

    Raises: LedgerError.
    """
    again = recount(ledger.txns)
    found = list(_position_faults(positions_of(ledger.txns), again))
    notes = [ledger.torn] if ledger.torn else []
    found += _file_faults(ledger, again, notes)
    return Audit(len(again), ledger.seq, tuple(found), tuple(notes))


def _position_faults(
    positions: Mapping[str, Position], again: Mapping[str, Recount]
) -> Iterator[str]:
    for fqme, counted in again.items():
        position = positions[fqme]
        for key in ("size", "fees", "ppu", "bep", "realised"):
            if not _alike(getattr(position, key), getattr(counted, key)):
                yield _differs(f"the position of {fqme}", key, position, counted)


def _file_faults(
    ledger: LedgerView, again: Mapping[str, Recount], notes: list[str]
) -> Iterator[str]:
    path = ledger.name.account_file
    try:
        told = read_account(ledger.name)
    except LedgerError as err:
        yield str(err)
        return
    if told is None:
        held = sorted(fqme for fqme, counted in again.items() if counted.size)
        if held:
            yield f"there is no {path}, and {', '.join(held)} is open"
        return
    seq = told.pop("seq", None)
    if not isinstance(seq, int) or not 0 <= seq <= ledger.seq:
        yield (f"{path} is of serial {seq!r} of the ledger, whose last is {ledger.seq}")
        return
    if seq < ledger.seq:
        notes.append(f"{path} is {ledger.seq - seq} trades behind the ledger")
        again = recount(ledger.txns[:seq])
    for key in ("broker", "account"):
        told.pop(key, None)
    yield from _table_faults(f"{path}:", told, again)


def _table_faults(
    where: str, told: Mapping[str, Any], again: Mapping[str, Recount]
) -> Iterator[str]:
    held = {fqme: counted for fqme, counted in again.items() if counted.size}
    for fqme in sorted(held.keys() - told.keys()):
        yield f"{where} {fqme} is open and isn't in it"
    for fqme in sorted(told.keys() - held.keys()):
        yield f"{where} {fqme} is in it and isn't open"
    for fqme in sorted(held.keys() & told.keys()):
        table, counted = told[fqme], held[fqme]
        if not isinstance(table, dict):
            yield f"{where} {fqme} is no table"
            continue
        for key in ("size", "fees", "ppu", "bep", "realised", "multiplier"):
            value = table.get(key)
            if not _alike(value, getattr(counted, key)):
                yield _differs(f"{where} {fqme}", key, {key: value}, counted)
        if _tids(table.get("clears")) != counted.tids:
            yield f"{where} {fqme}: its clears aren't those since it was last flat"


def _tids(clears: Any) -> list[Any]:
    if not isinstance(clears, list):
        return []
    return [each.get("tid") if isinstance(each, dict) else None for each in clears]


def _alike(value: Any, counted: Fraction | Decimal) -> bool:
    """Tell whether *value* is *counted*, exactly where that is a fraction."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return False
    if isinstance(value, Decimal) and not value.is_finite():
        return False
    if isinstance(counted, Fraction):
        return Fraction(value) == counted
    with localcontext(_WIDE):
        return abs(value - counted) <= _TOLERANCE * max(ONE, abs(counted))


def _differs(where: str, key: str, has: Any, counted: Recount) -> str:
    value = has[key] if isinstance(has, dict) else getattr(has, key)
    wanted = getattr(counted, key)
    exact = _wide(wanted) if isinstance(wanted, Fraction) else wanted
    return f"{where} {key} is {value}, the ledger comes to {exact:.34g}"


def _wide(ratio: Fraction) -> Decimal:
    return _WIDE.divide(Decimal(ratio.numerator), Decimal(ratio.denominator))
