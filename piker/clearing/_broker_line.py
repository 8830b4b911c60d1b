"""emsd's line to one order daemon: up, reconciled, lost, up again.

    find it | Reconcile: what became of what is open | requests, answers | (lost: wait)

What is asked while the line is down isn't kept: the order's own state says what is
under way, and the answers to Reconcile whether it arrived.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from typing import Final, Literal

import trio

from piker.errors import DeadlineExceeded, PikerError, TransportClosed
from piker.log import get_logger
from piker.msgs import (
    BrokerdError,
    BrokerdFill,
    BrokerdMsg,
    BrokerdOrderAck,
    BrokerdPosition,
    BrokerdRequest,
    BrokerdStatus,
    DialogInit,
    Reconcile,
    Reconciled,
    Status,
)
from piker.service import MsgStream

from ._batches import each_of
from ._dialog import Dialog
from ._fates import Fate, dest_of, happening_of, request_of
from ._router import Router

log = get_logger(__name__)

_RETRY_S: Final = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
#: An order daemon that does not start is waited for so long by who needs it first.
READY_DEADLINE_S: Final = 40.0
_PASSING: Final = (TransportClosed, DeadlineExceeded)

#: What a daemon says: one message, or what happened together.
BrokerStream = MsgStream[BrokerdMsg | list[BrokerdMsg]]
#: What opens a dialog with the daemon: yields what it started with, and the stream.
OpenDialog = Callable[[], AbstractAsyncContextManager[tuple[DialogInit, BrokerStream]]]


@dataclass(eq=False)
class BrokerLine:
    """The line to one order daemon.

    Attributes:
      dest: its name, e.g. ``paperboi.sim``.
      router: whose orders these are.
      open_dialog: opens a dialog with it.
      changed: called when the line comes up or is lost.
      accounts: that it takes orders for, once it was up.
      down: why it is down, empty if it isn't.
      positions: by account and market, the newest told.
    """

    dest: str
    router: Router
    open_dialog: OpenDialog
    changed: Callable[[], None]
    accounts: tuple[str, ...] = ()
    down: str = "not up yet"
    positions: dict[tuple[str, str], BrokerdPosition] = field(default_factory=dict)
    _out: list[BrokerdRequest] = field(default_factory=list)
    _wake: trio.Event = field(default_factory=trio.Event)
    _settled: trio.Event = field(default_factory=trio.Event)
    _refusal: PikerError | None = None
    _reconciling: set[str] = field(default_factory=set)
    _seqs: dict[str, int] = field(default_factory=dict)

    # -- what goes out --------------------------------------------------------

    def request(self, dialog: Dialog, what: Literal["order", "edit", "cancel"]) -> None:
        """Ask for something, if the line is up."""
        if not self.down:
            self._put(request_of(dialog, what, time.time_ns()))

    def _put(self, request: BrokerdRequest) -> None:
        self._out.append(request)
        self._wake.set()

    async def _send_all(self, stream: BrokerStream) -> None:
        with suppress(TransportClosed):  # who receives is told why
            while True:
                while self._out:
                    batch, self._out = self._out, []
                    for request in batch:
                        await stream.send(request)
                await self._wake.wait()
                self._wake = trio.Event()

    # -- its life -------------------------------------------------------------

    async def ready(self) -> None:
        """Wait until it is up; raises what it refuses to start with."""
        with trio.move_on_after(READY_DEADLINE_S):
            while self.down:
                if self._refusal is not None:
                    raise self._refusal
                await self._settled.wait()
            return
        raise DeadlineExceeded(
            f"{self.dest!r} was not up in {READY_DEADLINE_S:g} s: {self.down}"
        )

    async def run(self) -> None:
        """Hold the line, for ever."""
        tries = 0
        while True:
            was_up = False
            try:
                async with self.open_dialog() as (init, stream):
                    self._note_up(init)
                    was_up = True
                    await self._relay(stream)
                why: PikerError = TransportClosed(f"{self.dest!r} ended the dialog")
            except PikerError as err:
                why = err
            self._note_down(why)
            tries = 0 if was_up else tries + 1
            await trio.sleep(_RETRY_S[min(tries, len(_RETRY_S) - 1)])

    async def _relay(self, stream: BrokerStream) -> None:
        async with trio.open_nursery() as tasks:
            tasks.start_soon(self._send_all, stream)
            async for told in stream:
                with self.router.together():
                    for msg in each_of(told):
                        self.take(msg)
            tasks.cancel_scope.cancel()

    def _note_up(self, init: DialogInit) -> None:
        self.accounts, self.down, self._refusal = init.accounts, "", None
        self._out.clear()
        for key in [key for key in self.positions if key[0] in init.accounts]:
            del self.positions[key]
            self.router.held.pop(key, None)
        for position in init.positions:
            self._hold(position)
            self.router.outlets.tell(position)
        for account in init.accounts:
            self._ask(account, init.seqs.get(account, 0))
        log.info("%s is up accounts=%s", self.dest, ",".join(init.accounts))
        self._settle()

    def _note_down(self, err: PikerError) -> None:
        passes = isinstance(err, _PASSING)
        if not self.down or not passes:
            log.warning("lost %s: %s", self.dest, err)
        self.down = str(err) or "it is gone"
        self._refusal = None if passes else err
        self._reconciling.clear()
        self._settle()

    def _settle(self) -> None:
        self._settled.set()
        self._settled = trio.Event()
        self.changed()

    # -- what comes in --------------------------------------------------------

    def take(self, msg: BrokerdMsg) -> None:
        """Take what the daemon says."""
        match msg:
            case BrokerdPosition():
                self._hold(msg)
                self.router.outlets.tell(msg)
            case Reconciled():
                self._reconciling.discard(msg.account)
                log.info("%s is reconciled account=%s", self.dest, msg.account)
            case BrokerdFill():
                self._take_fill(msg)
            case BrokerdOrderAck() | BrokerdStatus() | BrokerdError():
                self._take_fate(msg)

    def _hold(self, position: BrokerdPosition) -> None:
        key = (position.account, position.symbol)
        self.positions[key] = position
        self.router.held[key] = position.size

    def _ask(self, account: str, newest: int) -> None:
        """Ask what became of what is open, and for the fills that aren't known."""
        oids = tuple(
            dialog.oid
            for dialog in self.router.dialogs.values()
            if dialog.state != "dark" and self._is_ours(dialog, account)
        )
        known = self.router.journal.note(self._key(account), int, -1)
        if known < 0:
            # of a ledger that emsd never heard of, only what is to come is news
            known = 0 if oids else newest
        self._seqs[account] = known
        self._reconciling.add(account)
        self._put(Reconcile(account=account, after_seq=known, oids=oids))

    def _is_ours(self, dialog: Dialog, account: str) -> bool:
        order = dialog.order
        return order.account == account and dest_of(order) == self.dest

    def _key(self, account: str) -> str:
        return f"fills/{self.dest}/{account}"

    def _take_fill(self, fill: BrokerdFill) -> None:
        """Book a fill, each once and in order: by its serial in the ledger."""
        known = self._seqs.get(fill.account, 0)
        if fill.seq <= known:
            return
        if fill.seq > known + 1:
            log.warning(
                "%s told fill %s after %s: asking again", self.dest, fill.seq, known
            )
            if fill.account not in self._reconciling:
                self._ask(fill.account, known)
            return
        self._seqs[fill.account] = fill.seq
        self.router.note(self._key(fill.account), fill.seq)
        self._take_fate(fill)

    def _take_fate(self, msg: Fate) -> None:
        dialog = self.router.find(msg.oid) if msg.oid else None
        if dialog is None:
            self._tell_of_stranger(msg)
            return
        account = dialog.order.account
        event = happening_of(msg, is_answer=account in self._reconciling)
        if event is not None:
            self.router.apply(dialog, event)

    def _tell_of_stranger(self, msg: Fate) -> None:
        """Tell of an order that didn't come from here, as far as it can be told."""
        match msg:
            case BrokerdFill():
                told = Status(
                    seq=0,
                    time_ns=msg.time_ns,
                    oid=msg.oid or msg.reqid,
                    resp="fill",
                    reqid=msg.reqid,
                    src=self.dest,
                    filled=msg.size,
                    reason="an order from elsewhere",
                    fill=msg,
                )
                self.router.outlets.tell(told)
            case BrokerdStatus(status="open"):
                told = Status(
                    seq=0,
                    time_ns=msg.time_ns,
                    oid=msg.oid or msg.reqid,
                    resp="open",
                    reqid=msg.reqid,
                    src=self.dest,
                    filled=msg.filled,
                    reason="an order from elsewhere",
                )
                self.router.outlets.tell(told)
            case _:
                log.warning("%s speaks of an unknown order: %s", self.dest, msg)
