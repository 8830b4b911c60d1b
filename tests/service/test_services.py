"""One daemon's fate is nobody else's: supervision, with real processes and signals."""

from __future__ import annotations

import importlib
import os
import signal
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import psutil
import pytest
import trio

from piker.errors import (
    ConfigError,
    ServiceError,
    ServiceQuarantined,
    ServiceStopped,
    TransportClosed,
)
from piker.msgs import ServiceEvent
from piker.service import (
    SPAWNERS,
    Policy,
    _run,
    call_endpoint,
    maybe_spawn_daemon,
    open_context,
    uid_of,
)
from piker.service._daemon import find_or_spawn_here
from piker.service._tractor import evict
from piker.testing import tree_processes
from tests.service import toyd
from tests.service._procs import caller, client

pytestmark = pytest.mark.tree

AT_ONCE = Policy(delays_s=(0.0,))
#: Unresponsive after 2 s, killed after 6: a busy machine holds processes up for 1.
BRISK = Policy(delays_s=(0.0,), beat_s=0.2, unresponsive_beats=10, kill_beats=30)


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    """Toys of every kind there is, and one more."""
    for kind in ("toyd", "emsd", "brokerd", "datad", "samplerd"):
        monkeypatch.setitem(SPAWNERS, kind, "tests.service.toyd:spawn_toyd")


def toy(name: str, how: str = ""):
    return maybe_spawn_daemon(name, {"name": name, "how": how})


async def pid_of(name: str, how: str = "") -> int:
    """The process that serves *name*, started or waited for if need be."""
    with trio.fail_after(30):
        while True:
            try:
                async with toy(name, how) as portal:
                    return await call_endpoint(portal, toyd.whoami)
            except TransportClosed:
                await trio.sleep(0.02)


async def until(services, name: str, state: str, deadline_s: float = 30.0):
    with trio.fail_after(deadline_s):
        while (service := services.service_tasks[name]).state != state:
            await service.changed.wait()
    return service


def states(services, name: str) -> list[str]:
    return [e.state for e in services.history if e.name == name]


@asynccontextmanager
async def counting(name: str):
    """Follow a daemon's ticks for the block; they must come without a gap."""
    got: list[int] = []

    async def follow(task_status=trio.TASK_STATUS_IGNORED):
        async with toy(name) as portal:
            async with open_context(portal, toyd.ticks) as (ctx, _):
                async with ctx.open_stream() as stream:
                    task_status.started()
                    while True:
                        got.append(await stream.receive())

    async with trio.open_nursery() as tasks:
        await tasks.start(follow)
        yield got
        seen = len(got)
        with trio.fail_after(10):
            while len(got) < seen + 5:
                await trio.sleep(0.01)
        tasks.cancel_scope.cancel()
    assert got == list(range(len(got)))


# -- deaths -------------------------------------------------------------------


async def test_a_killed_daemon_serves_again_and_the_others_never_notice(
    open_test_pikerd,
):
    async with open_test_pikerd() as tree:
        first, other = await pid_of("toyd.a"), await pid_of("toyd.b")
        async with counting("toyd.b") as ticks:
            for died in range(1, 4):
                os.kill(first, signal.SIGKILL)
                began = trio.current_time()
                while (second := await pid_of("toyd.a")) == first:
                    await trio.sleep(0.01)
                assert trio.current_time() - began < 12
                assert tree.services.service_tasks["toyd.a"].restarts == died
                first = second
            assert len(ticks) > 50
        assert await pid_of("toyd.b") == other
        assert states(tree.services, "toyd.b") == ["running"]
        fate = [e for e in tree.services.history if e.state == "backoff"]
        assert [e.exit_code for e in fate] == [-9, -9, -9]
        assert {e.reason for e in fate} == {"it was killed by signal 9"}


async def test_a_stopped_daemon_is_unresponsive_then_killed_then_runs(open_test_pikerd):
    async with open_test_pikerd(policy=BRISK) as tree:
        services = tree.services
        first, other = await pid_of("toyd.a"), await pid_of("toyd.b")
        async with counting("toyd.b"):
            struck = len(states(services, "toyd.a"))
            os.kill(first, signal.SIGSTOP)
            await until(services, "toyd.a", "unresponsive")
            os.kill(first, signal.SIGCONT)
            await until(services, "toyd.a", "running")
            assert await pid_of("toyd.a") == first
            fate = states(services, "toyd.a")
            assert fate[struck:][:2] == ["unresponsive", "running"]
            os.kill(first, signal.SIGSTOP)
            await until(services, "toyd.a", "unresponsive")
            service = await until(services, "toyd.a", "running")
            assert service.pid != first
        assert await pid_of("toyd.b") == other
        assert states(services, "toyd.a")[len(fate) :][:4] == [
            *("unresponsive", "backoff", "starting", "running"),
        ]
        reasons = [e.reason for e in services.history if e.state == "backoff"]
        assert reasons == ["it was wedged (no heartbeat for 6 s) and killed"]


