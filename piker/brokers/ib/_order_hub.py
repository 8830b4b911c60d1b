"""All orders at a gateway, on trio's side: what is told of them, and what is asked.

    IB's messages --listen--> OrderHub --states, trades--> the seat of their account
    place, amend, cancel --sent once--> the first word that answers, or Unsure

One connection is all accounts': a message says whose it is, or tells of an order that
is known.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, Final, TypeVar

import trio
from ib_async import Contract
from ib_async.order import Order

from piker.brokers._aio import MethodProxy
from piker.brokers._live._venue import (
    LineDown,
    LineUp,
    NoLine,
    NotSent,
    OrderState,
    Unsure,
    VenueEvent,
)
from piker.errors import VenueError, VenueUnreachable
from piker.log import get_logger

from . import _gateway
from ._client import Client
from ._order_asks import (
    bind_by_hand,
    listen,
    next_id,
    open_orders,
    positions,
    send_cancel,
    send_order,
)
from ._order_fees import Fees
from ._order_reasons import CANCELLED, OF_CANCELS, is_notice
from ._order_rows import (
    INACTIVE,
    Row,
    is_other,
    key_of,
    rows_of,
    state_of,
    with_order,
    with_status,
)
from ._order_schemas import (
    ErrorTold,
    ExecTold,
    FeeTold,
    Holding,
    OrderTold,
    StatusTold,
    Unread,
)

log = get_logger(__name__)

#: A request waits so long for a line, then it isn't sent.
_LINE_S: Final = 5.0
#: What can't be read is looked for so often at most.
_UNREAD_S: Final = 60.0
_KNOWN: Final = 20_000
_AT_ONCE: Final = 200
#: Of what happens; no gateway has so many orders.
_ROOM: Final = 200_000

Tell = Callable[[VenueEvent], None]
Word = OrderTold | StatusTold | ErrorTold
T = TypeVar("T")


@dataclass(eq=False)
class Seat:
    """One account, for as long as somebody listens to it.

    Attributes:
      number: of the account.
      tell: told what happens to it.
    """

    number: str
    tell: Tell


class OrderHub:
    """See the module; use `open_hub`.

    Attributes:
      proxy: of the client.
      client_id: by which the gateway knows us; orders of others can't be changed.
      odd_messages: how many couldn't be read.
      rows: orders that are known, by what tells them apart.
      fees: of executions.
    """

    def __init__(self, proxy: MethodProxy[Client], tasks: trio.Nursery) -> None:
        """Be one of *proxy*, with tasks in *tasks*."""
        self.proxy, self._tasks = proxy, tasks
        self.client_id, self.odd_messages = -1, 0
        self.rows: OrderedDict[tuple[int, int, int], Row] = OrderedDict()
        self._by_perm: dict[int, tuple[int, int, int]] = {}
        self._seats: set[Seat] = set()
        self._waiting: dict[int, set[trio.MemorySendChannel[Word]]] = {}
        self._words: OrderedDict[int, str] = OrderedDict()
        self.fees = Fees(self._tell)
        self._fault = "it isn't connected yet"
        self._is_up, self._up = False, trio.Event()
        self._unread_at = float("-inf")
        self._held: dict[tuple[str, int], Decimal] | None = None

    # -- what happens -------------------------------------------------------------

    async def run(self) -> None:
        """Hear what is told, for ever."""
        async with self.proxy.stream(listen, room=_ROOM) as batches:
            async for batch in batches:
                for nth, event in enumerate(batch):
                    await self._take(event)
                    if nth % _AT_ONCE == _AT_ONCE - 1:  # others are to have a turn
                        await trio.lowlevel.checkpoint()
        raise VenueUnreachable("ib tells nothing of orders any more")

    async def _take(self, event: Any) -> None:
        match event:
            case OrderTold() | StatusTold():
                self._take_word(event)
            case ErrorTold():
                self._take_error(event)
            case ExecTold():
                self._take_execution(event)
            case Holding():
                self._take_holding(event)
            case FeeTold():
                self.fees.fee(event)
            case Unread():
                self._take_unread(event)
            case _gateway.LineUp():
                await self._line_up()
            case _gateway.LineDown():
                self._line_down(event.reason)

    async def _line_up(self) -> None:
        try:
            *_, self.client_id = await self.proxy.call(Client.ready)
        except VenueUnreachable:
            return  # it is lost again, which is told, too
        self._tasks.start_soon(self._watch_positions)
        if self.client_id == 0:
            self._tasks.start_soon(self._bind)
        self._is_up = True
        self._up.set()
        self._tell_all(LineUp())

    async def _watch_positions(self) -> None:
        """Have changes of positions be told: trades that others make show in them."""
        self._held = None
        try:
            held = await self.proxy.call(positions)
        except VenueError as err:
            log.info("ib doesn't tell positions: %s", err)
        else:
            self._held = {(one.account, one.con_id): one.size for one in held}

    def _take_holding(self, told: Holding) -> None:
        """Look at an account whose position changed by no execution of ours."""
        if self._held is None:
            return
        at = (told.account, told.con_id)
        expected = self._held.get(at, Decimal(0))
        self._held[at] = told.size
        if told.size != expected and self._is_up:
            self._tell(told.account, LineUp())

    def _take_execution(self, told: ExecTold) -> None:
        self._tasks.start_soon(self.fees.execution, told)
        if self._held is not None:
            at = (told.account, told.con_id)
            size = told.size if told.side == "buy" else -told.size
            self._held[at] = self._held.get(at, Decimal(0)) + size

    async def _bind(self) -> None:
        try:
            await self.proxy.call(bind_by_hand)
        except VenueError as err:
            log.warning("orders placed in TWS can't be changed: %s", err)
        else:
            self.look_again()

    def _line_down(self, reason: str) -> None:
        self._is_up, self._up, self._fault = False, trio.Event(), reason
        for waits in self._waiting.values():
            for one in waits:
                one.close()
            waits.clear()  # what comes over the next line is no answer to them
        self._tell_all(LineDown(reason))

    def _tell_all(self, event: VenueEvent) -> None:
        for seat in self._seats:
            seat.tell(event)

    def _tell(self, account: str, event: VenueEvent) -> None:
        for seat in self._seats:
            if seat.number == account:
                seat.tell(event)

    @asynccontextmanager
    async def sit(self, number: str, tell: Tell) -> AsyncIterator[None]:
        """Be told what happens to an account, for the length of the block."""
        seat = Seat(number, tell)
        self._seats.add(seat)
        if self._is_up:
            tell(LineUp())
        try:
            yield
        finally:
            self._seats.discard(seat)

    # -- orders -------------------------------------------------------------------

    def _take_word(self, told: OrderTold | StatusTold) -> None:
        row = self._note(told)
        if row is None:  # a word of an order of which nothing is known
            self.look_again()
            return
        is_sent = told.client_id == self.client_id and told.order_id > 0
        if row.status == INACTIVE and is_sent and row.order.ref:
            # nobody is to wake it once it was told to be over; of those placed in TWS,
            # which are client 0's, too, their owner takes care
            self._tasks.start_soon(self._end_inactive, told.order_id)
        if row.order.perm_id:
            self._tell(row.order.account, state_of(row, time.time_ns()))
        self._hand_on(told.client_id, told.order_id, told)

    def _note(self, told: OrderTold | StatusTold) -> Row | None:
        """Keep what a message tells, and return all of its order that is known."""
        key = key_of(told)
        if key not in self.rows and isinstance(told, StatusTold):
            key = self._by_perm.get(told.perm_id, key)
        row = self.rows.get(key)
        if row is not None and is_other(row, told):
            # numbers begin anew where somebody resets them in TWS
            if isinstance(told, OrderTold):
                self._drop(key)
            row = None
        if isinstance(told, OrderTold):
            row = with_order(row, told)
        elif row is not None:
            row = with_status(row, told)
        else:
            return None
        if row.is_over and not row.reason:
            words = self._words.get(told.order_id, "")
            row = Row(row.order, row.status, row.filled, words)
        self._keep(key, row)
        return row

    def _keep(self, key: tuple[int, int, int], row: Row) -> None:
        self.rows[key] = row
        self.rows.move_to_end(key)
        if row.order.perm_id:
            self._by_perm[row.order.perm_id] = key
        while len(self.rows) > _KNOWN:
            self._drop(next(iter(self.rows)))

    def _drop(self, key: tuple[int, int, int]) -> None:
        old = self.rows.pop(key, None)
        if old is not None and self._by_perm.get(old.order.perm_id) == key:
            del self._by_perm[old.order.perm_id]

    def _take_error(self, told: ErrorTold) -> None:
        key = (self.client_id, told.order_id, 0)
        if told.order_id <= 0 or (
            key not in self.rows and told.order_id not in self._waiting
        ):
            return  # of something else
        log.info("ib says of order %d: %s", told.order_id, told.text)
        if not is_notice(told.code) and told.code not in OF_CANCELS:
            self._words[told.order_id] = _reason_in(told)
            while len(self._words) > _KNOWN:
                self._words.popitem(last=False)
            if told.order_id not in self._waiting:
                self.look_again()  # a change may have been refused, or its end told
        self._hand_on(self.client_id, told.order_id, told)

    def _hand_on(self, client_id: int, order_id: int, told: Word) -> None:
        """Give a word to who waits for one about an order."""
        if client_id == self.client_id:
            for one in tuple(self._waiting.get(order_id, ())):
                one.send_nowait(told)

    async def put_down(self, order_id: int) -> None:
        """Ask for the end of an order of ours, which is told by itself; VenueError."""
        await self.proxy.call(send_cancel, order_id)

    async def _end_inactive(self, order_id: int) -> None:
        try:
            await self.put_down(order_id)
        except VenueError as err:
            log.warning("ib holds an order inactive that can't be ended: %s", err)

    def look_again(self) -> None:
        """Have what may have been missed be looked up."""
        if self._is_up:
            self._tell_all(LineUp())

    def _take_unread(self, told: Unread) -> None:
        self.odd_messages += 1
        log.warning("ib: what can't be read: %s", told.what)
        if trio.current_time() - self._unread_at > _UNREAD_S:
            self._unread_at = trio.current_time()
            self.look_again()

    # -- asking -------------------------------------------------------------------

    async def wait_line(self) -> None:
        """Wait for a line; NoLine."""
        with trio.move_on_after(_LINE_S):
            await self._up.wait()
        if not self._is_up:
            raise NoLine(f"the line for orders to ib is down: {self._fault}")

    async def open_rows(self) -> list[Row]:
        """Return what is open, of all accounts and clients; VenueError."""
        told = await self.proxy.call(open_orders)
        rows = rows_of(told)
        for row in rows:
            # what is known was told by itself, in order, and may be newer
            if (key := key_of(row.order)) not in self.rows:
                self._keep(key, row)
        return rows

    async def row_of(self, reqid: str) -> Row | None:
        """Return an order by its number for good, as it is known; VenueError."""
        perm_id = int(reqid) if reqid.isdigit() else 0
        if perm_id not in self._by_perm:
            await self.open_rows()
        key = self._by_perm.get(perm_id)
        return self.rows.get(key) if key is not None else None

    # -- sending ------------------------------------------------------------------

    async def new_id(self) -> int:
        """Return the number of an order that is to be placed; NoLine."""
        await self.wait_line()
        try:
            number = await self.proxy.call(next_id)
        except VenueUnreachable as err:
            raise NoLine(str(err)) from None
        self._drop((self.client_id, number, 0))  # another order's, long ago
        return number

    async def order(
        self,
        order_id: int,
        contract: Contract,
        order: Order,
        answer: Callable[[Word, Row | None], Awaitable[Row | None]],
    ) -> Row:
        """Send an order, or new terms of one, once; return the row that answers.

        Args:
          order_id: its number at this client.
          contract: of which market.
          order: all of it.
          answer: told each word about it, and what is known then; returns the row that
            is an answer, None of none; raises what a refusal means.

        Raises: NotSent, Unsure; what *answer* raises.
        """
        send = partial(send_order, order_id=order_id, contract=contract, order=order)
        return await self._exchange(order_id, send, answer)

    async def cancel(
        self,
        order_id: int,
        answer: Callable[[Word, Row | None], Awaitable[Row | None]],
    ) -> Row:
        """Ask for an order's end; return the row that answers, as `order`."""
        return await self._exchange(
            order_id, partial(send_cancel, order_id=order_id), answer
        )

    async def _exchange(
        self,
        order_id: int,
        send: Callable[[Client], Awaitable[None]],
        answer: Callable[[Word, Row | None], Awaitable[Row | None]],
    ) -> Row:
        self._words.pop(order_id, None)  # of an earlier request
        put, words = trio.open_memory_channel[Word](float("inf"))
        self._waiting.setdefault(order_id, set()).add(put)
        why = "the connection to ib broke before it answered"
        try:
            with trio.move_on_after(self.proxy.deadline_s) as patience:
                await self._sent(send)
                async for word in words:
                    row = self.rows.get((self.client_id, order_id, 0))
                    if (found := await answer(word, row)) is not None:
                        return found
        finally:
            waits = self._waiting.get(order_id, set())
            waits.discard(put)
            if not waits:
                self._waiting.pop(order_id, None)
            put.close()
        if patience.cancelled_caught:
            why = f"ib didn't answer in {self.proxy.deadline_s:g} s"
        raise Unsure(why)

    async def _sent(self, send: Callable[[Client], Awaitable[T]]) -> T:
        """Have something be sent; NotSent, or Unsure where nobody knows."""
        try:
            return await self.proxy.call(send)
        except NotSent:
            raise
        except VenueUnreachable as err:
            raise Unsure(str(err)) from None


def _reason_in(told: ErrorTold) -> str:
    """Return the reason that an error tells, in IB's words."""
    if told.code != CANCELLED:
        return f"{told.text} (code {told.code})"
    # "Order Canceled - reason:", with or without one
    return told.text.partition("reason:")[2].strip()


def states_of(rows: Iterable[Row], account: str) -> list[OrderState]:
    """Return an account's orders that are open."""
    now_ns = time.time_ns()
    return [
        state_of(row, now_ns)
        for row in rows
        if row.order.account == account and row.order.perm_id and not row.is_over
    ]


@asynccontextmanager
async def open_hub(proxy: MethodProxy[Client]) -> AsyncIterator[OrderHub]:
    """Yield the orders of a client, heard of for the length of the block."""
    async with trio.open_nursery() as tasks:
        hub = OrderHub(proxy, tasks)
        tasks.start_soon(hub.run)
        yield hub
        tasks.cancel_scope.cancel()
