"""Positions: against sums made another way, for sequences by hand and at random."""

from __future__ import annotations

import random
from decimal import Decimal as D, getcontext, localcontext  # noqa: N817
from fractions import Fraction

import pytest
from hypothesis import given, settings, strategies as st
from msgspec.structs import replace

from piker.accounting import (
    Position,
    Transaction,
    of_fill,
    position_for,
    positions_of,
    to_fill,
)
from piker.accounting._audit import recount
from piker.accounting._position import bounded
from piker.errors import LedgerError
from piker.msgs import BrokerdFill
from tests.accounting._oracle import Oracle

FQME = "mnq.cme.20261218.sim"
NS = 10**9


def txn(size, price=100, cost=0, at=0, **kwargs) -> Transaction:
    return Transaction(
        tid=f"t{at}",
        fqme=FQME,
        size=D(str(size)),
        price=D(str(price)),
        cost=D(str(cost)),
        time_ns=at * NS,
        **{"multiplier": D(1), **kwargs},
    )


def split(ratio: str, size=0, cost=0, **kwargs) -> Transaction:
    return txn(size, 0, cost, etype="split", ratio=ratio, **kwargs)


def transfer(size, price=100, cost=0) -> Transaction:
    return txn(size, price, cost, etype="transfer")


def expiry(price, size=0, cost=0) -> Transaction:
    return txn(size, price, cost, etype="expiry")


def late_fee(cost) -> Transaction:
    return txn(0, 0, cost, etype="fee")


def check(position: Position, oracle: Oracle) -> None:
    assert Fraction(position.size) == oracle.size
    assert Fraction(position.fees) == oracle.fees
    assert position.ppu_exact == oracle.ppu
    assert position.realised_exact == oracle.realised
    assert position.bep_exact == oracle.bep
    for price in (D(0), D("101.25"), D(-3)):
        assert position.unrealised_exact(price) == oracle.unrealised(Fraction(price))


def run(txns: list[Transaction]) -> Position:
    """Book all, compared after each; return what they come to."""
    position, oracle = Position(FQME), Oracle()
    for seq, each in enumerate(txns, 1):
        position.add(each, seq)
        oracle.add(each)
        check(position, oracle)
    whole = positions_of(txns)
    if txns:
        check(whole[FQME], oracle)
        assert whole[FQME].seq == position.seq == len(txns)
    return position


#: By upstream's sizes; prices and fees are ours, of odd digits.
UPSTREAM = [
    ["+.001"],
    ["-.001", "+.001"],
    [
        "+.001", "+.002", "-.001", "+.0015", "+.001", "+.002", "-.001", "-.025",
        "-.0195", "+.001", "+.038",
    ],
]  # fmt: skip


@pytest.mark.parametrize("sizes", UPSTREAM)
@pytest.mark.parametrize("fee", ["0", "0.0137", "-0.003"])
def test_sequences_of_sizes_that_are_known_elsewhere(sizes, fee):
    txns = [txn(s, D(100) + D("1.37") * i, fee, i) for i, s in enumerate(sizes)]
    position = run(txns)
    assert position.size == sum(map(D, sizes))
    if len(sizes) > 1:
        assert position.is_flat
        assert position.ppu == position.bep == 0
        assert position.realised == -sum(t.size * t.price + t.cost for t in txns)


