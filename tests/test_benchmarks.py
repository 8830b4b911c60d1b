"""Each benchmark runs, with tiny counts; what it measures is not judged here."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread

import pytest
import trio

from benchmarks import (
    __main__ as command,
    _procs,
    _report,
    accounting,
    aio,
    attach,
    boot,
    chart,
    clearing,
    darks,
    fanout,
    history,
    ib,
    isolation,
    klines,
    live,
    replay,
    restart,
    search,
    shm,
    store,
    wire,
)
from piker.testing._commands import open_command

TINY = {
    "boot": lambda: boot.run(1, warm=False),
    "fanout": lambda: fanout.run(1, clients=(2,), seconds=0.3),
    "restart": lambda: restart.run(1, settle_s=0.2),
    "shm": lambda: shm.run(1, scale=0.01),
    "replay": lambda: replay.run(1, frames=3000),
    "attach": lambda: attach.run(1, viewers=2, settle_s=0.5),
    "search": lambda: search.run(1, patterns=10, floor_patterns=2),
    "klines": lambda: klines.run(1, bodies=2),
    "wire": lambda: wire.run(1, frames=3000, cuts=1),
    "aio": lambda: aio.run(1, requests=50, abreast=5),
    "ib": lambda: ib.run(1, seconds=2, rate_hz=500, legs=4),
    "darks": lambda: darks.run(1, ticks=1000, changes=10),
    "history": lambda: history.run(1),
    "accounting": lambda: accounting.run(1, trades=3000, rows=300, appends=3),
    "clearing": lambda: clearing.run(
        1,
        clearing.Counts(
            fills=3, darks=2, few=3, many=20, opened=2, windows=1, settle_s=0
        ),
    ),
    "live": lambda: live.run(1, seconds=1.0, orders=3, strike_s=0.3),
    "chart": lambda: chart.run(1, sizes=(1000,), pictures=2, seconds=0.5, memory_s=1.0),
    "store": lambda: store.run(1, rows=3000, appends=3),
    "isolation": lambda: isolation.run(
        1, strikes=("no fault", "datad SIGKILLed"), seconds=0.3, flood=400
    ),
}


#: Benchmarks of which each program is a fresh interpreter: they measure its start.
FRESH = ("boot",)


class Forked:
    """What a `_procs.Program` needs of a `subprocess.Popen`, of a process forked.

    A thread of its own waits for it: some benchmarks run trio themselves.
    """

    def __init__(self, argv, env, errors) -> None:
        its_stdin, stdin = os.pipe()
        stdout, its_stdout = os.pipe()
        self._argv, self._began = argv, Future()
        files = (its_stdin, its_stdout, errors.fileno())
        self.stdin = open(stdin, "wb")  # noqa: SIM115 - closed by Program.end()
        self.stdout = open(stdout, "rb")  # noqa: SIM115 - likewise
        self._thread = Thread(
            target=trio.run, args=(self._run, env, files), daemon=True
        )
        self._thread.start()
        try:
            self.pid = self._began.result()
        except BaseException:
            self.stdin.close()
            self.stdout.close()
            raise
        finally:
            os.close(its_stdin)
            os.close(its_stdout)

    async def _run(self, env, files) -> None:
        module, *args = self._argv
        try:
            process = await open_command(
                *args, module=module, env=env, cwd=_procs.ROOT, files=files
            )
        except BaseException as err:  # noqa: BLE001 - who waits for the pid is told
            self._began.set_exception(err)
            return
        self._began.set_result(process.pid)
        await process.wait()

    def poll(self) -> int | None:
        return None if self._thread.is_alive() else 0

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # the thread has reaped it just now
                os.kill(self.pid, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout=None) -> None:
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise subprocess.TimeoutExpired(self._argv, timeout)


def test_every_benchmark_is_tried_here():
    assert set(TINY) == set(command.NAMES)
    assert all(name in command.list_all() for name in TINY)


@pytest.mark.tree
@pytest.mark.parametrize("name", TINY)
def test_runs(name, monkeypatch):
    monkeypatch.setattr(_procs, "DATA_CONF", "[data]\nhist_days = 1\nrt_hours = 0.5\n")
    if name not in FRESH:
        monkeypatch.setattr(_procs, "start", Forked)
    report = TINY[name]()
    assert report.name == name
    assert any(measure.target is not None for measure in report.measures)
    for measure in report.measures:
        assert math.isfinite(measure.ours), measure.name
        assert measure.floor is None or measure.floor > 0, measure.name
    told = json.loads(json.dumps(report.as_dict()))
    assert len(told["measures"]) == len(report.table().splitlines()) - 2 - len(
        report.notes
    )


@pytest.mark.parametrize(
    ("rule", "target", "ok"),
    [
        ("x<=", 2.0, True),
        ("x<=", 1.9, False),
        (">=", 4.0, True),
        (">=", 4.1, False),
        ("<=", 4.0, True),
        ("<=", 3.9, False),
        ("x<=", None, None),
    ],
)
def test_a_target_is_met_or_missed(rule, target, ok):
    row = _report.compared("it", "s", [3.0, 4.0, 9.0], [1.0, 2.0, 3.0])
    measure = _report.Measure(
        name=row.name,
        unit=row.unit,
        ours=row.ours,
        floor=row.floor,
        rule=rule,
        target=target,
    )
    assert measure.ok is ok
    assert measure.ratio == 2.0
    assert _report.Report("it", "bare", (measure,)).ok is (ok is not False)


def test_p99_is_of_all_samples_and_the_worst_of_few():
    assert _report.quantile(range(1000), 0.99) == 990
    assert _report.quantile([1.0, 5.0, 2.0], 0.99) == 5.0
    assert math.isnan(_report.quantile([], 0.99))