async def test_a_blocked_daemon_is_killed_and_its_caller_told(open_test_pikerd):
    async with open_test_pikerd(policy=BRISK) as tree:
        first = await pid_of("toyd.a")
        struck = len(states(tree.services, "toyd.a"))

        async def call():
            async with toy("toyd.a") as portal:
                async with open_context(portal, toyd.hang, seconds=60.0):
                    await trio.sleep_forever()

        with trio.fail_after(30), pytest.raises(TransportClosed):
            await call()
        assert await pid_of("toyd.a") != first
        fate = states(tree.services, "toyd.a")[struck:]
        assert fate[:2] == ["unresponsive", "backoff"]


async def test_six_deaths_are_quarantine_until_a_command(open_test_pikerd):
    async with open_test_pikerd(policy=AT_ONCE) as tree:
        other = await pid_of("toyd.b")
        for _ in range(6):
            pid = await pid_of("toyd.a")
            proc = psutil.Process(pid)
            proc.kill()
            while tree.services.service_tasks["toyd.a"].pid == pid:
                await trio.sleep(0.01)
        await until(tree.services, "toyd.a", "quarantined")
        why = (
            "'toyd.a' is quarantined: died 6 times in 60 s, last: it was killed by "
            "signal 9; `piker services restart toyd.a` tries again"
        )
        with pytest.raises(ServiceQuarantined) as here:
            await pid_of("toyd.a")
        async with caller(tree.env) as call:
            with pytest.raises(ServiceQuarantined) as there:
                await call("find_or_spawn", name="toyd.a", spawn_args={})
            assert str(here.value) == str(there.value) == why
            row = (await call("list_services"))[1]
            assert (row["name"], row["state"]) == ("toyd.a", "quarantined")
            assert row["pid"] == -1
            assert row["reason"] in why
            healed = await call("restart_service", name="toyd.a")
        assert healed["state"] == "running"
        assert healed["pid"] == await pid_of("toyd.a")
        assert await pid_of("toyd.b") == other
        assert states(tree.services, "toyd.a")[-4:] == [
            *("backoff", "quarantined", "starting", "running"),
        ]


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("crash", "'toyd.a' raised ZeroDivisionError: by a bug"),
        ("exit", "it exited with 3"),
        ("nonsense", "its supervision failed: TypeError"),
    ],
)
async def test_what_never_comes_up_is_retried_then_quarantined(
    open_test_pikerd, how, reason
):
    async with open_test_pikerd(policy=Policy(delays_s=(0.0,), max_deaths=2)) as tree:
        with pytest.raises(ServiceQuarantined, match="died 3 times") as told:
            await pid_of("toyd.a", how)
        assert reason in str(told.value)
        assert states(tree.services, "toyd.a") == [
            *("backoff", "starting", "backoff", "starting", "backoff", "quarantined"),
        ]
        last = tree.services.history[-1]
        if how == "crash":
            assert "ZeroDivisionError: by a bug" in last.traceback
            assert "toyd.py" in last.traceback
        assert await pid_of("toyd.b")


async def test_a_daemon_that_cannot_be_imported_any_more_harms_nobody(
    open_test_pikerd, monkeypatch, tmp_path
):
    """E.g. its file was changed while pikerd runs, which has the old one loaded."""
    source = tmp_path / "piker_test_changed.py"
    source.write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    importlib.import_module("piker_test_changed")
    source.write_text("raise ImportError('half an upgrade')")
    spec = replace(toyd.toyd_init("toyd.a"), enable_modules=("piker_test_changed",))
    async with open_test_pikerd(policy=Policy(delays_s=(0.0,), max_deaths=2)) as tree:
        other = await pid_of("toyd.b")
        with pytest.raises(ServiceQuarantined, match="died 3 times"):
            await tree.services.start_actor(spec)
        assert await pid_of("toyd.b") == other
        assert states(tree.services, "toyd.b") == ["running"]
        assert "half an upgrade" in tree.logs()


