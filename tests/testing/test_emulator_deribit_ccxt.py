"""A client that others wrote for Deribit gets along with the emulated one."""

from __future__ import annotations

import time
from importlib import import_module

import pytest
import trio

from piker.testing.emulator import open_emulator
from tests.testing._deribit import KEY, SECRET

pytestmark = pytest.mark.tree

PERP = "BTC/USD:BTC"


def open_client(ccxt, url):
    client = ccxt.deribit({"apiKey": KEY, "secret": SECRET, "enableRateLimit": False})
    client.urls["api"] = {"rest": url}
    client.session.trust_env = False
    return client


def look(client):
    """Ask for all that is public."""
    markets = client.load_markets()
    options = [one for one in markets.values() if one["option"]]
    assert len(options) >= 100
    assert (markets[PERP]["inverse"], markets[PERP]["contractSize"]) == (True, 10)
    assert markets["BTC/USDC:USDC"]["linear"]
    began_ms = time.time_ns() // 10**6
    assert began_ms <= client.fetch_time() <= time.time() * 1000
    ticker, book = client.fetch_ticker(PERP), client.fetch_order_book(PERP)
    assert ticker["bid"] < ticker["ask"]
    assert book["bids"][0][0] < book["asks"][0][0]
    assert len(client.fetch_ohlcv(PERP, "1m", limit=20)) == 20
    assert len(client.fetch_trades(PERP, limit=3)) == 3
    near = options[20]["symbol"]
    assert -1 < client.fetch_greeks(near)["delta"] < 1
    return near


def trade(ccxt, client, option):
    """Place, change and end orders; have some be filled."""
    low = round(client.fetch_ticker(PERP)["bid"] * 0.7)
    placed = client.create_order(PERP, "limit", "buy", 100, low)
    assert placed["status"] == "open"
    assert [one["id"] for one in client.fetch_open_orders(PERP)] == [placed["id"]]
    edited = client.edit_order(placed["id"], PERP, "limit", "buy", 200, low + 1)
    assert edited["amount"] == 200
    assert client.cancel_order(placed["id"], PERP)["status"] == "canceled"
    sold = client.create_order(PERP, "market", "sell", 100)
    assert (sold["status"], sold["filled"]) == ("closed", 100)
    assert sold["fee"]["currency"] == "BTC"
    (position,) = client.fetch_positions([PERP])
    assert position["side"] == "short"
    bought = client.create_order(option, "market", "buy", 0.1)
    (fill,) = client.fetch_order_trades(bought["id"])
    assert fill["id"] in [one["id"] for one in client.fetch_my_trades(option)]
    assert client.fetch_order(bought["id"])["status"] == "closed"
    assert client.fetch_balance()["BTC"]["total"] < 10
    with pytest.raises(ccxt.OrderNotFound):
        client.cancel_order("99", PERP)
    with pytest.raises(ccxt.InsufficientFunds):
        client.create_order(PERP, "market", "buy", 10**8)
    client.secret = "another"
    with pytest.raises(ccxt.AuthenticationError):
        client.fetch_balance()


async def test_ccxt_trades_here():
    async with open_emulator(
        "deribit", sim=["btcusdt.usdtm.perp.sim"], streams=0, past_s=1800
    ) as venue:
        await venue.open_account("main", KEY, SECRET, BTC="10")
        # a second of a core, which who only collects tests needn't pay
        ccxt = await trio.to_thread.run_sync(import_module, "ccxt")
        client = open_client(ccxt, venue.http_url)
        try:
            option = await trio.to_thread.run_sync(look, client)
            await trio.to_thread.run_sync(trade, ccxt, client, option)
        finally:
            client.session.close()
