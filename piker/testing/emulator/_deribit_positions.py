"""Positions of derivatives: what they are worth, and what trades make of them.

inverse  size dollars, profit in the coin: size / entry - size / price
linear   size coins, profit in USDC: size * (price - entry)
option   size coins; what it costs is paid at once, what it is worth is equity

By https://docs.deribit.com/#contract-specifications: profit of futures becomes money at
the settlement of each day.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from ._deribit_names import Instrument
from ._exchange import ZERO

STEP: Final = Decimal("1e-8")


@dataclass
class Position:
    """What an account holds of an instrument.

    Attributes:
      size: in units of amounts, negative if it is short.
      average: price at which it was entered.
      basis: the same, or the last settlement's if that came later.
      session: profit since the last settlement that trades made, settlement coins.
      realized: all that trades and settlements made, likewise.
    """

    size: Decimal = ZERO
    average: Decimal = ZERO
    basis: Decimal = ZERO
    session: Decimal = ZERO
    realized: Decimal = ZERO

    @property
    def direction(self) -> str:
        """Which way, as the venue calls it."""
        if not self.size:
            return "zero"
        return "buy" if self.size > 0 else "sell"

    def trade(self, inst: Instrument, price: Decimal, signed: Decimal) -> Decimal:
        """Take a trade; return the profit that it makes of the whole position.

        Args:
          inst: which.
          price: of the trade.
          signed: amount, negative if it was sold.
        """
        if self.size * signed >= 0:
            self.average = blend(inst, self.size, self.average, signed, price)
            self.basis = blend(inst, self.size, self.basis, signed, price)
            self.size += signed
            return ZERO
        closed = min(abs(self.size), abs(signed)).copy_sign(self.size)
        made = profit(inst, self.average, price, closed)
        self.session += profit(inst, self.basis, price, closed)
        self.realized += made
        self.size += signed
        if self.size * signed > 0:  # it went through zero
            self.average = self.basis = price
        elif not self.size:
            self.average = self.basis = ZERO
        return made

    def unrealized(self, inst: Instrument, mark: Decimal) -> Decimal:
        """Return the profit since the last settlement that trades didn't make."""
        return profit(inst, self.basis, mark, self.size)

    def settle(self, inst: Instrument, price: Decimal) -> Decimal:
        """Have a session end at a price; return what becomes money."""
        made = self.session + self.unrealized(inst, price)
        self.realized += self.unrealized(inst, price)
        self.session, self.basis = ZERO, price if self.size else ZERO
        return made


def profit(inst: Instrument, entry: Decimal, price: Decimal, size: Decimal) -> Decimal:
    """Return what *size*, entered at *entry*, has made at *price*."""
    if not inst.counts_dollars:
        return ((price - entry) * size).quantize(STEP)
    if not (size and entry and price):
        return ZERO
    return (size / entry - size / price).quantize(STEP)


def blend(
    inst: Instrument, size: Decimal, entry: Decimal, more: Decimal, price: Decimal
) -> Decimal:
    """Return the mean entry once *more* is entered at *price*."""
    if not size:
        return price
    if inst.counts_dollars:
        return (size + more) / (size / entry + more / price)
    return (size * entry + more * price) / (size + more)


def fee(
    inst: Instrument, price: Decimal, size: Decimal, index: Decimal, *, is_maker: bool
) -> Decimal:
    """Return what a trade costs, settlement coins; of options an eighth at most."""
    rate = inst.maker if is_maker else inst.taker
    if inst.kind == "option":
        each = rate if inst.is_inverse else rate * index
        return (min(each, price / 8) * size).quantize(STEP)
    value = size / price if inst.counts_dollars else size * price
    return (rate * value).quantize(STEP)


def payoff(inst: Instrument, price: Decimal) -> Decimal:
    """Return what one of an option pays if the index ends at *price*."""
    assert inst.strike is not None, "it is an option"
    sign = 1 if inst.right == "C" else -1
    worth = max(ZERO, sign * (price - inst.strike))
    return (worth / price if inst.is_inverse else worth).quantize(STEP)
