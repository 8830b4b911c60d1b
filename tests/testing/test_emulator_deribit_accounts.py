"""Positions and money at the emulated Deribit: what trades and settlements make."""

from __future__ import annotations

from decimal import Decimal

import pytest

from piker.testing.emulator._deribit_family import Namer
from piker.testing.emulator._deribit_positions import Position, fee, payoff, profit
from piker.testing.emulator._listing import Listed
from tests.testing._deribit import PERP, Failed
from tests.testing.test_emulator_deribit_orders import TRADES, buy, trading

FAR = 10**14


def inverse():
    listed = Listed("BTC", "USDT", "", Decimal("0.1"), Decimal("0.001"), None, 0)
    namer = Namer(1_700_000_000_000)
    return namer._inverse("BTC"), namer.linear(listed)


def option(perpetual, right="C", strike="60000"):
    namer = Namer(1_700_000_000_000)
    day, period = namer.expiries()[2]
    return namer._option(perpetual, day, period, Decimal(strike), right)


# -- by hand ------------------------------------------------------------------------


def test_profit_of_an_inverse_future_is_coins():
    inst, linear = inverse()
    one = Position()
    assert one.trade(inst, Decimal(50_000), Decimal(1000)) == 0
    assert one.trade(inst, Decimal(60_000), Decimal(1000)) == 0
    assert round(one.average, 4) == Decimal("54545.4545")  # the harmonic mean
    made = one.trade(inst, Decimal(60_000), Decimal(-1000))
    expected = Decimal(1000) / one.average - Decimal(1000) / 60_000
    assert made == expected.quantize(Decimal("1e-8"))
    assert (one.size, one.session) == (1000, made)
    one.trade(inst, Decimal(50_000), Decimal(-3000))  # through zero
    assert (one.size, one.average, one.direction) == (-2000, 50_000, "sell")
    assert profit(inst, Decimal(50_000), Decimal(40_000), Decimal(-2000)) == Decimal(
        "0.01"
    )
    assert profit(linear, Decimal(100), Decimal(90), Decimal(-2)) == 20


def test_a_session_ends_at_its_settlement():
    inst, _ = inverse()
    one = Position()
    one.trade(inst, Decimal(50_000), Decimal(1000))
    first = one.settle(inst, Decimal(55_000))
    assert first == profit(inst, Decimal(50_000), Decimal(55_000), Decimal(1000))
    assert (one.average, one.basis, one.session) == (50_000, 55_000, 0)
    one.trade(inst, Decimal(60_000), Decimal(-1000))
    second = one.settle(inst, Decimal(1))
    assert first + second == profit(
        inst, Decimal(50_000), Decimal(60_000), Decimal(1000)
    )
    assert one.size == one.basis == 0


@pytest.mark.parametrize(
    ("right", "price", "pays"),
    [("C", 80_000, "0.25"), ("C", 60_000, "0"), ("C", 40_000, "0"),
     ("P", 40_000, "0.5"), ("P", 60_001, "0")],
)  # fmt: skip
def test_what_an_option_pays(right, price, pays):
    perpetual, _ = inverse()
    assert payoff(option(perpetual, right), Decimal(price)) == Decimal(pays)


def test_fees():
    perpetual, linear = inverse()
    call, index = option(perpetual), Decimal(60_000)
    cost = [
        fee(inst, Decimal(price), Decimal(size), index, is_maker=is_maker)
        for inst, price, size, is_maker in (
            (perpetual, "50000", "1000", False), (perpetual, "50000", "1000", True),
            (linear, "50000", "0.5", False), (call, "0.05", "2", False),
            (call, "0.0008", "2", True),
        )
    ]  # fmt: skip
    assert cost == [Decimal(one) for one in ("0.00001", "0", "12.5", "0.0006",
                                             "0.0002")]  # fmt: skip


# -- at the venue -------------------------------------------------------------------


async def money(talk, currency="BTC"):
    told = await talk.ask("private/get_account_summary", currency=currency)
    whole = await talk.ask("private/get_account_summaries")
    (same,) = (one for one in whole["summaries"] if one["currency"] == currency)
    assert same["balance"] == told["balance"]
    return told


async def log(talk, currency="BTC", **more):
    return await talk.ask(
        "private/get_transaction_log", currency=currency, start_timestamp=0,
        end_timestamp=FAR, **more,
    )  # fmt: skip


