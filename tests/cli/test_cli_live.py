"""Accounts at an emulated broker from the command line: keys and trades."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from decimal import Decimal

import psutil
import pytest
import trio

from piker import config
from piker.accounting import LedgerView, read_ledger
from piker.clearing._journal import journal_path
from piker.errors import LedgerError
from tests.brokers._live import (
    ACCOUNT,
    FQME,
    SYMBOL,
    live_trading,
    open_live,
    order,
    write_secrets,
)
from tests.cli import _cli

pytestmark = pytest.mark.tree


async def run(live, *argv):
    return await _cli.run(*argv, env=live.tree.env)


async def test_keys_are_checked_by_an_order_daemon_that_leaves_nothing(
    open_test_pikerd,
):
    async with open_live(open_test_pikerd, embedded=False) as live:
        await live.venue.open_account("cold", "key-2", "secret-2", may_trade=False)
        await live.venue.open_account(
            "loose", "key-3", "secret-3", may_withdraw=True, BTC="0.5"
        )
        keys = {"main": (live.key, live.secret), "cold": ("key-2", "secret-2"),
                "loose": ("key-3", "secret-3"), "wrong": ("key-3", "odd")}  # fmt: skip
        write_secrets(
            "".join(
                f'[binance.accounts.{label}]\nkey = "{key}"\nsecret = "{secret}"\n'
                for label, (key, secret) in keys.items()
            )
        )
        told = await run(live, "brokers", "check", "binance", "--json")
        assert told.code == 1
        checks = {each["account"]: each for each in told.json}
        assert not checks["binance.main"]["fault"]
        assert checks["binance.main"]["balances"]["btc"] == "100"
        assert checks["binance.cold"]["fault"] == "its key may not trade"
        assert "Signature" in checks["binance.wrong"]["fault"]
        warnings = checks["binance.loose"]["warnings"]
        assert any("may withdraw" in each for each in warnings)
        shown = await run(live, "brokers", "check", "binance")
        assert shown.code == 1
        assert "0.5 btc" in shown.out
        assert "binance.cold: its key may not trade" in shown.err
        said = told.out + told.err + shown.out + shown.err
        assert not any(each in said for pair in keys.values() for each in pair[:2] if
                       each != "odd")  # fmt: skip
        assert "brokerd.binance" not in await live.tree.infos()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "brokers.toml has no account of binance"),
        ("[binance.accounts.main]\nkey = 'x'", "wanted key and secret"),
        ("[binance.accounts", "is no TOML"),
    ],
)
async def test_what_is_wrong_with_keys_is_one_sentence(open_test_pikerd, text, words):
    async with open_live(open_test_pikerd, embedded=False) as live:
        path = write_secrets(text)
        (await run(live, "brokers", "check", "binance")).refused(1, words)
        (await run(live, "ledger", "sync", ACCOUNT)).refused(1, words)
        path.chmod(0o644)
        (await run(live, "brokers", "check", "binance")).refused(1, "chmod 600")
        (await run(live, "brokers", "check", "sim")).refused(2, "no live orders")
        (await run(live, "brokers", "check", "none")).refused(2, "no broker 'none'")


async def test_trades_are_fetched_page_by_page_by_whoever_runs(open_test_pikerd):
    async with open_live(open_test_pikerd, embedded=False) as live:
        await live.venue.control("history?name=main&symbol=BTCUSDT&count=2500")
        (await run(live, "ledger", "sync", "binance.nobody")).refused(
            2, "no account 'binance.nobody'"
        )
        told = await run(live, "ledger", "sync", ACCOUNT, "-m", FQME, "--json")
        assert (told.code, told.json["seen"], told.json["booked"]) == (0, 2500, 2500)
        assert told.json["asked"] == "private"
        (held,) = told.json["positions"]
        assert held["symbol"] == FQME
        assert "type" not in told.json.keys() | held.keys()  # that's of the wire
        again = await run(live, "ledger", "sync", ACCOUNT, "--json")
        assert (again.json["booked"], again.json["trades"]) == (0, 2500)
        venue = await live.venue.account("main")
        ledger = read_ledger("binance", ACCOUNT)
        assert {txn.tid for txn in ledger.txns} == {
            f"{SYMBOL}-{one['tid']}" for one in venue["trades"]
        }
        async with live_trading() as me:
            rests = order(58_000)
            await me.client.send(rests)
            await me.until(resp="open", oid=rests.oid)
            before = (await live.venue.stats())["websockets"]
            told = await run(live, "ledger", "sync", ACCOUNT, "--all", "--json")
            assert told.json["asked"] == "brokerd"
            assert (told.json["seen"], told.json["booked"]) == (2500, 0)
            # no second session at the venue
            assert (await live.venue.stats())["websockets"] == before
            await me.client.cancel(rests.oid)
            await me.until(resp="canceled", oid=rests.oid)


def ledger_now() -> LedgerView | None:
    """Return what the ledger says, None before there is one."""
    try:
        return read_ledger("binance", ACCOUNT)
    except LedgerError:
        return None


async def test_fetching_goes_on_where_it_was_killed(open_test_pikerd, tmp_path):
    async with open_live(open_test_pikerd, embedded=False) as live:
        await live.venue.control("history?name=main&symbol=BTCUSDT&count=6000")
        # the last four pages take longer than a busy machine holds this up
        await live.venue.fault("slow", response_s=1.0)
        conf = config.config_dir() / "conf.toml"
        conf.write_text(conf.read_text().replace("deadline_s = 2.0", "deadline_s = 20"))
        argv = ("ledger", "sync", ACCOUNT, "-m", FQME)
        # who is killed leaves the folders of its tree
        env = live.tree.env | {"TMPDIR": str(tmp_path)}
        async with _cli.start(*argv, env=env) as running:
            with trio.fail_after(60):
                while len(ledger_now() or ()) < 2000:
                    await trio.sleep(0.05)
            group = psutil.Process(running.proc.pid)
            for process in (*group.children(recursive=True), group):
                os.kill(process.pid, signal.SIGKILL)
        await live.venue.clear()
        had = len(read_ledger("binance", ACCOUNT))
        assert 2000 <= had < 6000
        told = await run(live, *argv, "--json")
        assert told.json["trades"] == 6000
        assert told.json["booked"] == 6000 - had
        venue = (await live.venue.account("main"))["trades"]
        held = sum(
            Decimal(one["size"]) * (1 if one["side"] == "buy" else -1) for one in venue
        )
        assert read_ledger("binance", ACCOUNT).positions()[FQME].size == held


def opened_ns() -> bytes:
    """Return when the last emsd took the orders up, as the journal has it."""
    with closing(sqlite3.connect(journal_path())) as journal:
        rows = {
            name: value for name, _, value in journal.execute("select * from notes")
        }
    return rows["opened"]


async def test_a_look_at_accounts_leaves_waiting_orders_alone(open_test_pikerd):
    """No pikerd runs and an order waits: it goes on waiting, for the user's own."""
    async with open_live(open_test_pikerd, embedded=False) as live:
        rests = ("orders", "place", FQME, "--buy", "0.01", "--limit", "50000")
        assert (await run(live, *rests)).code == 0
        assert "emsd" in await live.tree.infos()
        assert (await run(live, "services", "stop", "pikerd")).code == 0
        before = opened_ns()
        told = await run(live, "brokers", "check", "binance")
        assert told.code == 0, told
        told = await run(live, "ledger", "sync", ACCOUNT, "-m", FQME, "--json")
        assert (told.code, told.json["asked"]) == (0, "private")
        assert opened_ns() == before


async def test_a_live_order_is_placed_edited_and_cancelled(open_test_pikerd):
    async with open_live(open_test_pikerd, embedded=False) as live:
        placed = await run(
            live, "orders", "place", FQME, "--buy", "0.01", "--limit", "58000",
            "--account", ACCOUNT, "--oid", "mine", "--json",
        )  # fmt: skip
        assert placed.code == 0, placed
        edited = await run(live, "orders", "edit", "mine", "--limit", "58001", "--json")
        assert edited.code == 0, edited
        *_, there = (await live.venue.account("main"))["orders"]
        assert (there["state"], Decimal(there["price"])) == ("open", 58001)
        assert (await run(live, "orders", "cancel", "mine")).code == 0
        *_, there = (await live.venue.account("main"))["orders"]
        assert there["state"] == "canceled"
        stop = ("orders", "place", FQME, "--sell", "0.01", "--market", "--trigger")
        (await run(live, *stop, "58000")).refused(2, "add --dark")
        placed = await run(live, *stop, "58000", "-a", ACCOUNT, "--json")
        assert (placed.code, placed.json["type"]) == (0, "stop"), placed
        *_, there = (await live.venue.account("main"))["orders"]
        assert (there["state"], Decimal(there["stop"])) == ("waiting", 58000)
