"""``piker ledger``, as a user has it: in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from decimal import Decimal as D  # noqa: N817
from pathlib import Path

import pytest

from piker import config
from piker.accounting import AccountName, Transaction, open_ledger, write_account
from tests.cli import _cli

pytestmark = pytest.mark.tree  # processes, without actors

BTC = "btcusdt.spot.sim"
CSV = (
    "id,side,qty,price,fee,time\na,buy,2,100,1,1700000000\nb,sell,1,110,1,1700000001\n"
)


@pytest.fixture
def env(tmp_path, monkeypatch):
    dirs = config.Dirs.under(tmp_path)
    for name in ("config", "state", "cache", "runtime"):
        monkeypatch.setenv(f"PIKER_{name.upper()}_DIR", getattr(dirs, name))
    with config.use_dirs(dirs):
        yield dict(os.environ)


async def run(*args, env):
    return await _cli.run("ledger", *args, env=env)


async def test_from_import_to_audit(env, tmp_path):
    empty = await run(env=env)
    assert (empty.code, empty.out) == (0, "")
    assert "there are no ledgers in" in empty.err
    file = tmp_path / "x.csv"
    file.write_text(CSV)
    args = ("import", "sim.paper", file, "-f", BTC, "--json")
    dry = await run(*args, "--dry-run", env=env)
    assert (dry.code, dry.json["booked"]) == (0, 2)
    assert (await run("ls", "--json", env=env)).json == []
    first = await run(*args, env=env)
    assert first.code == 0, first
    assert (first.json["booked"], first.json["known"]) == (2, 0)
    assert "tid is column 'id'" in first.err
    assert "2 trades booked, 0 were there already" in first.err
    file.write_text(CSV.replace("110", "111") + "c,sell,3,120,3,1600000000\n")
    again = await run(*args, env=env)
    assert (again.json["booked"], again.json["known"]) == (1, 2)
    assert "another market, size or price, e.g. 'b'" in again.err
    assert "1 trades are older than the last" in again.err
    listed = await run("ls", "--json", env=env)
    assert listed.json == [
        {
            "account": "sim.paper",
            "trades": 3,
            "markets": 1,
            "open": 1,
            "last": "2020-09-13T12:26:40.000000000Z",
        }
    ]
    for args in ((), ("ls",)):
        shown = await run(*args, env=env)
        assert "sim.paper" in shown.out
    rows = (await run("show", "sim.paper", "--json", env=env)).json
    assert [row["held"] for row in rows] == ["2", "1", "-2"]
    assert [row["ppu"] for row in rows] == ["100", "100", "120"]
    assert [row["realised"] for row in rows] == ["-1", "8", "25"]
    assert [row["fees"] for row in rows] == ["1", "2", "5"]
    assert [row["seq"] for row in rows] == [1, 2, 3]
    last = await run("show", "sim.paper", BTC, "--last", 1, "--json", env=env)
    assert last.json == rows[-1:]
    table = await run("show", "sim.paper", BTC.upper(), env=env | {"COLUMNS": "40"})
    assert table.code == 0, table
    assert "2023-11-14 22:13:20" in table.out
    assert "clear" not in table.out  # all are
    assert "…" not in table.out
    sound = await run("audit", "sim.paper", env=env)
    assert (sound.code, sound.err) == (0, "sim.paper: 3 trades of 1 markets add up\n")


async def test_trades_that_make_no_position_are_not_booked(env, tmp_path):
    file = tmp_path / "x.csv"
    head = "tid,size,price,time,multiplier\n"
    file.write_text(head + "a,1,1,1700000000,5\nb,1,1,1700000001,50\n")
    said = await run("import", "sim.paper", file, "-f", BTC, env=env)
    assert said.code == 1
    assert "'b'" in said.err
    assert "multiplier 50, those before it 5" in said.err
    assert (await run("show", "sim.paper", "--json", env=env)).json == []


async def test_an_audit_that_finds_something_says_what(env):
    with open_ledger("sim", "paper") as ledger:
        ledger.append(
            Transaction(tid="a", fqme=BTC, size=D(1), price=D(100), time_ns=0)
        )
        write_account(ledger)
    path = AccountName.parse("sim.paper").account_file
    path.write_text(path.read_text().replace("ppu = 100\n", "ppu = 101\n"))
    bad = await run("audit", "--json", env=env)
    assert bad.code == 1
    assert f"{BTC} ppu is 101" in bad.json[0]["differences"][0]
    assert f"{BTC} ppu is 101" in bad.err
    mended = await run("audit", "sim.paper", "--write", env=env)
    assert (mended.code, mended.out) == (0, "")


async def test_what_can_not_be_is_refused_in_a_sentence(env, tmp_path):
    (await run("show", "paper", env=env)).refused(2, "BROKER.LABEL", "'paper'")
    (await run("show", "sim.paper", env=env)).refused(1, "no ledger of sim.paper")
    (await run("audit", "sim.paper", env=env)).refused(1, "no ledger of sim.paper")
    nowhere = await run("import", "sim.paper", tmp_path / "no.csv", "-f", BTC, env=env)
    nowhere.refused(2, "can't import", "no.csv")
    (await run("show", env=env)).refused(2, "ACCOUNT")
    with open_ledger("sim", "paper"):
        file = tmp_path / "x.csv"
        file.write_text(CSV)
        busy = await run("import", "sim.paper", file, "-f", BTC, env=env)
        assert busy.code == 1
        assert f"error: process {os.getpid()} " in busy.err
        none = await run("show", "sim.paper", BTC, env=env)
        none.refused(1, f"no trade of {BTC}")
        path = AccountName.parse("sim.paper").ledger
        path.write_text("[a]\nsize = x\n")
        (await run("show", "sim.paper", env=env)).refused(
            1, str(path), "line 2", "size"
        )
        listed = await run("ls", "--json", env=env)
        assert listed.code == 1
        assert "line 2" in listed.json[0]["fault"]
        assert (await run("ls", env=env)).code == 1
        assert (await run("audit", env=env)).code == 1


def test_there_is_a_command_of_its_own(env):
    command = shutil.which("ledger", path=Path(sys.executable).parent)
    assert command
    done = subprocess.run(
        [command, "ls", "--json"], check=False, env=env, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "[]\n")
