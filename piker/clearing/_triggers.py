"""The dark book: orders and alerts that wait for a price, shown to nobody.

    ticks --edges of their type--> (inside: nothing to do) | rules --> fired, and gone

What doesn't fire costs nothing: each rule keeps what waits sorted, and says of each
type of tick between which two prices it needn't be asked. Pure: no clock, no task.

Only crosses are built. What else may come has its place:

* a stop is a cross whose way is its side's (a buy stop: above), not taken from the
  last price; its order says by ``trigger`` that the limit is another price.
* a trailing stop is a rule of its own, with a kind and an index: all that were armed
  before the newest high share it, so they are one list sorted by distance, and lists of
  lower highs are merged into it when a new high comes. Its edges are the newest high,
  where it wants to be asked to move up, and the highest level below.
* one-cancels-other is no rule, but a map from a group's name to its oids in the book:
  who fires takes the others out at once, before the next order is looked at, and names
  them in its `Fired`.
* a bracket is an entry and such a group, which its owner adds once the entry is filled.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

from piker.msgs import Action, MktPair, Order, Tick
from piker.types import Struct

from ._exact import add, multiply, plain, shortest, subtract
from ._refusal import Refusal

Way = Literal["above", "below"]

#: Which ticks count for whom: who buys looks at what is asked.
COUNTS: Final[dict[Action, frozenset[str]]] = {
    "buy": frozenset({"ask", "last", "trade"}),
    "sell": frozenset({"bid", "last", "trade"}),
    "alert": frozenset({"trade", "utrade", "last"}),
}
_TYPES: Final = frozenset().union(*COUNTS.values())


class Trigger(Struct, frozen=True, kw_only=True):
    """What an order waits for; journaled as it is.

    Attributes:
      kind: of rule; ``cross``: a price at *level* or beyond.
      level: quote units.
      way: on which side of *level* it fires; the level itself counts.
      action: of its order, which says the types of ticks that count.
    """

    kind: Literal["cross"] = "cross"
    level: Decimal
    way: Way
    action: Action


def cross_trigger(
    action: Action, level: Decimal, last_price: Decimal | float | None
) -> Trigger | Refusal:
    """Return what waits until the price comes to *level* from where it is now.

    Args:
      action: of the order.
      level: quote units.
      last_price: newest known, None or ``nan`` if there is none: a refusal.
    """
    if not level.is_finite():
        return Refusal("trigger", f"a trigger is a finite price, got {level}")
    last = math.nan if last_price is None else float(last_price)
    if not math.isfinite(last):
        return Refusal(
            "trigger",
            f"no price is known yet, so nobody can say from which side {plain(level)}"
            " is to be crossed; try again once the market has quoted",
        )
    return Trigger(
        level=level, way="above" if float(level) >= last else "below", action=action
    )


def still_holds(trigger: Trigger, price: Decimal | float) -> bool:
    """Tell whether *price* is at the trigger's level or beyond it."""
    # As doubles: a tick is the double next to the venue's decimal, and so is the level.
    # The way from one to the other never turns an order round, so a decimal that has
    # reached the level always counts, and one that hasn't never does while ticks are
    # further apart than doubles are.
    level, now = float(trigger.level), float(price)
    return now >= level if trigger.way == "above" else now <= level


def crossed_in(
    trigger: Trigger, highs: npt.NDArray[np.float64], lows: npt.NDArray[np.float64]
) -> bool:
    """Tell whether any of some bars reached the trigger's level.

    Bars are made of trades: what only a bid or an ask reached isn't seen in them.

    Args:
      trigger: what was waited for.
      highs: of the bars, shape (n,), quote units.
      lows: likewise.
    """
    level = float(trigger.level)
    reached = highs >= level if trigger.way == "above" else lows <= level
    return bool(reached.any())


def submit_price(
    order: Order,
    trigger: Trigger,
    price: Decimal | float,
    mkt: MktPair,
    slip_ticks: int = 5,
) -> Decimal:
    """Return the limit that a dark order which fired is sent with.

    An order with a trigger of its own is sent with its own price. So is one that waited
    for a better price, and never with a worse one. A break-out, to buy above or to sell
    below, is sent with the price that fired it and some ticks more, to be filled.

    Args:
      order: which; no alert.
      trigger: what it waited for.
      price: that fired it, quote units; a finite number.
      mkt: its market.
      slip_ticks: price ticks that a break-out may pay more.
    """
    side, waits_for = order.action, ("below" if order.action == "buy" else "above")
    assert side != "alert", "an alert is never sent"
    own = order.price
    if own is not None and (order.trigger is not None or trigger.way == waits_for):
        return own
    at = mkt.order_price(price)
    slip = multiply(Decimal(slip_ticks), mkt.step_at(at))
    if side == "buy":
        return mkt.order_price(add(at, slip))
    low = mkt.order_price(subtract(at, slip))
    # a limit of nothing, or less, is none where prices are above it
    return low if low > 0 or at <= 0 else min(at, mkt.order_price(mkt.price_tick))


@dataclass(frozen=True)
class Fired:
    """An order whose trigger was reached; it is in the book no more.

    Attributes:
      oid: of the order.
      price: of the tick, as the venue wrote it.
      tick: that reached it.
    """

    oid: str
    price: Decimal
    tick: Tick


