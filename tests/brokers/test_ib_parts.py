"""Small rules of IB's backend: errors, lost servers, short tapes, config."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import pairwise
from types import SimpleNamespace

import pytest
import trio
from ib_async import Contract
from ib_async.wrapper import RequestError

from piker.brokers._aio import open_proxy
from piker.brokers.ib._client import Client, open_client
from piker.brokers.ib._conf import IbConf, check_ids
from piker.brokers.ib._farms import GRACE_S, PATIENCE_S, Farms
from piker.brokers.ib._gateway import Farm, Gateway, LineDown, LineUp
from piker.brokers.ib._line import Line
from piker.brokers.ib._order_asks import (
    account_values,
    completed_orders,
    executions,
    next_id,
    open_orders,
    positions,
)
from piker.brokers.ib._reasons import error_of, farm_of, farms_told
from piker.brokers.ib._shorts import EVERY_S, Shorts
from piker.brokers.ib._wrapper import Ib
from piker.errors import (
    ConfigError,
    MarketGone,
    NoData,
    RateLimited,
    VenueError,
    VenueRefused,
    VenueUnreachable,
)
from tests._infected import run_infected

NS = 10**9


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (200, "No security definition has been found for the request", MarketGone),
        (162, "HMDS query returned no data: TSLA@SMART Trades", NoData),
        (162, "Historical data request pacing violation", RateLimited),
        (162, "No market data permissions for NYSE STK", VenueRefused),
        (
            162,
            "Trading TWS session is connected from a different IP address",
            VenueUnreachable,
        ),
        (162, "API historical data query cancelled: 28", VenueUnreachable),
        (322, "Only 50 simultaneous API historical data requests", RateLimited),
        (101, "Max number of tickers has been reached", RateLimited),
        (100, "Max rate of messages per second has been exceeded", RateLimited),
        (366, "No historical data query found for ticker id:3", VenueUnreachable),
        (10197, "No market data during competing live session", VenueUnreachable),
        (354, "Requested market data is not subscribed.", VenueRefused),
        (321, "Error validating request", VenueRefused),
        (99999, "", VenueRefused),
    ],
)
def test_what_may_be_done_about_an_error(code, text, kind):
    err = error_of(code, f"{text}\n\x00", "bars of TSLA")
    assert type(err) is kind
    assert f"(code {code})" in str(err)
    assert str(err).isprintable()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Market data farm connection is broken:usfarm", "usfarm"),
        ("Market data farm connection is OK:usfarm.nj", "usfarm.nj"),
        (
            "Market data farm connection is inactive but should be available upon"
            " demand.usfarm.nj",
            "usfarm.nj",
        ),
        ("connectivity is lost", ""),
        ("broken: ", ""),
    ],
)
def test_servers_by_name(text, name):
    assert farm_of(text) == name


BACK = "Connectivity between IB and Trader Workstation has been restored - data"


@pytest.mark.parametrize(
    ("text", "names", "up"),
    [
        (
            f"{BACK} maintained. All data farms are connected: usfuture; usfarm.nj;"
            " secdefeu.",
            {"usfuture": True, "usfarm.nj": True, "secdefeu": True},
            {"usfarm.nj": True},
        ),
        (
            f"{BACK} lost. The following farms are connected: eufarm; usfarm.nj. The"
            " following farms are not connected: usfarm; ushmds.",
            {"eufarm": True, "usfarm.nj": True, "usfarm": False, "ushmds": False},
            {"usfarm.nj": True, "usfarm": False, "ushmds": False},
        ),
        (f"{BACK} maintained.", {}, {}),
    ],
)
def test_servers_that_are_there_after_a_cut(text, names, up):
    assert {name: is_up for name, _, is_up in farms_told(text)} == names
    gateway = Gateway(IbConf(), "datad", state="up")
    told = []
    gateway.listeners.add(told.append)
    gateway._hear(-1, 2103, "Market data farm connection is broken:usfarm.nj")
    gateway._hear(-1, 1100, "lost")
    gateway._hear(-1, 1102, text)
    farms = [one for one in told if isinstance(one, Farm)]
    assert farms[0] == Farm("usfarm.nj", "data", is_up=False)
    assert {one.name: one.is_up for one in farms[1:]} == up
    assert all((one.serves == "history") == ("hmds" in one.name) for one in farms)


@pytest.mark.parametrize(
    "back",
    [
        (2158, "Sec-def data farm connection is OK:secdefil"),
        (2158, "Sec-def data farm connection is OK:secdefnj"),
        (2159, "Sec-def data farm connection is inactive:secdefil"),
        (1102, f"{BACK} maintained."),
        (1101, f"{BACK} lost. The following farms are connected: usfarm."),
    ],
)
def test_servers_of_contracts_are_back_by_whatever_says_so(back):
    gateway = Gateway(IbConf(), "datad", state="up")
    gateway._hear(-1, 2157, "Sec-def data farm connection is broken:secdefil")
    assert gateway.lost("contracts") == "secdefil"
    assert not gateway.lost("data")
    gateway._hear(-1, *back)
    assert not gateway.lost("contracts")


def test_servers_of_contracts_may_be_away_when_the_line_is_back():
    gateway = Gateway(IbConf(), "datad", state="up")
    away = "The following farms are not connected: secdefil."
    for _ in range(2):
        gateway._hear(-1, 1101, f"{BACK} lost. {away}")
        assert gateway.lost("contracts") == "secdefil"


def _fallen_silent() -> Farms:
    farms = Farms()
    farms.note_down("usfarm", 100.0)
    farms.look(10, 100.0 + GRACE_S)
    farms.look(10, 100.0 + GRACE_S + PATIENCE_S)
    return farms


def test_servers_that_a_market_ticks_without_are_not_its_own():
    farms = Farms()
    farms.note_down("usfuture", 100.0)
    assert not farms.look(11, 100.0 + GRACE_S)
    assert not farms.look(12, 100.5 + GRACE_S)
    farms.note_down("usfuture", 200.0)
    for now in (202.0, 300.0):
        assert not farms.look(12, now)
        assert not farms.lost, "it was found out before"


def test_ticks_on_their_way_when_servers_are_lost_say_nothing():
    """For good: the market would be frozen, and nobody told, each time after."""
    farms = Farms()
    farms.note_down("usfarm", 100.0)
    assert not farms.look(11, 100.5)
    assert not farms.look(12, 100.0 + GRACE_S)
    assert not farms.look(12, 100.0 + GRACE_S + PATIENCE_S)
    assert farms.lost == "usfarm"


def test_a_market_that_falls_silent_is_down_until_they_are_back():
    farms = _fallen_silent()
    assert farms.lost == "usfarm"
    assert not farms.note_up("cashfarm")
    assert farms.note_up("usfarm")
    assert not farms.lost


def test_a_market_is_not_down_before_it_was_silent_for_a_while():
    farms = Farms()
    farms.note_down("usfarm", 100.0)
    farms.look(10, 100.0 + GRACE_S)
    farms.look(10, 100.0 + GRACE_S + PATIENCE_S - 0.1)
    assert not farms.lost


def test_a_tick_brings_it_back_too():
    farms = _fallen_silent()
    assert farms.look(11, 111.0)
    assert not farms.lost


def test_what_was_left_out_is_asked_for_ever_more_seldom():
    shorts, asked, now = Shorts(), [], 0.0
    while now < 3600:
        tape = SimpleNamespace(short=1, ids=SimpleNamespace(second=int(now) + 5))
        if span := shorts.take(tape, now):
            asked.append((now, span))
        assert tape.short == 0
        now += 0.5
    times = [at for at, _ in asked]
    waits = [b - a for a, b in pairwise(times)]
    assert waits[:5] == list(EVERY_S[1:6])
    assert set(waits[5:]) == {EVERY_S[-1]}
    ends = [span[1] for _, span in asked]
    starts = [span[0] for _, span in asked]
    assert all(b - a <= 1 * NS for a, b in zip(ends, starts[1:], strict=False))


def test_a_tape_that_is_whole_asks_for_nothing():
    tape = SimpleNamespace(short=0, ids=SimpleNamespace(second=5))
    assert Shorts().take(tape, 100.0) is None


def test_kinds_of_processes_have_ids_of_their_own():
    check_ids(IbConf())
    with pytest.raises(ConfigError, match="datad_id and brokerd_id"):
        check_ids(IbConf(datad_id=10, brokerd_id=12, ids=5))


# -- a gateway that is asked whether it is there ---------------------------------------


def test_a_gateway_that_answers_somebody_else_is_there():
    """The library keeps one question for the time: who asks last has the answer."""
    gateway = Gateway(IbConf(deadline_s=0.1), "brokerd")
    client = gateway.ib.client
    client._apiReady = True
    gateway.ib.reqCurrentTimeAsync = lambda: asyncio.get_running_loop().create_future()

    async def ask(*, answered: bool) -> bool:
        if answered:
            asyncio.get_running_loop().call_later(
                0.01, setattr, client, "_numMsgRecv", client._numMsgRecv + 1
            )
        return await gateway._is_there()

    assert asyncio.run(ask(answered=True))
    assert not asyncio.run(ask(answered=False))


def test_a_connection_that_is_lost_is_down_at_once():
    """Whoever asks before the gateway's own task has its turn is told so, too."""
    gateway = Gateway(IbConf(), "brokerd")
    told: list = []
    gateway.listeners.add(told.append)
    client = Client(gateway.conf, gateway)

    async def ask(method, *args) -> None:
        gateway._lost = asyncio.get_running_loop().create_future()
        gateway._set_up(is_new=True)
        gateway.ib.client.conn.disconnected.emit("by peer")
        await method(client, *args)

    for method, *args in (
        (executions, "U1"), (open_orders,), (completed_orders,), (next_id,),
        (account_values, "U1"), (positions,),
    ):  # fmt: skip
        with pytest.raises(VenueError, match="hung up: by peer"):
            asyncio.run(ask(method, *args))
        assert told == [LineUp(is_new=True), LineDown(gateway.reason)]
        told.clear()


