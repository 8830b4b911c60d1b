"""A backend's live orders as emsd talks with them: its accounts, one dialog at a time.

    brokerd: open_host() --> desks, one an account, opened with the first dialog
    emsd --open_trade_dialog--> serve_trade_dialog() --requests--> desk of the account

Desks live as long as brokerd does: fills are booked while nobody is connected, too.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    suppress,
)
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import trio

from piker import config
from piker.accounting import open_ledger
from piker.errors import (
    AccountNotFound,
    ConfigError,
    PikerError,
    ServiceError,
    TransportClosed,
    VenueError,
)
from piker.log import get_logger
from piker.msgs import (
    BrokerdMsg,
    BrokerdRequest,
    DialogInit,
    MktPair,
    Reconcile,
    in_batches,
    refusal,
)
from piker.service import Context, MsgStream, collapse_eg

from ._backend import backend_of
from ._desk import LiveDesk, Tell
from ._secrets import Sealed, fields_of, read_keys
from ._tries import SHUT_S, Tried, Unread
from ._venue import Session

log = get_logger(__name__)

_CHECK_S: Final = 5.0
_SEND_S: Final = 10.0
#: The file of keys is looked at so often meanwhile.
_STAMP_S: Final = 1.0

OpenSession = Callable[[str, Any], AbstractAsyncContextManager[Session]]


@dataclass(eq=False)
class _Dialog:
    """Who asks now."""

    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    gone: trio.Event = field(default_factory=trio.Event)


@dataclass(eq=False)
class Host:
    """The accounts of a broker in this process.

    Attributes:
      broker: its name.
      desks: by account.
      is_whole: each account was tried once.
    """

    broker: str
    tasks: trio.Nursery
    desks: dict[str, LiveDesk] = field(default_factory=dict)
    is_whole: bool = False
    instance: str = field(default_factory=lambda: secrets.token_hex(8))
    _turn: trio.Lock = field(default_factory=trio.Lock)
    _tried: dict[str, Tried] = field(default_factory=dict)
    _keys: dict[str, Sealed] = field(default_factory=dict)
    _stamp: int | None = None
    _unread: Unread | None = None
    _dialog: _Dialog | None = None

    @property
    def shut(self) -> dict[str, PikerError]:
        """Why accounts can't be used."""
        tried = self._tried.items()
        return {name: one.why for name, one in tried if one.why is not None}

    def doing(self) -> str:
        """Return one sentence on what it is doing."""
        words = [desk.doing() for desk in self.desks.values()]
        words += [f"{account} is shut: {err}" for account, err in self.shut.items()]
        return "; ".join(filter(None, words))

    def words(self) -> dict[str, str]:
        """Return why accounts can't be used, in words."""
        return {name: str(err) for name, err in self.shut.items()}

    async def open_desks(
        self,
        open_session: OpenSession,
        get_mkt: Callable[[str], Awaitable[MktPair]],
        account: str = "",
    ) -> None:
        """Open the desks that aren't, of accounts that there are keys for.

        Args:
          open_session: opens one at the venue.
          get_mkt: finds a market.
          account: the only one that is wanted; all if empty, but those that were
            tried a while ago.

        Raises: ConfigError: there are no keys, or what is told of them is wrong.
          AccountNotFound, LedgerBusy, LedgerDamaged: no account that is wanted can be
          used; one of several is shut, and the others are served.
        """
        async with self._turn:
            wanted = await self._wanted(account)
            for name, keys in wanted.items():
                tried = self._tried_with(name, keys)
                if not account and tried.until > trio.current_time():
                    continue
                opening = partial(open_session, name, keys)
                try:
                    self.desks[name] = await self.tasks.start(
                        self._run_desk, name, opening, get_mkt, tried.refused
                    )
                except PikerError as err:
                    if str(tried.why) != str(err):
                        log.error("%s is shut: %s", name, err)  # noqa: TRY400
                    tried.fail(err)
                else:
                    del self._tried[name]
            self.is_whole |= not account
            shut = self.shut
            if wanted.keys() - shut.keys():
                return
            if account in shut or not self.desks:
                raise next(shut[name] for name in wanted)

    def _tried_with(self, account: str, keys: Sealed) -> Tried:
        tried = self._tried.get(account)
        if tried is None or tried.keys != keys:
            why = tried.why if tried is not None else None  # until these are tried
            tried = self._tried[account] = Tried(keys, why)
        return tried

    def next_try(self) -> float:
        """Return when `open_desks` may open more, by trio's clock; never: infinity."""
        if self._stamp != config.secrets_stamp():  # what is there can't be read
            until = self._unread.until if self._unread is not None else -math.inf
            return max(until, trio.current_time() + SHUT_S)
        return min((self._tried[name].until for name in self.shut), default=math.inf)

    async def _wanted(self, account: str) -> dict[str, Sealed]:
        """Return the keys of accounts that are to be opened."""
        try:
            keys = await self._read_keys(at_once=bool(account))
        except ConfigError as err:
            if not self.desks or (account and account not in self.desks):
                raise
            # orders rest there, which a slip in a file doesn't end
            log.error("served is what is open: %s", err)  # noqa: TRY400
            return {}
        if account and account not in keys:
            raise unknown(account, keys)
        names = [account] if account else list(keys)
        return {name: keys[name] for name in names if name not in self.desks}

    async def _read_keys(self, *, at_once: bool) -> dict[str, Sealed]:
        """Return the keys of all accounts; read again if the file was written since.

        To read them may run commands, which may ask the user for a passphrase: what
        couldn't be read isn't at each try, but *at_once*. Raises ConfigError.
        """
        stamp = config.secrets_stamp()
        if self._stamp != stamp:
            unread = self._unread
            if unread is None or unread.stamp != stamp:
                unread = Unread(stamp)
            if unread.until > trio.current_time() and not at_once:
                raise ConfigError(unread.why)
            try:
                told = await keys_of(self.broker)
            except ConfigError as err:
                unread.why = str(err)
                unread.until = trio.current_time() + unread.pauses.next_s()
                self._unread = unread
                raise
            self._unread = None
            self._keys = {
                f"{self.broker}.{label}": keys for label, keys in told.items()
            }
            self._stamp = stamp
            for gone in self._tried.keys() - self._keys.keys():
                del self._tried[gone]
            for tried in self._tried.values():
                tried.begin()
        return self._keys

    async def _run_desk(
        self,
        account: str,
        opening: Callable[[], AbstractAsyncContextManager[Session]],
        get_mkt: Callable[[str], Awaitable[MktPair]],
        refused: AccountNotFound | None,
        task_status: Any,
    ) -> None:
        """Open an account's desk, and serve it for ever; *refused*: why it wasn't."""
        async with opening() as session:
            await _check(session, refused)
            with await trio.to_thread.run_sync(
                open_ledger, self.broker, account
            ) as ledger:
                desk = LiveDesk(self.broker, session, ledger, get_mkt)
                task_status.started(desk)
                await desk.run()

    def ask(self, request: BrokerdRequest, tell: Tell) -> None:
        """Take a request of an account; one that isn't there is refused."""
        desk = self.desks.get(request.account)
        if desk is not None:
            desk.ask(request, tell)
        else:
            tell(_refused(request, self.shut.get(request.account)))

    @asynccontextmanager
    async def open_dialog(self) -> AsyncIterator[DialogInit]:
        """Be the one who asks, for the length of the block, or until the next comes."""
        while self._dialog is not None:
            self._dialog.scope.cancel()
            await self._dialog.gone.wait()
        self._dialog = dialog = _Dialog()
        try:
            with dialog.scope:
                yield DialogInit(
                    accounts=tuple(self.desks),
                    positions=tuple(
                        position
                        for desk in self.desks.values()
                        for position in desk.positions()
                    ),
                    instance=self.instance,
                    seqs={name: desk.ledger.seq for name, desk in self.desks.items()},
                    shut=self.words(),
                )
        finally:
            try:
                for desk in list(self.desks.values()):  # more may be opened meanwhile
                    desk.let_go()
                    await desk.write_account()
            finally:
                self._dialog = None
                dialog.gone.set()


