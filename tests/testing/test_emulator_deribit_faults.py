"""What an emulated Deribit does wrong on command."""

from __future__ import annotations

import json

import pytest
import trio
from websockets.exceptions import ConnectionClosed

from tests.testing._deribit import PERP, Failed, Talk, talking
from tests.testing._emulated import HANDSHAKE, http, open_ws
from tests.testing.test_emulator_deribit_orders import ORDERS, TRADES, buy, trading


async def orders(talk):
    return (await talk.venue.account("main"))["orders"]


@pytest.mark.parametrize(
    ("how", "is_done"),
    [("unheard", False), ("unanswered", True), ("late", True)],
)
async def test_the_connection_breaks_over_an_order(how, is_done):
    async with trading() as talk:
        await talk.venue.fault("asked", on="place", how=how, seconds=0.2)
        with pytest.raises(ConnectionClosed):
            await buy(talk)
        with trio.move_on_after(5 if is_done else 0.5):
            while not await orders(talk):
                await trio.sleep(0.05)
        assert len(await orders(talk)) == is_done


@pytest.mark.parametrize(
    ("how", "more", "is_done", "code"),
    [
        ("unsure", {}, True, 11094), ("refused", {}, False, 13028),
        ("refused", {"says": "10041 settlement_in_progress"}, False, 10041),
    ],
)  # fmt: skip
async def test_an_error_instead(how, more, is_done, code):
    async with trading() as talk:
        await talk.venue.fault("asked", on="place", how=how, **more)
        with pytest.raises(Failed) as failed:
            await buy(talk)
        assert failed.value.code == code
        if more:
            assert failed.value.text == "settlement_in_progress"
        assert len(await orders(talk)) == is_done
        await buy(talk)


async def test_answers_out_of_order_and_twice():
    async with trading() as talk:
        await talk.venue.fault("asked", on="place", how="swapped")
        first = await talk.send("private/buy", instrument_name=PERP, amount=10,
                                price=50_000)  # fmt: skip
        second = await talk.send("public/get_time")
        await talk.answer(second)
        assert first not in talk.answers
        await talk.answer(first)
        await talk.venue.fault("asked", on="cancel", how="twice")
        number = await talk.send("private/cancel_by_label", label="")
        assert await talk.answer(number) == 1
        assert await talk.answer(number) == 1


async def test_what_is_slow_lets_others_by():
    """Answers are in the order of requests, but for one that takes its time."""
    async with trading() as talk:
        numbers = [await talk.send("public/get_time") for _ in range(20)]
        await talk.answer(numbers[-1])
        assert list(talk.answers) == numbers[:-1]
        talk.answers.clear()
        await talk.venue.fault("asked", on="place", how="slow", seconds=1)
        slow = await talk.send("private/buy", instrument_name=PERP, amount=10,
                               price=50_000)  # fmt: skip
        assert len(await talk.ask("private/get_open_orders")) == 1
        assert slow not in talk.answers
        await talk.answer(slow)


async def test_pages_odd_numbers_and_silence():
    async with trading() as talk:
        await talk.venue.fault("asked", on="account", how="page")
        await talk.send("private/get_account_summary", currency="BTC")
        assert (await talk.socket.recv()).startswith("<!DOCTYPE")
        await talk.venue.fault("asked", on="open", how="odd")
        await buy(talk)
        (odd,) = await talk.ask("private/get_open_orders")
        assert (odd["order_id"], odd["amount"]) == (7, ["1000"])
        await talk.venue.fault("asked", on="place", how="silent")
        number = await talk.send("private/buy", instrument_name=PERP, amount=10,
                                 price=50_000)  # fmt: skip
        assert len(await talk.ask("private/get_open_orders")) == 2
        assert number not in talk.answers


async def test_any_method_can_be_struck_by_its_name():
    async with trading() as talk:
        await talk.venue.fault("asked", on="public/ticker", how="refused")
        await talk.ask("public/get_time")
        with pytest.raises(Failed) as failed:
            await talk.ask("public/ticker", instrument_name=PERP)
        assert failed.value.code == 13028
        await talk.ask("public/ticker", instrument_name=PERP)
        await talk.venue.fault("asked", on="private/subscribe", how="refused")
        with pytest.raises(Failed):
            await talk.subscribe(ORDERS, of="private")
        await talk.venue.fault("asked", on="token", how="refused")
        with pytest.raises(Failed):
            await talk.auth()


async def test_old_orders_are_told_as_open():
    async with trading() as talk:
        placed = await buy(talk)
        await trio.sleep(2.6)
        await talk.ask("private/cancel", order_id=placed["order"]["order_id"])
        await talk.venue.fault("asked", on="open", how="stale", seconds=2.5)
        (row,) = await talk.ask("private/get_open_orders")
        assert row["order_state"] == "open"
        assert await talk.ask("private/get_open_orders") == []


