"""``piker store``, as a user has it: in a process of its own."""

from __future__ import annotations

import os
import time
from contextlib import closing

import numpy as np
import pytest
import trio

from piker import config
from piker.brokers.sim._synthetic import Synthetic
from piker.brokers.sim._universe import find_market
from piker.brokers.sim._worlds import edition
from piker.data import HistoryProgress, open_feed
from piker.storage import StoreWriter, bars_folder, read_bars
from piker.tsp import OHLCV
from tests._data import data_dir
from tests.cli import _cli

pytestmark = pytest.mark.tree  # processes, mostly without actors

CME = "6eh4.cme.20240318.sim"
BTC = "unitbtc.spot.sim"
SIM = "btcusdt.spot.sim"
HEAD = "time,open,high,low,close,volume\n"


@pytest.fixture
def env(tmp_path, monkeypatch):
    dirs = config.Dirs.under(tmp_path)
    names = ("config", "state", "cache", "runtime")
    for name in names:
        monkeypatch.setenv(f"PIKER_{name.upper()}_DIR", getattr(dirs, name))
    return dict(os.environ)


async def test_from_import_to_delete(env, tmp_path):
    history = data_dir() / "history_and_streams"
    feather = history / "freqtrade_btc" / "UNITTEST_BTC-1m.feather"
    said = await _cli.run(
        "store", "import", feather, "--fqme", BTC, "--period", 60, "--json", env=env
    )
    assert said.code == 0, said
    assert said.json["bars"] == 13_681
    assert "time is column 'date', in UTC" in said.err
    gaps = await _cli.run("store", "gaps", BTC, "--period", 60, "--json", env=env)
    assert len(gaps.json) == 538
    assert sum(gap["missing"] for gap in gaps.json) == 717
    for ending in ("csv", "feather"):
        out = tmp_path / f"x.{ending}"
        said = await _cli.run("store", "export", BTC, out, "-p", 60, env=env)
        assert (said.code, said.err) == (0, f"wrote 13,681 bars to {out}\n")
        said = await _cli.run(
            "store", "export", BTC, out, "-p", 60, "--force", "--json", env=env
        )
        told = {"fqme": BTC, "period_s": 60, "file": str(out), "bars": 13_681}
        assert said.json == {**told, "damaged": []}
        again = await _cli.run("store", "export", BTC, out, "-p", 60, env=env)
        again.refused(2, "exists", "--force")
        said = await _cli.run(
            "store", "import", out, "-f", f"{ending}.spot.sim", "-p", 60, env=env
        )
        assert said.code == 0, said
    listed = await _cli.run("store", "ls", "--json", env=env)
    assert [(i["fqme"], i["bars"]) for i in listed.json] == [
        ("csv.spot.sim", 13_681),
        ("feather.spot.sim", 13_681),
        (BTC, 13_681),
    ]
    shown = await _cli.run("store", env=env | {"COLUMNS": "80"})
    assert BTC in shown.out
    assert "13,681" in shown.out
    asked = await _cli.run("store", "delete", BTC, env=env)
    assert asked.code == 130
    gone = await _cli.run("store", "delete", BTC.upper(), "--yes", "--json", env=env)
    assert (gone.code, gone.json) == (0, [{"fqme": BTC, "period_s": 60}])
    none = await _cli.run("store", "gaps", BTC, "-p", 60, env=env)
    none.refused(1, "no 60 s bars", BTC)
    with config.use_dirs(config.Dirs.under(tmp_path)):
        left = bars_folder(BTC, 60).with_name(".60s.1.gone")  # by one that was killed
    left.mkdir(parents=True)
    (await _cli.run("store", "delete", BTC, "-y", env=env)).refused(1, "no bars of")
    assert not left.parent.exists()


async def test_the_breaks_of_a_future_are_closed_market(env):
    path = data_dir() / "history_and_streams/cme_6e_1m"
    (path,) = path.glob("*.csv.gz")
    said = await _cli.run("store", "import", path, "-f", CME, "-p", 60, env=env)
    assert said.code == 0, said
    gaps = await _cli.run("store", "gaps", CME, "-p", 60, "--json", env=env)
    kinds = [gap["kind"] for gap in gaps.json]
    assert (kinds.count("closed"), kinds.count("missing")) == (22, 353)
    assert sum(gap["missing"] for gap in gaps.json) == 423
    said = await _cli.run("store", "gaps", CME, "-p", 60, env=env)
    counted, how = said.err.splitlines()
    assert counted == "29,996 bars; 22 times closed; 423 bars missing in 353 gaps"
    assert "same hours of other weeks" in how
    always = await _cli.run(
        "store", "gaps", CME, "-p", 60, "--always-open", "--json", env=env
    )
    assert {gap["kind"] for gap in always.json} == {"missing"}


