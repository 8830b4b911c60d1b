"""Our resting orders of one side, and who stands before them: whole numbers only.

    quote at a level --> nobody has more ahead than what is displayed there
    quote worse      --> nobody is ahead on the levels that it left
    trade            --> through a level: its orders; at it: first those ahead

What is ahead of an order never grows. It is unknown on a level that was never the
touch since the order joined it; there only a trade through the level fills.

Quotes and trades come by two streams, so a quote may show what a trade took that is
told later. What the display lost is therefore remembered for a moment, as *shown*:
trades use that up before they move anybody ahead a second time.

A level's key rises from the best price to the worst: the price of sells, less the
price of buys.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from typing import Final

import msgspec

#: Offers lots to an order and returns how many it took.
Offer = Callable[[str, int], int]

_UNKNOWN: Final = -1
#: More than is ever traded: nothing is known of which trades a display has in it.
_ALL: Final = 1 << 62


class Shown(msgspec.Struct):
    """Lots that a display lost, for which trades may still be told.

    Attributes:
      lots: how many.
      until_ns: from then on they don't count any more.
    """

    lots: int = 0
    until_ns: int = 0

    def add(self, lots: int, now_ns: int, until_ns: int) -> None:
        """Remember so many more."""
        if lots > 0:
            self.lots, self.until_ns = self.at(now_ns) + lots, until_ns

    def at(self, now_ns: int) -> int:
        """Return how many still count."""
        return self.lots if now_ns < self.until_ns else 0

    def use(self, lots: int, now_ns: int) -> int:
        """Take a trade of so many lots off; return how many were shown before."""
        known = min(lots, self.at(now_ns))
        self.lots = self.at(now_ns) - known
        return known


class Group(msgspec.Struct):
    """Orders of a level that joined one after the other and have the same ahead.

    Attributes:
      ahead: lots of others before the first of them; -1 if it isn't known.
      oids: in order of their coming; the values say nothing.
      shown: what was taken off *ahead* because displays lost it.
    """

    ahead: int
    oids: dict[str, None]
    shown: Shown = msgspec.field(default_factory=Shown)


class Book(msgspec.Struct):
    """The resting orders of one side.

    Attributes:
      levels: by key, in order of time.
      keys: of them, rising.
      touch: the key of the newest quote of this side; every better level has nobody
        ahead of ours. None before the first.
      quoted: lots displayed at the touch, as the newest quote has it.
      displayed: likewise, less what was traded there since.
      shown: what they lost.
    """

    levels: dict[int, list[Group]] = msgspec.field(default_factory=dict)
    keys: list[int] = msgspec.field(default_factory=list)
    touch: int | None = None
    quoted: int = 0
    displayed: int = 0
    shown: Shown = msgspec.field(default_factory=Shown)

    def join(self, key: int, oid: str, now_ns: int, *, is_fresh: bool) -> None:
        """Put an order at the end of a level.

        Args:
          key: of its price.
          oid: its id.
          now_ns: when.
          is_fresh: whether the newest quote of this side is what there is.
        """
        ahead, shown = _UNKNOWN, 0
        if is_fresh and self.touch is not None and key <= self.touch:
            ahead = self.quoted if key == self.touch else 0
            shown = self.shown.at(now_ns) if ahead else 0
        if key not in self.levels:
            self.levels[key] = []
            insort(self.keys, key)
        groups = self.levels[key]
        last = groups[-1] if groups else None
        if last and last.ahead == ahead and last.shown.at(now_ns) == shown:
            last.oids[oid] = None
        else:
            until_ns = self.shown.until_ns if shown else 0
            groups.append(Group(ahead, {oid: None}, Shown(shown, until_ns)))

    def remove(self, key: int, oid: str) -> None:
        """Take an order out; nothing happens if it isn't there."""
        groups = self.levels.get(key)
        if groups is None:
            return
        for i, group in enumerate(groups):
            if oid in group.oids:
                del group.oids[oid]
                if not group.oids:
                    del groups[i]
                break
        if not groups:
            del self.levels[key]
            del self.keys[bisect_left(self.keys, key)]

    def quote(self, key: int, lots: int, now_ns: int, lag_ns: int) -> None:
        """Learn that the touch of this side is at *key* and displays *lots*.

        Args:
          key: of its price.
          lots: displayed there.
          now_ns: when it came.
          lag_ns: how much later the trades that it already shows may be told.
        """
        until_ns = now_ns + lag_ns
        if key == self.touch:
            self.shown.add(self.displayed - lots, now_ns, until_ns)
        else:
            start = 0 if self.touch is None else bisect_left(self.keys, self.touch)
            for left in self.keys[start : bisect_left(self.keys, key)]:
                oids = {oid: None for each in self.levels[left] for oid in each.oids}
                self.levels[left] = [Group(0, oids)]
            self.shown = Shown(_ALL, until_ns)
        self.touch, self.quoted, self.displayed = key, lots, lots
        if key in self.levels:
            _pull(self.levels[key], lots, now_ns, until_ns)

    def trade(
        self, key: int, lots: int, *, hits: bool, now_ns: int, offer: Offer
    ) -> int:
        """Let a trade go through this side; return the lots that are left of it.

        Args:
          key: of its price.
          lots: traded.
          hits: whether its taker came from the other side, as far as is known. If not,
            it is told of this side only where the level is bare.
          now_ns: when it came.
          offer: is called for each order that its turn has come to.
        """
        if hits and key == self.touch:
            self.displayed -= lots - self.shown.use(lots, now_ns)
            self.displayed = max(0, self.displayed)
        for through in self.keys[: bisect_left(self.keys, key)]:
            lots = _fill_all(self.levels.get(through, []), lots, offer)
            if not lots:
                return 0
        is_bare = self.touch is not None and key < self.touch
        if key in self.levels and (hits or is_bare):
            lots = _trade_at(self.levels[key], lots, now_ns, offer)
        return lots


