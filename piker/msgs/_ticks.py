"""Ticks and quotes: what a market said, as it crosses from datad to its clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

TickType = Literal[
    "trade", "utrade", "dark_trade", "last", "bid", "bsize", "ask", "asize"
]

#: Tick types that say a trade was cleared.
CLEARS = frozenset({"trade", "dark_trade", "last"})
BIDS = frozenset({"bid", "bsize"})
ASKS = frozenset({"ask", "asize"})


class Tick(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One thing a venue said about a market; a short array on the wire.

    Attributes:
      type: what it is about; a ``trade`` is the only type that makes bars.
      price: quote units per base unit, the double nearest to the venue's decimal;
        ``nan`` of a ``bid`` or ``ask`` that isn't there any more, or isn't known.
      size: base units (for ``bid``/``ask`` what is displayed there); 0 if unknown.
      time_ns: the venue's own stamp, ns since the epoch, UTC; 0 if it gives none.
      tid: the venue's trade id, rising with time; -1 if it gives none.
      side: of the taker in a trade: 1 bought, -1 sold, 0 unknown.
      count: trades it stands for; venues that aggregate say more than 1.
    """

    type: TickType
    price: float
    size: float
    time_ns: int = 0
    tid: int = -1
    side: int = 0
    count: int = 1


class Quote(msgspec.Struct, frozen=True, kw_only=True, tag="quote"):
    """What happened in one market since the last quote of this subscription.

    Attributes:
      fqme: the market, e.g. ``btcusdt.spot.sim``.
      last: price of the newest trade known, ``nan`` before the first.
      ticks: in order of arrival; on a throttled or overrun stream, the trades are
        kept and of the other types the newest only, unless every tick is wanted.
      time_ns: when datad sent it, by the market's clock.
      missed: trades left out because this subscriber was too slow; bars have them.
        Ticks of any type, where every tick is wanted.
    """

    fqme: str
    last: float
    ticks: list[Tick]
    time_ns: int
    missed: int = 0


def iterticks(
    quote: Quote,
    types: tuple[str, ...] = ("trade", "dark_trade"),
    *,
    deduplicate_darks: bool = False,
    reverse: bool = False,
) -> Iterator[Tick]:
    """Yield the ticks of *quote* whose type is in *types*, oldest first.

    Args:
      quote: where from.
      types: the tick types wanted.
      deduplicate_darks: leave out a dark trade that a plain trade of the same
        price, size and time repeats.
      reverse: newest first.
    """
    ticks = quote.ticks
    lit = (
        {(t.time_ns, t.price, t.size) for t in ticks if t.type == "trade"}
        if deduplicate_darks
        else set()
    )
    for tick in reversed(ticks) if reverse else ticks:
        if tick.type not in types:
            continue
        if tick.type == "dark_trade" and (tick.time_ns, tick.price, tick.size) in lit:
            continue
        yield tick


def frame_ticks(ticks: list[Tick]) -> dict[str, list[Tick]]:
    """Return *ticks* by type, each list in order of arrival."""
    frame: dict[str, list[Tick]] = {}
    for tick in ticks:
        frame.setdefault(tick.type, []).append(tick)
    return frame
