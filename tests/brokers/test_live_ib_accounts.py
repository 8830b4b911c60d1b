"""Accounts at an emulated TWS: several at one gateway, their ledgers, their numbers."""

from __future__ import annotations

from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
import trio

from piker.accounting import read_ledger
from piker.clearing import Order, new_oid
from tests.brokers._live import (
    IB,
    Live,
    live_trading,
    open_live,
    order,
    write_secrets,
)
from tests.cli import _cli
from tests.cli.test_cli_live import run

pytestmark = pytest.mark.tree

D = Decimal
SECOND = "ib.second"


@asynccontextmanager
async def open_two(open_test_pikerd, **options):
    """Yield a tree with two accounts of one login, and the second one's number."""
    async with open_live(open_test_pikerd, at=IB, **options) as live:
        number = f"U{int(live.key[2:]) + 1}"
        await live.venue.open_account(number, number, "", USD="1000000")
        tables = ((IB.account, live.key), (SECOND, number))
        write_secrets(
            "".join(
                f'[ib.accounts.{name.partition(".")[2]}]\nnumber = "{number}"\n'
                for name, number in tables
            )
        )
        yield live, number


def of_second(one: Order) -> Order:
    return Order(**{**{key: getattr(one, key) for key in one.__struct_fields__},
                    "account": SECOND, "oid": new_oid()})  # fmt: skip


async def test_two_accounts_share_a_connection_and_nothing_else(open_test_pikerd):
    async with open_two(open_test_pikerd) as (live, number), live_trading(IB) as me:
        assert {IB.account, SECOND} <= set(me.client.accounts)
        first = order(58_000, "0.5", at=IB)
        second = of_second(order(58_100, "0.3", at=IB))
        for one in (first, second):
            await me.client.send(one)
            await me.until(resp="open", oid=one.oid)
        # datad's, and one of brokerd's
        assert (await live.venue.stats())["websockets_now"] == 2
        await live.outside("sell", 58_000, "50.4")
        await me.until(resp="closed", oid=second.oid)
        if "fill" not in me.resps(first.oid):  # each account tells for itself
            await me.until(resp="fill", oid=first.oid)
        held = {
            account: read_ledger("ib", account).positions()[IB.fqme].size
            for account in (IB.account, SECOND)
        }
        assert held == {IB.account: 50, SECOND: 150}
        assert me.positions[SECOND, IB.fqme].size == 150
        told = await live.venue.account(number)
        assert [D(one["filled"]) for one in told["orders"]] == [150]
        # all that is open in one of them is ended, and nothing of the other
        third = of_second(order(57_000, "0.1", at=IB))
        await me.client.send(third)
        await me.until(resp="open", oid=third.oid)
        ended = await run(live, "brokers", "cancel-all", SECOND, "--yes")
        assert ended.code == 0, ended
        await me.until(resp="canceled", oid=third.oid)
        states = [one["state"] for one in (await live.told())["orders"]]
        assert states == ["open"]
        ended = await run(live, "brokers", "cancel-all", IB.account, "--yes")
        assert ended.code == 0, ended
        await me.until(resp="canceled", oid=first.oid)


async def test_what_is_wrong_with_an_account_is_told_without_its_number(
    open_test_pikerd,
):
    async with open_live(open_test_pikerd, at=IB, embedded=False) as live:
        wrong = "U7777777"
        write_secrets(
            f'[ib.accounts.main]\nnumber = "{live.key}"\n'
            f'[ib.accounts.odd]\nnumber = "{wrong}"\n'
        )
        told = await run(live, "brokers", "check", "ib", "--json")
        assert told.code == 1
        by_name = {one["account"]: one for one in told.json}
        assert by_name["ib.main"]["may_trade"]
        assert D(by_name["ib.main"]["balances"]["usd"]) == 10_000_000
        fault = "isn't logged in to ib.odd, but to 1 other account: mend its number"
        assert fault in by_name["ib.odd"]["fault"]
        assert not any(one in told.out + told.err for one in (wrong, live.key))
        # its orders aren't none: nobody knows what is open in it
        ended = await run(live, "brokers", "cancel-all", "ib.odd", "--yes")
        assert ended.code == 1, ended
        assert "isn't known" in ended.err
        assert fault in ended.err
        write_secrets("[ib.accounts.main]\nkey = 'x'")
        (await run(live, "brokers", "check", "ib")).refused(1, "wanted number, got")


async def test_a_gateway_that_is_not_there_is_said(open_test_pikerd):
    async with open_live(open_test_pikerd, at=IB, embedded=False) as live:
        await live.venue.fault("refuse", seconds=60)
        told = await run(live, "brokers", "check", "ib", "--json")
        assert told.code == 1
        (main,) = told.json
        assert "no gateway of ib lets us in" in main["fault"]
        assert "the connection was refused" in main["fault"]


