"""One live account: requests in, what happened out, the ledger in between.

    emsd --BrokerdOrder, BrokerdCancel, Reconcile--> LiveDesk --> Session --> venue
         <--acks, states, fills, positions--------- [ledger] <--events, looks--'

A fill is in the ledger before it is told, and the end of an order is told once all of
its fills are. Nothing is sent before the account was reconciled.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from decimal import Decimal
from functools import partial
from typing import Any, Final

import trio
from msgspec.structs import replace

from piker.accounting import Ledger, Transaction
from piker.brokers._web import Backoff
from piker.errors import PikerError
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

from ._books import NEWS_NS, Books
from ._client_ids import client_id
from ._known_orders import KnownOrders
from ._live_order import LiveOrder, of_open_order, of_stranger
from ._markets import GetMkt, Markets
from ._mended import mends
from ._sync import Looker
from ._venue import (
    START,
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
        self._broker = broker
        self._work, self._looker = OrderWork(session), Looker(session)
        self._mkts = Markets(get_mkt, self._looker)
        self._orders = KnownOrders()
        self._books = Books(ledger, session, self._mkts, self._orders)
        self._asked = trio.Event()
        self._settled = trio.Event()
        self._wanted = trio.Event()
        self._sync_turn = trio.Lock()
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
        return {order.mkt.bs_mktid for order in self._orders.live.values()}

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
        many = len(self._orders.live)
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
        order = self._orders.of(state)
        if order is None:
            if self._orders.is_ghost(state):
                self._end_ghost(state)
            elif not state.is_over:
                await self._adopt(state)
            return
        self._orders.name(order.oid, reqid=state.reqid)
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
        order = self._orders.get(asked.oid)
        if asked.rev:
            await self._do_edit(order, asked)
            return
        if order is not None:
            self._again(order, asked)
            return
        mkt = await self._mkts.get(f"{asked.symbol}.{self._broker}")
        if asked.oid in self._orders.live:  # it came twice meanwhile
            return
        order = self._ours(LiveOrder(asked, mkt))
        self._orders.name(asked.oid, client_id(asked.oid, 0))
        async with order.turn:
            await self._place(order, asked)

    def _ours(self, order: LiveOrder) -> LiveOrder:
        """Look after an order from now on."""
        order.booked, order.in_place = self._books.filled, self.session.amends_in_place
        self._orders.add(order)
        return order

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
            self._orders.drop(order)
            raise
        finally:
            order.doing = ""
        self._begun(order, asked, state)

    def _begun(self, order: LiveOrder, asked: BrokerdOrder, state: OrderState) -> None:
        """Have a revision be in force, and say so."""
        order.asked = asked
        order.begin_rev(state)
        self._orders.name(order.oid, reqid=state.reqid)
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
                self._orders.name(asked.oid, client_id(asked.oid, asked.rev))
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
        if order is None:
            raise NotSent(f"no order {asked.oid!r} is known")
        if asked.oid not in self._orders.live:
            self._tell(self._status(order))
            return
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
            self._orders.end(order)
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

    async def _adopt(self, state: OrderState) -> None:
        """Look after an order that came to the venue from elsewhere."""
        mkt = await self._mkts.learn(state.bs_mktid)
        if mkt is None or self._orders.of(state) is not None:
            return
        if not (state.price or state.trigger):
            return  # a market order is over before anybody could do anything
        order = self._ours(of_stranger(state, self.account, mkt))
        self._orders.name(order.oid, reqid=state.reqid)
        log.info("%s: order %s came from elsewhere", self.account, state.reqid)
        self._say(order)

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
        txns = await self._books.book(trades, self._tell_entries if is_news else None)
        for oid in dict.fromkeys(txn.oid for txn in txns):
            if order := self._orders.live.get(oid):
                self._say(order)

    def _tell_entries(self, txns: list[Transaction]) -> None:
        """Tell of what was booked: of fills, and of positions that are others now."""
        now_ns = time.time_ns()
        fills = [self._books.fill(txn, now_ns) for txn in txns if txn.etype == "clear"]
        moved = dict.fromkeys(txn.fqme for txn in txns)
        self._tell(*fills, *(self._books.position(fqme) for fqme in moved))

    def positions(self) -> tuple[BrokerdPosition, ...]:
        """Return what the account holds by its ledger, what is flat left out."""
        return self._books.held()

    async def write_account(self) -> None:
        """Write the account file anew, if that can be done within two seconds."""
        await self._books.write_account()

    # -- fetching trades ----------------------------------------------------------

    async def lists_of(self, fqmes: Iterable[str]) -> list[MktPair | None]:
        """Return whose lists have the trades of markets, and of those of the ledger.

        Raises: as *get_mkt*.
        """
        named = [await self._mkts.get(fqme) for fqme in fqmes]
        if self.session.lists_together:
            return [None]
        held = await self.mkts_held()
        return list({mkt.fqme: mkt for mkt in (*named, *held)}.values())

    async def mkts_held(self) -> list[MktPair]:
        """Return the markets of the ledger, but those that aren't listed any more.

        Raises: as *get_mkt*, but for these.
        """
        return await self._mkts.listed(self._books.positions)

    async def fetch(
        self, mkt: MktPair | None, *, whole: bool
    ) -> AsyncIterator[tuple[list[VenueTrade], int]]:
        """Book the trades of a list, page by page; yield each, and how many were new.

        Args:
          mkt: whose list, see `lists_of`.
          whole: from the first on; else since the last that was listed.
        """
        cursor = START if whole else self._books.cursor(mkt)
        async for page in self.session.trades(mkt, cursor):
            before = self.ledger.seq
            # what is long past is no news to emsd
            await self._book(page, is_news=False)
            self._books.note_listed(mkt, page[-1].cursor)
            yield page, self.ledger.seq - before
        self._tell(*self.positions())

    # -- reconciling --------------------------------------------------------------

    async def sync(self) -> None:
        """Bring together what the venue has and what we know; until that is done."""
        async with self._sync_turn:
            known = [one for one in self._orders.live.values() if not one.doing]
            plan = await self._looker.plan(
                lambda: [one.known() for one in known if not one.is_over],
                self._mkts.known.__getitem__,
            )
            for warning in plan.warnings:
                log.warning("%s: %s", self.account, warning)
            for state in plan.doubled:
                self._tasks.start_soon(self._end, state)
            for oid, state in plan.found.items():
                self._note_found(oid, state)
            await self._book_missed()
            for oid in plan.found:
                if order := self._orders.live.get(oid):
                    self._say(order)
            for oid in plan.absent:
                self._note_absent(oid)
            for state in plan.strangers:
                if self._orders.is_ghost(state):
                    self._end_ghost(state)
                elif self._orders.of(state) is None:
                    await self._adopt(state)
            self._settled.set()

    def _note_found(self, oid: str, state: OrderState) -> None:
        order = self._orders.live.get(oid)
        if order is None or order.doing:
            return
        self._orders.name(oid, reqid=state.reqid)
        order.take(state)
        if order.rev_of(state) >= order.rev:
            order.begin_rev(state)

    def _note_absent(self, oid: str) -> None:
        order = self._orders.live.get(oid)
        if order is not None and not order.doing and order.state is None:
            self._orders.drop(order)

    async def _book_missed(self) -> None:
        """Book all trades since the last that is booked, of markets that are ours."""
        lists = await self._our_lists()
        for mkt in lists:
            if not self._books.is_listed(mkt):  # what was before us isn't news
                newest = partial(self.session.newest, mkt)
                self._books.note_listed(mkt, await self._looker.look(newest))
        async for mkt, page in self._looker.trades(lists, self._books.cursor):
            await self._book(page)
            self._books.note_listed(mkt, page[-1].cursor)

    async def _our_lists(self) -> list[MktPair | None]:
        if self.session.lists_together:
            return [None]
        ours = (order.mkt.fqme for order in self._orders.live.values())
        asked = [await self._mkts.find(fqme) for fqme in {*self._books.lists(), *ours}]
        return [mkt for mkt in asked if mkt is not None]

    async def _answer(self, asked: Reconcile, tell: Tell) -> None:
        """Answer a Reconcile: fills, states of orders, then that it is all."""
        for oid, told in asked.orders.items():
            mkt = await self._mkts.find(f"{told.symbol}.{self._broker}")
            if mkt is None or self._orders.get(oid) is not None:
                continue
            order = self._ours(of_open_order(oid, told, self.account, mkt))
            self._orders.name(oid, *order.client_ids, reqid=told.reqid)
        self._asked.set()  # from now on what isn't known is somebody else's
        await self.sync()
        if self._asker is not tell:  # it has gone, or another one has asked since
            return
        now_ns = time.time_ns()
        fills = [
            self._named(self._books.fill(txn, now_ns), txn)
            for _, txn in self.ledger.since(asked.after_seq)
            if txn.etype == "clear" and self._is_news(txn, now_ns)
        ]
        states = [self._state_of(oid) for oid in asked.oids]
        rest = [oid for oid in self._orders.live if oid not in asked.oids]
        states += [self._state_of(oid) for oid in rest]
        done = Reconciled(account=self.account, seq=self.ledger.seq)
        self.tell = tell
        there = [each for each in states if each is not None]
        held = [self._books.position(fqme) for fqme in self._books.positions]
        self._tell(*fills, *held, *there, done)

    def _is_news(self, txn: Transaction, now_ns: int) -> bool:
        """Tell whether a trade is one of ours, or of just now: no fetched old one."""
        is_ours = bool(txn.oid or self._orders.oid_by(txn.reqid))
        return is_ours or now_ns - txn.time_ns < NEWS_NS

    def _named(self, fill: BrokerdFill, txn: Transaction) -> BrokerdFill:
        """Return a fill with its order's id, where that was found since."""
        if mends(txn, self.ledger):
            return fill
        return replace(fill, oid=fill.oid or self._orders.oid_by(fill.reqid))

    def _state_of(self, oid: str) -> BrokerdStatus | None:
        """Return how an order is; None where that is being found out."""
        order = self._orders.get(oid)
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


_Request = BrokerdOrder | BrokerdCancel
