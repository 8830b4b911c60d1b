"""Symbol search over the sim's universe and its recorded sessions."""

from __future__ import annotations

from functools import lru_cache

import trio

from piker.brokers._backend import serve_search
from piker.log import get_logger
from piker.msgs import Match
from piker.service import Context, endpoint

from ._universe import Listing, iter_universe
from ._worlds import sessions

log = get_logger(__name__)

_CUTOFF = 50.0
_RANK_WEIGHT = 1e-4  # of equal matches the more traded comes first


@lru_cache(maxsize=1)
def _universe() -> dict[str, Listing]:
    return {row.fqme: row for row in iter_universe()}


async def find_matches(pattern: str, limit: int) -> list[Match]:
    """Return the markets that fit *pattern*, best first."""
    rows = dict(_universe())
    good, bad = sessions()
    for err in bad:
        log.warning("not searched: %s", err)
    for session in good:
        for mkt in session.mkts.values():
            text = f"recorded at {session.venue}"
            rows[mkt.fqme] = Listing(mkt.fqme, mkt.atype, text, 1)
    names = {fqme: f"{fqme} {row.description}" for fqme, row in rows.items()}
    scored = await trio.to_thread.run_sync(_score, pattern, names, 4 * limit)
    matches = [
        (score - rows[fqme].rank * _RANK_WEIGHT, score, rows[fqme])
        for fqme, score in scored
    ]
    matches.sort(key=lambda item: (-item[0], item[2].fqme))
    return [
        Match(fqme=r.fqme, kind=r.kind, score=score, description=r.description)
        for _, score, r in matches[:limit]
    ]


def _score(pattern: str, names: dict[str, str], limit: int) -> list[tuple[str, float]]:
    from rapidfuzz import fuzz, process, utils

    wanted = pattern.strip().lower()
    exact = [(fqme, 100.0) for fqme in names if fqme.startswith(wanted)][:limit]
    found = process.extract(
        pattern,
        names,
        scorer=fuzz.WRatio,
        processor=utils.default_process,
        limit=limit,
        score_cutoff=_CUTOFF,
    )
    seen = {fqme for fqme, _ in exact}
    fuzzy = [(fqme, min(score, 99.0)) for _, score, fqme in found if fqme not in seen]
    return exact + fuzzy


@endpoint(receives=tuple[str, int], sends=list[Match] | str)
async def open_symbol_search(ctx: Context) -> None:
    """Search this sim's markets, see :func:`piker.brokers.serve_search`."""
    await serve_search(ctx, find_matches)
