"""Where paper orders meet the market: they take, rest in a queue, are filled, and end.

    an order that is there --> takes what is displayed --> rests, or waits for more
    quotes --> who is ahead, and what there is to take
    trades --> through a level, or behind those ahead --> fills

It must never fill what a venue might not have filled: a trade is shared once over all
our orders, those ahead in the queue first, and a size that is displayed is taken once
until its price changes. Our own orders don't meet each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import Final, Literal

from piker.msgs import (
    PAPER,
    BrokerdError,
    BrokerdFill,
    BrokerdMsg,
    BrokerdOrder,
    BrokerdOrderAck,
    MktPair,
    Tick,
    refusal,
)

from ._grid import Grid
from ._paper_order import PaperOrder, reqid_of, status_of
from ._paper_rules import PaperRules
from ._paper_state import PaperState

#: Ended orders that are remembered, to answer who asks again.
_KEPT: Final = 4096
#: Steps behind the touch that one order takes from at most.
_MAX_STEPS: Final = 100
_SIDES: Final = {"bid": 1, "bsize": 1, "ask": -1, "asize": -1}


class Floor:
    """The floor of one market.

    Attributes:
      mkt: the market.
      rules: what it is like.
      grid: its ticks.
      state: all there is to it.
      out: what is to be told.
    """

    def __init__(self, mkt: MktPair, rules: PaperRules, state: PaperState) -> None:
        """Go on from *state*."""
        self.mkt, self.rules, self.state = mkt, rules, state
        self.grid = Grid(mkt)
        self.out: list[BrokerdMsg] = []

    # -- ticks -------------------------------------------------------------------------

    def quote(self, tick: Tick) -> None:
        """Take one side's quote; it counts with the next `quoted`."""
        side = _SIDES.get(tick.type)
        if side is None:
            return
        best = self.state.touch.same(side)
        price = best.price
        if tick.type in ("bid", "ask"):
            price = self.grid.price_ticks(tick.price) if isfinite(tick.price) else None
        best.tell(price, self.grid.lots(tick.size))

    def quoted(self) -> None:
        """Let what was quoted count, both sides at once: between them it may cross."""
        state = self.state
        bests = [(side, state.touch.same(side)) for side in (1, -1)]
        if not any(best.is_new for _, best in bests) or state.touch.is_crossed:
            return
        for side, best in bests:
            if best.is_new and best.price is not None:
                key, lag_ns = -side * best.price, self.rules.trade_lag_ns
                state.books[side].quote(key, best.lots, state.now_ns, lag_ns)
            best.is_new = False
        # A dict that was emptied key by key is walked as slowly as a full one.
        for oid in list(state.unsettled) if state.unsettled else ():
            if oid in state.unsettled:
                self.place(state.orders[oid])

    def traded(self, tick: Tick) -> None:
        """Share a trade over our resting orders, those first that its taker met."""
        lots = self.grid.lots(tick.size)
        if not lots or not isfinite(tick.price) or self._is_old(tick) or self.unfit():
            return
        price = self.grid.price_ticks(tick.price)
        for side in (-1, 1) if tick.side > 0 else (1, -1):
            lots = self.state.books[side].trade(
                -side * price,
                lots,
                hits=tick.side != side,
                now_ns=self.state.now_ns,
                offer=self._offer,
            )

    def _is_old(self, tick: Tick) -> bool:
        """Tell whether a trade is known, or from too long ago."""
        state = self.state
        if tick.tid >= 0:
            if tick.tid <= state.last_tid:
                return True
            state.last_tid = tick.tid
        age_ns = state.now_ns - tick.time_ns if tick.time_ns else 0
        return age_ns > self.rules.max_quote_age_ns

    def unfit(self) -> str:
        """Return why nothing may be filled now, empty if it may."""
        return self.state.touch.unfit(self.state.now_ns, self.rules.max_quote_age_ns)

    # -- in the market -----------------------------------------------------------------

    def place(self, order: PaperOrder) -> None:
        """Let an order meet the market: it takes, rests, waits for quotes or ends."""
        unfit = self.unfit()
        if unfit:
            self._wait(order, unfit)
            return
        if order.state != "open":
            refused = self._refused_at_market(order)
            if refused:
                self.end(order, "canceled", refused)
                return
            order.state = "open"
            self.tell(order)
        if order.asked.tif == "fok" and self._to_take(order) < order.remaining:
            self.end(order, "canceled", "not all of it was to be had at once")
            return
        self._take(order)
        if order.is_live:
            self._leave(order)

    def _wait(self, order: PaperOrder, why: str) -> None:
        """Keep an order until the market can be seen; one that must act now can't."""
        if order.asked.tif != "gtc":
            self.end(order, "canceled", f"nothing can be filled now: {why}")
            return
        self.state.unsettled[order.oid] = None
        if order.state == "sent":
            order.state, order.reason = "waiting", f"waits for the market: {why}"
            self.tell(order)

    def _refused_at_market(self, order: PaperOrder) -> str:
        """Return why the market doesn't take an order; cuts one that only reduces."""
        order.reason = ""
        if order.asked.post_only and order.crosses(self._opposite_price(order)):
            return "post-only: it would have taken"
        if order.asked.reduce_only:
            closable = self._closable(order.side)
            if not closable:
                return "reduce-only: there is no position to reduce"
            if order.remaining > closable:
                order.lots = order.filled + closable
                order.reason = "reduce-only: cut to the position"
            self.state.reducers[order.oid] = None
        return ""

    def _opposite_price(self, order: PaperOrder) -> int | None:
        return self.state.touch.opposite(order.side).price

    def _take(self, order: PaperOrder) -> None:
        """Fill from what is displayed, and from behind it as far as the rules say."""
        best = self.state.touch.opposite(order.side)
        for step, price in self._steps(order):
            lots = min(order.remaining, best.free(step))
            if not (order.is_live and order.remaining):
                return
            if lots > 0:
                best.take(step, self._fill(order, lots, price, taker=True))

    def _steps(self, order: PaperOrder) -> Iterator[tuple[int, int]]:
        """Yield the steps from the touch that an order crosses, and their prices."""
        best = self.state.touch.opposite(order.side)
        slippage = self.rules.slippage_ticks
        for step in range(_MAX_STEPS if slippage else 1):
            if best.price is None:
                return
            price = best.price + order.side * step * slippage
            if not order.crosses(price):
                return
            yield step, price

    def _to_take(self, order: PaperOrder) -> int:
        """Return how much an order could take at once."""
        best = self.state.touch.opposite(order.side)
        return sum(best.free(step) for step, _ in self._steps(order))

    def _leave(self, order: PaperOrder) -> None:
        """Leave what wasn't taken: it waits for more, or rests, or is at its end."""
        state = self.state
        if order.asked.tif != "gtc":
            self.end(order, "canceled", "no more was to be had at once")
            return
        order.is_taking = order.crosses(self._opposite_price(order))
        if order.is_taking:
            state.unsettled[order.oid] = None
            return
        state.unsettled.pop(order.oid, None)
        fresh = state.touch.same(order.side).price is not None
        state.books[order.side].join(order.key, order.oid, state.now_ns, is_fresh=fresh)

    def _offer(self, oid: str, lots: int) -> int:
        """Fill a resting order with a part of a trade; return how much it took."""
        order = self.state.orders[oid]
        lots = min(lots, order.remaining)
        return self._fill(order, lots, order.price, taker=False)

    def _fill(self, order: PaperOrder, lots: int, price: int, *, taker: bool) -> int:
        """Execute a part of an order; return how much, for it may take less."""
        if not order.is_live:
            return 0
        if order.asked.reduce_only:
            lots = min(lots, self._closable(order.side))
        if lots <= 0:
            return 0
        order.filled += lots
        order.fills += 1
        self.state.position += order.side * lots
        self.out.append(self._fill_of(order, lots, price, taker))
        if not order.remaining:
            self.end(order, "closed", "")
        self._end_reducers()
        return lots

    def _fill_of(
        self, order: PaperOrder, lots: int, price: int, taker: bool
    ) -> BrokerdFill:
        size, at = self.grid.size(lots), self.grid.price(price)
        return BrokerdFill(
            oid=order.oid,
            reqid=order.reqid,
            tid=f"{order.reqid}.{order.fills}",
            seq=0,
            account=PAPER,
            symbol=self.mkt.fqme,
            action=order.action,
            size=size,
            price=at,
            cost=self.rules.get_cost(self.mkt, at, size, taker),
            time_ns=self.state.now_ns,
            broker_time_ns=self.state.now_ns,
            taker=taker,
        )

    def _closable(self, side: int) -> int:
        """Return the lots that orders of *side* may take off the position."""
        return max(0, -side * self.state.position)

    def _end_reducers(self) -> None:
        """End the orders that have nothing to reduce any more."""
        for oid in list(self.state.reducers) if self.state.reducers else ():
            order = self.state.orders[oid]
            if not self._closable(order.side):
                self.end(order, "canceled", "reduce-only: the position is closed")

    def remove(self, order: PaperOrder) -> None:
        """Take an order out of the market."""
        self.state.books[order.side].remove(order.key, order.oid)
        self.state.unsettled.pop(order.oid, None)

    def end(
        self, order: PaperOrder, how: Literal["closed", "canceled"], reason: str
    ) -> None:
        state = self.state
        self.remove(order)
        state.reducers.pop(order.oid, None)
        order.state, order.reason, order.is_taking = how, reason, False
        state.ended[order.oid] = None
        if len(state.ended) > _KEPT:
            oldest = next(iter(state.ended))
            del state.ended[oldest], state.orders[oldest]
        self.tell(order)

    def ack(self, order: PaperOrder, rev: int) -> None:
        ack = BrokerdOrderAck(oid=order.oid, rev=rev, reqid=order.reqid, account=PAPER)
        self.out.append(ack)

    def tell(self, order: PaperOrder) -> None:
        self.out.append(status_of(order, self.grid, self.state.now_ns))

    def refuse(self, asked: BrokerdOrder, reason: str) -> None:
        self.out.append(refusal(asked, reason))

    def refuse_cancel(self, oid: str, reason: str) -> None:
        known = oid in self.state.orders
        self.out.append(
            BrokerdError(
                reason=reason,
                request="cancel",
                oid=oid,
                reqid=reqid_of(oid) if known else "",
                symbol=self.mkt.bs_fqme if known else "",
            )
        )
