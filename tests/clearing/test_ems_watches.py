"""Markets are watched as long as somebody wants them, and not much longer."""

from __future__ import annotations

from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
import trio

from piker.clearing import _ems
from piker.clearing._ems import UNWANTED_S, Ems
from piker.clearing._journal import open_journal
from piker.clearing._market_state import MarketState
from piker.clearing._watch import Watch
from piker.config import Config
from tests.clearing._orders import MKT, order
from tests.clearing.test_journal import dialog

SHORT, FULL = "btcusdt.sim", "btcusdt.spot.sim"


class Seen(Watch):
    """A market that is seen as soon as it is watched, whatever it was called."""

    async def run(self) -> None:
        with self._scope:
            self.fqme = FULL
            self.state = self.router.markets.get(FULL) or MarketState(mkt=MKT)
            self.state.down = ""
            self.router.watch(FULL, self.state)
            self._settle()
            await trio.sleep_forever()


@pytest.fixture
def open_ems(tmp_path, monkeypatch):
    monkeypatch.setattr(_ems, "Watch", Seen)

    @asynccontextmanager
    async def opened():
        with open_journal(tmp_path / "journal.sqlite") as journal:
            async with trio.open_nursery() as nursery:
                notifier = SimpleNamespace(tell=lambda *_: None)
                ems = Ems(journal, nursery, Config(), notifier)
                nursery.start_soon(ems.keep_time)
                yield ems
                nursery.cancel_scope.cancel()

    return opened


async def test_a_market_that_nobody_wants_is_let_go(open_ems, autojump_clock):
    async with open_ems() as ems:
        watch = await ems.watch(SHORT)
        assert set(ems.watches) == {SHORT, FULL}
        await trio.sleep(UNWANTED_S - 5)
        assert await ems.watch(FULL) is watch  # asked for again, it stays as long again
        await trio.sleep(UNWANTED_S - 5)
        assert set(ems.watches) == {SHORT, FULL}
        await trio.sleep(10)
        assert not ems.watches
        assert watch.state.down == "it isn't watched"
        again = await ems.watch(FULL)
        assert again is not watch
        assert (again.state.down, again.state) == ("", watch.state)


async def test_a_client_keeps_its_market_watched(open_ems, autojump_clock):
    async with open_ems() as ems:
        with ems.session(FULL):
            watch = await ems.watch(FULL)
            await trio.sleep(10 * UNWANTED_S)
            assert ems.watches == {FULL: watch}
        await trio.sleep(UNWANTED_S + 5)
        assert not ems.watches


async def test_an_order_keeps_its_market_watched(open_ems, autojump_clock):
    async with open_ems() as ems:
        await ems.watch(FULL)
        waiting = dialog()
        assert order().symbol == waiting.order.symbol == FULL
        ems.router.dialogs["o1"] = waiting
        await trio.sleep(10 * UNWANTED_S)
        assert set(ems.watches) == {FULL}
        del ems.router.dialogs["o1"]
        await trio.sleep(UNWANTED_S + 5)
        assert not ems.watches


async def test_two_names_of_a_market_are_one_watch_until_it_ends(
    open_ems, autojump_clock
):
    async with open_ems() as ems:
        watch = await ems.watch(FULL)
        assert await ems.watch(SHORT) is watch
        assert set(ems.watches) == {SHORT, FULL}
        await trio.sleep(UNWANTED_S + 5)
        assert not ems.watches


async def test_who_waits_for_a_market_to_be_seen_isnt_let_down(
    open_ems, autojump_clock, monkeypatch
):
    seen = trio.Event()
    run = Seen.run

    async def run_late(self):
        await seen.wait()
        await run(self)

    monkeypatch.setattr(Seen, "run", run_late)
    async with open_ems() as ems, trio.open_nursery() as tasks:
        tasks.start_soon(ems.watch, SHORT)
        await trio.sleep(10 * UNWANTED_S)
        seen.set()
