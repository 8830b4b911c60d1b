"""Daemons forked off a fork server are what fresh interpreters would be, but sooner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import asynccontextmanager, suppress

import psutil
import pytest
import trio

from piker._forkserver import Preload, can_fork
from piker.errors import ServiceError, TransportClosed
from piker.service import _tractor as t
from piker.service._spec import PRELOAD
from piker.service._tractor import _fork
from piker.testing import free_port, is_alive
from piker.testing._forks import VENUE_CODE
from tests.service import seam_eps as eps

pytestmark = pytest.mark.tree
EPS = ("tests.service.seam_eps",)
QUICK = Preload(first=("piker.service",))


@pytest.fixture
def open_root(tmp_path):
    """A bare runtime with a fork server of its own."""

    @asynccontextmanager
    async def opened(preload: Preload | None = QUICK, deadline_s: float = 90):
        addr = ("127.0.0.1", free_port())
        cookie = tmp_path / "cookie"
        t.write_cookie(cookie)
        before = psutil.Process().children(recursive=True)
        with trio.fail_after(deadline_s), _server(preload):
            async with t.open_root_actor(
                name="root", registry_addr=addr, be_registry=True
            ):
                t.piker_vars().update(cookie=str(cookie), embedded=True)
                yield
        assert psutil.Process().children(recursive=True) == before

    return opened


def _server(preload: Preload | None):
    """Put the tests' own server aside, and use another, or none."""
    kept, _fork._current = _fork._current, None

    @_fork.contextmanager
    def used():
        try:
            if preload is None:
                yield
            else:
                with t.open_fork_server(preload):
                    yield
        finally:
            _fork._current = kept

    return used()


def server_pid() -> int:
    return _fork.fork_server()._proc.pid


async def surroundings_of_a_kid(**kwargs):
    async with (
        t.open_child("kid", enable_modules=EPS, **kwargs) as child,
        t.open_context(child.portal, eps.surroundings) as (_, told),
    ):
        return child.pid, told


def searched(told) -> list[str]:
    """Return where it looks for modules, in order; a .pth file of pdbpp's put aside."""
    return [p for p in dict.fromkeys(told["path"]) if "pdbpp" not in p]


# -- what it is -----------------------------------------------------------------


async def test_a_forked_child_is_as_one_that_was_started(open_root, monkeypatch):
    monkeypatch.setenv("PIKER_TEST_WORD", "spoken")
    async with open_root(None):
        _, started = await surroundings_of_a_kid()
    async with open_root():
        _, forked = await surroundings_of_a_kid()
    assert forked.pop("title").startswith("piker kid --uid")
    assert "piker._child --uid" in started.pop("title")
    forked["path"], started["path"] = searched(forked), searched(started)
    assert forked == started
    assert forked["parent"] == os.getpid()
    assert forked["env"]["PIKER_TEST_WORD"] == "spoken"


async def test_it_is_forked_not_started(open_root):
    before = {p.pid for p in psutil.Process().children()}
    async with open_root():
        async with t.open_child("a", enable_modules=EPS) as a:
            async with t.open_child("b", enable_modules=EPS) as b:
                mine = {p.pid for p in psutil.Process().children()} - before
                assert mine == {server_pid(), a.pid, b.pid}
                with open(f"/proc/{a.pid}/cmdline", "rb") as line:
                    assert line.read().startswith(b"piker a --uid")


async def test_what_changed_since_the_server_started_is_passed(
    open_root, tmp_path, monkeypatch
):
    source = tmp_path / "piker_test_newcomer.py"
    async with open_root():
        await surroundings_of_a_kid()
        source.write_text("")
        monkeypatch.syspath_prepend(tmp_path)  # who starts it imports its modules too
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setenv("PIKER_TEST_WORD", "late")
        monkeypatch.chdir(tmp_path)
        async with t.open_child("kid", enable_modules=(source.stem, *EPS)) as child:
            async with t.open_context(child.portal, eps.surroundings) as (_, forked):
                assert forked["cwd"] == str(tmp_path)
                assert forked["env"]["PIKER_TEST_WORD"] == "late"
        with _server(None):
            _, started = await surroundings_of_a_kid()
        assert searched(forked) == searched(started)
        monkeypatch.delenv("PYTHONPATH")
        monkeypatch.chdir("/")
        _, told = await surroundings_of_a_kid()
        assert str(tmp_path) not in told["path"]


async def test_its_stderr_goes_where_it_is_to(open_root, tmp_path):
    async with open_root():
        for name in ("one", "two"):
            path = tmp_path / name
            async with (
                t.open_child("kid", enable_modules=EPS, stderr=path) as child,
                t.open_context(child.portal, eps.say, text=name),
            ):
                pass
            assert path.read_text() == name


async def test_a_module_that_fails_is_the_daemons_trouble(open_root, tmp_path):
    preload = Preload(first=("piker_test_no_such_module", "piker.service"))
    async with open_root(preload):
        await surroundings_of_a_kid()
        with pytest.raises(ServiceError, match="piker_test_no_such_module"):
            async with t.open_child("x", enable_modules=("piker_test_no_such_module",)):
                pass


# -- how it ends ----------------------------------------------------------------


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGSEGV])
async def test_its_parent_sees_how_it_ended(open_root, sig):
    async with open_root(), t.open_child("kid", enable_modules=EPS) as child:
        os.kill(child.pid, sig)
        with trio.fail_after(10):
            assert await child.wait() == -sig
        assert child.exit_code == -sig


