"""``piker search``, ``piker quotes`` and ``piker demo``, with the sim."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import tempfile
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio

from piker.cli.quotes import closed
from piker.msgs import Calendar, SessionClock, WallClock
from piker.testing import TestTree, free_port, private_dirs, tree_processes
from tests._data import binance_session
from tests.cli import _cli

pytestmark = pytest.mark.tree

FQME = "btcusdt.spot.sim"
QUOTE_KEYS = ["type", "fqme", "last", "ticks", "time_ns", "missed"]
TICK_KEYS = ["type", "price", "size", "time_ns", "tid", "side", "count"]
REPORT_KEYS = [
    "ok", "actors", "brokerd_processes", "time_to_first_quote_s", "quotes", "bars",
    "fqme", "orders", "fills", "position",
]  # fmt: skip


async def test_search(open_test_pikerd):
    async with open_test_pikerd() as tree:
        said = await _cli.run(
            "search", "btc", "-b", "sim", "--json", "-n", "3", env=tree.env
        )
        assert said.code == 0, said
        assert len(said.json) == 3
        assert all(
            list(match) == ["fqme", "kind", "score", "description"]
            for match in said.json
        )
        assert FQME in [match["fqme"] for match in said.json]
        perps = await _cli.run(
            "search", "btc perp", "-b", "sim", "-k", "perp", env=tree.env
        )
        assert "btcusdt.usdtm.perp.sim" in perps.out
        shown = await _cli.run("search", "btcusdt", "-b", "sim", env=tree.env)
        assert FQME in shown.out
        none = await _cli.run("search", "qqqqzzzz", "-b", "sim", "--json", env=tree.env)
        assert (none.code, none.out) == (1, "[]\n")
        assert none.err == "no market fits 'qqqqzzzz'\n"
        odd = await _cli.run("search", "btc\udcff", "-b", "sim", env=tree.env)
        assert FQME in odd.out
        broker = await _cli.run("search", "btc", "-b", "nope", env=tree.env)
        broker.refused(2, "no broker 'nope'", "sim")


async def test_quotes_json_is_an_object_a_line(open_test_pikerd):
    async with open_test_pikerd() as tree:
        said = await _cli.run("quotes", FQME, "--json", "--count", "3", env=tree.env)
        assert said.code == 0, said
        lines = [json.loads(line) for line in said.out.splitlines()]
        assert len(lines) == 3
        for line in lines:
            assert list(line) == QUOTE_KEYS
            assert (line["type"], line["fqme"]) == ("quote", FQME)
            assert all(list(tick) == TICK_KEYS for tick in line["ticks"])


async def test_quotes_tell_of_a_lost_source(open_test_pikerd):
    async with open_test_pikerd() as tree:
        async with _cli.start("quotes", FQME, "--json", env=tree.env) as quotes:
            assert json.loads(await quotes.line())["type"] == "quote"
            os.kill(tree.services.service_tasks["datad.sim"].pid, signal.SIGKILL)
            kinds = set()
            with trio.fail_after(20):
                while "reconnected" not in kinds:
                    kinds.add(json.loads(await quotes.line())["type"])
            assert "disconnected" in kinds
            assert await quotes.end() == (130, "")


async def test_quotes_table(open_test_pikerd):
    async with open_test_pikerd() as tree:
        said = await _cli.run("quotes", FQME, "-n", "3", "--hz", "5", env=tree.env)
        assert said.code == 0, said
        row = next(line for line in said.out.splitlines() if FQME in line)
        assert len(row.split()) >= 6


@pytest.mark.parametrize(
    ("fqme", "words"),
    [
        ("nope.spot.sim", ("nope.spot.sim",)),
        ("btcusdt.spot.nope", ("no broker 'nope'",)),
        ("bad..sim", ("bad..sim", "empty part")),
    ],
)
async def test_names_that_lead_nowhere(open_test_pikerd, fqme, words):
    async with open_test_pikerd() as tree:
        said = await _cli.run("quotes", fqme, "--json", "-n", "1", env=tree.env)
        said.refused(2, *words)


@pytest.mark.parametrize("fqme", ["btcusdt.spot.nope", "bad..sim"])
async def test_names_that_can_not_be_meant_start_nothing(env, fqme):
    said = await _cli.run("quotes", fqme, "--json", env=env)
    said.refused(2, "bad..sim" if fqme == "bad..sim" else "no broker 'nope'")
    assert (await _cli.run("services", env=env)).code == 1


def test_a_closed_market_is_said_to_be_closed():
    monday_s = 4 * 86_400
    hours = Calendar(weekly=((3600, 7200),))
    replay = SessionClock(name="x", origin_ns=0, started_ns=0)
    flumes = {
        "a.sim": SimpleNamespace(calendar=hours, clock=WallClock()),
        "always.sim": SimpleNamespace(calendar=Calendar(), clock=WallClock()),
        "replay.sim": SimpleNamespace(calendar=hours, clock=replay),
    }
    feed = SimpleNamespace(flumes=flumes)
    assert list(closed(feed, monday_s)) == [
        "a.sim is closed; it opens on 1970-01-05 at 01:00 UTC"
    ]
    assert not list(closed(feed, monday_s + 3600))


async def test_quotes_start_a_pikerd_and_say_so(tmp_path):
    with private_dirs(tmp_path / "dirs"):
        tree = TestTree(("127.0.0.1", free_port()), tmp_path / "dirs")
        try:
            said = await _cli.run("quotes", FQME, "--json", "-n", "1", env=tree.env)
            assert said.code == 0, said
            assert said.err.startswith("started pikerd (pid ")
            services = await _cli.run("services", "--json", env=tree.env)
            names = [info["name"] for info in services.json]
            assert names == ["pikerd", "datad.sim", "samplerd"]
        finally:
            ended = await _cli.run("services", "stop", "pikerd", env=tree.env)
        assert ended.code == 0, ended


# -- demo ---------------------------------------------------------------------


@pytest.fixture
def env(tmp_path, monkeypatch):
    """An environment whose temporary and own folders are the test's."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with private_dirs(tmp_path / "dirs"):
        tree = TestTree(("127.0.0.1", free_port()), tmp_path / "dirs")
        yield {**tree.env, "TMPDIR": str(folder)}


