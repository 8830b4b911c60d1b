"""Whatever is asked of the emulated Deribit, it answers: nothing ends its process."""

from __future__ import annotations

import json
import random

import pytest
import trio

from piker.testing.emulator._deribit_methods import CANCELS, METHODS, OF_CONNECTIONS
from tests.testing._deribit import PERP
from tests.testing.test_emulator_deribit_orders import trading

PUBLIC = (
    "get_time", "test", "hello", "status", "get_currencies", "get_instruments",
    "get_instrument", "get_expirations", "get_contract_size", "get_index_price",
    "get_delivery_prices", "ticker", "get_order_book", "get_last_trades_by_instrument",
    "get_last_trades_by_instrument_and_time", "get_tradingview_chart_data", "auth",
)  # fmt: skip
NAMES = [
    *(f"public/{name}" for name in PUBLIC), *(f"private/{name}" for name in METHODS),
    *CANCELS, *sorted(OF_CONNECTIONS), "private/logout",
]  # fmt: skip
#: Parameters, and what is good for each.
GOOD = {
    "instrument_name": PERP, "currency": "BTC", "kind": "future", "count": 3,
    "start_timestamp": 1, "end_timestamp": 10**14, "resolution": "1", "depth": 5,
    "amount": 10, "price": 50_000, "order_id": "1", "label": "x", "type": "limit",
    "trigger": "last_price", "trigger_price": 70_000, "channels": [f"quote.{PERP}"],
    "interval": 10, "sorting": "asc", "index_name": "btc_usd", "start_seq": 1,
    "client_name": "x", "client_version": "1", "grant_type": "client_credentials",
    "client_id": "a", "client_secret": "b", "post_only": True, "reduce_only": False,
    "continuation": "1", "query": "trade", "extended": True, "historical": True,
    "time_in_force": "good_til_cancelled", "contracts": 1, "start_id": "5",
    "with_continuation": True, "offset": 1, "search_start_timestamp": 5,
    "access_token": "x", "valid_until": 10**14, "end_seq": 3, "include_unfilled": True,
}  # fmt: skip
ODD = (
    None, True, -1, 0, 1.5, 1e300, -0.0, "", "x", "é\x00", [], {}, [1], {"a": 1},
    "1e999", "-5", "NaN", "Infinity", 10**30, ["x"], "9" * 40,
)  # fmt: skip
RAW = ("1e999999999", "-1E-999999999", "123456789012345678901234567890.5")


def requests(rng, count):
    for nth in range(count):
        method = rng.choice(NAMES)
        names = rng.sample(list(GOOD), rng.randint(0, 12))
        if rng.random() < 0.7:
            names += ["instrument_name", "currency", "amount", "price"]
        params = {
            name: rng.choice(ODD) if rng.random() < 0.2 else GOOD[name]
            for name in names
        }
        text = json.dumps({"jsonrpc": "2.0", "id": nth, "method": method,
                           "params": params})  # fmt: skip
        if rng.random() < 0.1:
            text = text.replace("50000", rng.choice(RAW)).replace(": 10,", ": 1e99999,")
        yield text


@pytest.mark.parametrize("seed", range(4))
async def test_odd_requests_are_answered(seed):
    rng = random.Random(seed)
    async with trading(budget=10**9) as talk:
        count = 400
        for text in requests(rng, count):
            await talk.socket.send(text)
        with trio.fail_after(50):
            while len(talk.answers) < count:
                await talk._hear()
        codes = {one["error"]["code"] for one in talk.answers.values()
                 if "error" in one}  # fmt: skip
        assert {-32602, 13009} <= codes
        talk.answers.clear()
        await talk.auth()
        assert isinstance(await talk.ask("private/get_positions", currency="BTC"), list)


async def test_odd_messages_are_answered():
    async with trading(budget=10**9) as talk:
        told = ("", "null", "[]", "7", '"x"', "{}", '{"id":1}', '{"method":7}',
                '{"method":"public/test","params":[]}', "[" * 5000,
                '{"method":"public/test","id":{"a":[1]}}')  # fmt: skip
        for text in told:
            await talk.socket.send(text)
            answer = json.loads(await talk.socket.recv())
            assert ("result" in answer) == (text == told[-1]), text
        await talk.ask("public/test")


@pytest.mark.parametrize(
    "path",
    [
        "settle?currency=XYZ", "settle", "deliver?instrument=X", "deliver",
        "halt?symbol=X", "settle?currency=BTC&price=x", "delist?symbol=X",
        "expire_tokens", "history?name=a",
        f"deliver?instrument={PERP}&price=0",
    ],
)  # fmt: skip
async def test_odd_control_paths_are_refused(path):
    async with trading() as talk:
        try:
            await talk.venue.control(path)
        except ValueError as error:
            assert path.partition("?")[0] in str(error)  # noqa: PT017
        await talk.ask("public/test")


async def test_an_instrument_that_is_no_more():
    async with trading() as talk:
        placed = await talk.ask("private/buy", instrument_name=PERP, amount=10,
                                price=50_000)  # fmt: skip
        await talk.venue.control(f"delist?symbol={PERP}")
        told = await talk.ask("private/get_order_state",
                              order_id=placed["order"]["order_id"])  # fmt: skip
        assert told["order_state"] == "cancelled"
        told = await talk.ask("public/ticker", instrument_name=PERP)
        assert told["state"] == "closed"