#: One string a case: ``size@price`` and ``~fee``; ``x2:1`` a split; ``t`` a transfer;
#: ``e`` an expiry. All at a multiplier of its own where one is named first.
CASES = """
+1@100
-1@100
+1@100 +1@102
-1@100 -1@102
+1@100 +2@101 +3@107
+1@100~1 +2@101~2
+3@100~1 -1@110~1
+3@100~1 -1@110~1 -1@90~1
+3@100~1 -1@110~1 -1@90~1 -1@100~1
+3@100 -1@110 +1@120
+3@100 -1@110 +1@120 -2@90 +5@80
+3@100~.1 -1@110~.1 +1@120~.1 -2@90~.1 +5@80~.1
-3@100~.1 +1@110~.1 -1@120~.1 +2@90~.1 -5@80~.1
+1@100 -2@110
-1@100 +2@110
+1@100~1 -3@110~3
-2@100~1 +7@90~7
+1@100 -2@110 +2@105 -2@107 +1@103
+1@100~.5 -2@110~.5 +2@105~.5 -2@107~.5 +1@103~.5
+7@100 -3@101 +3@102 -3@103 +3@104 -3@105 +3@106
+7@3 -3@7 +3@11 -3@13 +3@17 -3@19 +3@23 -7@29
+0.00000001@65000.01 +0.00000003@65000.02 -0.00000002@65000.03
+1000000000@0.00000001~0.000000000001 -999999999@0.00000003
+1@-37.63 -1@10.01
-1@-37.63 +1@10.01
+1@0 -1@5
+1@100~-0.25 +1@101~-0.25 -1@102~-0.25
m50 +2@17000.25~4.5 -1@17010~2.25
m50 +2@17000.25~4.5 -5@17010.75~11.25
m2 -3@17000.25~1.5 +1@17010~.5 +4@16990~2
m0.1 +3@65000~1 -1@66000~1 +1@64000~1
m100 +1@2.35~.65 e0
m100 -1@2.35~.65 e0
m100 -4@2.35~2.6 e7.1
m50 +2@17000~4 -1@17100~2 e17050~1
m100 +5@2 e3x-2 e0
+10@100 x2:1
+10@100~1 x2:1 -5@60~1
+10@100 +5@120 x3:2 -6@90 +1@95
-10@100 x2:1 +5@45 -5@55
+100@10 x1:10 -5@120 +5@110
+99@10 x1:3 -3@40
+100@10 x1:3s-67~-3.33 -3@31
+10@100 -3@110 x2:1 +4@60 x1:2 -1@130
x2:1 +1@10
t+5@100
t+5@100 -2@110~1 t-1@500
+5@100~1 t-2@1 -1@120~1
+5@100~1 -1@110~1 +1@130~1 t-2@1~1 +3@90~1
+5@100~1 t-5@0 +1@10~1
+5@100 t-7@90 +1@85
-5@100~1 t+2@90 t-1@80 +4@70~1
+1@100 t+1@200 -1@300 t-1@400
t+3@7 -1@11 t-1@0 +1@13 -2@17
+5@100~2 t-7@90~3 +1@85~1 +1@80~1
""".strip().splitlines()


def parse(word: str, at: int, multiplier: D) -> Transaction:
    word, _, fee = word.partition("~")
    more = {"at": at, "multiplier": multiplier}
    if word.startswith("x"):
        ratio, _, size = word[1:].partition("s")
        return split(ratio, size or 0, fee or 0, **more)
    if word.startswith("e"):
        price, _, size = word[1:].partition("x")
        return txn(size or 0, price, fee or 0, etype="expiry", **more)
    kind = "transfer" if word.startswith("t") else "clear"
    size, _, price = word.removeprefix("t").partition("@")
    return txn(size, price, fee or 0, etype=kind, **more)


@pytest.mark.parametrize("case", CASES)
def test_sequences_by_hand(case):
    words = case.split()
    multiplier = D(words.pop(0)[1:]) if words[0].startswith("m") else D(1)
    run([parse(word, at, multiplier) for at, word in enumerate(words)])


def test_there_are_more_than_fifty_of_them():
    assert len(CASES) >= 50
    assert len(set(CASES)) == len(CASES)


