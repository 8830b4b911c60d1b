"""What a client holds while it trades: orders out, and what becomes of them in.

    open_ems --> (OrderClient, trades_stream, positions, accounts, dialogs)

It outlives emsd: while that is away requests wait, and are sent again when it is back;
each has an id, so none is done twice. `EmsDown` and `EmsUp` stand in the stream where
that happened.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal

import trio

from piker.errors import (
    DeadlineExceeded,
    OrderRefused,
    OrderUnknown,
    Overrun,
    PikerError,
    TransportClosed,
    UsageError,
)
from piker.log import get_logger
from piker.msgs import (
    PAPER,
    BrokerdPosition,
    Cancel,
    ClientMsg,
    Edit,
    EmsInit,
    EmsMsg,
    EmsState,
    Error,
    Fqme,
    Order,
    Status,
    each_of,
)
from piker.service import MsgStream, call_endpoint, collapse_eg, open_context
from piker.types import Struct

from ._daemon import maybe_spawn_emsd
from ._rpc import halt_trading, open_order_dialog, resume_trading

log = get_logger(__name__)

#: Before emsd was up once, one that dies or hangs is tried again for so long.
OPEN_DEADLINE_S: Final = 40.0
#: For an answer to a request; what becomes of it then isn't known.
ANSWER_DEADLINE_S: Final = 30.0
_START_DEADLINE_S: Final = 60.0
_RETRY_S: Final = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
_PASSING: Final = (TransportClosed, DeadlineExceeded, Overrun)
_ENDED: Final = frozenset({"closed", "canceled", "error", "triggered"})


class EmsDown(Struct, frozen=True, kw_only=True, tag="ems_down"):
    """The connection to emsd is lost; orders live on, requests wait."""

    reason: str
    time_ns: int


class EmsUp(Struct, frozen=True, kw_only=True, tag="ems_up"):
    """emsd is back; what it told meanwhile follows."""

    missed: int
    time_ns: int


#: What comes of a trades stream.
TradesMsg = EmsMsg | EmsDown | EmsUp
_Key = tuple[str, str]


@dataclass(eq=False)
class _Asked:
    """A request that isn't answered yet."""

    msg: ClientMsg
    answer: Status | Error | None = None
    done: trio.Event = field(default_factory=trio.Event)


