"""Positions by another way: every unit that was bought is kept, scaled at each exit.

Fractions throughout, quadratic, and no formula of `piker.accounting._position`: the
break-even price is found by closing the position at two prices.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from piker.accounting import Transaction


@dataclass
class Oracle:
    """One market.

    Attributes:
      lots: (units, price) of each entry, as much of it as is left.
      fees: all.
      profits: of each exit, without fees.
      since_flat: money that the trades since it was last flat brought in, less fees.
    """

    multiplier: Fraction = Fraction(1)
    lots: list[tuple[Fraction, Fraction]] = field(default_factory=list)
    fees: Fraction = Fraction(0)
    profits: list[Fraction] = field(default_factory=list)
    since_flat: Fraction = Fraction(0)

    @property
    def size(self) -> Fraction:
        return sum((units for units, _ in self.lots), Fraction(0))

    @property
    def ppu(self) -> Fraction:
        if not self.size:
            return Fraction(0)
        return sum(units * price for units, price in self.lots) / self.size

    @property
    def realised(self) -> Fraction:
        return sum(self.profits, Fraction(0)) - self.fees

    @property
    def bep(self) -> Fraction:
        if not self.size:
            return Fraction(0)
        at_zero, at_one = (
            self.since_flat + price * self.size * self.multiplier for price in (0, 1)
        )
        return -at_zero / (at_one - at_zero)

    def unrealised(self, price: Fraction) -> Fraction:
        return sum(
            ((price - paid) * units * self.multiplier for units, paid in self.lots),
            Fraction(0),
        )

    def add(self, txn: Transaction) -> None:
        self.multiplier = Fraction(txn.multiplier)
        self.fees += Fraction(txn.cost)
        size, price, cost = map(Fraction, (txn.size, txn.price, txn.cost))
        if txn.etype == "split":
            new, old = map(int, txn.ratio.split(":"))
            scale = Fraction(new, old) if not size else 1 + size / self.size
            self.lots = [(units * scale, paid / scale) for units, paid in self.lots]
            self.since_flat -= cost
            return
        if txn.etype == "fee":
            self.since_flat -= cost if self.size else 0
            return
        if txn.etype == "expiry" and not size:
            size = -self.size
        closing = Fraction(0)
        if self.size * size < 0:
            closing = min(abs(size), abs(self.size)) * (1 if size > 0 else -1)
        opening = size - closing
        if closing:
            self._close(closing, price, at_cost=txn.etype == "transfer")
            # Its fee is of both, as its units are.
            self.since_flat -= cost * closing / size
            if not self.size:
                self.lots = []
                self.since_flat = Fraction(0)
        if opening:
            if not self.size:
                self.since_flat = Fraction(0)
            self.lots.append((opening, price))
            self.since_flat -= opening * price * self.multiplier
            self.since_flat -= cost * opening / size

    def _close(self, closing: Fraction, price: Fraction, *, at_cost: bool) -> None:
        worth = self.ppu if at_cost else price
        left = 1 + closing / self.size
        self.profits += [
            (worth - paid) * units * (1 - left) * self.multiplier
            for units, paid in self.lots
        ]
        self.since_flat -= closing * worth * self.multiplier
        self.lots = [(units * left, paid) for units, paid in self.lots if left]