def test_numbers_that_anybody_can_check():
    position = run([txn(2, 100, 1), txn(1, 103, 1), txn(-1, 110, 1)])
    assert position.size == 2
    assert position.ppu == 101
    assert position.fees == 3
    assert position.realised == 110 - 101 - 3
    assert position.unrealised(D(105)) == 8
    # 9 were earned and 3 paid, so 2 units may lose 3 each
    assert position.bep == 98
    flipped = run([txn(1, 100, 1), txn(-3, 110, 3)])
    assert (flipped.size, flipped.ppu) == (-2, 110)
    assert flipped.realised == 10 - 4
    assert flipped.bep == 109  # 2 of the fee of 3 are of the short
    assert flipped.ledger_bep == 113
    contract = run([txn(2, 10, multiplier=D(50)), txn(-1, 11, multiplier=D(50))])
    assert contract.realised == 50
    assert contract.unrealised(D(12)) == 100


def test_ppu_moves_only_where_the_size_grows():
    position = Position(FQME)
    for size, price, ppu in (
        (3, 100, 100),
        (-1, 500, 100),
        (2, 120, 110),
        (-3, 1, 110),
        (-1, 1, 0),
        (-1, 7, 7),
        (2, 9, 9),
    ):
        position.add(txn(size, price))
        assert position.ppu == ppu


def test_a_position_knows_where_it_was_opened():
    position = run([txn(1), txn(1), txn(-2), txn(3), txn(-1), txn(-5), txn(-1)])
    assert (position.opened_seq, position.opened_size) == (6, -3)
    assert position.trades == 7
    flat = run([txn(1), txn(-1)])
    assert (flat.opened_seq, flat.opened_size) == (0, 0)


def test_a_split_without_a_decimal_is_refused_and_changes_nothing():
    position = run([txn(100, 10)])
    with pytest.raises(LedgerError, match="no decimal is: write the change"):
        position.add(split("1:3"), 2)
    with pytest.raises(LedgerError, match="close what is gone"):
        position.add(split("1:3", -100), 2)
    assert (position.size, position.ppu, position.seq) == (100, 10, 1)
    position.add(split("1:3", -67, "-3.33"), 2)
    assert (position.size, position.fees) == (33, D("-3.33"))


def test_another_multiplier_is_refused():
    position = run([txn(1, multiplier=D(50))])
    with pytest.raises(LedgerError, match="multiplier 5, those before it 50"):
        position.add(txn(1, multiplier=D(5)), 2)
    assert (position.size, position.seq) == (1, 1)


def test_the_day_of_an_expiry():
    position = run([txn(1)])
    at = 1_797_552_000 * NS  # 2026-12-18T00:00Z
    assert not position.has_expired(at)
    assert not position.has_expired(at + 86_400 * NS - 1)
    assert position.has_expired(at + 86_400 * NS)
    told = run([replace(txn(1), expiry="20270101")])
    assert not told.has_expired(at + 86_400 * NS)
    assert not Position("btcusdt.spot.sim").has_expired(2**62)


def test_what_others_set_for_decimals_changes_nothing():
    with localcontext() as context:
        context.prec = 3
        position = run([txn("123456.789", "98765.4321"), txn("-0.001", "1.00001")])
        assert getcontext().prec == 3
        assert position.ppu == D("98765.4321")


def test_it_is_shown_with_34_digits():
    position = run([txn(1, 100), txn(2, 101)])
    assert position.ppu == D("100.6666666666666666666666666666667")
    message = position.to_msg("sim", "paper", "usd")
    assert message.avg_price == position.ppu
    assert (message.size, message.realized, message.fees) == (3, 0, 0)
    assert (message.symbol, message.seq, message.currency) == (FQME, 2, "usd")


def test_a_fill_and_its_transaction_are_the_same():
    fill = BrokerdFill(
        oid="o", reqid="r", tid="t", seq=7, account="paper", symbol=FQME, action="sell",
        fee=D("0.1"), fee_asset="bnb",
        size=D("1.50"), price=D(3), cost=D("0.1"), time_ns=5, broker_time_ns=6,
        taker=True,
    )  # fmt: skip
    booked = of_fill(fill, D(50), "MNQZ6")
    assert booked.size == D("-1.50")
    assert (booked.multiplier, booked.bs_mktid, booked.time_ns) == (50, "MNQZ6", 6)
    assert to_fill(booked, 7, "paper", 5) == fill


