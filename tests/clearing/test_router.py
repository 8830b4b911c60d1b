"""emsd's core where things are refused, run out, or can't be written."""

from __future__ import annotations

import resource
from contextlib import contextmanager

import msgspec
import pytest

from piker.clearing._broker_line import BrokerLine
from piker.clearing._dialog import Happening
from piker.clearing._journal import open_journal
from piker.clearing._market_state import MarketState
from piker.clearing._router import Origin, Outlets, Router
from piker.config import RiskConf
from piker.errors import TransportClosed
from piker.msgs import (
    NS,
    BrokerdFill,
    Cancel,
    Edit,
    Error,
    SessionClock,
    Status,
    Tick,
)
from tests.clearing._broker import Broker
from tests.clearing._orders import MKT, D, order

FQME = MKT.fqme
ORIGIN_NS = 1_700_000_000 * NS


class Bench:
    """A router with a market at full speed: its time is that of its ticks."""

    def __init__(self, journal, **risk) -> None:
        self.told, self.sent, self.refused = [], [], []
        self.router = Router(
            journal,
            Outlets(request=lambda d, what: self.sent.append((d.oid, what)),
                    tell=self.told.append),
            risk=RiskConf(**risk),
        )  # fmt: skip
        clock = SessionClock(name="s", origin_ns=ORIGIN_NS, started_ns=0, speed=0.0)
        state = MarketState(mkt=MKT, clock=clock, down="")
        self.router.watch(FQME, state)
        self.tick(100, 0)

    def tick(self, price, after_s) -> None:
        ticks = [Tick("trade", float(price), 1.0, ORIGIN_NS + after_s * NS)]
        self.router.ticks(FQME, ticks, float(price))

    def ask(self, msg) -> Error | None:
        before = len(self.refused)
        self.router.command(msg, Origin(self.refused.append))
        return self.refused[-1] if len(self.refused) > before else None

    def resps(self, oid="o1") -> list[str]:
        return [m.resp for m in self.told if isinstance(m, Status) and m.oid == oid]


@pytest.fixture
def journal(tmp_path):
    with open_journal(tmp_path / "ems" / "journal.sqlite") as journal:
        yield journal


@contextmanager
def full_disk(journal):
    """Let no file of this process grow beyond what the journal's log has by now."""
    while (size := log_of(journal).stat().st_size) < 500_000:
        journal.write(notes={"x": f"{size}," * 10_000})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def log_of(journal):
    return journal.path.with_name(journal.path.name + "-wal")


def test_without_room_orders_are_refused_and_cancels_work(journal):
    bench = Bench(journal)
    for oid, mode in (("live", "live"), ("dark", "dark"), ("near", "dark")):
        price = "99.5" if oid == "near" else "90"
        assert bench.ask(order(oid=oid, price=price, exec_mode=mode)) is None
    with full_disk(journal):
        refused = bench.ask(order(oid="late"))
        assert refused.gate == "journal"
        assert "free some space" in refused.reason
        assert bench.router.find("late") is None
        refused = bench.ask(Edit(oid="dark", edit_id="e", price=D("91")))
        assert refused.gate == "journal"
        assert bench.router.dialogs["dark"].order.price == D("90")
        bench.tick(99, 1)  # reaches what can't be journaled: it isn't sent
        assert bench.resps("near") == ["dark_open"]
        assert bench.ask(Cancel(oid="live")) is None
        assert bench.ask(Cancel(oid="dark")) is None
        assert bench.resps("dark") == ["dark_open", "canceled"]
        assert bench.router.find("dark").state == "canceled"
        assert [what for oid, what in bench.sent if oid == "live"] == ["order"]
    bench.tick(99, 2)  # there is room again, and it is reached again
    assert bench.resps("near") == ["dark_open", "triggered"]
    assert journal.get("dark").state == "canceled"  # what wasn't written is, now
    assert journal.get("live").cancel_called
    assert [one.oid for one in journal.tells_since(0)].count("dark") == 2


