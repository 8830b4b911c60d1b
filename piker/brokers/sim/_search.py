"""Symbol search over the sim's universe and its recorded sessions."""

from __future__ import annotations

from functools import lru_cache

import trio

from piker.brokers._backend import serve_search
from piker.brokers._rank import Entry, SymbolIndex
from piker.log import get_logger
from piker.msgs import Match, MktPair
from piker.service import Context, endpoint

from ._universe import iter_universe
from ._worlds import sessions

log = get_logger(__name__)


async def find_matches(pattern: str, limit: int, kind: str = "") -> list[Match]:
    """Return the markets that fit *pattern*, best first.

    Args:
      pattern: words, see :meth:`SymbolIndex.search`.
      limit: of matches.
      kind: asset type they must have; any if empty.
    """
    # the first time it takes long, and later ones needn't hold up quotes either
    return await trio.to_thread.run_sync(_search, pattern, limit, kind)


def _search(pattern: str, limit: int, kind: str) -> list[Match]:
    good, bad = sessions()
    for err in bad:
        log.warning("not searched: %s", err)
    recorded = tuple(
        _recorded(mkt, session.venue)
        for session in good
        for mkt in session.mkts.values()
    )
    return _index(recorded).search(pattern, limit, kind)


@lru_cache(maxsize=1)
def _index(recorded: tuple[Entry, ...]) -> SymbolIndex:
    listed = list(iter_universe())
    world = [
        Entry(
            fqme=row.fqme,
            kind=row.kind,
            description=row.description,
            volume=float(len(listed) - row.rank),
            base=row.base,
            quote=row.quote,
        )
        for row in listed
    ]
    return SymbolIndex([*world, *recorded])


def _recorded(mkt: MktPair, venue: str) -> Entry:
    return Entry(
        fqme=mkt.fqme,
        kind=mkt.atype,
        description=f"recorded at {venue}",
        base=mkt.dst.name,
        quote=mkt.src.name if mkt.src else "",
    )


@endpoint(receives=tuple[str, int, str], sends=list[Match] | str)
async def open_symbol_search(ctx: Context) -> None:
    """Search this sim's markets, see :func:`piker.brokers.serve_search`."""
    await serve_search(ctx, find_matches)
