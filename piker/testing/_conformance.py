"""The same checks for every backend: does it keep to its contract with datad?

    case: a backend, a market of it --> CHECKS, each an async function of the case

A check raises AssertionError with a sentence about what the backend did. They run in
the caller's process and trio run, against whatever venue the backend reaches from
there: the real one, or an emulator of it on loopback.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from types import ModuleType
from typing import Any, Final

import numpy as np
import trio

from piker.brokers import FeedItem, GetBars, ResumePoint, get_brokermod
from piker.data.validate import broker_name, get_eps, missing_eps, validate_backend
from piker.errors import NoData, UsageError
from piker.msgs import FeedInit, Fqme, Match, Quote, Tick
from piker.service import collapse_eg
from piker.tsp import OHLCV

from ._conform_frames import check_recorded

#: What a datad can't do without.
NEEDED: Final = ("get_mkt_info", "stream_quotes")
#: Parameters that are part of the contract, by endpoint.
PARAMS: Final[dict[str, tuple[str, ...]]] = {
    "get_mkt_info": ("fqme",),
    "open_history_client": ("mkt",),
    "open_symbol_search": ("ctx",),
    "stream_frames": ("sink", "symbols", "points"),
    "stream_quotes": ("send_chan", "symbols", "feed_is_live", "resume", "task_status"),
}
_ODD_PATTERNS: Final = (
    "",
    " ",
    "?",
    "é",
    "\x00",
    "x" * 1000,
    "a b c d e f g h i j k l",
)
#: A stream has so long for its first word, and for each further batch.
WORD_S: Final = 20.0
#: It has so long to end when it is cancelled.
CANCEL_S: Final = 2.0


@dataclass(frozen=True)
class BackendCase:
    """A backend under test.

    Attributes:
      broker: its name.
      fqme: full name of a market that trades at least every few seconds.
      short: another name for the same market, empty if there is none.
      unknown: names of no market.
      pattern: a search that must find *fqme*.
      has_history: whether there are bars of its past at all.
      history_end_s: until when there are, now if None.
      trades: how many to watch for.
    """

    broker: str
    fqme: str
    short: str = ""
    unknown: tuple[str, ...] = ()
    pattern: str = ""
    has_history: bool = True
    history_end_s: int | None = None
    trades: int = 20

    @property
    def mod(self) -> ModuleType:
        """The backend."""
        return get_brokermod(self.broker)

    @property
    def eps(self) -> dict[str, Callable[..., Any]]:
        """What it offers to datad."""
        return get_eps(self.mod, "datad")


# -- names ------------------------------------------------------------------------


async def check_endpoints(case: BackendCase) -> None:
    """It offers what is needed, under the names and with the parameters agreed on."""
    await trio.lowlevel.checkpoint()
    assert broker_name(case.mod) == case.broker, "its module is called otherwise"
    for kind in ("middleware", "datad", "brokerd"):
        lacking = missing_eps(case.mod, kind)
        assert not set(lacking) & set(get_eps(case.mod, kind)), "offered and missing"
    lacking = [name for name in NEEDED if name not in case.eps]
    assert not lacking, f"no datad without {lacking}"
    for name, func in case.eps.items():
        plain = getattr(func, "__wrapped_endpoint__", func)
        found = tuple(inspect.signature(plain).parameters)
        assert set(PARAMS[name]) <= set(found), f"{name} takes {found}"


async def check_market(case: BackendCase) -> None:
    """Names lead to the market and back; those of none are refused in a sentence."""
    mkt, _ = await case.eps["get_mkt_info"](case.fqme)
    assert mkt.fqme == case.fqme, f"asked for {case.fqme!r}, got {mkt.fqme!r}"
    assert mkt.broker == case.broker
    assert str(Fqme.parse(mkt.fqme)) == mkt.fqme
    if case.short:
        again, _ = await case.eps["get_mkt_info"](case.short)
        assert again == mkt, f"{case.short!r} is another market"
    for name in case.unknown:
        said = await _refusal(UsageError, case.eps["get_mkt_info"], name)
        assert said, f"{name!r} is a market"
        assert "\n" not in said, f"an error is one line, not {said!r}"


async def _refusal(
    kind: type[Exception], func: Callable[..., Awaitable[Any]], *args: Any
) -> str:
    """Return what *func* refuses with, empty if it doesn't."""
    try:
        await func(*args)
    except kind as err:
        return str(err)
    return ""


