"""Trades in order of their serials, cut into parts that hold a run of them each."""

from __future__ import annotations

from collections.abc import Iterable

from piker.msgs import Tick

from ._parts import Part

#: A trade event: its serial, and its tick if it makes one.
Event = tuple[int, Tick | None]


def cut_runs(symbol: str, events: Iterable[Event]) -> list[Part]:
    """Return trade events of one market as parts, sorted.

    A part's serials rise by one and there is a tick for each; an event without a tick
    is a part of its own, and what repeats a serial begins a new one.

    Args:
      symbol: as the venue spells it.
      events: in any order.
    """
    parts: list[Part] = []
    ticks: list[Tick] = []
    first = last = -1
    for serial, tick in sorted(events, key=_serial):
        if ticks and tick is not None and serial == last + 1:
            ticks.append(tick)
        else:
            if first >= 0:
                parts.append(Part(symbol, ticks, first, last))
            ticks, first = [] if tick is None else [tick], serial
        last = serial
    if first >= 0:
        parts.append(Part(symbol, ticks, first, last))
    return parts


def _serial(event: Event) -> int:
    return event[0]
