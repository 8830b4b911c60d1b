"""Deribit's private side as it is emulated: orders, and what comes of them."""

from __future__ import annotations

import hashlib
import hmac
import time
from contextlib import asynccontextmanager

import pytest
import trio

from tests.testing._deribit import KEY, PERP, SECRET, Failed, Talk, talking
from tests.testing._emulated import http, open_ws

ORDERS, TRADES = "user.orders.any.any.raw", "user.trades.any.any.raw"


@asynccontextmanager
async def trading(**options):
    """Yield a connection with an account; nobody else trades, and quotes are known."""
    money = options.pop("money", {"BTC": "10", "USDC": "100000"})
    async with talking(money=money, **options) as talk:
        await talk.venue.control("still")
        await talk.venue.outside(PERP, "sell", "60000", "5000", rests=True)
        await talk.venue.outside(PERP, "buy", "59000", "50000", rests=True)
        await talk.auth()
        await talk.subscribe(ORDERS, TRADES, "user.portfolio.btc", of="private")
        yield talk


async def buy(talk, amount=1000, price=59_500, side="buy", **more):
    told = {"price": price} if price is not None else {"type": "market"}
    asked = {"instrument_name": PERP, "amount": amount, **told, **more}
    return await talk.ask(f"private/{side}", **asked)


def codes(failed):
    return failed.value.code, failed.value.text


# -- who asks -----------------------------------------------------------------------


async def test_who_has_no_key_asks_for_nothing():
    async with talking(money={}) as talk:
        with pytest.raises(Failed) as failed:
            await talk.ask("private/get_open_orders")
        assert codes(failed) == (13009, "unauthorized")
        for more in ({"client_secret": "x"}, {"client_id": "x"}):
            with pytest.raises(Failed) as failed:
                await talk.ask(
                    "public/auth", grant_type="client_credentials",
                    **{"client_id": KEY, "client_secret": SECRET, **more},
                )  # fmt: skip
            assert codes(failed) == (13004, "invalid_credentials")
        told = await talk.auth(scope="trade:read")
        assert "trade:read" in told["scope"].split()
        assert await talk.ask("private/get_open_orders") == []
        with pytest.raises(Failed) as failed:
            await buy(talk)
        assert codes(failed) == (13021, "forbidden")


async def test_a_signature_and_a_refresh_token_are_proof_too():
    async with talking(money={}) as talk:
        stamp = int(time.time() * 1000)
        payload = f"{stamp}\nabc\n".encode()
        signature = hmac.new(SECRET.encode(), payload, hashlib.sha256).hexdigest()
        asked = {"grant_type": "client_signature", "client_id": KEY,
                 "timestamp": stamp, "nonce": "abc", "data": ""}  # fmt: skip
        with pytest.raises(Failed) as failed:
            await talk.ask("public/auth", **asked, signature="0" * 64)
        assert failed.value.code == 13004
        told = await talk.ask("public/auth", **asked, signature=signature, state="s")
        assert (told["token_type"], told["state"]) == ("bearer", "s")
        assert await talk.ask("private/get_open_orders") == []
        again = await talk.ask(
            "public/auth", grant_type="refresh_token",
            refresh_token=told["refresh_token"],
        )  # fmt: skip
        assert again["access_token"] != told["access_token"]
        with pytest.raises(Failed) as failed:  # each is good once
            await talk.ask(
                "public/auth", grant_type="refresh_token",
                refresh_token=told["refresh_token"],
            )  # fmt: skip
        assert failed.value.code == 13009


async def test_tokens_end():
    """By their scope, before their time by a fault, and all of an account at once."""
    async with talking(money={}) as talk:
        await talk.venue.fault("token", seconds=1)
        told = await talk.auth()
        assert told["expires_in"] > 900
        assert await talk.ask("private/get_open_orders") == []
        await trio.sleep(1.05)
        with pytest.raises(Failed) as failed:
            await talk.ask("private/get_open_orders")
        assert codes(failed) == (13009, "unauthorized")
        assert failed.value.data == {"reason": "token_expired"}
        await talk.ask("public/auth", grant_type="refresh_token",
                       refresh_token=told["refresh_token"])  # fmt: skip
        assert await talk.ask("private/get_open_orders") == []
        await talk.venue.control("expire_tokens?name=main")
        with pytest.raises(Failed) as failed:
            await talk.ask("private/get_open_orders")
        assert failed.value.code == 13009
        told = await talk.auth(scope="expires:1")
        assert told["expires_in"] == 1


