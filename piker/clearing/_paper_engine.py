"""The paper engine of one broker: who asks, which market it goes to, what is told.

    dialog --requests--> a desk a market --answers--> fills into the ledger --> dialog

A fill is in the ledger before it is told. Who comes next takes over: the dialog before
is ended. A dialog is told nothing until it asked what became of things (Reconcile).
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from types import ModuleType
from typing import Final

import msgspec
import trio

from piker import config
from piker.accounting import (
    Ledger,
    Position,
    Transaction,
    of_fill,
    open_ledger,
    position_for,
    to_fill,
    write_account,
)
from piker.data import get_eps
from piker.errors import (
    LedgerError,
    LedgerFull,
    ServiceError,
    StoreFull,
    TransportClosed,
)
from piker.log import get_logger
from piker.msgs import (
    PAPER,
    BrokerdCancel,
    BrokerdError,
    BrokerdFill,
    BrokerdMsg,
    BrokerdOrder,
    BrokerdOrderAck,
    BrokerdPosition,
    BrokerdRequest,
    BrokerdStatus,
    DialogInit,
    Reconcile,
    Reconciled,
    in_batches,
    refusal,
)
from piker.service import collapse_eg

from ._datasync import datasync
from ._paper_desk import Desk
from ._paper_dialog import Dialog, at_wall, of_ended, pending, unknown
from ._paper_rules import paper_rules
from ._paper_store import Batch, PaperStore

log = get_logger(__name__)

_RETRY_S: Final = 1.0
_SEND_DEADLINE_S: Final = 10.0
_CHECKPOINT_S: Final = 30.0
#: Statements that take less on the event loop than the way to a thread and back does.
_SMALL_BATCH: Final = 32


_Item = list[BrokerdMsg] | tuple[Dialog, Reconcile]


class PaperEngine:
    """All paper markets of one broker in this actor."""

    nursery: trio.Nursery

    def __init__(self, mod: ModuleType, ledger: Ledger, store: PaperStore) -> None:
        """Serve the backend *mod*; use `open_engine`."""
        self.broker = mod.__name__.rpartition(".")[2]
        self.instance = secrets.token_hex(8)
        self._ledger, self._store = ledger, store
        conf = config.load_config().paper
        get_cost = get_eps(mod, "paperboi").get("get_cost")
        self._rules = paper_rules(conf, self.broker, get_cost)
        self._positions: dict[str, Position] = ledger.positions()
        self._desks: dict[str, Desk] = {}
        self._where: dict[str, str] = {}
        self._told: dict[str, BrokerdStatus] = {}
        self._dialog: Dialog | None = None
        self._is_moved = False
        self._put, self._items = trio.open_memory_channel[_Item](math.inf)

    # -- life --------------------------------------------------------------------------

    async def restore(self) -> None:
        """Go on from what is on disk: what it led to is in the ledger then."""
        for saved in self._store.markets():
            desk = self._desk(saved.mkt.fqme)
            answers = desk.restore(saved)
            await self._book([msg for msg in answers if isinstance(msg, BrokerdFill)])
            desk.take_up()
            assert desk.market is not None
            for status in desk.market.open_orders():
                self._told[status.oid] = status
                self._where[status.oid] = desk.fqme
        await self._write()

    async def run(self) -> None:
        """Serve, for ever."""
        for desk in self._desks.values():
            self._wake(desk)
        self.nursery.start_soon(self._keep_store)
        await self._deliver()

    async def _keep_store(self) -> None:
        """Carry what is on disk from SQLite's log into its main file now and then."""
        while True:
            await trio.sleep(_CHECKPOINT_S)
            await trio.to_thread.run_sync(self._store.checkpoint)

    def write_account(self) -> None:
        """Write the account file anew, from what was booked."""
        if self._is_moved:
            with suppress(LedgerError):  # it can be made from the ledger at any time
                write_account(self._ledger)

    def doing(self) -> str:
        """Return one sentence on what it is doing."""
        live = {desk.fqme: desk.live for desk in self._desks.values() if desk.live}
        if not live:
            return ""
        return f"{sum(live.values())} paper orders in {', '.join(sorted(live))}"

    def _desk(self, fqme: str) -> Desk:
        if fqme not in self._desks:
            self._desks[fqme] = Desk(
                fqme, self._rules, self._store, self._put.send_nowait, self._held
            )
        return self._desks[fqme]

    def _wake(self, desk: Desk) -> None:
        if desk.is_busy and not desk.is_running:
            desk.is_running = True
            self.nursery.start_soon(desk.run)

    def _held(self, fqme: str) -> Decimal:
        position = self._positions.get(fqme)
        return position.size if position else Decimal(0)

    # -- dialogs -----------------------------------------------------------------------

    @asynccontextmanager
    async def open_dialog(self) -> AsyncIterator[tuple[Dialog, DialogInit]]:
        """Be the one who asks, for the length of the block, or until the next comes."""
        while self._dialog is not None:
            self._dialog.scope.cancel()
            await self._dialog.gone.wait()
        self._dialog = dialog = Dialog()
        try:
            with dialog.scope:
                yield dialog, self._init()
        finally:
            self._dialog = None
            dialog.gone.set()

    def _init(self) -> DialogInit:
        return DialogInit(
            accounts=(PAPER,),
            positions=tuple(
                self._position(fqme)
                for fqme, position in self._positions.items()
                if not position.is_flat
            ),
            instance=self.instance,
            seqs={PAPER: self._ledger.seq},
        )

    def _position(self, fqme: str) -> BrokerdPosition:
        return self._positions[fqme].to_msg(self.broker, PAPER)

    def ask(self, dialog: Dialog, request: BrokerdRequest) -> None:
        """Take a request; it is answered by and by."""
        if isinstance(request, Reconcile):
            self._put.send_nowait((dialog, request))
        elif isinstance(request, BrokerdCancel):
            self._ask_cancel(request)
        else:
            self._ask_order(request)

    def _ask_order(self, request: BrokerdOrder) -> None:
        ended = self._store.ended(request.oid)
        if ended is not None:
            self._put.send_nowait(of_ended(request, ended))
            return
        fqme = self._where.get(request.oid, "")
        if request.rev and not fqme:
            why = f"no order {request.oid!r} is known that could be changed"
            self._put.send_nowait([refusal(request, why)])
            return
        if fqme not in self._desks or not self._desks[fqme].knows(request.oid):
            fqme = f"{request.symbol}.{self.broker}"
            self._where[request.oid] = fqme
        desk = self._desk(fqme)
        desk.ask(request)
        self._wake(desk)

    def _ask_cancel(self, request: BrokerdCancel) -> None:
        fqme = self._where.get(request.oid)
        if fqme is not None:
            desk = self._desk(fqme)
            desk.ask(request)
            self._wake(desk)
            return
        ended = self._store.ended(request.oid)
        if ended is not None and ended.status.status == "canceled":
            self._put.send_nowait([ended.status])
            return
        how = (
            f"order {request.oid!r} is {ended.status.status}"
            if ended
            else (f"no order {request.oid!r} is known")
        )
        error = BrokerdError(reason=how, request="cancel", oid=request.oid)
        self._put.send_nowait([error])

    # -- what is told ------------------------------------------------------------------

    async def _deliver(self) -> None:
        """Book fills and tell what happened, in order, all that is there at once."""
        while True:
            items = [await self._items.receive()]
            while self._items.statistics().current_buffer_used:
                items.append(self._items.receive_nowait())
            told = [msg for item in items if isinstance(item, list) for msg in item]
            await self._write([msg for msg in told if isinstance(msg, BrokerdFill)])
            answers: list[BrokerdMsg] = []
            for item in items:
                if isinstance(item, list):
                    answers += item
                    continue
                await self._tell(answers)
                answers = []
                await self._reconcile(*item)
            await self._tell(answers)
            await self._tidy()

    async def _tidy(self) -> None:
        """Be rid of inputs whose fills are booked: of all, where nothing waits."""
        if self._items.statistics().current_buffer_used:
            return
        for desk in self._desks.values():
            desk.rotate()
        await self._write()

    async def _write(self, fills: Sequence[BrokerdFill] = ()) -> None:
        """Put on disk what was noted, before what it led to is told; and its *fills*.

        Those are booked later where the ledger has no room now.
        """
        batch, txns = self._store.take(), self._fresh(fills)
        while batch or txns:
            try:
                await self._put_on_disk(batch, txns)
            except StoreFull as e:
                log.error("what happened to orders waits: %s", e)  # noqa: TRY400
                await trio.sleep(_RETRY_S)
            except LedgerFull:
                return
            else:
                self._move(txns)
                return

    async def _put_on_disk(self, batch: Batch, txns: Sequence[Transaction]) -> None:
        if len(batch) <= _SMALL_BATCH:
            self._store.write(batch)
        else:
            await trio.to_thread.run_sync(self._store.write, batch)
        await self._append(txns)

    async def _append(self, txns: Sequence[Transaction]) -> None:
        with self._ledger.appending(*txns) as fd:
            if fd is not None:
                await datasync(fd)

    def _fresh(self, fills: Sequence[BrokerdFill]) -> list[Transaction]:
        """Return *fills* as they are booked, less those that are in the ledger."""
        fresh = [fill for fill in fills if self._ledger.seq_of(fill.tid) is None]
        return [self._txn_of(fill) for fill in fresh]

    def _move(self, txns: Sequence[Transaction]) -> None:
        """Count what was booked just now."""
        self._is_moved |= bool(txns)
        for txn in txns:
            if txn.fqme not in self._positions:
                self._positions[txn.fqme] = position_for(txn)
            self._positions[txn.fqme].add(txn, self._serial(txn.tid))

    def _serial(self, tid: str) -> int:
        seq = self._ledger.seq_of(tid)
        assert seq is not None, "it was booked"
        return seq

    async def _tell(self, answers: list[BrokerdMsg]) -> None:
        fills = [msg for msg in answers if isinstance(msg, BrokerdFill)]
        moved: dict[str, None] = {}
        told: list[BrokerdMsg] = []
        for msg in answers:
            if isinstance(msg, BrokerdFill) and self._fresh([msg]):
                # the ledger has no room: what came before the fill doesn't wait for it
                await self._send(*told)
                told.clear()
                await self._book(fills)
            self._note(msg)
            if isinstance(msg, BrokerdFill):
                moved[msg.symbol] = None
                told.append(at_wall(msg, seq=self._serial(msg.tid)))
            elif isinstance(msg, BrokerdStatus):
                told.append(at_wall(msg))
            else:
                told.append(msg)
        await self._send(*told, *(self._position(fqme) for fqme in moved))

    async def _book(self, fills: Sequence[BrokerdFill]) -> None:
        """Put fills into the ledger, once there is room.

        A fill that is there already, as of inputs that were played again, is there
        once.
        """
        txns = self._fresh(fills)
        while txns:
            try:
                await self._append(txns)
                break
            except LedgerFull as e:
                log.error("fills wait: %s", e)  # noqa: TRY400
                await trio.sleep(_RETRY_S)
        self._move(txns)

    def _txn_of(self, fill: BrokerdFill) -> Transaction:
        """Return what a fill writes into the ledger."""
        mkt = self._desks[fill.symbol].mkt
        assert mkt is not None, "it has orders"
        return of_fill(fill, mkt.multiplier, mkt.bs_mktid, inverse=mkt.is_inverse)

    def _note(self, msg: BrokerdMsg) -> None:
        """Keep what is told of each order that is open."""
        if isinstance(msg, BrokerdOrderAck) and msg.oid not in self._told:
            self._note_ack(msg)
        elif isinstance(msg, BrokerdStatus):
            self._told[msg.oid] = msg
            if msg.status in ("closed", "canceled"):
                del self._told[msg.oid]
                self._where.pop(msg.oid, None)
        elif isinstance(msg, BrokerdFill) and msg.oid in self._told:
            status = self._told[msg.oid]
            self._told[msg.oid] = msgspec.structs.replace(
                status,
                filled=status.filled + msg.size,
                remaining=status.remaining - msg.size,
            )
        elif isinstance(msg, BrokerdError) and msg.oid not in self._told:
            self._where.pop(msg.oid, None)

    def _note_ack(self, msg: BrokerdOrderAck) -> None:
        desk = self._desks.get(self._where.get(msg.oid, ""))
        if desk is None or desk.market is None or not desk.knows(msg.oid):
            return  # it is over already: that is told next
        self._told[msg.oid] = pending(desk.market.state.orders[msg.oid])

    async def _reconcile(self, dialog: Dialog, asked: Reconcile) -> None:
        if dialog is not self._dialog:
            return
        dialog.is_told = True
        now_ns = time.time_ns()
        for seq, txn in self._ledger.since(asked.after_seq):
            if txn.etype == "clear":
                await self._send(to_fill(txn, seq, PAPER, now_ns))
        for oid in (*asked.oids, *(self._told.keys() - set(asked.oids))):
            status = self._told.get(oid)
            if status is None:
                ended = self._store.ended(oid)
                status = ended.status if ended else self._waiting(oid)
            await self._send(at_wall(status))
        # what was filled since the dialog was opened moved them, and nobody was told
        await self._send(*map(self._position, self._positions))
        await self._send(Reconciled(account=PAPER, seq=self._ledger.seq))

    def _waiting(self, oid: str) -> BrokerdStatus:
        """Return how an order is told that nothing was told of yet.

        It came, and waits for its market to be opened; or it never came.
        """
        if oid not in self._where:
            return unknown(oid)
        return msgspec.structs.replace(unknown(oid), status="pending")

    async def _send(self, *msgs: BrokerdMsg) -> None:
        """Send to who asks now; one that is gone or stuck is let go."""
        for told in in_batches(msgs):
            dialog = self._dialog
            if dialog is None or dialog.stream is None or not dialog.is_told:
                return
            try:
                with trio.move_on_after(_SEND_DEADLINE_S) as scope:
                    await dialog.stream.send(told)
            except TransportClosed as e:
                log.info("dialog lost: %s", e)
                dialog.is_told = False
            if scope.cancelled_caught:
                log.warning("dialog takes nothing for %s s: ended", _SEND_DEADLINE_S)
                dialog.is_told = False
                dialog.scope.cancel()


_engine: PaperEngine | None = None


@asynccontextmanager
async def open_engine(mod: ModuleType) -> AsyncIterator[PaperEngine]:
    """Make a paper engine this actor's for the length of the block.

    Raises: LedgerError, e.g. another process writes it; StoreError.
    """
    global _engine  # noqa: PLW0603 - one engine per actor
    broker = mod.__name__.rpartition(".")[2]
    ledger = await trio.to_thread.run_sync(open_ledger, broker, PAPER)
    try:
        path = config.state_dir() / "paper" / f"{broker}.sqlite"
        store = PaperStore(path)
        try:
            engine = PaperEngine(mod, ledger, store)
            await engine.restore()
            try:
                async with collapse_eg(), trio.open_nursery() as engine.nursery:
                    _engine = engine
                    yield engine
                    engine.nursery.cancel_scope.cancel()
            finally:
                engine.write_account()
        finally:
            _engine = None
            store.close()
    finally:
        ledger.close()


def current_engine() -> PaperEngine:
    """Return this actor's engine; raises ServiceError outside paperboi."""
    if _engine is None:
        raise ServiceError("this process is not paperboi: it has no paper engine")
    return _engine
