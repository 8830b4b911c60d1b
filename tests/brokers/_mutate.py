"""Messages that are broken in all ways."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from piker.errors import BadPayload

_ODD = (b"9" * 30, b'"', b"{", b"null", b"-", b"e5")


def mutations(raw: bytes, seed: str, count: int) -> Iterator[bytes]:
    """Yield what *raw* becomes by one to five changes, the same each time."""
    rng = random.Random(seed)
    for _ in range(count):
        told = bytearray(raw)
        for _ in range(rng.choice((1, 1, 2, 5))):
            at = rng.randrange(len(told))
            match rng.randrange(4):
                case 0:
                    told[at] = rng.randrange(256)
                case 1:
                    del told[at : at + rng.randrange(1, 20)]
                case 2:
                    told[at:at] = rng.choice(_ODD)
                case 3:
                    told[at:at] = told[: rng.randrange(len(told))]
            if not told:
                break
        yield bytes(told)


def count_refused(
    raw: bytes, seed: str, count: int, parse: Callable[[bytes], Any]
) -> int:
    """Return how many mutations are refused; whatever else is raised goes through."""
    refused = 0
    for told in mutations(raw, seed, count):
        try:
            parse(told)
        except BadPayload:
            refused += 1
    return refused