async def test_with_no_bar_missing_no_chart_is_looked_for(env):
    bars = np.zeros(50, OHLCV)
    bars["time"] = 1_706_740_020 + 60 * np.arange(50)
    for name in ("open", "high", "low", "close"):
        bars[name] = 1.0
    with closing(StoreWriter(BTC, 60)) as writer:
        writer.append(bars)
    said = await _cli.run("store", "gaps", BTC, "-p", 60, "--chart", env=env)
    assert said.code == 0, said
    assert said.err.splitlines() == [
        "50 bars; 0 times closed; 0 bars missing in 0 gaps",
        "there is nothing to mark in a chart",
    ]


async def test_damage_is_found_set_aside_and_said(env, tmp_path):
    (tmp_path / "x.csv").write_text(
        HEAD
        + "".join(
            f"{1_706_740_000 // 60 * 60 + 60 * i},1,1,1,1,1\n" for i in range(500)
        )
    )
    await _cli.run("store", "import", tmp_path / "x.csv", "-f", BTC, "-p", 60, env=env)
    sound = await _cli.run("store", "verify", env=env)
    assert (sound.code, sound.err) == (0, "1 of 1 are sound\n")
    with config.use_dirs(config.Dirs.under(tmp_path)):
        folder = bars_folder(BTC, 60)
    path = min(folder.glob("*.parquet"))
    raw = path.read_bytes()
    path.write_bytes(raw[:90] + bytes([raw[90] ^ 255]) + raw[91:])
    bad = await _cli.run("store", "verify", BTC, "-p", 60, "--json", env=env)
    assert bad.code == 1
    assert "isn't as it was written" in bad.json[0]["faults"][0]
    mended = await _cli.run("store", "repair", BTC, "-p", 60, "--offline", env=env)
    assert mended.code == 0
    assert "lies in" in mended.err
    assert (await _cli.run("store", "verify", BTC, env=env)).code == 0
    listed = await _cli.run("store", "ls", "--json", env=env)
    assert listed.json[0]["damaged"] == 1
    again = await _cli.run("store", "repair", BTC, "-p", 60, "--offline", env=env)
    assert again.err == "nothing was damaged\n"
    with config.use_dirs(config.Dirs.under(tmp_path)):
        StoreWriter("x.nyse", 60).close()
    asked = await _cli.run("store", "repair", "x.nyse", "-p", 60, env=env)
    assert (asked.code, asked.out) == (2, "")
    assert "no broker 'nyse'" in asked.err
    assert (await _cli.run("services", env=env)).code == 1, "none was started for it"


async def test_bars_are_imported_under_the_name_that_is_looked_for(env, tmp_path):
    """Under another one no feed would show them, and no word would tell."""
    path = tmp_path / "x.csv"
    path.write_text(HEAD + "1706740020,1,1,1,1,1\n1706740080,1,1,1,1,1\n")
    args = ("store", "import", path, "-p", 60, "--json", "-f")
    said = await _cli.run(*args, "BTCUSDT.sim", env=env)
    assert (said.code, said.json["fqme"]) == (0, SIM)
    assert f"'btcusdt.sim' is {SIM!r}" in said.err
    (await _cli.run(*args, "nosuchthing.sim", env=env)).refused(2, "nosuchthing.sim")
    (await _cli.run(*args, "btcusdt.spot.nyse", env=env)).refused(2, "no broker 'nyse'")
    said = await _cli.run(*args, "nosuchthing.spot.sim", env=env)
    assert said.code == 0
    assert "no feed shows these bars" in said.err
    again = await _cli.run(*args, "nosuchthing.spot.sim", env=env)
    assert again.json["notes"] == said.json["notes"][:-1], "it is stored already"
    names = [SIM, "nosuchthing.spot.sim"]
    listed = await _cli.run("store", "ls", "--json", env=env)
    assert [each["fqme"] for each in listed.json] == names


