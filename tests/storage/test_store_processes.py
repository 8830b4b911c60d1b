"""Writers that are killed, disks that are full, readers beside a writer."""

from __future__ import annotations

import random
import signal
import subprocess
import sys

import numpy as np
import pytest

from piker import config
from piker.errors import StoreError
from piker.storage import StoreWriter, read_bars
from tests.storage.test_store_model import FQME

_WRITER = """
import sys
import numpy as np
from piker import config
from piker.storage import StoreWriter
from tests.storage.test_store_model import FQME, MONTH_S, make

config.use_dirs(config.Dirs.under(sys.argv[1]))
at = int(sys.argv[2])
writer = StoreWriter(FQME, 60)
while True:
    for _ in range(40):
        bars = make(MONTH_S - 86_400 + 60 * np.arange(at, at + 7), close=float(at + 1))
        writer.append(bars)
        at += 7
        print(at, flush=True)
    writer.fold()
"""


def start_writer(folder, at):
    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(folder), str(at)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_writer_killed_at_random_moments_loses_nothing_it_has_stored(tmp_path):
    rng = random.Random(3)
    at = 0
    with config.use_dirs(config.Dirs.under(tmp_path)):
        for _ in range(6):
            with start_writer(tmp_path, at) as proc:
                for _ in range(rng.randrange(1, 120)):
                    at = int(proc.stdout.readline())
                proc.kill()
                at = max([at, *(int(x) for x in proc.stdout if x.endswith("\n"))])
            assert proc.wait() == -signal.SIGKILL
            got = read_bars(FQME, 60)
            assert got.damaged == []
            times = got.bars()["time"]
            # what was told is there; at most one append may be there untold
            assert len(times) in (at, at + 7)
            assert np.all(np.diff(times) == 60)
            at = len(times)
        writer = StoreWriter(FQME, 60)
        assert writer.damaged == []
        writer.fold()
        writer.close()
        assert len(read_bars(FQME, 60)) == at


def test_a_reader_beside_a_writer_sees_each_bar_once_and_never_fewer(tmp_path):
    with (
        config.use_dirs(config.Dirs.under(tmp_path)),
        start_writer(tmp_path, 0) as proc,
    ):
        told = 0
        for _ in range(300):
            told = int(proc.stdout.readline())
            bars = read_bars(FQME, 60).bars()
            assert len(bars) >= told
            assert np.all(np.diff(bars["time"]) == 60)
            newest = read_bars(FQME, 60, newest=50).bars()
            assert np.all(np.diff(newest["time"]) == 60)
        proc.kill()


_FILLER = """
import resource, sys
import numpy as np
from piker import config
from piker.errors import StoreFull
from piker.storage import StoreWriter, read_bars
from tests.storage.test_store_model import FQME, MONTH_S, make

config.use_dirs(config.Dirs.under(sys.argv[1]))
writer = StoreWriter(FQME, 60)
bars = make(MONTH_S + 60 * np.arange(3000))
prices = np.random.default_rng(1).random(3000)
for name in ("open", "high", "low", "close"):
    bars[name] = prices
writer.append(bars[:1000])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
for change in (lambda: writer.append(bars[1000:]), writer.fold):
    try:
        change()
    except StoreFull as err:
        print(err)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
assert read_bars(FQME, 60).bars().tobytes() == bars[:1000].tobytes()
writer.append(bars[1000:])
writer.fold()
writer.close()
assert read_bars(FQME, 60).bars().tobytes() == bars.tobytes()
"""


def test_a_full_disk_is_a_sentence_and_loses_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", _FILLER, str(tmp_path), "2048"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout.splitlines()
    assert len(said) == 2
    assert all("can't store bars in" in line for line in said)
    assert all("free some space" in line for line in said)


def test_a_folder_that_can_not_be_made_is_a_sentence(tmp_path):
    (tmp_path / "state").write_text("a file")
    with config.use_dirs(config.Dirs.under(tmp_path)):
        with pytest.raises(StoreError, match="can't store bars in .*Not a directory"):
            StoreWriter(FQME, 60)
