"""Orders, answers, fills, errors, crashes and lost lines at random, against a broker.

Whatever happens: each order is at its broker once at most and none that was taken is
forgotten, a dark that saw its cross is sent and one that didn't isn't, an order whose
end was wanted ends, and what emsd counts as filled is what the ledger has, exactly.
"""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from piker.clearing._broker_line import BrokerLine
from piker.clearing._journal import open_journal
from piker.clearing._market_state import MarketState
from piker.clearing._router import Origin, Outlets, Router
from piker.config import RiskConf
from piker.errors import TransportClosed
from piker.msgs import Cancel, Edit, Error, Order, Status, Tick
from tests.clearing._broker import FQME, Broker
from tests.clearing._orders import MKT

DEST = "paperboi.sim"
LAX = RiskConf(max_orders_per_s=0, max_open_orders=0, price_band_pct=0)
ENDED = ("closed", "canceled", "error", "triggered")


class Machine:
    """emsd's core between clients and a broker, all of them at random."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        # in memory: hundreds of examples wait for no disk
        self.folder = TemporaryDirectory(prefix="piker-router-", dir="/dev/shm")
        self.path = Path(self.folder.name) / "ems" / "journal.sqlite"
        self.broker = Broker()
        self.told: dict[str, Status] = {}
        self.orders: dict[str, Order] = {}
        self.wanted_end: set[str] = set()
        self.armed: dict[str, object] = {}
        self.crossed: set[str] = set()
        self.errors: list[Error] = []
        self.price = Decimal(100)
        self.boot()

    def close(self):
        self._journal.__exit__(None, None, None)
        self.folder.cleanup()

    # -- the parts --------------------------------------------------------------------

    def boot(self):
        self._journal = open_journal(self.path)
        journal = self._journal.__enter__()
        self.router = Router(
            journal, Outlets(request=self.request, tell=self.hear), risk=LAX
        )
        state = MarketState(mkt=MKT)
        state.down = ""
        self.router.watch(FQME, state)
        self.line = BrokerLine(DEST, self.router, None, lambda: None)
        self.see_price()

    def see_price(self):
        """Have emsd see the market's price: what waits for it is sent, nothing else."""
        waiting = [
            oid
            for oid in self.armed
            if (one := self.router.dialogs.get(oid)) and one.state == "dark"
        ]
        self.router.ticks(FQME, self.tick(), float(self.price))
        for oid in waiting:
            way, level = self.armed[oid]
            reached = self.price >= level if way == "above" else self.price <= level
            state = self.router.find(oid).state
            assert (state != "dark") == reached, (way, level, self.price)
            if reached:
                self.crossed.add(oid)

    def request(self, dialog, what):
        self.line.request(dialog, what)

    def hear(self, msg):
        if isinstance(msg, Status):
            self.told[msg.oid] = msg

    def tick(self):
        return [Tick("trade", float(self.price), 1.0, 0)]

    def send(self, msg):
        self.router.command(msg, Origin(self.errors.append))

    # -- clients ----------------------------------------------------------------------

    def new_order(self, dark):
        oid = f"o{len(self.orders)}"
        price = self.price + self.rng.randint(-30, 30) * Decimal("0.5")
        order = Order(
            oid=oid,
            action=self.rng.choice(["buy", "sell"]),
            symbol=FQME,
            size=Decimal(self.rng.randint(1, 5)),
            price=price,
            exec_mode="dark" if dark else "live",
            tif=self.rng.choice(["gtc", "gtc", "gtc", "ioc"]) if not dark else "gtc",
        )
        self.orders[oid] = order
        if dark:
            self.armed[oid] = ("above" if price >= self.price else "below", price)
        return order

    def submit_live(self):
        self.send(self.new_order(dark=False))

    def submit_dark(self):
        self.send(self.new_order(dark=True))

    def submit_again(self):
        before = dict(self.told)
        self.send(self.rng.choice(list(self.orders.values())))
        assert before.keys() == self.told.keys()

    def edit(self):
        oid = self.rng.choice(list(self.orders))
        dialog = self.router.find(oid)
        if dialog is None:
            return
        size = Decimal(self.rng.randint(1, 6)) if self.rng.random() < 0.5 else None
        price = None
        if dialog.state != "dark" or size is None:
            price = self.price + self.rng.randint(-20, 20) * Decimal("0.5")
        was_dark = dialog.state == "dark"
        failed = len(self.errors)
        self.send(
            Edit(oid=oid, edit_id=f"e{self.rng.random()}", price=price, size=size)
        )
        if was_dark and price is not None and len(self.errors) == failed:
            self.armed[oid] = ("above" if price >= self.price else "below", price)

    def cancel(self):
        oid = self.rng.choice(list(self.orders))
        failed = len(self.errors)
        self.send(Cancel(oid=oid))
        if len(self.errors) == failed:
            self.wanted_end.add(oid)

    # -- the market -------------------------------------------------------------------

    def move(self):
        self.price += self.rng.randint(-12, 12) * Decimal("0.5")
        self.see_price()

    # -- the broker and the line ------------------------------------------------------

    @property
    def is_up(self):
        return not self.line.down

    def connect(self):
        self.broker.lose()
        self.line._note_up(self.broker.init())

    def lose_line(self):
        self.line._note_down(TransportClosed("lost"))
        self.line._out.clear()
        self.broker.lose()

    def carry(self):
        self.broker.inbox.append(self.line._out.pop(0))

    def work(self):
        self.broker.take_one()

    def answer(self):
        self.line.take(self.broker.outbox.popleft())

    def fill(self):
        oid = self.rng.choice(self.broker.open_oids())
        self.broker.fill(oid, Decimal(self.rng.randint(1, 3)))

    def end(self):
        if self.rng.random() < 0.2:
            self.broker.end(self.rng.choice(self.broker.open_oids()))

    def arrive(self):
        if self.rng.random() < 0.2:
            self.broker.arrive()

    def crash(self):
        """End emsd as SIGKILL does; what it wrote is there."""
        if self.rng.random() < 0.3:
            self._journal.__exit__(None, None, None)
            self.broker.lose()
            self.boot()

    # -- what holds -------------------------------------------------------------------

    def check_step(self):
        """Look at what may not be even for a moment; at some orders only."""
        oids = [msg.oid for msg in self.broker.received]
        assert len(oids) == len(set(oids))
        for oid in oids:
            assert oid not in self.armed or oid in self.crossed
        if self.told:
            for oid in self.rng.choices(list(self.told), k=3):
                assert self.router.find(oid) is not None

    def settle(self):
        """Let all that is under way arrive."""
        for _ in range(10_000):
            if not self.is_up:
                self.connect()
            if self.line._out:
                self.carry()
            elif self.broker.inbox:
                self.work()
            elif self.broker.outbox:
                self.answer()
            elif any(one.is_late for one in self.broker.orders.values()):
                self.broker.arrive()
            else:
                return
        pytest.fail("it never comes to rest")

    def check_all(self):
        by_oid: dict[str, Decimal] = {}
        for done in self.broker.ledger:
            by_oid[done.oid] = by_oid.get(done.oid, Decimal(0)) + done.size
        held = self.router.held.get(("paper", FQME), Decimal(0))
        assert held == self.broker.position
        for oid in self.told:
            dialog = self.router.find(oid)
            assert dialog.filled == by_oid.get(oid, Decimal(0))
            assert dialog.state not in ("submitting", "editing", "canceling"), dialog
            there = self.broker.orders.get(oid)
            if there is not None:
                assert dialog.has_ended == (there.status != "open"), (dialog, there)
                if dialog.state == "open":
                    assert dialog.order.size == there.size
                    assert dialog.price_to_send == there.price
            if oid in self.wanted_end:
                assert dialog.has_ended, dialog
            if oid in self.crossed:
                ended_before = there is None and dialog.has_ended
                assert there is not None or ended_before
        for oid in self.told.keys() & self.orders.keys():
            assert (oid in self.router.dialogs) == (not self.router.find(oid).has_ended)