async def test_a_token_is_of_its_connection():
    async with talking(money={}) as talk, http(talk.venue) as client:
        own = await talk.auth()
        named = await talk.auth(scope="session:x")
        async with open_ws(talk.venue, "/ws/api/v2") as socket:
            other = Talk(talk.venue, socket)
            with pytest.raises(Failed) as failed:
                await other.ask("private/get_open_orders",
                                access_token=own["access_token"])  # fmt: skip
            assert failed.value.code == 13009
            key = named["access_token"]
            assert await other.ask("private/get_open_orders", access_token=key) == []
        path = "/api/v2/private/get_open_orders"
        head = {"Authorization": f"bearer {named['access_token']}"}
        assert (await client.get(path, headers=head)).json()["result"] == []
        assert (await client.get(path, auth=(KEY, SECRET))).json()["result"] == []
        line = f"1\nn\nGET\n{path}\n\n".encode()
        sig = hmac.new(SECRET.encode(), line, hashlib.sha256).hexdigest()
        head = {"Authorization": f"deri-hmac-sha256 id={KEY},ts=1,nonce=n,sig={sig}"}
        assert (await client.get(path, headers=head)).json()["result"] == []
        head = {"Authorization": f"deri-hmac-sha256 id={KEY},ts=2,nonce=n,sig={sig}"}
        assert (await client.get(path, headers=head)).json()["error"]["code"] == 13004


# -- orders -------------------------------------------------------------------------


async def test_a_life_of_an_order():
    """Placed, edited, filled in part by others, cancelled; each is told and asked."""
    async with trading() as talk:
        placed = await buy(talk, label="one")
        order = placed["order"]
        assert (order["order_state"], placed["trades"]) == ("open", [])
        assert (order["amount"], order["contracts"], order["label"]) == (
            1000,
            100,
            "one",
        )
        (first,) = await talk.hear(ORDERS)
        assert first == order
        edited = await talk.ask(
            "private/edit", order_id=order["order_id"], amount=800, price=59_600
        )
        assert edited["order"]["order_id"] == order["order_id"]
        assert (edited["order"]["replaced"], edited["order"]["price"]) == (True, 59_600)
        await talk.venue.outside(PERP, "sell", "59600", "300")
        (told,) = await talk.hear(TRADES)
        (trade,) = told
        assert (trade["amount"], trade["price"], trade["liquidity"]) == (
            300,
            59_600,
            "M",
        )
        assert (trade["order_id"], trade["fee"]) == (order["order_id"], 0)
        assert (trade["direction"], trade["label"]) == ("buy", "one")
        open_ = await talk.ask(
            "private/get_open_orders_by_instrument", instrument_name=PERP
        )
        assert [row["filled_amount"] for row in open_] == [300]
        gone = await talk.ask("private/cancel", order_id=order["order_id"])
        assert (gone["order_state"], gone["cancel_reason"]) == (
            "cancelled", "user_request",
        )  # fmt: skip
        states = [row["order_state"] for row in await talk.hear(ORDERS, 4)]
        assert states == ["open", "open", "open", "cancelled"]
        assert await talk.ask("private/get_open_orders") == []
        same = await talk.ask("private/get_order_state", order_id=order["order_id"])
        assert same == gone
        by_label = await talk.ask(
            "private/get_order_state_by_label", currency="BTC", label="one"
        )
        assert by_label == [gone]
        with pytest.raises(Failed) as failed:
            await talk.ask("private/cancel", order_id=order["order_id"])
        assert codes(failed) == (11044, "not_open_order")
        with pytest.raises(Failed) as failed:
            await talk.ask("private/cancel", order_id="77")
        assert codes(failed) == (10004, "order_not_found")


