"""``brokerd.<broker>``: live orders of one broker, with its account's secrets.

    emsd --open_trade_dialog--> [brokerd.<broker>: the account] --> its venue

It must never expose anything of ``piker.data``, nor start for a chart or a paper
session: ``piker.clearing._ems.open_brokerd`` alone boots it, for live orders and for
looks at accounts. Its twin is ``piker.data._daemon``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from piker.service import (
    Context,
    DaemonSpec,
    Portal,
    current_services,
    daemon_life,
    endpoint,
    maybe_spawn_daemon,
    setup_actor_log,
)

from . import get_brokermod
from ._mods import rpc_modules, spawn_kwargs

KIND = "brokerd"
_MODULES = (
    "piker.brokers._daemon",
    "piker.brokers._live._rpc",
    "piker.service._actor_rpc",
)


@endpoint()
async def _setup_persistent_brokerd(ctx: Context, brokername: str) -> None:
    """Be the brokerd of a broker until cancelled."""
    from ._live._dialog import open_host  # who starts one, or wants data, needs it not

    setup_actor_log(f"{KIND}.{brokername}")
    async with open_host(brokername) as host, daemon_life(ctx, doing=host.doing):
        await trio.sleep_forever()


def brokerd_init(brokername: str) -> DaemonSpec:
    """Describe the daemon; starts nothing. Raises BrokerNotFound."""
    mod = get_brokermod(brokername)
    return DaemonSpec(
        name=f"{KIND}.{brokername}",
        enable_modules=(*_MODULES, *rpc_modules(mod, KIND)),
        setup=_setup_persistent_brokerd,
        setup_kwargs={"brokername": brokername},
        spawn_kwargs=spawn_kwargs(mod),
    )


async def spawn_brokerd(brokername: str) -> None:
    """Start the brokerd of a broker under this process's services."""
    await current_services().actor_n.start_actor(brokerd_init(brokername))


@asynccontextmanager
async def maybe_spawn_brokerd(brokername: str) -> AsyncIterator[Portal]:
    """Yield a portal to the brokerd of a broker, started first if it isn't up."""
    name = f"{KIND}.{brokername}"
    async with maybe_spawn_daemon(name, {"brokername": brokername}) as portal:
        yield portal