@pytest.mark.parametrize(
    ("how", "states"),
    [
        ("lost", ["cancelled"]), ("twice", ["open", "open", "cancelled"]),
        ("swapped", ["cancelled", "open"]), ("late", ["cancelled", "open"]),
    ],
)  # fmt: skip
async def test_events_go_wrong(how, states):
    async with trading() as talk:
        await talk.venue.fault("told", what="accepted", how=how, seconds=1.5)
        placed = await buy(talk)
        await talk.ask("private/cancel", order_id=placed["order"]["order_id"])
        rows = await talk.hear(ORDERS, len(states))
        assert [row["order_state"] for row in rows] == states


@pytest.mark.parametrize("how", ["clean", "rst", "mid_frame"])
async def test_connections_end(how):
    async with talking() as talk:
        await talk.subscribe(f"trades.{PERP}.100ms")
        await talk.hear(f"trades.{PERP}.100ms")
        await talk.venue.fault("disconnect", how=how)
        with pytest.raises(ConnectionClosed):
            await talk.hear(f"trades.{PERP}.100ms", 10**6)
        async with open_ws(talk.venue, "/ws/api/v2") as socket:
            other = Talk(talk.venue, socket)
            assert await other.subscribe(f"trades.{PERP}.100ms")
            assert await other.hear(f"trades.{PERP}.100ms")


async def test_frames_are_repeated_and_cut_and_lost():
    """A lost change of a book shows: the next one names what never came."""
    async with talking(streams=1) as talk:
        channel = f"book.{PERP}.100ms"
        faults = [("silence", {"at": [1], "frames": 1}), ("duplicate", {"at": [3]})]
        for kind, more in faults:
            await talk.venue.fault(kind, **more)
        await talk.subscribe(channel)
        heard = await talk.hear(channel, 5)
        ids = [one["change_id"] for one in heard]
        before = [one.get("prev_change_id") for one in heard]
        assert len(set(ids)) == 4  # one came twice
        assert any(prev not in (None, *ids) for prev in before)  # one never did


async def test_upgrades_and_connections_are_refused():
    async with talking() as talk:
        await talk.venue.fault("upgrade", status=503)
        lines = HANDSHAKE.decode().split("\r\n")[1:-2]
        names = dict(line.split(": ") for line in lines)
        async with http(talk.venue) as client:
            for path, status in (("/ws/api/v2", 503), ("/ws", 404)):
                assert (await client.get(path, headers=names)).status_code == status
        async with http(talk.venue) as client:
            await talk.venue.fault("http", status=502, html=True, path="/api/v2")
            assert (await client.get("/api/v2/public/test")).status_code == 502
            assert (await client.get("/api/v2/public/test")).status_code == 200


async def test_bars_go_wrong():
    async with talking(past_s=1800) as talk:
        end = (await talk.ask("public/get_time")) // 60_000 * 60_000
        asked = {"instrument_name": PERP, "start_timestamp": end - 600_000,
                 "end_timestamp": end, "resolution": "1"}  # fmt: skip
        name = "public/get_tradingview_chart_data"
        good = await talk.ask(name, **asked)
        assert len(good["ticks"]) == 11
        await talk.venue.fault("bars", how="empty")
        assert (await talk.ask(name, **asked))["status"] == "no_data"
        await talk.venue.fault("bars", how="cut")
        assert (await talk.ask(name, **asked))["ticks"] == good["ticks"][:6]
        await talk.venue.fault("bars", how="overlap")
        assert len((await talk.ask(name, **asked))["ticks"]) == 21


async def test_the_clock_is_off():
    async with talking() as talk:
        await talk.venue.fault("skew", ms=-5000)
        before = await talk.ask("public/get_time")
        await talk.venue.clear()
        assert 4500 < await talk.ask("public/get_time") - before < 60_000


async def test_half_a_message_is_no_request():
    async with talking() as talk:
        await talk.socket.send('{"jsonrpc":"2.0","id":3,"method":"public/te')
        told = json.loads(await talk.socket.recv())
        assert told["error"]["code"] == -32700
        await talk.venue.fault("garbage", text="nonsense")
        assert await talk.socket.recv() == "nonsense"


async def test_a_trade_that_isnt_told_can_be_asked_for():
    async with trading() as talk:
        await talk.venue.fault("told", what="traded", how="lost")
        await buy(talk, 10, None)
        await buy(talk, 20, None)
        ((one,),) = await talk.hear(TRADES)
        assert one["amount"] == 20
        told = await talk.ask("private/get_user_trades_by_currency", currency="BTC")
        assert [row["amount"] for row in told["trades"]] == [20, 10]
