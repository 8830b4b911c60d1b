"""Recordings of Kraken, and recordings that say what they hold, play exactly."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest

from piker.brokers._session_head import head_line
from piker.brokers.kraken._listing import make_mkt
from piker.brokers.sim._sessions import PlayReport, open_session
from piker.data._bars import BarBuilder
from piker.data._shm import ShmArray, ShmWriter
from piker.errors import SessionFileError, UsageError
from piker.msgs import Asset, MktPair

START_NS = 1_700_000_000_000_000_000
NS = 10**9


def frame(channel, *data, kind="update"):
    """Return a frame as the venue writes it: numbers with all their decimals."""
    told = ",".join(
        "{"
        + ",".join(
            f'"{key}":{value}' if isinstance(value, Decimal) else f'"{key}":"{value}"'
            for key, value in one.items()
        )
        + "}"
        for one in data
    )
    return f'{{"channel":"{channel}","type":"{kind}","data":[{told}]}}'.encode()


def trade(tid, time_ns, price="36500.1", qty="0.25000000", symbol="BTC/USDT"):
    second = datetime.fromtimestamp(time_ns // NS, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return {
        "symbol": symbol, "side": "buy" if tid % 2 else "sell", "price": Decimal(price),
        "qty": Decimal(qty), "ord_type": "market", "trade_id": Decimal(tid),
        "timestamp": f"{second}.{time_ns % NS // 1000:06}Z",
    }  # fmt: skip


def ticker(symbol="BTC/USDT", bid="36500.1", ask="36500.2"):
    return {
        "symbol": symbol, "bid": Decimal(bid), "bid_qty": Decimal("3.1"),
        "ask": Decimal(ask), "ask_qty": Decimal("0.75"),
    }  # fmt: skip


def lines(payloads, start_ns=START_NS, step_ns=1):
    return b"".join(
        b"%d %s\n" % (start_ns + i * step_ns, p) for i, p in enumerate(payloads)
    )


@pytest.fixture
def save(tmp_path):
    def write(content):
        path = tmp_path / "session"
        path.write_bytes(content)
        return path

    return write


STATUS = frame("status", {"system": "online"})
BEAT = b'{"channel":"heartbeat"}'


def test_a_session_of_kraken_names_its_markets(save):
    told = [
        STATUS,
        frame("ticker", ticker()),
        BEAT,
        frame("trade", trade(5, START_NS), trade(6, START_NS, "36500.25")),
        frame("trade", trade(9, START_NS, symbol="DOGE/BTC", price="0.00000412")),
    ]
    session = open_session(save(lines(told)))
    assert (session.venue, session.origin_ns) == ("kraken.spot", START_NS)
    assert session.fqmes == ("xbtusdt.spot.kraken.sim", "xdgxbt.spot.kraken.sim")
    btc, doge = session.mkts.values()
    assert (btc.price_tick, btc.size_tick) == (Decimal("0.01"), Decimal("1e-8"))
    assert (doge.price_tick, doge.size_tick) == (Decimal("1e-8"), Decimal("1e-8"))
    report = PlayReport()
    batches = list(session.batches(report))
    assert [(b.receive_ns - START_NS, b.fqme, len(b.ticks)) for b in batches] == [
        (1, session.fqmes[0], 2),
        (3, session.fqmes[0], 2),
        (4, session.fqmes[1], 1),
    ]
    assert (report.bad, report.strangers, report.off_step) == (0, 0, 0)
    assert open_session(session.path, "kraken.spot").venue == "kraken.spot"
    with pytest.raises(SessionFileError, match="at kraken.spot, not at binance.spot"):
        open_session(session.path, "binance.spot")


def bars_of(session, folder):
    """Return the bars of a session's only market, built as datad builds them."""
    (mkt,) = session.mkts.values()
    writer = ShmWriter.open(folder / "bars", fqme=mkt.fqme, period_s=1, capacity=4096)
    builder = BarBuilder(writer, mkt, 1)
    for batch in session.batches():
        builder.apply(batch.ticks)
    bars = ShmArray.attach(writer.token).last(4096).to_structured()
    writer.close(remove=True)
    return bars


