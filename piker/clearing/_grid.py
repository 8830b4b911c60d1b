"""Prices and sizes as whole numbers of a market's ticks, and back."""

from __future__ import annotations

from decimal import Decimal
from math import isfinite

from piker.errors import UsageError
from piker.msgs import MktPair

_EXACT = 2.0**40  # up to here a rounded quotient is far from the middle of two ticks


class Grid:
    """The ticks of one market.

    What is told as a double is its nearest tick, half to even; a decimal has to be one.
    """

    def __init__(self, mkt: MktPair) -> None:
        """Count in the ticks of *mkt*."""
        self._mkt = mkt
        up, down = mkt.price_tick.as_integer_ratio()
        self._a_unit = down / up

    def price_ticks(self, price: float) -> int:
        """Return *price* in price ticks; raises UsageError if it is no number."""
        scaled = price * self._a_unit
        if -_EXACT < scaled < _EXACT:
            nearest = round(scaled)
            if -0.499 < scaled - nearest < 0.499:
                return nearest
        return _whole(self._mkt.quantize(price, "price"), self._mkt.price_tick)

    def lots(self, size: float) -> int:
        """Return *size* in size ticks, 0 of what is none."""
        return self._mkt.to_size_ticks(size) if isfinite(size) and size > 0 else 0

    def exact_price(self, price: Decimal) -> int:
        """Return *price* in price ticks; raises UsageError between two of them."""
        return self._exact(price, self._mkt.price_tick, "price")

    def exact_lots(self, size: Decimal) -> int:
        """Return *size* in size ticks; raises UsageError between two of them."""
        return self._exact(size, self._mkt.size_tick, "size")

    def whole_lots(self, size: Decimal) -> int:
        """Return the size ticks that fit into *size*, towards 0."""
        up, down = size.as_integer_ratio()
        tick_up, tick_down = self._mkt.size_tick.as_integer_ratio()
        whole = abs(up) * tick_down // (down * tick_up)
        return -whole if up < 0 else whole

    def price(self, ticks: int) -> Decimal:
        """Return the price of so many ticks."""
        return times(self._mkt.price_tick, ticks)

    def size(self, lots: int) -> Decimal:
        """Return the size of so many ticks."""
        return times(self._mkt.size_tick, lots)

    def _exact(self, value: Decimal, tick: Decimal, what: str) -> int:
        if not value.is_finite():
            raise UsageError(f"a {what} must be a finite number, got {str(value)!r}")
        up, down = value.as_integer_ratio()
        tick_up, tick_down = tick.as_integer_ratio()
        whole, rest = divmod(up * tick_down, down * tick_up)
        if rest:
            raise UsageError(
                f"a {what} must be a multiple of {tick:f} in {self._mkt.fqme}, "
                f"got {str(value)!r}"
            )
        return whole


def times(step: Decimal, count: int) -> Decimal:
    """Return *step* x *count*, exactly: no context rounds it."""
    sign, digits, exponent = step.as_tuple()
    assert isinstance(exponent, int), "steps are finite"
    coefficient = int("".join(map(str, digits))) * count
    if exponent >= 0:
        return Decimal(coefficient * 10**exponent * (-1 if sign else 1))
    return Decimal(f"{'-' if sign else ''}{coefficient}E{exponent}")


def _whole(value: Decimal, tick: Decimal) -> int:
    up, down = value.as_integer_ratio()
    tick_up, tick_down = tick.as_integer_ratio()
    return up * tick_down // (down * tick_up)
