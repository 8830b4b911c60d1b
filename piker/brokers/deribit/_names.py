"""Deribit's instruments, and the names that they have here.

============================= ===============================
instrument                    market
============================= ===============================
``BTC-PERPETUAL``             ``btcusd.perp.deribit``
``BTC_USDC-PERPETUAL``        ``btcusdc.perp.deribit``
``BTC-25DEC26``               ``btcusd.20261225.deribit``
``BTC_USDC-25DEC26``          ``btcusdc.20261225.deribit``
``BTC-25DEC26-50000-C``       ``btc.20261225.50000c.deribit``
``XRP_USDC-25DEC26-0d625-P``  ``xrpusdc.20261225.0_625p.deribit``
``BTC_USDC``                  ``btcusdc.spot.deribit``
============================= ===============================

A pair is what is traded and what prices are in. An option that is paid for in the coin
it is on has the coin alone. The venue's own name, in lower case, leads there too:
``btc-perpetual.deribit``.

Left out are combos: a spread is no market of its own here.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from piker.msgs import Fqme

#: Kinds of instruments that have a name here.
KINDS: Final = frozenset({"future", "option", "spot"})
#: Currencies that are money of a state; coins that follow one are coins.
FIAT: Final = frozenset({"EUR", "GBP", "USD"})

_DAY_MS: Final = 86_400_000
NAME: Final = re.compile(
    r"(?P<base>[A-Z0-9]+)(?:_(?P<quote>[A-Z0-9]+))?"
    r"(?:-(?:(?P<perp>PERPETUAL)|(?P<day>[0-9]{1,2}[A-Z]{3}[0-9]{2}))"
    r"(?:-(?P<strike>[0-9]+(?:d[0-9]+)?)-(?P<right>[CP]))?)?"
)


def is_market(instrument_name: str) -> bool:
    """Tell whether an instrument has a name here, by its own; a combo has none."""
    return NAME.fullmatch(instrument_name) is not None


def is_perpetual(instrument_name: str) -> bool:
    """Tell whether an instrument never expires, by its name."""
    return instrument_name.endswith("-PERPETUAL")


def expiry_of(instrument_name: str, kind: str, expires_ms: int) -> str:
    """Return the part of a name that says when: ``perp``, ``20261225``, or nothing.

    Args:
      instrument_name: the venue's.
      kind: of it.
      expires_ms: when, ms since the epoch.

    Raises: ValueError: it expires at no time that there is.
    """
    if kind == "spot":
        return ""
    if is_perpetual(instrument_name):
        return "perp"
    if not 0 < expires_ms < 100_000 * _DAY_MS:
        raise ValueError(f"{instrument_name!r} expires at {expires_ms} ms")
    return f"{datetime.fromtimestamp(expires_ms // 1000, UTC):%Y%m%d}"


def symbols_of(fqme: Fqme) -> list[str]:
    """Return what the venue may call a market that expires: ``BTC-25DEC26``."""
    day = fqme.expiry_date
    if day is None:
        return []
    date = f"{day.day}{day:%b%y}".upper()
    strike = ""
    if fqme.strike_price is not None:
        price = f"{fqme.strike_price:f}".replace(".", "d")
        strike = f"-{price}-{fqme.right.upper()}"
    pair, roots = fqme.pair.upper(), []
    for quote in ("USDC", "USDT", "EURR", "USD"):
        base = pair.removesuffix(quote)
        if base not in (pair, ""):
            roots.append(base if quote == "USD" else f"{base}_{quote}")
    return [f"{root}-{date}{strike}" for root in (*roots, pair)]


def alias_of(instrument_name: str) -> str:
    """Return the venue's own name as a market's: ``btc-25dec26.deribit``."""
    return f"{instrument_name.lower()}.deribit"
