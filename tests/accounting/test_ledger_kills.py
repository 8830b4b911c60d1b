"""A process that appends is killed at any instant: what it said is booked is booked."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from piker import config
from piker.accounting import open_ledger, read_ledger

pytestmark = pytest.mark.tree  # processes, without actors

KILLS = 12


def appended_until_killed(env: dict[str, str], wait_s: float) -> int:
    """Run the appender, kill it; return the last trade it said is booked."""
    proc = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("_appender.py")],
        env=env,
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
    )
    try:
        assert proc.stdout
        said = proc.stdout.readline()  # it is up
        time.sleep(wait_s)
    finally:
        proc.kill()
        rest, _ = proc.communicate()
    *_, last, _ = (said + rest).split(b"\n")
    return int(last)


def test_every_acknowledged_trade_is_there_once(tmp_path):
    draws = random.Random(5)
    dirs = config.Dirs.under(tmp_path)
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    for kind in ("config", "state", "cache", "runtime"):
        env[f"PIKER_{kind.upper()}_DIR"] = getattr(dirs, kind)
    before = 0
    with config.use_dirs(dirs):
        for _ in range(KILLS):
            said = appended_until_killed(env, draws.uniform(0, 0.05))
            assert said > before
            tids = [txn.tid for txn in read_ledger("sim", "paper").txns]
            assert tids == [f"t{i}" for i in range(1, len(tids) + 1)]
            assert said <= len(tids) <= said + 1
            with open_ledger("sim", "paper") as ledger:  # its lock died with it
                assert ledger.seq == len(tids)
            before = len(tids)
