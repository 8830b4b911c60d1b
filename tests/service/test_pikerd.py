"""pikerd as a process: how it starts, what it refuses, how it ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest
import tractor
import trio

from piker.errors import PikerdNotServing, RegistryUnreachable, ShmFull
from piker.service import (
    SPAWNERS,
    _runtime,
    _tractor as tr,
    _tree,
    call_endpoint,
    maybe_open_pikerd,
    maybe_spawn_daemon,
    open_pikerd,
    open_portal_to,
    probe,
)
from piker.service._mngr import Services, open_services
from piker.service._rpc import stop_service
from piker.testing import is_alive, tree_processes, wait_gone
from tests.service import toyd
from tests.service._place import Place, said_once
from tests.service._procs import REPO, Proc, running

pytestmark = pytest.mark.tree


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "tree")


@pytest.fixture
async def deadline():
    with trio.fail_after(60):
        yield


async def spawn(*names: str) -> list[int]:
    pids = []
    for name in names:
        async with maybe_spawn_daemon(name, {"name": name}) as portal:
            pids.append(await call_endpoint(portal, toyd.whoami))
    return pids


async def ends(proc: Proc, within_s: float) -> tuple[int, float]:
    began = time.monotonic()
    code = await proc.wait(within_s)
    return code, time.monotonic() - began


# -- the end ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("SIGTERM", 0),
        ("SIGHUP", 0),
        ("SIGINT", 130),
        ("ctrl-c", 130),
        ("hang-up", 0),
        ("command", 0),
    ],
)
async def test_invariant_7_an_end_is_clean_and_bounded(place, how, code):
    async with (
        place.pikerd(is_session=True) as pikerd,
        place.client("attach", "other") as other,
    ):
        assert await other.line() == "ready"
        async with place.attached():
            await spawn("toyd.a", "toyd.b")
        procs, shm = tree_processes(pikerd.pid), place.shm
        assert len(procs) == 2
        assert shm.is_dir()
        if how == "ctrl-c":
            os.killpg(pikerd.pid, signal.SIGINT)
            await trio.sleep(0.05)
            os.killpg(pikerd.pid, signal.SIGINT)  # an impatient one
        elif how == "hang-up":
            os.killpg(pikerd.pid, signal.SIGHUP)  # as when the terminal is closed
        elif how == "command":
            async with place.attached(), open_portal_to(place.addr) as portal:
                await call_endpoint(portal, stop_service, name="pikerd")
        else:
            pikerd.popen.send_signal(signal.Signals[how])
        assert (await ends(pikerd, 15))[0] == code
        assert not any(is_alive(p) for p in procs)
        assert not await place.left(shm)
        assert "Traceback" not in pikerd.said
        assert "killing" not in pikerd.said  # each ended by itself when told
        assert "backoff" not in pikerd.said  # and not before
        assert other.popen.poll() is None


async def test_who_is_stopped_holds_up_no_end(place):
    async with place.pikerd() as pikerd, place.client("lazy", "frozen") as frozen:
        assert await frozen.line() == "ready"
        async with place.attached():
            pids = await spawn("toyd.a", "toyd.b")
        os.kill(frozen.pid, signal.SIGSTOP)
        os.kill(pids[0], signal.SIGSTOP)
        shm = place.shm
        pikerd.popen.send_signal(signal.SIGINT)
        code, took_s = await ends(pikerd, 12)
        assert code == 130
        assert took_s < 10
        assert not any(psutil.pid_exists(pid) for pid in pids)
        assert not await place.left(shm)


async def test_the_deadline_of_an_end_runs_before_anything_can_hang(place, monkeypatch):
    bounds: list[float] = []
    monkeypatch.setattr(tr, "exit_by", lambda seconds, code: bounds.append(seconds))
    close = Services.close

    async def bounded_close(services):
        assert bounds == [_runtime.END_DEADLINE_S]
        await close(services)

    monkeypatch.setattr(Services, "close", bounded_close)
    with place.dirs():
        async with open_pikerd(place.addr, embedded=False):
            pass
    assert bounds


async def test_a_cancelled_boot_has_that_deadline_too(monkeypatch):
    bounds: list[float] = []
    monkeypatch.setattr(tr, "exit_by", lambda seconds, code: bounds.append(seconds))
    ends: list[signal.Signals] = []
    with trio.fail_after(5):
        async with trio.open_nursery() as boot:
            await boot.start(_runtime._end_on_signal, ends, boot.cancel_scope)
            os.kill(os.getpid(), signal.SIGTERM)
            await trio.sleep_forever()
    assert ends == [signal.SIGTERM]
    assert bounds == [_runtime.END_DEADLINE_S]


@pytest.mark.parametrize(
    ("anew", "after_s"),
    [(True, 0.4), (True, 0.7), (False, 0.005), (False, 0.02), (False, 0.04)],
)
async def test_an_end_while_it_boots_leaves_nothing(place, anew, after_s):
    """In its imports, and once it has these."""
    async with place.start(anew=anew) as pikerd:
        await trio.sleep(after_s)
        pikerd.popen.send_signal(signal.SIGTERM)
        code, _ = await ends(pikerd, 15)
        assert code in (0, -signal.SIGTERM)  # the latter: before it had made anything
        assert not await place.left()


async def test_a_table_opened_under_a_cancel_ends(place):
    """As where a signal comes in the step before; a process, for nothing else ends."""
    async with place.client("cut_off") as proc:
        assert await proc.wait(10) == 0, proc.said


async def test_invariant_7_a_killed_pikerd_takes_its_tree_and_the_next_one_sweeps(
    place,
):
    async with place.pikerd() as first, place.client("attach", "survivor") as survivor:
        assert await survivor.line() == "ready"
        async with place.attached():
            await spawn("toyd.a", "toyd.b")
        procs, old = tree_processes(first.pid), place.shm
        assert len(procs) == 2
        await first.kill()
        assert not await wait_gone(procs)
        # any pikerd of this user may sweep its folder from now on
        async with place.pikerd() as pikerd:
            assert place.info["pid"] == pikerd.pid
            assert place.shm.is_dir()
            assert not old.exists()
            async with place.attached():
                with trio.fail_after(20):
                    names = set()
                    while "survivor" not in names:
                        names = {uid[0] for uid, _ in await tr.registered()}
                        await trio.sleep(0.05)
                async with tr.find_actor("survivor") as portal:
                    assert portal is not None
                assert await spawn("toyd.a")
            assert survivor.popen.poll() is None
            pikerd.popen.terminate()
            assert (await ends(pikerd, 15))[0] == 0
        # and it leaves in order even where its pikerd never knew it
        survivor.popen.send_signal(signal.SIGINT)
        await survivor.wait(15)
        assert "RemoteActorError" not in survivor.said


async def test_idle_ends_it_but_not_under_a_client(tmp_path):
    place = Place(tmp_path / "tree", conf="[pikerd]\nidle_exit_s = 4\n")
    async with place.pikerd("--idle-exit") as pikerd:
        async with place.attached():
            await trio.sleep(4.5)
            assert pikerd.popen.poll() is None
            began = time.monotonic()
        assert await pikerd.wait(20) == 0
        assert 3.8 < time.monotonic() - began < 18
        assert "no client for 4 s" in pikerd.said
        assert not await place.left()


# -- whose address ------------------------------------------------------------


async def test_a_second_pikerd_says_who_runs_and_harms_nothing(place, tmp_path):
    async with place.pikerd() as first, place.attached():
        (toy,) = await spawn("toyd.a")
        shm = place.shm
        for other in (place, Place(tmp_path / "elsewhere", port=place.addr[1])):
            async with other.start() as second:
                assert await second.wait() == 1
                assert said_once(second) == (
                    f"a pikerd runs at {place.registry} already (pid {first.pid}); "
                    "attach to it, or give this one another address with --registry "
                    "HOST:PORT"
                )
            assert not other.info or other is place
        assert place.shm == shm
        assert await spawn("toyd.a") == [toy]
        assert first.popen.poll() is None


@pytest.mark.parametrize("again", range(5))
async def test_of_two_that_race_for_an_address_one_lives(place, again):
    async with place.start() as one, place.start() as two:
        with trio.fail_after(25):  # either may be the one that comes up
            while await probe(place.addr) is None:
                await trio.sleep(0.02)
        with trio.fail_after(20):
            while one.popen.poll() is None and two.popen.poll() is None:
                await trio.sleep(0.01)
        winner, loser = (one, two) if one.popen.poll() is None else (two, one)
        assert await loser.wait() == 1
        # the winner may not have written its pid yet when the loser looked for it
        who = (f"pid {winner.pid}", "its pid is unknown")
        said = said_once(loser)
        assert any(f"already ({each})" in said for each in who), said
        await place.up(winner)
        winner.popen.terminate()
        assert await winner.wait(15) == 0
        assert not await place.left()


@asynccontextmanager
async def stranger(port: int, answer: bytes):
    """Listen like something that isn't pikerd."""

    async def serve(stream):
        if not answer:
            await trio.sleep_forever()
        with suppress(trio.BrokenResourceError):
            await stream.send_all(answer)
            await stream.receive_some(1000)
        await stream.aclose()

    async with trio.open_nursery() as tasks:
        await tasks.start(trio.serve_tcp, serve, port)
        yield
        tasks.cancel_scope.cancel()