def nothing_left(env):
    assert not list(Path(env["TMPDIR"]).iterdir())
    assert not list(Path(env["PIKER_STATE_DIR"]).iterdir())
    assert not list(Path(env["PIKER_CONFIG_DIR"]).iterdir())
    mine = tree_processes(os.getpid())
    assert not [p for p in mine if "piker" in " ".join(p.cmdline())]


async def all_up(note, env):
    """Wait until all daemons of the demo whose pikerd wrote *note* are up."""
    registry = note.stem.replace("-", ":")
    env = {**env, "PIKER_RUNTIME_DIR": str(note.parent), "PIKER_REGISTRY": registry}
    with trio.fail_after(30):
        states = []
        while len(states) < 3 or set(states) != {"running"}:
            said = await _cli.run("services", "--json", env=env)
            states = [info["state"] for info in said.json] if said.out else []


async def test_headless_demo_reports_and_leaves_nothing(env):
    args = ("demo", "--headless", "--seconds", "6", "--json")
    said = await _cli.run(*args, env=env, anew=True)  # it tells how long it took
    assert said.code == 0, said
    assert list(said.json) == REPORT_KEYS
    assert said.json["ok"] is True
    assert said.json["actors"][0] == "pikerd"
    assert sorted(said.json["actors"][1:]) == [
        "datad.sim", "emsd", "paperboi.sim", "samplerd",
    ]  # fmt: skip
    assert said.json["brokerd_processes"] == 0
    assert 0 < said.json["time_to_first_quote_s"] < 15
    assert said.json["quotes"] > 0
    assert said.json["bars"] >= 2
    assert said.json["fqme"] == FQME
    assert said.json["orders"] == 2
    assert said.json["fills"] > 0
    assert Decimal(said.json["position"]) > 0  # half of it at most was sold
    nothing_left(env)


def test_the_first_quote_of_a_demo_does_not_wait_for_what_trades():
    code = "import sys, piker.cli._demo; print('piker.clearing' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


async def test_demo_plays_a_recorded_session_to_its_end(env):
    path = binance_session("usdm_hft/btcusdt_20240808.gz")
    args = ("demo", "--session", path, "--speed", "0", "--headless", "--json")
    said = await _cli.run(*args, "--seconds", "30", env=env)
    assert said.code == 0, said
    assert said.json["fqme"] == "btcusdt.usdtm.perp.binance.sim"
    assert said.json["bars"] > 100
    nothing_left(env)


@pytest.mark.parametrize(
    ("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
async def test_a_demo_that_is_ended_leaves_nothing(env, sign, code):
    args = ("-v", "demo", "--headless", "--seconds", "100")
    async with _cli.start(*args, env=env) as demo:
        with trio.fail_after(30):
            while not (notes := list(Path(env["TMPDIR"]).glob("*/runtime/*.json"))):
                assert demo.proc.poll() is None, await demo.errors()
                await trio.sleep(0.01)
        shm = Path(json.loads(notes[0].read_text())["shm"])
        assert shm.is_dir()
        await all_up(notes[0], env)
        ended, said = await demo.end(sign)
    assert not shm.exists()
    assert ended == code, said
    assert "Traceback" not in said
    assert "killing" not in said  # each daemon was told, and had its deadline
    nothing_left(env)


async def test_ctrl_c_again_and_again_does_not_disturb_the_end(env):
    async with _cli.start("demo", "--headless", "--seconds", "100", env=env) as demo:
        with trio.fail_after(30):
            while not (notes := list(Path(env["TMPDIR"]).glob("*/runtime/*.json"))):
                assert demo.proc.poll() is None, await demo.errors()
                await trio.sleep(0.01)
        shm = Path(json.loads(notes[0].read_text())["shm"])
        await all_up(notes[0], env)
        with trio.fail_after(30):
            while shm.exists():
                demo.proc.send_signal(signal.SIGINT)
                await trio.sleep(0.02)
        with trio.fail_after(30):
            assert await demo.proc.wait() in (130, -signal.SIGINT)
    nothing_left(env)


async def test_a_file_that_is_no_session_is_refused(env, tmp_path):
    (tmp_path / "x.gz").write_text("nothing of the kind")
    said = await _cli.run("demo", "--session", tmp_path / "x.gz", env=env)
    said.refused(2, "x.gz")


async def test_a_session_that_breaks_off_says_why(env, tmp_path):
    with gzip.open(binance_session("spot_hft/btcusdt_20240808.gz")) as whole:
        lines = [next(whole) for _ in range(6000)]
    torn = tmp_path / "torn"
    torn.write_bytes(b"".join(lines) + b"no stamp\n" + lines[-1])
    said = await _cli.run(
        "demo", "--headless", "--speed", "0", "--session", torn, env=env
    )
    assert said.code == 0, said  # what could be played was
    assert "line 6001" in said.err


async def test_a_speed_of_nothing_is_refused(env):
    said = await _cli.run("demo", "--speed", "20", env=env)
    said.refused(2, "--session")
