"""Accounts looked at: their trades into the ledger, their keys as they are."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from decimal import Decimal

import trio

from piker.errors import PikerError
from piker.log import get_logger
from piker.msgs import NS, AccountCheck, MktPair, SyncDone, SyncProgress

from ._backend import LiveBackend as LiveBackend, backend_of
from ._balances import otherwise, traded
from ._desk import LiveDesk
from ._dialog import current_host, keys_of
from ._secrets import Sealed

log = get_logger(__name__)

#: How often balances are looked at until no trade comes in between.
_LOOKS = 4


async def sync_trades(
    account: str, fqmes: list[str], *, whole: bool
) -> AsyncIterator[SyncProgress | SyncDone]:
    """Yield how far trades are fetched, then what they come to.

    Raises: AccountNotFound; what the venue, or the ledger, refuses with.
    """
    host = current_host()
    backend = backend_of(host.broker)
    await host.open_desks(backend.open_session, backend.get_mkt, account)
    desk = host.desks[account]
    before = await desk.session.balances()
    seen = booked = 0
    lists = await desk.lists_of(fqmes)
    for nth, mkt in enumerate(lists, 1):
        seen_here = booked_here = 0
        async for page, new in desk.fetch(mkt, whole=whole):
            seen_here, booked_here = seen_here + len(page), booked_here + new
            yield SyncProgress(
                fqme=mkt.fqme if mkt is not None else account,
                seen=seen_here,
                booked=booked_here,
                time_ns=page[-1].time_ns,
                nth=nth,
                markets=len(lists),
            )
        seen, booked = seen + seen_here, booked + booked_here
    mkts = {mkt.fqme: mkt for mkt in await desk.mkts_held()}
    balances, booked_since, is_moving = await _settled(desk, lists, before)
    txns = desk.ledger.txns
    await desk.write_account()
    changed = await trio.to_thread.run_sync(traded, txns, mkts)
    yield SyncDone(
        seen=seen + booked_since,
        booked=booked + booked_since,
        trades=len(txns),
        positions=desk.positions(),
        balances=balances,
        traded=changed,
        otherwise=otherwise(balances, changed),
        unlisted=tuple(sorted({txn.fqme for txn in txns} - mkts.keys())),
        is_moving=is_moving,
    )


async def _settled(
    desk: LiveDesk, lists: list[MktPair | None], before: dict[str, Decimal]
) -> tuple[dict[str, Decimal], int, bool]:
    """Return balances that go with what is booked, and what was booked meanwhile.

    Args:
      desk: whose.
      lists: of trades, which were fetched.
      before: balances before that was begun.

    Returns: balances; how many trades were booked for them; whether trades go on, so
      that they go with each other only nearly.
    """
    booked = 0
    for _ in range(_LOOKS):
        seq = desk.ledger.seq
        balances = await desk.session.balances()
        # no trade leaves them as they were
        if balances == before and desk.ledger.seq == seq:
            return balances, booked, False
        before = balances
        for mkt in lists:
            async for _page, new in desk.fetch(mkt, whole=False):
                booked += new
    return before, booked, True


async def check_all() -> list[AccountCheck]:
    """Return what becomes of looking at each account there is a key for."""
    broker = current_host().broker
    keys = await keys_of(broker)
    backend = backend_of(broker)
    return [
        await _check(f"{broker}.{label}", each, backend) for label, each in keys.items()
    ]


async def _check(account: str, keys: Sealed, backend: LiveBackend) -> AccountCheck:
    try:
        async with backend.open_session(account, keys) as session:
            told = await session.permissions()
            balances = await session.balances()
            off_s = (session.now_ns() - time.time_ns()) / NS
    except PikerError as err:
        return AccountCheck(account=account, fault=str(err), balances={})
    fault = "" if told.may_trade else told.why or "its key may not trade"
    return AccountCheck(
        account=account,
        fault=fault,
        warnings=told.warnings,
        may_trade=told.may_trade,
        may_withdraw=told.may_withdraw,
        clock_off_s=off_s,
        balances=balances,
    )