async def keys_of(broker: str) -> dict[str, Sealed]:
    """Return the keys of a broker's accounts, by label; ConfigError if it has none."""
    kind = backend_of(broker).keys
    keys = await trio.to_thread.run_sync(read_keys, broker, kind)
    if not keys:
        raise ConfigError(
            f"brokers.toml has no account of {broker}: a table "
            f"[{broker}.accounts.LABEL] with {fields_of(kind)}; `piker init` writes "
            "one to fill in"
        )
    return keys


def unknown(account: str, names: Iterable[str]) -> AccountNotFound:
    """Return that there are no keys for an account."""
    return AccountNotFound(
        f"no account {account!r} in brokers.toml: it has {', '.join(names)}"
    )


async def _check(session: Session, refused: AccountNotFound | None) -> None:
    """Refuse a key that may not trade; say what is unsafe about one that may.

    Without an answer one is for good, unless it was refused before.
    """
    try:
        with trio.fail_after(_CHECK_S):
            told = await session.permissions()
    except (VenueError, trio.TooSlowError) as err:
        if refused is not None:
            raise AccountNotFound(str(refused)) from None
        log.warning("%s: its key isn't checked: %s", session.account, err)
        return
    for warning in told.warnings:
        log.warning("%s: its key is unsafe: %s", session.account, warning)
    if not told.may_trade:
        raise AccountNotFound(
            told.why
            or f"the key of {session.account} may not trade: make one at the venue "
            "that may"
        )


