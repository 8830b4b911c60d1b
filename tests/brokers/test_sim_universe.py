"""Every name listed is a market that trades, and no other name is one."""

from __future__ import annotations

import random
import time
from collections import Counter
from datetime import date
from decimal import Decimal

import pytest

from piker.brokers.sim import _catalogue
from piker.brokers.sim._synthetic import Synthetic
from piker.brokers.sim._universe import (
    DEMO_FQME,
    REFERENCE_S,
    find_market,
    iter_universe,
    third_friday,
)
from piker.errors import BadFqme, SymbolNotFound
from piker.msgs import Fqme

NS = 1_000_000_000
DAY_S = 86_400


def test_about_twenty_thousand_names_each_once():
    listed = list(iter_universe())
    assert 19_000 < len(listed) < 21_000
    assert len({row.fqme for row in listed}) == len(listed)
    assert [row.rank for row in listed] == list(range(1, len(listed) + 1))
    assert listed[0].fqme == DEMO_FQME
    kinds = Counter(row.kind for row in listed)
    assert set(kinds) == {"crypto", "perpetual_future", "stock", "future", "option"}
    assert min(kinds.values()) >= 30


def test_the_list_is_made_quickly():
    took = []
    while not took or (min(took) >= 0.5 and len(took) < 4):  # a busy machine
        _catalogue.products.cache_clear()
        began = time.process_time()
        assert sum(1 for _ in iter_universe()) > 19_000
        took.append(time.process_time() - began)
    assert min(took) < 0.5, took


@pytest.mark.parametrize("at_s", [REFERENCE_S, REFERENCE_S + 1_000 * DAY_S])
def test_each_line_is_the_market_it_says(at_s):
    for row in list(iter_universe(at_s))[::3]:
        market = find_market(row.fqme)
        assert (market.fqme, market.mkt.atype) == (row.fqme, row.kind)
        assert market.description == row.description
        assert str(Fqme.parse(row.fqme)) == row.fqme
        assert market.listed_s <= at_s < market.expires_s


def test_listed_markets_trade():
    rows = random.Random(5).sample(list(iter_universe()), 60)
    for row in rows:
        synthetic = Synthetic(find_market(row.fqme))
        week = REFERENCE_S * NS, (REFERENCE_S + 3 * DAY_S) * NS
        bars = synthetic.bars(*week, 86_400)
        assert len(bars) >= 3
        assert (bars["low"] > 0).all()
        opens_s = synthetic.market.calendar.next_open(REFERENCE_S)
        ticks = synthetic.ticks(opens_s * NS, (opens_s + 1_800) * NS)
        assert all(tick.price > 0 and tick.size > 0 for tick in ticks)
        assert ticks


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("btcusdt.sim", "btcusdt.spot.sim"),
        ("BTCUSDT.SPOT.SIM", "btcusdt.spot.sim"),
        ("btcusdt.perp.sim", "btcusdt.usdtm.perp.sim"),
        ("tsla.sim", "tsla.nasdaq.sim"),
        ("es.20261218.sim", "es.cme.20261218.sim"),
        ("es.261218.sim", "es.cme.20261218.sim"),
        ("tsla.20270115.200c.sim", "tsla.20270115.200c.cboe.sim"),
        ("ko.20270115.62_5p.cboe.sim", "ko.20270115.62_5p.cboe.sim"),
    ],
)
def test_short_names_are_filled_in(short, full):
    assert find_market(short).fqme == full


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("btcusdt.spot.binance", "end in .sim"),
        ("btcusd.sim", "close to it: btcusdt.spot.sim"),
        ("btcusdt.spot.binance.sim", "close to it"),
        ("tsla.nyse.sim", "close to it: tsla.nasdaq.sim"),
        ("gme.perp.sim", "close to it"),
        ("es.sim", r"like es\.cme\.20261218\.sim"),
        ("es.cme.20261217.sim", "third Friday"),
        ("es.cme.20261120.sim", "third Friday"),
        ("es.nymex.20261218.sim", "third Friday"),
        ("tsla.20270115.201c.sim", "multiples of 5"),
        ("tsla.20270115.5000c.sim", "multiples of 5"),
        ("tsla.20270115.0c.sim", "multiples of 5"),
        ("tsla.20270116.200c.sim", "third Friday"),
        ("gme.20270115.20c.sim", "close to it"),
    ],
)
def test_unknown_names_are_refused_with_advice(name, advice):
    with pytest.raises(SymbolNotFound, match=advice) as caught:
        find_market(name)
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_no_name_is_refused():
    with pytest.raises(BadFqme):
        find_market("nope")


def test_markets_have_the_steps_of_their_kind():
    steps = {
        "btcusdt.spot.sim": ("0.01", "0.00001", "1"),
        "btcusdt.usdtm.perp.sim": ("0.1", "0.001", "1"),
        "tsla.nasdaq.sim": ("0.01", "1", "1"),
        "es.cme.20261218.sim": ("0.25", "1", "50"),
        "tsla.20270115.200c.cboe.sim": ("0.01", "1", "100"),
    }
    for fqme, want in steps.items():
        mkt = find_market(fqme).mkt
        got = (mkt.price_tick, mkt.size_tick, mkt.multiplier)
        assert got == tuple(map(Decimal, want))


def test_third_fridays():
    assert third_friday(2026, 12) == date(2026, 12, 18)
    assert third_friday(2027, 1) == date(2027, 1, 15)
    for month in range(1, 13):
        day = third_friday(2030, month)
        assert day.weekday() == 4
        assert 15 <= day.day <= 21
