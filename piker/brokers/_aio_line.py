"""What both sides of a proxy share: who waits for which request, by its ``mid``.

    trio: begin(), let_go() --a task each--> asyncio: the client --> answer of that mid

One thread runs both loops, so nothing here is locked: what stands between two awaits
is one step for the other side.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import trio

from piker.errors import VenueUnreachable
from piker.log import get_logger

log = get_logger(__name__)

#: A client may take so long to say good-bye to its venue, and what it is doing then
#: half of that to end.
CLOSE_S: Final = 3.0


def name_of(method: Callable[..., Any]) -> str:
    """Return a method's name, for errors."""
    return getattr(method, "__qualname__", repr(method))


@dataclass(eq=False)
class Call:
    """A request under way, known by its ``mid``.

    Attributes:
      mid: of it.
      method: of the client.
      args, kwargs: of it, after the client.
      goes_on: it runs to its end even if nobody waits any more.
      then: hears of its end, and with which error, where there is one.
      timer: of its deadline.
      done: set once it is answered.
      value, error: the answer; *error* is the very object that was raised.
    """

    method: Callable[..., Awaitable[Any]]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    goes_on: bool = False
    then: Callable[[BaseException | None], None] | None = None
    timer: asyncio.TimerHandle | None = None
    done: trio.Event = field(default_factory=trio.Event)
    value: Any = None
    error: BaseException | None = None
    mid: int = -1

    @property
    def name(self) -> str:
        return name_of(self.method)

    def answer(self, value: Any, error: BaseException | None) -> None:
        self.value, self.error = value, error
        if self.timer is not None:
            self.timer.cancel()
        self.done.set()
        if self.then is not None:
            self.then(error)

    def unwrap(self) -> Any:
        if self.error is None:
            return self.value
        try:
            raise self.error
        finally:
            self.error = None  # it holds this frame, and this frame holds it


@dataclass(eq=False)
class ProxyStats:
    """What a proxy has met.

    Attributes:
      asked: requests, ever.
      late: answers that nobody waited for any more.
    """

    asked: int = 0
    late: int = 0


@dataclass(eq=False)
class Line:
    """What both sides of a proxy share: who waits for what, and what is under way.

    Attributes:
      venue: its name, for errors.
      client: what lives on the asyncio loop; None before and after.
      calls: those that somebody waits for, by mid.
      stats: what it has met.
      ended: set once there is no client any more.
      why_ended: in a few words.
    """

    venue: str
    client: Any = None
    calls: dict[int, Call] = field(default_factory=dict)
    stats: ProxyStats = field(default_factory=ProxyStats)
    ended: trio.Event = field(default_factory=trio.Event)
    why_ended: str = ""
    _mids: Iterator[int] = field(default_factory=count)
    _tasks: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    _loop: asyncio.AbstractEventLoop | None = None
    _context: contextvars.Context = field(default_factory=contextvars.copy_context)

    def hold(self, client: Any) -> None:
        """Take requests to *client* from now on; called on its loop."""
        self.client = client
        self._loop = asyncio.get_running_loop()
        # what it does is asyncio's, whoever asks for it: libraries look at this
        self._context = contextvars.copy_context()

    # -- asked for in trio ------------------------------------------------------

    def begin(self, call: Call, deadline_s: float = math.inf) -> None:
        """Begin with the loop's next turn; VenueUnreachable without a client."""
        if self._loop is None:
            raise self.gone()
        call.mid = next(self._mids)
        self.stats.asked += 1
        self.calls[call.mid] = call
        self._tasks[call.mid] = self._loop.create_task(
            self._do(call), context=self._context.copy()
        )
        if deadline_s < math.inf:
            # a timer of the loop's is much lighter than a cancel scope of trio's
            call.timer = self._loop.call_later(
                deadline_s, self._give_up, call, deadline_s
            )

    def let_go(self, call: Call) -> None:
        """Forget a call that nobody waits for; end it too, unless it goes on."""
        waited_for = self.calls.pop(call.mid, None)
        task = self._tasks.get(call.mid)
        if call.timer is not None:
            call.timer.cancel()
        if waited_for is not None and task is not None and not call.goes_on:
            task.cancel()
            # one that hasn't begun yet never will, and tells nobody
            task.add_done_callback(lambda _: self._tasks.pop(call.mid, None))

    async def end(self, call: Call) -> None:
        """End a call, and wait until it has."""
        task = self._tasks.get(call.mid)
        self.let_go(call)
        if task is not None:
            is_over = trio.Event()
            task.add_done_callback(lambda _: is_over.set())
            await is_over.wait()

    @property
    def running(self) -> int:
        """How many requests are under way, waited for or not."""
        return len(self._tasks)

    def gone(self) -> VenueUnreachable:
        """Return that there is no client any more."""
        why = self.why_ended or "it is being closed"
        return VenueUnreachable(f"{self.venue}: no connection to it here: {why}")

    # -- done in asyncio --------------------------------------------------------

    async def _do(self, call: Call) -> None:
        """Run a request, and answer whatever becomes of it."""
        value: Any = None
        error: BaseException | None = None
        try:
            value = await call.method(self.client, *call.args, **call.kwargs)
        except asyncio.CancelledError:
            # of ours there is nobody left to tell: this one is the client's own, which
            # ended what it was waiting for
            error = VenueUnreachable(f"{self.venue}: {call.name} was broken off")
        except BaseException as err:  # noqa: BLE001 - it is its caller's, whatever it is
            error = err
        self._answer(call, value, error)
        del value, error  # an error holds this frame, and it would hold the error

    def _answer(self, call: Call, value: Any, error: BaseException | None) -> None:
        """Give the one who waits for this very call its answer; else drop it."""
        self._tasks.pop(call.mid, None)
        waiting = self.calls.pop(call.mid, None)
        if waiting is None:
            self.stats.late += 1
        else:
            waiting.answer(value, error)

    def _give_up(self, call: Call, deadline_s: float) -> None:
        self.let_go(call)
        late = f"{self.venue} didn't answer {call.name} within {deadline_s:g} s"
        call.answer(None, VenueUnreachable(late))

    async def end_all(self) -> None:
        """Begin nothing more, and end what is under way; the client is still there."""
        self._loop = None
        running = list(self._tasks.values())
        for task in running:
            task.cancel()
        if running:
            _, left = await asyncio.wait(running, timeout=CLOSE_S / 2)
            for task in left:
                log.error("%s: a request doesn't end: %r", self.venue, task)

    def close(self, why: str) -> None:
        """Tell all who wait that there is no client any more."""
        self.why_ended, self.client, self._loop = why, None, None
        waiting, self.calls = self.calls, {}
        for call in waiting.values():
            call.answer(None, self.gone())
        self.ended.set()
