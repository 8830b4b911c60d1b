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

from piker.errors import SymbolNotFound, VenueError
from piker.log import get_logger
from piker.msgs import MktPair

from ._reconcile import Known, Plan, reconcile
from ._venue import OrderRejected, OrderState, Session, VenueTrade

log = get_logger(__name__)

T = TypeVar("T")

#: A request that was sent before a death can be done so long after it, at any venue.
LATE_S: Final = 6.0
_PAUSES_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(eq=False)
class Looker:
    """Looks at the venue until it answers.

    Attributes:
      trouble: why it doesn't, empty if it does.
    """

    session: Session
    trouble: str = ""
    _began: float = field(default_factory=trio.current_time)

    async def look(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Return what is asked for; asks again for as long as it takes.

        Raises: OrderRejected: that is an answer, too; SymbolNotFound.
        """
        tries = 0
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
            await trio.sleep(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
            tries += 1

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
            for question in plan.ask:
                find = partial(
                    self.session.find,
                    mkts(question.symbol),
                    question.cl_id,
                    question.reqid,
                )
                answer = await self.look(find)
                if answer is None and not self._is_past:
                    # whoever was here before may have sent it a moment ago
                    await trio.sleep_until(self._began + LATE_S)
                    answer = await self.look(find)
                answers[question.cl_id] = answer

    @property
    def _is_past(self) -> bool:
        """Whether nothing that was sent before we were here can be done any more."""
        return trio.current_time() >= self._began + LATE_S

    async def trades(
        self, mkts: Iterable[MktPair], after_tid: Callable[[MktPair], str]
    ) -> AsyncIterator[tuple[MktPair, list[VenueTrade]]]:
        """Yield markets and pages of their trades since the last one listed."""
        for mkt in mkts:
            while True:
                # a page that is yielded is booked: a failure goes on behind it
                pages = self.session.trades(mkt, after_tid(mkt))
                try:
                    async for page in pages:
                        yield mkt, page
                except SymbolNotFound as err:
                    log.warning("trades of %s aren't listed: %s", mkt.fqme, err)
                    break
                except VenueError as err:
                    self.trouble = str(err)
                    log.warning("trades of %s aren't told: %s", mkt.fqme, err)
                    await trio.sleep(_PAUSES_S[1])
                else:
                    self.trouble = ""
                    break
