"""A broker's list: how old it may be, what it costs the venue, and whom names mean."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
from decimal import Decimal

import pytest
import trio
import trio.testing

from piker.brokers import _symbol_table, _symbols
from piker.brokers._symbol_file import VERSION, SymbolFile, read_symbols, symbols_path
from piker.brokers._symbols import Listed, SymbolCache
from piker.errors import (
    BadFqme,
    BadPayload,
    SymbolNotFound,
    VenueRefused,
    VenueUnreachable,
)
from piker.msgs import Asset, MktPair
from piker.testing import private_dirs

DAY_S = 86_400.0
KINDS = {"": "crypto", "perp": "perpetual_future"}
KEY = "http://127.0.0.1:1"


def listed(base, quote="usdt", venue="spot", expiry="", **more):
    mkt = MktPair(
        dst=Asset(name=base, atype="crypto"),
        src=Asset(name=quote, atype="crypto"),
        price_tick=Decimal("0.01"),
        size_tick=Decimal("0.001"),
        bs_mktid=f"{base}{quote}".upper(),
        broker="binance",
        venue=venue,
        expiry=expiry,
        atype=KINDS.get(expiry, "future"),
    )
    return Listed(mkt=mkt, **more)


MARKETS = [
    listed("btc", aliases=("xbtusdt.binance", "BTCUSDT")),
    listed("btc", venue="usdtm", expiry="perp"),
    listed("btc", venue="usdtm", expiry="20261225"),
    listed("eth"),
    listed("sol", venue="usdtm", expiry="perp"),
    listed("ada", venue="usdtm", expiry="20261225"),
    listed("dot", venue="usdtm", expiry="20261225"),
    listed("dot", venue="usdtm", expiry="20270326"),
]


class Venue:
    """A venue that counts how often it is asked, and may be slow, or say no."""

    def __init__(self):
        self.asked = 0
        self.markets = list(MARKETS)
        self.error = None
        self.answer = trio.Event()
        self.answer.set()

    async def __call__(self):
        self.asked += 1
        await self.answer.wait()
        if self.error is not None:
            raise self.error
        return self.markets


class Clock:
    """Both clocks that a cache reads."""

    def __init__(self):
        self.now_s = 1_800_000_000.0

    def time(self):
        return self.now_s

    def monotonic(self):
        return self.now_s


@pytest.fixture(autouse=True)
def dirs(tmp_path):
    with private_dirs(tmp_path / "dirs") as dirs:
        yield dirs


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(_symbols, "time", clock)
    monkeypatch.setattr(_symbol_table, "time", clock)
    return clock


@pytest.fixture
def venue():
    return Venue()


def cache(venue):
    return SymbolCache("binance", venue, key=KEY)


async def until(is_so):
    """Wait for what a fetch in the background brings about."""
    with trio.fail_after(30):
        while not await is_so():
            await trio.sleep(0.005)


# -- names --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "fqme"),
    [
        ("btcusdt.spot.binance", "btcusdt.spot.binance"),
        ("BTCUSDT.SPOT.BINANCE", "btcusdt.spot.binance"),
        ("btcusdt.binance", "btcusdt.spot.binance"),
        ("xbtusdt.binance", "btcusdt.spot.binance"),
        ("xbtusdt.spot.binance", "btcusdt.spot.binance"),
        ("btcusdt.perp.binance", "btcusdt.usdtm.perp.binance"),
        ("btcusdt.usdtm.binance", "btcusdt.usdtm.perp.binance"),
        ("btcusdt.20261225.binance", "btcusdt.usdtm.20261225.binance"),
        ("btcusdt.usdtm.261225.binance", "btcusdt.usdtm.20261225.binance"),
        ("solusdt.binance", "solusdt.usdtm.perp.binance"),
        ("adausdt.binance", "adausdt.usdtm.20261225.binance"),
    ],
)
async def test_a_name_leads_to_its_market(venue, name, fqme):
    assert (await cache(venue).find(name)).mkt.fqme == fqme


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("btcustd.binance", "close to it: btcusdt.spot.binance, "),
        ("btcusdt.coinm.binance", "close to it: btcusdt.spot.binance, "),
        ("qqqqzzzz.binance", "no market 'qqqqzzzz.binance' at binance: no name comes"),
        ("btcusdt.spot.kraken", "at binance: its names end in .binance"),
        (
            "dotusdt.binance",
            "may be several markets at binance: write one of"
            " dotusdt.usdtm.20261225.binance, dotusdt.usdtm.20270326.binance",
        ),
    ],
)
async def test_other_names_are_refused_in_a_sentence(venue, name, words):
    with pytest.raises(SymbolNotFound) as caught:
        await cache(venue).find(name)
    assert words in str(caught.value)
    assert str(caught.value).count(".binance,") <= 2
    assert "\n" not in str(caught.value)


async def test_what_is_no_name_is_not_looked_up(venue):
    with pytest.raises(BadFqme):
        await cache(venue).find("btc usdt")
    assert not venue.asked


async def test_search(venue):
    symbols = cache(venue)
    first, second, *_ = await symbols.search("btc", 5)
    assert first.fqme == "btcusdt.spot.binance"
    assert second.fqme == "btcusdt.usdtm.perp.binance"
    (perp,) = await symbols.search("btc", 5, "perpetual_future")
    assert perp == second
    assert len(await symbols.listed()) == len(MARKETS)
    assert venue.asked == 1


# -- age ----------------------------------------------------------------------------


async def test_a_fresh_list_on_disk_spares_the_venue(venue):
    one = await cache(venue).find("btcusdt.binance")
    again = cache(venue)
    assert await again.find("btcusdt.binance") == one
    assert await again.listed() == MARKETS
    assert venue.asked == 1


async def test_an_old_list_serves_while_a_new_one_is_fetched(venue, clock):
    await cache(venue).find("ethusdt.binance")
    clock.now_s += 2 * DAY_S
    venue.answer = trio.Event()
    venue.markets = [listed("eth", description="new")]
    symbols = cache(venue)
    assert not (await symbols.find("ethusdt.binance")).description
    await symbols.find("ethusdt.binance")
    assert not (await symbols.find("ethusdt.binance")).description
    venue.answer.set()

    async def is_new():
        return (await symbols.find("ethusdt.binance")).description == "new"

    await until(is_new)
    assert venue.asked == 2


async def test_a_list_from_the_future_is_old(venue, clock):
    await cache(venue).find("ethusdt.binance")
    clock.now_s -= DAY_S
    await cache(venue).find("ethusdt.binance")
    await trio.testing.wait_all_tasks_blocked()
    assert venue.asked == 2


async def test_an_unreachable_venue_is_logged_once(venue, clock, caplog):
    await cache(venue).find("ethusdt.binance")
    clock.now_s += 2 * DAY_S
    venue.error = VenueUnreachable("no route")
    symbols = cache(venue)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await symbols.find("ethusdt.binance")
            await trio.testing.wait_all_tasks_blocked()
            clock.now_s += 61
    assert venue.asked == 4
    (told,) = caplog.messages
    assert told == "symbols of binance are 48.0 h old and stay in use: no route"
    with pytest.raises(SymbolNotFound):
        await symbols.find("newusdt.binance")


async def test_without_any_list_the_venues_error_is_told(venue):
    symbols = cache(venue)
    venue.error = VenueRefused("banned")
    for call in (symbols.find("btcusdt.binance"), symbols.search("btc", 3)):
        with pytest.raises(VenueRefused, match="banned"):
            await call
    venue.error = None
    assert await symbols.find("btcusdt.binance")


async def test_a_venue_that_lists_nothing_does_not_empty_the_list(venue, clock):
    await cache(venue).find("ethusdt.binance")
    clock.now_s += 2 * DAY_S
    venue.markets = []
    symbols = cache(venue)
    await symbols.find("ethusdt.binance")
    await trio.testing.wait_all_tasks_blocked()
    assert await symbols.find("ethusdt.binance")
    with pytest.raises(BadPayload, match="binance lists no markets"):
        await SymbolCache("binance", venue, key="other").listed()


async def test_a_fault_of_ours_reaches_who_asked(venue):
    venue.error = KeyError("filters")
    with pytest.raises(KeyError):
        await cache(venue).find("btcusdt.binance")


# -- what it costs the venue ----------------------------------------------------------


async def test_all_wait_for_one_fetch_even_if_the_first_leaves(venue):
    symbols = cache(venue)
    venue.answer = trio.Event()
    found = []

    async def find():
        found.append((await symbols.find("btcusdt.binance")).mkt.fqme)

    async with trio.open_nursery() as tasks:
        with trio.CancelScope() as first:
            first.cancel()
            await find()
        with trio.move_on_after(0.05):
            await find()
        for _ in range(20):
            tasks.start_soon(find)
        await trio.testing.wait_all_tasks_blocked()
        venue.answer.set()
    assert found == 20 * ["btcusdt.spot.binance"]
    assert venue.asked == 1


async def test_a_new_market_is_found_and_a_storm_of_typos_is_not_passed_on(
    venue, clock
):
    symbols = cache(venue)
    await symbols.find("btcusdt.binance")
    venue.markets = [*MARKETS, listed("new")]
    with pytest.raises(SymbolNotFound):
        await symbols.find("newusdt.binance")  # the list is of this minute
    clock.now_s += 61
    assert (await symbols.find("newusdt.binance")).mkt.dst.name == "new"
    assert venue.asked == 2
    clock.now_s += 61

    async def typo(name):
        with pytest.raises(SymbolNotFound):
            await symbols.find(name)

    async with trio.open_nursery() as tasks:
        for number in range(30):
            tasks.start_soon(typo, f"typo{number}.binance")
    for number in range(30):
        await typo(f"other{number}.binance")
    assert venue.asked == 3
    venue.error = VenueUnreachable("no route")
    clock.now_s += 61
    for number in range(30):
        await typo(f"third{number}.binance")
    assert venue.asked == 4


# -- the file -------------------------------------------------------------------------


async def test_the_file_is_ours_alone_and_one_a_venue(venue):
    await cache(venue).find("btcusdt.binance")
    await SymbolCache("binance", venue, key="http://other").find("btcusdt.binance")
    await SymbolCache("binance", venue).find("btcusdt.binance")
    assert venue.asked == 3
    path = symbols_path("binance", KEY)
    assert len(list(path.parent.iterdir())) == 3, "nothing else is left there"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert symbols_path("binance", "").name == "binance.msgpack"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: b"",
        lambda raw: raw[: len(raw) // 2],
        lambda raw: raw + b"\x01",
        lambda raw: b"\xff" * 100,
        lambda raw: raw.replace(b"\xa7version" + bytes([VERSION]), b"\xa7version\x00"),
        lambda raw: raw.replace(b"\xa7version" + bytes([VERSION]), b"\xa7version\xa11"),
        lambda raw: raw.replace(b"\xa6broker\xa7binance", b"\xa6broker\xa7another"),
        lambda raw: raw.replace(b"price_tick", b"price_tock"),
        lambda raw: raw.replace(b"0.001", b"-9.01"),
    ],
)
async def test_a_file_that_is_not_ours_is_made_anew(venue, spoil):
    await cache(venue).find("btcusdt.binance")
    path = symbols_path("binance", KEY)
    good = path.read_bytes()
    assert spoil(good) != good
    path.write_bytes(spoil(good))
    assert read_symbols("binance", KEY) is None
    assert await cache(venue).find("btcusdt.binance")
    assert venue.asked == 2
    assert isinstance(read_symbols("binance", KEY), SymbolFile)


async def test_where_nothing_can_be_kept_the_list_is_in_memory(venue, caplog):
    folder = symbols_path("binance", KEY).parent
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("not a folder")
    symbols = cache(venue)
    assert await symbols.find("btcusdt.binance")
    assert await symbols.find("ethusdt.binance")
    assert venue.asked == 1
    assert any("are not kept for the next start" in text for text in caplog.messages)


WRITER = """
import sys
from piker.brokers._symbol_file import VERSION, SymbolFile, read_symbols, write_symbols
file = read_symbols("binance", sys.argv[1])
for number in range(200):
    listed = file.listed[: 1 + number % 8]
    write_symbols(SymbolFile(
        version=VERSION, broker="binance", key=sys.argv[1], fetched_s=1.0, listed=listed
    ))
"""


async def test_processes_may_write_at_once(venue, dirs, caplog):
    await cache(venue).listed()
    env = {**os.environ, "PIKER_CACHE_DIR": dirs.cache}
    argv = [sys.executable, "-c", WRITER, KEY]
    writers = [subprocess.Popen(argv, env=env) for _ in range(2)]
    while None in [writer.poll() for writer in writers]:
        assert read_symbols("binance", KEY).listed
        await trio.sleep(0.001)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert len(list(symbols_path("binance", KEY).parent.iterdir())) == 1
    assert not caplog.messages
