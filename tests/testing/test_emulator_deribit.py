"""Deribit as it is emulated: what is listed, what it trades at, who is told."""

from __future__ import annotations

import json
import time
from decimal import Decimal

import pytest
import trio
from websockets.exceptions import ConnectionClosed

from piker.testing.emulator import open_emulator
from tests.testing._deribit import KEY, PERP, SECRET, Failed, Talk, talking
from tests.testing._emulated import http, open_ws


async def test_a_chain_around_the_index():
    """Perpetual, futures and options are listed, and lie around one index."""
    async with talking() as talk:
        rows = await talk.ask("public/get_instruments", currency="BTC")
        kinds = [row["kind"] for row in rows]
        assert kinds.count("option") >= 100
        assert kinds.count("future") >= 5
        options = [row for row in rows if row["kind"] == "option"]
        index = await talk.ask("public/get_index_price", index_name="btc_usd")
        level = index["index_price"]
        strikes = {row["strike"] for row in options}
        assert min(strikes) < level < max(strikes)
        assert {row["option_type"] for row in options} == {"call", "put"}
        one = next(row for row in options if row["settlement_period"] == "day")
        day, strike, right = one["instrument_name"].split("-")[1:]
        assert float(strike) == one["strike"]
        assert right == one["option_type"][0].upper()
        days = await talk.ask("public/get_expirations", currency="BTC", kind="option")
        assert day in days["btc"]["option"]
        linear = await talk.ask("public/get_instruments", currency="USDC")
        assert [row["instrument_name"] for row in linear] == ["BTC_USDC-PERPETUAL"]
        assert linear[0]["instrument_type"] == "linear"
        same = await talk.ask("public/get_instrument", instrument_name=PERP)
        assert same == next(row for row in rows if row["instrument_name"] == PERP)
        assert (same["settlement_period"], same["contract_size"]) == ("perpetual", 10)


async def test_calls_and_puts_agree():
    """A call less a put is the forward less the strike, and greeks fit."""
    async with talking() as talk:
        rows = await talk.ask("public/get_instruments", currency="BTC", kind="option")
        names = [row["instrument_name"] for row in rows]
        for name in names[20:24:2]:
            call, put = {}, {"underlying_price": 0}
            while call.get("underlying_price") != put["underlying_price"]:  # it moves
                call = await talk.ask("public/ticker", instrument_name=name)
                put = await talk.ask("public/ticker", instrument_name=name[:-1] + "P")
            forward = call["underlying_price"]
            strike = float(name.split("-")[2])
            worth = (call["mark_price"] - put["mark_price"]) * forward
            assert worth == pytest.approx(forward - strike, abs=0.2)
            assert call["greeks"]["delta"] - put["greeks"]["delta"] == pytest.approx(1)
            assert call["bid_iv"] < call["mark_iv"] < call["ask_iv"]
            assert call["best_bid_price"] < call["mark_price"] < call["best_ask_price"]


async def test_a_tick_depends_on_the_price():
    async with talking() as talk:
        rows = await talk.ask("public/get_instruments", currency="BTC", kind="option")
        assert rows[0]["tick_size"] == 0.0001
        assert rows[0]["tick_size_steps"] == [
            {"above_price": 0.005, "tick_size": 0.0005}
        ]
        for row in rows:
            book = await talk.ask(
                "public/get_order_book", instrument_name=row["instrument_name"], depth=5
            )
            for price, amount in book["bids"] + book["asks"]:
                tick = "0.0005" if price >= 0.005 else "0.0001"
                assert Decimal(str(price)) % Decimal(tick) == 0
                assert Decimal(str(amount)) % Decimal("0.1") == 0
            if row["instrument_name"].endswith("90000-C"):
                break