HTTP = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    "answer", [b"", HTTP, b"\xff" * 4096], ids=["silent", "http", "ff"]
)
async def test_a_stranger_at_the_address_is_a_sentence(place, answer):
    async with stranger(place.addr[1], answer), place.start() as pikerd:
        who = f"held by something that is not pikerd (pid {os.getpid()}, "
        assert await pikerd.wait(20) == 1
        assert who in said_once(pikerd)
        assert "--registry HOST:PORT" in pikerd.said
        with pytest.raises(
            RegistryUnreachable, match="is something that is not pikerd"
        ):
            async with place.attached():
                pass
    assert not await place.left()


async def test_nobody_at_the_address_is_a_sentence(place):
    with pytest.raises(RegistryUnreachable) as told:
        async with place.attached():
            pass
    assert str(told.value) == (
        f"no pikerd answers at {place.registry}; start one with `pikerd`, or name "
        "another address with --registry HOST:PORT"
    )


async def test_a_stopped_pikerd_is_a_sentence_not_a_hang(place):
    why = r"the pikerd at .* \(pid {}\) does not answer: it is stopped or hangs"
    async with place.pikerd() as pikerd:
        why = why.format(pikerd.pid)
        async with place.attached():
            pikerd.popen.send_signal(signal.SIGSTOP)
            with trio.fail_after(20), pytest.raises(RegistryUnreachable, match=why):
                await spawn("toyd.a")
            began = time.monotonic()
        assert time.monotonic() - began < 10  # a client leaves whatever pikerd does
        with trio.fail_after(20), pytest.raises(RegistryUnreachable, match=why):
            async with place.attached():
                pass
        async with place.start() as second:
            assert await second.wait(20) == 1
            assert f"already (pid {pikerd.pid})" in said_once(second)
        pikerd.popen.send_signal(signal.SIGCONT)
        async with place.attached():
            assert await spawn("toyd.a")