async def test_a_position_and_its_settlement():
    async with trading() as talk:
        await buy(talk, 3000, None)
        await buy(talk, 1000, None, "sell")
        (row,) = await talk.ask("private/get_positions", currency="BTC", kind="future")
        assert (row["size"], row["direction"], row["average_price"]) == (
            2000, "buy", 60_000,
        )  # fmt: skip
        same = await talk.ask("private/get_position", instrument_name=PERP)
        for name in ("size", "direction", "average_price", "realized_profit_loss"):
            assert same[name] == row[name]  # all else goes with the index
        lost = 1000 / 60_000 - 1000 / 59_000
        fees = 3000 / 60_000 * 0.0005 + 1000 / 59_000 * 0.0005
        told = await money(talk)
        assert told["session_rpl"] == pytest.approx(lost, abs=2e-8)
        assert told["balance"] == pytest.approx(10 - fees, abs=2e-8)
        assert told["equity"] == pytest.approx(
            told["balance"] + told["session_rpl"] + told["session_upl"], abs=2e-8
        )
        assert 0 < told["initial_margin"] < 0.01
        await talk.venue.control("settle?currency=BTC&price=62000")
        # each order was taken and traded, which was told too
        *_, after = (await talk.hear("user.portfolio.btc", 5))[:5]
        made = 2000 / 60_000 - 2000 / 62_000
        assert after["balance"] == pytest.approx(10 - fees + lost + made, abs=3e-8)
        assert after["session_rpl"] == 0
        (end,) = (await talk.ask(
            "private/get_settlement_history_by_instrument", instrument_name=PERP
        ))["settlements"]  # fmt: skip
        assert (end["type"], end["position"], end["mark_price"]) == (
            "settlement", 2000, 62_000,
        )  # fmt: skip
        assert end["profit_loss"] == pytest.approx(lost + made, abs=3e-8)
        rows = (await log(talk))["logs"]
        kinds = [row["type"] for row in rows]
        assert kinds == ["settlement", "trade", "trade", "deposit"]
        assert [row["side"] for row in rows] == ["long", "close sell", "open buy", "-"]
        assert [row["position"] for row in rows] == [2000, 2000, 3000, None]
        changes = sum(row["change"] for row in rows)
        assert changes == pytest.approx(after["balance"], abs=1e-7)
        closed = await talk.ask("private/close_position", instrument_name=PERP,
                                type="market")  # fmt: skip
        assert closed["order"]["filled_amount"] == 2000
        assert (await talk.ask("private/get_position", instrument_name=PERP))[
            "direction"
        ] == "zero"


@pytest.mark.parametrize(("side", "share"), [("buy", 1.1), ("sell", 1.1), ("buy", 0.5)])
async def test_an_option_is_delivered(side, share):
    """Its premium is paid at once; at the end there is only what it pays."""
    async with trading() as talk:
        rows = await talk.ask("public/get_instruments", currency="BTC", kind="option")
        index = await talk.ask("public/get_index_price", index_name="btc_usd")
        level = index["index_price"]
        calls = [row for row in rows if row["option_type"] == "call"
                 and row["settlement_period"] == "month"]  # fmt: skip
        near = min(calls, key=lambda row: abs(row["strike"] - level))
        name, price = near["instrument_name"], round(near["strike"] * share)
        strike = float(name.split("-")[2])
        await talk.venue.outside(name, "sell", "0.02", "5", rests=True)
        await talk.venue.outside(name, "buy", "0.0195", "5", rests=True)
        await talk.subscribe("instrument.state.option.BTC")
        premium = 0.02 if side == "buy" else -0.0195
        traded = await talk.ask(f"private/{side}", instrument_name=name, amount=2,
                                type="market")  # fmt: skip
        assert traded["order"]["average_price"] == abs(premium)
        rests = await talk.ask("private/buy", instrument_name=name, amount=1,
                               price=0.001)  # fmt: skip
        told = await money(talk)
        paid = 2 * premium + 2 * 0.0003
        assert told["balance"] == pytest.approx(10 - paid, abs=1e-8)
        assert told["options_value"] * premium > 0
        await talk.venue.control(f"deliver?instrument={name}&price={price}")
        (state,) = await talk.hear("instrument.state.option.BTC")
        assert (state["instrument_name"], state["state"]) == (name, "closed")
        pays = max(0.0, price - strike) / price
        cost = min(0.00015, pays / 8) * 2
        after = await money(talk)
        expected = 10 - paid + pays * 2 * (1 if side == "buy" else -1) - cost
        assert after["balance"] == pytest.approx(expected, abs=2e-8)
        assert after["options_value"] == 0
        assert await talk.ask("private/get_positions", currency="BTC") == []
        gone = await talk.ask(
            "private/get_order_state", order_id=rests["order"]["order_id"]
        )
        assert gone["order_state"] == "cancelled"
        (end,) = (await talk.ask(
            "private/get_settlement_history_by_currency", currency="BTC",
            type="delivery",
        ))["settlements"]  # fmt: skip
        assert (end["instrument_name"], abs(end["position"])) == (name, 2)
        (row,) = (await log(talk, query="delivery"))["logs"]
        assert row["side"] == ("close sell" if side == "buy" else "close buy")
        assert row["settlement_price"] == price
        with pytest.raises(Failed) as failed:
            await talk.ask("private/buy", instrument_name=name, amount=1, price=0.02)
        assert failed.value.code == 10012
        live = await talk.ask("public/get_instruments", currency="BTC", kind="option")
        assert name not in [row["instrument_name"] for row in live]
        old = await talk.ask("public/get_instruments", currency="BTC", expired=True)
        assert [row["instrument_name"] for row in old] == [name]
        assert not old[0]["is_active"]
        ticker = await talk.ask("public/ticker", instrument_name=name)
        assert (ticker["state"], ticker["delivery_price"]) == ("closed", price)


