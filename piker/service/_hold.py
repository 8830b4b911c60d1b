"""How a daemon keeps its tree from ending for that nobody is attached."""

from __future__ import annotations

import trio

from piker.errors import RegistryUnreachable

from . import _tractor as tr
from ._rpc import hold_tree


async def hold_pikerd(why: str) -> None:
    """Count as a client of this tree's pikerd until cancelled.

    Args:
      why: shown in its log, e.g. ``emsd: 3 orders``.

    Raises: RegistryUnreachable: this process belongs to no tree; TransportClosed: its
      pikerd is gone.
    """
    addr = tr.registry_addr()
    if addr is None:
        raise RegistryUnreachable("this process belongs to no tree")
    async with (
        tr.open_portal_to(addr) as portal,
        tr.open_context(portal, hold_tree, why=why),
    ):
        await trio.sleep_forever()
