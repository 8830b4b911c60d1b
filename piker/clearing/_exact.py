"""Arithmetic of decimals that nothing is rounded in."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Final

# A price or a size has its digits within 10**-330..10**330 (see piker.msgs), so a
# product of three has fewer; a step to pay for each is only taken where they are there.
_WIDE: Final = Context(prec=2000)


def add(one: Decimal, other: Decimal) -> Decimal:
    """Return the exact sum."""
    return _WIDE.add(one, other)


def subtract(one: Decimal, other: Decimal) -> Decimal:
    """Return the exact difference."""
    return _WIDE.subtract(one, other)


def multiply(one: Decimal, other: Decimal) -> Decimal:
    """Return the exact product."""
    return _WIDE.multiply(one, other)


def shortest(value: float) -> Decimal:
    """Return the shortest decimal whose nearest double is *value*.

    Of a tick it is the decimal that the venue wrote, up to 15 digits.
    """
    return Decimal(float.__repr__(float(value)))


def is_multiple(value: Decimal, step: Decimal) -> bool:
    """Tell whether *value* is a whole number of *step*."""
    up, down = value.as_integer_ratio()
    step_up, step_down = step.as_integer_ratio()
    return up * step_down % (down * step_up) == 0


def plain(value: Decimal) -> str:
    """Return *value* without an exponent and without zeros at its end."""
    if not value.is_finite() or abs(value.adjusted()) > 40:
        return str(value)
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
