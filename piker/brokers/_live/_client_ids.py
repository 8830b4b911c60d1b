"""The id by which a venue knows an order of ours: a function of what it is.

    (oid, revision) --hash--> 32 hex digits

So whoever restarts asks for it by the same id, and an order that is sent twice is one:
Binance takes up to 36 characters, Kraken 32 hex digits.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import Final

_PERSON: Final = b"piker order"
#: Revisions of an order that are looked for: of a dialog that was edited more often
#: only the newest are.
_REVS: Final = 64


@lru_cache(maxsize=8192)
def client_id(oid: str, rev: int) -> str:
    """Return the client order id of a revision: 32 hex digits."""
    told = f"{rev}:{oid}".encode(errors="surrogatepass")
    return blake2b(told, digest_size=16, person=_PERSON).hexdigest()


def revisions(oid: str, newest: int) -> Iterable[tuple[str, int]]:
    """Yield the ids of an order's revisions, the newest first, and their numbers."""
    for rev in range(newest, max(newest - _REVS, -1), -1):
        yield client_id(oid, rev), rev
