r"""Deribit's orders: one account's session, over two connections that are authorized.

    place, amend, cancel --the line: JSON-RPC--> answers, user.changes
    find, lists of orders and trades, the log --a connection of its own--> answers
    settlements and deliveries of the log --with the trades--> the ledger

An order keeps its id when it is changed. Each one has a time by the venue's clock after
which it can't be done any more (``valid_until``).

https://docs.deribit.com/articles/order-management-best-practices
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from decimal import Decimal
from functools import partial
from typing import Any, Final

import msgspec
from msgspec import UNSET

from piker.brokers._live._backend import LiveBackend
from piker.brokers._live._line import Line, LineSession, Tell
from piker.brokers._live._secrets import Keys
from piker.brokers._live._venue import (
    START,
    Cursor,
    NewOrder,
    OrderRejected,
    OrderState,
    Permissions,
    Replaced,
    Unsure,
    VenueTrade,
)
from piker.brokers._web import RateBudget, VenueTime, open_shared, run_local
from piker.errors import (
    AccountNotFound,
    BadPayload,
    MarketGone,
    SymbolNotFound,
    VenueError,
    VenueRefused,
    VenueUnreachable,
)
from piker.log import get_logger
from piker.msgs import NS, MktPair

from ._api import BROKER, Api, DeribitConf, load_conf, open_api
from ._calls import Calls, open_calls
from ._ids import Ids
from ._lists import log_entries, merged, user_trades
from ._names import is_market
from ._order_decode import (
    TOO_LATE,
    UNKNOWN_TOKEN,
    Busy,
    error_of,
    parse_balances,
    parse_changes,
    parse_count,
    parse_currencies,
    parse_held,
    parse_index,
    parse_message,
    parse_order,
    parse_order_answer,
    parse_orders,
    parse_placed,
    parse_trades_of_order,
    to_state,
    to_trade,
)
from ._order_schemas import OrderRow
from ._reasons import WRONG_KEYS
from ._schemas import Envelope
from ._socket import RpcSocket, open_rpc_socket
from ._symbols import find_by_symbol, find_market

log = get_logger(__name__)

_CHANNEL: Final = "user.changes.any.any.raw"
#: The venue does nothing that was asked for longer ago, by its own clock.
_DEADLINE_NS: Final = 3 * NS
#: After that: for what is on its way inside the venue, and our measure of its clock.
_LATE_NS: Final = NS
#: What was done so long before the newest that is known is listed again.
_AGAIN_NS: Final = 60 * NS
_BUDGET_S: Final = 5.0
_ORDERS_S: Final = 4.0
_MS_NS: Final = 1_000_000
_TIFS: Final = {
    "gtc": "good_til_cancelled", "ioc": "immediate_or_cancel", "fok": "fill_or_kill",
}  # fmt: skip
#: What was looked for isn't there.
_ABSENT: Final = "order_not_found"
#: Of what the venue lists trades and orders, by its documents; more may be by now.
#: Other coins are only held, bought and sold for these.
_TRADED: Final = ("BTC", "ETH", "EURR", "USDC", "USDT")
#: It takes a param for none.
_WRONG: Final = "error -32602"
#: Orders of one market that are over, the newest.
_HISTORY: Final = 1000
#: Pages of the log: the venue takes one a second, and a few at once.
_LOGS: Final = 8
_JSON: Final = msgspec.json.Encoder(decimal_format="number")


class DeribitSession(LineSession):
    """One account at Deribit, see `piker.brokers._live._venue.Session`."""

    amends_in_place: bool = True
    lists_together: bool = True

    def __init__(
        self,
        account: str,
        keys: Keys,
        api: Api,
        calls: Calls,
        conf: DeribitConf,
        venue_time: VenueTime,
    ) -> None:
        """Be a session; use `open_session`."""
        super().__init__(
            account,
            conf.url,
            conf,
            venue_time,
            api.time,
        )
        self._keys, self._api, self._calls = keys, api, calls
        self._ids = Ids()
        self._orders = run_local(
            ("orders", conf.ws, account), lambda: RateBudget(conf.orders, _ORDERS_S)
        )
        self._logs = run_local(
            ("log", conf.ws, account), lambda: RateBudget(_LOGS, float(_LOGS))
        )
        self._traded = dict.fromkeys(_TRADED, True)

    # -- what happens -------------------------------------------------------------

    def _open(self) -> AbstractAsyncContextManager[RpcSocket]:
        return open_rpc_socket(
            self._broker, self._url, keys=self._keys, proxy=self._proxy,
            deadline_s=self._deadline_s,
        )  # fmt: skip

    async def _subscribe(self, line: Line) -> None:
        await self._measure_time()
        try:  # whatever the account's settings are: orders rest while a line is lost
            await self._call(line, "private/disable_cancel_on_disconnect", {})
        except OrderRejected as err:
            log.warning("%s: its orders may end with a line: %s", self.account, err)
        answer = await self._call(line, "private/subscribe", {"channels": [_CHANNEL]})
        if _CHANNEL.encode() not in answer:
            raise VenueUnreachable(f"{BROKER} doesn't tell of {self.account}'s orders")

    def _take(self, line: Line, payload: bytes, tell: Tell) -> None:
        """Take an answer, or what happened; what can't be read is asked for again."""
        try:
            message = parse_message(payload)
            if message.method == "subscription":
                self._take_changes(message, tell)
                return
        except BadPayload as err:
            self.odd_messages += 1
            log.warning("%s: %s", self.account, err)
            self._look_again(line, tell)
        else:
            line.answer(message.id, message)

    def _take_changes(self, message: Envelope, tell: Tell) -> None:
        params = message.params
        if params is None or not params.channel.startswith("user.changes."):
            return
        told = parse_changes(bytes(params.data))
        states = [
            self._state_of(row) for row in told.orders if is_market(row.instrument_name)
        ]
        # first the trades: what is filled then is told of
        for row in told.trades:
            if is_market(row.instrument_name):
                tell(to_trade(row, self._ids.known(row.order_id, row.label)))
        for state in states:
            tell(state)

    def _state_of(self, row: OrderRow) -> OrderState:
        """Return an order, and note what it is called now."""
        return to_state(row, self._ids.learn(row))

    # -- asking -------------------------------------------------------------------

    async def _order(self, method: str, params: dict[str, Any]) -> bytes:
        """Ask for something about an order, once; raises NotSent and Unsure."""
        return await self._call(await self._wait_line(), method, params)

    async def _call(self, line: Line, method: str, params: dict[str, Any]) -> bytes:
        answer = await self._send(line, method, params)
        if answer.error is not None and answer.error.code in (TOO_LATE, UNKNOWN_TOKEN):
            # it wasn't looked at: its clock was set, or our token has ended
            try:
                if answer.error.code == TOO_LATE:
                    await self._measure_time(fresh_s=0)
                else:
                    await self._renew(line)
            except VenueError as err:
                raise Busy(f"{error_of(answer.error)}, and then {err}") from None
            answer = await self._send(line, method, params)
        if answer.error is not None:
            raise error_of(answer.error)
        if answer.result is UNSET:
            self.odd_messages += 1
            raise Unsure(f"{BROKER} answered {method} with neither result nor error")
        return bytes(answer.result)

    async def _renew(self, line: Line) -> None:
        assert isinstance(line.socket, RpcSocket), "it was opened here"
        await line.socket.renew()

    async def _send(self, line: Line, method: str, params: dict[str, Any]) -> Envelope:
        until_ns = self.now_ns() + _DEADLINE_NS
        told = dict(params)
        if method in ("private/buy", "private/sell", "private/edit"):
            told["valid_until"] = until_ns // _MS_NS

        def make(number: int) -> str:
            asked = {
                "jsonrpc": "2.0", "id": number, "method": method, "params": told,
            }  # fmt: skip
            return _JSON.encode(asked).decode()

        answer: Envelope = await self._exchange(line, make, until_ns + _LATE_NS)
        return answer

    async def _look(self, method: str, params: dict[str, Any] | None = None) -> bytes:
        """Look at something; raises VenueError."""
        return (await self._calls.call(method, params or {})).body

    # -- orders -------------------------------------------------------------------

    async def place(self, order: NewOrder) -> OrderState:
        """Place an order; return it as it was right after."""
        await self._orders.spend()
        is_limited = order.price is not None
        params: dict[str, Any] = {
            "instrument_name": order.mkt.bs_mktid,
            "amount": order.size,
            "type": "limit" if is_limited else "market",
            "label": order.cl_id,
        }
        if order.trigger is not None:
            params["type"] = "stop_limit" if is_limited else "stop_market"
            params["trigger"] = "last_price"
        if is_limited:
            params["time_in_force"] = _TIFS[order.tif]
        params |= _terms(order)
        placed = await self._placed(f"private/{order.side}", params)
        if placed.state == "canceled" and placed.reason == "rejected":
            raise OrderRejected(f"{BROKER} rejected the order")
        return placed

    async def _placed(self, method: str, params: dict[str, Any]) -> OrderState:
        result = await self._order(method, params)
        try:
            return self._state_of(parse_placed(result))
        except BadPayload as err:
            raise self._unread(err) from None

    async def amend(self, old: OrderState, order: NewOrder) -> Replaced:
        """Change an order in its place: *order* is the whole of it."""
        await self._orders.spend()
        params: dict[str, Any] = {
            "order_id": self._ids.now(old.reqid),
            "amount": order.size,
        } | _terms(order)
        return Replaced(old=None, new=await self._placed("private/edit", params))

    async def cancel(self, order: OrderState) -> OrderState:
        """End an order; return it as it ended."""
        asked = {"order_id": self._ids.now(order.reqid)}
        try:
            result = await self._order("private/cancel", asked)
        except Busy as err:  # a cancel is asked for again, a moment later
            unsure = Unsure(str(err))
            unsure.until_ns = self.now_ns() + NS
            raise unsure from None
        try:
            ended = self._state_of(parse_order(result))
        except BadPayload as err:
            raise self._unread(err) from None
        if not ended.is_over:
            raise Unsure(f"{BROKER} took a cancel of {order.reqid}, which is open")
        return ended

    async def cancel_all(self, bs_mktids: Iterable[str]) -> int:
        """End all that is open; return how many orders that were."""
        del bs_mktids  # it has a word for all markets
        # nothing that waits for its turn stands in its way
        answer = await self._calls.call("private/cancel_all", weight=0)
        return parse_count(answer.body)

    def _unread(self, err: BadPayload) -> Unsure:
        """Return that nobody knows what an answer means."""
        self.odd_messages += 1
        return Unsure(str(err))

    # -- looking ------------------------------------------------------------------

    async def find(
        self, mkt: MktPair, cl_id: str, reqid: str = ""
    ) -> OrderState | None:
        """Return an order by its id, None if the venue never had it."""
        row = await self._by_id(self._ids.now(reqid)) if reqid else None
        if row is not None and row.order_state != "triggered":
            return self._state_of(row)
        found = await self._by_label(mkt, row.label if row else cl_id)
        if found is None and reqid:
            row = await self._by_history(mkt, self._ids.now(reqid)) or row
        return found or (self._state_of(row) if row else None)

    async def _by_id(self, order_id: str) -> OrderRow | None:
        try:
            body = await self._look("private/get_order_state", {"order_id": order_id})
        except VenueRefused as err:
            if _ABSENT in str(err):
                return None
            raise
        return parse_order_answer(body)

    async def _by_history(self, mkt: MktPair, order_id: str) -> OrderRow | None:
        """Return an order that ended more than half an hour ago, or what it became."""
        asked = {
            "instrument_name": mkt.bs_mktid, "count": _HISTORY, "include_old": True,
            "include_unfilled": True, "historical": True,
        }  # fmt: skip
        try:
            body = await self._look("private/get_order_history_by_instrument", asked)
        except MarketGone:
            return None
        rows = [
            row
            for row in parse_orders(body)
            if order_id in (row.order_id, row.trigger_order_id)
        ]
        rows.sort(key=lambda row: row.order_state == "triggered")
        return rows[0] if rows else None

    async def _by_label(self, mkt: MktPair, label: str) -> OrderState | None:
        """Return the order of a label: of a stop that counts what it became."""
        if not label:
            return None
        for currency in await self._those_traded(_currencies_of(mkt)):
            body = await self._look(
                "private/get_order_state_by_label",
                {"currency": currency, "label": label},
            )
            rows = [row for row in parse_orders(body) if row.label == label]
            rows.sort(key=lambda row: (row.order_state != "triggered", row.order_id))
            states = [self._state_of(row) for row in rows]
            if states:
                return states[-1]
        return None

    async def open_orders(self) -> list[OrderState]:
        """Return all that are open."""
        rows = parse_orders(await self._look("private/get_open_orders"))
        # lists may be old: terms that were told of an order count before theirs
        return [
            msgspec.structs.replace(self._state_of(row), time_ns=0)
            for row in rows
            if row.order_state in ("open", "untriggered")
            and is_market(row.instrument_name)
        ]

    async def trades(
        self,
        mkt: MktPair | None,
        after: Cursor = START,
    ) -> AsyncIterator[list[VenueTrade]]:
        """Yield trades, settlements and deliveries of all markets, the oldest first."""
        await self._need_time()
        since_ms = max(0, after.time_ns - _AGAIN_NS) // _MS_NS
        now_ms = self.now_ns() // _MS_NS
        known = self._ids.known
        lists = []
        for currency in await self._currencies():
            lists += [
                user_trades(self._look, known, currency, since_ms, now_ms),
                log_entries(self._look_at_log, self._note_odd, currency, since_ms),
            ]
        async for page in merged(lists):
            yield page

    async def _currencies(self) -> list[str]:
        """Return in what the account has, or had, anything that is traded."""
        body = await self._look("private/get_account_summaries")
        names = sorted(name.upper() for name in parse_currencies(body))
        return await self._those_traded(names)

    async def _those_traded(self, currencies: list[str]) -> list[str]:
        """Return of which currencies the venue lists trades; it refuses others."""
        for currency in currencies:
            if currency not in self._traded:
                self._traded[currency] = await self._is_traded(currency)
        return [currency for currency in currencies if self._traded[currency]]

    async def _is_traded(self, currency: str) -> bool:
        asked = {"currency": currency, "count": 1}
        try:
            await self._look("private/get_user_trades_by_currency", asked)
        except VenueRefused as err:
            if not str(err).endswith(_WRONG):
                raise
            log.info("%s: nothing trades in %s", self.account, currency)
            return False
        return True

    def _note_odd(self, err: BadPayload) -> None:
        self.odd_messages += 1
        log.error("%s: a row of its log isn't booked: %s", self.account, err)

    async def _look_at_log(self, method: str, params: dict[str, Any]) -> bytes:
        await self._logs.spend()
        return await self._look(method, params)

    async def trades_of(self, mkt: MktPair, reqid: str) -> list[VenueTrade]:
        """Return the trades of one order."""
        asked = {"order_id": self._ids.now(reqid), "sorting": "asc"}
        found: list[VenueTrade] = []
        for historical in (False, True):  # of a day, and older ones
            told = asked | {"historical": historical}
            body = await self._look("private/get_user_trades_by_order", told)
            found += [to_trade(row, reqid) for row in parse_trades_of_order(body)]
        return found

    async def newest(self, mkt: MktPair | None) -> Cursor:
        """Return the end of the account's list of trades: now."""
        await self._need_time()
        return Cursor(time_ns=self.now_ns())

    async def mkt_of(self, bs_mktid: str) -> MktPair:
        """Return a market by the venue's name of it; SymbolNotFound, VenueError."""
        return (await find_by_symbol(bs_mktid)).mkt

    async def price_of(self, asset: str, quote: str) -> Decimal:
        """Return what one of an asset is worth now in another; VenueError."""
        name = {"index_name": f"{asset}_{quote}"}
        answer = await self._api.calls.call("public/get_index_price", name)
        return parse_index(answer.body)

    async def balances(self) -> dict[str, Decimal]:
        """Return what the account has of each asset, what orders hold included.

        Options are paid for as shares are, and told by full name; futures aren't.
        """
        money = parse_balances(await self._look("private/get_account_summaries"))
        if "trade:" not in self._calls.scope:
            return money  # such a key may not ask for more, and trades nothing
        options = {"currency": "any", "kind": "option"}
        held = parse_held(await self._look("private/get_positions", options))
        return money | {
            await self._name_of(symbol): size for symbol, size in held.items()
        }

    async def _name_of(self, symbol: str) -> str:
        """Return a market's full name, the venue's own where it is none here."""
        try:
            return (await self.mkt_of(symbol)).fqme
        except SymbolNotFound:
            return symbol

    async def permissions(self) -> Permissions:
        """Return what the key is for, by the scope that it was granted."""
        await self._need_time()
        try:
            await self._look("private/get_account_summaries")
        except VenueRefused as err:
            if not str(err).endswith(WRONG_KEYS):
                raise
            # none of its orders would ever leave: a connection is of a key
            raise AccountNotFound(str(err)) from None
        scope = self._calls.scope.split()
        may_withdraw = "wallet:read_write" in scope
        warnings = ("it may withdraw: make one that may not",) if may_withdraw else ()
        return Permissions(
            may_trade="trade:read_write" in scope,
            may_withdraw=may_withdraw,
            warnings=warnings,
        )


