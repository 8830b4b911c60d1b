"""``piker orders``, ``piker halt`` and ``piker resume``, on a real tree."""

from __future__ import annotations

import json
import os
import signal
from decimal import Decimal

import pytest
import trio

from piker.testing import TestTree, free_port, private_dirs
from tests.cli import _cli

pytestmark = pytest.mark.tree

FQME = "btcusdt.spot.sim"
ROW_KEYS = [
    "oid", "state", "market", "account", "action", "type", "size", "filled", "limit",
    "trigger", "tif", "until", "post_only", "reduce_only", "reason", "time",
]  # fmt: skip


async def orders(tree, *args):
    return await _cli.run("orders", *args, env=tree.env)


async def place(tree, *args, fqme=FQME):
    return await orders(tree, "place", fqme, *args)


async def test_an_order_is_placed_watched_edited_and_cancelled(open_test_pikerd):
    async with open_test_pikerd() as tree:
        said = await place(
            tree, "--buy", "0.1", "--limit", "100", "--oid", "o1", "--json"
        )
        assert (said.code, said.err) == (0, ""), said
        assert list(said.json) == ["outcome", *ROW_KEYS]
        assert (said.json["outcome"], said.json["state"]) == ("accepted", "open")
        assert (said.json["size"], said.json["limit"]) == ("0.1", "100")
        args = ("orders", "ls", "--watch", "--json")
        async with _cli.start(*args, env=tree.env) as watch:
            first = json.loads(await watch.line())
            assert (first["oid"], first["event"]) == ("o1", "open")
            said = await orders(tree, "edit", "o1", "--limit", "101", "--size", "0.2")
            assert (said.code, said.err) == (0, ""), said
            assert said.out.startswith(f"o1 open: buy 0.2 {FQME} at 101")
            said = await orders(tree, "ls", "--json")
            assert list(said.json) == ["halted", "down", "unwatched", "orders"]
            assert [row["limit"] for row in said.json["orders"]] == ["101"]
            assert list(said.json["orders"][0]) == ROW_KEYS
            said = await orders(tree, "cancel", "o1")
            assert (said.code, said.err) == (0, ""), said
            events = []
            while not events or events[-1]["event"] != "canceled":
                events.append(json.loads(await watch.line()))
            assert [e["limit"] for e in events if e["reason"] == "edited"] == ["101"]
            assert await watch.end() == (130, "")
        again = await orders(tree, "cancel", "o1")
        assert (again.code, again.out) == (0, "o1 is cancelled already\n")
        none = await orders(tree, "ls")
        assert (none.code, none.out, none.err) == (0, "", "no order is open\n")
        past = await orders(tree, "ls", "--all")
        row = next(line for line in past.out.splitlines() if line.startswith(" o1"))
        assert row.split()[-1] == "cancelled"
        (await orders(tree, "edit", "o1", "--size", "1")).refused(1, "has ended")


async def test_fills_make_a_position_and_a_filled_order_is_not_cancelled(
    open_test_pikerd,
):
    async with open_test_pikerd() as tree:
        said = await place(tree, "--buy", "0.001", "--market", "--wait", "--oid", "o1")
        assert said.code == 0, said
        words = [line.split()[1].rstrip(":") for line in said.out.splitlines()]
        assert words[0] == "pending"
        assert words[-1] == "filled"
        (await orders(tree, "cancel", "o1")).refused(1, "has ended: filled")
        row = {"last": None}
        with trio.fail_after(40):
            while row["last"] is None:  # a busy machine has none at hand in time
                said = await orders(tree, "positions", "--json")
                assert said.code == 0, said
                (row,) = said.json
        assert (row["account"], row["market"]) == ("sim.paper", FQME)
        assert Decimal(row["size"]) == Decimal("0.001")
        assert float(row["last"]) > 0
        assert row["unrealised"] is not None
        wide = tree.env | {"COLUMNS": "160"}
        shown = await _cli.run("orders", "positions", env=wide)
        assert "0.001" in shown.out
        env = {**tree.env, "PIKER_REGISTRY": f"127.0.0.1:{free_port()}"}
        bare = await _cli.run("orders", "positions", "--json", env=env)
        assert (bare.code, bare.json[0]["last"]) == (0, None)


