"""Binance's markets: two lists, one a service, each kept on disk."""

from __future__ import annotations

from typing import Final

import trio

from piker.brokers._backend import serve_search
from piker.brokers._symbols import Listed, SymbolCache
from piker.brokers._web import run_local
from piker.errors import SymbolNotFound, VenueError
from piker.msgs import Fqme, Match
from piker.service import Context, endpoint

from ._api import BROKER, load_conf, open_api, service_of
from ._sniff import Venue

VENUES: Final[tuple[Venue, ...]] = ("spot", "usdtm")


def _cache(venue: Venue) -> SymbolCache:
    conf = load_conf()

    async def fetch() -> list[Listed]:
        async with open_api(venue, conf) as api:
            return await api.listed()

    rest = service_of(venue, conf).rest
    return run_local(
        ("symbols", rest), lambda: SymbolCache(BROKER, fetch, key=f"{venue} {rest}")
    )


async def find_listed(name: str) -> tuple[Listed, Venue]:
    """Return a market by any of its names, and where it is; of equal ones spot's.

    Raises:
      BadFqme, SymbolNotFound: there is none.
      VenueError: its list can't be had.
    """
    asked = Fqme.parse(name).venue
    if asked in VENUES:
        return await _cache(asked).find(name), asked
    try:
        return await _cache("spot").find(name), "spot"
    except SymbolNotFound:
        if asked:
            raise
        return await _cache("usdtm").find(name), "usdtm"


async def find_matches(pattern: str, limit: int, kind: str = "") -> list[Match]:
    """Return the markets that fit *pattern*, best first.

    What one service doesn't tell is left out; raises VenueError if neither does.
    """
    found: list[Match] = []
    faults: list[VenueError] = []

    async def ask(venue: Venue) -> None:
        try:
            found.extend(await _cache(venue).search(pattern, limit, kind))
        except VenueError as err:
            faults.append(err)

    async with trio.open_nursery() as tasks:
        for venue in VENUES:
            tasks.start_soon(ask, venue)
    if len(faults) == len(VENUES):
        raise faults[0]
    return sorted(found, key=lambda match: (-match.score, match.fqme))[:limit]


@endpoint(receives=tuple[str, int, str], sends=list[Match] | str)
async def open_symbol_search(ctx: Context) -> None:
    """Search Binance's markets, see :func:`piker.brokers.serve_search`."""
    await serve_search(ctx, find_matches)
