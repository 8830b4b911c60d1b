"""``emsd``: dark orders and the routing of all orders; one a tree, for all brokers.

    clients --open_order_dialog--> [emsd: Ems] --> paperboi.<broker>, brokerd.<broker>

It must never hold a secret or open a venue's connection.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from piker.errors import PikerError
from piker.log import get_logger
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

from ._journal import count_live, journal_path

log = get_logger(__name__)

KIND = "emsd"
_MODULES = (
    "piker.clearing._daemon",
    "piker.clearing._rpc",
    "piker.service._actor_rpc",
    "piker.service._children_rpc",
)


@endpoint()
async def _setup_persistent_emsd(ctx: Context) -> None:
    """Be emsd until cancelled, or until nobody wants anything."""
    from ._ems import open_ems_here

    setup_actor_log(KIND)
    async with (
        open_ems_here() as ems,
        daemon_life(ctx, doing=ems.doing),
    ):
        await ems.end_when_idle()


def emsd_init() -> DaemonSpec:
    """Describe the daemon; starts nothing."""
    return DaemonSpec(
        name=KIND,
        enable_modules=_MODULES,
        setup=_setup_persistent_emsd,
        supervises=True,
    )


async def spawn_emsd() -> None:
    """Start emsd under this process's services."""
    await current_services().actor_n.start_actor(emsd_init())


@asynccontextmanager
async def maybe_spawn_emsd() -> AsyncIterator[Portal]:
    """Yield a portal to emsd, started first if it isn't up."""
    async with maybe_spawn_daemon(KIND) as portal:
        yield portal


#: As the rest of the design calls it.
maybe_open_emsd = maybe_spawn_emsd


def wanted_at_boot() -> list[str]:
    """Return what pikerd starts when it comes up: emsd, if orders wait for it."""
    path = journal_path()
    try:
        return [KIND] if count_live(path) else []
    except PikerError as err:
        log.error("orders may wait and can't be looked after: %s", err)  # noqa: TRY400
        return []
