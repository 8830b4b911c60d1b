"""Contracts by their kind, each as its name, its exchange and its terms make it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from piker.msgs import AssetType, Calendar

from ._tape import Market
from ._tws_tape import hours_of

_MONTHS: Final = "FGHJKMNQUVXZ"  # how months of delivery are named
_ALWAYS: Final = Calendar()
#: IB's symbol, class, exchange and zone of a future, by its name in sim.
_FUTURES: Final = {
    "es": ("ES", "ES", "CME", "US/Central"),
    "nq": ("NQ", "NQ", "CME", "US/Central"),
    "mes": ("MES", "MES", "CME", "US/Central"),
    "mnq": ("MNQ", "MNQ", "CME", "US/Central"),
    "cl": ("CL", "CL", "NYMEX", "US/Eastern"),
    "gc": ("GC", "GC", "COMEX", "US/Eastern"),
    "6e": ("EUR", "6E", "CME", "US/Central"),
    "zn": ("ZN", "ZN", "CBOT", "US/Central"),
}
_SMART: Final = ("SMART", "NASDAQ", "NYSE", "ARCA", "BATS", "IEX")
_OPTIONS_AT: Final = ("SMART", "AMEX", "CBOE", "PHLX")


@dataclass(frozen=True, eq=False)
class Listed:
    """A contract.

    Attributes:
      key: the name that the control paths know it by; its local symbol, if it is the
        only one that has it.
      con_id: IB's number of it.
      sec_type: ``STK``, ``FUT``, ``OPT``, ``CASH`` or ``CRYPTO``.
      expiry: ``yyyymmdd``, or empty.
      right: ``C`` or ``P`` of an option.
      multiplier: of a price, what one contract is worth.
      exchanges: where it can be traded; the first is told in its details.
      tick, step: of prices and sizes.
      magnifier: prices are in so many parts of *currency*.
      zone: of its hours.
      hours, liquid: when it trades, and when most do.
      under: what it is derived from.
      market: of the tape; None: nothing ever happens in it.
      rank: for search, the lowest first.
    """

    key: str
    con_id: int
    symbol: str
    sec_type: str
    currency: str
    local: str
    trading_class: str
    exchanges: tuple[str, ...]
    tick: Decimal
    step: Decimal = Decimal(1)
    expiry: str = ""
    strike: Decimal = Decimal(0)
    right: str = ""
    multiplier: Decimal = Decimal(1)
    primary: str = ""
    name: str = ""
    zone: str = "US/Eastern"
    magnifier: int = 1
    hours: Calendar = _ALWAYS
    liquid: Calendar = _ALWAYS
    under: Listed | None = None
    market: Market | None = None
    rank: int = 0

    @property
    def has_trades(self) -> bool:
        """Whether its trades are told, not quotes alone."""
        return self.sec_type != "CASH"


def stock(symbol: str, venue: str) -> Listed:
    primary = venue if venue in _SMART else "NYSE"
    return Listed(
        "", 0, symbol, "STK", "USD", symbol,
        "NMS" if primary == "NASDAQ" else symbol, _SMART, Decimal("0.01"),
        primary=primary, name=f"{symbol} COMMON STOCK", hours=hours_of("stock"),
        liquid=hours_of("stock"),
    )  # fmt: skip


def elsewhere(one: Listed) -> Iterator[Listed]:
    """Yield the same share in other money: a symbol alone doesn't name one."""
    shared = replace(one, market=None, tick=Decimal("0.01"), trading_class=one.symbol)
    yield replace(
        shared, currency="MXN", exchanges=("SMART", "MEXI"), primary="MEXI",
        zone="America/Mexico_City",
    )  # fmt: skip
    yield replace(  # told in pence
        shared, currency="GBP", exchanges=("SMART", "LSEETF"), primary="LSEETF",
        zone="GB-Eire", magnifier=100,
    )  # fmt: skip


def future(root: str, expiry: str, multiplier: Decimal, tick: Decimal) -> Listed:
    other = (root.upper(), root.upper(), "CME", "US/Central")
    symbol, name, exchange, zone = _FUTURES.get(root, other)
    local = f"{name}{_MONTHS[int(expiry[4:6]) - 1]}{expiry[3]}"
    return Listed(
        "", 0, symbol, "FUT", "USD", local, name, (exchange,), tick, expiry=expiry,
        multiplier=multiplier, name=f"{name} FUTURE", zone=zone,
        hours=hours_of("future"), liquid=hours_of("future"),
    )  # fmt: skip


def root_of(one: Listed) -> str:
    return next(
        (root for root, row in _FUTURES.items() if row[1] == one.trading_class),
        one.trading_class.lower(),
    )


def option(under: Listed, expiry: str, strike: Decimal, right: str) -> Listed:
    symbol = under.symbol
    local = f"{symbol:<6}{expiry[2:]}{right}{int(strike * 1000):08d}"
    return Listed(
        "", 0, symbol, "OPT", "USD", local, symbol, _OPTIONS_AT, Decimal("0.01"),
        expiry=expiry, strike=strike, right=right, multiplier=Decimal(100),
        name=under.name, under=under, hours=hours_of("option"),
        liquid=hours_of("option"),
    )  # fmt: skip


def pair(base: str, quote: str, kind: AssetType) -> Listed:
    """Return a rate, or a coin, whose dollars of other kinds IB doesn't know."""
    is_money = kind == "fiat"
    quote = "USD" if quote == "USDT" else quote
    local = f"{base}.{quote}"
    return Listed(
        "", 0, base, "CASH" if is_money else "CRYPTO", quote, local,
        local if is_money else base, ("IDEALPRO" if is_money else "PAXOS",),
        Decimal("0.00005"), name=f"{base} in {quote}", hours=hours_of(kind),
        liquid=hours_of(kind),
    )  # fmt: skip