async def check_search(case: BackendCase) -> None:
    """A search finds the market, and only markets that are there."""
    if "open_symbol_search" not in case.eps or not case.pattern:
        return
    mkt, _ = await case.eps["get_mkt_info"](case.fqme)
    asked = [
        (case.pattern, 5, ""),
        (case.fqme.upper(), 1, ""),
        (case.pattern, 5, mkt.atype),
        (case.pattern, 5, "no such kind"),
        *((pattern, 5, "") for pattern in _ODD_PATTERNS),
    ]
    search = case.eps["open_symbol_search"]
    ctx = _SearchContext(asked)
    await getattr(search, "__wrapped_endpoint__", search)(ctx)
    assert len(ctx.said) == len(asked), f"{len(ctx.said)} answers of {len(asked)}"
    for (pattern, limit, _), matches in zip(asked, ctx.said, strict=True):
        assert isinstance(matches, list), f"it said {matches!r}"
        assert len(matches) <= limit, f"more than {limit} matches of {pattern!r}"
        scores = [match.score for match in matches]
        assert scores == sorted(scores, reverse=True), "not the best first"
    found, exact, of_kind, of_none, *_ = ctx.said
    for matches in (found, exact, of_kind):
        assert case.fqme in [match.fqme for match in matches], f"found {matches}"
    assert {match.kind for match in of_kind} == {mkt.atype}, "kinds not asked for"
    assert not of_none, "markets of a kind that there isn't"
    for match in found:
        assert isinstance(match, Match)
        mkt, _ = await case.eps["get_mkt_info"](match.fqme)
        assert mkt.fqme == match.fqme, f"{match.fqme!r} is listed as another name"
        assert mkt.atype == match.kind, f"{match.fqme!r} is listed as {match.kind!r}"


# -- history ----------------------------------------------------------------------


