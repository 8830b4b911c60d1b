"""The tape of an emulated TWS: as others have it, with the quotes that passed.

sim's markets, and rates of money --LiveTape--> prints, books
'--> kept: bars of bids and asks
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Final

from piker.brokers.sim._catalogue import FUTURE_HOURS, STOCK_HOURS
from piker.brokers.sim._shape import Activity, Path, SimMarket
from piker.brokers.sim._universe import find_market
from piker.errors import SymbolNotFound
from piker.msgs import Asset, AssetType, Calendar, Fqme, MktPair

from ._sources import LiveTape
from ._tape import Book, Item, Market

#: Money: Sunday 22:15 to Friday 22:00 UTC, closed for a quarter of an hour each day.
MONEY_HOURS: Final = Calendar(
    weekly=(
        (0, 22 * 3600),
        *((day * 86400 - 6300, day * 86400 + 22 * 3600) for day in range(1, 5)),
        (7 * 86400 - 6300, 7 * 86400),
    )
)
_LEVELS: Final = {
    "eurusd": 1.09, "gbpusd": 1.27, "audusd": 0.66, "usdjpy": 150.0, "usdchf": 0.89,
    "usdcad": 1.36,
}  # fmt: skip
_HOURS: Final[dict[AssetType, Calendar]] = {
    "stock": STOCK_HOURS, "option": STOCK_HOURS, "future": FUTURE_HOURS,
    "fiat": MONEY_HOURS,
}  # fmt: skip


def hours_of(kind: AssetType) -> Calendar:
    """Return when markets of a kind trade."""
    return _HOURS.get(kind, Calendar())


def find(text: str, *, is_always: bool = True) -> SimMarket:
    """Return a market of sim, or a rate like ``eurusd.idealpro.sim``.

    Args:
      text: its full name.
      is_always: it trades at all hours, whatever its kind.

    Raises: BadFqme, SymbolNotFound.
    """
    fqme = Fqme.parse(text)
    market = _rate(fqme.pair) if fqme.pair in _LEVELS else find_market(text)
    if market.mkt.expiry == "perp":
        raise SymbolNotFound(f"IB has no perpetuals like {text!r}; futures it has")
    if not is_always:
        return market
    path = replace(market.path, calendar=Calendar())
    return replace(market, calendar=Calendar(), path=path)


def _rate(pair: str) -> SimMarket:
    """Return a rate of two kinds of money, in half pips."""
    tick = Decimal("0.005") if pair.endswith("jpy") else Decimal("0.00005")
    mkt = MktPair(
        dst=Asset(name=pair[:3], atype="fiat"),
        src=Asset(name=pair[3:], atype="fiat"),
        price_tick=tick,
        size_tick=Decimal(1),
        bs_mktid=f"{pair}.idealpro",
        broker="sim",
        venue="idealpro",
        atype="fiat",
    )
    return SimMarket(
        mkt=mkt,
        path=Path(pair, _LEVELS[pair], 0.006, calendar=MONEY_HOURS),
        activity=Activity(3.0, 60_000.0),
        calendar=MONEY_HOURS,
        description=f"{pair[:3].upper()} in {pair[3:].upper()}",
    )


class TwsTape(LiveTape):
    """Markets of sim as the wall clock goes, and what was quoted in them.

    Attributes:
      books: of each market, the oldest first.
    """

    def __init__(
        self, fqmes: Iterable[str], past_s: float, skew_ms: int, history_s: float,
        *, is_always: bool,
    ) -> None:  # fmt: skip
        self.books: dict[Market, list[Book]] = defaultdict(list)
        finder = partial(find, is_always=is_always)
        super().__init__(fqmes, past_s, skew_ms, history_s, finder)

    def step(self) -> Item:
        """Let one item pass, and keep it if it is a quote."""
        item = super().step()
        if isinstance(item, Book):
            self.books[item.market].append(item)
        return item