async def test_trades_by_pages():
    """By instrument and currency, sequence, id and time; of long ago too."""
    async with trading() as talk:
        await talk.venue.control(f"history?name=main&symbol={PERP}&count=25")
        for _ in range(3):
            await buy(talk, 10, None)
        name = "private/get_user_trades_by_instrument"
        newest = await talk.ask(name, instrument_name=PERP)
        times = [row["timestamp"] for row in newest["trades"]]
        assert (len(times), newest["has_more"]) == (10, True)
        assert times == sorted(times, reverse=True)
        whole = await talk.ask(name, instrument_name=PERP, count=1000, sorting="asc")
        assert len(whole["trades"]) == 28
        assert not whole["has_more"]
        rows = whole["trades"]
        some = await talk.ask(name, instrument_name=PERP, count=5,
                              start_seq=rows[-3]["trade_seq"])  # fmt: skip
        assert some["trades"] == rows[-3:]
        some = await talk.ask(
            "private/get_user_trades_by_instrument_and_time", instrument_name=PERP,
            start_timestamp=rows[4]["timestamp"], end_timestamp=rows[9]["timestamp"],
            count=4,
        )  # fmt: skip
        assert some["trades"] == rows[4:8]
        assert some["has_more"]
        some = await talk.ask("private/get_user_trades_by_currency", currency="BTC",
                              start_id=rows[20]["trade_id"], count=3)  # fmt: skip
        assert some["trades"] == rows[20:23]
        old = await talk.ask(name, instrument_name=PERP, count=1000, historical=True,
                             sorting="asc")  # fmt: skip
        assert rows[24] in old["trades"]
        assert rows[-1] not in old["trades"]
        mine = await talk.ask("private/get_user_trades_by_order",
                              order_id=rows[-1]["order_id"])  # fmt: skip
        assert mine == [rows[-1]]
        none = await talk.ask("private/get_user_trades_by_currency", currency="ETH")
        assert none == {"trades": [], "has_more": False}
        with pytest.raises(Failed) as failed:
            await talk.ask(name, instrument_name=PERP, count=1001)
        assert failed.value.code == -32602


async def test_orders_that_are_over():
    async with trading() as talk:
        await buy(talk, 10, None)
        gone = await buy(talk, 10, 50_000)
        await talk.ask("private/cancel", order_id=gone["order"]["order_id"])
        await buy(talk, 20, None)
        name = "private/get_order_history_by_currency"
        filled = await talk.ask(name, currency="BTC")
        assert [row["amount"] for row in filled] == [20, 10]
        rows = await talk.ask(name, currency="BTC", include_unfilled=True)
        assert [row["order_state"] for row in rows] == ["filled", "cancelled", "filled"]
        page = await talk.ask(
            "private/get_order_history_by_instrument", instrument_name=PERP, count=2,
            include_unfilled=True, with_continuation=True,
        )  # fmt: skip
        assert page["orders"] == rows[:2]
        rest = await talk.ask(
            "private/get_order_history_by_instrument", instrument_name=PERP, count=2,
            include_unfilled=True, with_continuation=True,
            continuation=page["continuation"],
        )  # fmt: skip
        assert rest == {"orders": rows[2:], "continuation": None}


