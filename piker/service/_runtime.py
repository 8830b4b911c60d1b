"""Actor runtimes: pikerd's, and a client's.

open_pikerd()            this process is the root of a tree
open_piker_runtime()     this process is a client of a running tree
maybe_open_pikerd()      a client; a pikerd is started if none runs
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import trio

from piker import config
from piker._forkserver import fork_own
from piker.errors import (
    DeadlineExceeded,
    PikerdNotServing,
    PikerError,
    RegistryUnreachable,
    TransportClosed,
)
from piker.log import get_logger

from . import _tractor as tr
from ._address import address_file, holder_pid, running_info, unanswered
from ._daemon import load_spawners, run_beside, start_at_boot
from ._mngr import Services, has_services, open_services
from ._pikerd import Pikerd, current_pikerd, maybe_pikerd, set_pikerd
from ._policy import Policy
from ._spec import BESIDE, PIKERD_MODULES, PRELOAD
from ._tree import Tree, open_tree

log = get_logger(__name__)

BOOT_DEADLINE_S = 20.0
#: All that ends with pikerd is bounded by itself; this is for what nobody thought of.
END_DEADLINE_S = 10.0
REATTACH_S = (0.05, 0.1, 0.2, 0.5, 1.0)


def _set_vars(addr: tr.Addr, **more: Any) -> None:
    told = tr.piker_vars()
    told.clear()
    told.update(
        dirs=msgspec.to_builtins(config.current_dirs()),
        registry=list(addr),
        cookie=str(address_file(addr, "cookie")),
        **more,
    )


def fork_daemons_off_me() -> None:
    """Fork the daemons of a tree off this process as it is now; call it first of all.

    Of a process that has one thread and will be pikerd. Without it, and in any other,
    the first daemon waits for a fork server to start and to import what daemons need.
    """
    fork_own(PRELOAD)


@contextmanager
def open_fork_server(also: Iterable[str] = ()) -> Iterator[None]:
    """Fork the daemons of every tree in the block off one server.

    Each :func:`open_pikerd` opens one of its own; a test suite, which has a tree a
    test, does well to open one for all of them.

    Args:
      also: modules it imports besides; none may start a thread.
    """
    preload = msgspec.structs.replace(PRELOAD, idle=(*PRELOAD.idle, *also))
    with tr.open_fork_server(preload):
        yield


@asynccontextmanager
async def _as_async(manager: AbstractContextManager[None]) -> AsyncIterator[None]:
    with manager:
        yield


@asynccontextmanager
async def open_pikerd(
    registry_addr: tr.Addr | None = None,
    *,
    policy: Policy | None = None,
    idle_exit_s: float | None = None,
    embedded: bool = True,
    log_level: str = "info",
    log_console: bool = False,
    extra_vars: dict[str, Any] | None = None,
) -> AsyncIterator[Services]:
    """Be pikerd: root of a tree, its registry, the supervisor of its daemons.

    Args:
      registry_addr: where to listen; as configured by default.
      policy: of supervision.
      idle_exit_s: end after so long without a client; never by default.
      embedded: this process is more than a pikerd (a demo, a test).
      log_level: of all actors.
      log_console: whether they also log to stderr.
      extra_vars: for ``piker_vars``, inherited by all actors.

    Raises:
      AddressInUse: another pikerd, or something else, has the address.
      ConfigError: the runtime folder isn't private, or can't be written.
      ShmFull: no room for the tree's folder.
    """
    addr = registry_addr or config.registry_addr()
    policy = policy or Policy()
    async with (
        _as_async(open_fork_server()),
        open_tree(addr) as tree,
        tr.open_root_actor(
            name="pikerd",
            registry_addr=addr,
            enable_modules=PIKERD_MODULES,
            be_registry=True,
        ),
    ):
        _set_vars(
            addr,
            shm=str(tree.shm),
            embedded=embedded,
            beat_s=policy.beat_s,
            policy=asdict(policy),
            log={"level": log_level, "console": log_console},
            **(extra_vars or {}),
        )
        async with _serve(tree, policy, idle_exit_s) as services:
            try:
                yield services
            finally:  # before the daemons are told: their end is what may hang
                if not embedded:
                    tr.exit_by(END_DEADLINE_S, 1)


@asynccontextmanager
async def _serve(
    tree: Tree, policy: Policy, idle_exit_s: float | None
) -> AsyncIterator[Services]:
    """Supervise until the block ends, or pikerd is told to end."""
    with trio.CancelScope() as scope:
        try:
            async with open_services(policy) as services:
                pikerd = Pikerd(tree, services, scope)
                set_pikerd(pikerd)
                if idle_exit_s is not None:
                    services.service_n.start_soon(pikerd.end_when_idle, idle_exit_s)
                if policy.at_boot:
                    _start_what_waits(services)
                yield services
        finally:
            set_pikerd(None)


def _start_what_waits(services: Services) -> None:
    services.service_n.start_soon(start_at_boot)
    for source in BESIDE:
        services.service_n.start_soon(run_beside, source, services)


@asynccontextmanager
async def open_piker_runtime(
    name: str,
    registry_addr: tr.Addr | None = None,
    *,
    enable_modules: tuple[str, ...] = (),
) -> AsyncIterator[None]:
    """Be a client of the tree at *registry_addr*, counted and found by name.

    When its pikerd dies the client stays, waits for the next one and registers there.

    Args:
      name: of the client actor.
      registry_addr: of the tree; as configured by default.
      enable_modules: whose endpoints others may call.

    Raises:
      RegistryUnreachable: nobody listens there, or it is not a pikerd.
    """
    addr = registry_addr or config.registry_addr()
    await _check_pikerd(addr)
    async with tr.open_root_actor(
        name=name,
        registry_addr=addr,
        enable_modules=enable_modules,
        be_registry=False,
    ):
        _set_vars(addr)
        async with tr.collapse_eg(), trio.open_nursery() as chores:
            await chores.start(_stay_attached, name, addr)
            yield
            chores.cancel_scope.cancel()


async def _check_pikerd(addr: tr.Addr) -> None:
    found = await tr.probe(addr)
    where = config.show_addr(addr)
    if found is None:
        raise RegistryUnreachable(
            f"no pikerd answers at {where}; start one with `pikerd`, or name another "
            "address with --registry HOST:PORT"
        )
    if found == "foreign" or found[0] != "pikerd":
        raise RegistryUnreachable(unanswered(addr))


async def _stay_attached(
    name: str, addr: tr.Addr, task_status: Any = trio.TASK_STATUS_IGNORED
) -> None:
    """Hold the client's line to pikerd; take it up again with the next one."""
    from ._rpc import attach_client

    tries = 0
    attached_before = False
    while True:
        try:
            async with (
                tr.open_portal_to(addr) as portal,
                tr.open_context(portal, attach_client, name=name, pid=os.getpid()) as (
                    _,
                    told,
                ),
            ):
                tr.piker_vars()["shm"] = told["shm"]
                if attached_before:
                    await tr.register_self()
                    log.warning("attached to a new pikerd pid=%s", told["pid"])
                attached_before, tries = True, 0
                task_status.started()
                task_status = trio.TASK_STATUS_IGNORED
                await trio.sleep_forever()
        except (TransportClosed, DeadlineExceeded, RegistryUnreachable) as err:
            if not attached_before:
                if isinstance(err, PikerdNotServing):
                    raise
                raise RegistryUnreachable(str(err)) from None
            if not tries:
                log.warning("lost pikerd, waiting for the next one: %s", err)
        except PikerError as err:
            if not attached_before:
                raise
            log.warning("pikerd refused this client: %s", err)
        await trio.sleep(REATTACH_S[min(tries, len(REATTACH_S) - 1)])
        tries += 1