async def check_history(case: BackendCase) -> None:
    """Bars ascend in whole periods, end where they are to, and join without overlap."""
    if "open_history_client" not in case.eps:
        return
    mkt, _ = await case.eps["get_mkt_info"](case.fqme)
    end_s = case.history_end_s or int(time.time())
    async with case.eps["open_history_client"](mkt) as (get_bars, conf):
        assert conf.periods_s, "it has no periods"
        for period_s in conf.periods_s if case.has_history else ():
            last_s = end_s - end_s % period_s
            newest = await get_bars(period_s, last_s)
            _check_bars(newest, period_s, conf.max_bars)
            assert newest["time"][-1] < last_s, "a bar at the end asked for"
            start_s = int(newest["time"][len(newest) // 2])
            for cut_s in (start_s, int(newest["time"][0])):
                older = await _older(get_bars, period_s, cut_s)
                if older is None:
                    assert cut_s != start_s, "no bars where there are some"
                    continue  # a venue may have no more than the newest
                _check_bars(older, period_s, conf.max_bars)
                assert older["time"][-1] < cut_s, "two requests overlap"
            some = await get_bars(period_s, last_s, start_s)
            assert some["time"][0] >= start_s, "bars from before the start asked for"
            assert np.array_equal(some, newest[newest["time"] >= start_s])
        said = await _refusal(NoData, get_bars, conf.periods_s[-1], 0)
        assert said, "it has bars from before 1970"
        assert "\n" not in said, f"an error is one line, not {said!r}"


async def _older(get_bars: GetBars, period_s: int, end_s: int) -> Any:
    try:
        return await get_bars(period_s, end_s)
    except NoData:
        return None


def _check_bars(bars: Any, period_s: int, max_bars: int) -> None:
    assert bars.dtype == OHLCV, f"bars are {bars.dtype}"
    assert 1 <= len(bars) <= max_bars, f"{len(bars)} bars of at most {max_bars}"
    assert not np.any(bars["time"] % period_s), "bars at odd times"
    assert np.all(np.diff(bars["time"]) > 0), "bars don't ascend"
    for name in ("open", "close"):
        inside = (bars["low"] <= bars[name]) & (bars[name] <= bars["high"])
        assert np.all(inside), f"{name} outside of low and high"
    assert np.all(bars["volume"] >= 0), "negative volume"
    assert np.all((bars["count"] == 0) == (bars["volume"] == 0)), "volume, no trade"


# -- the stream -------------------------------------------------------------------


@dataclass(eq=False)
class Stream:
    """An open stream of the case's market.

    Attributes:
      init: what it started with.
      first_quote: what it started with.
      is_live: what it sets once it is.
    """

    init: FeedInit
    first_quote: Quote
    is_live: trio.Event
    receive: trio.MemoryReceiveChannel[FeedItem]
    live_from: int = -1
    ticks: list[Tick] = field(default_factory=list)

    async def trades(self, n: int, *, live: bool = False) -> list[Tick]:
        """Return all trades so far, at least *n*, or as many since it was live."""
        while True:
            found = [tick for tick in self.ticks if tick.type == "trade"]
            if self.live_from < 0 and self.is_live.is_set():
                self.live_from = len(found)
            wanted = n + (self.live_from if live else 0)
            if len(found) >= wanted and (self.live_from >= 0 or not live):
                return found
            with trio.fail_after(WORD_S):
                item = await self.receive.receive()
            if isinstance(item, tuple):
                assert item[0] == self.init.mkt.fqme, f"ticks of {item[0]!r}"
                self.ticks += item[1]


@asynccontextmanager
async def open_stream(
    case: BackendCase, point: ResumePoint | None = None
) -> AsyncIterator[Stream]:
    """Open the stream of the case's market."""
    stream_quotes = case.eps["stream_quotes"]
    send, receive = trio.open_memory_channel[FeedItem](64)
    is_live = trio.Event()
    resume = {} if point is None else {case.fqme: point}

    async def run(task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        await stream_quotes(
            send, [case.fqme], is_live, resume=resume, task_status=task_status
        )

    async with collapse_eg(), trio.open_nursery() as tasks:
        with trio.fail_after(WORD_S):
            inits, quotes = await tasks.start(run)
        validate_backend(case.mod, [case.fqme], inits, quotes)
        yield Stream(inits[0], quotes[case.fqme], is_live, receive)
        tasks.cancel_scope.cancel()


async def check_start(case: BackendCase) -> None:
    """A stream starts with what the market is, and a first quote with ticks."""
    async with open_stream(case) as stream:
        mkt, _ = await case.eps["get_mkt_info"](case.fqme)
        assert stream.init.mkt == mkt
        assert stream.first_quote.fqme == case.fqme
        assert stream.first_quote.ticks, "the first quote has no ticks"
        await stream.trades(1, live=True)


async def check_trades(case: BackendCase) -> None:
    """Trades come in order, ids rise, prices and sizes are whole steps."""
    async with open_stream(case) as stream:
        trades = await stream.trades(case.trades)
        mkt, start_ns = stream.init.mkt, stream.init.start_ns
    tids = [trade.tid for trade in trades]
    assert all(tid < 0 for tid in tids) or tids == sorted(set(tids)), "ids don't rise"
    times = [trade.time_ns for trade in trades]
    assert times == sorted(times), "trades come out of order"
    assert times[0] >= start_ns, "a trade from before start_ns: history has it"
    for trade in trades:
        for value, step in ((trade.price, mkt.price_tick), (trade.size, mkt.size_tick)):
            odd = Decimal(repr(value)) % step
            assert not odd, f"{value!r} is no multiple of {step}"
        assert trade.size > 0, "a trade of nothing"
        assert trade.side in {-1, 0, 1}
        assert trade.time_ns > 0, "a trade without a time"


async def check_resume(case: BackendCase) -> None:
    """Asked to go on from a trade, a stream sends it again, and all after it."""
    async with open_stream(case) as stream:
        seen = await stream.trades(case.trades)
    at = seen[len(seen) // 2]
    async with open_stream(case, ResumePoint(at.time_ns, at.tid)) as stream:
        again = await stream.trades(case.trades)
        while again[-1].time_ns < seen[-1].time_ns:
            again = await stream.trades(len(again) + 1)
    by_key = {(trade.time_ns, trade.tid): trade for trade in again}
    for trade in seen[len(seen) // 2 :]:
        same = by_key.get((trade.time_ns, trade.tid))
        assert same == trade, f"{trade} came again as {same}"


async def check_cancel(case: BackendCase) -> None:
    """A cancelled stream ends soon, and says nothing afterwards."""
    took_s: list[float] = []
    while not took_s or (took_s[-1] >= CANCEL_S and len(took_s) < 3):  # a busy machine
        async with open_stream(case) as stream:
            await stream.trades(1)
            began = trio.current_time()
        took_s.append(trio.current_time() - began)
    assert took_s[-1] < CANCEL_S, f"a cancel took too long, each time: {took_s}"
    while True:
        try:
            stream.receive.receive_nowait()
        except (trio.WouldBlock, trio.EndOfChannel):
            break
    await trio.sleep(0.2)
    assert not stream.receive.statistics().current_buffer_used, "it goes on"


async def check_frames(case: BackendCase) -> None:
    """Its raw frames, recorded in two goes, are played without a trade missing."""
    if "stream_frames" not in case.eps:
        return
    mkt, _ = await case.eps["get_mkt_info"](case.fqme)
    with trio.fail_after(4 * WORD_S):
        await check_recorded(case.eps["stream_frames"], mkt, case.trades // 4 + 1)


Check = Callable[[BackendCase], Awaitable[None]]

#: All of them, cheap ones first.
CHECKS: Final[tuple[Check, ...]] = (
    check_endpoints,
    check_market,
    check_search,
    check_history,
    check_start,
    check_trades,
    check_resume,
    check_cancel,
    check_frames,
)


async def check_backend(case: BackendCase) -> dict[str, str]:
    """Run every check; return by its name what is wrong, empty if nothing is."""
    wrong: dict[str, str] = {}
    for check in CHECKS:
        try:
            await check(case)
        except AssertionError as err:
            wrong[getattr(check, "__name__", str(check))] = str(err)
    return wrong


class _SearchContext:
    """The far end of a search that asks a few things."""

    def __init__(self, asked: list[tuple[str, int, str]]) -> None:
        self._asked = asked
        self.said: list[Any] = []

    async def started(self, value: Any = None) -> None:
        await trio.lowlevel.checkpoint()

    @asynccontextmanager
    async def open_stream(self) -> AsyncIterator[_SearchContext]:
        yield self

    async def send(self, value: Any) -> None:
        await trio.lowlevel.checkpoint()
        self.said.append(value)

    async def __aiter__(self) -> AsyncIterator[tuple[str, int, str]]:
        for asked in self._asked:
            await trio.lowlevel.checkpoint()
            yield asked
