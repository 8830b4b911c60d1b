"""What one daemon asked of IB is known to the next."""

from __future__ import annotations

import logging
import time

import msgspec
import pytest

from piker.brokers.ib import _kept_asks
from piker.brokers.ib._client import Client
from piker.brokers.ib._conf import IbConf
from piker.brokers.ib._gateway import Gateway
from piker.brokers.ib._kept_asks import KeptAsks
from piker.brokers.ib._pacing import BURST_S, IDENTICAL_S, WINDOW_S, Ask


def ask(nth: int = 0, con_id: int = 1) -> Ask:
    return Ask(con_id, "SMART", "TRADES", ("1 secs", str(nth)))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ib" / "asked.msgpack"


@pytest.fixture
def clock(monkeypatch):
    """Time of day, to be moved."""
    at = [time.time()]
    monkeypatch.setattr(_kept_asks.time, "time", lambda: at[0])
    return at


def recent(path):
    return [(round(age_s, 6), one) for age_s, one in KeptAsks(path).recent()]


def test_who_comes_next_knows_them(path, clock):
    kept = KeptAsks(path)
    kept.note(ask(1))
    clock[0] += 20
    kept.note(ask(2))
    clock[0] += 5
    assert recent(path) == [(25.0, ask(1)), (5.0, ask(2))]
    assert path.stat().st_mode & 0o777 == 0o600
    KeptAsks(path).note(ask(3))
    assert [one for _, one in recent(path)] == [ask(1), ask(2), ask(3)]


def test_what_ib_counts_no_more_is_forgotten(path, clock):
    kept = KeptAsks(path)
    for nth in range(200):
        kept.note(ask(nth))
    assert len(recent(path)) == 128
    assert recent(path)[-1] == (0.0, ask(199))
    clock[0] += WINDOW_S
    assert not recent(path)


def test_a_clock_that_is_set_back_makes_them_no_older(path, clock):
    KeptAsks(path).note(ask())
    clock[0] -= 3600
    kept = KeptAsks(path)
    assert recent(path) == [(0.0, ask())]
    clock[0] += 20
    kept.note(ask(1))
    assert recent(path) == [(20.0, ask()), (0.0, ask(1))]


NO_TEXT = msgspec.msgpack.encode([(1.0, ask())]).replace(b"SMART", b"\xff" * 5)


@pytest.mark.parametrize("raw", [b"", b"\xff", b"\x91\x01", b"\x80", NO_TEXT])
def test_a_file_that_is_damaged_is_no_more_than_that(path, raw, caplog):
    path.parent.mkdir(mode=0o700)
    path.write_bytes(raw)
    with caplog.at_level(logging.WARNING):
        kept = KeptAsks(path)
    assert "asked of ib is forgotten" in caplog.text
    kept.note(ask())
    assert [one for _, one in recent(path)] == [ask()]


def test_a_file_that_cannot_be_written_is_told_once(path, caplog):
    kept = KeptAsks(path)
    path.mkdir()
    with caplog.at_level(logging.WARNING):
        kept.note(ask(1))
        kept.note(ask(2))
    assert caplog.text.count("isn't kept") == 1
    path.rmdir()
    kept.note(ask(3))
    assert [one for _, one in recent(path)] == [ask(1), ask(2), ask(3)]


def test_a_folder_that_others_may_write_in_is_left_alone(path, caplog):
    path.parent.mkdir()
    path.parent.chmod(0o777)
    with caplog.at_level(logging.WARNING):
        KeptAsks(path).note(ask())
    assert caplog.text.count("isn't kept") == 1
    assert not list(path.parent.iterdir())


def test_the_next_client_keeps_ibs_rules(path):
    """Five of a contract in a moment, then it waits; the same waits for longer."""
    kept = KeptAsks(path)
    for nth in range(5):
        kept.note(ask(nth))
    conf = IbConf(small_bars=6)
    client = Client(conf, Gateway(conf, "datad"), KeptAsks(path))
    now = time.monotonic()
    assert client._pace.wait_s(ask(7), now) == pytest.approx(BURST_S, abs=0.5)
    assert client._pace.wait_s(ask(4), now) == pytest.approx(IDENTICAL_S, abs=0.5)
    assert client._pace.wait_s(ask(7, con_id=2), now) == 0
    client._pace.note(ask(7, con_id=2), now)
    assert client._pace.wait_s(ask(8, con_id=3), now) > WINDOW_S - 2