def test_orders_end_by_the_clock_of_their_market(journal):
    bench = Bench(journal)
    until = {"tif": "gtd", "expires_ns": ORIGIN_NS + 60 * NS}
    assert bench.ask(order(exec_mode="dark", price="90", **until)) is None
    assert bench.ask(order(oid="o2", price="90", tif="day")) is None
    assert bench.ask(order(oid="o3", price="90")) is None
    bench.tick(100, 59)
    assert bench.resps() == ["dark_open"]
    bench.tick(100, 60)
    assert bench.resps() == ["dark_open", "canceled"]
    assert bench.told[-1].reason == "it has expired"
    bench.tick(100, 86_400)
    assert bench.router.dialogs["o2"].cancel_called
    assert not bench.router.dialogs["o3"].cancel_called
    refused = bench.ask(order(oid="o4", exec_mode="dark", price="90", **until))
    assert refused.gate == "tif"


def test_more_orders_than_can_be_meant_are_refused(journal):
    bench = Bench(journal, max_orders_per_s=2, max_open_orders=3)
    gates = [bench.ask(order(oid=f"o{i}", price="90")) for i in range(5)]
    assert [one and one.gate for one in gates[:3]] == [None, None, None]
    assert gates[4].gate in ("rate", "max_open_orders")
    assert bench.ask(Cancel(oid="o0")) is None


def test_a_dark_that_no_gate_lets_through_is_told(journal):
    bench = Bench(journal, max_open_orders=1)
    assert bench.ask(order(oid="rests", price="80")) is None
    assert bench.ask(order(price="90", exec_mode="dark")) is None
    bench.tick(89, 1)
    assert bench.resps() == ["dark_open", "error"]
    assert "open orders at most" in bench.told[-1].reason
    assert bench.router.find("o1").state == "rejected"


def test_a_fill_out_of_turn_is_asked_for_again_and_none_is_booked_twice(journal):
    bench, broker = Bench(journal), Broker()
    line = BrokerLine("paperboi.sim", bench.router, None, lambda: None)
    bench.router.outlets.request = line.request
    line._note_up(broker.init())
    bench.ask(order(size="3"))
    for request in line._out:
        broker.inbox.append(request)
    line._out.clear()
    while broker.inbox:
        broker.take_one()
    broker.fill("o1", D(1))
    broker.fill("o1", D(1))
    said = list(broker.outbox)
    broker.outbox.clear()
    first = next(msg for msg in said if isinstance(msg, BrokerdFill))
    for msg in said:
        if msg is not first:  # lost on its way
            line.take(msg)
    assert bench.router.find("o1").filled == 0
    broker.inbox.extend(line._out)
    while broker.inbox:
        broker.take_one()
    while broker.outbox:
        line.take(broker.outbox.popleft())
    line.take(first)
    assert bench.router.find("o1").filled == 2
    assert bench.resps().count("fill") == 2


def test_a_paper_session_reaches_no_live_account(journal):
    bench = Bench(journal)
    refused = bench.ask(order(account="sim.main"))
    assert refused.gate == "account"
    assert "no account 'sim.main'; there is: paper" in refused.reason
    assert not bench.sent


def test_a_reducing_dark_waits_until_positions_are_known(journal):
    """What isn't known yet is not 0: a stop that fires at boot isn't refused."""
    bench = Bench(journal)
    stop = order(action="sell", price="90", exec_mode="dark", reduce_only=True)
    assert bench.ask(stop) is None
    bench.tick(89, 1)
    assert bench.resps() == ["dark_open"]
    bench.tick(95, 2)  # it has come back; the cross was seen
    refused = bench.ask(order(oid="o2", action="sell", reduce_only=True))
    assert "isn't known yet" in refused.reason
    bench.router.settled.add("paperboi.sim")
    bench.router.held["paper", FQME] = D(2)
    bench.tick(95, 3)
    assert bench.resps() == ["dark_open", "triggered"]
    assert bench.sent == [("o1", "order")]


def test_what_a_halt_set_aside_is_not_taken_for_seen(journal):
    """Else the next emsd would not look for it."""
    bench = Bench(journal)
    assert bench.ask(order(price="90", exec_mode="dark")) is None
    bench.router.halt("lunch")
    bench.tick(89, 10)
    seen_ns = bench.router.markets[FQME].seen_ns
    bench.tick(100, 20)
    assert bench.router.markets[FQME].seen_ns == seen_ns < ORIGIN_NS + 10 * NS
    bench.router.resume()
    assert "come back" in bench.told[-1].reason
    bench.tick(100, 21)
    assert bench.router.markets[FQME].seen_ns == ORIGIN_NS + 21 * NS