def test_a_client_whose_connection_is_kept_by_nobody_is_gone(monkeypatch):
    asked = asyncio.Event()

    async def run(self) -> None:
        await asked.wait()
        raise LookupError("odd")

    async def ready(self) -> None:
        asked.set()
        await asyncio.sleep(60)

    monkeypatch.setattr(Gateway, "run", run)
    monkeypatch.setattr(Gateway, "ready", ready)
    run_infected(_ask_nobody)


async def _ask_nobody() -> None:
    opener = partial(open_client, IbConf(), "brokerd")
    with trio.fail_after(30):
        async with open_proxy(opener, venue="ib", deadline_s=20.0) as proxy:
            with pytest.raises(VenueUnreachable, match="broken off"):
                await proxy.call(Client.ready)
            assert "odd" in await proxy.wait_closed()


def test_a_line_that_came_up_and_is_down_again_is_not_subscribed_to():
    """What is asked for waits for its turn; the next time up is told, too."""
    gateway = Gateway(IbConf(), "datad")
    told: list = []
    line = Line(gateway, Contract(conId=1), "", told.append)
    line._asked_at = 0.0  # it was, once
    gateway.state = "down"
    line._hear(LineUp(is_new=True))
    line._renew()
    assert told == []
    assert gateway.ib.wrapper.sinks == {}


