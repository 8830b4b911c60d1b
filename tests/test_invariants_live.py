"""Invariants of live sessions, by their number in the design."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest
import trio

from piker import config
from tests.brokers._live import (
    ACCOUNT,
    BINANCE,
    FQME,
    KRAKEN,
    live_trading,
    open_live,
    open_live_at,
    order,
)

pytestmark = pytest.mark.tree


async def pids_of(tree) -> dict[str, int]:
    """Return each process of the tree, by its name."""
    infos = await tree.infos()
    return {name: info.pid for name, info in infos.items() if info.pid > 0}


def memory_has(pid: int, needles: dict[str, bytes]) -> set[str]:
    """Return which of *needles* are in a process's memory, all of it."""
    found: set[str] = set()
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in maps:
            span, flags, *_ = line.split()
            if "r" not in flags or line.endswith(("[vvar]", "[vsyscall]")):
                continue
            begin, end = (int(each, 16) for each in span.split("-"))
            try:
                mem.seek(begin)
                held = mem.read(end - begin)
            except (OSError, OverflowError):
                continue  # it can't be read, or went away
            found |= {name for name, text in needles.items() if text in held}
    return found


def files_have(folder: Path, needles: dict[str, bytes]) -> set[str]:
    return {
        name
        for path in folder.rglob("*")
        if path.is_file() and path.name != "brokers.toml"
        for name, text in needles.items()
        if text in path.read_bytes()
    }


async def test_4_a_secret_is_in_its_brokers_order_daemon_and_nowhere_else(
    open_test_pikerd,
):
    """Of two brokers, while both have orders that rest."""
    async with open_live_at(
        open_test_pikerd, BINANCE, KRAKEN, embedded=False, deadline_s=300
    ) as lives:
        needles = {
            f"{live.at.broker} {name}": text.encode()
            for live in lives
            for name, text in (("key", live.key), ("secret", live.secret))
        }
        (one, other) = lives
        async with (
            live_trading(one.at, deadline_s=240) as me,
            live_trading(other.at, deadline_s=240) as you,
        ):
            rest = [(me, order(58_000, at=one.at)), (you, order(58_000, at=other.at))]
            for who, rests in rest:
                await who.client.send(rests)
                await who.until(resp="open", oid=rests.oid)
            pids = await pids_of(one.tree)
            daemons = {"brokerd.binance", "datad.binance", "brokerd.kraken"}
            assert {"pikerd", "emsd", *daemons} <= set(pids)
            # whatever holds the tree's parts together is searched, too
            named = {pid: name for name, pid in pids.items()}
            tree = psutil.Process(pids["pikerd"])
            every = {tree.pid, *(each.pid for each in tree.children(recursive=True))}
            # half a GiB: in a thread, so that nobody takes this process for hung
            held = {
                named.get(pid, str(pid)): await trio.to_thread.run_sync(
                    memory_has, pid, needles
                )
                for pid in every
            }
            environ = {pid: Path(f"/proc/{pid}/environ").read_bytes() for pid in every}
            for who, rests in rest:
                await who.client.cancel(rests.oid)
                await who.until(resp="canceled", oid=rests.oid)
        # the positive control: each is found where it must be
        for live in lives:
            broker = live.at.broker
            assert held.pop(f"brokerd.{broker}") == {
                f"{broker} key",
                f"{broker} secret",
            }
        assert not any(held.values()), held
        assert not any(
            text in each for each in environ.values() for text in needles.values()
        )
        for folder in (Path(config.state_dir()), one.tree.shm):
            assert not files_have(Path(folder), needles)


async def test_2_what_brokerd_exposes_and_16_how_it_is_told(open_test_pikerd):
    async with open_live(open_test_pikerd, embedded=False) as live:
        async with live_trading() as me:
            assert ACCOUNT in me.client.accounts
            names = await pids_of(live.tree)
            assert [name for name in names if name.startswith("brokerd")] == [
                "brokerd.binance"
            ]
            text = Path(f"/proc/{names['brokerd.binance']}/maps").read_text()
            assert "/piker." not in text, "no buffer of bars is mapped"


@pytest.mark.parametrize("name", ["datad.binance", "brokerd.binance", "emsd"])
@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGSTOP])
async def test_6_whoever_dies_the_others_live_and_orders_go_on(
    open_test_pikerd, name, sig
):
    async with open_live(open_test_pikerd, embedded=False, deadline_s=180) as live:
        async with live_trading(deadline_s=150) as me:
            rests = order(58_000, "0.5")
            await me.client.send(rests)
            await me.until(resp="open", oid=rests.oid)
            before = await pids_of(live.tree)
            os.kill(before[name], sig)
            # it trades meanwhile
            await live.venue.outside("BTCUSDT", "sell", "58000", "50.2")
            with trio.fail_after(60):
                while (await pids_of(live.tree)).get(name, -1) in (before[name], -1):
                    await trio.sleep(0.1)
            await me.until(resp="fill", oid=rests.oid, deadline_s=30)
            after = await pids_of(live.tree)
            assert {one for one in before if after.get(one) != before[one]} == {name}
            await me.client.cancel(rests.oid)
            await me.until(resp="canceled", oid=rests.oid, deadline_s=30)
            await live.check(me, [rests.oid])
            assert me.positions[ACCOUNT, FQME].size
