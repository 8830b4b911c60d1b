"""The account file and the audit that it and the positions are put to."""

from __future__ import annotations

import random
import tomllib
from decimal import Decimal as D  # noqa: N817

import pytest

from piker import config
from piker.accounting import (
    AccountName,
    Position,
    Transaction,
    audit,
    open_ledger,
    read_account,
    read_ledger,
    write_account,
)
from piker.errors import LedgerDamaged
from tests.accounting.test_position import CASES, parse

NAME = AccountName(broker="sim", label="paper")
BTC, ETH = "btcusdt.spot.sim", "ethusdt.spot.sim"


@pytest.fixture(autouse=True)
def dirs(tmp_path):
    with config.use_dirs(config.Dirs.under(tmp_path)):
        yield


def trade(i: int, size, price, fqme=BTC, **kwargs) -> Transaction:
    return Transaction(
        tid=f"t{i}", fqme=fqme, size=D(str(size)), price=D(str(price)), cost=D("0.1"),
        time_ns=i, **kwargs,
    )  # fmt: skip


def book(*txns: Transaction) -> None:
    with open_ledger("sim", "paper") as ledger:
        ledger.append(*txns)
        write_account(ledger)


def found(**changes) -> tuple[str, ...]:
    return audit(read_ledger("sim", "paper")).differences


def test_an_account_file_has_what_is_open_since_it_was_flat():
    book(
        trade(1, 1, 100, bs_mktid="BTCUSDT"),
        trade(2, -1, 110),
        trade(3, 2, 100),
        trade(4, 1, 50, ETH),
        trade(5, 1, 103),
        trade(6, -1, 60, ETH),
        trade(7, -1, 105),
    )
    text = NAME.account_file.read_text()
    assert NAME.account_file.name == "account.sim.paper.toml"
    told = tomllib.loads(text, parse_float=D)
    assert read_account(NAME) == told
    assert (told["broker"], told["account"], told["seq"]) == ("sim", "paper", 7)
    assert ETH not in told
    table = told[BTC]
    assert (table["size"], table["ppu"], table["bs_mktid"]) == (2, 101, "BTCUSDT")
    assert table["realised"] == D("13.5")  # 10 + 4, less 5 fees
    assert table["fees"] == D("0.5")
    assert [c["tid"] for c in table["clears"]] == ["t3", "t5", "t7"]
    assert [c["cumsize"] for c in table["clears"]] == [2, 3, 2]
    assert [c["ppu"] for c in table["clears"]] == [100, 101, 101]
    assert found() == ()


def test_a_flip_is_the_first_of_its_clears():
    book(trade(1, 1, 100), trade(2, -3, 110), trade(3, -1, 120))
    (first, second) = read_account(NAME)[BTC]["clears"]
    assert (first["tid"], first["size"], first["cumsize"]) == ("t2", -3, -2)
    assert (second["cumsize"], second["ppu"]) == (
        -3,
        D("113.3333333333333333333333333333333"),
    )
    assert found() == ()


@pytest.mark.parametrize("case", CASES)
def test_an_audit_agrees_with_every_sequence(case):
    words = case.split()
    multiplier = D(words.pop(0)[1:]) if words[0].startswith("m") else D(1)
    book(*(parse(word, at, multiplier) for at, word in enumerate(words)))
    assert found() == ()


def test_an_audit_agrees_with_a_long_life():
    draws = random.Random(3)
    book(*(
        trade(i, draws.choice([-1, 1]) * draws.randint(1, 999), draws.randint(-9, 999))
        for i in range(3000)
    ))  # fmt: skip
    assert found() == ()


DIFFERENCES = [
    ("size = 2\nppu", "size = 3\nppu", f"{BTC} size is 3, the ledger comes to 2"),
    ("ppu = 101\n", "ppu = 101.1\n", f"{BTC} ppu is 101.1"),
    ("fees = 0.5", "fees = 0.6", "fees is 0.6, the ledger comes to 0.5"),
    ("realised = ", "realised = 1", "realised is 1"),
    ("bep = ", "bep = -", "bep is -"),
    ("ppu = 101\n", "", "ppu is None"),
    ("ppu = 101\n", "ppu = nan\n", "ppu is NaN"),
    ('tid = "t3"', 'tid = "t4"', "its clears aren't"),
    (f'["{BTC}"]', f'["{ETH}"]', f"{BTC} is open and isn't in it"),
    (f'["{BTC}"]', f'["{ETH}"]', f"{ETH} is in it and isn't open"),
    ("seq = 5\n\n", "seq = 6\n\n", "is of serial 6 of the ledger, whose last is 5"),
    ("seq = 5\n\n", "seq = x\n\n", "is no TOML"),
    ("seq = 5\n\n", "seq = 4\n\n", "the ledger comes to 3"),
    ("seq = 5\n\n", "seq = 5\nx = 1\n\n", "x is in it and isn't open"),
]


@pytest.mark.parametrize(("old", "new", "words"), DIFFERENCES)
def test_an_audit_names_what_differs(old, new, words):
    book(
        trade(1, 1, 100),
        trade(2, -1, 110),
        trade(3, 2, 100),
        trade(4, 1, 103),
        trade(5, -1, 105),
    )
    text = NAME.account_file.read_text()
    assert text.count(old) == 1
    NAME.account_file.write_text(text.replace(old, new))
    assert any(words in sentence for sentence in found()), found()
    write_account(read_ledger("sim", "paper"))
    assert found() == ()


def test_an_account_file_that_lacks_is_a_difference_only_if_something_is_open():
    with open_ledger("sim", "paper") as ledger:
        assert found() == ()
        ledger.append(trade(1, 1, 100))
        (sentence,) = found()
        assert "there is no" in sentence
        ledger.append(trade(2, -1, 100))
        assert found() == ()


def test_a_file_that_lags_is_noted_and_still_checked():
    book(trade(1, 1, 100))
    with open_ledger("sim", "paper") as ledger:
        ledger.append(trade(2, 1, 100), trade(3, 1, 1, ETH))
    told = audit(read_ledger("sim", "paper"))
    assert told.differences == ()
    assert "2 trades behind" in told.notes[0]
    assert (told.markets, told.trades) == (2, 3)


@pytest.mark.parametrize(
    ("method", "words"),
    [("ppu", "ppu is 7"), ("realised", "realised is 7"), ("bep", "bep is 7")],
)
def test_an_audit_names_a_fault_of_the_positions(monkeypatch, method, words):
    book(trade(1, 1, 100))
    monkeypatch.setattr(Position, method, property(lambda _: D(7)))
    (sentence,) = found()
    assert f"the position of {BTC} {words}" in sentence


def test_a_damaged_account_file_is_named():
    book(trade(1, 1, 100))
    NAME.account_file.write_text("x")
    with pytest.raises(LedgerDamaged, match=str(NAME.account_file)):
        read_account(NAME)
