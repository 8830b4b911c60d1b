"""Orders of an account that live, or lived a while ago, by each of their ids."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

from ._client_ids import client_id
from ._live_order import LiveOrder
from ._reconcile import oid_of
from ._venue import OrderState, VenueTrade

#: Orders that are over and still known, the newest.
_OVER_KEPT: Final = 10_000


class KnownOrders:
    """Orders by emsd's id, by the client's of each revision, and by the venue's.

    Attributes:
      live: those that aren't known to be over, by emsd's id.
    """

    def __init__(self) -> None:
        self.live: dict[str, LiveOrder] = {}
        self._over: OrderedDict[str, LiveOrder] = OrderedDict()
        self._ghosts: deque[str] = deque()
        self._by_cl_id: dict[str, str] = {}
        self._by_reqid: dict[str, str] = {}

    def get(self, oid: str) -> LiveOrder | None:
        """Return an order, also one that is over."""
        return self.live.get(oid) or self._over.get(oid)

    def of(self, state: OrderState) -> LiveOrder | None:
        """Return the order that a state is of."""
        oid = self._by_cl_id.get(state.cl_id) or self._by_reqid.get(state.reqid, "")
        return self.get(oid)

    def is_ghost(self, state: OrderState) -> bool:
        """Tell whether a state is of an order of ours that was told to be refused."""
        return state.cl_id in self._by_cl_id and self.of(state) is None

    def add(self, order: LiveOrder) -> None:
        """Know an order by emsd's id."""
        self.live[order.oid] = order

    def name(self, oid: str, *cl_ids: str, reqid: str = "") -> None:
        """Know an order by ids of the client, too, and by one of the venue's."""
        self._by_cl_id.update(dict.fromkeys(cl_ids, oid))
        if reqid:
            self._by_reqid[reqid] = oid

    def oid_of(self, trade: VenueTrade) -> str:
        """Return whose order a trade is of, empty of one from elsewhere."""
        return oid_of(trade, self._by_cl_id, self._by_reqid)

    def oid_by(self, reqid: str) -> str:
        """Return whose order has an id of the venue's, empty of one from elsewhere."""
        return self._by_reqid.get(reqid, "")

    def drop(self, order: LiveOrder) -> None:
        """Know an order no more that never was; it may be there all the same."""
        self.live.pop(order.oid, None)
        self._ghosts.append(client_id(order.oid, 0))
        if len(self._ghosts) > _OVER_KEPT:
            self._by_cl_id.pop(self._ghosts.popleft(), None)

    def end(self, order: LiveOrder) -> None:
        """Keep an order that is over among those, for a while."""
        self.live.pop(order.oid, None)
        self._over[order.oid] = order
        while len(self._over) > _OVER_KEPT:
            _, old = self._over.popitem(last=False)
            for cl_id in old.client_ids:
                self._by_cl_id.pop(cl_id, None)
            for reqid in old.states:
                self._by_reqid.pop(reqid, None)
