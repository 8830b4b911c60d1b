r"""Interactive Brokers' TWS: its socket protocol, and what is behind it.

    "API\0" v157..178 --> 178, the time --> startApi --> Session: a client
    an item of the tape --> messages to who listens;  orders --> the exchange

By https://interactivebrokers.github.io/tws-api/ for meanings, and by what published
clients of version 178 send and read for fields. Control paths are on the same port.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import trio

from ._accounts import Accounts
from ._core import Core, Frame, Private, Reply
from ._tape import Book, Item, Print
from ._tws_accounts import TwsAccounts
from ._tws_asks import Asks
from ._tws_books import Books
from ._tws_contracts import Contracts, Query
from ._tws_desk import Desk
from ._tws_faults import OwnFault
from ._tws_fields import Fields, Wrong
from ._tws_history import History
from ._tws_kinds import Listed
from ._tws_listing import Listing
from ._tws_lookups import Lookups
from ._tws_market import MarketData
from ._tws_pacing import Limits, Pacing
from ._tws_recorded import RecordedTape
from ._tws_session import Session
from ._tws_system import System
from ._tws_tape import TwsTape
from ._tws_teller import Teller
from ._tws_wire import GREETING, NotSpoken, TwsConnection
from ._ws import Connection

_VERSION: Final = 178
_ZONE: Final = "US/Eastern"
Handler = Callable[[Session, Fields], Any]


class TwsPrivate:
    """What the server wants of a venue with accounts; nothing of it is REST."""

    def __init__(self, accounts: TwsAccounts) -> None:
        self.accounts: Accounts = accounts

    def takes(self, method: str, path: str) -> bool:
        """Take nothing."""
        return False

    async def rest(
        self, method: str, path: str, query: str, body: bytes, headers: dict[str, str]
    ) -> Reply | None:
        """Answer nothing."""
        return None


class Tws:
    """The venue, see `Venue` and `OwnProtocol`.

    Args:
      core: state.
      made_up: shares to list besides those of the tape.
      budget: requests for history in ten minutes, None for what is documented.
      is_always: the markets of the tape trade at all hours.

    Attributes:
      sessions: clients, by their ids.
      requests: who does what, by number of the request.
      books: quotes that passed, by market.
      is_recorded: the tape is a recording, which tells its own ticks.
    """

    greeting = GREETING

    def __init__(
        self, core: Core, *, made_up: int = 0, budget: int | None = None,
        is_always: bool = True,
    ) -> None:  # fmt: skip
        self.core = core
        self.limits = Limits() if budget is None else Limits(history=budget)
        self.pacing = Pacing(self.limits)
        tape = core.tape
        assert isinstance(tape, TwsTape | RecordedTape), "it was opened for a TWS"
        self.books = tape.books
        self.is_recorded = isinstance(tape, RecordedTape)
        now_s = core.clock_ns() / 1e9
        markets = core.tape.markets.values()
        self.listing = Listing(markets, now_s, made_up, is_always=is_always)
        self.contracts = Contracts(self.listing)
        self.accounts = TwsAccounts(core, venue=self)
        self.accounts.list_contracts(self.listing.by_key)
        self.private: Private | None = TwsPrivate(self.accounts)
        self.system, self.asks = System(self), Asks(self)
        self.market_data, self.history = MarketData(self), History(self)
        self.desk, self.teller = Desk(self), Teller(self)
        self.books_of = Books(self)
        self.sessions: dict[int, Session] = {}
        self.requests = self._table()
        if isinstance(tape, RecordedTape):
            for market, past in tape.pasts.items():
                self.history.pasts[self.listing.by_market[market]] = past
            for market, prices in tape.opening.items():
                self.market_data.open_at(market, *prices)
        for market in markets:
            for traded in market.prints:
                self.market_data.note(traded)
            for quoted in self.books[market][-1:]:
                self.market_data.note(quoted)

    def _table(self) -> dict[int, Handler]:
        data, past, books = self.market_data, self.history, self.books_of
        desk, told, asked = self.desk, self.teller, Lookups(self)
        rows: dict[int, Handler] = {
            1: data.subscribe, 2: data.cancel, 3: desk.place, 4: desk.cancel,
            5: told.open, 6: books.updates, 7: told.executions, 8: self._next_id,
            9: asked.details, 15: desk.bind, 16: told.open_of_all,
            17: self._managed, 20: past.bars, 25: past.cancel, 49: self._time,
            58: desk.cancel_all, 59: data.set_type, 61: books.positions,
            62: books.summary, 63: _nothing, 64: books.end_positions,
            74: books.positions_multi, 75: _nothing, 76: books.updates_multi,
            77: books.end_multi, 78: asked.chains, 81: asked.symbols, 87: past.head,
            90: _nothing, 91: asked.rule, 96: past.ticks, 97: data.subscribe_single,
            98: data.cancel_single, 99: told.completed,
        }  # fmt: skip
        return rows

    # -- the venue, as its server and its tape know it ----------------------------

    def frames(self, item: Item) -> Iterator[Frame]:
        """Yield what an item of the tape is to each who asked for it."""
        if isinstance(item, Print | Book):
            self.accounts.follow(self.listing.by_market[item.market].key, item)
        yield from self.market_data.frames(item)

    def prepare(self, item: Item) -> None:
        """Make nothing ahead: each client's messages have numbers of its own."""

    def due(self) -> Iterator[Frame]:
        """Yield nothing: all messages are made of items."""
        return iter(())

    def answer(self, path: str, query: dict[str, str]) -> Reply:
        """Return that there is no such page."""
        return Reply(404, b"", kind="text/plain")

    def refusal(self, url: str) -> int:
        """Return that there is no websocket."""
        return 404

    def opened(self, conn: Connection) -> None:
        """Do nothing: there are no websockets."""

    def heard(self, conn: Connection, payload: bytes) -> None:
        """Do nothing: there are no websockets."""

    def counted(self, conn: Connection) -> bool:
        """Let nothing pass: there are no websockets."""
        return False

    async def keep(self, conn: Connection) -> None:
        """Do nothing: there are no websockets."""

    # -- faults -------------------------------------------------------------------

    def strike(self, fault: OwnFault) -> None:
        """See `OwnProtocol`."""
        self.system.strike(fault)

    def clear(self) -> None:
        """See `OwnProtocol`."""
        self.system.clear()

    def start(self, task: Callable[..., Any], *args: Any) -> None:
        """Have something done beside, whoever leaves meanwhile."""
        self.accounts.start(task, *args)

    def now_ms(self) -> int:
        """Return the venue's time."""
        return self.core.clock_ns() // 1_000_000

    # -- clients ------------------------------------------------------------------

    async def talk(self, stream: trio.SocketStream, head: bytes) -> None:
        """See `OwnProtocol`."""
        core, faults = self.core, self.core.faults
        core.stats.attempts_s.append(core.stats.age_s())
        conn = TwsConnection(stream, faults, core.stats, head)
        await trio.sleep(faults.slow.accept_s + faults.latency_s)
        if faults.upgrade() is not None:
            return
        if faults.limbo() is not None:
            while await stream.receive_some(4096):
                pass
            return
        core.stats.websockets += 1
        core.stats.websockets_now += 1
        core.websockets[conn] = None
        try:
            async with trio.open_nursery() as tasks:
                tasks.start_soon(conn.run_sender)
                await self._serve(conn)
                with trio.move_on_after(1):
                    await conn.wait_below(0)
                tasks.cancel_scope.cancel()
        except NotSpoken:
            pass
        finally:
            core.stats.websockets_now -= 1
            core.drop(conn)

    async def _serve(self, conn: TwsConnection) -> None:
        """Shake hands, and serve who then starts the API."""
        try:
            low, high = await conn.greeting()
            if not low <= _VERSION <= high:
                conn.tell_error(-1, 503, "The TWS is out of date and must be upgraded.")
                return
            now = datetime.fromtimestamp(self.core.server_ns() / 1e9, ZoneInfo(_ZONE))
            conn.tell(_VERSION, f"{now:%Y%m%d %H:%M:%S} {_ZONE}")
            client_id = await self._client_id(conn)
        except NotSpoken:
            return
        if client_id in self.sessions:
            text = "Unable to connect as the client id is already in use. Retry with a"
            conn.tell_error(-1, 326, f"{text} unique client id.")
            return
        async with trio.open_nursery() as tasks:
            session = Session(self, conn, client_id, tasks)
            self.sessions[client_id] = session
            try:
                self._greet(session)
                await session.run()
            finally:
                self.market_data.leave(session)
                del self.sessions[client_id]
            tasks.cancel_scope.cancel()

    async def _client_id(self, conn: TwsConnection) -> int:
        """Return what a client calls itself as it starts the API."""
        while True:
            fields = Fields(await conn.request())
            try:
                if fields.whole() == 71:
                    return fields.skip().whole()
            except Wrong as wrong:
                conn.tell_error(-1, wrong.code, str(wrong))
            else:
                conn.tell_error(-1, 504, "Not connected")

    def _greet(self, session: Session) -> None:
        session.tell(15, 1, ",".join(self.accounts.names))
        session.tell(9, 1, self.desk.next_id(session.client_id))
        self.system.greet(session.error)

    # -- small requests -----------------------------------------------------------

    def contract(self, fields: Fields) -> Listed:
        """Take the contract of a request; raises Wrong."""
        return self.contracts.one(Query.of(fields))

    def _next_id(self, session: Session, _fields: Fields) -> None:
        session.tell(9, 1, self.desk.next_id(session.client_id))

    def _managed(self, session: Session, _fields: Fields) -> None:
        session.tell(15, 1, ",".join(self.accounts.names))

    def _time(self, session: Session, _fields: Fields) -> None:
        now_s = self.core.server_ns() // 1_000_000_000
        session.answer("time", -1, lambda: [[49, 1, now_s]])


def _nothing(_session: Session, _fields: Fields) -> None:
    """Take an end of something that is told once."""
