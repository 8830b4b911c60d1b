"""Deribit's markets: its list, kept on disk."""

from __future__ import annotations

from piker.brokers._backend import serve_search
from piker.brokers._symbols import Listed, SymbolCache
from piker.brokers._web import run_local
from piker.msgs import Match
from piker.service import Context, endpoint

from ._api import BROKER, load_conf, open_api
from ._names import alias_of


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

    Raises: as `find_listed`.
    """
    return await find_listed(alias_of(bs_mktid))


async def find_matches(pattern: str, limit: int, kind: str = "") -> list[Match]:
    """Return the markets that fit *pattern*, best first; raises VenueError."""
    return await _cache().search(pattern, limit, kind)


@endpoint(receives=tuple[str, int, str], sends=list[Match] | str)
async def open_symbol_search(ctx: Context) -> None:
    """Search Deribit's markets, see :func:`piker.brokers.serve_search`."""
    await serve_search(ctx, find_matches)
