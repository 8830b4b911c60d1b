"""emsd's tasks: who is connected to what, while :mod:`._router` decides.

    clients <--> Ems --Watch each market, BrokerLine each order daemon--> Router

All markets and lines are shared by all clients. What is told goes to every client, once
it is on the disk.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal

import trio
from msgspec.structs import replace

from piker import config
from piker.brokers import check_broker, get_brokermod, maybe_spawn_brokerd
from piker.data import get_eps
from piker.errors import PikerError, ServiceError, TransportClosed, UsageError
from piker.log import get_logger
from piker.msgs import DialogInit, EmsMsg, EmsState, Fqme
from piker.service import (
    Portal,
    collapse_eg,
    hold_pikerd,
    open_context,
    open_services,
)

from ._broker_line import BrokerLine, BrokerStream, OpenDialog
from ._dialog import Dialog
from ._fanout import Fanout
from ._farewell import left_text, notice_of
from ._fates import dest_of
from ._journal import Journal, journal_path, open_journal
from ._notify import Notifier, open_notifier
from ._router import Outlets, Router
from ._watch import Watch

log = get_logger(__name__)

#: Seconds without a client or an order after which emsd leaves.
IDLE_S: Final = 900.0
#: A market is watched for so long after its last order and its last client.
UNWANTED_S: Final = 60.0
#: How often the journal is carried into its main file.
CHECKPOINT_S: Final = 30.0
_START_DEADLINE_S: Final = 30.0


def live_dialog_of(broker: str) -> Any:
    """Return a backend's endpoint for live orders.

    Raises: BrokerNotFound; UsageError: it takes none.
    """
    target = get_eps(get_brokermod(broker), "brokerd").get("open_trade_dialog")
    if target is None:
        raise UsageError(
            f"{broker!r} takes no live orders: it has no account but {broker}.paper"
        )
    return target


@asynccontextmanager
async def open_brokerd_dialog(
    broker: str, *, portal: Portal | None = None
) -> AsyncIterator[tuple[DialogInit, BrokerStream]]:
    """Open the live order dialog of a broker, whose brokerd is started if none is.

    Args:
      broker: its name.
      portal: to a daemon that hosts the backend's endpoints already; by default the
        one of `open_brokerd`.

    Yields: what the dialog started with, and its stream.
    Raises: BrokerNotFound; UsageError: the backend takes no live orders; what brokerd
      refuses with; TransportClosed, DeadlineExceeded.
    """
    target = live_dialog_of(broker)
    if portal is None:
        async with (
            open_brokerd(broker) as found,
            open_brokerd_dialog(broker, portal=found) as dialog,
        ):
            yield dialog
        return
    async with (
        open_context(portal, target, start_deadline_s=_START_DEADLINE_S) as (ctx, init),
        ctx.open_stream() as stream,
    ):
        yield init, stream


@asynccontextmanager
async def open_brokerd(broker: str) -> AsyncIterator[Portal]:
    """Yield a portal to a broker's order daemon; the one place that starts one.

    Raises: BrokerNotFound; UsageError: it takes no live orders.
    """
    live_dialog_of(broker)
    async with maybe_spawn_brokerd(broker) as portal:
        yield portal


@asynccontextmanager
async def open_paper_line(
    broker: str,
) -> AsyncIterator[tuple[DialogInit, BrokerStream]]:
    """Open the dialog with a broker's paper engine, started first if it isn't up."""
    from ._paper import maybe_spawn_paperboi
    from ._paper_rpc import open_paper_dialog

    async with (
        maybe_spawn_paperboi(broker) as portal,
        open_context(portal, open_paper_dialog, start_deadline_s=_START_DEADLINE_S) as (
            ctx,
            init,
        ),
        ctx.open_stream() as stream,
    ):
        yield init, stream


def _opens(dest: str) -> OpenDialog:
    """Return what opens the dialog with an order daemon, by its name."""
    kind, _, broker = dest.partition(".")
    check_broker(broker)
    if kind == "paperboi":
        return partial(open_paper_line, broker)
    return partial(open_brokerd_dialog, broker)


@dataclass(eq=False)
class Ems:
    """All of emsd.

    Attributes:
      router: decides.
      fanout: tells clients.
      watches: by name, full or as it was asked for.
      lines: by daemon.
    """

    journal: Journal
    nursery: trio.Nursery
    conf: config.Config
    notifier: Notifier
    router: Router = field(init=False)
    fanout: Fanout = field(init=False)
    watches: dict[str, Watch] = field(default_factory=dict)
    lines: dict[str, BrokerLine] = field(default_factory=dict)
    _idle_since: float = field(default_factory=trio.current_time)
    _told: EmsState | None = None
    _sessions: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.fanout = Fanout(self.journal)
        self.router = Router(
            self.journal,
            Outlets(request=self._request, tell=self._tell),
            self.conf.clearing,
            self.conf.risk,
        )

    def _request(
        self, dialog: Dialog, what: Literal["order", "edit", "cancel"]
    ) -> None:
        self.line(dest_of(dialog.order)).request(dialog, what)

    def _tell(self, msg: EmsMsg) -> None:
        notice = notice_of(msg, self._told)
        if notice is not None:
            self.notifier.tell(*notice)
        self.fanout.tell(msg)

    # -- markets and lines ----------------------------------------------------

    async def watch(self, fqme: str) -> Watch:
        """Return a market that is being watched; raises what its feed is refused with.

        Args:
          fqme: full or short name.
        """
        watch = self.watches.get(fqme)
        if watch is None:
            check_broker(Fqme.parse(fqme).broker)
            watch = self.watches[fqme] = Watch(
                fqme,
                self.router,
                self.note_state,
                self.conf.clearing.max_quote_age_s,
            )
            self.nursery.start_soon(self._run_watch, watch)
        watch.wanted_at = trio.current_time()
        await watch.ready()
        first = self.watches.setdefault(watch.fqme, watch)
        if first is not watch:  # it is watched already, by its full name
            self.watches[fqme] = first
            watch.stop()
        first.wanted_at = trio.current_time()
        return first

    @contextmanager
    def session(self, fqme: str) -> Iterator[None]:
        """Keep a market watched for the length of the block; of none if *fqme* is."""
        self._sessions[fqme] += 1
        try:
            yield
        finally:
            self._sessions[fqme] -= 1

    def _let_go(self) -> None:
        """End the watches that nobody wanted for a while: each costs every tick."""
        now = trio.current_time()
        wanted = {one.order.symbol for one in self.router.dialogs.values()}
        wanted |= self.router.unjudged.keys()
        wanted |= {fqme for fqme, count in self._sessions.items() if count}
        for watch in set(self.watches.values()):
            is_awaited = watch.state is None
            if is_awaited or watch.fqme in wanted:
                watch.wanted_at = now
            elif now - watch.wanted_at > UNWANTED_S:
                watch.let_go()
                self._forget(watch)

    def _forget(self, watch: Watch) -> None:
        for name in [name for name, one in self.watches.items() if one is watch]:
            del self.watches[name]

    async def _run_watch(self, watch: Watch) -> None:
        await watch.run()
        self._forget(watch)

    def line(self, dest: str) -> BrokerLine:
        """Return the line to an order daemon, held from now on; it may not be up."""
        line = self.lines.get(dest)
        if line is None:
            line = self.lines[dest] = BrokerLine(
                dest, self.router, _opens(dest), self.note_state
            )
            self.nursery.start_soon(line.run)
        return line

    def resume_orders(self) -> None:
        """Watch the markets, and hold the lines, of all orders in the journal."""
        for fqme in self.router.unjudged:
            self.nursery.start_soon(self._watch_order, fqme)
        for dialog in self.router.dialogs.values():
            self.nursery.start_soon(self._watch_order, dialog.order.symbol)
            if not dialog.is_alert:
                try:
                    self.line(dest_of(dialog.order))
                except PikerError as err:
                    log.error("order %s isn't looked after: %s", dialog.oid, err)  # noqa: TRY400

    async def _watch_order(self, fqme: str) -> None:
        try:
            await self.watch(fqme)
        except PikerError as err:
            log.error("orders in %s aren't watched: %s", fqme, err)  # noqa: TRY400

    # -- what clients see -----------------------------------------------------

    def state(self) -> EmsState:
        """Return what keeps orders from being worked, and whose there may be."""
        waiting = {one.order.symbol for one in self.router.dialogs.values()}
        return EmsState(
            time_ns=time.time_ns(),
            halted=self.router.halted,
            down={name: line.down for name, line in self.lines.items() if line.down},
            unwatched={
                fqme: why
                for fqme, watch in self.watches.items()
                if fqme in waiting
                and (why := watch.state.down if watch.state else watch.why)
            },
            accounts={name: line.accounts for name, line in self.lines.items()},
        )

    def note_state(self) -> None:
        """Tell all clients what keeps orders from being worked, if that has changed."""
        now, told = self.state(), self._told
        if told is None or replace(now, time_ns=told.time_ns) != told:
            self._tell(now)
            self._told = now

    def doing(self) -> str:
        """Return in a few words what there is, for `piker services`."""
        dialogs = self.router.dialogs.values()
        darks = sum(one.state == "dark" for one in dialogs)
        words = [f"{darks} dark", f"{len(dialogs) - darks} at brokers"]
        if self.router.halted:
            words.append(f"halted: {self.router.halted}")
        return ", ".join(words) if dialogs or self.router.halted else ""

    # -- its life -------------------------------------------------------------

    async def end_when_idle(self) -> None:
        """Return once there was no client and no order for a while."""
        while trio.current_time() - self._idle_since < IDLE_S:
            if self.router.dialogs or self.fanout.clients:
                self._idle_since = trio.current_time()
            await trio.sleep(1.0)

    async def hold_tree(self) -> None:
        """Keep pikerd from leaving while an order lives."""
        while True:
            if self.router.dialogs:
                with suppress(PikerError):  # pikerd ends, and emsd with it
                    await self._hold_while_orders_live()
            await trio.sleep(0.25)

    async def _hold_while_orders_live(self) -> None:
        async with collapse_eg(), trio.open_nursery() as tasks:
            tasks.start_soon(hold_pikerd, f"emsd: {len(self.router.dialogs)} orders")
            while self.router.dialogs:  # noqa: ASYNC110 - seldom, and no hurry
                await trio.sleep(1.0)
            tasks.cancel_scope.cancel()

    async def keep_time(self) -> None:
        """End what expires in markets that can't be had; let unwanted ones go."""
        while True:
            self._let_go()
            self.router.expire_unwatched(time.time_ns())
            await trio.sleep(1.0)

    async def keep_journal(self) -> None:
        """Carry the journal's log into its main file now and then."""
        while True:
            await trio.sleep(CHECKPOINT_S)
            self.router.flush()
            while self.journal.prune():
                await trio.lowlevel.checkpoint()
            await trio.to_thread.run_sync(self.journal.checkpoint)