class _Rule(Protocol):
    """One kind of trigger, with what waits for it."""

    def add(self, oid: str, trigger: Trigger) -> None:
        """Take what waits."""

    def remove(self, oid: str, trigger: Trigger) -> None:
        """Let go of what waits, with the trigger it was added with."""

    def edges(self, tick_type: str) -> tuple[float, float]:
        """Return (low, high) between which no tick of a type is of interest."""

    def fire(self, tick: Tick) -> list[str]:
        """Return what a tick fires, and let go of it."""


@dataclass
class _Side:
    """Crosses of one action and way, the first to be reached first.

    Each is ``(key, serial, oid)``; the key is the level, or less the level where it is
    reached from above, so that it fires at any key up to the tick's.
    """

    way: Way
    waiting: list[tuple[float, int, str]] = field(default_factory=list)

    def key(self, price: float) -> float:
        return price if self.way == "above" else -price

    @property
    def first(self) -> float:
        """The first price at which one fires; beyond all prices if none waits."""
        return self.key(self.waiting[0][0]) if self.waiting else self.key(math.inf)

    def pop_until(self, price: float) -> list[str]:
        waiting = self.waiting
        count = bisect_right(waiting, (self.key(price), math.inf))
        oids = [oid for _, _, oid in waiting[:count]]
        del waiting[:count]
        return oids


class _Crosses:
    """Triggers of the kind ``cross``."""

    def __init__(self) -> None:
        self._sides = {
            (action, way): _Side(way)
            for action in COUNTS
            for way in ("above", "below")
        }  # fmt: skip
        self._looking = {
            kind: [
                side
                for (action, _), side in self._sides.items()
                if kind in COUNTS[action]
            ]
            for kind in _TYPES
        }
        self._serials: dict[str, int] = {}
        self._added = 0

    def add(self, oid: str, trigger: Trigger) -> None:
        self._added += 1
        self._serials[oid] = self._added
        side = self._sides[trigger.action, trigger.way]
        insort(side.waiting, (side.key(float(trigger.level)), self._added, oid))

    def remove(self, oid: str, trigger: Trigger) -> None:
        side = self._sides[trigger.action, trigger.way]
        at = bisect_left(
            side.waiting, (side.key(float(trigger.level)), self._serials.pop(oid))
        )
        del side.waiting[at]

    def edges(self, tick_type: str) -> tuple[float, float]:
        sides = self._looking[tick_type]
        low = max(side.first for side in sides if side.way == "below")
        return low, min(side.first for side in sides if side.way == "above")

    def fire(self, tick: Tick) -> list[str]:
        sides = self._looking[tick.type]
        oids = [oid for side in sides for oid in side.pop_until(tick.price)]
        # who came first goes first, whichever way it waited; none has a serial any more
        return sorted(oids, key=self._serials.pop)


class DarkBook:
    """What waits for a price in one market.

    A tick that fires nothing costs two comparisons, however much waits. To add or to
    remove costs O(log n), and a move of n pointers.
    """

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._rules: dict[str, _Rule] = {"cross": _Crosses()}
        self._where: dict[str, Trigger] = {}
        self._edges: dict[str, tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, oid: object) -> bool:
        return oid in self._where

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def get(self, oid: str) -> Trigger | None:
        """Return what an order waits for, None if it isn't here."""
        return self._where.get(oid)

    def add(self, oid: str, trigger: Trigger) -> None:
        """Hold an order; ValueError if it is held already."""
        if oid in self._where:
            raise ValueError(f"{oid!r} waits in this book already")
        self._where[oid] = trigger
        self._rules[trigger.kind].add(oid, trigger)
        self._look_again(trigger.action)

    def remove(self, oid: str) -> bool:
        """Let go of an order, and tell whether it was here."""
        trigger = self._where.pop(oid, None)
        if trigger is None:
            return False
        self._rules[trigger.kind].remove(oid, trigger)
        self._look_again(trigger.action)
        return True

    def replace(self, oid: str, trigger: Trigger) -> bool:
        """Have an order wait for something else, and tell whether it was here.

        One that fired meanwhile is not armed again.
        """
        if not self.remove(oid):
            return False
        self.add(oid, trigger)
        return True

    def fire(self, ticks: list[Tick]) -> list[Fired]:
        """Return what *ticks* fire, the oldest tick first; each order once and no more.

        What the same tick fires comes in the order in which it was added.
        """
        fired: list[Fired] = []
        edges = self._edges
        for tick in ticks:
            between = edges.get(tick.type)
            if between is None or between[0] < tick.price < between[1]:
                continue
            if math.isfinite(tick.price):
                self._fire(tick, fired)
        return fired

    def _fire(self, tick: Tick, fired: list[Fired]) -> None:
        price = shortest(tick.price)
        actions: set[Action] = set()
        for rule in self._rules.values():
            for oid in rule.fire(tick):
                actions.add(self._where.pop(oid).action)
                fired.append(Fired(oid, price, tick))
        for action in actions:
            self._look_again(action)

    def _look_again(self, action: Action) -> None:
        """Find the edges anew of the types of ticks that count for *action*."""
        for kind in COUNTS[action]:
            each = [rule.edges(kind) for rule in self._rules.values()]
            self._edges[kind] = max(low for low, _ in each), min(up for _, up in each)
