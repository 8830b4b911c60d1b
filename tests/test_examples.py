"""The examples run, and do what they say."""

from __future__ import annotations

import importlib.util
import re
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
import trio

from tests.clearing._orders import market
from tests.cli import _cli

BOT = Path(__file__).parent.parent / "examples" / "trailing_limit.py"
DEADLINE_S = 40.0


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_limit_is_below_the_market_and_on_its_grid():
    mkt = market()
    bot = load(BOT)
    for last in (0.01, 100.0, 25648.83):
        limit = bot.trailing_limit(mkt, last)
        assert limit <= Decimal(str(last))
        assert limit % mkt.price_tick == 0
    assert bot.trailing_limit(mkt, 10_000.0) == Decimal("9998.00")


async def run(*args, env):
    with trio.fail_after(DEADLINE_S):
        done = await trio.run_process(
            [sys.executable, str(BOT), *map(str, args)],
            env=env, capture_stdout=True, capture_stderr=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode().splitlines()


@pytest.mark.tree
async def test_the_trailing_bot_trails_and_its_order_outlives_it(open_test_pikerd):
    async with open_test_pikerd() as tree:
        lines = []
        while not lines:  # a busy machine may show it no price in that time
            lines = await run(5, env=tree.env)
        limits = [
            Decimal(found[1])
            for line in lines
            if (found := re.search(r"(?:moved to|buy [\d.]+ at) ([\d.]+)$", line))
        ]
        assert limits == sorted(set(limits))  # it only ever rises
        said = await _cli.run("orders", "ls", "--all", "--json", env=tree.env)
        (row,) = said.json["orders"]
        assert row["oid"].startswith("trailing-")
        if row["state"] == "open":
            assert f"{row['oid']} lives on" in "\n".join(lines)
            assert Decimal(row["limit"]) >= max(limits, default=0)
        else:
            assert row["state"] == "filled"


@pytest.mark.tree
async def test_ctrl_c_ends_the_bot_and_not_its_order(open_test_pikerd):
    async with open_test_pikerd() as tree:
        proc = await trio.lowlevel.open_process(
            [sys.executable, str(BOT), "60", "ethusdt.spot.sim"],
            env=tree.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            with trio.fail_after(DEADLINE_S):
                out = b""
                while b": buy " not in out:
                    more = await proc.stdout.receive_some()
                    assert more, await proc.stderr.receive_some()
                    out += more
                proc.send_signal(signal.SIGINT)
                async for more in proc.stdout:
                    out += more
                assert await proc.wait() == 0
        finally:
            if proc.poll() is None:
                proc.kill()
            with trio.CancelScope(shield=True):
                await proc.wait()
                await proc.stdout.aclose()
                await proc.stderr.aclose()
        assert b"lives on" in out or b"the order is closed" in out
        said = await _cli.run("orders", "ls", "--all", "--json", env=tree.env)
        assert [row["market"] for row in said.json["orders"]] == ["ethusdt.spot.sim"]
