"""``pikerd`` as a process: what it says, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest
import trio

from piker.testing import TestTree, free_port, private_dirs
from tests.cli import _cli

pytestmark = pytest.mark.tree


@pytest.fixture
def place(tmp_path):
    """A tree's places, with nothing running there."""
    with private_dirs(tmp_path / "dirs"):
        yield TestTree(("127.0.0.1", free_port()), tmp_path / "dirs")


async def boot(running):
    """Return what a pikerd says until it is up."""
    text = b""
    with trio.fail_after(20):
        while b"is up" not in text:
            more = await running.proc.stderr.receive_some(4096)
            assert more, text
            text += more
    return text.decode()


@pytest.mark.parametrize(
    ("sign", "code", "last"),
    [
        (signal.SIGTERM, 0, "pikerd ended: SIGTERM\n"),
        (signal.SIGINT, 130, "pikerd ended: Ctrl-C\n"),
    ],
)
async def test_it_says_when_it_is_up_and_why_it_ended(place, sign, code, last):
    env = place.env
    async with _cli.start(env=env, module="piker.cli.pikerd") as pikerd:
        said = await boot(pikerd)
        assert f"pikerd is up at {place.registry}, logs in " in said
        ended, rest = await pikerd.end(sign)
    assert ended == code
    assert rest.endswith(last)
    assert "Traceback" not in rest
    assert not list((place.folder / "run").glob("*.cookie"))


async def test_in_the_foreground_it_logs_one_line_a_record(place):
    async with _cli.start("-l", "info", env=place.env, module="piker.cli.pikerd") as it:
        said = await boot(it)
        assert (await _cli.run("services", env=place.env)).code == 0
        _, rest = await it.end(signal.SIGTERM)
    records = [line for line in (said + rest).splitlines() if " pikerd piker." in line]
    assert any("client attached name=services:" in line for line in records)
    log = (place.folder / "state" / "log" / "pikerd.log").read_text()
    assert set(records) <= set(log.splitlines())


async def test_started_by_a_client_it_keeps_stderr_for_its_end(place):
    args = ("--idle-exit", "-l", "debug")
    async with _cli.start(*args, env=place.env, module="piker.cli.pikerd") as pikerd:
        said = await boot(pikerd)
        _, rest = await pikerd.end(signal.SIGTERM)
    assert [line.partition(":")[0] for line in (said + rest).splitlines()] == [
        "pikerd is up at 127.0.0.1",
        "pikerd ended",
    ]


async def test_a_second_one_is_refused(place):
    async with _cli.start(env=place.env, module="piker.cli.pikerd") as pikerd:
        await boot(pikerd)
        again = await _cli.run(env=place.env, module="piker.cli.pikerd")
        again.refused(1, "runs at", place.registry, f"pid {pikerd.proc.pid}")
        await pikerd.end(signal.SIGTERM)


async def test_it_writes_its_stacks_on_sigusr1(place):
    async with _cli.start(env=place.env, module="piker.cli.pikerd") as pikerd:
        await boot(pikerd)
        os.kill(pikerd.proc.pid, signal.SIGUSR1)
        path = Path(place.folder, "state", "log", "pikerd.stacks")
        with trio.fail_after(20):
            while "most recent call first" not in path.read_text():
                await trio.sleep(0.01)
        assert (await pikerd.end(signal.SIGTERM))[0] == 0


async def test_a_tree_at_an_ipv6_address_serves(tmp_path):
    with socket.socket(socket.AF_INET6) as sock:
        try:
            sock.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 here")
        port = sock.getsockname()[1]
    with private_dirs(tmp_path / "dirs"):
        env = TestTree(("::1", port), tmp_path / "dirs").env
    env["PIKER_REGISTRY"] = f"[::1]:{port}"
    said = await _cli.run("search", "btcusdt.spot", "-b", "sim", "--json", env=env)
    try:
        assert said.code == 0, said  # so a daemon is up, too
        found = await _cli.run("services", "--json", env=env)
        assert found.json[0]["address"] == f"[::1]:{port}"
    finally:
        end = await _cli.run("services", "stop", "pikerd", env=env)
    assert end.code == 0, end


async def test_it_starts_daemons_where_its_folder_was_removed(place, tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    async with _cli.start(
        env=place.env, module="piker.cli.pikerd", cwd=folder
    ) as pikerd:
        await boot(pikerd)
        folder.rmdir()
        said = await _cli.run(
            "search", "btcusdt.spot", "-b", "sim", "--json", env=place.env
        )
        assert said.code == 0, said
        assert (await pikerd.end(signal.SIGTERM))[0] == 0
