"""What each actor of a tree is doing: asked first, and looked at if it is silent.

    dump_tree() --dump_tasks--> actor        its tasks
                --SIGUSR1-----> its process  the stacks of its threads, in a file

Actors are asked at the same time, each with its own deadline: one that hangs keeps
no other from answering.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import trio

from piker.config import parse_addr
from piker.errors import (
    DeadlineExceeded,
    PikerError,
    RegistryUnreachable,
    TransportClosed,
)
from piker.service import (
    call_endpoint,
    is_fork_server,
    open_piker_runtime,
    open_portal_to,
    running_info,
)
from piker.types import Struct

if TYPE_CHECKING:
    from piker.msgs import ServiceInfo
    from piker.service import Addr

STACKS_DEADLINE_S = 1.0
_SUFFIX = ".stacks"


class Dump(Struct, frozen=True, kw_only=True):
    """What one actor was doing.

    Attributes:
      name: of the actor.
      pid: of its process, -1 if it has none.
      answered: whether it answered the call.
      tasks: its tasks, nested; empty if it did not answer.
      stacks: of its threads, if it did not answer but still handles signals.
      note: why something is missing; empty if nothing is.
    """

    name: str
    pid: int
    answered: bool = False
    tasks: str = ""
    stacks: str = ""
    note: str = ""


async def dump_tree(addr: Addr, deadline_s: float) -> list[Dump]:
    """Return a dump of pikerd and of each of its services.

    Args:
      addr: of the registry.
      deadline_s: for the answer of each actor.

    Raises:
      RegistryUnreachable: no pikerd of this user runs there.
    """
    try:
        return await _ask_tree(addr, deadline_s)
    except (RegistryUnreachable, DeadlineExceeded, TransportClosed) as err:
        found = _processes_of(addr)
        if not found:
            raise
        return [await _look(name, pid, str(err)) for name, pid in found]


async def _ask_tree(addr: Addr, deadline_s: float) -> list[Dump]:
    from piker.service._actor_rpc import dump_tasks as of_daemon
    from piker.service._rpc import dump_tasks as of_pikerd, list_services

    async with open_piker_runtime("debug", addr):
        async with open_portal_to(addr, deadline_s=deadline_s) as portal:
            infos: list[ServiceInfo] = await call_endpoint(
                portal, list_services, deadline_s=deadline_s
            )
        dumps: dict[str, Dump] = {}

        async def ask(info: ServiceInfo) -> None:
            func = of_pikerd if info.name == "pikerd" else of_daemon
            dumps[info.name] = await _ask(info, func, deadline_s)

        async with trio.open_nursery() as tasks:
            for info in infos:
                tasks.start_soon(ask, info)
        return [dumps[info.name] for info in infos]


async def _ask(info: ServiceInfo, func: Callable[..., Any], deadline_s: float) -> Dump:
    """Return one actor's dump; whatever is wrong with it is in the dump's note."""
    if info.pid < 0:
        return Dump(name=info.name, pid=-1, note=f"{info.state}, it has no process")
    if not info.address:
        return await _look(info.name, info.pid, f"{info.state}, it has no address yet")
    try:
        addr = parse_addr(info.address)
        async with open_portal_to(addr, deadline_s=deadline_s) as portal:
            tasks: str = await call_endpoint(portal, func, deadline_s=deadline_s)
    except PikerError as err:
        return await _look(info.name, info.pid, str(err))
    return Dump(name=info.name, pid=info.pid, answered=True, tasks=tasks)


# -- without asking -----------------------------------------------------------


def _processes_of(addr: Addr) -> list[tuple[str, int]]:
    """Return (name, pid) of pikerd at *addr* and of its daemons, without asking it."""
    pid = running_info(addr).get("pid")
    if pid is None or not psutil.pid_exists(pid):
        return []
    with suppress(psutil.Error):
        below = psutil.Process(pid).children(recursive=True)
        daemons = [each.pid for each in below if not is_fork_server(each.cmdline())]
        return [(_name_of(each), each) for each in [pid, *daemons]]
    return []


def _name_of(pid: int) -> str:
    path = stacks_file(pid)
    return path.name.removesuffix(_SUFFIX) if path else f"process {pid}"


def stacks_file(pid: int) -> Path | None:
    """Return the file that process *pid* writes its stacks to on SIGUSR1, if it does.

    It is open there, so this also tells that the signal is handled: it would end a
    process that doesn't.
    """
    with suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                target = link.readlink()
                if target.suffix == _SUFFIX and _catches_usr1(pid):
                    return target
    return None


def _catches_usr1(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    for line in status.splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (signal.SIGUSR1 - 1) & 1)
    return False


async def _look(name: str, pid: int, why: str) -> Dump:
    """Return the stacks of a process that can't be asked, *why* being the reason."""
    path = stacks_file(pid)
    if path is None:
        return Dump(name=name, pid=pid, note=f"{why}; it shows no stacks")
    with suppress(psutil.Error):
        if psutil.Process(pid).status() == psutil.STATUS_STOPPED:
            text = f"{why}; its process is stopped, `kill -CONT {pid}` lets it go on"
            return Dump(name=name, pid=pid, note=text)
    stacks = await _provoke(pid, path)
    note = why if stacks else f"{why}; it doesn't handle signals either"
    return Dump(name=name, pid=pid, stacks=stacks, note=note)


async def _provoke(pid: int, path: Path) -> str:
    """Have *pid* write its stacks to *path*; return them, empty if it doesn't."""
    with suppress(OSError), path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        os.kill(pid, signal.SIGUSR1)
        stacks = b""
        with trio.move_on_after(STACKS_DEADLINE_S):
            while True:
                await trio.sleep(0.05)
                more = file.read()
                if stacks and not more:
                    break
                stacks += more
        return stacks.decode(errors="replace").rstrip()
    return ""
