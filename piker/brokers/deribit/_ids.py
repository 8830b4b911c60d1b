"""By which ids orders at Deribit are known: one for each, all its life.

    a stop SLTB-7, of our label --its price comes--> the order 7, of the same label

What is known of an order here is kept by its first id; requests are for the newest.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Final

from ._order_schemas import OrderRow

#: Our labels: `piker.brokers._live._client_ids`.
_OURS: Final = re.compile(r"[0-9a-f]{32}")
_KNOWN: Final = 10_000


class Ids:
    """By which ids orders are known: one for each, whatever the venue calls it later.

    A stop that counts becomes an order of another id, of the same label.
    """

    def __init__(self) -> None:
        self._first: OrderedDict[str, str] = OrderedDict()
        self._by_id: OrderedDict[str, str] = OrderedDict()
        self._now: OrderedDict[str, str] = OrderedDict()

    def learn(self, row: OrderRow) -> str:
        """Return by which id an order is known, and note what it is called now."""
        known = row.trigger_order_id or self._by_id.get(row.order_id)
        if known is None and _OURS.fullmatch(row.label):
            known = self._first.get(row.label)
        known = known or row.order_id
        if _OURS.fullmatch(row.label):
            _keep(self._first, row.label, known)
        if row.order_id != known:
            _keep(self._by_id, row.order_id, known)
            _keep(self._now, known, row.order_id)
        return known

    def known(self, order_id: str, label: str = "") -> str:
        """Return by which id the order of a trade is known."""
        found = self._by_id.get(order_id)
        if found is None and _OURS.fullmatch(label):
            found = self._first.get(label)
        return found or order_id

    def now(self, reqid: str) -> str:
        """Return what the venue calls an order now."""
        return self._now.get(reqid, reqid)


def _keep(ids: OrderedDict[str, str], key: str, value: str) -> None:
    ids[key] = value
    ids.move_to_end(key)
    if len(ids) > _KNOWN:
        ids.popitem(last=False)
