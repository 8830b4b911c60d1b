"""Binance spot's orders: one account's session, by the websocket API and by REST.

    place, amend, cancel --signed--> wss://ws-api.../ws-api/v3 --answers, events-->
    find, lists of orders and trades --signed--> REST

What is asked for over a connection that breaks has an end that nobody knows: `Unsure`.
Nothing is sent twice. Events come over the same connection as answers, so what is
asked for after `LineUp` is told whole.

https://developers.binance.com/docs/binance-spot-api-docs/websocket-api
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Final

import msgspec

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
from piker.brokers._web import RateBudget, VenueTime, run_local
from piker.errors import (
    BadPayload,
    UsageError,
    VenueError,
    VenueRefused,
)
from piker.log import get_logger
from piker.msgs import MktPair

from ._api import BROKER, Api, BinanceConf, load_conf, open_api
from ._order_decode import (
    TOO_LATE,
    WRONG_KEYS,
    error_of,
    parse_answer,
    parse_balances,
    parse_canceled,
    parse_events,
    parse_order,
    parse_orders,
    parse_permissions,
    parse_price,
    parse_replacement,
    parse_trades,
    replacement_of,
)
from ._order_schemas import ApiAnswer
from ._sign import signed_params, signed_query
from ._symbols import find_listed

log = get_logger(__name__)

_NS_PER_MS: Final = 1_000_000
#: The venue does nothing that was asked for longer ago, by its own clock.
_WINDOW_MS: Final = 3000
#: After that: for what is on its way inside the venue, for our measure of its clock.
_LATE_NS: Final = 1_500_000_000
_PAGE: Final = 1000
#: What else a key may be refused for.
_KEY_USE: Final = "let the key be used from this address"
#: https://developers.binance.com/docs/binance-spot-api-docs/rest-api/trading-endpoints
_WEIGHTS: Final = {
    "order": 4, "openOrders": 80, "myTrades": 20, "account": 20,
    "account/apiRestrictions": 1,
}  # fmt: skip


class BinanceSession(LineSession):
    """One account at Binance spot, see `piker.brokers._live._venue.Session`.

    Attributes:
      account: full name.
      odd_messages: how many couldn't be read.
    """

    amends_in_place: bool = False
    lists_together: bool = False

    def __init__(
        self, account: str, keys: Keys, api: Api, conf: BinanceConf, time: VenueTime
    ) -> None:
        """Be a session; use `open_session`."""
        super().__init__(
            account,
            conf.spot_ws_api,
            conf,
            time,
            api.time,
        )
        self._keys, self._api = keys, api
        self._orders = run_local(
            ("orders", api.service.rest, account),
            lambda: RateBudget(conf.spot_orders, 10.0),
        )

    # -- what happens -------------------------------------------------------------

    async def _subscribe(self, line: Line) -> None:
        await self._measure_time()
        await self._call(line, "userDataStream.subscribe.signature", {})

    def _take(self, line: Line, payload: bytes, tell: Tell) -> None:
        """Take an answer, or an event; one that can't be read has them asked again."""
        try:
            answer = parse_answer(payload)
            if answer.event is not msgspec.UNSET:
                for told in parse_events(bytes(answer.event)):
                    tell(told)
                return
        except BadPayload as err:
            self.odd_messages += 1
            log.warning("%s: %s", self.account, err)
            self._look_again(line, tell)
        else:
            line.answer(answer.id, answer)

    # -- asking -------------------------------------------------------------------

    def _stamp_ms(self) -> int:
        return self.now_ns() // _NS_PER_MS

    async def _order(self, method: str, params: dict[str, Any]) -> ApiAnswer:
        """Ask for something about an order, once; raises NotSent and Unsure."""
        return await self._call(await self._wait_line(), method, params)

    async def _call(self, line: Line, method: str, params: dict[str, Any]) -> ApiAnswer:
        answer = await self._send(line, method, params)
        if answer.error is not None and answer.error.code == TOO_LATE:
            # it wasn't looked at: its clock, or ours, was set
            await self._measure_time(fresh_s=0)
            answer = await self._send(line, method, params)
        if answer.error is None and answer.status != 200:
            raise Unsure(f"{BROKER} answered with status {answer.status} and no error")
        if answer.error is not None and method != "order.cancelReplace":
            raise error_of(answer.error.code, answer.error.msg, answer.status)
        return answer

    async def _send(self, line: Line, method: str, params: dict[str, Any]) -> ApiAnswer:
        stamp_ms = self._stamp_ms()
        told = {**params, "timestamp": stamp_ms, "recvWindow": _WINDOW_MS}
        signed = signed_params(self._keys, told)

        def make(number: int) -> str:
            asked = {"id": number, "method": method, "params": signed}
            return msgspec.json.encode(asked).decode()

        until_ns = (stamp_ms + _WINDOW_MS) * _NS_PER_MS + _LATE_NS
        answer: ApiAnswer = await self._exchange(line, make, until_ns)
        return answer

    async def _look(
        self, what: str, params: dict[str, Any], root: str = "/api/v3",
        *, method: str = "GET", weight: float | None = None,
    ) -> bytes:  # fmt: skip
        """Look at something by REST; raises VenueError."""
        await self._need_time()
        for attempt in (1, 2):
            told = {**params, "timestamp": self._stamp_ms(), "recvWindow": 10_000}
            try:
                answer = await self._api.http.ask(
                    f"{root}/{what}?{signed_query(self._keys, told)}",
                    weight=_WEIGHTS[what] if weight is None else weight,
                    headers={"X-MBX-APIKEY": self._keys.key.reveal()},
                    method=method,
                    tries=1 if attempt == 2 else 2,
                )
            except VenueRefused as err:
                if f"code {TOO_LATE}:" not in str(err) or attempt == 2:
                    raise
                await self._measure_time(fresh_s=0)
            else:
                return answer.body
        raise AssertionError("the second attempt returns or raises")

    # -- orders -------------------------------------------------------------------

    async def place(self, order: NewOrder) -> OrderState:
        """Place an order; return it as it was right after."""
        await self._orders.spend()
        params = {**_params_of(order), "newOrderRespType": "RESULT"}
        answer = await self._order("order.place", params)
        return self._read(parse_order, answer)

    async def amend(self, old: OrderState, order: NewOrder) -> Replaced:
        """Put an order in place of one of which nothing is filled."""
        await self._orders.spend()
        params = {
            **_params_of(order),
            "newOrderRespType": "RESULT",
            "cancelReplaceMode": "STOP_ON_FAILURE",
            "cancelOrderId": int(old.reqid),
            "cancelRestrictions": "ONLY_NEW",
        }
        answer = await self._order("order.cancelReplace", params)
        error = answer.error
        if error is None:
            return self._read(parse_replacement, answer)
        if bytes(error.data) in (b"", b"null"):
            raise error_of(error.code, error.msg, answer.status)
        try:
            return replacement_of(error)
        except BadPayload as err:
            raise Unsure(str(err)) from None

    async def cancel(self, order: OrderState) -> OrderState:
        """End an order; return it as it ended."""
        params = {"symbol": order.bs_mktid, "orderId": int(order.reqid)}
        answer = await self._order("order.cancel", params)
        return self._read(parse_order, answer)

    async def cancel_all(self, bs_mktids: Iterable[str]) -> int:
        """End all that is open in these markets; return how many orders that were."""
        ended, faults = 0, list[VenueError]()
        for bs_mktid in bs_mktids:
            try:
                ended += await self._cancel_market(bs_mktid)
            except VenueError as err:  # the next one may be ended all the same
                faults.append(err)
        if faults:
            raise faults[0]
        return ended

    async def _cancel_market(self, bs_mktid: str) -> int:
        # of what the venue allows our budget leaves more than that takes
        try:
            body = await self._look(
                "openOrders", {"symbol": bs_mktid}, method="DELETE", weight=0
            )
        except VenueRefused as err:
            if "code -2011:" in str(err):  # there is none
                return 0
            raise
        return parse_canceled(body)

    def _read(self, parse: Callable[[bytes], Any], answer: ApiAnswer) -> Any:
        """Return what an answer says; of one that can't be read nobody knows."""
        try:
            return parse(bytes(answer.result))
        except BadPayload as err:
            self.odd_messages += 1
            raise Unsure(str(err)) from None

    # -- looking ------------------------------------------------------------------

    async def find(
        self, mkt: MktPair, cl_id: str, reqid: str = ""
    ) -> OrderState | None:
        """Return an order by its id, None if the venue never had it."""
        params: dict[str, Any] = {"symbol": mkt.bs_mktid}
        params |= {"orderId": reqid} if reqid else {"origClientOrderId": cl_id}
        try:
            return parse_order(await self._look("order", params))
        except VenueRefused as err:
            if "code -2013:" in str(err):
                return None
            raise

    async def open_orders(self) -> list[OrderState]:
        """Return all that are open."""
        return parse_orders(await self._look("openOrders", {}))

    async def trades(
        self, mkt: MktPair | None, after: Cursor = START
    ) -> AsyncIterator[list[VenueTrade]]:
        """Yield trades of a market, the oldest first, a page at a time."""
        first = _number_of(after.tid) + 1
        while True:
            page = await self._my_trades(mkt, limit=_PAGE, fromId=first)
            page = [trade for trade in page if _number_of(trade.tid) >= first]
            if page:
                yield page
            if len(page) < _PAGE:
                return
            first = _number_of(page[-1].tid) + 1

    async def trades_of(self, mkt: MktPair, reqid: str) -> list[VenueTrade]:
        """Return the trades of one order."""
        return await self._my_trades(mkt, limit=_PAGE, orderId=reqid)

    async def newest(self, mkt: MktPair | None) -> Cursor:
        """Return the end of a market's list of trades."""
        newest = await self._my_trades(mkt, limit=1)
        return newest[-1].cursor if newest else START

    async def _my_trades(self, mkt: MktPair | None, **asked: Any) -> list[VenueTrade]:
        """Return trades of a market by their numbers."""
        assert mkt is not None, "each market has its own list"
        params = {"symbol": mkt.bs_mktid, **asked}
        page = parse_trades(await self._look("myTrades", params))
        return sorted(page, key=lambda trade: _number_of(trade.tid))

    async def mkt_of(self, bs_mktid: str) -> MktPair:
        """Return a market by the venue's name of it; SymbolNotFound, VenueError."""
        listed, _ = await find_listed(f"{bs_mktid.lower()}.spot.{BROKER}")
        return listed.mkt

    async def price_of(self, asset: str, quote: str) -> Decimal:
        """Return what one of an asset is worth now in another; VenueError."""
        body = await self._api.http.get(
            "/api/v3/ticker/price", {"symbol": f"{asset}{quote}".upper()}, weight=2
        )
        return parse_price(body)

    async def balances(self) -> dict[str, Decimal]:
        """Return what the account has of each asset, what orders hold included."""
        return parse_balances(await self._look("account", {}))

    async def permissions(self) -> Permissions:
        """Return what the key is for."""
        try:
            body = await self._look("account/apiRestrictions", {}, root="/sapi/v1")
        except VenueRefused as err:
            if any(words in str(err) for words in WRONG_KEYS):
                raise wrong_keys(err, _KEY_USE) from None
            raise
        return parse_permissions(body)