_host: Host | None = None


@asynccontextmanager
async def open_host(broker: str) -> AsyncIterator[Host]:
    """Be where a broker's accounts live, for the length of the block."""
    global _host  # noqa: PLW0603 - one per actor
    async with collapse_eg(), trio.open_nursery() as tasks:
        _host = Host(broker, tasks)
        try:
            yield _host
        finally:
            for desk in list(_host.desks.values()):
                await desk.write_account()
            _host = None
            tasks.cancel_scope.cancel()


def current_host() -> Host:
    """Return this actor's accounts; ServiceError where none live."""
    if _host is None:
        raise ServiceError("this process is no order daemon, or it is ending")
    return _host


async def serve_trade_dialog(
    ctx: Context,
    open_session: OpenSession,
    get_mkt: Callable[[str], Awaitable[MktPair]],
) -> None:
    """Be a backend's ``open_trade_dialog``.

    Started: accounts, positions, and which process this is.
    Sends: of each account nothing before its Reconcile is answered; then what happens.
    Receives: orders, changes, cancels; Reconcile.
    Ends: when the next dialog is opened, which takes over; if an account that was shut
      isn't any more; or if nothing is taken for ten seconds.
    """
    host = current_host()
    if not (host.is_whole and host.desks):  # else more are opened beside the dialog
        await host.open_desks(open_session, get_mkt)
    async with host.open_dialog() as init:
        await ctx.started(init)
        put, out = trio.open_memory_channel[list[BrokerdMsg]](math.inf)
        async with (
            ctx.open_stream() as stream,
            collapse_eg(),
            trio.open_nursery() as tasks,
        ):
            end = tasks.cancel_scope.cancel
            tasks.start_soon(_send_all, stream, out, end)
            opening = partial(host.open_desks, open_session, get_mkt)
            tasks.start_soon(_open_more, host, opening, init, end)
            async for request in stream:
                host.ask(request, put.send_nowait)
            tasks.cancel_scope.cancel()


async def _open_more(
    host: Host,
    opening: Callable[[], Awaitable[None]],
    told: DialogInit,
    end: Callable[[], None],
) -> None:
    """Open accounts that aren't, now and then; end the dialog once there are others.

    Orders may rest there that nobody looks after. What was mended is tried at once.

    Args:
      host: whose.
      opening: opens what can be opened.
      told: what emsd knows.
      end: ends the dialog, so that the next one begins with what there is.
    """
    known, is_written = set(told.accounts), False
    while True:
        written = config.secrets_stamp()
        with suppress(PikerError):
            await opening()
        more = host.desks.keys() - known
        # of others why they can't be used; of those that are known once a write
        words = host.words()
        if (
            more
            or words.keys() - told.shut.keys()
            or (is_written and words != told.shut)
        ):
            log.info("open by now: %s", ", ".join(sorted(more)) or "no more")
            end()
            return
        with trio.move_on_at(host.next_try()):
            while (  # noqa: ASYNC110 - nobody tells
                config.secrets_stamp() == written and host.desks.keys() <= known
            ):
                await trio.sleep(_STAMP_S)
        is_written = config.secrets_stamp() != written


async def _send_all(
    stream: MsgStream[BrokerdRequest],
    out: trio.MemoryReceiveChannel[list[BrokerdMsg]],
    let_go: Callable[[], None],
) -> None:
    """Send what is told, all that there is at once."""
    async for first in out:
        msgs = list(first)
        while out.statistics().current_buffer_used:
            msgs += out.receive_nowait()
        with trio.move_on_after(_SEND_S) as patience, suppress(TransportClosed):
            for told in in_batches(msgs):
                await stream.send(told)
        if patience.cancelled_caught:
            log.warning("emsd takes nothing any more: it is let go")
            let_go()


def _refused(request: BrokerdRequest, shut: PikerError | None) -> list[BrokerdMsg]:
    """Refuse what is asked of an account that isn't there, or is shut."""
    reason = str(shut or f"there is no account {request.account!r} here")
    if isinstance(request, Reconcile):
        log.error("%s", reason)
        return []
    return [refusal(request, reason)]
