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

ZERO = Decimal(0)
_CHECK_S = 60.0
#: The daemon gives up after a minute by itself.
_END_S = 90.0


@asynccontextmanager
async def open_accounts(
    addr: Addr, broker: str, private: Addr, *, looks: bool = True
) -> AsyncIterator[tuple[Portal, str]]:
    """Yield a portal to a broker's order daemon, and whose it is.

    Args:
      addr: of the registry of the tree that may run.
      broker: its name.
      private: where a tree of our own may listen.
      looks: nothing is to be sent or ended.

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
    with private_runtime(looks=looks):
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
    async with open_accounts(addr, broker, private, looks=False) as (portal, asked):
        if agrees is not None:
            there = await call_endpoint(
                portal, open_orders, account=account, deadline_s=_CHECK_S
            )
            if not await agrees(there):
                return None, asked
        work = call_endpoint(portal, cancel_all, account=account, deadline_s=_END_S)
        return await work, asked


def beyond_text(done: SyncDone) -> list[str]:
    """Return a sentence for each asset of which there is more than trades come to."""
    told = []
    for asset, amount in sorted(done.otherwise.items()):
        there = _number(done.balances.get(asset, ZERO))
        traded = _number(done.traded.get(asset, ZERO))
        told.append(
            f"{asset}: {there} there, of which trades come to {traded} and all else to "
            f"{_number(amount)}"
        )
    if done.unlisted:
        shown = ", ".join(done.unlisted)
        told.append(f"trades of markets that aren't listed are in none of it: {shown}")
    if done.is_moving:
        told.append("trades went on meanwhile: it may be off by the last of them")
    return told


def _number(value: Decimal) -> str:
    """Return all digits of a number, but for zeros at its end."""
    whole, dot, rest = f"{value:,f}".partition(".")
    return f"{whole}{dot}{rest}".rstrip("0").rstrip(".") if dot else whole


def held_text(balances: Mapping[str, Decimal]) -> str:
    """Return what an account has, in one line; empty of nothing."""
    return ", ".join(
        f"{_number(size)} {asset}" for asset, size in sorted(balances.items())
    )
