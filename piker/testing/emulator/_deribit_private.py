"""What is asked of the emulated Deribit: who may, how often, what goes wrong with it.

    a request of the websocket or of HTTP --credits, token, a fault--> a method

By https://docs.deribit.com/articles/json-rpc-overview, .../authentication and
.../access-scope.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

import msgspec
import trio

from ._accounts import Account
from ._core import Core, Frame, Reply
from ._deribit_accounts import DeribitAccounts
from ._deribit_auth import Credits, Token, Tokens
from ._deribit_channels import Channels
from ._deribit_desk import Desk
from ._deribit_history import History
from ._deribit_public import Public
from ._deribit_rpc import HTTP, Asking, Session, notification
from ._deribit_said import Said, number, wrong
from ._deribit_series import Deal, Series
from ._deribit_told import summary
from ._deribit_user import Teller, parse_user
from ._deribit_world import World
from ._exchange import Event, Order
from ._private import PrivateSide
from ._tape import Item
from ._ws import Connection

#: Told once a request no longer stands in the way of those after it.
_STATUS: ContextVar[Any] = ContextVar("_STATUS", default=trio.TASK_STATUS_IGNORED)


class Then(NamedTuple):
    """A result, and what begins once it is told."""

    result: Any
    begin: Callable[[], None]


class DeribitPrivate(PrivateSide):
    """See the module.

    Attributes:
      accounts: behind it.
      tokens: of all who asked.
    """

    def __init__(
        self, core: Core, world: World, channels: Channels, public: Public,
        budget: int | None,
    ) -> None:  # fmt: skip
        ours = DeribitAccounts(core, world=world, channels=channels)
        super().__init__(core, ours)
        self._ours = ours
        self.tokens = Tokens(ours)
        ours.expire = self.tokens.expire
        self._world, self._channels, self._public = world, channels, public
        self._credits = Credits(budget)
        self._desk = Desk(ours.margins, world, ours.refresh)
        self._history = History(ours.margins, world, self._desk)
        ours.settled = self._note_settled
        self._teller = Teller(ours.margins, world)

    def follow(self, item: Item, touched: list[tuple[Series, list[Deal]]]) -> None:
        """Have what the tape says happen in the books of accounts' orders."""
        self._ours.pass_on(item, touched)

    def told(self) -> Iterator[Frame]:
        """Yield what all are told of what accounts did, and of what ended."""
        fresh, self._ours.margins.fresh = self._ours.margins.fresh, []
        for series, deal in fresh:
            yield from self._channels.touch(series, [deal])
        ended, self._ours.ended = self._ours.ended, []
        for series in ended:
            yield from self._channels.change_state(series, "closed")

    def _note_settled(self, account: str, row: dict[str, Any]) -> None:
        self._history.settlements.setdefault(account, []).append(row)
        currency = self._world.series[row["instrument_name"]].inst.settlement
        for conn, heard in self._hearing.items():
            if any(name == account for name, _ in heard):
                self._tell_money(conn, account, currency)

    def _tell_money(self, conn: Connection, account: str, currency: str) -> None:
        for name in tuple(conn.streams):
            channel = parse_user(self._world, name)
            if channel is not None and channel.what == "portfolio" and (
                channel.currency in ("any", currency)
            ):  # fmt: skip
                told = summary(self._ours.margins, account, currency)
                conn.say(notification(name, told))

    # -- HTTP ---------------------------------------------------------------------

    def takes(self, method: str, path: str) -> bool:
        """Tell whether a request is one of the API."""
        return method in {"GET", "POST"} and f"{path}/".startswith(HTTP + "/")

    async def rest(
        self, method: str, path: str, query: str, body: bytes, headers: dict[str, str]
    ) -> Reply | None:
        """Answer a request of HTTP, see `Private`."""
        asking = _of_http(method, path, query, body)
        session = Session(None)
        line = f"{method}\n{path}{'?' * bool(query)}{query}"

        async def told() -> Any:
            if header := headers.get("authorization", ""):
                session.token = self.tokens.of_header(header, line, body)
            return await self.call(session, asking)

        return await self.reply_rest(told(), partial(_to_reply, asking))

    # -- websockets ---------------------------------------------------------------

    async def keep(self, conn: Connection) -> None:
        """Answer what is asked on a connection, in order but for what is slow."""
        await self.serve(conn, self._reply)

    async def serve(self, conn: Connection, reply: Callable[..., Any]) -> None:
        """Have requests be replied to one after the other, see `PrivateSide`."""
        async with self._asked_of(conn) as asked, trio.open_nursery() as tasks:
            async for request in asked:
                await tasks.start(self._in_turn, reply, conn, *request)

    @asynccontextmanager
    async def _asked_of(self, conn: Connection) -> AsyncIterator[Any]:
        _, asked = self._inbox(conn)
        try:
            yield asked
        finally:
            del self._inboxes[conn]
            self.leave(conn)

    async def _in_turn(
        self, reply: Callable[..., Any], *request: Any,
        task_status: Any = trio.TASK_STATUS_IGNORED,
    ) -> None:  # fmt: skip
        is_started = False

        def started() -> None:
            nonlocal is_started
            if not is_started:
                is_started = True
                task_status.started()

        _STATUS.set(started)
        await reply(*request)
        started()

    async def pause(self, seconds: float) -> None:
        """Wait, while what comes after it is answered."""
        _STATUS.get()()
        await trio.sleep(seconds)

    async def _reply(self, conn: Connection, session: Session, asking: Asking) -> None:
        def say(told: Any) -> None:
            if isinstance(told, Then):
                conn.say(asking.reply(told.result))
                told.begin()
            else:
                conn.say(asking.reply(told))

        self.core.stats.requests[asking.method] += 1
        if not self._credits.take(_who(session), asking.method):
            self.core.stats.limited += 1
            say(Said(10028, "too_many_requests"))
            self.core.drop(conn)
            await conn.close(1000, "too_many_requests")
            return
        await self.reply_ws(conn, self.call(session, asking), say)

    # -- methods ------------------------------------------------------------------

    async def call(self, session: Session, asking: Asking) -> Any:
        """Do what is asked for, and whatever is to go wrong with it; raises Said."""
        if asking.wrong is not None:
            raise asking.wrong
        if session.conn is None and not self._credits.take(
            _who(session), asking.method
        ):
            self.core.stats.limited += 1
            raise Said(10028, "too_many_requests")
        method, params = asking.method, dict(asking.params)
        if method == "public/auth":
            return await self._struck("token", session, partial(
                self._auth, session, params))  # fmt: skip
        own = self._sessions(session, method, params)
        if own is not None:
            is_known = method == "private/subscribe" and (
                self.core.faults.has_asked("subscribe")
            )
            return await self._struck("subscribe" if is_known else method, session, own)
        if method in self._public.methods:
            do = partial(self._public.methods[method], params)
            return await self._struck(method, session, do)
        return await self._private(session, method, params)

    async def _struck(self, kind: str, session: Session, do: Callable[[], Any]) -> Any:
        """Do what is public, with a fault only if it names just this."""
        if self.core.faults.has_asked(kind):
            return await self.answer(kind, _nobody(session), {}, do)
        return do()

    async def _private(
        self, session: Session, method: str, params: dict[str, Any]
    ) -> Any:
        name = method.removeprefix("private/")
        if name == method or name not in _METHODS:
            raise Said(-32601, "Method not found")
        kind, scope = _METHODS[name]
        token = self._token_of(session, params)
        if not token.allows(scope):
            raise Said(13021, "forbidden")
        book = self._history if kind in _PAST else self._desk
        do = partial(book.act, name, token.account, params)
        kind = method if self.core.faults.has_asked(method) else kind
        return await self.answer(kind, token.account, params, do)

    def _token_of(self, session: Session, params: dict[str, Any]) -> Token:
        """Return what a request is allowed by; raises Said."""
        key = params.pop("access_token", None)
        if isinstance(key, str):
            return self.tokens.find(key, session)
        if session.token is None:
            raise Said(13009, "unauthorized", {"reason": "missing_token"})
        if not self.tokens.is_known(session.token):
            raise Said(13009, "unauthorized", {"reason": "token_expired"})
        return self.tokens.check(session.token)

    def _auth(self, session: Session, params: dict[str, Any]) -> dict[str, Any]:
        early = self.core.faults.token()
        self.tokens.early_s = None if early is None else early.seconds
        session.token, told = self.tokens.authenticate(
            params, session if session.conn is not None else None
        )
        return told

    def _sessions(
        self, session: Session, method: str, params: dict[str, Any]
    ) -> Callable[[], Any] | None:
        """Return what is done for a method of connections, None for another."""
        if method == "private/logout":
            return partial(self._logout, session)
        if method in _CANCELS:
            self._token_of(session, params)
            return partial(self._set_cancels, session, _CANCELS[method])
        if method not in _OF_CONNECTIONS:
            return None
        conn = session.conn
        if conn is None:
            raise Said(10030, "must_be_websocket_request")
        acts: dict[str, Callable[[], Any]] = {
            "set_heartbeat": lambda: session.set_heartbeat(number(params, "interval")),
            "disable_heartbeat": session.disable_heartbeat,
            "subscribe": partial(self._subscribe, session, conn, method, params),
            "unsubscribe": partial(self._unsubscribe, conn, params),
            "unsubscribe_all": partial(self._unsubscribe_all, conn),
        }
        return acts[method.partition("/")[2]]

    def _set_cancels(self, session: Session, cancels: bool | None) -> Any:
        """Have orders end with the connection, or not; None: tell which it is."""
        if cancels is None:
            return {"scope": "connection", "enabled": session.cancels}
        if session.conn is None:
            raise Said(10030, "must_be_websocket_request")
        session.cancels = cancels
        return "ok"

    def ended(self, session: Session) -> None:
        """Have orders end with a connection that asked for it."""
        if session.cancels and session.token is not None:
            for order in self._ours.margins.open_orders(session.token.account.name):
                self._ours.margins.end(order, "cancel_on_disconnect")

    def _logout(self, session: Session) -> str:
        session.token, session.cancels = None, False
        return "ok"

    def _is_authorized(self, session: Session) -> bool:
        try:
            self._token_of(session, {})
        except Said:
            return False
        return True

    def _subscribe(
        self, session: Session, conn: Connection, method: str, params: dict[str, Any]
    ) -> Then:
        """Have it hear channels; those that there are not are left out."""
        is_private = method.startswith("private/")
        if is_private:
            self._token_of(session, params)
        names = _names(params)
        taken = []
        for name in names:
            if is_private and parse_user(self._world, name) is not None:
                taken.append(name)
            channel = self._channels.find(name)
            if channel is None:
                continue
            if channel.needs_key and not self._is_authorized(session):
                raise Said(13778, "raw_subscriptions_not_available_for_unauthorized")
            taken.append(name)
        account = session.token.account if session.token is not None else None
        return Then(taken, partial(self._begin, conn, taken, account))

    def _begin(
        self, conn: Connection, names: list[str], account: Account | None
    ) -> None:
        for name in names if not conn.is_closing else ():
            channel = self._channels.find(name)
            if channel is not None:
                self._channels.subscribe(conn, channel)
            elif account is not None:
                self.core.subscribe(conn, name)
                if not self.hears(conn, account.name):
                    self.listen(conn, account.name, partial(self._tell, conn))

    def _tell(self, conn: Connection, event: Event) -> None:
        """Tell a connection of an event, by each channel that it asked for."""
        for name in tuple(conn.streams):
            channel = parse_user(self._world, name)
            if channel is not None:
                for data in self._teller.tell(channel, event):
                    conn.say(notification(name, data))

    def _unsubscribe(self, conn: Connection, params: dict[str, Any]) -> list[str]:
        names = [name for name in _names(params) if name in conn.streams]
        for name in names:
            self.core.unsubscribe(conn, name)
        return names

    def _unsubscribe_all(self, conn: Connection) -> str:
        for name in list(conn.streams):
            self.core.unsubscribe(conn, name)
        return "ok"

    # -- what goes wrong ----------------------------------------------------------

    def refused(self) -> Said:
        """Return what it says when it is out of order."""
        return Said(13028, "temporarily_unavailable")

    def refused_with(self, words: str) -> Said:
        """Return the error of a code and a message, ``10041 settlement...``."""
        code, _, text = words.partition(" ")
        return Said(int(code), text) if code.isdigit() else self.refused()

    def unsure(self) -> Said:
        """Return what it says when it doesn't know."""
        return Said(11094, "internal_server_error")

    def odd(self, result: Any) -> Any:
        """Return a result that has a number where a text belongs."""
        if isinstance(result, Then):
            return result._replace(result=odd_of(result.result))
        return odd_of(result)

    def list_open(self, orders: list[Order]) -> Any:
        """Return the answer to a question for open orders."""
        return self._desk.rows(orders)


