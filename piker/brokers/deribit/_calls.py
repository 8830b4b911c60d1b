r"""Requests to Deribit over a connection that is kept, where others ask by REST.

call(method) --budget--> Rpc --result--> its bytes
|          \--limit--> all wait, then again
|           \--no connection, out of order--> again, a few times
|            \--refused--> VenueRefused, with the venue's own words
run --connects, again and again, for as long as anybody is here
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import trio

from piker.brokers._aio import MethodProxy, open_proxy
from piker.brokers._web import Backoff, RateBudget
from piker.errors import (
    BadPayload,
    MarketGone,
    RateLimited,
    VenueError,
    VenueRefused,
    VenueUnreachable,
)
from piker.log import get_logger
from piker.msgs import boot_ns
from piker.service import collapse_eg, leaves

from ._answers import parse_error

if TYPE_CHECKING:
    from piker.brokers._live._secrets import Keys

    from ._rpc import Rpc

log = get_logger(__name__)

_TRIES: Final = 3
#: A pause where the venue asks for one; it doesn't say how long.
_PAUSE_S: Final = 1.0
_PAUSE_MAX_S: Final = 4.0
#: No longer than that without a connection: somebody may ask any time.
_WAIT_MAX_S: Final = 4.0
#: Nor less, whoever asks.
_LEAST_S: Final = 0.25


#: Who asks isn't known any more: its token has ended.
_UNKNOWN_NOW: Final = "error 13009"


class Answer(NamedTuple):
    """What came.

    Attributes:
      body: the frame.
      sent_ns: when it was asked for, ns of `piker.msgs.boot_ns`; waits excluded.
      came_ns: when it was there.
    """

    body: bytes
    sent_ns: int
    came_ns: int


@dataclass(eq=False)
class Calls:
    """What is asked over one connection, and over those after it.

    Attributes:
      venue: its name, for errors.
      url: where to.
      budget: shared by all who ask the venue from this process.
      keys: of an account, None where none is needed.
      proxy: URL of one.
      deadline_s: for a whole request, waits and retries included.
      reconnect_max_s: the longest wait before another connection.
      scope: what the keys may do, as the venue words it.
    """

    venue: str
    url: str
    budget: RateBudget
    keys: Keys | None = None
    proxy: str = field(default="", repr=False)
    deadline_s: float = 10.0
    reconnect_max_s: float = 30.0
    scope: str = ""
    _bridge: MethodProxy[Rpc] | None = None
    _fault: VenueError | None = None
    _changed: trio.Event = field(default_factory=trio.Event)
    _wanted: trio.Event = field(default_factory=trio.Event)

    async def call(
        self,
        method: str,
        params: dict[str, Any] | None = None,
        *,
        weight: float = 1.0,
        tries: int = _TRIES,
    ) -> Answer:
        """Return what a request is answered with, a result.

        Args:
          method: e.g. ``public/ticker``.
          params: of it.
          weight: to be spent.
          tries: how often it may be sent.

        Raises:
          VenueUnreachable: no answer within the deadline, or none that helps.
          VenueRefused: the venue said no; MarketGone: it has no such market.
          RateLimited: it asks for a longer pause than the deadline.
          BadPayload: the answer is none.
        """
        backoff = Backoff(first_s=0.2, cap_s=2.0)
        limits = Backoff(first_s=_PAUSE_S, cap_s=_PAUSE_MAX_S)
        last: VenueError | None = None
        failed, may_ask = 0, False
        with trio.move_on_after(self.deadline_s):
            while failed < tries:
                await self.budget.spend(weight)
                may_ask = True
                try:
                    return await self._call(method, params or {})
                except RateLimited as err:
                    last = err  # nothing was done
                    self.budget.pause(limits.next_s())
                    failed += tries == 1
                except (VenueUnreachable, BadPayload) as err:
                    last, failed = err, failed + 1
                    if failed < tries:
                        await trio.sleep(backoff.next_s())
        if not may_ask:
            raise RateLimited(
                f"{self.venue} may not be asked for now: what its rate limit allows in"
                f" {self.budget.window_s:g} s is spent"
            )
        raise (
            last
            or self._fault_now()
            or VenueUnreachable(
                f"{self.venue} gave no answer to {method} within {self.deadline_s:g} s"
            )
        )

    async def _call(self, method: str, params: dict[str, Any]) -> Answer:
        from ._rpc import Rpc

        bridge = await self._connected()
        sent_ns = boot_ns()
        body = await bridge.within(self.deadline_s).call(Rpc.request, method, params)
        came_ns = boot_ns()
        failure = parse_error(body)
        if failure is None:
            return Answer(body, sent_ns, came_ns)
        if self.keys is not None and failure.text.endswith(_UNKNOWN_NOW):
            await bridge.within(self.deadline_s).call(Rpc.renew)
            raise VenueUnreachable(f"{self.venue} knows us again: {failure.text}")
        what, text = VenueRefused, f"{self.venue} refused {method}: {failure.text}"
        if failure.reason == "limit":
            raise RateLimited(f"{self.venue} asks for a pause: {failure.text}")
        if failure.reason == "unavailable":
            raise VenueUnreachable(f"{self.venue} is out of order: {failure.text}")
        if failure.reason == "market":
            what = MarketGone
        raise what(text)

    def _fault_now(self) -> VenueError | None:
        """Return why there is no connection, a new error; None if there is one."""
        fault = self._fault
        return None if fault is None else type(fault)(str(fault))

    async def _connected(self) -> MethodProxy[Rpc]:
        """Return the connection, once there is one.

        Raises what connecting failed with since this was asked.
        """
        while self._bridge is None:
            self._wanted.set()
            await self._changed.wait()
            if fault := self._fault_now():
                raise fault
        return self._bridge

    async def run(self) -> None:
        """Keep a connection, for ever."""
        backoff = Backoff(cap_s=min(self.reconnect_max_s, _WAIT_MAX_S))
        while True:
            began = trio.current_time()
            self._wanted = trio.Event()
            try:
                await self._hold()
            except (Exception, BaseExceptionGroup) as err:  # noqa: BLE001 - who asks hears
                await trio.lowlevel.checkpoint_if_cancelled()
                self._tell(None, self._as_fault(err))
            held_s = trio.current_time() - began
            wait_s = backoff.next_s(held_s)
            await trio.sleep(min(wait_s, _LEAST_S))
            with trio.move_on_after(max(0.0, wait_s - _LEAST_S)):
                await self._wanted.wait()  # who asks doesn't wait as long

    async def _hold(self) -> None:
        """Be connected until that breaks, which is raised."""
        from ._grants import Pulse
        from ._rpc import Rpc, open_rpc

        pulse = Pulse()
        opener = partial(
            open_rpc, self.venue, self.url, pulse, keys=self.keys, proxy=self.proxy,
            deadline_s=self.deadline_s,
        )  # fmt: skip
        async with (
            collapse_eg(),
            open_proxy(opener, venue=self.venue, deadline_s=self.deadline_s) as bridge,
            bridge.stream(Rpc.until_lost) as ending,
        ):
            self.scope = pulse.scope
            self._tell(bridge, None)
            try:
                async for _ in ending:
                    pass
            finally:
                self._bridge = None

    def _tell(self, bridge: MethodProxy[Rpc] | None, fault: VenueError | None) -> None:
        self._bridge, self._fault = bridge, fault
        self._changed.set()
        self._changed = trio.Event()

    def _as_fault(self, err: BaseException) -> VenueError:
        """Return what *err* means to who asks; a bug is logged in full."""
        found = [each for each in leaves(err) if isinstance(each, VenueError)]
        if found:
            return found[0]
        log.error("the connection to %s failed", self.venue, exc_info=err)
        return VenueUnreachable(f"the connection to {self.venue} failed: {err!r}")


@asynccontextmanager
async def open_calls(calls: Calls) -> AsyncIterator[Calls]:
    """Yield *calls*, connected and kept so for the block."""
    async with collapse_eg(), trio.open_nursery() as tasks:
        tasks.start_soon(calls.run)
        yield calls
        tasks.cancel_scope.cancel()