async def test_a_daemon_outlives_its_server(open_root):
    async with open_root(), t.open_child("kid", enable_modules=EPS) as child:
        os.kill(server_pid(), signal.SIGKILL)
        await trio.sleep(0.3)
        assert await t.call_endpoint(child.portal, eps.hold) == child.pid


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGSTOP])
async def test_without_its_server_a_daemon_is_started_and_the_next_is_forked(
    open_root, sig
):
    async with open_root():
        await surroundings_of_a_kid()
        hurt = server_pid()
        os.kill(hurt, sig)
        _, told = await surroundings_of_a_kid()
        assert "piker._child" in told["title"]
        assert not psutil.pid_exists(hurt)
        _, told = await surroundings_of_a_kid()
        assert told["title"].startswith("piker kid")


async def test_a_cancelled_start_leaves_no_process(open_root):
    """At any moment of it."""
    async with open_root():
        before = {p.pid for p in psutil.Process().children(recursive=True)}
        for i in range(40):
            with trio.move_on_after(i * 0.002):
                async with t.open_child("kid", enable_modules=EPS):
                    pass
            with trio.fail_after(15):
                while {
                    p.pid for p in psutil.Process().children(recursive=True)
                } != before:
                    await trio.sleep(0.01)
        await surroundings_of_a_kid()


async def test_a_signal_of_the_terminal_is_not_the_servers(open_root):
    async with open_root():
        await surroundings_of_a_kid()
        for sig in (signal.SIGINT, signal.SIGHUP):
            os.kill(server_pid(), sig)
        pid = server_pid()
        await surroundings_of_a_kid()
        assert server_pid() == pid


# -- children of children ---------------------------------------------------------


async def test_who_spawns_has_a_server_of_its_own(open_root):
    async with (
        open_root(),
        t.open_child("mid", enable_modules=EPS, spawns=True) as mid,
    ):
        with pytest.raises(TransportClosed):
            async with t.open_context(mid.portal, eps.be_parent_of, modules=EPS) as (
                _,
                leaf,
            ):
                assert " ".join(psutil.Process(leaf).cmdline()).startswith("piker leaf")
                assert psutil.Process(leaf).ppid() == mid.pid
                family = psutil.Process(mid.pid).children(recursive=True)
                assert len(family) == 2  # the leaf, the server
                mid.kill()
                await trio.sleep_forever()
        with trio.fail_after(15):
            while any(is_alive(each) for each in family):
                await trio.sleep(0.02)


# -- of one's own process -----------------------------------------------------------

OFF_ME = """
import os, signal, sys
import trio
from piker.service import fork_daemons_off_me
fork_daemons_off_me()
from piker.service import open_pikerd, current_services
from piker.service._daemon import find_or_spawn_here
from piker.testing import private_dirs
from pathlib import Path

async def main():
    async with open_pikerd(("127.0.0.1", int(sys.argv[2]))) as services:
        await find_or_spawn_here("samplerd", {})
        children = os.listdir("/proc/self/task") and open(
            f"/proc/self/task/{os.getpid()}/children").read().split()
        names = [open(f"/proc/{c}/cmdline").read().split()[:2] for c in children]
        print(names, flush=True)
        if sys.argv[3] == "kill":
            print(*children, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

with private_dirs(Path(sys.argv[1])):
    trio.run(main)
    print("children", open(f"/proc/self/task/{os.getpid()}/children").read())
"""


def run_off_me(tmp_path, how: str) -> list[str]:
    script = tmp_path / "off_me.py"
    script.write_text(textwrap.dedent(OFF_ME))
    done = subprocess.run(
        [sys.executable, script, tmp_path, str(free_port()), how],
        capture_output=True, check=False, text=True, timeout=90, cwd=os.getcwd(),
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == (-9 if how == "kill" else 0), done.stderr
    return done.stdout.splitlines()


def test_a_process_that_will_be_pikerd_is_its_own_server(tmp_path):
    names, left = run_off_me(tmp_path, "end")
    assert "['piker', 'fork']" in names
    assert "['piker', 'samplerd']" in names
    assert left.split() == ["children"]


def test_who_was_forked_off_a_killed_process_leaves(tmp_path):
    _, pids = run_off_me(tmp_path, "kill")
    procs = []
    for pid in pids.split():
        with suppress(psutil.NoSuchProcess):  # it has left already
            procs.append(psutil.Process(int(pid)))
    ends = time.monotonic() + 15
    while left := [each for each in procs if is_alive(each)]:
        assert time.monotonic() < ends, left
        time.sleep(0.02)


def test_a_process_with_threads_is_not_forked():
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert not can_fork()
    finally:
        done.set()
        thread.join()


def test_what_is_preloaded_starts_no_thread():
    """A fork takes one thread along; what others hold is held for ever."""
    modules = [*PRELOAD.first, *PRELOAD.idle, *VENUE_CODE]
    code = f"""
        import importlib
        from piker.process import be_starting
        be_starting()
        for name in {modules!r}:
            importlib.import_module(name)
        from piker._forkserver import can_fork
        print(can_fork())
    """
    told = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert told.stdout == "True\n", told.stderr