async def test_trades_of_requests_are_those_of_the_stream():
    """Each has the next sequence number; bars are made of them."""
    async with talking(past_s=600) as talk:
        await talk.subscribe(f"trades.{PERP}.100ms")
        heard = await talk.hear(f"trades.{PERP}.100ms", 3)
        heard = [row for rows in heard for row in rows]
        first, last = heard[0]["trade_seq"], heard[-1]["trade_seq"]
        told = await talk.ask(
            "public/get_last_trades_by_instrument", instrument_name=PERP,
            start_seq=first, end_seq=last, count=1000, sorting="asc",
        )  # fmt: skip
        assert (told["trades"], told["has_more"]) == (heard, False)
        assert [row["trade_seq"] for row in heard] == list(range(first, last + 1))
        assert all(row["amount"] % 10 == 0 for row in heard)
        page = await talk.ask(
            "public/get_last_trades_by_instrument_and_time", instrument_name=PERP,
            start_timestamp=heard[0]["timestamp"] - 15_000,
            end_timestamp=heard[0]["timestamp"], count=1000, sorting="asc",
        )  # fmt: skip
        minute = heard[0]["timestamp"] // 60_000 * 60_000 - 60_000
        some = []
        for start in range(minute, minute + 60_000, 15_000):  # a list has 1000 at most
            told = await talk.ask(
                "public/get_last_trades_by_instrument_and_time", instrument_name=PERP,
                start_timestamp=start, end_timestamp=start + 14_999, count=1000,
                sorting="asc",
            )  # fmt: skip
            assert not told["has_more"]
            some += told["trades"]
        bars = await talk.ask(
            "public/get_tradingview_chart_data", instrument_name=PERP,
            start_timestamp=minute, end_timestamp=minute + 59_999, resolution="1",
        )  # fmt: skip
        assert page["trades"][-1]["trade_seq"] >= first
        prices = [row["price"] for row in some]
        assert (bars["status"], bars["ticks"]) == ("ok", [minute])
        assert (bars["high"], bars["low"]) == ([max(prices)], [min(prices)])
        assert (bars["open"], bars["close"]) == ([prices[0]], [prices[-1]])
        volume = sum(row["amount"] / row["price"] for row in some)
        assert bars["volume"][0] == pytest.approx(volume, abs=1e-6)


async def test_pages_of_trades():
    async with talking(past_s=600) as talk:
        name = "public/get_last_trades_by_instrument"
        newest = await talk.ask(name, instrument_name=PERP)
        seqs = [row["trade_seq"] for row in newest["trades"]]
        assert len(seqs) == 10
        assert seqs == sorted(seqs, reverse=True)
        assert newest["has_more"]
        again = await talk.ask(name, instrument_name=PERP, start_seq=seqs[-1], count=3)
        assert [row["trade_seq"] for row in again["trades"]] == seqs[::-1][:3]
        assert again["has_more"]
        last = await talk.ask(
            name, instrument_name=PERP, end_seq=seqs[4], count=2, sorting="desc"
        )
        assert [row["trade_seq"] for row in last["trades"]] == seqs[4:6]


async def test_no_data_where_there_is_none():
    async with talking() as talk:
        told = await talk.ask(
            "public/get_tradingview_chart_data", instrument_name=PERP,
            start_timestamp=1_000_000_000_000, end_timestamp=1_000_000_600_000,
            resolution="1",
        )  # fmt: skip
        assert told["status"] == "no_data"
        assert told["ticks"] == []


async def test_years_of_bars():
    async with talking(history_s=400 * 86_400) as talk:
        end_ms = int(time.time() * 1000)
        rows = await talk.ask("public/get_instruments", currency="BTC", kind="option")
        for name in (PERP, rows[21]["instrument_name"]):
            told = await talk.ask(
                "public/get_tradingview_chart_data", instrument_name=name,
                start_timestamp=end_ms - 300 * 86_400_000, end_timestamp=end_ms,
                resolution="1D",
            )  # fmt: skip
            assert len(told["ticks"]) >= 300
            rows = zip(told["low"], told["open"], told["close"], told["high"],
                       strict=True)  # fmt: skip
            for low, *ends, high in rows:
                assert low <= min(ends) <= max(ends) <= high


