"""``piker brokers cancel-all``: whatever is open ends, whoever runs or breaks."""

from __future__ import annotations

import os
import pty
import signal
from contextlib import suppress
from decimal import Decimal

import pytest
import trio

from piker.accounting import open_ledger
from piker.brokers._live._rpc import cancel_all
from piker.service import call_endpoint, find_service
from piker.testing._commands import open_command
from tests.brokers._live import (
    BINANCE,
    KRAKEN,
    At,
    live_trading,
    open_live,
    order,
    write_secrets,
)
from tests.cli import _cli
from tests.cli.test_cli_live import run

pytestmark = pytest.mark.tree

#: A second market is listed, where nothing is told of on the tape.
BOTH = [
    At(**{**vars(one), "fast": {**one.fast, "made_up": 1}}) for one in (BINANCE, KRAKEN)
]
OTHER = {"binance": "KKKKUSDT", "kraken": "KKKK/USDT"}
AT_BOTH = pytest.mark.parametrize("at", BOTH, ids=lambda at: at.broker)


async def by_hand(live, symbol: str = "", price="57000", size="0.5") -> int:
    """Have the account's owner place an order at the venue's own screen."""
    told = {"account": "main", "symbol": symbol or live.at.symbol, "side": "buy",
            "price": price, "size": size}  # fmt: skip
    return (await live.venue.control("place", told))["serial"]


async def states(live) -> list[str]:
    return [one["state"] for one in (await live.venue.account("main"))["orders"]]


async def end_all(live, *more):
    return await run(live, "brokers", "cancel-all", live.at.account, *more)


async def call_end_all(live):
    """Ask the order daemon that runs, as the command does."""
    async with find_service(f"brokerd.{live.at.broker}") as portal:
        return await call_endpoint(
            portal, cancel_all, account=live.at.account, deadline_s=70
        )


@AT_BOTH
async def test_all_ends_whoever_placed_it(open_test_pikerd, at):
    async with open_live(open_test_pikerd, at=at) as live, live_trading(at) as me:
        mine = [order(58_000 + i, "0.01", at=at) for i in range(3)]
        for each in mine:
            await me.client.send(each)
            await me.until(resp="open", oid=each.oid)
        await live.venue.outside(at.symbol, "sell", "58002", "50.004")
        await me.until(resp="fill", oid=mine[2].oid)
        await by_hand(live)
        await by_hand(live, OTHER[at.broker], "2", "1000")
        told = await end_all(live, "--yes", "--json")
        assert told.code == 0, told
        assert told.json == {
            "account": at.account, "asked": "brokerd", "ended": 5, "resting": [],
            "fault": "",
        }  # fmt: skip
        assert await states(live) == ["canceled"] * 5
        for each in mine:
            end = await me.until(resp="canceled", oid=each.oid)
        await live.check(me, [each.oid for each in mine])
        while me.dialogs:  # the strangers' ends come by and by
            await me.until()
        again = await end_all(live, "--yes")
        assert (again.code, again.out) == (0, f"{at.account}: 0 orders ended\n")
        assert end.filled == Decimal("0.004")


@AT_BOTH
async def test_no_daemon_and_no_ledger_is_needed(open_test_pikerd, at):
    """Neither runs, the ledger is another's, and the line can't be had."""
    async with open_live(open_test_pikerd, at=at, embedded=False) as live:
        for _ in range(2):
            await by_hand(live)
        await by_hand(live, OTHER[at.broker], "2", "1000")
        await live.venue.fault("upgrade", status=503, count=0)
        with open_ledger(at.broker, at.account):
            told = await end_all(live, "--yes", "--json")
        assert (told.code, told.json["asked"], told.json["ended"]) == (0, "private", 3)
        assert await states(live) == ["canceled"] * 3
        assert f"brokerd.{at.broker}" not in await live.tree.infos()
        assert (await live.venue.stats())["websockets"] == 0


@AT_BOTH
async def test_it_works_while_emsd_is_dead(open_test_pikerd, at):
    async with open_live(open_test_pikerd, at=at) as live:
        async with live_trading(at) as me:
            rests = order(58_000, "0.5", at=at)
            await me.client.send(rests)
            await me.until(resp="open", oid=rests.oid)
        pid = live.tree.services.service_tasks["emsd"].pid
        os.kill(pid, signal.SIGSTOP)
        try:
            told = await end_all(live, "--yes", "--json")
        finally:
            os.kill(pid, signal.SIGKILL)
        assert (told.code, told.json["ended"]) == (0, 1), told
        assert await states(live) == ["canceled"]
        async with live_trading(at) as me:
            while rests.oid in me.dialogs:
                await me.until(oid=rests.oid)
            await live.check(me, [rests.oid])


HOWS = ("unheard", "unanswered", "unsure", "refused", "late", "page", "odd", "silent")


