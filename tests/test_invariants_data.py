"""Promises 1, 2, 3, 6, 9, 10 and 16 of docs/invariants.md, as far as data goes.

9 is tests/data/test_feed_viewers.py; 10 is tests/data/test_replay*.py and, for markets
on the wall clock, what is compared here and in tests/data/test_feed.py.
"""

from __future__ import annotations

import ast
import importlib
import os
import signal
import threading
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import psutil
import pytest
import tractor
import trio

import piker
from piker.brokers import (
    BACKENDS,
    brokerd_init,
    get_brokermod,
    maybe_spawn_brokerd,
    sim,
)
from piker.clearing import (
    emsd_init,
    maybe_spawn_emsd,
    maybe_spawn_paperboi,
    paperboi_init,
)
from piker.data import (
    HistoryProgress,
    Quote,
    Reconnected,
    datad_init,
    maybe_spawn_datad,
    maybe_spawn_samplerd,
    open_feed,
    open_sample_stream,
    samplerd_init,
    search_symbols,
)
from piker.data.validate import _eps, get_eps, missing_eps
from piker.service import (
    PIKERD_MODULES,
    Policy,
    current_actor,
    open_portal_to,
)
from piker.service._spec import SPAWNERS, DaemonSpec
from piker.testing import tree_processes
from tests.data._live import BTC, ETH, check_live_bars, watched
from tests.exposed_table import EXPOSED

PACKAGE = Path(piker.__file__).parent
INITS = {f"datad.{name}": partial(datad_init, name) for name in BACKENDS}
INITS |= {f"paperboi.{name}": partial(paperboi_init, name) for name in BACKENDS}
INITS |= {f"brokerd.{name}": partial(brokerd_init, name) for name in BACKENDS}
INITS["emsd"] = emsd_init
INITS["samplerd"] = samplerd_init


def parsed(word: str) -> dict[Path, ast.Module]:
    """Return the syntax trees of the package's modules that have *word* in them."""
    sources = {path: path.read_text() for path in sorted(PACKAGE.rglob("*.py"))}
    found = {path: source for path, source in sources.items() if word in source}
    assert found
    return {path.relative_to(PACKAGE): ast.parse(found[path]) for path in found}


