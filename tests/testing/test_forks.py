"""Fork servers of a suite, forked off one that has what they have in common."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
import trio

from piker.testing._forks import BASE, Forks, server_pids

pytestmark = pytest.mark.tree

#: Which no program of ours imports.
ONLY_OF_BASE = "wave"


async def ask(forks: Forks, folder) -> str:
    """Have a program tell whether it has the code that only the base imported."""
    (folder / "telling.py").write_text(
        f"import sys\nprint({ONLY_OF_BASE!r} in sys.modules, end='')\n"
    )
    nothing = subprocess.DEVNULL
    process = await forks.open_process(
        "test",
        ["telling"],
        anew=[sys.executable, "-c", "print('anew', end='')"],
        files=(nothing, subprocess.PIPE, 2),
        cwd=folder,
    )
    async with process.stdout:
        told = b"".join([part async for part in process.stdout])
    assert await process.wait() == 0
    return told.decode()


@pytest.fixture
def servers():
    base = Forks(runs=BASE.runs, first=(ONLY_OF_BASE,))
    return base, Forks(runs="piker.testing._commands", first=(), base=base)


async def test_a_server_has_the_code_of_the_one_it_was_forked_off(servers, tmp_path):
    base, forks = servers
    with trio.fail_after(30), base.wanted(), forks.wanted():
        assert await ask(forks, tmp_path) == "True"
        assert {base.pid, forks.pid} <= server_pids()
        assert await ask(forks, tmp_path) == "True"


async def test_beside_a_base_that_was_killed_it_is_started_anew(servers, tmp_path):
    base, forks = servers
    other = Forks(runs=forks.runs, first=(), base=base)
    with trio.fail_after(30), base.wanted(), forks.wanted(), other.wanted():
        assert await ask(other, tmp_path) == "True"
        os.kill(base.pid, signal.SIGKILL)
        assert await ask(other, tmp_path) == "True"
        assert await ask(forks, tmp_path) == "False"


async def test_without_a_base_it_is_started_anew(servers, tmp_path):
    base, forks = servers
    with trio.fail_after(30), forks.wanted():
        assert await ask(forks, tmp_path) == "False"
        assert base.pid is None
