"""The paper engine of a broker, without processes: what is booked, what is told."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from decimal import Decimal

import pytest
import trio

from piker.accounting import AccountName, read_account, read_ledger
from piker.brokers import sim
from piker.clearing import PaperMarket, _paper_desk, _paper_engine
from piker.clearing._paper_engine import current_engine, open_engine
from piker.errors import LedgerBusy, LedgerFull, ServiceError, TransportClosed
from piker.msgs import (
    BrokerdCancel,
    BrokerdError,
    BrokerdFill,
    BrokerdOrderAck,
    BrokerdPosition,
    BrokerdStatus,
    Reconcile,
    Reconciled,
    each_of,
)
from piker.testing import private_dirs
from tests.clearing._paper import AT_ONCE, MKT, order, quote


@pytest.fixture(autouse=True)
def dirs(tmp_path):
    with private_dirs(tmp_path) as dirs:
        yield dirs


class Stream:
    """Takes what is told; *fault* is raised instead."""

    def __init__(self) -> None:
        self.said: list = []
        self.fault: Exception | None = None

    async def send(self, msg) -> None:
        await trio.lowlevel.checkpoint()
        if self.fault:
            raise self.fault
        self.said += each_of(msg)

    def kinds(self) -> list[type]:
        return [type(msg) for msg in self.said]


def seat(engine, monkeypatch):
    """Give the engine a market that is quoted, and no feed."""
    desk = engine._desk(MKT.fqme)
    desk._rules, desk.mkt, desk.market = AT_ONCE, MKT, PaperMarket(MKT, AT_ONCE)
    monkeypatch.setattr(engine, "_wake", lambda desk: None)
    desk._input("ticks", quote())
    return desk


async def serve(engine, desk, *, books=True) -> None:
    """Let the desk answer what it was asked, and the engine tell it if it *books*."""
    await trio.testing.wait_all_tasks_blocked()
    while desk._requests.statistics().current_buffer_used:
        desk._serve_one(desk._requests.receive_nowait())
    with trio.fail_after(20):  # it waits for a disk
        while books and not engine._items.statistics().tasks_waiting_receive:
            await trio.sleep(0.01)
    await trio.testing.wait_all_tasks_blocked()


async def test_nothing_is_told_before_it_was_asked_for(monkeypatch):
    async with open_engine(sim) as engine:
        engine.nursery.start_soon(engine.run)
        desk = seat(engine, monkeypatch)
        async with engine.open_dialog() as (dialog, init):
            assert init.positions == ()
            dialog.stream = stream = Stream()
            engine.ask(dialog, order(price="101", size="0.5"))
            await serve(engine, desk)
            assert stream.said == []
            engine.ask(dialog, Reconcile(account="paper", after_seq=0, oids=("a", "x")))
            await serve(engine, desk)
            assert stream.kinds() == [
                BrokerdFill, BrokerdStatus, BrokerdStatus, BrokerdPosition, Reconciled,
            ]  # fmt: skip
            assert stream.said[3].size == Decimal("0.5")  # it was () in the opening
            assert [msg.seq for msg in stream.said[:1]] == [1]
            assert [msg.status for msg in stream.said[1:3]] == ["closed", "unknown"]
            engine.ask(dialog, order("b", price="101", size="0.5"))
            await serve(engine, desk)
            assert stream.kinds()[5:] == [
                BrokerdOrderAck, BrokerdStatus, BrokerdFill, BrokerdStatus,
                BrokerdPosition,
            ]  # fmt: skip
            assert stream.said[-1].size == 1
            engine.ask(dialog, Reconcile(account="paper", after_seq=1))
            await serve(engine, desk)
            assert stream.kinds()[10:] == [BrokerdFill, BrokerdPosition, Reconciled]
    assert [txn.oid for txn in read_ledger("sim", "paper").txns] == ["a", "b"]
    account = read_account(AccountName.of("sim", "paper"))
    assert account["seq"] == 2


async def test_an_order_that_is_over_is_answered_from_disk(monkeypatch):
    async with open_engine(sim) as engine:
        engine.nursery.start_soon(engine.run)
        desk = seat(engine, monkeypatch)
        async with engine.open_dialog() as (dialog, _):
            dialog.stream = stream = Stream()
            engine.ask(dialog, Reconcile(account="paper", after_seq=0))
            engine.ask(dialog, order(price="101", size="0.5"))
            await serve(engine, desk)
            desk.market.forget_ended()
            at = len(stream.said)
            for again in (
                order(price="101", size="0.5", time_ns=9),
                order(price="101", size="0.7"),
                order(price="99", rev=1),
                BrokerdCancel(oid="a", account="paper", time_ns=0),
            ):
                engine.ask(dialog, again)
            await serve(engine, desk)
            assert stream.kinds()[at:] == [
                BrokerdOrderAck, BrokerdStatus, BrokerdError, BrokerdError,
                BrokerdError,
            ]  # fmt: skip
            assert [msg.reason for msg in stream.said[at + 2 :]] == [
                "the id 'a' is that of another order",
                "the order is closed",
                "order 'a' is closed",
            ]
    assert len(read_ledger("sim", "paper")) == 1


async def test_fills_wait_while_the_disk_is_full(monkeypatch):
    monkeypatch.setattr(_paper_engine, "_RETRY_S", 0.01)
    async with open_engine(sim) as engine:
        engine.nursery.start_soon(engine.run)
        desk = seat(engine, monkeypatch)
        book, failures = engine._ledger.appending, [LedgerFull("no room")] * 3

        def appending(*txns):
            if txns and failures:
                raise failures.pop()
            return book(*txns)

        monkeypatch.setattr(engine._ledger, "appending", appending)
        async with engine.open_dialog() as (dialog, _):
            dialog.stream = stream = Stream()
            engine.ask(dialog, Reconcile(account="paper", after_seq=0))
            engine.ask(dialog, order(price="101", size="0.5"))
            await serve(engine, desk)
            assert failures == []
            assert stream.kinds()[-3:] == [BrokerdFill, BrokerdStatus, BrokerdPosition]
    assert len(read_ledger("sim", "paper")) == 1


@pytest.mark.parametrize("how", ["ended", "killed"])
async def test_a_fill_that_was_not_booked_is_booked_by_the_next_engine(
    how, tmp_path, monkeypatch
):
    """As inputs are written before that, they may not be dropped before."""
    killed = tmp_path / "killed.sqlite"
    async with open_engine(sim) as engine:
        engine.nursery.start_soon(engine.run)
        desk = seat(engine, monkeypatch)
        monkeypatch.setattr(engine, "_append", lambda txns: trio.sleep_forever())
        engine.ask(None, order(price="101", size="0.5"))
        await serve(engine, desk, books=False)
        assert desk.live == 0
        with closing(sqlite3.connect(killed)) as copy:
            engine._store._reader.backup(copy)  # what a kill now would leave
    assert len(read_ledger("sim", "paper")) == 0
    if how == "killed":
        killed.replace(engine._store.path)
    async with open_engine(sim) as engine:
        assert engine._store.markets() == []
        assert engine._held(MKT.fqme) == Decimal("0.5")
    assert [txn.oid for txn in read_ledger("sim", "paper").txns] == ["a"]


async def test_inputs_are_dropped_once_their_fills_are_booked(monkeypatch):
    monkeypatch.setattr(_paper_desk, "_QUIET_S", 0)
    async with open_engine(sim) as engine:
        engine.nursery.start_soon(engine.run)
        desk = seat(engine, monkeypatch)
        engine.ask(None, order(price="101", size="0.5"))
        engine.ask(None, order("b", price="99", size="0.5"))
        await serve(engine, desk)
        assert [each.mkt for each in engine._store.markets()] == [MKT]
        assert len(engine._store.inputs(MKT.fqme)) == 2
        engine.ask(None, BrokerdCancel(oid="b", account="paper", time_ns=0))
        await serve(engine, desk)
        assert engine._store.markets() == []
        assert engine._store.inputs(MKT.fqme) == []


async def test_a_dialog_that_is_lost_or_stuck_stops_nothing(
    monkeypatch,
):
    async with open_engine(sim) as engine:
        engine.nursery.start_soon(engine.run)
        desk = seat(engine, monkeypatch)
        async with engine.open_dialog() as (dialog, _):
            dialog.stream = stream = Stream()
            engine.ask(dialog, Reconcile(account="paper", after_seq=0))
            await serve(engine, desk)
            stream.fault = TransportClosed("gone")
            engine.ask(dialog, order(price="99"))
            await serve(engine, desk)
            assert not dialog.is_told
        async with engine.open_dialog() as (dialog, _):
            dialog.stream = Stream()
            dialog.stream.send = lambda _: trio.sleep_forever()
            with monkeypatch.context() as patch:
                patch.setattr(_paper_engine, "_SEND_DEADLINE_S", 0.05)
                engine.ask(dialog, Reconcile(account="paper", after_seq=0))
                await trio.sleep_forever()  # until it is ended
        async with engine.open_dialog() as (dialog, _):
            dialog.stream = stream = Stream()
            engine.ask(dialog, Reconcile(account="paper", after_seq=0))
            await serve(engine, desk)
            assert [msg.oid for msg in stream.said[:-1]] == ["a"]


async def test_one_engine_a_ledger():
    with pytest.raises(ServiceError, match="is not paperboi"):
        current_engine()
    async with open_engine(sim) as engine:
        assert current_engine() is engine
        with pytest.raises(LedgerBusy):
            async with open_engine(sim):
                pass
    with pytest.raises(ServiceError):
        current_engine()


async def test_a_position_of_the_ledger_is_what_may_be_reduced(monkeypatch):
    async with open_engine(sim) as engine:
        engine.nursery.start_soon(engine.run)
        desk = seat(engine, monkeypatch)
        engine.ask(None, order(price="101", size="0.5"))
        await serve(engine, desk)
    async with open_engine(sim) as engine:
        assert engine._held(MKT.fqme) == Decimal("0.5")
        assert [each.size for each in engine._init().positions] == [Decimal("0.5")]
        assert engine.doing() == ""
