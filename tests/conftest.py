"""What every test may use."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections import defaultdict, deque
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import HealthCheck, settings

from piker import log, testing
from piker.process import be_starting
from piker.testing._commands import forked_commands
from piker.testing._forks import BASE, one_tree_server
from piker.testing.emulator import forked_emulators

# How long an example takes is the machine's affair: no promise of ours is a time.
settings.register_profile(
    "piker", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("piker")

#: Of a tree whose test isn't about the past.
SHALLOW = "[data]\nhist_days = 1\nrt_hours = 0.5\n"


def pytest_configure() -> None:
    """Undo what a shell without job control does to its background jobs.

    They start with SIGINT ignored, and so would every process that a test starts and
    then interrupts.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.kill = _kill_one


def pytest_sessionstart(session) -> None:
    """Compile test modules before workers start: each would do it for itself.

    Of the whole suite, in a fresh clone, that was 13 s of a core for each of them.
    """
    config = session.config
    is_whole = config.args_source is config.ArgsSource.TESTPATHS
    has_workers = getattr(config.option, "numprocesses", None)
    is_worker = hasattr(config, "workerinput")
    if is_whole and has_workers and not is_worker and not sys.dont_write_bytecode:
        _compile(config.rootpath / "tests")


def _compile(folder: Path) -> None:
    """Have one process a core collect what isn't compiled."""
    files = [str(file) for file in folder.rglob("test_*.py") if not _is_compiled(file)]
    count = min(os.cpu_count() or 1, len(files) // 20)
    collect = [sys.executable, "-m", "pytest", "--collect-only", "-qq", "-n0"]
    makers = [
        subprocess.Popen(
            [*collect, *files[nth::count]],
            cwd=folder.parent,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for nth in range(count)
    ]
    for maker in makers:
        maker.wait()  # what it couldn't read, the workers tell


def _is_compiled(file: Path) -> bool:
    tag = f"{sys.implementation.cache_tag}-pytest-{pytest.__version__}"
    made = file.parent / "__pycache__" / f"{file.stem}.{tag}.pyc"
    return made.exists() and made.stat().st_mtime >= file.stat().st_mtime


def _kill_one(pid: int, sig: int, kill=os.kill) -> None:
    """Send a signal to one process: -1, which a daemon that isn't up has, is all."""
    if pid <= 1:
        raise ValueError(f"no process of a test has the pid {pid}")
    kill(pid, sig)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Look for garbage once the tests are known: until then all is kept.

    Each worker would look through a growing heap of tests, a fifth of its collection.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_modifyitems(config, items) -> None:
    """Have each worker begin with its share of what takes long.

    Each is given a part of the list, in order, and one that is done takes from the
    end of another's: trees there would run by themselves at last. Those of one file
    wait, or work, as one: they are mixed, alike in each run. What shares a fixture of
    its module stays together: mixed, each would have one made.
    """
    count = getattr(config, "workerinput", {}).get("workercount", 1)
    if count == 1:
        return
    groups: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        groups[_shared_by(item) or item.nodeid].append(item)
    trees = [one for one in groups.values() if "tree" in one[0].keywords]
    trees.sort(key=lambda one: crc32(one[0].nodeid.encode()))
    others = deque(one for one in groups.values() if "tree" not in one[0].keywords)
    end, placed, parts = 0, 0, []
    for nth in range(count):
        own = trees[nth::count]
        end += (len(items) - end) // (count - nth)  # of its part: as xdist shares out
        room = end - placed - sum(map(len, own))
        parts += own
        while others and len(others[0]) <= room:
            parts.append(others.popleft())
            room -= len(parts[-1])
        placed = end - room
    items[:] = [item for one in (*parts, *others) for item in one]


def _shared_by(item) -> str:
    """Return the module whose fixtures a test uses, "" if it uses none of one."""
    fixtures = item._fixtureinfo.name2fixturedefs.values()
    own = any(found[-1].scope == "module" for found in fixtures)
    return item.nodeid.partition("::")[0] if own else ""


def pytest_collection_finish() -> None:
    """Keep what was imported and collected out of every later search for garbage."""
    gc.collect()
    gc.freeze()
    be_starting()


def pytest_xdist_auto_num_workers() -> int:
    """Four a core: most tests wait for processes more than they work."""
    return 4 * (os.cpu_count() or 1)


def pytest_runtest_teardown() -> None:
    """Forget what a test had hidden from logs: made-up keys, of a letter some."""
    log._secrets.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Make what a test printed fit for the way from a worker: UTF-8."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode())
        for name, text in report.sections
    ]
    return report


@pytest.fixture(scope="session", autouse=True)
def forked_programs():
    """One fork server for all emulators of this process, one for all commands."""
    with BASE.wanted(), forked_emulators(), forked_commands():
        yield


@pytest.fixture(scope="session")
def forks(forked_programs):
    """One fork server for all the trees in this process: 1 s of a core, once."""
    with one_tree_server():
        yield


@pytest.fixture
def open_test_pikerd(tmp_path, forks):
    """Opens a private tree in a folder of the test's own.

    Whose conf says nothing of data has a past of a day: to load the usual thirty was a
    third of a datad's work.
    """

    def opened(*, conf: str = "", **kwargs):
        shallow = "" if "[data]" in conf else SHALLOW
        return testing.open_test_pikerd(
            tmp_path / "tree", conf=conf + shallow, **kwargs
        )

    return opened
