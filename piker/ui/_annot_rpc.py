"""What a chart lets others call. Endpoints only: this module is exposed whole."""

from __future__ import annotations

from piker.msgs import AnnotCommand, AnnotDone
from piker.service import Context, endpoint

from ._session import current_session


@endpoint(started=list[str], receives=AnnotCommand, sends=AnnotDone)
async def remote_annotate(ctx: Context) -> None:
    """Draw in this client's charts, for as long as the caller stays.

    Started: names of the markets that are looked at.
    Sends: an answer to each command, in turn.
    """
    session = current_session()
    shown = sorted({market.fqme for market in session.markets.values()})
    await ctx.started(shown)
    with session.annots.open_caller() as do:
        async with ctx.open_stream() as stream:
            async for command in stream:
                await stream.send(AnnotDone(fault=do(command)))
