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
from typing import Any, Final, Literal

import trio

from piker.errors import DeadlineExceeded, PikerError, TransportClosed
from piker.log import get_logger
from piker.msgs import (
    PAPER,
    BrokerdError,
    BrokerdFill,
    BrokerdMsg,
    BrokerdOrderAck,
    BrokerdPosition,
    BrokerdRequest,
    BrokerdStatus,
    DialogInit,
    Order,
    Reconcile,
    Reconciled,
    Status,
    each_of,
    stranger_oid,
)
from piker.service import MsgStream, collapse_eg
from piker.types import Struct

from ._dialog import Dialog
from ._fates import Fate, dest_of, happening_of, open_order_of, request_of
from ._router import Router

log = get_logger(__name__)

_RETRY_S: Final = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
#: An order daemon that does not start is waited for so long by who needs it first.
READY_DEADLINE_S: Final = 40.0
_PASSING: Final = (TransportClosed, DeadlineExceeded)

#: What a daemon says: one message, or what happened together.
BrokerStream = MsgStream[BrokerdMsg | list[BrokerdMsg]]
#: Trade ids of an account that are remembered.
_TIDS_KEPT: Final = 16

#: What opens a dialog with the daemon: yields what it started with, and the stream.
OpenDialog = Callable[[], AbstractAsyncContextManager[tuple[DialogInit, BrokerStream]]]


class _Seen(Struct, frozen=True, kw_only=True):
    """Which fills of an account are booked.

    Attributes:
      seq: serial of the newest, -1 if nothing is known.
      tids: trade ids of some, the newest.
    """

    seq: int
    tids: tuple[str, ...] = ()