def test_what_has_expired_is_ended_though_the_broker_refuses_at_first(journal):
    bench = Bench(journal)
    until = {"tif": "gtd", "expires_ns": ORIGIN_NS + 60 * NS}
    assert bench.ask(order(price="90", **until)) is None
    router = bench.router
    router.apply(router.dialogs["o1"], Happening(kind="ack", reqid="r"))
    bench.tick(100, 60)
    router.apply(
        router.dialogs["o1"], Happening(kind="refused_cancel", reason="too busy")
    )
    assert router.dialogs["o1"].state == "open"
    bench.tick(100, 66)
    assert [what for _, what in bench.sent] == ["order", "cancel", "cancel"]


def test_orders_expire_in_a_market_that_can_not_be_had(journal):
    bench = Bench(journal)
    until = {"tif": "gtd", "expires_ns": ORIGIN_NS + 60 * NS}
    assert bench.ask(order(price="90", exec_mode="dark", **until)) is None
    late = Bench(journal)
    late.router.markets.clear()
    late.router.expire_unwatched(ORIGIN_NS + 59 * NS)
    assert late.resps() == []
    late.router.expire_unwatched(ORIGIN_NS + 60 * NS)
    assert late.resps() == ["canceled"]


def test_an_old_tick_in_a_fresh_batch_fires_nothing(journal):
    bench = Bench(journal)
    state = bench.router.markets[FQME]
    state.max_age_s = 10.0
    assert bench.ask(order(price="90", exec_mode="dark")) is None
    old, new = (
        Tick("trade", p, 1.0, ORIGIN_NS + s * NS) for p, s in ((89.0, 1), (100.0, 300))
    )
    bench.router.ticks(FQME, [old, new], 100.0)
    assert bench.resps() == ["dark_open"]
    assert state.skipped


def up(bench, broker) -> BrokerLine:
    line = BrokerLine("paperboi.sim", bench.router, None, lambda: None)
    bench.router.outlets.request = line.request
    line._note_up(broker.init())
    return line


def deliver(line, broker) -> None:
    while line._out or broker.inbox or broker.outbox:
        broker.inbox.extend(line._out)
        line._out.clear()
        while broker.inbox:
            broker.take_one()
        while broker.outbox:
            line.take(broker.outbox.popleft())


@pytest.mark.parametrize("how", ["split", "removed", "put before"])
def test_a_ledger_that_was_edited_costs_no_fill_and_doubles_none(journal, how):
    """Its serials move; what is booked already is known by its trade id."""
    bench, broker = Bench(journal), Broker()
    line = up(bench, broker)
    bench.ask(order(size="3"))
    deliver(line, broker)
    broker.fill("o1", D(1))
    deliver(line, broker)
    line._note_down(TransportClosed("lost"))
    if how == "split":  # a table that is no fill: a serial without one
        broker.gap = 1
    elif how == "removed":
        broker.gap = -1
    else:
        broker.gap = 1
        broker.tell_again = True
    line._note_up(broker.init())
    deliver(line, broker)
    broker.fill("o1", D(1))
    deliver(line, broker)
    assert bench.router.find("o1").filled == 2


@pytest.mark.parametrize("size", ["NaN", "-1", "0", "Infinity"])
def test_an_odd_fill_books_nothing_and_ends_nothing(journal, size):
    bench, broker = Bench(journal), Broker()
    line = up(bench, broker)
    bench.ask(order(size="3"))
    deliver(line, broker)
    broker.fill("o1", D(1))
    odd = [msg for msg in broker.outbox if isinstance(msg, BrokerdFill)]
    broker.outbox.clear()
    line.take(msgspec.structs.replace(odd[0], size=D(size)))
    assert bench.router.find("o1").filled == 0
    broker.fill("o1", D(1))
    deliver(line, broker)
    assert bench.router.find("o1").filled == 1


def test_a_daemon_speaks_of_its_own_accounts_only(journal):
    bench, broker = Bench(journal), Broker()
    line = up(bench, broker)
    bench.ask(order(size="3"))
    deliver(line, broker)
    other = BrokerLine("brokerd.kraken", bench.router, None, lambda: None)
    other._note_up(broker.init())
    assert other.accounts == ()
    broker.end("o1")
    other.take(broker.outbox.popleft())
    assert bench.router.find("o1").state == "open"
