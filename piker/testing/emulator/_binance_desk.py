"""What may be asked of Binance spot about an account, and what comes of it.

    request, parameters --> Exchange --> rows of an answer, or Said: an error

By https://developers.binance.com/docs/binance-spot-api-docs/rest-api/trading-endpoints,
.../account-endpoints and .../errors.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn

import trio

from ._accounts import Account, Accounts
from ._binance_rows import placed_row, row_of, trade_row
from ._exchange import Order, Refused, Side, Tif, Why
from ._private import Refusal

#: Orders that an account may place in ten seconds.
_ORDERS_10S: Final = 100
_TIFS: Final[dict[str, Tif]] = {"GTC": "gtc", "IOC": "ioc", "FOK": "fok"}
#: Kinds of orders as the exchange knows them.
_KINDS: Final[dict[str, Any]] = {
    "LIMIT": "limit", "LIMIT_MAKER": "limit", "MARKET": "market", "STOP_LOSS": "stop",
    "STOP_LOSS_LIMIT": "stop_limit",
}  # fmt: skip
#: What counts as an order.
_COUNTED: Final = frozenset({"place", "amend"})
_FILTER: Final = "Filter failure: "
_WHYS: Final[dict[Why, tuple[int, str]]] = {
    "symbol": (-1121, "Invalid symbol."),
    "halted": (-1013, "Market is closed."),
    "tick": (-1013, f"{_FILTER}PRICE_FILTER"),
    "price_range": (-1013, f"{_FILTER}PRICE_FILTER"),
    "lot": (-1013, f"{_FILTER}LOT_SIZE"),
    "size_range": (-1013, f"{_FILTER}LOT_SIZE"),
    "notional": (-1013, f"{_FILTER}NOTIONAL"),
    "many": (-1013, f"{_FILTER}MAX_NUM_ORDERS"),
    "funds": (-2010, "Account has insufficient balance for requested action."),
    "post_only": (-2010, "Order would immediately match and take."),
    "would_trigger": (-2010, "Stop price would trigger immediately."),
    "duplicate": (-2010, "Duplicate order sent."),
    "unknown": (-2011, "Unknown order sent."),
    "over": (-2011, "Unknown order sent."),
}


class Said(Refusal):
    """An answer that is an error.

    Attributes:
      code: the venue's.
      status: of HTTP.
      data: more of it, where a request has two halves.
    """

    def __init__(
        self, code: int, text: str, status: int = 400, data: Any = None
    ) -> None:
        super().__init__(text)
        self.code, self.status, self.data = code, status, data


def missing(name: str) -> NoReturn:
    raise Said(
        -1102,
        f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.",
    )


class BinanceDesk:
    """Does what is asked for, see the module.

    Attributes:
      accounts: whose orders these are.
      cancels: ids of cancels, by serial of the order.
    """

    def __init__(self, accounts: Accounts) -> None:
        self.accounts = accounts
        self.cancels: dict[int, str] = {}
        self._placed: dict[str, deque[float]] = {}

    def act(self, kind: str, account: Account, params: dict[str, str]) -> Any:
        """Do what a request of a kind asks for, and return its result; raises Said."""
        if kind in _COUNTED:
            self._count(account.name)
        return getattr(self, f"_{kind}")(account, params)

    def halve(self, account: Account, params: dict[str, str]) -> None:
        """Do the first half of an amend: the old order is gone, there is no new one."""
        self._begin_amend(account, params)

    # -- orders -------------------------------------------------------------------

    def _place(self, account: Account, params: dict[str, str]) -> dict[str, Any]:
        order = self._order_of(account, params)
        kind = params.get("newOrderRespType", "FULL")
        placed = self._do(self.accounts.exchange.place, order)
        return placed_row(placed, kind, self.accounts.exchange.trades)

    def _count(self, account: str) -> None:
        """Count an order; raises Said if it is one too many."""
        now = trio.current_time()
        placed = self._placed.setdefault(account, deque())
        while placed and placed[0] <= now - 10:
            placed.popleft()
        if len(placed) >= _ORDERS_10S:
            raise Said(
                -1015, f"Too many new orders; current limit is {_ORDERS_10S} orders per"
                " TEN_SECONDS.", 429,
            )  # fmt: skip
        placed.append(now)

    def _do(self, act: Callable[..., Order], *args: Any, **more: Any) -> Order:
        try:
            return act(*args, **more)
        except Refused as err:
            raise Said(*_WHYS[err.why]) from None

    def _order_of(self, account: Account, params: dict[str, str]) -> Order:
        for name in ("symbol", "side", "type"):
            if not params.get(name):
                missing(name)
        kind, side = params["type"], params["side"]
        if side not in ("BUY", "SELL"):
            raise Said(-1117, "Invalid side.")
        is_limit = kind in ("LIMIT", "LIMIT_MAKER", "STOP_LOSS_LIMIT")
        if not is_limit and kind not in ("MARKET", "STOP_LOSS"):
            raise Said(-1116, "Invalid orderType.")
        is_stop, has_tif = kind.startswith("STOP"), kind in ("LIMIT", "STOP_LOSS_LIMIT")
        for name, is_due in (
            ("price", is_limit), ("stopPrice", is_stop), ("timeInForce", has_tif),
        ):  # fmt: skip
            if params.get(name) and not is_due:
                raise Said(-1106, f"Parameter '{name}' sent when not required.")
        stop = _decimal(params, "stopPrice") if is_stop else None
        tif = params.get("timeInForce", "")
        if has_tif and tif not in _TIFS:
            missing("timeInForce")
        cl_id = params.get("newClientOrderId") or secrets.token_hex(11)
        if len(cl_id) > 36:
            raise Said(
                -1100, "Illegal characters found in parameter 'newClientOrderId'."
            )
        which: Side = "buy" if side == "BUY" else "sell"
        return Order(
            0,
            account.name,
            params["symbol"],
            which,
            _KINDS[kind],
            _decimal(params, "quantity"),
            _decimal(params, "price") if is_limit else None,
            tif=_TIFS.get(tif, "gtc") if is_limit else "ioc",
            post_only=kind == "LIMIT_MAKER",
            stop=stop,
            cl_id=cl_id,
        )

    def _named(self, account: Account, params: dict[str, str], prefix: str) -> Order:
        """Return the order that a request is about; raises Said."""
        names = {
            "": ("orderId", "origClientOrderId"),
            "cancel": ("cancelOrderId", "cancelOrigClientOrderId"),
        }[prefix]
        exchange, found = self.accounts.exchange, None
        if params.get(names[0]):
            found = exchange.orders.get(whole(params, names[0], 0))
        elif cl_id := params.get(names[1]):
            found = exchange.by_cl_id(account.name, cl_id)
        else:
            raise Said(
                -1128, "Combination of optional parameters invalid. Send either "
                f"'{names[1]}' or '{names[0]}' must be sent.",
            )  # fmt: skip
        symbol = params.get("symbol") or missing("symbol")
        if symbol not in exchange.books:
            raise Said(*_WHYS["symbol"])
        if found is None or (found.account, found.symbol) != (account.name, symbol):
            raise Said(*_WHYS["unknown"])
        return found

    def _cancel(self, account: Account, params: dict[str, str]) -> dict[str, Any]:
        order = self._named(account, params, "")
        self._refuse_restricted(order, params)
        return self._canceled(order, params.get("newClientOrderId", ""))

    def _canceled(self, order: Order, by: str) -> dict[str, Any]:
        self.cancels[order.serial] = by or secrets.token_hex(11)
        done = self._do(self.accounts.exchange.cancel, order)
        return {
            **row_of(done, full=False),
            "origClientOrderId": order.cl_id,
            "clientOrderId": self.cancels[order.serial],
            "transactTime": done.changed_ms,
        }

    def _refuse_restricted(self, order: Order, params: dict[str, str]) -> None:
        wanted = params.get("cancelRestrictions", "")
        if (wanted == "ONLY_NEW" and order.filled) or (
            wanted == "ONLY_PARTIALLY_FILLED" and not order.filled
        ):
            raise Said(-2011, "Order was not canceled due to cancel restrictions.")

    def _amend(self, account: Account, params: dict[str, str]) -> dict[str, Any]:
        """Cancel an order and place another; Said has both halves if one fails."""
        told = self._begin_amend(account, params)
        if told["cancelResult"] == "FAILURE":
            told |= {"newOrderResult": "NOT_ATTEMPTED", "newOrderResponse": None}
            raise Said(-2022, "Order cancel-replace failed.", 400, told)
        try:
            told["newOrderResponse"] = self._place(account, params)
        except Said as said:
            told["newOrderResult"] = "FAILURE"
            told["newOrderResponse"] = {"code": said.code, "msg": str(said)}
            raise Said(
                -2021, "Order cancel-replace partially failed.", 409, told
            ) from None
        return told | {"newOrderResult": "SUCCESS"}

    def _begin_amend(self, account: Account, params: dict[str, str]) -> dict[str, Any]:
        if params.get("cancelReplaceMode") != "STOP_ON_FAILURE":
            missing("cancelReplaceMode")
        self._order_of(account, params)  # what needs no book is looked at before
        try:
            old = self._named(account, params, "cancel")
            self._refuse_restricted(old, params)
            gone = self._canceled(old, params.get("cancelNewClientOrderId", ""))
        except Said as said:
            return {
                "cancelResult": "FAILURE",
                "cancelResponse": {"code": said.code, "msg": str(said)},
            }
        return {"cancelResult": "SUCCESS", "cancelResponse": gone}

    def _cancel_all(self, account: Account, params: dict[str, str]) -> list[Any]:
        symbol = params.get("symbol") or missing("symbol")
        if symbol not in self.accounts.exchange.books:
            raise Said(*_WHYS["symbol"])
        live = self.accounts.exchange.open_orders(account.name, symbol)
        if not live:
            raise Said(*_WHYS["unknown"])
        by = secrets.token_hex(11)
        return [self._canceled(order, by) for order in live]

    def _status(self, account: Account, params: dict[str, str]) -> dict[str, Any]:
        try:
            return row_of(self._named(account, params, ""))
        except Said as said:
            if said.code == -2011:
                raise Said(-2013, "Order does not exist.") from None
            raise

    def _open(self, account: Account, params: dict[str, str]) -> list[Any]:
        live = self.accounts.exchange.open_orders(
            account.name, params.get("symbol", "")
        )
        return [row_of(each) for each in live]

    def _trades(self, account: Account, params: dict[str, str]) -> list[Any]:
        symbol = params.get("symbol") or missing("symbol")
        if symbol not in self.accounts.exchange.books:
            raise Said(*_WHYS["symbol"])
        first, order = whole(params, "fromId", 0), params.get("orderId")
        begin = whole(params, "startTime", 0)
        found = [
            trade
            for trade in self.accounts.exchange.trades
            if (trade.order.account, trade.order.symbol) == (account.name, symbol)
            and trade.tid >= first
            and trade.time_ms >= begin
            and order in (None, str(trade.order.serial))
        ]
        limit = min(whole(params, "limit", 500), 1000)
        some = found[:limit] if "fromId" in params or begin else found[-limit:]
        return [trade_row(one) for one in some]

    # -- accounts -----------------------------------------------------------------

    def _account(self, account: Account, _params: dict[str, str]) -> dict[str, Any]:
        money = self.accounts.exchange.balances.get(account.name, {})
        rate = f"{self.accounts.exchange.fees.maker:.8f}"
        return {
            "makerCommission": 10, "takerCommission": 10, "buyerCommission": 0,
            "sellerCommission": 0,
            "commissionRates": {
                "maker": rate, "taker": rate, "buyer": "0.00000000",
                "seller": "0.00000000",
            },
            "canTrade": account.may_trade, "canWithdraw": account.may_withdraw,
            "canDeposit": True, "brokered": False, "requireSelfTradePrevention": False,
            "preventSor": False, "updateTime": self.accounts.now_ms(),
            "accountType": "SPOT",
            "balances": [
                {"asset": asset, "free": f"{one.free:.8f}", "locked": f"{one.held:.8f}"}
                for asset, one in money.items()
            ],
            "permissions": ["SPOT"], "uid": 354_937_868,
        }  # fmt: skip

    def _permissions(self, account: Account, _params: dict[str, str]) -> dict[str, Any]:
        return {
            "ipRestrict": False,
            "createTime": 1_700_000_000_000,
            "enableReading": True,
            "enableWithdrawals": account.may_withdraw,
            "enableInternalTransfer": False,
            "enableMargin": False,
            "enableFutures": False,
            "enableSpotAndMarginTrading": account.may_trade,
        }


def whole(params: dict[str, str], name: str, absent: int) -> int:
    """Return a parameter that is a whole number; raises Said for another."""
    text = params.get(name)
    if text is None:
        return absent
    if not text.isdecimal() or len(text) > 20:
        raise Said(-1100, f"Illegal characters found in parameter '{name}'.")
    return int(text)


def _decimal(params: dict[str, str], name: str) -> Decimal:
    text = params.get(name) or missing(name)
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("nan")
    if not value.is_finite():
        raise Said(-1100, f"Illegal characters found in parameter '{name}'.")
    return value
