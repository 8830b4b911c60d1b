"""What always holds, by the numbers of the design."""

from __future__ import annotations

import ast
import importlib
import inspect
import io
import os
import signal
import subprocess
import sys
import tokenize
from pathlib import Path

import psutil
import pytest
import trio

import piker
from piker.errors import TransportClosed, Unauthorised
from piker.service import (
    PIKERD_MODULES,
    SPAWNERS,
    _tractor as tr,
    call_endpoint,
    maybe_spawn_daemon,
    open_portal_to,
)
from piker.service._rpc import list_services, ping
from piker.testing import is_alive, tree_processes, wait_gone
from tests.service import toyd
from tests.service._place import Place

PACKAGE = Path(piker.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
MODULES = [
    ".".join(("piker", *path.relative_to(PACKAGE).with_suffix("").parts))
    for path in SOURCES
    if path.name not in ("__init__.py", "__main__.py")
    # one of the two for each version of tractor; the right one is imported by the rest
    and path.name not in ("_a5.py", "_main.py")
]


async def pid_of(name: str) -> int:
    with trio.fail_after(15):
        while True:
            try:
                async with maybe_spawn_daemon(name, {"name": name}) as portal:
                    return await call_endpoint(portal, toyd.whoami)
            except TransportClosed:
                await trio.sleep(0.02)


# -- 7 and 8: ends. 5 and 7 are proven in full in tests/service ----------------


async def names() -> set[str]:
    return {uid[0] for uid, _ in await tr.registered()}


@pytest.mark.tree
async def test_8_what_ends_leaves_nothing_while_pikerd_lives_and_after(tmp_path):
    place = Place(tmp_path / "tree")
    with trio.fail_after(90):
        async with place.pikerd() as pikerd, place.attached():
            proc = psutil.Process(pikerd.pid)
            shm, sizes = place.shm, []
            for i in range(3):
                await live_and_die(place, pikerd.pid, f"toyd.{i}")
                with trio.fail_after(10):
                    while await names() != {"pikerd", "test"}:
                        await trio.sleep(0.02)
                assert [p.name for p in shm.iterdir()] == ["lock"]
                await trio.sleep(0.3)
                with trio.move_on_after(5):  # a dead peer's socket goes a bit later
                    while sizes and _open_of(proc) > sizes[0]:
                        await trio.sleep(0.05)
                sizes.append(_open_of(proc))
            assert max(sizes[1:]) <= sizes[0], sizes
            pids = [await pid_of("toyd.kept")]
        procs = [psutil.Process(pid) for pid in pids]
    async with place.start() as pikerd:  # not ours any more: it was ended by the block
        await place.up(pikerd)
        assert not await wait_gone(procs)
        assert not shm.exists()
        pikerd.popen.terminate()
        assert await pikerd.wait(20) == 0
    assert not await place.left(shm)


def _open_of(proc: psutil.Process) -> tuple[int, int]:
    return proc.num_fds(), len(proc.net_connections())


async def live_and_die(place: Place, pikerd: int, name: str) -> None:
    """Let daemons and clients come and go in every way there is."""
    async with (
        place.client("attach", "polite") as polite,
        place.client("attach", "brutal") as brutal,
        open_portal_to(place.addr) as portal,
    ):
        assert await polite.line() == await brutal.line() == "ready"
        first = await pid_of(name)
        os.kill(first, signal.SIGKILL)
        while (second := await pid_of(name)) == first:
            await trio.sleep(0.01)
        listed = {
            info.name: info.pid for info in await call_endpoint(portal, list_services)
        }
        assert listed[name] == second
        assert {"polite", "brutal", name} <= await names()
        args = {"name": "toyd.b", "how": "finish"}
        async with maybe_spawn_daemon("toyd.b", args):
            pass
        await stop(portal, name)
        polite.popen.send_signal(signal.SIGINT)
        brutal.popen.kill()
        await polite.wait()
    with trio.fail_after(20):
        while tree_processes(pikerd):
            await trio.sleep(0.02)


async def stop(portal, name: str) -> None:
    from piker.service._rpc import stop_service

    info = await call_endpoint(portal, stop_service, name=name)
    assert info.state == "stopped"


# -- 14 -----------------------------------------------------------------------

WATCH = """
import importlib, os, sys
home = os.environ["HOME"]
seen = []

class Told(type(os.environ)):
    def __getitem__(self, key):
        if str(key).startswith(("PIKER_", "XDG_")):
            seen.append(f"${key}")
        return super().__getitem__(key)

os.environ.__class__ = Told

def hook(event, args):
    if event in ("open", "os.listdir", "os.scandir", "os.mkdir", "socket.connect"):
        if event == "socket.connect" or str(args[0]).startswith(home):
            seen.append(f"{event} {args[0]!r}")

sys.addaudithook(hook)
for name in sys.argv[1:]:
    before = len(seen)
    importlib.import_module(name)
    if seen[before:]:
        print(name, *seen[before:])
"""


def test_14_no_config_is_read_at_import_time(tmp_path):
    """Nor the environment, nor a folder; nothing is made, nobody is called."""
    dirs = {f"PIKER_{kind}_DIR": str(tmp_path / kind) for kind in ("CONFIG", "STATE")}
    env = {**os.environ, **dirs, "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", WATCH, *MODULES],
        env=env,
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.returncode) == ("", 0), done.stdout + done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.tree
async def test_14_two_trees_share_nothing(tmp_path):
    one, two = Place(tmp_path / "one"), Place(tmp_path / "two")
    with trio.fail_after(40):
        async with one.pikerd() as first, two.pikerd() as second:
            pids = {}
            for place in (one, two):
                async with place.attached():
                    pids[place] = await pid_of("toyd.a")
                    assert await names() == {"pikerd", "test", "toyd.a"}
            assert pids[one] != pids[two]
            assert one.shm != two.shm
            for place, other in ((one, two), (two, one)):
                pikerd = first if place is one else second
                opened = {
                    file.path
                    for pid in (pikerd.pid, pids[place])
                    for file in psutil.Process(pid).open_files()
                }
                assert opened
                foreign = (str(other.folder), str(other.shm))
                assert not [path for path in opened if path.startswith(foreign)]
            async with one.attached(), open_portal_to(two.addr) as portal:
                with pytest.raises(
                    Unauthorised, match="did not show this tree's cookie"
                ):
                    await call_endpoint(portal, ping)
            await first.kill()
            gone = psutil.Process(pids[two])
            async with two.attached():
                assert await pid_of("toyd.a") == pids[two]
            assert is_alive(gone)


