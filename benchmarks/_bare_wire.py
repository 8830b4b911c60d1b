"""A bare websocket client of an emulated Kraken: what the machine does to a stream.

``python -m benchmarks._bare_wire URL SYMBOL``; a parent hears and tells, see
``_speak``. Nothing of piker is in it.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from typing import Any

import trio
from websockets.trio.client import connect

from ._speak import heard, say


async def _receive(conn: Any, arrivals: list[tuple[int, int]]) -> None:
    """Note when each frame of trades came, and the last trade in it."""
    async for text in conn:
        frame = json.loads(text)
        if frame.get("channel") == "trade" and frame["type"] == "update":
            if not arrivals:
                say(ready=True)
            arrivals.append((time.monotonic_ns(), frame["data"][-1]["trade_id"]))


async def _main(url: str, symbol: str) -> None:
    arrivals: list[tuple[int, int]] = []
    async with trio.open_nursery() as tasks:
        # its own `async with` can't be cancelled on trio 0.22
        conn = await connect(url, compression=None, max_queue=None).connect(tasks)
        params = {"channel": "trade", "symbol": [symbol], "snapshot": False}
        await conn.send(json.dumps({"method": "subscribe", "params": params}))
        tasks.start_soon(_receive, conn, arrivals)
        async for _ in heard():
            say(arrivals=arrivals)
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    signal.alarm(600)  # the last bound of all
    trio.run(_main, sys.argv[1], sys.argv[2])
