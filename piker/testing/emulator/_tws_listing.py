"""What an emulated TWS lists: contracts of its tape, and made-up ones beside them.

    a market of the tape --> its contract, and what belongs to it: the same share
    elsewhere, the quarters of a future, the option chain of a share

Numbers are made of names, so that a contract has the same one in each run. None of
them is a true one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import blake2b
from itertools import islice, product as combine
from typing import Final

from piker.brokers.sim._catalogue import product
from piker.brokers.sim._universe import third_friday
from piker.msgs import AssetType, Calendar

from ._tape import Market
from ._tws_tape import hours_of

_LETTERS: Final = "KROZAMINTUFELPDBSV"
_MONTHS: Final = "FGHJKMNQUVXZ"  # how months of delivery are named
_ALWAYS: Final = Calendar()
_QUARTERS: Final = 4
_CHAIN_MONTHS: Final = 4
_CHAIN_STRIKES: Final = 6  # on each side of the money
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


class Listing:
    """All contracts.

    Args:
      markets: of the tape.
      now_s: when, for what expires; epoch seconds.
      made_up: shares to list besides.
      is_always: the markets of the tape trade at all hours.

    Attributes:
      by_con_id: all there are.
      by_market: those of the tape.
      by_key: all, by the names that control paths know.
    """

    def __init__(
        self, markets: Iterable[Market], now_s: float, made_up: int = 0,
        *, is_always: bool = True,
    ) -> None:  # fmt: skip
        self.by_con_id: dict[int, Listed] = {}
        self.by_key: dict[str, Listed] = {}
        self.by_market: dict[Market, Listed] = {}
        self._by_symbol: dict[str, list[Listed]] = {}
        self._is_always = is_always
        self._today = datetime.fromtimestamp(now_s, UTC).date()
        for market in markets:
            self._add(self._of(market))
        for one in list(self.by_market.values()):
            for more in self._kin(one):
                self._add(more)
        for name in islice(combine(_LETTERS, repeat=4), made_up):
            symbol = "".join(name)
            self._add(_stock(symbol, "NYSE" if name[0] < "N" else "NASDAQ"))

    def named(self, symbol: str) -> list[Listed]:
        """Return what has a symbol, in order of rank."""
        return self._by_symbol.get(symbol.upper(), [])

    def all(self) -> Iterable[Listed]:
        """Return all, in order of rank."""
        return self.by_con_id.values()

    # -- how it comes about -------------------------------------------------------

    def _add(self, one: Listed) -> None:
        twin = next(
            (each for each in self.named(one.symbol) if _is_same(each, one)), None
        )
        if twin is not None:
            return
        key = one.local
        if key in self.by_key:
            key = f"{one.local}@{one.primary or one.exchanges[0]}"
        con_id = _number_of(f"{one.sec_type} {key} {one.currency}")
        while con_id in self.by_con_id:
            con_id += 1
        rank = len(self.by_con_id)
        found = replace(one, key=key, con_id=con_id, rank=rank)
        self.by_con_id[con_id] = self.by_key[key] = found
        self._by_symbol.setdefault(found.symbol, []).append(found)
        if found.market is not None:
            self.by_market[found.market] = found

    def _hours(self, kind: AssetType) -> Calendar:
        return Calendar() if self._is_always else hours_of(kind)

    def _of(self, market: Market) -> Listed:
        """Return the contract of a market of the tape."""
        mkt = market.mkt
        base = mkt.dst.name
        match mkt.atype:
            case "future":
                found = _future(base, mkt.expiry, mkt.multiplier, mkt.price_tick)
            case "option":
                under = self._share(base)
                strike, right = mkt.contract_info[0][:-1], mkt.contract_info[0][-1]
                found = _option(
                    under, mkt.expiry, Decimal(strike.replace("_", ".")), right.upper()
                )
            case "fiat" | "crypto":
                assert mkt.src is not None, "it is a pair"
                found = _pair(base.upper(), mkt.src.name.upper(), mkt.atype)
            case _:
                found = _stock(base.upper(), mkt.venue.upper() or "NYSE")
        hours = self._hours(mkt.atype)
        return replace(
            found, market=market, tick=mkt.price_tick, step=mkt.size_tick, hours=hours,
            liquid=hours,
        )  # fmt: skip

    def _share(self, name: str) -> Listed:
        """Return the share of that name, listed now if it wasn't."""
        found = [one for one in self.named(name) if one.sec_type == "STK"]
        if not found:
            item = product(name)
            self._add(_stock(name.upper(), (item.venue if item else "nyse").upper()))
            return self._share(name)
        return found[0]

    def _kin(self, one: Listed) -> Iterator[Listed]:
        """Yield what is listed because of a contract of the tape."""
        if one.sec_type == "FUT":
            root = _root_of(one)
            for day in _expiries(self._today, _QUARTERS, 3):
                yield replace(
                    _future(root, f"{day:%Y%m%d}", one.multiplier, one.tick),
                    hours=one.hours, liquid=one.liquid,
                )  # fmt: skip
        elif one.sec_type == "STK":
            yield from _elsewhere(one)
            yield from self._chain(one)

    def _chain(self, share: Listed) -> Iterator[Listed]:
        item = product(share.symbol.lower())
        if item is None or item.strike_step is None:
            return
        step = item.strike_step
        middle = round(Decimal(repr(item.price_quote)) / step)
        for day in _expiries(self._today, _CHAIN_MONTHS, 1):
            for at in range(middle - _CHAIN_STRIKES, middle + _CHAIN_STRIKES + 1):
                for right in "CP":
                    yield replace(
                        _option(share, f"{day:%Y%m%d}", at * step, right),
                        hours=share.hours, liquid=share.liquid,
                    )  # fmt: skip


