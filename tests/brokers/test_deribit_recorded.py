"""Real messages of Deribit, served by its emulator: the quotes and bars they make."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from itertools import groupby
from math import isnan

import pytest
import trio

from piker.brokers import get_brokermod
from piker.data import open_feed
from piker.service import collapse_eg
from piker.testing import private_dirs
from piker.testing.emulator import open_emulator
from tests._data import data_dir
from tests._infected import run_infected
from tests.data._naive import Print, naive_bars
from tests.data._replays import rows

pytestmark = pytest.mark.tree

FOLDER = data_dir() / "protocol" / "cryptofeed_sample_data"
SESSION = [FOLDER / "DERIBIT.0.gz", FOLDER / "DERIBIT.ws.1.0.gz"]
SYMBOL, FQME = "BTC-24SEP21-8000-P", "btc.20210924.8000p.deribit"
Sides = tuple[float, float, float, float]


def recorded_sides() -> list[Sides]:
    """Return the best bids and asks, each time they changed, by the tickers."""
    found = []
    with gzip.open(SESSION[1], "rt", encoding="utf-8") as lines:
        for line in lines:
            if f"ticker.{SYMBOL}" not in line or '"subscription"' not in line:
                continue
            data = json.loads(line.partition(": ")[2])["params"]["data"]
            found.append(
                tuple(
                    data[f"best_{side}_{what}"]
                    for side in ("bid", "ask")
                    for what in ("price", "amount")
                )
            )
    return [key for key, _ in groupby(found)]


def told_sides(ticks) -> list[Sides]:
    """Return the same of ticks: a bid, then an ask, each time."""
    assert [tick.type for tick in ticks] == ["bid", "ask"] * (len(ticks) // 2)
    flat = [
        number
        for tick in ticks
        for number in ((0.0, 0.0) if isnan(tick.price) else (tick.price, tick.size))
    ]
    sides = [tuple(flat[i : i + 4]) for i in range(0, len(flat), 4)]
    return [key for key, _ in groupby(sides)]


def test_recorded_tickers_and_books_give_the_quotes_that_they_say(tmp_path):
    expected = recorded_sides()
    assert len(expected) > 20

    async def main() -> None:
        async with open_emulator(
            "deribit", session=SESSION, speed=0, streams=2, budget=10**6
        ) as venue:
            with private_dirs(tmp_path, venue.conf):
                ticks = await stream_until(venue, expected)
        assert told_sides(ticks)[-len(expected) :] == expected

    run_infected(main)


async def stream_until(venue, sides: list[Sides]):
    """Return all bids and asks that the backend sends, until the last are *sides*."""
    send, receive = trio.open_memory_channel(1000)
    ticks = []
    async with collapse_eg(), trio.open_nursery() as tasks:

        async def run(task_status=trio.TASK_STATUS_IGNORED) -> None:
            await get_brokermod("deribit").stream_quotes(
                send, [FQME], trio.Event(), resume={}, task_status=task_status
            )

        await tasks.start(run)
        with trio.move_on_after(40):
            async for item in receive:
                if isinstance(item, tuple):
                    ticks += [tick for tick in item[1] if tick.type in {"bid", "ask"}]
                if told_sides(ticks)[-len(sides) :] == sides:
                    await venue.wait_done()
                    await trio.sleep(0.2)
                    break
        while receive.statistics().current_buffer_used:
            item = receive.receive_nowait()
            if isinstance(item, tuple):
                ticks += [tick for tick in item[1] if tick.type in {"bid", "ask"}]
        tasks.cancel_scope.cancel()
    return ticks


# -- trades, after the venue's own samples ---------------------------------------------


def sampled_trades() -> list[dict]:
    """Return the trades of the sample, and after them such as might have followed."""
    path = data_dir() / "protocol" / "nautilus_deribit" / "http_get_last_trades.json"
    found = json.loads(path.read_text(encoding="utf-8"))["result"]["trades"]
    last = found[-1]
    for n in range(1, 491):
        seq = last["trade_seq"] + n
        found.append(
            {
                **last,
                "trade_seq": seq,
                "trade_id": f"ETH-{284830900 + n}",
                "timestamp": last["timestamp"] + 211 * n,
                "price": round(2968.3 + 0.05 * (n * 13 % 41 - 20), 2),
                "amount": float(1 + n * 37 % 200),
                "direction": ("buy", "sell")[n % 3 == 0],
            }
        )
    return found


def write_session(path):
    """Write the sample's trades as the stream would have told them, each alone."""
    lines = []
    for one in sampled_trades():
        params = {"channel": "trades.ETH-PERPETUAL.100ms", "data": [one]}
        told = {"jsonrpc": "2.0", "method": "subscription", "params": params}
        lines.append(f"{(one['timestamp'] + 50) * 10**6} {json.dumps(told)}\n")
    path.write_text("".join(lines))
    return path


async def test_sampled_trades_make_the_bars_that_they_say(open_test_pikerd, tmp_path):
    path = write_session(tmp_path / "session.txt")
    trades = sampled_trades()
    prints = [
        Print(
            one["timestamp"] * 10**6,
            one["trade_seq"],
            Decimal(str(one["price"])),
            Decimal(str(one["amount"])),
        )
        for one in trades
    ]
    assert len(prints) == 500
    async with (
        open_emulator(
            "deribit", session=path, speed=20, streams=2, budget=10**6
        ) as venue,
        open_test_pikerd(conf=venue.conf),
        open_feed("ethusd.perp.deribit") as feed,
    ):
        flume = feed.flumes["ethusd.perp.deribit"]
        await venue.wait_done()
        for period_s, shm in ((1, flume.rt_shm), (60, flume.hist_shm)):
            expected = naive_bars(prints, period_s)
            with trio.move_on_after(30):
                while made(shm, expected) != expected:
                    await trio.sleep(0.05)
            assert made(shm, expected) == expected


def made(shm, expected) -> list[tuple]:
    """Return the bars from the first to the last that are expected."""
    first, last = expected[0][0], expected[-1][0]
    return [row for row in rows(shm) if first <= row[0] <= last]