async def test_what_takes_too_long_to_fail_is_quarantined_too(open_test_pikerd):
    """The window is as narrow to these starts as 60 s is to ones of 15 s."""
    policy = Policy(delays_s=(0.0,), max_deaths=2, window_s=0.001)
    async with open_test_pikerd(policy=policy) as tree:
        with pytest.raises(ServiceQuarantined, match="failed to start 3 times in a r"):
            await pid_of("toyd.a", "exit")
        assert tree.services.service_tasks["toyd.a"].state == "quarantined"


@pytest.mark.parametrize(
    ("how", "error", "text"),
    [
        ("refuse", ConfigError, "conf.toml: toy.speed: expected a number, got 'fast'"),
        ("busy", ServiceError, "the toy box is locked by pid 1"),
    ],
)
async def test_a_refusal_reaches_who_asked_and_leaves_nothing(
    open_test_pikerd, how, error, text
):
    async with open_test_pikerd() as tree:
        args = {"name": "toyd.a", "how": how}
        async with caller(tree.env) as call:
            for _ in range(2):
                with pytest.raises(error) as told:
                    await call("find_or_spawn", name="toyd.a", spawn_args=args)
                assert str(told.value) == text
                assert not tree.services.service_tasks
                assert len(await call("list_services")) == 1
        assert not tree_processes(os.getpid())
        assert await pid_of("toyd.a")  # whoever asks with sense gets it


async def test_last_words_do_not_pile_up_for_ever(open_test_pikerd, monkeypatch):
    monkeypatch.setattr(_run, "MAX_STDERR_BYTES", 10)
    async with open_test_pikerd() as tree:
        folder = tree.folder / "state" / "log"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for words in ("the first", "the last"):
            (folder / "toyd.a.stderr").write_text(f"{words} crash\n")
            await pid_of("toyd.a")
            await tree.services.restart("toyd.a")
        assert (folder / "toyd.a.stderr").read_text() == ""
        assert (folder / "toyd.a.stderr.1").read_text() == "the last crash\n"


async def test_a_daemon_that_ends_by_itself_leaves_no_row(open_test_pikerd):
    async with open_test_pikerd() as tree:
        first = await pid_of("toyd.a", "finish")
        with trio.fail_after(15):
            while tree.services.service_tasks:
                await trio.sleep(0.01)
        last = tree.services.history[-1]
        assert (last.state, last.reason) == ("stopped", "it ended by itself")
        assert not tree_processes(os.getpid())
        assert await pid_of("toyd.a") != first


async def test_a_daemon_that_hangs_in_its_own_end_is_killed(open_test_pikerd):
    """It beats no more by then: its life is over, what was around it isn't."""
    async with open_test_pikerd(policy=replace(BRISK, max_deaths=0)) as tree:
        stuck = await tree.services.start_actor(toyd.toyd_init("toyd.a", "stuck"))
        pid = stuck.pid
        await until(tree.services, "toyd.a", "quarantined")
        assert not psutil.pid_exists(pid)
        assert states(tree.services, "toyd.a") == [
            *("running", "unresponsive", "backoff", "quarantined"),
        ]
        last = tree.services.history[-1]
        assert last.exit_code == -signal.SIGKILL
        assert "it was wedged (no heartbeat for 6 s) and killed" in last.reason


async def test_what_a_daemon_says_it_does_is_shown_while_it_lives(open_test_pikerd):
    policy = replace(BRISK, delays_s=(60.0,), kill_beats=100)
    async with open_test_pikerd(policy=policy) as tree, caller(tree.env) as call:

        async def said_by_b(start: str) -> str:
            """What it says that begins so, waited for; all others say nothing."""
            with trio.fail_after(20):
                while True:
                    *others, b = [row["doing"] for row in await call("list_services")]
                    assert others == ["", ""]
                    if b.startswith(start):
                        return b
                    await trio.sleep(0.02)

        await pid_of("toyd.a")
        pid = await pid_of("toyd.b", "tells")
        first = await said_by_b(f"pid {pid} has carved")
        while await said_by_b(f"pid {pid} has carved") == first:
            await trio.sleep(0.02)
        os.kill(pid, signal.SIGKILL)
        await until(tree.services, "toyd.b", "backoff")
        assert await said_by_b("") == ""
        again = await tree.services.restart("toyd.b")
        await said_by_b(f"pid {again.pid} has carved")


