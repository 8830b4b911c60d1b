"""Binance's private side as it is emulated: who may ask, what is answered and told."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import time
from contextlib import asynccontextmanager
from urllib.parse import urlencode

import httpx
import pytest
import trio

from tests.testing._emulated import (
    ORIGIN_MS,
    open_local,
    open_ws,
    plain_http,
    write_session,
)

KEY, SECRET = "a-key", "a-secret"
SYMBOL = "BTCUSDT"


def signed(params: dict, secret: str = SECRET, *, is_ws: bool = False) -> dict:
    """Return parameters of a request with its signature, put by hand."""
    params = {"timestamp": time.time_ns() // 1_000_000, **params}
    if is_ws:
        params = {"apiKey": KEY, **params}
        text = "&".join(f"{key}={value}" for key, value in sorted(params.items()))
    else:
        text = urlencode(params)
    digest = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    return {**params, "signature": digest}


class Venue:
    def __init__(self, emulator, client) -> None:
        self.emulator, self._client = emulator, client

    async def rest(self, method, path, key=KEY, secret=SECRET, **params):
        url = f"{self.emulator.http_url}{path}?{urlencode(signed(params, secret))}"
        answer = await self._client.request(method, url, headers={"X-MBX-APIKEY": key})
        self.headers = answer.headers
        return answer.status_code, answer.json()

    async def place(self, side="BUY", price="50000", size="0.01", **more):
        params = {
            "symbol": SYMBOL, "side": side, "type": "LIMIT", "timeInForce": "GTC",
            "price": price, "quantity": size, **more,
        }  # fmt: skip
        params = {key: value for key, value in params.items() if value is not None}
        return await self.rest("POST", "/api/v3/order", **params)


@asynccontextmanager
async def open_venue(**options):
    options = {"sim": ["btcusdt.spot.sim"], "streams": 0, "past_s": 60, **options}
    async with (
        open_local("binance.spot", **options) as emulator,
        plain_http() as client,
    ):
        await emulator.control("still")
        await emulator.outside(SYMBOL, "sell", "60000", "5", rests=True)
        await emulator.outside(SYMBOL, "buy", "59000", "5", rests=True)
        await emulator.open_account("main", KEY, SECRET, USDT="100000", BTC="10")
        yield Venue(emulator, client)


class Talk:
    """A connection of the websocket API."""

    def __init__(self, socket) -> None:
        self.socket, self.events, self._count = socket, [], 0

    async def ask(self, method, **params):
        self._count += 1
        asked = {"id": self._count, "method": method,
                 "params": signed(params, is_ws=True)}  # fmt: skip
        await self.socket.send(json.dumps(asked))
        while True:
            told = json.loads(await self.socket.recv())
            if told.get("id") == self._count:
                return told
            self.events.append(told["event"])

    async def until(self, what):
        """Return the newest report of a kind, once it is told."""
        with trio.fail_after(20):
            while True:
                for event in self.events:
                    if event.get("x") == what:
                        return event
                await self.hear()

    async def hear(self):
        """Wait for whatever is told."""
        with trio.fail_after(20):
            self.events.append(json.loads(await self.socket.recv())["event"])


def reports(talk):
    return [event for event in talk.events if event["e"] == "executionReport"]


@asynccontextmanager
async def open_talk(venue):
    async with open_ws(venue.emulator, "/ws-api/v3") as socket:
        talk = Talk(socket)
        told = await talk.ask("userDataStream.subscribe.signature")
        assert told["result"] == {"subscriptionId": 0}
        yield talk


async def test_an_order_from_its_placing_to_its_fill():
    async with open_venue() as venue, open_talk(venue) as talk:
        placed = await talk.ask(
            "order.place", symbol=SYMBOL, side="SELL", type="LIMIT", timeInForce="GTC",
            price="61000.5", quantity="0.02", newClientOrderId="mine",
        )  # fmt: skip
        assert placed["status"] == 200
        assert placed["result"]["status"] == "NEW"
        assert placed["result"]["clientOrderId"] == "mine"
        new = await talk.until("NEW")
        assert (new["c"], new["q"], new["z"]) == ("mine", "0.02000000", "0.00000000")
        status, rows = await venue.rest("GET", "/api/v3/openOrders", symbol=SYMBOL)
        assert status == 200
        assert [row["orderId"] for row in rows] == [placed["result"]["orderId"]]
        await venue.emulator.outside(SYMBOL, "buy", "62000", "5.005")
        trade = await talk.until("TRADE")
        assert (trade["X"], trade["l"], trade["L"], trade["m"]) == (
            "PARTIALLY_FILLED", "0.00500000", "61000.50000000", True,
        )  # fmt: skip
        assert (trade["n"], trade["N"]) == ("0.30500250", "USDT")
        canceled = await talk.ask(
            "order.cancel", symbol=SYMBOL, origClientOrderId="mine"
        )
        assert canceled["result"]["status"] == "CANCELED"
        assert canceled["result"]["executedQty"] == "0.00500000"
        gone = await talk.until("CANCELED")
        assert gone["C"] == "mine" != gone["c"]
        status, trades = await venue.rest("GET", "/api/v3/myTrades", symbol=SYMBOL)
        assert [(row["id"], row["qty"]) for row in trades] == [
            (trade["t"], "0.00500000")
        ]
        told = await venue.emulator.account("main")
        assert told["money"]["BTC"] == {"free": "9.995", "held": "0.000"}


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        ({"key": ""}, -2014, "API-key format"), ({"key": "x"}, -2015, "Invalid API"),
        ({"secret": "x"}, -1022, "Signature"), ({"timestamp": 1}, -1021, "outside"),
        ({"timestamp": 9_999_999_999_999}, -1021, "ahead"),
        ({"recvWindow": 70_000}, -1131, "60000"),
        ({"odd": 1}, -1104, "read '2' parameter(s) but was sent '3'"),
    ],
)  # fmt: skip
async def test_who_may_not_ask(asked, code, words):
    async with open_venue() as venue:
        status, told = await venue.rest("GET", "/api/v3/account", **asked)
        assert status in (400, 401)
        assert told["code"] == code
        assert words in told["msg"]


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        ({"price": "50000.001"}, -1013, "PRICE_FILTER"),
        ({"size": "0.0000001"}, -1013, "LOT_SIZE"), ({"size": "0.00001"}, -1013, "NOT"),
        ({"size": "3"}, -2010, "insufficient balance"),
        ({"side": "SELL", "size": "11"}, -2010, "insufficient balance"),
        ({"symbol": "NOSUCH"}, -1121, "symbol"), ({"side": "HOLD"}, -1117, "side"),
        ({"timeInForce": None}, -1102, "timeInForce"), ({"price": "x"}, -1100, "price"),
        ({"icebergQty": "1"}, -1104, "read '8' parameter(s) but was sent '9'"),
        ({"stopPrice": "1"}, -1106, "'stopPrice' sent when not required"),
        ({"type": "STOP_LOSS_LIMIT"}, -1102, "stopPrice"),
        ({"type": "LIMIT_MAKER", "timeInForce": None, "price": "60000"}, -2010,
         "immediately match"),
    ],
)  # fmt: skip
async def test_what_is_refused(asked, code, words):
    async with open_venue() as venue:
        status, told = await venue.place(**asked)
        assert status == 400
        assert (told["code"], words in told["msg"]) == (code, True), told
        assert (await venue.emulator.account("main"))["orders"] == []


async def test_cancel_and_replace_has_two_halves():
    async with open_venue() as venue, open_talk(venue) as talk:
        asked = {
            "symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC",
            "price": "58000", "quantity": "0.5",
        }  # fmt: skip
        await talk.ask("order.place", **asked, newClientOrderId="r0")
        swap = {**asked, "cancelReplaceMode": "STOP_ON_FAILURE", "price": "58001",
                "cancelOrigClientOrderId": "r0", "newClientOrderId": "r1"}  # fmt: skip
        told = await talk.ask(
            "order.cancelReplace", **swap, cancelRestrictions="ONLY_NEW"
        )
        assert told["result"]["cancelResult"] == "SUCCESS"
        assert told["result"]["newOrderResponse"]["clientOrderId"] == "r1"
        # the old one is gone: nothing is placed
        told = await talk.ask("order.cancelReplace", **swap)
        assert (told["status"], told["error"]["code"]) == (400, -2022)
        assert told["error"]["data"]["newOrderResult"] == "NOT_ATTEMPTED"
        # the new one can't be paid: the old one is gone all the same
        swap |= {"cancelOrigClientOrderId": "r1", "newClientOrderId": "r2",
                 "quantity": "5"}  # fmt: skip
        told = await talk.ask("order.cancelReplace", **swap)
        assert (told["status"], told["error"]["code"]) == (409, -2021)
        assert told["error"]["data"]["cancelResult"] == "SUCCESS"
        assert told["error"]["data"]["newOrderResponse"]["code"] == -2010
        # one that is filled in part isn't new any more
        await talk.ask("order.place", **asked, newClientOrderId="r3")
        await venue.emulator.outside(SYMBOL, "sell", "57000", "5.1")
        swap |= {"cancelOrigClientOrderId": "r3", "quantity": "0.1"}
        told = await talk.ask(
            "order.cancelReplace", **swap, cancelRestrictions="ONLY_NEW"
        )
        assert told["error"]["data"]["cancelResponse"]["code"] == -2011
        orders = (await venue.emulator.account("main"))["orders"]
        assert [(one["cl_id"], one["state"]) for one in orders] == [
            ("r0", "canceled"), ("r1", "canceled"), ("r3", "open"),
        ]  # fmt: skip


LOST = ("unheard", "unanswered", "late")


@pytest.mark.parametrize(
    ("how", "is_done"),
    [
        ("unheard", False), ("unanswered", True), ("late", True), ("unsure", True),
        ("refused", False), ("page", False), ("odd", True), ("slow", True),
    ],
)  # fmt: skip
async def test_what_goes_wrong_with_a_request(how, is_done):
    async with open_venue() as venue:
        await venue.emulator.fault("asked", on="place", how=how, seconds=0.2)
        await venue.rest("GET", "/api/v3/account")  # not with that one
        if how in LOST:
            with pytest.raises(httpx.TransportError):
                await venue.place(newClientOrderId="x")
        elif how == "page":
            with pytest.raises(json.JSONDecodeError):
                await venue.place(newClientOrderId="x")
        else:
            status, told = await venue.place(newClientOrderId="x")
            expected = {"unsure": -1007, "refused": -1001}.get(how)
            assert (told.get("code"), status == 200) == (expected, expected is None)
            assert how != "odd" or told["clientOrderId"] == 7
        await trio.sleep(0.4 if how == "late" else 0)
        orders = (await venue.emulator.account("main"))["orders"]
        assert [one["cl_id"] for one in orders] == ["x"] * is_done
        status, _ = await venue.place(newClientOrderId="y")
        assert status == 200, "once"


@pytest.mark.parametrize(
    ("how", "heard"),
    [
        ("lost", ["NEW", "CANCELED"]),
        ("twice", ["NEW", "TRADE", "TRADE", "CANCELED"]),
        ("swapped", ["NEW", "CANCELED", "TRADE"]),
        ("late", ["NEW", "CANCELED", "TRADE"]),
    ],
)  # fmt: skip
async def test_what_goes_wrong_with_an_event(how, heard):
    async with open_venue() as venue, open_talk(venue) as talk:
        await venue.emulator.fault("told", what="traded", how=how, seconds=2)
        await venue.place("SELL", "59500", "0.1", newClientOrderId="x")
        await venue.emulator.outside(SYMBOL, "buy", "59600", "0.05")
        await talk.ask("order.cancel", symbol=SYMBOL, origClientOrderId="x")
        while len(told := reports(talk)) < len(heard):
            await talk.hear()
        with trio.move_on_after(0.5):
            while True:
                await talk.hear()
        assert [event["x"] for event in told] == heard
        assert reports(talk) == told


async def test_an_account_hears_nothing_of_another():
    async with open_venue() as venue, open_talk(venue) as talk:
        await venue.emulator.open_account("other", "k2", "s2", USDT="1000")
        for key, secret, cl_id in (("k2", "s2", "theirs"), (KEY, SECRET, "ours")):
            status, _ = await venue.place(
                key=key, secret=secret, newClientOrderId=cl_id
            )
            assert status == 200
        new = await talk.until("NEW")  # theirs would be told before
        assert new["c"] == "ours"


async def test_an_account_whose_key_may_not_trade_and_is_revoked():
    async with open_venue() as venue:
        await venue.emulator.open_account("other", "k2", "s2", may_trade=False, BTC="1")
        status, told = await venue.place(key="k2", secret="s2")
        assert (status, told["code"]) == (401, -2015)
        status, told = await venue.rest(
            "GET", "/sapi/v1/account/apiRestrictions", "k2", "s2"
        )
        assert told["enableSpotAndMarginTrading"] is False
        await venue.emulator.control("revoke?name=other")
        status, told = await venue.rest("GET", "/api/v3/account", "k2", "s2")
        assert told["code"] == -2015


async def test_requests_weigh_whichever_way_they_come():
    """Of one address, with those of market data."""
    async with open_venue(budget=44) as venue, open_talk(venue) as talk:  # it weighs 2
        for params, used in (({"symbol": SYMBOL}, 8), ({}, 88)):
            status, told = await venue.rest("GET", "/api/v3/openOrders", **params)
            assert venue.headers["x-mbx-used-weight-1m"] == str(used)
        assert (status, told["code"]) == (429, -1003)
        assert 0 < int(venue.headers["retry-after"]) <= 60
        told = await talk.ask("order.place", symbol=SYMBOL)
        assert (told["status"], told["error"]["code"]) == (429, -1003)
        data = told["error"]["data"]
        assert 0 < data["retryAfter"] - data["serverTime"] <= 60_000
        answer = await venue._client.get(f"{venue.emulator.http_url}/api/v3/ping")
        assert answer.status_code == 429


async def test_a_stop_waits_until_it_is_reached():
    async with open_venue() as venue, open_talk(venue) as talk:
        await venue.emulator.outside(SYMBOL, "sell", "59000", "0.1")  # the last price
        stop = {"type": "STOP_LOSS", "price": None, "timeInForce": None}
        status, told = await venue.place("SELL", size="0.1", stopPrice="59500", **stop)
        assert (status, told["code"]) == (400, -2010)
        assert "trigger immediately" in told["msg"]
        status, told = await venue.place(
            "SELL", size="0.1", stopPrice="58500", newClientOrderId="s", **stop
        )
        assert (status, told["status"], told["type"]) == (200, "NEW", "STOP_LOSS")
        await venue.emulator.outside(SYMBOL, "buy", "58500", "1", rests=True)
        named = {"symbol": SYMBOL, "origClientOrderId": "s"}
        _, told = await venue.rest("GET", "/api/v3/order", **named)
        assert (told["isWorking"], told["stopPrice"]) == (False, "58500.00000000")
        await venue.emulator.outside(SYMBOL, "sell", "58500", "0.5")
        trade = await talk.until("TRADE")
        assert (trade["X"], trade["L"]) == ("FILLED", "58500.00000000")
        told = reports(talk)
        assert [(one["x"], one["w"]) for one in told] == [
            ("NEW", False), ("NEW", True), ("TRADE", False),
        ]  # fmt: skip


async def test_fill_or_kill():
    async with open_venue() as venue, open_talk(venue) as talk:
        await venue.emulator.outside(SYMBOL, "sell", "60000", "0.5", rests=True)
        for size, state, filled in (("0.6", "EXPIRED", "0"), ("0.5", "FILLED", "0.5")):
            status, told = await venue.place(
                price="60000", size=size, timeInForce="FOK", newClientOrderId=size
            )
            assert (status, told["status"]) == (200, state)
            assert float(told["executedQty"]) == float(filled)
            assert len(told["fills"]) == (state == "FILLED")
        await talk.until("TRADE")
        told = reports(talk)
        assert [(one["c"], one["x"]) for one in told] == [
            ("0.6", "NEW"), ("0.6", "EXPIRED"), ("0.5", "NEW"), ("0.5", "TRADE"),
        ]  # fmt: skip


@pytest.mark.parametrize("is_ws", [True, False])
async def test_all_orders_of_a_market_are_cancelled(is_ws):
    async def cancel_all(venue, talk):
        if not is_ws:
            return await venue.rest("DELETE", "/api/v3/openOrders", symbol=SYMBOL)
        told = await talk.ask("openOrders.cancelAll", symbol=SYMBOL)
        return told["status"], told.get("result") or told["error"]

    async with open_venue() as venue, open_talk(venue) as talk:
        for cl_id in ("a", "b"):
            await venue.place(newClientOrderId=cl_id)
        status, rows = await cancel_all(venue, talk)
        assert status == 200
        told = [(row["origClientOrderId"], row["status"]) for row in rows]
        assert told == [("a", "CANCELED"), ("b", "CANCELED")]
        assert len({row["clientOrderId"] for row in rows}) == 1, "the request's"
        status, told = await cancel_all(venue, talk)
        assert (status, told["code"]) == (400, -2011)


async def test_markets_halt_and_go_and_orders_are_cancelled_by_hand():
    async with open_venue() as venue, open_talk(venue) as talk:
        control = venue.emulator.control
        for cl_id in ("a", "b"):
            await venue.place(newClientOrderId=cl_id)
        serial = (await venue.emulator.account("main"))["orders"][0]["serial"]
        await control(f"cancel?serial={serial}")
        assert (await talk.until("CANCELED"))["C"] == "a"
        await control(f"halt?symbol={SYMBOL}")
        _, told = await venue.place()
        assert (told["code"], told["msg"]) == (-1013, "Market is closed.")
        await control(f"halt?symbol={SYMBOL}&on=0")
        assert (await venue.place())[0] == 200
        await control(f"delist?symbol={SYMBOL}")
        assert (await talk.until("EXPIRED"))["c"] == "b"
        assert (await venue.place())[1]["code"] == -1121


async def test_an_account_trades_with_what_the_tape_quotes(tmp_path):
    session = write_session(tmp_path / "session.txt")
    async with (
        open_local("binance.spot", session=session, speed=0) as emulator,
        plain_http() as client,
    ):
        venue = Venue(emulator, client)
        await emulator.open_account("main", KEY, SECRET, USDT="100000", BTC="10")
        for side, price in (("SELL", "30002"), ("BUY", "29999")):  # one in its way
            status, _ = await venue.place(side, price, "0.1", timestamp=ORIGIN_MS)
            assert status == 200
        assert (await emulator.account("main"))["trades"] == []
        async with open_ws(emulator):
            await emulator.wait_done()
            now_ms = (await client.get(f"{emulator.http_url}/api/v3/time")).json()
            stamp = {"timestamp": now_ms["serverTime"], "symbol": SYMBOL}
            _, trades = await venue.rest("GET", "/api/v3/myTrades", **stamp)
            assert sum(float(one["qty"]) for one in trades) == pytest.approx(0.1)
            assert {float(one["price"]) for one in trades} == {30_002}
            # prices rise by 7 cents each 150 ms; the bid is a cent below
            first_ms = ORIGIN_MS + math.ceil(2.01 / 0.07) * 150
            assert abs(trades[0]["time"] - first_ms) <= 150
            url = f"{emulator.http_url}/api/v3/ticker/bookTicker?symbol={SYMBOL}"
            quoted = (await client.get(url)).json()
            market = {"price": None, "timeInForce": None, "type": "MARKET"}
            _, bought = await venue.place("BUY", size="0.1", **market, **stamp)
            assert [one["price"] for one in bought["fills"]] == [quoted["askPrice"]]
        orders = (await emulator.account("main"))["orders"]
        assert [one["state"] for one in orders] == ["filled", "open", "filled"]
