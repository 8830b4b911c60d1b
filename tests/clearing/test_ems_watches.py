"""Markets are watched as long as somebody wants them, and not much longer."""

from __future__ import annotations

from contextlib import asynccontextmanager
from decimal import Decimal as D  # noqa: N817
from types import SimpleNamespace

import pytest
import trio

from piker.clearing import _ems
from piker.clearing._clients import SEEN_DEADLINE_S, _Client
from piker.clearing._ems import UNWANTED_S, Ems
from piker.clearing._journal import open_journal
from piker.clearing._market_state import MarketState
from piker.clearing._router import Origin
from piker.clearing._watch import Watch
from piker.config import Config
from piker.msgs import Cancel, Edit
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


@pytest.fixture
def late(monkeypatch):
    """Have markets be seen only once this event is set."""
    seen = trio.Event()
    run = Seen.run

    async def run_late(self):
        await seen.wait()
        await run(self)

    monkeypatch.setattr(Seen, "run", run_late)
    return seen


async def test_who_waits_for_a_market_to_be_seen_isnt_let_down(
    open_ems, late, autojump_clock
):
    async with open_ems() as ems, trio.open_nursery() as tasks:
        tasks.start_soon(ems.watch, SHORT)
        await trio.sleep(10 * UNWANTED_S)
        late.set()


@asynccontextmanager
async def client_of(ems, monkeypatch):
    """Yield what a client of *ems* asks by, and the refusals that it gets."""
    monkeypatch.setattr(_ems, "_ems", ems)
    ask, asked = trio.open_memory_channel(10)
    refused = []
    async with trio.open_nursery() as tasks:
        client = _Client(ems, Origin(refused.append, lambda: ("paper",)), tasks)
        tasks.start_soon(client.obey, asked)
        yield ask.send_nowait, refused
        tasks.cancel_scope.cancel()


async def test_edits_wait_for_their_market_and_stay_in_order(
    open_ems, late, monkeypatch, autojump_clock
):
    """An emsd that has just begun knows its orders and has seen no market."""
    async with open_ems() as ems, client_of(ems, monkeypatch) as (ask, refused):
        ems.router.dialogs["o1"] = dialog(state="open")
        done = []
        monkeypatch.setattr(ems.router, "command", lambda msg, _: done.append(msg))
        edits = [Edit(oid="o1", edit_id=f"e{i}", price=D(60_000 + i)) for i in range(5)]
        for edit in edits[:-1]:
            ask(edit)
        ask(Cancel(oid="o2"))
        await trio.sleep(SEEN_DEADLINE_S - 1)
        assert done == [Cancel(oid="o2")]
        ems.router.markets[FULL] = MarketState(mkt=MKT)  # but those don't know it yet
        ask(edits[-1])
        await trio.sleep(0.1)
        assert done == [Cancel(oid="o2")]
        late.set()
        await trio.sleep(0.1)
        assert done == [Cancel(oid="o2"), *edits]
        ask(edits[0])
        await trio.sleep(0.1)
        assert done[-1] is edits[0], "it is seen, nothing waits any more"
        assert not refused


async def test_an_edit_in_a_market_that_stays_unseen_is_refused_and_the_order_stays(
    open_ems, late, monkeypatch, autojump_clock
):
    async with open_ems() as ems, client_of(ems, monkeypatch) as (ask, refused):
        ems.router.dialogs["o1"] = waiting = dialog()
        ask(Edit(oid="o1", edit_id="e1", price=D(60_000)))
        await trio.sleep(SEEN_DEADLINE_S - 1)
        assert not refused
        await trio.sleep(2)
        (error,) = refused
        assert (error.oid, error.edit_id, error.gate) == ("o1", "e1", "market")
        assert error.reason == (
            f"{FULL} can't be seen yet, so no edit can be judged: ask again once it is,"
            " or cancel"
        )
        assert ems.router.dialogs == {"o1": waiting}
