"""An emulated venue's private side: what all venues have in common.

a request --> whose is it? --> [a fault of its kind] --> done, late, half, not at all
--> an answer, an error, or what is in its place
an account's events --> who listens
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple

import trio

from ._accounts import Account, Accounts, Hear
from ._core import PAGE, Core, Reply
from ._exchange import Order
from ._faults import Asked
from ._ws import Connection

Do = Callable[[], Any]
_Request = tuple[Any, ...]
_Inbox = tuple[
    trio.MemorySendChannel[_Request], trio.MemoryReceiveChannel[_Request]
]  # fmt: skip


class Refusal(Exception):
    """An answer that is an error; how it is said, each venue's own says."""


class Broken(Exception):
    """The connection is to break instead of an answer."""


class Never(Exception):
    """There is to be no answer at all."""


class Answer(NamedTuple):
    """A result that a websocket is to tell wrongly.

    Attributes:
      how: ``twice``, or ``swapped``: after the next one.
    """

    result: Any
    how: str


class PrivateSide:
    """See the module; each venue's own says what requests and answers are.

    Attributes:
      accounts: behind it.
    """

    def __init__(self, core: Core, accounts: Accounts) -> None:
        self.core, self.accounts = core, accounts
        self._inboxes: dict[Connection, _Inbox] = {}
        self._hearing: dict[Connection, list[tuple[str, Hear]]] = {}
        self._kept: dict[Connection, list[Callable[[], None]]] = {}

    # -- the venue's own ----------------------------------------------------------

    def refused(self) -> Refusal:
        """Return what it says when it is out of order."""
        raise NotImplementedError

    def refused_with(self, words: str) -> Refusal:
        """Return the same in other words, where the venue knows such."""
        del words
        return self.refused()

    def unsure(self) -> Refusal:
        """Return what it says when it doesn't know."""
        raise NotImplementedError

    def odd(self, result: Any) -> Any:
        """Return a result that has a number where a text belongs."""
        raise NotImplementedError

    def half(self, account: Account, params: dict[str, Any]) -> None:
        """Do the first half of an amend, where it has one."""

    def list_open(self, orders: list[Order]) -> Any:
        """Return the answer to a question for open orders."""
        raise NotImplementedError

    async def pause(self, seconds: float) -> None:
        """Wait before an answer."""
        await trio.sleep(seconds)

    # -- answers ------------------------------------------------------------------

    async def answer(  # noqa: C901 - a table
        self, kind: str, account: Account, params: dict[str, Any], do: Do
    ) -> Any:
        """Do what is asked for, and whatever is to go wrong with it; return its result.

        Raises: Broken, Never, Refusal.
        """
        fault = self.core.faults.private(Asked, kind)
        match fault.how if fault else "":
            case "unheard":
                raise Broken
            case "refused" if fault:
                raise self.refused_with(fault.says) if fault.says else self.refused()
            case "late" if fault:
                self.accounts.start(_do_late, fault.seconds, do)
                raise Broken
            case "half":
                self.half(account, params)
                raise Broken
            case "stale" if fault and kind == "open":
                then_ms = self.accounts.now_ms() - int(fault.seconds * 1000)
                exchange = self.accounts.exchange
                return self.list_open(exchange.open_at(account.name, then_ms))
            case "page":
                return PAGE
        result = do()
        match fault.how if fault else "":
            case "unanswered":
                raise Broken
            case "silent":
                raise Never
            case "unsure":
                raise self.unsure()
            case "slow" if fault:
                await self.pause(fault.seconds)
            case "odd":
                return self.odd(result)
            case "twice" | "swapped" as how:
                return Answer(result, how)
        return result

    async def reply_rest(
        self, result: Awaitable[Any], say: Callable[[Any], Reply]
    ) -> Reply | None:
        """Return the answer to a request of REST; None: the connection is to break.

        Args:
          result: of the request.
          say: makes an answer of the result, or of a Refusal.
        """
        try:
            told = await result
        except Refusal as refusal:
            return say(refusal)
        except Broken:
            return None
        except Never:
            await trio.sleep_forever()
        told = told.result if isinstance(told, Answer) else told
        return Reply(502, PAGE, kind="text/html") if told is PAGE else say(told)

    async def reply_ws(
        self, conn: Connection, result: Awaitable[Any], say: Callable[[Any], None]
    ) -> bool:
        """Answer a request of a websocket; tell whether it was done.

        Args:
          conn: whose it is.
          result: of the request.
          say: says the result, or a Refusal.
        """
        try:
            told = await result
        except Refusal as refusal:
            say(refusal)
        except Broken:
            self.core.drop(conn)
            conn.break_off()
        except Never:
            pass
        else:
            if told is not PAGE:
                self._say_result(conn, told, say)
                return True
            conn.say(PAGE)
        return False

    def _say_result(
        self, conn: Connection, told: Any, say: Callable[[Any], None]
    ) -> None:
        """Say a result, and then what was to come after the next one."""
        kept = self._kept.pop(conn, [])
        match told:
            case Answer(result, "swapped"):
                self._kept[conn] = [*kept, partial(say, result)]
                return
            case Answer(result, _):
                say(result)
                say(result)
            case _:
                say(told)
        for late in kept:
            late()

    # -- websockets ---------------------------------------------------------------

    async def serve(
        self, conn: Connection, reply: Callable[..., Awaitable[None]]
    ) -> None:
        """Have each request of a connection be replied to, all at once, for ever."""
        _, asked = self._inbox(conn)
        try:
            async with trio.open_nursery() as tasks:
                async for request in asked:
                    tasks.start_soon(reply, conn, *request)
        finally:
            del self._inboxes[conn]
            self.leave(conn)

    def put(self, conn: Connection, *request: Any) -> None:
        """Take a request."""
        self._inbox(conn)[0].send_nowait(request)

    def _inbox(self, conn: Connection) -> _Inbox:
        """Return where requests of a connection wait, whoever comes there first."""
        if conn not in self._inboxes:
            self._inboxes[conn] = trio.open_memory_channel[_Request](math.inf)
        return self._inboxes[conn]

    def hears(self, conn: Connection, account: str = "") -> bool:
        """Tell whether a connection is told of an account, or of any."""
        return any(
            account in ("", name) for name, _ in self._hearing.get(conn, ())
        )  # fmt: skip

    def listen(self, conn: Connection, account: str, hear: Hear) -> None:
        """Have a connection be told of an account's events."""
        self._hearing.setdefault(conn, []).append((account, hear))
        self.accounts.hears.setdefault(account, []).append(hear)

    def leave(self, conn: Connection) -> None:
        """Have a connection be told of nothing any more."""
        self._kept.pop(conn, None)
        for account, hear in self._hearing.pop(conn, ()):
            self.accounts.hears[account].remove(hear)


async def _do_late(seconds: float, do: Do) -> None:
    await trio.sleep(seconds)
    try:
        do()
    except Refusal:
        return
