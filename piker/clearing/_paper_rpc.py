"""What paperboi lets others call. Endpoints only: this module is exposed whole."""

from __future__ import annotations

from piker.msgs import BrokerdMsg, BrokerdRequest, DialogInit
from piker.service import Context, endpoint

from ._paper_engine import current_engine


@endpoint(
    started=DialogInit, sends=BrokerdMsg | list[BrokerdMsg], receives=BrokerdRequest
)
async def open_paper_dialog(ctx: Context) -> None:
    """Send paper orders of this daemon's broker, and hear what becomes of them.

    Started: accounts, positions, and which process this is.
    Sends: nothing before a Reconcile came and is answered; from then on what happens
      to all orders, fills once they are in the ledger; what happened together as one.
    Receives: orders, changes, cancels; Reconcile.
    Ends: when the next dialog is opened, which takes over; or if nothing is taken for
      ten seconds.
    """
    engine = current_engine()
    async with engine.open_dialog() as (dialog, init):
        await ctx.started(init)
        async with ctx.open_stream() as dialog.stream:
            async for request in dialog.stream:
                engine.ask(dialog, request)
