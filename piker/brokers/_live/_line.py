"""One account's connection for orders: kept up, asked over, given up when it is silent.

run --connect, again and again--> a line --answers, events--> the venue's session
ask --a request with its number--> its answer, or Unsure: nobody knows
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, Final

import trio

from piker.brokers._web import Backoff, VenueTime, WebConf
from piker.brokers._web._dialect import AnySocket
from piker.brokers._web._pace import Pace
from piker.brokers._web._time import AskTime
from piker.brokers._web._ws import open_socket
from piker.errors import VenueError, VenueUnreachable

from ._venue import LineDown, LineUp, NoLine, Unsure, VenueEvent

#: A request waits so long for a connection, then it isn't sent.
_LINE_S: Final = 5.0
#: No longer than that without a line: orders may rest. Kraken lets 150 connect in ten
#: minutes, Binance 300 in five.
_PAUSE_S: Final = 4.0
_PING_S: Final = 15.0
_SILENT_S: Final = 30.0
#: Of an account's events; no account has so many orders.
_MESSAGES, _WINDOW_S = 500, 0.25

Tell = Callable[[VenueEvent], None]


@dataclass(eq=False)
class Line:
    """A connection, while it lives.

    Attributes:
      waiting: who waits for an answer, by number of the request.
    """

    socket: AnySocket
    waiting: dict[int, trio.MemorySendChannel[Any]] = field(default_factory=dict)

    def answer(self, number: object, answer: Any) -> None:
        """Give an answer to who waits for it, if anybody does."""
        if isinstance(number, int) and number in self.waiting:
            self.waiting.pop(number).send_nowait(answer)


class LineSession:
    """What sessions of all venues have in common, see the module.

    Attributes:
      account: full name.
      odd_messages: how many couldn't be read.
    """

    def __init__(
        self,
        account: str,
        url: str,
        conf: WebConf,
        venue_time: VenueTime,
        ask_time: AskTime,
    ) -> None:
        """Be a session that connects to *url*, and asks what time it is there."""
        self.account, self.odd_messages = account, 0
        self._broker = account.partition(".")[0]
        self._url, self._proxy = url, conf.proxy
        self._deadline_s = conf.deadline_s
        self._reconnect_max_s = conf.reconnect_max_s
        self._time, self._ask_time = venue_time, ask_time
        self._line: Line | None = None
        self._fault = "it isn't connected yet"
        self._is_up = trio.Event()
        self._numbers = count(1)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.account}>"

    def now_ns(self) -> int:
        """Return the venue's time."""
        return self._time.now_ns()

    async def _measure_time(self, fresh_s: float = 60.0) -> None:
        await self._time.clock(self._ask_time, fresh_s)

    async def _need_time(self) -> None:
        if self._time.is_unknown:
            await self._measure_time()

    def _open(self) -> AbstractAsyncContextManager[AnySocket]:
        """Return what opens a connection: a websocket on trio."""
        return open_socket(
            self._broker, self._url, proxy=self._proxy, deadline_s=self._deadline_s
        )

    async def _subscribe(self, line: Line) -> None:
        """Have a new connection tell of the account; VenueError."""
        raise NotImplementedError

    def _take(self, line: Line, payload: bytes, tell: Tell) -> None:
        """Take a message."""
        raise NotImplementedError

    async def run(self, tell: Tell) -> None:
        """Tell what happens, for ever; LineUp and LineDown too."""
        backoff = Backoff(cap_s=min(self._reconnect_max_s, _PAUSE_S))
        while True:
            began = trio.current_time()
            try:
                await self._hold(tell)
            except VenueError as err:
                self._fault = str(err)
                tell(LineDown(self._fault))
            held_s = trio.current_time() - began
            await trio.sleep(backoff.next_s(held_s))

    async def _hold(self, tell: Tell) -> None:
        """Be connected until that breaks, which is raised; VenueError."""
        faults = list[VenueError]()

        async def until_fault(work: Callable[[], Awaitable[None]]) -> None:
            """Do something; the first that fails is the end of all."""
            try:
                await work()
            except VenueError as err:
                faults.append(err)
                tasks.cancel_scope.cancel()

        async with self._open() as socket:
            line = Line(socket)
            try:
                async with trio.open_nursery() as tasks:
                    tasks.start_soon(until_fault, partial(self._watch, socket))
                    tasks.start_soon(until_fault, partial(self._begin, line, tell))
                    await until_fault(partial(self._read_all, line, tell))
            finally:
                self._line = None
                for waits in line.waiting.values():
                    waits.close()
        raise faults[0]

    async def _read_all(self, line: Line, tell: Tell) -> None:
        pace = Pace(_MESSAGES, _WINDOW_S)
        while True:
            _, payloads = await line.socket.receive()
            for payload in payloads:
                self._take(line, payload, tell)
            await pace.took(len(payloads))

    async def _begin(self, line: Line, tell: Tell) -> None:
        """Subscribe to the account's events; orders may be sent from then on."""
        await self._subscribe(line)
        self._line = line
        self._is_up.set()
        self._is_up = trio.Event()
        tell(LineUp())

    async def _watch(self, socket: AnySocket) -> None:
        """Raise VenueUnreachable if nothing is heard for long."""
        while True:
            await trio.sleep(_PING_S)
            if trio.current_time() - socket.last_heard > _SILENT_S:
                raise VenueUnreachable(
                    f"{self._broker} says nothing on the line for orders"
                )
            await socket.ping()

    def _look_again(self, line: Line, tell: Tell) -> None:
        """Have what may have been missed be looked up."""
        if self._line is line:
            tell(LineUp())

    async def _wait_line(self) -> Line:
        """Return the connection, once there is one; NoLine."""
        with trio.move_on_after(_LINE_S):
            while self._line is None:
                await self._is_up.wait()
        if self._line is None:
            raise NoLine(
                f"the line for orders to {self._broker} is down: {self._fault}"
            )
        return self._line

    async def _exchange(
        self, line: Line, make: Callable[[int], str], until_ns: int
    ) -> Any:
        """Send a request, once, and return its answer.

        Args:
          line: over which.
          make: makes its text of its number.
          until_ns: venue time from which on it can't be done any more.

        Raises: Unsure.
        """
        number = next(self._numbers)
        send, receive = trio.open_memory_channel[Any](1)
        line.waiting[number] = send
        why = f"the connection to {self._broker} broke before it answered"
        try:
            with trio.move_on_after(self._deadline_s):
                await line.socket.send(make(number))
                return await receive.receive()
            why = f"{self._broker} didn't answer in {self._deadline_s:g} s"
        except (VenueUnreachable, trio.EndOfChannel):
            pass
        finally:
            line.waiting.pop(number, None)
        unsure = Unsure(why)
        unsure.until_ns = until_ns
        raise unsure
