"""What may be asked of Kraken spot about an account, and what comes of it.

    a request of REST or of the websocket --> Exchange --> a result, or Said: an error

By https://docs.kraken.com/api/docs/rest-api/{get-open-orders,get-closed-orders,
get-orders-info,get-trade-history,get-trades-info,get-account-balance},
https://docs.kraken.com/api/docs/websocket-v2/{add_order,amend_order,cancel_order} and
https://docs.kraken.com/api/docs/guides/spot-errors.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from ._accounts import Account, Accounts
from ._exchange import Kind, Order, Refused, Side, Tif, Trade, Why
from ._kraken_names import Pair
from ._kraken_rows import order_id, rest_row, trade_id, trade_row
from ._private import Refusal

_PAGE: Final = 50
_TXIDS: Final = 50
_KINDS: Final[dict[Any, Kind]] = {
    "limit": "limit", "market": "market", "stop-loss": "stop",
    "stop-loss-limit": "stop_limit",
}  # fmt: skip
_TIFS: Final[dict[str, Tif]] = {"gtc": "gtc", "ioc": "ioc", "fok": "fok"}
_WHYS: Final[dict[Why, str]] = {
    "symbol": "EQuery:Unknown asset pair",
    "halted": "EService:Market in cancel_only mode",
    "tick": "EOrder:Tick size check failed",
    "price_range": "EGeneral:Invalid arguments:price",
    "lot": "EGeneral:Invalid arguments:volume",
    "size_range": "EOrder:Order minimum not met",
    "notional": "EOrder:Cost minimum not met",
    "many": "EOrder:Orders limit exceeded",
    "funds": "EOrder:Insufficient funds",
    "post_only": "EOrder:Post only order",
    "would_trigger": "EGeneral:Invalid arguments:price",
    "duplicate": "EGeneral:Invalid arguments:cl_ord_id",
    "unknown": "EOrder:Unknown order",
    "over": "EOrder:Unknown order",
}


class Said(Refusal):
    """An answer that is an error, in the venue's words."""


