"""Messages of orders, on the asyncio side: as IB sends them, to whoever listens.

socket --ib_async's decoder--> handlers of ours --OrderTold, StatusTold ...--> listeners
                                  `--messages up to its end--> a list that was asked for

Not by the library's own book of orders: that takes some errors for ends, leaves out
what it was told before, and keeps all there ever was.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal
from weakref import WeakKeyDictionary

from ib_async import Contract, Execution
from ib_async.decoder import Decoder
from ib_async.objects import CommissionReport
from ib_async.order import Order, OrderState
from msgspec.structs import replace

from piker.brokers._live._venue import NoLine
from piker.brokers._payload import one_line
from piker.errors import BadPayload, VenueRefused, VenueUnreachable
from piker.log import get_logger

from ._client import Client
from ._gateway import LineDown, LineEvent
from ._order_decode import (
    error_told,
    exec_told,
    fee_told,
    holding_told,
    order_told,
    status_told,
)
from ._order_reasons import READ_ONLY_CURE, is_read_only
from ._order_schemas import FeeTold, Told, Unread
from ._reasons import without_accounts

if TYPE_CHECKING:
    from ib_async import IB

log = get_logger(__name__)

#: Numbers of messages, and what handles them.
_HANDLED: Final = {
    3: "status", 5: "open_order", 11: "execution", 53: "open_end", 55: "execs_end",
    59: "fee", 101: "completed_order", 102: "completed_end",
}  # fmt: skip
_ERROR, _POSITION = 4, 61
#: The end of a list that nobody waits for any more comes so much later at most.
_OWED_S: Final = 30.0

Event = Told | LineEvent
Tell = Callable[[Event], None]


def _future() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


@dataclass(eq=False)
class _Asked:
    """A list that is being told.

    Attributes:
      done: is set once it is told whole, or can't be.
      told: messages so far.
      fees: of executions, by their ids.
      is_told: its end came, or will never come.
    """

    done: asyncio.Future[None] = field(default_factory=_future)
    told: list[Any] = field(default_factory=list)
    fees: dict[str, FeeTold] = field(default_factory=dict)
    is_told: bool = False

    def end(self) -> None:
        """Note that it is whole."""
        self.is_told = True
        if not self.done.done():
            self.done.set_result(None)

    def fail(self, fault: Exception) -> None:
        """Note that it can't be told."""
        if not self.done.done():
            self.done.set_exception(fault)


@dataclass(eq=False)
class _Owed:
    """Ends that are still to come, of lists that were given up: IB numbers none.

    Attributes:
      ends: how many.
      since: monotonic time of the first, since a list was last told whole.
    """

    ends: int = 0
    since: float = field(default_factory=time.monotonic)

    def is_next(self) -> bool:
        """Tell whether the next end is one of them."""
        return self.ends > 0 and time.monotonic() - self.since < _OWED_S


