"""Shared bars among real processes: read at full speed, and after SIGKILL."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.shm import kills, shm_folder, torture
from piker.data._shm import ShmArray
from tests.data._ring import bars, fill, open_ring

pytestmark = pytest.mark.tree


def leftovers() -> set[str]:
    return {p.name for p in Path("/dev/shm").glob(f"piker-shm-{os.getpid()}-*")}


def test_no_reader_ever_sees_a_torn_bar():
    found = torture(reads=40_000)
    assert found["reads"] == 40_000
    assert found["turns"] >= 1
    wrong = ("torn", "misplaced", "mixed", "backwards", "failed")
    assert {name: found[name] for name in wrong} == dict.fromkeys(wrong, 0)
    assert found["control_torn"] > 0  # a careless reader does: the judge isn't blind
    assert not leftovers()


def test_a_killed_writers_buffer_is_adopted_as_it_was():
    found = kills(40)
    assert (found["kills"], found["bad"], found["bad_reads"]) == (40, 0, 0)
    assert found["repairs"] == found["odd"]
    assert not leftovers()


def test_a_reader_starts_no_resource_tracker_and_leaves_the_file():
    with shm_folder() as folder:
        writer = open_ring(folder / "ring")
        fill(writer, bars(0, 10))
        code = (
            "import sys\n"
            "from piker.data._shm import ShmArray\n"
            "from piker.msgs import ShmToken\n"
            "token = ShmToken(path=sys.argv[1], fqme='btcusdt.spot.sim', period_s=60,"
            " capacity=384)\n"
            "array = ShmArray.attach(token)\n"
            "assert array.writer_alive()\n"
            "tracker = sys.modules.get('multiprocessing.resource_tracker')\n"
            "pid = tracker and tracker._resource_tracker._pid\n"
            "print(array.last(10).time.sum(), pid is not None)\n"
        )
        command = [sys.executable, "-c", code, writer.token.path]
        root = Path(__file__).resolve().parents[2]
        said = subprocess.check_output(command, cwd=root, text=True, timeout=60)
        assert said.split() == [str(45 * 60), "False"]
        assert (folder / "ring").exists()
        assert len(ShmArray.attach(writer.token)) == 10
