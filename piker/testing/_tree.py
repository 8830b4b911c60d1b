"""A private tree for a test: its own port and folders, nothing left behind."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import trio

from piker import config
from piker.msgs import ServiceInfo
from piker.service import (
    Addr,
    Policy,
    Services,
    call_endpoint,
    is_fork_server,
    open_piker_runtime,
    open_pikerd,
    open_portal_to,
    probe,
    running_info,
)
from piker.service._rpc import list_services

from ._commands import open_command
from ._forks import server_pids

SHM_ROOT = Path("/dev/shm")  # noqa: S108 - the kernel's
GONE_DEADLINE_S = 15.0
PORTS = range(10_000, 32_768)
_SLICES = 16


class LeakError(AssertionError):
    """Something of a test's tree outlived it."""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody has now, nor gets by chance.

    It lies below those that the kernel gives out, e.g. to whoever connects next. Each
    worker of a suite has ports of its own, so that none is taken in the meantime.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    nth = int(worker) % _SLICES if worker.isdecimal() else secrets.randbelow(_SLICES)
    while True:
        port = secrets.choice(PORTS[nth::_SLICES])
        with socket.socket() as sock, suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port


@dataclass(eq=False)
class TestTree:
    """A running tree.

    Attributes:
      addr: of its registry.
      folder: everything of it on disk lies below.
      services: of an embedded tree, None of one in a process of its own.
      pikerd: the process of a tree that isn't embedded.
    """

    __test__ = False

    addr: Addr
    folder: Path
    services: Services | None = None
    pikerd: trio.Process | None = None
    shm: Path = field(default_factory=Path)

    @property
    def registry(self) -> str:
        """The registry's address as commands take it."""
        return f"{self.addr[0]}:{self.addr[1]}"

    @property
    def pid(self) -> int:
        """Of pikerd."""
        return self.pikerd.pid if self.pikerd else os.getpid()

    @property
    def env(self) -> dict[str, str]:
        """Environment for a command to be a client of this tree."""
        dirs = config.current_dirs()
        return {
            **os.environ,
            "PIKER_REGISTRY": self.registry,
            "PIKER_CONFIG_DIR": dirs.config,
            "PIKER_STATE_DIR": dirs.state,
            "PIKER_CACHE_DIR": dirs.cache,
            "PIKER_RUNTIME_DIR": dirs.runtime,
        }

    async def infos(self) -> dict[str, ServiceInfo]:
        """Return what runs as pikerd tells it, by name."""
        async with open_portal_to(self.addr) as portal:
            infos = await call_endpoint(portal, list_services)
        return {info.name: info for info in infos}

    def logs(self) -> str:
        """Return the logs of all actors."""
        files = sorted((self.folder / "state" / "log").glob("*"))
        return "\n".join(
            f"--- {f.name}\n{f.read_text(errors='replace')}" for f in files
        )


@contextmanager
def private_dirs(folder: Path, conf: str = "") -> Iterator[config.Dirs]:
    """Use folders below *folder* for everything, with *conf* as ``conf.toml``."""
    dirs = config.Dirs(
        config=str(folder / "config"),
        state=str(folder / "state"),
        cache=str(folder / "cache"),
        runtime=str(folder / "run"),
    )
    for place in (dirs.config, dirs.state, dirs.cache, dirs.runtime):
        Path(place).mkdir(mode=0o700, parents=True, exist_ok=True)
    if conf:
        (Path(dirs.config) / "conf.toml").write_text(conf)
    with config.use_dirs(dirs):
        yield dirs


def tree_processes(pid: int) -> list[psutil.Process]:
    """Return *pid*'s living descendants, but for fork servers."""
    return [p for p in _descendants(pid) if not _is_server(p)]


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        found = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []
    return [p for p in found if is_alive(p)]


def _is_server(proc: psutil.Process) -> bool:
    try:
        return is_fork_server(proc.cmdline())
    except psutil.Error:
        return False


def is_alive(proc: psutil.Process) -> bool:
    """Tell whether a process runs; a zombie doesn't."""
    try:
        return proc.is_running() and proc.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


async def wait_gone(procs: list[psutil.Process]) -> list[psutil.Process]:
    """Wait a little for *procs* to end; return those that didn't."""
    with trio.move_on_after(GONE_DEADLINE_S):
        while any(is_alive(p) for p in procs):  # noqa: ASYNC110 - not our children
            await trio.sleep(0.01)
    return [p for p in procs if is_alive(p)]


