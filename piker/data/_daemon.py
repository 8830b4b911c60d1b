"""``datad.<broker>``: feeds, bars and symbol search of one broker.

    clients --open_feed_bus, search--> [datad.<broker>: FeedsBus] --> its venue

It must never see a secret or take an order. Its twin is ``piker.brokers._daemon``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from piker.brokers import get_brokermod
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

from .validate import rpc_modules, spawn_kwargs

KIND = "datad"
_MODULES = ("piker.data._daemon", "piker.data._rpc", "piker.service._actor_rpc")


@endpoint()
async def _setup_persistent_datad(ctx: Context, brokername: str) -> None:
    """Be the datad of a broker until cancelled, or until nobody wants anything."""
    from ._bus import open_bus

    setup_actor_log(f"{KIND}.{brokername}")
    async with (
        open_bus(get_brokermod(brokername)) as bus,
        daemon_life(ctx, doing=bus.doing),
    ):
        await bus.end_when_idle()


def datad_init(brokername: str) -> DaemonSpec:
    """Describe the daemon; starts nothing. Raises BrokerNotFound."""
    mod = get_brokermod(brokername)
    return DaemonSpec(
        name=f"{KIND}.{brokername}",
        enable_modules=(*_MODULES, *rpc_modules(mod, KIND)),
        setup=_setup_persistent_datad,
        setup_kwargs={"brokername": brokername},
        spawn_kwargs=spawn_kwargs(mod),
    )


async def spawn_datad(brokername: str) -> None:
    """Start the datad of a broker under this process's services."""
    await current_services().actor_n.start_actor(datad_init(brokername))


@asynccontextmanager
async def maybe_spawn_datad(brokername: str) -> AsyncIterator[Portal]:
    """Yield a portal to the datad of a broker, started first if it isn't up."""
    name = f"{KIND}.{brokername}"
    async with maybe_spawn_daemon(name, {"brokername": brokername}) as portal:
        yield portal
