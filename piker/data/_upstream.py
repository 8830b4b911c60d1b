"""A backend's stream of one market, as datad holds it open.

stream_quotes --items--> channel --> handle(item), in order
              feed_is_live ........> go_live(), after what was sent before it
              an error ............> raised, after what was sent before it
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final

import trio

from piker.brokers import FeedItem, ResumePoint
from piker.errors import PikerError, VenueUnreachable
from piker.log import get_logger
from piker.msgs import FeedInit, Quote
from piker.service import collapse_eg, leaves

from .validate import broker_name, get_eps, validate_backend

log = get_logger(__name__)

#: A backend has so long to describe a market and give its first quote.
START_DEADLINE_S: Final = 30.0
_AHEAD: Final = 64  # items a backend may be ahead of who handles them


@dataclass(eq=False)
class Upstream:
    """An open stream of one market.

    Attributes:
      init: what the backend said of it.
      first_quote: the newest it knew.
    """

    init: FeedInit
    first_quote: Quote
    _receive: trio.MemoryReceiveChannel[FeedItem]
    _is_live: trio.Event
    _faults: list[Exception]
    _handled: int = 0
    _live_after: int | None = None
    _go_live: Callable[[], None] = field(default=lambda: None)

    async def play(
        self, handle: Callable[[FeedItem], None], go_live: Callable[[], None]
    ) -> None:
        """Hand on what the backend sends until its end; raise what ended it, if so.

        Args:
          handle: takes each item.
          go_live: called once all that was sent before ``feed_is_live`` is handled.
        """
        self._go_live = go_live
        async with collapse_eg(), trio.open_nursery() as tasks:
            tasks.start_soon(self._await_live)
            async for item in self._receive:
                handle(item)
                self._handled += 1
                if self._handled == self._live_after:
                    go_live()
            tasks.cancel_scope.cancel()
        if self._faults:
            raise self._faults[0]

    async def _await_live(self) -> None:
        await self._is_live.wait()
        seen = self._receive.statistics()
        on_its_way = not seen.tasks_waiting_receive  # an item just taken out
        ahead = seen.current_buffer_used + on_its_way
        self._live_after = self._handled + ahead
        if not ahead:
            self._go_live()


@asynccontextmanager
async def open_upstream(
    mod: ModuleType, fqme: str, resume: ResumePoint | None
) -> AsyncIterator[Upstream]:
    """Open the backend's stream of a market; the block's end closes it.

    Raises:
      VenueUnreachable: it didn't start in time.
      BadPayload: what it started with is not to the contract.
      PikerError: what it refuses with.
    """
    stream_quotes = get_eps(mod, "datad")["stream_quotes"]
    send, receive = trio.open_memory_channel[FeedItem](_AHEAD)
    is_live = trio.Event()
    faults: list[Exception] = []
    points = {} if resume is None else {fqme: resume}

    async def run(task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        async with send:
            try:
                await stream_quotes(
                    send, [fqme], is_live, resume=points, task_status=task_status
                )
            except Exception as err:  # noqa: BLE001 - raised by play(), in its turn
                faults.append(err)

    async with collapse_eg(), trio.open_nursery() as tasks, receive:
        with trio.move_on_after(START_DEADLINE_S) as deadline:
            try:
                inits, quotes = await tasks.start(run)
            except RuntimeError:
                if not faults:
                    raise
                raise faults[0] from None
        if deadline.cancelled_caught:
            raise VenueUnreachable(
                f"backend {broker_name(mod)!r} said nothing of {fqme!r} in "
                f"{START_DEADLINE_S:g} s"
            )
        validate_backend(mod, [fqme], inits, quotes)
        yield Upstream(inits[0], quotes[fqme], receive, is_live, faults)
        tasks.cancel_scope.cancel()


def fault_of(err: Exception, mod: ModuleType, fqme: str) -> PikerError:
    """Return the error of ours that *err* means; a backend's bug is logged in full."""
    found = leaves(err)
    for leaf in found:
        if isinstance(leaf, PikerError):
            return leaf
    broker = broker_name(mod)
    log.error("backend %s failed at %s", broker, fqme, exc_info=err)
    what = " ".join(repr(found[0]).split())
    return VenueUnreachable(f"backend {broker!r} failed: {what}")