_READ, _WRITE, _ACCOUNT = "trade:read", "trade:read_write", "account:read"
#: Kind of request, as faults know it, and scope, by method.
_METHODS: Final = {
    "buy": ("place", _WRITE), "sell": ("place", _WRITE),
    "close_position": ("place", _WRITE), "edit": ("amend", _WRITE),
    "edit_by_label": ("amend", _WRITE), "cancel": ("cancel", _WRITE),
    "cancel_by_label": ("cancel", _WRITE), "cancel_all": ("cancel_all", _WRITE),
    "cancel_all_by_instrument": ("cancel_all", _WRITE),
    "cancel_all_by_currency": ("cancel_all", _WRITE),
    "get_open_orders": ("open", _READ), "get_open_orders_by_label": ("open", _READ),
    "get_open_orders_by_instrument": ("open", _READ),
    "get_open_orders_by_currency": ("open", _READ),
    "get_order_state": ("status", _READ), "get_order_state_by_label": ("status", _READ),
    "get_position": ("positions", _READ), "get_positions": ("positions", _READ),
    "get_account_summary": ("account", _ACCOUNT),
    "get_account_summaries": ("account", _ACCOUNT),
    "get_user_trades_by_instrument": ("trades", _READ),
    "get_user_trades_by_instrument_and_time": ("trades", _READ),
    "get_user_trades_by_currency": ("trades", _READ),
    "get_user_trades_by_currency_and_time": ("trades", _READ),
    "get_user_trades_by_order": ("trades", _READ),
    "get_order_history_by_currency": ("orders", _READ),
    "get_order_history_by_instrument": ("orders", _READ),
    "get_settlement_history_by_currency": ("settlements", _READ),
    "get_settlement_history_by_instrument": ("settlements", _READ),
    "get_transaction_log": ("log", _ACCOUNT),
}  # fmt: skip
#: Kinds of requests for what was.
_PAST: Final = frozenset({"trades", "orders", "settlements", "log"})
#: Whether orders end with the connection; None asks.
_CANCELS: Final = {
    "private/enable_cancel_on_disconnect": True,
    "private/disable_cancel_on_disconnect": False,
    "private/get_cancel_on_disconnect": None,
}
_OF_CONNECTIONS: Final = frozenset(
    {"public/set_heartbeat", "public/disable_heartbeat"}
    | {
        f"{of}/{name}"
        for of in ("public", "private")
        for name in ("subscribe", "unsubscribe", "unsubscribe_all")
    }
)


