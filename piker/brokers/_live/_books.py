"""What is booked of an account: trades once each, and what they come to.

a venue's trades --> what they correct, fees, whose orders --> [ledger] --> positions
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from decimal import Decimal
from functools import partial
from typing import Final

import trio
from msgspec.structs import replace

from piker.accounting import (
    Ledger,
    Position,
    Transaction,
    position_for,
    to_fill,
    write_account,
)
from piker.errors import LedgerError, LedgerFull, PikerError
from piker.log import get_logger
from piker.msgs import BrokerdFill, BrokerdPosition, MktPair

from ._known_orders import KnownOrders
from ._live_order import ZERO
from ._markets import Markets
from ._mended import ended_too, is_undoing, lacks_fee, late_fee, newest, undoing
from ._reconcile import fresh
from ._trades import cost_of, in_units, other_fee, to_transaction
from ._venue import START, Cursor, Session, VenueTrade

log = get_logger(__name__)

_FULL_S: Final = 1.0
_FILE_S: Final = 2.0
#: A fee in another asset is counted by a price that is so old at most.
_RATE_S: Final = 60.0
#: A fee in a third asset of a trade that is older isn't worth what that is now.
NEWS_NS: Final = 3600 * 10**9
#: Trades of a list that are listed again after a restart.
_OVERLAP: Final = 50
#: The list of all markets' trades, among names of markets.
_ALL: Final = ""


class Books:
    """The ledger of an account, see the module.

    Attributes:
      positions: by full name of the market, also those that are flat.
      filled: how much of each order is booked, by the venue's id.
    """

    def __init__(
        self, ledger: Ledger, session: Session, markets: Markets, orders: KnownOrders
    ) -> None:
        self.positions: dict[str, Position] = ledger.positions()
        self.filled: dict[str, Decimal] = {}
        self._ledger, self._session = ledger, session
        self._markets, self._orders = markets, orders
        self._ends: dict[str, Transaction] = {}
        # from where trades are listed: events may have come with holes between them
        self._listed: dict[str, Cursor] = {}
        self._rates: dict[tuple[str, str], tuple[Decimal, float]] = {}
        self._turn = trio.Lock()
        self._note_ledger()

    def _note_ledger(self) -> None:
        """Note what is booked, and from where trades are to be listed."""
        recent: dict[str, deque[Transaction]] = {}
        for txn in self._ledger.txns:
            self._count(txn)
            if txn.etype == "clear":
                name = _ALL if self._session.lists_together else txn.fqme
                recent.setdefault(name, deque(maxlen=_OVERLAP)).append(txn)
        self._listed = {
            name: Cursor(tid=txns[0].tid, time_ns=txns[0].time_ns)
            for name, txns in recent.items()
        }

    def _count(self, txn: Transaction) -> None:
        """Count a trade that is in the ledger."""
        if txn.etype == "expiry" and not txn.size:
            self._ends.setdefault(txn.fqme, txn)
        if txn.reqid:
            had = self.filled.get(txn.reqid, ZERO)
            size = abs(txn.size)
            self.filled[txn.reqid] = had - size if is_undoing(txn) else had + size

    # -- lists of trades ----------------------------------------------------------

    def lists(self) -> set[str]:
        """Return the markets whose trades were listed, by full name."""
        return {name for name in self._listed if name != _ALL}

    def is_listed(self, mkt: MktPair | None) -> bool:
        """Tell whether trades of a list were listed; None is that of all markets."""
        return _name_of(mkt) in self._listed

    def cursor(self, mkt: MktPair | None) -> Cursor:
        """Return from where a list's trades are to be listed."""
        return self._listed.get(_name_of(mkt), START)

    def note_listed(self, mkt: MktPair | None, cursor: Cursor) -> None:
        """Note how far a list's trades were listed."""
        self._listed[_name_of(mkt)] = cursor

    # -- booking ------------------------------------------------------------------

    async def book(
        self,
        trades: Iterable[VenueTrade],
        tell: Callable[[list[Transaction]], None] | None = None,
    ) -> list[Transaction]:
        """Put trades into the ledger, each once; return the entries that are new.

        *tell* is told them in the order in which they are booked.
        """
        async with self._turn:
            told = list(newest(fresh(trades, ()), self._ledger))
            txns = [
                txn
                for trade in told
                for txn in (
                    await self._entries_of(trade)
                    if self._ledger.seq_of(trade.tid) is None
                    else await self._fee_of(trade)
                )
            ]
            if not txns:
                return []
            await self._append(txns)
            for txn in txns:
                self._count(txn)
                self.positions.setdefault(txn.fqme, position_for(txn)).add(
                    txn, self._serial(txn.tid)
                )
            if tell is not None:
                tell(txns)
        return txns

    def _serial(self, tid: str) -> int:
        seq = self._ledger.seq_of(tid)
        assert seq is not None, "it was booked"
        return seq

    async def _append(self, txns: list[Transaction]) -> None:
        while True:
            try:
                await trio.to_thread.run_sync(partial(self._ledger.append, *txns))
            except LedgerFull as err:
                account = self._session.account
                log.error("%s: fills wait for room: %s", account, err)  # noqa: TRY400
                await trio.sleep(_FULL_S)
            else:
                return

    async def _entries_of(self, trade: VenueTrade) -> list[Transaction]:
        """Return a trade as it is booked, and before it what it corrects.

        After it comes its end, where that of its contract is booked already.
        """
        mkt = await self._markets.learn(trade.bs_mktid)
        if mkt is None:  # it isn't listed
            return []
        undone = undoing(trade, self._ledger)
        held = self.positions.get(mkt.fqme)
        txn = to_transaction(trade, mkt)
        txn = replace(
            in_units(txn, held.multiplier) if held and held.trades else txn,
            cost=await self._cost_of(trade, mkt),
            oid="" if undone else self._orders.oid_of(trade),
        )
        return [*undone, txn, *ended_too(txn, self._ends.get(txn.fqme))]

    # -- fees ---------------------------------------------------------------------

    async def _fee_of(self, trade: VenueTrade) -> list[Transaction]:
        """Return the fee of a trade that is booked, and lacks it."""
        known = lacks_fee(trade, self._ledger)
        mkt = await self._markets.learn(trade.bs_mktid) if known is not None else None
        if known is None or mkt is None:
            return []
        cost = await self._cost_of(trade, mkt)
        return [late_fee(known, cost, other_fee(trade, mkt))]

    async def _cost_of(self, trade: VenueTrade, mkt: MktPair) -> Decimal:
        """Return what a trade cost, in quote units."""
        known = cost_of(trade, mkt)
        if known is not None:
            return known
        if time.time_ns() - trade.time_ns > NEWS_NS:
            return ZERO  # what it was worth then nobody tells
        return trade.fee * await self._rate_of(trade.fee_asset, mkt.paid_in)

    async def _rate_of(self, asset: str, quote: str) -> Decimal:
        """Return what one of an asset is worth, as of the last minute; 0 if unknown."""
        now = trio.current_time()
        rate, asked_at = self._rates.get((asset, quote), (ZERO, -math.inf))
        if now - asked_at < _RATE_S:
            return rate
        try:
            rate = await self._session.price_of(asset, quote)
        except PikerError as err:  # there may be no such market, too
            log.error("fees in %s count as none: %s", asset, err)  # noqa: TRY400
            rate = ZERO
        self._rates[asset, quote] = (rate, now)
        return rate

    # -- what it comes to ---------------------------------------------------------

    def fill(self, txn: Transaction, now_ns: int) -> BrokerdFill:
        """Return a trade of the ledger as it is told."""
        return to_fill(txn, self._serial(txn.tid), self._session.account, now_ns)

    def position(self, fqme: str) -> BrokerdPosition:
        """Return what is held of a market."""
        broker, _, _ = self._session.account.partition(".")
        return self.positions[fqme].to_msg(broker, self._session.account)

    def held(self) -> tuple[BrokerdPosition, ...]:
        """Return what the account holds, what is flat left out."""
        return tuple(
            self.position(fqme)
            for fqme, position in self.positions.items()
            if not position.is_flat
        )

    async def write_account(self) -> None:
        """Write the account file anew, if that can be done within two seconds."""
        # it can be made from the ledger at any time
        with trio.move_on_after(_FILE_S) as scope, suppress(LedgerError):
            scope.shield = True
            async with self._turn:
                await trio.to_thread.run_sync(write_account, self._ledger)


def _name_of(mkt: MktPair | None) -> str:
    """Return under which name a list of trades is known."""
    return mkt.fqme if mkt is not None else _ALL
