"""How a benchmark's process and its parent talk: JSON lines, and the end of stdin.

A child whose parent is gone reads the end of its stdin and leaves: nothing a benchmark
started outlives it, however it ended.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import trio


def say(**what: Any) -> None:
    """Tell the parent."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def heard() -> AsyncIterator[Any]:
    """Yield what the parent tells, until it leaves."""
    rest = b""
    while True:
        await trio.lowlevel.wait_readable(0)
        got = os.read(0, 65536)
        if not got:
            return
        *lines, rest = (rest + got).split(b"\n")
        for line in lines:
            yield json.loads(line)


async def parent_gone() -> None:
    """Return once the parent has closed our stdin, by its end at the latest."""
    async for _ in heard():
        pass
