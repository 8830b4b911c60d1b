"""What datad lets others call. Endpoints only: this module is exposed whole."""

from __future__ import annotations

from typing import Any

import trio

from piker.msgs import (
    Credit,
    FeedCommand,
    FeedMsg,
    FlumeMsg,
    FrameBatch,
    FramePoint,
    MendProgress,
    MktPair,
)
from piker.service import Context, endpoint

from ._bus import current_bus
from ._frames import serve_frames
from ._mend import mend_market
from ._subs import check_wish


@endpoint(started=list[FlumeMsg], sends=FeedMsg, receives=FeedCommand)
async def open_feed_bus(
    ctx: Context,
    fqmes: list[str],
    tick_throttle: float | None,
    every_tick: bool = False,
) -> None:
    """Subscribe to markets of this daemon's broker.

    Args:
      fqmes: full or short names.
      tick_throttle: quotes a second and market at most; None for all, as they come.
      every_tick: where the client is slow, send fewer quotes with all ticks in them;
        there is no throttle then.
    Started: one FlumeMsg for each name, in order.
    Sends: quotes and feed events; no more than a window beyond what the client has
      acknowledged, conflated where it is slow.
    Receives: Credit for consumed messages, Pause, Resume.
    Raises: UsageError for every tick and a throttle; BadFqme; SymbolNotFound; ShmFull;
      what the backend refuses with.
    """
    check_wish(tick_throttle, every_tick=every_tick)
    subscribed = current_bus().subscribe(fqmes, tick_throttle, every_tick=every_tick)
    async with subscribed as (sub, flumes):
        await ctx.started(flumes)
        async with ctx.open_stream() as stream, trio.open_nursery() as tasks:
            tasks.start_soon(sub.send_to, stream)
            await sub.obey(stream)
            tasks.cancel_scope.cancel()


@endpoint(started=dict[str, Any])
async def feed_stats(ctx: Context) -> None:
    """Say what the markets of this daemon are up to.

    Started: by full name what :meth:`Market.stats` tells: subscribers and the longest
      backlog, upstreams open now and opened ever, trades applied, known, too late, odd.
    """
    await ctx.started(current_bus().stats())


@endpoint(started=list[MktPair])
async def describe_markets(ctx: Context, fqmes: list[str]) -> None:
    """Say which markets names lead to; opens nothing.

    Args:
      fqmes: full or short names.
    Started: the market of each name, in order.
    Raises: BadFqme; SymbolNotFound; what keeps the backend from looking them up.
    """
    bus = current_bus()
    with bus.used():
        await ctx.started([await bus.describe(fqme) for fqme in fqmes])


@endpoint(sends=FrameBatch, receives=Credit)
async def open_frame_stream(
    ctx: Context, fqmes: list[str], points: dict[str, FramePoint], ahead_ns: int
) -> None:
    """Stream the raw frames of markets, which are all of one venue.

    Args:
      fqmes: full names.
      points: by full name, from where on what was missed is to be fetched; else from
        the whole minute.
      ahead_ns: how far the recording's clock is ahead of `boot_ns`; frames are stamped
        by it, whatever becomes of the time of day meanwhile.
    Sends: frames by the batch, none missing; no more than a window of batches beyond
      what the client has acknowledged.
    Receives: Credit for batches written.
    Raises: UsageError if the backend sends no frames; Overrun if the client is too
      slow; what the venue refuses all of the markets with.
    """
    bus = current_bus()
    with bus.used():
        await serve_frames(ctx, bus.mod, fqmes, points, ahead_ns)


@endpoint(sends=MendProgress)
async def mend_store(
    ctx: Context, fqme: str, period_s: int, since_s: int, until_s: int
) -> None:
    """Ask the venue for the bars that lack in a market's store, and store them.

    Args:
      fqme: full or short name.
      period_s: bar length.
      since_s, until_s: bars lack from there and to there too, where stored ones don't
        reach so far: those of files that were set aside. Epoch s; both 0: no more.
    Sends: how far it is, at the end with ``done`` at 1.
    Raises: BadFqme; SymbolNotFound; StoreError, e.g. if nothing is stored, the disk is
      full or another process writes it; VenueError: what was filled before is stored.
    """
    bus = current_bus()
    with bus.used():
        await ctx.started()
        async with ctx.open_stream() as stream:
            span = (since_s, until_s) if until_s > since_s else None
            await mend_market(bus, fqme, period_s, span, stream.send)
