"""What is typed about orders, and how they are told; without a tree."""

from __future__ import annotations

import io
from decimal import Decimal
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given, strategies as st

from piker.cli._order_words import (
    Typed,
    account_of,
    checked_oid,
    has_ended,
    number_of,
    order_of,
    orders_view,
    row_of,
    sentence,
    state_notes,
    state_word,
    time_of,
)
from piker.cli._orders import Changes
from piker.errors import UsageError
from piker.msgs import NS, EmsState, Order, Status

FQME = "btcusdt.spot.sim"
D = Decimal


def typed_order(**fields) -> Order:
    typed = Typed(**fields)
    return order_of(typed, "o1", FQME, typed.account)


def status(resp="open", order=None, **fields) -> Status:
    req = order or typed_order(buy="1.50", limit="100")
    return Status(seq=1, time_ns=0, oid="o1", resp=resp, req=req, **fields)


@given(st.decimals(min_value="1e-9", max_value="1e12", allow_nan=False))
def test_a_number_is_taken_as_it_stands(value):
    assert number_of(str(value), "size") == value


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "0", "-1", "+-1", "nan", "NaN", "sNaN", "inf", "-inf", "Infinity", "x",
        "1,5", "1_000", "0x10", "1e99999", "1e", ".", "0.00", "\u0661", "1 2", "-0",
    ],
)  # fmt: skip
def test_what_is_no_number_above_0_is_refused(text):
    with pytest.raises(UsageError, match="a size is a number above 0, got"):
        number_of(text, "size")


def test_an_order_is_as_it_was_typed():
    assert typed_order(buy="1.5", limit="100.25") == Order(
        oid="o1", action="buy", symbol=FQME, size=D("1.5"), price=D("100.25")
    )
    sold = typed_order(sell="2", market=True)
    assert (sold.action, sold.otype, sold.price, sold.tif) == (
        "sell", "market", None, "ioc",
    )  # fmt: skip
    dark = typed_order(buy="1", limit="9", dark=True, trigger="8", post_only=True)
    assert (dark.exec_mode, dark.trigger, dark.post_only) == ("dark", D(8), True)
    live = {"account": "binance.main", "trigger": "8"}
    stop = typed_order(sell="1", market=True, **live)
    assert (stop.exec_mode, stop.otype, stop.trigger, stop.tif) == (
        "live", "market", D(8), "gtc",
    )  # fmt: skip
    assert stop.is_stop
    assert typed_order(sell="1", limit="7", **live).price == 7
    assert typed_order(sell="1", limit="7", tif="fok").is_at_once
    late = typed_order(buy="1", limit="9", until="2026-11-28T20:30")
    assert (late.tif, late.expires_ns) == ("gtd", 1795897800 * NS)
    assert typed_order(buy="1", limit="9", tif="day", reduce_only=True).reduce_only


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"limit": "1"}, "--buy SIZE or --sell"),
        ({"buy": "1", "sell": "1", "limit": "1"}, "--buy SIZE or --sell"),
        ({"buy": "1"}, "--limit PRICE or --market"),
        ({"buy": "1", "limit": "1", "market": True}, "--limit PRICE or --market"),
        ({"buy": "0", "limit": "1"}, "a size"),
        ({"sell": "nan", "market": True}, "a size"),
        ({"buy": "1", "limit": "-3"}, "a limit"),
        ({"buy": "1", "limit": "3", "trigger": "2"}, "--dark"),
        ({"buy": "1", "limit": "3", "trigger": "x", "dark": True}, "a trigger"),
        ({"buy": "1", "limit": "3", "tif": "now"}, "gtc, day, gtd, ioc, fok"),
        ({"buy": "1", "limit": "3", "tif": "gtd"}, "--until"),
        ({"buy": "1", "limit": "3", "tif": "day", "until": "2030-01-01"}, "gtd"),
        ({"buy": "1", "limit": "3", "until": "tomorrow"}, "2026-11-28T20:30"),
    ],
)
def test_what_can_not_be_meant_is_refused(fields, word):
    with pytest.raises(UsageError, match=word):
        typed_order(**fields)


def test_times_are_utc_or_as_they_say():
    assert time_of("1970-01-01T01:00:00+01:00") == 0
    assert time_of("1970-01-01") == 0
    assert time_of("1970-01-01T00:00:00.25Z") == NS // 4


def test_accounts():
    assert account_of("paper", "sim") == account_of("sim.paper", "sim") == "paper"
    assert account_of("ib.ira", "ib") == "ib.ira"
    for text in ("ib.ira", "sim.", "sim", "", "sim.a.b"):
        with pytest.raises(UsageError, match="no account"):
            account_of(text, "sim")


@pytest.mark.parametrize("text", ["", "a b", "x" * 65, "é", "a\n"])
def test_an_id_that_can_be_none(text):
    with pytest.raises(UsageError, match="an order's id is"):
        checked_oid(text)
    assert checked_oid("x" * 64) == "x" * 64


def test_words():
    assert state_word(status("dark_open")) == "dark"
    assert state_word(status("open", cancel_called=True)) == "cancelling"
    assert state_word(status("canceled", cancel_called=True)) == "cancelled"
    said = sentence(status("canceled", filled=D("0.5"), reason="it has expired"))
    assert said == (f"o1 cancelled: buy 1.50 {FQME} at 100, 0.5 filled; it has expired")
    dark = typed_order(sell="1", limit="9", dark=True, trigger="8", tif="day")
    assert sentence(status("dark_open", dark)) == (
        f"o1 dark: sell 1 {FQME} at 9 once 8 is reached (day)"
    )
    stop = typed_order(sell="1", limit="7", trigger="8", account="binance.main")
    assert row_of(status("open", stop))["type"] == "stop limit"
    assert row_of(status("open", stop))["trigger"] == 8
    assert "at 7 once 8 is reached" in sentence(status("open", stop))
    row = row_of(status("dark_open", dark))
    assert (row["limit"], row["trigger"], row["type"]) == (D(9), D(8), "dark limit")
    assert row_of(status())["trigger"] is None


