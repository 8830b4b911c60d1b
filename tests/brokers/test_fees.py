"""What each backend takes of a trade: exact, and its published first tier."""

from __future__ import annotations

import json
from decimal import Decimal, localcontext
from fractions import Fraction

import pytest

from piker.brokers import BACKENDS, cost_at_rate, get_brokermod
from piker.clearing import paper_rules
from piker.config import FeeConf, PaperConf
from piker.msgs import Asset, MktPair
from tests._data import data_dir

BTC, USDT = Asset(name="btc"), Asset(name="usdt")


def mkt(broker, **fields) -> MktPair:
    return MktPair(
        dst=BTC, src=USDT, price_tick=Decimal("0.01"), size_tick=Decimal("0.00001"),
        bs_mktid="BTCUSDT", broker=broker, **fields,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("market", "maker", "taker"),
    [
        (mkt("binance", venue="spot"), "0.050", "0.050"),
        (mkt("binance", venue="usdtm", expiry="perp"), "0.010", "0.025"),
        (mkt("kraken"), "0.125", "0.200"),
        (mkt("sim", venue="spot"), "0.050", "0.050"),
        (mkt("sim", venue="usdtm", expiry="perp"), "0.010", "0.025"),
        (mkt("sim", venue="cme", expiry="20261218", multiplier=Decimal(5)), "0.050",
         "0.125"),
    ],
)  # fmt: skip
def test_fees_are_those_of_the_first_tier(market, maker, taker):
    get_cost = get_brokermod(market.broker).get_cost
    price, size = Decimal(25_000), Decimal("0.002")
    assert get_cost(market, price, size, False) == Decimal(maker)
    assert get_cost(market, price, size, True) == Decimal(taker)


def test_kraken_takes_what_it_tells_of_its_markets():
    told = data_dir() / "protocol" / "nautilus_kraken" / "http_asset_pairs.json"
    markets = json.loads(told.read_text(encoding="utf-8"))["result"].values()
    assert markets
    get_cost = get_brokermod("kraken").get_cost
    for one in markets:
        for key, is_taker in (("fees_maker", False), ("fees", True)):
            (volume, percent), *_ = one[key]
            assert volume == 0
            cost = get_cost(mkt("kraken"), Decimal(100), Decimal(1), is_taker)
            assert cost == Decimal(str(percent))


@pytest.mark.parametrize("broker", BACKENDS)
def test_fees_are_exact_whatever_the_precision(broker):
    price, size = Decimal("123456789012345.67"), Decimal("98765432109876.54321")
    with localcontext() as context:
        context.prec = 3
        cost = cost_at_rate(mkt(broker), price, size, Decimal("0.0025"))
    units = 12345678901234567 * 9876543210987654321
    assert Fraction(cost) == Fraction(units, 400 * 10**7)


def test_a_price_below_zero_costs_too():
    assert cost_at_rate(
        mkt("sim"), Decimal(-37), Decimal(2), Decimal("0.1")
    ) == Decimal("7.4")


def test_the_users_fees_come_first():
    conf = PaperConf(fees={"kraken": FeeConf(maker=-0.0001, taker=0.0026)})
    own = get_brokermod("kraken").get_cost
    told = paper_rules(conf, "kraken", own).get_cost
    args = (mkt("kraken"), Decimal(1000), Decimal(1))
    assert (told(*args, False), told(*args, True)) == (Decimal("-0.1"), Decimal("2.6"))
    assert paper_rules(conf, "binance", own).get_cost is own
    assert paper_rules(PaperConf(), "kraken").get_cost(*args, True) == 0


def test_rules_are_what_the_user_set():
    conf = PaperConf(
        latency_ms=1.5, cancel_latency_ms=0, max_quote_age_s=0.25, trade_lag_ms=7,
        slippage_ticks=3,
    )  # fmt: skip
    rules = paper_rules(conf, "sim")
    assert (rules.latency_ns, rules.cancel_latency_ns) == (1_500_000, 0)
    assert (rules.max_quote_age_ns, rules.trade_lag_ns) == (250_000_000, 7_000_000)
    assert rules.slippage_ticks == 3