async def test_a_book_is_a_snapshot_and_changes():
    """Changes name the one before, and lead to what a request tells."""
    async with talking() as talk:
        channel = f"book.{PERP}.100ms"
        await talk.subscribe(channel)
        heard = await talk.hear(channel, 6)
        head, *rest = heard
        assert head["type"] == "snapshot"
        assert "prev_change_id" not in head
        sides = {side: {p: a for _, p, a in head[side]} for side in ("bids", "asks")}
        before = head["change_id"]
        for one in rest:
            assert (one["type"], one["prev_change_id"]) == ("change", before)
            before = one["change_id"]
            for side, levels in sides.items():
                for what, price, amount in one[side]:
                    assert (price in levels) == (what != "new")
                    if what == "delete":
                        assert amount == 0
                        del levels[price]
                    else:
                        levels[price] = amount
            assert max(sides["bids"]) < min(sides["asks"])
            assert len(sides["bids"]) == len(sides["asks"]) == 10
        # who comes later begins where the others are
        async with open_ws(talk.venue, "/ws/api/v2") as socket:
            later = Talk(talk.venue, socket)
            await later.subscribe(channel)
            (first, *_) = await later.hear(channel)
            assert first["type"] == "snapshot"
            count = len(heard)
            heard = await talk.hear(channel, count)
            ids = {one["change_id"] for one in await talk.hear(channel, count + 2)}
            assert first["change_id"] in ids


async def test_tickers_and_quotes():
    async with talking() as talk:
        rows = await talk.ask("public/get_instruments", currency="BTC", kind="option")
        names = [row["instrument_name"] for row in rows]
        channels = [f"ticker.{name}.100ms" for name in names]
        assert await talk.subscribe(*channels, f"quote.{PERP}") == [
            *channels, f"quote.{PERP}",
        ]  # fmt: skip
        for channel in (channels[0], channels[-1]):
            one, other = (await talk.hear(channel, 2))[:2]
            assert one["timestamp"] <= other["timestamp"]
            assert one != other
        quotes = await talk.hear(f"quote.{PERP}", 2)
        assert quotes[0] != quotes[1]


async def test_channels_that_there_are_not_are_left_out():
    async with talking() as talk:
        good = f"trades.{PERP}.100ms"
        asked = ["trades.NOPE.100ms", good, "nonsense", f"book.{PERP}.7ms", good]
        assert await talk.subscribe(*asked) == [good]
        assert await talk.ask("public/unsubscribe", channels=asked) == [good]
        assert await talk.subscribe(good) == [good]
        assert await talk.ask("public/unsubscribe_all") == "ok"
        assert (await talk.venue.stats())["subscribed_now"] == {}
        with pytest.raises(Failed) as failed:
            await talk.ask("public/subscribe")
        assert failed.value.code == -32602


async def test_raw_channels_need_a_key():
    async with talking(money={}) as talk:
        with pytest.raises(Failed) as failed:
            await talk.subscribe(f"trades.{PERP}.raw")
        assert failed.value.code == 13778
        assert failed.value.text == "raw_subscriptions_not_available_for_unauthorized"
        await talk.auth()
        channel = f"trades.{PERP}.raw"
        assert await talk.subscribe(channel) == [channel]
        assert len(await talk.hear(channel, 3)) == 3


