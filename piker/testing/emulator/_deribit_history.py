"""What an account did at the emulated Deribit: trades, orders, settlements, the log.

By https://docs.deribit.com/api-reference/trading/private-get_user_trades_by_instrument
and its siblings. What is asked for without ``historical`` is of a day, or half an hour
for orders; with it, what was indexed, which takes a while.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from ._accounts import Account
from ._deribit_holdings import Holdings
from ._deribit_margin import Margins
from ._deribit_said import flag, number, one_of, text, wrong
from ._deribit_ticket import Fill
from ._deribit_told import fill_row, order_row
from ._deribit_world import World
from ._exchange import Order

_TRADES_MS: Final = 86_400_000
_ORDERS_MS: Final = 1_800_000
_INDEXED_MS: Final = 1000
_SORTS: Final = ("asc", "desc", "default")
_KINDS: Final = ("future", "option", "spot", "future_combo", "option_combo", "combo",
                 "any")  # fmt: skip
_SETTLED: Final = ("settlement", "delivery", "bankruptcy")

Params = dict[str, Any]


class History:
    """See the module.

    Attributes:
      settlements: by account, the oldest first, as they are told.
    """

    def __init__(self, margins: Margins, world: World, holdings: Holdings) -> None:
        self._margins, self._world, self._holdings = margins, world, holdings
        self.settlements: dict[str, list[dict[str, Any]]] = {}

    def act(self, method: str, account: Account, params: Params) -> Any:
        """Do what a method asks for; KeyError if it isn't one of these."""
        acts: dict[str, Callable[[], Any]] = {
            "get_user_trades_by_instrument": partial(self._by_instrument, account,
                                                     params),
            "get_user_trades_by_instrument_and_time": partial(
                self._by_instrument, account, params, needs=True),
            "get_user_trades_by_currency": partial(self._by_currency, account, params),
            "get_user_trades_by_currency_and_time": partial(
                self._by_currency, account, params, needs=True),
            "get_user_trades_by_order": partial(self._by_order, account, params),
            "get_order_history_by_currency": partial(self._orders, account, params,
                                                     needs="currency"),
            "get_order_history_by_instrument": partial(self._orders, account, params,
                                                       needs="instrument_name"),
            "get_settlement_history_by_currency": partial(
                self._settled, account, params, needs="currency"),
            "get_settlement_history_by_instrument": partial(
                self._settled, account, params, needs="instrument_name"),
            "get_transaction_log": partial(self._log, account, params),
        }  # fmt: skip
        return acts[method]()

    # -- trades -------------------------------------------------------------------

    def _fills(self, account: Account, params: Params) -> list[Fill]:
        """Return an account's trades of the age that is asked for."""
        ago_ms = self._margins.now_ms() - _TRADES_MS
        until_ms = self._margins.now_ms() - _INDEXED_MS
        is_old = flag(params, "historical")
        return [
            one
            for one in self._margins.fills
            if one.trade.order.account == account.name
            and (one.deal.time_ms <= until_ms if is_old else one.deal.time_ms >= ago_ms)
        ]

    def _by_instrument(
        self, account: Account, params: Params, *, needs: bool = False
    ) -> Any:
        series = self._world.find(params)
        first, last = number(params, "start_seq", 0), number(params, "end_seq", 0)
        some = [
            one
            for one in self._fills(account, params)
            if one.trade.order.symbol == series.inst.name
            and first <= one.deal.seq <= (last or one.deal.seq)
        ]
        return self._page(some, params, needs=needs, is_first=first > 0)

    def _by_currency(
        self, account: Account, params: Params, *, needs: bool = False
    ) -> Any:
        currency, kind = text(params, "currency"), one_of(params, "kind", _KINDS, "any")
        first, last = _tid(params, "start_id"), _tid(params, "end_id")
        some = []
        for one in self._fills(account, params):
            inst = self._world.series[one.trade.order.symbol].inst
            if (
                currency == inst.currency
                and kind in ("any", inst.kind)
                and first <= one.deal.tid <= (last or one.deal.tid)
            ):
                some.append(one)
        return self._page(some, params, needs=needs, is_first=first > 0)

    def _page(
        self, some: list[Fill], params: Params, *, needs: bool, is_first: bool
    ) -> dict[str, Any]:
        """Return so many of *some*, the first or the last ones of a time."""
        default = {} if needs else {"start_timestamp": 0, "end_timestamp": 0}
        asked = default | params
        first, last = number(asked, "start_timestamp"), number(asked, "end_timestamp")
        some = [one for one in some
                if first <= one.deal.time_ms <= (last or one.deal.time_ms)]  # fmt: skip
        most = _count(params, 10)
        sort = one_of(params, "sorting", _SORTS, "default")
        if sort == "default":
            sort = "asc" if is_first or first else "desc"
        chosen = some[:most] if sort == "asc" else some[::-1][:most]
        rows = [self._row(one) for one in chosen]
        return {"trades": rows, "has_more": len(some) > most}

    def _row(self, one: Fill) -> dict[str, Any]:
        return fill_row(self._world.series[one.trade.order.symbol], one)

    def _by_order(self, account: Account, params: Params) -> Any:
        order = self._holdings.find(account, text(params, "order_id"))
        some = [
            one
            for one in self._fills(account, params)
            if one.trade.order.serial == order.serial
        ]
        rows = [self._row(one) for one in some]
        sort = one_of(params, "sorting", _SORTS, "default")
        return rows[::-1] if sort == "desc" else rows

    # -- orders -------------------------------------------------------------------

    def _orders(self, account: Account, params: Params, *, needs: str) -> Any:
        """Return orders that are over, the newest first."""
        text(params, needs)
        kind = one_of(params, "kind", _KINDS, "any")
        is_old, unfilled = flag(params, "historical"), flag(params, "include_unfilled")
        ago_ms = self._margins.now_ms() - _ORDERS_MS
        until_ms = self._margins.now_ms() - _INDEXED_MS

        def fits(one: Order) -> bool:
            inst = self._world.series[one.symbol].inst
            return (
                one.account == account.name
                and one.is_over
                and params.get("currency") in (None, inst.currency)
                and params.get("instrument_name") in (None, inst.name)
                and kind in ("any", inst.kind)
                and bool(unfilled or one.filled)
                and (one.changed_ms <= until_ms if is_old else one.changed_ms >= ago_ms)
            )

        some = [one for one in self._margins.orders.values() if fits(one)]
        some.sort(key=lambda one: (one.changed_ms, one.serial), reverse=True)
        begin = number(params, "continuation", 0) or number(params, "offset", 0)
        most = _count(params, 20)
        rows = [order_row(self._world.series[one.symbol], one)
                for one in some[begin : begin + most]]  # fmt: skip
        if not flag(params, "with_continuation"):
            return rows
        more = str(begin + most) if len(some) > begin + most else None
        return {"orders": rows, "continuation": more}

    # -- settlements, the log -----------------------------------------------------

    def _settled(self, account: Account, params: Params, *, needs: str) -> Any:
        wanted = text(params, needs)
        kind = params.get("type")
        if kind is not None:
            one_of(params, "type", _SETTLED)
        latest = number(params, "search_start_timestamp", 0)
        some = [
            row
            for row in self.settlements.get(account.name, [])
            if kind in (None, row["type"])
            and (not latest or row["timestamp"] <= latest)
            and self._is_of(row["instrument_name"], needs, wanted)
        ]
        return _continued(some, params, "settlements", 20, 1000)

    def _is_of(self, name: str, needs: str, wanted: str) -> bool:
        if needs == "instrument_name":
            return name == wanted
        return self._world.series[name].inst.currency == wanted

    def _log(self, account: Account, params: Params) -> Any:
        currency = text(params, "currency")
        first, last = number(params, "start_timestamp"), number(params, "end_timestamp")
        words = text(params, "query", "").split()
        some = [
            row
            for row in self._margins.log.rows.get(account.name, [])
            if row["currency"] == currency
            and first <= row["timestamp"] <= last
            and all(self._fits(row, word) for word in words)
        ]
        return _continued(some, params, "logs", 100, 250)

    def _fits(self, row: dict[str, Any], word: str) -> bool:
        series = self._world.series.get(row["instrument_name"] or "")
        kind = series.inst.kind if series is not None else ""
        return word in (row["type"], row.get("user_role"), kind, *row["side"].split())


def _continued(
    some: list[dict[str, Any]], params: Params, name: str, usual: int, most: int
) -> dict[str, Any]:
    """Return a page, the newest first, and where the next one begins."""
    begin = number(params, "continuation", 0)
    count = _count(params, usual, most)
    rows = some[::-1]
    left = len(rows) > begin + count
    following: Any = begin + count if left else None
    if left and name == "settlements":
        following = str(following)
    return {name: rows[begin : begin + count], "continuation": following}


def _count(params: Params, usual: int, most: int = 1000) -> int:
    count = number(params, "count", usual)
    if not 1 <= count <= most:
        raise wrong("count", f"must be between 1 and {most}")
    return count


def _tid(params: Params, name: str) -> int:
    """Return the number of a trade's id, 0 if none is told."""
    value = str(params.get(name) or "0").rpartition("-")[2]
    if not value.isdigit():
        raise wrong(name)
    return int(value)
