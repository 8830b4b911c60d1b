"""The whole story before a real tree: open, search, stage, drag, fill, close."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from decimal import Decimal
from functools import partial

import psutil
import pytest
import trio
from PySide6.QtCore import QPoint, QTimer
from PySide6.QtGui import QImage
from PySide6.QtTest import QTest

from piker.config import UiConf
from piker.errors import ChartNotFound, OrderRefused
from piker.msgs import PAPER
from piker.ui import open_annot_ctl
from piker.ui._layouts import WindowLayout, layouts_path
from piker.ui._order_events import ChangePrice
from piker.ui._qt._app import ChartApp
from piker.ui._qt._guest import application, run
from piker.ui._session import open_session
from piker.ui._theme import THEMES
from tests.cli import _cli
from tests.ui._hands import Hands

pytestmark = pytest.mark.tree

BTC, ETH = "btcusdt.spot.sim", "ethusdt.spot.sim"
#: Fast, so that prices are soon where an order waits for them.
CONF = """
[sim]
start = "2026-03-02T00:00:00Z"
speed = 20
[paper]
latency_ms = 0
cancel_latency_ms = 0
"""


def use_tree(open_test_pikerd, scenario, deadline_s: float = 150.0) -> None:
    """Run ``await scenario(hands, tree)`` before a window of a real tree."""

    async def main() -> None:
        async with (
            open_test_pikerd(conf=CONF, embedded=False, deadline_s=deadline_s) as tree,
            open_session(tree.addr) as session,
        ):
            charts = ChartApp(session, UiConf(), THEMES["dark"], app)
            try:
                window = await charts.open(WindowLayout(fqmes=(BTC,)))
                window.resize(1400, 900)
                window.show()
                window.activateWindow()
                await trio.sleep(0.05)
                QTest.mouseMove(window.fast.canvas, QPoint(200, 100))
                window.focus_chart()
                await scenario(Hands(charts, window), tree)
            finally:
                charts.close()

    app = application()
    faults: list[BaseException] = []
    run(app, main, faults.append)
    assert not faults


async def until(holds, deadline_s: float = 40.0, what: str = "") -> None:
    with trio.move_on_after(deadline_s):
        while not holds():
            await trio.sleep(0.02)
        return
    raise AssertionError(f"not within {deadline_s:g} s: {what or holds}")


async def shown(tree) -> tuple[str, ...]:
    """Return the markets that open charts show."""
    try:
        async with open_annot_ctl(tree.addr) as ctl:
            return ctl.fqmes
    except ChartNotFound:
        return ()


async def kill(tree, name: str) -> None:
    with trio.fail_after(20):
        while (info := (await tree.infos()).get(name)) is None or info.pid <= 0:
            await trio.sleep(0.05)
    os.kill(info.pid, signal.SIGKILL)


class Story:
    """What one does, step by step; *between* is done after each of them."""

    def __init__(self, hands: Hands, tree, between) -> None:
        self.hands, self.tree, self.between = hands, tree, between
        self.window = hands.window
        self.toasts: set[str] = set()  # that were shown: they go after a while
        self.trading.on_toast.add(self._note_toasts)

    def _note_toasts(self, _toast) -> None:
        """Look at them once the window was told, too."""
        shown = self.window.toasts
        QTimer.singleShot(0, self.window, lambda: self.toasts.update(shown.texts))

    @property
    def trading(self):
        return self.window.session.trading

    @property
    def market(self):
        return self.window.market

    def held(self):
        position = self.trading.positions.get((PAPER, ETH))
        return position.size if position is not None else 0

    async def tell(self) -> None:
        await until(lambda: len(self.window.fast.chart.series) > 20, what="bars")
        await until(lambda: not self.trading.down, what="emsd")
        await self.switch()
        await self.between("switched")
        oid = await self.stage()
        await self.between("staged")
        await self.drag(oid)
        await self.between("dragged")
        await self.until_filled(oid)
        # it is told by the position first, then by the order
        await until(lambda: bool(self.trading.fills(ETH)), what="the fill")
        await until(
            lambda: any(text.startswith("buy ") for text in self.toasts), what="a toast"
        )
        self.check_position()
        await self.between("filled")
        await self.close()
        assert not any("brokerd" in name for name in await self.tree.infos())

    async def switch(self) -> None:
        """Find another market and go there."""
        hands, search = self.hands, self.window.search
        for _ in range(5):  # of a machine that is too busy, who is asked is left out
            await hands.tap("ctrl-l")
            await hands.type("ethusdt spot")
            with trio.move_on_after(12):
                while ETH not in [item.text(0) for item in search.items()]:
                    await trio.sleep(0.02)
                break
        else:
            raise AssertionError(f"{ETH} isn't found")
        while search.tree.currentItem().text(0) != ETH:
            await hands.tap("down")
        await hands.tap("enter")
        await until(lambda: self.market.fqme == ETH, what="the market")
        await until(lambda: len(self.window.fast.chart.series) > 20, what="its bars")
        assert self.window.watchlist.names == [BTC, ETH]
        await hands.settle(0.3)

    def place_of(self, price: float) -> QPoint:
        """Return where a price is, at most at the edge of the chart."""
        at = self.hands.at(300, price)
        strip = self.hands.canvas.picture.layout["prices"]
        return QPoint(at.x(), int(min(max(at.y(), 4), strip.bottom - 4)))

    async def hold_prices(self) -> None:
        """Zoom the price axis out by hand: from then on it stands still."""
        canvas = self.hands.canvas
        await self.hands.wheel(-6, x=canvas.width() - 10)
        assert not canvas.chart.view.fits

    async def stage(self) -> str:
        """Stage a dark buy far above the market, submit it by a click."""
        hands = self.hands
        await self.hold_prices()
        at = self.place_of(self.market.touch.last * 1.1)
        await hands.move(at)
        await hands.press("f")
        assert "dark-buy" in self.window.status.mode.text()
        await hands.click(at)
        await hands.release("f")
        await until(lambda: len(self.trading.dialogs) == 1, what="the order")
        ((oid, status),) = self.trading.dialogs.items()
        assert status.resp in ("dark_open", "triggered", "open")
        assert self.trading.lines(self.market.flume.mkt)[0].style == "dotted"
        return oid

    async def drag(self, oid: str) -> None:
        """Drag its line to where the market is."""
        await until(lambda: not self.trading.down, what="emsd")
        price = float(self.trading.dialogs[oid].req.price)
        line, to = self.place_of(price), self.place_of(self.market.touch.last)
        assert line.y() < to.y() - 6
        await self.hands.drag(line, to)
        await until(
            lambda: (
                oid not in self.trading.dialogs
                or float(self.trading.dialogs[oid].req.price) != price
            ),
            what="the edit",
        )

    async def until_filled(self, oid: str) -> None:
        """Move the order after the price, which may leave it, until it is filled."""
        for _ in range(20):
            with trio.move_on_after(4):
                while self.held() <= 0:
                    await trio.sleep(0.02)
                return
            if oid in self.trading.dialogs and not self.trading.down:
                last = Decimal(str(self.market.touch.last))
                price = last.quantize(self.market.flume.mkt.price_tick)
                await self.trading.do(ChangePrice(oid, price=price))
        raise AssertionError("the dark buy isn't filled")

    def check_position(self) -> None:
        """See what is shown of it."""
        pane = self.window.pane
        pane.refresh()
        assert pane.held.text().startswith("long ")
        assert "$" in pane.pnl.text()
        assert self.trading.fills(ETH)[0].side == "buy"

    async def close(self) -> None:
        """Sell it again, live on paper, below the market."""
        hands = self.hands
        with trio.fail_after(60):
            while self.held() > 0:
                await until(lambda: not self.trading.down, what="emsd")
                for oid in tuple(self.trading.dialogs):  # one that lies too high
                    with suppress(OrderRefused):  # it was filled meanwhile
                        await self.trading._client.cancel(oid)
                await hands.tap("r")
                await self.hold_prices()
                at = self.place_of(self.market.touch.last * 0.999)
                await hands.move(at)
                await hands.press("d")
                await hands.press("s")
                assert "live-sell" in self.window.status.mode.text()
                await hands.click(at)
                await hands.release("s")
                await hands.release("d")
                with trio.move_on_after(5):
                    while self.held() > 0:
                        await trio.sleep(0.05)
        self.window.pane.refresh()
        assert self.window.pane.held.text() == "flat"


def test_the_whole_story(open_test_pikerd):
    async def scenario(hands: Hands, tree) -> None:
        async def nothing(_step: str) -> None:
            hands.window._refresh_status()

        await Story(hands, tree, nothing).tell()

    use_tree(open_test_pikerd, scenario)


def test_the_whole_story_while_daemons_are_killed(open_test_pikerd):
    """datad and emsd die in the middle: it shows, it heals, nothing is lost."""

    async def scenario(hands: Hands, tree) -> None:
        window = hands.window

        async def strike(step: str) -> None:
            market, trading = window.market, window.session.trading
            if step in ("staged", "filled"):
                await kill(tree, "emsd")
                await until(lambda: bool(trading.down), what="emsd's loss")
                window.pane.refresh()
                assert "no orders" in window.pane.state.text()
                await until(lambda: not trading.down, what="emsd is back")
            if step in ("switched", "dragged"):
                before = market.losses
                await kill(tree, "datad.sim")
                await until(lambda: market.losses > before, what="the loss")
                await until(lambda: not market.trouble, what="the feed is back")
                end = window.fast.chart.series.end
                await until(lambda: window.fast.chart.series.end > end, what="bars")

        await Story(hands, tree, strike).tell()
        window._refresh_status()
        await until(lambda: "restart" in window.status.services.text(), what="told")

    use_tree(open_test_pikerd, scenario)


def test_a_hidden_window_asks_for_no_quotes(open_test_pikerd):
    async def scenario(hands: Hands, tree) -> None:
        window, market = hands.window, hands.window.market
        told: list[int] = []
        market.listeners.add(lambda: told.append(1))
        await until(lambda: len(told) > 20, what="quotes")
        window.hide()
        await hands.settle(0.5)
        painted: list[int] = []
        window.fast.canvas.painted.connect(lambda: painted.append(1))
        last, since_s = market.touch.last, trio.current_time()
        with trio.fail_after(10):  # some quotes may be on their way yet
            while trio.current_time() - since_s < 1:
                await hands.settle()
                if market.touch.last != last:
                    last, since_s = market.touch.last, trio.current_time()
        assert not painted
        window.show()
        await until(lambda: market.touch.last != last, what="quotes again")
        await until(lambda: bool(painted), what="a picture")

    use_tree(open_test_pikerd, scenario)


# -- the command -------------------------------------------------------------------


async def run_chart(tree, *args: object, **kwargs) -> subprocess.CompletedProcess:
    argv = [sys.executable, "-m", "piker", "chart", *map(str, args)]
    run_it = partial(subprocess.run, argv, env=tree.env, capture_output=True, **kwargs)
    return await trio.to_thread.run_sync(partial(run_it, timeout=60, check=False))


async def test_a_picture_is_written(open_test_pikerd, tmp_path):
    path = tmp_path / "new" / "out.png"
    async with open_test_pikerd(conf="[data]\nhist_days = 1\n", embedded=False) as tree:
        done = await run_chart(
            tree, BTC, ETH, "--snapshot", path, "--size", "1000x700", "--theme", "light"
        )
        assert done.returncode == 0, done.stderr
        image = QImage(str(path))
        assert (image.width(), image.height()) == (1000, 700)
        colors = {
            image.pixelColor(x, y).name()
            for x in range(0, 900, 3)
            for y in range(0, 600, 3)
        }
        theme = THEMES["light"]
        assert {theme.back, theme.up, theme.down, theme.grid} <= colors
        names = await tree.infos()
        assert not any(name.startswith(("brokerd", "emsd")) for name in names)
        assert not layouts_path().exists(), "a picture is no layout"


@pytest.mark.parametrize(("sig", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
async def test_a_signal_ends_it_and_leaves_orders(open_test_pikerd, sig, code):
    async with open_test_pikerd(conf=CONF, embedded=False) as tree:
        argv = [sys.executable, "-m", "piker", "chart", BTC]
        env = {**tree.env, "QT_QPA_PLATFORM": "offscreen"}
        with subprocess.Popen(argv, env=env, stderr=subprocess.PIPE) as chart:
            before = psutil.Process(chart.pid)
            with trio.fail_after(40):
                while BTC not in await shown(tree) or (
                    "emsd" not in await tree.infos()
                ):
                    assert chart.poll() is None
                    await trio.sleep(0.1)
            # its market is there: its window opens at once, before it answers again
            for _ in range(5):
                await trio.sleep(0.1)
                assert BTC in await shown(tree)
            chart.send_signal(signal.Signals[sig])
            with trio.fail_after(20):
                while chart.poll() is None:
                    await trio.sleep(0.02)
            said = chart.stderr.read().decode()
        assert chart.returncode == code, said
        assert '"btcusdt.spot.sim"' in (layouts_path().read_text())
        assert "Traceback" not in said
        assert not before.is_running()
        assert {"datad.sim", "emsd"} <= set(await tree.infos())


@pytest.mark.parametrize(
    ("args", "env", "says"),
    [
        (["nothing"], {}, "nothing"),
        (["btcusdt.spot.nowhere"], {}, "nowhere"),
        ([BTC, "--period", "90s"], {}, "a period is"),
        ([BTC, "--snapshot", "x.png", "--size", "big"], {}, "a size is"),
        ([BTC, "--theme", "pink"], {}, "a theme is dark or light"),
        ([], {"QT_QPA_PLATFORM": "offscreen"}, "name a market"),
        ([BTC], {"QT_QPA_PLATFORM": "", "DISPLAY": ""}, "wants a screen"),
        ([BTC], {"QT_QPA_PLATFORM": "", "DISPLAY": ":987"}, "none answers at DISPLAY"),
    ],
)
async def test_bad_input_is_one_sentence(args, env, says, tmp_path):
    """And nothing is started for it."""
    dirs = {
        f"PIKER_{kind}_DIR": str(tmp_path / kind)
        for kind in ("CONFIG", "STATE", "CACHE", "RUNTIME")
    }
    env = {**os.environ, **dirs, **env}
    said = await _cli.run("--registry", "127.0.0.1:1", "chart", *args, env=env)
    said.refused(2, says)
