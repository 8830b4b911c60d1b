"""What an order daemon lets others call besides orders. Endpoints only."""

from __future__ import annotations

from piker.msgs import AccountCheck, AllEnded, Resting, SyncDone, SyncProgress
from piker.service import Context, endpoint

from ._accounts import check_all, sync_trades
from ._end_all import end_all, list_open


@endpoint(started=None, sends=SyncProgress | SyncDone)
async def sync_ledger(
    ctx: Context, account: str, fqmes: list[str], whole: bool
) -> None:
    """Fetch the trades of an account since the last that is booked.

    Args:
      account: full name.
      fqmes: markets, besides those of its ledger.
      whole: from the first trade on.

    Sends: how far it is, then that it is done.
    Raises: AccountNotFound; ConfigError; LedgerBusy; what the venue refuses.
    """
    await ctx.started()
    async with ctx.open_stream() as stream:
        async for told in sync_trades(account, fqmes, whole=whole):
            await stream.send(told)


@endpoint(started=list[AccountCheck])
async def check_accounts(ctx: Context) -> None:
    """Started: what becomes of looking at each account that there is a key for.

    Raises: ConfigError: there is none, or what is told of them is wrong.
    """
    await ctx.started(await check_all())


@endpoint(started=list[Resting])
async def open_orders(ctx: Context, account: str) -> None:
    """Started: what is open in an account, whoever placed it.

    Args:
      account: full name.

    Raises: AccountNotFound; ConfigError; what the venue refuses.
    """
    await ctx.started(await list_open(account))


@endpoint(started=AllEnded)
async def cancel_all(ctx: Context, account: str) -> None:
    """Started: what became of ending all that is open, which takes up to a minute.

    Args:
      account: full name.

    Raises: AccountNotFound; ConfigError.
    """
    await ctx.started(await end_all(account))
