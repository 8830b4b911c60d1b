"""Feeds through a real tree: who asks wrongly is told, who shares gets all of it."""

from __future__ import annotations

import gzip
import os
import resource
import shutil
import signal
import time
from pathlib import Path

import pytest
import trio

from piker.data import (
    Disconnected,
    Ended,
    Quote,
    Reconnected,
    maybe_open_feed,
    open_feed,
    search_symbols,
)
from piker.errors import (
    BadFqme,
    BrokerNotFound,
    SessionFileError,
    ShmFull,
    SymbolNotFound,
    UsageError,
)
from piker.service import Policy
from tests._data import binance_session
from tests.data._live import (
    BTC,
    ETH,
    NS,
    check_live_bars,
    stats,
    synthetic,
    wait_stats,
    watched,
)

pytestmark = pytest.mark.tree
REPLAY = "btcusdt.usdtm.perp.binance.sim"


# -- asked wrongly ----------------------------------------------------------------


async def test_bad_names_are_refused_and_leave_nothing(open_test_pikerd):
    cases = [
        ("nosuch.spot.sim", SymbolNotFound, "no market 'nosuch.spot.sim' in sim"),
        ("btcusdt.spot.nobroker", BrokerNotFound, "no broker 'nobroker'; known: sim"),
        ("BTC/USDT", BadFqme, "illegal character"),
        ("btcusdt", BadFqme, "has no broker"),
        ("es.cme.20200320.sim", SymbolNotFound, "es.cme.20200320.sim"),
        ("btcusdt.spot.binance.sim", SymbolNotFound, "no recorded market"),
    ]
    async with open_test_pikerd(), open_feed(ETH) as eth:
        for name, kind, text in cases:
            for fqmes in ([name], [BTC, name]):
                with pytest.raises(kind, match=text) as caught:
                    async with open_feed(fqmes):
                        pass
                assert "\n" not in str(caught.value)
        for fqmes, throttle in (([], None), ([BTC], 0), ([BTC], -1), ([BTC], 1e9)):
            with pytest.raises(UsageError):
                async with open_feed(fqmes, tick_throttle=throttle):
                    pass
        told = await stats()
        assert {name for name, one in told.items() if one["subs"]} == {ETH}
        assert told.keys() == {ETH, BTC}, "what was refused is forgotten"
        assert isinstance(await eth.stream.receive(), Quote)


async def test_no_room_for_bars_reaches_the_opener_only(open_test_pikerd):
    async with open_test_pikerd() as tree, open_feed(ETH) as eth:
        datad = tree.services.service_tasks["datad.sim"].pid
        old = resource.prlimit(datad, resource.RLIMIT_FSIZE)
        resource.prlimit(datad, resource.RLIMIT_FSIZE, (2**20, old[1]))
        with pytest.raises(ShmFull, match="no room for the bars of 'btcusdt.spot.sim'"):
            async with open_feed([ETH, BTC]):
                pass
        assert isinstance(await eth.stream.receive(), Quote)
        assert not [path for path in tree.shm.iterdir() if BTC in path.name]
        resource.prlimit(datad, resource.RLIMIT_FSIZE, old)
        async with open_feed([ETH, BTC]) as both:
            assert len(both.flumes[BTC].rt_shm) > 1000
        assert (await stats())[ETH]["opened"] == 1