def test_a_fee_that_came_late_is_one_of_what_is_held():
    late = run([txn(2, 100), late_fee(3)])
    at_once = run([txn(2, 100, 3)])
    for key in ("size", "fees", "ppu", "bep", "realised"):
        assert getattr(late, key) == getattr(at_once, key)
    flat = run([txn(2, 100), txn(-2, 110), late_fee(3), txn(1, 50)])
    assert (flat.fees, flat.bep, flat.realised) == (3, 50, 17)


# -- at random ---------------------------------------------------------------------

SIZES = st.decimals(-50, 50, places=3).filter(bool)
PRICES = st.decimals(-5, 200, places=2)
COSTS = st.decimals(-1, 2, places=4)
TRADES = st.builds(txn, SIZES, PRICES, COSTS)
OTHERS = st.one_of(
    st.builds(transfer, SIZES, PRICES, COSTS),
    st.builds(expiry, PRICES),
    st.builds(split, st.sampled_from(["2:1", "3:1", "1:2", "5:4", "1:10"])),
    st.builds(late_fee, COSTS.filter(bool)),
)


@settings(max_examples=100)
@given(st.lists(TRADES | TRADES | TRADES | OTHERS, max_size=16))
def test_any_sequence_equals_the_oracle(txns):
    run(txns)


@pytest.mark.parametrize("seed", range(3))
def test_a_long_life_without_being_flat_stays_within_its_bound(seed):
    """Beyond some hundred digits the mean is rounded; sums never are."""
    draws = random.Random(seed)
    position, size, ppu = Position(FQME), Fraction(0), Fraction(0)
    for i in range(300):
        more, price = D(draws.randint(1, 10**6)) / 1000, D(draws.randint(-99, 10**5))
        ppu = (ppu * size + Fraction(more * price)) / (size + Fraction(more))
        position.add(txn(more, price))
        position.add(txn(-more if i else 0 - more / 2, price + 1))
        size = Fraction(position.size)
    assert ppu.denominator.bit_length() > 2000
    assert len(position._over.as_tuple().digits) < 1000
    assert position.ppu_exact != ppu
    assert abs(position.ppu_exact - ppu) < Fraction(600, 10**40)
    position.add(txn(-position.size, 7))
    assert position.ppu == position.unrealised_exact(D(9)) == 0


def test_a_long_life_was_rounded():
    """Else the test above shows nothing."""
    kept = Fraction(1, 2**511)
    assert bounded(kept) is kept
    long = Fraction(1, 3**400)
    assert bounded(long) != long
    assert abs(bounded(long) - long) <= Fraction(1, 2 * 10**40)


# -- inverse contracts ---------------------------------------------------------------


def inverse(size, price=100, cost=0, at=0, **kwargs) -> Transaction:
    return txn(size, price, cost, at, inverse=True, **kwargs)


def test_an_inverse_contract_earns_coins():
    """By hand: 100 USD at 50 are 2 coins; at 100 they are 1: 1 coin is earned."""
    position = position_for(inverse(100, 50))
    position.add(inverse(100, 50, "0.001"), 1)
    assert (position.size, position.ppu) == (100, 50)
    assert position.basis_exact == 2
    assert position.unrealised(D(100)) == 1
    assert position.unrealised(D(40)) == D("-0.5")
    assert position.realised == D("-0.001")
    # at the price where 100 / x = 2 - 0.001 the fee is earned again
    assert position.bep_exact == Fraction(100) / Fraction("1.999")
    position.add(inverse(300, 150, at=1), 2)
    assert position.ppu == 100  # 400 USD for 4 coins
    position.add(inverse(-200, 200, at=2), 3)
    assert position.realised == D("0.999")  # 200 / 100 - 200 / 200
    assert position.ppu == 100
    position.add(inverse(-400, 50, at=3), 4)
    assert (position.size, position.ppu) == (-200, 50)
    assert position.realised == D("-1.001")  # 200 / 100 - 200 / 50
    assert position.basis_exact == -4
    assert position.unrealised(D(25)) == 4


