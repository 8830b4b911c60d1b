"""What paper markets know on disk: a kill at any time forgets nothing that was told."""

from __future__ import annotations

import sqlite3
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from piker.clearing import PaperMarket, PaperRules, _paper_store
from piker.clearing._paper_desk import Desk
from piker.clearing._paper_store import VERSION, EndedOrder, PaperStore
from piker.errors import StoreDamaged, StoreFull, StoreTooNew
from piker.msgs import BrokerdFill, BrokerdStatus
from tests.clearing._paper import MKT, MS, order
from tests.clearing.test_match_model import Play, scripts

RULES = PaperRules(latency_ns=2 * MS, cancel_latency_ns=MS, trade_lag_ns=3 * MS)


class Dead(Exception):
    """The process is killed between the disk and who is told."""


class Place:
    """A desk whose process is killed at times, and what it told until then."""

    def __init__(self, path) -> None:
        self.path = path
        self.told: list = []
        self.lost: list = []
        self.is_dying = ""
        self.position = Decimal(0)
        self.store = PaperStore(path)
        self.desk = self._new()
        self.desk.mkt, self.desk.market = MKT, PaperMarket(MKT, RULES)

    def _new(self) -> Desk:
        return Desk(MKT.fqme, RULES, self.store, self._hear, lambda _: self.position)

    def _hear(self, answers) -> None:
        if self.is_dying == "early":
            raise Dead
        self.store.commit()
        if self.is_dying:
            self.lost = answers
            raise Dead
        self.told += answers

    def kill(self) -> None:
        """Another process opens what is on disk; what wasn't committed is gone."""
        self.is_dying = ""
        self.store.drop_all()
        self.store = PaperStore(self.path)
        self.desk = self._new()
        self.position = self.held()
        for saved in self.store.markets():
            again = self.desk.restore(saved)
            self.check_replayed(again)
            self.position = self.held()
            self.desk.take_up()
        if self.desk.market is None:
            self.desk.mkt = MKT
            self.desk.market = PaperMarket(MKT, RULES, position=self.position)
            self.desk._input("connection_lost")

    def check_replayed(self, again) -> None:
        """What is played again is what was told, or what was about to be."""
        self.told += self.lost
        known = {msg.tid: msg for msg in self.fills()}
        replayed = {msg.tid: msg for msg in again if isinstance(msg, BrokerdFill)}
        assert all(known[tid] == msg for tid, msg in replayed.items())
        for msg in self.lost:
            assert not isinstance(msg, BrokerdFill) or msg.tid in replayed
        self.lost = []

    def fills(self) -> list[BrokerdFill]:
        return [msg for msg in self.told if isinstance(msg, BrokerdFill)]

    def statuses(self) -> dict[str, BrokerdStatus]:
        """Return the newest status told of each order that was taken."""
        return {msg.oid: msg for msg in self.told if isinstance(msg, BrokerdStatus)}

    def check(self) -> None:
        """What is on disk is what was told."""
        filled: dict[str, Decimal] = {}
        tids = [msg.tid for msg in self.fills()]
        assert len(set(tids)) == len(tids)
        for msg in self.fills():
            filled[msg.oid] = filled.get(msg.oid, Decimal(0)) + msg.size
        live = {msg.oid: msg for msg in self.desk.market.open_orders()}
        for oid, told in self.statuses().items():
            ended = self.store.ended(oid)
            if told.status in ("closed", "canceled"):
                assert oid not in live
                assert ended.status.status == told.status
                assert ended.status.filled == filled.get(oid, 0)
            else:
                assert ended is None
                assert live[oid].filled == filled.get(oid, 0)
                assert (live[oid].rev, live[oid].size) == (told.rev, told.size)
        assert self.desk.market.state.position * MKT.size_tick == self.held()

    def held(self) -> Decimal:
        """Return the position that the fills come to: what the ledger would say."""
        sizes = (msg.size if msg.action == "buy" else -msg.size for msg in self.fills())
        return sum(sizes, Decimal(0))