async def test_a_market_order_takes_what_there_is():
    """Its trade is one of all, with the next number of its instrument."""
    async with trading() as talk:
        name = "public/get_last_trades_by_instrument"
        (before,) = (await talk.ask(name, instrument_name=PERP, count=1))["trades"]
        placed = await buy(talk, 8000, None)
        order, (trade,) = placed["order"], placed["trades"]
        assert (order["order_state"], order["order_type"]) == ("cancelled", "market")
        assert (order["filled_amount"], order["average_price"]) == (5000, 60_000)
        assert (trade["liquidity"], trade["fee_currency"]) == ("T", "BTC")
        assert trade["fee"] == pytest.approx(5000 / 60_000 * 0.0005, abs=1e-8)
        assert trade["trade_seq"] > before["trade_seq"]
        (row,) = (await talk.ask(
            name, instrument_name=PERP, start_seq=trade["trade_seq"], count=1
        ))["trades"]  # fmt: skip
        assert {key: trade[key] for key in row} == row


@pytest.mark.parametrize(
    ("more", "code", "text"),
    [
        ({"amount": 15}, -32602, "Invalid params"),
        ({"amount": 5}, 10002, "qty_too_low"),
        ({"price": 59_500.3}, -32602, "Invalid params"),
        ({"price": -1}, -32602, "Invalid params"),
        ({"amount": "x"}, -32602, "Invalid params"),
        ({"type": "nope"}, -32602, "Invalid params"),
        ({"label": "x" * 65}, -32602, "Invalid params"),
        ({"instrument_name": "BTC-X"}, 13020, "not_found"),
        ({"price": 60_000, "post_only": True, "reject_post_only": True}, 11054,
         "post_only_reject"),
        ({"amount": 100_000_000}, 10009, "not_enough_funds"),
        ({"reduce_only": True}, 11030, "other_reject reduce_only_order_not_allowed"),
        ({"post_only": True, "time_in_force": "fill_or_kill"}, 11055,
         "post_only_not_allowed"),
        ({"contracts": 3}, -32602, "Invalid params"),
        ({"valid_until": 5}, 13888, "timed_out"),
        ({"display_amount": 1000}, 10033, "not_implemented"),
        ({"type": "stop_limit"}, -32602, "Invalid params"),
    ],
)  # fmt: skip
async def test_what_is_no_order_is_refused(more, code, text):
    async with trading() as talk:
        with pytest.raises(Failed) as failed:
            await buy(talk, **more)
        assert codes(failed) == (code, text)
        assert (await talk.venue.account("main"))["orders"] == []


async def test_what_a_price_must_be_is_told():
    async with trading() as talk:
        with pytest.raises(Failed) as failed:
            await buy(talk, price=59_500.25)
        assert failed.value.data == {"reason": "must conform to tick size",
                                     "param": "price"}  # fmt: skip


async def test_post_only_makes_way():
    async with trading() as talk:
        placed = await buy(talk, price=61_000, post_only=True)
        order = placed["order"]
        assert (order["price"], order["order_state"]) == (59_999.5, "open")
        assert (order["post_only"], order["reject_post_only"]) == (True, False)


@pytest.mark.parametrize(
    ("lasts", "amount", "state", "filled"),
    [
        ("fill_or_kill", 6000, "cancelled", 0), ("fill_or_kill", 5000, "filled", 5000),
        ("immediate_or_cancel", 6000, "cancelled", 5000),
        ("good_til_cancelled", 6000, "open", 5000),
        ("good_til_day", 6000, "open", 5000),
    ],
)  # fmt: skip
async def test_how_long_an_order_lasts(lasts, amount, state, filled):
    async with trading() as talk:
        placed = await buy(talk, amount, 60_000, time_in_force=lasts)
        order = placed["order"]
        assert (order["order_state"], order["filled_amount"]) == (state, filled)
        assert order["time_in_force"] == lasts


