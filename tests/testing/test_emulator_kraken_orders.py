"""Kraken's private side as it is emulated: what orders of each kind come to."""

from __future__ import annotations

import base64
import json
import time
from contextlib import asynccontextmanager

import pytest
import trio

from piker.brokers._live._secrets import Keys, Secret
from piker.brokers.kraken._sign import signed_form
from tests.testing._emulated import http, open_local, open_ws

KEY, SECRET = "a-key", base64.b64encode(b"a-secret").decode()
SYMBOL = "BTC/USDT"


class Talk:
    """A connection of an account, and what it is told of its orders."""

    def __init__(self, venue, client, socket) -> None:
        self.venue, self._client, self._socket = venue, client, socket
        self.token, self.rows, self._count = "", [], 0

    async def rest(self, name, **params):
        path = f"/0/private/{name}"
        keys = Keys(Secret(KEY), Secret(SECRET))
        form, headers = signed_form(keys, path, time.time_ns(), params)
        answer = await self._client.post(path, content=form, headers=headers)
        return answer.json()

    async def ask(self, method, **params):
        self._count += 1
        told = {"method": method, "req_id": self._count,
                "params": {**params, "token": self.token}}  # fmt: skip
        await self._socket.send(json.dumps(told))
        while (told := await self._hear()).get("req_id") != self._count:
            pass
        return told

    async def place(self, kind="limit", side="buy", qty=0.1, **more):
        return await self.ask(
            "add_order", order_type=kind, side=side, symbol=SYMBOL, order_qty=qty,
            **more,
        )  # fmt: skip

    async def _hear(self):
        told = json.loads(await self._socket.recv())
        if told.get("channel") == "executions":
            self.rows += told["data"]
        return told

    async def until(self, exec_type, oid=None):
        """Return the next row of a kind, of an order if one is named."""
        with trio.fail_after(20):
            while True:
                *_, last = self.rows or [{}]
                if last.get("exec_type") == exec_type and oid in (
                    None, last["order_id"]
                ):  # fmt: skip
                    return last
                await self._hear()


@asynccontextmanager
async def open_talk():
    async with (
        open_local(
            "kraken.spot", sim=["btcusdt.spot.sim"], streams=0, past_s=60
        ) as venue,
        http(venue) as client,
        open_ws(venue, "/auth/v2") as socket,
    ):
        await venue.control("still")
        await venue.outside(SYMBOL, "sell", "60000", "0.5", rests=True)
        await venue.outside(SYMBOL, "buy", "59000", "5", rests=True)
        await venue.open_account("main", KEY, SECRET, USDT="100000", BTC="10")
        talk = Talk(venue, client, socket)
        told = await talk.rest("GetWebSocketsToken")
        talk.token = told["result"]["token"]
        assert (await talk.ask("subscribe", channel="executions"))["success"]
        yield talk


@pytest.mark.parametrize(
    ("kind", "more", "mean"),
    [("stop-loss", {}, 58_500), ("stop-loss-limit", {"limit_price": 58_400}, 58_500)],
)
async def test_a_stop_waits_until_it_is_reached(kind, more, mean):
    async with open_talk() as talk:
        await talk.venue.outside(SYMBOL, "sell", "59000", "0.1")  # the last price
        at = {"reference": "last", "price": 58_500, "price_type": "static"}
        told = await talk.place(kind, "sell", triggers=at, cl_ord_id="s", **more)
        assert told["success"], told
        await talk.until("new")
        pending = talk.rows[-2]
        assert (pending["order_type"], pending["stop_price"]) == (kind, 58_500)
        assert pending["triggers"] == {**at, "status": "untriggered"}
        (row,) = (await talk.rest("OpenOrders"))["result"]["open"].values()
        descr = row["descr"]
        assert (row["status"], descr["ordertype"]) == ("open", kind)
        assert float(row["stopprice"]) == float(descr["price"]) == 58_500
        assert float(descr["price2"]) == more.get("limit_price", 0)
        await talk.venue.outside(SYMBOL, "buy", "58500", "1", rests=True)
        await talk.venue.outside(SYMBOL, "sell", "58500", "0.5")
        await talk.until("filled")
        triggered, trade, _ = talk.rows[-3:]
        assert triggered["triggers"]["status"] == "triggered"
        assert (trade["exec_type"], trade["last_price"]) == ("trade", mean)


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("stop-loss", {}), ("stop-loss", {"triggers": {"price": "x"}}),
        ("stop-loss", {"triggers": {"price": 1, "price_type": "pct"}}),
        ("stop-loss", {"triggers": {"price": 1, "reference": "index"}}),
        ("limit", {"limit_price": 58_000, "triggers": {"price": 58_500}}),
        ("stop-loss", {"triggers": {"price": 59_500}}),  # it is reached already
    ],
)  # fmt: skip
async def test_what_is_no_stop_is_refused(kind, more):
    async with open_talk() as talk:
        await talk.venue.outside(SYMBOL, "sell", "59000", "0.1")
        told = await talk.place(kind, "sell", **more)
        assert not told["success"]
        assert told["error"].startswith("EGeneral:Invalid arguments:")
        assert (await talk.venue.account("main"))["orders"] == []


async def test_fill_or_kill():
    async with open_talk() as talk:
        for qty, end in ((0.6, "canceled"), (0.5, "filled")):
            told = await talk.place(qty=qty, limit_price=60_000, time_in_force="fok")
            assert told["success"]
            last = await talk.until(end)
            assert last["cum_qty"] == (qty if end == "filled" else 0)


async def test_all_orders_are_cancelled():
    async with open_talk() as talk:
        for cl_id in ("a", "b"):
            placed = await talk.place(limit_price=50_000, cl_ord_id=cl_id)
        assert (await talk.ask("cancel_all"))["result"] == {"count": 2}
        await talk.until("canceled", placed["result"]["order_id"])
        gone = [row["cl_ord_id"] for row in talk.rows if "cancel_reason" in row]
        assert gone == ["a", "b"]
        assert (await talk.ask("cancel_all"))["result"] == {"count": 0}
