"""All that is open in an account, ended by the venue's own call: the panic button.

look --what rests--> cancel_all --> look again, until nothing rests --> AllEnded

It needs neither emsd nor a ledger nor a line: an account's session, and REST. Who knows
the orders hears of their ends as of any that weren't asked for, by events.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import trio

from piker.brokers._web import Backoff
from piker.errors import VenueError
from piker.log import get_logger
from piker.msgs import AllEnded, Resting

from ._backend import backend_of
from ._dialog import current_host, keys_of, unknown
from ._venue import OrderState, Session

log = get_logger(__name__)

_ROUNDS: Final = 5
#: The first look only counts: what is to be ended waits no longer for it.
_COUNT_S: Final = 2.0
_WHOLE_S: Final = 60.0

#: Where something may be open, by what is known without looking.
GetMkts = Callable[[], set[str]]


async def list_open(account: str) -> list[Resting]:
    """Return what is open in an account, whoever placed it.

    Raises: AccountNotFound; ConfigError; VenueError.
    """
    async with _open_session(account) as (session, _):
        return [_resting(order) for order in await session.open_orders()]


async def end_all(account: str) -> AllEnded:
    """End what is open in an account, whoever placed it.

    Raises: AccountNotFound; ConfigError.
    """
    async with _open_session(account) as (session, mkts):
        ending = Ending(session, mkts)
        await ending.run()
    return ending.done()


@asynccontextmanager
async def _open_session(account: str) -> AsyncIterator[tuple[Session, GetMkts]]:
    """Yield an account's session: the one that is open, else one for the block."""
    host = current_host()
    backend = backend_of(host.broker)
    desk = host.desks.get(account)
    if desk is not None:
        try:
            yield desk.session, desk.open_mkts
        finally:
            desk.look_again()  # events of it may be lost
        return
    told = await keys_of(host.broker)
    keys = {f"{host.broker}.{label}": each for label, each in told.items()}
    if account not in keys:
        raise unknown(account, keys)
    async with backend.open_session(account, keys[account]) as session:
        yield session, set


@dataclass(eq=False)
class Ending:
    """Ends what is open in an account, and looks whether it is.

    Attributes:
      session: the account's.
      mkts: see `GetMkts`.
    """

    session: Session
    mkts: GetMkts
    _seen: set[str] = field(default_factory=set)
    _resting: list[OrderState] = field(default_factory=list)
    _counted: int = 0
    _fault: str = ""

    async def run(self) -> None:
        """End all, and look again, until nothing is open; a few times."""
        pauses = Backoff(first_s=0.3, cap_s=2.0)
        with trio.move_on_after(_WHOLE_S):
            with trio.move_on_after(_COUNT_S):
                await self._fault_of(self._look)
            for _ in range(_ROUNDS):
                self._fault = "it takes too long"
                why_open = await self._fault_of(self._end)
                await trio.sleep(pauses.next_s())  # a list may be as old as that
                why_unknown = await self._fault_of(self._look)
                if not why_unknown and not self._resting:
                    self._fault = ""
                    return
                self._fault = why_unknown or why_open or "the venue lists it still"

    def done(self) -> AllEnded:
        """Return what came of it."""
        gone = self._seen - {order.reqid for order in self._resting}
        return AllEnded(
            # the venue's count lacks what an answer that was lost told of, ours what
            # came and went between two looks
            ended=max(self._counted, len(gone)),
            resting=tuple(map(_resting, self._resting)),
            fault=self._fault,
        )

    async def _fault_of(self, act: Callable[[], Awaitable[None]]) -> str:
        """Do something; return why it failed, empty if it didn't."""
        try:
            await act()
        except VenueError as err:
            log.warning("%s: ending all orders: %s", self.session.account, err)
            return str(err)
        return ""

    async def _end(self) -> None:
        mkts = self.mkts() | {order.bs_mktid for order in self._resting}
        self._counted += await self.session.cancel_all(sorted(mkts))

    async def _look(self) -> None:
        self._resting = await self.session.open_orders()
        self._seen |= {order.reqid for order in self._resting}


def _resting(order: OrderState) -> Resting:
    return Resting(
        bs_mktid=order.bs_mktid,
        reqid=order.reqid,
        side=order.side,
        price=order.price,
        size=order.size,
        filled=order.filled,
    )
