"""Numbers of venues that an order can have; whatever else is told is refused."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Final

import msgspec

from piker.brokers._payload import bad_payload
from piker.errors import BadPayload

_MOST: Final = Decimal(10) ** 20
_LEAST_EXPONENT: Final = -18
#: Of so many digits that none is rounded away unseen.
_WHOLE: Final = Context(prec=10_000)


def sane(value: Decimal, venue: str, raw: object) -> Decimal:
    """Return a number of at most 20 digits before its point and 18 after it, not < 0.

    Args:
      value: the number.
      venue: whose.
      raw: what it stands in, for the error: bytes, or a struct.

    Raises: BadPayload: it is another.
    """
    if not value.is_finite() or not 0 <= value < _MOST:
        raise _odd(value, venue, raw)
    if not value:
        return Decimal(0)
    bare = value.normalize(_WHOLE)  # zeros at its end say nothing
    exponent = bare.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < _LEAST_EXPONENT:
        raise _odd(value, venue, raw)
    return bare


def positive(value: Decimal, venue: str, raw: object) -> Decimal:
    """Return such a number that isn't 0; raises BadPayload."""
    number = sane(value, venue, raw)
    if not number:
        raise _odd(value, venue, raw)
    return number


def _odd(value: Decimal, venue: str, raw: object) -> BadPayload:
    shown = raw if isinstance(raw, bytes) else msgspec.json.encode(raw)
    return bad_payload(venue, shown, f"an odd number {str(value)[:40]!r}")
