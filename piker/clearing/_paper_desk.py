"""One market of a paper engine: its feed, its clock, its inputs on disk.

    requests ---\
    its feed ----> one input at a time --> on disk --> PaperMarket --> answers
    its clock --/

An input is on disk before what it led to is told, so a killed engine that plays the
inputs again comes to the same answers. A while after the last order nothing is written.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import Any, Final

import msgspec
import trio

from piker.data import Feed, Flume, open_feed
from piker.errors import PikerError, UsageError
from piker.log import get_logger
from piker.msgs import (
    CLEARS,
    BrokerdCancel,
    BrokerdError,
    BrokerdMsg,
    BrokerdOrder,
    BrokerdStatus,
    Disconnected,
    Ended,
    MktPair,
    Quote,
    Reconnected,
    refusal,
)
from piker.service import collapse_eg

from ._match import PaperMarket
from ._paper_clock import PaperClock
from ._paper_rules import PaperRules
from ._paper_store import EndedOrder, PaperStore, Saved

log = get_logger(__name__)

#: Inputs after which a state is kept instead; more where that is more to write.
_INPUTS_MAX: Final = 5_000
_INPUTS_AN_ORDER: Final = 20
#: Ticks that led to nothing are on disk so much later at most.
_COMMIT_S: Final = 0.25
#: A feed is let go so long after the last order ended.
_LINGER_S: Final = 60.0
#: Until an order for a market that isn't known yet is refused.
_OPEN_S: Final = 30.0
_RETRY_S: Final = 2.0
#: After the last order ended inputs are written on for so long: the next may be near.
_QUIET_S: Final = 1.0
#: A new order waits so long for a feed that is being opened again.
_BACK_S: Final = 10.0

Request = BrokerdOrder | BrokerdCancel


class Desk:
    """The orders of one market.

    Attributes:
      fqme: of the market, as it was asked for.
      mkt: what it is, None until its feed said so.
      market: its paper market, None until its feed said what it is.
    """

    def __init__(
        self,
        fqme: str,
        rules: PaperRules,
        store: PaperStore,
        put: Callable[[list[BrokerdMsg]], None],
        position: Callable[[str], Decimal],
    ) -> None:
        """Make the desk; `run` it while it is busy.

        Args:
          fqme: full name of the market.
          rules: what it is like.
          store: where its inputs go.
          put: takes what is to be told, in order, after what was noted is written.
          position: tells the size that is held of a market by its full name.
        """
        self.fqme = fqme
        self.market: PaperMarket | None = None
        self.is_running = False
        self._met = trio.Event()
        self._rules, self._store = rules, store
        self._put, self._position = put, position
        self.mkt: MktPair | None = None
        self._clock = PaperClock(time.time_ns())
        self._inputs = 0
        self._quiet_at = -math.inf
        self._is_logged = self._rotates = False
        self._opening = trio.CancelScope()
        self._send, self._requests = trio.open_memory_channel[Request](math.inf)

    # -- life --------------------------------------------------------------------------

    def restore(self, saved: Saved) -> list[BrokerdMsg]:
        """Go on from what was kept and the inputs since; return what they led to."""
        rules = msgspec.structs.asdict(saved.rules)
        then = PaperRules(**rules, get_cost=self._rules.get_cost)
        market = PaperMarket(saved.mkt, then, state=saved.state)
        answers = []
        for method, time_ns, told in self._store.inputs(saved.mkt.fqme):
            answers += _give(market, method, time_ns, told)
        self.mkt = saved.mkt
        self.market = PaperMarket(saved.mkt, self._rules, state=market.state)
        self._clock = PaperClock(market.state.now_ns)
        self._note_ended(answers)
        return answers

    def take_up(self) -> None:
        """Go on with what is held by now, once that is in the ledger."""
        assert self.market is not None
        self.market.hold(self._position(self.fqme))
        self._input("connection_lost")
        self._rotate(self.market)

    @property
    def live(self) -> int:
        """Orders that may still be filled."""
        return self.market.live if self.market else 0

    def knows(self, oid: str) -> bool:
        """Tell whether an order is one of this market's, and isn't long over."""
        return self.market is not None and oid in self.market.state.orders

    @property
    def is_busy(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.live or self._requests.statistics().current_buffer_used)

    def ask(self, request: Request) -> None:
        """Take an order, an edit or a cancel; `run` answers it."""
        self._send.send_nowait(request)

    async def run(self) -> None:
        """Hold the feed and answer requests until there was nothing to do for long.

        Raises: StoreError: what was told last may not be on disk; begin anew from it.
        """
        self.is_running = True
        try:
            while self.is_busy:
                wait_s = _OPEN_S if self.market is None else math.inf
                with trio.move_on_after(wait_s) as self._opening:
                    await self._hold()
                self._input("connection_lost")
                if self.market is None:
                    self._refuse_all(f"no feed of {self.fqme!r} within {_OPEN_S:.0f} s")
        finally:
            self.is_running = False

    async def _hold(self) -> None:
        """Hold the feed; one that can't be had is tried again by and by."""
        async with collapse_eg(), trio.open_nursery() as tasks:
            self._met = trio.Event()
            if self.market is not None:
                tasks.start_soon(self._serve_known, tasks.cancel_scope)
            told = ""
            while True:
                failed = await self._watch(tasks)
                self._met.set()
                self._input("connection_lost")
                if failed and self.market is None and isinstance(failed, UsageError):
                    self._refuse_all(str(failed))
                    return
                if failed and str(failed) != told:
                    told = str(failed)
                    log.warning("no feed fqme=%s: %s", self.fqme, told)
                await trio.sleep(_RETRY_S)

    async def _watch(self, tasks: trio.Nursery) -> PikerError | None:
        """Give the market what its feed says, to its end; return why it has none."""
        async with AsyncExitStack() as stack:
            try:
                feed = await stack.enter_async_context(
                    open_feed([self.fqme], every_tick=True)
                )
            except PikerError as e:
                return e
            (flume,) = feed.flumes.values()
            if flume.fqme != self.fqme:
                return UsageError(f"the market {self.fqme!r} is {flume.fqme!r} in full")
            is_new = self.market is None
            self._meet(flume)
            if is_new:
                tasks.start_soon(self._serve, tasks.cancel_scope)
            await self._hear(feed, flume)
        return None

    def _meet(self, flume: Flume) -> None:
        """Learn what the market is, and what its newest quote is."""
        self._opening.deadline = math.inf
        self._clock.meet(flume.clock)
        if self.mkt != flume.mkt and self.live:
            log.warning("market changed, not for its orders: fqme=%s", self.fqme)
        elif self.mkt != flume.mkt or self.market is None:
            self.mkt = flume.mkt
            self.market = PaperMarket(
                flume.mkt, self._rules, position=self._position(flume.fqme)
            )
        self._input("connection_back")
        self._tell(_without_trades(flume.first_quote))
        self._met.set()

    async def _hear(self, feed: Feed, flume: Flume) -> None:
        is_first = False
        async for item in feed.messages:
            await trio.lowlevel.checkpoint()  # a cancel waits for one batch at most
            if isinstance(item, Quote):
                # the first is the newest that was known, its trade of who knows when
                self._tell(_without_trades(item) if is_first else item)
                is_first = False
            elif isinstance(item, Disconnected | Ended):
                self._input("connection_lost")
            elif isinstance(item, Reconnected):
                self._clock.meet(flume.clock)
                self._input("connection_back")
                is_first = True

    async def _serve_known(self, scope: trio.CancelScope) -> None:
        """Serve a market that was known before, once its feed is back.

        What is to be filled at once would find no quote. Where an order lives, or the
        feed takes long, it is served without one.
        """
        with trio.move_on_after(0 if self.live else _BACK_S):
            await self._met.wait()
        await self._serve(scope)

    async def _serve(self, scope: trio.CancelScope) -> None:
        """Answer requests and let time pass; cancels *scope* when nothing is to do."""
        idle_at = trio.current_time() + _LINGER_S
        while True:
            if self.is_busy:
                idle_at = trio.current_time() + _LINGER_S
            elif trio.current_time() >= idle_at:
                scope.cancel()
            with trio.move_on_after(self._wait_s()):
                self._serve_one(await self._requests.receive())
                continue
            self._let_pass()

    def _wait_s(self) -> float:
        due_ns = self.market.due_ns if self.market else None
        if due_ns is None:
            return _COMMIT_S
        return min(_COMMIT_S, max(0.0, self._clock.delay_s(due_ns)))

    def _let_pass(self) -> None:
        """Let count what is due; put on disk what isn't yet."""
        assert self.market is not None
        now_ns, due_ns = self._clock.now_ns(), self.market.due_ns
        if due_ns is not None and due_ns <= now_ns:
            self._input("advance", None, now_ns)
        elif self._is_logged:
            self._put([])  # ticks that led to nothing are written, too

    # -- inputs ------------------------------------------------------------------------

    def _serve_one(self, request: Request) -> None:
        assert self.market is not None
        if isinstance(request, BrokerdCancel):
            self._input("cancel", request.oid)
        else:
            self._input("change" if request.rev else "submit", request)

    def _tell(self, quote: Quote) -> None:
        if quote.ticks:
            self._input("ticks", quote.ticks, self._clock.of_quote(quote))

    def _input(self, method: str, told: Any = None, time_ns: int | None = None) -> None:
        """Give the market an input, and put what it led to, to be told once on disk."""
        market = self.market
        if market is None:
            return
        now_ns = self._clock.now_ns() if time_ns is None else time_ns
        if method == "submit" and not self._is_logged:
            self._begin_log(market)
        if self._is_logged:
            self._store.log(self.fqme, method, now_ns, told)
            self._inputs += 1
        answers = _give(market, method, now_ns, told)
        if answers:
            self._note_ended(answers)
        if self.live or answers:
            self._quiet_at = time.monotonic() + _QUIET_S
        if answers or (self._may_rotate and not self._rotates):
            self._rotates = self._may_rotate
            self._put(answers)

    @property
    def _may_rotate(self) -> bool:
        inputs_max = max(_INPUTS_MAX, _INPUTS_AN_ORDER * self.live)
        is_quiet = not self.live and time.monotonic() >= self._quiet_at
        return self._is_logged and (is_quiet or self._inputs > inputs_max)

    def rotate(self) -> None:
        """Be rid of inputs that aren't needed; only once their fills are booked."""
        self._rotates = False
        if self.market is not None and self._may_rotate:
            self._rotate(self.market)

    def _begin_log(self, market: PaperMarket) -> None:
        """Put the whole state on disk, for the inputs so far."""
        assert self.mkt is not None, "it has a market"
        market.forget_ended()
        self._store.keep(self.mkt, self._rules, market.state)
        self._inputs, self._is_logged = 0, True

    def _end_log(self) -> None:
        """Drop what is on disk: no order is alive that could be restored."""
        self._store.drop(self.fqme)
        self._is_logged = False

    def _rotate(self, market: PaperMarket) -> None:
        if self.live:
            self._begin_log(market)
        else:
            self._end_log()

    def _note_ended(self, answers: list[BrokerdMsg]) -> None:
        assert self.market is not None
        for msg in answers:
            if isinstance(msg, BrokerdStatus) and msg.status in ("closed", "canceled"):
                order = self.market.state.orders.get(msg.oid)
                if order is not None:
                    self._store.note_ended(
                        EndedOrder(fqme=self.fqme, asked=order.asked, status=msg)
                    )

    # -- refusals ----------------------------------------------------------------------

    def _refuse_all(self, reason: str) -> None:
        while self._requests.statistics().current_buffer_used:
            self._refuse(self._requests.receive_nowait(), reason)

    def _refuse(self, request: Request, reason: str) -> None:
        if isinstance(request, BrokerdOrder):
            self._put([refusal(request, reason)])
            return
        error = BrokerdError(reason=reason, request="cancel", oid=request.oid)
        self._put([error])


def _give(
    market: PaperMarket, method: str, time_ns: int, told: Any
) -> list[BrokerdMsg]:
    """Call a method of a market, as it is logged."""
    act = getattr(market, method)
    answers: list[BrokerdMsg] = act(time_ns) if told is None else act(time_ns, told)
    return answers


def _without_trades(quote: Quote) -> Quote:
    ticks = [tick for tick in quote.ticks if tick.type not in CLEARS]
    return msgspec.structs.replace(quote, ticks=ticks)
