"""Reading the fields of a request, one after the other."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final

#: What clients read, and write, as a number that isn't there.
UNSET: Final = "1.7976931348623157E308"
_MOST: Final = 2**31 - 1  # of whole numbers, in the protocol
_DIGITS: Final = 12  # of amounts, before the point and behind it


class Wrong(Exception):
    """A request that TWS answers with an error.

    Attributes:
      code: IB's number of it.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def invalid(cause: str) -> Wrong:
    """Return the error of a request whose fields make no sense."""
    return Wrong(321, f"Error validating request.-'bH' : cause - {cause}")


class Fields:
    """The fields of a message; what isn't there any more reads as empty.

    Attributes:
      req_id: of the request, to which errors are told; -1 where it has none.
    """

    def __init__(self, fields: list[str]) -> None:
        self._fields = fields
        self._at = 0
        self.req_id = -1

    def request(self) -> int:
        """Take the id of the request."""
        self.req_id = self.whole()
        return self.req_id

    def text(self) -> str:
        """Take a field as it is."""
        self._at += 1
        return self._fields[self._at - 1] if self._at <= len(self._fields) else ""

    def skip(self, count: int = 1) -> Fields:
        """Leave fields out."""
        self._at += count
        return self

    def whole(self, missing: int = 0) -> int:
        """Take a whole number; raises Wrong if it is none."""
        text = self.text()
        if not text:
            return missing
        try:
            found = int(text)
        except ValueError:
            found = _MOST + 1
        if abs(found) > _MOST:
            raise invalid(f"Unable to parse data: {text[:40]!r} is no number")
        return found

    def flag(self) -> bool:
        """Take a yes or no."""
        return self.whole() != 0

    def amount(self) -> Decimal | None:
        """Take a number, None if it isn't told; raises Wrong if it is none."""
        text = self.text()
        if text.upper() in ("", UNSET):
            return None
        try:
            found = Decimal(text)
        except InvalidOperation:
            found = Decimal("NaN")
        if not found.is_finite() or not _is_short(found):
            raise invalid(f"Unable to parse data: {text[:40]!r} is no number")
        return found

    def peek(self) -> list[str]:
        """Return all that is left, and leave it."""
        return self._fields[self._at :]


def _is_short(amount: Decimal) -> bool:
    exponent = amount.as_tuple().exponent
    assert isinstance(exponent, int), "it is finite"
    return exponent >= -_DIGITS and amount.adjusted() <= _DIGITS