@pytest.mark.parametrize(
    ("kind", "more", "mean"),
    [("stop_market", {}, 58_500), ("stop_limit", {"price": 58_400}, 58_500)],
)
async def test_a_stop_waits_until_it_is_reached(kind, more, mean):
    """It has an id of its own until then, and another one after."""
    async with trading() as talk:
        await talk.venue.outside(PERP, "sell", "59000", "10")
        placed = await talk.ask(
            "private/sell", instrument_name=PERP, amount=1000, type=kind,
            trigger="last_price", trigger_price=58_500, label="s", **more,
        )  # fmt: skip
        waits = placed["order"]
        assert waits["order_id"].startswith("SLTS-")
        assert (waits["order_state"], waits["order_type"]) == ("untriggered", kind)
        assert waits["price"] == more.get("price", "market_price")
        (row,) = await talk.ask(
            "private/get_open_orders_by_currency", currency="BTC", type="trigger_all"
        )
        assert row == waits
        edited = await talk.ask(
            "private/edit", order_id=waits["order_id"], amount=900,
            trigger_price=58_510, **more,
        )  # fmt: skip
        assert edited["order"]["trigger_price"] == 58_510
        await talk.venue.outside(PERP, "buy", "58500", "5000", rests=True)
        await talk.venue.outside(PERP, "sell", "58500", "500")
        (trades,) = await talk.hear(TRADES)
        assert trades[0]["price"] == mean
        rows = await talk.hear(ORDERS, 5)
        states = [row["order_state"] for row in rows]
        assert states == ["untriggered", "untriggered", "triggered", "open", "filled"]
        assert rows[2]["order_id"] == rows[3]["trigger_order_id"] == waits["order_id"]
        assert rows[3]["order_id"] != waits["order_id"]
        assert rows[4]["order_type"] == kind.removeprefix("stop_")
        told = await talk.ask("private/get_order_state", order_id=waits["order_id"])
        assert told["order_state"] == "triggered"
        told = await talk.ask("private/get_order_state", order_id=rows[4]["order_id"])
        assert told["order_state"] == "filled"


async def test_a_stop_by_the_mark_price():
    """It begins to count with the tape's index, not with trades here."""
    async with talking(money={"BTC": "10"}) as talk:
        await talk.auth()
        await talk.subscribe(ORDERS, of="private")
        ticker = await talk.ask("public/ticker", instrument_name=PERP)
        above = round(ticker["mark_price"]) + 5000
        with pytest.raises(Failed) as failed:
            await talk.ask("private/buy", instrument_name=PERP, amount=10,
                           type="stop_market", trigger="mark_price",
                           trigger_price=above - 10_000)  # fmt: skip
        assert codes(failed) == (11036, "invalid_trigger_price")
        placed = await talk.ask(
            "private/buy", instrument_name=PERP, amount=10, type="stop_market",
            trigger="mark_price", trigger_price=above,
        )  # fmt: skip
        await talk.ask("private/edit", order_id=placed["order"]["order_id"],
                       amount=10, trigger_price=above + 0.5)  # fmt: skip
        rows = await talk.hear(ORDERS, 2)
        assert {row["order_state"] for row in rows} == {"untriggered"}
        await talk.ask("private/cancel", order_id=placed["order"]["order_id"])
        (*_, last) = await talk.hear(ORDERS, 3)
        assert last["order_state"] == "cancelled"


async def test_orders_go_by_label_instrument_currency_and_all():
    async with trading() as talk:
        for label in ("a", "a", "b"):
            await buy(talk, 10, 50_000, label=label)
        with pytest.raises(Failed) as failed:
            await talk.ask("private/edit_by_label", label="a", instrument_name=PERP,
                           amount=20, price=50_000)  # fmt: skip
        assert codes(failed) == (13032, "non_unique_order_label")
        edited = await talk.ask(
            "private/edit_by_label", label="b", instrument_name=PERP, amount=20,
            price=50_001,
        )  # fmt: skip
        assert (edited["order"]["amount"], edited["order"]["price"]) == (20, 50_001)
        assert await talk.ask("private/cancel_by_label", label="a") == 2
        usdc = "BTC_USDC-PERPETUAL"
        await talk.ask("private/buy", instrument_name=usdc, amount=0.01, price=50_000)
        ask = talk.ask
        assert await ask("private/cancel_all_by_instrument", instrument_name=PERP) == 1
        assert len(await ask("private/get_open_orders_by_currency",
                             currency="USDC")) == 1  # fmt: skip
        assert await ask("private/cancel_all_by_currency", currency="BTC") == 0
        assert await ask("private/cancel_all") == 1
        assert await ask("private/get_open_orders") == []


