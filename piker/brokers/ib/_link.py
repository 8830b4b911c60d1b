"""This process's one connection to IB, shared by all that need it.

open_link() --the first--> open_proxy(open_client) --the last leaves--> kept for a while

A gateway needs a moment to forget a client, and its id meanwhile is in use: who comes
back soon finds the connection that was there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from piker.brokers._aio import MethodProxy, open_proxy
from piker.brokers._web import open_shared, run_local
from piker.errors import VenueUnreachable
from piker.log import get_logger

from ._client import Client, open_client
from ._conf import BROKER, IbConf, Role, load_conf
from ._kept_asks import kept_path

log = get_logger(__name__)

#: So long a connection that nobody uses is kept.
LINGER_S: Final = 20.0
_LOOK_S: Final = 0.5


@dataclass(eq=False)
class _Users:
    """Who uses a connection: how many, and when the last left."""

    count: int = 0
    left_at: float = 0.0
    is_held: bool = False


def _opener(
    conf: IbConf, role: Role
) -> AbstractAsyncContextManager[MethodProxy[Client]]:
    kept = kept_path() if role == "datad" else None  # others don't ask for the past
    return open_proxy(
        partial(open_client, conf, role, kept),
        venue=BROKER,
        deadline_s=conf.deadline_s,
    )


@asynccontextmanager
async def open_link(role: Role) -> AsyncIterator[MethodProxy[Client]]:
    """Yield what asks this process's client of IB.

    Args:
      role: the kind of this process: each has client ids of its own.

    Raises:
      ConfigError: the config is wrong. That no gateway is there is told to who asks
        for something.
      VenueUnreachable: this process has no asyncio loop.
    """
    _check_loop()
    conf = load_conf()
    key = (BROKER, role, tuple(conf.places()), conf.clock)
    users = run_local(("users", *key), _Users)
    opener = partial(_opener, conf, role)
    async with open_shared(opener, key) as proxy:
        if not users.is_held:
            users.is_held = True
            trio.lowlevel.spawn_system_task(_hold, opener, key, users)
        users.count += 1
        try:
            yield proxy
        finally:
            users.count -= 1
            users.left_at = trio.current_time()


def _check_loop() -> None:
    try:
        asyncio.get_running_loop()  # trio is its guest
    except RuntimeError:
        raise VenueUnreachable(
            "ib is asked by its daemons alone: this process has no asyncio loop"
        ) from None


async def _hold(
    opener: Callable[[], AbstractAsyncContextManager[MethodProxy[Client]]],
    key: Hashable,
    users: _Users,
) -> None:
    """Keep a connection until nobody has used it for a while; raises nothing."""
    try:
        async with open_shared(opener, key):
            while users.count or _is_recent(users):  # noqa: ASYNC110 - until a time
                await trio.sleep(_LOOK_S)
    except Exception as err:  # noqa: BLE001 - a system task's error ends the run
        log.debug("ib's connection isn't kept: %r", err)
    finally:
        users.is_held = False


def _is_recent(users: _Users) -> bool:
    return trio.current_time() < users.left_at + LINGER_S
