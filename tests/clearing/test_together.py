"""What happens together is journaled as one, and kept until all of it is safe."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import nullcontext
from decimal import Decimal

import pytest

from piker.clearing import PaperMarket, _journal
from piker.clearing._dialog import Happening
from piker.clearing._journal import open_journal
from piker.clearing._market_state import MarketState
from piker.clearing._paper_desk import Desk
from piker.clearing._paper_store import PaperStore
from piker.clearing._router import Origin, Outlets, Router
from piker.errors import JournalFull
from piker.msgs import BATCH_MAX, BrokerdFill, Order, Tick, each_of, in_batches
from tests.clearing import _paper
from tests.clearing._broker import FQME
from tests.clearing._orders import MKT


@pytest.fixture
def journal(tmp_path):
    with open_journal(tmp_path / "ems" / "journal.sqlite") as journal:
        yield journal


def router_of(journal, told) -> Router:
    router = Router(journal, Outlets(request=lambda *_: None, tell=told.append))
    state = MarketState(mkt=MKT)
    state.down = ""
    router.watch(FQME, state)
    router.ticks(FQME, [Tick("trade", 100.0, 1.0, 0)], 100.0)
    return router


def send(router, oid="a") -> None:
    order = Order(
        oid=oid, action="buy", symbol=FQME, size=Decimal(1), price=Decimal(99)
    )
    refused: list = []
    router.command(order, Origin(refused.append))
    assert not refused


def ack_and_open(router, oid="a") -> None:
    router.apply(router.dialogs[oid], Happening(kind="ack", reqid=f"r{oid}"))
    router.apply(router.dialogs[oid], Happening(kind="cancel"))


def test_what_is_applied_together_is_one_write(journal, monkeypatch):
    told: list = []
    router, writes = router_of(journal, told), []
    send(router)
    write = journal.write

    def counted(*args, **kwargs) -> None:
        writes.append(args)
        write(*args, **kwargs)

    monkeypatch.setattr(journal, "write", counted)
    with router.together():
        ack_and_open(router)
        assert router.find("a") is router.dialogs["a"]
        assert not writes
    assert len(writes) == 1
    assert journal.get("a") == router.dialogs["a"]
    assert [one.seq for one in journal.tells_since(0)] == [one.seq for one in told]
    ack_and_open(router)
    assert len(writes) > 1


def test_a_full_disk_loses_nothing_of_what_happened_together(journal, monkeypatch):
    told: list = []
    router = router_of(journal, told)
    send(router)

    def full(*args, **kwargs) -> None:
        raise JournalFull("no room")

    with monkeypatch.context() as patch:
        patch.setattr(journal, "write", full)
        with router.together():
            ack_and_open(router)
        assert router.dialogs["a"].cancel_called
        assert not journal.get("a").cancel_called
        with pytest.raises(AssertionError):
            send(router, "b")
    send(router, "c")
    assert journal.get("a") == router.dialogs["a"]
    assert journal.get("b") is None
    seqs = [one.seq for one in journal.tells_since(0)]
    assert seqs == sorted({one.seq for one in told})


async def test_the_log_has_its_size_and_is_read_after_a_kill(journal, tmp_path):
    journal.lengthen_log()
    router = router_of(journal, [])
    log = journal.path.with_name(journal.path.name + "-wal")
    size = log.stat().st_size
    assert size == 4 << 20
    for i in range(50):
        send(router, f"o{i}")
    assert log.stat().st_size == size  # it was written over
    await journal.sync()
    shutil.copytree(journal.path.parent, tmp_path / "killed")
    with open_journal(tmp_path / "killed" / "journal.sqlite") as again:
        assert {one.oid for one in again.live()} == {f"o{i}" for i in range(50)}


class FullDb:
    """A connection to a database on a disk without room."""

    def __init__(self, db) -> None:
        self.db = db
        self.asked: list[str] = []

    def execute(self, query, *args):
        self.asked.append(query)
        if query.startswith(("DELETE", "PRAGMA wal_checkpoint")):
            raise sqlite3.OperationalError("database or disk is full")
        return self.db.execute(query, *args)


def test_a_full_disk_ends_no_emsd_that_tidies_its_journal(journal, monkeypatch):
    router = router_of(journal, [])
    for i in range(3):
        send(router, f"o{i}")
    with monkeypatch.context() as patch:
        full = FullDb(journal._db)
        patch.setattr(journal, "_db", full)
        patch.setattr(_journal, "_connected", lambda path: nullcontext(full))
        journal.prune(keep=1)
        journal.checkpoint()
        assert "ROLLBACK" in full.asked
        assert "PRAGMA wal_checkpoint(PASSIVE)" in full.asked
    assert len(journal.tells_since(0)) == 3
    journal.prune(keep=1)
    assert len(journal.tells_since(0)) == 1
    send(router, "later")


def test_inputs_are_kept_until_their_fills_are_booked(tmp_path, monkeypatch):
    monkeypatch.setattr("piker.clearing._paper_desk._QUIET_S", 0)
    told: list = []
    store = PaperStore(tmp_path / "paper" / "sim.sqlite")

    def desk_of() -> Desk:
        mkt, rules = _paper.MKT, _paper.AT_ONCE
        return Desk(mkt.fqme, rules, store, told.append, lambda _: Decimal(0))

    desk = desk_of()
    desk.mkt, desk.market = _paper.MKT, PaperMarket(_paper.MKT, _paper.AT_ONCE)
    desk._input("ticks", _paper.quote(), 1000 * _paper.MS)
    desk._input("submit", _paper.order(price="101"), 1001 * _paper.MS)
    (fill,) = (msg for said in told for msg in said if isinstance(msg, BrokerdFill))
    assert desk.live == 0

    store.commit()
    (saved,) = store.markets()  # what a kill now would leave
    again = desk_of().restore(saved)
    assert fill in again

    desk.rotate()
    store.commit()
    assert store.markets() == []
    store.close()


@pytest.mark.parametrize("count", [0, 1, 2, BATCH_MAX, BATCH_MAX + 1, 3 * BATCH_MAX])
def test_batches_are_all_of_it_in_order(count):
    sent = list(in_batches(range(count)))
    assert [msg for told in sent for msg in each_of(told)] == list(range(count))
    assert all(len(each_of(told)) <= BATCH_MAX for told in sent)
    assert len(sent) == -(-count // BATCH_MAX)