@dataclass(eq=False)
class _Asked:
    """A Reconcile that isn't answered.

    Attributes:
      newest: serial of the newest trade in the ledger when it was asked.
      booked: serial of the newest fill that was booked since, and was news.
      early: fills newer than *newest*, which may come before those that were missed.
    """

    newest: int
    booked: int = 0
    early: list[BrokerdFill] = field(default_factory=list)


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
    _reconciling: dict[str, _Asked] = field(default_factory=dict)
    _seen: dict[str, _Seen] = field(default_factory=dict)

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
        async with collapse_eg(), trio.open_nursery() as tasks:
            tasks.start_soon(self._send_all, stream)
            async for told in stream:
                with self.router.together():
                    for msg in each_of(told):
                        self.take(msg)
            tasks.cancel_scope.cancel()

    def _note_up(self, init: DialogInit) -> None:
        self.down, self._refusal = "", None
        self.accounts = tuple(name for name in init.accounts if self._may_have(name))
        if self.accounts != init.accounts:
            log.error("%s claims the accounts %s", self.dest, init.accounts)
        self._out.clear()
        self._note_shut(init)
        for key in [key for key in self.positions if key[0] in self.accounts]:
            del self.positions[key]
            self.router.held.pop(key, None)
        for position in init.positions:
            if self._hold(position):
                self.router.outlets.tell(position)
        self.router.settled.add(self.dest)
        for account in self.accounts:
            self._ask(account, init.seqs.get(account, 0))
        log.info("%s is up accounts=%s", self.dest, ",".join(init.accounts))
        self._settle()

    def _note_shut(self, init: DialogInit) -> None:
        """Keep why accounts can't be used, for who sends an order there."""
        shut = self.router.shut
        for account in [name for name in shut if self._may_have(name)]:
            del shut[account]
        shut |= {name: why for name, why in init.shut.items() if self._may_have(name)}

    def _note_down(self, err: PikerError) -> None:
        passes = isinstance(err, _PASSING)
        if not self.down or not passes:
            log.warning("lost %s: %s", self.dest, err)
        self.down = str(err) or "it is gone"
        self._refusal = None if passes else err
        self._reconciling.clear()
        self.router.settled.discard(self.dest)
        self._settle()

    def _may_adopt(self, msg: BrokerdStatus) -> bool:
        """Tell whether an open order is one from elsewhere that can be looked after."""
        is_named = msg.oid == stranger_oid(msg.account, msg.reqid)
        sizes = (msg.size, msg.filled, msg.price, msg.trigger)
        return (
            is_named
            and msg.account in self.accounts
            and all(each.is_finite() for each in sizes)
            and 0 <= msg.filled < msg.size
            and min(msg.price, msg.trigger) >= 0
            and max(msg.price, msg.trigger) > 0
        )

    def _adopt(self, msg: BrokerdStatus) -> None:
        broker = msg.account.partition(".")[0]
        order = Order(
            oid=msg.oid,
            action=msg.action,
            symbol=f"{msg.symbol}.{broker}",
            size=msg.size,
            account=msg.account,
            price=msg.price or None,
            otype="limit" if msg.price else "market",
            trigger=msg.trigger or None,
        )
        self.router.adopt(order, msg.reqid, msg.filled)

    def _may_have(self, account: str) -> bool:
        """Tell whether an account is one that this daemon may speak of."""
        kind, _, broker = self.dest.partition(".")
        if kind == "paperboi":
            return account == PAPER
        return account.startswith(f"{broker}.")

    def _settle(self) -> None:
        self._settled.set()
        self._settled = trio.Event()
        self.changed()

    # -- what comes in --------------------------------------------------------

    def take(self, msg: BrokerdMsg) -> None:
        """Take what the daemon says."""
        match msg:
            case BrokerdPosition():
                if self._hold(msg):
                    self.router.outlets.tell(msg)
            case Reconciled():
                self._take_reconciled(msg)
                log.info("%s is reconciled account=%s", self.dest, msg.account)
            case BrokerdFill():
                self._take_fill(msg)
            case BrokerdOrderAck() | BrokerdStatus() | BrokerdError():
                self._take_fate(msg)

    def _hold(self, position: BrokerdPosition) -> bool:
        """Take a position, and tell whether it is one to be believed."""
        if position.account not in self.accounts or not position.size.is_finite():
            log.error("%s told an odd position: %s", self.dest, position)
            return False
        key = (position.account, position.symbol)
        self.positions[key] = position
        self.router.held[key] = position.size
        return True

    def _ask(self, account: str, newest: int) -> None:
        """Ask what became of what is open, and for the fills that aren't known.

        Args:
          account: which.
          newest: serial of the newest trade in its ledger.
        """
        ours = [
            dialog
            for dialog in self.router.dialogs.values()
            if dialog.state != "dark" and self._is_ours(dialog, account)
        ]
        oids = tuple(dialog.oid for dialog in ours)
        seen = self._seen_of(account)
        if seen.seq < 0:
            # of a ledger that emsd never heard of, only what is to come is news
            seen = _Seen(seq=0 if oids else newest)
        elif newest < seen.seq:
            log.warning("the ledger of %s has lost trades that were told", account)
            seen = _Seen(seq=newest, tids=seen.tids)
        self._seen[account] = seen
        self._reconciling[account] = _Asked(newest)
        orders = {}
        if account != PAPER:  # a paper engine knows its own
            orders = {dialog.oid: open_order_of(dialog) for dialog in ours}
        self._put(
            Reconcile(account=account, after_seq=seen.seq, oids=oids, orders=orders)
        )

    def _seen_of(self, account: str) -> _Seen:
        found: _Seen = self._seen.get(account) or self.router.journal.note(
            self._key(account), _Seen, _Seen(seq=-1)
        )
        return found

    def _note_seen(self, account: str, seq: int, tid: str = "") -> None:
        tids = self._seen_of(account).tids
        if tid:
            tids = (*tids, tid)[-_TIDS_KEPT:]
        seen = self._seen[account] = _Seen(seq=seq, tids=tids)
        self.router.note(self._key(account), seen)

    def _is_ours(self, dialog: Dialog, account: str) -> bool:
        order = dialog.order
        return order.account == account and dest_of(order) == self.dest

    def _key(self, account: str) -> str:
        return f"fills/{self.dest}/{account}"

    def _take_fill(self, fill: BrokerdFill) -> None:
        """Book a fill, once and in its turn."""
        if fill.account not in self.accounts:
            log.error("%s told a fill of another's account: %s", self.dest, fill)
            return
        seen = self._seen_of(fill.account)
        asked = self._reconciling.get(fill.account)
        if fill.seq <= seen.seq + 1:
            self._book(fill)
        elif asked is None:
            log.warning(
                "%s told fill %s after %s: asking again", self.dest, fill.seq, seen.seq
            )
            self._ask(fill.account, fill.seq)
        elif fill.seq > asked.newest:
            asked.early.append(fill)
        else:
            self._book(fill)

    def _take_reconciled(self, msg: Reconciled) -> None:
        asked = self._reconciling.pop(msg.account, None) or _Asked(newest=msg.seq)
        early = sorted(asked.early, key=lambda fill: fill.seq)
        for fill in early:
            if fill.seq <= msg.seq:
                self._book(fill)
        self._note_seen(msg.account, max(msg.seq, asked.booked))
        for fill in early:
            self._take_fill(fill)

    def _book(self, fill: BrokerdFill) -> None:
        """Book a fill, once: by its serial in the ledger, and by its trade id.

        Serials only need to rise while what was missed is told: a ledger has more than
        fills, and whoever edits it by hand moves them.
        """
        seen = self._seen_of(fill.account)
        if fill.seq <= seen.seq:
            return
        self._note_seen(fill.account, fill.seq, fill.tid)
        if fill.tid in seen.tids:
            log.warning("%s told fill %s again: its serial moved", self.dest, fill.tid)
            return
        if fill.account in self._reconciling:
            self._reconciling[fill.account].booked = fill.seq
        if not (fill.size.is_finite() and fill.size > 0 and fill.cost.is_finite()):
            log.error("%s told an odd fill: %s", self.dest, fill)
        else:
            self._take_fate(fill)

    def _take_fate(self, msg: Fate) -> None:
        dialog = self.router.find(msg.oid) if msg.oid else None
        if dialog is None:
            self._tell_of_stranger(msg)
            return
        account = dialog.order.account
        if not self._is_ours(dialog, account):
            log.error("%s speaks of another's order: %s", self.dest, msg)
            return
        event = happening_of(msg, is_answer=account in self._reconciling)
        if event is not None:
            self.router.apply(dialog, event)

    def _tell_of_stranger(self, msg: Fate) -> None:
        """Look after an order that didn't come from here; tell of what is over."""
        how: dict[str, Any]
        match msg:
            case BrokerdStatus(status="open") if self._may_adopt(msg):
                self._adopt(msg)
                return
            case BrokerdFill():
                how = {"resp": "fill", "filled": msg.size, "fill": msg}
            case BrokerdStatus(status="open"):
                how = {"resp": "open", "filled": msg.filled}
            case _:
                log.warning("%s speaks of an unknown order: %s", self.dest, msg)
                return
        self.router.outlets.tell(
            Status(
                seq=0,
                time_ns=msg.time_ns,
                oid=msg.oid or msg.reqid,
                reqid=msg.reqid,
                src=self.dest,
                reason="an order from elsewhere",
                **how,
            )
        )
