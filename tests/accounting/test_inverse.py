"""Inverse markets and settlements: sizes in USD, money in coins, each paid once."""

from __future__ import annotations

from decimal import Decimal as D  # noqa: N817
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from piker.accounting import (
    Transaction,
    positions_of,
)
from piker.accounting._audit import recount
from piker.accounting._by_hand import read_any
from piker.accounting._lines import read_lines, table_text
from piker.accounting._position import InversePosition
from piker.accounting._transaction import fault_of
from piker.errors import LedgerError

FQME = "btcusd.perp.sim"
NS = 10**9
#: Of a coin: more than all roundings of fractions at the 40th digit.
CLOSE = Fraction(1, 10**30)


def txn(size, price, cost=0, at=0, **kwargs) -> Transaction:
    return Transaction(
        tid=f"t{at}", fqme=FQME, size=D(str(size)), price=D(str(price)),
        cost=D(str(cost)), time_ns=at * NS, **{"inverse": True, **kwargs},
    )  # fmt: skip


def settlement(price, cost=0, at=0, **kwargs) -> Transaction:
    return txn(0, price, cost, at, etype="settlement", **kwargs)


def test_what_an_inverse_contract_earns_is_coins():
    """Deribit's own example: 1000 USD bought at 10,000 and sold at 12,500."""
    position = positions_of([txn(1000, 10_000), txn(-1000, 12_500, at=1)])[FQME]
    assert position.realised == D("0.02")
    short = positions_of([txn(-1000, 10_000), txn(1000, 12_500, at=1)])[FQME]
    assert short.realised == D("-0.02")


def test_the_mean_price_is_the_harmonic_one():
    position = positions_of([txn(1000, 10_000), txn(1000, 40_000, at=1)])[FQME]
    assert position.ppu == D(16_000)
    assert position.unrealised(D(16_000)) == 0
    assert position.unrealised(D(20_000)) == D("0.025")
    assert position.bep == D(16_000)


def test_fees_are_coins_and_move_the_price_of_breaking_even():
    position = InversePosition(FQME)
    position.add(txn(1000, 10_000, "0.001"))
    assert position.realised == D("-0.001")
    even = position.bep_exact
    assert even > 10_000
    rest = Fraction(1000, 10_000) - 1000 / even - Fraction(1, 1000)
    assert abs(rest) < CLOSE
    hopeless = positions_of([txn(1000, 10_000, "0.2")])[FQME]
    assert hopeless.bep == 0, "1000 USD can't earn 0.2 coins from 0.1 at any price"


sizes = st.integers(-500, 500).filter(bool).map(lambda n: D(10 * n))
prices = st.integers(1, 4 * 10**6).map(lambda n: D(n) / 2)
fees = st.integers(-(10**6), 10**6).map(lambda n: D(n).scaleb(-8))


def told(draws) -> list[Transaction]:
    return [
        settlement(price, fee, at) if settles else txn(size, price, fee, at)
        for at, (size, price, fee, settles) in enumerate(draws)
    ]


draws = st.lists(st.tuples(sizes, prices, fees, st.booleans()), min_size=1, max_size=25)


@given(draws, prices)
def test_nothing_is_earned_or_lost_on_the_way(drawn, last):
    """All coins there are: what each trade was worth, less fees, closed at last."""
    txns = told(drawn)
    position = positions_of(txns)[FQME]
    coins = sum(
        (Fraction(one.size) / Fraction(one.price) for one in txns if one.size),
        Fraction(0),
    )
    paid = sum((Fraction(one.cost) for one in txns), Fraction(0))
    held = Fraction(position.size) / Fraction(last)
    whole = position.realised_exact + position.unrealised_exact(last)
    assert abs(whole - (coins - held - paid)) < CLOSE
    if position.size:
        assert abs(position.unrealised_exact(position.ppu)) < Fraction(1, 10**20)


@given(draws)
def test_an_audit_finds_the_same(drawn):
    txns = told(drawn)
    position, again = positions_of(txns)[FQME], recount(txns)[FQME]
    for name in ("ppu", "realised", "bep"):
        value, wanted = getattr(position, name), getattr(again, name)
        assert abs(value - wanted) <= D("1e-25") * max(1, abs(wanted)), name


@given(draws)
def test_a_linear_market_is_settled_too(drawn):
    linear = [
        Transaction(
            tid=one.tid, fqme=FQME, size=one.size, price=one.price, cost=one.cost,
            time_ns=one.time_ns, etype=one.etype,
        )
        for one in told(drawn)
    ]  # fmt: skip
    position, again = positions_of(linear)[FQME], recount(linear)[FQME]
    money = -sum((one.size * one.price + one.cost for one in linear), D(0))
    at = D(17)
    whole = position.realised_exact + position.unrealised_exact(at)
    assert whole == Fraction(money) + Fraction(position.size) * 17
    assert abs(position.realised - again.realised) < D("1e-15")


def test_a_settlement_pays_what_is_held_has_earned_and_funding():
    position = InversePosition(FQME)
    position.add(txn(1000, 10_000))
    assert position.realised == 0
    position.add(settlement(12_500, "-0.0001", 1))
    assert position.realised == D("0.0201")
    assert position.ppu == D(12_500)
    position.add(txn(-1000, 12_500, at=2))
    assert position.realised == D("0.0201"), "it isn't earned twice"
    position.add(settlement(9_000, "0.0002", 3))
    assert position.realised == D("0.0199"), "nothing is held: funding alone"


def test_a_market_stays_as_it_is():
    position = InversePosition(FQME)
    position.add(txn(10, 100))
    with pytest.raises(LedgerError, match="one is inverse, the other isn't"):
        position.add(txn(10, 100, at=1, inverse=False))
    assert position.trades == 1


def test_what_cannot_be_is_refused():
    assert fault_of(txn(10, 0))[0] == "price"
    assert fault_of(txn(10, -5))[0] == "price"
    assert fault_of(settlement(0))[0] == "price"
    assert fault_of(txn(10, 100, etype="settlement"))[0] == "size"
    assert fault_of(settlement(0, inverse=False)) is None
    assert fault_of(settlement(100)) is None


def test_a_ledger_keeps_them(tmp_path):
    txns = [txn(1000, 10_000, "0.001"), settlement(12_500, "-0.0001", 1)]
    text = "".join(map(table_text, txns))
    assert read_lines(text, lambda _: True) == txns
    assert read_any(text, tmp_path, lambda _: "") == txns
    assert "inverse = true" in text
    plain = txn(1, 2, inverse=False)
    assert "inverse" not in table_text(plain)