def _pull(groups: list[Group], lots: int, now_ns: int, until_ns: int) -> None:
    """Nobody of a level has more than *lots* ahead; who had, is together now."""
    kept: list[Group] = []
    for group in groups:
        if group.ahead == _UNKNOWN:
            # at the end of what is displayed, and of that which is told later
            group.shown = Shown(_ALL, until_ns)
            group.ahead = lots
        elif group.ahead > lots:
            group.shown.add(group.ahead - lots, now_ns, until_ns)
            group.ahead = lots
        before = kept[-1] if kept else None
        if before and before.ahead == group.ahead == lots:
            before.oids.update(group.oids)
            if group.shown.at(now_ns) > before.shown.at(now_ns):
                before.shown = group.shown
        else:
            kept.append(group)
    groups[:] = kept


def _fill_all(groups: list[Group], lots: int, offer: Offer) -> int:
    """Offer to the orders of a level, first come first served; return what is left."""
    for oid in [oid for group in groups for oid in group.oids]:
        if not lots:
            break
        lots -= offer(oid, lots)
    return lots


def _trade_at(groups: list[Group], lots: int, now_ns: int, offer: Offer) -> int:
    """Let a trade come to a level; return what is left of it.

    Others take their part before each order of ours that they are ahead of, and what
    they take moves all of ours.
    """
    others = 0
    for group in list(groups):
        if group.ahead == _UNKNOWN:
            others, lots = others + lots, 0
        ahead = group.ahead + group.shown.at(now_ns)
        before = min(lots, max(0, ahead - others))
        others, lots = others + before, lots - before
        if not lots:
            break
        lots = _fill_all([group], lots, offer)
    for group in groups:
        moved = others - group.shown.use(others, now_ns)
        if group.ahead != _UNKNOWN:
            group.ahead = max(0, group.ahead - moved)
    return lots