async def test_no_number_is_in_any_log(open_test_pikerd, tmp_path):
    async with open_live(open_test_pikerd, at=IB) as live, live_trading(IB) as me:
        one = order(60_000, "0.1", at=IB)
        await me.client.send(one)
        await me.until(resp="closed", oid=one.oid)
        wrong = order(58_000, "10000", at=IB)
        await me.client.send(wrong)
        await me.until(resp="error", oid=wrong.oid)
        number = live.key
        heard = repr(me.heard)
    texts = [path.read_text() for path in tmp_path.rglob("*.log")]
    assert len(texts) >= 4
    assert not any(number in text for text in (*texts, heard))


# -- ledgers ---------------------------------------------------------------------------


async def test_a_ledger_is_synced_by_a_daemon_that_leaves_nothing(open_test_pikerd):
    async with open_live(open_test_pikerd, at=IB, embedded=False) as live:
        for side, price, size in (("buy", "120", 250), ("sell", "118", 100)):
            await place(live, side, price, size)
        told = await _cli.run(
            "ledger", "sync", IB.account, "--all", "--json", env=live.tree.env
        )
        assert told.code == 0, told.err
        assert (told.json["asked"], told.json["booked"]) == ("private", 2)
        (held,) = told.json["positions"]
        assert (held["symbol"], D(held["size"])) == (IB.fqme, 150)
        # positions by contract: nothing is there beyond what was traded
        assert D(told.json["balances"][IB.fqme]) == 150
        assert D(told.json["traded"][IB.fqme]) == 150
        assert {key: D(one) for key, one in told.json["otherwise"].items()} == {
            "usd": 10_000_000
        }
        again = await _cli.run("ledger", "sync", IB.account, "--json",
                               env=live.tree.env)  # fmt: skip
        assert (again.code, again.json["booked"]) == (0, 0)
        assert "brokerd.ib" not in await live.tree.infos()
        with trio.fail_after(10):
            while (await live.venue.stats())["websockets_now"]:
                await trio.sleep(0.05)
        # an order daemon's own id is left to it
        assert told.json["trades"] == 2


async def place(live: Live, side: str, price: str, size: int) -> None:
    told = {"account": live.key, "symbol": IB.symbol, "side": side, "price": price,
            "size": str(size)}  # fmt: skip
    await live.venue.control("place", told)


async def test_a_report_and_what_was_fetched_are_booked_once(
    open_test_pikerd, tmp_path
):
    async with open_live(open_test_pikerd, at=IB, embedded=False) as live:
        for side, price, size in (("buy", "120", 250), ("sell", "118", 100)):
            await place(live, side, price, size)

        async def ledger(*argv):
            told = await _cli.run("ledger", *argv, "--json", env=live.tree.env)
            assert told.code == 0, told.err
            return told.json

        await ledger("sync", IB.account, "--all")
        report = tmp_path / "report.xml"
        report.write_text(await report_of(live))
        told = await ledger("import", IB.account, str(report))
        assert (told["booked"], told["known"]) == (0, 2)
        # whose it is can be told by what is booked
        odd = await _cli.run("ledger", "import", SECOND, str(report), env=live.tree.env)
        odd.refused(2, f"is booked in {IB.account}: import it there")
        # by itself it comes to the same
        one = read_ledger("ib", IB.account)
        one.name.ledger.unlink()
        told = await ledger("import", SECOND, str(report))
        assert (told["booked"], told["known"]) == (2, 0)
        other = read_ledger("ib", SECOND)
        for key in ("size", "ppu", "fees", "realised", "bep", "bs_mktid"):
            assert getattr(other.positions()[IB.fqme], key) == getattr(
                one.positions()[IB.fqme], key
            ), key
        assert {txn.tid for txn in other.txns} == {txn.tid for txn in one.txns}


async def report_of(live: Live) -> str:
    """Return a report of the account's trades, as IB writes them."""
    listed = await live.venue.control("contracts")
    con_id = next(one["con_id"] for one in listed if one["key"] == IB.symbol)
    rows = []
    for one in (await live.told())["trades"]:
        sign = 1 if one["side"] == "buy" else -1
        rows.append(
            f'<Trade accountId="{live.key}" currency="USD" assetCategory="STK" '
            f'symbol="{IB.symbol}" conid="{con_id}" listingExchange="NASDAQ" '
            f'multiplier="1" ibExecID="{IB.tid(one)}" tradeID="{one["tid"]}" '
            f'dateTime="20261129;1201{one["tid"] % 60:02d}" levelOfDetail="EXECUTION" '
            f'quantity="{sign * D(one["size"])}" tradePrice="{one["price"]}" '
            f'ibCommission="{-D(one["fee"])}" ibCommissionCurrency="USD" '
            f'buySell="{one["side"].upper()}" transactionType="ExchTrade" />'
        )
    return (
        '<FlexQueryResponse queryName="q" type="AF"><FlexStatements count="1">'
        f'<FlexStatement accountId="{live.key}"><Trades>{"".join(rows)}</Trades>'
        "</FlexStatement></FlexStatements></FlexQueryResponse>"
    )
