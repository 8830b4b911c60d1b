"""How a venue's past trades are asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from piker.brokers._parts import Part


class Since(NamedTuple):
    """From where trades are wanted.

    Attributes:
      serial: the first, if known, else -1.
      time_ns: not stamped before; of the newest known trade where *serial* is known.
    """

    serial: int
    time_ns: int


class Page(NamedTuple):
    """Trades in order, whether the venue has no newer ones, and the answer itself."""

    parts: list[Part]
    is_last: bool
    body: bytes = b""


FetchPage = Callable[[Since], Awaitable[Page]]
