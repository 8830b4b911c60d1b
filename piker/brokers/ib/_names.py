r"""Names of markets as contracts of IB, and contracts as names; pure.

================================ ======================================================
``tsla.nasdaq.ib``               STK TSLA, routed by SMART, listed first at NASDAQ
``tsla.smart.ib``                STK TSLA, wherever it is listed
``brk_b.nyse.ib``                STK "BRK B"; ``rds-a.nyse.ib`` is "RDS.A"
``mnq.cme.20261218.ib``          FUT MNQ, last traded on that day, at CME
``tsla.20270115.200c.cboe.ib``   OPT in USD, routed by SMART: it is listed all over
``dbk.20270115.20c.eurex.ib``    OPT at that exchange
``es.20261218.6000p.cme.ib``     FOP: an option on a future, if there is no OPT
``eurusd.idealpro.ib``           CASH EUR against USD
``spx.cboe.ib``                  IND, if there is no stock of that name
``xauusd.cmdty.ib``              CMDTY, at SMART
``btcusd.paxos.ib``              CRYPTO
================================ ======================================================

A name may mean contracts of several kinds, tried in order: no name says more than what
a trader types. A word after the venue says which one of several is meant: of stocks
the currency, ``cspx.lse.gbp.ib``; of the rest the trading class,
``si.comex.20261229.sil.ib``.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from ib_async import Contract

from piker.errors import BadFqme
from piker.msgs import AssetType, Fqme

from ._conf import BROKER

SMART: Final = "SMART"
_CASH_VENUES: Final = frozenset({"idealpro"})
_CRYPTO_VENUES: Final = frozenset({"paxos", "zerohash"})
_COMMODITY: Final = "cmdty"
#: What options are called that are listed at all exchanges of the US.
_US_OPTIONS: Final = "cboe"
_CODE: Final = 3  # letters of a currency's code
_PAIR: Final = 2 * _CODE

#: IB's security types as kinds of markets.
KINDS: Final[dict[str, AssetType]] = {
    "STK": "stock",
    "FUT": "future",
    "CONTFUT": "continuous_future",
    "OPT": "option",
    "FOP": "futures_option",
    "CASH": "fiat",
    "CRYPTO": "crypto",
    "IND": "index",
    "CFD": "cfd",
    "BOND": "bond",
    "CMDTY": "commodity",
    "FUND": "mutual_fund",
    "WAR": "warrant",
    "BAG": "bag",
}
#: Those whose markets have a name here.
NAMED: Final = frozenset({"STK", "FUT", "OPT", "FOP", "CASH", "CRYPTO", "IND", "CMDTY"})

_SYMBOL: Final = re.compile(r"[A-Z0-9][A-Z0-9 .]*")
_EXCHANGE: Final = re.compile(r"[A-Z][A-Z0-9.]*")
_TO_NAME: Final = str.maketrans(" .", "_-")
_TO_SYMBOL: Final = str.maketrans("_-", " .")


# -- to contracts ----------------------------------------------------------------------


def to_contracts(name: str | Fqme) -> list[Contract]:
    """Return the contracts that *name* may mean, to be asked for in order.

    None has a ``conId``: that, and what isn't in the name, is for IB to tell.

    Raises:
      BadFqme: no market of IB is called so.
    """
    fqme = Fqme.parse(name) if isinstance(name, str) else name
    if fqme.broker != BROKER:
        raise BadFqme(f"market name {str(fqme)!r} isn't one of ib: its end is .ib")
    if fqme.expiry == "perp":
        raise BadFqme(f"market name {str(fqme)!r}: ib has no perpetuals")
    if len(fqme.info) > (2 if fqme.strike else 1):
        raise BadFqme(f"market name {str(fqme)!r} has a part too many: {fqme.info[-1]}")
    if not fqme.venue:
        raise BadFqme(
            f"market name {str(fqme)!r} has no venue: write e.g."
            f" {fqme.pair}.smart.ib, or look for it with a search"
        )
    if fqme.expiry:
        return _derivatives(fqme)
    return _spots(fqme)


def _derivatives(fqme: Fqme) -> list[Contract]:
    day = fqme.expiry_date
    assert day is not None, "it is a date, or a perpetual"
    strike = fqme.strike_price
    is_us = strike is not None and fqme.venue == _US_OPTIONS
    found = [
        Contract(
            secType=kind,
            symbol=_symbol(fqme.pair),
            lastTradeDateOrContractMonth=f"{day:%Y%m%d}",
            strike=float(strike or 0),
            right=fqme.right.upper(),
            exchange=_exchange(fqme.venue),
            tradingClass=qualifier(fqme).upper(),
        )
        for kind in (("FUT",) if strike is None else ("OPT", "FOP"))
    ]
    if is_us:
        found[0].exchange, found[0].currency = SMART, "USD"
    return found


def _spots(fqme: Fqme) -> list[Contract]:
    if fqme.venue in _CASH_VENUES | _CRYPTO_VENUES:
        kind = "CASH" if fqme.venue in _CASH_VENUES else "CRYPTO"
        return [_pair(kind, fqme)]
    if fqme.venue == _COMMODITY:
        return [
            Contract(secType="CMDTY", symbol=_symbol(fqme.pair), exchange=SMART),
        ]
    symbol, currency = _symbol(fqme.pair), qualifier(fqme).upper()
    exchange = _exchange(fqme.venue)
    primary = "" if exchange == SMART else exchange
    return [
        Contract(
            secType="STK", symbol=symbol, exchange=SMART, primaryExchange=primary,
            currency=currency,
        ),
        Contract(secType="IND", symbol=symbol, exchange=exchange, currency=currency),
    ]  # fmt: skip


def _pair(kind: str, fqme: Fqme) -> Contract:
    base, quote = fqme.pair[:-_CODE], fqme.pair[-_CODE:]
    is_pair = base and quote.isalpha() and fqme.pair.isalnum()
    if not is_pair or (kind == "CASH" and len(fqme.pair) != _PAIR):
        raise BadFqme(
            f"market name {str(fqme)!r} is no pair of currencies: write e.g."
            f" eurusd.{fqme.venue}.ib"
        )
    return Contract(
        secType=kind,
        symbol=base.upper(),
        currency=quote.upper(),
        exchange=_exchange(fqme.venue),
    )


def qualifier(fqme: Fqme) -> str:
    """Return the word of a name that says which of several is meant, else empty."""
    words = fqme.info[1:] if fqme.strike else fqme.info
    return words[0] if words else ""


def _symbol(pair: str) -> str:
    return pair.translate(_TO_SYMBOL).upper()


def _exchange(venue: str) -> str:
    return venue.replace("-", ".").upper()


# -- to names --------------------------------------------------------------------------


def to_fqme(contract: Contract, *, word: str = "") -> Fqme:
    """Return the name of a contract, as IB tells it in its details or in a position.

    Args:
      contract: of a kind in `NAMED`; a derivative with its exchange, which that of a
        position may lack.
      word: which of several of that name it is, see the head of this module.

    Raises:
      BadFqme: it has no name here.
    """
    kind = contract.secType
    if kind not in NAMED:
        raise BadFqme(f"no name for a market of ib's kind {kind!r}")
    venue = _venue(contract)
    if kind in {"CASH", "CRYPTO"}:
        pair = f"{contract.symbol}{contract.currency}".lower()
        return _made(contract, pair, venue)
    pair = _pair_name(contract)
    if kind in {"STK", "IND", "CMDTY"}:
        return _made(contract, pair, venue, info=(word,) if word else ())
    strike = _strike(contract) if kind in {"OPT", "FOP"} else ""
    info = tuple(part for part in (strike, word) if part)
    expiry = contract.lastTradeDateOrContractMonth[:8]
    if len(expiry) != len("yyyymmdd"):
        raise BadFqme(f"a contract of ib without its last day has no name: {contract}")
    return _made(contract, pair, venue, expiry, info)


def _made(
    contract: Contract,
    pair: str,
    venue: str,
    expiry: str = "",
    info: tuple[str, ...] = (),
) -> Fqme:
    fqme = Fqme(pair=pair, venue=venue, expiry=expiry, info=info, broker=BROKER)
    if Fqme.parse(str(fqme)) != fqme:
        raise BadFqme(f"no name for the market of ib {contract}")
    return fqme


def _pair_name(contract: Contract) -> str:
    if not _SYMBOL.fullmatch(contract.symbol):
        raise BadFqme(f"no name for the symbol {contract.symbol!r} of ib")
    return contract.symbol.lower().translate(_TO_NAME)


def _venue(contract: Contract) -> str:
    exchange = contract.exchange
    if contract.secType == "CMDTY":
        return _COMMODITY
    if contract.secType == "STK":
        exchange = contract.primaryExchange or exchange
    if contract.secType == "OPT" and exchange == SMART and contract.currency == "USD":
        return _US_OPTIONS
    if not _EXCHANGE.fullmatch(exchange):
        raise BadFqme(f"no name for the exchange {exchange!r} of ib")
    return exchange.lower().replace(".", "-")


def _strike(contract: Contract) -> str:
    # the shortest decimal: IB tells strikes as doubles
    price = Decimal(repr(float(contract.strike)))
    if contract.right[:1] == "C":
        return Fqme.strike_part(price, "c")
    if contract.right[:1] == "P":
        return Fqme.strike_part(price, "p")
    raise BadFqme(f"no name for an option whose right is {contract.right!r}")