class KrakenDesk:
    """Does what is asked for, see the module.

    Attributes:
      accounts: whose orders these are.
      ordinals: numbers of markets, by the exchange's names.
    """

    def __init__(self, accounts: Accounts, pairs: list[Pair]) -> None:
        self.accounts = accounts
        self._pairs = {pair.symbol: pair for pair in pairs}
        self._assets = {
            name: rest
            for one in pairs
            for name, rest in (
                (one.listed.base, one.base), (one.listed.quote, one.quote)
            )
        }  # fmt: skip
        self.ordinals = {pair.symbol: nth for nth, pair in enumerate(pairs)}

    # -- orders by the websocket --------------------------------------------------

    def place(self, account: Account, params: dict[str, Any]) -> dict[str, Any]:
        """Place an order; raises Said."""
        self._refuse_late(params)
        order = self._order_of(account, params)
        if params.get("validate"):
            return {"order_id": "", "cl_ord_id": order.cl_id}
        placed = self._do(self.accounts.exchange.place, order)
        return _named(placed)

    def amend(self, account: Account, params: dict[str, Any]) -> dict[str, Any]:
        """Change an order in its place; raises Said."""
        self._refuse_late(params)
        order = self._find(account, params.get("order_id"), params.get("cl_ord_id"))
        size = _number(params, "order_qty", order.size)
        price = _number(params, "limit_price", order.price)
        exchange = self.accounts.exchange
        if size is not None and size <= order.filled and not order.is_over:
            self._do(exchange.cancel, order)  # what is left of it, which is nothing
        else:
            is_post = bool(params.get("post_only", order.post_only))
            stop = _number(params, "trigger_price", order.stop)
            if stop is not None and order.stop is None:
                raise Said("EGeneral:Invalid arguments:trigger_price")
            self._do(
                exchange.amend, order, size=size, price=price, stop=stop,
                post_only=is_post,
            )  # fmt: skip
        return {"amend_id": f"A{order.changed_ms}", **_named(order)}

    def cancel(self, account: Account, params: dict[str, Any]) -> dict[str, Any]:
        """End one order; raises Said."""
        ids, cl_ids = params.get("order_id") or [], params.get("cl_ord_id") or []
        if len(ids) + len(cl_ids) != 1:
            raise Said("EGeneral:Invalid arguments:one order a request")
        order = self._find(account, *(ids or [None]), *(cl_ids or [None]))
        self._do(self.accounts.exchange.cancel, order)
        return _named(order)

    def cancel_all(self, account: Account, _params: dict[str, Any]) -> dict[str, Any]:
        """End all orders of an account."""
        live = self.accounts.exchange.open_orders(account.name)
        for order in live:
            self.accounts.exchange.cancel(order)
        return {"count": len(live)}

    def _refuse_late(self, params: dict[str, Any]) -> None:
        deadline = params.get("deadline")
        if deadline is None:
            return
        try:
            at = datetime.fromisoformat(str(deadline)).timestamp()
        except ValueError:
            raise Said("EGeneral:Invalid arguments:deadline") from None
        left_s = at - self.accounts.core.server_ns() / 1e9
        if left_s > 60:
            raise Said("EGeneral:Invalid arguments:deadline")
        if left_s < 0:
            raise Said("EService:Deadline elapsed")

    def _do(self, act: Callable[..., Order], *args: Any, **more: Any) -> Order:
        try:
            return act(*args, **more)
        except Refused as err:
            raise Said(_WHYS[err.why]) from None

    def _order_of(self, account: Account, params: dict[str, Any]) -> Order:
        side, kind = params.get("side"), params.get("order_type")
        if side not in ("buy", "sell"):
            raise Said("EGeneral:Invalid arguments:side")
        if kind not in _KINDS:
            raise Said("EGeneral:Invalid arguments:ordertype")
        has_price = kind in ("limit", "stop-loss-limit")
        tif = str(params.get("time_in_force", "gtc")).lower()
        if tif not in _TIFS:
            raise Said("EGeneral:Invalid arguments:timeinforce")
        cl_id = str(params.get("cl_ord_id", ""))
        if len(cl_id) > 36:
            raise Said("EGeneral:Invalid arguments:cl_ord_id")
        size = _number(params, "order_qty", None)
        if size is None:
            raise Said("EGeneral:Invalid arguments:volume")
        which: Side = "buy" if side == "buy" else "sell"
        return Order(
            0, account.name, str(params.get("symbol")), which,
            _KINDS[kind], size,
            _number(params, "limit_price", None) if has_price else None,
            tif=_TIFS[tif] if has_price else "ioc", stop=_stop_of(params),
            post_only=bool(params.get("post_only")), cl_id=cl_id,
            heard_ns=time.time_ns(),
        )  # fmt: skip

    def _find(self, account: Account, txid: Any, cl_id: Any = None) -> Order:
        """Return an order by either id; raises Said."""
        exchange = self.accounts.exchange
        found = None
        if txid:
            text = str(txid)[1:].partition("-")[0]
            found = exchange.orders.get(int(text)) if text.isdigit() else None
        elif cl_id:
            found = exchange.by_cl_id(account.name, str(cl_id))
        if found is None or found.account != account.name:
            raise Said(_WHYS["unknown"])
        return found

    # -- what REST tells ----------------------------------------------------------

    def open(self, account: Account, params: dict[str, str]) -> dict[str, Any]:
        """Return open orders, of one client's id if that is asked for."""
        cl_id = params.get("cl_ord_id", "")
        live = self.accounts.exchange.open_orders(account.name)
        return self.rows([one for one in live if cl_id in ("", one.cl_id)])

    def rows(self, orders: list[Order]) -> dict[str, Any]:
        """Return the answer to a question for open orders."""
        return {"open": {order_id(one.serial): self._row(one) for one in orders}}

    def closed(self, account: Account, params: dict[str, str]) -> dict[str, Any]:
        """Return orders that are over, the newest first, 50 of them."""
        cl_id, ofs = params.get("cl_ord_id", ""), _ofs(params)
        over = [
            one
            for one in reversed(self.accounts.exchange.orders.values())
            if one.account == account.name and one.is_over and cl_id in ("", one.cl_id)
        ]
        some = over[ofs : ofs + _PAGE]
        rows = {order_id(one.serial): self._row(one) for one in some}
        return {"closed": rows, "count": len(over)}

    def query(self, account: Account, params: dict[str, str]) -> dict[str, Any]:
        """Return orders by their ids."""
        found = [
            self._find(account, txid)
            for txid in params.get("txid", "").split(",")[:_TXIDS]
        ]
        ids = params.get("trades") == "true"
        return {order_id(one.serial): self._row(one, trades=ids) for one in found}

    def _row(self, order: Order, *, trades: bool = False) -> dict[str, Any]:
        ids = None
        if trades:
            ids = [
                self.trade_id(each)
                for each in self.accounts.exchange.trades
                if each.order.serial == order.serial
            ]
        return rest_row(order, self._pairs[order.symbol], ids)

    def trade_id(self, trade: Trade) -> str:
        """Return the venue's id of a trade."""
        return trade_id(trade, self.ordinals[trade.order.symbol])

    def history(self, account: Account, params: dict[str, str]) -> dict[str, Any]:
        """Return trades, the newest first, 50 of them; *start* is exclusive."""
        found = [
            one
            for one in self.accounts.exchange.trades
            if one.order.account == account.name
        ]
        found.sort(key=lambda one: one.time_ms)
        first = self._place_of(found, params.get("start", ""))
        last = self._place_of(found, params.get("end", "")) or len(found)
        some = found[first:last][::-1]
        ofs = _ofs(params)
        return {
            "trades": {
                self.trade_id(one): trade_row(one, self._pairs[one.order.symbol])
                for one in some[ofs : ofs + _PAGE]
            },
            "count": len(some),
        }

    def _place_of(self, found: list[Trade], at: str) -> int:
        """Return how many trades are not after a trade's id, or a time."""
        if not at:
            return 0
        if at.startswith("T"):
            ids = [self.trade_id(one) for one in found]
            return ids.index(at) + 1 if at in ids else 0
        try:
            until_ms = float(at) * 1000
        except ValueError:
            raise Said("EGeneral:Invalid arguments:time") from None
        return sum(one.time_ms <= until_ms for one in found)

    def trades(self, account: Account, params: dict[str, str]) -> dict[str, Any]:
        """Return trades by their ids."""
        wanted = set(params.get("txid", "").split(","))
        return {
            self.trade_id(one): trade_row(one, self._pairs[one.order.symbol])
            for one in self.accounts.exchange.trades
            if one.order.account == account.name and self.trade_id(one) in wanted
        }

    def balance(self, account: Account, _params: dict[str, str]) -> dict[str, str]:
        """Return what an account has, what orders hold included."""
        money = self.accounts.exchange.balances.get(account.name, {})
        return {
            self._assets.get(asset, asset): f"{one.free + one.held:.10f}"
            for asset, one in money.items()
        }