@pytest.fixture
def damaged(tmp_path):
    """Recorded sessions with something wrong with them."""
    with gzip.open(binance_session("usdm_hft/btcusdt_20240808.gz")) as file:
        lines = [next(file) for _ in range(12_000)]
    swapped = [*lines[:9_000], lines[100], *lines[9_000:]]
    whole = gzip.compress(b"".join(lines), compresslevel=1)
    files = {
        "cut": whole[:-20_000],
        "unsorted": gzip.compress(b"".join(swapped), compresslevel=1),
        "empty": b"",
        "other": whole,
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "venue", "text"),
    [
        ("cut", "", "is cut off after line"),
        ("unsorted", "", "line 9001: stamps must not run backwards"),
        ("empty", "", "is empty"),
        ("other", "binance.spot", "recorded at binance.usdtm, not at binance.spot"),
        ("missing", "", "no such file"),
    ],
)
async def test_a_damaged_session_says_so(open_test_pikerd, damaged, file, venue, text):
    """As an error of the opener, or as the end of what could be played."""
    good = binance_session("spot_hft/ethusdt_20240808.gz")
    conf = (
        f'[sim]\nspeed = 0\nsessions = ["{good}", '
        f'{{file = "{damaged / file}", venue = "{venue}"}}]\n'
    )
    async with open_test_pikerd(conf=conf):
        async with open_feed("ethusdt.spot.binance.sim") as eth:
            if file in ("cut", "unsorted"):
                async with open_feed(REPLAY) as feed:
                    ended = await feed.events.receive()
                    assert isinstance(ended, Ended)
                    assert text in ended.reason
                    bars = feed.flumes[REPLAY].rt_shm.last(1000)
                    assert bars.count.sum() > 500, "what can be played is played"
            else:
                with pytest.raises(SessionFileError, match=text):
                    async with open_feed(REPLAY):
                        pass
            while not isinstance(event := await eth.events.receive(), Ended):
                pass
            assert event.reason == "the source has no more data"
        assert "ethusdt.spot.binance.sim" in [
            match.fqme
            for match in (await search_symbols("ethusdt.spot.binance", ["sim"])).matches
        ]


async def test_a_market_that_is_refused_after_a_restart_keeps_no_other_down(
    open_test_pikerd, tmp_path
):
    file = tmp_path / "session.gz"
    shutil.copy(binance_session("usdm_hft/btcusdt_20240808.gz"), file)
    conf = f'[sim]\nspeed = 1\nsessions = ["{file}"]\n'
    async with (
        open_test_pikerd(conf=conf) as tree,
        open_feed([REPLAY, ETH]) as feed,
        watched(feed) as (watcher,),
    ):
        file.write_bytes(b"gone")
        os.kill(tree.services.service_tasks["datad.sim"].pid, signal.SIGKILL)
        with trio.fail_after(40):
            back = await watcher.until(Reconnected)
            assert back.fqmes == (ETH,)
            at = watcher.said.index(back)
            assert (await watcher.until(Quote, at)).fqme == ETH
            while not any("is cut off" in reason(x) for x in watcher.said):
                await trio.sleep(0.05)
            await feed.pause()
            await feed.resume()
            shutil.copy(binance_session("usdm_hft/btcusdt_20240808.gz"), file)
            at = len(watcher.said)
            assert (await watcher.until(Reconnected, at)).fqmes == (REPLAY,)


def reason(item) -> str:
    return item.reason if isinstance(item, Disconnected) else ""


# -- shared -----------------------------------------------------------------------


async def test_users_of_one_process_share_a_line(open_test_pikerd):
    """One of them never reads: the others get every quote, in order."""
    async with open_test_pikerd(), trio.open_nursery() as nursery:
        async with (
            maybe_open_feed([BTC], nursery=nursery) as one,
            maybe_open_feed([BTC], nursery=nursery) as deaf,
        ):
            deaf_tap, seen = deaf.messages, []
            async with maybe_open_feed([BTC], nursery=nursery) as two:
                assert one.flumes is two.flumes
                assert (await stats())[BTC]["subs"] == 1
                for _ in range(3):
                    assert isinstance(await two.stream.receive(), Quote)
            assert all([isinstance(one, Quote) async for one in two.stream])
            while len(seen) < 5:
                quote = await one.stream.receive()
                seen += [t.tid for t in quote.ticks if t.type == "trade"]
            assert seen == sorted(set(seen))
            assert len(deaf_tap) > 3
            assert (await stats())[BTC]["subs"] == 1
        await wait_stats(BTC, subs=0)


async def test_paused_and_resumed(open_test_pikerd):
    async with open_test_pikerd(), open_feed(BTC) as feed:
        await feed.stream.receive()
        await feed.pause()
        quotes = feed.stream
        with trio.fail_after(30):  # what was on its way comes still
            while True:
                rows = len(feed.flumes[BTC].rt_shm)
                while len(feed.flumes[BTC].rt_shm) < rows + 4:  # bars go on
                    await trio.sleep(0.05)
                if not len(quotes):
                    break
                while len(quotes):
                    quotes.receive_nowait()
        await feed.resume()
        with trio.fail_after(20):  # at some hours the sim is quiet for seconds
            assert isinstance(await quotes.receive(), Quote)