@dataclass(eq=False)
class Wire:
    """What a client hears of orders; use `wire_of`.

    Attributes:
      client: of IB.
      listeners: told of all that happens, in order.
      is_read_only: the gateway takes no orders from programs.
      lists: of orders, ``open`` and ``over``, that are being told.
      execs: lists of executions, by the number of the request.
    """

    client: Client
    listeners: set[Tell] = field(default_factory=set)
    is_read_only: bool = False
    lists: dict[str, _Asked] = field(default_factory=dict)
    execs: dict[int, _Asked] = field(default_factory=dict)
    _owed: dict[str, _Owed] = field(default_factory=dict)
    _turns: dict[str, asyncio.Lock] = field(default_factory=dict)
    _calm: asyncio.Event = field(default_factory=asyncio.Event)
    _decoder: Decoder = field(init=False)

    def __post_init__(self) -> None:
        client = self.client.ib.client
        self._decoder = Decoder(_Ears(self), 0)  # type: ignore[arg-type]
        self._calm.set()
        client.throttleStart += self._calm.clear
        client.throttleEnd += self._calm.set
        theirs = client.decoder.handlers
        for number, name in _HANDLED.items():
            theirs[number] = self._guarded(getattr(self, f"_on_{name}"))
        first = theirs[_ERROR]
        theirs[_ERROR] = lambda fields: self._on_error(fields, first)
        second = theirs[_POSITION]
        theirs[_POSITION] = lambda fields: self._on_position(fields, second)
        self.client.gateway.listeners.add(self._on_line)

    def tell(self, event: Event) -> None:
        """Tell whoever listens."""
        for listener in tuple(self.listeners):
            listener(event)

    def _guarded(
        self, handle: Callable[[list[str]], None]
    ) -> Callable[[list[str]], None]:
        def take(fields: list[str]) -> None:
            self._decoder.serverVersion = self.client.ib.client.serverVersion()
            try:
                handle(fields)
            except Exception as err:  # noqa: BLE001 - the library's, on bytes of any kind
                self._note_unread(f"message {fields[0]}: {err!r:.200}")

        return take

    def _note_unread(self, what: str) -> None:
        """Note that a message can't be read: a list may lack it."""
        words = without_accounts(one_line(what))
        for asked in (*self.lists.values(), *self.execs.values()):
            asked.fail(BadPayload(f"a list of ib's can't be read: {words}"))
        self.tell(Unread(what=words))

    def _on_line(self, event: LineEvent) -> None:
        if isinstance(event, LineDown):
            fault = VenueUnreachable(f"ib was lost while it told: {event.reason}")
            for asked in (*self.lists.values(), *self.execs.values()):
                asked.fail(fault)
            if not self.client.ib.client.isReady():
                # what waited to be sent, or told, is gone with the connection
                for asked in self.lists.values():
                    asked.is_told = True
                self._owed.clear()
                self._calm.set()
        self.tell(event)

    # -- messages -----------------------------------------------------------------

    def _on_status(self, fields: list[str]) -> None:
        told = status_told(fields)
        if asked := self.lists.get("open"):
            asked.told.append(told)
        self.tell(told)

    def _on_open_order(self, fields: list[str]) -> None:
        self._decoder.openOrder(fields)

    def _on_completed_order(self, fields: list[str]) -> None:
        self._decoder.completedOrder(fields)

    def _on_execution(self, fields: list[str]) -> None:
        self._decoder.execDetails(fields)

    def _on_fee(self, fields: list[str]) -> None:
        self._decoder.commissionReport(fields)

    def _on_open_end(self, _fields: list[str]) -> None:
        self.is_read_only = False
        self._end("open")

    def _on_completed_end(self, _fields: list[str]) -> None:
        self._end("over")

    def _end(self, which: str) -> None:
        """Take the end of a list: of the one that is asked for, or of one before."""
        asked, owed = self.lists.get(which), self._owed.get(which)
        if owed is not None and owed.is_next():
            owed.ends -= 1
            if asked is not None:
                asked.told.clear()
            elif not owed.ends:
                del self._owed[which]
        elif asked is not None:
            self._owed.pop(which, None)
            asked.end()

    def _on_execs_end(self, fields: list[str]) -> None:
        if asked := self.execs.get(int(fields[2])):
            asked.end()

    def _on_position(
        self, fields: list[str], first: Callable[[list[str]], None]
    ) -> None:
        first(fields)
        self._guarded(lambda one: self.tell(holding_told(one)))(fields)

    def _on_error(self, fields: list[str], first: Callable[[list[str]], None]) -> None:
        try:
            first(fields)
        finally:
            self._take_error(fields)

    def _take_error(self, fields: list[str]) -> None:
        try:
            told = error_told(fields)
        except Exception as err:  # noqa: BLE001 - whatever came
            self._note_unread(f"an error: {err!r:.200}")
            return
        told = replace(told, text=without_accounts(told.text))
        words = f"ib: {told.text} (code {told.code})"
        if is_read_only(told.code, told.text):
            self.is_read_only = True
            for each in self.lists.values():
                each.is_told = True
                each.fail(VenueRefused(f"{words}: {READ_ONLY_CURE}"))
        if asked := self.execs.get(told.order_id):
            asked.fail(VenueRefused(words))
        self.tell(told)

    # -- what the decoder calls ---------------------------------------------------

    def open_order(self, contract: Contract, order: Order, state: OrderState) -> None:
        """Take a message ``openOrder``."""
        # ids of ours are to be higher than all that were told, other clients' too
        self.client.ib.client.updateReqId(order.orderId + 1)
        if order.whatIf:
            return
        told = order_told(contract, order, state)
        if asked := self.lists.get("open"):
            asked.told.append(told)
        self.tell(told)

    def completed_order(
        self, contract: Contract, order: Order, state: OrderState
    ) -> None:
        """Take a message ``completedOrder``."""
        if asked := self.lists.get("over"):
            asked.told.append(order_told(contract, order, state, is_over=True))

    def execution(self, req_id: int, contract: Contract, execution: Execution) -> None:
        """Take a message ``execDetails``: of a list, or of what happens."""
        told = exec_told(contract, execution)
        if req_id in self.execs:
            self.execs[req_id].told.append(told)
        else:
            self.tell(told)

    def fee(self, report: CommissionReport) -> None:
        """Take a message ``commissionReport``."""
        told = fee_told(report)
        for asked in self.execs.values():
            asked.fees[told.exec_id] = told
        self.tell(told)

    # -- asking -------------------------------------------------------------------

    @asynccontextmanager
    async def listing(self, which: Literal["open", "over"]) -> AsyncIterator[_Asked]:
        """Have a list be told in the block, one at a time."""
        async with self.turn_of(which):
            await self.client.gateway.ready()
            self.lists[which] = asked = _Asked()
            try:
                yield asked
            finally:
                del self.lists[which]
                if not asked.is_told:
                    self._owed.setdefault(which, _Owed()).ends += 1

    @asynccontextmanager
    async def listing_execs(self) -> AsyncIterator[tuple[int, _Asked]]:
        """Have executions be told in the block, to a request of the number."""
        await self.client.gateway.ready()
        req_id = self.client.ib.client.getReqId()
        self.execs[req_id] = asked = _Asked()
        try:
            yield req_id, asked
        finally:
            del self.execs[req_id]

    def turn_of(self, what: str) -> asyncio.Lock:
        """Return the turn of what the library can be asked for by one only."""
        return self._turns.setdefault(what, asyncio.Lock())

    # -- sending ------------------------------------------------------------------

    async def wait_calm(self) -> None:
        """Wait until nothing waits to be sent: orders are sent at once, or not."""
        await self._calm.wait()

    def check_up(self) -> None:
        """Raise NoLine unless IB can be told something now."""
        gateway = self.client.gateway
        if gateway.state != "up":
            raise NoLine(f"the line for orders to ib is down: {gateway.reason}")


class _Ears:
    """What the library's decoder calls for messages of orders."""

    defaultTimezone: ClassVar[tzinfo] = UTC  # noqa: N815 - as the library names it

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    @property
    def ib(self) -> IB:
        return self._wire.client.ib

    def openOrder(  # noqa: N802
        self, _: int, contract: Contract, order: Order, state: OrderState
    ) -> None:
        self._wire.open_order(contract, order, state)

    def completedOrder(  # noqa: N802
        self, contract: Contract, order: Order, state: OrderState
    ) -> None:
        self._wire.completed_order(contract, order, state)

    def execDetails(  # noqa: N802
        self, req_id: int, contract: Contract, execution: Execution
    ) -> None:
        self._wire.execution(req_id, contract, execution)

    def commissionReport(self, report: CommissionReport) -> None:  # noqa: N802
        self._wire.fee(report)


_wires: WeakKeyDictionary[Client, Wire] = WeakKeyDictionary()


def wire_of(client: Client) -> Wire:
    """Return what hears of orders for a client, made with the first call."""
    if client not in _wires:
        _wires[client] = Wire(client)
    return _wires[client]
