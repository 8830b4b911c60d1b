"""What the venue has, brought together with what we know: asked for, then applied.

open orders, orders by their ids, trades since the last one that is booked
    --reconcile(), pure--> what each of ours is, and what is another's
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

import trio

from piker.brokers._web import Backoff
from piker.errors import SymbolNotFound, VenueError
from piker.log import get_logger
from piker.msgs import MktPair
from piker.service import collapse_eg

from ._reconcile import Known, Plan, Question, reconcile
from ._venue import Cursor, OrderRejected, OrderState, Session, VenueTrade

log = get_logger(__name__)

T = TypeVar("T")

#: A request that was sent before a death can be done so long after it, at any venue.
LATE_S: Final = 6.0
_PAUSE_S: Final = 0.5
#: Questions that are asked at once.
_AT_ONCE: Final = 50


@dataclass(eq=False)
class Looker:
    """Looks at the venue until it answers.

    Attributes:
      trouble: why it doesn't, empty if it does.
    """

    session: Session
    trouble: str = ""
    _began: float = field(default_factory=trio.current_time)
    _at_once: trio.CapacityLimiter = field(
        default_factory=lambda: trio.CapacityLimiter(_AT_ONCE)
    )

    async def look(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Return what is asked for; asks again for as long as it takes.

        Raises: OrderRejected: that is an answer, too; SymbolNotFound.
        """
        pauses = Backoff(first_s=0.3, cap_s=5.0)
        while True:
            try:
                answer = await ask()
            except OrderRejected:
                raise
            except VenueError as err:
                if str(err) != self.trouble:
                    log.warning("%s isn't reconciled: %s", self.session.account, err)
                self.trouble = str(err)
            else:
                self.trouble = ""
                return answer
            await trio.sleep(pauses.next_s())

    async def plan(
        self, known: Callable[[], list[Known]], mkts: Callable[[str], MktPair]
    ) -> Plan:
        """Return how known orders are at the venue; asks until nothing is left.

        Args:
          known: the orders, as they are known at that time.
          mkts: markets by full name.
        """
        open_orders = await self.look(self.session.open_orders)
        answers: dict[str, OrderState | None] = {}
        while True:
            plan = reconcile(known(), open_orders, answers)
            if not plan.ask:
                return plan
            # all at once: a venue may take them in one request
            async with collapse_eg(), trio.open_nursery() as tasks:
                for question in plan.ask:
                    mkt = mkts(question.symbol)
                    tasks.start_soon(self._answer, question, mkt, answers)

    async def _answer(
        self, question: Question, mkt: MktPair, answers: dict[str, OrderState | None]
    ) -> None:
        find = partial(self.session.find, mkt, question.cl_id, question.reqid)
        async with self._at_once:
            answer = await self.look(find)
        if answer is None and not self._is_past:
            # whoever was here before may have sent it a moment ago
            await trio.sleep_until(self._began + LATE_S)
            async with self._at_once:
                answer = await self.look(find)
        answers[question.cl_id] = answer

    @property
    def _is_past(self) -> bool:
        """Whether nothing that was sent before we were here can be done any more."""
        return trio.current_time() >= self._began + LATE_S

    async def trades(
        self,
        lists: Iterable[MktPair | None],
        after: Callable[[MktPair | None], Cursor],
    ) -> AsyncIterator[tuple[MktPair | None, list[VenueTrade]]]:
        """Yield lists of trades, and pages of them since the last one listed."""
        for mkt in lists:
            while True:
                # a page that is yielded is booked: a failure goes on behind it
                pages = self.session.trades(mkt, after(mkt))
                try:
                    async for page in pages:
                        yield mkt, page
                except SymbolNotFound as err:
                    log.warning("trades aren't listed: %s", err)
                    break
                except VenueError as err:
                    self.trouble = str(err)
                    log.warning("trades aren't told: %s", err)
                    await trio.sleep(_PAUSE_S)
                else:
                    self.trouble = ""
                    break
