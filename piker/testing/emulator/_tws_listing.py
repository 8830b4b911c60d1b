"""What an emulated TWS lists: contracts of its tape, and made-up ones beside them.

    a market of the tape --> its contract, and what belongs to it: the same share
    elsewhere, the quarters of a future, the option chain of a share

Numbers are made of names, so that a contract has the same one in each run. None of
them is a true one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import blake2b
from itertools import islice, product as combine
from typing import Final

from piker.brokers.sim._catalogue import product
from piker.brokers.sim._universe import third_friday
from piker.msgs import AssetType, Calendar

from ._tape import Market
from ._tws_kinds import Listed, elsewhere, future, option, pair, root_of, stock
from ._tws_tape import hours_of

_LETTERS: Final = "KROZAMINTUFELPDBSV"
_QUARTERS: Final = 4
_CHAIN_MONTHS: Final = 4
_CHAIN_STRIKES: Final = 6  # on each side of the money


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
            self._add(stock(symbol, "NYSE" if name[0] < "N" else "NASDAQ"))

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
                found = future(base, mkt.expiry, mkt.multiplier, mkt.price_tick)
            case "option":
                under = self._share(base)
                strike, right = mkt.contract_info[0][:-1], mkt.contract_info[0][-1]
                found = option(
                    under, mkt.expiry, Decimal(strike.replace("_", ".")), right.upper()
                )
            case "fiat" | "crypto":
                assert mkt.src is not None, "it is a pair"
                found = pair(base.upper(), mkt.src.name.upper(), mkt.atype)
            case _:
                found = stock(base.upper(), mkt.venue.upper() or "NYSE")
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
            self._add(stock(name.upper(), (item.venue if item else "nyse").upper()))
            return self._share(name)
        return found[0]

    def _kin(self, one: Listed) -> Iterator[Listed]:
        """Yield what is listed because of a contract of the tape."""
        if one.sec_type == "FUT":
            root = root_of(one)
            for day in _expiries(self._today, _QUARTERS, 3):
                yield replace(
                    future(root, f"{day:%Y%m%d}", one.multiplier, one.tick),
                    hours=one.hours, liquid=one.liquid,
                )  # fmt: skip
        elif one.sec_type == "STK":
            yield from elsewhere(one)
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
                        option(share, f"{day:%Y%m%d}", at * step, right),
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


def _expiries(today: date, count: int, every_months: int) -> Iterator[date]:
    """Yield the next third Fridays."""
    year, month = today.year, today.month
    while count:
        day = third_friday(year, month)
        if day >= today and month % every_months == 0:
            yield day
            count -= 1
        year, month = year + month // 12, month % 12 + 1
