"""Kraken's markets: its list, kept on disk."""

from __future__ import annotations

from piker.brokers._backend import serve_search
from piker.brokers._symbols import Listed, SymbolCache
from piker.brokers._web import run_local
from piker.msgs import Match
from piker.service import Context, endpoint

from ._api import BROKER, load_conf, open_api


def _cache() -> SymbolCache:
    conf = load_conf()

    async def fetch() -> list[Listed]:
        async with open_api(conf) as api:
            return await api.listed()

    return run_local(
        ("symbols", conf.rest), lambda: SymbolCache(BROKER, fetch, key=conf.rest)
    )


async def find_listed(name: str) -> Listed:
    """Return a market by any of its names.

    Raises:
      BadFqme, SymbolNotFound: there is none.
      VenueError: the list can't be had.
    """
    return await _cache().find(name)


async def find_by_pair(pair: str) -> Listed:
    """Return a market by what REST calls it: ``XXBTZUSD``, or ``XBTUSD`` of it.

    Raises: as `find_listed`.
    """
    for listed in await _cache().listed():
        if listed.rest_name == pair:
            return listed
    return await find_listed(f"{pair.lower()}.spot.{BROKER}")


async def find_matches(pattern: str, limit: int, kind: str = "") -> list[Match]:
    """Return the markets that fit *pattern*, best first; raises VenueError."""
    return await _cache().search(pattern, limit, kind)


@endpoint(receives=tuple[str, int, str], sends=list[Match] | str)
async def open_symbol_search(ctx: Context) -> None:
    """Search Kraken's markets, see :func:`piker.brokers.serve_search`."""
    await serve_search(ctx, find_matches)