def names_in(tree: ast.AST) -> set[str]:
    """Return every name that is read, imported or asked for as an attribute."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.alias):
            found.add(node.name)
    return found


# -- 1: a chart starts no brokerd ----------------------------------------------


@pytest.mark.tree
async def test_1_a_chart_only_session_has_no_brokerd(open_test_pikerd):
    async with (
        open_test_pikerd(embedded=False, deadline_s=120) as tree,
        open_feed([BTC, ETH]) as feed,
    ):
        await feed.stream.receive()
        assert (await search_symbols("btc", ["sim"], limit=3)).matches
        async with open_sample_stream() as steps:
            await steps.receive()
        infos = await tree.infos()
        assert set(infos) == {"pikerd", "datad.sim", "samplerd"}
        pids = {info.pid for info in infos.values()}
        assert {child.pid for child in tree_processes(tree.pid)} == pids - {tree.pid}


def test_1_only_the_order_daemons_client_starts_brokerd():
    allowed = {Path("clearing/_ems.py"), Path("brokers/_daemon.py")}
    users = {
        path
        for path, tree in parsed("spawn_brokerd").items()
        if names_in(tree) & {"spawn_brokerd", "maybe_spawn_brokerd"}
        and path.name != "__init__.py"
    }
    assert users <= allowed


# -- 2: what is exposed --------------------------------------------------------


def endpoints_of(modules: tuple[str, ...]) -> set[str]:
    found = set()
    for name in modules:
        module = importlib.import_module(name)
        for attr, value in vars(module).items():
            if hasattr(value, "__endpoint__"):
                found.add(f"{name}:{attr}")
    return found


def modules_of(actor: str) -> tuple[str, ...]:
    return PIKERD_MODULES if actor == "pikerd" else INITS[actor]().enable_modules


@pytest.mark.parametrize("actor", EXPOSED)
def test_2_endpoints_are_those_of_the_table(actor):
    assert endpoints_of(modules_of(actor)) == EXPOSED[actor]


def test_2_each_kind_of_daemon_is_in_the_table():
    assert {name.partition(".")[0] for name in EXPOSED} == {"pikerd", *SPAWNERS}
    assert {name.partition(".")[2] for name in EXPOSED} - {""} == set(BACKENDS)


def others_of(modules: tuple[str, ...]) -> set[tuple[str, str]]:
    """Return what else is callable in the namespaces of exposed modules."""
    return {
        (name, attr)
        for name in modules
        for attr, value in vars(importlib.import_module(name)).items()
        if callable(value) and not hasattr(value, "__endpoint__")
    }


@pytest.mark.tree
async def test_2_nothing_else_can_be_called(open_test_pikerd):
    beside = {
        ("piker.data._bus", "current_bus"),
        ("piker.config", "load_config"),
        ("os", "getpid"),
        ("builtins", "eval"),
        ("piker.data._rpc", "nothing"),
    }
    async with open_test_pikerd(embedded=False, deadline_s=180) as tree:
        async with AsyncExitStack() as stack:
            opening = {
                "pikerd": open_portal_to(tree.addr),
                "emsd": maybe_spawn_emsd(),
                "samplerd": maybe_spawn_samplerd(),
            }
            for broker in BACKENDS:
                opening |= {
                    f"datad.{broker}": maybe_spawn_datad(broker),
                    f"brokerd.{broker}": maybe_spawn_brokerd(broker),
                    f"paperboi.{broker}": maybe_spawn_paperboi(broker),
                }
            portals = {
                name: await stack.enter_async_context(each)
                for name, each in opening.items()
            }
            assert portals.keys() == EXPOSED.keys()
            asked = 0
            for actor, portal in portals.items():
                for module, attr in sorted(others_of(modules_of(actor)) | beside):
                    with pytest.raises(tractor.RemoteActorError) as caught:
                        with trio.fail_after(20):
                            await portal.run_from_ns(module, attr)
                    assert "ModuleNotExposed" in str(caught.value), (module, attr)
                    asked += 1
            assert asked > 60
            infos = (await tree.infos()).values()
            assert [info.restarts for info in infos] == [0] * len(portals)


# -- 3: the contract with backends ---------------------------------------------


@pytest.mark.parametrize("broker", BACKENDS)
def test_3_every_endpoint_is_offered_or_reported(broker):
    mod = get_brokermod(broker)
    for kind, names in _eps.items():
        offered, missing = get_eps(mod, kind), missing_eps(mod, kind)
        assert sorted([*offered, *missing]) == sorted(names)
        assert all(callable(func) for func in offered.values())
        assert not any(hasattr(mod, name) for name in missing)


@pytest.mark.parametrize("broker", BACKENDS)
def test_3_spawn_arguments_reach_every_kind_of_daemon(broker, monkeypatch):
    mod = get_brokermod(broker)
    asked = {"infect_asyncio": True}
    monkeypatch.setattr(mod, "_spawn_kwargs", asked, raising=False)
    for init in (brokerd_init, datad_init, paperboi_init):
        spec = init(broker)
        assert spec.spawn_kwargs == asked
        assert spec.spawn_kwargs is not asked


@pytest.mark.tree
async def test_3_spawn_arguments_reach_the_process(open_test_pikerd, monkeypatch):
    """An asyncio loop runs in the daemon of a backend that asks for one."""
    monkeypatch.setattr(sim, "_spawn_kwargs", {"infect_asyncio": True}, raising=False)
    async with open_test_pikerd() as tree, open_feed(BTC) as feed:
        assert isinstance(await feed.stream.receive(), Quote)
        spec = tree.services.service_tasks["datad.sim"].spec
        assert spec.spawn_kwargs == {"infect_asyncio": True}
        pid = tree.services.service_tasks["datad.sim"].pid
        assert "--asyncio" in " ".join(psutil.Process(pid).cmdline())


# -- 6: any one may die or hang ------------------------------------------------


@pytest.mark.tree
async def test_6_datad_and_samplerd_killed_and_stopped(open_test_pikerd):
    """The others keep their process, the dead one serves again, two clients go on."""
    # none is killed for being held up by a busy machine
    policy = Policy(beat_s=0.15, kill_beats=40, delays_s=(0.0,))
    async with open_test_pikerd(policy=policy, deadline_s=180) as tree:
        began = time.time()
        services = tree.services.service_tasks
        async with (
            open_feed([BTC, ETH]) as one,
            open_feed(BTC, tick_throttle=5) as two,
            open_sample_stream() as steps,
        ):
            await steps.receive()
            async with watched(one, two) as watchers:
                for name in ("datad.sim", "samplerd"):
                    for sig in (signal.SIGKILL, signal.SIGSTOP):
                        await one_dies(tree, name, sig, watchers)
                losses = [watcher.check_order() for watcher in watchers]
            await check_live_bars(one.flumes[BTC], began - 120)
            await check_live_bars(one.flumes[ETH], began - 120)
        assert losses == [2, 2], "samplerd is no loss to a feed"
        assert [services[n].restarts for n in ("datad.sim", "samplerd")] == [2, 2]
        log = (tree.folder / "state" / "log" / "datad.sim.log").read_text()
        assert 0 <= log.count("lost samplerd") <= 2, "each is logged once"


async def one_dies(tree, name: str, sig: signal.Signals, watchers: list) -> None:
    """Kill or stop one daemon; wait until it serves again, and quotes flow."""
    services = tree.services.service_tasks
    pids = {other: service.pid for other, service in services.items()}
    at = [len(watcher.said) for watcher in watchers]
    os.kill(pids[name], sig)
    with trio.fail_after(40):
        while services[name].pid in (pids[name], -1):
            await services[name].changed.wait()
        await tree.services.wait_up(name)
        if name == "datad.sim":
            for watcher, before in zip(watchers, at, strict=True):
                await watcher.until(Reconnected, before)
        else:
            async with open_sample_stream() as steps:
                await steps.receive()
        for watcher in watchers:
            await watcher.until(Quote, len(watcher.said))
    now = {other: service.pid for other, service in services.items()}
    assert {other for other in now if now[other] != pids[other]} == {name}


@pytest.mark.tree
async def test_10_datad_stopped_for_a_while_and_continued(open_test_pikerd):
    """Not long enough to be killed: its bars have no hole, and no trade is left out."""
    async with open_test_pikerd() as tree, open_feed(BTC) as feed:
        began = time.time()
        datad = tree.services.service_tasks["datad.sim"]
        await trio.sleep(0.5)
        os.kill(datad.pid, signal.SIGSTOP)
        await trio.sleep(4)
        os.kill(datad.pid, signal.SIGCONT)
        await trio.sleep(0.5)
        await check_live_bars(feed.flumes[BTC], began - 60)
        assert datad.restarts == 0
        told = [await feed.events.receive() for _ in range(len(feed.events))]
        assert all(isinstance(event, HistoryProgress) for event in told)


# -- 16: how daemons are built -------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "package"),
    [
        ("brokerd", "brokers"),
        ("datad", "data"),
        ("emsd", "clearing"),
        ("paperboi", "clearing"),
        ("samplerd", "data"),
    ],
)
def test_16_a_kind_has_its_parts(kind, package):
    module_name, _, spawn = SPAWNERS[kind].partition(":")
    module = importlib.import_module(module_name)
    assert spawn == f"spawn_{kind}"
    for name in (f"{kind}_init", f"spawn_{kind}", f"maybe_spawn_{kind}"):
        assert getattr(module, name).__module__ == module_name
        assert hasattr(importlib.import_module(f"piker.{package}"), name)
    setup = getattr(module, f"_setup_persistent_{kind}")
    assert hasattr(setup, "__endpoint__")
    spec = INITS[next(name for name in INITS if name.startswith(kind))]()
    assert spec.setup is setup
    assert module_name in spec.enable_modules


@pytest.mark.parametrize("actor", INITS)
def test_16_init_starts_nothing(actor):
    """No run, no thread, no process, no socket: it only describes."""
    me = psutil.Process()
    children, threads = me.children(), threading.enumerate()
    fds = me.num_fds()
    spec = INITS[actor]()
    assert isinstance(spec, DaemonSpec)
    assert spec.name == actor
    # idle threads of an earlier test may end meanwhile
    assert me.num_fds() <= fds
    assert set(me.children()) <= set(children)
    assert set(threading.enumerate()) <= set(threads)
    assert current_actor() is None
    for name in spec.enable_modules:
        importlib.import_module(name)


def test_16_only_a_setup_sets_up_the_log():
    """Once per actor: `setup_actor_log()` is called in `_setup_persistent_<kind>`."""
    callers = [
        func.name
        for tree in parsed("setup_actor_log").values()
        for func in ast.walk(tree)
        if isinstance(func, ast.AsyncFunctionDef | ast.FunctionDef)
        and any(
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "setup_actor_log"
            for node in ast.walk(func)
        )
    ]
    assert sorted(callers) == sorted(f"_setup_persistent_{kind}" for kind in SPAWNERS)
