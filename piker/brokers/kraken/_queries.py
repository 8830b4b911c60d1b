"""Orders asked for by their ids, those that are wanted meanwhile in one request.

row(id), row(id), row(id) --one after the other has the turn--> ask([id, id, id])

An account may ask seldom, and after a break of the line all orders that were being
changed or ended are asked for at once. An answer is of a request that was sent after it
was wanted, so it tells as much as one for that order alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import trio

from piker.errors import BadPayload, VenueError, VenueRefused

from ._order_schemas import OrderRow

#: Ids that the venue takes in one request.
_MOST: Final = 50

Ask = Callable[[list[str]], Awaitable[Mapping[str, OrderRow]]]


@dataclass(eq=False)
class _Wanted:
    """Who wants an order.

    Attributes:
      row: it, once it is there.
      fault: why it can't be had.
      is_alone: asked for together with others it wasn't told.
    """

    reqid: str
    row: OrderRow | None = None
    fault: VenueError | None = None
    is_alone: bool = False

    @property
    def is_done(self) -> bool:
        return self.row is not None or self.fault is not None


@dataclass(eq=False)
class Queries:
    """See the module; *ask* returns orders by their ids."""

    ask: Ask
    _wanted: list[_Wanted] = field(default_factory=list)
    _turn: trio.Lock = field(default_factory=trio.Lock)

    async def row(self, reqid: str) -> OrderRow:
        """Return an order as it is now; raises what *ask* raises, BadPayload."""
        mine = _Wanted(reqid)
        self._wanted.append(mine)
        try:
            async with self._turn:
                if not mine.is_done:
                    await self._ask_for(mine)
                if not mine.is_done:
                    mine.is_alone = True
                    await self._ask_for(mine)
        finally:
            if mine in self._wanted:  # who has it is cancelled
                self._wanted.remove(mine)
        if mine.fault is not None:  # another's is its own
            raise type(mine.fault)(str(mine.fault))
        assert mine.row is not None, "it was asked for"
        return mine.row

    async def _ask_for(self, mine: _Wanted) -> None:
        """Ask for an order, and for all others that are wanted now."""
        together = [mine]
        if not mine.is_alone:  # who has the turn is the first of those who wait
            together = [one for one in self._wanted if not one.is_alone][:_MOST]
        ids = list(dict.fromkeys(one.reqid for one in together))
        rows: Mapping[str, OrderRow] = {}
        fault: VenueError | None = None
        try:
            rows = await self.ask(ids)
        except VenueError as err:
            fault = err
        if fault is None and not rows.keys() & set(ids):
            fault = BadPayload("kraken answered with other orders than asked for")
        # else one of them may be unknown there, which is no word on the others
        is_of_all = len(ids) == 1 or not isinstance(fault, VenueRefused | None)
        for one in together:
            one.row = rows.get(one.reqid)
            if one.row is None and is_of_all:
                one.fault = fault
            one.is_alone = not one.is_done
            if one.is_done and one in self._wanted:
                self._wanted.remove(one)
