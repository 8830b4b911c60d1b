"""What options are worth, after Black (1976): no rates, prices in quote units.

forward, strike, years, volatility --> value, greeks; a value --> its volatility
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

_ROOT_2PI: Final = math.sqrt(2 * math.pi)
_DAYS: Final = 365.0
_LEAST_YEARS: Final = 1e-6


class Greeks(NamedTuple):
    """How the value of an option changes.

    Attributes:
      delta: with the forward.
      gamma: of delta, with the forward.
      theta: with a day.
      vega: with a percent of volatility.
      rho: with a percent of interest.
    """

    delta: float
    gamma: float
    theta: float
    vega: float
    rho: float


class Terms(NamedTuple):
    """What decides about the value of an option.

    Attributes:
      forward: price of the underlying at the expiry.
      strike: likewise.
      years: to the expiry.
      is_call: else it is a put.
    """

    forward: float
    strike: float
    years: float
    is_call: bool


def value(terms: Terms, sigma: float) -> float:
    """Return the value of an option, quote units of one of its base."""
    first, second = _ds(terms, sigma)
    forward, strike, _, is_call = terms
    if is_call:
        return forward * _norm(first) - strike * _norm(second)
    return strike * _norm(-second) - forward * _norm(-first)


def greeks(terms: Terms, sigma: float) -> Greeks:
    """Return how the value changes."""
    first, second = _ds(terms, sigma)
    forward, strike, years, is_call = terms
    years = max(years, _LEAST_YEARS)
    density = math.exp(-first * first / 2) / _ROOT_2PI
    root = math.sqrt(years)
    sign = 1 if is_call else -1
    return Greeks(
        _norm(first) if is_call else _norm(first) - 1,
        density / (forward * sigma * root),
        -forward * density * sigma / (2 * root) / _DAYS,
        forward * density * root / 100,
        sign * strike * years * _norm(sign * second) / 100,
    )


def volatility(terms: Terms, worth: float, guess: float) -> float:
    """Return the volatility of which an option is *worth* so much; 0 if of none."""
    low, high, sigma = 0.0, 5.0, guess
    if worth <= value(terms, 1e-4):
        return 0.0
    for _ in range(24):
        off = value(terms, sigma) - worth
        low, high = (low, sigma) if off > 0 else (sigma, high)
        slope = greeks(terms, sigma).vega * 100
        then = sigma - off / slope if slope > 1e-9 else 0.0
        if not low < then < high:
            then = (low + high) / 2
        if abs(then - sigma) < 1e-5:
            return then
        sigma = then
    return sigma


def smile(forward: float, strike: float) -> float:
    """Return the volatility of a strike: the further from the money, the higher."""
    off = math.log(strike / forward)
    return min(3.0, 0.5 - 0.08 * off + 0.35 * off * off)


def _ds(terms: Terms, sigma: float) -> tuple[float, float]:
    spread = sigma * math.sqrt(max(terms.years, _LEAST_YEARS))
    first = math.log(terms.forward / terms.strike) / spread + spread / 2
    return first, first - spread


def _norm(at: float) -> float:
    return math.erfc(-at / math.sqrt(2)) / 2