@pytest.mark.parametrize(
    ("method", "params", "code", "text"),
    [
        ("public/nope", {}, -32601, "Method not found"),
        ("nope", {}, -32601, "Method not found"),
        ("public/ticker", {}, -32602, "Invalid params"),
        ("public/ticker", {"instrument_name": 7}, -32602, "Invalid params"),
        ("public/ticker", {"instrument_name": "BTC-X"}, 13020, "not_found"),
        ("public/get_order_book", {"instrument_name": PERP, "depth": 3}, -32602,
         "Invalid params"),
        ("public/get_instruments", {"currency": "XYZ"}, -32602, "Invalid params"),
        ("public/set_heartbeat", {"interval": 9}, -32602, "Invalid params"),
        ("public/test", {"expected_result": "exception"}, 11094,
         "internal_server_error"),
        ("private/get_positions", {"currency": "BTC"}, 13009, "unauthorized"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_told(method, params, code, text):
    async with talking() as talk:
        with pytest.raises(Failed) as failed:
            await talk.ask(method, **params)
        assert (failed.value.code, failed.value.text) == (code, text)


async def test_what_is_no_request():
    async with talking() as talk:
        for message, code in (("[", -32700), ("[]", 11050), ("{}", -32600)):
            await talk.socket.send(message)
            assert json.loads(await talk.socket.recv())["error"]["code"] == code
        assert (await talk.ask("public/test"))["version"]


async def test_the_same_methods_over_http():
    async with talking() as talk, http(talk.venue) as client:
        told = (
            await client.get("/api/v2/public/ticker", params={"instrument_name": PERP})
        ).json()
        assert told["result"]["instrument_name"] == PERP
        assert told["usOut"] - told["usIn"] == told["usDiff"]
        asked = {"jsonrpc": "2.0", "id": 5, "method": "public/get_time", "params": {}}
        began_ms = time.time_ns() // 10**6
        told = (await client.post("/api/v2", json=asked)).json()
        assert told["id"] == 5
        assert began_ms <= told["result"] <= time.time() * 1000
        wrong = await client.get("/api/v2/public/ticker?instrument_name=X")
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, 13020)
        only = await client.get("/api/v2/public/set_heartbeat?interval=10")
        assert only.json()["error"]["code"] == 10030
        assert (await client.get("/api/v1/public/test")).status_code == 404


async def test_heartbeats_are_to_be_answered():
    """Who answers each test_request stays; who doesn't is cut off."""
    async with talking(ping_s=0.5) as talk:
        assert await talk.ask("public/set_heartbeat", interval=10) == "ok"
        for count in range(1, 4):
            await talk.hear("heartbeat", 2 * count)
            await talk.ask("public/test")
        kinds = [params["type"] for channel, params in talk.told]
        assert kinds[:2] == ["heartbeat", "test_request"]
        with pytest.raises(ConnectionClosed):
            await talk.hear("heartbeat", 100)
        async with open_ws(talk.venue, "/ws/api/v2") as socket:
            other = Talk(talk.venue, socket)
            await other.ask("public/set_heartbeat", interval=10)
            assert await other.ask("public/disable_heartbeat") == "ok"
            await trio.sleep(1.2)
            await other.ask("public/test")
            assert not other.told


async def test_too_many_requests_end_the_connection():
    async with talking(budget=5) as talk:
        with pytest.raises(Failed) as failed:
            for _ in range(9):
                await talk.ask("public/get_time")
        assert (failed.value.code, failed.value.text) == (10028, "too_many_requests")
        with pytest.raises(ConnectionClosed), trio.fail_after(10):
            await talk.socket.recv()
        assert (await talk.venue.stats())["limited"] == 1


async def test_spot_and_made_up_ones():
    sim = ["btcusdt.spot.sim", "solusdt.usdtm.perp.sim"]
    async with talking(sim=sim, made_up=30) as talk:
        rows = await talk.ask("public/get_instruments", currency="any")
        names = {row["instrument_name"]: row for row in rows}
        assert names["BTC_USDT"]["kind"] == "spot"
        assert names[PERP]["instrument_type"] == "reversed"
        sol = names["SOL_USDC-PERPETUAL"]
        assert sol["instrument_type"] == "linear"
        assert sol["settlement_currency"] == "USDC"
        assert len([name for name in names if name.endswith("_USDC-PERPETUAL")]) == 32
        some = await talk.ask("public/ticker", instrument_name="SOL_USDC-PERPETUAL")
        assert some["best_bid_price"] < some["best_ask_price"]
        made = next(name for name in names if name.startswith("K"))
        told = await talk.ask("public/ticker", instrument_name=made)
        assert told["last_price"] is None


@pytest.mark.tree
async def test_a_process_of_its_own():
    async with open_emulator("deribit", sim=["btcusdt.usdtm.perp.sim"]) as venue:
        assert venue.conf == (
            f'[brokers.deribit]\nws = "{venue.ws_url}"\nclock = "wall"\n'
        )
        await venue.open_account("main", KEY, SECRET, BTC="1")
        async with open_ws(venue, "/ws/api/v2") as socket:
            talk = Talk(venue, socket)
            await talk.auth()
            await talk.subscribe(f"trades.{PERP}.raw")
            heard = [row for rows in await talk.hear(f"trades.{PERP}.raw", 3)
                     for row in rows]  # fmt: skip
            tape = {one.tid: one for one in await venue.trades(PERP)}
            for row in heard:
                one = tape[row["trade_seq"]]
                assert one.time_ns == row["timestamp"] * 1_000_000
                assert one.price == row["price"]
                assert one.size == pytest.approx(row["amount"] / row["price"], abs=1e-7)