#: What may happen, and when it can.
STEPS = {
    Machine.submit_live: lambda m: True,
    Machine.submit_dark: lambda m: True,
    Machine.submit_again: lambda m: m.orders,
    Machine.edit: lambda m: m.orders,
    Machine.cancel: lambda m: m.orders,
    Machine.move: lambda m: True,
    Machine.connect: lambda m: not m.is_up,
    Machine.lose_line: lambda m: m.is_up,
    Machine.carry: lambda m: m.is_up and m.line._out,
    Machine.work: lambda m: m.broker.inbox,
    Machine.answer: lambda m: m.is_up and m.broker.outbox,
    Machine.fill: lambda m: m.broker.open_oids(),
    Machine.end: lambda m: m.broker.open_oids(),
    Machine.arrive: lambda m: True,
    Machine.crash: lambda m: True,
}


@pytest.mark.parametrize("part", range(4))
@settings(max_examples=100, database=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**32),
    never=st.sets(st.sampled_from(list(STEPS)), max_size=8),
    turns=st.binary(min_size=250, max_size=250),
)
def test_11_and_12_hold_whatever_happens_in_whatever_order(part, seed, never, turns):
    """In four parts of 100 runs of 250 steps.

    A byte says which of the steps that can be is next. hypothesis' own machines, which
    draw some ten times for each step, took twice as long.
    """
    steps = {step: can for step, can in STEPS.items() if step not in never}
    machine = Machine(seed)
    try:
        for turn in turns:
            if can_be := [step for step, can in steps.items() if can(machine)]:
                can_be[turn % len(can_be)](machine)
                machine.check_step()
        machine.settle()
        machine.check_all()
    finally:
        machine.close()
