"""The live table of markets: what it makes of messages, and its sparklines."""

from __future__ import annotations

import io
import math
from decimal import Decimal
from types import SimpleNamespace

import pytest
from hypothesis import given, strategies as st
from rich.console import Console

from piker.cli._board import Board, spark
from piker.cli._show import duration
from piker.msgs import (
    Asset,
    Disconnected,
    MktPair,
    Quote,
    Reconnected,
    Tick,
    Warned,
)

FQME = "btcusdt.spot.sim"
floats = st.floats(-1e9, 1e9)


@given(st.lists(floats, max_size=60), st.integers(1, 40), st.integers(1, 5))
def test_a_spark_fills_its_box_and_keeps_the_order(values, width, rows):
    lines = spark(values, width, rows)
    assert [len(line) for line in lines] == [width] * rows
    shown = values[-width:]
    heights = [
        sum(" ▁▂▃▄▅▆▇█".index(line[i - len(shown)]) for line in lines)
        for i in range(len(shown))
    ]
    assert all(1 <= height <= 8 * rows for height in heights)
    ranked = [height for _, height in sorted(zip(shown, heights, strict=True))]
    assert ranked == sorted(heights)
    if shown and min(shown) != max(shown):
        assert (min(heights), max(heights)) == (1, 8 * rows)


def test_sparks_by_hand():
    assert spark([1, 2, 3, 4, 5, 6, 7, 8], 8, 1) == ["▁▂▃▄▅▆▇█"]
    assert spark([5, 5], 4, 1) == ["  ▄▄"]
    assert spark([1, math.nan, 3], 3, 1) == ["▁ █"]
    assert spark([], 2, 2) == ["  ", "  "]
    assert spark([1, 2], 2, 2) == [" █", "▁█"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0s"), (59.9, "59s"), (65, "1m 05s"), (3600, "1h 00m"), (273_600, "3d 04h")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.fixture
def board():
    mkt = MktPair(
        dst=Asset(name="btc"),
        src=Asset(name="usdt"),
        price_tick=Decimal("0.01"),
        size_tick=Decimal("0.00001"),
        bs_mktid="x",
        broker="sim",
        venue="spot",
    )
    first = Quote(fqme=FQME, last=100.0, ticks=[], time_ns=0)
    bars = SimpleNamespace(last=lambda n: SimpleNamespace(close=[1.0, 2.0][:n]))
    flume = SimpleNamespace(mkt=mkt, first_quote=first, rt_shm=bars)
    return Board(SimpleNamespace(flumes={FQME: flume}))


def text(board, width=100):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(board.view(width))
    return console.export_text()


def test_quotes_move_the_row(board):
    ticks = [
        Tick("bid", 100.99, 1.0),
        Tick("ask", 101.01, 1.0),
        Tick("trade", 101.0, 1.0),
        Tick("trade", 101.0, 1.0, count=3),
    ]
    board.take(Quote(fqme=FQME, last=101.0, ticks=ticks, time_ns=1, missed=5))
    assert board.quotes == 1
    row = next(line for line in text(board).splitlines() if FQME in line)
    assert row.split() == [
        FQME, "101.00", "+1.00%", "100.99", "101.01", "9", "▁█",
    ]  # fmt: skip


def test_a_narrow_terminal_loses_the_spark_not_the_name(board):
    row = next(line for line in text(board, 84).splitlines() if FQME in line)
    assert "█" not in row


def test_events_stand_below_and_mark_the_row(board):
    board.take(Disconnected(fqmes=(FQME,), reason="datad died", time_ns=0))
    shown = text(board)
    assert f"{FQME} no source" in shown
    assert f"00:00:00 disconnected {FQME}: datad died" in shown
    board.take(Warned(fqmes=(FQME,), reason="late", time_ns=0))
    assert f"{FQME} no source" in text(board)
    board.take(Reconnected(fqmes=(FQME,), missed=12, time_ns=0))
    shown = text(board)
    assert "no source" not in shown
    assert "12 trades refetched" in shown