async def _check_leaks(tree: TestTree, before: set[int]) -> None:
    """Raise LeakError if anything of the tree is left; end what is."""
    known = before | server_pids()  # they are there as long as this process
    mine = [p for p in _descendants(os.getpid()) if p.pid not in known]
    left = await wait_gone(mine)
    faults = [f"process {p.pid} {' '.join(p.cmdline()[:6])}" for p in left]
    for proc in left:
        proc.kill()
    if tree.shm != Path() and tree.shm.exists():
        faults.append(f"shared memory {tree.shm}: {sorted(tree.shm.iterdir())}")
    faults += [str(p) for p in (tree.folder / "run").glob("*.cookie")]
    if await probe(tree.addr, deadline_s=0.5) is not None:
        faults.append(f"somebody listens at {tree.registry}")
    if faults:
        raise LeakError("left behind: " + "; ".join(faults))


@asynccontextmanager
async def open_test_pikerd(
    folder: Path,
    *,
    conf: str = "",
    deadline_s: float = 120.0,
    embedded: bool = True,
    policy: Policy | None = None,
    **pikerd_kwargs: Any,
) -> AsyncIterator[TestTree]:
    """Run a private tree; the caller is a client of it (or, embedded, its root).

    Args:
      folder: an empty one for its files.
      conf: text of its ``conf.toml``.
      deadline_s: for the block and the teardown, each.
      embedded: the calling process is pikerd itself; else it is one of its own.
      policy: of supervision, embedded only.
      **pikerd_kwargs: for ``open_pikerd()``, embedded only.

    Raises:
      LeakError: something is left after the end.
      trio.TooSlowError: the deadline passed.
    """
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    with private_dirs(folder, conf):
        tree = TestTree(("127.0.0.1", free_port()), folder)
        opening = (
            _embedded(tree, policy, pikerd_kwargs) if embedded else _separate(tree)
        )
        failed = True
        try:
            with trio.fail_after(deadline_s):
                async with opening:
                    tree.shm = Path(running_info(tree.addr)["shm"])
                    yield tree
            failed = False
        finally:
            if failed:
                sys.stderr.write(tree.logs())
            with trio.move_on_after(deadline_s) as scope:
                scope.shield = True  # leaks are looked for even under a cancel
                await _check_leaks(tree, before)


@asynccontextmanager
async def _embedded(
    tree: TestTree, policy: Policy | None, kwargs: dict[str, Any]
) -> AsyncIterator[None]:
    extra = {"piker_test_dir": str(tree.folder)}
    async with open_pikerd(
        tree.addr, policy=policy, log_level="debug", extra_vars=extra, **kwargs
    ) as services:
        tree.services = services
        yield


@asynccontextmanager
async def _separate(tree: TestTree) -> AsyncIterator[None]:
    await start_test_pikerd(tree)
    try:
        async with open_piker_runtime("test", tree.addr):
            yield
    finally:
        await end_test_pikerd(tree)


async def start_test_pikerd(tree: TestTree) -> None:
    """Start (again) the pikerd process of a tree that isn't embedded."""
    with (tree.folder / "pikerd.stderr").open("ab") as said:
        tree.pikerd = await open_command(
            *("-l", "debug", "-r", tree.registry),
            module="piker.cli.pikerd",
            env=tree.env,
            files=(subprocess.DEVNULL, said.fileno(), said.fileno()),
        )
    with trio.fail_after(20):
        # one that listens may be too busy to answer yet
        while (found := await probe(tree.addr)) is None or found[0] != "pikerd":
            if tree.pikerd.poll() is not None:
                text = (tree.folder / "pikerd.stderr").read_text()
                raise AssertionError(f"pikerd exited {tree.pikerd.returncode}: {text}")
            await trio.sleep(0.02)


async def end_test_pikerd(tree: TestTree) -> None:
    """End that pikerd process by SIGTERM, by SIGKILL if it takes too long."""
    proc = tree.pikerd
    if proc is None:
        return
    with trio.CancelScope(shield=True):  # bounded below
        if proc.poll() is None:
            proc.send_signal(signal.SIGTERM)
        with trio.move_on_after(12):
            await proc.wait()
        if proc.poll() is None:
            proc.kill()
            await proc.wait()
            raise LeakError("pikerd did not end within 12 s of SIGTERM")
