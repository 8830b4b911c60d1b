"""What emsd lets others call. Endpoints only: this module is exposed whole."""

from __future__ import annotations

from typing import Literal

from piker.msgs import ClientMsg, EmsInit, EmsMsg, EmsState
from piker.service import Context, endpoint

from ._clients import serve_client
from ._ems import current_ems


@endpoint(started=EmsInit, sends=EmsMsg | list[EmsMsg], receives=ClientMsg)
async def open_order_dialog(
    ctx: Context,
    fqme: str,
    mode: Literal["paper", "live"],
    after_seq: int,
    is_back: bool,
) -> None:
    """Send orders, and hear of all orders.

    Args:
      fqme: full or short name of a market to be watched; empty for none.
      mode: a ``paper`` session can send orders for no live account.
      after_seq: serial of the last thing heard; 0: of the newest things told, some; -1:
        none.
      is_back: it was served before, and waits for no paper engine: positions follow.
    Started: how things stand.
    Sends: what becomes of orders, refusals of this client's, positions, and what keeps
      orders from being worked; a Status only once it is on the disk. What is told
      together is sent as one.
    Receives: orders, edits, cancels; each may be sent again.
    Raises: BadFqme; SymbolNotFound; UsageError, e.g. no live orders here; what
      its datad or its order daemon refuses with; Overrun if the client is too slow.
    """
    await serve_client(ctx, current_ems(), fqme, mode, after_seq, is_back=is_back)


@endpoint(started=EmsState)
async def halt_trading(ctx: Context, reason: str) -> None:
    """Cancel what is at brokers, fire nothing, take only what reduces positions.

    Dark orders are kept, and shown. It outlives emsd.

    Args:
      reason: one sentence.
    Started: how things stand then.
    Raises: JournalFull: it would not outlive emsd; nothing is halted.
    """
    ems = current_ems()
    ems.router.halt(reason)
    ems.note_state()
    await ctx.started(ems.state())


@endpoint(started=EmsState)
async def resume_trading(ctx: Context) -> None:
    """Trade again; what crossed its trigger meanwhile is looked for.

    Started: how things stand then.
    Raises: JournalFull: trading stays halted.
    """
    ems = current_ems()
    ems.router.resume()
    ems.note_state()
    await ctx.started(ems.state())
