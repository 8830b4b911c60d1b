"""Bars equal a naive aggregation, however trades come and whenever a writer dies."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings, strategies as st

from piker.data._bars import BarBuilder
from piker.data._shm import ShmArray, ShmWriter
from piker.msgs import Asset, Calendar, MktPair, ShmToken, Tick
from tests.data._fuse import Dead, Fuse, mortal_writer
from tests.data._naive import NS, Print, naive_bars

FQME = "btcusdt.spot.sim"
MKT = MktPair(
    dst=Asset(name="btc"), src=Asset(name="usdt"), price_tick=Decimal("0.01"),
    size_tick=Decimal("0.001"), bs_mktid="BTCUSDT", broker="sim", venue="spot",
)  # fmt: skip
START_S = 1_700_000_000
CAPACITY = 400
LATE_S = 6  # a trade may be so late and still be within the rows that change
MONDAY_S = 4 * 86_400


def tick(one: Print) -> Tick:
    return Tick("trade", float(one.price), float(one.size), one.time_ns, one.tid)


def open_builder(path, period_s=1, calendar=None, capacity=CAPACITY) -> BarBuilder:
    writer = ShmWriter.open(path, fqme=FQME, period_s=period_s, capacity=capacity)
    builder = BarBuilder(writer, MKT, period_s)
    builder.calendar = calendar or Calendar()
    return builder


def rows(path, period_s=1, capacity=CAPACITY) -> list[tuple]:
    token = ShmToken(path=str(path), fqme=FQME, period_s=period_s, capacity=capacity)
    return ShmArray.attach(token).last(capacity).to_structured().tolist()


@st.composite
def tapes(draw):
    """Trades in order, each with how late it comes: [(Print, arrives_ns)]."""
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from([0, 1, 10**6, 4 * 10**8, NS, 3 * NS, 9 * NS, 90 * NS]),
                st.sampled_from([1, 1, 1, 2, 40, 600]),
                st.integers(-300, 300),
                st.integers(1, 5000),
                st.sampled_from([0, 0, 0, NS // 2, 2 * NS, LATE_S * NS]),
            ),
            min_size=1,
            max_size=40,
        )
    )
    time_ns, tid, tape = START_S * NS, 1000, []
    for i, (wait_ns, ids, price, lots, late_ns) in enumerate(steps):
        time_ns, tid = time_ns + (wait_ns if i else 0), tid + ids
        one = Print(
            time_ns, tid, Decimal(60_000 * 100 + price) / 100, Decimal(lots) / 1000
        )
        tape.append((one, time_ns + (late_ns if i else 0)))
    return tape


#: What happens after trades: nothing, the last comes again, all from the resume point
#: do, time passes, the writer is another; or these trades came while it was dead.
happenings = st.lists(
    st.sampled_from(["", "", "", "again", "all again", "step", "reopen", "dead"]),
    min_size=40,
    max_size=40,
)


def is_fit(tape) -> bool:
    """Tell whether no trade comes later than ids can tell apart."""
    arrived = sorted(tape, key=lambda pair: pair[1])
    highest = 0
    for one, _ in arrived:
        if one.tid < highest - 500:
            return False
        highest = max(highest, one.tid)
    return True


@pytest.mark.parametrize("period_s", [1, 60])
@settings(max_examples=150)
@given(tape=tapes(), events=happenings, batch=st.integers(1, 7))
def test_bars_are_the_naive_aggregation(
    tmp_path_factory, period_s, tape, events, batch
):
    if not is_fit(tape):
        return
    path = tmp_path_factory.mktemp("ring") / "ring"
    builder = open_builder(path, period_s)
    arrivals = sorted(tape, key=lambda pair: pair[1])
    now_ns = 0
    for at in range(0, len(arrivals), batch):
        some = arrivals[at : at + batch]
        now_ns = max(pair[1] for pair in some)
        event = events[at] if at else ""
        if event != "dead":
            builder.apply([tick(one) for one, _ in some])
        if event == "again":
            builder.apply([tick(some[-1][0])])
        elif event == "step":
            builder.advance_to(now_ns // NS)
        elif event:
            if event in ("reopen", "dead"):
                builder.writer.close()
                builder = open_builder(path, period_s)
            time_ns, tid = builder.resume_point()
            assert time_ns <= now_ns
            builder.apply(
                [tick(one) for one, ns in tape if one.tid >= tid and ns <= now_ns]
            )
    builder.advance_to(now_ns // NS)
    builder.writer.close()
    expected = naive_bars([one for one, _ in tape], period_s, now_ns // NS)
    assert rows(path, period_s) == expected[-CAPACITY:]
    assert builder.stats.too_late == builder.stats.early == 0


@settings(max_examples=100)
@given(
    spans=st.lists(st.integers(0, 400), min_size=2, max_size=8, unique=True),
    waits=st.lists(st.integers(0, 150), min_size=1, max_size=15),
    steps=st.booleans(),
)
def test_bars_keep_to_the_calendar(tmp_path_factory, spans, waits, steps):
    path = tmp_path_factory.mktemp("ring") / "ring"
    edges = sorted(spans)[: len(spans) // 2 * 2]
    calendar = Calendar(weekly=tuple(zip(edges[::2], edges[1::2], strict=True)))
    builders = {
        1: open_builder(path, 1, calendar),
        60: open_builder(f"{path}m", 60, calendar),
    }
    time_s, prints = MONDAY_S, []
    for i, wait in enumerate(waits):
        time_s = calendar.next_open(time_s + wait)
        if time_s > MONDAY_S + 86_400:
            break
        if steps:
            for builder in builders.values():
                builder.advance_to(time_s - 1)
        prints.append(Print(time_s * NS, i, Decimal(100 + i), Decimal(1)))
        for builder in builders.values():
            builder.apply([tick(prints[-1])])
    if not prints:
        return
    for period_s, builder in builders.items():
        builder.writer.close()
        expected = naive_bars(prints, period_s, None, calendar.is_open)
        assert rows(builder.writer.token.path, period_s) == expected


def test_a_writer_that_dies_at_any_store_loses_and_doubles_nothing(tmp_path):
    """A late trade, two in one bar, a gap of flat bars: die at each store in turn."""
    before = [
        Print(START_S * NS + i * NS, 100 + i, Decimal(100 + i), Decimal(i + 1) / 1000)
        for i in range(5)
    ]
    late = Print((START_S + 2) * NS + 5, 105, Decimal(90), Decimal("0.007"))
    news = [
        late,
        Print((START_S + 4) * NS + 7, 106, Decimal(80), Decimal("0.002")),
        Print((START_S + 4) * NS + 9, 107, Decimal(120), Decimal("0.003")),
        Print((START_S + 9) * NS, 108, Decimal(95), Decimal("0.001")),
        Print((START_S + 200) * NS, 109, Decimal(96), Decimal("0.001")),
        Print((START_S + 198) * NS, 110, Decimal(97), Decimal("0.001")),
    ]
    expected = naive_bars(before + news, 1)
    deaths = 0
    for stores in range(10_000):
        path = tmp_path / f"ring{stores}"
        builder = open_builder(path)
        builder.apply(map(tick, before))
        builder.writer.close()
        fuse = Fuse()
        with mortal_writer(path, fuse) as mortal:
            builder = BarBuilder(mortal(), MKT, 1)
            fuse.left = stores
            try:
                builder.apply(map(tick, news))
            except Dead:
                deaths += 1
                died = True
            else:
                died = False
        builder = open_builder(path)
        _, tid = builder.resume_point()
        builder.apply(tick(one) for one in before + news if one.tid >= tid)
        builder.writer.close()
        assert rows(path) == expected, f"died before store {stores}"
        path.unlink()
        if not died:
            break
    assert deaths == stores > 50


def test_no_ids_time_tells_what_is_new(tmp_path):
    prints = [
        Print((START_S + i // 3) * NS + i, -1, Decimal(100 + i), Decimal(i + 1) / 1000)
        for i in range(30)
    ]
    builder = open_builder(tmp_path / "ring")
    builder.apply(map(tick, prints[:17]))
    builder.writer.close()
    builder = open_builder(tmp_path / "ring")
    time_ns, tid = builder.resume_point()
    assert tid == -1
    builder.apply(tick(one) for one in prints if one.time_ns >= time_ns)
    builder.writer.close()
    assert rows(tmp_path / "ring") == naive_bars(prints, 1)


def test_ring_turns_over_without_a_hole(tmp_path):
    prints = [
        Print(START_S * NS + i * 37 * NS // 10, i, Decimal(100 + i % 50), Decimal(1))
        for i in range(1500)
    ]
    builder = open_builder(tmp_path / "ring")
    for one in prints:
        builder.apply([tick(one)])
        builder.advance_to(one.time_ns // NS + 3)
    builder.writer.close()
    expected = naive_bars(prints, 1, prints[-1].time_ns // NS + 3)
    got = rows(tmp_path / "ring")
    assert got == expected[-CAPACITY:]
    assert all(b[0] - a[0] == 1 for a, b in pairwise(got))