async def test_what_is_refused_is_one_sentence(open_test_pikerd):
    size, limit = ("--buy", "0.1"), ("--limit", "100")
    wrong = {
        ("nope.spot.sim", *size, *limit): (2, "nope.spot.sim"),
        (FQME, *size, "--limit", "100.001"): (1, "multiple of 0.01"),
        (FQME, "--buy", "0.0000001", *limit): (1, "multiple of 0.00001"),
        (FQME, *size, "--limit", "99999999"): (1, "price_band_pct"),
        (FQME, *size, *limit, "--account", "sim.ira"): (2, "no live orders"),
        (FQME, *size, *limit, "--account", "other.ira"): (2, "no account"),
        (FQME, "--sell", "1", "--limit", "99999", "--reduce-only"): (
            1, "nothing to take off",
        ),
        (FQME, *size, *limit, "--until", "2020-01-01"): (1, "gtd"),
    }  # fmt: skip
    async with open_test_pikerd() as tree:
        for args, (code, word) in wrong.items():
            (await orders(tree, "place", *args)).refused(code, word)
        for verb in (("edit", "nobody", "--size", "1"), ("cancel", "nobody")):
            (await orders(tree, *verb)).refused(1, "no order 'nobody'")
        assert (await orders(tree, "ls", "--json")).json["orders"] == []
        told = await place(tree, *size, "--limit", "0.001", "--oid", "o1", "--json")
        assert (told.code, told.json["outcome"]) == (1, "rejected")
        assert told.json["reason"] in told.err


async def test_what_would_have_taken_is_rejected_if_it_must_not(open_test_pikerd):
    async with open_test_pikerd() as tree:
        alert = await orders(tree, "alert", FQME, "1", "--json")
        assert (alert.code, alert.json["state"]) == (0, "dark"), alert
        quote = await _cli.run("quotes", FQME, "-n", "1", "--json", env=tree.env)
        near = f"{quote.json['last'] * 1.02:.2f}"
        said = await place(tree, "--buy", "0.1", "--limit", near, "--post-only")
        said.refused(1, "post-only")


async def test_a_closed_market_takes_no_live_order_and_a_dark_one(open_test_pikerd):
    conf = '[sim]\nstart = "2026-02-28T12:00:00Z"\n'  # a Saturday
    async with open_test_pikerd(conf=conf) as tree:
        args = ("--buy", "1", "--limit", "100")
        said = await place(tree, *args, fqme="tsla.nasdaq.sim")
        said.refused(1, "tsla.nasdaq.sim is closed until 2026-03-02T")
        said = await place(tree, *args, "--dark", fqme="tsla.nasdaq.sim")
        assert said.code == 0, said


async def test_the_same_order_again_is_one_order(open_test_pikerd):
    async with open_test_pikerd() as tree:
        args = ("--buy", "0.1", "--limit", "100", "--oid", "o1")
        for _ in range(2):
            said = await place(tree, *args, fqme="btcusdt.sim")
            assert said.code == 0, said
            assert FQME in said.out
        other = await place(tree, "--buy", "0.2", "--limit", "100", "--oid", "o1")
        other.refused(1, "'o1' belongs to another order")
        assert len((await orders(tree, "ls", "--json")).json["orders"]) == 1


async def test_cancel_all_ends_orders_darks_and_alerts(open_test_pikerd):
    async with open_test_pikerd() as tree:
        await place(tree, "--buy", "0.1", "--limit", "100")
        await place(tree, "--buy", "0.1", "--limit", "100", "--dark")
        await orders(tree, "alert", FQME, "100")
        said = await orders(tree, "cancel", "--all", "--json")
        assert said.code == 0, said
        assert [row["state"] for row in said.json["cancelled"]] == ["cancelled"] * 3
        again = await orders(tree, "cancel", "--all")
        assert (again.code, again.err) == (0, "no order is open\n")