def test_what_has_ended():
    alert = Order(oid="o1", action="alert", symbol=FQME, size=D(0), price=D(7))
    assert has_ended(status("triggered", alert))
    assert not has_ended(status("triggered"))
    assert has_ended(status("closed"))
    assert not has_ended(status("fill"))
    row = row_of(status("dark_open", alert))
    assert (row["limit"], row["trigger"], row["type"]) == (None, D(7), "alert")


def test_changes_are_in_force_when_all_of_them_are():
    order = typed_order(buy="2", limit="100")
    assert Changes().are_in(order)
    assert Changes(price=D(100), size=D(2)).are_in(order)
    assert not Changes(price=D(100), size=D(3)).are_in(order)
    assert not Changes(price=D(100)).are_in(None)


def test_what_keeps_orders_from_being_worked():
    assert state_notes(None) == []
    state = EmsState(
        time_ns=0, halted="why", down={"paperboi.sim": "x"}, unwatched={FQME: "y"}
    )
    assert state_notes(state) == [
        "trading is halted: why",
        "paperboi.sim can't be reached: x",
        f"{FQME} isn't watched: y",
    ]


async def test_prices_that_are_not_at_hand_are_left_out(tmp_path):
    from piker.cli._positions import _row, held
    from piker.testing import free_port, private_dirs

    with private_dirs(tmp_path / "dirs"):
        assert await held(("127.0.0.1", free_port())) == ([], [])
    position = SimpleNamespace(
        fqme=FQME, size=D(2), ppu=D(5), bep=D(5), realised=D(0), fees=D(0),
        unrealised=lambda price: (price - 5) * 2,
    )  # fmt: skip
    assert _row("sim.paper", position, None)["unrealised"] is None
    assert _row("sim.paper", position, D(7))["unrealised"] == 4


@pytest.mark.parametrize("width", [100, 200])
def test_a_table_cuts_no_id_no_price_and_no_state(width):
    from rich.console import Console

    far = typed_order(buy="0.00195", limit="25692.02", dark=True, trigger="25000.5")
    told = [
        status("canceled", typed_order(sell="2", market=True), filled=D("0.50000")),
        status("dark_open", far, reason="it waits on"),
        status("open", typed_order(buy="1", limit="100", tif="day")),
    ]
    told = [msgspec.structs.replace(each, oid="a" * 25) for each in told]
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(orders_view(told, ["trading is halted: lunch"]))
    text = console.export_text()
    assert text.count("a" * 25) == 4  # a reason names its order too
    for word in ("cancelled", "dark", "0.5", "25,692.02", "25,000.5", "day", "lunch"):
        assert word in text
    assert "0.50" not in text
    plain = Console(width=200, record=True, file=io.StringIO())
    plain.print(orders_view(told[:1], []))
    head = plain.export_text().splitlines()[1].split()
    assert head == ["order", "market", "what", "size", "filled", "price", "state"]
    # whose an order is, where not all are paper's
    live = msgspec.structs.replace(told[0].req, account="sim.main")
    plain.print(orders_view([told[2], msgspec.structs.replace(told[0], req=live)], []))
    lines = plain.export_text().splitlines()
    assert lines[1].split()[:3] == ["order", "account", "market"]
    assert [line.split()[1] for line in lines[3:5]] == ["paper", "sim.main"]


def test_positions_are_whole_in_a_narrow_terminal(monkeypatch, capsys):
    from piker.cli._positions import held_view
    from piker.cli._show import print_whole

    monkeypatch.setenv("COLUMNS", "80")
    numbers = {"size": D(-1200), "ppu": D("78874.1234"), "bep": D("78965.5118"),
               "last": D("78853.5"), "unrealised": D("-0.000002026"),
               "realised": D("-12345.67")}  # fmt: skip
    row = {"account": "deribit.main", "market": "btc.20261225.80000c.deribit"}
    print_whole(held_view([row | numbers]))
    text = capsys.readouterr().out
    for word in (*row.values(), "-1,200", "78,874.1234", "-0.000002026", "-12,345.67"):
        assert word in text
    assert "…" not in text


def test_services_in_a_narrow_terminal_keep_pids_and_states():
    from rich.console import Console

    from piker.cli._show import services_view
    from piker.msgs import ServiceInfo

    info = ServiceInfo(
        name="brokerd.deribit", state="running", pid=1234567, uptime_s=3723.0,
        restarts=12, rss_mb=120.0, cpu=99.0, address="127.0.0.1:36007", reason="",
    )  # fmt: skip
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(services_view([info, info]))
    text = console.export_text()
    for word in ("running", "1234567", "brokerd.deribit", "restarts"):
        assert word in text, text


def test_who_waits_for_an_answer_hears_that_there_is_no_line():
    from piker.brokers._live import _desk, _line, _work
    from piker.clearing._client import ANSWER_DEADLINE_S
    from piker.cli._orders import ANSWER_S

    refused_s = max(_desk._SETTLE_S, _work._LINE_S + _line._LINE_S)
    assert refused_s + 3 < ANSWER_S < ANSWER_DEADLINE_S
