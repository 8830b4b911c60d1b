"""Kraken spot's private side: orders by websocket, lists by REST, what happens.

    POST /0/private/...  API-Key, API-Sign, nonce --> KrakenDesk --> {"error", "result"}
    {"method": "add_order", "params": {"token": ...}} on /auth/v2 --> KrakenDesk
    executions: what happens to an account's orders, and a snapshot first

By https://docs.kraken.com/api/docs/guides/{spot-rest-auth,spot-ws-auth} and
.../rest-api/get-websockets-token. The true venue's private websocket is at a host of
its own; here it is at a path of its own.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import math
import secrets
from decimal import Decimal
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
import trio

from ._accounts import Account, Accounts
from ._core import Core, Reply
from ._exchange import Event, Order
from ._fees import Fees
from ._kraken_desk import KrakenDesk, Said
from ._kraken_names import Pair
from ._kraken_rest import Bucket
from ._kraken_rows import full_row, odd_of, rfc3339, rows_of
from ._private import Do, PrivateSide
from ._ws import Connection

AUTH: Final = "/auth/v2"
_PREFIX: Final = "/0/private/"
#: A token may wait so long until it is used.
_TOKEN_S: Final = 900.0
#: Calls an account may make at once; one more a second.
_CALLS: Final = 20
#: Of sizes, in all markets: eight decimals, as AssetPairs tells.
_LOT: Final = Decimal("1e-8")
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")

#: Kinds of requests, as faults know them, by method of REST.
_REST: Final = {
    "GetWebSocketsToken": "token", "OpenOrders": "open", "ClosedOrders": "status",
    "QueryOrders": "status", "TradesHistory": "trades", "QueryTrades": "trades",
    "Balance": "account", "AddOrder": "validate", "CancelAll": "cancel_all",
    "WithdrawMethods": "permissions",
}  # fmt: skip
#: Likewise by method of the websocket.
_METHODS: Final = {
    "add_order": "place", "amend_order": "amend", "cancel_order": "cancel",
    "cancel_all": "cancel_all", "subscribe": "subscribe",
}  # fmt: skip
_TRADES: Final = frozenset({"place", "amend", "cancel", "cancel_all", "validate"})


class KrakenPrivate(PrivateSide):
    """See the module.

    Attributes:
      accounts: behind it.
    """

    def __init__(self, core: Core, pairs: list[Pair], budget: int | None) -> None:
        super().__init__(core, Accounts(core))
        self.accounts.exchange.fees = Fees(in_received=False)
        self.accounts.list_markets(
            {one.symbol: one.listed._replace(size_tick=_LOT) for one in pairs}
        )
        self._desk = KrakenDesk(self.accounts, pairs)
        self._calls = budget or _CALLS
        self._buckets: dict[str, Bucket] = {}
        self._nonces: dict[str, int] = {}
        self._tokens: dict[str, tuple[str, float]] = {}
        self._sequences: dict[Connection, int] = {}

    # -- REST ---------------------------------------------------------------------

    def takes(self, method: str, path: str) -> bool:
        """Tell whether a request of REST is one of these."""
        return method == "POST" and path.startswith(_PREFIX)

    async def rest(
        self, method: str, path: str, query: str, body: bytes, headers: dict[str, str]
    ) -> Reply | None:
        """Answer a request of REST, see `Private`."""
        del method, query
        return await self.reply_rest(self._answer_rest(path, body, headers), _to_reply)

    def _whose(
        self, path: str, body: bytes, headers: dict[str, str]
    ) -> tuple[Account, dict[str, str]]:
        """Return whose a request is, and its parameters; raises Said."""
        account = self.accounts.keys.get(headers.get("api-key", ""))
        if account is None:
            raise Said("EAPI:Invalid key")
        text = body.decode(errors="replace")
        params = dict(parse_qsl(text, keep_blank_values=True))
        nonce = params.get("nonce", "")
        digest = hashlib.sha256((nonce + text).encode()).digest()
        try:
            secret = base64.b64decode(account.secret, validate=True)
        except binascii.Error:
            secret = account.secret.encode()
        wanted = hmac.new(secret, path.encode() + digest, hashlib.sha512).digest()
        told = headers.get("api-sign", "")
        if not hmac.compare_digest(base64.b64encode(wanted).decode(), told):
            raise Said("EAPI:Invalid signature")
        if not nonce.isdigit() or int(nonce) <= self._nonces.get(account.key, 0):
            raise Said("EAPI:Invalid nonce")
        self._nonces[account.key] = int(nonce)
        return account, params

    async def _answer_rest(
        self, path: str, body: bytes, headers: dict[str, str]
    ) -> Any:
        account, params = self._whose(path, body, headers)
        name = path.removeprefix(_PREFIX)
        if name not in _REST:
            raise Said("EGeneral:Unknown method")
        kind = _REST[name]
        if kind != "cancel_all":  # which the true venue counts otherwise
            self._count(account, 2 if kind == "trades" else 1)
        if name == "OpenOrders" and "cl_ord_id" in params:
            kind = "status"
        if (kind in _TRADES and not account.may_trade) or (
            kind == "permissions" and not account.may_withdraw
        ):
            raise Said("EGeneral:Permission denied")
        acts: dict[str, Do] = {
            "GetWebSocketsToken": partial(self._token, account),
            "OpenOrders": partial(self._desk.open, account, params),
            "ClosedOrders": partial(self._desk.closed, account, params),
            "QueryOrders": partial(self._desk.query, account, params),
            "TradesHistory": partial(self._desk.history, account, params),
            "QueryTrades": partial(self._desk.trades, account, params),
            "Balance": partial(self._desk.balance, account, params),
            "AddOrder": partial(_validated, params),
            "CancelAll": partial(self._desk.cancel_all, account, params),
            "WithdrawMethods": list[Any],
        }
        return await self.answer(kind, account, params, acts[name])

    def _count(self, account: Account, calls: int) -> None:
        """Count calls of an account; raises Said if they are too many."""
        bucket = self._buckets.setdefault(account.name, Bucket(self._calls))
        now = trio.current_time()
        if sum(bucket.take(now) for _ in range(calls)) < calls:
            raise Said("EAPI:Rate limit exceeded")

    def _token(self, account: Account) -> dict[str, Any]:
        token = secrets.token_urlsafe(32)
        self._tokens[token] = (account.key, trio.current_time())
        return {"token": token, "expires": int(_TOKEN_S)}

    def refused(self) -> Said:
        """Return what it says when it is out of order."""
        return Said("EService:Unavailable")

    def unsure(self) -> Said:
        """Return what it says when it doesn't know."""
        return Said("EService:Timeout")

    def odd(self, result: Any) -> Any:
        """Return a result that has a number where a text belongs."""
        return odd_of(result)

    def list_open(self, orders: list[Order]) -> Any:
        """Return the answer to a question for open orders."""
        return self._desk.rows(orders)

    # -- the websocket ------------------------------------------------------------

    async def keep(self, conn: Connection) -> None:
        """Be there for what is asked on a private connection."""
        await self.serve(conn, self._reply)

    def take(
        self, conn: Connection, request: dict[str, Any], reply: dict[str, Any]
    ) -> bool:
        """Take a request of the websocket; tell whether it is one of these."""
        if request.get("method") not in _METHODS:
            return False
        self.put(conn, request, reply)
        return True

    async def _reply(
        self, conn: Connection, request: dict[str, Any], reply: dict[str, Any]
    ) -> None:
        def say(told: Any) -> None:
            if isinstance(told, Said):
                self._say(conn, reply | {"error": str(told), "success": False})
            else:
                self._say(conn, reply | {"result": told, "success": True})

        is_done = await self.reply_ws(conn, self._answer(conn, request), say)
        if is_done and request["method"] == "subscribe":
            self._begin(conn, self._of_token(conn, _params_of(request)["token"]))

    def _say(self, conn: Connection, told: dict[str, Any]) -> None:
        now = rfc3339(self.core.server_ns() // 1000)
        conn.say(_ENCODER.encode(told | {"time_out": now}))

    async def _answer(self, conn: Connection, request: dict[str, Any]) -> Any:
        kind = _METHODS[request["method"]]
        params = _params_of(request)
        account = self._of_token(conn, str(params.get("token", "")))
        if kind in _TRADES and not account.may_trade:
            raise Said("EGeneral:Permission denied")
        if kind == "subscribe":
            do = partial(self._subscribe, conn, params)
        else:
            do = partial(getattr(self._desk, kind), account, params)
        return await self.answer(kind, account, params, do)

    def _of_token(self, conn: Connection, token: str) -> Account:
        """Return whose a token is; one that was used in time counts on."""
        key, since = self._tokens.get(token, ("", -math.inf))
        account = self.accounts.keys.get(key)
        is_used = self.hears(conn)
        if account is None or (
            trio.current_time() - since > _TOKEN_S and not is_used
        ):  # fmt: skip
            raise Said("ESession:Invalid session")
        return account

    def _subscribe(self, conn: Connection, params: dict[str, Any]) -> dict[str, Any]:
        if params.get("channel") != "executions":
            raise Said(f"Unsupported channel {params.get('channel')}")
        if self.hears(conn):
            raise Said("Already subscribed")
        return {"channel": "executions", "snap_orders": True, "snap_trades": False}

    def _begin(self, conn: Connection, account: Account) -> None:
        """Tell what is open, and from then on what happens."""
        self._sequences[conn] = 0
        live = self.accounts.exchange.open_orders(account.name)
        self._tell(conn, "snapshot", [full_row(one, "new") for one in live])

        def hear(event: Event) -> None:
            for row in rows_of(event, self._desk.ordinals[event.order.symbol]):
                self._tell(conn, "update", [row])

        self.listen(conn, account.name, hear)

    def _tell(self, conn: Connection, kind: str, rows: list[dict[str, Any]]) -> None:
        self._sequences[conn] = sequence = self._sequences[conn] + 1
        told = {"channel": "executions", "type": kind, "data": rows}
        conn.say(_ENCODER.encode(told | {"sequence": sequence}))


def _to_reply(told: Any) -> Reply:
    if isinstance(told, Said):
        return Reply(200, msgspec.json.encode({"error": [str(told)]}))
    return Reply(200, msgspec.json.encode({"error": [], "result": told}))


def _params_of(request: dict[str, Any]) -> dict[str, Any]:
    params = request.get("params")
    return params if isinstance(params, dict) else {}


def _validated(params: dict[str, str]) -> dict[str, Any]:
    """Return the answer to an order that is to be looked at only; raises Said."""
    if params.get("validate") != "true":
        raise Said("EGeneral:Invalid arguments:orders go by the websocket here")
    return {"descr": {"order": f"{params.get('type')} {params.get('volume')}"}}
