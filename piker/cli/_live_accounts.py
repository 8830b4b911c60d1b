"""A broker's order daemon asked about its accounts: the one that runs, or one of ours.

brokerd.<broker> that runs | a tree of our own, gone afterwards --> trades, keys
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal

from piker.clearing import open_brokerd
from piker.msgs import AccountCheck, AllEnded, Resting, SyncDone, SyncProgress
from piker.service import (
    Addr,
    Portal,
    call_endpoint,
    find_service,
    open_context,
    open_piker_runtime,
    open_pikerd,
    probe,
)

from ._sync import LOOKS_ONLY, private_runtime

_CHECK_S = 60.0
#: The daemon gives up after a minute by itself.
_END_S = 90.0


@asynccontextmanager
async def open_accounts(
    addr: Addr, broker: str, private: Addr
) -> AsyncIterator[tuple[Portal, str]]:
    """Yield a portal to a broker's order daemon, and whose it is.

    Args:
      addr: of the registry of the tree that may run.
      broker: its name.
      private: where a tree of our own may listen.

    Yields: the portal; ``brokerd`` of the tree that runs, or ``private``.
    Raises: BrokerNotFound; UsageError: it takes no live orders.
    """
    if await probe(addr) is not None:
        async with (
            open_piker_runtime("accounts", addr),
            find_service(f"brokerd.{broker}") as portal,
        ):
            if portal is not None:
                yield portal, "brokerd"
                return
    with private_runtime():
        async with (
            open_pikerd(private, policy=LOOKS_ONLY, log_level="warning"),
            open_brokerd(broker) as portal,
        ):
            yield portal, "private"


async def check(
    addr: Addr, broker: str, private: Addr
) -> tuple[list[AccountCheck], str]:
    """Return what becomes of looking at each account of a broker, and who looked."""
    from piker.brokers._live._rpc import check_accounts

    async with open_accounts(addr, broker, private) as (portal, asked):
        return await call_endpoint(portal, check_accounts, deadline_s=_CHECK_S), asked


async def sync(
    addr: Addr,
    account: str,
    fqmes: list[str],
    whole: bool,
    private: Addr,
    show: Callable[[SyncProgress], None],
) -> tuple[SyncDone, str]:
    """Fetch an account's trades; return what they come to, and who fetched them."""
    from piker.brokers._live._rpc import sync_ledger

    broker = account.partition(".")[0]
    async with (
        open_accounts(addr, broker, private) as (portal, asked),
        open_context(
            portal, sync_ledger, account=account, fqmes=fqmes, whole=whole
        ) as (ctx, _),
        ctx.open_stream() as stream,
    ):
        async for told in stream:
            if isinstance(told, SyncDone):
                return told, asked
            show(told)
    raise AssertionError("the last thing told is that it is done")


async def end_all(
    addr: Addr,
    account: str,
    private: Addr,
    agrees: Callable[[list[Resting]], Awaitable[bool]] | None,
) -> tuple[AllEnded | None, str]:
    """End all open orders of an account; return what came of it, and who did it.

    Args:
      addr: of the registry of the tree that may run.
      account: full name.
      private: where a tree of our own may listen.
      agrees: asked first, told of what is open; None if nobody is to be asked. None is
        returned if it doesn't agree.
    """
    from piker.brokers._live._rpc import cancel_all, open_orders

    broker = account.partition(".")[0]
    async with open_accounts(addr, broker, private) as (portal, asked):
        if agrees is not None:
            there = await call_endpoint(
                portal, open_orders, account=account, deadline_s=_CHECK_S
            )
            if not await agrees(there):
                return None, asked
        work = call_endpoint(portal, cancel_all, account=account, deadline_s=_END_S)
        return await work, asked


def held_text(balances: Mapping[str, Decimal]) -> str:
    """Return what an account has, in one line; empty of nothing."""
    return ", ".join(
        f"{size.normalize():,f} {asset}" for asset, size in sorted(balances.items())
    )
