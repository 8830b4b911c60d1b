"""Positions: what is held, what it cost, what it earned, one transaction at a time.

    transaction --Position.add--> sums, exact --ppu, bep, realised--> ratios of them

Every sum is exact. With a position's transactions, of size ``s`` (> 0 bought), price
``p`` and cost ``c``, and the contract's multiplier ``m``:

    size     S = sum(s)
    cash     K = -sum(s * p)          what trading brought in, in prices
    fees     F = sum(c)               each once
    ppu      P                        mean entry price, the average-cost method: where
                                      |S| grows  P' = (P * S + s * p) / (S + s),
                                      where it shrinks P' = P, where it changes its
                                      sign P' = p, where it is 0 there is none
    basis    B = P * S                what is held cost, in prices
    realised m * (K + B + T) - F      T: what left by transfer, at its ppu
    unrealised at price x: m * (x * S - B)
    bep      x with realised + unrealised = 0 of the trades since it was last flat:
             (F / m - K - T) / S      K, F, T: since then

``ppu`` has no fees in it; ``realised`` and ``bep`` have all that were paid, those of
opening what is still held too, so realised + unrealised is the whole result. The mean
is the weighted average cost formula of IAS 2, paragraphs 25 and 27.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any, ClassVar, Final

from piker.errors import LedgerError
from piker.msgs import NS, BrokerdPosition, Fqme

from ._exact import EXACT, MAX_DIGITS, ONE, ZERO, shown
from ._transaction import Transaction, split_ratio

#: Each entry after an exit puts one more size into the ratio that the ppu is. So often
#: it is looked at, and reduced; beyond so many bits it is rounded to this step: an
#: error of 5e-41 quote units each time, which later entries only make smaller. Cash and
#: fees are sums, so once it is flat nothing is left of that.
_FOLDS: Final = 16
_MAX_BITS: Final = 512
_STEP_DIGITS: Final = 40


class Position:
    """What an account holds of one market. Adding is O(1), whatever came before.

    Attributes:
      fqme: full name of the market.
      bs_mktid: the broker's own, as the last transaction that had one tells it.
      size: base units, < 0 of a short.
      fees: paid so far, quote units.
      multiplier: base units that a contract of size 1 stands for.
      is_inverse: see `InversePosition`.
      trades: transactions in it.
      seq: serial of the last of them in the ledger.
      opened_seq: of the one that opened it from flat, or flipped it; 0 if it is flat.
      opened_size: what there was after that one; 0 if it is flat.
      time_ns: when the last one was.
    """

    __slots__ = (
        "_base", "_cash", "_expiry", "_flip", "_folds", "_moved", "_over", "_value",
        "_whole", "bs_mktid", "fees", "fqme", "multiplier", "opened_seq", "opened_size",
        "seq", "size", "time_ns", "trades",
    )  # fmt: skip

    is_inverse: ClassVar[bool] = False

    def __init__(self, fqme: str) -> None:
        self.fqme = fqme
        self.bs_mktid = ""
        self.size = self.opened_size = self.fees = ZERO
        self._cash: Any = ZERO  # a fraction of an inverse market, as *_value* is then
        self.multiplier = ONE
        self.trades = self.seq = self.opened_seq = self.time_ns = 0
        self._expiry = ""
        # The basis is (_value / _over) * (size / _whole): an exit changes size alone.
        self._value: Any = ZERO
        self._over, self._whole = ONE, ZERO
        self._folds = 0
        self._moved = Fraction(0)
        # Cash, fees and moved when it was last flat, and how much of the fee of a
        # trade that flipped it is the new position's: (fee, its part, the trade).
        self._base: tuple[Any, Decimal, Fraction] = (ZERO, ZERO, self._moved)
        self._flip: tuple[Decimal, Decimal, Decimal] | None = None

    # -- booking ----------------------------------------------------------------

    def add(self, txn: Transaction, seq: int = 0) -> None:
        """Book *txn*, whose serial in the ledger is *seq*; each once.

        After an error the position is as it was.
        Raises: LedgerError, e.g. another multiplier than before.
        """
        with localcontext(EXACT):
            self._book(txn, seq)

    def _book(self, txn: Transaction, seq: int) -> None:
        """Book *txn*; the caller has made EXACT the context."""
        if txn.multiplier != self.multiplier:
            self._take_multiplier(txn)
        if txn.inverse is not self.is_inverse:
            raise LedgerError(
                f"trade {txn.tid!r} of {self.fqme} and those before it aren't of one "
                "kind: one is inverse, the other isn't; a contract doesn't change that"
            )
        if txn.etype == "clear":
            self._clear(txn.size, txn.price, txn.cost, seq)
        elif txn.etype == "expiry":
            size = txn.size or -self.size
            self._clear(size, txn.price, txn.cost, seq)
        elif txn.etype == "split":
            self._split(txn)
        elif txn.etype == "fee":
            self.fees += txn.cost
        elif txn.etype == "settlement":
            self._settle(txn.price, txn.cost)
        else:
            self._transfer(txn, seq)
        self.trades += 1
        self.seq = seq
        self.time_ns = txn.time_ns
        if txn.bs_mktid:
            self.bs_mktid = txn.bs_mktid
        if txn.expiry:
            self._expiry = txn.expiry

    def _clear(self, size: Decimal, price: Decimal, cost: Decimal, seq: int) -> None:
        before = self.size
        value = self._worth(size, price)
        self._cash -= value
        if cost:
            self.fees += cost
        self.size = after = before + size
        if not before:
            if after:
                self._open(after, price, cost, seq)
        elif size.is_signed() == before.is_signed():
            self._enter(before, after, value)
        elif not after:
            self._be_flat()
        elif after.is_signed() != before.is_signed():
            self._open(after, price, cost, seq)
            self._flip = (cost, after, size)

    def _open(self, size: Decimal, price: Decimal, cost: Decimal, seq: int) -> None:
        """Begin anew with *size*, which is booked already."""
        value = self._worth(size, price)
        self._value, self._over, self._whole = value, ONE, size
        self._folds = 0
        self._base = (self._cash + value, self.fees - cost, self._moved)
        self._flip = None
        self.opened_seq, self.opened_size = seq, size

    def _worth(self, size: Decimal, price: Decimal) -> Any:
        """Return what *size* units cost, in what profits are counted in."""
        return size * price

    def _enter(self, before: Decimal, after: Decimal, value: Decimal) -> None:
        """Add to what there is."""
        if self._whole is not before:
            self._fold(before)
        over = self._over
        self._value += value if over is ONE else value * over
        self._whole = after

    def _fold(self, size: Decimal) -> None:
        """Take the exits since the last entry, down to *size*, into the ratio."""
        self._value *= size
        self._over *= self._whole
        self._whole = size
        self._folds += 1
        if self._folds >= _FOLDS:
            self._folds = 0
            ppu = bounded(self._value_of_one(size))
            self._value, self._over = ppu.numerator * size, Decimal(ppu.denominator)

    def _be_flat(self) -> None:
        self._value, self._over, self._whole = ZERO, ONE, ZERO
        self.opened_seq, self.opened_size = 0, ZERO
        self._flip = None

    def _take_multiplier(self, txn: Transaction) -> None:
        if self.trades:
            raise LedgerError(
                f"trade {txn.tid!r} of {self.fqme} has the multiplier "
                f"{txn.multiplier}, those before it {self.multiplier}: a contract's "
                "doesn't change"
            )
        self.multiplier = txn.multiplier

    def _settle(self, price: Decimal, cost: Decimal) -> None:
        """Count what is held as got at *price*: what it had earned was paid."""
        if self.size:
            self._value = self._worth(self.size, price)
            self._over, self._whole = ONE, self.size
            self._folds = 0
        self.fees += cost

    def _split(self, txn: Transaction) -> None:
        """Change the units; what they cost stays."""
        new, old = split_ratio(txn)
        before = self.size
        after = before + txn.size if txn.size else _exactly(before, new, old, txn)
        if bool(after) != bool(before) or after.is_signed() != before.is_signed():
            raise LedgerError(
                f"split {txn.tid!r} of {self.fqme} makes {after} units of {before}: "
                "close what is gone by a clear of its own"
            )
        if before:
            if self._whole is not before:
                self._fold(before)
            self._whole = after
        self.size = after
        self.fees += txn.cost

    def _transfer(self, txn: Transaction, seq: int) -> None:
        """Let units in at their price, or out at what they cost: no profit of it."""
        before, size = self.size, txn.size
        if not before or size.is_signed() == before.is_signed():
            self._clear(size, txn.price, txn.cost, seq)
            return
        leaving = -size if abs(size) <= abs(before) else before
        self._moved = bounded(self._moved + self._mean * Fraction(leaving))
        self.size = before - leaving
        rest = size + leaving
        if not self.size:
            self._be_flat()
        if rest:
            self._clear(rest, txn.price, txn.cost, seq)
            self._flip = (txn.cost, rest, size)
        else:
            self.fees += txn.cost

    # -- what it comes to -------------------------------------------------------

    @property
    def is_flat(self) -> bool:
        """Whether nothing is held."""
        return not self.size

    @property
    def ppu_exact(self) -> Fraction:
        """Mean entry price, quote units, without fees; 0 if flat."""
        return self._mean

    @property
    def _mean(self) -> Fraction:
        """What one unit of what is held cost, as `_worth` counts."""
        return self._value_of_one(self._whole) if self.size else Fraction(0)

    def _value_of_one(self, whole: Decimal) -> Fraction:
        return Fraction(self._value) / (Fraction(self._over) * Fraction(whole))

    @property
    def basis_exact(self) -> Fraction:
        """What is held cost, quote units, without fees; < 0 of a short."""
        return self._mean * Fraction(self.size) * Fraction(self.multiplier)

    @property
    def realised_exact(self) -> Fraction:
        """Profit so far, quote units, less all fees."""
        came = Fraction(self._cash) + self._moved
        if self.size:
            came += self._mean * Fraction(self.size)
        return came * Fraction(self.multiplier) - Fraction(self.fees)

    @property
    def bep_exact(self) -> Fraction:
        """Price at which closing it makes it break even since it was last flat.

        With what was realised and paid since then, before any fee of the closing.
        0 if flat.
        """
        cash, fees, moved = self._base
        paid = Fraction(self.fees) - Fraction(fees)
        if self._flip:  # the other part of that fee is of the position it closed
            fee, part, whole = map(Fraction, self._flip)
            paid += fee * (part / whole - 1)
        came = Fraction(self._cash) - Fraction(cash) + self._moved - moved
        return self._even_at(paid, came)

    @property
    def ledger_bep_exact(self) -> Fraction:
        """Like `bep_exact`, of all the market's transactions there ever were."""
        return self._even_at(Fraction(self.fees), Fraction(self._cash) + self._moved)

    def _even_at(self, paid: Fraction, came: Fraction) -> Fraction:
        if not self.size:
            return Fraction(0)
        return (paid / Fraction(self.multiplier) - came) / Fraction(self.size)

    def unrealised_exact(self, price: Decimal) -> Fraction:
        """What closing it at *price* would add to what is realised, quote units."""
        worth = Fraction(price) * Fraction(self.size) * Fraction(self.multiplier)
        return worth - self.basis_exact

    @property
    def ppu(self) -> Decimal:
        """`ppu_exact`, exact if 34 digits hold it, else rounded half to even."""
        return shown(self.ppu_exact)

    @property
    def bep(self) -> Decimal:
        """`bep_exact`, rounded like `ppu`."""
        return shown(self.bep_exact)

    @property
    def ledger_bep(self) -> Decimal:
        """`ledger_bep_exact`, rounded like `ppu`."""
        return shown(self.ledger_bep_exact)

    @property
    def realised(self) -> Decimal:
        """`realised_exact`, rounded like `ppu`."""
        return shown(self.realised_exact)

    def unrealised(self, price: Decimal) -> Decimal:
        """`unrealised_exact`, rounded like `ppu`."""
        return shown(self.unrealised_exact(price))

    @property
    def expiry(self) -> date | None:
        """The day the market expires, by its transactions or its name."""
        if not self._expiry:
            return Fqme.parse(self.fqme).expiry_date
        told = self._expiry
        return date(int(told[:4]), int(told[4:6]), int(told[6:]))

    def has_expired(self, time_ns: int) -> bool:
        """Tell whether the day of its expiry (UTC) is over at *time_ns*."""
        if self.expiry is None:
            return False
        at = datetime.fromtimestamp(time_ns // NS, UTC).date()
        return at >= self.expiry + timedelta(days=1)

    def to_msg(self, broker: str, account: str, currency: str = "") -> BrokerdPosition:
        """Return it as it is told to clients."""
        return BrokerdPosition(
            broker=broker,
            account=account,
            symbol=self.fqme,
            size=self.size,
            avg_price=self.ppu,
            bep=self.bep,
            realized=self.realised,
            fees=self.fees,
            seq=self.seq,
            currency=currency,
        )


class InversePosition(Position):
    """A position whose size counts quote units, and that earns and pays base units.

    A size ``s`` bought at ``p`` and sold at ``q`` earns ``m * (s / p - s / q)``: a unit
    costs ``-1 / p`` then, and all else is as it is of others. Money is in base units,
    and prices are quote units for one; the mean entry price is the harmonic mean. No
    decimal is a third, so sums of money are fractions, rounded at the 40th digit.
    https://docs.deribit.com/articles/contract-introduction-policy
    """

    __slots__ = ()

    is_inverse = True

    def __init__(self, fqme: str) -> None:
        super().__init__(fqme)
        self._cash = Fraction(0)
        self._base = (Fraction(0), ZERO, self._moved)

    def _worth(self, size: Decimal, price: Decimal) -> Any:
        return bounded(-Fraction(size) / Fraction(price))

    def _clear(self, size: Decimal, price: Decimal, cost: Decimal, seq: int) -> None:
        super()._clear(size, price, cost, seq)
        self._cash = bounded(self._cash)
        if self.size:
            self._value = bounded(self._value)

    def _fold(self, size: Decimal) -> None:
        self._value = bounded(self._value_of_one(self._whole) * Fraction(size))
        self._whole = size

    def _be_flat(self) -> None:
        super()._be_flat()
        self._value = Fraction(0)

    @property
    def ppu_exact(self) -> Fraction:
        """Mean entry price, quote units, without fees; 0 if flat."""
        return _price_of(self._mean)

    @property
    def basis_exact(self) -> Fraction:
        """What is held is worth at its entry, base units; < 0 of a short."""
        return -super().basis_exact

    @property
    def bep_exact(self) -> Fraction:
        """As of others; 0 too where no price would make up for what was lost."""
        return _price_of(super().bep_exact)

    @property
    def ledger_bep_exact(self) -> Fraction:
        """Like `bep_exact`, of all the market's transactions there ever were."""
        return _price_of(super().ledger_bep_exact)

    def unrealised_exact(self, price: Decimal) -> Fraction:
        """What closing it at *price* would add to what is realised, base units."""
        worth = Fraction(self.size) * Fraction(self.multiplier) / Fraction(price)
        return self.basis_exact - worth


def _price_of(cost: Fraction) -> Fraction:
    """Return the price at which a unit of an inverse contract costs *cost*, < 0."""
    return -1 / cost if cost < 0 else Fraction(0)


def position_for(txn: Transaction) -> Position:
    """Return what books transactions of the market of *txn*; that one isn't booked."""
    return (InversePosition if txn.inverse else Position)(txn.fqme)


def positions_of(
    txns: Iterable[Transaction], after_seq: int = 0
) -> dict[str, Position]:
    """Return the positions that *txns* come to, by full name, flat ones too.

    Args:
      txns: of one account, in the ledger's order.
      after_seq: serial of the one before the first.

    Raises: LedgerError.
    """
    found: dict[str, Position] = {}
    with localcontext(EXACT):
        for seq, txn in enumerate(txns, after_seq + 1):
            position = found.get(txn.fqme)
            if position is None:
                position = found[txn.fqme] = position_for(txn)
            position._book(txn, seq)  # noqa: SLF001 - add(), in one context for all
    return found


def bounded(ratio: Fraction) -> Fraction:
    """Return *ratio*, rounded half to even where it would grow without end."""
    if ratio.denominator.bit_length() <= _MAX_BITS:
        return ratio
    return Fraction(round(ratio * 10**_STEP_DIGITS), 10**_STEP_DIGITS)


def _exactly(size: Decimal, new: int, old: int, txn: Transaction) -> Decimal:
    """Return ``size * new / old``; raises LedgerError if no decimal is that."""
    ratio = Fraction(size) * new / old
    scaled = ratio * 10**MAX_DIGITS
    if scaled.denominator != 1:
        raise LedgerError(
            f"split {txn.tid!r} of {txn.fqme} leaves {size} * {txn.ratio} units, which "
            "no decimal is: write the change that the broker booked as its size"
        )
    return Decimal(scaled.numerator).scaleb(-MAX_DIGITS).normalize(EXACT)
