"""A bot of one page: buys with a limit that trails the market, on paper.

    python examples/trailing_limit.py [SECONDS] [FQME]

Its limit stays a little below the market while that rises, and stays where it is while
the market falls: so it buys the first dip. It may be killed at any time: the order
lives on in emsd, and the bot finds it again when it is started anew.
"""

# ruff: noqa: T201 - an example says what it does

from __future__ import annotations

import argparse
import math
from collections.abc import AsyncIterator
from decimal import Decimal

import trio

from piker.clearing import OrderClient, TradesStream, new_oid, open_ems
from piker.data import Feed, open_feed
from piker.errors import OrderRefused
from piker.msgs import MktPair, Order, Quote, Status
from piker.service import maybe_open_pikerd

#: How far below the market it buys, a part of the price.
DISTANCE = Decimal("0.0002")
#: What it buys for, quote units.
WORTH = 50
ENDED = ("closed", "canceled", "error")


def trailing_limit(mkt: MktPair, last: float) -> Decimal:
    """Return the limit that belongs to a price, a multiple of the market's tick."""
    return mkt.quantize(Decimal(repr(last)) * (1 - DISTANCE), "price")


async def prices(feed: Feed) -> AsyncIterator[float]:
    """Yield the market's price whenever it may have changed."""
    async for msg in feed.messages:
        if isinstance(msg, Quote) and not math.isnan(msg.last):
            yield msg.last


async def trail(feed: Feed, client: OrderClient, oid: str) -> None:
    """Place the order, then move its limit up behind the market, for ever."""
    (flume,) = feed.flumes.values()
    known = client.dialogs.get(oid)
    best = known.req.price if known and known.req and known.req.price else Decimal(0)
    async for last in prices(feed):
        limit = trailing_limit(flume.mkt, last)
        if limit <= best:
            continue
        try:
            if best:
                await client.update(oid, price=limit)
                print(f"the market is at {last}: limit moved to {limit}", flush=True)
            else:
                size = max(flume.mkt.quantize(WORTH / last), flume.mkt.size_tick)
                order = Order(
                    oid=oid, action="buy", symbol=client.fqme, size=size, price=limit
                )
                await client.send(order)
                print(f"the market is at {last}: buy {size} at {limit}", flush=True)
        except OrderRefused as err:  # e.g. it was filled just now
            print(f"not done: {err}", flush=True)
        else:
            best = limit


async def until_ended(trades: TradesStream, oid: str) -> None:
    """Tell of fills; return when the order is no more."""
    async for msg in trades:
        if not isinstance(msg, Status) or msg.oid != oid:
            continue
        if msg.fill is not None:
            print(f"bought {msg.fill.size} at {msg.fill.price}", flush=True)
        if msg.resp in ENDED:
            print(f"the order is {msg.resp} {msg.reason}".rstrip(), flush=True)
            return


async def main(seconds: float, fqme: str) -> None:
    """Run the bot until its order has ended, or for *seconds*."""
    async with (
        maybe_open_pikerd("trailing-limit"),
        open_ems(fqme) as (client, trades, positions, *_),
        open_feed(fqme) as feed,
        trio.open_nursery() as tasks,
    ):
        mine = (oid for oid in client.dialogs if oid.startswith("trailing-"))
        oid = next(mine, f"trailing-{new_oid()}")
        with trio.move_on_after(seconds):
            tasks.start_soon(trail, feed, client, oid)
            await until_ended(trades, oid)
        tasks.cancel_scope.cancel()
    if oid in client.dialogs:
        print(f"{oid} lives on: start the bot again, or `piker orders cancel {oid}`")
    for position in positions.values():
        print(
            f"held of {position.symbol}: {position.size} at {position.avg_price:.12g}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="buys with a limit that trails")
    parser.add_argument("seconds", type=float, nargs="?", default=60.0)
    parser.add_argument("fqme", nargs="?", default="btcusdt.spot.sim")
    args = parser.parse_args()
    try:
        trio.run(main, args.seconds, args.fqme)
    except* KeyboardInterrupt:
        print("the order lives on: `piker orders ls` shows it")
