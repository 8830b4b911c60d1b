"""Recordings: readable however they end, and each trade played once, in order."""

from __future__ import annotations

import errno
import os
import random
import resource
from contextlib import contextmanager

import pytest
from hypothesis import given, settings, strategies as st

from piker.brokers._session_file import _FRAME_BYTES
from piker.brokers.kraken._decode import decode_message
from piker.brokers.sessions import (
    Begun,
    Down,
    Dropped,
    Gone,
    SessionWriter,
    Up,
    check_out,
    note_line,
)
from piker.brokers.sim import PlayReport, open_session, session_info
from piker.brokers.sim._frames import iter_frames, iter_records
from piker.brokers.sim._venues import VENUES
from piker.errors import BadPayload, PikerError, SessionFileError, UsageError
from tests.brokers._recorded import MKT, NAME, NS, START_NS, frame, put, refetched

BEGUN = Begun(symbol="BTCUSDT", serial=0)


def read(path):
    """Return the whole frames of a file, and whether it says that it is cut off."""
    found = []
    try:
        for _, _, payload in iter_frames(path):
            found.append(payload)
    except SessionFileError as err:
        return found, "cut off" in str(err)
    return found, False


def tids(path, report=None):
    """Return the trades' ids in the order in which they are played."""
    ticks = [t for b in open_session(path).batches(report) for t in b.ticks]
    return [tick.tid for tick in ticks]


class Whole:
    """A recording with a flush now and then.

    Attributes:
      content: of the file.
      payloads: its frames.
      flushed: its size after each flush, and how many frames it had then.
      other: where to put what is made of it.
    """

    def __init__(self, folder):
        rng, path = random.Random(1), folder / "whole"
        self.payloads, self.other = [], folder / "other"
        writer = SessionWriter(path, [MKT])
        self.flushed = [(writer.file_bytes, 0)]
        writer.note(BEGUN)
        for number in range(600):
            self.payloads.append(frame(number))
            put(writer, START_NS + number, self.payloads[-1])
            if rng.random() < 0.05:
                writer.flush()
                self.flushed.append((path.stat().st_size, len(self.payloads)))
        writer.close()
        self.content = path.read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return Whole(tmp_path_factory.mktemp("recorded"))


@settings(max_examples=300, deadline=None)
@given(place=st.floats(0, 1))
def test_cut_off_at_any_byte_it_is_read_up_to_the_last_flush_or_further(whole, place):
    head = whole.flushed[0][0]
    size = head + int(place * (len(whole.content) - head))
    whole.other.write_bytes(whole.content[:size])
    found, is_cut = read(whole.other)
    assert found == whole.payloads[: len(found)]
    assert len(found) >= max(n for at, n in whole.flushed if at <= size)
    assert is_cut == (size < len(whole.content))


@settings(max_examples=150, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), mask=st.integers(1, 255))
def test_damaged_it_is_read_as_it_was_or_refused_in_a_sentence(whole, place, mask):
    damaged = bytearray(whole.content)
    damaged[int(place * len(damaged))] ^= mask
    whole.other.write_bytes(damaged)
    try:
        found = [payload for _, _, payload in iter_frames(whole.other)]
    except SessionFileError as err:
        assert "\n" not in str(err)  # noqa: PT017
    else:
        assert found == whole.payloads  # some bits of a block mean nothing


def test_what_was_written_is_read_with_all_its_notes(tmp_path):
    path, notes = (
        tmp_path / "notes",
        [
            BEGUN,
            Down(symbols=("BTCUSDT",), reason="it broke", time_ns=5),
            Up(symbols=("BTCUSDT",), time_ns=6),
            Gone(symbols=("BTCUSDT",), reason='a "word"', time_ns=7),
        ],
    )
    writer = SessionWriter(path, [MKT])
    put(writer, START_NS, frame(0))
    for note in notes:
        writer.note(note)
    writer.add(b'# a comment\n# {"note":"of later"}\n', 0, 0, 0)
    writer.close()
    told = [one for _, _, one in iter_records(path) if not isinstance(one, bytes)]
    assert told[:-1] == notes
    assert (told[-1].frames, session_info(path).in_order) == (1, True)
    assert path.stat().st_size == writer.file_bytes


