"""The chart in a terminal of 80 x 24, on a real tree of the sim: a whole story."""

from __future__ import annotations

import os
import re
import signal
import sys

import pytest
import trio

from piker.service import probe
from piker.testing import free_port
from tests.cli import _cli
from tests.ui._tmux import needs_tmux, open_terminal

pytestmark = [pytest.mark.tree, needs_tmux]

BTC, ETH = "btcusdt.spot.sim", "ethusdt.spot.sim"
#: What the screen says of a feed that is well.
LIVE = r"● live"
#: And while emsd can't be reached.
NO_EMSD = "emsd lost|can't be placed"


def chart(tree, *fqmes):
    """Run the chart in a terminal, as a client of a tree."""
    argv = [sys.executable, "-m", "piker", "chart", "--tui", *fqmes]
    return open_terminal(argv, tree.env)


def kill(tree, name):
    """SIGKILL a daemon."""
    pid = tree.services.service_tasks[name].pid
    assert pid > 1, f"{name} runs"
    os.kill(pid, signal.SIGKILL)


class Trader:
    """Trades by keys, and reads the screen."""

    def __init__(self, terminal) -> None:
        self.terminal = terminal

    async def search(self, typed: str, fqme: str) -> None:
        """Search for a market and show it."""
        await self.terminal.press("ctrl-l")
        await self.terminal.until("search")
        await self.terminal.type(typed)
        await self.terminal.until(rf" {fqme} ", deadline_s=60)
        for _ in range(60):
            await trio.sleep(0.2)
            if f"▸ {fqme} " in await self.terminal.screen():
                break
            await self.terminal.press("down")
        await self.terminal.press("enter")
        await self.terminal.until(rf"^ {fqme}  1m  [\d,.]+", LIVE)

    async def stage_dark_buy(self) -> None:
        """Stage a dark buy well below the price, and send it."""
        await self.terminal.until_gone(NO_EMSD)
        await self.terminal.press("f")
        await self.terminal.until(" dark-buy ")
        await self.terminal.press(*["down"] * 8, "enter")
        await self.terminal.until("1 order ", r"buy +[\d.]+ +[\d,.]+ +dark")

    async def until_filled(self) -> None:
        """Move the order after the price until it fires and all of it is filled."""
        with trio.fail_after(90):
            while True:
                shown = await self.terminal.screen()
                if "1 position" in shown and "0 orders" in shown:
                    break
                if re.search(r"buy +[\d./]+ +[\d,.]+ +live", shown):
                    # it, or what is left, rests: a row above the price it takes
                    await self._move("home", "up")
                elif "0 orders" not in shown:
                    await self._move("home")
                await trio.sleep(1.5)
        await self.terminal.press("esc", "esc")

    async def _move(self, *where: str) -> None:
        """Move the order to another row."""
        await self.terminal.press("esc", "esc", "n", "e", *where, "enter")

    async def close(self) -> None:
        """Sell what is held, at once."""
        await self.terminal.until("1 position")
        with trio.fail_after(60):
            while "0 positions" not in (shown := await self.terminal.screen()):
                if "0 orders" in shown:
                    await self.terminal.press("home", "d", "s", "down", "enter")
                else:  # it rests, or a part: the price has left it
                    await self._move("home", "down")
                await trio.sleep(1.5)


async def test_the_story_of_an_order(open_test_pikerd):
    async with (
        open_test_pikerd(deadline_s=200) as tree,
        chart(tree, ETH) as shown,
    ):
        trader = Trader(shown)
        await shown.until(rf" {ETH}  1m  [\d,.]+", LIVE, "0 orders", "watchlist")
        await trader.search("btc usdt spot", BTC)
        assert ETH in await shown.screen()  # it stays in the watchlist
        await trader.stage_dark_buy()
        await trader.until_filled()
        screen = await shown.until("1 position", "long :", r"[+-]\$")
        assert len(screen.splitlines()) == 24
        await trader.close()
        await shown.until("0 positions", "0 orders")
        await shown.press("ctrl-q")
        screen = await shown.until("it ended by 0")
        assert LIVE[:1] not in screen
        said = await _cli.run("orders", "positions", "--json", env=tree.env)
        assert said.json == []


async def test_the_story_with_daemons_killed_in_the_middle(open_test_pikerd):
    async with (
        open_test_pikerd(deadline_s=240) as tree,
        chart(tree, BTC) as shown,
    ):
        trader = Trader(shown)
        await shown.until(rf" {BTC}  1m  [\d,.]+", LIVE, "0 orders")
        await trader.stage_dark_buy()
        kill(tree, "datad.sim")
        kill(tree, "emsd")
        await shown.until("reconnecting|emsd lost|restarts", deadline_s=20)
        await shown.until(LIVE, "1 order ", "restarts .*datad.sim 1", deadline_s=60)
        await shown.until_gone(NO_EMSD, deadline_s=60)
        await trader.until_filled()
        kill(tree, "emsd")
        await shown.until_gone(NO_EMSD, deadline_s=60)
        await trader.close()
        await shown.until("0 positions", "0 orders", LIVE)
        await shown.press("ctrl-q")
        await shown.until("it ended by 0")


async def test_a_chart_that_is_killed_leaves_orders_alone(open_test_pikerd):
    async with open_test_pikerd(deadline_s=120) as tree:
        async with chart(tree, BTC) as shown:
            await shown.until(LIVE, "0 orders")
            await Trader(shown).stage_dark_buy()
            os.kill(await shown.pid(), signal.SIGKILL)
            await shown.until("it ended by 137")
        said = await _cli.run("orders", "ls", "--json", env=tree.env)
        assert [row["state"] for row in said.json["orders"]] == ["dark"]
        async with chart(tree, BTC) as shown:
            await shown.until(LIVE, "1 order ", r"buy .* dark ", "▼ 1 order|dark buy")
            os.kill(await shown.pid(), signal.SIGTERM)
            screen = await shown.until("it ended by 143")
            assert "watchlist" not in screen  # the terminal is as it was before


async def test_names_that_lead_nowhere_are_one_sentence(open_test_pikerd):
    async with open_test_pikerd() as tree:
        async with chart(tree, "nope.spot.sim") as shown:
            screen = await shown.until("it ended by 2")
            assert re.search(r"^error: .*nope\.spot\.sim", screen, re.MULTILINE)
        addr = ("127.0.0.1", free_port())
        env = {**tree.env, "PIKER_REGISTRY": f"127.0.0.1:{addr[1]}"}
        said = await _cli.run("chart", "--tui", "btcusdt.spot.nope", env=env)
        said.refused(2, "no broker 'nope'")
        said = await _cli.run("chart", "--tui", BTC, env=env)
        said.refused(2, "terminal")
        assert await probe(addr) is None  # no pikerd was started for it
