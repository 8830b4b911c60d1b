"""What a venue could have filled at most, told by someone who wasn't asked.

It knows nothing of the engine: it walks the same ticks, reads what the engine said, and
bounds each order by sums over the market's own trades and displays:

    filled while resting  <=  traded through the price since it was there
                           +  max over all moments s since then of
                              (traded at the price since s) - (displayed there at s)

where nothing is displayed on a level better than the touch, and any amount may be on
one that is worse.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from math import isnan

from piker.msgs import BrokerdFill, BrokerdMsg, BrokerdStatus, Tick

ZERO = Decimal(0)
_ANY_AMOUNT = Decimal("Infinity")


def exact(number: float) -> Decimal:
    return Decimal(repr(number))


@dataclass
class Best:
    """A side's quote; what came to be displayed at this price, and what was taken."""

    price: Decimal | None = None
    size: Decimal = ZERO
    supply: Decimal = ZERO
    taken: Decimal = ZERO

    def told(self, tick: Tick) -> Best:
        if isnan(tick.price):
            return Best()
        price, size = exact(tick.price), exact(tick.size)
        if price == self.price:
            supply = self.supply + max(ZERO, size - self.size)
            return Best(price, size, supply, self.taken)
        return Best(price, size, size)


@dataclass
class Resting:
    """An order as the market sees it."""

    side: int
    price: Decimal
    size: Decimal
    filled: Decimal = ZERO
    resting: Decimal = ZERO
    through: Decimal = ZERO
    at: Decimal = ZERO
    front: Decimal = -_ANY_AMOUNT  # max over s of -(at when s was) - (displayed at s)

    def see(self, best: Best) -> None:
        """Note what is displayed on its level now."""
        if best.price is None:
            return
        behind = (self.price - best.price) * self.side
        if behind >= 0:
            displayed = ZERO if behind > 0 else best.size
            self.front = max(self.front, -self.at - displayed)

    def hear(self, tick: Tick, best: Best) -> None:
        """Note a trade."""
        price, size = exact(tick.price), exact(tick.size)
        beyond = (self.price - price) * self.side
        bare = best.price is not None and (self.price - best.price) * self.side > 0
        if beyond > 0:
            self.through += size
        elif beyond == 0 and (tick.side != self.side or bare):
            self.at += size

    @property
    def bound(self) -> Decimal:
        return self.through + max(ZERO, self.at + self.front)


@dataclass
class Checker:
    """Walks along; each step is told the ticks of one frame and what was answered."""

    quotes: dict[int, Best] = field(default_factory=lambda: {1: Best(), -1: Best()})
    orders: dict[str, Resting] = field(default_factory=dict)
    position: Decimal = ZERO
    seen: Counter = field(default_factory=Counter)
    tids: set[str] = field(default_factory=set)
    ended: dict[str, Decimal] = field(default_factory=dict)
    reducers: set[str] = field(default_factory=set)
    is_down: bool = False

    def step(self, ticks: list[Tick], answers: list[BrokerdMsg]) -> None:
        old = dict(self.quotes)
        for tick in ticks:
            if tick.type in ("bid", "ask"):
                side = 1 if tick.type == "bid" else -1
                self.quotes[side] = self.quotes[side].told(tick)
        trades = [tick for tick in ticks if tick.type == "trade"]
        assert len(trades) <= 1
        assert len(trades) == len(ticks) or not trades
        limits: dict[str, Decimal] = {}  # of each fill, as told last before it
        for msg in answers:
            if isinstance(msg, BrokerdStatus) and msg.status == "open":
                self._on_open(msg, old)
            elif isinstance(msg, BrokerdFill):
                limits[msg.tid] = self.orders[msg.oid].price
        for order in self.orders.values():
            for tick in trades:
                order.hear(tick, self.quotes[order.side])
            if ticks and not trades:
                order.see(self.quotes[order.side])
        self._on_fills(answers, trades, old, limits)
        for msg in answers:
            if isinstance(msg, BrokerdStatus) and msg.status in ("closed", "canceled"):
                self._on_end(msg)

    def lose(self) -> None:
        self.is_down = True

    def find(self) -> None:
        self.is_down = False
        self.quotes = {1: Best(), -1: Best()}

    def _on_open(self, msg: BrokerdStatus, old: dict[int, Best]) -> None:
        side = 1 if msg.action == "buy" else -1
        order = self.orders.get(msg.oid)
        if order is None or order.price != msg.price or order.size < msg.size:
            filled = order.filled if order else ZERO
            order = Resting(side, msg.price, msg.size, filled)
            self.orders[msg.oid] = order
            order.see(old[side])
            order.see(self.quotes[side])
        order.size = msg.size
        self.seen["open"] += 1

    def _on_fills(
        self, answers, trades: list[Tick], old: dict[int, Best], limits
    ) -> None:
        resting = ZERO
        for msg in answers:
            if not isinstance(msg, BrokerdFill):
                continue
            assert not self.is_down
            assert msg.tid not in self.tids
            self.tids.add(msg.tid)
            order = self.orders[msg.oid]
            assert msg.size > 0
            order.filled += msg.size
            assert order.filled <= order.size
            before = self.position
            self.position += order.side * msg.size
            if msg.oid in self.reducers:
                assert before * order.side < 0
                assert self.position * before >= 0
            if msg.taker:
                self._on_taken(msg, order, old, limits[msg.tid])
            else:
                resting += msg.size
                self._on_rested(msg, order, trades)
        assert resting <= sum(exact(tick.size) for tick in trades)

    def _on_rested(self, msg, order: Resting, trades: list[Tick]) -> None:
        (tick,) = trades  # never without one
        assert msg.price == order.price
        assert (order.price - exact(tick.price)) * order.side >= 0, "at or through"
        order.resting += msg.size
        assert order.resting <= order.bound, (msg, order)
        self.seen["through" if exact(tick.price) != order.price else "at"] += 1

    def _on_taken(
        self, msg, order: Resting, old: dict[int, Best], limit: Decimal
    ) -> None:
        now = self.quotes[-order.side]
        best = now if now.price == msg.price else old[-order.side]
        assert best.price == msg.price, "at the touch"
        assert (msg.price - limit) * order.side <= 0, "within the limit"
        best.taken += msg.size
        assert best.taken <= best.supply
        self.seen["taken"] += 1

    def _on_end(self, msg: BrokerdStatus) -> None:
        order = self.orders.pop(msg.oid, None)
        filled = order.filled if order else self.ended.get(msg.oid, ZERO)
        self.ended[msg.oid] = filled
        assert msg.filled == filled
        assert msg.remaining == 0
        if msg.status == "closed":
            assert filled == msg.size
        self.seen[msg.status] += 1
