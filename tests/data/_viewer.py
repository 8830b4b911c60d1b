"""A viewer in a process of its own: ``python _viewer.py FQME...``; a line each event.

It says ``up`` once its feed is open, then a line for each message: its type, and for a
quote the market and how many ticks.
"""

from __future__ import annotations

import sys

import trio

from piker import config
from piker.data import Quote, open_feed
from piker.service import open_piker_runtime


async def main(fqmes: list[str]) -> None:
    async with (
        open_piker_runtime("viewer", config.registry_addr()),
        open_feed(fqmes) as feed,
    ):
        print("up", flush=True)
        async for item in feed.messages:
            if isinstance(item, Quote):
                print("Quote", item.fqme, len(item.ticks), item.missed, flush=True)
            else:
                print(
                    type(item).__name__,
                    item.reason if hasattr(item, "reason") else item.missed,
                    flush=True,
                )


if __name__ == "__main__":
    trio.run(main, sys.argv[1:])
