"""Kraken spot's orders: one account's session, by websocket and by REST.

    place, amend, cancel --a token--> wss://ws-auth.../v2 --answers, executions-->
    find, lists of orders and trades --signed, nonces that rise--> REST

An order keeps its ids when it is changed. A message of the executions channel tells
what changed, so what was known of its order is kept here. Each request but a cancel has
a deadline by the venue's clock, after which it can't be done any more.

https://docs.kraken.com/api/docs/guides/spot-ws-auth
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any, Final

import msgspec
import trio
from msgspec.structs import replace

from piker.brokers._live._accounts import LiveBackend
from piker.brokers._live._line import Line, LineSession, Tell
from piker.brokers._live._secrets import Keys, wrong_keys
from piker.brokers._live._venue import (
    START,
    Cursor,
    NewOrder,
    OrderState,
    Permissions,
    Replaced,
    Unsure,
    VenueTrade,
)
from piker.brokers._web import (
    Backoff,
    Http,
    RateBudget,
    VenueTime,
    open_http,
    open_shared,
    run_local,
)
from piker.errors import (
    BadPayload,
    SymbolNotFound,
    VenueError,
    VenueRefused,
    VenueUnreachable,
)
from piker.log import add_secret, get_logger
from piker.msgs import NS, MktPair

from ._api import BROKER, Api, KrakenConf, load_conf, open_api
from ._names import from_websocket
from ._order_decode import (
    TOO_LATE,
    WRONG_KEYS,
    error_of,
    parse_amended,
    parse_balances,
    parse_closed,
    parse_count,
    parse_executions,
    parse_history,
    parse_message,
    parse_named,
    parse_open,
    parse_rows,
    parse_token,
    parse_trades,
    state_of,
    time_ns_of,
    to_stamp,
    to_state,
    to_trades,
    trade_of,
)
from ._order_schemas import Execution, Message, OrderRow, TradeRow
from ._queries import Queries
from ._rest import parse_error
from ._sign import signed_form
from ._symbols import find_by_pair, find_listed

log = get_logger(__name__)

#: The venue does nothing that was asked for longer ago, by its own clock.
_DEADLINE_NS: Final = 3 * NS
#: After that: for what is on its way inside the venue, for our measure of its clock,
#: which tells whole seconds.
_LATE_NS: Final = 2 * NS
#: An order's end is told right after its cancel is answered; else it is asked for.
_END_S: Final = 1.0
_PAGE: Final = 50
#: Trades of so long are listed again: they are listed by time.
_AGAIN_S: Final = 60
_TXIDS: Final = 20
_KNOWN: Final = 10_000
_TRIES: Final = 3
_BUDGET_S: Final = 10.0
_PRIVATE_S: Final = 45.0
#: What was looked for isn't there.
_ABSENT: Final = ("EOrder:Unknown order", "EOrder:Invalid order")
_JSON: Final = msgspec.json.Encoder(decimal_format="number")


@dataclass(eq=False)
class _End:
    """Who waits for the end of an order.

    Attributes:
      state: how it ended, None while it hasn't.
    """

    came: trio.Event = field(default_factory=trio.Event)
    state: OrderState | None = None


class KrakenSession(LineSession):
    """One account at Kraken spot, see `piker.brokers._live._venue.Session`."""

    amends_in_place: bool = True
    lists_together: bool = True

    def __init__(
        self,
        account: str,
        keys: Keys,
        api: Api,
        http: Http,
        conf: KrakenConf,
        venue_time: VenueTime,
    ) -> None:
        """Be a session; use `open_session`."""
        super().__init__(
            account,
            f"{conf.ws_auth.rstrip('/')}/v2",
            conf,
            venue_time,
            api.time,
        )
        self._keys, self._api, self._http = keys, api, http
        self._token, self._sequence = "", 0
        self._nonce, self._turn = 0, trio.Lock()
        self._states: OrderedDict[str, OrderState] = OrderedDict()
        self._ends: dict[str, _End] = {}
        self._pairs: dict[str, MktPair] = {}
        self._queries = Queries(self._ask_rows)
        self._orders = run_local(
            ("orders", conf.ws_auth, account),
            lambda: RateBudget(conf.orders, _BUDGET_S),
        )

    # -- what happens -------------------------------------------------------------

    async def _subscribe(self, line: Line) -> None:
        await self._measure_time()
        self._token = await self._new_token()
        self._sequence = 0
        await self._call(
            line, "subscribe", {"channel": "executions", "snap_orders": True}
        )

    async def _new_token(self) -> str:
        """Return a token for the websocket; it is in no error and no log."""
        try:
            token = parse_token(await self._look("GetWebSocketsToken", {}))
        except BadPayload:
            pass  # the error shows what came
        else:
            add_secret(token)
            return token
        raise VenueUnreachable(f"{BROKER} gave no token for its websocket")

    def _take(self, line: Line, payload: bytes, tell: Tell) -> None:
        """Take an answer, or what happened; what can't be read is asked for again."""
        try:
            message = parse_message(payload)
            if message.channel == "executions":
                self._take_executions(line, message, tell)
                return
        except BadPayload as err:
            self.odd_messages += 1
            log.warning("%s: %s", self.account, err)
            self._look_again(line, tell)
        else:
            line.answer(message.req_id, message)

    def _take_executions(self, line: Line, message: Message, tell: Tell) -> None:
        if self._sequence and message.sequence != self._sequence + 1:
            log.warning("%s: messages are missing, or come twice", self.account)
            self._look_again(line, tell)
        self._sequence = message.sequence
        for row in parse_executions(bytes(message.data)):
            if message.type == "snapshot":  # as it is now, whenever it changed last
                row = msgspec.structs.replace(row, timestamp=to_stamp(self.now_ns()))  # noqa: PLW2901
            self._take_row(line, row, tell)

    def _take_row(self, line: Line, row: Execution, tell: Tell) -> None:
        known = self._states.get(row.order_id)
        trade = trade_of(row, known)
        if trade is not None:
            tell(trade)
        state = state_of(row, known)
        if state is None:  # what it was before has been missed
            self._look_again(line, tell)
            return
        self._know(state)
        tell(state)

    def _know(self, state: OrderState) -> None:
        """Keep how an order is, the newest of them, and say so to who waits for it."""
        self._states[state.reqid] = state
        self._states.move_to_end(state.reqid)
        while len(self._states) > _KNOWN:
            self._states.popitem(last=False)
        end = self._ends.get(state.reqid)
        if end is not None and state.is_over:
            end.state = state
            end.came.set()

    # -- asking -------------------------------------------------------------------

    async def _order(self, method: str, params: dict[str, Any]) -> Message:
        """Ask for something about an order, once; raises NotSent and Unsure."""
        return await self._call(await self._wait_line(), method, params)

    async def _call(self, line: Line, method: str, params: dict[str, Any]) -> Message:
        answer = await self._send(line, method, params)
        if answer.error.startswith(TOO_LATE):
            # it wasn't looked at: its clock, or ours, was set
            await self._measure_time(fresh_s=0)
            answer = await self._send(line, method, params)
        if not answer.success:
            raise error_of(answer.error)
        return answer

    async def _send(self, line: Line, method: str, params: dict[str, Any]) -> Message:
        until_ns = self.now_ns() + _DEADLINE_NS
        told = {**params, "token": self._token}
        if method in ("add_order", "amend_order"):
            told["deadline"] = to_stamp(until_ns)

        def make(number: int) -> str:
            asked = {"method": method, "params": told, "req_id": number}
            return _JSON.encode(asked).decode()

        answer: Message = await self._exchange(line, make, until_ns + _LATE_NS)
        return answer

    async def _look(
        self, what: str, params: dict[str, str | int], weight: int = 1
    ) -> bytes:
        """Look at something by REST; raises VenueError.

        What weighs nothing has no turn: another's nonce may be too low then, and it
        asks again.
        """
        await self._need_time()
        path, backoff = f"/0/private/{what}", Backoff(first_s=0.2, cap_s=1.0)
        for attempt in range(1, _TRIES + 1):
            try:
                # nonces arrive in order
                async with self._turn if weight else nullcontext():
                    self._nonce = max(self._nonce + 1, time.time_ns() // 1000)
                    form, headers = signed_form(self._keys, path, self._nonce, params)
                    answer = await self._http.ask(
                        path,
                        weight=weight,
                        headers=headers,
                        method="POST",
                        body=form,
                        tries=1,
                    )
            except (VenueUnreachable, BadPayload):
                if attempt == _TRIES:
                    raise
            except VenueRefused as err:
                # another process used the key with a later one a moment ago
                if "EAPI:Invalid nonce" not in str(err) or attempt == _TRIES:
                    raise
            else:
                return answer.body
            await trio.sleep(backoff.next_s())
        raise AssertionError("the last attempt returns or raises")

    # -- orders -------------------------------------------------------------------

    async def place(self, order: NewOrder) -> OrderState:
        """Place an order; return it as it was right after."""
        await self._orders.spend()
        params: dict[str, Any] = {
            "order_type": "limit",
            "side": order.side,
            "symbol": order.mkt.bs_mktid,
            "order_qty": order.size,
            "cl_ord_id": order.cl_id,
        }
        if order.trigger is not None:
            is_limited = order.price is not None
            params["order_type"] = "stop-loss-limit" if is_limited else "stop-loss"
            params["triggers"] = {"reference": "last", "price": order.trigger}
        if order.price is not None:
            params["limit_price"] = order.price
            params["time_in_force"] = order.tif
        if order.post_only:
            params["post_only"] = True
        answer = await self._order("add_order", params)
        try:
            reqid = parse_named(bytes(answer.result)).order_id
            time_ns = time_ns_of(answer.time_out)
        except BadPayload as err:
            raise self._unread(err) from None
        placed = OrderState(
            cl_id=order.cl_id,
            reqid=reqid,
            bs_mktid=order.mkt.bs_mktid,
            side=order.side,
            price=order.price or Decimal(0),
            size=order.size,
            filled=Decimal(0),
            state="open",
            time_ns=time_ns,
            trigger=order.trigger or Decimal(0),
        )
        if reqid not in self._states:
            self._know(placed)
        return self._states[reqid]

    async def amend(self, old: OrderState, order: NewOrder) -> Replaced:
        """Change an order in its place: *order* is the whole of it."""
        await self._orders.spend()
        params: dict[str, Any] = {
            "order_id": old.reqid,
            "order_qty": order.size,
        }
        if order.price is not None:
            params["limit_price"] = order.price
        if order.trigger is not None:
            params["trigger_price"] = order.trigger
        if order.post_only:
            params["post_only"] = True
        answer = await self._order("amend_order", params)
        try:
            parse_amended(bytes(answer.result))
            time_ns = time_ns_of(answer.time_out)
        except BadPayload as err:
            raise self._unread(err) from None
        known = self._states.get(old.reqid, old)
        # what was told since counts further; it is as it was asked for in any case
        now = replace(
            known,
            price=order.price or Decimal(0),
            size=order.size,
            trigger=order.trigger or Decimal(0),
        )
        if known.time_ns <= time_ns and not known.is_over:
            now = replace(now, time_ns=time_ns)
            self._know(now)
        return Replaced(old=None, new=now)

    async def cancel(self, order: OrderState) -> OrderState:
        """End an order; return it as it ended."""
        end = self._ends.setdefault(order.reqid, _End())
        try:
            await self._order("cancel_order", {"order_id": [order.reqid]})
            with trio.move_on_after(_END_S):
                await end.came.wait()
        finally:
            self._ends.pop(order.reqid, None)
        if end.state is not None:
            return end.state
        try:
            found = await self._query(order.reqid, order.bs_mktid)
        except VenueError as err:
            raise Unsure(f"{BROKER} took a cancel; how it ended: {err}") from None
        if not found.is_over:
            raise Unsure(f"{BROKER} took a cancel of {order.reqid}, which is open")
        return found

    async def cancel_all(self, bs_mktids: Iterable[str]) -> int:
        """End all that is open; return how many orders that were."""
        del bs_mktids  # it has a word for all markets
        # the venue doesn't count cancels among the calls of an account
        return parse_count(await self._look("CancelAll", {}, weight=0))

    def _unread(self, err: BadPayload) -> Unsure:
        """Return that nobody knows what an answer means."""
        self.odd_messages += 1
        return Unsure(str(err))

    # -- looking ------------------------------------------------------------------

    async def find(
        self, mkt: MktPair, cl_id: str, reqid: str = ""
    ) -> OrderState | None:
        """Return an order by its id, None if the venue never had it."""
        if reqid:
            try:
                return await self._query(reqid, mkt.bs_mktid)
            except VenueRefused as err:
                if any(words in str(err) for words in _ABSENT):
                    return None
                raise
        # in this order: what ends in between is in the second one
        for what, parse in (("OpenOrders", parse_open), ("ClosedOrders", parse_closed)):
            await self._need_time()
            now_ns = self.now_ns()
            rows = parse(await self._look(what, {"cl_ord_id": cl_id}))
            for each, row in rows.items():
                if row.cl_ord_id == cl_id:
                    return to_state(each, row, mkt.bs_mktid, now_ns)
        return None

    async def _query(self, reqid: str, bs_mktid: str) -> OrderState:
        """Return an order by the venue's id; raises VenueError."""
        await self._need_time()
        now_ns = self.now_ns()
        return to_state(reqid, await self._queries.row(reqid), bs_mktid, now_ns)

    async def _ask_rows(self, reqids: list[str]) -> dict[str, OrderRow]:
        return parse_rows(await self._look("QueryOrders", {"txid": ",".join(reqids)}))

    async def open_orders(self) -> list[OrderState]:
        """Return all that are open."""
        rows = parse_open(await self._look("OpenOrders", {}))
        # lists may be old: terms that were told of an order count before theirs
        found = []
        for reqid, row in rows.items():
            try:
                mkt = await self._mkt_by_pair(row.descr.pair)
            except SymbolNotFound as err:
                log.warning("%s: order %s is left out: %s", self.account, reqid, err)
            else:
                found.append(to_state(reqid, row, mkt.bs_mktid, 0))
        return found

    async def _mkt_by_pair(self, pair: str) -> MktPair:
        """Return a market by what REST calls it; SymbolNotFound, VenueError."""
        if pair not in self._pairs:
            self._pairs[pair] = (await find_by_pair(pair)).mkt
        return self._pairs[pair]

    async def trades(
        self,
        mkt: MktPair | None,
        after: Cursor = START,
    ) -> AsyncIterator[list[VenueTrade]]:
        """Yield trades of all markets, the oldest first, a page at a time."""
        # not by its id, which may be a ledger's own
        first_s = after.time_ns // NS - _AGAIN_S
        asked: dict[str, str | int] = {"start": first_s} if first_s > 0 else {}
        newest, count = await self._history(asked)
        if count > len(newest):
            # between fixed ends no page moves while others are read, the last one first
            asked["end"] = max(newest, key=lambda tid: newest[tid].time)
        for ofs in range((count - 1) // _PAGE * _PAGE, 0, -_PAGE):
            rows, _ = await self._history({**asked, "ofs": ofs})
            if page := await self._read_trades(rows):
                yield page
        if page := await self._read_trades(newest):
            yield page

    async def _history(
        self, asked: dict[str, str | int]
    ) -> tuple[dict[str, TradeRow], int]:
        return parse_history(await self._look("TradesHistory", asked, weight=2))

    async def _read_trades(self, rows: dict[str, TradeRow]) -> list[VenueTrade]:
        """Return the trades of a page, of markets that aren't listed too."""
        mkts = dict[str, MktPair]()
        for pair in {row.pair for row in rows.values()}:
            with suppress(SymbolNotFound):
                mkts[pair] = await self._mkt_by_pair(pair)
        return to_trades(rows, mkts)

    async def trades_of(self, mkt: MktPair, reqid: str) -> list[VenueTrade]:
        """Return the trades of one order."""
        rows = parse_rows(
            await self._look("QueryOrders", {"txid": reqid, "trades": "true"})
        )
        tids = [tid for row in rows.values() for tid in row.trades]
        found = list[VenueTrade]()
        for at in range(0, len(tids), _TXIDS):
            some = ",".join(tids[at : at + _TXIDS])
            body = await self._look("QueryTrades", {"txid": some}, weight=2)
            found += await self._read_trades(parse_trades(body))
        return found

    async def newest(self, mkt: MktPair | None) -> Cursor:
        """Return the end of the account's list of trades."""
        rows, _ = await self._history({})
        trades = await self._read_trades(rows)
        return trades[-1].cursor if trades else START

    async def mkt_of(self, bs_mktid: str) -> MktPair:
        """Return a market by the venue's name of it; SymbolNotFound, VenueError."""
        pair = from_websocket(bs_mktid).replace("/", "")
        return (await find_by_pair(pair)).mkt

    async def price_of(self, asset: str, quote: str) -> Decimal:
        """Return what one of an asset is worth now in another; VenueError."""
        listed = await find_listed(f"{asset}{quote}.spot.{BROKER}")
        return Decimal(repr((await self._api.quote(listed)).last))

    async def balances(self) -> dict[str, Decimal]:
        """Return what the account has of each asset, what orders hold included."""
        return parse_balances(await self._look("Balance", {}))

    async def permissions(self) -> Permissions:
        """Return what the key is for: found out by asking, there is no list of it."""
        order: dict[str, str | int] = {
            "pair": "XBTUSD", "type": "buy", "ordertype": "limit", "price": "1",
            "volume": "1", "validate": "true",
        }  # fmt: skip
        may_trade = await self._may("AddOrder", order)
        may_withdraw = await self._may("WithdrawMethods", {})
        return Permissions(
            may_trade=may_trade,
            may_withdraw=may_withdraw,
            warnings=("it may withdraw: make one that may not",)
            if may_withdraw
            else (),
        )

    async def _may(self, what: str, params: dict[str, str | int]) -> bool:
        try:
            await self._look(what, params)
        except VenueRefused as err:
            if "Permission denied" in str(err):
                return False
            if any(words in str(err) for words in WRONG_KEYS):
                raise wrong_keys(err) from None
            if "EAPI:" in str(err):
                raise
        return True


@asynccontextmanager
async def open_session(account: str, keys: Keys) -> AsyncIterator[KrakenSession]:
    """Yield an account's session; nothing is connected before `run`.

    Raises: ConfigError.
    """
    conf = load_conf()
    async with open_api(conf) as api, _private_http(conf, account) as http:
        venue_time = run_local(("order time", conf.rest), lambda: VenueTime(BROKER))
        yield KrakenSession(account, keys, api, http, conf, venue_time)


@asynccontextmanager
async def _private_http(conf: KrakenConf, account: str) -> AsyncIterator[Http]:
    """Yield REST for one account, whose calls are counted apart from all others."""
    budget = run_local(
        ("private budget", conf.rest, account),
        lambda: RateBudget(conf.private_requests, _PRIVATE_S),
    )
    opener = partial(
        open_http,
        BROKER,
        conf.rest,
        budget,
        proxy=conf.proxy,
        failure_of=parse_error,
        fails_with_200=True,
        deadline_s=conf.deadline_s,
    )
    key = ("private", conf.rest, conf.proxy, account)
    async with open_shared(opener, key) as http:
        yield http


async def _get_mkt(fqme: str) -> MktPair:
    """Return a market; BadFqme, SymbolNotFound, VenueError."""
    return (await find_listed(fqme)).mkt


BACKEND: Final = LiveBackend(open_session, _get_mkt)
