"""Services of services: what a daemon supervises itself, seen from pikerd.

pikerd --list, restart, stop--> [emsd: its own Services] --> paperboi.<broker>
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import trio

from piker.errors import DeadlineExceeded, PikerError
from piker.log import get_logger
from piker.msgs import ServiceInfo

from . import _children_rpc as rpc, _tractor as tr
from ._mngr import Services
from ._service import Service

log = get_logger(__name__)

#: One that doesn't answer is left out of the list: it is shown to be unresponsive.
ASK_DEADLINE_S: Final = 1.0
_COMMAND_DEADLINE_S: Final = 30.0


async def nested_infos(services: Services) -> list[ServiceInfo]:
    """Return what the daemons of *services* supervise themselves, by name."""
    found: list[ServiceInfo] = []
    for service in _supervisors(services):
        with suppress(PikerError):
            found += await _ask(service, rpc.list_own_services, ASK_DEADLINE_S)
    return sorted(found, key=lambda info: info.name)


async def command_nested(
    services: Services, name: str, *, restart: bool
) -> ServiceInfo | None:
    """Restart or stop *name* where a daemon of *services* supervises it, else None.

    Raises what keeps it from being restarted.
    """
    for service in _supervisors(services):
        infos: list[ServiceInfo] = []
        with suppress(PikerError):
            infos = await _ask(service, rpc.list_own_services, ASK_DEADLINE_S)
        if any(info.name == name for info in infos):
            target = rpc.restart_own_service if restart else rpc.stop_own_service
            return await _ask(service, target, _COMMAND_DEADLINE_S, name=name)
    return None


def _supervisors(services: Services) -> list[Service]:
    return [
        service
        for service in services.service_tasks.values()
        if service.spec.supervises and service.state == "running"
    ]


async def _ask(service: Service, target: Any, deadline_s: float, **kwargs: Any) -> Any:
    child = service.child
    if child is None or child.portal is None:
        raise DeadlineExceeded(f"{service.spec.name!r} is not up")
    with trio.move_on_after(deadline_s):
        return await tr.call_endpoint(
            child.portal, target, deadline_s=deadline_s, **kwargs
        )
    raise DeadlineExceeded(f"{service.spec.name!r} did not answer in {deadline_s:g} s")
