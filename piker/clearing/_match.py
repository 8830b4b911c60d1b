"""The paper market: what would have become of our orders at the venue.

    orders, edits, cancels --latency--> [what is due, in order] --> the floor
    quotes, trades, a feed lost and back -------------------------> the floor
    the floor --> acks, statuses, fills, refusals

Pure: the time comes with each input, and what comes out depends on nothing else, so
that the same inputs give the same events. A tick counts when it came here, not when the
venue says it was: latency is the way of an order there and that of the ticks back.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from decimal import Decimal
from typing import Final, Literal

from piker.errors import UsageError
from piker.msgs import (
    PAPER,
    BrokerdMsg,
    BrokerdOrder,
    BrokerdStatus,
    MktPair,
    Tick,
    is_same,
)

from ._floor import Floor
from ._grid import Grid
from ._paper_order import PaperOrder, status_of
from ._paper_rules import PaperRules
from ._paper_state import Coming, PaperState

#: A clock that is so much behind what it said before was turned back.
_TURNED_BACK_NS: Final = 1_000_000_000


class PaperMarket:
    """One market, cleared on paper.

    Each input is given the market's time, which never runs back, and returns what is to
    be told, in order. The times told are the market's, and a fill's serial is 0: the
    ledger gives it.
    """

    def __init__(
        self,
        mkt: MktPair,
        rules: PaperRules,
        *,
        position: Decimal = Decimal(0),
        state: PaperState | None = None,
    ) -> None:
        """Open the market.

        Args:
          mkt: the market.
          rules: what it is like.
          position: held so far, base units.
          state: of a market to go on from; *position* is in it.
        """
        start = state or PaperState(position=Grid(mkt).whole_lots(position))
        self._floor = Floor(mkt, rules, start)

    @property
    def state(self) -> PaperState:
        """All there is to the market; another one given it goes on from there."""
        return self._floor.state

    # -- orders ------------------------------------------------------------------------

    def submit(self, time_ns: int, asked: BrokerdOrder) -> list[BrokerdMsg]:
        """Take a new order; the same once more is answered with what became of it."""
        self._reach(time_ns)
        known = self.state.orders.get(asked.oid)
        if known is not None:
            if is_same(known.asked, asked):
                self._floor.ack(known, 0)
                self._floor.tell(known)
            else:
                self._floor.refuse(
                    asked, f"the id {asked.oid!r} is that of another order"
                )
        elif asked.rev or asked.reqid:
            self._floor.refuse(
                asked, f"no order {asked.oid!r} is known that could be changed"
            )
        else:
            self._accept(asked)
        return self._told()

    def _accept(self, asked: BrokerdOrder) -> None:
        try:
            price, lots = self._check(asked)
        except UsageError as e:
            self._floor.refuse(asked, str(e))
            return
        due_ns = self.state.now_ns + self._floor.rules.latency_ns
        order = PaperOrder(asked=asked, price=price, lots=lots, due_ns=due_ns)
        self.state.orders[asked.oid] = order
        self._floor.ack(order, 0)
        self._send("order", order, due_ns)

    def change(self, time_ns: int, asked: BrokerdOrder) -> list[BrokerdMsg]:
        """Take a change of an order; the same once more is no other."""
        self._reach(time_ns)
        order = self.state.orders.get(asked.oid)
        if order is None:
            self._floor.refuse(
                asked, f"no order {asked.oid!r} is known that could be changed"
            )
        elif order.edit is not None and is_same(order.edit, asked):
            self._repeat(order, asked)
        elif why := self._unchangeable(order, asked):
            self._floor.refuse(asked, why)
        else:
            order.edit, order.refused = asked, ""
            self._send("edit", order, self.state.now_ns + self._floor.rules.latency_ns)
        return self._told()

    def _repeat(self, order: PaperOrder, asked: BrokerdOrder) -> None:
        if order.refused:
            self._floor.refuse(asked, order.refused)
        elif order.rev == asked.rev:
            self._floor.ack(order, order.rev)
            self._floor.tell(order)

    def _unchangeable(self, order: PaperOrder, asked: BrokerdOrder) -> str:
        """Return why an order can't be changed so, empty if it can."""
        newest = order.edit.rev if order.edit else 0
        why = ""
        if asked.reqid != order.reqid:
            why = f"the order {asked.oid!r} is {order.reqid!r}, not {asked.reqid!r}"
        elif asked.rev <= newest:
            why = f"revision {asked.rev} comes after revision {newest}"
        elif order.edit and order.rev < newest and not order.refused:
            why = f"revision {newest} is still on its way"
        elif asked.action != order.action:
            why = f"a {order.action} order can't become one to {asked.action}"
        elif not order.is_live:
            why = f"the order is {order.state}"
        else:
            try:
                self._check(asked)
            except UsageError as e:
                why = str(e)
        return why

    def cancel(self, time_ns: int, oid: str) -> list[BrokerdMsg]:
        """End an order; asked twice it is asked once. It loses to a fill before it."""
        self._reach(time_ns)
        order = self.state.orders.get(oid)
        if order is None:
            self._floor.refuse_cancel(oid, f"no order {oid!r} is known")
        elif order.state == "canceled":
            self._floor.tell(order)
        elif not order.is_live:
            self._floor.refuse_cancel(oid, f"the order is {order.state}")
        elif not order.cancel_asked:
            order.cancel_asked = True
            due_ns = self.state.now_ns + self._floor.rules.cancel_latency_ns
            self._send("cancel", order, due_ns)
        return self._told()

    def status(self, oid: str) -> BrokerdStatus | None:
        """Return what has become of an order; None if it isn't known, or no more."""
        order = self.state.orders.get(oid)
        if order is None:
            return None
        return status_of(order, self._floor.grid, self.state.now_ns)

    def open_orders(self) -> list[BrokerdStatus]:
        """Return how each order is that may still be filled, in order of coming."""
        live = (each for each in self.state.orders.values() if each.is_live)
        return [status_of(each, self._floor.grid, self.state.now_ns) for each in live]

    @property
    def live(self) -> int:
        """How many orders may still be filled."""
        return len(self.state.orders) - len(self.state.ended)

    def forget_ended(self) -> None:
        """Forget the orders that are over: who calls answers for them from now on."""
        for oid in self.state.ended:
            del self.state.orders[oid]
        self.state.ended.clear()

    def hold(self, position: Decimal) -> None:
        """Learn what is held, base units, where others traded too."""
        self.state.position = self._floor.grid.whole_lots(position)

    # -- the market --------------------------------------------------------------------

    def advance(self, now_ns: int) -> list[BrokerdMsg]:
        """Let time pass: what is due by then counts."""
        self._reach(now_ns)
        return self._told()

    @property
    def due_ns(self) -> int | None:
        """When something counts next, None if nothing is on its way."""
        return self.state.coming[0].due_ns if self.state.coming else None

    def ticks(self, time_ns: int, ticks: Iterable[Tick]) -> list[BrokerdMsg]:
        """Take what the market said, in order; an order due just now is behind it."""
        self._reach(time_ns - 1)
        state = self.state
        state.now_ns = max(state.now_ns, time_ns)
        if not state.touch.is_down:
            for tick in ticks:
                state.touch.heard_ns = state.now_ns
                if tick.type == "trade":
                    self._floor.quoted()
                    self._floor.traded(tick)
                else:
                    self._floor.quote(tick)
            self._floor.quoted()
        return self._told()

    def connection_lost(self, time_ns: int) -> list[BrokerdMsg]:
        """The feed is disconnected: nothing is filled until it is back, and quotes."""
        self._reach(time_ns)
        self.state.touch.lost()
        return self._told()

    def connection_back(self, time_ns: int) -> list[BrokerdMsg]:
        """The feed is there again; what was traded meanwhile is not known.

        Where a replay began again its clock is turned back: what was due is, by then.
        """
        state = self.state
        if state.now_ns - time_ns > _TURNED_BACK_NS:
            self._reach(max((each.due_ns for each in state.coming), default=0))
            state.now_ns = time_ns
            for order in state.orders.values():
                order.due_ns = min(order.due_ns, time_ns)
        self._reach(time_ns)
        state.touch.is_down, state.touch.heard_ns = False, state.now_ns
        state.last_tid = -1
        return self._told()

    # -- what counts -------------------------------------------------------------------

    def _send(
        self, kind: Literal["order", "edit", "cancel"], order: PaperOrder, due_ns: int
    ) -> None:
        """Put something on its way; nothing of an order overtakes what went before."""
        state = self.state
        order.due_ns = max(order.due_ns, due_ns)
        state.serial += 1
        coming = Coming(order.due_ns, state.serial, kind, order.oid)
        heapq.heappush(state.coming, coming)
        self._reach(state.now_ns)

    def _reach(self, time_ns: int) -> None:
        """Let all count that is due by then."""
        state = self.state
        while state.coming and state.coming[0].due_ns <= time_ns:
            coming = heapq.heappop(state.coming)
            state.now_ns = max(state.now_ns, coming.due_ns)
            order = state.orders.get(coming.oid)
            if order is not None:
                self._count(coming.kind, order)
        state.now_ns = max(state.now_ns, time_ns)

    def _count(self, kind: str, order: PaperOrder) -> None:
        if kind == "order":
            self._floor.place(order)
        elif kind == "edit":
            self._edit(order)
        elif order.is_live:
            self._floor.end(order, "canceled", "canceled by request")
        elif order.state == "closed":
            self._floor.refuse_cancel(order.oid, "it was filled before the cancel came")

    def _edit(self, order: PaperOrder) -> None:
        """Let the newest change of an order count, or say why it can't."""
        asked = order.edit
        assert asked is not None, "a change is kept until it counts"
        price, lots = self._check(asked)
        order.refused = self._refused_edit(order, price, lots)
        if order.refused:
            self._floor.refuse(asked, order.refused)
            return
        keeps_place = price == order.price and lots <= order.lots
        if not keeps_place:
            self._floor.remove(order)
        order.rev, order.price, order.lots = asked.rev, price, lots
        self._floor.ack(order, order.rev)
        if lots == order.filled:
            self._floor.end(order, "closed", "")
        elif keeps_place:
            self._floor.tell(order)
        else:
            order.state = "sent"
            self._floor.place(order)

    def _refused_edit(self, order: PaperOrder, price: int, lots: int) -> str:
        if not order.is_live:
            return f"the order was {order.state} before the edit came"
        if lots < order.filled:
            filled = self._floor.grid.size(order.filled)
            return f"a size must be at least {filled}, which is filled already"
        best = self.state.touch.opposite(order.side).price
        takes = best is not None and (best - price) * order.side <= 0
        if order.asked.post_only and takes and not self._floor.unfit():
            return "post-only: at this price it would take"
        return ""

    def _check(self, asked: BrokerdOrder) -> tuple[int, int]:
        """Return price and size in ticks; raises UsageError if the order is none."""
        if asked.account != PAPER:
            raise UsageError(f"the account here is {PAPER!r}, not {asked.account!r}")
        if asked.symbol != self._floor.mkt.bs_fqme:
            raise UsageError(
                f"the market here is {self._floor.mkt.bs_fqme!r}, not {asked.symbol!r}"
            )
        lots = self._floor.grid.exact_lots(asked.size)
        if lots <= 0:
            raise UsageError(f"a size must be > 0, got {str(asked.size)!r}")
        return self._floor.grid.exact_price(asked.price), lots

    def _told(self) -> list[BrokerdMsg]:
        """Return what is to be told, once."""
        out, self._floor.out = self._floor.out, []
        return out
