"""``piker services`` and ``piker debug dump``, on a real tree."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress

import pytest
import trio

from piker.cli._dump import stacks_file
from piker.errors import PikerError
from piker.service import DaemonSpec, Policy, current_pikerd, open_context
from piker.service._introspect import task_tree
from tests.cli import _cli
from tests.service.toyd import hang, toyd_init

pytestmark = pytest.mark.tree

INFO_KEYS = [
    "name", "pid", "state", "uptime_s", "restarts", "rss_mb", "cpu", "address",
    "reason", "doing",
]  # fmt: skip
EVENT_KEYS = [
    "name", "state", "time_ns", "pid", "exit_code", "reason", "traceback", "restarts",
]  # fmt: skip


def toyd(name, how=""):
    """A toy that, as every real daemon, tells of its tasks."""
    spec = toyd_init(name, how)
    return DaemonSpec(
        name=name,
        enable_modules=(*spec.enable_modules, "piker.service._actor_rpc"),
        setup=spec.setup,
        setup_kwargs=spec.setup_kwargs,
    )


async def served(endpoint):
    """Wait until this process, which is pikerd, serves a call of *endpoint*."""
    with trio.fail_after(20):
        while endpoint not in task_tree():
            await trio.sleep(0.01)


async def test_services_json_is_exact(open_test_pikerd):
    async with open_test_pikerd() as tree:
        toy = await tree.services.start_actor(toyd("toyd.a"))
        said = await _cli.run("services", "--json", env=tree.env)
        assert said.code == 0
        pikerd, found = said.json
        assert list(pikerd) == list(found) == INFO_KEYS
        assert (pikerd["name"], pikerd["pid"]) == ("pikerd", os.getpid())
        assert pikerd["address"] == tree.registry
        assert (found["name"], found["pid"]) == ("toyd.a", toy.pid)
        assert found["state"] == "running"
        assert found["restarts"] == 0
        assert found["rss_mb"] > 10
        assert found["uptime_s"] > 0
        assert (pikerd["doing"], found["doing"]) == ("", "")


async def test_services_table_names_all_and_fits_a_terminal(open_test_pikerd):
    async with open_test_pikerd() as tree:
        toy = await tree.services.start_actor(toyd("toyd.a"))
        other = await tree.services.start_actor(toyd("toyd.b", "tells"))
        said = await _cli.run("services", env=tree.env | {"COLUMNS": "100"})
        assert said.code == 0
        assert not said.err
        lines = said.out.splitlines()
        assert max(map(len, lines)) <= 100
        row = next(line for line in lines if "toyd.a" in line)
        assert row.split()[:4] == ["├─", "toyd.a", "running", str(toy.pid)]
        assert any("└─ toyd.b" in line for line in lines)
        assert lines[-1].startswith(f"toyd.b: pid {other.pid} has carved ")
        assert "toyd.a:" not in said.out


async def test_restart_gives_another_process(open_test_pikerd):
    async with open_test_pikerd() as tree:
        toy = await tree.services.start_actor(toyd("toyd.a"))
        before = toy.pid
        said = await _cli.run("services", "restart", "toyd.a", env=tree.env)
        assert said.code == 0
        assert tree.services.service_tasks["toyd.a"].pid not in (before, -1)
        assert said.err == f"toyd.a is running, pid {toy.pid}\n"


async def test_stop_lasts_until_restart(open_test_pikerd):
    async with open_test_pikerd() as tree:
        toy = await tree.services.start_actor(toyd("toyd.a"))
        said = await _cli.run("services", "stop", "toyd.a", env=tree.env)
        assert (said.code, said.err) == (0, "toyd.a is stopped\n")
        assert toy.state == "stopped"
        shown = await _cli.run("services", env=tree.env)
        assert "toyd.a: stopped by command" in shown.out
        again = await _cli.run("services", "restart", "toyd.a", env=tree.env)
        assert again.code == 0
        assert toy.state == "running"


@pytest.mark.parametrize("command", ["restart", "stop"])
async def test_an_unknown_service_is_refused_by_name(open_test_pikerd, command):
    async with open_test_pikerd() as tree:
        await tree.services.start_actor(toyd("toyd.a"))
        said = await _cli.run("services", command, "toyd.z", env=tree.env)
        said.refused(1, "'toyd.z'", "toyd.a")


async def test_stop_pikerd_ends_the_tree(open_test_pikerd):
    async with open_test_pikerd(embedded=False) as tree:
        said = await _cli.run("services", "stop", "pikerd", env=tree.env)
        assert (said.code, said.err) == (0, "the whole tree is stopped\n")
        with trio.fail_after(20):
            while tree.pikerd.poll() is None:
                await trio.sleep(0.01)
        assert tree.pikerd.returncode == 0
        after = await _cli.run("services", env=tree.env)
        after.refused(1, "no pikerd answers")


async def test_watch_json_is_a_line_for_each_event(open_test_pikerd):
    async with open_test_pikerd() as tree:
        toy = await tree.services.start_actor(toyd("toyd.a"))
        async with _cli.start("services", "--watch", "--json", env=tree.env) as watch:
            await served("stream_service_events")
            os.kill(toy.pid, signal.SIGKILL)
            lines = [json.loads(await watch.line()) for _ in range(3)]
            assert [line["state"] for line in lines] == [
                "backoff", "starting", "running",
            ]  # fmt: skip
            assert all(list(line) == EVENT_KEYS for line in lines)
            assert all(line["name"] == "toyd.a" for line in lines)
            assert lines[0]["exit_code"] == -signal.SIGKILL
            assert lines[2]["pid"] == toy.pid
            assert await watch.end() == (130, "")


@pytest.mark.parametrize(
    ("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
async def test_watch_ends_quietly(open_test_pikerd, sign, code):
    async with open_test_pikerd() as tree:
        async with _cli.start("services", "--watch", env=tree.env) as watch:
            await served("attach_client")
            assert await watch.end(sign) == (code, "")
        with trio.fail_after(10):
            while current_pikerd().clients:
                await trio.sleep(0.01)


async def test_under_nohup_the_end_of_a_terminal_ends_nothing(open_test_pikerd):
    async with open_test_pikerd() as tree:
        toy = await tree.services.start_actor(toyd("toyd.a"))
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            args = ("services", "--watch", "--json")
            async with _cli.start(*args, env=tree.env, anew=True) as watch:
                await served("stream_service_events")
                watch.proc.send_signal(signal.SIGHUP)
                os.kill(toy.pid, signal.SIGKILL)
                assert json.loads(await watch.line())["name"] == "toyd.a"
                assert await watch.end(signal.SIGTERM) == (143, "")
        finally:
            signal.signal(signal.SIGHUP, before)


async def test_a_closed_pipe_is_no_error(open_test_pikerd):
    async with open_test_pikerd() as tree:
        toy = await tree.services.start_actor(toyd("toyd.a"))
        async with _cli.start("services", "--watch", "--json", env=tree.env) as watch:
            await served("stream_service_events")
            await watch.proc.stdout.aclose()
            os.kill(toy.pid, signal.SIGKILL)
            with trio.fail_after(10):
                assert await watch.errors() == ""
                assert await watch.proc.wait() == 0


# -- debug dump ---------------------------------------------------------------

DUMP_KEYS = ["name", "pid", "answered", "tasks", "stacks", "note"]


async def test_dump_shows_the_tasks_of_every_actor(open_test_pikerd):
    async with open_test_pikerd() as tree:
        toy = await tree.services.start_actor(toyd("toyd.a"))
        said = await _cli.run("debug", "dump", "--json", env=tree.env)
        assert said.code == 0, said
        pikerd, found = said.json
        assert list(pikerd) == list(found) == DUMP_KEYS
        assert (pikerd["name"], found["name"]) == ("pikerd", "toyd.a")
        assert pikerd["answered"] is found["answered"] is True
        assert "test_dump_shows_the_tasks_of_every_actor" in pikerd["tasks"]
        assert "_setup_persistent_toyd" in found["tasks"]
        assert (found["pid"], found["stacks"], found["note"]) == (toy.pid, "", "")
        shown = await _cli.run("debug", "dump", env=tree.env)
        assert f"== toyd.a (pid {toy.pid})\n" in shown.out


async def test_dump_looks_into_a_daemon_that_hangs(open_test_pikerd):
    async with open_test_pikerd(policy=Policy(kill_beats=1000)) as tree:
        toy = await tree.services.start_actor(toyd("toyd.a"))
        await tree.services.start_actor(toyd("toyd.b"))
        async with trio.open_nursery() as tasks:
            await tasks.start(_hang, toy)
            args = ("debug", "dump", "--deadline", "3", "--json")
            said = await _cli.run(*args, env=tree.env)
            toy.child.kill()
            tasks.cancel_scope.cancel()
        assert said.code == 0, said
        _, hung, fine = said.json
        assert fine["answered"]
        assert not hung["answered"]
        assert not hung["tasks"]
        assert "toyd.py" in hung["stacks"]
        assert "in hang" in hung["stacks"]
        assert "did not" in hung["note"]


async def _hang(service, task_status):
    """Have it hang for good, from the moment this has started."""
    with suppress(PikerError):
        async with open_context(service.child.portal, hang, seconds=600.0):
            task_status.started()
            await trio.sleep_forever()


async def test_dump_tells_of_a_stopped_process_and_one_without(open_test_pikerd):
    async with open_test_pikerd() as tree:
        toy = await tree.services.start_actor(toyd("toyd.a"))
        await tree.services.start_actor(toyd("toyd.b"))
        await tree.services.cancel_service("toyd.b")
        os.kill(toy.pid, signal.SIGSTOP)
        try:
            args = ("debug", "dump", "--deadline", "3", "--json")
            said = await _cli.run(*args, env=tree.env)
        finally:
            os.kill(toy.pid, signal.SIGCONT)
        _, stopped, gone = said.json
        assert f"kill -CONT {toy.pid}" in stopped["note"]
        assert (gone["pid"], gone["note"]) == (-1, "stopped, it has no process")


async def test_dump_looks_into_a_pikerd_that_hangs(open_test_pikerd):
    async with open_test_pikerd(embedded=False) as tree:
        os.kill(tree.pid, signal.SIGSTOP)
        try:
            said = await _cli.run("debug", "dump", "--json", env=tree.env)
        finally:
            os.kill(tree.pid, signal.SIGCONT)
        assert said.code == 0, said
        (dump,) = said.json
        assert (dump["name"], dump["pid"]) == ("pikerd", tree.pid)
        assert "kill -CONT" in dump["note"]


def test_a_process_that_doesnt_catch_the_signal_is_left_alone(tmp_path):
    with (tmp_path / "x.stacks").open("w"):
        assert stacks_file(os.getpid()) is None