def _terms(order: NewOrder) -> dict[str, Any]:
    """Return the prices of an order, and whether it may only rest, or only reduce.

    All of it, of a change too: the venue takes what isn't told for its default.
    """
    params: dict[str, Any] = {}
    if order.price is not None:
        params |= {"price": order.price, "post_only": False}  # else true, by its docs
    if order.trigger is not None:
        params["trigger_price"] = order.trigger
    if order.post_only:
        # else the venue would change its price in place of refusing it
        params |= {"post_only": True, "reject_post_only": True}
    if order.reduce_only:
        params["reduce_only"] = True
    return params


def _currencies_of(mkt: MktPair) -> list[str]:
    """Return under which currencies the venue has a market's orders."""
    names = [mkt.paid_in] if mkt.expiry else [mkt.paid_in, mkt.dst.name]
    return [name.upper() for name in names if name]


@asynccontextmanager
async def open_session(account: str, keys: Keys) -> AsyncIterator[DeribitSession]:
    """Yield an account's session; nothing is sent before `run`, or a question.

    Raises: ConfigError.
    """
    conf = load_conf()
    async with open_api(conf) as api, _private_calls(conf, account, keys) as calls:
        venue_time = run_local(("order time", conf.ws), lambda: VenueTime(BROKER))
        yield DeribitSession(account, keys, api, calls, conf, venue_time)


@asynccontextmanager
async def _private_calls(
    conf: DeribitConf, account: str, keys: Keys
) -> AsyncIterator[Calls]:
    """Yield what is asked about one account, counted apart from all others."""
    budget = run_local(
        ("private budget", conf.ws, account),
        lambda: RateBudget(conf.private_requests, _BUDGET_S),
    )
    make = partial(
        Calls,
        BROKER,
        conf.url,
        budget,
        keys=keys,
        proxy=conf.proxy,
        deadline_s=conf.deadline_s,
        reconnect_max_s=conf.reconnect_max_s,
    )
    key = ("private", conf.ws, conf.proxy, account)
    async with open_shared(lambda: open_calls(make()), key) as calls:
        yield calls


async def _get_mkt(fqme: str) -> MktPair:
    """Return a market, an expired one too; BadFqme, SymbolNotFound, VenueError."""
    return (await find_market(fqme)).mkt


BACKEND: Final = LiveBackend(open_session, _get_mkt)