@settings(max_examples=150)
@given(
    script=scripts,
    kills=st.sets(st.integers(0, 120), max_size=4),
    deaths=st.sets(st.integers(-120, 120), max_size=30),
    inputs_max=st.sampled_from([3, 20, 5000]),
)
def test_a_kill_at_any_time_forgets_nothing_that_was_told(
    tmp_path_factory, script, kills, deaths, inputs_max
):
    place = Place(tmp_path_factory.mktemp("paper") / "state" / "sim.sqlite")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("piker.clearing._paper_desk._INPUTS_MAX", inputs_max)
        for i, (method, args) in enumerate(Play(RULES).inputs(script)):
            now_ns, *told = args
            place.is_dying = "late" if i in deaths else "early" if -i in deaths else ""
            try:
                place.desk._input(method, *(told or [None]), now_ns)
            except Dead:
                kills = kills | {i}
            place.is_dying = ""
            if i in kills:
                place.kill()
                place.check()
                place.desk._input("connection_back", None, now_ns)
        place.kill()
        place.check()
    place.store.close()


def test_while_nothing_lives_nothing_is_written(tmp_path):
    place = Place(tmp_path / "state" / "sim.sqlite")
    for method, args in Play(RULES).inputs([("quote", 0, 1, 1000, 1000)] * 50):
        place.desk._input(method, args[1], args[0])
    assert place.store.inputs(MKT.fqme) == []
    assert place.store.markets() == []
    place.store.close()


def ended(oid="a") -> EndedOrder:
    status = BrokerdStatus(oid=oid, reqid=f"paper.{oid}", status="closed", time_ns=1)
    return EndedOrder(fqme=MKT.fqme, asked=order(oid), status=status)


def test_only_what_is_committed_counts(tmp_path):
    store = PaperStore(tmp_path / "state" / "sim.sqlite")
    store.note_ended(ended("a"))
    store.commit()
    store.note_ended(ended("b"))
    other = PaperStore(store.path)
    assert other.ended("a") == ended("a")
    assert other.ended("b") is None
    other.close()
    store.close()
    again = PaperStore(store.path)
    assert again.ended("b") == ended("b"), "an orderly end commits"
    again.close()
    assert store.path.stat().st_mode & 0o077 == 0 or (
        store.path.parent.stat().st_mode & 0o077 == 0
    )


def test_a_file_of_version_1_is_taken_over(tmp_path):
    path = tmp_path / "state" / "sim.sqlite"
    store = PaperStore(path)
    store.note_ended(ended("a"))
    store.close()
    with sqlite3.connect(path) as db:
        db.execute("ALTER TABLE ended DROP COLUMN time_ns")
        db.execute("PRAGMA user_version = 1")
    db.close()
    store = PaperStore(path)
    assert store.ended("a") == ended("a")
    store.note_ended(ended("b"))
    store.close()


def test_the_oldest_orders_that_are_over_are_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr(_paper_store, "ENDED_KEPT", 2)
    path = tmp_path / "state" / "sim.sqlite"
    store = PaperStore(path)
    for i, oid in enumerate("dcba"):
        over = ended(oid)
        status = msgspec.structs.replace(over.status, time_ns=i)
        store.note_ended(msgspec.structs.replace(over, status=status))
    store.close()
    store = PaperStore(path)
    assert [oid for oid in "abcd" if store.ended(oid)] == ["a", "b"]
    store.close()


def test_a_file_of_a_later_version_is_left_alone(tmp_path):
    path = tmp_path / "state" / "sim.sqlite"
    PaperStore(path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    with pytest.raises(StoreTooNew, match="is of version 3, this piker knows 2"):
        PaperStore(path)


@pytest.mark.parametrize("content", [b"no database" * 999, b"SQLite format 3\0" * 500])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "state" / "sim.sqlite"
    PaperStore(path).close()
    path.write_bytes(content)
    with pytest.raises(StoreDamaged, match="sim.sqlite is damaged") as caught:
        PaperStore(path)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_a_row_that_is_no_order_is_damage(tmp_path):
    path = tmp_path / "state" / "sim.sqlite"
    store = PaperStore(path)
    store._db.execute("INSERT INTO ended VALUES ('a', 'f', x'00', x'00', 1)")
    store.close()
    store = PaperStore(path)
    with pytest.raises(StoreDamaged):
        store.ended("a")
    store.close()


def test_a_full_disk_is_said(tmp_path):
    store = PaperStore(tmp_path / "state" / "sim.sqlite")
    store._db.execute("PRAGMA max_page_count = 10")
    with pytest.raises(StoreFull, match="full"):
        for i in range(1000):
            store.note_ended(ended(f"o{i}"))
            store.commit()
    store._db.execute("PRAGMA max_page_count = 1000")
    store.note_ended(ended("later"))
    store.close()
    again = PaperStore(store.path)
    assert again.ended("o0") is not None
    assert again.ended("later") is None, "it might come of what isn't there"
    again.close()
