"""``paperboi.<broker>``: simulated clearing of one broker; owner of its paper ledger.

    emsd --open_paper_dialog--> [paperboi.<broker>: PaperEngine] <--feeds-- datad

It must never talk to a venue or see a secret. Its twins are ``piker.data._daemon`` and
``piker.brokers._daemon``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from piker.brokers import get_brokermod
from piker.data import rpc_modules, spawn_kwargs
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

KIND = "paperboi"
_MODULES = (
    "piker.clearing._paper",
    "piker.clearing._paper_rpc",
    "piker.service._actor_rpc",
)


@endpoint()
async def _setup_persistent_paperboi(ctx: Context, brokername: str) -> None:
    """Be the paperboi of a broker until cancelled."""
    from ._paper_engine import open_engine

    setup_actor_log(f"{KIND}.{brokername}")
    async with (
        open_engine(get_brokermod(brokername)) as engine,
        daemon_life(ctx, doing=engine.doing),
    ):
        await engine.run()


def paperboi_init(brokername: str) -> DaemonSpec:
    """Describe the daemon; starts nothing. Raises BrokerNotFound."""
    mod = get_brokermod(brokername)
    return DaemonSpec(
        name=f"{KIND}.{brokername}",
        enable_modules=(*_MODULES, *rpc_modules(mod, KIND)),
        setup=_setup_persistent_paperboi,
        setup_kwargs={"brokername": brokername},
        spawn_kwargs=spawn_kwargs(mod),
    )


async def spawn_paperboi(brokername: str) -> None:
    """Start the paperboi of a broker under this process's services."""
    await current_services().actor_n.start_actor(paperboi_init(brokername))


@asynccontextmanager
async def maybe_spawn_paperboi(brokername: str) -> AsyncIterator[Portal]:
    """Yield a portal to the paperboi of a broker, started first if it isn't up."""
    name = f"{KIND}.{brokername}"
    async with maybe_spawn_daemon(name, {"brokername": brokername}) as portal:
        yield portal
