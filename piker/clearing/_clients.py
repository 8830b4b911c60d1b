"""One client of emsd: what it asks is handed to the router, what is told to it."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec
import trio

from piker.brokers import check_broker
from piker.errors import PikerError
from piker.msgs import (
    PAPER,
    Cancel,
    ClientMsg,
    Edit,
    EmsInit,
    Error,
    Fqme,
    Order,
    Status,
)
from piker.service import Context, MsgStream, collapse_eg

from ._dialog import Tell, resp_of
from ._ems import Ems, current_ems, live_dialog_of
from ._fanout import Mailbox
from ._fates import dest_of
from ._journal import view_journal
from ._router import Accounts, Origin
from ._statuses import status_of

#: Things told before that a client which comes for the first time hears of, at most;
#: and one that comes back.
NEWS_MAX: Final = 1000
MISSED_MAX: Final = 50_000
#: Seconds that an edit waits for its order's market to be seen: of an emsd that has
#: just begun none is. A client waits longer for its answer.
SEEN_DEADLINE_S: Final = 10.0


async def serve_client(
    ctx: Context,
    ems: Ems,
    fqme: str,
    mode: Literal["paper", "live"],
    after_seq: int,
    *,
    is_back: bool,
) -> None:
    """Be the body of ``open_order_dialog``."""
    full, accounts = await _session(ems, fqme, mode, is_back=is_back)
    missed = await _missed(ems, after_seq)
    current_ems()  # may have ended meanwhile, and its journal is closed then
    # What is told from here on is in the mailbox, or was in what started() says.
    box = Mailbox()
    init = _init(ems, full, accounts(), after_seq, missed)
    box.after_seq = init.seq
    with ems.session(full):
        await _serve(ctx, ems, init, box, Origin(box.put, accounts))


async def _serve(
    ctx: Context, ems: Ems, init: EmsInit, box: Mailbox, origin: Origin
) -> None:
    ems.fanout.clients.add(box)
    try:
        await _sync(ems)  # told is what is on the disk
        await ctx.started(init)
        async with (
            ctx.open_stream() as stream,
            collapse_eg(),
            trio.open_nursery() as tasks,
        ):
            tasks.start_soon(box.send_to, stream)
            await _Client(ems, origin, tasks).obey(stream)
            tasks.cancel_scope.cancel()
    finally:
        ems.fanout.clients.discard(box)


async def _sync(ems: Ems) -> None:
    try:
        await ems.journal.sync()
    except OSError:
        current_ems()  # raises that it has ended, if that is why
        raise


async def _session(
    ems: Ems, fqme: str, mode: str, *, is_back: bool
) -> tuple[str, Accounts]:
    """Return the full name of a market, and what tells the accounts there are by then.

    The market is watched then; the order daemon is up too, unless the client was here
    before: it is served as soon as can be, and told of positions when they are known.
    """
    if not fqme:
        return "", lambda: (PAPER,)
    broker = Fqme.parse(fqme).broker
    check_broker(broker)
    kind = "paperboi"
    if mode == "live":
        live_dialog_of(broker)  # a line that can't ever be up isn't held
        kind = "brokerd"
    line = ems.line(f"{kind}.{broker}")  # it starts while the market is opened
    watch = await ems.watch(fqme)
    if not is_back or mode == "live":
        await line.ready()
    if mode == "paper":
        return watch.fqme, lambda: (PAPER,)
    return watch.fqme, lambda: (*line.accounts, PAPER)


async def _missed(ems: Ems, after_seq: int) -> list[Status]:
    """Return what a client missed; of what may be much, all but the very newest."""
    if after_seq < 0:
        return []

    def read() -> list[Status]:
        with view_journal(ems.journal.path) as journal:
            return journal.tells_since(after_seq, _most(after_seq))

    return await trio.to_thread.run_sync(read)


def _most(after_seq: int) -> int:
    return MISSED_MAX if after_seq else NEWS_MAX


def _init(
    ems: Ems,
    fqme: str,
    accounts: tuple[str, ...],
    after_seq: int,
    missed: list[Status],
) -> EmsInit:
    if after_seq >= 0:  # and what was told while that was read
        most = _most(after_seq)
        newest_seq = missed[-1].seq if missed else after_seq
        missed = [*missed, *ems.journal.tells_since(newest_seq, most)][-most:]
    positions = [
        position
        for line in ems.lines.values()
        for position in line.positions.values()
        if position.size
    ]
    dialogs = [
        status_of(one, Tell(resp=resp_of(one), reason=one.why), 0)
        for one in ems.router.dialogs.values()
    ]
    return EmsInit(
        fqme=fqme,
        accounts=accounts,
        positions=tuple(positions),
        dialogs=tuple(dialogs),
        missed=tuple(missed),
        seq=ems.journal.seq,
        state=ems.state(),
    )


@dataclass(eq=False)
class _Client:
    """What one client asks."""

    ems: Ems
    origin: Origin
    tasks: trio.Nursery
    _dropped: dict[str, bool] = field(default_factory=dict)
    _edits: dict[str, list[Edit]] = field(default_factory=dict)  # by market, in order

    async def obey(self, stream: MsgStream[ClientMsg]) -> None:
        """Do what the client asks, until it leaves."""
        async for msg in stream:
            current_ems()  # while it ends it takes no more, and its journal is closed
            if isinstance(msg, Order):
                self._order(msg)
            elif isinstance(msg, Cancel) and msg.oid in self._dropped:
                self._drop(msg)
            elif isinstance(msg, Edit) and (unseen := self._unseen(msg)):
                self._edit_once_seen(msg, unseen)
            else:
                self.ems.router.command(msg, self.origin)

    def _order(self, order: Order) -> None:
        """Take an order, at once if its market is watched already."""
        watch = self.ems.watches.get(order.symbol)
        if watch is not None and watch.state is not None:
            self._submit(order, watch.fqme)
        else:
            self.tasks.start_soon(self._order_later, order)

    async def _order_later(self, order: Order) -> None:
        self._dropped.setdefault(order.oid, False)
        try:
            watch = await self.ems.watch(order.symbol)
        except PikerError as err:
            self._dropped.pop(order.oid, None)
            self._refuse(order, str(err))
            return
        current_ems()
        if self._dropped.pop(order.oid, False):
            self._refuse(order, "it was cancelled before its market was opened")
        else:
            self._submit(order, watch.fqme)

    def _drop(self, cancel: Cancel) -> None:
        """Cancel an order that waits for its market: it is never taken."""
        self._dropped[cancel.oid] = True
        self.origin.refuse(
            Error(
                time_ns=time.time_ns(),
                oid=cancel.oid,
                request="cancel",
                reason="the order waits for its market and is dropped: there is none",
                gate="market",
            )
        )

    def _unseen(self, edit: Edit) -> str:
        """Return the market of a living order if edits wait for it, else none."""
        dialog = self.ems.router.dialogs.get(edit.oid)
        if dialog is None:
            return ""
        symbol = dialog.order.symbol
        # seen just now, those that waited for it are done before this one
        waits = symbol in self._edits or symbol not in self.ems.router.markets
        return symbol if waits else ""

    def _edit_once_seen(self, edit: Edit, symbol: str) -> None:
        """Edit an order once its market is seen, after the edits that wait for it."""
        if symbol in self._edits:
            self._edits[symbol].append(edit)
        else:
            self._edits[symbol] = [edit]
            self.tasks.start_soon(self._edit_later, symbol)

    async def _edit_later(self, symbol: str) -> None:
        with suppress(PikerError), trio.move_on_after(SEEN_DEADLINE_S):
            await self.ems.watch(symbol)
        current_ems()
        for edit in self._edits.pop(symbol):  # unseen still, they are refused
            self.ems.router.command(edit, self.origin)

    def _submit(self, order: Order, fqme: str) -> None:
        full = msgspec.structs.replace(order, symbol=fqme)
        if order.action != "alert" and order.account in self.origin.accounts():
            self.ems.line(dest_of(full))
        self.ems.router.command(full, self.origin)

    def _refuse(self, order: Order, reason: str) -> None:
        self.origin.refuse(
            Error(
                time_ns=time.time_ns(),
                oid=order.oid,
                request="order",
                reason=reason,
                gate="market",
            )
        )
