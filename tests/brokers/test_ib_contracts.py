"""What IB says of a contract makes a market of ours, and which of several it is."""

from __future__ import annotations

from decimal import Decimal

import pytest
from ib_async import Contract, ContractDetails, PriceIncrement

from piker.brokers.ib._contracts import make_mkt, pick, price_step, rule_id
from piker.errors import BadFqme, BadPayload, SymbolNotFound
from piker.msgs import Fqme


def details(sec_type: str = "STK", **more) -> ContractDetails:
    """Return details of a share of TSLA, otherwise as told."""
    names = set(ContractDetails.__dataclass_fields__)
    contract = {
        "conId": 76792991, "symbol": "TSLA", "exchange": "SMART",
        "primaryExchange": "NASDAQ", "currency": "USD", "tradingClass": "NMS",
    }  # fmt: skip
    contract |= {key: value for key, value in more.items() if key not in names}
    told = {"minTick": 0.01, "sizeIncrement": 0.0001, "minSize": 0.0001}
    told |= {key: value for key, value in more.items() if key in names}
    return ContractDetails(contract=Contract(secType=sec_type, **contract), **told)


FUTURE = {
    "symbol": "MNQ", "exchange": "CME", "primaryExchange": "", "multiplier": "2",
    "tradingClass": "MNQ", "lastTradeDateOrContractMonth": "20261218",
    "minTick": 0.25, "sizeIncrement": 1.0, "minSize": 1.0, "conId": 654503314,
}  # fmt: skip
OPTION = {
    "lastTradeDateOrContractMonth": "20270115", "strike": 200.0, "right": "C",
    "multiplier": "100", "tradingClass": "TSLA", "primaryExchange": "",
    "sizeIncrement": 1.0,
}  # fmt: skip


def test_a_share():
    mkt = make_mkt(details())
    assert mkt.fqme == "tsla.nasdaq.ib"
    assert (mkt.atype, mkt.src, mkt.bs_mktid) == ("stock", None, "76792991")
    assert (mkt.price_tick, mkt.size_tick) == (Decimal("0.01"), Decimal("0.0001"))
    assert (mkt.size_min, mkt.multiplier) == (Decimal("0.0001"), 1)
    assert mkt.paid_in == "usd"


def test_a_future():
    mkt = make_mkt(details("FUT", **FUTURE))
    assert mkt.fqme == "mnq.cme.20261218.ib"
    assert (mkt.atype, mkt.multiplier, mkt.expiry) == ("future", 2, "20261218")
    assert (mkt.price_tick, mkt.size_tick) == (Decimal("0.25"), 1)


def test_an_option():
    mkt = make_mkt(details("OPT", **OPTION))
    assert mkt.fqme == "tsla.20270115.200c.cboe.ib"
    assert (mkt.atype, mkt.multiplier) == ("option", 100)


def test_money():
    mkt = make_mkt(
        details(
            "CASH",
            symbol="EUR",
            currency="USD",
            exchange="IDEALPRO",
            primaryExchange="",
            minTick=5e-05,
            sizeIncrement=0.01,
        )
    )
    assert mkt.fqme == "eurusd.idealpro.ib"
    assert mkt.src is not None
    assert (mkt.dst.name, mkt.src.name, mkt.src.atype) == ("eur", "usd", "fiat")
    assert mkt.price_tick == Decimal("0.00005")


def test_pence_are_hundredths_of_a_pound():
    mkt = make_mkt(details(priceMagnifier=100, currency="GBP", primaryExchange="LSE"))
    assert mkt.multiplier == Decimal("0.01")


def test_the_price_tick_is_the_finest_step_of_the_rule():
    rules = [PriceIncrement(0.0, 0.05), PriceIncrement(5.0, 0.25)]
    mkt = make_mkt(details("FUT", **FUTURE), rules)
    assert mkt.price_tick == Decimal("0.05")
    assert mkt.step_at(Decimal("4.9")) == Decimal("0.05")
    assert mkt.step_at(Decimal(5)) == Decimal("0.25")