def _stop_of(params: dict[str, Any]) -> Decimal | None:
    """Return at which last price an order is to begin to count; raises Said.

    Other references and relative prices aren't emulated.
    """
    triggers = params.get("triggers")
    is_stop = params["order_type"].startswith("stop-loss")
    if not is_stop and triggers is None:
        return None
    wrong = Said("EGeneral:Invalid arguments:triggers")
    if not is_stop or not isinstance(triggers, dict):
        raise wrong
    how = (triggers.get("reference", "last"), triggers.get("price_type", "static"))
    price = _number(triggers, "price", None)
    if how != ("last", "static") or price is None:
        raise wrong
    return price


def _ofs(params: dict[str, str]) -> int:
    text = params.get("ofs", "0")
    if not text.isdecimal():
        raise Said("EGeneral:Invalid arguments:ofs")
    return int(text)


def _named(order: Order) -> dict[str, Any]:
    told = {"order_id": order_id(order.serial)}
    return told | ({"cl_ord_id": order.cl_id} if order.cl_id else {})


def _number(params: dict[str, Any], name: str, missing: Any) -> Decimal | None:
    """Return a parameter that is a JSON number; raises Said for another."""
    value = params.get(name, missing)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise Said(f"EGeneral:Invalid arguments:{name}")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise Said(f"EGeneral:Invalid arguments:{name}") from None
    return number
