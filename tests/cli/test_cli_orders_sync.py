"""``piker ledger sync``: a paper engine against its ledger."""

from __future__ import annotations

import os
import tempfile
from decimal import Decimal
from pathlib import Path

import pytest

from piker.accounting import (
    AccountName,
    Transaction,
    open_ledger,
    read_account,
    read_ledger,
)
from piker.cli._sync import compare
from piker.testing import TestTree, free_port, private_dirs, tree_processes
from tests.cli import _cli

FQME = "btcusdt.spot.sim"


def book(*sizes):
    with open_ledger("sim", "paper") as ledger:
        for size in sizes:
            txn = Transaction(
                tid=f"t{ledger.seq}", fqme=FQME, size=Decimal(size),
                price=Decimal(100), time_ns=1_700_000_000_000_000_000,
                cost=Decimal("0.1"),
            )  # fmt: skip
            ledger.append(txn)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with private_dirs(tmp_path / "dirs"):
        yield TestTree(("127.0.0.1", free_port()), tmp_path / "dirs")


def test_what_differs_is_named(tree):
    book("1", "2")
    view = read_ledger("sim", "paper")
    told = view.positions()[FQME].to_msg("sim", "paper")
    assert compare(view, [told]) == []
    book("1")
    found = compare(read_ledger("sim", "paper"), [told])
    assert f"{FQME}: size is 3 at the engine, 4 by the ledger" in found
    assert len(found) == 4  # the mean price is the same, the rest isn't
    assert f"{FQME}: size is 0 at the engine, 3 by the ledger" in compare(view, [])


@pytest.mark.tree
async def test_sync_with_no_tree_leaves_nothing_but_the_account_file(tree):
    book("1", "0.5")
    tmp = tempfile.gettempdir()
    said = await _cli.run(
        "ledger", "sync", "sim.paper", "--json", env={**tree.env, "TMPDIR": tmp}
    )
    assert said.code == 0, said
    assert said.json["asked"] == "private"
    assert said.json["trades"] == 2
    assert [each["size"] for each in said.json["positions"]] == ["1.5"]
    assert "type" not in said.json["positions"][0]  # that's of the wire
    assert said.json["differences"] == []
    assert "is open" in said.json["notes"][0]  # there was no account file
    assert read_account(AccountName.of("sim", "paper"))["seq"] == 2
    assert not list(Path(tmp).iterdir())
    assert not list(Path(tree.env["PIKER_RUNTIME_DIR"]).iterdir())
    mine = tree_processes(os.getpid())
    assert not [each for each in mine if "piker" in " ".join(each.cmdline())]
    none = await _cli.run("ledger", "sync", "kraken.paper", env=tree.env)
    none.refused(1, "no ledger of kraken.paper")
    live = await _cli.run("ledger", "sync", "sim.ira", env=tree.env)
    live.refused(2, "'sim' takes no live orders", "no account but sim.paper")


@pytest.mark.tree
async def test_sync_asks_the_engine_that_runs(open_test_pikerd):
    async with open_test_pikerd() as tree:
        args = ("place", FQME, "--buy", "0.001", "--market", "--wait")
        said = await _cli.run("orders", *args, env=tree.env)
        assert said.code == 0, said
        said = await _cli.run("ledger", "sync", "sim.paper", "--json", env=tree.env)
        assert said.code == 0, said
        assert said.json["asked"] == "emsd"
        (held,) = said.json["positions"]
        assert Decimal(held["size"]) == Decimal("0.001")
        after = await _cli.run("ledger", "audit", "sim.paper", "--json", env=tree.env)
        assert (after.code, after.json[0]["notes"]) == (0, [])