@asynccontextmanager
async def maybe_open_pikerd(
    name: str = "client",
    registry_addr: tr.Addr | None = None,
    *,
    on_start: Callable[[str], None] | None = None,
    enable_modules: tuple[str, ...] = (),
) -> AsyncIterator[Services | None]:
    """Be in a tree: this process's own, a running one, or one started for it.

    Yields the ``Services`` where this process is pikerd, None where it is a client. A
    pikerd started here is a process of its own and stays when this one leaves; it
    ends by itself after a while without clients.

    Args:
      name: of the client actor.
      registry_addr: of the tree; as configured by default.
      on_start: told in a sentence that a pikerd was started.
      enable_modules: of the client actor, whose endpoints others may call.

    Raises:
      RegistryUnreachable: none runs and none could be started.
    """
    if has_services():
        yield current_pikerd().services
        return
    if tr.current_actor() is not None:
        yield None
        return
    addr = registry_addr or config.registry_addr()
    async with AsyncExitStack() as stack:
        deadline = time.monotonic() + BOOT_DEADLINE_S
        while True:
            if await tr.probe(addr) is None:
                told = await start_pikerd(addr)
                if on_start is not None:
                    on_start(told)
            try:
                await stack.enter_async_context(
                    open_piker_runtime(name, addr, enable_modules=enable_modules)
                )
                break
            except RegistryUnreachable as err:
                # it is ending, or did so just now: the next one is ours to start
                going = isinstance(err, PikerdNotServing)
                going = going or await tr.probe(addr) is None
                if not going or time.monotonic() > deadline:
                    raise
            await trio.sleep(0.05)
        yield None


