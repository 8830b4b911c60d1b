"""What trades come to, asset by asset, against what the venue says there is."""

from __future__ import annotations

import random
from collections import defaultdict
from decimal import Context, Decimal
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from piker.accounting import Transaction, open_ledger
from piker.brokers._live import _accounts
from piker.brokers._live._balances import otherwise, traded
from piker.brokers._live._trades import to_transaction
from piker.brokers._live._venue import VenueTrade
from piker.brokers.kraken._listing import make_mkt
from tests.brokers._live import BINANCE, KRAKEN, live_trading, open_live, order
from tests.brokers.test_live_oddities import GONE
from tests.cli import _cli
from tests.cli.test_cli_live import run

D = Decimal
WIDE = Context(prec=300)
MKTS = [make_mkt(f"{pair}", D("0.1"), D("1e-8")) for pair in ("XBT/USDT", "ETH/XBT")]
sizes = st.decimals(D("1e-18"), D("1e19"), allow_nan=False, places=18)
trades = st.builds(
    VenueTrade,
    tid=st.just("t"),
    reqid=st.just("r"),
    bs_mktid=st.sampled_from([mkt.bs_mktid for mkt in MKTS]),
    side=st.sampled_from(["buy", "sell"]),
    price=sizes,
    size=sizes,
    fee=st.one_of(st.just(D(0)), sizes),
    fee_asset=st.sampled_from(["", "usdt", "xbt", "eth", "bnb"]),
    time_ns=st.just(1),
)


@given(told=st.lists(trades, max_size=30), paid_in=st.dictionaries(
    st.sampled_from(["usdt", "xbt", "eth", "bnb", "doge"]), sizes))  # fmt: skip
def test_a_wallet_has_what_trades_come_to_and_what_was_paid_in(told, paid_in):
    by_id = {mkt.bs_mktid: mkt for mkt in MKTS}
    wallet = defaultdict(Fraction, {key: Fraction(one) for key, one in paid_in.items()})
    for one in told:
        mkt = by_id[one.bs_mktid]
        sign = 1 if one.side == "buy" else -1
        wallet[mkt.dst.name] += sign * Fraction(one.size)
        wallet[mkt.src.name] -= sign * Fraction(one.size) * Fraction(one.price)
        wallet[one.fee_asset or mkt.src.name] -= Fraction(one.fee)
    txns = [to_transaction(one, by_id[one.bs_mktid]) for one in told]
    changed = traded(txns, {mkt.fqme: mkt for mkt in MKTS})
    beyond = {key: Fraction(one) for key, one in paid_in.items() if one}
    for asset, amount in changed.items():
        assert wallet[asset] - beyond.get(asset, 0) == Fraction(amount), asset
    balances = {key: exact(one) for key, one in wallet.items()}
    assert {k: Fraction(v) for k, v in otherwise(balances, changed).items()} == beyond


def exact(ratio: Fraction) -> Decimal:
    """Return a ratio that has an end as a decimal."""
    places = 0
    while (ratio * 10**places).denominator != 1:
        places += 1
    return D((ratio * 10**places).numerator).scaleb(-places, context=WIDE)


def test_what_is_no_trade_is_paid_for_by_nobody():
    (mkt, _) = MKTS
    txns = [
        Transaction(tid="a", fqme=mkt.fqme, size=D(3), price=D(9), time_ns=1,
                    etype="transfer", cost=D("0.5")),
        Transaction(tid="b", fqme="other.spot.kraken", size=D(3), price=D(9),
                    time_ns=1),
    ]  # fmt: skip
    changed = traded(txns, {mkt.fqme: mkt})
    assert changed == {"xbt": 3, "usdt": D("-0.5")}
    assert otherwise({"xbt": D(3)}, changed) == {"usdt": D("0.5")}
    assert otherwise({}, {}) == {}


class Moving:
    """An account in which trades come while it is looked at, so many times."""

    def __init__(self, times: int) -> None:
        self.ledger, self.session, self.times, self.seq = self, self, times, 0

    async def balances(self):
        if self.times:
            self.times -= 1
            self.seq += 1
        return {"usdt": D(self.seq)}

    async def fetch(self, _mkt, *, whole):
        assert not whole
        yield [], 1


