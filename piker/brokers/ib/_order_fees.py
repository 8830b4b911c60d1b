"""Executions and their fees, which come later, as trades.

an execution --waits a little--> a trade with its fee, or without, and again with it
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import trio

from piker.brokers._live._venue import VenueTrade
from piker.log import get_logger

from ._order_decode import trade_of
from ._order_schemas import ExecTold, FeeTold

log = get_logger(__name__)

#: An execution waits so long for its fee, then it is told without, and the fee later.
FEE_S: Final = 2.0
_KNOWN: Final = 20_000


@dataclass(eq=False)
class Fees:
    """Fees of executions at a gateway; *tell* takes an account's trades."""

    tell: Callable[[str, VenueTrade], None]
    _told: OrderedDict[str, FeeTold] = field(default_factory=OrderedDict)
    _unpaid: OrderedDict[str, ExecTold] = field(default_factory=OrderedDict)
    _waiting: dict[str, trio.Event] = field(default_factory=dict)

    async def execution(self, told: ExecTold) -> None:
        """Tell of an execution, once its fee is known or has come too late."""
        if told.exec_id not in self._told:
            came = self._waiting.setdefault(told.exec_id, trio.Event())
            with trio.move_on_after(FEE_S):
                await came.wait()
            self._waiting.pop(told.exec_id, None)
        self._tell(told)

    def fee(self, told: FeeTold) -> None:
        """Take a fee; a trade that was told without is told again."""
        self._note(told)
        if came := self._waiting.get(told.exec_id):
            came.set()
        elif told.exec_id in self._unpaid:
            self._tell(self._unpaid[told.exec_id])

    def note(self, fees: Iterable[FeeTold]) -> None:
        """Remember fees that were told with a list of executions."""
        for fee in fees:
            self._note(fee)

    def trades(self, listed: Iterable[ExecTold]) -> list[VenueTrade]:
        """Return executions of a list as trades, with the fees that are known."""
        made = (self._made(one) for one in listed)
        return [trade for trade in made if trade is not None]

    def _tell(self, told: ExecTold) -> None:
        trade = self._made(told)
        if trade is not None:
            self.tell(told.account, trade)

    def _made(self, told: ExecTold) -> VenueTrade | None:
        """Return an execution with the fee that is known, and note if none is."""
        fee = self._told.get(told.exec_id)
        if fee is not None:
            self._unpaid.pop(told.exec_id, None)
        else:
            log.info("ib: the fee of execution %s isn't told yet", told.exec_id)
            self._unpaid[told.exec_id] = told
            _shorten(self._unpaid)
        return trade_of(told, fee)

    def _note(self, told: FeeTold) -> None:
        self._told[told.exec_id] = told
        _shorten(self._told)


def _shorten(known: OrderedDict[str, FeeTold] | OrderedDict[str, ExecTold]) -> None:
    while len(known) > _KNOWN:
        known.popitem(last=False)