async def test_the_log_by_pages():
    async with trading() as talk:
        for _ in range(5):
            await buy(talk, 10, None)
        whole = (await log(talk))["logs"]
        assert len(whole) == 6
        found, more = [], None
        while True:
            page = await log(talk, count=4, **({"continuation": more} if more else {}))
            found += page["logs"]
            more = page["continuation"]
            if more is None:
                break
        assert found == whole
        assert [row["type"] for row in (await log(talk, query="deposit"))["logs"]] == [
            "deposit"
        ]
        assert len((await log(talk, query="trade taker"))["logs"]) == 5
        usdc = (await log(talk, "USDC"))["logs"]
        assert [row["change"] for row in usdc] == [100_000]


async def test_a_linear_one_is_settled_in_usdc():
    async with trading() as talk:
        name = "BTC_USDC-PERPETUAL"
        await talk.venue.outside(name, "sell", "60000", "5", rests=True)
        traded = await talk.ask("private/buy", instrument_name=name, amount=0.5,
                                type="market")  # fmt: skip
        (trade,) = traded["trades"]
        assert (trade["fee_currency"], trade["fee"]) == ("USDC", 15)
        assert trade["trade_id"].startswith("USDC-")
        assert traded["order"]["order_id"].startswith("USDC-")
        await talk.venue.control("settle?currency=USDC&price=61000")
        assert (await money(talk, "USDC"))["balance"] == 100_000 - 15 + 500
        assert (await money(talk))["balance"] == 10


async def test_makers_of_weekly_futures_are_paid():
    async with trading() as talk:
        rows = await talk.ask("public/get_instruments", currency="BTC", kind="future")
        (week,) = (row for row in rows if row["settlement_period"] == "week")
        assert week["maker_commission"] == -0.0001
        name = week["instrument_name"]
        await talk.ask("private/buy", instrument_name=name, amount=1000, price=50_000)
        await talk.venue.outside(name, "sell", "50000", "1000")
        ((trade,),) = await talk.hear(TRADES)
        assert trade["fee"] == pytest.approx(-0.0001 * 1000 / 50_000, abs=1e-8)
        assert (await money(talk))["balance"] == pytest.approx(10.000002, abs=1e-8)


async def test_margin_bounds_what_can_be_bought():
    async with trading(money={"BTC": "0.001"}) as talk:
        with pytest.raises(Failed) as failed:
            await buy(talk, 5000, 59_500)
        assert failed.value.code == 10009
        await buy(talk, 2000, 59_500)
        free = (await money(talk))["available_funds"]
        assert 0 < free < 0.001 - 2000 / 59_500 * 0.02 + 1e-8
        with pytest.raises(Failed) as failed:
            await buy(talk, 2000, 59_400)
        assert failed.value.code == 10009


async def test_an_account_as_the_venue_has_it():
    async with trading() as talk:
        placed = await buy(talk, 10, None, label="x")
        (trade,) = placed["trades"]
        await talk.hear(TRADES)
        told = await talk.venue.account("main")
        (order,), (one,) = told["orders"], told["trades"]
        assert (order["cl_id"], order["state"]) == ("x", "filled")
        assert str(one["tid"]) == trade["trade_id"]
        assert (one["symbol"], one["size"], one["fee_asset"]) == (PERP, "10", "BTC")


@pytest.mark.parametrize("side", ["buy", "sell"])
async def test_longs_in_a_perpetual_pay_its_funding(side):
    async with trading() as talk:
        placed = await buy(talk, 3000, None, side)
        entry = placed["order"]["average_price"]
        before = (await money(talk))["balance"]
        await talk.venue.control(f"settle?currency=BTC&price={entry}&funding=0.0001")
        paid = 0.0001 * 3000 / entry * (1 if side == "buy" else -1)
        assert (await money(talk))["balance"] == pytest.approx(before - paid, abs=1e-8)
        row, *_ = (await log(talk))["logs"]
        assert row["interest_pl"] == row["change"] == pytest.approx(-paid, abs=1e-8)
        (end,) = (await talk.ask(
            "private/get_settlement_history_by_currency", currency="BTC"
        ))["settlements"]  # fmt: skip
        assert end["funding"] == row["interest_pl"]