async def test_halt_cancels_keeps_darks_and_resume_ends_it(open_test_pikerd):
    async with open_test_pikerd() as tree:
        await place(tree, "--buy", "0.1", "--limit", "100", "--oid", "o1")
        await place(tree, "--buy", "0.1", "--limit", "100", "--dark", "--oid", "d1")
        said = await _cli.run("halt", "the exchange burns", env=tree.env)
        assert (said.code, said.err) == (0, "")
        assert "the exchange burns" in said.out
        with trio.fail_after(10):
            left = []
            while left != ["d1"]:
                now = (await orders(tree, "ls", "--json")).json
                left = [row["oid"] for row in now["orders"]]
        assert now["halted"] == "the exchange burns"
        past = (await orders(tree, "ls", "--all", "--json")).json["orders"]
        assert {row["oid"]: row["reason"] for row in past}["o1"] == (
            "the exchange burns"
        )
        said = await place(tree, "--buy", "0.1", "--limit", "100")
        said.refused(1, "halted", "piker resume")
        assert "halted: the exchange burns" in (await orders(tree, "ls")).out
        assert (await _cli.run("resume", env=tree.env)).code == 0
        said = await place(tree, "--buy", "0.1", "--limit", "100")
        assert said.code == 0, said


async def test_ctrl_c_ends_the_waiting_and_not_the_order(open_test_pikerd):
    async with open_test_pikerd() as tree:
        args = ("orders", "place", FQME, "--buy", "0.1", "--limit", "100")
        async with _cli.start(*args, "--wait", "--oid", "o1", env=tree.env) as waiting:
            while "o1 open" not in await waiting.line():
                pass
            code, said = await waiting.end()
        assert (code, said) == (130, "o1 lives on: `piker orders ls` shows it\n")
        rows = (await orders(tree, "ls", "--json")).json["orders"]
        assert [(row["oid"], row["state"]) for row in rows] == [("o1", "open")]


async def test_a_watcher_outlives_emsd(open_test_pikerd):
    async with open_test_pikerd() as tree:
        await place(tree, "--buy", "0.1", "--limit", "100", "--dark", "--oid", "d1")
        args = ("orders", "ls", "--watch", "--json")
        async with _cli.start(*args, env=tree.env) as watch:
            assert json.loads(await watch.line())["oid"] == "d1"
            os.kill(tree.services.service_tasks["emsd"].pid, signal.SIGKILL)
            kinds = set()
            while "ems_up" not in kinds:
                kinds.add(json.loads(await watch.line())["type"])
            assert "ems_down" in kinds
            said = await orders(tree, "cancel", "d1")
            assert said.code == 0, said
            while json.loads(await watch.line()).get("event") != "canceled":
                pass
            assert (await watch.end())[0] == 130


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("place", FQME, "--buy", "0", "--limit", "1"), ("above 0", "'0'")),
        (("place", FQME, "--sell", "-1", "--limit", "1"), ("above 0", "'-1'")),
        (("place", FQME, "--buy", "nan", "--limit", "1"), ("above 0", "'nan'")),
        (("place", FQME, "--buy", "1", "--limit", "x"), ("above 0", "'x'")),
        (("place", FQME, "--buy", "1"), ("--limit PRICE or --market",)),
        (("place", "btcusdt.spot.nope", "--buy", "1", "--market"), ("'nope'",)),
        (("place", "bad..sim", "--buy", "1", "--market"), ("bad..sim",)),
        (("place", FQME, "--buy", "1", "--market", "--oid", "a b"), ("'a b'",)),
        (("alert", FQME, "-5"), ("above 0", "'-5'")),
        (("alert", FQME, "NaN"), ("above 0", "'NaN'")),
        (("edit", "o1"), ("--limit, --size or --trigger",)),
        (("edit", "o1", "--size", "-1"), ("above 0",)),
        (("cancel",), ("--all",)),
        (("cancel", "o1", "--all"), ("--all",)),
    ],
)
async def test_what_can_not_be_meant_starts_nothing(tmp_path, args, words):
    with private_dirs(tmp_path / "dirs"):
        tree = TestTree(("127.0.0.1", free_port()), tmp_path / "dirs")
        (await orders(tree, *args)).refused(2, *words)
        assert (await _cli.run("services", env=tree.env)).code == 1