class TradesStream:
    """What becomes of all orders, in order; iterate it."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[TradesMsg](float("inf"))

    def put(self, msg: TradesMsg) -> None:
        """Take a message; never blocks."""
        self._send.send_nowait(msg)

    async def receive(self) -> TradesMsg:
        """Return the next message."""
        return await self._receive.receive()

    def receive_nowait(self) -> TradesMsg:
        """Return the next message; ``trio.WouldBlock`` if there is none now."""
        return self._receive.receive_nowait()

    def __aiter__(self) -> AsyncIterator[TradesMsg]:
        return self

    async def __anext__(self) -> TradesMsg:
        return await self._receive.receive()


@dataclass(eq=False)
class OrderClient:
    """Sends orders, edits and cancels.

    Attributes:
      fqme: full name of the market it was opened for, empty if for none.
      accounts: that orders may be sent for; kept up to date.
      positions: what accounts hold, by (account, market); kept up to date.
      dialogs: the newest status of each order that hasn't ended; kept up to date.
      state: what keeps orders from being worked; kept up to date.
    """

    trades: TradesStream = field(default_factory=TradesStream)
    fqme: str = ""
    accounts: tuple[str, ...] = ()
    positions: dict[tuple[str, str], BrokerdPosition] = field(default_factory=dict)
    dialogs: dict[str, Status] = field(default_factory=dict)
    state: EmsState | None = None
    _asked: dict[_Key, _Asked] = field(default_factory=dict)
    _out: list[ClientMsg] = field(default_factory=list)
    _wake: trio.Event = field(default_factory=trio.Event)
    _seq: int = 0
    _mode: Literal["paper", "live"] = "paper"

    # -- requests -------------------------------------------------------------

    async def send(self, order: Order) -> Status:
        """Send an order; return what it is once that is durable.

        Raises:
          OrderRefused: it wasn't taken.
          OrderUnknown: no answer came in time; sent again it is the same order.
        """
        return await self._ask(("order", order.oid), order)

    async def update(
        self,
        oid: str,
        *,
        price: Decimal | None = None,
        size: Decimal | None = None,
        trigger: Decimal | None = None,
    ) -> Status:
        """Change an order, whatever it is doing; return once that is noted for good.

        The broker's own answer comes by the stream. Raises as :meth:`send` does.
        """
        edit = _edit(oid, price, size, trigger)
        return await self._ask(("edit", edit.edit_id), edit)

    async def cancel(self, oid: str) -> Status:
        """End an order, whatever it is doing; return once that is noted for good.

        The broker's own answer comes by the stream. Raises as :meth:`send` does.
        """
        return await self._ask(("cancel", oid), Cancel(oid=oid))

    def send_nowait(self, order: Order) -> None:
        """Send an order; what comes of it is in the stream."""
        self._put(("order", order.oid), order)

    def update_nowait(
        self,
        oid: str,
        *,
        price: Decimal | None = None,
        size: Decimal | None = None,
        trigger: Decimal | None = None,
    ) -> None:
        """Change an order; what comes of it is in the stream."""
        edit = _edit(oid, price, size, trigger)
        self._put(("edit", edit.edit_id), edit)

    def cancel_nowait(self, oid: str) -> None:
        """End an order; what comes of it is in the stream."""
        self._put(("cancel", oid), Cancel(oid=oid))

    def _put(self, key: _Key, msg: ClientMsg) -> _Asked:
        waiting = self._asked.get(key)
        if waiting is not None and waiting.msg == msg:
            return waiting  # asked twice it is asked once, and both are answered
        asked = self._asked[key] = _Asked(msg)
        self._out.append(msg)
        self._wake.set()
        return asked

    async def _ask(self, key: _Key, msg: ClientMsg) -> Status:
        asked = self._put(key, msg)
        with trio.move_on_after(ANSWER_DEADLINE_S):
            await asked.done.wait()
        answer = asked.answer
        if isinstance(answer, Error):
            raise OrderRefused(answer.reason)
        if answer is None:
            raise OrderUnknown(
                f"no answer to the {key[0]} {msg.oid!r} in {ANSWER_DEADLINE_S:g} s:"
                " whether it is done isn't known; `piker orders ls` shows it"
            )
        return answer

    # -- the line to emsd -----------------------------------------------------

    async def _send_all(self, stream: MsgStream[EmsMsg | list[EmsMsg]]) -> None:
        """Send what isn't answered, then what comes."""
        self._out = [asked.msg for asked in self._asked.values()]
        with suppress(TransportClosed):  # who receives is told why
            while True:
                while self._out:
                    batch, self._out = self._out, []
                    for msg in batch:
                        await stream.send(msg)
                await self._wake.wait()
                self._wake = trio.Event()

    def _take(self, msg: EmsMsg) -> None:
        match msg:
            case Status():
                self._take_status(msg)
            case Error():
                self._answer((msg.request, msg.edit_id or msg.oid), msg)
            case BrokerdPosition():
                self.positions[msg.account, msg.symbol] = msg
            case EmsState():
                self.state = msg
                self._note_accounts(msg)
        self.trades.put(msg)

    def _note_accounts(self, state: EmsState) -> None:
        """Take over which accounts there are, in a session that may use any."""
        if self._mode == "live" and self.fqme:
            daemon = f"brokerd.{Fqme.parse(self.fqme).broker}"
            self.accounts = (*state.accounts.get(daemon, ()), PAPER)

    def _take_status(self, status: Status) -> None:
        self._seq = max(self._seq, status.seq)
        if status.resp in _ENDED:
            self.dialogs.pop(status.oid, None)
        elif status.req is not None:
            self.dialogs[status.oid] = status
        self._answer(("order", status.oid), status)
        if status.edit_id:
            self._answer(("edit", status.edit_id), status)
        if status.cancel_called or status.resp in _ENDED:
            self._answer(("cancel", status.oid), status)

    def _answer(self, key: _Key, msg: Status | Error) -> None:
        asked = self._asked.pop(key, None)
        if asked is not None:
            asked.answer = msg
            asked.done.set()

    def _begin(self, init: EmsInit, *, is_first: bool) -> None:
        """Take how things stand when emsd is there, or is back."""
        self.fqme, self.accounts, self.state = init.fqme, init.accounts, init.state
        self.positions.clear()
        for position in init.positions:
            self.positions[position.account, position.symbol] = position
        if not is_first:
            self.trades.put(EmsUp(missed=len(init.missed), time_ns=time.time_ns()))
        for status in init.missed:
            self._take(status)
        self.dialogs.clear()
        for status in init.dialogs:
            self._take_status(status)
        self._seq = max(self._seq, init.seq)

    async def run(
        self,
        fqme: str,
        mode: Literal["paper", "live"],
        task_status: Any = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Hold the line to emsd, for ever; before it was up once, errors come out."""
        self._mode = mode
        give_up_at = trio.current_time() + OPEN_DEADLINE_S
        was_up, tries = False, 0
        while True:
            try:
                async with self._dialog(fqme, mode, is_back=was_up) as opened:
                    self._begin(opened[0], is_first=not was_up)
                    task_status.started()
                    task_status = trio.TASK_STATUS_IGNORED
                    was_up, tries = True, 0
                    await self._relay(opened[1])
            except PikerError as err:
                passes = isinstance(err, _PASSING) and trio.current_time() <= give_up_at
                if not (was_up or passes):
                    raise
                if was_up and not tries:
                    self._note_down(err)
            await trio.sleep(_RETRY_S[min(tries, len(_RETRY_S) - 1)])
            tries += 1

    def _note_down(self, err: PikerError) -> None:
        log.warning("lost emsd: %s", err)
        self.trades.put(EmsDown(reason=str(err), time_ns=time.time_ns()))

    @asynccontextmanager
    async def _dialog(
        self, fqme: str, mode: str, *, is_back: bool
    ) -> AsyncIterator[tuple[EmsInit, Any]]:
        async with (
            maybe_spawn_emsd() as portal,
            open_context(
                portal,
                open_order_dialog,
                fqme=fqme,
                mode=mode,
                after_seq=self._seq,
                is_back=is_back,
                start_deadline_s=_START_DEADLINE_S,
            ) as (ctx, init),
            ctx.open_stream() as stream,
        ):
            yield init, stream

    async def _relay(self, stream: MsgStream[EmsMsg | list[EmsMsg]]) -> None:
        async with collapse_eg(), trio.open_nursery() as tasks:
            tasks.start_soon(self._send_all, stream)
            async for told in stream:
                for msg in each_of(told):
                    self._take(msg)
            tasks.cancel_scope.cancel()
        raise TransportClosed("emsd ended the dialog")


def _edit(
    oid: str, price: Decimal | None, size: Decimal | None, trigger: Decimal | None
) -> Edit:
    edit_id = secrets.token_hex(8)
    return Edit(oid=oid, edit_id=edit_id, price=price, size=size, trigger=trigger)


def new_oid() -> str:
    """Return an id for a new order: unique, and later ones sort behind earlier ones."""
    return f"{time.time_ns():x}-{secrets.token_hex(4)}"


Ems = tuple[
    OrderClient,
    TradesStream,
    dict[tuple[str, str], BrokerdPosition],
    tuple[str, ...],
    dict[str, Status],
]


@asynccontextmanager
async def open_ems(
    fqme: str = "",
    mode: Literal["paper", "live"] = "paper",
    *,
    after_seq: int = 0,
) -> AsyncIterator[Ems]:
    """Trade: send orders, and hear of all orders.

    Args:
      fqme: full or short name of a market, up and watched then; empty for none yet.
      mode: ``live`` orders go to accounts at brokers; ``paper`` sessions send none.
      after_seq: serial of the last status heard in an earlier session; 0: some of the
        newest; -1: none of what was told before.

    Yields: the client; its stream; positions by (account, market); accounts, as they
      are now; open orders by oid. The dicts are kept up to date, and so is what the
      client has.

    Raises:
      BadFqme, BrokerNotFound, SymbolNotFound: names that lead nowhere.
      UsageError: the broker takes no live orders.
      ServiceQuarantined, ServiceStopped, RegistryUnreachable: no emsd to be had.
      PikerError: what emsd, or the order daemon, refuses with.
    """
    if mode not in ("paper", "live"):
        raise UsageError(f"a mode is paper or live, got {mode!r}")
    client = OrderClient(_seq=after_seq)
    async with collapse_eg(), trio.open_nursery() as tasks:
        await tasks.start(client.run, fqme, mode)
        yield client, client.trades, client.positions, client.accounts, client.dialogs
        tasks.cancel_scope.cancel()


async def halt(reason: str = "") -> EmsState:
    """Halt trading: cancel what is at brokers, fire nothing; it outlives emsd.

    Args:
      reason: one sentence.

    Returns: how things stand then.
    Raises: JournalFull; what keeps emsd from being had, as of :func:`open_ems`.
    """
    async with maybe_spawn_emsd() as portal:
        state: EmsState = await call_endpoint(portal, halt_trading, reason=reason)
    return state


async def resume() -> EmsState:
    """Trade again; returns how things stand then. Raises as :func:`halt` does."""
    async with maybe_spawn_emsd() as portal:
        state: EmsState = await call_endpoint(portal, resume_trading)
    return state