async def test_a_pikerd_that_is_held_up_for_a_while_is_waited_for(place):
    async with place.pikerd() as pikerd, trio.open_nursery() as tasks:
        pikerd.popen.send_signal(signal.SIGSTOP)

        @tasks.start_soon
        async def let_go_on():
            await trio.sleep(2.5)
            pikerd.popen.send_signal(signal.SIGCONT)

        async with place.attached():
            assert await spawn("toyd.a")


# -- clients that start one ---------------------------------------------------


async def test_clients_that_find_none_start_one_and_all_find_it(tmp_path):
    place = Place(tmp_path / "tree", conf="[pikerd]\nidle_exit_s = 5\n")
    async with place.client("maybe", "one") as one, place.client("maybe", "two") as two:
        lines = [await proc.line() for proc in (one, two)]
        said = [
            line if line.startswith("pid") else await proc.line()
            for line, proc in zip(lines, (one, two), strict=True)
        ]
        assert said[0] == said[1]
        pikerd = psutil.Process(int(said[0].split()[1]))
        assert any("started pikerd (pid" in line for line in lines)
        assert os.getsid(pikerd.pid) == pikerd.pid  # a terminal's end is not its end
        async with place.client("maybe", "three") as three:
            assert await three.line() == said[0]
        for proc in (one, two):
            await proc.popen.stdin.aclose()
            assert await proc.wait() == 0, proc.said
        assert is_alive(pikerd)
        with trio.fail_after(30):
            while is_alive(pikerd):
                await trio.sleep(0.05)
        assert not await place.left()