def test_a_large_recording_is_made_of_several_zstd_frames(tmp_path):
    writer = SessionWriter(tmp_path / "large", [MKT])
    rng = random.Random(2)
    payloads = [b'{"stream":"x","data":"%s"}' % rng.randbytes(1000).hex().encode()
                for _ in range(100)]  # fmt: skip
    n = 0
    while writer.content_bytes < 2.5 * _FRAME_BYTES:
        lines = b"".join(b"%d %s\n" % (START_NS, p) for p in payloads)
        writer.add(lines, 100, START_NS, START_NS)
        n += 100
    writer.close()
    assert writer.path.read_bytes().count(b"\x28\xb5\x2f\xfd") >= 3
    assert sum(1 for _ in iter_frames(writer.path)) == n


def test_stamps_never_run_back_whatever_the_clock_does(tmp_path):
    writer = SessionWriter(tmp_path / "back", [MKT])
    put(writer, START_NS, frame(0))
    lines = note_line(BEGUN) + b"".join(
        b"%d %s\n" % (START_NS - 50 + 30 * i, frame(1 + i)) for i in range(4)
    )
    writer.add(lines, 4, START_NS - 50, START_NS + 40)
    put(writer, START_NS + 39, frame(5))
    writer.close()
    stamps = [ns - START_NS for _, ns, _ in iter_frames(writer.path)]
    assert stamps == [0, 0, 0, 10, 40, 40]


# -- the order of trades ------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_each_trade_is_played_once_and_in_order(whole, data):
    """Whatever the stream lost, repeated or shuffled, if it was fetched later."""
    rng = data.draw(st.randoms(use_true_random=True))
    n = data.draw(st.integers(1, 60))
    path = whole.other.with_name("shuffled")
    path.unlink(missing_ok=True)
    writer, told = SessionWriter(path, [MKT]), set()
    writer.note(BEGUN)
    at = 0
    while at < n:
        upto = min(n, at + rng.randint(1, 8))
        run = [i for i in range(at, upto) if rng.random() < 0.7]
        rng.shuffle(run)
        for number in run + run[: rng.randint(0, 2)]:
            put(writer, START_NS + at, frame(number))
        told |= set(run)
        at = upto
        if rng.random() < 0.3 or at == n:
            since = min(set(range(at)) - told, default=at)
            put(writer, START_NS + at, refetched(since, at))
            told |= set(range(at))
    writer.close()
    report = PlayReport()
    assert tids(path, report) == list(range(n))
    assert report.lost == 0