async def test_a_throttle_and_several_markets(open_test_pikerd):
    async with open_test_pikerd():
        began = time.monotonic()  # some may wait for us once it is open
        times: dict[str, list[float]] = {BTC: [], ETH: []}
        tids: list[int] = []
        async with open_feed([BTC, ETH], tick_throttle=4) as feed:
            with trio.fail_after(30):  # a busy machine tells fewer in a given time
                async for quote in feed.streams["sim"]:
                    times[quote.fqme].append(time.monotonic())
                    if quote.fqme == BTC:
                        tids += [t.tid for t in quote.ticks if t.type == "trade"]
                    if len(times[BTC]) >= 16 and times[ETH]:
                        break
        # some may be on their way together; each is sent a quarter of a second after
        # the one before it at the earliest
        assert all(
            at - began > (nth - 1) / 4 - 0.1 for nth, at in enumerate(times[BTC])
        )
        assert tids == sorted(set(tids))


async def test_search(open_test_pikerd):
    async with open_test_pikerd() as tree:
        found = await search_symbols("btc usdt", ["sim"], limit=5)
        assert [match.fqme for match in found.matches] == [
            "btcusdt.spot.sim", "btcusdt.usdtm.perp.sim",
        ]  # fmt: skip
        assert not found.faults
        perps = await search_symbols("btcusdt", ["sim"], kind="perp")
        assert {match.kind for match in perps.matches} == {"perpetual_future"}
        assert (await search_symbols("qqqqzzzzxxxx123", ["sim"])).matches == []
        assert (await search_symbols("btc\udcff", ["sim"])).matches, "no text, and yet"
        with pytest.raises(UsageError, match="no kind 'perpetuals' of markets; kinds"):
            await search_symbols("btc", ["sim"], kind="perpetuals")
        with pytest.raises(BrokerNotFound, match="no broker 'nobroker'"):
            await search_symbols("btc", ["nobroker"])
        os.kill(tree.services.service_tasks["datad.sim"].pid, signal.SIGKILL)
        assert await search_symbols("btc usdt", ["sim"], limit=5) == found, (
            "asked again"
        )


# -- come and gone ------------------------------------------------------------------


async def test_closed_after_a_linger_and_exact_for_the_next(open_test_pikerd):
    conf = (
        "[data]\nlinger_s = 0.5\nrt_bars = 2048\n"  # a minute of ours, and its past
        '[sim]\nstart = "2026-03-02T00:00:00Z"\nspeed = 20\n'
    )
    async with open_test_pikerd(conf=conf) as tree:
        async with open_feed(BTC) as feed:
            await feed.stream.receive()
            began_s = feed.flumes[BTC].clock.origin_ns // NS
        await wait_stats(BTC, upstreams=0, live=False)
        # for more seconds than rows may change: nothing but data makes bars
        await trio.sleep(1.5)
        async with open_feed(BTC) as feed:
            assert not len(feed.events), "nothing was lost, as far as a newcomer knows"
            assert await check_live_bars(feed.flumes[BTC], began_s - 840) > 870
        told = await stats()
        assert told[BTC]["opened"] == 2
        assert told[BTC]["too_late"] == 0
        assert tree.services.service_tasks["datad.sim"].restarts == 0


async def test_idle_datad_ends_and_its_bars_are_adopted(open_test_pikerd):
    conf = "[data]\nlinger_s = 0.1\nidle_s = 0.6\nrt_bars = 1024\n"
    async with open_test_pikerd(conf=conf) as tree:
        began = time.time()
        async with open_feed(BTC) as feed:
            await feed.stream.receive()
        with trio.fail_after(20):
            while "datad.sim" in tree.services.service_tasks:
                await trio.sleep(0.05)
        async with open_feed(BTC) as feed:
            await trio.sleep(1)  # however quick all that was, a bar is of after it
            assert await check_live_bars(feed.flumes[BTC], began - 900) > 900
            assert (await stats())[BTC]["adoptions"] == 2


# -- lost and found -----------------------------------------------------------------