async def test_who_comes_while_it_ends_starts_the_next_one(tmp_path):
    """Admitted, it would wait for ever for a next one that nobody starts."""
    place = Place(tmp_path / "tree", conf="[pikerd]\nidle_exit_s = 1\n")
    async with place.pikerd() as first:
        async with (
            place.attached(),
            maybe_spawn_daemon("toyd.a", {"name": "toyd.a", "how": "deaf"}),
        ):
            pass  # it will be killed after 3 s
        first.popen.terminate()
        with (
            trio.fail_after(20),
            pytest.raises(PikerdNotServing, match="pikerd is ending: SIGTERM"),
        ):
            while True:  # until it has heard of it
                async with place.attached():
                    await trio.sleep(0.05)
        with place.dirs(), trio.fail_after(20):
            async with maybe_open_pikerd("late", place.addr):
                second = psutil.Process(place.info["pid"])
                assert second.pid != first.pid
        assert await first.wait() == 0
        assert not await wait_gone([second])


async def test_what_failed_is_told_though_its_pikerd_went_meanwhile(place, monkeypatch):
    """An end of pikerd breaks a client's leave off, in the middle of its words."""
    take_leave = tractor.Portal.run_from_ns

    async def broken(self, ns, name, **kwargs):
        if name == "unregister_actor":
            raise trio.BrokenResourceError("it went")
        return await take_leave(self, ns, name, **kwargs)

    async with place.pikerd():
        monkeypatch.setattr(tractor.Portal, "run_from_ns", broken)
        for kind in (PikerdNotServing, ValueError):
            with pytest.raises(kind, match="ours"):
                async with place.attached():
                    raise kind("ours")
        async with place.attached():
            pass


async def test_a_pikerd_that_can_not_start_says_why_to_the_client(tmp_path):
    place = Place(tmp_path / "tree", conf="[pikerd]\nidle_exit_s = 'soon'\n")
    with place.dirs(), trio.fail_after(25):
        with pytest.raises(
            RegistryUnreachable, match=r"could not start pikerd: .*idle_exit_s"
        ):
            async with maybe_open_pikerd("test", place.addr):
                pass


async def test_the_pid_of_a_killed_pikerd_may_be_an_innocents_by_now(place):
    innocent = os.getppid()
    lock = Path(place.env["PIKER_RUNTIME_DIR"]) / f"127.0.0.1-{place.addr[1]}.lock"
    lock.write_text(str(innocent))
    async with stranger(place.addr[1], b""):
        with pytest.raises(RegistryUnreachable, match="not pikerd") as told:
            async with place.attached():
                pass
    assert str(innocent) not in str(told.value)
    (Path(place.env["PIKER_CONFIG_DIR"]) / "conf.toml").write_text("nonsense")
    with place.dirs(), trio.fail_after(25):
        with pytest.raises(RegistryUnreachable, match="could not start pikerd: .*toml"):
            async with maybe_open_pikerd("test", place.addr):
                pass


async def test_a_pikerd_that_hangs_as_it_starts_is_not_left_behind(place, monkeypatch):
    procs = []

    def start(argv, env, errors):
        procs.append(subprocess.Popen([sys.executable, "-c", "input()"], **pipe))
        return procs[0]

    pipe = {"stdin": subprocess.PIPE}
    monkeypatch.setattr(_runtime, "BOOT_DEADLINE_S", 0.1)
    monkeypatch.setattr(_runtime, "_start_detached", start)
    with place.dirs(), pytest.raises(RegistryUnreachable, match=r"not up in 0\.1 s"):
        async with maybe_open_pikerd("test", place.addr):
            pass
    with procs[0] as proc:
        assert proc.wait(5) == -signal.SIGKILL


async def test_who_lost_the_race_to_start_one_waits_for_the_winner(place, monkeypatch):
    """The winner holds the address a while before it listens there."""
    holders = [4711]
    monkeypatch.setattr(_runtime, "holder_pid", lambda _: holders[-1])
    start, lost = _runtime._start_detached, [sys.executable, "-c", "exit(1)"]
    monkeypatch.setattr(
        _runtime, "_start_detached", lambda _, *rest: start(lost, *rest)
    )
    with trio.fail_after(30), place.dirs():
        async with place.start() as winner, trio.open_nursery() as tasks:
            winner.popen.send_signal(signal.SIGSTOP)
            tasks.start_soon(_runtime.start_pikerd, place.addr)
            await trio.sleep(0.5)
            assert tasks.child_tasks  # it neither gave up nor found one
            winner.popen.send_signal(signal.SIGCONT)
        holders.append(None)
        with pytest.raises(RegistryUnreachable, match="not start pikerd: exit code 1"):
            await _runtime.start_pikerd(place.addr)


