"""An emulator's own process: started, ready, told what to do, ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tomllib

import psutil
import pytest
import trio

from piker.testing import is_alive
from piker.testing.emulator import _forked, conf_of, open_emulator

from ._emulated import hear, ids, open_ws, write_session

pytestmark = pytest.mark.tree


@pytest.fixture
def session(tmp_path):
    return write_session(tmp_path / "session.txt")


def start(*args, **kwargs):
    argv = [sys.executable, "-m", "piker.testing.emulator", *map(str, args)]
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, **kwargs)


@pytest.mark.parametrize("forked", [True, False])
async def test_a_process_of_its_own(session, forked, monkeypatch):
    """It serves, tells its counters and its address, and is gone with its block."""
    if not forked:
        monkeypatch.setattr(_forked._FORKS, "_server", None)
        monkeypatch.setattr(_forked._FORKS, "_is_wanted", False)
    faults = [{"kind": "disconnect", "at": [5]}]
    async with (
        open_emulator("binance.spot", session=session, speed=0, faults=faults) as spot,
        open_emulator("kraken.spot", sim=["btcusdt.spot.sim"], made_up=3) as kraken,
    ):
        async with open_ws(spot, "/ws/btcusdt@aggTrade") as ws:
            assert len(await hear(ws, quiet_s=10)) == 5
        stats = await spot.stats()
        assert (stats["fired"], stats["websockets"]) == ({"disconnect": 1}, 1)
        conf = tomllib.loads(conf_of(spot, kraken))["brokers"]
        assert conf["binance"] == {
            "spot_rest": spot.http_url,
            "spot_ws": spot.ws_url,
            "usdtm_rest": "http://127.0.0.1:9",
            "usdtm_ws": "ws://127.0.0.1:9",
            "spot_ws_api": f"{spot.ws_url}/ws-api/v3",
            "clock": "data",
        }
        assert conf["kraken"]["ws_auth"] == f"{kraken.ws_url}/auth"
        assert conf["kraken"]["ws"] == kraken.ws_url
        assert conf["kraken"]["clock"] == "wall"
        pids = [spot.process.pid, kraken.process.pid]
        assert {psutil.Process(pid).ppid() for pid in pids} == {os.getpid()}
        assert (_forked.server_pid() is not None) is forked
    assert ids([]) == []
    assert not any(psutil.pid_exists(pid) for pid in pids)


async def test_a_session_is_read_again_if_it_changed(tmp_path):
    """Forked emulators share what was read of a file, not what they play of it."""
    path, lengths = tmp_path / "session.txt", []
    for trades in (9, 9, 5, 5):
        write_session(path, trades)
        async with open_emulator("binance.spot", session=path, speed=0) as spot:
            lengths.append(len(await spot.trades("BTCUSDT", whole=True)))
            async with open_ws(spot, "/ws/btcusdt@aggTrade") as ws:
                assert await hear(ws, 1)
    assert lengths == [9, 9, 5, 5]


async def test_without_its_server_an_emulator_is_started_and_the_next_is_forked(
    session,
):
    async with open_emulator("binance.spot", session=session):
        server = _forked.server_pid()
    os.kill(server, signal.SIGKILL)
    for _ in range(2):
        async with open_emulator("binance.spot", session=session) as spot:
            assert (await spot.stats())["left"] > 0
    assert _forked.server_pid() not in {server, None}


def test_ends_by_signal_and_by_stdin(session):
    """SIGTERM is 143, an end of its stdin 0."""
    one, other = (start("binance.spot", f"--session={session}") for _ in range(2))
    for proc in (one, other):
        assert json.loads(proc.stdout.readline())["port"] > 0
    one.send_signal(signal.SIGTERM)
    other.stdin.close()
    assert (one.wait(20), other.wait(20)) == (143, 0)
    for proc in (one, other):
        assert proc.stderr.read() == b""
        for stream in (proc.stdin, proc.stdout, proc.stderr):
            stream.close()


PARENT = """
import subprocess, sys, time
child = subprocess.Popen(
    [sys.executable, "-m", "piker.testing.emulator", "binance.spot", "--session",
     sys.argv[1]], stdin=subprocess.DEVNULL)
time.sleep(60)
"""


async def test_ends_with_its_parent(session):
    """A killed parent leaves nothing behind, even where stdin says nothing."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(session)], stdout=subprocess.PIPE
    )
    assert parent.stdout.readline()
    (child,) = psutil.Process(parent.pid).children()
    parent.kill()
    parent.wait()
    with trio.fail_after(20):
        while is_alive(child):
            await trio.sleep(0.02)
    parent.stdout.close()


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["binance.spot"], "an emulator needs sessions or sim's markets"),
        (["binance.spot", "--session=/nowhere"], "can't read session '/nowhere'"),
        (["kraken.spot", "--sim", "x.sim"], "no market 'x.sim'"),
        (["binance.spot", "--sim", "btcusdt.sim", "--fault={}"], "not a fault"),
        (["nyse"], "invalid choice: 'nyse'"),
    ],
)
def test_what_is_wrong_is_one_sentence(args, text):
    proc = start(*args)
    out, err = proc.communicate(timeout=60)
    assert proc.returncode == 2
    assert out == b""
    assert text in err.decode()
    assert "Traceback" not in err.decode()


def test_its_package_is_light():
    """Importing it brings no server, no numpy of its own, no http client."""
    code = (
        "import sys; import piker.testing; before = set(sys.modules)\n"
        "import piker.testing.emulator\n"
        "print([m for m in set(sys.modules) - before if not m.startswith('piker.')])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert out.stdout.strip() == b"[]"