async def test_the_tape_trades_with_what_rests():
    """An order at the tape's best price is filled as time goes."""
    async with talking(money={"BTC": "10"}) as talk:
        await talk.auth()
        await talk.subscribe(TRADES, of="private")
        ticker = await talk.ask("public/ticker", instrument_name=PERP)
        for side, best in (("buy", "bid"), ("sell", "ask")):  # up or down, one is hit
            price = ticker[f"best_{best}_price"]
            await talk.ask(f"private/{side}", instrument_name=PERP, amount=10,
                           price=price)  # fmt: skip
        (trades, *_) = await talk.hear(TRADES)
        # the price may have come nearer before the order did
        if trades[0]["direction"] == "buy":
            assert trades[0]["price"] <= ticker["best_bid_price"]
        else:
            assert trades[0]["price"] >= ticker["best_ask_price"]
        option = next(
            row["instrument_name"]
            for row in await talk.ask("public/get_instruments", currency="BTC",
                                      kind="option")
            if row["option_type"] == "call"
        )  # fmt: skip
        bought = await talk.ask("private/buy", instrument_name=option, amount=0.1,
                                type="market")  # fmt: skip
        (trade,) = bought["trades"]
        book = await talk.ask("public/get_order_book", instrument_name=option)
        assert trade["price"] == pytest.approx(book["best_ask_price"], rel=0.05)
        assert trade["iv"] > 0
        assert trade["underlying_price"] > trade["index_price"]


@pytest.mark.parametrize(
    ("scope", "is_on", "ends"),
    [
        ("connection", True, True), ("connection", False, False),
        ("account", True, True), ("account", None, False),
    ],
)  # fmt: skip
async def test_orders_may_end_with_their_connection(scope, is_on, ends):
    """If it says so, or its account does; a logout ends none, nor those of others."""
    ask = {"scope": scope}
    async with trading() as talk:
        await buy(talk, 20, 50_000)
        if scope == "account":
            await talk.ask("private/enable_cancel_on_disconnect", **ask)
        async with open_ws(talk.venue, "/ws/api/v2") as socket:
            other = Talk(talk.venue, socket)
            await other.auth()
            if scope == "connection" and is_on:
                assert await other.ask("private/enable_cancel_on_disconnect") == "ok"
            if is_on is None:  # it has it otherwise than its account
                await other.ask("private/disable_cancel_on_disconnect")
            told = await other.ask("private/get_cancel_on_disconnect")
            assert told == {"scope": "connection", "enabled": ends}
            told = await other.ask("private/get_cancel_on_disconnect", **ask)
            assert told["scope"] == scope
            await other.ask("private/buy", instrument_name=PERP, amount=10,
                            price=50_000)  # fmt: skip
            await socket.aclose()
            if ends:
                (*_, last) = await talk.hear(ORDERS, 3)
                assert last["cancel_reason"] == "cancel_on_disconnect"
            counted = (await talk.venue.stats())["requests"]
            assert counted["private/buy"] == 2
            left = [row["amount"] for row in await talk.ask("private/get_open_orders")]
            assert left == ([20] if ends else [10, 20])


async def test_a_logout_ends_no_order():
    async with trading() as talk, open_ws(talk.venue, "/ws/api/v2") as socket:
        other = Talk(talk.venue, socket)
        await other.auth()
        await other.ask("private/enable_cancel_on_disconnect")
        await other.ask("private/buy", instrument_name=PERP, amount=10, price=50_000)
        await other.ask("private/logout")
        with pytest.raises(Failed):
            await other.ask("private/get_open_orders")
        await socket.aclose()
        await trio.sleep(0.2)
        assert len(await talk.ask("private/get_open_orders")) == 1


async def test_trades_of_one_order_are_told_at_once():
    async with trading() as talk, open_ws(talk.venue, "/ws/api/v2") as socket:
        await talk.subscribe("user.changes.any.BTC.raw", of="private")
        await talk.venue.open_account("other", "another-id", "another-secret", BTC="10")
        other = Talk(talk.venue, socket)
        await other.auth("another-id", "another-secret")
        for amount, price in ((1000, 59_500), (2000, 59_600)):
            await buy(other, amount, price, side="sell")
        amount = 2500
        placed = await buy(talk, amount, None)
        assert [row["amount"] for row in placed["trades"]] == [1000, 1500]
        (told,) = await talk.hear(TRADES)
        assert told == placed["trades"]
        seqs = [row["trade_seq"] for row in told]
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
        rows = await talk.hear(ORDERS, 2)
        assert [row["filled_amount"] for row in rows] == [0, amount]
        _, changes = await talk.hear("user.changes.any.BTC.raw", 2)
        assert (changes["trades"], changes["orders"]) == (told, rows[1:])
        assert changes["positions"][0]["size"] == amount
