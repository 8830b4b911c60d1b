"""Recorded sessions play what is in them, and say what is wrong with them."""

from __future__ import annotations

import gzip
import json
import random
from decimal import Decimal
from itertools import islice

import pytest
import zstandard

from piker.brokers.sim._sessions import PlayReport, iter_frames, open_session
from piker.errors import SessionFileError
from piker.msgs import Fqme
from tests._data import binance_session

START_NS = 1_700_000_000_000_000_000


def trade(number, venue="usdtm", **changes):
    data = {
        "e": "trade", "s": "BTCUSDT", "t": number, "p": f"{36_500 + number % 7}.20",
        "q": "0.250" if number % 2 else "0.013", "T": 1_700_000_001_000 + number,
        "m": bool(number % 3), **({"X": "MARKET"} if venue == "usdtm" else {"M": True}),
        **changes,
    }  # fmt: skip
    return json.dumps({"stream": f"{data['s'].lower()}@trade", "data": data}).encode()


def lines(payloads, start_ns=START_NS):
    return b"".join(b"%d %s\n" % (start_ns + i, p) for i, p in enumerate(payloads))


@pytest.fixture
def save(tmp_path):
    def write(content, name="session"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def pack_in_two(pack):
    """Pack as two members, as an appending recorder does."""
    return lambda content: pack(content[:3_000]) + pack(content[3_000:])


PACKERS = {
    "plain": bytes,
    "gzip": gzip.compress,
    "gzip-members": pack_in_two(gzip.compress),
    "zstd": zstandard.compress,
    "zstd-members": pack_in_two(zstandard.compress),
}


@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
@pytest.mark.parametrize("ending", [b"\n", b"", b"\n\n", b"\r\n"])
def test_the_packing_shows_in_the_content(save, pack, ending):
    content = lines(trade(i) for i in range(50)).rstrip() + ending
    session = open_session(save(pack(content)))
    batches = list(session.batches())
    assert [b.receive_ns for b in batches] == [START_NS + i for i in range(50)]
    assert [b.ticks[0].tid for b in batches] == list(range(50))
    assert list(session.batches()) == batches, "a session can be played again"


def test_a_session_names_its_markets(save):
    content = lines([trade(1), trade(2, s="ETHBTC"), trade(3, s="BTCUSDT_240927")])
    session = open_session(save(content))
    assert session.venue == "binance.usdtm"
    assert session.origin_ns == START_NS
    assert session.fqmes == (
        "btcusdt.usdtm.perp.binance.sim",
        "ethbtc.usdtm.perp.binance.sim",
        "btcusdt.usdtm.240927.binance.sim",
    )
    assert [b.fqme for b in session.batches()] == list(session.fqmes)
    for fqme in session.fqmes:
        assert str(Fqme.parse(fqme)) == fqme


def test_steps_are_the_decimals_seen_without_trailing_zeros(save):
    payloads = [trade(1, "spot", p="61837.63000000", q="0.02000000")]
    payloads.append(trade(2, "spot", p="61837.00000000", q="0.00170000"))
    session = open_session(save(lines(payloads)))
    mkt = session.mkts["BTCUSDT"]
    assert mkt.fqme == "btcusdt.spot.binance.sim"
    assert (mkt.price_tick, mkt.size_tick) == (Decimal("0.01"), Decimal("0.0001"))


def aggregated(**changes):
    data = {
        "e": "aggTrade", "s": "BTCUSDT", "a": 7, "p": "36500.1", "q": "1", "f": 1,
        "l": 2, "T": 1_700_000_000_123, "m": True, **changes,
    }  # fmt: skip
    return json.dumps({"stream": "btcusdt@aggTrade", "data": data}).encode()


@pytest.mark.parametrize(
    ("payload", "venue"),
    [
        (trade(1), "usdtm"),
        (trade(1, "spot"), "spot"),
        (aggregated(), "usdtm"),
        (aggregated(M=True), "spot"),
    ],
)
def test_each_kind_of_frame_tells_its_venue(save, payload, venue):
    path = save(lines([payload]))
    assert open_session(path).venue == f"binance.{venue}"
    assert open_session(path, f"binance.{venue}").venue == f"binance.{venue}"
    other = {"spot": "usdtm", "usdtm": "spot"}[venue]
    with pytest.raises(SessionFileError, match=f"at binance.{venue}, not at binance"):
        open_session(path, f"binance.{other}")


def test_an_explicit_venue_wins_over_the_majority(save):
    content = lines([trade(1), trade(2), trade(3, "spot")])
    assert open_session(save(content)).venue == "binance.usdtm"
    assert open_session(save(content), "binance.spot").venue == "binance.spot"


def refuse(path, match, venue=None):
    """Open and play; the error must be one line that names the file."""
    played = []
    with pytest.raises(SessionFileError, match=match) as caught:
        played.extend(open_session(path, venue).batches())
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    assert venue or path.name in text
    return played


def test_files_that_cannot_be_opened(save, tmp_path):
    refuse(tmp_path / "gone", "can't read session .*gone.*no such file")
    refuse(tmp_path, "is a directory")
    refuse(save(b""), "is empty")
    refuse(save(gzip.compress(b"")), "is empty")
    refuse(save(b"\n\n"), "is empty")
    refuse(save(lines([trade(1)])), "known: binance.spot, binance.usdtm", "kraken")


def test_what_is_no_session(save):
    refuse(save(b"time,open,high\n1,2,3\n"), "line 1: must be a receive stamp")
    refuse(save(random.Random(1).randbytes(9_999) + b"\n"), "line 1: must be")
    refuse(save(b"12345\n"), "line 1")
    refuse(save(b"12345 {}\n"), "no market frames of a known venue")
    refuse(save(b"12345 not json}\n"), "no market frames of a known venue")
    refuse(save(b"9" * 19 + b" {}\n"), "stamps must not run backwards")
    refuse(save(b"x" * 17_000_000), "longer than")


@pytest.mark.parametrize("stamp", [b"", b"now", b"-5", b"1_0", b"1.5", b"9" * 5_000])
def test_a_line_without_a_stamp(save, stamp):
    content = lines(trade(i) for i in range(30)) + stamp + b" {}\n"
    assert len(refuse(save(content), "line 31: must be a receive stamp")) == 30


def test_stamps_that_run_backwards(save):
    content = lines(trade(i) for i in range(30)) + lines([trade(31)], START_NS - 1)
    match = f"line 31: stamps must not run backwards, but {START_NS - 1} comes after"
    assert len(refuse(save(content), match)) == 30


def test_an_error_past_the_sample_is_met_while_playing(save):
    content = lines(trade(i) for i in range(5_000)) + b"oops\n"
    path = save(content)
    session = open_session(path)
    assert len(list(islice(session.batches(), 5_000))) == 5_000
    assert len(refuse(path, "line 5001")) == 5_000


@pytest.mark.parametrize("kind", ["gzip", "zstd", "plain"])
def test_what_a_cut_left_is_played(save, kind):
    noise = random.Random(3)
    content = lines(trade(i, note=noise.randbytes(40).hex()) for i in range(3_000))
    packed = PACKERS[kind](content)
    played = refuse(save(packed[: len(packed) // 2]), r"is cut off after line \d+")
    assert 500 < len(played) < 2_500
    assert [b.ticks[0].tid for b in played] == list(range(len(played)))


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_cut_that_tears_no_line_shows_too(save, kind):
    content = lines(trade(i) for i in range(50))
    packed = PACKERS[kind](content)
    played = refuse(save(packed + packed[:6]), "is cut off after line 50")
    assert len(played) == 50


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_damaged_file_is_played_up_to_the_damage(save, kind):
    noise = random.Random(3)
    content = lines(trade(i, note=noise.randbytes(40).hex()) for i in range(9_000))
    packed = bytearray(PACKERS[kind](content))
    middle = len(packed) // 2
    packed[middle : middle + 64] = bytes(64)
    played = refuse(save(bytes(packed)), r"is damaged after line \d+|line \d+: must be")
    assert len(played) > 1_000


def test_a_few_bad_frames_are_counted(save):
    payloads = [trade(i) for i in range(200)]
    payloads[50], payloads[150] = b'{"stream": garbage}', trade(150, p="free")
    report = PlayReport()
    batches = list(open_session(save(lines(payloads))).batches(report))
    assert len(batches) == report.batches == 198
    assert (report.frames, report.bad) == (200, 2)
    assert report.last_bad.startswith("line 151: not what binance documents")


def test_too_many_bad_frames_end_the_session(save):
    payloads = [trade(i, p="free") if i > 30 else trade(i) for i in range(200)]
    played = refuse(save(lines(payloads)), "21 of 52 frames are bad, the last is line")
    assert len(played) == 31


def test_markets_and_steps_that_the_start_did_not_show_are_counted(save):
    payloads = [trade(i) for i in range(4_000)]
    payloads += [trade(4_001, s="LTCUSDT"), trade(4_002, q="0.0001")]
    report = PlayReport()
    session = open_session(save(lines(payloads)))
    assert len(list(session.batches(report))) == 4_001
    assert (report.strangers, report.off_step) == (1, 1)


@pytest.mark.parametrize(
    ("name", "fqme", "steps", "trades"),
    [
        ("usdm_hft/btcusdt_20240808.gz", "btcusdt.usdtm.perp", "0.1 0.001", 21_313),
        ("usdm_hft/ethusdt_20240808.gz", "ethusdt.usdtm.perp", "0.01 0.001", 14_076),
        ("spot_hft/btcusdt_20240808.gz", "btcusdt.spot", "0.01 0.00001", 9_757),
        ("spot_hft/ethusdt_20240808.gz", "ethusdt.spot", "0.01 0.0001", 6_106),
    ],
)
def test_real_recordings(name, fqme, steps, trades):
    path = binance_session(name)
    session = open_session(path)
    (mkt,) = session.mkts.values()
    assert session.fqmes == (f"{fqme}.binance.sim",)
    assert [mkt.price_tick, mkt.size_tick] == [Decimal(s) for s in steps.split()]
    report = PlayReport()
    seen, count = set(), 0
    for batch in session.batches(report):
        count += batch.ticks[0].type == "trade"
        seen.update((tick.price, tick.size) for tick in batch.ticks)
    assert count == trades
    assert (report.bad, report.strangers, report.off_step) == (0, 0, 0)
    for price, size in seen:
        assert Decimal(repr(price)) % mkt.price_tick == 0
        assert Decimal(repr(size)) % mkt.size_tick == 0
    first = next(iter_frames(path))
    assert first[:2] == (1, session.origin_ns)