def test_what_no_price_makes_up_for_has_no_even_price():
    position = position_for(inverse(1))
    position.add(inverse(-100, 100, cost=5), 1)
    position.add(inverse(50, 10, at=1), 2)
    assert position.realised == D("-0.5")  # 50 / 10 - 50 / 100 - 5
    assert position.bep == 50  # 50 / 50 - 50 / 100 is what was lost
    long = position_for(inverse(1))
    long.add(inverse(100, 100, cost=5), 1)
    assert long.bep == long.ledger_bep == 0  # it has cost 5, and is 1 at most


def test_kinds_of_contracts_are_not_mixed():
    position = position_for(inverse(1))
    position.add(inverse(1), 1)
    with pytest.raises(LedgerError, match="one is inverse, the other isn't"):
        position.add(txn(1, at=1), 2)
    assert position.size == 1


class Unit:
    """A transaction of a contract that isn't inverse, and whose unit costs -1 / p."""

    def __init__(self, told: Transaction) -> None:
        self.told = told
        self.price = -1 / Fraction(told.price) if told.price else Fraction(0)

    def __getattr__(self, name: str):
        return getattr(self.told, name)


def near(got: Fraction, wanted: Fraction) -> bool:
    return abs(got - wanted) <= max(1, abs(wanted)) * Fraction(1, 10**30)


def price_of(unit: Fraction) -> Fraction:
    return -1 / unit if unit < 0 else Fraction(0)


SIZES = st.integers(-2000, 2000).filter(bool).map(lambda n: D(n) * 10)
PRICES = st.integers(1, 10**7).map(lambda n: D(n) / 100)
KINDS = st.sampled_from(["clear"] * 6 + ["transfer", "expiry", "fee"])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(SIZES, PRICES, st.integers(-9, 99), KINDS), max_size=30),
    st.sampled_from([D(1), D(10)]),
)
def test_inverse_positions_are_what_units_of_minus_one_by_p_come_to(parts, multiplier):
    """Against the oracle in coins a dollar, and against the audit's own sums."""
    oracle, txns = Oracle(), []
    for at, (size, price, fee, etype) in enumerate(parts):
        told = inverse(
            D(0) if etype in {"fee", "expiry"} else size,
            D(0) if etype == "fee" else price,
            D(fee or 1) / 10**6,
            at,
            multiplier=multiplier,
            etype=etype,
        )
        txns.append(told)
        oracle.add(Unit(told))
        position = positions_of(txns)[FQME]
        assert Fraction(position.size) == oracle.size
        assert Fraction(position.fees) == oracle.fees
        assert near(position.ppu_exact, price_of(oracle.ppu))
        assert near(position.realised_exact, oracle.realised)
        assert near(1 / (position.bep_exact or 1), 1 / (price_of(oracle.bep) or 1))
        for x in (D("0.5"), D(60_000)):
            paid = oracle.unrealised(-1 / Fraction(x))
            assert near(position.unrealised_exact(x), paid)
        counted = recount(txns)[FQME]
        assert near(Fraction(counted.ppu), position.ppu_exact)
        assert near(Fraction(counted.realised), position.realised_exact)
        assert near(1 / (Fraction(counted.bep) or 1), 1 / (position.bep_exact or 1))


def test_a_hundred_thousand_inverse_trades_take_no_longer_each():
    """Fractions of odd prices would grow with each of them."""
    rng = random.Random(5)
    position = position_for(inverse(1))
    for at in range(3000):
        size = rng.choice((-30, -10, 10, 20))
        position.add(inverse(size, D(rng.randrange(10**6, 10**8)) / 1000, at=at), at)
    assert position._cash.denominator.bit_length() <= 512
    assert Fraction(position._value).denominator.bit_length() <= 512
