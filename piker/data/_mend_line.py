"""A client's way to have the holes of its stored bars filled: one call to datad."""

from __future__ import annotations

from collections.abc import Callable

from piker.brokers import check_broker
from piker.errors import TransportClosed
from piker.msgs import Fqme, MendProgress
from piker.service import open_context

from ._daemon import maybe_spawn_datad
from ._rpc import mend_store


async def mend_bars(
    fqme: str,
    period_s: int,
    span: tuple[int, int] = (0, 0),
    on_progress: Callable[[MendProgress], None] | None = None,
) -> MendProgress:
    """Have datad ask the venue for the bars that lack in a market's store.

    Args:
      fqme: full name.
      period_s: bar length.
      span: bars lack there too, where stored ones don't reach so far; epoch s.
      on_progress: told how far it is.

    Returns: what came of it.

    Raises: as `piker.data._rpc.mend_store`; BrokerNotFound; TransportClosed if datad
      ends meanwhile. What was filled by then is stored.
    """
    broker = Fqme.parse(fqme).broker
    check_broker(broker)
    told = None
    since_s, until_s = span
    async with (
        maybe_spawn_datad(broker) as portal,
        open_context(
            portal,
            mend_store,
            fqme=fqme,
            period_s=period_s,
            since_s=since_s,
            until_s=until_s,
        ) as (ctx, _),
        ctx.open_stream() as stream,
    ):
        async for told in stream:
            if on_progress is not None:
                on_progress(told)
    if told is None or told.done < 1:
        raise TransportClosed(
            f"'datad.{broker}' ended before it had asked for all bars that lack; those "
            "it got are stored: repair again"
        )
    return told
