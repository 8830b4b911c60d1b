"""How a venue's past trades are asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from piker.brokers._backend import ResumePoint
from piker.brokers._parts import Part
from piker.errors import (
    BadPayload,
    MarketGone,
    RateLimited,
    VenueError,
    VenueRefused,
    VenueUnreachable,
)
from piker.msgs import NS

#: How far back a stream is resumed at most: older bars can't change any more.
_RESUME_BACK_S: Final = 600.0
#: Stamps don't lead the venue's clock by more.
_LEAD_NS: Final = 5 * NS


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


async def page_from(fetch: FetchPage, point: ResumePoint) -> Page:
    """Return the page that begins at or before the trade to resume from."""
    back_s = 2.0
    while True:
        since_ns = max(0, point.time_ns - int(back_s * NS))
        page = await fetch(Since(-1, since_ns))
        if point.tid < 0 or back_s >= _RESUME_BACK_S:
            return page
        oldest = next((part.ticks[0] for part in page.parts if part.ticks), None)
        if oldest is not None and oldest.tid - oldest.count + 1 <= point.tid:
            return page
        back_s *= 4


def will_pass(err: VenueError, *, was_given: bool) -> bool:
    """Whether past trades are worth asking for again.

    Args:
      err: what came in place of them.
      was_given: whether the venue gave some of this market before: a refusal of them
        is a passing one then, unless it has the market no more.
    """
    if isinstance(err, VenueRefused):
        return was_given and not isinstance(err, MarketGone)
    return isinstance(err, VenueUnreachable | RateLimited | BadPayload)


def newest_ns(known_ns: int, told_ns: int, now_ns: int | None) -> int:
    """Return the stamp of the newest trade, from which on others may be asked for.

    One that leads the venue's clock is damaged: with it, those that follow would never
    be found.

    Args:
      known_ns: the one so far.
      told_ns: of the trade that came, 0 if it has none.
      now_ns: the venue's time, None where it isn't known.
    """
    if told_ns and now_ns is not None and told_ns > now_ns + _LEAD_NS:
        return max(known_ns, now_ns - _LEAD_NS)
    return told_ns or known_ns