async def test_who_asks_for_a_daemon_that_is_just_ending_gets_the_next(
    open_test_pikerd,
):
    async with open_test_pikerd() as tree, trio.open_nursery() as tasks:
        uuids = set()
        args = {"name": "toyd.a", "how": "finish"}

        async def ask() -> None:
            uuids.add((await find_or_spawn_here("toyd.a", args)).uuid)

        while len(uuids) < 4:  # in step with its life: in each moment of its end
            tasks.start_soon(ask)
            await trio.sleep(0.005)
        await ask()
        assert "toyd.a" in tree.services.service_tasks


async def test_a_running_daemon_is_found_though_the_registry_lost_it(open_test_pikerd):
    async with open_test_pikerd() as tree:
        first = await pid_of("toyd.a")
        channel = tree.services.service_tasks["toyd.a"].child.portal.channel
        await evict(uid_of(channel))
        with trio.fail_after(10):
            assert await pid_of("toyd.a") == first
        await tree.services.restart("toyd.a")
        assert await pid_of("toyd.a") != first


async def test_an_unknown_or_odd_name_is_refused_with_the_kinds(open_test_pikerd):
    async with open_test_pikerd():
        for name in ("nosuchd", "toyd.", "toyd/../x", ""):
            with pytest.raises(ServiceError, match=r"no kind of daemon for .*samplerd"):
                async with toy(name):
                    pass


# -- commands -----------------------------------------------------------------


async def test_a_stop_holds_until_a_restart(open_test_pikerd):
    async with open_test_pikerd() as tree, caller(tree.env) as call:
        first = await pid_of("toyd.a")
        stopped = await call("stop_service", name="toyd.a")
        assert (stopped["state"], stopped["pid"]) == ("stopped", -1)
        assert not psutil.pid_exists(first)
        for _ in range(2):
            with pytest.raises(ServiceStopped, match="`piker services restart toyd"):
                await pid_of("toyd.a")
        again = await call("restart_service", name="toyd.a")
        assert again["pid"] == await pid_of("toyd.a") != first
        third = await call("restart_service", name="toyd.a")
        assert third["pid"] == await pid_of("toyd.a") != again["pid"]
        assert states(tree.services, "toyd.a") == [
            *("running", "stopping", "stopped", "starting", "running"),
            *("stopping", "stopped", "starting", "running"),
        ]
        with pytest.raises(ServiceError, match=r"no daemon 'toyd.x'; running: toyd.a"):
            await call("stop_service", name="toyd.x")


# before its supervisor runs, before it has called home, after
@pytest.mark.parametrize("after_s", [0, 0.05, 1.0])
async def test_a_stop_ends_a_daemon_that_is_still_starting(open_test_pikerd, after_s):
    async with open_test_pikerd() as tree, trio.open_nursery() as tasks:
        services = tree.services

        async def ask(name):
            with pytest.raises(ServiceStopped):
                await services.start_actor(toyd.toyd_init(name, "slow"))

        took_s = {}
        for name in ("toyd.a", "toyd.b", "toyd.c"):  # a busy machine may stretch any
            tasks.start_soon(ask, name)
            while name not in services.service_tasks:
                await trio.lowlevel.checkpoint()
            if after_s:
                await trio.sleep(after_s)
            began = trio.current_time()
            await services.cancel_service(name)
            took_s[name] = trio.current_time() - began
            assert not tree_processes(os.getpid())
            if took_s[name] < 2:
                break
    assert min(took_s.values()) < 2
    for name in took_s:
        assert states(services, name) == ["stopping", "stopped"]


async def test_commands_that_cross_all_come_to_an_end(open_test_pikerd):
    async with open_test_pikerd() as tree:
        services = tree.services
        await pid_of("toyd.a")

        async def run(command):
            with suppress(ServiceError):
                await command("toyd.a")

        for last in (services.cancel_service, services.restart):
            with trio.fail_after(25):
                async with trio.open_nursery() as tasks:
                    for command in [services.restart, services.cancel_service] * 2:
                        tasks.start_soon(run, command)
                        await trio.sleep(0.02)
                    tasks.start_soon(run, last)
            assert len(tree_processes(os.getpid())) == (last == services.restart)
        assert await pid_of("toyd.a")


@pytest.mark.parametrize("how", ["deaf", "stopped"])
async def test_a_daemon_that_will_not_end_is_killed(open_test_pikerd, how):
    async with open_test_pikerd() as tree:
        pid = await pid_of("toyd.a", "deaf" if how == "deaf" else "")
        if how == "stopped":
            os.kill(pid, signal.SIGSTOP)
        began = trio.current_time()
        await tree.services.cancel_service("toyd.a")
        assert 2.5 < trio.current_time() - began < 15  # it would stay for ever
        assert not psutil.pid_exists(pid)
        assert tree.services.history[-1].exit_code == -9


