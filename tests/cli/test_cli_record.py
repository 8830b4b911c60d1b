"""``piker record``: how it ends, what it refuses, what it says of a file."""

from __future__ import annotations

import json
import os
import signal

import pytest
import trio
from typer.testing import CliRunner

from piker.brokers.sessions import Down, Gone, SessionWriter, Up
from piker.brokers.sim import session_info
from piker.cli._app import app
from piker.errors import SessionFileError
from piker.testing import free_port, private_dirs
from piker.testing.emulator import open_emulator
from tests.brokers._recorded import MKT, NAME, START_NS, frame, put
from tests.cli import _cli

BTC, ETH = "btcusdt.spot.binance", "ethusdt.spot.binance"
NO_KRAKEN = '[brokers.kraken]\nrest = "http://127.0.0.1:9"\nws = "ws://127.0.0.1:9"\n'
SIM = ["btcusdt.spot.sim", "ethusdt.spot.sim"]


@pytest.fixture
def piker(tmp_path, monkeypatch):
    """Runs a command in this process, with no pikerd and none to be started."""
    monkeypatch.setenv("PIKER_REGISTRY", f"127.0.0.1:{free_port()}")
    monkeypatch.chdir(tmp_path)
    with private_dirs(tmp_path / "dirs"):
        yield lambda *args: CliRunner().invoke(app, list(args), prog_name="piker")


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        ((), 2, ("name the markets", "--out FILE", "--info FILE")),
        ((BTC,), 2, ("--out FILE",)),
        (("--out", "x"), 2, ("name the markets",)),
        ((BTC, "--info", "x"), 2, ("--info", "records nothing")),
        (("nobroker", "--out", "x"), 2, ("nobroker",)),
        (("btcusdt.mars", "--out", "x"), 2, ("mars", "known: sim, binance")),
        (("btcusdt.spot.sim", "--out", "x"), 2, ("nothing to record at 'sim'",)),
        ((BTC, "--out", "there"), 2, ("'there' is there already",)),
        ((BTC, "--out", "dirs"), 2, ("'dirs'", "folder")),
        ((BTC, "--out", "no/x"), 2, ("'no/x'", "no folder 'no'")),
        ((BTC, "--out", "x", "--count", "0"), 2, ("--count",)),
        (("--info", "nowhere"), 2, ("'nowhere'", "no such file")),
        (("--info", "there"), 2, ("'there'", "receive stamp")),
    ],
)
def test_what_can_not_be_recorded_starts_nothing(piker, tmp_path, args, code, words):
    (tmp_path / "there").write_text("no session\n")
    result = piker("record", *args)
    assert result.exit_code == code, result.output
    assert not result.stdout
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert all(word in result.stderr for word in words), result.stderr
    assert not (tmp_path / "x").exists()


def test_a_recording_says_what_it_holds(piker, tmp_path):
    writer = SessionWriter(tmp_path / "some.zst", [MKT])
    for number in range(3):
        put(writer, START_NS + number, frame(number))
    down = Down(symbols=("BTCUSDT",), reason="it broke", time_ns=START_NS)
    writer.note(down)
    writer.note(Up(symbols=("BTCUSDT",), time_ns=START_NS + 10**9))
    writer.note(down)
    writer.note(Gone(symbols=("BTCUSDT",), reason="banned", time_ns=START_NS))
    writer.flush()
    result = piker("record", "--info", "some.zst")
    assert result.exit_code == 0
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines["venue"] == "binance.spot"
    assert lines["frames"] == "3"
    assert lines["market"] == f"{NAME}: 3 trades, nothing after them: banned"
    assert lines["from"] == "2023-11-14 22:13:20 to 2023-11-14 22:13:20, 0s"
    assert "not mended: it broke" in lines["gap"]
    assert "22:13:20 to 2023-11-14 22:13:21, mended: it broke" in result.stdout
    assert "is cut off after line" in lines["end"]
    writer.close()
    told = json.loads(piker("record", "--info", "some.zst", "--json").stdout)
    assert (told["in_order"], told["torn"], told["frames"]) == (True, "", 3)
    assert len(told["gaps"]) == 2
    assert [(one["fqme"], one["gone"]) for one in told["markets"]] == [(NAME, "banned")]
    assert (
        piker("record", "--info", "some.zst")
        .stdout.splitlines()[-1]
        .endswith("in order")
    )


