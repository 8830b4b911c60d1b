"""One channel of the market, found by its name.

By https://docs.deribit.com/subscriptions/.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from ._deribit_series import Deal, Series
from ._deribit_world import World

_INTERVALS: Final = {"raw": 0, "100ms": 100, "agg2": 1000}
_KINDS: Final = ("future", "option", "spot", "any")
_DEPTHS: Final = ("1", "10", "20")
Levels = dict[float, float]


@dataclass(eq=False)
class Channel:
    """One channel that somebody asked for.

    Attributes:
      name: whole.
      what: ``trades``, ``ticker``, ``book``, ``quote``, ``index`` or ``state``.
      series: of these instruments.
      every_ms: between notifications, 0: at once.
      depth: of a book that is told whole each time, 0 of one that is told by changes.
      deals: to be told.
      is_due: it is to be told.
      told: last, of what is told only once it changed.
      change_id: of the last one of a book.
    """

    name: str
    what: str
    series: tuple[Series, ...]
    every_ms: int = 0
    depth: int = 0
    deals: list[tuple[Series, Deal]] = field(default_factory=list)
    is_due: bool = False
    told: Any = None
    change_id: int = 0

    @property
    def needs_key(self) -> bool:
        """Whether it is only for who is known."""
        return self.what in ("trades", "ticker", "book") and not self.every_ms


def find_channel(world: World, name: str) -> Channel | None:
    """Return the channel of that name, None if there is none."""
    what, *rest = name.split(".")
    if name == "platform_state":
        return Channel(name, "state", ())
    if what == "deribit_price_index" and len(rest) == 1:
        some = [one for one in world.series.values() if one.inst.index == rest[0]]
        return Channel(name, "index", tuple(some[:1]), 1000) if some else None
    if what == "instrument" and len(rest) == 3 and rest[0] == "state":
        found = _of(world, *rest[1:])
        return Channel(name, "state", found) if found else None
    return _of_prices(world, name, what, rest)


def _of_prices(world: World, name: str, what: str, rest: list[str]) -> Channel | None:
    one = world.series.get(rest[0]) if rest else None
    every = _INTERVALS.get(rest[-1]) if len(rest) > 1 else None
    match what, rest:
        case "quote", [_] if one is not None:
            return Channel(name, what, (one,))
        case "trades" | "ticker" | "book", [_, _] if one and every is not None:
            return Channel(name, what, (one,), every)
        case "book", [_, "none", depth, _] if one and every and depth in _DEPTHS:
            return Channel(name, what, (one,), every, int(depth))
        case "trades", [kind, currency, _] if every is not None:
            found = _of(world, kind, currency)
            return Channel(name, what, found, every) if found else None
    return None


def _of(world: World, kind: str, currency: str) -> tuple[Series, ...]:
    return tuple(
        one
        for one in world.series.values()
        if kind in ("any", one.inst.kind)
        and currency in ("any", one.inst.currency)
        and kind in _KINDS
    )


def changed(before: Levels, after: Levels) -> list[list[Any]]:
    """Return what makes of a side of a book another one."""
    gone = [["delete", price, 0.0] for price in before if price not in after]
    return gone + [
        ["change" if price in before else "new", price, amount]
        for price, amount in after.items()
        if before.get(price) != amount
    ]
