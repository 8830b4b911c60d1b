"""Lists of orders and executions on the asyncio side: told whole, or not at all."""

from __future__ import annotations

import asyncio
import re
import time
from decimal import Decimal
from pathlib import Path

import pytest

from piker import config
from piker.accounting import Transaction
from piker.brokers._live._balances import traded
from piker.brokers._live._venue import NoLine
from piker.brokers.ib import _order_wire
from piker.brokers.ib._conf import IbConf, load_conf
from piker.brokers.ib._gateway import LineDown
from piker.brokers.ib._orders import _role
from piker.errors import BadPayload, ConfigError, VenueRefused, VenueUnreachable
from piker.msgs import Asset, MktPair
from tests.brokers.test_ib_order_decode import (
    ERROR,
    EXEC,
    EXECUTION,
    FEE,
    NUMBER,
    OPEN_ORDER,
    STATUS,
    TOLD,
    Heard,
)

D = Decimal
OPEN_END = ["53", "1"]


class Ready:
    """A gateway that is up."""

    def __init__(self, gateway) -> None:
        gateway.ready = self.ready

    async def ready(self) -> None:
        return


def hear() -> Heard:
    heard = Heard()
    Ready(heard.gateway)
    return heard


def told_open(heard: Heard, *messages: list[str]) -> list:
    """Return the list of open orders that messages tell."""

    async def ask() -> list:
        async with heard.wire.listing("open") as asked:
            heard.feed(*messages)
            async with asyncio.timeout(1):
                await asked.done
        return asked.told

    return asyncio.run(ask())


def test_a_list_is_what_comes_up_to_its_end():
    heard = hear()
    before, *_ = heard.feed(OPEN_ORDER)
    told = told_open(heard, OPEN_ORDER, STATUS, OPEN_END, OPEN_ORDER)
    assert told[:1] == [before] == [TOLD]
    assert len(told) == 3
    assert not heard.wire.lists


def test_a_list_with_a_message_that_can_not_be_read_is_none():
    broken = ["BUYSELL" if field == "BUY" else field for field in OPEN_ORDER]
    with pytest.raises(BadPayload, match="can't be read"):
        told_open(hear(), OPEN_ORDER, broken, OPEN_END)


def test_a_gateway_that_is_read_only_tells_no_orders():
    words = "Error validating request.-'bZ' : cause - The API interface is currently in"
    refusal = ["4", "2", "-1", "321", f"{words} Read-Only mode.", ""]
    heard = hear()
    with pytest.raises(VenueRefused, match="untick 'Read-Only API'"):
        told_open(heard, refusal)
    assert heard.wire.is_read_only
    told_open(heard, OPEN_END)
    assert not heard.wire.is_read_only


def test_who_waits_for_a_list_hears_that_the_line_is_lost():
    heard = hear()

    async def ask() -> None:
        async with heard.wire.listing("over") as asked:
            heard.wire._on_line(LineDown("it hung up"))
            async with asyncio.timeout(1):
                await asked.done

    with pytest.raises(VenueUnreachable, match="it hung up"):
        asyncio.run(ask())
    assert not heard.wire._owed  # no end of it comes over another line
    heard.gateway.state, heard.gateway.reason = "down", "it hung up"
    with pytest.raises(NoLine, match="it hung up"):
        heard.wire.check_up()


def test_a_list_that_nobody_waited_for_is_no_part_of_the_next():
    """What is left of it comes later, and its end isn't the next one's."""
    heard = hear()

    async def ask() -> list:
        async with heard.wire.listing("open"):
            heard.feed(OPEN_ORDER, STATUS)
        async with heard.wire.listing("open") as asked:
            heard.feed(OPEN_END)  # the first one's
            assert not asked.done.done()
            heard.feed(OPEN_ORDER, STATUS, OPEN_END)
            async with asyncio.timeout(1):
                await asked.done
        return asked.told

    assert len(asyncio.run(ask())) == 2
    # of another line nothing is owed
    with pytest.raises(RuntimeError):
        asyncio.run(broken_off(heard))
    heard.wire._on_line(LineDown("it hung up"))
    assert len(told_open(heard, OPEN_ORDER, OPEN_END)) == 1


async def broken_off(heard: Heard) -> None:
    async with heard.wire.listing("open"):
        raise RuntimeError


def test_a_list_that_never_came_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(_order_wire, "_OWED_S", 0.05)
    heard = hear()
    with pytest.raises(RuntimeError):
        asyncio.run(broken_off(heard))
    time.sleep(0.06)
    assert len(told_open(heard, OPEN_ORDER, OPEN_END)) == 1


def test_orders_are_sent_after_a_line_that_was_lost_with_some_waiting():
    """The library says that it holds back, and forgets it with the connection."""
    heard = hear()
    client = heard.ib.client

    async def ask() -> None:
        client.throttleStart.emit()
        client.reset()
        heard.wire._on_line(LineDown("it hung up"))
        async with asyncio.timeout(1):
            await heard.wire.wait_calm()

    asyncio.run(ask())