_ems: Ems | None = None
_had_ems = False


@asynccontextmanager
async def open_ems_here() -> AsyncIterator[Ems]:
    """Make an Ems this actor's for the length of the block.

    Raises: JournalBusy, JournalTooNew, JournalDamaged, JournalFull; ConfigError.
    """
    global _ems, _had_ems  # noqa: PLW0603 - one per actor
    conf = config.load_config()
    with open_journal(journal_path()) as journal:
        journal.lengthen_log()
        try:
            async with (
                open_services(kinds=frozenset({"paperboi"})),
                open_notifier(conf.clearing.notify) as notifier,
                collapse_eg(),
                trio.open_nursery() as nursery,
            ):
                ems = Ems(journal, nursery, conf, notifier)
                nursery.start_soon(ems.fanout.run)
                nursery.start_soon(ems.hold_tree)
                nursery.start_soon(ems.keep_journal)
                nursery.start_soon(ems.keep_time)
                ems.resume_orders()
                _ems, _had_ems = ems, True
                yield ems
                left = left_text(list(ems.router.dialogs.values()))
                if left:
                    log.warning("ending: %s", left)
                nursery.cancel_scope.cancel()
        finally:
            _ems = None


def current_ems() -> Ems:
    """Return this actor's Ems.

    Raises: ServiceError outside emsd; TransportClosed in one that is ending.
    """
    if _ems is None and _had_ems:
        raise TransportClosed("this emsd is ending; the next one serves")
    if _ems is None:
        raise ServiceError("this process is not emsd: it has no orders")
    return _ems