def odd_of(result: Any) -> Any:
    """Return a result with numbers where texts belong, whatever is in it."""
    if isinstance(result, list):
        return [odd_of(each) for each in result]
    if isinstance(result, dict):
        return {key: odd_of(value) for key, value in result.items()}
    return 7 if isinstance(result, str) else [str(result)]


def _names(params: dict[str, Any]) -> list[str]:
    names = params.get("channels")
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise wrong("channels", "value required" if names is None else "wrong format")
    return list(dict.fromkeys(names))


def _who(session: Session) -> str:
    return session.token.account.name if session.token is not None else ""


def _nobody(session: Session) -> Account:
    if session.token is not None:
        return session.token.account
    return Account(name="", key="", secret="")


def _of_http(method: str, path: str, query: str, body: bytes) -> Asking:
    """Return what a request of HTTP asks for: of its body, or of its address."""
    name = path.removeprefix(HTTP).strip("/")
    if method == "POST" and body:
        return Asking.of(body)
    params = dict(parse_qsl(query, keep_blank_values=True))
    return Asking.of(msgspec.json.encode({"method": name, "params": params}))


def _to_reply(asking: Asking, told: Any) -> Reply:
    is_wrong = isinstance(told, Said)
    return Reply(400 if is_wrong else 200, asking.reply(told))