def test_what_is_held_back_waits_on_while_ib_is_away():
    heard = hear()
    client = heard.ib.client

    async def ask() -> None:
        client._apiReady = True  # the gateway is there
        client.throttleStart.emit()
        heard.wire._on_line(LineDown("ib's gateway has lost ib"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await heard.wire.wait_calm()

    asyncio.run(ask())


def test_executions_of_a_list_are_no_news():
    heard = hear()

    async def ask() -> tuple[list, dict, list]:
        heard.ib.client._apiReady = True
        async with heard.wire.listing_execs() as (req_id, asked):
            of_list = [EXECUTION[0], str(req_id), *EXECUTION[2:]]
            news = heard.feed(of_list, FEE, ["55", "1", str(req_id)])
            async with asyncio.timeout(1):
                await asked.done
        return asked.told, asked.fees, news

    told, fees, news = asyncio.run(ask())
    assert told == [EXEC]
    assert list(fees) == [EXEC.exec_id]
    # its fee is: it may be of one that was booked without
    assert [type(one).__name__ for one in news] == ["FeeTold"]
    assert heard.feed(EXECUTION) == [EXEC]


def test_an_error_of_a_list_ends_it_without_a_number():
    heard = hear()

    async def ask() -> None:
        heard.ib.client._apiReady = True
        async with heard.wire.listing_execs() as (req_id, asked):
            heard.feed([*ERROR[:2], str(req_id), *ERROR[3:]])
            async with asyncio.timeout(1):
                await asked.done

    with pytest.raises(VenueRefused, match=r"code 201") as caught:
        asyncio.run(ask())
    assert NUMBER not in str(caught.value)


# -- whose ids -------------------------------------------------------------------------


def test_each_kind_of_process_has_ids_of_its_own(tmp_path):
    conf = IbConf()
    ids = {role: set(conf.client_ids(role)) for role in ("datad", "brokerd", "ledger")}
    assert ids["brokerd"] == {6136}  # an order belongs to the id that placed it
    assert sum(map(len, ids.values())) == len(set().union(*ids.values()))
    with config.use_dirs(config.Dirs.under(tmp_path)):
        assert _role() == "brokerd"
        config.mark_for_looks()
        assert _role() == "ledger"


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (
            "ports = 7497",
            "brokers.ib.ports: expected a list of ports, e.g. [7497, 4002]",
        ),
        ("ports = [99999]", "brokers.ib.ports: expected a list of ports"),
        ("hosts = 'localhost'", "brokers.ib.hosts: expected a list of names of hosts"),
        ("ids = 30", "brokers.ib.ids: expected an integer <= 20"),
    ],
)
def test_what_is_wrong_about_its_settings_is_said(tmp_path, told, words):
    dirs = config.Dirs.under(tmp_path)
    with config.use_dirs(dirs):
        folder = Path(dirs.config)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "conf.toml").write_text(f"[brokers.ib]\n{told}\n")
        with pytest.raises(ConfigError, match=re.escape(words)):
            load_conf()


# -- what trades come to ---------------------------------------------------------------


def market(name: str, atype: str, multiplier="1", expiry="", info=()) -> MktPair:
    return MktPair(
        dst=Asset(name=name, atype=atype), price_tick=D("0.01"), size_tick=D(1),
        bs_mktid=name, broker="ib", venue="cme", atype=atype, settle="usd",
        multiplier=D(multiplier), expiry=expiry, contract_info=info,
    )  # fmt: skip


def txn(mkt: MktPair, tid: str, size: int, price="100", cost="1", **more):
    return Transaction(
        tid=tid, fqme=mkt.fqme, size=D(size), price=D(price), cost=D(cost), time_ns=1,
        multiplier=mkt.multiplier, **more,
    )  # fmt: skip


def test_shares_and_options_are_paid_for_and_futures_are_not():
    share = market("tsla", "stock")
    option = market("tsla", "option", "100", "20270115", ("200c",))
    future = market("mnq", "future", "2", "20261218")
    mkts = {mkt.fqme: mkt for mkt in (share, option, future)}

    def comes_to(*txns):
        return traded(txns, mkts)

    bought = txn(share, "a", 10)
    assert comes_to(bought) == {share.fqme: 10, "usd": -1001}
    split = txn(share, "b", 0, "0", "0", etype="split", ratio="3:1")
    assert comes_to(bought, split)[share.fqme] == 30
    assert comes_to(txn(option, "c", 2, "4.5")) == {option.fqme: 2, "usd": -901}
    opened = txn(future, "d", 3, "17000")
    assert comes_to(opened) == {future.fqme: 3, "usd": -1}
    closed = txn(future, "e", -3, "17010")
    assert comes_to(opened, closed) == {future.fqme: 0, "usd": 58}
    abroad = txn(share, "f", 1, cost="0", fee=D(2), fee_asset="eur")
    assert comes_to(abroad) == {share.fqme: 1, "usd": -100, "eur": -2}
    late = txn(share, "a fee", 0, "0", "3", etype="fee")
    assert comes_to(bought, late)["usd"] == -1004
