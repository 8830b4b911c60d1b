"""A list of markets, as it was at one time, by name."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from piker.errors import BadFqme
from piker.msgs import Fqme

from ._rank import Entry, SymbolIndex
from ._symbol_file import Listed


class SymbolTable:
    """Markets by full name, by alias and by pair; never changed but for its index.

    Attributes:
      by_name: by full name.
      fetched_s: when the venue told them, epoch seconds.
      index: for search, None until somebody has made it.
    """

    def __init__(self, listed: Iterable[Listed], fetched_s: float) -> None:
        self.by_name = {one.mkt.fqme: one for one in listed}
        self.fetched_s = fetched_s
        self.index: SymbolIndex | None = None
        self._by_alias: dict[str, Listed] = {}
        self._by_pair: dict[str, dict[str, Listed]] = {}
        for one in self.by_name.values():
            for alias in one.aliases:
                self._by_alias.setdefault(alias, one)
            for pair in (one.mkt.name.pair, *_pairs(one.aliases)):
                self._by_pair.setdefault(pair, {})[one.mkt.fqme] = one

    def age_s(self) -> float:
        """Return how old it is; a list from the future is as old as can be."""
        age_s = time.time() - self.fetched_s
        return age_s if age_s >= 0 else float("inf")

    def find(self, fqme: Fqme) -> Listed | None:
        """Return the market of that name; None if there is none, or no single one."""
        name = str(fqme)
        found = self.by_name.get(name) or self._by_alias.get(name)
        if found is not None:
            return found
        fitting = self.fitting(fqme)
        return fitting[0] if len(fitting) == 1 else None

    def fitting(self, fqme: Fqme) -> list[Listed]:
        """Return the markets that a short form may mean, one if it is clear which.

        Spot markets come before perpetuals, these before all others.
        """
        fitting = [
            one for one in self._by_pair.get(fqme.pair, {}).values() if _fits(fqme, one)
        ]
        for is_meant in (_is_spot, _is_cash, _is_perpetual):
            meant = [one for one in fitting if is_meant(one)]
            if meant:
                return meant
        return fitting

    def make_index(self) -> SymbolIndex:
        """Return a new index for search; takes a while, best off the event loop."""
        return SymbolIndex(_entry(one) for one in self.by_name.values())


def _fits(asked: Fqme, one: Listed) -> bool:
    """Tell whether each part that was *asked* for is in the market's name."""
    name = one.mkt.name
    return (
        asked.venue in {"", name.venue}
        and (not asked.expiry or _same_expiry(asked, name))
        and asked.info in {(), name.info}
    )


def _same_expiry(one: Fqme, other: Fqme) -> bool:
    return one.expiry == other.expiry or (
        one.expiry_date is not None and one.expiry_date == other.expiry_date
    )


def _is_spot(one: Listed) -> bool:
    return _is_cash(one) and one.mkt.venue == "spot"


def _is_cash(one: Listed) -> bool:
    return not one.mkt.expiry


def _is_perpetual(one: Listed) -> bool:
    return one.mkt.expiry == "perp"


def _pairs(aliases: Iterable[str]) -> Iterator[str]:
    for alias in aliases:
        try:
            yield Fqme.parse(alias).pair
        except BadFqme:
            continue  # leads there as it is written, and no further


def _entry(one: Listed) -> Entry:
    mkt = one.mkt
    return Entry(
        fqme=mkt.fqme,
        kind=mkt.atype,
        description=one.description,
        volume=one.volume,
        trading=one.trading,
        base=mkt.dst.name,
        quote=mkt.src.name if mkt.src else "",
        aliases=one.aliases,
    )