async def test_what_an_import_would_hide_is_said(env, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(HEAD + "1706742000,1,1,1,1,1\n1706745600,1,1,1,1,1\n")
    args = ("store", "import", path, "-f", SIM, "-p")
    said = await _cli.run(*args, 3600, env=env)
    assert said.code == 0
    assert "feeds have bars of 1 s and 60 s" in said.err
    (await _cli.run(*args, 10**20, env=env)).refused(2, "--period")
    path.write_text(HEAD + f"{(int(time.time()) // 60 + 60) * 60},1,1,1,1,1\n")
    (await _cli.run(*args, 60, env=env)).refused(2, "yet to come")


async def test_a_store_that_is_all_damage_is_told_as_that(env, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(HEAD + "1706740020,1,1,1,1,1\n1706740080,1,1,1,1,1\n")
    await _cli.run("store", "import", path, "-f", SIM, "-p", 60, env=env)
    with config.use_dirs(config.Dirs.under(tmp_path)):
        (month,) = bars_folder(SIM, 60).glob("*.parquet")
    month.write_bytes(month.read_bytes()[:-9])
    for args in (("gaps", SIM), ("export", SIM, tmp_path / "y.csv")):
        said = await _cli.run("store", *args, "-p", 60, env=env)
        assert said.code == 1
        assert (
            "no 60 s bar of 'btcusdt.spot.sim' is stored that can be read" in said.err
        )
    said = await _cli.run("store", "verify", "--json", env=env)
    assert len(said.json[0]["faults"]) == 1
    (month.parent / "manifest.json").write_text("{}")
    (month.parents[1] / "60").mkdir()
    (month.parents[2] / "stray" / "60s").mkdir(parents=True)
    said = await _cli.run("store", "ls", "--json", env=env)
    assert said.code == 1
    assert "manifest.json" in said.err
    assert len(said.json) == 1


async def test_holes_are_filled_by_the_venue(open_test_pikerd):
    """Those of a file that was set aside too; beside a datad that writes the market."""
    end_s = int(time.time()) // 60 * 60 - 600
    span = ((end_s - 2 * 86_400) * 10**9, end_s * 10**9)
    async with open_test_pikerd(conf="[data]\nhist_days = 0.1\nrt_hours = 0\n") as tree:
        source = Synthetic(find_market(SIM), config.load_config().sim.seed)
        truth = source.bars(*span, 60)
        with closing(StoreWriter(SIM, 60, edition())) as writer:
            writer.append(np.delete(truth, np.r_[500:900, 1700]))
        args = ("store", "repair", SIM, "-p", 60, "--json")
        said = await _cli.run(*args, env=tree.env)
        assert said.code == 0, said
        assert said.err == (
            "nothing was damaged\n401 bars lacked: 401 were filled, 0 the venue "
            "doesn't have\n"
        )
        want = {"fqme": SIM, "period_s": 60, "set_aside": []}
        assert said.json == {**want, "lacked": 401, "filled": 401, "left": 0}
        assert np.array_equal(read_bars(SIM, 60).bars(), truth)

        await _cli.run("store", "repair", SIM, "-p", 60, "--offline", env=tree.env)
        for path in bars_folder(SIM, 60).glob("*.parquet"):
            path.write_bytes(path.read_bytes()[:-9])
        said = await _cli.run(*args, env=tree.env)
        assert (said.json["filled"], said.json["left"]) == (len(truth), 0)
        assert said.json["set_aside"]
        assert np.array_equal(read_bars(SIM, 60).bars(), truth)

        async with open_feed(SIM) as feed:
            with trio.fail_after(20):
                async for event in feed.events:
                    if isinstance(event, HistoryProgress) and event.done >= 1:
                        break
            said = await _cli.run(*args, env=tree.env)
            assert said.code == 0, said
            assert "damaged files aren't looked for: process" in said.err
            assert said.json["lacked"] == said.json["filled"]


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("gaps", "btc", "-p", 60), 2, ("no broker",)),
        (("gaps", BTC), 2, ("--period",)),
        (("verify", BTC), 1, ("no bars of", "piker store ls")),
        (("verify",), 1, ("no bars are stored in",)),
        (("repair", BTC, "-p", 60), 1, ("no 60 s bars",)),
        (("delete", BTC, "-y"), 1, ("no bars of",)),
        (("delete", BTC, "-p", 60, "-y"), 1, ("no 60 s bars",)),
        (("import", "absent.csv", "-f", BTC, "-p", 60), 2, ("No such file",)),
        (("export", BTC, "x.xls", "-p", 60), 1, ("no 60 s bars",)),
    ],
)
async def test_what_can_not_be_is_one_sentence(env, args, code, words):
    (await _cli.run("store", *args, env=env)).refused(code, *words)