async def test_stopped_by_command_is_told_and_a_restart_heals(open_test_pikerd):
    async with open_test_pikerd() as tree, open_feed(BTC) as feed:
        async with watched(feed) as (watcher,):
            await watcher.until(Quote)
            await tree.services.cancel_service("datad.sim")
            await watcher.until(Disconnected)
            with trio.fail_after(20):
                while "stopped by command" not in watcher.said[-1].reason:
                    await trio.sleep(0.02)
            told = len(watcher.said)
            await trio.sleep(1.5)
            assert len(watcher.said) == told, "told once"
            await tree.services.restart("datad.sim")
            with trio.fail_after(30):
                await watcher.until(Reconnected, told)
                await watcher.until(Quote, told + 2)
            assert watcher.check_order() == 1


async def test_quarantined_is_told_and_a_restart_heals(open_test_pikerd):
    policy = Policy(delays_s=(0.0,), max_deaths=2)
    async with open_test_pikerd(policy=policy) as tree:
        began = time.time()
        async with open_feed(BTC) as feed, watched(feed) as (watcher,):
            service = tree.services.service_tasks["datad.sim"]
            for _ in range(3):
                await tree.services.wait_up("datad.sim")
                os.kill(service.pid, signal.SIGKILL)
                while service.state == "running":
                    await service.changed.wait()
            with trio.fail_after(30):
                while "quarantined" not in getattr(watcher.said[-1], "reason", ""):
                    await trio.sleep(0.02)
            told = len(watcher.said)
            await tree.services.restart("datad.sim")
            with trio.fail_after(30):
                back = await watcher.until(Reconnected, told)
                await watcher.until(Quote, told + 2)
            assert back.missed >= 0
            watcher.check_order()
            await check_live_bars(feed.flumes[BTC], began - 60)


def trade_ids(items: list) -> list[int]:
    quotes = [item for item in items if isinstance(item, Quote)]
    return [t.tid for quote in quotes for t in quote.ticks if t.type == "trade"]


async def some_trades(watcher, after: int) -> list[int]:
    """Return trades told from message number *after* on, once there are some."""
    with trio.fail_after(30):  # at some hours the sim is quiet for seconds
        while len(trade_ids(watcher.said[after:])) < 3:
            await watcher.until(Quote, len(watcher.said))
    return trade_ids(watcher.said[after:])


async def test_missed_is_what_was_refetched(open_test_pikerd):
    """Trades sent as ticks and those counted as missed are all there were, nearly."""
    # so long that something is sure to be traded meanwhile
    policy = Policy(delays_s=(4.0,))
    async with open_test_pikerd(policy=policy) as tree, open_feed(BTC) as feed:
        began_ns = time.time_ns()
        async with watched(feed) as (watcher,):
            await some_trades(watcher, 0)
            os.kill(tree.services.service_tasks["datad.sim"].pid, signal.SIGKILL)
            back = await watcher.until(Reconnected)
            at = watcher.said.index(back)
            before = trade_ids(watcher.said[:at])
            after = await some_trades(watcher, at + 2)
        assert before + after == sorted({*before, *after}), "none twice, none back"
        made = synthetic(BTC).trades(began_ns - 60 * NS, time.time_ns())["tid"]
        gap = sum(before[-1] < tid < after[0] for tid in made.tolist())
        # less those that were in the bars, but not on their way, when datad died
        assert gap - 10 <= back.missed <= gap
        assert back.missed > 0 or gap < 3


async def test_a_buffer_made_anew_is_read_anew(open_test_pikerd):
    """Its file was lost with the daemon: whoever asks the flume gets the new one."""
    async with open_test_pikerd() as tree, open_feed(BTC) as feed:
        old = feed.flumes[BTC].rt_shm
        async with watched(feed) as (watcher,):
            for path in tree.shm.glob(f"{BTC}.*"):
                Path(path).unlink()
            os.kill(tree.services.service_tasks["datad.sim"].pid, signal.SIGKILL)
            await watcher.until(Reconnected)
            new = feed.flumes[BTC].rt_shm
            assert new is not old
            assert new is feed.flumes[BTC].rt_shm
            with trio.fail_after(20):
                while new.forming().time <= old.forming().time:
                    await trio.sleep(0.05)
            await check_live_bars(feed.flumes[BTC], time.time() - 300)