async def start_pikerd(addr: tr.Addr) -> str:
    """Start a pikerd of its own for *addr*, detached; return a sentence about it.

    Two clients may do so at once: one pikerd gets the address, both find it.
    """
    folder = Path(config.state_dir()) / "log"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    errors = folder / "pikerd.stderr"
    argv = [sys.executable, "-m", "piker.cli.pikerd", "--idle-exit"]
    argv += ["--registry", config.show_addr(addr)]
    dirs = config.current_dirs()
    env = {
        **os.environ,
        "PIKER_CONFIG_DIR": dirs.config,
        "PIKER_STATE_DIR": dirs.state,
        "PIKER_CACHE_DIR": dirs.cache,
        "PIKER_RUNTIME_DIR": dirs.runtime,
    }
    proc = _start_detached(argv, env, errors)
    deadline = time.monotonic() + BOOT_DEADLINE_S
    while time.monotonic() < deadline:
        found = await tr.probe(addr)
        if found is not None and found != "foreign" and found[0] == "pikerd":
            pid = running_info(addr).get("pid", proc.pid)
            return (
                f"started pikerd (pid {pid}) in the background; it leaves by itself "
                "when it has no clients, `piker services stop pikerd` ends it now"
            )
        # one that lost the address to another's, started at the same time, is no loss
        if proc.poll() is not None and holder_pid(addr) in (None, proc.pid):
            raise RegistryUnreachable(_why_not_started(proc, errors))
        await trio.sleep(0.02)
    proc.kill()  # it may be stopped, or hang; nobody knows of it
    raise RegistryUnreachable(
        f"pikerd was not up in {BOOT_DEADLINE_S:g} s and was ended; "
        f"the logs in {folder} may say why"
    )


def _start_detached(
    argv: list[str], env: dict[str, str], errors: Path
) -> subprocess.Popen[bytes]:
    with errors.open("wb") as sink:
        proc = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=sink,
            start_new_session=True,
            cwd="/",  # it outlives the folder this process was started in
            env=env,
        )
    # It may end while this process lives, which is to leave no zombie.
    threading.Thread(target=proc.wait, daemon=True, name="pikerd-reaper").start()
    return proc


def _why_not_started(proc: subprocess.Popen[bytes], errors: Path) -> str:
    said = errors.read_text(encoding="utf-8", errors="replace").strip()
    last = said.splitlines()[-1] if said else f"exit code {proc.returncode}"
    return f"could not start pikerd: {last.removeprefix('error: ')}"


async def run_pikerd(
    registry_addr: tr.Addr,
    *,
    idle_exit_s: float | None,
    log_level: str,
    on_up: Callable[[], None],
) -> str:
    """Be a pikerd process until a signal, a command or idleness; return which.

    Raises KeyboardInterrupt after an orderly end by Ctrl-C, besides what
    :func:`open_pikerd` raises.
    """
    ends: list[signal.Signals] = []
    why = ""
    async with tr.collapse_eg(), trio.open_nursery() as tasks:
        await tasks.start(_end_on_signal, ends, tasks.cancel_scope)
        async with open_pikerd(
            registry_addr,
            idle_exit_s=idle_exit_s,
            embedded=False,
            log_level=log_level,
        ):
            pikerd = current_pikerd()
            on_up()
            load_spawners()
            await trio.sleep_forever()
        why = pikerd.why_ended
        tasks.cancel_scope.cancel()
    if signal.SIGINT in ends:
        raise KeyboardInterrupt
    return why or ends[0].name


async def _end_on_signal(
    ends: list[signal.Signals],
    booting: trio.CancelScope,
    task_status: Any = trio.TASK_STATUS_IGNORED,
) -> None:
    """End this pikerd in order on SIGTERM, Ctrl-C or the terminal's end.

    Ctrl-C as an exception would come up in any task, tractor's own too. A signal that
    is ignored, as under nohup or in a shell's background, stays so.
    """
    wanted = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    heard = [sig for sig in wanted if signal.getsignal(sig) is not signal.SIG_IGN]
    with trio.open_signal_receiver(*heard) as signals:
        task_status.started()
        async for number in signals:
            ends.append(signal.Signals(number))
            pikerd = maybe_pikerd()
            if pikerd is not None:
                pikerd.end(ends[-1].name)
            else:
                tr.exit_by(END_DEADLINE_S, 1)
                booting.cancel()