@pytest.mark.parametrize(
    ("times", "booked", "is_moving"), [(0, 0, False), (2, 2, False), (9, 4, True)]
)
async def test_balances_go_with_what_is_booked(times, booked, is_moving):
    told = await _accounts._settled(Moving(times), [None], {"usdt": D(0)})
    assert told == ({"usdt": D(min(times, 4))}, booked, is_moving)


# -- in a tree ------------------------------------------------------------------------


async def trade(live, me, rng: random.Random, count: int) -> None:
    """Buy and sell, resting and taking, in parts, at odd prices."""
    for _ in range(count):
        side = rng.choice(("buy", "sell"))
        size = D(rng.randint(1_000, 9_999)).scaleb(-5)
        price = D(rng.randint(590_010, 599_990)).scaleb(-1)
        one = order(price, size, side, at=live.at)
        await me.client.send(one)
        await me.until(resp="open", oid=one.oid)
        other = "sell" if side == "buy" else "buy"
        for part in (size / 3, size):
            part = part.quantize(D("1e-5"))  # noqa: PLW2901
            await live.venue.outside(live.at.symbol, other, str(price), str(part))
        await me.until(resp="closed", oid=one.oid)


def decimals(told: dict[str, str]) -> dict[str, Decimal]:
    return {asset: D(amount) for asset, amount in told.items()}


@pytest.mark.tree
@pytest.mark.parametrize("at", [BINANCE, KRAKEN], ids=lambda at: at.broker)
async def test_all_that_trades_change_is_booked_to_the_last_digit(open_test_pikerd, at):
    """Fees in base, in quote, and, at Binance, in a third asset from some time on."""
    btc = "xbt" if at is KRAKEN else "btc"
    paid_in = {"usdt": D(1_000_000), btc: D(100)}
    rng = random.Random(5)
    async with open_live(open_test_pikerd, at=at) as live, live_trading(at) as me:
        await trade(live, me, rng, 6)
        if at is BINANCE:
            await live.venue.open_account("main", live.key, live.secret, BNB="7.5")
            paid_in["bnb"] = D("7.5")
            await live.venue.control("fees?asset=BNB&worth=613.37")
            await trade(live, me, rng, 4)
        told = (await run(live, "ledger", "sync", at.account, "--json")).json
        assert told["trades"] >= 12
        assert decimals(told["otherwise"]) == paid_in
        balances, changed = decimals(told["balances"]), decimals(told["traded"])
        assert changed == {key: balances[key] - paid_in[key] for key in paid_in}
        assert all(changed.values())
        assert not told["is_moving"]
        said = await run(live, "ledger", "sync", at.account)
        (line,) = [one for one in said.err.splitlines() if ": usdt: " in one]
        assert line.endswith("and all else to 1,000,000"), line
        # what was paid in and what was paid out is told apart from what was traded
        await live.venue.open_account("main", live.key, live.secret, USDT="-1234.5")
        told = (await run(live, "ledger", "sync", at.account, "--json")).json
        assert decimals(told["otherwise"])["usdt"] == D("998765.5")


@pytest.mark.tree
@pytest.mark.parametrize("at", [BINANCE, KRAKEN], ids=lambda at: at.broker)
async def test_a_market_that_is_gone_is_told_of(open_test_pikerd, at):
    async with open_live(open_test_pikerd, at=at, embedded=False) as live:
        with open_ledger(at.broker, at.account) as ledger:
            ledger.append(
                Transaction(
                    tid="OLD-1", fqme=GONE[at.broker], size=D(5), price=D("0.1"),
                    time_ns=1_700_000_000_000_000_000,
                )
            )  # fmt: skip
        argv = ("ledger", "sync", at.account)
        told = await _cli.run(*argv, "--json", env=live.tree.env)
        assert told.json["unlisted"] == [GONE[at.broker]]
        assert not any(decimals(told.json["traded"]).values())
        said = await _cli.run(*argv, env=live.tree.env)
        assert f"are in none of it: {GONE[at.broker]}" in said.err