# -- 15 -----------------------------------------------------------------------


def faults_of(source: str) -> list[str]:
    """Return what must not be in the package, with line numbers."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            func = node.func
            name = getattr(func, "id", "") or getattr(func, "attr", "")
            is_bare = isinstance(func, ast.Name)
            if name.endswith("set_trace") or (
                is_bare and name in ("print", "breakpoint", "input")
            ):
                found.append(f"{node.lineno}: {name}()")
        elif isinstance(node, ast.ExceptHandler) and node.type is None:
            found.append(f"{node.lineno}: bare except")
        elif isinstance(node, ast.Import | ast.ImportFrom):
            told = ast.unparse(node)
            if "pdb" in told:
                found.append(f"{node.lineno}: {told}")
    marks = ("TODO", "FIXME", "XXX", "HACK")
    if any(mark in source for mark in marks):  # it takes as long as all else
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT and any(m in token.string for m in marks):
                found.append(f"{token.start[0]}: {token.string}")
    return sorted(found)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_15_no_leftovers_of_development(path):
    assert faults_of(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "print(1)",
        "breakpoint()",
        "import pdb",
        "pdb.set_trace()",
        "a.b().set_trace()",
        "try:\n    f()\nexcept:\n    g()",
        "x = 1  # TODO: more",
    ],
)
def test_15_would_be_found(source):
    assert len(faults_of(source)) >= 1


def test_15_what_only_looks_like_it_is_left_alone():
    assert faults_of('console.print("print(1)")\nx = "# TODO"\n') == []


# -- names that are strings ----------------------------------------------------


@pytest.mark.parametrize("module", PIKERD_MODULES)
def test_pikerds_modules_import_and_offer_endpoints(module):
    offered = [
        f for f in vars(importlib.import_module(module)).values() if is_endpoint(f)
    ]
    assert offered


def is_endpoint(thing: object) -> bool:
    return hasattr(thing, "__endpoint__")


@pytest.mark.parametrize("kind", sorted(SPAWNERS))
def test_every_kind_has_a_spawner(kind):
    module, _, name = SPAWNERS[kind].partition(":")
    assert inspect.iscoroutinefunction(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize("package", ["accounting", "brokers", "storage", "tsp"])
def test_types_are_learnt_before_threads_decode_them(package):
    """Else msgspec crashes where two threads have it learn the same type at once."""
    found = [
        f"{path}:{node.lineno}"
        for path in sorted((PACKAGE / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "decode"
        and any(word.arg == "type" for word in node.keywords)
    ]
    assert not found
