"""What is asked of the emulated Deribit: who may, how often, what goes wrong with it.

    a request of the websocket or of HTTP --credits, token, a fault--> a method

By https://docs.deribit.com/articles/json-rpc-overview, .../authentication and
.../access-scope.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from ._accounts import Account
from ._core import Core, Frame, Reply
from ._deribit_accounts import DeribitAccounts
from ._deribit_auth import Credits, Token, Tokens
from ._deribit_channels import Channels
from ._deribit_desk import Desk
from ._deribit_disconnect import Disconnects
from ._deribit_history import History
from ._deribit_holdings import Holdings
from ._deribit_methods import (
    CANCELS,
    DEEDS,
    METHODS,
    OF_CONNECTIONS,
    PAST,
    odd_of,
    of_http,
    to_reply,
)
from ._deribit_public import Public
from ._deribit_rpc import HTTP, Asking, Session
from ._deribit_said import Said, number
from ._deribit_series import Deal, Series
from ._deribit_subscribe import Subscriptions, Then
from ._deribit_turns import InTurn
from ._deribit_world import World
from ._exchange import Order
from ._tape import Item
from ._ws import Connection


class DeribitPrivate(InTurn):
    """See the module.

    Attributes:
      accounts: behind it.
      tokens: of all who asked.
      disconnects: orders that end with their connection.
    """

    def __init__(
        self, core: Core, world: World, channels: Channels, public: Public,
        budget: int | None,
    ) -> None:  # fmt: skip
        ours = DeribitAccounts(core, world=world)
        super().__init__(core, ours)
        self._ours = ours
        self.tokens = Tokens(ours)
        ours.expire = self.tokens.expire
        self.disconnects = Disconnects(ours.margins)
        self._world, self._channels, self._public = world, channels, public
        self._credits = Credits(budget)
        self._holdings = Holdings(ours.margins, world)
        self._desk = Desk(ours.margins, world, self._holdings, ours.refresh)
        self._history = History(ours.margins, world, self._holdings)
        ours.ends.settled = self._note_settled
        self._subscriptions = Subscriptions(self, world, channels, ours.margins)

    def follow(self, item: Item, touched: list[tuple[Series, list[Deal]]]) -> None:
        """Have what the tape says happen in the books of accounts' orders."""
        self._ours.pass_on(item, touched)

    def told(self) -> Iterator[Frame]:
        """Yield what all are told of what accounts did, and of what ended."""
        fresh, self._ours.margins.fresh = self._ours.margins.fresh, []
        for series, deal in fresh:
            yield from self._channels.touch(series, [deal])
        ended, self._ours.ends.ended = self._ours.ends.ended, []
        for series in ended:
            yield from self._channels.change_state(series, "closed")

    def _note_settled(self, account: str, row: dict[str, Any]) -> None:
        self._history.settlements.setdefault(account, []).append(row)
        currency = self._world.series[row["instrument_name"]].inst.settlement
        for conn, heard in self._hearing.items():
            if any(name == account for name, _ in heard):
                self._subscriptions.tell_money(conn, account, currency)

    # -- HTTP ---------------------------------------------------------------------

    def takes(self, method: str, path: str) -> bool:
        """Tell whether a request is one of the API."""
        return method in {"GET", "POST"} and f"{path}/".startswith(HTTP + "/")

    async def rest(
        self, method: str, path: str, query: str, body: bytes, headers: dict[str, str]
    ) -> Reply | None:
        """Answer a request of HTTP, see `Private`."""
        asking = of_http(method, path, query, body)
        session = Session(None)
        line = f"{method}\n{path}{'?' * bool(query)}{query}"

        async def told() -> Any:
            if header := headers.get("authorization", ""):
                session.token = self.tokens.of_header(header, line, body)
            return await self.call(session, asking)

        return await self.reply_rest(told(), partial(to_reply, asking))

    # -- websockets ---------------------------------------------------------------

    async def keep(self, conn: Connection) -> None:
        """Answer what is asked on a connection, in order but for what is slow."""
        await self.serve(conn, self._reply)

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
        if name == method or name not in METHODS:
            raise Said(-32601, "Method not found")
        kind, scope = METHODS[name]
        token = self._allowed(session, params, scope)
        book: Desk | History | Holdings = self._holdings
        if kind in DEEDS or kind in PAST:
            book = self._desk if kind in DEEDS else self._history
        do = partial(book.act, name, token.account, params)
        if kind == "place":
            do = partial(self._place, session, do)
        kind = method if self.core.faults.has_asked(method) else kind
        return await self.answer(kind, token.account, params, do)

    def _place(self, session: Session, do: Callable[[], Any]) -> Any:
        """Have an order be of a connection."""
        orders = self._ours.margins.orders
        before = len(orders)
        result = do()
        session.placed += list(orders.values())[before:]
        return result

    def _allowed(self, session: Session, params: dict[str, Any], scope: str) -> Token:
        """Return what a request is allowed by, if that is enough; raises Said."""
        token = self._token_of(session, params)
        if not token.allows(scope):
            raise Said(13021, "forbidden")
        return token

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
        self.disconnects.begin(session)
        return told

    def _sessions(
        self, session: Session, method: str, params: dict[str, Any]
    ) -> Callable[[], Any] | None:
        """Return what is done for a method of connections, None for another."""
        if method == "private/logout":
            return partial(self._logout, session)
        if method in CANCELS:
            self._allowed(session, params, CANCELS[method])
            name = method.removeprefix("private/")
            return partial(self.disconnects.act, name, session, params)
        if method not in OF_CONNECTIONS:
            return None
        conn = session.conn
        if conn is None:
            raise Said(10030, "must_be_websocket_request")
        acts: dict[str, Callable[[], Any]] = {
            "set_heartbeat": lambda: session.set_heartbeat(number(params, "interval")),
            "disable_heartbeat": session.disable_heartbeat,
            "subscribe": partial(self._subscribe, session, conn, method, params),
            "unsubscribe": partial(self._subscriptions.unsubscribe, conn, params),
            "unsubscribe_all": partial(self._subscriptions.unsubscribe_all, conn),
        }
        return acts[method.partition("/")[2]]

    def _logout(self, session: Session) -> str:
        session.token, session.cancels = None, False  # whatever was said
        return "ok"

    def _subscribe(
        self, session: Session, conn: Connection, method: str, params: dict[str, Any]
    ) -> Then:
        is_private = method.startswith("private/")
        account = None
        try:
            account = self._token_of(session, params).account
        except Said:
            if is_private:
                raise
        return self._subscriptions.subscribe(
            conn, params, account, is_private=is_private
        )

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
        return self._holdings.rows(orders)


def _who(session: Session) -> str:
    return session.token.account.name if session.token is not None else ""


def _nobody(session: Session) -> Account:
    if session.token is not None:
        return session.token.account
    return Account(name="", key="", secret="")