async def test_an_embedded_tree_is_found_by_whoever_is_in_it(open_test_pikerd):
    async with open_test_pikerd() as tree:
        async with maybe_open_pikerd("inner") as services:
            assert services is tree.services


async def test_an_error_in_an_embedded_tree_is_not_about_its_address(place):
    with place.dirs(), pytest.raises(OSError, match="mine") as caught:
        async with open_pikerd(place.addr):
            raise OSError(28, "mine")
    assert str(caught.value) == "[Errno 28] mine"


async def test_a_table_of_some_kinds_leaves_the_others_to_pikerd(place, monkeypatch):
    """A daemon may supervise children of its own, and be a client for the rest."""
    monkeypatch.setitem(SPAWNERS, "paperboi", "tests.service.toyd:spawn_toyd")
    kinds = frozenset({"paperboi"})
    with trio.fail_after(30):
        async with place.pikerd() as pikerd, place.attached():
            async with open_services(kinds=kinds) as services:
                toy, mine = await spawn("toyd.a", "paperboi.b")
                assert psutil.Process(toy).ppid() == pikerd.pid
                assert psutil.Process(mine).ppid() == os.getpid()
                assert list(services.service_tasks) == ["paperboi.b"]
                os.kill(mine, signal.SIGKILL)
                while services.service_tasks["paperboi.b"].restarts == 0:
                    await trio.sleep(0.01)
                (again,) = await spawn("paperboi.b")
                rows = [uid[0] for uid, _ in await tr.registered()]
                assert rows.count("paperboi.b") == 1
            assert not psutil.pid_exists(again)
            assert psutil.pid_exists(toy)


# -- what it is given ---------------------------------------------------------


async def test_a_bad_registry_is_a_sentence(place):
    env = {**place.env, "PIKER_REGISTRY": "localhost"}
    for args, code in (((), 1), (("-r", "localhost"), 2)):
        async with running("piker.cli.pikerd", *args, env=env) as pikerd:
            assert await pikerd.wait() == code
            assert "HOST:PORT, got 'localhost'" in said_once(pikerd)


async def test_a_runtime_folder_others_may_write_is_refused(place):
    run = Path(place.env["PIKER_RUNTIME_DIR"])
    run.chmod(0o777)
    async with place.start() as pikerd:
        assert await pikerd.wait() == 1
        assert f"others may write in {run}: chmod 700" in said_once(pikerd)
    assert not list(run.iterdir())


# 1: nothing can be made, 2: the folder can, not the lock in it
@pytest.mark.parametrize("inodes", [1, 2])
async def test_a_full_shared_memory_is_a_sentence(place, inodes):
    """In a mount namespace of its own; the kernel's own ENOSPC."""
    script = (
        f"mount -t tmpfs -o nr_inodes={inodes} none /dev/shm && "
        f"{{ {sys.executable} -m piker.cli.pikerd -r {place.registry}; code=$?; "
        "ls /dev/shm; exit $code; }"
    )
    done = await trio.run_process(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script],
        env=place.env,
        cwd=REPO,
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == [
        "error: can't make a folder for bars in /dev/shm: No space left on device; "
        "free some space there (`piker doctor` lists what is stale)"
    ]
    assert done.stdout == b""  # what could be made is gone again
    assert not await place.left()


@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_a_folder_that_a_sweep_took_is_made_anew(monkeypatch, tmp_path, when):
    """Between the making of a folder and its lock another tree may sweep it."""
    monkeypatch.setattr(_tree, "SHM_ROOT", tmp_path)
    take, swept = _tree.take_lock, []

    def take_meanwhile(path):
        if swept:
            return take(path)
        swept.append(path.parent)
        if when == "during":
            return None  # the sweep holds it
        fd = take(path) if when == "after" else None
        shutil.rmtree(path.parent)
        return fd or take(path)

    monkeypatch.setattr(_tree, "take_lock", take_meanwhile)
    before = psutil.Process().num_fds()
    with _tree._shm_folder() as folder:
        assert folder.is_dir()
        assert folder not in swept
        assert folder not in _tree.stale_folders()
        _tree.sweep()
        assert list(tmp_path.iterdir()) == [folder]
    assert not list(tmp_path.iterdir())
    assert psutil.Process().num_fds() == before


def test_no_folder_at_all_is_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(_tree, "SHM_ROOT", tmp_path / "absent")
    with pytest.raises(ShmFull, match="No such file"), _tree._shm_folder():
        pass
