"""One live account: requests in, what happened out, the ledger in between.

    emsd --BrokerdOrder, BrokerdCancel, Reconcile--> LiveDesk --> Session --> venue
         <--acks, states, fills, positions--------- [ledger] <--events, looks--'

A fill is in the ledger before it is told, and the end of an order is told once all of
its fills are. Nothing is sent before the account was reconciled.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from decimal import Decimal
from functools import partial
from typing import Any, Final

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
from piker.brokers._web import Backoff
from piker.errors import LedgerError, LedgerFull, PikerError, SymbolNotFound
from piker.log import get_logger
from piker.msgs import (
    BrokerdCancel,
    BrokerdFill,
    BrokerdMsg,
    BrokerdOrder,
    BrokerdOrderAck,
    BrokerdPosition,
    BrokerdRequest,
    BrokerdStatus,
    MktPair,
    Reconcile,
    Reconciled,
    is_same,
    refusal,
)

from ._client_ids import client_id
from ._live_order import ZERO, LiveOrder, of_open_order, of_stranger
from ._mended import (
    ended_too,
    is_undoing,
    lacks_fee,
    late_fee,
    mends,
    newest,
    undoing,
)
from ._reconcile import fresh, oid_of
from ._sync import Looker
from ._trades import cost_of, in_units, other_fee, to_transaction
from ._venue import (
    START,
    Cursor,
    LineDown,
    LineUp,
    NotSent,
    OrderGone,
    OrderRejected,
    OrderState,
    Session,
    VenueEvent,
    VenueTrade,
)
from ._work import OrderWork

log = get_logger(__name__)

#: What a request waits for the account to be reconciled in.
_SETTLE_S: Final = 20.0
#: Looked at again so often, though nothing seems to be missing.
_LOOK_S: Final = 120.0
#: A fill that the venue counts and hasn't told of is asked for after so long.
_UNTOLD_S: Final = 0.5
_UNTOLD_CAP_S: Final = 5.0
#: Asked for so often, a minute or two, it isn't told any more.
_UNTOLD_LOOKS: Final = 20
_FULL_S: Final = 1.0
_FILE_S: Final = 2.0
#: Orders that are over and still known, the newest.
_OVER_KEPT: Final = 10_000
#: A fee in another asset is counted by a price that is so old at most.
_RATE_S: Final = 60.0
#: A trade of nobody that is older is told to nobody, and a fee in a third asset isn't
#: worth what that is now.
_NEWS_NS: Final = 3600 * 10**9
#: Trades of a list that are listed again after a restart.
_OVERLAP: Final = 50
#: The list of all markets' trades, among names of markets.
_ALL: Final = ""

GetMkt = Callable[[str], Awaitable[MktPair]]
Tell = Callable[[list[BrokerdMsg]], None]


class LiveDesk:
    """One account, see the module.

    Attributes:
      session: at the venue.
      ledger: of the account, which this process alone writes.
      tell: told what happens, while somebody is there who asked for it.
      down: why there is no line to the venue's events, empty if there is one.
    """

    def __init__(
        self, broker: str, session: Session, ledger: Ledger, get_mkt: GetMkt
    ) -> None:
        """Serve *session*; *get_mkt* finds a market by its full name."""
        self.session, self.ledger = session, ledger
        self.tell: Tell | None = None
        self._asker: Tell | None = None
        self.down = "not connected yet"
        self._broker, self._get_mkt = broker, get_mkt
        self._work, self._looker = OrderWork(session), Looker(session)
        self._orders: dict[str, LiveOrder] = {}
        self._over: OrderedDict[str, LiveOrder] = OrderedDict()
        self._ghosts: deque[str] = deque()
        self._by_cl_id: dict[str, str] = {}
        self._by_reqid: dict[str, str] = {}
        self._mkts: dict[str, MktPair] = {}
        self._gone: set[str] = set()
        self._positions: dict[str, Position] = ledger.positions()
        self._booked: dict[str, Decimal] = {}
        self._ends: dict[str, Transaction] = {}
        # from where trades are listed: events may have come with holes between them
        self._listed: dict[str, Cursor] = {}
        self._note_ledger()
        self._rates: dict[tuple[str, str], tuple[Decimal, float]] = {}
        self._asked = trio.Event()
        self._settled = trio.Event()
        self._wanted = trio.Event()
        self._sync_turn, self._book_turn = trio.Lock(), trio.Lock()
        self._put, self._events = trio.open_memory_channel[VenueEvent](math.inf)

    @property
    def account(self) -> str:
        """Full name."""
        return self.session.account

    def let_go(self) -> None:
        """Tell nobody any more, until the next one asks."""
        self.tell = self._asker = None

    def look_again(self) -> None:
        """Look at the venue soon: something may have been missed."""
        self._wanted.set()

    def open_mkts(self) -> set[str]:
        """Return where orders are open or on their way, as the venue spells it."""
        return {order.mkt.bs_mktid for order in self._orders.values()}

    # -- life ---------------------------------------------------------------------

    async def run(self) -> None:
        """Serve, for ever."""
        async with trio.open_nursery() as self._tasks:
            self._tasks.start_soon(self.session.run, self._put.send_nowait)
            # whose orders these are is known once emsd has said which are its
            await self._asked.wait()
            self._tasks.start_soon(self._keep_synced)
            async for event in self._events:
                await self._take(event)

    def doing(self) -> str:
        """Return one sentence on what it is doing."""
        many = len(self._orders)
        words = [f"{many} order{'s' * (many != 1)}"] if many else []
        if odd := self.session.odd_messages:
            words.append(f"{odd} messages couldn't be read")
        if self.down:
            words.append(f"no line: {self._looker.trouble or self.down}")
        elif self._looker.trouble:
            words.append(f"not reconciled: {self._looker.trouble}")
        return f"{self.account}: {', '.join(words)}" if words else ""

    async def _keep_synced(self) -> None:
        """Look at the venue when something may have been missed, and now and then."""
        while True:
            with trio.move_on_after(_LOOK_S):
                await self._wanted.wait()
            self._wanted = trio.Event()
            await self.sync()

    async def _take(self, event: VenueEvent) -> None:
        match event:
            case LineUp():
                log.info("%s: the line to the venue is up", self.account)
                self.down = ""
                self._wanted.set()
            case LineDown():
                if not self.down:
                    log.warning("%s: lost the line: %s", self.account, event.reason)
                self.down = event.reason
            case VenueTrade():
                await self._book([event])
            case OrderState():
                await self._take_state(event)

    async def _take_state(self, state: OrderState) -> None:
        order = self._order_of(state)
        if order is None and state.cl_id in self._by_cl_id:
            self._end_ghost(state)
            return
        if order is None:
            if not state.is_over:
                await self._adopt(state)
            return
        self._by_reqid[state.reqid] = order.oid
        order.take(state)
        if not order.doing and order.rev_of(state) > order.rev:
            order.begin_rev(state)
        self._say(order)

    def _end_ghost(self, state: OrderState) -> None:
        """End an order of ours that was told to have been refused, and is there."""
        if not state.is_over:
            log.error("%s: order %s is there all the same", self.account, state.reqid)
            self._tasks.start_soon(self._end, state)

    async def _end(self, state: OrderState) -> None:
        with suppress(OrderRejected):  # it is over
            await self._looker.look(partial(self.session.cancel, state))

    def _order_of(self, state: OrderState) -> LiveOrder | None:
        oid = self._by_cl_id.get(state.cl_id) or self._by_reqid.get(state.reqid, "")
        return self._orders.get(oid) or self._over.get(oid)

    # -- requests -----------------------------------------------------------------

    def ask(self, request: BrokerdRequest, tell: Tell) -> None:
        """Take a request; it is answered by and by.

        Args:
          request: what is asked for.
          tell: told what happens from the answer to a Reconcile on.
        """
        match request:
            case BrokerdOrder():
                self._tasks.start_soon(self._do, request, self._do_order, tell)
            case BrokerdCancel():
                self._tasks.start_soon(self._do, request, self._do_cancel, tell)
            case Reconcile():
                self._asker = tell
                self._tasks.start_soon(self._answer, request, tell)

    async def _do(
        self, request: _Request, act: Callable[[Any], Awaitable[None]], tell: Tell
    ) -> None:
        """Do what is asked for once the account is reconciled, or say why not."""
        try:
            with trio.move_on_after(_SETTLE_S):
                await self._settled.wait()
            if not self._settled.is_set():
                why = self._looker.trouble or self.down or "it takes long"
                raise NotSent(f"{self.account} isn't reconciled yet: {why}")
            await act(request)
        except PikerError as err:
            if self.tell is None and self._asker == tell:
                # its Reconcile isn't answered yet, and may not be for long: without a
                # word this order would be pending, and be sent by the next daemon
                tell([refusal(request, str(err))])
            self._tell(refusal(request, str(err)))

    async def _do_order(self, asked: BrokerdOrder) -> None:
        order = self._orders.get(asked.oid) or self._over.get(asked.oid)
        if asked.rev:
            await self._do_edit(order, asked)
            return
        if order is not None:
            self._again(order, asked)
            return
        mkt = await self._mkt(f"{asked.symbol}.{self._broker}")
        if asked.oid in self._orders:  # it came twice meanwhile
            return
        in_place = self.session.amends_in_place
        order = LiveOrder(asked, mkt, booked=self._booked, in_place=in_place)
        self._orders[asked.oid] = order
        self._by_cl_id[client_id(asked.oid, 0)] = asked.oid
        async with order.turn:
            await self._place(order, asked)

    def _again(self, order: LiveOrder, asked: BrokerdOrder) -> None:
        """Answer an order that is known: it is sent again, or shares an id."""
        if not is_same(order.asked, asked) and not order.asked.rev:
            raise OrderRejected(f"the id {asked.oid!r} is that of another order")
        if order.rev >= 0:
            self._ack(order)
            self._say(order, again=True)

    async def _place(self, order: LiveOrder, asked: BrokerdOrder) -> None:
        order.doing = "place"
        try:
            state = await self._work.place(order, asked)
        except (OrderRejected, NotSent):
            self._forget(order)
            raise
        finally:
            order.doing = ""
        self._begun(order, asked, state)

    def _begun(self, order: LiveOrder, asked: BrokerdOrder, state: OrderState) -> None:
        """Have a revision be in force, and say so."""
        order.asked = asked
        order.begin_rev(state)
        self._by_reqid[state.reqid] = order.oid
        self._ack(order)
        self._say(order)

    async def _do_edit(self, order: LiveOrder | None, asked: BrokerdOrder) -> None:
        if order is None:
            raise NotSent(f"no order {asked.oid!r} is known that could be changed")
        async with order.turn:
            if asked.rev <= order.rev:
                self._ack(order)
                return
            if order.is_over or order.state is None:
                raise OrderRejected("the order is over")
            if not order.in_place:
                self._by_cl_id[client_id(asked.oid, asked.rev)] = asked.oid
            await self._amend(order, asked)

    async def _amend(self, order: LiveOrder, asked: BrokerdOrder) -> None:
        order.doing = "amend"
        try:
            done = await self._work.amend(order, asked)
        except BaseException as err:
            order.doing = ""
            self._say(order)
            if isinstance(err, OrderGone):
                self._wanted.set()  # how it ended
            raise
        order.doing = ""
        if done.old is not None:
            order.take(done.old)
        if done.new is not None:
            self._begun(order, asked, done.new)
        else:
            order.why_over = f"its change took it off, and then: {done.reason}"
            self._say(order)

    async def _do_cancel(self, asked: BrokerdCancel) -> None:
        order = self._orders.get(asked.oid)
        if order is None and (over := self._over.get(asked.oid)):
            self._tell(self._status(over))
            return
        if order is None:
            raise NotSent(f"no order {asked.oid!r} is known")
        async with order.turn:
            state = order.state
            if state is None or order.is_over:
                return  # it was refused meanwhile, or its end is on its way
            order.doing = "cancel"
            try:
                order.take(await self._work.cancel(order, state))
            finally:
                order.doing = ""
                self._say(order)

    # -- what is told -------------------------------------------------------------

    def _tell(self, *msgs: BrokerdMsg) -> None:
        if self.tell is not None and msgs:
            self.tell(list(msgs))

    def _ack(self, order: LiveOrder) -> None:
        order.acked = max(order.acked, order.rev)
        self._tell(
            BrokerdOrderAck(
                oid=order.oid, rev=order.rev, reqid=order.reqid, account=self.account
            )
        )

    def _say(self, order: LiveOrder, *, again: bool = False) -> None:
        """Say how an order is, if that is news and all of its fills are told."""
        state = order.state
        if state is None or order.doing or (order.is_over and not again):
            return
        if order.unbooked:
            if not order.is_asked_for:
                order.is_asked_for = True
                self._tasks.start_soon(self._ask_for_fills, order)
            return
        if order.rev > order.acked:
            self._ack(order)
        if state.is_over:
            order.is_over = True
            self._tell(self._status(order))
            self._forget(order, is_over=True)
        elif again or not order.is_told_open:
            order.is_told_open = True
            self._tell(self._status(order))

    def _status(self, order: LiveOrder) -> BrokerdStatus:
        state = order.state
        assert state is not None, "it is there"
        filled = order.filled
        return BrokerdStatus(
            oid=order.oid,
            reqid=state.reqid,
            status=state.state,
            time_ns=time.time_ns(),
            account=self.account,
            symbol=order.asked.symbol,
            action=order.asked.action,
            rev=max(order.rev, 0),
            price=state.price,
            size=order.filled_before + state.size,
            filled=filled,
            remaining=state.size - state.filled,
            reason=order.why_over or state.reason,
            trigger=state.trigger,
        )

    def _forget(self, order: LiveOrder, *, is_over: bool = False) -> None:
        """Keep an order no longer among those that live."""
        self._orders.pop(order.oid, None)
        if not is_over:  # it may be there all the same, see `_end_ghost`
            self._ghosts.append(client_id(order.oid, 0))
            if len(self._ghosts) > _OVER_KEPT:
                self._by_cl_id.pop(self._ghosts.popleft(), None)
            return
        self._over[order.oid] = order
        while len(self._over) > _OVER_KEPT:
            _, old = self._over.popitem(last=False)
            for cl_id in old.client_ids:
                self._by_cl_id.pop(cl_id, None)
            for reqid in old.states:
                self._by_reqid.pop(reqid, None)

    async def _adopt(self, state: OrderState) -> None:
        """Look after an order that came to the venue from elsewhere."""
        mkt = await self._learn_mkt(state.bs_mktid)
        if mkt is None or self._order_of(state) is not None:
            return
        if not (state.price or state.trigger):
            return  # a market order is over before anybody could do anything
        order = of_stranger(state, self.account, mkt)
        order.booked, order.in_place = self._booked, self.session.amends_in_place
        self._orders[order.oid] = order
        self._by_reqid[state.reqid] = order.oid
        log.info("%s: order %s came from elsewhere", self.account, state.reqid)
        self._say(order)

    # -- markets ------------------------------------------------------------------

    async def _mkt(self, fqme: str) -> MktPair:
        if fqme not in self._mkts:
            self._mkts[fqme] = await self._get_mkt(fqme)
        return self._mkts[fqme]

    async def _find_mkt(self, fqme: str) -> MktPair | None:
        """Return a market; None of one that the venue has no more. Asks till told."""
        try:
            return await self._looker.look(partial(self._mkt, fqme))
        except SymbolNotFound as err:
            self._say_gone(fqme, err)
            return None

    def _say_gone(self, name: str, err: SymbolNotFound) -> None:
        """Say once that a market isn't listed; what is of it can't be looked after."""
        if name not in self._gone:
            self._gone.add(name)
            log.error("%s: %s isn't looked after: %s", self.account, name, err)

    def _mkt_by_id(self, bs_mktid: str) -> MktPair | None:
        found = (each for each in self._mkts.values() if each.bs_mktid == bs_mktid)
        return next(found, None)

    async def _learn_mkt(self, bs_mktid: str) -> MktPair | None:
        """Return a market by the venue's name of it; None if it isn't listed.

        Asks for as long as it takes.
        """
        mkt = self._mkt_by_id(bs_mktid)
        if mkt is None:
            try:
                mkt = await self._looker.look(partial(self.session.mkt_of, bs_mktid))
            except SymbolNotFound as err:
                self._say_gone(bs_mktid, err)
                return None
            self._mkts[mkt.fqme] = mkt
        return mkt

    # -- fills --------------------------------------------------------------------

    async def _ask_for_fills(self, order: LiveOrder) -> None:
        """Ask for fills that the venue counts and hasn't told of.

        It may tell them no more: an order of days ago is to end all the same.
        """
        pauses = Backoff(first_s=_UNTOLD_S, cap_s=_UNTOLD_CAP_S)
        missing: dict[str, Decimal] = {}
        for _ in range(_UNTOLD_LOOKS):
            await trio.sleep(pauses.next_s())
            for state in order.unbooked:
                trades = partial(self.session.trades_of, order.mkt, state.reqid)
                await self._book(await self._looker.look(trades))
            # what comes meanwhile isn't missing for so long
            missing = {
                one.reqid: min(order.missing(one), missing.get(one.reqid, one.filled))
                for one in order.unbooked
            }
            if not missing:
                break
        for reqid, size in missing.items():
            order.untold[reqid] = size
            log.error(
                "%s: %s of order %s was filled, and the venue lists no trade of it any "
                "more: the position lacks that until a report of it is imported",
                self.account, size, reqid,
            )  # fmt: skip
        order.is_asked_for = False
        self._say(order)

    async def _book(
        self, trades: Iterable[VenueTrade], *, is_news: bool = True
    ) -> None:
        """Put trades into the ledger, each once, and tell of them if they are news."""
        async with self._book_turn:
            told = list(newest(fresh(trades, ()), self.ledger))
            txns = [
                txn
                for trade in told
                for txn in (
                    await self._entries_of(trade)
                    if self.ledger.seq_of(trade.tid) is None
                    else await self._fee_of(trade)
                )
            ]
            if not txns:
                return
            await self._append(txns)
            for txn in txns:
                self._count(txn)
                self._positions.setdefault(txn.fqme, position_for(txn)).add(
                    txn, self._serial(txn.tid)
                )
            if is_news:
                self._tell_entries(txns)
        for oid in dict.fromkeys(txn.oid for txn in txns):
            if order := self._orders.get(oid):
                self._say(order)

    def _tell_entries(self, txns: list[Transaction]) -> None:
        """Tell of what was booked: of fills, and of positions that are others now."""
        now_ns = time.time_ns()
        fills = [
            to_fill(txn, self._serial(txn.tid), self.account, now_ns)
            for txn in txns
            if txn.etype == "clear"
        ]
        moved = dict.fromkeys(txn.fqme for txn in txns)
        self._tell(*fills, *(self._position(fqme) for fqme in moved))

    def _serial(self, tid: str) -> int:
        seq = self.ledger.seq_of(tid)
        assert seq is not None, "it was booked"
        return seq

    async def _append(self, txns: list[Transaction]) -> None:
        while True:
            try:
                await trio.to_thread.run_sync(partial(self.ledger.append, *txns))
            except LedgerFull as err:
                log.error("%s: fills wait for room: %s", self.account, err)  # noqa: TRY400
                await trio.sleep(_FULL_S)
            else:
                return

    def _note_ledger(self) -> None:
        """Note what is booked, and from where trades are to be listed."""
        recent: dict[str, deque[Transaction]] = {}
        for txn in self.ledger.txns:
            self._count(txn)
            if txn.etype == "clear":
                name = _ALL if self.session.lists_together else txn.fqme
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
            had = self._booked.get(txn.reqid, ZERO)
            size = abs(txn.size)
            self._booked[txn.reqid] = had - size if is_undoing(txn) else had + size

    async def _entries_of(self, trade: VenueTrade) -> list[Transaction]:
        """Return a trade as it is booked, and before it what it corrects.

        After it comes its end, where that of its contract is booked already.
        """
        mkt = await self._learn_mkt(trade.bs_mktid)
        if mkt is None:  # it isn't listed
            return []
        undone = undoing(trade, self.ledger)
        held = self._positions.get(mkt.fqme)
        txn = to_transaction(trade, mkt)
        txn = replace(
            in_units(txn, held.multiplier) if held and held.trades else txn,
            cost=await self._cost_of(trade, mkt),
            oid="" if undone else oid_of(trade, self._by_cl_id, self._by_reqid),
        )
        return [*undone, txn, *ended_too(txn, self._ends.get(txn.fqme))]

    async def _fee_of(self, trade: VenueTrade) -> list[Transaction]:
        """Return the fee of a trade that is booked, and lacks it."""
        known = lacks_fee(trade, self.ledger)
        mkt = await self._learn_mkt(trade.bs_mktid) if known is not None else None
        if known is None or mkt is None:
            return []
        cost = await self._cost_of(trade, mkt)
        return [late_fee(known, cost, other_fee(trade, mkt))]

    async def _cost_of(self, trade: VenueTrade, mkt: MktPair) -> Decimal:
        """Return what a trade cost, in quote units."""
        known = cost_of(trade, mkt)
        if known is not None:
            return known
        if time.time_ns() - trade.time_ns > _NEWS_NS:
            return ZERO  # what it was worth then nobody tells
        return trade.fee * await self._rate_of(trade.fee_asset, mkt.paid_in)

    async def _rate_of(self, asset: str, quote: str) -> Decimal:
        """Return what one of an asset is worth, as of the last minute; 0 if unknown."""
        now = trio.current_time()
        rate, asked_at = self._rates.get((asset, quote), (ZERO, -math.inf))
        if now - asked_at < _RATE_S:
            return rate
        try:
            rate = await self.session.price_of(asset, quote)
        except PikerError as err:  # there may be no such market, too
            log.error("fees in %s count as none: %s", asset, err)  # noqa: TRY400
            rate = ZERO
        self._rates[asset, quote] = (rate, now)
        return rate

    def _position(self, fqme: str) -> BrokerdPosition:
        return self._positions[fqme].to_msg(self._broker, self.account)

    def _all_positions(self) -> list[BrokerdPosition]:
        """Return all positions, of markets that are flat too."""
        return [self._position(fqme) for fqme in self._positions]

    def positions(self) -> tuple[BrokerdPosition, ...]:
        """Return what the account holds by its ledger, what is flat left out."""
        return tuple(
            self._position(fqme)
            for fqme, position in self._positions.items()
            if not position.is_flat
        )

    async def write_account(self) -> None:
        """Write the account file anew, if that can be done within two seconds."""
        # it can be made from the ledger at any time
        with trio.move_on_after(_FILE_S) as scope, suppress(LedgerError):
            scope.shield = True
            async with self._book_turn:
                await trio.to_thread.run_sync(write_account, self.ledger)

    # -- fetching trades ----------------------------------------------------------

    async def lists_of(self, fqmes: Iterable[str]) -> list[MktPair | None]:
        """Return whose lists have the trades of markets, and of those of the ledger.

        Raises: as *get_mkt*.
        """
        named = [await self._mkt(fqme) for fqme in fqmes]
        if self.session.lists_together:
            return [None]
        held = await self.mkts_held()
        return list({mkt.fqme: mkt for mkt in (*named, *held)}.values())

    async def mkts_held(self) -> list[MktPair]:
        """Return the markets of the ledger, but those that aren't listed any more.

        Raises: as *get_mkt*, but for these.
        """
        mkts = []
        for fqme in self._positions:
            try:
                mkts.append(await self._mkt(fqme))
            except SymbolNotFound as err:
                self._say_gone(fqme, err)
        return mkts

    async def fetch(
        self, mkt: MktPair | None, *, whole: bool
    ) -> AsyncIterator[tuple[list[VenueTrade], int]]:
        """Book the trades of a list, page by page; yield each, and how many were new.

        Args:
          mkt: whose list, see `lists_of`.
          whole: from the first on; else since the last that was listed.
        """
        cursor = START if whole else self._listed.get(_name_of(mkt), START)
        async for page in self.session.trades(mkt, cursor):
            before = self.ledger.seq
            # what is long past is no news to emsd
            await self._book(page, is_news=False)
            self._listed[_name_of(mkt)] = page[-1].cursor
            yield page, self.ledger.seq - before
        self._tell(*self.positions())

    # -- reconciling --------------------------------------------------------------

    async def sync(self) -> None:
        """Bring together what the venue has and what we know; until that is done."""
        async with self._sync_turn:
            known = [one for one in self._orders.values() if not one.doing]
            plan = await self._looker.plan(
                lambda: [one.known() for one in known if not one.is_over],
                self._mkts.__getitem__,
            )
            for warning in plan.warnings:
                log.warning("%s: %s", self.account, warning)
            for state in plan.doubled:
                self._tasks.start_soon(self._end, state)
            for oid, state in plan.found.items():
                self._note_found(oid, state)
            await self._book_missed()
            for oid in plan.found:
                if order := self._orders.get(oid):
                    self._say(order)
            for oid in plan.absent:
                self._note_absent(oid)
            for state in plan.strangers:
                if self._order_of(state) is not None:
                    continue
                if state.cl_id in self._by_cl_id:
                    self._end_ghost(state)
                else:
                    await self._adopt(state)
            self._settled.set()

    def _note_found(self, oid: str, state: OrderState) -> None:
        order = self._orders.get(oid)
        if order is None or order.doing:
            return
        self._by_reqid[state.reqid] = oid
        order.take(state)
        if order.rev_of(state) >= order.rev:
            order.begin_rev(state)

    def _note_absent(self, oid: str) -> None:
        order = self._orders.get(oid)
        if order is not None and not order.doing and order.state is None:
            self._forget(order)

    async def _book_missed(self) -> None:
        """Book all trades since the last that is booked, of markets that are ours."""
        lists = await self._our_lists()
        for mkt in lists:
            if _name_of(mkt) not in self._listed:  # what was before us isn't news
                newest = partial(self.session.newest, mkt)
                self._listed[_name_of(mkt)] = await self._looker.look(newest)
        pages = self._looker.trades(lists, lambda mkt: self._listed[_name_of(mkt)])
        async for mkt, page in pages:
            await self._book(page)
            self._listed[_name_of(mkt)] = page[-1].cursor

    async def _our_lists(self) -> list[MktPair | None]:
        if self.session.lists_together:
            return [None]
        fqmes = {*self._listed, *(one.mkt.fqme for one in self._orders.values())}
        asked = [await self._find_mkt(fqme) for fqme in fqmes]
        return [mkt for mkt in asked if mkt is not None]

    async def _answer(self, asked: Reconcile, tell: Tell) -> None:
        """Answer a Reconcile: fills, states of orders, then that it is all."""
        for oid, told in asked.orders.items():
            mkt = await self._find_mkt(f"{told.symbol}.{self._broker}")
            if mkt is None or oid in self._orders or oid in self._over:
                continue
            order = of_open_order(oid, told, self.account, mkt)
            order.booked, order.in_place = self._booked, self.session.amends_in_place
            self._orders[oid] = order
            for cl_id in order.client_ids:
                self._by_cl_id[cl_id] = oid
            if told.reqid:
                self._by_reqid[told.reqid] = oid
        self._asked.set()  # from now on what isn't known is somebody else's
        await self.sync()
        if self._asker is not tell:  # it has gone, or another one has asked since
            return
        now_ns = time.time_ns()
        fills = [
            self._named(to_fill(txn, seq, self.account, now_ns), txn)
            for seq, txn in self.ledger.since(asked.after_seq)
            if txn.etype == "clear" and self._is_news(txn, now_ns)
        ]
        states = [self._state_of(oid) for oid in asked.oids]
        rest = [oid for oid in self._orders if oid not in asked.oids]
        states += [self._state_of(oid) for oid in rest]
        done = Reconciled(account=self.account, seq=self.ledger.seq)
        self.tell = tell
        there = [each for each in states if each is not None]
        self._tell(*fills, *self._all_positions(), *there, done)

    def _is_news(self, txn: Transaction, now_ns: int) -> bool:
        """Tell whether a trade is one of ours, or of just now: no fetched old one."""
        is_ours = bool(txn.oid) or txn.reqid in self._by_reqid
        return is_ours or now_ns - txn.time_ns < _NEWS_NS

    def _named(self, fill: BrokerdFill, txn: Transaction) -> BrokerdFill:
        """Return a fill with its order's id, where that was found since."""
        if mends(txn, self.ledger):
            return fill
        oid = fill.oid or self._by_reqid.get(fill.reqid, "")
        return replace(fill, oid=oid)

    def _state_of(self, oid: str) -> BrokerdStatus | None:
        """Return how an order is; None where that is being found out."""
        order = self._orders.get(oid) or self._over.get(oid)
        if order is None:
            return BrokerdStatus(
                oid=oid, reqid="", status="unknown", time_ns=time.time_ns(),
                account=self.account,
            )  # fmt: skip
        if order.state is None or order.doing:
            return None
        if order.state.is_over and order.unbooked:
            return None  # told once all of its fills are
        order.acked, order.is_told_open = max(order.acked, order.rev), True
        return self._status(order)


def _name_of(mkt: MktPair | None) -> str:
    """Return under which name a list of trades is known."""
    return mkt.fqme if mkt is not None else _ALL


_Request = BrokerdOrder | BrokerdCancel