def _is_same(one: Listed, other: Listed) -> bool:
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ("sec_type", "currency", "local", "primary")
    )


def _number_of(name: str) -> int:
    number = int.from_bytes(blake2b(name.encode(), digest_size=8).digest())
    return number % 800_000_000 + 10_000_000


def _stock(symbol: str, venue: str) -> Listed:
    primary = venue if venue in _SMART else "NYSE"
    return Listed(
        "", 0, symbol, "STK", "USD", symbol,
        "NMS" if primary == "NASDAQ" else symbol, _SMART, Decimal("0.01"),
        primary=primary, name=f"{symbol} COMMON STOCK", hours=hours_of("stock"),
        liquid=hours_of("stock"),
    )  # fmt: skip


def _elsewhere(one: Listed) -> Iterator[Listed]:
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


def _future(root: str, expiry: str, multiplier: Decimal, tick: Decimal) -> Listed:
    other = (root.upper(), root.upper(), "CME", "US/Central")
    symbol, name, exchange, zone = _FUTURES.get(root, other)
    local = f"{name}{_MONTHS[int(expiry[4:6]) - 1]}{expiry[3]}"
    return Listed(
        "", 0, symbol, "FUT", "USD", local, name, (exchange,), tick, expiry=expiry,
        multiplier=multiplier, name=f"{name} FUTURE", zone=zone,
        hours=hours_of("future"), liquid=hours_of("future"),
    )  # fmt: skip


def _root_of(one: Listed) -> str:
    return next(
        (root for root, row in _FUTURES.items() if row[1] == one.trading_class),
        one.trading_class.lower(),
    )


def _option(under: Listed, expiry: str, strike: Decimal, right: str) -> Listed:
    symbol = under.symbol
    local = f"{symbol:<6}{expiry[2:]}{right}{int(strike * 1000):08d}"
    return Listed(
        "", 0, symbol, "OPT", "USD", local, symbol, _OPTIONS_AT, Decimal("0.01"),
        expiry=expiry, strike=strike, right=right, multiplier=Decimal(100),
        name=under.name, under=under, hours=hours_of("option"),
        liquid=hours_of("option"),
    )  # fmt: skip


def _pair(base: str, quote: str, kind: AssetType) -> Listed:
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


def _expiries(today: date, count: int, every_months: int) -> Iterator[date]:
    """Yield the next third Fridays."""
    year, month = today.year, today.month
    while count:
        day = third_friday(year, month)
        if day >= today and month % every_months == 0:
            yield day
            count -= 1
        year, month = year + month // 12, month % 12 + 1
