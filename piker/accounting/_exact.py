"""Decimals that don't round, and how a ratio of them is shown."""

from __future__ import annotations

from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
)
from fractions import Fraction
from typing import Final

#: Digits a number of a transaction may have before its point, and after it.
MAX_DIGITS: Final = 40
#: Sums and products of a position are made in it: more digits than any has, and one
#: that were rounded nevertheless is an error. Nothing is divided in it.
EXACT: Final = Context(
    prec=8000,
    rounding=ROUND_HALF_EVEN,
    traps=[Inexact, InvalidOperation, DivisionByZero, Overflow],
)
#: As many digits as an IEEE decimal128 has.
SHOWN: Final = Context(
    prec=34, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero]
)

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)


def shown(ratio: Fraction) -> Decimal:
    """Return *ratio* as a decimal: exact if 34 digits hold it, else half to even."""
    return SHOWN.divide(Decimal(ratio.numerator), Decimal(ratio.denominator))


def is_number(value: Decimal) -> bool:
    """Tell whether *value* is finite and has no more digits than are booked."""
    if not value.is_finite():
        return False
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int), "it is finite"
    return value.adjusted() < MAX_DIGITS and exponent >= -MAX_DIGITS


def plain(value: Decimal) -> str:
    """Return *value* in digits, without an exponent: ``0.00000001``."""
    return f"{value:f}"