@AT_BOTH
async def test_what_breaks_on_the_way_is_asked_again(open_test_pikerd, at):
    async with open_live(open_test_pikerd, at=at) as live, live_trading(at) as me:
        first = order(58_000, "0.01", at=at)
        await me.client.send(first)
        await me.until(resp="open", oid=first.oid)
        faults = [{"on": "cancel_all", "how": how, "seconds": 0.4} for how in HOWS]
        faults += [{"on": "open", "how": "stale", "seconds": 0.5}]
        faults += [{"on": "open", "how": how} for how in ("unanswered", "page")]
        for fault in faults:
            placed = [await by_hand(live) for _ in range(2)]
            fired = (await live.venue.stats())["fired"].get("asked", 0)
            await live.venue.fault("asked", **fault)
            done = await call_end_all(live)
            assert not done.fault, (fault, done)
            assert (await live.venue.stats())["fired"]["asked"] == fired + 1
            assert set(await states(live)) == {"canceled"}, fault
            # what a stale list hadn't yet isn't counted
            least = 0 if fault["how"] == "stale" else len(placed)
            assert done.ended >= least, (fault, done)
            if fault["how"] == "late":  # it ends what is placed until then
                await by_hand(live)
                with trio.move_on_after(3):  # it may have been before
                    while "open" in await states(live):
                        await trio.sleep(0.05)


async def test_a_venue_that_is_out_of_order_is_told_of(open_test_pikerd):
    async with open_live(open_test_pikerd, embedded=False) as live:
        await by_hand(live)
        await live.venue.fault("http", status=503, count=0, path="/api/v3/openOrders")
        told = await end_all(live, "--yes")
        assert told.code == 1
        assert told.out == "binance.main: 0 orders ended\n"
        assert "whether any is open isn't known: " in told.err
        assert await states(live) == ["open"]


async def test_it_passes_whoever_waits_for_the_budget(open_test_pikerd):
    """Trades of years are fetched, for which an account may ask seldom."""
    slow = At(**{**vars(KRAKEN), "conf": "requests = 10000\norders = 10000\n"})
    async with open_live(open_test_pikerd, at=slow) as live:
        await live.venue.control(f"history?name=main&symbol={slow.symbol}&count=5000")
        async with live_trading(slow) as me:
            rests = order(58_000, "0.01", at=slow)
            await me.client.send(rests)
            await me.until(resp="open", oid=rests.oid)
            argv = ("ledger", "sync", slow.account, "--all")
            async with _cli.start(*argv, env=live.tree.env) as syncing:
                # what may be asked for in 45 s is spent
                while not await pages(live) > 3:
                    await trio.sleep(0.1)
                with trio.fail_after(15):
                    async with trio.open_nursery() as tasks:
                        tasks.start_soon(call_end_all, live)
                        await me.until(resp="canceled", oid=rests.oid)
                        tasks.cancel_scope.cancel()
                await syncing.end()


async def pages(live) -> int:
    told = (await live.venue.stats())["requests"]
    return told.get("/0/private/TradesHistory", 0)


@pytest.mark.parametrize(("said", "is_done"), [("y", True), ("no", False), ("", False)])
async def test_it_asks_on_a_terminal(open_test_pikerd, said, is_done):
    async with open_live(open_test_pikerd, embedded=False) as live:
        for _ in range(2):
            await by_hand(live)
        ours, theirs = pty.openpty()
        argv = ("brokers", "cancel-all", live.at.account)
        process = await open_command(*argv, env=live.tree.env, files=(theirs,) * 3)
        os.close(theirs)
        text = ""
        with trio.fail_after(30):
            while "end all? [y/N]" not in text:
                text += (await _read(ours)).decode()
            assert "binance.main: 2 orders open, whoever placed them" in text
            os.write(ours, f"{said}\n".encode())
            while more := await _read(ours):
                text += more.decode()
            code = await process.wait()
        os.close(ours)
        assert code == (0 if is_done else 1), text
        words = "2 orders ended" if is_done else "nothing was asked for"
        assert words in text
        assert set(await states(live)) == {"canceled" if is_done else "open"}


async def _read(fd: int) -> bytes:
    with suppress(OSError):  # its other end is closed
        return await trio.to_thread.run_sync(os.read, fd, 4096)
    return b""


async def test_what_is_wrong_is_one_sentence(open_test_pikerd):
    async with open_live(open_test_pikerd, embedded=False) as live:
        for account, code, words in (
            ("binance.nobody", 2, "no account 'binance.nobody'"),
            ("binance.paper", 2, "`piker orders cancel --all`"),
            ("sim.main", 2, "no live orders"),
            ("none.main", 2, "no broker 'none'"),
            ("binance", 2, "BROKER.LABEL"),
        ):
            argv = ("brokers", "cancel-all", account, "--yes")
            (await run(live, *argv)).refused(code, words)
        (await end_all(live)).refused(2, "say --yes")
        write_secrets("")
        (await end_all(live, "--yes")).refused(1, "no account of binance")
