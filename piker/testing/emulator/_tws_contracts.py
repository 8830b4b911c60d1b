"""Contracts as clients ask for them, and as TWS tells of them.

    reqContractDetails, reqMatchingSymbols, reqSecDefOptParams, reqMarketRule

By https://interactivebrokers.github.io/tws-api/{contract_details,matching_symbols,
options,minimum_increment}.html.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final, NamedTuple

from ._tws_fields import Fields, Wrong, invalid
from ._tws_hours import sessions_of
from ._tws_kinds import Listed
from ._tws_listing import Listing

_MOST_SYMBOLS: Final = 16
_ORDER_TYPES: Final = "ACTIVETIM,DAY,GTC,IOC,FOK,LMT,MKT,STP,STPLMT,WHATIF"
_FIRST_RULE: Final = 26
_NOTHING: Final = "No security definition has been found for the request"


class Query(NamedTuple):
    """A contract as a request describes it; what is empty is left open."""

    con_id: int
    symbol: str
    sec_type: str
    expiry: str
    strike: Decimal
    right: str
    multiplier: Decimal | None
    exchange: str
    primary: str
    currency: str
    local: str
    trading_class: str

    @classmethod
    def of(cls, fields: Fields) -> Query:
        """Take twelve fields; raises Wrong."""
        con_id, symbol = fields.whole(), fields.text()
        sec_type, expiry = fields.text().upper(), fields.text()
        strike, right = fields.amount() or Decimal(0), fields.text()[:1].upper()
        return cls(
            con_id, symbol.upper(), sec_type, expiry, strike,
            "" if right in "0?" else right, fields.amount(),
            *(fields.text() for _ in range(5)),
        )  # fmt: skip

    @classmethod
    def by_id(cls, con_id: int, exchange: str) -> Query:
        """Return what names a contract by its number."""
        return cls(con_id, "", "", "", Decimal(0), "", None, exchange, "", "", "", "")

    def fits(self, one: Listed) -> bool:
        """Tell whether a contract is what is asked for."""
        if self.exchange and self.exchange not in one.exchanges:
            return False
        if self.con_id:
            return one.con_id == self.con_id
        same = (
            (self.symbol, one.symbol), (self.sec_type, one.sec_type),
            (self.right, one.right), (self.currency, one.currency),
            (self.local, one.local), (self.trading_class, one.trading_class),
        )  # fmt: skip
        return (
            all(asked in ("", told) for asked, told in same)
            and one.expiry.startswith(self.expiry)
            and self.strike in (0, one.strike)
            and self.primary in ("", one.primary, *one.exchanges)
            and self.multiplier in (None, one.multiplier)
        )


class Contracts:
    """Finds contracts, and tells of them.

    Attributes:
      listing: all there are.
    """

    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        ticks = dict.fromkeys(one.tick for one in listing.all())
        self._rules = {tick: _FIRST_RULE + nth for nth, tick in enumerate(ticks)}

    def find(self, query: Query) -> list[Listed]:
        """Return what a query may mean; Wrong if that is nothing.

        A continuous future is the nearest one.
        """
        if query.sec_type == "CONTFUT":
            found = self.find(query._replace(sec_type="FUT"))
            return [min(found, key=lambda one: one.expiry)]
        if not (query.con_id or query.symbol or query.local):
            raise invalid("Please enter a local symbol or a symbol")
        if query.con_id:
            one = self.listing.by_con_id.get(query.con_id)
            among = [one] if one else []
        elif query.symbol:
            among = self.listing.named(query.symbol)
        else:
            among = list(self.listing.all())
        found = [one for one in among if query.fits(one)]
        if not found:
            raise Wrong(200, _NOTHING)
        return found

    def one(self, query: Query) -> Listed:
        """Return the one contract that a query means; Wrong if that isn't one."""
        if query.sec_type == "BAG":
            raise invalid("combinations aren't emulated")
        if not query.exchange:
            raise invalid("Please enter exchange")
        found = self.find(query)
        if len(found) > 1:
            raise Wrong(
                200,
                f"The contract description specified for {query.symbol} is ambiguous",
            )
        return found[0]

    # -- what is told -------------------------------------------------------------

    def details(self, req_id: int, one: Listed, exchange: str, now_s: int) -> list[Any]:
        """Return the details of a contract, message 10.

        Args:
          exchange: that was asked for; its first if empty.
        """
        under = one.under
        times = f"{one.expiry} 16:00:00" if one.expiry else ""
        name = one.trading_class if one.sec_type in ("STK", "OPT") else one.symbol
        has_multiplier = one.multiplier != 1 or one.sec_type in ("FUT", "OPT")
        rules = ",".join([str(self._rules[one.tick])] * len(one.exchanges))
        return [
            10, req_id, one.symbol, one.sec_type, times, one.strike, one.right,
            exchange or one.exchanges[0], one.currency, one.local, name,
            one.trading_class, one.con_id, one.tick,
            one.multiplier if has_multiplier else "", _ORDER_TYPES,
            ",".join(one.exchanges), one.magnifier, under.con_id if under else 0,
            one.name, one.primary, one.expiry[:6], "", "", "", one.zone,
            sessions_of(one.hours, one.zone, now_s),
            sessions_of(one.liquid, one.zone, now_s), "", "", 0,
            2147483647 if one.sec_type == "FUT" else 1,
            under.symbol if under else "", under.sec_type if under else "", rules,
            one.expiry, "COMMON" if one.sec_type == "STK" else "", one.step, one.step,
            one.step if one.sec_type != "STK" else 100,
        ]  # fmt: skip

    def rule(self, number: int) -> list[Any]:
        """Return a market rule, message 93: one step at all prices; raises Wrong."""
        for tick, each in self._rules.items():
            if each == number:
                return [93, number, 1, 0, tick]
        raise Wrong(124, f"No market rule is available for id:{number}")

    def samples(self, req_id: int, pattern: str) -> list[Any]:
        """Return what a pattern may mean, message 79: by symbol, then by name."""
        wanted = pattern.upper()
        among = [one for one in self.listing.all() if one.sec_type != "OPT"]
        found = [one for one in among if one.symbol.startswith(wanted)]
        found += [
            one
            for one in among
            if wanted in one.name and not one.symbol.startswith(wanted)
        ]
        rows: list[Any] = []
        seen: dict[tuple[str, str, str], Listed] = {}
        for one in found if wanted else []:
            # the months of a future are not told apart
            seen.setdefault((one.symbol, one.sec_type, one.primary), one)
        some = list(seen.values())[:_MOST_SYMBOLS]
        for one in some:
            kinds = self._derived(one)
            rows += [
                one.con_id, one.symbol, one.sec_type, one.primary or one.exchanges[0],
                one.currency, len(kinds), *kinds, one.name, "",
            ]  # fmt: skip
        return [79, req_id, len(some), *rows]

    def _derived(self, share: Listed) -> list[str]:
        has = any(each.under is share for each in self.listing.named(share.symbol))
        return ["OPT"] if has else []

    def chains(
        self, req_id: int, symbol: str, sec_type: str, con_id: int
    ) -> Iterator[list[Any]]:
        """Yield the option chains of something, messages 75 and 76; raises Wrong."""
        under = self.listing.by_con_id.get(con_id)
        if under is None or (under.symbol, under.sec_type) != (symbol, sec_type):
            raise Wrong(200, _NOTHING)
        options = [one for one in self.listing.named(symbol) if one.under is under]
        days = sorted({one.expiry for one in options})
        strikes = sorted({one.strike for one in options})
        for exchange in options[0].exchanges if options else ():
            yield [
                75, req_id, exchange, con_id, symbol, options[0].multiplier,
                len(days), *days, len(strikes), *strikes,
            ]  # fmt: skip
        yield [76, req_id]


def row_of(one: Listed, exchange: str = "") -> list[Any]:
    """Return a contract as orders, executions and positions tell it: eleven fields."""
    has_multiplier = one.multiplier != 1 or one.sec_type in ("FUT", "OPT")
    return [
        one.con_id, one.symbol, one.sec_type, one.expiry, one.strike, one.right or "",
        one.multiplier if has_multiplier else "", exchange or one.exchanges[0],
        one.currency, one.local, one.trading_class,
    ]  # fmt: skip