def test_what_is_refused_leaves_nothing_behind():
    """The library keeps what was collected until then, for good."""
    told = []
    wrapper = Ib(lambda *what: told.append(what)).wrapper

    def refuse() -> None:
        future = wrapper.startReq(5)
        wrapper.error(5, 162, "HMDS query returned no data", "")
        assert isinstance(future.exception(), RequestError)

    asyncio.run(_on_loop(refuse))
    assert told == [(5, 162, "HMDS query returned no data")]
    assert not wrapper._results
    assert not wrapper._futures


@pytest.mark.parametrize("code", [165, 2106, 2129, 2174, 2188])
def test_a_warning_is_no_answer(code):
    """IB's are 2100 to 2199; the answer itself follows."""
    wrapper = Ib(lambda *_: None).wrapper

    def warn() -> None:
        future = wrapper.startReq(5)
        wrapper.error(5, code, "Warning: it may be otherwise", "")
        assert not future.done()

    asyncio.run(_on_loop(warn))


def test_a_socket_that_was_lost_just_now_is_told_so():
    """Before the gateway is known to be down."""
    conf = IbConf()
    client = Client(conf, Gateway(conf, "datad", state="up"))

    async def ask() -> None:
        with pytest.raises(VenueUnreachable):
            await client.details(Contract(conId=1))
        with pytest.raises(VenueUnreachable):
            await client.rules(26)
        assert not client.ib.wrapper._results

    asyncio.run(ask())


async def _on_loop(work) -> None:
    work()
