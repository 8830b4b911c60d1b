"""Binance spot's private side: orders and accounts, by REST and by the websocket API.

    POST /api/v3/order ...  or  {"method": "order.place", ...} on /ws-api/v3
        --key, signature, timestamp--> Exchange --> an answer; executionReport events

By https://developers.binance.com/docs/binance-spot-api-docs/rest-api/trading-endpoints,
.../websocket-api/trading-requests, .../user-data-stream and .../errors. Listen keys are
gone there since 2026-02-20: events come to who subscribed on the websocket API.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from ._accounts import Account, Accounts
from ._binance_asked import refuse_unread, weight_of
from ._binance_desk import BinanceDesk, Said, missing, whole
from ._binance_rest import TOO_MUCH, BinanceRest, weighed
from ._binance_rows import odd_of, reports_of, row_of
from ._core import Core, Reply
from ._exchange import Event, Order
from ._listing import Listed
from ._private import Do, PrivateSide
from ._weights import Verdict
from ._ws import Connection

WS_API: Final = "/ws-api/v3"
_UNSURE: Final = (
    "Timeout waiting for response from backend server. Send status unknown; "
    "execution status unknown."
)
_WINDOW_MS: Final = 5000
_WINDOW_MAX_MS: Final = 60_000

#: What is asked for, by method and path of REST.
_REST: Final[dict[tuple[str, str], str]] = {
    ("POST", "/api/v3/order"): "place",
    ("DELETE", "/api/v3/order"): "cancel",
    ("GET", "/api/v3/order"): "status",
    ("POST", "/api/v3/order/cancelReplace"): "amend",
    ("GET", "/api/v3/openOrders"): "open",
    ("DELETE", "/api/v3/openOrders"): "cancel_all",
    ("GET", "/api/v3/myTrades"): "trades",
    ("GET", "/api/v3/account"): "account",
    ("GET", "/sapi/v1/account/apiRestrictions"): "permissions",
}
#: Likewise by the websocket API's method.
_METHODS: Final[dict[str, str]] = {
    "order.place": "place",
    "order.cancel": "cancel",
    "order.status": "status",
    "order.cancelReplace": "amend",
    "openOrders.status": "open",
    "openOrders.cancelAll": "cancel_all",
    "myTrades": "trades",
    "account.status": "account",
    "userDataStream.subscribe.signature": "subscribe",
}
_TRADES: Final = frozenset({"place", "amend", "cancel", "cancel_all"})


class BinancePrivate(PrivateSide):
    """See the module.

    Attributes:
      accounts: behind it.
    """

    def __init__(
        self, core: Core, listed: dict[str, Listed], public: BinanceRest
    ) -> None:
        super().__init__(core, Accounts(core))
        self.accounts.exchange.self_trade = "cancel_oldest"
        self.accounts.list_markets(listed)
        self._desk = BinanceDesk(self.accounts)
        self._public = public  # what is asked for here is counted there

    # -- ways in ------------------------------------------------------------------

    def takes(self, method: str, path: str) -> bool:
        """Tell whether a request of REST is one of these."""
        return (method, path) in _REST

    async def rest(
        self, method: str, path: str, query: str, body: bytes, headers: dict[str, str]
    ) -> Reply | None:
        """Answer a request of REST, see `Private`."""
        key = headers.get("x-mbx-apikey", "")
        kind = _REST[method, path]
        signed = query + body.decode(errors="replace")
        params = dict(parse_qsl(signed, keep_blank_values=True))
        payload = signed.rpartition("&signature=")[0]
        verdict = self._public.spend(weight_of(kind, params))
        result = self._weighed(verdict, kind, params, key, payload)
        return await self.reply_rest(result, partial(_to_reply, verdict))

    async def keep(self, conn: Connection) -> None:
        """Be there for what is asked on a connection of the websocket API."""
        await self.serve(conn, self._reply)

    def heard(self, conn: Connection, payload: bytes) -> None:
        """Take a request of the websocket API."""
        try:
            asked = msgspec.json.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            _refuse(conn, None, Said(-1135, "Invalid JSON."))
            return
        self.put(conn, asked)

    async def _reply(self, conn: Connection, asked: Any) -> None:
        asked = asked if isinstance(asked, dict) else {}
        req_id, method = asked.get("id"), str(asked.get("method"))
        raw = asked.get("params")
        given = raw if isinstance(raw, dict) else {}
        params = {key: _text(value) for key, value in given.items()}

        def say(told: Any) -> None:
            if isinstance(told, Said):
                _refuse(conn, req_id, told)
            else:
                _say(conn, {"id": req_id, "status": 200, "result": told})

        await self.reply_ws(conn, self._answer_ws(conn, method, params), say)

    async def _answer_ws(
        self, conn: Connection, method: str, params: dict[str, str]
    ) -> Any:
        if method == "ping":
            return {}
        if method == "time":
            return {"serverTime": self.core.server_ns() // 1_000_000}
        kind = _kind_of(method)
        verdict = self._public.spend(weight_of(kind, params))
        payload = "&".join(
            f"{key}={value}"
            for key, value in sorted(params.items())
            if key != "signature"
        )
        key = params.get("apiKey", "")
        return await self._weighed(verdict, kind, params, key, payload, conn)

    # -- who asks -----------------------------------------------------------------

    def _whose(self, params: dict[str, str], key: str, payload: str) -> Account:
        """Return whose the request is; raises Said."""
        if not key:
            raise Said(-2014, "API-key format invalid.", 401)
        account = self.accounts.keys.get(key)
        if account is None:
            raise Said(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        if "timestamp" not in params:
            missing("timestamp")
        wanted = hmac.new(account.secret.encode(), payload.encode(), hashlib.sha256)
        if not hmac.compare_digest(wanted.hexdigest(), params.get("signature", "")):
            raise Said(-1022, "Signature for this request is not valid.")
        window_ms = whole(params, "recvWindow", _WINDOW_MS)
        if window_ms > _WINDOW_MAX_MS:
            raise Said(-1131, "recvWindow must be less than 60000.")
        ahead_ms = whole(params, "timestamp", 0) - self.core.server_ns() // 1_000_000
        if ahead_ms >= 1000:
            raise Said(
                -1021,
                "Timestamp for this request was 1000ms ahead of the server's time.",
            )
        if -ahead_ms > window_ms:
            raise Said(
                -1021, "Timestamp for this request is outside of the recvWindow."
            )
        return account

    # -- what goes wrong ----------------------------------------------------------

    async def _weighed(
        self, verdict: Verdict, kind: str, params: dict[str, str], *told: Any
    ) -> Any:
        """Do what is asked for, unless too much was; raises Said."""
        if verdict.status != 200:
            now_ms = self.core.server_ns() // 1_000_000
            until_ms = now_ms + verdict.retry_after_s * 1000
            more = {"serverTime": now_ms, "retryAfter": until_ms}
            raise Said(TOO_MUCH, self._public.weights.words, verdict.status, more)
        return await self._answer(kind, params, *told)

    async def _answer(
        self, kind: str, params: dict[str, str], key: str, payload: str,
        conn: Connection | None = None,
    ) -> Any:  # fmt: skip
        """Do what is asked for, and whatever is to go wrong with it."""
        account = self._whose(params, key, payload)
        refuse_unread(kind, params)
        if kind in _TRADES and not account.may_trade:
            raise Said(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        do: Do = partial(self._desk.act, kind, account, params)
        if kind == "subscribe":
            do = partial(self._subscribe, account, conn)
        return await self.answer(kind, account, params, do)

    def refused(self) -> Said:
        """Return what it says when it is out of order."""
        text = "Internal error; unable to process your request."
        return Said(-1001, text, 503)

    def unsure(self) -> Said:
        """Return what it says when it doesn't know."""
        return Said(-1007, _UNSURE, 504)

    def odd(self, result: Any) -> Any:
        """Return a result that has a number where a text belongs."""
        return odd_of(result)

    def half(self, account: Account, params: dict[str, Any]) -> None:
        """End the order that is to be replaced."""
        self._desk.halve(account, params)

    def list_open(self, orders: list[Order]) -> Any:
        """Return the answer to a question for open orders."""
        return [row_of(each) for each in orders]

    def _subscribe(self, account: Account, conn: Connection | None) -> dict[str, Any]:
        if conn is None:
            raise Said(-1104, "Unknown method.")
        if self.hears(conn, account.name):
            raise Said(-2035, "User Data Stream subscription already active.")
        number = len(self._hearing.get(conn, ()))

        def hear(event: Event) -> None:
            money = self.accounts.exchange.balances.get(account.name, {})
            now_ms = self.core.server_ns() // 1_000_000
            cancel_id = self._desk.cancels.get(event.order.serial, "")
            for told in reports_of(event, money, now_ms, cancel_id):
                _say(conn, {"subscriptionId": number, "event": told})

        self.listen(conn, account.name, hear)
        return {"subscriptionId": number}


def _error_of(said: Said) -> dict[str, Any]:
    told: dict[str, Any] = {"code": said.code, "msg": str(said)}
    return told if said.data is None else {**told, "data": said.data}


def _to_reply(verdict: Verdict, told: Any) -> Reply:
    if isinstance(told, Said):
        return weighed(verdict, _error_of(told), told.status)
    return weighed(verdict, told)


def _refuse(conn: Connection, req_id: Any, said: Said) -> None:
    _say(conn, {"id": req_id, "status": said.status, "error": _error_of(said)})


def _kind_of(method: str) -> str:
    """Return what a method asks for; raises Said."""
    if method not in _METHODS:
        raise Said(-1104, "Unknown method.")
    return _METHODS[method]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _say(conn: Connection, value: Any) -> None:
    conn.say(msgspec.json.encode(value))
