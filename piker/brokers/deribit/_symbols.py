"""Deribit's markets: its list, kept on disk."""

from __future__ import annotations

from contextlib import suppress

from piker.brokers._backend import serve_search
from piker.brokers._symbols import Listed, SymbolCache
from piker.brokers._web import run_local
from piker.errors import SymbolNotFound, VenueRefused
from piker.msgs import Fqme, Match
from piker.service import Context, endpoint

from ._api import BROKER, load_conf, open_api
from ._names import alias_of, symbols_of


def _cache() -> SymbolCache:
    conf = load_conf()

    async def fetch() -> list[Listed]:
        async with open_api(conf) as api:
            return await api.listed()

    # options of a new day are listed each morning, and yesterday's are gone
    return run_local(
        ("symbols", conf.ws),
        lambda: SymbolCache(BROKER, fetch, key=conf.ws, max_age_s=4 * 3600.0),
    )


async def find_listed(name: str) -> Listed:
    """Return a market by any of its names.

    Raises:
      BadFqme, SymbolNotFound: there is none.
      VenueError: the list can't be had.
    """
    return await _cache().find(name)


async def find_by_symbol(bs_mktid: str) -> Listed:
    """Return a market by the venue's own name, ``BTC-PERPETUAL``.

    One that has expired isn't listed; the venue tells of it by that name.

    Raises: as `find_listed`.
    """
    try:
        return await find_listed(alias_of(bs_mktid))
    except SymbolNotFound as err:
        return await _find_ended([bs_mktid], err)


async def find_market(fqme: str) -> Listed:
    """Return a market by its full name, one that has expired too.

    Raises: as `find_listed`.
    """
    try:
        return await find_listed(fqme)
    except SymbolNotFound as err:
        return await _find_ended(symbols_of(Fqme.parse(fqme)), err)


async def _find_ended(symbols: list[str], unlisted: SymbolNotFound) -> Listed:
    """Return the first that the venue knows; raises *unlisted* if there is none."""
    async with open_api(load_conf()) as api:
        for symbol in symbols:
            with suppress(VenueRefused):
                return await api.instrument(symbol)
    raise unlisted


async def find_matches(pattern: str, limit: int, kind: str = "") -> list[Match]:
    """Return the markets that fit *pattern*, best first; raises VenueError."""
    return await _cache().search(pattern, limit, kind)


@endpoint(receives=tuple[str, int, str], sends=list[Match] | str)
async def open_symbol_search(ctx: Context) -> None:
    """Search Deribit's markets, see :func:`piker.brokers.serve_search`."""
    await serve_search(ctx, find_matches)