# -- many at once -------------------------------------------------------------


async def test_invariant_5_one_process_however_many_ask(open_test_pikerd):
    async with open_test_pikerd() as tree, trio.open_nursery() as tasks:
        pids: set[int] = set()

        async def from_here():
            pids.add(await pid_of("toyd.a"))

        async def from_a_process():
            async with client("spawn", "toyd.a", "8", env=tree.env) as proc:
                assert await proc.wait(20) == 0, proc.said
                pids.update(map(int, proc.said.split()[1:]))

        for _ in range(20):
            tasks.start_soon(from_here)
        for _ in range(3):
            tasks.start_soon(from_a_process)
        while len(tree.services.service_tasks) == 0 or tasks.child_tasks:
            await trio.sleep(0.02)
        assert len(pids) == 1
        assert states(tree.services, "toyd.a") == ["running"]


async def test_daemons_end_in_their_order(open_test_pikerd):
    names = ["emsd", "brokerd.b", "datad.b", "samplerd"]
    async with open_test_pikerd() as tree:
        async with trio.open_nursery() as tasks:
            for name in reversed(names):
                tasks.start_soon(pid_of, name)
        began = trio.current_time()
    assert trio.current_time() - began < 15
    stopped = [e for e in tree.services.history if e.state == "stopped"]
    begun = [e.name for e in tree.services.history if e.state == "stopping"]
    assert [e.name for e in stopped] == begun == names
    assert {(e.reason, e.exit_code) for e in stopped} == {("pikerd ends", 0)}


async def test_teardown_is_bounded_whoever_hangs(open_test_pikerd):
    async with open_test_pikerd() as tree:
        for name in ("emsd", "datad.b"):
            await pid_of(name, "deaf")
        os.kill(await pid_of("samplerd"), signal.SIGSTOP)
        began = trio.current_time()
    assert trio.current_time() - began < 20  # they would hang for ever
    assert tree.services.service_tasks


async def test_a_daemon_that_ends_by_itself_meanwhile_hinders_no_teardown(
    open_test_pikerd, monkeypatch
):
    async with open_test_pikerd() as tree:
        for name in ("toyd.a", "toyd.b"):
            await pid_of(name)
        table, change = tree.services.service_tasks, tree.services._set

        def all_others_end(service, event, **kwargs):
            for name in set(table) - {service.spec.name}:
                del table[name]
            change(service, event, **kwargs)

        monkeypatch.setattr(tree.services, "_set", all_others_end)
        began = trio.current_time()
    assert trio.current_time() - began < 15


# -- events -------------------------------------------------------------------


def note(i: int) -> ServiceEvent:
    return ServiceEvent(name="toyd.noise", state="running", time_ns=i)


async def test_events_stream_to_clients_and_a_slow_one_harms_nobody(open_test_pikerd):
    async with open_test_pikerd() as tree:
        first = await pid_of("toyd.a")
        async with (
            client("listen", "toyd.a", env=tree.env) as keen,
            client("lazy", "lazy", env=tree.env) as lazy,
            client("lazy", "frozen", env=tree.env) as frozen,
        ):
            assert await keen.line() == "past running"
            assert await lazy.line() == await frozen.line() == "ready"
            os.kill(frozen.pid, signal.SIGSTOP)
            with trio.fail_after(20):
                for i in range(8000):  # more than all buffers on the way hold
                    tree.services._events.tell(note(i))
                    if i % 100 == 99:
                        await trio.sleep(0.01)
            os.kill(first, signal.SIGKILL)
            began = trio.current_time()
            assert await keen.line() == f"backoff {first}"
            assert await keen.line() == "starting -1"
            assert await keen.line() == f"running {await pid_of('toyd.a')}"
            assert trio.current_time() - began < 15
            began = trio.current_time()
            await frozen.kill()
    assert trio.current_time() - began < 15


async def test_a_slow_listener_loses_the_oldest(open_test_pikerd):
    async with open_test_pikerd() as tree:
        async with tree.services.subscribe() as slow, tree.services.subscribe() as shut:
            shut.close()
            for i in range(1500):
                tree.services._events.tell(note(i))
            got = [slow.receive_nowait().time_ns for _ in range(1000)]
        assert got == list(range(500, 1500))
        assert len(tree.services.history) == 500
