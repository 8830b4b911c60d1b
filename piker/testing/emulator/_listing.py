"""The markets an emulated venue lists: those of its tape, and made-up ones."""

from __future__ import annotations

from decimal import Decimal
from itertools import islice, product
from typing import Final, NamedTuple

from ._tape import Market, Tape

_LETTERS: Final = "KROZAMINTUFELPDBSV"
_QUOTES: Final = ("USDT", "BTC", "EUR")


class Listed(NamedTuple):
    """A market as a venue lists it.

    Attributes:
      base: its name at most venues, in capitals.
      quote: see *base*.
      delivery: ``yymmdd`` of a future, else empty.
      price_tick: quote units.
      size_tick: base units.
      market: on the tape, None if it is made up.
      rank: by volume, 0 is the most traded.
    """

    base: str
    quote: str
    delivery: str
    price_tick: Decimal
    size_tick: Decimal
    market: Market | None
    rank: int


def listings(tape: Tape, made_up: int) -> list[Listed]:
    """Return the markets of *tape*, then *made_up* others, the same each time."""
    found = [
        Listed(
            market.mkt.dst.name.upper(),
            market.mkt.src.name.upper() if market.mkt.src else "",
            market.mkt.expiry if market.mkt.expiry.isdigit() else "",
            market.mkt.price_tick,
            market.mkt.size_tick,
            market,
            rank,
        )
        for rank, market in enumerate(tape.markets.values())
    ]
    names = ("".join(parts) for parts in product(_LETTERS, repeat=4))
    pairs = ((base, quote) for base in names for quote in _QUOTES)
    for at, (base, quote) in enumerate(islice(pairs, made_up)):
        ticks = Decimal("0.0001"), Decimal("0.1")
        found.append(Listed(base, quote, "", *ticks, None, len(found) + at))
    return found


def decimals(tick: Decimal) -> int:
    """Return the decimals of multiples of *tick*: 2 of ``0.01``."""
    exponent = tick.normalize().as_tuple().exponent
    assert isinstance(exponent, int), "a tick is a number"
    return max(0, -exponent)
