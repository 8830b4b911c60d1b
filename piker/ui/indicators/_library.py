"""The indicators that come with piker.

Definitions are the ones that traders know: VWAP of the UTC day by typical prices; EMA
with weight 2 / (n + 1); RSI with the smoothing of weight 1 / n that J. Welles Wilder
gave it (New Concepts in Technical Trading Systems, 1978), from the first bar on: he
begins with means of n bars, which makes no difference some n bars later. An n below 1
counts as 1.
"""

from __future__ import annotations

import math

import numpy as np

from ._api import Bars, Floats, Indicator, Lines, register

_DAY_S = 86_400
#: Weights beyond so many times a decay's length are below what a double holds.
_DECAYS = 40


def decayed(values: Floats, weight: float, first: float | None = None) -> Floats:
    """Return exponentially weighted means of *values*, shape (n,).

    y[i] = y[i - 1] + weight * (values[i] - y[i - 1]); y[-1] is *first*, or values[0].
    """
    if not len(values) or weight >= 1:
        return values.astype(np.float64)
    keep = 1.0 - weight
    # in blocks, each so short that the powers in it stay numbers
    size = max(min(int(-20 / math.log(keep)), len(values)), 1)
    blocks = np.zeros((-(-len(values) // size), size))
    blocks.reshape(-1)[: len(values)] = values
    powers = keep ** np.arange(1, size + 1)
    sums = np.cumsum(blocks * (weight / powers), axis=1) * powers
    y = float(values[0] if first is None else first)
    begins = np.empty(len(blocks))
    for i, end in enumerate(sums[:, -1].tolist()):
        begins[i] = y
        y = y * float(powers[-1]) + end
    sums += begins[:, np.newaxis] * powers
    return sums.reshape(-1)[: len(values)]


def ema(bars: Bars, n: float = 20) -> Lines:
    """Return the exponential moving average of closes, weight 2 / (n + 1)."""
    return {"ema": decayed(bars.close, 2 / (n + 1))}


def sma(bars: Bars, n: float = 20) -> Lines:
    """Return the mean of the last *n* closes; ``nan`` before there are so many."""
    n = max(int(n), 1)
    out = np.full(len(bars), np.nan)
    if len(bars) >= n:
        # sums of all closes lose digits that their differences need
        zero = bars.close[0]
        sums = np.zeros(len(bars) + 1, np.longdouble)
        np.cumsum(bars.close - zero, out=sums[1:])
        out[n - 1 :] = zero + (sums[n:] - sums[:-n]) / n
    return {"sma": out}


def vwap(bars: Bars) -> Lines:
    """Return the mean price of the UTC day so far, by volume.

    A bar's price is (high + low + close) / 3, an empty bar weighs nothing.
    """
    out = np.empty(len(bars))
    row = bars.first
    while row < len(bars):
        begun = _day(bars, row)
        end = int(np.searchsorted(bars.time, _day_s(bars, row) + _DAY_S))
        before, since = slice(begun, row), slice(row, end)
        volume = bars.volume[before].sum() + np.cumsum(bars.volume[since])
        paid = np.zeros(end - row)
        for price in (bars.high, bars.low, bars.close):
            paid += np.dot(price[before], bars.volume[before])
            paid += np.cumsum(price[since] * bars.volume[since])
        with np.errstate(divide="ignore", invalid="ignore"):
            out[since] = paid / (3 * volume)
        row = end
    return {"vwap": out}


def rsi(bars: Bars, n: float = 14) -> Lines:
    """Return Wilder's relative strength index, 0 to 100; 50 before anything moved."""
    moves = np.diff(bars.close, prepend=bars.close[:1])
    rises = decayed(np.maximum(moves, 0.0), 1 / max(n, 1.0), 0.0)
    falls = decayed(np.maximum(-moves, 0.0), 1 / max(n, 1.0), 0.0)
    # where nothing moves both shrink alike, their ratio stays: told from the last move
    moved = np.maximum.accumulate(np.where(moves != 0, np.arange(len(bars)), -1))
    out = np.full(len(bars), 50.0)
    rises, both = rises[moved], (rises + falls)[moved]
    np.divide(100 * rises, both, out=out, where=(moved >= 0) & (both > 0))
    return {"rsi": out}


def dollar_volume(bars: Bars) -> Lines:
    """Return what was paid in each bar, about: volume by typical price, quote units."""
    return {"paid": bars.volume * (bars.high + bars.low + bars.close) / 3}


def trade_rate(bars: Bars) -> Lines:
    """Return trades a second in each bar."""
    return {"trades/s": bars.count / bars.period_s}


def _decays(_bars: Bars, row: int, n: float) -> int:
    return int(row - _DECAYS * max(n, 1.0))


def _moves(bars: Bars, row: int, n: float) -> int:
    """Go back from the last move before a row."""
    size = 64
    while size < 4 * row:
        lo = max(row - size, 0)
        moved = np.flatnonzero(np.diff(bars.close[lo:row]))
        if len(moved):
            return _decays(bars, lo + int(moved[-1]), n)
        size *= 4
    return 0


def _window(_bars: Bars, row: int, n: float) -> int:
    return int(row - n)


def _day_s(bars: Bars, row: int) -> int:
    """Return when the day of a bar began."""
    return int(bars.time[row]) // _DAY_S * _DAY_S


def _day(bars: Bars, row: int) -> int:
    """Return the first row of a bar's day."""
    return int(np.searchsorted(bars.time, _day_s(bars, row)))


def _itself(_bars: Bars, row: int) -> int:
    return row


register(Indicator("ema", ema, defaults={"n": 20}, since=_decays,
                   says="exponential moving average of closes"))  # fmt: skip
register(Indicator("sma", sma, defaults={"n": 20}, since=_window,
                   says="mean of the last n closes"))  # fmt: skip
register(Indicator("vwap", vwap, since=_day,
                   says="mean price of the UTC day, by volume"))  # fmt: skip
register(Indicator("rsi", rsi, "own", {"n": 14}, since=_moves, bounds=(0.0, 100.0),
                   says="Wilder's relative strength index"))  # fmt: skip
register(Indicator("dollar", dollar_volume, "own", since=_itself,
                   says="what was paid in a bar, quote units"))  # fmt: skip
register(Indicator("rate", trade_rate, "own", since=_itself,
                   says="trades a second"))  # fmt: skip