def test_what_the_venue_does_not_give_again_is_not_waited_for(tmp_path):
    writer = SessionWriter(tmp_path / "lost", [MKT])
    writer.note(Begun(symbol="BTCUSDT", serial=3, since_ns=START_NS + NS // 2))
    put(writer, START_NS, refetched(3, 7))  # of them 3 and 4 are from before
    put(writer, START_NS, frame(9))
    put(writer, START_NS, frame(10))
    writer.note(Begun(symbol="BTCUSDT", serial=9))
    put(writer, START_NS, frame(11))
    put(writer, START_NS, frame(20))  # killed before it was mended
    writer.flush()
    report = PlayReport()
    with pytest.raises(SessionFileError, match="cut off"):
        tids(writer.path, report)
    info = session_info(writer.path)
    assert info.markets[0].trades == 6
    assert info.lost == report.lost == 2 + 8
    assert "cut off" in info.torn
    writer.close()
    assert tids(writer.path) == [5, 6, 9, 10, 11, 20]


def test_a_trade_whose_serial_was_found_to_be_damaged_is_not_played(tmp_path):
    writer = SessionWriter(tmp_path / "damaged", [MKT])
    writer.note(BEGUN)
    for number in (0, 1, 900_000, 2):
        put(writer, START_NS, frame(number))
    writer.note(Dropped(symbol="BTCUSDT", serials=(900_000, 5)))
    put(writer, START_NS, frame(3))
    writer.close()
    report = PlayReport()
    assert tids(writer.path, report) == [0, 1, 2, 3]
    assert report.lost == 0


def test_only_recordings_of_piker_are_put_in_order(tmp_path):
    path = tmp_path / "plain"
    path.write_bytes(
        b"".join(b"%d %s\n" % (START_NS, frame(number)) for number in (3, 1, 2, 2))
    )
    assert tids(path) == [3, 1, 2, 2]


@pytest.mark.parametrize(
    "payload",
    [b'{"refetched":"BTCUSDT","body":[{"a":1}]}', b'{"refetched":1,"body":[]}',
     b'{"refetched":"BTCUSDT","body":', b'{"refetched":"X"}'],
)  # fmt: skip
@pytest.mark.parametrize("venue", VENUES)
def test_a_bad_answer_in_a_recording_is_one_bad_frame(venue, payload):
    with pytest.raises(BadPayload, match="not what"):
        VENUES[venue](payload)


def test_an_answer_of_kraken_reads_as_its_stream_does():
    body = (
        b'{"error":[],"result":{"XXBTZUSD":[["36500.1","0.25000000",1700000000.5000001,'
        b'"b","l","",7]],"last":"1700000000500000100"}}'
    )
    (part,) = VENUES["kraken.spot"](b'{"refetched":"BTC/USD","body":' + body + b"}")
    (streamed,) = decode_message(
        b'{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy",'
        b'"price":36500.1,"qty":0.25000000,"ord_type":"limit","trade_id":7,'
        b'"timestamp":"2023-11-14T22:13:20.500000Z"}]}'
    )
    assert part == streamed


# -- what a file says of itself -----------------------------------------------------


def test_gaps_are_told_with_what_became_of_them(tmp_path):
    writer = SessionWriter(tmp_path / "gaps", [MKT])
    writer.note(BEGUN)
    put(writer, START_NS, frame(0))
    down = Down(symbols=("BTCUSDT",), reason="it broke", time_ns=START_NS + 1)
    writer.note(down)
    writer.note(Down(symbols=("BTCUSDT",), reason="still", time_ns=START_NS + 2))
    put(writer, START_NS + 3, refetched(1, 4))
    writer.note(Up(symbols=("BTCUSDT",), time_ns=START_NS + 4))
    writer.note(down)
    writer.close()
    info = session_info(writer.path)
    assert [(gap.fqme, gap.reason, gap.from_ns, gap.to_ns) for gap in info.gaps] == [
        (NAME, "it broke", START_NS + 1, START_NS + 4),
        (NAME, "it broke", START_NS + 1, 0),
    ]
    assert (info.frames, info.bad, info.lost, info.torn) == (2, 0, 0, "")
    assert (info.markets[0].trades, info.in_order) == (4, True)
    assert info.first_ns == START_NS
    assert info.last_ns == START_NS + 3


# -- what can't be written ----------------------------------------------------------


def test_a_file_that_is_there_is_left_alone(tmp_path, monkeypatch):
    path = tmp_path / "there"
    path.write_text("mine")
    for make in (check_out, lambda path: SessionWriter(path, [MKT])):
        with pytest.raises(UsageError, match="is there already"):
            make(path)
    assert path.read_text() == "mine"
    with pytest.raises(UsageError, match="is a folder"):
        check_out(tmp_path)
    with pytest.raises(UsageError, match="no folder"):
        check_out(tmp_path / "no" / "file")
    with pytest.raises(PikerError, match="no such file"):
        SessionWriter(tmp_path / "no" / "file", [MKT])
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(PikerError, match="permission denied"):
        check_out(tmp_path / "closed")


@contextmanager
def files_up_to(size: int):
    """Let no file of this process grow beyond *size*; brief, for pytest's own."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_without_room_the_file_keeps_what_it_has(tmp_path):
    writer, rng, n = SessionWriter(tmp_path / "full", [MKT]), random.Random(3), 0
    with files_up_to(6_000), pytest.raises(OSError, match="too large") as told:
        while True:
            filler = b'{"stream":"x","data":"%s"}' % rng.randbytes(50).hex().encode()
            put(writer, START_NS, filler)
            n += 1
            writer.flush()
    assert told.value.filename == str(writer.path)
    assert writer.is_full
    put(writer, START_NS, b"{}")
    writer.close()
    found, is_cut = read(writer.path)
    assert is_cut
    assert len(found) == n - 1
    assert writer.path.stat().st_size == writer.file_bytes <= 6_000


def test_once_it_is_closed_it_outlasts_a_loss_of_power(tmp_path, monkeypatch):
    writer, synced = SessionWriter(tmp_path / "some", [MKT]), []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_size))
    put(writer, START_NS, frame(0))
    writer.flush()
    assert not synced  # not each second: others want the disk too
    writer.close()
    writer.close()
    assert synced == [writer.path.stat().st_size]


def test_a_file_that_can_not_be_made_to_last_is_an_error(tmp_path, monkeypatch):
    def fail(fd):
        raise OSError(errno.EIO, "Input/output error")

    writer, before = (
        SessionWriter(tmp_path / "some", [MKT]),
        os.listdir("/proc/self/fd"),
    )
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output") as told:
        writer.close()
    assert told.value.filename == str(writer.path)
    assert len(os.listdir("/proc/self/fd")) == len(before) - 1


def test_without_any_room_no_file_is_left(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    with files_up_to(10), pytest.raises(OSError, match="too large"):
        SessionWriter(tmp_path / "full", [MKT])
    assert not list(tmp_path.iterdir())
    assert len(os.listdir("/proc/self/fd")) == before