def test_bars_of_a_session_of_kraken_are_exact(save, tmp_path):
    """The first frames show few decimals, and a snapshot repeats what was told."""
    rng = random.Random(4)
    trades, time_ns = [], START_NS
    for tid in range(10_000):
        time_ns += rng.randrange(1, 60) * 1_000_000
        qty = "0.5" if tid < 5_000 else f"{rng.randrange(1, 10**10) / 10**8:.8f}"
        price = f"{36_500 + rng.randrange(-500, 500) / 10:.1f}"
        trades.append((time_ns, price, qty, trade(tid, time_ns, price, qty)))
    told, at = [], 0
    while at < len(trades):
        size = rng.randrange(1, 4)
        told.append(frame("trade", *(one[3] for one in trades[at : at + size])))
        at += size
        if not rng.randrange(40):
            newest = [one[3] for one in trades[max(at - 50, 0) : at]]
            told += [STATUS, frame("trade", *newest, kind="snapshot")]
    bars = bars_of(open_session(save(lines(told))), tmp_path)
    want = {}
    for time_ns, price, qty, _ in trades:
        want.setdefault(time_ns // NS, []).append((Decimal(price), Decimal(qty)))
    traded = bars[bars["count"] > 0]
    assert traded.tolist() == [
        (
            time_s,
            float(told[0][0]),
            float(max(told)[0]),
            float(min(told)[0]),
            float(told[-1][0]),
            float(sum(qty for _, qty in told)),
            len(told),
        )
        for time_s, told in want.items()
    ]
    assert np.all(np.diff(bars["time"]) == 1)


def agg(number, time_ms, price, size):
    data = {
        "e": "aggTrade", "E": time_ms, "s": "BTCUSDT", "a": number, "p": price,
        "q": size, "f": 2 * number, "l": 2 * number + 1, "T": time_ms, "m": True,
        "M": True,
    }  # fmt: skip
    return json.dumps({"stream": "btcusdt@aggTrade", "data": data}).encode()


def binance_mkt(**changes):
    told = {
        "dst": Asset(name="btc", atype="crypto"),
        "src": Asset(name="usdt", atype="crypto"),
        "price_tick": Decimal("0.01"), "size_tick": Decimal("0.00001"),
        "bs_mktid": "BTCUSDT", "broker": "binance", "venue": "spot", "atype": "crypto",
        **changes,
    }  # fmt: skip
    return MktPair(**told)


@pytest.mark.parametrize("has_head", [False, True])
def test_a_session_of_aggregates_plays_and_its_head_says_the_steps(
    save, tmp_path, has_head
):
    """Sizes are whole for long: only a head tells in what steps they really come."""
    rng = random.Random(5)
    told, sums, counts = [], {}, {}
    for number in range(6_000):
        time_ms = START_NS // 10**6 + number * 7
        fine = has_head and number > 4_500
        size = f"{rng.randrange(1, 10**6) / 10**5:.8f}" if fine else "2.00000000"
        told.append(agg(number, time_ms, "36500.10000000", size))
        time_s = time_ms // 1000
        sums[time_s] = sums.get(time_s, 0) + Decimal(size)
        counts[time_s] = counts.get(time_s, 0) + 2
    content = lines(told)
    if has_head:
        content = head_line([binance_mkt()]) + content
    session = open_session(save(content))
    assert session.fqmes == ("btcusdt.spot.binance.sim",)
    (mkt,) = session.mkts.values()
    assert mkt.size_tick == (Decimal("0.00001") if has_head else Decimal(1))
    assert mkt.price_tick == (Decimal("0.01") if has_head else Decimal("0.1"))
    report = PlayReport()
    assert sum(len(batch.ticks) for batch in session.batches(report)) == 6_000
    assert (report.bad, report.strangers, report.off_step) == (0, 0, 0)
    bars = bars_of(session, tmp_path)
    assert bars["volume"].tolist() == [float(size) for size in sums.values()]
    assert bars["count"].tolist() == list(counts.values())


def test_a_head_is_taken_at_its_word(save):
    perp = binance_mkt(venue="usdtm", expiry="perp", atype="perpetual_future")
    other = binance_mkt(
        venue="usdtm",
        expiry="20261225",
        bs_mktid="BTCUSDT_261225",
        atype="crypto_future",
    )
    content = head_line([perp, other]) + lines([agg(1, 5, "1", "1")])
    session = open_session(
        save(content + head_line([perp]) + b"%d {}\n" % (START_NS + 9))
    )
    assert session.venue == "binance.usdtm"
    assert session.fqmes == (
        "btcusdt.usdtm.perp.binance.sim",
        "btcusdt.usdtm.20261225.binance.sim",
    )
    assert [batch.fqme for batch in session.batches()] == [session.fqmes[0]]
    with pytest.raises(SessionFileError, match="at binance.usdtm, not at kraken.spot"):
        open_session(session.path, "kraken.spot")


@pytest.mark.parametrize(
    ("head", "match"),
    [
        (b"# a comment\n", "line 1: doesn't say what was recorded"),
        (b"#\n", "line 1: doesn't say what was recorded"),
        (b'# {"form":2,"mkts":[]}\n', "line 1: doesn't say what was recorded"),
        (b'# {"form":1,"mkts":[]}\n', "line 1: doesn't say what was recorded"),
        (b"# " + b"[" * 50_000 + b"\n", "line 1: doesn't say what was recorded"),
        (head_line([binance_mkt()]).replace(b'"btc"', b'"b.c"'), "line 1: doesn't say"),
        (
            head_line([binance_mkt()]).replace(b'"0.01"', b'"NaN"'),
            "line 1: doesn't say",
        ),
        (head_line([binance_mkt(broker="mars")]), "recorded at mars.spot; what can be"),
        (head_line([binance_mkt(contract_info=("x" * 137,))]), "market without a name"),
    ],
)
def test_a_head_that_makes_no_sense_is_refused(save, head, match):
    with pytest.raises(SessionFileError, match=match) as caught:
        open_session(save(head + lines([agg(1, 5, "1", "1")])))
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 600


def test_a_head_without_a_frame_is_an_empty_session(save):
    with pytest.raises(SessionFileError, match="is empty"):
        open_session(save(head_line([binance_mkt()])))


def test_a_head_is_of_one_venue():
    kraken = make_mkt("XBT/USDT", Decimal("0.1"), Decimal("1e-8"))
    with pytest.raises(
        UsageError, match="of one venue, not of binance.spot, kraken.spot"
    ):
        head_line([binance_mkt(), kraken])
    with pytest.raises(UsageError):
        head_line([])
