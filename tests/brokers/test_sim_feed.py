"""``sim`` as datad sees it: the contract kept, clocks, ends, replays gone on with."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import trio

from piker.brokers import Reached, ResumePoint, sim
from piker.brokers.sim import _worlds as worlds
from piker.brokers.sim._feed import get_mkt_info, open_history_client
from piker.brokers.sim._worlds import find
from piker.errors import ConfigError, SessionFileError, SymbolNotFound
from piker.msgs import NS, SessionClock, WallClock
from piker.testing import CHECKS, BackendCase, check_backend, private_dirs
from piker.testing._conformance import open_stream
from tests._data import binance_session

BTC = BackendCase(
    broker="sim",
    fqme="btcusdt.spot.sim",
    short="btcusdt.sim",
    unknown=("nosuch.spot.sim", "btcusdt.nowhere.sim", "x"),
    pattern="btcusdt",
)
REPLAY = BackendCase(
    broker="sim",
    fqme="btcusdt.usdtm.perp.binance.sim",
    unknown=("btcusdt.usdtm.perp.kraken.sim",),
    pattern="btcusdt.usdtm.perp.binance",
    has_history=False,
    trades=3000,
)
START = "2026-03-02T00:00:00Z"
START_S = 1_772_409_600


@pytest.fixture
def conf(tmp_path, monkeypatch):
    """Configure this process's sim; a replay's clock is kept in a dict, not a tree."""
    clocks: dict[str, bytes] = {}
    monkeypatch.setattr(worlds, "publish_once", clocks.setdefault)

    def use(text=""):
        return private_dirs(tmp_path, text)

    return use


def replay_conf(speed=0.0):
    path = binance_session("usdm_hft/btcusdt_20240808.gz")
    return f'[sim]\nspeed = {speed}\nsessions = ["{path}"]\n'


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_synthetic_markets_conform(conf, check):
    with conf():
        await check(BTC)


async def test_bars_from_a_still_second_on_begin_with_it(conf):
    """They are what a longer answer has from there on, flat bars too."""
    with conf():
        mkt, _ = await get_mkt_info(BTC.fqme)
        async with open_history_client(mkt) as (get_bars, _):
            stills = 0
            for end_s in range(START_S, START_S + 18_000, 1800):
                whole = await get_bars(1, end_s, end_s - 1800)
                still = whole["time"][1:][whole["count"][1:] == 0]
                for start_s in still.tolist():
                    some = await get_bars(1, end_s, start_s)
                    assert some["time"][0] == start_s
                    assert some.tobytes() == whole[whole["time"] >= start_s].tobytes()
                stills += len(still)
            assert stills > 5


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_replays_conform(conf, check):
    with conf(replay_conf()):
        await check(REPLAY)


async def test_the_kit_finds_what_is_wrong(conf, monkeypatch):
    async def twice(send_chan, symbols, feed_is_live, *, resume, task_status):
        """Sends each batch twice, and goes on after the end of the block."""
        send, receive = trio.open_memory_channel(0)

        async def double():
            async for item in receive:
                await send_chan.send(item)
                await send_chan.send(item)

        async with trio.open_nursery() as tasks:
            tasks.start_soon(double)
            await real(send, symbols, feed_is_live, resume={}, task_status=task_status)

    async def another(fqme):
        return await get_mkt_info("ethusdt.spot.sim")

    real = sim.stream_quotes
    with conf(replay_conf()):
        assert await check_backend(REPLAY) == {}
        monkeypatch.setattr(sim, "stream_quotes", twice)
        monkeypatch.setattr(sim, "get_mkt_info", another)
        monkeypatch.delattr(sim, "open_history_client")
        found = await check_backend(REPLAY)
    assert found["check_trades"] == "ids don't rise"
    assert found["check_market"].startswith(f"asked for '{REPLAY.fqme}', got 'ethusdt")
    assert found.keys() == {
        "check_market",
        "check_search",
        "check_start",
        "check_trades",
    }


# -- synthetic markets ----------------------------------------------------------------


async def play(fqme, point=None) -> tuple[list, int]:
    """Return all a full-speed stream sends, and how much of it before it was live."""
    send, receive = trio.open_memory_channel(0)
    is_live, items, live_at = trio.Event(), [], -1
    resume = {fqme: point} if point else {}

    async def run(task_status):
        async with send:
            await sim.stream_quotes(
                send, [fqme], is_live, resume=resume, task_status=task_status
            )

    async with trio.open_nursery() as tasks:
        await tasks.start(run)
        async for item in receive:
            if is_live.is_set() and live_at < 0:
                live_at = len(items)  # or the one before: it was taken a moment later
            items.append(item)
    return items, live_at


def trades_in(items):
    batches = [item[1] for item in items if isinstance(item, tuple)]
    return [tick for batch in batches for tick in batch if tick.type == "trade"]


HOUR = f'[sim]\nspeed = 0\nstart = "{START}"\nlength_s = 3600\n'


async def test_a_world_at_full_speed_is_the_generator(conf):
    with conf(HOUR):
        items, live_at = await play(BTC.fqme)
        made = find(BTC.fqme).synthetic.trades(START_S * NS, (START_S + 3600) * NS)
    trades = trades_in(items)
    assert [t.tid for t in trades] == made["tid"].tolist()
    assert items[-1] == Reached(BTC.fqme, (START_S + 3600) * NS)
    assert live_at == 0
    newest_ns = 0
    for item in items:
        if isinstance(item, Reached):
            newest_ns = item.time_ns
        else:
            assert all(t.time_ns >= newest_ns for t in item[1]), "said to be over"


async def test_a_world_goes_on_from_a_trade(conf):
    with conf(HOUR):
        items, _ = await play(BTC.fqme)
        trades = trades_in(items)
        at = trades[len(trades) // 2]
        again, live_at = await play(BTC.fqme, ResumePoint(at.time_ns, at.tid - 512))
    resent = trades_in(again)
    assert resent[-1] == trades[-1]
    assert resent == trades[len(trades) - len(resent) :]
    assert resent[0].time_ns < at.time_ns - 30 * NS
    assert at in trades_in(again[: live_at + 1]), "what is known is no news"
    assert at not in trades_in(again[live_at + 1 :])


async def test_an_expired_market_says_so(conf):
    with conf(), pytest.raises(SymbolNotFound, match="has expired"):
        async with open_stream(replace(BTC, fqme="es.cme.20200320.sim")):
            pass


async def test_clocks(conf):
    with conf():
        assert worlds.world_clock() == WallClock()
    with conf('[sim]\nstart = "next week"\n'):
        with pytest.raises(ConfigError, match="expected an ISO 8601 time"):
            worlds.world_clock()
    with conf(HOUR):
        first = worlds.world_clock()
        assert isinstance(first, SessionClock)
        assert first.origin_ns == START_S * NS
        assert worlds.world_clock() == first, "one for all who ask"
        assert worlds.world_end_ns(first) == (START_S + 3600) * NS


# -- recorded sessions ----------------------------------------------------------------


async def test_a_replay_goes_on_from_a_trade(conf):
    with conf(replay_conf()):
        items, live_at = await play(REPLAY.fqme)
        assert live_at == 0
        trades = trades_in(items)
        assert len(trades) == 21_313
        at = trades[15_000]
        again, live_at = await play(REPLAY.fqme, ResumePoint(at.time_ns, at.tid - 512))
    resent = trades_in(again)
    assert resent == trades[15_000 - 512 :]
    assert at in trades_in(again[: live_at + 1])
    assert all(t.time_ns > at.time_ns for t in trades_in(again[live_at + 1 :]))


async def test_skipping_a_long_way_lets_others_run(conf):
    """A heartbeat that waits for seconds would have datad killed."""
    longest = []

    async def beat():
        longest.append(0.0)
        while True:
            began = time.thread_time()  # of this thread only: no neighbour counts
            await trio.lowlevel.checkpoint()
            longest[-1] = max(longest[-1], time.thread_time() - began)

    # a virtual machine's thread is charged for what its host took from it
    while not longest or (min(longest) >= 0.3 and len(longest) < 4):
        with conf(replay_conf()):
            async with trio.open_nursery() as tasks:
                tasks.start_soon(beat)
                items, _ = await play(REPLAY.fqme, ResumePoint(2**62, 2**62))
                tasks.cancel_scope.cancel()
        assert items == []
    assert min(longest) < 0.3, longest


async def test_a_replay_keeps_time(conf):
    """Ticks come when they are due, and seconds pass without any."""
    with conf(replay_conf(speed=50)):
        async with open_stream(REPLAY) as stream:
            clock = stream.init.clock
            batches, reached = [], []
            with trio.fail_after(20):
                async for item in stream.receive:
                    now_ns = clock.now_ns()
                    if isinstance(item, Reached):
                        reached.append(item.time_ns)
                        assert item.time_ns <= now_ns
                    else:
                        batches.append((item[1][-1].time_ns, now_ns))
                    if len(reached) > 20 and len(batches) > 20:
                        break
    assert reached == sorted(set(reached))
    # its venue's stamps lead the recorder's by 1.3 s
    assert all(time_ns - now_ns < 2 * NS for time_ns, now_ns in batches)


async def test_a_broken_session_hides_no_other(conf, tmp_path):
    good = binance_session("usdm_hft/btcusdt_20240808.gz")
    (tmp_path / "bad").write_text("what is this\n")
    text = f'[sim]\nspeed = 0\nsessions = ["{tmp_path / "bad"}", "{good}"]\n'
    with conf(text):
        found, faults = worlds.sessions()
        assert [session.path for session in found] == [good]
        assert len(faults) == 1
        assert find(REPLAY.fqme).mkt.fqme == REPLAY.fqme
        with pytest.raises(SessionFileError, match="line 1: must be a receive stamp"):
            find("ethusdt.usdtm.perp.binance.sim")
        assert await sim.find_matches("btcusdt.usdtm.perp.binance", 3)
    with conf(replay_conf()), pytest.raises(SymbolNotFound, match="recorded: btcusdt"):
        find("ethusdt.usdtm.perp.binance.sim")


async def test_what_can_be_played_of_a_torn_session_is_sent(conf, tmp_path):
    whole = binance_session("usdm_hft/btcusdt_20240808.gz").read_bytes()
    (tmp_path / "torn.gz").write_bytes(whole[:200_000])
    text = f'[sim]\nspeed = 0\nsessions = ["{tmp_path / "torn.gz"}"]\n'
    send, receive = trio.open_memory_channel(10_000)
    with conf(text):
        (session,), _ = worlds.sessions()
        frames, ticks = 0, 0
        with pytest.raises(SessionFileError):
            for batch in session.batches():
                frames, ticks = frames + 1, ticks + len(batch.ticks)
        with pytest.raises(SessionFileError, match="is cut off after line"):
            await sim.stream_quotes(
                send, [REPLAY.fqme], trio.Event(), resume={},
                task_status=trio.TASK_STATUS_IGNORED,
            )  # fmt: skip
    send.close()
    sent = [item async for item in receive]
    assert sum(len(batch) for _, batch in sent) == ticks > 1000


async def test_the_newest_bars_of_a_closed_market_are_those_of_before(tmp_path):
    with private_dirs(tmp_path):
        mkt, world = await get_mkt_info("tsla.nasdaq.sim")
        opens_s = world.calendar.next_open(1_700_000_000 + 3 * 86_400)
        async with open_history_client(mkt) as (get_bars, conf):
            for period_s in conf.periods_s:
                bars = await get_bars(period_s, opens_s - opens_s % 60)
                assert len(bars) >= 100
                assert not world.calendar.is_open(int(bars["time"][-1]) + period_s)
