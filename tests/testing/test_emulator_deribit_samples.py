"""What the emulated Deribit answers has the fields of the venue's own messages."""

from __future__ import annotations

import json

import pytest

from tests._data import data_dir
from tests.testing._deribit import PERP
from tests.testing.test_emulator_deribit_orders import ORDERS, TRADES, buy, trading

#: Fields of the samples that only combos, brackets or other accounts' rows have.
ELSEWHERE = {"combo_trade_id", "combo_id"}


def sample(name):
    path = data_dir() / "protocol" / "nautilus_deribit" / f"{name}.json"
    return json.loads(path.read_text())


def fields(told):
    return set(told) - ELSEWHERE


def kinds(told, other):
    """Return fields whose values are of another kind in both."""
    number = (int, float)
    return {
        name
        for name in set(told) & set(other)
        if not (
            isinstance(told[name], type(other[name]))
            or (isinstance(told[name], number) and isinstance(other[name], number))
            or None in (told[name], other[name])
        )
    }


def check(ours, theirs):
    assert sorted(fields(theirs) - fields(ours)) == []
    assert sorted(kinds(ours, theirs)) == []


async def test_public_answers():
    async with trading() as talk:
        asks = [
            ("http_get_instrument", "public/get_instrument", {"instrument_name": PERP}),
            ("http_get_order_book", "public/get_order_book", {"instrument_name": PERP}),
            ("http_get_tradingview_chart_data", "public/get_tradingview_chart_data",
             {"instrument_name": PERP, "start_timestamp": 1, "end_timestamp": 10**14,
              "resolution": "1"}),
            ("http_get_last_trades", "public/get_last_trades_by_instrument",
             {"instrument_name": PERP}),
            ("http_get_expirations_any", "public/get_expirations",
             {"currency": "any", "kind": "any"}),
            ("http_test", "public/test", {}),
        ]  # fmt: skip
        for name, method, params in asks:
            ours, theirs = await talk.ask(method, **params), sample(name)["result"]
            check(ours, theirs)
            if "trades" in theirs:
                check(ours["trades"][0], theirs["trades"][0])
            if "stats" in theirs:
                check(ours["stats"], theirs["stats"])
        options = await talk.ask(
            "public/get_instruments", currency="BTC", kind="option"
        )
        check(options[0], sample("http_get_instrument_option")["result"])
        grouped = await talk.ask(
            "public/get_expirations", currency="BTC", kind="option"
        )
        theirs = sample("http_get_expirations_btc_option")["result"]
        assert grouped.keys() == theirs.keys()
        assert grouped["btc"].keys() == theirs["btc"].keys()


@pytest.mark.parametrize(
    ("name", "channel"),
    [
        ("ws_trades", f"trades.{PERP}.100ms"), ("ws_ticker", f"ticker.{PERP}.100ms"),
        ("ws_quote", f"quote.{PERP}"),
        ("ws_book_grouped_snapshot", f"book.{PERP}.none.10.100ms"),
        ("ws_book_snapshot", f"book.{PERP}.100ms"),
        ("ws_book_delta", f"book.{PERP}.100ms"),
    ],
)  # fmt: skip
async def test_channels(name, channel):
    document = sample(name)
    theirs = document["params"]["data"]
    async with trading() as talk:
        assert document["params"]["channel"].split(".")[0] == channel.split(".")[0]
        await talk.subscribe(channel)
        count = 2 if name == "ws_book_delta" else 1
        ours = (await talk.hear(channel, count))[-1]
        if isinstance(theirs, list):
            ours, theirs = ours[0], theirs[0]
        if name == "ws_book_snapshot":  # which names none before
            theirs.pop("prev_change_id")
        check(ours, theirs)


async def test_orders_and_money():
    async with trading() as talk:
        placed = await buy(talk, post_only=True, label="x")
        check(placed, sample("ws_order_buy_response")["result"])
        check(placed["order"], sample("ws_order_buy_response")["result"]["order"])
        gone = await talk.ask("private/cancel", order_id=placed["order"]["order_id"])
        check(gone, sample("ws_order_cancel_response")["result"])
        await talk.venue.outside(PERP, "sell", "59000", "10")
        waits = await talk.ask(
            "private/sell", instrument_name=PERP, amount=10, type="stop_market",
            trigger="last_price", trigger_price=58_000,
        )  # fmt: skip
        theirs = sample("ws_order_stop_market_response")["result"]["order"]
        check(waits["order"], theirs)
        assert {one for one in theirs if theirs[one] == "market_price"} == {"price"}
        await buy(talk, 10, None)
        await talk.hear(TRADES)
        (*_, money) = await talk.hear("user.portfolio.btc")
        theirs = sample("ws_portfolio")["params"]["data"]
        cross = {name for name in theirs if name.startswith("total_") and (
            name.endswith("_usd"))}  # fmt: skip
        check(money, {k: v for k, v in theirs.items() if k not in cross})
        assert (await talk.hear(ORDERS))[0]["label"] == "x"


async def test_errors_and_acknowledgements():
    async with trading(budget=6) as talk:
        channels = [f"trades.{PERP}.100ms", f"book.{PERP}.100ms"]
        number = await talk.send("public/subscribe", channels=channels)
        while number not in talk.answers:
            await talk._hear()
        answer = talk.answers[number]
        theirs = sample("ws_subscribe_response")
        assert theirs.keys() <= answer.keys()
        assert answer["result"] == channels == theirs["result"]
        theirs = sample("ws_error")["error"]
        for _ in range(12):
            number = await talk.send("public/get_time")
            while number not in talk.answers:
                await talk._hear()
            if "error" in talk.answers[number]:
                break
        error = talk.answers[number]["error"]
        assert (error["code"], error["message"]) == (theirs["code"], theirs["message"])