@pytest.mark.parametrize(
    "rules",
    [
        [(0.0, 0.05), (5.0, 0.02)], [(0.0, 0.05), (5.0, 0.12)],
        [(0.0, 0.05), (5.1, 0.25)], [(0.0, 0.05), (5.0, 0.0)],
    ],
)  # fmt: skip
def test_a_rule_whose_steps_do_not_grow_has_one_here(rules):
    """What it says is checked as an order is sent: see the next one."""
    mkt = make_mkt(details("FUT", **FUTURE), [PriceIncrement(*rule) for rule in rules])
    assert mkt.price_steps == ()
    assert mkt.price_tick == Decimal(str(min(step for _, step in rules if step)))


def test_the_step_at_a_price():
    rules = [PriceIncrement(3.0, 0.1), PriceIncrement(0.0, 0.05)]
    assert price_step(rules, Decimal("2.95")) == Decimal("0.05")
    assert price_step(rules, Decimal(3)) == Decimal("0.1")
    assert price_step(rules, Decimal(-4)) == Decimal("0.1")
    assert price_step([], Decimal(1)) is None


def test_the_rule_is_that_of_its_own_exchange():
    told = details(validExchanges="NYSE,SMART,CBOE", marketRuleIds="26,557,32")
    assert rule_id(told) == 557
    assert rule_id(details()) is None
    assert rule_id(details(validExchanges="SMART", marketRuleIds="")) is None


def test_no_bound_or_step_is_told_as_a_number_too_large():
    mkt = make_mkt(details(sizeIncrement=1.7976931348623157e308, minSize=0.0))
    assert (mkt.size_tick, mkt.size_min) == (1, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"minTick": 0.0},
        {"minTick": float("nan")},
        {"multiplier": "many"},
        {"multiplier": "-1"},
        {"conId": 0},
    ],
)
def test_numbers_that_cannot_be(wrong):
    with pytest.raises(BadPayload) as caught:
        make_mkt(details(**wrong))
    assert "\n" not in str(caught.value)


def test_a_kind_without_names():
    with pytest.raises(BadFqme):
        make_mkt(details("BAG"))


def test_the_listing_that_is_named_is_picked():
    here, there = details(), details(conId=2, primaryExchange="MEXI", currency="MXN")
    assert pick(Fqme.parse("tsla.nasdaq.ib"), [there, here]) is here
    assert pick(Fqme.parse("tsla.mexi.ib"), [there, here]) is there


def test_the_router_means_what_is_in_dollars():
    here, there = details(), details(conId=2, primaryExchange="MEXI", currency="MXN")
    assert pick(Fqme.parse("tsla.smart.ib"), [there, here]) is here


def test_of_derivatives_the_class_of_the_underlying_is_picked():
    own = details("OPT", **OPTION)
    adjusted = details("OPT", **(OPTION | {"conId": 3, "tradingClass": "2TSLA"}))
    name = Fqme.parse("tsla.20270115.200c.cboe.ib")
    assert pick(name, [adjusted, own]) is own


def test_one_told_of_two_exchanges_is_one():
    one = details("OPT", **OPTION)
    again = details("OPT", **OPTION)
    assert pick(Fqme.parse("tsla.20270115.200c.cboe.ib"), [one, again]) is again


def test_several_are_told_with_how_to_write_them():
    one = details("FUT", **(FUTURE | {"symbol": "SI", "tradingClass": "SIL"}))
    other = details(
        "FUT", **(FUTURE | {"symbol": "SI", "tradingClass": "SIX", "conId": 4})
    )
    with pytest.raises(SymbolNotFound) as caught:
        pick(Fqme.parse("si.cme.20261218.ib"), [one, other])
    assert "si.cme.20261218.sil.ib" in str(caught.value)
    assert pick(Fqme.parse("si.cme.20261218.six.ib"), [one, other]) is other


def test_none_that_fits():
    with pytest.raises(SymbolNotFound):
        pick(Fqme.parse("tsla.nyse.ib"), [details()])
