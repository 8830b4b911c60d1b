"""Indicators: lines that are computed from a market's bars.

One is a function from bars to named arrays, and a few words about it::

    from piker.ui.indicators import Bars, Indicator, register

    def middle(bars: Bars, n: float) -> dict[str, Floats]:
        return {"middle": (bars.high + bars.low) / 2}

    register(Indicator("mid", middle, place="prices", defaults={"n": 1}))

A module with such a call is named in ``conf.toml``: ``[ui] indicator_modules =
["mine"]``; ``piker chart`` imports it from where Python finds modules, and from the
config folder.
What is shown is told there too: ``[ui] indicators = ["vwap", "ema:20", "rsi:14"]``.
"""

from ._api import (
    Bars as Bars,
    Floats as Floats,
    Indicator as Indicator,
    Wanted as Wanted,
    known as known,
    parse as parse,
    register as register,
)
from ._library import (
    dollar_volume as dollar_volume,
    ema as ema,
    rsi as rsi,
    sma as sma,
    trade_rate as trade_rate,
    vwap as vwap,
)
