"""Accounts at an emulated Deribit from the command line: keys, trades, all orders."""

from __future__ import annotations

from decimal import Decimal

import pytest

from piker.accounting import audit, read_ledger
from tests.brokers._live import DERIBIT, live_trading, open_live, order, write_secrets
from tests.cli.test_cli_live import run

pytestmark = pytest.mark.tree

D = Decimal
ACCOUNT = DERIBIT.account


async def test_keys_are_checked_by_an_order_daemon_that_leaves_nothing(
    open_test_pikerd,
):
    async with open_live(open_test_pikerd, at=DERIBIT, embedded=False) as live:
        await live.venue.open_account("cold", "key-2", "secret-2", may_trade=False)
        await live.venue.open_account(
            "loose", "key-3", "secret-3", may_withdraw=True, BTC="0.5"
        )
        keys = {"main": (live.key, live.secret), "cold": ("key-2", "secret-2"),
                "loose": ("key-3", "secret-3"), "wrong": ("key-3", "odd")}  # fmt: skip
        write_secrets(
            "".join(
                f'[deribit.accounts.{label}]\nkey = "{key}"\nsecret = "{secret}"\n'
                for label, (key, secret) in keys.items()
            )
        )
        told = await run(live, "brokers", "check", "deribit", "--json")
        assert told.code == 1
        checks = {each["account"]: each for each in told.json}
        assert not checks["deribit.main"]["fault"]
        assert checks["deribit.main"]["balances"]["btc"] == "100"
        assert checks["deribit.cold"]["fault"] == "its key may not trade"
        assert "invalid_credentials" in checks["deribit.wrong"]["fault"]
        warnings = checks["deribit.loose"]["warnings"]
        assert any("may withdraw" in each for each in warnings)
        said = told.out + told.err
        assert not any(each in said for pair in keys.values() for each in pair[:2] if
                       each != "odd")  # fmt: skip
        assert "brokerd.deribit" not in await live.tree.infos()


async def test_a_ledger_is_fetched_by_one_daemon_on_asyncio_which_is_gone_then(
    open_test_pikerd,
):
    async with open_live(open_test_pikerd, at=DERIBIT, embedded=False) as live:
        symbol = DERIBIT.symbol
        await live.venue.control(f"history?name=main&symbol={symbol}&count=2500", {})
        argv = ("ledger", "sync", ACCOUNT)
        told = await run(live, *argv, "--json")
        assert (told.code, told.json["booked"]) == (0, 2500), told
        assert told.json["asked"] == "private"
        (held,) = told.json["positions"]
        assert held["symbol"] == DERIBIT.fqme
        again = await run(live, *argv, "--json")
        assert (again.json["booked"], again.json["trades"]) == (0, 2500)
        venue = await live.venue.account("main")
        ledger = read_ledger(*ACCOUNT.split(".")[:1], ACCOUNT)
        assert {txn.tid for txn in ledger.txns} == {
            DERIBIT.tid(one) for one in venue["trades"]
        }
        assert audit(ledger).differences == ()
        assert "brokerd.deribit" not in await live.tree.infos()


async def test_what_trades_come_to_is_what_the_account_has(open_test_pikerd):
    async with open_live(open_test_pikerd, at=DERIBIT) as live, live_trading(
        DERIBIT
    ) as me:  # fmt: skip
        for price, side in ((60_000, "buy"), (59_000, "sell"), (60_000, "buy")):
            one = order(price, "0.35", side, at=DERIBIT)
            await me.client.send(one)
            await me.until(resp="closed", oid=one.oid)
        await live.venue.control("settle?currency=USDC&price=61000", {})
        one = order(59_000, "0.2", "sell", at=DERIBIT)
        await me.client.send(one)
        await me.until(resp="closed", oid=one.oid)
        told = (await run(live, "ledger", "sync", ACCOUNT, "--json")).json
        beyond = {asset: D(amount) for asset, amount in told["otherwise"].items()}
        # the venue rounds each profit to the eighth decimal
        assert abs(beyond.pop("usdc") - D(DERIBIT.money["USDC"])) < D("1e-6")
        assert beyond == {"btc": 100}
        assert D(told["traded"]["usdc"]) < 0


async def test_all_that_is_open_is_ended_at_once(open_test_pikerd):
    async with open_live(open_test_pikerd, at=DERIBIT) as live, live_trading(
        DERIBIT
    ) as me:  # fmt: skip
        ours = [order(57_000 + n, "0.01", at=DERIBIT) for n in range(3)]
        for one in ours:
            await me.client.send(one)
            await me.until(resp="open", oid=one.oid)
        by_hand = {"account": "main", "symbol": "BTC-PERPETUAL", "side": "buy",
                   "price": "40000", "size": "100"}  # fmt: skip
        await live.venue.control("place", by_hand)
        told = await run(live, "brokers", "cancel-all", ACCOUNT, "--yes", "--json")
        assert told.code == 0, told
        assert told.json["ended"] == 4
        for one in ours:
            await me.until(resp="canceled", oid=one.oid)
        states = {one["state"] for one in (await live.venue.account("main"))["orders"]}
        assert states == {"canceled"}