def _number_of(tid: str) -> int:
    """Return the venue's number of a trade: of ``BTCUSDT-4211`` 4211.

    -1 of an id that isn't the venue's: a ledger's rows may be from elsewhere.
    """
    number = tid.rpartition("-")[2]
    return int(number) if number.isascii() and number.isdecimal() else -1


def _params_of(order: NewOrder) -> dict[str, Any]:
    mkt = order.mkt
    params: dict[str, Any] = {
        "symbol": mkt.bs_mktid,
        "side": order.side.upper(),
        "type": "LIMIT_MAKER" if order.post_only else "LIMIT",
        "quantity": f"{order.size:.{mkt.size_digits}f}",
        "newClientOrderId": order.cl_id,
    }
    if order.trigger is not None:
        params["type"] = "STOP_LOSS" if order.price is None else "STOP_LOSS_LIMIT"
        params["stopPrice"] = f"{order.trigger:.{mkt.price_digits}f}"
    if order.price is not None:
        params["price"] = f"{order.price:.{mkt.price_digits}f}"
        if not order.post_only:
            params["timeInForce"] = order.tif.upper()
    return params


@asynccontextmanager
async def open_session(account: str, keys: Keys) -> AsyncIterator[BinanceSession]:
    """Yield an account's session; nothing is connected before `run`.

    Raises: ConfigError.
    """
    conf = load_conf()
    async with open_api("spot", conf) as api:
        time = run_local(("order time", conf.spot_rest), lambda: VenueTime(BROKER))
        yield BinanceSession(account, keys, api, conf, time)


async def _get_mkt(fqme: str) -> MktPair:
    """Return a market; SymbolNotFound, VenueError; UsageError: it isn't spot."""
    listed, venue = await find_listed(fqme)
    if venue != "spot":  # other markets have the same ids
        raise UsageError(
            f"binance takes live orders of spot markets only, {fqme!r} is none"
        )
    return listed.mkt


BACKEND: Final = LiveBackend(open_session, _get_mkt)