@pytest.mark.tree
async def test_a_recording_ends_in_each_way(open_test_pikerd, tmp_path):
    async with (
        open_emulator("binance.spot", sim=SIM, past_s=600) as emulator,
        open_test_pikerd(conf=emulator.conf + NO_KRAKEN, deadline_s=180) as tree,
    ):
        services = tree.services

        async def record(*args, out):
            return await _cli.run("record", *args, "--out", out, env=tree.env)

        # so many frames, and no more
        out = tmp_path / "count.zst"
        said = await record(BTC, "--count", "7", "--json", out=out)
        assert (said.code, said.err) == (0, "")
        last = json.loads(said.out.splitlines()[-1])
        assert (last["type"], last["frames"]) == ("recorded", 7)
        info = session_info(out)
        assert (info.frames, info.in_order, info.torn) == (7, True, "")
        # so long; another's market is none of its own
        out = tmp_path / "seconds.zst"
        said = await record(BTC, ETH, "--seconds", "2.2", "--json", out=out)
        types = [json.loads(line)["type"] for line in said.out.splitlines()]
        assert set(types[:-1]) == {"progress"}
        assert types[-1] == "recorded"
        names = {market.fqme for market in session_info(out).markets}
        assert names == {f"{BTC}.sim", f"{ETH}.sim"}
        # a market that isn't listed, a venue that can't be reached: no file
        out = tmp_path / "none.zst"
        (await record("nosuch.spot.binance", out=out)).refused(2, "nosuch")
        (await record(BTC, "xbtusdt.spot.kraken", out=out)).refused(1, "kraken")
        assert not list(tmp_path.glob("none*"))
        await check_signals(services, tree.env, tmp_path)


async def check_signals(services, env, folder) -> None:
    """Ctrl-C and SIGTERM end it in order; datad's death doesn't end it."""
    for sign, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        out = folder / f"{code}.zst"
        async with _cli.start("record", BTC, "--out", out, env=env) as recorder:
            await wait_file(out)
            if sign == signal.SIGINT:
                os.kill(services.service_tasks["datad.binance"].pid, signal.SIGKILL)
                await wait_file(out, mended=1)
            ended, errors = await recorder.end(sign)
            line = await recorder.line()
        assert ended == code
        assert line.startswith(f"{out}: ")
        info = session_info(out)
        assert f" {info.frames:,} frames" in line
        assert (info.in_order, info.lost, info.torn) == (True, 0, "")
        kinds = [said.partition(":")[0] for said in errors.splitlines()]
        if sign == signal.SIGINT:
            assert kinds == ["disconnected", "reconnected"]
            assert len(info.gaps) == 1
            assert info.gaps[0].to_ns > 0
        else:
            assert kinds == []


async def wait_file(path, mended: int = 0) -> None:
    """Wait until a recorder has written a frame, and so many gaps are mended."""
    with trio.fail_after(30):
        while True:
            try:
                if sum(gap.to_ns > 0 for gap in session_info(path).gaps) >= mended:
                    return
            except SessionFileError:
                pass  # no frame in it yet
            await trio.sleep(0.1)


@pytest.mark.tree
async def test_without_a_pikerd_one_is_started(tmp_path):
    async with open_emulator("binance.spot", sim=SIM, past_s=600) as emulator:
        with private_dirs(tmp_path / "dirs", emulator.conf) as dirs:
            env = {
                **os.environ,
                "PIKER_REGISTRY": f"127.0.0.1:{free_port()}",
                "PIKER_CONFIG_DIR": dirs.config,
                "PIKER_STATE_DIR": dirs.state,
                "PIKER_CACHE_DIR": dirs.cache,
                "PIKER_RUNTIME_DIR": dirs.runtime,
            }
            out = tmp_path / "out.zst"
            try:
                said = await _cli.run("record", BTC, "-n", 1, "-o", out, env=env)
                assert said.code == 0, said
                assert said.err.startswith("started pikerd (pid ")
                assert said.out.startswith(f"{out}: 1 frames in ")
            finally:
                ended = await _cli.run("services", "stop", "pikerd", env=env)
            assert ended.code == 0, ended
